//! Reads of strings. A command reads only the part of a long string that it needs.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};

use super::{AtOnce, Reading, Sought};
use crate::hashing::shard_of;
use crate::index::Found;
use crate::{Access, Keyspace, KeyspaceError, Kind, Millis, StringForm, Value};
use store::{Location, RecordKey, Store, lend, within};

/// A live string. Its key is locked while the view exists.
#[derive(Clone, Copy)]
pub struct StringView<'a> {
    /// The deadline; `None` if the key does not expire.
    pub expires_at: Option<Millis>,
    source: Source<'a>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    /// All bytes of the string, and how Redis would hold it.
    Bytes(&'a [u8], StringForm),
    /// The key is absent: the string reads as empty.
    Absent,
    /// Where the string lies in the store.
    Stored {
        store: &'a dyn Store,
        record: RecordKey<'a>,
        location: Location,
    },
}

impl std::fmt::Debug for StringView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StringView")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl<'a> From<&'a [u8]> for StringView<'a> {
    /// A string that is not stored.
    fn from(bytes: &'a [u8]) -> Self {
        Self {
            expires_at: None,
            source: Source::Bytes(bytes, StringForm::Plain),
        }
    }
}

impl<'a> From<Value<'a>> for StringView<'a> {
    fn from(value: Value<'a>) -> Self {
        Self {
            expires_at: value.expires_at,
            source: Source::Bytes(value.bytes, value.form),
        }
    }
}

impl<'a> StringView<'a> {
    /// The view of an absent key: an empty string.
    pub const ABSENT: StringView<'static> = StringView {
        expires_at: None,
        source: Source::Absent,
    };

    /// Whether the key exists; an absent one reads as an empty string.
    pub fn exists(self) -> bool {
        !matches!(self.source, Source::Absent)
    }

    /// How Redis would hold the string. Returns `Plain` for a long stored string, whose form follows from its length
    /// alone.
    pub fn form(self) -> Result<StringForm, KeyspaceError> {
        let mut form = StringForm::Plain;
        match self.source {
            Source::Bytes(_, known) => form = known,
            Source::Stored {
                store,
                record,
                location,
            } if !store.is_large(location) => {
                store.read(record, location, &mut |value| form = value.form)?;
            }
            Source::Absent | Source::Stored { .. } => {}
        }
        Ok(form)
    }

    /// The length, bytes.
    #[inline]
    pub fn len_bytes(self) -> Result<usize, KeyspaceError> {
        match self.source {
            Source::Bytes(bytes, _) => Ok(bytes.len()),
            Source::Absent => Ok(0),
            Source::Stored {
                store,
                record,
                location,
            } => store
                .value_bytes(record, location)?
                .ok_or(KeyspaceError::Failed("a value is missing")),
        }
    }

    /// Calls `f` with the bytes of `range`, piece by piece, until `f` breaks. The range is cut off at the end of the
    /// string. `f` must not read a string itself.
    pub fn for_each(
        self,
        range: Range<usize>,
        f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), KeyspaceError> {
        match self.source {
            Source::Bytes(bytes, _) => {
                lend(bytes, &range, f);
                Ok(())
            }
            Source::Absent => Ok(()),
            Source::Stored {
                store,
                record,
                location,
            } => Ok(store.read_range(record, location, range, f)?),
        }
    }

    /// The bytes of `range`; fewer if the string ends before.
    #[inline]
    pub fn bytes(self, range: Range<usize>) -> Result<Cow<'a, [u8]>, KeyspaceError> {
        if let Source::Bytes(bytes, _) = self.source {
            return Ok(Cow::Borrowed(&bytes[within(&range, bytes.len())]));
        }
        self.gathered(range)
    }

    /// [`bytes`](Self::bytes) of a string of which the view lends no bytes.
    #[inline(never)]
    fn gathered(self, range: Range<usize>) -> Result<Cow<'a, [u8]>, KeyspaceError> {
        let mut bytes = Vec::new();
        self.for_each(range, &mut |piece| {
            bytes.extend_from_slice(piece);
            ControlFlow::Continue(())
        })?;
        Ok(Cow::Owned(bytes))
    }

    /// The whole string.
    #[inline]
    pub fn whole(self) -> Result<Cow<'a, [u8]>, KeyspaceError> {
        self.bytes(0..usize::MAX)
    }

    /// The whole string if it has at most `bytes_max` bytes. A caller that wants a number need not read what is too
    /// long for one.
    #[inline]
    pub fn whole_up_to(self, bytes_max: usize) -> Result<Option<Cow<'a, [u8]>>, KeyspaceError> {
        if self.len_bytes()? > bytes_max {
            return Ok(None);
        }
        self.whole().map(Some)
    }

    /// One byte; `None` beyond the end.
    pub fn byte(self, at: usize) -> Result<Option<u8>, KeyspaceError> {
        let mut found = None;
        self.for_each(at..at.saturating_add(1), &mut |piece| {
            found = piece.first().copied();
            ControlFlow::Break(())
        })?;
        Ok(found)
    }
}

impl Keyspace {
    /// Runs `f` on the live string of a key; returns `None` if the key is absent or past its deadline.
    ///
    /// The key is locked while `f` runs, so `f` must not call the keyspace.
    ///
    /// # Errors
    /// [`KeyspaceError::WrongKind`] if the value is not a string.
    pub fn read_string<R>(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
        f: impl FnOnce(StringView<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        self.expiry().on_access(db, key, access.now)?;
        let hash = self.hashing.hash_of_key(key);
        let shard = self.locking().read_shard(shard_of(hash))?;
        let generation = self.generations.of(db);
        let mut f = Some(f);
        let sought = Sought {
            hash,
            key,
            generation,
            likely: None,
        };
        let read = |value: Value<'_>| f.take().map(|f| f(value.into()));
        match (self.reading()).at_once(&shard, sought, access, true, read)? {
            AtOnce::Read(result) => return Ok(result),
            AtOnce::Absent => return Ok(None),
            AtOnce::NotSo => {}
        }
        let Some(f) = f else {
            return Ok(None);
        };
        let found = shard.get(self.names(generation), hash, key)?;
        let found = self.expiry().live(found, access.now);
        self.reading().string(hash, generation, found, access, f)
    }
}

impl<'a> Reading<'a> {
    pub(crate) fn string<R>(
        self,
        hash: u64,
        generation: u32,
        found: Option<Found<'_>>,
        access: Access,
        f: impl FnOnce(StringView<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let Some(found) = found else {
            return Ok(None);
        };
        if found.kind() == Kind::String && !self.keyspace.store.is_large(found.location) {
            // Read the string once; `f` may look at it several times.
            return self.value(hash, generation, Some(found), access, |value| {
                f(value.into())
            });
        }
        if access.touch {
            found
                .entry
                .touch(access.now, self.keyspace.eviction.clock());
        }
        if found.kind() != Kind::String {
            return Err(KeyspaceError::WrongKind);
        }
        Ok(Some(f(self.stored_string(hash, generation, found))))
    }

    /// The string of a live entry. It is read only when a caller asks for its bytes.
    pub(crate) fn stored_string(
        self,
        hash: u64,
        generation: u32,
        found: Found<'a>,
    ) -> StringView<'a> {
        StringView {
            expires_at: found.expires_at,
            source: Source::Stored {
                store: &*self.keyspace.store,
                record: self.keyspace.hashing.record(hash, generation, found.key),
                location: found.location,
            },
        }
    }
}

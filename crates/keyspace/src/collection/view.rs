//! Read access to collections. A collection stays locked while a caller looks at it.

mod fields;
mod list;
mod scores;

use std::ops::ControlFlow;

use lock_order::RwLock;

pub use fields::Fields;
pub use list::List;
pub(super) use list::form_of;
pub use scores::Scores;

use super::compact::Builder;
use super::elements::encode_score;
use super::scratch::Scratch;
use super::source::Source;
use super::stream::Stream;
use super::{Body, Collection, Encoding, Shape};
use crate::hashing::shard_of;
use crate::index::Found;
use crate::locking::Locks;
use crate::{Access, Keyspace, KeyspaceError, Kind, Millis, StringView};

/// A live value of any type.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// A string.
    String(StringView<'a>),
    /// A hash's fields with their values.
    Hash(Fields<'a>),
    /// A set's members; their values are empty.
    Set(Fields<'a>),
    /// A list's elements.
    List(List<'a>),
    /// A sorted set's members.
    SortedSet(Scores<'a>),
    /// A stream's entries and groups.
    Stream(Stream<'a>),
}

impl<'a> View<'a> {
    pub(in super::super) fn new(
        keyspace: &'a Keyspace,
        id: u64,
        collection: &'a Collection,
        now: Millis,
    ) -> Self {
        let source = Source::new(keyspace, id);
        let encoding = collection.encoding;
        match &collection.shape {
            Shape::Fields(index) if collection.kind == Kind::Set => {
                View::Set(Fields::new(source, index, encoding))
            }
            Shape::Fields(index) => {
                let expired = collection.expired_len(now, &source.names());
                if expired > 0 {
                    // The caller sees that they are gone, so they stay gone.
                    keyspace.expiry().saw(now);
                }
                View::Hash(Fields::new(source, index, encoding).at(now, expired))
            }
            Shape::List(items) => {
                let encoding = (!collection.is_unmarked).then_some(encoding);
                View::List(List::new(source, items, encoding))
            }
            Shape::Stream(stream) => View::Stream(Stream::new(source, stream)),
            Shape::Scores(ranked) => View::SortedSet(Scores::new(source, ranked, encoding)),
            Shape::Compact(_) => {
                let empty = Body::empty(collection.kind);
                View::of_body(collection.body().unwrap_or(empty))
            }
        }
    }

    /// A compact collection.
    pub(in super::super) fn of_body(body: Body<'a>) -> Self {
        let Body::Texts(texts) = body else {
            return View::Set(Fields::compact(body));
        };
        match texts.kind() {
            Kind::List => View::List(List::compact(texts)),
            Kind::Set => View::Set(Fields::compact(body)),
            Kind::SortedSet => View::SortedSet(Scores::compact(texts)),
            _ => View::Hash(Fields::compact(body)),
        }
    }

    /// A compact copy of a collection; `None` if it is too large, has fields with deadlines, or has in Redis a form that is
    /// not compact.
    pub(in super::super) fn to_compact(
        self,
        keyspace: &Keyspace,
    ) -> Result<Option<Builder>, KeyspaceError> {
        let limits = keyspace.form_limits();
        if self.len() > limits.compact_bytes_max {
            return Ok(None);
        }
        let mut copy = Builder::new(self.kind());
        if let View::Set(members) = &self {
            copy.begin_as(members.encoding());
        }
        let mut fits = Ok(true);
        match self {
            View::Hash(fields) | View::Set(fields)
                if fields.encoding() != Encoding::Full && !fields.has_deadlines() =>
            {
                fields.for_each(|name, value| {
                    if matches!(fits, Ok(true)) {
                        fits = copy.push(&limits, name, value);
                    }
                })?;
            }
            View::List(list) => list.for_range(0..list.len(), false, |element| {
                fits = copy.push(&limits, b"", element);
                if matches!(fits, Ok(true)) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?,
            View::SortedSet(scores) if scores.encoding() != Encoding::Full => {
                for (member, score) in scores.range(0..scores.len()) {
                    if matches!(fits, Ok(true)) {
                        fits = copy.push(&limits, member, &encode_score(score));
                    }
                }
            }
            _ => return Ok(None),
        }
        Ok(fits?.then_some(copy))
    }

    /// The bytes of all elements, if they lie in the record of the key.
    pub fn compact_bytes(&self) -> Option<usize> {
        match self {
            View::String(_) | View::Stream(_) => None,
            View::Hash(fields) | View::Set(fields) => fields.compact_bytes(),
            View::List(list) => list.compact_bytes(),
            View::SortedSet(scores) => scores.compact_bytes(),
        }
    }

    /// The value's type.
    pub fn kind(&self) -> Kind {
        match self {
            View::String(_) => Kind::String,
            View::Hash(_) => Kind::Hash,
            View::Set(_) => Kind::Set,
            View::List(_) => Kind::List,
            View::SortedSet(_) => Kind::SortedSet,
            View::Stream(_) => Kind::Stream,
        }
    }

    /// How many elements there are; 1 for a string.
    pub fn len(&self) -> usize {
        match self {
            View::String(_) => 1,
            View::Hash(fields) | View::Set(fields) => fields.len(),
            View::List(list) => list.len(),
            View::SortedSet(scores) => scores.len(),
            View::Stream(stream) => usize::try_from(stream.len()).unwrap_or(usize::MAX),
        }
    }

    /// Whether the value has no element; a stored collection always has one, unless it is a stream.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The string, or [`KeyspaceError::WrongKind`].
    pub fn string(self) -> Result<StringView<'a>, KeyspaceError> {
        match self {
            View::String(string) => Ok(string),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// The hash, or [`KeyspaceError::WrongKind`].
    pub fn hash(self) -> Result<Fields<'a>, KeyspaceError> {
        match self {
            View::Hash(fields) => Ok(fields),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// The set, or [`KeyspaceError::WrongKind`].
    pub fn set(self) -> Result<Fields<'a>, KeyspaceError> {
        match self {
            View::Set(fields) => Ok(fields),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// The list, or [`KeyspaceError::WrongKind`].
    pub fn list(self) -> Result<List<'a>, KeyspaceError> {
        match self {
            View::List(list) => Ok(list),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// The stream, or [`KeyspaceError::WrongKind`].
    pub fn stream(self) -> Result<Stream<'a>, KeyspaceError> {
        match self {
            View::Stream(stream) => Ok(stream),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// The sorted set, or [`KeyspaceError::WrongKind`].
    pub fn sorted_set(self) -> Result<Scores<'a>, KeyspaceError> {
        match self {
            View::SortedSet(scores) => Ok(scores),
            _ => Err(KeyspaceError::WrongKind),
        }
    }
}

impl Keyspace {
    /// Runs `f` on the live value of a key, of any type; on `None` if the key is absent or past its deadline.
    ///
    /// The key is locked while `f` runs, so `f` must not call the keyspace. A closure that a method of the view calls
    /// with a borrowed value must not read another value.
    pub fn view<R>(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
        f: impl FnOnce(Option<View<'_>>) -> R,
    ) -> Result<R, KeyspaceError> {
        self.expiry().on_access(db, key, access.now)?;
        let hash = self.hashing.hash_of_key(key);
        loop {
            let shard = self.locking().read_shard(shard_of(hash))?;
            let generation = self.generations.of(db);
            let found = shard.get(self.names(generation), hash, key)?;
            let Some(found) = self.expiry().live(found, access.now) else {
                return Ok(f(None));
            };
            if found.entry.stored_kind().is_compact() {
                if access.touch {
                    found.entry.touch(access.now, self.eviction.clock());
                }
                return self.view_compact(hash, generation, found, f);
            }
            if let Some(missing) =
                self.collections()
                    .missing_partition(hash, generation, Some(found))?
            {
                drop(shard);
                self.loading().read_elements(missing)?;
                continue;
            }
            if let Some((id, shared)) = self.collections().of(hash, generation, found)? {
                if access.touch {
                    found.entry.touch(access.now, self.eviction.clock());
                }
                let collection = shared.read();
                return Ok(f(Some(View::new(self, id, &collection, access.now))));
            }
            if access.touch {
                found.entry.touch(access.now, self.eviction.clock());
            }
            let string = self.reading().stored_string(hash, generation, found);
            return Ok(f(Some(View::String(string))));
        }
    }

    /// Runs `f` on a compact collection where it lies.
    fn view_compact<R>(
        &self,
        hash: u64,
        generation: u32,
        found: Found<'_>,
        f: impl FnOnce(Option<View<'_>>) -> R,
    ) -> Result<R, KeyspaceError> {
        let record = self.hashing.record(hash, generation, found.key);
        let mut f = Some(f);
        let mut result = None;
        self.store.read(record, found.location, &mut |value| {
            let body = Body::open(found.kind(), value.bytes);
            let view = body.map(View::of_body);
            result = f.take().map(|f| view.map(|view| f(Some(view))));
        })?;
        result.ok_or(KeyspaceError::Failed("a compact collection is missing"))?
    }

    /// Runs `f` on the live values of several keys at one moment; the keys may repeat. `f` must not call the keyspace.
    pub fn view_many<R>(
        &self,
        keys: &[(usize, &[u8])],
        access: Access,
        f: impl FnOnce(&[Option<View<'_>>]) -> R,
    ) -> Result<R, KeyspaceError> {
        self.expiry().on_access_to_all(keys, access.now)?;
        let hashes = self.locking().hashes(keys);
        let mut locks = Locks::default();
        self.locking()
            .lock_shards(keys, &hashes, &mut locks, RwLock::read, |shard| &**shard)?;
        let Locks { shards, places, .. } = &locks;
        let mut held = Vec::with_capacity(keys.len());
        for ((&(db, key), &hash), &place) in keys.iter().zip(&hashes).zip(places) {
            let shard = &shards[place];
            let generation = self.generations.of(db);
            let found = shard.get(self.names(generation), hash, key)?;
            let Some(found) = self.expiry().live(found, access.now) else {
                held.push(Looked::Absent);
                continue;
            };
            if access.touch {
                found.entry.touch(access.now, self.eviction.clock());
            }
            held.push(
                if let Some((id, shared)) = self.collections().of(hash, generation, found)? {
                    Looked::Collection(id, shared)
                } else if found.entry.stored_kind().is_compact() {
                    Looked::Compact(self.collections().copy_of(hash, generation, found)?)
                } else {
                    Looked::String(self.reading().stored_string(hash, generation, found))
                },
            );
        }
        // A recursive read lock: the call may name a key twice, and a compaction may wait for the lock between the two.
        let locked: Vec<_> = held
            .iter()
            .map(|held| match held {
                Looked::Collection(_, shared) => Some(shared.read_recursive()),
                _ => None,
            })
            .collect();
        let views: Vec<Option<View<'_>>> = held
            .iter()
            .zip(&locked)
            .map(|(held, locked)| match (held, locked) {
                (Looked::Collection(id, _), Some(collection)) => {
                    Some(View::new(self, *id, collection, access.now))
                }
                (Looked::String(string), _) => Some(View::String(*string)),
                (Looked::Compact(collection), _) => {
                    Some(View::new(self, 0, collection, access.now))
                }
                _ => None,
            })
            .collect();
        Ok(f(&views))
    }
}

/// The value of a key of [`Keyspace::view_many`].
enum Looked<'a> {
    Absent,
    String(StringView<'a>),
    Collection(u64, super::SharedCollection),
    Compact(Collection),
}

impl super::Collections<'_> {
    /// A copy of a key's compact collection.
    pub(in super::super) fn copy_of(
        self,
        hash: u64,
        generation: u32,
        found: Found<'_>,
    ) -> Result<Collection, KeyspaceError> {
        let record = self.keyspace.hashing.record(hash, generation, found.key);
        let mut copy = Scratch::default();
        let mut copy_all = |value: crate::Value<'_>| copy.extend_from_slice(value.bytes);
        let store = &self.keyspace.store;
        store.read(record, found.location, &mut copy_all)?;
        Collection::compact(found.kind(), copy)
    }
}

//! Where an index finds the names of its entries: in the records, or beside the entries where a layout finds a record only
//! by its name.

use super::super::{Kind, Millis};
use super::{Entry, Index};
use smallvec::SmallVec;
use store::{IsNamed, Location, StoreError};

/// A copy of a key of the index.
pub type IndexKey = SmallVec<[u8; 16]>;

/// Called with the name and the deadline of a record.
pub type OnName<'f> = &'f mut dyn FnMut(&[u8], Option<Millis>);

/// The names of an index's entries, as their records have them.
pub trait Names {
    /// Calls `f` once with the name and the deadline of the record at a location. Fails if there is no record, and does not
    /// call `f` if the record cannot be one of this index.
    fn read(&self, location: Location, f: OnName<'_>) -> Result<(), StoreError>;

    /// Whether the record at a location has this name.
    fn is(&self, location: Location, name: &[u8]) -> Result<IsNamed, StoreError>;

    /// The hash of a name.
    fn hash(&self, name: &[u8]) -> u64;

    /// Has a record fetched into the processor's cache.
    fn prefetch(&self, _location: Location) {}
}

impl<N: Names> Names for &N {
    fn read(&self, location: Location, f: OnName<'_>) -> Result<(), StoreError> {
        (*self).read(location, f)
    }

    fn is(&self, location: Location, name: &[u8]) -> Result<IsNamed, StoreError> {
        (*self).is(location, name)
    }

    fn hash(&self, name: &[u8]) -> u64 {
        (*self).hash(name)
    }

    fn prefetch(&self, location: Location) {
        (*self).prefetch(location);
    }
}

/// Where an index finds the names of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// In the records.
    InRecords,
    /// In DRAM, beside the entries.
    Beside,
}

/// An entry that was found, with what its record says.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The entry.
    pub entry: Entry<'a>,
    /// The key.
    pub key: &'a [u8],
    /// The location of the record.
    pub location: Location,
    /// The deadline.
    pub expires_at: Option<Millis>,
    /// Where the entry is.
    pub seat: Seat,
}

/// The entry that most likely is a key's, by one byte of the key's hash.
#[derive(Clone, Copy, Debug)]
pub struct Likely<'a> {
    /// The entry.
    pub entry: Entry<'a>,
    pub(super) seat: Seat,
}

/// The place of an entry within its index, as a look-up found it. Another change of the index may have moved the entry since,
/// so who goes there checks what it meets.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    leaf: u32,
    position: u32,
}

impl Seat {
    /// Of an entry whose place is not known.
    pub const UNKNOWN: Self = Self {
        leaf: u32::MAX,
        position: u32::MAX,
    };

    #[inline]
    pub(super) fn new(leaf: usize, position: usize) -> Self {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            leaf: number(leaf),
            position: number(position),
        }
    }

    /// The numbers of the leaf and of the position in it.
    #[inline]
    pub(super) fn numbers(self) -> (usize, usize) {
        (self.leaf as usize, self.position as usize)
    }
}

impl Found<'_> {
    /// The value's type.
    #[inline]
    pub fn kind(self) -> Kind {
        self.entry.kind()
    }

    /// Whether the deadline has passed.
    #[inline]
    pub fn is_expired(self, now: Millis) -> bool {
        self.expires_at.is_some_and(|deadline| deadline <= now)
    }

    /// The same without the borrowed parts, to find the entry again.
    #[inline]
    pub fn located(self) -> Located {
        Located {
            location: self.location,
            kind: self.entry.stored_kind(),
            expires_at: self.expires_at,
            seat: self.seat,
        }
    }
}

/// What a look-up found. It stays true until the key's lock is released or the key changes.
#[derive(Clone, Copy, Debug)]
pub struct Located {
    /// The location of the record.
    pub location: Location,
    /// The kind of the value's record.
    pub kind: Kind,
    /// The deadline.
    pub expires_at: Option<Millis>,
    /// Where the entry was.
    pub seat: Seat,
}

impl Located {
    /// Stands for the place of an element that lies in the record of its key.
    pub fn in_key() -> Self {
        Self {
            location: Location::default(),
            kind: Kind::String,
            expires_at: None,
            seat: Seat::UNKNOWN,
        }
    }

    /// Whether the deadline has passed.
    #[inline]
    pub fn is_expired(self, now: Millis) -> bool {
        self.expires_at.is_some_and(|deadline| deadline <= now)
    }
}

/// An entry with a copy of its name.
#[derive(Debug)]
pub struct Named<'a> {
    /// The entry.
    pub entry: Entry<'a>,
    /// The key.
    pub key: IndexKey,
    /// The location of the record.
    pub location: Location,
    /// The deadline.
    pub expires_at: Option<Millis>,
}

impl Named<'_> {
    /// The same, borrowed.
    pub fn found(&self) -> Found<'_> {
        Found {
            entry: self.entry,
            key: &self.key,
            location: self.location,
            expires_at: self.expires_at,
            seat: Seat::UNKNOWN,
        }
    }

    /// What a look-up of the name would find.
    pub fn located(&self) -> Located {
        self.found().located()
    }
}

impl Index {
    /// An entry with its name.
    pub fn named<'a>(&self, entry: Entry<'a>, names: &dyn Names) -> Result<Named<'a>, StoreError> {
        if let Some(beside) = &self.beside {
            let kept = beside.get(entry.place());
            return Ok(Named {
                entry,
                key: kept.key.clone(),
                location: kept.location,
                expires_at: kept.expires_at(),
            });
        }
        Ok(self.read_name(entry, names)?.1)
    }

    /// As [`named`](Self::named), with the hash of the name.
    #[inline]
    pub fn named_hashed<'a>(
        &self,
        entry: Entry<'a>,
        names: &dyn Names,
    ) -> Result<(u64, Named<'a>), StoreError> {
        if self.beside.is_none() {
            return self.read_name(entry, names);
        }
        let found = self.named(entry, names)?;
        Ok((names.hash(&found.key), found))
    }

    /// [`named_hashed`](Self::named_hashed) where the record has the name.
    fn read_name<'a>(
        &self,
        entry: Entry<'a>,
        names: &dyn Names,
    ) -> Result<(u64, Named<'a>), StoreError> {
        let mut read = None;
        names.read(entry.place(), &mut |name, expires_at| {
            let hash = names.hash(name);
            let fits = self.is_of(entry, hash) && fits_deadline(entry, expires_at);
            read = fits.then(|| (hash, IndexKey::from_slice(name), expires_at));
        })?;
        let (hash, key, expires_at) = read.ok_or_else(wrong_place)?;
        Ok((
            hash,
            Named {
                entry,
                key,
                location: entry.place(),
                expires_at,
            },
        ))
    }

    /// An entry whose hash may be that of `key`, if it is the key's.
    // So each look-up asks the names that it has without a call by a table.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(super) fn found<'a>(
        &'a self,
        (entry, seat): (Entry<'a>, Seat),
        key: &'a [u8],
        names: &dyn Names,
    ) -> Result<Option<Found<'a>>, StoreError> {
        if let Some(beside) = &self.beside {
            let kept = beside.get(entry.place());
            return Ok((kept.key.as_slice() == key).then(|| Found {
                entry,
                key,
                location: kept.location,
                expires_at: kept.expires_at(),
                seat,
            }));
        }
        match names.is(entry.place(), key)? {
            IsNamed::So(expires_at) if fits_deadline(entry, expires_at) => Ok(Some(Found {
                entry,
                key,
                location: entry.place(),
                expires_at,
                seat,
            })),
            IsNamed::So(_) => Err(wrong_place()),
            IsNamed::Otherwise => self.check_other(entry, names).map(|()| None),
        }
    }

    /// Checks that the record of an entry is one of the entry. Two keys may have the same bits of a hash: a record whose hash
    /// has others is no record of the entry.
    #[cold]
    fn check_other(&self, entry: Entry<'_>, names: &dyn Names) -> Result<(), StoreError> {
        let mut fits = false;
        names.read(entry.place(), &mut |name, _| {
            fits = self.is_of(entry, names.hash(name));
        })?;
        if fits { Ok(()) } else { Err(wrong_place()) }
    }

    /// Whether the entry keeps these bits of a hash.
    fn is_of(&self, entry: Entry<'_>, hash: u64) -> bool {
        entry.hash_bits() == self.hash_bits(hash)
    }
}

#[cold]
fn wrong_place() -> StoreError {
    StoreError::Damaged("the index names a record of another key".into())
}

fn fits_deadline(entry: Entry<'_>, expires_at: Option<Millis>) -> bool {
    entry.has_deadline() == expires_at.is_some()
}

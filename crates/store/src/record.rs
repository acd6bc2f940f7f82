//! Records as the keyspace and a layout exchange them: their names, places and what a write or a visit carries.

use crate::{Change, Kind, Millis, RecordKind};

/// Where a layout keeps a record. Only the layout that made it can read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location(pub u64);

/// The generation of the one record that holds all libraries of functions. No database ever has it.
pub const LIBRARIES: u32 = u32::MAX - 2;

/// The generation of the one record that says how far a replica has followed its master. No database ever has it.
pub const PLACE: u32 = u32::MAX - 4;

/// Stands for a record's name where the location alone is enough to read the record.
pub(crate) const NAMELESS: RecordKey<'_> = RecordKey {
    partition: 0,
    generation: 0,
    key: &[],
};

/// The name of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKey<'a> {
    /// Below [`Store::partitions`](crate::Store::partitions); derived from the key's hash, so that a record is always in the
    /// same one.
    pub partition: usize,
    /// The number of a database's contents: FLUSHDB gives the database a new one.
    pub generation: u32,
    /// The user's key.
    pub key: &'a [u8],
}

/// One change of one record.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// Stores a value; replaces the one that the key has, if any.
    Put {
        /// The record to store.
        record: RecordKey<'a>,
        /// The location of the value that it replaces, if there is one.
        previous: Option<Location>,
        /// Its type, and a string's form.
        kind: RecordKind,
        /// Deadline, if it has one.
        expires_at: Option<Millis>,
        /// The bytes.
        value: &'a [u8],
    },
    /// Changes the deadline of a stored value.
    SetExpiry {
        /// The record to change.
        record: RecordKey<'a>,
        /// Its present location.
        location: Location,
        /// The new deadline, or `None` for none.
        expires_at: Option<Millis>,
    },
    /// Changes parts of a stored value; its type and its deadline stay.
    Patch {
        /// The record to change.
        record: RecordKey<'a>,
        /// Its present location.
        location: Location,
        /// The changes, in the order in which they apply.
        changes: &'a [Change<'a>],
    },
    /// Removes a record.
    Remove {
        /// The record to remove.
        record: RecordKey<'a>,
        /// Its present location.
        location: Location,
    },
}

impl<'a> Write<'a> {
    /// The record that changes.
    pub fn record(&self) -> RecordKey<'a> {
        match *self {
            Write::Put { record, .. }
            | Write::SetExpiry { record, .. }
            | Write::Patch { record, .. }
            | Write::Remove { record, .. } => record,
        }
    }
}

/// A record that [`Store::visit`](crate::Store::visit) finds.
#[derive(Clone, Copy, Debug)]
pub struct Visited<'a> {
    /// Its generation. After a flush no database may have it any more.
    pub generation: u32,
    /// The user's key.
    pub key: &'a [u8],
    /// Its type.
    pub kind: Kind,
    /// Its deadline.
    pub expires_at: Option<Millis>,
    /// Where it lies.
    pub location: Location,
    /// Its bytes; empty if the value lies in several parts.
    pub value: &'a [u8],
    /// Of several records of one key (see [`Abilities::partitioned`](crate::Abilities::partitioned)), the one with the
    /// highest number is current.
    pub sequence: u64,
    /// Whether it is a tombstone: the key and all of its older records are gone.
    pub removed: bool,
}

/// Why the keyspace forgets a record. The stored data show either reason by themselves, so forgetting needs no write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Its deadline has passed.
    Expired,
    /// No database has its generation any more.
    Flushed,
}

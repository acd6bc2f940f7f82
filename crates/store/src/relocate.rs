//! What a store needs of the index above it, and what an index that outlives the process needs of a store.

use super::{Location, StoreError};

/// Called with the present location of a key's record, `None` if the index has none. Returns the record's new location,
/// `None` if the record stays.
pub type OnCurrent<'f> =
    &'f mut dyn FnMut(Option<Location>) -> Result<Option<Location>, StoreError>;

/// The index, as a store that moves records uses it.
pub trait Relocate {
    /// Locks a key, runs `f`, and enters the location that `f` returns. No other thread reads or writes the key
    /// meanwhile.
    fn relocate(&self, generation: u32, key: &[u8], f: OnCurrent<'_>) -> Result<(), StoreError>;

    /// Whether the generation was flushed and the keyspace has not yet called [`Store::forget`](crate::Store::forget) for all of its records.
    fn awaits_removal(&self, generation: u32) -> bool;

    /// Called before segments are freed that no record of the index lies in: an index that outlives the process must not
    /// name records there either.
    fn settle(&self) {}
}

/// Where the logs of a store end at one moment: what is written later lies behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// For each log the serial number of the segment that is being filled, and how far it is filled.
    pub ends: [(u64, u64); 2],
    /// The last sequence number given out.
    pub sequence: u64,
}

//! Streams as DUMP holds them: nodes of entries, the stream's numbers, and its groups.
//!
//! | what | how often |
//! |---|---|
//! | how many nodes | once |
//! | the id of the node's first entry (a string of 16 bytes), the node (a string) | for each node |
//! | entries that are not deleted, last id | once |
//! | first id, highest deleted id, entries ever added | once, since Redis 7.0 |
//! | how many groups | once |
//! | name, last id; since Redis 7.0 entries read | for each group |
//! | how many pending entries; for each its id (16 bytes), time (8 bytes) and number of deliveries | for each group |
//! | how many consumers | for each group |
//! | name, when last seen; since Redis 7.2 when last active (8 bytes each) | for each consumer |
//! | how many pending entries; for each its id | for each consumer |
//!
//! Numbers are written as lengths, and an id as two of them, where the table names no other width. Strings of 16 bytes are
//! big-endian, times little-endian. [`node`] describes a node.

mod node;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

pub(super) use read::read;
pub(super) use write::{form, write};

/// A stream with its groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// The entries by rising id. Deleted ones are among them where Redis has not freed their node.
    pub entries: Vec<StreamEntry>,
    /// The id above which the next entry's id must lie. No entry has a higher one.
    pub last_id: StreamId,
    /// The id of the first entry that is not deleted. If there is none, Redis writes 0-0 or the highest id, and nothing
    /// depends on it.
    pub first_id: StreamId,
    /// The highest id that was deleted; 0-0 if none was, or if a version before Redis 7.0 wrote the payload.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added. A version before Redis 7.0 does not know it: then it is the number of entries.
    pub entries_added: u64,
    /// The groups, each name once.
    pub groups: Vec<StreamGroup>,
}

/// An entry's id: a time in milliseconds, and a number among the entries of that millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds.
    pub ms: u64,
    /// The sequence number.
    pub seq: u64,
}

/// One entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    /// The entry's id.
    pub id: StreamId,
    /// Whether it was deleted. Redis keeps the place of a deleted entry until its whole node is empty.
    pub deleted: bool,
    /// The names of the fields, at least one. Entries with the same names in a row may share them.
    pub names: Arc<[Vec<u8>]>,
    /// A value for each name.
    pub values: Vec<Vec<u8>>,
}

/// A group of consumers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamGroup {
    /// The name.
    pub name: Vec<u8>,
    /// The last id that was delivered.
    pub last_id: StreamId,
    /// How many entries of the stream the group has read, if it is known. At most `i64::MAX`.
    pub entries_read: Option<u64>,
    /// The consumers, each name once.
    pub consumers: Vec<StreamConsumer>,
    /// The pending entries by rising id.
    pub pending: Vec<StreamPending>,
}

/// A consumer of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamConsumer {
    /// The name.
    pub name: Vec<u8>,
    /// When it last tried something, in milliseconds since the epoch.
    pub seen_ms: i64,
    /// When it last got or claimed an entry, in milliseconds since the epoch; -1 if never. A version before Redis 7.2 does
    /// not know it: then it is the same as `seen_ms`.
    pub active_ms: i64,
}

/// An entry that was delivered and not acknowledged. The stream need not hold it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPending {
    /// The entry's id.
    pub id: StreamId,
    /// Whose entry it is: a position in [`StreamGroup::consumers`].
    pub consumer: usize,
    /// When it was last delivered, in milliseconds since the epoch.
    pub delivered_ms: i64,
    /// How often it was delivered.
    pub deliveries: u64,
}

impl Stream {
    /// How many entries are not deleted.
    pub fn len(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.deleted).count()
    }

    /// Whether every entry is deleted. A stream without entries is a value nevertheless.
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| entry.deleted)
    }
}

impl StreamId {
    /// The lowest id. No entry has it.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The highest id.
    pub const MAX: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    fn from_be_bytes(bytes: [u8; 16]) -> Self {
        let [mut ms, mut seq] = [[0; 8]; 2];
        ms.copy_from_slice(&bytes[..8]);
        seq.copy_from_slice(&bytes[8..]);
        Self {
            ms: u64::from_be_bytes(ms),
            seq: u64::from_be_bytes(seq),
        }
    }

    fn to_be_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }
}

impl StreamEntry {
    /// The fields and their values.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        let values = self.values.iter().map(Vec::as_slice);
        self.names.iter().map(Vec::as_slice).zip(values)
    }
}

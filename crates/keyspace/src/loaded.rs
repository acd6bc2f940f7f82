//! Records that wait until they enter an index.

use super::index::IndexKey;
use super::{Kind, Millis};
use store::{Location, Visited};

/// A record that loading has read.
#[derive(Debug)]
pub(super) struct LoadedRecord {
    pub hash: u64,
    pub generation: u32,
    pub key: IndexKey,
    pub kind: Kind,
    pub expires_at: Option<Millis>,
    pub location: Location,
    pub sequence: u64,
    pub removed: bool,
}

impl LoadedRecord {
    /// A copy of what the index needs; `hash` is the key's.
    pub fn of(hash: u64, record: &Visited<'_>) -> Self {
        Self {
            hash,
            generation: record.generation,
            key: IndexKey::from_slice(record.key),
            kind: record.kind,
            expires_at: record.expires_at,
            location: record.location,
            sequence: record.sequence,
            removed: record.removed,
        }
    }
}

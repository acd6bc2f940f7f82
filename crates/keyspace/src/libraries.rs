//! The record of all libraries of functions. It belongs to no database: FLUSHALL leaves it.
//!
//! The keyspace stores what it is given as one record, so every change of libraries is one step. It knows nothing of
//! what the record says.

use lock_order::{Mutex, Rank};

use super::{Keyspace, KeyspaceError};
use store::{
    LIBRARIES, Location, OnCurrent, RecordKey, RecordKind, StoreError, StringForm, Visited, Write,
};

/// The record's name. It lies in the first partition, so that the start finds it without reading the others.
const RECORD: RecordKey<'static> = RecordKey {
    partition: 0,
    generation: LIBRARIES,
    key: &[],
};

/// Where the record lies.
#[derive(Debug)]
pub(super) struct State {
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    location: Option<Location>,
    /// Only while the store is read: the newest record or tombstone so far has this sequence number.
    sequence: Option<u64>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            present: Mutex::new(Rank::Libraries, Present::default()),
        }
    }
}

/// Stores and reads the record of libraries; see [`Keyspace::libraries`].
#[derive(Clone, Copy, Debug)]
pub struct Libraries<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl Libraries<'_> {
    /// Replaces the record; `None` removes it. It counts as one change of data, as in Redis. The caller is alone in the gate.
    pub fn store(self, bytes: Option<&[u8]>) -> Result<(), KeyspaceError> {
        self.write(bytes)?;
        self.keyspace.shards[0].write().dirty += 1;
        Ok(())
    }

    fn write(self, bytes: Option<&[u8]>) -> Result<(), KeyspaceError> {
        if self.keyspace.partitioned {
            // A partition's accounts are checked before anything is written there.
            self.keyspace.loading().index_partition(RECORD.partition)?;
        }
        let mut present = self.keyspace.libraries.present.lock();
        let write = match (bytes, present.location) {
            (Some(value), previous) => Write::Put {
                record: RECORD,
                previous,
                kind: RecordKind::from(StringForm::Libraries),
                expires_at: None,
                value,
            },
            (None, Some(location)) => Write::Remove {
                record: RECORD,
                location,
            },
            (None, None) => return Ok(()),
        };
        let mut location = [Location::default()];
        self.keyspace.store.write(&[write], &mut location)?;
        present.location = bytes.map(|_| location[0]);
        Ok(())
    }

    /// The record's bytes; `None` if there is none. Fails if it is another kind of record.
    pub fn read(self) -> Result<Option<Vec<u8>>, KeyspaceError> {
        let location = self.keyspace.libraries.present.lock().location;
        let Some(location) = location else {
            return Ok(None);
        };
        let mut bytes = None;
        let mut is_right = false;
        self.keyspace.store.read(RECORD, location, &mut |value| {
            is_right = RecordKind {
                kind: value.kind,
                form: value.form,
            } == StringForm::Libraries.into()
                && value.expires_at.is_none();
            bytes = Some(value.bytes.to_vec());
        })?;
        if bytes.is_some() && !is_right {
            return Err(damaged("the record of libraries is one of another kind"));
        }
        Ok(bytes)
    }

    /// Finds the record in a store that reads its partitions when they are needed.
    pub(super) fn locate(self) -> Result<(), KeyspaceError> {
        let location = self.keyspace.store.locate(RECORD)?;
        self.keyspace.libraries.present.lock().location = location;
        Ok(())
    }

    /// Notes a record of the generation [`LIBRARIES`] that the store has shown.
    pub(super) fn met(self, record: &Visited<'_>) -> Result<(), KeyspaceError> {
        if !record.key.is_empty() {
            return Err(damaged("a record of libraries has a key"));
        }
        let mut present = self.keyspace.libraries.present.lock();
        if self.keyspace.partitioned {
            // `locate` has found it.
            return Ok(());
        }
        let is_newer = present.sequence.is_none_or(|last| last < record.sequence);
        let outdated = if is_newer {
            present.sequence = Some(record.sequence);
            let location = (!record.removed).then_some(record.location);
            std::mem::replace(&mut present.location, location)
        } else {
            (!record.removed).then_some(record.location)
        };
        if let Some(outdated) = outdated {
            self.keyspace.store.release(outdated)?;
        }
        Ok(())
    }

    /// Forgets what was met, after reading the store has failed.
    pub(super) fn forget(self) {
        *self.keyspace.libraries.present.lock() = Present::default();
    }

    /// As [`Relocate::relocate`](store::Relocate::relocate).
    pub(super) fn relocate(self, key: &[u8], f: OnCurrent<'_>) -> Result<(), StoreError> {
        let mut present = self.keyspace.libraries.present.lock();
        let location = present.location.filter(|_| key.is_empty());
        if let Some(moved) = f(location)? {
            present.location = Some(moved);
        }
        Ok(())
    }
}

fn damaged(why: &str) -> KeyspaceError {
    StoreError::Damaged(why.into()).into()
}

//! The record of all libraries of functions. The keyspace keeps it as one record, so every change of libraries is one step.

use super::single::Single;
use super::{Keyspace, KeyspaceError};

/// Stores and reads the record of libraries; see [`Keyspace::libraries`].
#[derive(Clone, Copy, Debug)]
pub struct Libraries<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl<'k> Libraries<'k> {
    fn single(self) -> Single<'k> {
        Single {
            keyspace: self.keyspace,
            state: &self.keyspace.libraries,
        }
    }

    /// Replaces the record; `None` removes it. It counts as one change of data, as in Redis. The caller is alone in the gate.
    pub fn store(self, bytes: Option<&[u8]>) -> Result<(), KeyspaceError> {
        self.single().write(bytes)?;
        self.keyspace.shards[0].write().dirty += 1;
        Ok(())
    }

    /// The record's bytes; `None` if there is none. Fails if it is another kind of record.
    pub fn read(self) -> Result<Option<Vec<u8>>, KeyspaceError> {
        self.single().read()
    }
}

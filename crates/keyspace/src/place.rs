//! The record that says how far a replica has followed its master. Written in the same
//! [step](Keyspace::atomically) as the changes that it covers, it is never ahead of them or behind.

use super::single::Single;
use super::{Keyspace, KeyspaceError};

/// Stores and reads the record of a replica's place; see [`Keyspace::place`].
#[derive(Clone, Copy, Debug)]
pub struct Place<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl<'k> Place<'k> {
    fn single(self) -> Single<'k> {
        Single {
            keyspace: self.keyspace,
            state: &self.keyspace.place,
        }
    }

    /// Replaces the record; `None` removes it. The caller is alone in the gate.
    pub fn store(self, bytes: Option<&[u8]>) -> Result<(), KeyspaceError> {
        self.single().write(bytes)
    }

    /// The record's bytes; `None` if there is none. Fails if it is another kind of record.
    pub fn read(self) -> Result<Option<Vec<u8>>, KeyspaceError> {
        self.single().read()
    }
}

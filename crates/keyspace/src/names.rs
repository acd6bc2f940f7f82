//! The names that records have, for indexes that do not keep them.

use super::Keyspace;
use super::collection::{ELEMENTS, ID_BYTES};
use super::index::{Names, Naming, OnName};
use store::{IsNamed, Location, StoreError};

/// The names of the keys of a generation, or of the elements of a collection.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordNames<'k> {
    keyspace: &'k Keyspace,
    /// The generation of the records.
    pub(super) generation: u32,
    /// The collection whose elements they are: their records' keys begin with its id.
    id: Option<[u8; ID_BYTES]>,
}

impl Names for RecordNames<'_> {
    #[inline]
    fn read(&self, location: Location, f: OnName<'_>) -> Result<(), StoreError> {
        self.keyspace.store.name(location, &mut |record| {
            let name = match &self.id {
                None => Some(record.key),
                Some(id) => record.key.strip_prefix(id),
            };
            if let Some(name) = name.filter(|_| record.generation == self.generation) {
                f(name, record.expires_at);
            }
        })
    }

    #[inline]
    fn is(&self, location: Location, name: &[u8]) -> Result<IsNamed, StoreError> {
        let id = self.id.as_ref().map_or(&[][..], |id| &id[..]);
        let store = &self.keyspace.store;
        store.is_named(location, self.generation, [id, name])
    }

    fn hash(&self, name: &[u8]) -> u64 {
        self.keyspace.hashing.hash(name)
    }

    fn prefetch(&self, location: Location) {
        self.keyspace.store.prefetch_name(location);
    }
}

impl Keyspace {
    /// The names of a generation's keys.
    #[inline]
    pub(super) fn names(&self, generation: u32) -> RecordNames<'_> {
        RecordNames {
            keyspace: self,
            generation,
            id: None,
        }
    }

    /// The names of a collection's elements.
    #[inline]
    pub(super) fn names_of_elements(&self, id: u64) -> RecordNames<'_> {
        RecordNames {
            keyspace: self,
            generation: ELEMENTS,
            id: Some(id.to_le_bytes()),
        }
    }

    /// Where indexes find their names.
    pub(super) fn naming(&self) -> Naming {
        if self.partitioned {
            Naming::Beside
        } else {
            Naming::InRecords
        }
    }
}

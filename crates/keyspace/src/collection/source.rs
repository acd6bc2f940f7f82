//! Reads the values of a collection's elements from the store.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::element_record_key;
use super::elements::{ElementKey, element_key};
use crate::names::RecordNames;
use crate::{Keyspace, KeyspaceError};
use store::Location;

/// How many elements are fetched together into the processor's cache.
const RUN: usize = 16;

/// The store that holds the elements' values.
#[derive(Clone, Copy)]
pub(in super::super) struct Source<'a> {
    pub keyspace: &'a Keyspace,
    pub id: u64,
    pub partition: usize,
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<'a> Source<'a> {
    pub fn new(keyspace: &'a Keyspace, id: u64) -> Self {
        Self {
            keyspace,
            id,
            partition: keyspace.collections().partition_of(id),
        }
    }

    /// The names of the elements.
    pub fn names(&self) -> RecordNames<'a> {
        self.keyspace.names_of_elements(self.id)
    }

    pub fn read<R>(
        &self,
        name: &[u8],
        location: Location,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, KeyspaceError> {
        // A store without partitions reads by the location alone.
        let key = if self.keyspace.partitioned {
            element_key(self.id, name)
        } else {
            ElementKey::new()
        };
        let mut f = Some(f);
        let mut result = None;
        self.keyspace.store.read(
            element_record_key(self.partition, &key),
            location,
            &mut |value| {
                result = f.take().map(|f| f(value.bytes));
            },
        )?;
        result.ok_or(KeyspaceError::Failed("an element's record is missing"))
    }

    /// Reads elements in sequence until `f` breaks; `location` and `name` give an element's location and name.
    pub fn read_run<T, N: AsRef<[u8]>>(
        &self,
        mut elements: impl Iterator<Item = T>,
        location: impl Fn(&T) -> Location,
        name: impl Fn(&T) -> N,
        mut f: impl FnMut(&T, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), KeyspaceError> {
        if self.keyspace.partitioned {
            for element in elements {
                let read = |value: &[u8]| f(&element, value);
                if self
                    .read(name(&element).as_ref(), location(&element), read)?
                    .is_break()
                {
                    break;
                }
            }
            return Ok(());
        }
        let store = &self.keyspace.store;
        let mut together = SmallVec::<[T; RUN]>::new();
        loop {
            together.clear();
            together.extend(elements.by_ref().take(RUN));
            if together.is_empty() {
                return Ok(());
            }
            let locations: SmallVec<[Location; RUN]> = together.iter().map(&location).collect();
            for &location in &locations {
                store.prefetch(location);
            }
            let mut elements = together.iter();
            let mut each = |value: &[u8]| match elements.next() {
                Some(element) => f(element, value),
                None => ControlFlow::Break(()),
            };
            if store.read_run(&locations, &mut each)?.is_break() {
                return Ok(());
            }
        }
    }
}

//! Removes collections whose anchor is gone.

use super::elements::{ElementKey, element_key, encode_label};
use super::{Collection, Collections, ELEMENTS, Shape, SharedCollection, element_record_key};
use crate::garbage::Garbage;
use crate::index::IndexKey;
use store::{Gone, Location};

/// A collection with up to this many elements is removed at once; a larger one in the background.
const AT_ONCE_MAX: usize = 16;

/// Up to this many records that count no longer are dropped at once; more are dropped in the background.
const DROPPED_AT_ONCE_MAX: usize = 256;

/// When a transaction removes an older collection, it checks up to this many elements one by one.
const LOOKED_AT_MAX: usize = 1024;

impl Collection {
    /// Takes up to `count` elements out of the collection.
    pub fn take_elements(&mut self, id: u64, count: usize) -> Vec<(ElementKey, Location)> {
        if let Shape::List(items) = &mut self.shape {
            return std::iter::from_fn(|| items.pop_back())
                .take(count)
                .map(|item| (element_key(id, &encode_label(item.label)), item.location))
                .collect();
        }
        if let Shape::Stream(stream) = &mut self.shape {
            return stream.take_records(id, count);
        }
        let index = match &mut self.shape {
            Shape::Fields(index) => index,
            Shape::Scores(scores) => scores.members_mut(),
            Shape::List(_) | Shape::Stream(_) | Shape::Compact(_) => return Vec::new(),
        };
        index
            .take(count)
            .into_iter()
            // Where the index keeps no names, the id is enough of one: no collection will have it again.
            .map(|(name, location)| (element_key(id, &name), location))
            .collect()
    }
}

impl Collections<'_> {
    /// Removes a collection whose anchor was removed. If it has few elements, they go at once.
    pub(in super::super) fn remove(self, id: u64) {
        if self.keyspace.partitioned {
            self.keyspace.registry.unclaimed.anchor_is_gone(id);
        }
        if let Some(shared) = self.keyspace.unregister(id) {
            self.discard(id, shared, !self.keyspace.transaction.is_running());
        }
    }

    pub(in super::super) fn discard(self, id: u64, shared: SharedCollection, at_once: bool) {
        let (len, memory) = {
            let collection = shared.read();
            let registry = &self.keyspace.registry;
            registry.deadlines.removed(id, collection.first_deadline());
            (collection.len(), collection.memory_bytes())
        };
        self.keyspace.registry.note_memory(memory, 0);
        if self.keyspace.transaction.is_running()
            && (len <= LOOKED_AT_MAX || self.keyspace.transaction.made(id))
        {
            let elements = shared.write().take_elements(id, len);
            self.discard_elements(id, elements);
        } else if at_once && len <= AT_ONCE_MAX {
            let elements = shared.write().take_elements(id, len);
            self.forget_elements(id, &elements);
        } else {
            self.keyspace
                .garbage()
                .discard(Garbage::Collection(id, shared, len));
        }
    }

    /// Drops records that count no longer, although no record says so: others show it.
    pub(super) fn drop_records(self, id: u64, records: Vec<(ElementKey, Location)>) {
        if records.is_empty() {
            return;
        }
        if self.keyspace.transaction.is_running() {
            self.discard_elements(id, records);
        } else if records.len() <= DROPPED_AT_ONCE_MAX {
            self.forget_elements(id, &records);
        } else {
            self.discard_later(id, records);
        }
    }

    pub(super) fn discard_later(self, id: u64, records: Vec<(ElementKey, Location)>) {
        let records = records.into_iter();
        let records =
            records.map(|(key, location)| (ELEMENTS, IndexKey::from_slice(&key), location));
        self.keyspace
            .garbage()
            .discard(Garbage::Records(self.partition_of(id), records.collect()));
    }

    /// Removes elements in a transaction: those that the transaction stored go at once, the rest when it is done.
    fn discard_elements(self, id: u64, elements: Vec<(ElementKey, Location)>) {
        let is_new = self.keyspace.transaction.made(id);
        let (own, rest): (Vec<_>, Vec<_>) = elements
            .into_iter()
            .partition(|(_, location)| is_new || self.keyspace.store.is_of_this_step(*location));
        self.forget_elements(id, &own);
        self.discard_later(id, rest);
    }

    pub(in super::super) fn forget_elements(self, id: u64, elements: &[(ElementKey, Location)]) {
        let partition = self.partition_of(id);
        for (key, location) in elements {
            let record = element_record_key(partition, key);
            if let Err(error) = self.keyspace.store.forget(record, *location, Gone::Flushed) {
                // The next start finds the element again and tries again.
                tracing::warn!(%error, "an element of a removed collection could not be removed");
            }
        }
    }
}

//! Keys that are gone by their deadlines, and hashes that have lost fields so, of which nobody may have told replicas.

use std::sync::atomic::Ordering;

use super::Loading;
use crate::Millis;
use crate::index::IndexKey;
use store::Visited;

/// How many keys that are gone by their deadlines are collected at most.
const EXPIRED_MAX: usize = 1 << 16;

impl Loading<'_> {
    /// Collects the keys that are gone by a deadline after `time`, for [`take_expired`](Self::take_expired). Call it before
    /// anything is loaded.
    pub fn collect_expired(self, time: Millis) {
        // The server says it once.
        let _ = self.keyspace.loading.collects_after.set(time);
    }

    /// The keys that loading has found to be gone by their deadlines, with their databases; `None` if there were too many to collect.
    pub fn take_expired(self) -> Option<Vec<(usize, Vec<u8>)>> {
        let mut behind = Vec::new();
        if let Some(&time) = self.keyspace.loading.collects_after.get()
            && self.keyspace.has_left_index()
        {
            if self.keyspace.registry.deadlines.had_any() {
                // Hashes that have lost fields are found with their elements.
                self.gather_elements().ok()?;
            }
            behind = self.keyspace.expired_behind(time)?;
        }
        let mut collected = self.keyspace.loading.collected.lock().take()?;
        collected.extend(behind);
        let keys = collected.into_iter().filter_map(|(generation, key)| {
            let db = self.keyspace.generations.database_of(generation)?;
            Some((db, key.to_vec()))
        });
        Some(keys.collect())
    }

    /// Whether a record is gone by a deadline, and it is one that was asked for.
    pub(in super::super) fn is_collected(self, record: &Visited<'_>) -> bool {
        let after = self.keyspace.loading.collects_after.get();
        let deadline = record.expires_at.filter(|_| record.removed);
        deadline
            .zip(after)
            .is_some_and(|(deadline, &after)| deadline > after)
    }

    pub(super) fn collect(self, generation: u32, key: IndexKey) {
        let mut collected = self.keyspace.loading.collected.lock();
        match &mut *collected {
            Some(keys) if keys.len() < EXPIRED_MAX => keys.push((generation, key)),
            all => *all = None,
        }
    }

    /// Notes that a hash has lost a field by its deadline.
    pub(in super::super) fn lost_field(self, id: u64) {
        self.keyspace.registry.deadlines.saw_one();
        let mut ids = self.keyspace.loading.with_lost_fields.lock();
        ids.insert(id);
        let has = &self.keyspace.loading.has_lost_fields;
        has.store(true, Ordering::Relaxed);
        if ids.len() > EXPIRED_MAX {
            *self.keyspace.loading.collected.lock() = None;
            ids.clear();
        }
    }

    /// Collects the key of a collection if that has lost fields. All records are read.
    #[inline]
    pub(in super::super) fn found_collection(self, id: u64, generation: u32, key: &IndexKey) {
        let state = &self.keyspace.loading;
        let has = state.has_lost_fields.load(Ordering::Relaxed);
        if has && state.with_lost_fields.lock().contains(&id) {
            self.collect(generation, key.clone());
        }
    }
}

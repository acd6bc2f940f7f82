//! Looking at keys, one or several at a time.

mod strings;

use std::sync::atomic::Ordering;

use parking_lot::RwLock;

pub use strings::StringView;

use super::clock::Clock;
use super::index::Entry;
use super::locking::Several;
use super::{Access, Ahead, KeyInfo, Keyspace, KeyspaceError, Millis, PREFETCHED, Place, Value};

impl Entry {
    pub(super) fn info(&self, now: Millis, clock: Clock) -> KeyInfo {
        let (idle_s, frequency) = match clock {
            Clock::Recency => (Some(self.idle_s(now)), None),
            Clock::Frequency(lfu) => (None, Some(lfu.count(self.accessed(), now))),
        };
        KeyInfo {
            kind: self.kind(),
            expires_at: self.expires_at(),
            idle_s,
            frequency,
        }
    }
}

impl Keyspace {
    /// What the index knows of a key; `None` where it is absent or past its deadline.
    pub fn info(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
    ) -> Result<Option<KeyInfo>, KeyspaceError> {
        self.meet(db, key, access.now)?;
        let place = self.place(key);
        let shard = self.read_shard(place.shard)?;
        let entry = shard.get(self.generation(db), place.hash, key);
        Ok(live(entry, access.now).map(|entry| {
            let clock = self.eviction.clock();
            let info = entry.info(access.now, clock);
            if access.touch {
                entry.touch(access.now, clock);
            }
            info
        }))
    }

    /// Runs `f` on the live value of a key, without a copy; `None` where the key is absent or past its deadline.
    ///
    /// The key is locked meanwhile: `f` must not call the keyspace.
    pub fn read<R>(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        self.meet(db, key, access.now)?;
        let place = self.place(key);
        let shard = self.read_shard(place.shard)?;
        let generation = self.generation(db);
        let entry = shard.get(generation, place.hash, key);
        self.read_entry(place, generation, live(entry, access.now), access, f)
    }

    /// Reads several keys, which may repeat and lie in different databases, as they are at one moment: `each` gets the
    /// live value of one key after the other, in the call's order, or `None`. It must not call the keyspace.
    pub fn read_many(
        &self,
        keys: &[(usize, &[u8])],
        access: Access,
        mut each: impl FnMut(Option<Value<'_>>),
    ) -> Result<(), KeyspaceError> {
        self.prefetch_all(keys, true);
        self.meet_all(keys, access.now)?;
        let places = self.places(keys);
        let (numbers, shards) = self.lock_shards(keys, &places, RwLock::read, |shard| &**shard)?;
        for (&(db, key), &place) in keys.iter().zip(&places) {
            let shard = &shards[numbers.partition_point(|&number| number < place.shard)];
            let generation = self.generation(db);
            let entry = live(shard.get(generation, place.hash, key), access.now);
            let read = self.read_entry(place, generation, entry, access, |value| {
                each(Some(value));
            })?;
            if read.is_none() {
                each(None);
            }
        }
        Ok(())
    }

    /// [`meet`](Self::meet)s every key.
    pub(super) fn meet_all(
        &self,
        keys: &[(usize, &[u8])],
        now: Millis,
    ) -> Result<(), KeyspaceError> {
        keys.iter()
            .try_for_each(|&(db, key)| self.meet(db, key, now))
    }

    pub(super) fn prefetch_all(&self, keys: &[(usize, &[u8])], value: bool) {
        if keys.len() <= 1 {
            return;
        }
        // Of very many the first would be gone from the cache before their turn.
        let few = &keys[..keys.len().min(16 * PREFETCHED)];
        for keys in few.chunks(PREFETCHED) {
            let keys: Several<Ahead<'_>> = keys
                .iter()
                .map(|&(db, key)| Ahead { db, key, value })
                .collect();
            self.prefetch(&keys);
        }
    }

    pub(super) fn read_entry<R>(
        &self,
        place: Place,
        generation: u32,
        entry: Option<&Entry>,
        access: Access,
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let Some(entry) = entry else {
            return Ok(None);
        };
        if access.touch {
            entry.touch(access.now, self.eviction.clock());
        }
        let mut f = Some(f);
        let mut result = None;
        let record = self.record(place, generation, entry.key());
        self.store.read(record, entry.location, &mut |value| {
            result = f.take().map(|f| f(value));
        })?;
        Ok(result)
    }

    /// Runs `change`; what it writes to `keys` of their databases is one atomic step: after a crash either all of it is
    /// there or none. The caller is alone in the [`gate`](Self::gate). An error says that `change` did not run.
    pub fn atomically(
        &self,
        keys: &[(usize, &[u8])],
        change: &mut dyn FnMut(),
    ) -> Result<(), KeyspaceError> {
        let record = |&(db, key)| self.record(self.place(key), self.generation(db), key);
        let records: Vec<_> = keys.iter().map(record).collect();
        self.first_id_in_transaction
            .store(self.collections.next_id(), Ordering::Relaxed);
        self.in_transaction.store(true, Ordering::Relaxed);
        let done = self.store.atomically(&records, change);
        self.in_transaction.store(false, Ordering::Relaxed);
        let flushed = std::mem::take(&mut *self.garbage_set_aside.lock());
        self.garbage.lock().extend(flushed);
        Ok(done?)
    }
}

/// The largest number stands for "no deadline"; one millisecond before it is as far away.
pub(super) fn storable(expires_at: Option<Millis>) -> Option<Millis> {
    expires_at.map(|deadline| deadline.min(Millis::MAX - 1))
}

pub(super) fn live(entry: Option<&Entry>, now: Millis) -> Option<&Entry> {
    entry.filter(|entry| !entry.is_expired(now))
}

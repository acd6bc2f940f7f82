//! Looking at keys and changing them, one or several at a time.

mod strings;

use std::cell::Cell;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;

use super::changes::Changes;
pub use strings::{StringChanges, StringEdit, StringView};

use super::clock::Clock;
use super::index::Entry;
use super::locking::Several;
use super::modified::Before;
use super::shard::{IndexPut, Shard};
use super::slots::{Each, LockedKey, Slots};
use super::{
    Access, Ahead, EventClass, KeyInfo, Keyspace, KeyspaceError, Millis, PREFETCHED, Place,
    RecordKind, Value, room,
};
use store::{Location, StoreError, Write};

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

    /// Locks one key and runs `f` on it. What `f` wrote is stored when this returns, and durable after the next
    /// [`commit`](Self::commit).
    pub fn update<R, E: From<KeyspaceError>>(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
        f: impl FnOnce(&mut Slot<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.meet(db, key, access.now)?;
        let (mut shard, locked) = self.lock_key(db, key, access)?;
        let LockedKey {
            place, generation, ..
        } = locked;
        let mut slot = Slot {
            keyspace: self,
            shard: &mut shard,
            place,
            db,
            generation,
            key,
            access,
            touched: Cell::new(false),
            changes: Changes::default(),
        };
        let result = f(&mut slot);
        slot.shard.changes += slot.changes.count();
        result
    }

    /// Locks several keys, which may repeat and lie in different databases, and runs `f` on them. Its writes happen
    /// together, as one atomic step, when `f` returns `Ok`; none of them happens when it returns an error.
    pub fn update_many<R, E: From<KeyspaceError>>(
        &self,
        keys: &[(usize, &[u8])],
        access: Access,
        f: impl FnOnce(&mut Slots<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.meet_all(keys, access.now)?;
        let mut slots = if let &[(db, key)] = keys {
            let (shard, locked) = self.lock_key(db, key, access)?;
            let one = (
                Each::from_buf([locked.place.shard]),
                Each::from_buf([shard]),
            );
            Slots::new(self, one, Each::from_buf([locked]), access)
        } else {
            let (shards, keys) = self.lock_keys(keys, access)?;
            Slots::new(self, shards, keys, access)
        };
        slots.open_collections()?;
        room::take_wanted();
        let result = f(&mut slots).inspect_err(|_| {
            // A call without room is made again, or refused before it has looked.
            if !room::is_wanted() {
                slots.tell_misses();
            }
        })?;
        slots.apply()?;
        slots.count_changes();
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

    /// Writes to the store; where it is full, what waits for removal is removed first, then keys that may be evicted.
    pub(super) fn store_write(
        &self,
        writes: &[Write<'_>],
        locations: &mut [Location],
        now: Millis,
    ) -> Result<(), KeyspaceError> {
        let mut evictions = EVICTIONS_PER_WRITE;
        let mut before = None;
        loop {
            match self.store.write(writes, locations) {
                Err(StoreError::OutOfMemory) if self.remove_garbage(GARBAGE_PER_RETRY) > 0 => {}
                Err(StoreError::OutOfMemory)
                    if evictions > 0
                        // Where the compaction can make room, nothing has to go.
                        && !self.store.could_hold(self.bytes_of(writes))
                        && self.may_evict_for(
                            writes,
                            *before.get_or_insert_with(|| self.store.fill().bytes),
                        )
                        && self.evict_for_write(KEYS_PER_EVICTION, now)? =>
                {
                    evictions -= 1;
                }
                other => {
                    if matches!(other, Err(StoreError::OutOfMemory)) {
                        self.note_wanted(writes);
                    }
                    return Ok(other?);
                }
            }
        }
    }
}

impl Keyspace {
    /// Whether evicting makes sense for values that find no room: an empty store could take them, and not so much has
    /// gone already, of the bytes that there were `before`, that what is left is only in pieces too small.
    fn may_evict_for(&self, writes: &[Write<'_>], before: u64) -> bool {
        let bytes = writes.iter().map(|write| match *write {
            Write::Put { value, .. } => value.len() as u64,
            Write::Patch {
                record,
                location,
                changes,
            } => self.patch_bytes(record, location, changes),
            _ => 0,
        });
        let bytes = bytes.sum::<u64>();
        let freed = before.saturating_sub(self.store.fill().bytes);
        let freed_max = (8 * bytes)
            .min(2 * bytes + FREED_BYTES_MORE)
            .max(FREED_BYTES_MIN);
        bytes < self.store.evict_above() && freed <= freed_max
    }
}

/// Keys that a write evicts for itself when it finds no room, before it tries again, and how often it does that.
const KEYS_PER_EVICTION: usize = 16;
const EVICTIONS_PER_WRITE: usize = 64;

/// A write evicts no more than 8 times its size, of large ones twice the size and this much more; and this much at least.
const FREED_BYTES_MORE: u64 = 4 << 20;
const FREED_BYTES_MIN: u64 = 256 * 1024;

/// Records of flushed databases that a write removes for itself when the pool is full, before it tries again.
const GARBAGE_PER_RETRY: usize = 256;

/// The largest number stands for "no deadline"; one millisecond before it is as far away.
pub(super) fn storable(expires_at: Option<Millis>) -> Option<Millis> {
    expires_at.map(|deadline| deadline.min(Millis::MAX - 1))
}

pub(super) fn live(entry: Option<&Entry>, now: Millis) -> Option<&Entry> {
    entry.filter(|entry| !entry.is_expired(now))
}

/// One locked key.
pub struct Slot<'a> {
    keyspace: &'a Keyspace,
    shard: &'a mut Shard,
    place: Place,
    db: usize,
    generation: u32,
    key: &'a [u8],
    access: Access,
    /// Whether this call has touched the key already.
    touched: Cell<bool>,
    changes: Changes,
}

impl Slot<'_> {
    fn entry(&self) -> Option<&Entry> {
        self.shard.get(self.generation, self.place.hash, self.key)
    }

    /// What the index knows of the key; `None` where it is absent or past its deadline.
    pub fn info(&self) -> Option<KeyInfo> {
        let now = self.access.now;
        live(self.entry(), now).map(|entry| entry.info(now, self.keyspace.eviction.clock()))
    }

    /// Runs `f` on the live value.
    pub fn read<R>(&self, f: impl FnOnce(Value<'_>) -> R) -> Result<Option<R>, KeyspaceError> {
        let entry = live(self.entry(), self.access.now);
        let access = match entry {
            Some(_) => self.next_access(),
            None => self.access,
        };
        self.keyspace
            .read_entry(self.place, self.generation, entry, access, f)
    }

    /// The access for the next look: a key is touched once, however often it is looked at.
    fn next_access(&self) -> Access {
        Access {
            touch: self.access.touch && !self.touched.replace(true),
            ..self.access
        }
    }

    /// Stores a value. On an error the old one is still there.
    pub fn put(
        &mut self,
        kind: impl Into<RecordKind>,
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        let before = self.store(kind.into(), value, expires_at)?;
        self.wrote(before, true);
        Ok(())
    }

    /// Stores a value in another form, which does not count as a modification of the key: Redis changes how it holds a
    /// string before it knows whether a command changes it.
    pub fn put_unmodified(
        &mut self,
        kind: impl Into<RecordKind>,
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        let before = self.store(kind.into(), value, expires_at)?;
        self.keyspace.tell_written(self.db, self.key, before, true);
        Ok(())
    }

    fn store(
        &mut self,
        kind: RecordKind,
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<Before, KeyspaceError> {
        let expires_at = storable(expires_at);
        let record = self.keyspace.record(self.place, self.generation, self.key);
        let mut location = [Location::default()];
        let entry = self.entry();
        let before = Before::of(entry, self.access);
        let replaced = self.collection_id(entry)?;
        let put = Write::Put {
            record,
            previous: entry.map(|entry| entry.location),
            kind,
            expires_at,
            value,
        };
        self.keyspace
            .store_write(&[put], &mut location, self.access.now)?;
        if self.keyspace.retains {
            let [location] = location;
            let put = IndexPut {
                hash: self.place.hash,
                key: self.key,
                kind: kind.kind,
                location,
                expires_at,
                access: self.next_access(),
                renewed: before == Before::Expired,
            };
            self.keyspace.index_put(self.shard, self.generation, put);
        }
        self.drop_collection(replaced);
        Ok(before)
    }

    fn collection_id(&self, entry: Option<&Entry>) -> Result<Option<u64>, KeyspaceError> {
        let id = |entry| {
            self.keyspace
                .collection_id(self.place, self.generation, entry)
        };
        entry.map_or(Ok(None), id)
    }

    fn drop_collection(&self, id: Option<u64>) {
        if let Some(id) = id {
            self.keyspace.drop_collection(id);
        }
    }

    /// Changes the deadline of a live key. Does nothing where there is none.
    pub fn set_expiry(&mut self, expires_at: Option<Millis>) -> Result<(), KeyspaceError> {
        let expires_at = storable(expires_at);
        let Some((kind, location)) =
            live(self.entry(), self.access.now).map(|entry| (entry.kind(), entry.location))
        else {
            return Ok(());
        };
        let change = Write::SetExpiry {
            record: self.keyspace.record(self.place, self.generation, self.key),
            location,
            expires_at,
        };
        let mut moved = [location];
        self.keyspace
            .store_write(&[change], &mut moved, self.access.now)?;
        let [location] = moved;
        if let Some(table) = self.shard.table_mut(self.generation) {
            table
                .index
                .replace(self.place.hash, self.key, kind, location, expires_at);
        }
        self.wrote(Before::Live, true);
        Ok(())
    }

    /// Removes the key. `false` where it was absent or past its deadline.
    pub fn remove(&mut self) -> Result<bool, KeyspaceError> {
        let Some(entry) = self.entry() else {
            return Ok(false);
        };
        let before = Before::of(Some(entry), self.access);
        let removed = self.collection_id(Some(entry))?;
        let remove = Write::Remove {
            record: self.keyspace.record(self.place, self.generation, self.key),
            location: entry.location,
        };
        self.keyspace
            .store_write(&[remove], &mut [Location::default()], self.access.now)?;
        if let Some(table) = self.shard.table_mut(self.generation) {
            table.forget(self.place.hash, self.key);
        }
        self.drop_collection(removed);
        self.wrote(before, false);
        Ok(before == Before::Live)
    }

    fn wrote(&mut self, before: Before, exists: bool) {
        let (db, key, access) = (self.db, self.key, self.access);
        self.keyspace
            .wrote(self.shard, db, key, access, before, exists);
    }

    /// Says that the key counts as modified although nothing is written.
    pub fn modified(&mut self) {
        let exists = self.info().is_some();
        self.keyspace
            .modified(self.shard, self.db, self.key, self.access, exists);
    }

    /// Tells of an event of this key, where anybody wants to know. Called after the write that it is about.
    pub fn event(&mut self, class: EventClass, name: &'static str) {
        self.changes.told_of(class);
        self.keyspace.event(class, name, self.db, self.key);
    }

    /// The call counts as so many changes of data, where it is not one that tells of an event.
    pub fn changed(&mut self, changes: usize) {
        self.changes.set(changes);
    }
}

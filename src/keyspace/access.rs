//! Looking at keys and changing them, one or several at a time.

use std::collections::HashMap;

use parking_lot::{RwLock, RwLockWriteGuard};
use smallvec::SmallVec;

use super::index::Entry;
use super::shard::{IndexPut, Shard};
use super::{
    Access, Ahead, KeyInfo, Keyspace, KeyspaceError, Kind, Millis, PREFETCHED, Place, Value,
};
use crate::store::{Location, StoreError, Write};

/// As many as there are keys in a usual call of several: no allocation for them.
type Several<T> = SmallVec<[T; PREFETCHED]>;

impl Entry {
    fn info(&self, now: Millis) -> KeyInfo {
        KeyInfo {
            kind: self.kind(),
            expires_at: self.expires_at(),
            idle_s: self.idle_s(now),
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
        let place = self.place(key);
        let shard = self.read_shard(place.shard)?;
        let entry = shard.get(self.generation(db), place.hash, key);
        Ok(live(entry, access.now).map(|entry| {
            let info = entry.info(access.now);
            if access.touch {
                entry.touch(access.now);
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
        let places = self.places(keys);
        let (numbers, shards) = self.lock_shards(&places, RwLock::read, |shard| shard.indexed)?;
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

    fn prefetch_all(&self, keys: &[(usize, &[u8])], value: bool) {
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

    fn places(&self, keys: &[(usize, &[u8])]) -> Several<Place> {
        keys.iter().map(|(_, key)| self.place(key)).collect()
    }

    /// Locks the shards of several keys: their numbers, rising, so that two calls never wait for each other, and the
    /// locks. All of them are indexed.
    fn lock_shards<'s, G>(
        &'s self,
        places: &[Place],
        lock: impl Fn(&'s RwLock<Shard>) -> G,
        is_indexed: impl Fn(&G) -> bool,
    ) -> Result<(Several<usize>, Several<G>), KeyspaceError> {
        let mut numbers: Several<usize> = places.iter().map(|place| place.shard).collect();
        numbers.sort_unstable();
        numbers.dedup();
        loop {
            let mut shards = Several::with_capacity(numbers.len());
            let missing = numbers.iter().find(|&&number| {
                shards.push(lock(&self.shards[number]));
                !shards.last().is_some_and(&is_indexed)
            });
            let Some(&missing) = missing else {
                return Ok((numbers, shards));
            };
            drop(shards);
            self.index_partition(self.partition(missing))?;
        }
    }

    fn read_entry<R>(
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
            entry.touch(access.now);
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
        let place = self.place(key);
        let mut shard = self.write_shard(place.shard)?;
        let generation = self.generation(db);
        f(&mut Slot {
            keyspace: self,
            shard: &mut shard,
            place,
            generation,
            key,
            access,
        })
    }

    /// Locks several keys, which may repeat and lie in different databases, and runs `f` on them. Its writes happen
    /// together, as one atomic step, when `f` returns `Ok`; none of them happens when it returns an error.
    pub fn update_many<R, E: From<KeyspaceError>>(
        &self,
        keys: &[(usize, &[u8])],
        access: Access,
        f: impl FnOnce(&mut Slots<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.prefetch_all(keys, false);
        let places = self.places(keys);
        let (numbers, shards) = self.lock_shards(&places, RwLock::write, |shard| shard.indexed)?;
        let keys = keys
            .iter()
            .zip(places)
            .map(|(&(db, key), place)| LockedKey {
                key,
                place,
                generation: self.generation(db),
            })
            .collect();
        let mut slots = Slots {
            keyspace: self,
            numbers,
            shards,
            keys,
            access,
            values: Vec::new(),
            staged: Vec::new(),
        };
        let result = f(&mut slots)?;
        slots.apply()?;
        Ok(result)
    }

    /// Writes to the store; where it is full, what waits for removal is removed first.
    fn store_write(
        &self,
        writes: &[Write<'_>],
        locations: &mut [Location],
    ) -> Result<(), KeyspaceError> {
        loop {
            match self.store.write(writes, locations) {
                Err(StoreError::OutOfMemory) if self.remove_garbage(GARBAGE_PER_RETRY) > 0 => {}
                other => return Ok(other?),
            }
        }
    }
}

/// Records of flushed databases that a write removes for itself when the pool is full, before it tries again.
const GARBAGE_PER_RETRY: usize = 256;

/// The largest number stands for "no deadline"; one millisecond before it is as far away.
fn storable(expires_at: Option<Millis>) -> Option<Millis> {
    expires_at.map(|deadline| deadline.min(Millis::MAX - 1))
}

fn live(entry: Option<&Entry>, now: Millis) -> Option<&Entry> {
    entry.filter(|entry| !entry.is_expired(now))
}

/// One locked key.
pub struct Slot<'a> {
    keyspace: &'a Keyspace,
    shard: &'a mut Shard,
    place: Place,
    generation: u32,
    key: &'a [u8],
    access: Access,
}

impl Slot<'_> {
    fn entry(&self) -> Option<&Entry> {
        self.shard.get(self.generation, self.place.hash, self.key)
    }

    /// What the index knows of the key; `None` where it is absent or past its deadline.
    pub fn info(&self) -> Option<KeyInfo> {
        live(self.entry(), self.access.now).map(|entry| entry.info(self.access.now))
    }

    /// Runs `f` on the live value.
    pub fn read<R>(&self, f: impl FnOnce(Value<'_>) -> R) -> Result<Option<R>, KeyspaceError> {
        let entry = live(self.entry(), self.access.now);
        self.keyspace
            .read_entry(self.place, self.generation, entry, self.access, f)
    }

    /// Stores a value. On an error the old one is still there.
    pub fn put(
        &mut self,
        kind: Kind,
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        let expires_at = storable(expires_at);
        let record = self.keyspace.record(self.place, self.generation, self.key);
        let mut location = [Location::default()];
        let put = Write::Put {
            record,
            previous: self.entry().map(|entry| entry.location),
            kind,
            expires_at,
            value,
        };
        self.keyspace.store_write(&[put], &mut location)?;
        if self.keyspace.retains {
            let [location] = location;
            let put = IndexPut {
                hash: self.place.hash,
                key: self.key,
                kind,
                location,
                expires_at,
                now: self.access.now,
            };
            self.keyspace.index_put(self.shard, self.generation, put);
        }
        Ok(())
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
        self.keyspace.store_write(&[change], &mut moved)?;
        let [location] = moved;
        if let Some(table) = self.shard.table_mut(self.generation) {
            table
                .index
                .replace(self.place.hash, self.key, kind, location, expires_at);
        }
        Ok(())
    }

    /// Removes the key. `false` where it was absent or past its deadline.
    pub fn remove(&mut self) -> Result<bool, KeyspaceError> {
        let Some(entry) = self.entry() else {
            return Ok(false);
        };
        let expired = entry.is_expired(self.access.now);
        let remove = Write::Remove {
            record: self.keyspace.record(self.place, self.generation, self.key),
            location: entry.location,
        };
        self.keyspace
            .store_write(&[remove], &mut [Location::default()])?;
        if let Some(table) = self.shard.table_mut(self.generation) {
            table.forget(self.place.hash, self.key);
        }
        if expired {
            self.keyspace.count_expired(1);
        }
        Ok(!expired)
    }
}

#[derive(Clone, Copy)]
struct LockedKey<'a> {
    key: &'a [u8],
    place: Place,
    generation: u32,
}

#[derive(Clone, Copy)]
enum Staged {
    Put {
        kind: Kind,
        /// Where the value lies in `Slots::values`.
        start: usize,
        end: usize,
        expires_at: Option<Millis>,
    },
    Remove,
}

/// Several locked keys, each by its position in the call.
pub struct Slots<'a> {
    keyspace: &'a Keyspace,
    /// The numbers of `shards`, rising.
    numbers: Several<usize>,
    shards: Several<RwLockWriteGuard<'a, Shard>>,
    keys: Several<LockedKey<'a>>,
    access: Access,
    /// Staged values, end to end.
    values: Vec<u8>,
    staged: Vec<(usize, Staged)>,
}

impl Slots<'_> {
    fn entry(&self, i: usize) -> Option<&Entry> {
        let LockedKey {
            key,
            place,
            generation,
        } = self.keys[i];
        self.shard(place.shard).get(generation, place.hash, key)
    }

    fn shard(&self, number: usize) -> &Shard {
        &self.shards[self.position(number)]
    }

    fn position(&self, number: usize) -> usize {
        self.numbers.partition_point(|&other| other < number)
    }

    /// What the index knows of key `i`; `None` where it is absent or past its deadline.
    pub fn info(&self, i: usize) -> Option<KeyInfo> {
        live(self.entry(i), self.access.now).map(|entry| entry.info(self.access.now))
    }

    /// Runs `f` on the live value of key `i`, as it was before this call's writes.
    pub fn read<R>(
        &self,
        i: usize,
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let LockedKey {
            place, generation, ..
        } = self.keys[i];
        let entry = live(self.entry(i), self.access.now);
        self.keyspace
            .read_entry(place, generation, entry, self.access, f)
    }

    /// Stages a value for key `i`.
    pub fn put(&mut self, i: usize, kind: Kind, value: &[u8], expires_at: Option<Millis>) {
        let expires_at = storable(expires_at);
        let start = self.values.len();
        self.values.extend_from_slice(value);
        let put = Staged::Put {
            kind,
            start,
            end: self.values.len(),
            expires_at,
        };
        self.staged.push((i, put));
    }

    /// Stages the removal of key `i`.
    pub fn remove(&mut self, i: usize) {
        self.staged.push((i, Staged::Remove));
    }

    /// What was staged, of several writes of one key the last.
    fn last_staged(&self) -> Vec<(usize, Staged)> {
        // A few are compared faster than hashed.
        if self.staged.len() <= PREFETCHED {
            let same = |a: usize, b: usize| {
                let (a, b) = (&self.keys[a], &self.keys[b]);
                a.place.hash == b.place.hash && a.generation == b.generation && a.key == b.key
            };
            let later = |n: usize, i: usize| self.staged[n + 1..].iter().any(|&(j, _)| same(i, j));
            return (0..)
                .zip(&self.staged)
                .filter(|&(n, &(i, _))| !later(n, i))
                .map(|(_, &change)| change)
                .collect();
        }
        let mut last: HashMap<(u32, &[u8]), (usize, Staged)> =
            HashMap::with_capacity(self.staged.len());
        for &(i, staged) in &self.staged {
            let LockedKey {
                key, generation, ..
            } = self.keys[i];
            last.insert((generation, key), (i, staged));
        }
        last.into_values().collect()
    }

    /// Writes what was staged, as one step, and tells the index.
    fn apply(mut self) -> Result<(), KeyspaceError> {
        let changes: Vec<(usize, Staged)> = self
            .last_staged()
            .into_iter()
            // What is not there need not be removed.
            .filter(|&(i, staged)| !matches!(staged, Staged::Remove) || self.entry(i).is_some())
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let writes: Vec<Write<'_>> = changes
            .iter()
            .map(|&(i, staged)| self.write(i, staged))
            .collect();
        let mut locations = vec![Location::default(); writes.len()];
        self.keyspace.store_write(&writes, &mut locations)?;
        drop(writes);
        if !self.keyspace.retains {
            return Ok(());
        }
        for (&(i, staged), &location) in changes.iter().zip(&locations) {
            let LockedKey {
                key,
                place,
                generation,
            } = self.keys[i];
            let position = self.position(place.shard);
            let shard = &mut *self.shards[position];
            match staged {
                Staged::Put {
                    kind, expires_at, ..
                } => {
                    let put = IndexPut {
                        hash: place.hash,
                        key,
                        kind,
                        location,
                        expires_at,
                        now: self.access.now,
                    };
                    self.keyspace.index_put(shard, generation, put);
                }
                Staged::Remove => {
                    if let Some(table) = shard.table_mut(generation) {
                        table.forget(place.hash, key);
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&self, i: usize, staged: Staged) -> Write<'_> {
        let LockedKey {
            key,
            place,
            generation,
        } = self.keys[i];
        let record = self.keyspace.record(place, generation, key);
        match staged {
            Staged::Put {
                kind,
                start,
                end,
                expires_at,
            } => Write::Put {
                record,
                previous: self.entry(i).map(|entry| entry.location),
                kind,
                expires_at,
                value: &self.values[start..end],
            },
            Staged::Remove => Write::Remove {
                record,
                location: self
                    .entry(i)
                    .map_or_else(Location::default, |entry| entry.location),
            },
        }
    }
}

//! Locks the shards of one key or several, and lets waiting clients go first.

use lock_order::{ReadGuard, RwLock, WriteGuard};
use smallvec::SmallVec;

use super::hashing::{SHARDS, shard_of};
use super::shard::Shard;
use super::update::{Each, LockedKey, LockedShards};
use super::waiting::YIELDS_MAX;
use super::{Access, Keyspace, KeyspaceError, PREFETCHED};

/// Calls with several keys rarely have more than this; these need no allocation.
pub(super) type Several<T> = SmallVec<[T; PREFETCHED]>;

/// The shards that a call of several keys has locked.
#[derive(Debug)]
pub(super) struct Locks<G> {
    /// Their numbers, in ascending order.
    pub(super) numbers: Several<usize>,
    /// Their locks, in the same order.
    pub(super) shards: Several<G>,
    /// For each key of the call, the position of its shard.
    pub(super) places: Several<usize>,
}

impl<G> Default for Locks<G> {
    fn default() -> Self {
        Self {
            numbers: Several::new(),
            shards: Several::new(),
            places: Several::new(),
        }
    }
}

impl<G> Locks<G> {
    /// Notes which shards the keys with these hashes need. Each shard is locked once, in ascending order.
    fn note(&mut self, hashes: &[u64]) {
        let mut needed = [0u64; SHARDS / 64];
        for &hash in hashes {
            let number = shard_of(hash);
            needed[number / 64] |= 1 << (number % 64);
        }
        let mut positions = [0u8; SHARDS];
        self.numbers.clear();
        for (word, mut bits) in needed.into_iter().enumerate() {
            while bits != 0 {
                let number = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                // There are no more positions than shards.
                positions[number] = u8::try_from(self.numbers.len()).unwrap_or(u8::MAX);
                self.numbers.push(number);
            }
        }
        let place = |&hash: &u64| usize::from(positions[shard_of(hash)]);
        self.places.clear();
        self.places.extend(hashes.iter().map(place));
    }
}

const _: () = assert!(SHARDS <= 256 && SHARDS.is_multiple_of(64));

/// Locks shards; see [`Keyspace::locking`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Locking<'s> {
    pub(super) keyspace: &'s Keyspace,
}

impl<'s> Locking<'s> {
    pub(super) fn hashes(self, keys: &[(usize, &[u8])]) -> Several<u64> {
        keys.iter()
            .map(|(_, key)| self.keyspace.hashing.hash_of_key(key))
            .collect()
    }

    /// Locks the shards of several keys, in ascending order, so that two calls never wait for each other. All these shards are
    /// indexed, and so are the elements of the keys' collections.
    pub(super) fn lock_shards<G>(
        self,
        keys: &[(usize, &[u8])],
        hashes: &[u64],
        locks: &mut Locks<G>,
        lock: impl Fn(&'s RwLock<Shard>) -> G,
        shard: impl for<'g> Fn(&'g G) -> &'g Shard,
    ) -> Result<(), KeyspaceError> {
        locks.note(hashes);
        loop {
            let Locks {
                numbers, shards, ..
            } = &mut *locks;
            let missing = numbers.iter().find(|&&number| {
                shards.push(lock(&self.keyspace.shards[number]));
                !shards.last().is_some_and(|one| shard(one).indexed)
            });
            if let Some(&missing) = missing {
                shards.clear();
                self.keyspace.loading().index_shard(missing)?;
                continue;
            }
            let mut missing = None;
            if self.keyspace.may_lack_elements() {
                for ((&(db, key), &hash), &place) in keys.iter().zip(hashes).zip(&locks.places) {
                    let shard = shard(&locks.shards[place]);
                    let generation = self.keyspace.generations.of(db);
                    let found = shard.get(self.keyspace.names(generation), hash, key)?;
                    missing = missing.or(self
                        .keyspace
                        .collections()
                        .missing_partition(hash, generation, found)?);
                }
            }
            let Some(missing) = missing else {
                return Ok(());
            };
            locks.shards.clear();
            self.keyspace.loading().read_elements(missing)?;
        }
    }

    /// Locks the shard of one key. The shard is indexed, and so are the elements of the key's collection.
    #[inline]
    pub(super) fn lock_key<'k>(
        self,
        db: usize,
        key: &'k [u8],
        access: Access,
    ) -> Result<(WriteGuard<'s, Shard>, LockedKey<'k>), KeyspaceError> {
        let hash = self.keyspace.hashing.hash_of_key(key);
        let shard = self.keyspace.shards[shard_of(hash)].write();
        // Most of the time nobody waits for a key of the shard, and everything is read.
        if shard.indexed && shard.queues.is_none() && !self.keyspace.may_lack_elements() {
            let locked = LockedKey {
                key,
                hash,
                db,
                generation: self.keyspace.generations.of(db),
            };
            return Ok((shard, locked));
        }
        drop(shard);
        self.lock_key_in_turn(db, key, hash, access)
    }

    /// [`lock_key`](Self::lock_key) of a key that others may wait for, or that may have to be read.
    #[inline(never)]
    fn lock_key_in_turn<'k>(
        self,
        db: usize,
        key: &'k [u8],
        hash: u64,
        access: Access,
    ) -> Result<(WriteGuard<'s, Shard>, LockedKey<'k>), KeyspaceError> {
        let mut yields = 0;
        loop {
            let shard = self.write_shard(shard_of(hash))?;
            if yields < YIELDS_MAX
                && self
                    .keyspace
                    .waiting()
                    .has_to_yield(&shard, db, key, access)
            {
                drop(shard);
                yields += 1;
                self.keyspace.waiting().serve();
                continue;
            }
            let generation = self.keyspace.generations.of(db);
            let missing = if self.keyspace.may_lack_elements() {
                let found = shard.get(self.keyspace.names(generation), hash, key)?;
                self.keyspace
                    .collections()
                    .missing_partition(hash, generation, found)?
            } else {
                None
            };
            let Some(missing) = missing else {
                let locked = LockedKey {
                    key,
                    hash,
                    db,
                    generation,
                };
                return Ok((shard, locked));
            };
            drop(shard);
            self.keyspace.loading().read_elements(missing)?;
        }
    }

    /// Locks the shards of several keys; see [`lock_shards`](Self::lock_shards).
    pub(super) fn lock_keys<'k>(
        self,
        keys: &[(usize, &'k [u8])],
        access: Access,
    ) -> Result<(LockedShards<'s>, Each<LockedKey<'k>>), KeyspaceError> {
        let (mut locks, mut locked) = (Locks::default(), Several::new());
        self.lock_several(keys, access, &mut locks, &mut locked)?;
        let Locks {
            numbers, shards, ..
        } = locks;
        let shards = (numbers.into_iter().collect(), shards.into_iter().collect());
        Ok((shards, locked.into_iter().collect()))
    }

    /// As [`lock_keys`](Self::lock_keys), without an allocation for [`PREFETCHED`] keys. What the caller lends is empty before.
    pub(super) fn lock_several<'k>(
        self,
        keys: &[(usize, &'k [u8])],
        access: Access,
        locks: &mut Locks<WriteGuard<'s, Shard>>,
        locked: &mut Several<LockedKey<'k>>,
    ) -> Result<(), KeyspaceError> {
        let hashes = self.hashes(keys);
        let mut yields = 0;
        loop {
            self.lock_shards(keys, &hashes, locks, RwLock::write, |shard| &**shard)?;
            let shards = locks.shards.as_slice();
            let mut each = keys.iter().zip(&locks.places);
            let has_to_yield = each.any(|(&(db, key), &place)| {
                let shard = &shards[place];
                self.keyspace.waiting().has_to_yield(shard, db, key, access)
            });
            if !has_to_yield || yields == YIELDS_MAX {
                break;
            }
            locks.shards.clear();
            yields += 1;
            self.keyspace.waiting().serve();
        }
        let generations = &self.keyspace.generations;
        let keys = keys.iter().zip(&hashes);
        locked.extend(keys.map(|(&(db, key), &hash)| LockedKey {
            key,
            hash,
            db,
            generation: generations.of(db),
        }));
        Ok(())
    }

    /// Locks a shard for reading. The shard is indexed.
    pub(super) fn read_shard(self, number: usize) -> Result<ReadGuard<'s, Shard>, KeyspaceError> {
        loop {
            let shard = self.keyspace.shards[number].read();
            if shard.indexed {
                return Ok(shard);
            }
            drop(shard);
            self.keyspace.loading().index_shard(number)?;
        }
    }

    /// Locks a shard for writing. The shard is indexed.
    pub(super) fn write_shard(self, number: usize) -> Result<WriteGuard<'s, Shard>, KeyspaceError> {
        loop {
            let shard = self.keyspace.shards[number].write();
            if shard.indexed {
                return Ok(shard);
            }
            drop(shard);
            self.keyspace.loading().index_shard(number)?;
        }
    }

    /// Locks every shard for writing, in ascending order. No command may be running.
    pub(super) fn lock_all(self) -> Vec<WriteGuard<'s, Shard>> {
        self.keyspace.loading().open_all();
        self.keyspace.shards.iter().map(RwLock::write).collect()
    }
}

//! Locks the shards of one key or several, and lets waiting clients go first.

use lock_order::{ReadGuard, RwLock, WriteGuard};
use smallvec::SmallVec;

use super::hashing::shard_of;
use super::shard::Shard;
use super::update::{Each, LockedKey, LockedShards};
use super::waiting::YIELDS_MAX;
use super::{Access, Keyspace, KeyspaceError, PREFETCHED};

/// Calls with several keys rarely have more than this; these need no allocation.
pub(super) type Several<T> = SmallVec<[T; PREFETCHED]>;

/// The numbers of locked shards in ascending order, the shards, and the keys.
pub(super) type SeveralLocked<'s, 'k> = (
    Several<usize>,
    Several<WriteGuard<'s, Shard>>,
    Several<LockedKey<'k>>,
);

/// Locks shards; see [`Keyspace::locking`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Locking<'s> {
    pub(super) keyspace: &'s Keyspace,
}

impl<'s> Locking<'s> {
    pub(super) fn hashes(self, keys: &[(usize, &[u8])]) -> Several<u64> {
        keys.iter()
            .map(|(_, key)| self.keyspace.hashing.hash(key))
            .collect()
    }

    /// Locks the shards of several keys. Returns their numbers in ascending order, so that two calls never wait for
    /// each other, and the locks. All these shards are indexed, and so are the elements of the keys' collections.
    pub(super) fn lock_shards<G>(
        self,
        keys: &[(usize, &[u8])],
        hashes: &[u64],
        lock: impl Fn(&'s RwLock<Shard>) -> G,
        shard: impl for<'g> Fn(&'g G) -> &'g Shard,
    ) -> Result<(Several<usize>, Several<G>), KeyspaceError> {
        let mut numbers: Several<usize> = hashes.iter().map(|&hash| shard_of(hash)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        loop {
            let mut shards = Several::with_capacity(numbers.len());
            let missing = numbers.iter().find(|&&number| {
                shards.push(lock(&self.keyspace.shards[number]));
                !shards.last().is_some_and(|one| shard(one).indexed)
            });
            if let Some(&missing) = missing {
                drop(shards);
                self.keyspace.loading().index_shard(missing)?;
                continue;
            }
            let mut missing = None;
            if self.keyspace.may_lack_elements() {
                for (&(db, key), &hash) in keys.iter().zip(hashes) {
                    let shard = shard(&shards[numbers.partition_point(|&n| n < shard_of(hash))]);
                    let generation = self.keyspace.generations.of(db);
                    let found = shard.get(self.keyspace.names(generation), hash, key)?;
                    missing = missing.or(self
                        .keyspace
                        .collections()
                        .missing_partition(hash, generation, found)?);
                }
            }
            let Some(missing) = missing else {
                return Ok((numbers, shards));
            };
            drop(shards);
            self.keyspace.loading().read_elements(missing)?;
        }
    }

    /// Locks the shard of one key. The shard is indexed, and so are the elements of the key's collection.
    pub(super) fn lock_key<'k>(
        self,
        db: usize,
        key: &'k [u8],
        access: Access,
    ) -> Result<(WriteGuard<'s, Shard>, LockedKey<'k>), KeyspaceError> {
        let hash = self.keyspace.hashing.hash(key);
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
        let (numbers, shards, keys) = self.lock_several(keys, access)?;
        let shards = (numbers.into_iter().collect(), shards.into_iter().collect());
        Ok((shards, keys.into_iter().collect()))
    }

    /// As [`lock_keys`](Self::lock_keys), without an allocation for [`PREFETCHED`] keys.
    pub(super) fn lock_several<'k>(
        self,
        keys: &[(usize, &'k [u8])],
        access: Access,
    ) -> Result<SeveralLocked<'s, 'k>, KeyspaceError> {
        let hashes = self.hashes(keys);
        self.keyspace.reading().prefetch_all(keys, &hashes, false);
        let mut yields = 0;
        let (numbers, shards) = loop {
            let (numbers, shards) =
                self.lock_shards(keys, &hashes, RwLock::write, |shard| &**shard)?;
            let mut each = keys.iter().zip(&hashes);
            let has_to_yield = each.any(|(&(db, key), &hash)| {
                let shard = &shards[numbers.partition_point(|&number| number < shard_of(hash))];
                self.keyspace.waiting().has_to_yield(shard, db, key, access)
            });
            if !has_to_yield || yields == YIELDS_MAX {
                break (numbers, shards);
            }
            drop(shards);
            yields += 1;
            self.keyspace.waiting().serve();
        };
        let keys = keys
            .iter()
            .zip(hashes)
            .map(|(&(db, key), hash)| LockedKey {
                key,
                hash,
                db,
                generation: self.keyspace.generations.of(db),
            })
            .collect();
        Ok((numbers, shards, keys))
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

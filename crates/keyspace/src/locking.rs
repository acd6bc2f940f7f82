//! Locking the shards of one key or several, and giving way to who waits for them.

use parking_lot::{RwLock, RwLockWriteGuard};
use smallvec::SmallVec;

use super::shard::Shard;
use super::update::{Each, LockedKey, LockedShards};
use super::wait::YIELDS_MAX;
use super::{Access, Keyspace, KeyspaceError, PREFETCHED, Place};

/// As many as there are keys in a usual call of several: no allocation for them.
pub(super) type Several<T> = SmallVec<[T; PREFETCHED]>;

impl Keyspace {
    pub(super) fn places(&self, keys: &[(usize, &[u8])]) -> Several<Place> {
        keys.iter().map(|(_, key)| self.place(key)).collect()
    }

    /// Locks the shards of several keys: their numbers, rising, so that two calls never wait for each other, and the
    /// locks. All of them are indexed, and so are the elements of collections.
    pub(super) fn lock_shards<'s, G>(
        &'s self,
        keys: &[(usize, &[u8])],
        places: &[Place],
        lock: impl Fn(&'s RwLock<Shard>) -> G,
        shard: impl for<'g> Fn(&'g G) -> &'g Shard,
    ) -> Result<(Several<usize>, Several<G>), KeyspaceError> {
        let mut numbers: Several<usize> = places.iter().map(|place| place.shard).collect();
        numbers.sort_unstable();
        numbers.dedup();
        loop {
            let mut shards = Several::with_capacity(numbers.len());
            let missing = numbers.iter().find(|&&number| {
                shards.push(lock(&self.shards[number]));
                !shards.last().is_some_and(|one| shard(one).indexed)
            });
            let mut missing = missing.map(|&number| self.partition(number));
            if missing.is_none() && self.partitioned {
                for (&(db, key), &place) in keys.iter().zip(places) {
                    let shard = shard(&shards[numbers.partition_point(|&n| n < place.shard)]);
                    let generation = self.generation(db);
                    let entry = shard.get(generation, place.hash, key);
                    missing = missing.or(self.missing_partition(place, generation, entry)?);
                }
            }
            let Some(missing) = missing else {
                return Ok((numbers, shards));
            };
            drop(shards);
            self.index_partition(missing)?;
        }
    }

    /// Locks the shard of one key, which is indexed, and so are the elements of its collection.
    pub(super) fn lock_key<'s, 'k>(
        &'s self,
        db: usize,
        key: &'k [u8],
        access: Access,
    ) -> Result<(RwLockWriteGuard<'s, Shard>, LockedKey<'k>), KeyspaceError> {
        let place = self.place(key);
        let mut yields = 0;
        loop {
            let shard = self.write_shard(place.shard)?;
            if yields < YIELDS_MAX && self.has_to_yield(&shard, db, key, access) {
                drop(shard);
                yields += 1;
                self.serve_ready();
                continue;
            }
            let generation = self.generation(db);
            let missing = if self.partitioned {
                let entry = shard.get(generation, place.hash, key);
                self.missing_partition(place, generation, entry)?
            } else {
                None
            };
            let Some(missing) = missing else {
                let locked = LockedKey {
                    key,
                    place,
                    db,
                    generation,
                };
                return Ok((shard, locked));
            };
            drop(shard);
            self.index_partition(missing)?;
        }
    }

    /// Locks the shards of several keys; see [`lock_shards`](Self::lock_shards).
    pub(super) fn lock_keys<'s, 'k>(
        &'s self,
        keys: &[(usize, &'k [u8])],
        access: Access,
    ) -> Result<(LockedShards<'s>, Each<LockedKey<'k>>), KeyspaceError> {
        self.prefetch_all(keys, false);
        let places = self.places(keys);
        let mut yields = 0;
        let (numbers, shards) = loop {
            let (numbers, shards) =
                self.lock_shards(keys, &places, RwLock::write, |shard| &**shard)?;
            let mut each = keys.iter().zip(&places);
            let has_to_yield = each.any(|(&(db, key), place)| {
                let shard = &shards[numbers.partition_point(|&number| number < place.shard)];
                self.has_to_yield(shard, db, key, access)
            });
            if !has_to_yield || yields == YIELDS_MAX {
                break (numbers.into_iter().collect(), shards.into_iter().collect());
            }
            drop(shards);
            yields += 1;
            self.serve_ready();
        };
        let keys = keys
            .iter()
            .zip(places)
            .map(|(&(db, key), place)| LockedKey {
                key,
                place,
                db,
                generation: self.generation(db),
            })
            .collect();
        Ok(((numbers, shards), keys))
    }
}

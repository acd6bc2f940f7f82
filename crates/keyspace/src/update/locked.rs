//! Locked keys, and what the index knows about them before a call's writes.

use std::cell::Cell;
use std::ops::Index;

use lock_order::WriteGuard;
use smallvec::SmallVec;

use crate::dirty::Dirty;
use crate::hashing::shard_of;
use crate::index::{Found, Located};
use crate::prefetch::Fetched;
use crate::shard::Shard;
use crate::{Access, KeyInfo, Keyspace, KeyspaceError, PREFETCHED, StringView, Value};
use store::RecordKey;

/// One key whose shard is locked.
#[derive(Clone, Copy)]
pub(crate) struct LockedKey<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) hash: u64,
    pub(crate) db: usize,
    pub(crate) generation: u32,
}

/// One item for each key. Most calls have one key, and a small type moves quickly.
pub(crate) type Each<T> = SmallVec<[T; 1]>;

/// Locked shards, with their numbers in ascending order.
pub(crate) type LockedShards<'a> = (Each<usize>, Each<WriteGuard<'a, Shard>>);

/// The keys of one call, named by their positions in the call, with the locks of their shards.
pub(super) struct LockedKeys<'a> {
    pub(super) keyspace: &'a Keyspace,
    /// The numbers of `shards`, in ascending order.
    numbers: Each<usize>,
    pub(super) shards: Each<WriteGuard<'a, Shard>>,
    pub(super) list: Each<LockedKey<'a>>,
    pub(super) access: Access,
    /// Where the index has each key; `None` for an absent one. Looked up once, before the call writes anything.
    stored: Each<Option<Located>>,
    /// For each key, whether this call has touched it already.
    touched: Each<Cell<bool>>,
    /// Counts the call's changes of data.
    pub(super) dirty: Dirty,
}

impl<'a> Index<usize> for LockedKeys<'a> {
    type Output = LockedKey<'a>;

    #[inline]
    fn index(&self, i: usize) -> &LockedKey<'a> {
        &self.list[i]
    }
}

impl<'a> LockedKeys<'a> {
    /// Looks up keys whose `shards` are locked; the numbers of the shards are in ascending order.
    #[inline]
    pub(super) fn new(
        keyspace: &'a Keyspace,
        (numbers, shards): LockedShards<'a>,
        list: Each<LockedKey<'a>>,
        access: Access,
    ) -> Result<Self, KeyspaceError> {
        let mut keys = Self::with(keyspace, (numbers, shards), list, Each::new(), access);
        let mut stored = Each::with_capacity(keys.len());
        let mut fetched = Fetched::new();
        // With more keys at once, the first ones would leave the cache before they are looked up.
        for first in (0..keys.len()).step_by(PREFETCHED) {
            let some = first..(first + PREFETCHED).min(keys.len());
            fetched.clear();
            if keys.len() > 1 {
                for i in some.clone() {
                    let LockedKey {
                        hash, generation, ..
                    } = keys[i];
                    fetched.add(keys.shard(i), generation, hash, false);
                }
                fetched.fetch(keyspace);
            }
            for i in some {
                let LockedKey {
                    key,
                    hash,
                    generation,
                    ..
                } = keys[i];
                let names = keyspace.names(generation);
                let likely = fetched.likely(i - first);
                let found = keys.shard(i).get_likely(names, hash, key, likely)?;
                stored.push(found.map(Found::located));
            }
        }
        drop(fetched);
        keys.stored = stored;
        Ok(keys)
    }

    /// As [`new`](Self::new), for keys that were looked up before: where the index has each.
    #[inline]
    pub(super) fn with(
        keyspace: &'a Keyspace,
        (numbers, shards): LockedShards<'a>,
        list: Each<LockedKey<'a>>,
        stored: Each<Option<Located>>,
        access: Access,
    ) -> Self {
        Self {
            keyspace,
            numbers,
            shards,
            stored,
            touched: list.iter().map(|_| Cell::new(false)).collect(),
            list,
            access,
            dirty: Dirty::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Where the index had key `i` before the call's writes, expired or not.
    pub(super) fn stored(&self, i: usize) -> Option<Located> {
        self.stored[i]
    }

    /// The entry of key `i`, expired or not. Only before the call's writes.
    pub(super) fn found(&self, i: usize) -> Option<Found<'_>> {
        let LockedKey {
            key,
            hash,
            generation,
            ..
        } = self[i];
        found_again(self.shard(i), generation, hash, key, self.stored[i])
    }

    pub(super) fn live(&self, i: usize) -> Option<Found<'_>> {
        self.keyspace.expiry().live(self.found(i), self.access.now)
    }

    /// The shard of key `i`.
    #[inline]
    pub(super) fn shard(&self, i: usize) -> &Shard {
        &self.shards[self.position(shard_of(self[i].hash))]
    }

    /// The shard of key `i`.
    #[inline]
    pub(super) fn shard_mut(&mut self, i: usize) -> &mut Shard {
        let position = self.position(shard_of(self[i].hash));
        &mut self.shards[position]
    }

    /// The position of the shard with this number among the locked ones.
    #[inline]
    fn position(&self, number: usize) -> usize {
        if self.numbers.len() == 1 {
            return 0;
        }
        self.numbers.partition_point(|&other| other < number)
    }

    /// The store's key of key `i`.
    pub(super) fn record(&self, i: usize) -> RecordKey<'a> {
        let LockedKey {
            key,
            hash,
            generation,
            ..
        } = self[i];
        self.keyspace.hashing.record(hash, generation, key)
    }

    pub(super) fn info(&self, i: usize) -> Option<KeyInfo> {
        let clock = self.keyspace.eviction.clock();
        Some(self.live(i)?.info(self.access.now, clock))
    }

    pub(super) fn read<R>(
        &self,
        i: usize,
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let (found, access) = self.look_at(i);
        let LockedKey {
            hash, generation, ..
        } = self[i];
        let reading = self.keyspace.reading();
        reading.value(hash, generation, found, access, f)
    }

    pub(super) fn read_string<R>(
        &self,
        i: usize,
        f: impl FnOnce(StringView<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let (found, access) = self.look_at(i);
        let LockedKey {
            hash, generation, ..
        } = self[i];
        let reading = self.keyspace.reading();
        reading.string(hash, generation, found, access, f)
    }

    /// The live entry of key `i`, and the access of a look at its value. A key that is not there is not touched.
    fn look_at(&self, i: usize) -> (Option<Found<'_>>, Access) {
        match self.live(i) {
            None => (None, self.access),
            found => (found, self.next_access(i)),
        }
    }

    /// The access for the next look at key `i`. A call touches each key once, however often it looks at the key.
    #[inline]
    pub(super) fn next_access(&self, i: usize) -> Access {
        next_access(self.access, &self.touched[i])
    }

    /// Adds the call's changes of data to the first shard's count.
    pub(super) fn add_dirty(&mut self) {
        if let Some(shard) = self.shards.first_mut() {
            shard.dirty += self.dirty.count();
        }
    }
}

/// The entry of a locked key that was looked up before.
#[inline]
pub(super) fn found_again<'a>(
    shard: &'a Shard,
    generation: u32,
    hash: u64,
    key: &'a [u8],
    stored: Option<Located>,
) -> Option<Found<'a>> {
    let stored = stored?;
    Some(Found {
        entry: shard.at(generation, (hash, key), stored)?,
        key,
        location: stored.location,
        expires_at: stored.expires_at,
        seat: stored.seat,
    })
}

/// The access for the next look at a key. A call touches each key once, however often it looks at the key.
#[inline]
pub(super) fn next_access(access: Access, touched: &Cell<bool>) -> Access {
    Access {
        touch: access.touch && !touched.replace(true),
        ..access
    }
}

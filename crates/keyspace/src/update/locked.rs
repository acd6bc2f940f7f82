//! Locked keys, and what the index knows about them before a call's writes.

use std::cell::Cell;
use std::ops::Index;

use lock_order::WriteGuard;
use smallvec::SmallVec;

use crate::dirty::Dirty;
use crate::hashing::shard_of;
use crate::index::Entry;
use crate::shard::Shard;
use crate::{Access, KeyInfo, Keyspace, KeyspaceError, StringView, Value};
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
    /// Creates it for keys whose `shards` are locked; the numbers of the shards are in ascending order.
    #[inline]
    pub(super) fn new(
        keyspace: &'a Keyspace,
        (numbers, shards): LockedShards<'a>,
        list: Each<LockedKey<'a>>,
        access: Access,
    ) -> Self {
        Self {
            keyspace,
            numbers,
            shards,
            touched: list.iter().map(|_| Cell::new(false)).collect(),
            list,
            access,
            dirty: Dirty::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The entry of key `i`, expired or not.
    pub(super) fn entry(&self, i: usize) -> Option<&Entry> {
        let LockedKey {
            key,
            hash,
            generation,
            ..
        } = self[i];
        self.shard(i).get(generation, hash, key)
    }

    pub(super) fn live_entry(&self, i: usize) -> Option<&Entry> {
        self.keyspace.expiry().live(self.entry(i), self.access.now)
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
        let entry = self.live_entry(i)?;
        Some(entry.info(self.access.now, clock))
    }

    pub(super) fn read<R>(
        &self,
        i: usize,
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let (entry, access) = self.look_at(i);
        let LockedKey {
            hash, generation, ..
        } = self[i];
        let reading = self.keyspace.reading();
        reading.value(hash, generation, entry, access, f)
    }

    pub(super) fn read_string<R>(
        &self,
        i: usize,
        f: impl FnOnce(StringView<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let (entry, access) = self.look_at(i);
        let LockedKey {
            hash, generation, ..
        } = self[i];
        let reading = self.keyspace.reading();
        reading.string(hash, generation, entry, access, f)
    }

    /// The live entry of key `i`, and the access of a look at its value. A key that is not there is not touched.
    fn look_at(&self, i: usize) -> (Option<&Entry>, Access) {
        match self.live_entry(i) {
            None => (None, self.access),
            entry => (entry, self.next_access(i)),
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

/// The access for the next look at a key. A call touches each key once, however often it looks at the key.
#[inline]
pub(super) fn next_access(access: Access, touched: &Cell<bool>) -> Access {
    Access {
        touch: access.touch && !touched.replace(true),
        ..access
    }
}

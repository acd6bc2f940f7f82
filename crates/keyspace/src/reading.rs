//! Reads keys, one or several at a time.

mod strings;

use lock_order::RwLock;

pub use strings::StringView;

use super::clock::Clock;
use super::hashing::shard_of;
use super::index::Found;
use super::locking::Several;
use super::{Access, Ahead, KeyInfo, Keyspace, KeyspaceError, Millis, PREFETCHED, Use, Value};

impl Found<'_> {
    pub(super) fn info(self, now: Millis, clock: Clock) -> KeyInfo {
        let (idle_s, frequency) = match clock {
            Clock::Recency => (Some(self.entry.idle_s(now)), None),
            Clock::Frequency(lfu) => (None, Some(lfu.count(self.entry.accessed(), now))),
        };
        KeyInfo {
            kind: self.kind(),
            expires_at: self.expires_at,
            idle_s,
            frequency,
        }
    }
}

impl Keyspace {
    /// What the index knows about a key; `None` if the key is absent or past its deadline.
    pub fn info(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
    ) -> Result<Option<KeyInfo>, KeyspaceError> {
        self.expiry().on_access(db, key, access.now)?;
        let hash = self.hashing.hash(key);
        let shard = self.locking().read_shard(shard_of(hash))?;
        let found = shard.get(self.names(self.generations.of(db)), hash, key)?;
        Ok(self.expiry().live(found, access.now).map(|found| {
            let clock = self.eviction.clock();
            let info = found.info(access.now, clock);
            if access.touch {
                found.entry.touch(access.now, clock);
            }
            info
        }))
    }

    /// Makes a key count as used so, where the policy keeps such uses. Does nothing if the key is absent.
    pub fn set_use(
        &self,
        db: usize,
        key: &[u8],
        used: Use,
        access: Access,
    ) -> Result<(), KeyspaceError> {
        let Some(bits) = self.eviction.clock().bits_of(used, access.clock()) else {
            return Ok(());
        };
        let hash = self.hashing.hash(key);
        let shard = self.locking().read_shard(shard_of(hash))?;
        let found = shard.get(self.names(self.generations.of(db)), hash, key)?;
        if let Some(found) = self.expiry().live(found, access.now) {
            found.entry.set_accessed(bits);
        }
        Ok(())
    }

    /// Runs `f` on the live value of a key, without a copy; returns `None` if the key is absent or past its deadline.
    ///
    /// The key is locked while `f` runs, so `f` must not call the keyspace.
    pub fn read<R>(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        self.expiry().on_access(db, key, access.now)?;
        let hash = self.hashing.hash(key);
        let shard = self.locking().read_shard(shard_of(hash))?;
        let generation = self.generations.of(db);
        let found = shard.get(self.names(generation), hash, key)?;
        let found = self.expiry().live(found, access.now);
        self.reading().value(hash, generation, found, access, f)
    }

    /// Reads several keys at one moment; they may repeat and lie in different databases. `each` gets the live value of
    /// one key after the other, in the call's order, or `None`. It must not call the keyspace.
    pub fn read_many(
        &self,
        keys: &[(usize, &[u8])],
        access: Access,
        mut each: impl FnMut(Option<Value<'_>>),
    ) -> Result<(), KeyspaceError> {
        self.reading().prefetch_all(keys, true);
        self.expiry().on_access_to_all(keys, access.now)?;
        let hashes = self.locking().hashes(keys);
        let (numbers, shards) =
            self.locking()
                .lock_shards(keys, &hashes, RwLock::read, |shard| &**shard)?;
        for (&(db, key), &hash) in keys.iter().zip(&hashes) {
            let shard = &shards[numbers.partition_point(|&number| number < shard_of(hash))];
            let generation = self.generations.of(db);
            let found = shard.get(self.names(generation), hash, key)?;
            let found = self.expiry().live(found, access.now);
            let read = self
                .reading()
                .value(hash, generation, found, access, |value| {
                    each(Some(value));
                })?;
            if read.is_none() {
                each(None);
            }
        }
        Ok(())
    }
}

/// Reads values of locked keys; see [`Keyspace::reading`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl Reading<'_> {
    pub(super) fn prefetch_all(self, keys: &[(usize, &[u8])], value: bool) {
        if keys.len() <= 1 {
            return;
        }
        // With more keys than this, the first ones would leave the cache before they are read.
        let few = &keys[..keys.len().min(16 * PREFETCHED)];
        for keys in few.chunks(PREFETCHED) {
            let keys: Several<Ahead<'_>> = keys
                .iter()
                .map(|&(db, key)| Ahead { db, key, value })
                .collect();
            self.keyspace.prefetch(&keys);
        }
    }

    pub(super) fn value<R>(
        self,
        hash: u64,
        generation: u32,
        found: Option<Found<'_>>,
        access: Access,
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let Some(found) = found else {
            return Ok(None);
        };
        if access.touch {
            found
                .entry
                .touch(access.now, self.keyspace.eviction.clock());
        }
        let mut f = Some(f);
        let mut result = None;
        let record = self.keyspace.hashing.record(hash, generation, found.key);
        self.keyspace
            .store
            .read(record, found.location, &mut |value| {
                result = f.take().map(|f| f(value));
            })?;
        Ok(result)
    }
}

/// The largest number stands for "no deadline", so a deadline that large becomes one millisecond earlier.
pub(super) fn storable(expires_at: Option<Millis>) -> Option<Millis> {
    expires_at.map(|deadline| deadline.min(Millis::MAX - 1))
}

//! Reads keys, one or several at a time.

mod strings;

use lock_order::RwLock;

pub use strings::StringView;

use super::clock::Clock;
use super::hashing::shard_of;
use super::index::{Found, Likely};
use super::locking::Locks;
use super::prefetch::Fetched;
use super::shard::Shard;
use super::{Access, KeyInfo, Keyspace, KeyspaceError, Kind, Millis, PREFETCHED, Use, Value};

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
        let hash = self.hashing.hash_of_key(key);
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
        let hash = self.hashing.hash_of_key(key);
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
        let hash = self.hashing.hash_of_key(key);
        let shard = self.locking().read_shard(shard_of(hash))?;
        let generation = self.generations.of(db);
        let sought = Sought {
            hash,
            key,
            generation,
            likely: None,
        };
        self.reading().one(&shard, sought, access, f)
    }

    /// Reads several keys at one moment; they may repeat and lie in different databases. `each` gets the live value of
    /// one key after the other, in the call's order, or `None`. It must not call the keyspace.
    pub fn read_many(
        &self,
        keys: &[(usize, &[u8])],
        access: Access,
        mut each: impl FnMut(Option<Value<'_>>),
    ) -> Result<(), KeyspaceError> {
        self.expiry().on_access_to_all(keys, access.now)?;
        let hashes = self.locking().hashes(keys);
        let mut locks = Locks::default();
        self.locking()
            .lock_shards(keys, &hashes, &mut locks, RwLock::read, |shard| &**shard)?;
        let Locks { shards, places, .. } = &locks;
        let mut fetched = Fetched::new();
        // With more keys at once, the first ones would leave the cache before they are read.
        for first in (0..keys.len()).step_by(PREFETCHED) {
            let some = first..(first + PREFETCHED).min(keys.len());
            fetched.clear();
            for i in some.clone() {
                let generation = self.generations.of(keys[i].0);
                fetched.add(&shards[places[i]], generation, hashes[i], true);
            }
            fetched.fetch(self);
            for i in some {
                let ((db, key), hash) = (keys[i], hashes[i]);
                let generation = self.generations.of(db);
                let sought = Sought {
                    hash,
                    key,
                    generation,
                    likely: fetched.likely(i - first),
                };
                let read = self.reading();
                let read = read.one(&shards[places[i]], sought, access, |value| {
                    each(Some(value));
                })?;
                if read.is_none() {
                    each(None);
                }
            }
        }
        Ok(())
    }
}

/// A key that a call reads.
#[derive(Clone, Copy)]
struct Sought<'a> {
    hash: u64,
    key: &'a [u8],
    generation: u32,
    /// Where it most likely is, if it was fetched before.
    likely: Option<Likely<'a>>,
}

/// The result of a look at one record.
enum AtOnce<R> {
    /// The string was read.
    Read(R),
    /// The key is absent or past its deadline.
    Absent,
    /// One look does not do: the store finds records by their names, the value is no string or long, or the entry whose
    /// hash fits is another key's.
    NotSo,
}

/// Reads values of locked keys; see [`Keyspace::reading`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl Reading<'_> {
    /// Runs `f` on the live value of a key of a locked shard; returns `None` if there is none.
    #[inline]
    fn one<R>(
        self,
        shard: &Shard,
        sought: Sought<'_>,
        access: Access,
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let mut f = Some(f);
        let read = |value: Value<'_>| f.take().map(|f| f(value));
        match self.at_once(shard, sought, access, false, read)? {
            AtOnce::Read(result) => return Ok(result),
            AtOnce::Absent => return Ok(None),
            AtOnce::NotSo => {}
        }
        let Some(f) = f else {
            return Ok(None);
        };
        let Sought {
            hash,
            key,
            generation,
            ..
        } = sought;
        let found = shard.get(self.keyspace.names(generation), hash, key)?;
        let found = self.keyspace.expiry().live(found, access.now);
        self.value(hash, generation, found, access, f)
    }

    /// Finds a key's value, or only its string, and reads it with one look at the record. Calls `f` at most once, and not where
    /// one look does not do.
    #[inline]
    fn at_once<R>(
        self,
        shard: &Shard,
        sought: Sought<'_>,
        access: Access,
        only_string: bool,
        mut f: impl FnMut(Value<'_>) -> R,
    ) -> Result<AtOnce<R>, KeyspaceError> {
        let Sought {
            hash,
            key,
            generation,
            likely,
        } = sought;
        let Keyspace { hashing, store, .. } = self.keyspace;
        if self.keyspace.partitioned {
            return Ok(AtOnce::NotSo);
        }
        let index = shard.table(generation).map(|table| &table.index);
        let Some((entry, location)) = index.and_then(|index| index.guess(hash, likely)) else {
            return Ok(AtOnce::Absent);
        };
        if (only_string && entry.kind() != Kind::String) || store.is_large(location) {
            return Ok(AtOnce::NotSo);
        }
        let record = hashing.record(hash, generation, key);
        let mut result = None;
        let mut deadline = None;
        let same = store.read_named(record, location, &mut |value| {
            deadline = value.expires_at;
            if deadline.is_none_or(|deadline| deadline > access.now) {
                result = Some(f(value));
            }
        })?;
        if !same {
            return Ok(AtOnce::NotSo);
        }
        if self.keyspace.expiry().has_passed(deadline, access.now) {
            return Ok(AtOnce::Absent);
        }
        if access.touch {
            entry.touch(access.now, self.keyspace.eviction.clock());
        }
        Ok(result.map_or(AtOnce::Absent, AtOnce::Read))
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

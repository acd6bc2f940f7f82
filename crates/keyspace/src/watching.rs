//! Keys that transactions watch: a change of a key notifies its watchers.
//!
//! The watchers of a key are in its shard, because a thread that changes the key holds the shard's lock anyway.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::hashing::shard_of;
use super::index::IndexKey;
use super::shard::Shard;
use super::{Keyspace, KeyspaceError, Millis};

/// The keys that a client watches until its transaction. Dropping this ends the watch.
#[derive(Debug, Default)]
pub struct Watches {
    keys: HashSet<(usize, IndexKey)>,
    /// Bytes of their names.
    name_bytes: usize,
    changed: Arc<AtomicBool>,
}

/// One client's interest in one key.
#[derive(Debug)]
struct Watcher {
    changed: Arc<AtomicBool>,
    /// The key was past its deadline already when the watch began, so its removal is no change.
    was_expired: bool,
}

/// The watchers of a shard's keys.
#[derive(Debug, Default)]
pub(super) struct Watchers(HashMap<(usize, IndexKey), Vec<Watcher>>);

impl Watches {
    /// Whether no key is watched.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys are watched.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// About how much memory they take, bytes.
    pub fn memory_bytes(&self) -> usize {
        // The name stands here and in the shard.
        2 * (self.name_bytes + self.len() * size_of::<(usize, IndexKey)>())
            + self.len() * size_of::<Watcher>()
    }
}

impl Watchers {
    /// Notifies the watchers after a key was written or, if `exists` is not set, removed.
    #[cold]
    pub fn changed(&mut self, db: usize, key: &[u8], exists: bool) {
        let Some(watchers) = self.0.get_mut(&(db, IndexKey::from_slice(key))) else {
            return;
        };
        for watcher in watchers {
            if watcher.was_expired && !exists {
                watcher.was_expired = false;
            } else {
                watcher.changed.store(true, Ordering::Release);
            }
        }
    }
}

/// Keys that transactions watch; see [`Keyspace::watching`].
#[derive(Clone, Copy, Debug)]
pub struct Watching<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl Watching<'_> {
    /// Adds a key to the client's watched keys.
    pub fn watch(
        self,
        watches: &mut Watches,
        db: usize,
        key: &[u8],
        now: Millis,
    ) -> Result<(), KeyspaceError> {
        let name = (db, IndexKey::from_slice(key));
        if watches.keys.contains(&name) {
            return Ok(());
        }
        let hash = self.keyspace.hashing.hash(key);
        let mut shard = self.keyspace.locking().write_shard(shard_of(hash))?;
        let names = self.keyspace.names(self.keyspace.generations.of(db));
        let found = shard.get(names, hash, key)?;
        let was_expired = found.is_some_and(|found| found.is_expired(now));
        let all = shard.watchers.get_or_insert_default();
        all.0.entry(name.clone()).or_default().push(Watcher {
            changed: Arc::clone(&watches.changed),
            was_expired,
        });
        watches.name_bytes += key.len();
        watches.keys.insert(name);
        Ok(())
    }

    /// Ends all `watches`.
    pub fn unwatch(self, watches: &mut Watches) {
        for name in watches.keys.drain() {
            let mut shard =
                self.keyspace.shards[shard_of(self.keyspace.hashing.hash(&name.1))].write();
            let Some(all) = &mut shard.watchers else {
                continue;
            };
            if let Some(watchers) = all.0.get_mut(&name) {
                watchers.retain(|watcher| !Arc::ptr_eq(&watcher.changed, &watches.changed));
                if watchers.is_empty() {
                    all.0.remove(&name);
                }
            }
            if all.0.is_empty() {
                shard.watchers = None;
            }
        }
        watches.name_bytes = 0;
        watches.changed = Arc::default();
    }

    /// Whether a watched key was changed, or passed its deadline after the watch began.
    pub fn have_changed(self, watches: &Watches, now: Millis) -> Result<bool, KeyspaceError> {
        if watches.changed.load(Ordering::Acquire) {
            return Ok(true);
        }
        for name in &watches.keys {
            let (db, key) = name;
            let hash = self.keyspace.hashing.hash(key);
            let shard = self.keyspace.locking().read_shard(shard_of(hash))?;
            let names = self.keyspace.names(self.keyspace.generations.of(*db));
            let deadline = shard
                .get(names, hash, key)?
                .and_then(|found| found.expires_at);
            if self.keyspace.expiry().has_passed(deadline, now)
                && let Some(watchers) = shard.watchers.as_ref().and_then(|all| all.0.get(name))
                && watchers.iter().any(|watcher| {
                    !watcher.was_expired && Arc::ptr_eq(&watcher.changed, &watches.changed)
                })
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notifies watchers before all keys of a database change: they disappear, or with `other` that database's keys
    /// replace them.
    pub(super) fn database_changes(self, shard: &Shard, db: usize, other: Option<usize>) {
        let Some(all) = &shard.watchers else {
            return;
        };
        for ((_, key), watchers) in all.0.iter().filter(|((watched, _), _)| *watched == db) {
            let hash = self.keyspace.hashing.hash(key);
            let held = |db: usize| {
                let names = self.keyspace.names(self.keyspace.generations.of(db));
                // A key whose record cannot be read counts as changed: the transaction then fails.
                let found = shard.get(names, hash, key);
                found.map_or(true, |found| found.is_some())
            };
            for watcher in watchers {
                let is_there = match (held(db), other.is_some_and(held)) {
                    (false, false) => false,
                    // The key was gone before and is gone now.
                    (true, false) => !watcher.was_expired,
                    (_, true) => true,
                };
                if is_there {
                    watcher.changed.store(true, Ordering::Release);
                }
            }
        }
    }
}

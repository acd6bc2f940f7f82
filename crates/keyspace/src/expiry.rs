//! Keys past their deadline: the background removes them, and so does a command that meets one.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::hashing::shard_of;
use super::index::Found;
use super::shard::Shard;
use super::telling::Before;
use super::{Access, Keyspace, KeyspaceError, Millis, StoreStats};
use store::Gone;

/// Expired keys removed under one shard lock. At 5 us each, other threads wait no longer than 100 us.
const EXPIRED_PER_LOCK: usize = 20;

/// What expiry counts, and whether it may work.
#[derive(Debug)]
pub(super) struct State {
    /// Whether a key that was seen past its deadline must be removed at once: the store has no note of
    /// [what was seen](store::Store::saw_expired).
    removes_seen: bool,
    expired_keys: AtomicU64,
    expired_fields: AtomicU64,
    /// Time that the rounds of removing expired keys took, microseconds.
    cycle_micros: AtomicU64,
    /// Whether the background removes expired keys.
    active: AtomicBool,
    /// Expired keys are left until then, ms since the Unix epoch.
    held_until: AtomicI64,
    /// A master removes expired keys, and this server follows it.
    follows: AtomicBool,
    /// The highest time at which somebody may have seen that a key or field is gone that is still there, ms since the Unix
    /// epoch.
    seen_at: AtomicI64,
    /// Held by the batch that removes what was seen gone. Batches that begin meanwhile wait for it, before they hold anything: a
    /// deadline that one of them sets by the clock of now may lie before `seen_at`, and is no deadline that was seen to pass.
    removing_seen: Mutex<()>,
}

impl State {
    /// See the fields.
    pub(super) fn new(removes_seen: bool) -> Self {
        Self {
            removes_seen,
            expired_keys: AtomicU64::new(0),
            expired_fields: AtomicU64::new(0),
            cycle_micros: AtomicU64::new(0),
            active: AtomicBool::new(true),
            held_until: AtomicI64::new(0),
            follows: AtomicBool::new(false),
            seen_at: AtomicI64::new(Millis::MIN),
            removing_seen: Mutex::new(()),
        }
    }
}

/// Removes keys past their deadline; see [`Keyspace::expiry`].
#[derive(Clone, Copy, Debug)]
pub struct Expiry<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl<'k> Expiry<'k> {
    fn state(self) -> &'k State {
        &self.keyspace.expiry
    }

    /// Writes the figures of INFO.
    pub(super) fn fill_stats(self, stats: &mut StoreStats) {
        stats.expired_keys = self.state().expired_keys.load(Ordering::Relaxed);
        stats.expired_fields = self.state().expired_fields.load(Ordering::Relaxed);
        stats.expire_cycle_micros = self.state().cycle_micros.load(Ordering::Relaxed);
    }

    pub(super) fn reset_stats(self) {
        self.state().expired_keys.store(0, Ordering::Relaxed);
        self.state().expired_fields.store(0, Ordering::Relaxed);
        self.state().cycle_micros.store(0, Ordering::Relaxed);
    }

    /// One round of the background: removes the keys past their deadline, unless that is switched off or held.
    pub(super) fn run_cycle(self, now: Millis) {
        if !self.state().active.load(Ordering::Relaxed) || self.leaves_expired(now) {
            return;
        }
        let started = Instant::now();
        let latency = &self.keyspace.latency;
        let removed = latency.timed("expire-cycle", || self.remove_keys_and_fields(now));
        match removed {
            Err(error) => tracing::warn!(%error, "expired keys could not be removed"),
            Ok(_) if self.keyspace.loading().is_done() => self.keyspace.events.tell_expired(now),
            Ok(_) => {}
        }
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.state()
            .cycle_micros
            .fetch_add(micros, Ordering::Relaxed);
    }

    /// Leaves keys past their deadline in the index until then, ms since the Unix epoch (CLIENT PAUSE).
    pub fn hold(self, until: Millis) {
        self.state().held_until.store(until, Ordering::Relaxed);
    }

    /// Whether a master removes the expired keys. Clients find them missing at once, but they stay until it says so.
    pub fn follow(self, follows: bool) {
        self.state().follows.store(follows, Ordering::Relaxed);
    }

    /// Whether expired keys stay for now.
    fn leaves_expired(self, now: Millis) -> bool {
        self.is_held(now) || self.state().follows.load(Ordering::Relaxed)
    }

    /// Whether nothing is to be removed that no client asks to remove.
    pub fn is_held(self, now: Millis) -> bool {
        self.state().held_until.load(Ordering::Relaxed) > now
    }

    /// Switches the background removal of expired keys on or off (DEBUG SET-ACTIVE-EXPIRE).
    pub fn set_active(self, on: bool) {
        self.state().active.store(on, Ordering::Relaxed);
    }

    /// The entry, unless it is past its deadline: then a client may see that it is gone.
    #[inline]
    pub(super) fn live(self, found: Option<Found<'_>>, now: Millis) -> Option<Found<'_>> {
        found.filter(|found| !self.has_passed(found.expires_at, now))
    }

    /// Whether a client may see that a key is past its deadline: then it stays gone, unless a master decides that.
    #[inline]
    pub(super) fn has_passed(self, deadline: Option<Millis>, now: Millis) -> bool {
        let passed = deadline.is_some_and(|deadline| deadline <= now);
        if passed && !self.state().follows.load(Ordering::Relaxed) {
            self.saw(now);
        }
        passed
    }

    /// Somebody may see that what is due at `now` is gone, so it stays gone.
    pub(super) fn saw(self, now: Millis) {
        self.keyspace.store.saw_expired(now);
        self.state().seen_at.fetch_max(now, Ordering::Relaxed);
    }

    /// A batch of commands begins, whose thread holds nothing. Where the clock has gone back, what an earlier command found past its
    /// deadline is removed first, or this batch would find it again.
    #[inline]
    pub fn begin_at(self, now: Millis) {
        if now < self.state().seen_at.load(Ordering::Relaxed) {
            self.remove_seen(now);
        }
    }

    #[cold]
    fn remove_seen(self, now: Millis) {
        let state = self.state();
        let _removing = state.removing_seen.lock();
        let seen_at = state.seen_at.load(Ordering::Relaxed);
        // Another batch may have done it meanwhile.
        if now >= seen_at || self.leaves_expired(now) {
            return;
        }
        if let Err(error) = self.remove_keys_and_fields(seen_at) {
            tracing::warn!(%error, "expired keys could not be removed");
            return;
        }
        // Who sees more of them meanwhile leaves it to the next batch.
        let (from, to) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = state
            .seen_at
            .compare_exchange(seen_at, Millis::MIN, from, to);
    }

    /// Removes keys and fields past their deadlines.
    fn remove_keys_and_fields(self, now: Millis) -> Result<usize, KeyspaceError> {
        let keys = self.remove_all_due(now)?;
        Ok(keys + self.keyspace.collections().remove_due_fields(now)?)
    }

    /// Removes keys past their deadline, in every shard that has been read.
    pub(super) fn remove_all_due(self, now: Millis) -> Result<usize, KeyspaceError> {
        let mut removed = 0;
        for number in 0..self.keyspace.shards.len() {
            loop {
                let due = {
                    let shard = self.keyspace.shards[number].read();
                    let mut tables = shard.tables.iter();
                    shard.indexed && tables.any(|table| table.index.may_have_expired(now))
                };
                if !due {
                    break;
                }
                let (here, are_all) = self.remove_due_in_shard(number, now)?;
                removed += here;
                if are_all {
                    break;
                }
                std::thread::yield_now();
            }
        }
        Ok(removed)
    }

    /// Removes some keys of a shard past their deadline; returns how many, and whether these were all.
    fn remove_due_in_shard(
        self,
        number: usize,
        now: Millis,
    ) -> Result<(usize, bool), KeyspaceError> {
        let _inside = self.keyspace.gate.enter_background();
        let mut shard = self.keyspace.shards[number].write();
        let mut due = Vec::new();
        let mut are_all = true;
        for table in &mut shard.tables {
            let names = self.keyspace.names(table.generation);
            let limit = EXPIRED_PER_LOCK - due.len();
            let (keys, all_here) = table.index.expired(now, limit, &names)?;
            are_all &= all_here;
            due.extend(keys.into_iter().map(|key| (table.generation, key)));
        }
        for (generation, key) in &due {
            self.remove_due(&mut shard, *generation, key, now)?;
        }
        Ok((due.len(), are_all))
    }

    /// Removes a key past its deadline, and emits its event.
    fn remove_due(
        self,
        shard: &mut Shard,
        generation: u32,
        key: &[u8],
        now: Millis,
    ) -> Result<(), KeyspaceError> {
        let hash = self.keyspace.hashing.hash(key);
        let Some(found) = shard.get(self.keyspace.names(generation), hash, key)? else {
            return Ok(());
        };
        let collection = self.keyspace.collections().id_of(hash, generation, found)?;
        let located = found.located();
        let record = self.keyspace.hashing.record(hash, generation, key);
        if let Some(db) = self.keyspace.generations.database_of(generation) {
            self.keyspace.events.tell_intent(Some((db, key)));
        }
        self.keyspace.store.saw_expired(now);
        self.keyspace
            .store
            .forget(record, located.location, Gone::Expired)?;
        if let Some(table) = shard.table_mut(generation) {
            table.forget(hash, key, located, &self.keyspace.names(generation));
        }
        if let Some(id) = collection {
            self.keyspace.collections().remove(id);
        }
        match self.keyspace.generations.database_of(generation) {
            Some(db) => {
                let access = Access::by_server(now);
                self.keyspace
                    .telling()
                    .wrote(shard, db, key, access, Before::Expired, false);
            }
            None => self.count(1),
        }
        Ok(())
    }

    /// Whether a key that a client meets past its deadline is removed at once.
    pub(super) fn removes_on_access(self) -> bool {
        self.state().removes_seen || self.keyspace.events.is_observed()
    }

    /// Removes an expired key on access if a client is notified of expiry, because Redis removes it at any access, and where
    /// the store keeps nothing else by which the key stays gone, should the clock go back.
    /// Otherwise, and inside a transaction, the key waits for [`remove_all_due`](Self::remove_all_due).
    #[inline]
    pub(super) fn on_access(self, db: usize, key: &[u8], now: Millis) -> Result<(), KeyspaceError> {
        if self.removes_on_access() {
            self.remove_on_access(db, key, now)
        } else {
            Ok(())
        }
    }

    #[cold]
    fn remove_on_access(self, db: usize, key: &[u8], now: Millis) -> Result<(), KeyspaceError> {
        let hash = self.keyspace.hashing.hash(key);
        let is_due = |shard: &Shard| {
            let generation = self.keyspace.generations.of(db);
            let table = shard.table(generation);
            if table.is_none_or(|table| !table.index.may_have_expired(now)) {
                return Ok(false);
            }
            let found = shard.get(self.keyspace.names(generation), hash, key)?;
            Ok::<_, KeyspaceError>(found.is_some_and(|found| found.is_expired(now)))
        };
        // A crash may still undo the transaction.
        let stays = self.keyspace.transaction.is_running() || self.leaves_expired(now);
        if stays || !is_due(&*self.keyspace.locking().read_shard(shard_of(hash))?)? {
            return Ok(());
        }
        let (mut shard, locked) =
            self.keyspace
                .locking()
                .lock_key(db, key, Access::by_server(now))?;
        if is_due(&shard)? {
            self.remove_due(&mut shard, locked.generation, key, now)?;
        }
        Ok(())
    }

    /// Counts keys that were removed because they were past their deadline.
    pub(super) fn count(self, keys: u64) {
        if keys > 0 {
            self.state().expired_keys.fetch_add(keys, Ordering::Relaxed);
        }
    }

    /// Counts fields of hashes that were removed because they were past their deadline.
    pub(super) fn count_fields(self, fields: u64) {
        let expired = &self.state().expired_fields;
        expired.fetch_add(fields, Ordering::Relaxed);
    }

    /// As [`on_access`](Self::on_access), for several keys.
    pub(super) fn on_access_to_all(
        self,
        keys: &[(usize, &[u8])],
        now: Millis,
    ) -> Result<(), KeyspaceError> {
        keys.iter()
            .try_for_each(|&(db, key)| self.on_access(db, key, now))
    }
}

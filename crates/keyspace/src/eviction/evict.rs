//! Draws candidates at random and evicts the best of them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::clock::{random_below, unlikely_recent};
use super::super::index::{Entry, Index};
use super::super::shard::Shard;
use super::super::telling::Before;
use super::super::{Access, EventClass, Keyspace, KeyspaceError, Millis, SHARDS};
use super::candidates::{CANDIDATES_MAX, Candidate, Candidates};
use super::{EvictionStats, Order, Rule};
use config::Settings;
use store::{Gone, Location, RecordKey, Write};

/// The event's name in LATENCY.
const CYCLE: &str = "eviction-cycle";

/// Shards that eviction tries for one candidate before it tries them all.
const SHARDS_TRIED: usize = 8;

/// Rounds of sampling for one key, if other threads removed or locked the candidates.
const ROUNDS_MAX: usize = 8;

/// Keys that eviction removes between two looks at the clock.
const KEYS_PER_LOOK: usize = 16;

/// Keys that eviction removes before it measures the index again, which shrinks with them.
const KEYS_PER_REFRESH: usize = 256;

/// Elements of removed collections that eviction removes before it evicts a key.
const GARBAGE_PER_EVICTION: usize = 64;

/// The outcome for a candidate.
enum Fate {
    /// Eviction removed it now.
    Removed,
    /// It was gone already, or a client has used it since.
    Stale,
    /// Another thread holds its shard's lock.
    Locked,
}

impl Entry<'_> {
    /// The eviction score: the entry with the highest score goes first. `deadline` reads the deadline, where the order is one
    /// of deadlines.
    fn score<E>(
        self,
        rule: Rule,
        now: Millis,
        deadline: impl FnOnce() -> Result<Option<Millis>, E>,
    ) -> Result<u64, E> {
        Ok(match rule.order {
            Order::Recency if unlikely_recent(self.accessed(), now) => u64::MAX,
            Order::Recency => self.idle_s(now),
            Order::Frequency(lfu) => u64::from(u8::MAX - lfu.count(self.accessed(), now)),
            Order::Deadline => {
                deadline()?.map_or(0, |at| u64::MAX - u64::try_from(at).unwrap_or(0))
            }
            Order::Random => 0,
        })
    }
}

/// Evicts keys; see [`Keyspace::eviction`].
#[derive(Clone, Copy, Debug)]
pub struct Eviction<'k> {
    pub(in super::super) keyspace: &'k Keyspace,
}

impl Eviction<'_> {
    /// Applies the settings of `maxmemory`, its policies and the LFU counters.
    pub fn configure(self, settings: &Settings) {
        self.keyspace.eviction.configure(settings);
        self.refresh_threshold();
    }

    /// Whether a master evicts, so that this server does not.
    pub fn follow(self, follows: bool) {
        let state = &self.keyspace.eviction;
        state.follows.store(follows, Ordering::Relaxed);
        self.refresh_threshold();
    }

    /// How many keys were evicted, and how long `maxmemory` was exceeded.
    pub fn stats(self, now: Millis) -> EvictionStats {
        self.keyspace.eviction.stats(now)
    }

    /// Whether keys may be evicted for `bytes` of new values. A write that can never fit must not evict everything.
    pub(in super::super) fn may_evict(self, bytes: u64, now: Millis) -> bool {
        bytes > 0
            && !self.keyspace.expiry().is_held(now)
            && self.keyspace.eviction.rule().is_some()
            && bytes < self.keyspace.store.evict_above()
            && bytes < self.keyspace.eviction.threshold()
    }

    /// Evicts a few keys; returns whether it evicted any. The caller holds no key.
    pub(in super::super) fn evict_some(self, now: Millis) -> Result<bool, KeyspaceError> {
        let Some(rule) = self.keyspace.eviction.rule() else {
            return Ok(false);
        };
        self.refresh_threshold();
        self.keyspace.latency().timed(CYCLE, || {
            for evicted in 0..KEYS_PER_LOOK {
                if !self.evict_one(rule, now, true)? {
                    return Ok(evicted > 0);
                }
            }
            Ok(true)
        })
    }

    /// Evicts until `bytes` fit, for a limited time.
    pub(in super::super) fn evict_for(self, bytes: u64, now: Millis) -> Result<(), KeyspaceError> {
        if self.keyspace.expiry().is_held(now) {
            // Nothing may change now, even if memory is short.
            return Ok(());
        }
        let Some(rule) = self.keyspace.eviction.rule() else {
            let exceeded = self.is_over(0);
            self.keyspace.eviction.note_exceeded(exceeded, now);
            return if exceeded {
                Err(KeyspaceError::OverMaxmemory)
            } else {
                Ok(())
            };
        };
        self.keyspace
            .latency()
            .timed(CYCLE, || self.evict_by(rule, bytes, now))
    }

    fn evict_by(self, rule: Rule, bytes: u64, now: Millis) -> Result<(), KeyspaceError> {
        let started = Instant::now();
        let time_max = self.keyspace.eviction.time_max();
        let mut evicted = 0;
        while self.is_over(bytes) {
            if !self.evict_one(rule, now, true)? {
                // The store's own limit only keeps compaction cheap. A write fails by itself if the store is really
                // full.
                let exceeded = self.exceeds_max();
                self.keyspace.eviction.note_exceeded(exceeded, now);
                return if exceeded {
                    Err(KeyspaceError::OverMaxmemory)
                } else {
                    Ok(())
                };
            }
            evicted += 1;
            if evicted % KEYS_PER_LOOK == 0 && started.elapsed() >= time_max {
                // The background thread continues.
                break;
            }
            if evicted % KEYS_PER_REFRESH == 0 {
                self.refresh_threshold();
            }
        }
        Ok(())
    }

    /// Evicts up to `keys` keys for a write that found no space. That write holds locks, so this waits for no shard.
    /// Returns whether it evicted any.
    pub(in super::super) fn evict_for_write(
        self,
        keys: usize,
        now: Millis,
    ) -> Result<bool, KeyspaceError> {
        let Some(rule) = self
            .keyspace
            .eviction
            .rule()
            .filter(|_| !self.keyspace.expiry().is_held(now))
        else {
            return Ok(false);
        };
        for evicted in 0..keys {
            if !self.evict_one(rule, now, false)? {
                return Ok(evicted > 0);
            }
        }
        Ok(true)
    }

    /// Evicts for about `time` if memory is over its limit. Returns whether there is more to do.
    pub(in super::super) fn evict_in_background(
        self,
        time: Duration,
        now: Millis,
    ) -> Result<bool, KeyspaceError> {
        if !self.keyspace.loading().is_done() || self.keyspace.expiry().is_held(now) {
            return Ok(false);
        }
        self.refresh_threshold();
        self.keyspace
            .eviction
            .note_exceeded(self.exceeds_max(), now);
        let Some(rule) = self.keyspace.eviction.rule().filter(|_| self.is_over(0)) else {
            return Ok(false);
        };
        let more = self
            .keyspace
            .latency()
            .timed(CYCLE, || self.evict_for_time(rule, time, now))?;
        // No client waits for this commit, but staged writes take memory.
        self.keyspace.store.commit()?;
        Ok(more)
    }

    fn evict_for_time(
        self,
        rule: Rule,
        time: Duration,
        now: Millis,
    ) -> Result<bool, KeyspaceError> {
        let started = Instant::now();
        let mut evicted = 0;
        loop {
            // A collection's bytes become free only when its elements are removed.
            if self.keyspace.garbage().remove(GARBAGE_PER_EVICTION) == 0 {
                if !self.evict_one(rule, now, true)? {
                    return Ok(false);
                }
                evicted += 1;
            }
            if evicted % KEYS_PER_REFRESH == 0 {
                self.refresh_threshold();
            }
            if !self.is_over(0) || started.elapsed() >= time {
                return Ok(self.is_over(0));
            }
        }
    }

    pub(in super::super) fn is_over(self, bytes: u64) -> bool {
        let threshold = self.keyspace.eviction.threshold();
        // The threshold does not show when the index alone exceeds `maxmemory`.
        self.keyspace.store.fill().bytes.saturating_add(bytes) > threshold || self.exceeds_max()
    }

    /// Whether `maxmemory` is set and exceeded.
    fn exceeds_max(self) -> bool {
        let max = self.keyspace.eviction.max_bytes();
        let dram = self.keyspace.eviction.dram_bytes.load(Ordering::Relaxed);
        max > 0 && self.keyspace.store.fill().bytes + dram > max
    }

    /// Measures the index and the views, and computes again how many bytes the store may hold.
    fn refresh_threshold(self) {
        let mut bytes = 0;
        let mut seen = 0;
        for shard in &self.keyspace.shards {
            // The caller may hold a shard's lock, so skip locked shards and count each as an average one.
            if let Some(shard) = shard.try_read() {
                let tables = shard.tables.iter();
                bytes += tables
                    .map(|table| table.index.memory_bytes() as u64)
                    .sum::<u64>();
                seen += 1;
            }
        }
        if seen == 0 {
            return;
        }
        let eviction = &self.keyspace.eviction;
        let dram = bytes * SHARDS as u64 / seen
            + self.keyspace.views.memory_bytes()
            + self.keyspace.registry.memory_bytes();
        eviction.dram_bytes.store(dram, Ordering::Relaxed);
        let by_max = match eviction.max_bytes() {
            0 => u64::MAX,
            max => max.saturating_sub(dram),
        };
        let by_store = match eviction.rule() {
            Some(_) => self.keyspace.store.evict_above(),
            None => u64::MAX,
        };
        eviction
            .threshold
            .store(by_max.min(by_store), Ordering::Relaxed);
    }

    /// Evicts one key; `false` if it found none that may go. If `may_wait` is set, it waits for shards' locks, so the
    /// caller must hold none.
    fn evict_one(self, rule: Rule, now: Millis, may_wait: bool) -> Result<bool, KeyspaceError> {
        let samples = match rule.order {
            Order::Random => 1,
            _ => self.keyspace.eviction.samples.load(Ordering::Relaxed),
        };
        for _ in 0..ROUNDS_MAX {
            // A thread that holds this lock never waits for a shard.
            let mut candidates = self.keyspace.eviction.candidates.lock();
            let any = self.sample(rule, now, samples, &mut candidates)?;
            let mut best = candidates.take_best();
            drop(candidates);
            if !any && best.is_none() {
                return Ok(false);
            }
            let mut locked = Vec::new();
            let mut removed = false;
            for _ in 0..CANDIDATES_MAX {
                let Some(candidate) = best.take() else { break };
                match self.remove_candidate(&candidate, rule, now, may_wait)? {
                    Fate::Removed => removed = true,
                    Fate::Stale => {}
                    Fate::Locked => locked.push(candidate),
                }
                if removed {
                    break;
                }
                best = self.keyspace.eviction.candidates.lock().take_best();
            }
            if !locked.is_empty() || best.is_some() {
                let mut candidates = self.keyspace.eviction.candidates.lock();
                for candidate in locked.into_iter().chain(best) {
                    candidates.offer(candidate);
                }
            }
            if removed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Offers up to `samples` randomly drawn keys as candidates; returns whether it found any.
    fn sample(
        self,
        rule: Rule,
        now: Millis,
        samples: usize,
        candidates: &mut Candidates,
    ) -> Result<bool, KeyspaceError> {
        let mut met = false;
        for _ in 0..samples {
            let mut tries = (0..SHARDS_TRIED).map(|_| random_below(SHARDS));
            met |= self.sample_any(&mut tries, rule, now, candidates)?;
            if !met {
                // There are few keys, or few that may go: take one from the next shard that has any.
                let first = random_below(SHARDS);
                let mut all = (first..SHARDS).chain(0..first);
                return self.sample_any(&mut all, rule, now, candidates);
            }
        }
        Ok(met)
    }

    /// Offers a key of the first of the shards that has one; returns whether any had.
    fn sample_any(
        self,
        numbers: &mut dyn Iterator<Item = usize>,
        rule: Rule,
        now: Millis,
        candidates: &mut Candidates,
    ) -> Result<bool, KeyspaceError> {
        for number in numbers {
            if self.sample_shard(number, rule, now, candidates)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Offers one randomly drawn key of a shard; returns whether the shard had one.
    fn sample_shard(
        self,
        number: usize,
        rule: Rule,
        now: Millis,
        candidates: &mut Candidates,
    ) -> Result<bool, KeyspaceError> {
        let Some(shard) = self.keyspace.shards[number].try_read() else {
            return Ok(false);
        };
        let Some((generation, index, entry)) = draw(&shard, rule) else {
            return Ok(false);
        };
        let names = self.keyspace.names(generation);
        let score = entry.score(rule, now, || {
            Ok::<_, KeyspaceError>(index.named(entry, &names)?.expires_at)
        })?;
        if candidates.takes(score) {
            candidates.offer(Candidate {
                score,
                shard: number,
                generation,
                key: index.named(entry, &names)?.key,
            });
        }
        Ok(true)
    }

    fn remove_candidate(
        self,
        candidate: &Candidate,
        rule: Rule,
        now: Millis,
        may_wait: bool,
    ) -> Result<Fate, KeyspaceError> {
        let Candidate {
            score,
            shard: number,
            generation,
            ref key,
        } = *candidate;
        let lock = &self.keyspace.shards[number];
        let guard = if may_wait {
            Some(lock.write())
        } else {
            lock.try_write()
        };
        let Some(mut shard) = guard else {
            return Ok(Fate::Locked);
        };
        let hash = self.keyspace.hashing.hash(key);
        let Some(table) = shard.table_mut(generation) else {
            return Ok(Fate::Stale);
        };
        let names = self.keyspace.names(generation);
        let Some(found) = table.index.get(hash, key, &names)? else {
            return Ok(Fate::Stale);
        };
        let expires = found.expires_at.is_some();
        let score_now = found
            .entry
            .score(rule, now, || Ok::<_, KeyspaceError>(found.expires_at))?;
        if (rule.only_expiring && !expires) || score_now < score {
            return Ok(Fate::Stale);
        }
        if self.keyspace.images().is_taken() {
            let images = self.keyspace.images();
            images.keep(generation, hash, key, Some(found));
        }
        if let Some(db) = self.keyspace.generations.database_of(generation) {
            self.keyspace.events.tell_intent(Some((db, key)));
        }
        let record = RecordKey {
            partition: self.keyspace.hashing.partition_of_shard(number),
            generation,
            key,
        };
        let (location, located) = (found.location, found.located());
        let collection = self.keyspace.collections().id_of(hash, generation, found)?;
        let before = if self.keyspace.expiry().has_passed(found.expires_at, now) {
            self.keyspace
                .store
                .forget(record, location, Gone::Expired)?;
            Before::Expired
        } else {
            let remove = Write::Remove { record, location };
            self.keyspace
                .store
                .write(&[remove], &mut [Location::default()])?;
            Before::Live
        };
        table.forget(hash, key, located, &names);
        if expires {
            table.index.tighten(hash);
        }
        if let Some(id) = collection {
            self.keyspace.collections().remove(id);
        }
        if before == Before::Live {
            self.keyspace.eviction.count();
        }
        if let Some(db) = self.keyspace.generations.database_of(generation) {
            let access = Access::by_server(now);
            self.keyspace
                .telling()
                .wrote(&mut shard, db, key, access, before, false);
            if before == Before::Live {
                self.keyspace
                    .events
                    .emit(EventClass::EVICTED, "evicted", db, key);
            }
        }
        Ok(Fate::Removed)
    }
}

/// Draws at random a key of the shard that may go. Returns its generation and index too.
fn draw(shard: &Shard, rule: Rule) -> Option<(u32, &Index, Entry<'_>)> {
    let weight = |n: usize| {
        let index = &shard.tables[n].index;
        if rule.only_expiring {
            index.expiring()
        } else {
            index.len()
        }
    };
    let all: usize = (0..shard.tables.len()).map(weight).sum();
    if all == 0 {
        return None;
    }
    let mut left = random_below(all);
    let mut numbers = 0..shard.tables.len();
    let number = numbers.find(|&n| {
        let here = weight(n);
        let found = left < here;
        left = left.saturating_sub(here);
        found
    })?;
    let table = &shard.tables[number];
    let entry = if rule.only_expiring {
        table.index.draw_expiring()
    } else {
        table.index.draw()
    };
    Some((table.generation, &table.index, entry?))
}

//! The index in an arena, which outlives the process: the next start takes it over and reads only what was written last.
//!
//! From time to time a thread has every index note a mark, commits all that was staged until then, and publishes the mark
//! with the place where the logs ended before it. The next process takes back what an index has changed since its mark,
//! and looks at each record behind that place as the load does: the record with the highest sequence number counts. So
//! it does not matter which of the later changes an index had seen, nor which of them were committed.
//!
//! A shard is taken over when the first command needs it, or by the store's thread soon after the start. All that the arena
//! says is checked then, and the records are counted as live.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arena::{Arena, Found as Left, Identity, Mark, Opening, Owner, Point};
use parking_lot::Mutex;

use super::hashing::{SHARD_BITS, SHARDS, shard_of};
use super::index::{Found, Index, LAYOUT, NewEntry};
use super::loaded::LoadedRecord;
use super::loading::Loading;
use super::shard::Shard;
use super::{DATABASES, Keyspace, KeyspaceError};
use crate::collection::{ELEMENTS, has_anchor};
use store::{Stand, StoreError, now_ms};

/// A mark is published when this many bytes were staged since the last one. The next start reads about as much.
const STAGED_BYTES: u64 = 2 << 20;

/// How long a thread waits for another one that publishes a mark.
const TURN_TIME: Duration = Duration::from_millis(10);

/// The rest after reading a part that the start has not read, as a multiple of the time that it took.
const CHECK_REST: u32 = 9;

/// Addresses reserved for the arena beside those for the index of a full pool.
const SPARE_BYTES: usize = 1 << 30;

/// Set in a point where the pool has records that no index names: elements of collections, libraries, a replica's place.
const HAS_OTHERS: u64 = 1;

/// The arena, and what of it is still to be taken over.
#[derive(Debug)]
pub(super) struct State {
    arena: &'static Arena,
    /// A mark that was begun and is not published. Its holder waits for shards and commits, and nobody waits for the lock
    /// with one of those.
    turn: Mutex<Option<Pending>>,
    /// Bytes staged before the published mark.
    staged: AtomicU64,
    /// Whether the store's thread was told that a mark is due.
    rung: AtomicBool,
    /// What an earlier process has left of each shard.
    left: Vec<Mutex<LeftShard>>,
    /// Shards that are not taken over yet.
    unopened: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    mark: Mark,
    stand: Stand,
    staged: u64,
}

/// What an earlier process has left of a shard.
#[derive(Debug, Default)]
struct LeftShard {
    tables: Vec<Left>,
    /// Later records, by rising sequence number.
    records: Vec<LoadedRecord>,
}

impl State {
    /// Whether every shard can be used.
    fn is_open(&self) -> bool {
        self.unopened.load(Ordering::Acquire) == 0
    }
}

/// Numbers that say which boot this is.
fn boot() -> io::Result<[u64; 2]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let number = u128::from_str_radix(&digits, 16).map_err(io::Error::other)?;
    #[allow(clippy::cast_possible_truncation)] // Both halves.
    Ok([number as u64, (number >> 64) as u64])
}

impl Keyspace {
    /// Keeps the index in a file at `path`, in memory that outlives the process, for the pool at `pool`. Takes over what an
    /// earlier process has left there, if it fits the pool. Returns the word that says whether the file counts: who finds
    /// that this process may have stored where it should not stores zero there. Call it before anything else is done.
    pub fn keep_index(&mut self, path: &Path, pool: &Path) -> io::Result<&'static AtomicU64> {
        let usage = self.store.usage().map_err(io::Error::other)?;
        let is_able = self.retains && !self.partitioned && self.store.abilities().persistent;
        let opens = usage.opens.filter(|&opens| is_able && opens > 0);
        let opens = opens.ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, "the layout needs no such file")
        })?;
        let file = std::fs::metadata(pool)?;
        let version = xxhash_rust::xxh3::xxh3_64(env!("CARGO_PKG_VERSION").as_bytes());
        let mut identity = Identity {
            layout: version ^ LAYOUT,
            seed: self.store.hash_seed(),
            file: [file.dev(), file.ino()],
            opens: opens - 1,
            boot: boot()?,
        };
        let bytes_max =
            usize::try_from(usage.pool_bytes).map_err(io::Error::other)? * 4 + SPARE_BYTES;
        let (arena, opening) = Arena::open(path, bytes_max, &identity)?;
        let left = match opening {
            Opening::Left(point, left) => self.sort_left(arena, &point, left),
            Opening::Fresh(why) => Err(why),
        };
        identity.opens = opens;
        let unopened = if left.is_ok() { SHARDS } else { 0 };
        let left = match left {
            Ok(left) => {
                arena.adopt(&identity);
                tracing::info!(path = %path.display(), "the index of the last process is taken over");
                left
            }
            Err(why) => {
                arena.begin(&identity)?;
                tracing::info!(path = %path.display(), "the index is made anew: {why}");
                Vec::new()
            }
        };
        self.kept = Some(State {
            arena,
            turn: Mutex::new(None),
            staged: AtomicU64::new(self.store.staged_bytes()),
            rung: AtomicBool::new(false),
            left: left.into_iter().map(Mutex::new).collect(),
            unopened: AtomicUsize::new(unopened),
        });
        Ok(arena.state())
    }

    /// What each shard gets of what an earlier process has left. The text of the error says why nothing of it can be used.
    fn sort_left(
        &self,
        arena: &'static Arena,
        point: &Point,
        left: Vec<Left>,
    ) -> Result<Vec<LeftShard>, String> {
        let [f0, f1, c0, c1, sequence, flags] = point.words;
        if flags & HAS_OTHERS != 0 {
            return Err("the pool has records that no index names".to_owned());
        }
        let stand = Stand {
            ends: [(f0, f1), (c0, c1)],
            sequence,
        };
        let generations: [u32; DATABASES] = std::array::from_fn(|db| self.generations.of(db));
        let mut shards: Vec<LeftShard> = (0..SHARDS).map(|_| LeftShard::default()).collect();
        let mut others = false;
        let fits = self.store.visit_since(&stand, &mut |record| {
            others |= record.generation == ELEMENTS || self.single_of(record.generation).is_some();
            if !generations.contains(&record.generation) {
                return;
            }
            let hash = self.hashing.hash(record.key);
            shards[shard_of(hash)]
                .records
                .push(LoadedRecord::of(hash, &record));
        });
        if others {
            return Err("the pool has records that no index names".to_owned());
        }
        if !fits.map_err(|error| error.to_string())? {
            return Err("the pool is not what it was, or the clock went back".to_owned());
        }
        for shard in &mut shards {
            shard.records.sort_by_key(|record| record.sequence);
        }
        for one in left {
            let Owner { shard, generation } = one.owner;
            match shards.get_mut(usize::from(shard)) {
                Some(shard) if generations.contains(&generation) => shard.tables.push(one),
                _ => one.discard(arena),
            }
        }
        Ok(shards)
    }

    /// A new index of a generation in a shard, with leaves for about this many keys.
    pub(super) fn new_index(&self, shard: usize, generation: u32, keys: usize) -> Index {
        match &self.kept {
            None if keys == 0 => Index::new(SHARD_BITS, self.naming()),
            None => Index::with_leaves_for(SHARD_BITS, self.naming(), keys),
            Some(kept) => {
                let shard = u16::try_from(shard).unwrap_or(u16::MAX);
                let owner = Owner { shard, generation };
                Index::in_arena(SHARD_BITS, kept.arena, owner, keys)
            }
        }
    }

    /// Whether an earlier process has left the index.
    pub(super) fn has_left_index(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| !kept.left.is_empty())
    }

    /// Whether much was staged since the last mark.
    fn is_due(&self, kept: &State) -> bool {
        let before = kept.staged.load(Ordering::Relaxed);
        self.store.staged_bytes().wrapping_sub(before) >= STAGED_BYTES
    }

    /// Has the store's thread publish a mark if much was staged since the last one.
    #[inline]
    pub(super) fn ring_if_due(&self) {
        if let Some(kept) = &self.kept
            && self.is_due(kept)
            && !kept.rung.swap(true, Ordering::Relaxed)
        {
            self.store.end_wait();
        }
    }

    /// Publishes a mark if much was staged since the last one. The caller is outside of the gate and holds nothing.
    pub(super) fn publish_if_due(&self) {
        if let Some(kept) = &self.kept
            && self.is_due(kept)
        {
            kept.rung.store(false, Ordering::Relaxed);
            self.publish_or_say(kept);
        }
    }

    /// Publishes a mark if anything was staged since the last one.
    pub(super) fn publish_if_changed(&self) {
        if let Some(kept) = &self.kept {
            let is_same = self.store.staged_bytes() == kept.staged.load(Ordering::Relaxed);
            if !is_same || !kept.arena.is_settled() {
                self.publish_or_say(kept);
            }
        }
    }

    #[cold]
    fn publish_or_say(&self, kept: &State) {
        if let Err(error) = self.publish(kept, false) {
            tracing::warn!(%error, "the index cannot be left to the next start as it is now");
        }
    }

    /// Publishes a mark, a `fresh` one that begins after the call. `false` if that cannot be done now: a transaction is
    /// running, or another thread publishes one.
    fn publish(&self, kept: &State, fresh: bool) -> Result<bool, KeyspaceError> {
        // Some words of the others are still to be taken back.
        if !kept.is_open() || !self.loading().is_done() {
            return Ok(false);
        }
        let turn = if fresh {
            kept.turn.try_lock_for(TURN_TIME)
        } else {
            kept.turn.try_lock()
        };
        let Some(mut turn) = turn else {
            return Ok(false);
        };
        let was_pending = turn.is_some();
        let done = self.publish_one(kept, &mut turn)?;
        if done && fresh && was_pending {
            return self.publish_one(kept, &mut turn);
        }
        Ok(done)
    }

    fn publish_one(&self, kept: &State, turn: &mut Option<Pending>) -> Result<bool, KeyspaceError> {
        let pending = if let Some(pending) = *turn {
            pending
        } else {
            // A transaction reuses the places of records that it has staged itself. An index must not note a mark meanwhile.
            let Some(_inside) = self.gate.try_enter_background() else {
                return Ok(false);
            };
            let staged = self.store.staged_bytes();
            let Some(stand) = self.store.stand() else {
                return Ok(false);
            };
            let mark = kept.arena.begin_mark();
            for shard in &self.shards {
                for table in &mut shard.write().tables {
                    table.index.note_mark(mark);
                }
            }
            *turn.insert(Pending {
                mark,
                stand,
                staged,
            })
        };
        if !self.store.commit_all_staged()? {
            return Ok(false);
        }
        let [front, compaction] = pending.stand.ends;
        let singles = self.singles().iter().any(|single| single.is_there());
        let flags = if singles || self.registry.any() {
            HAS_OTHERS
        } else {
            0
        };
        let words = [
            front.0,
            front.1,
            compaction.0,
            compaction.1,
            pending.stand.sequence,
            flags,
        ];
        let mark = 0;
        kept.arena.publish(pending.mark, Point { mark, words });
        kept.staged.store(pending.staged, Ordering::Relaxed);
        *turn = None;
        Ok(true)
    }

    /// As [`Relocate::settle`](store::Relocate::settle).
    pub(super) fn settle_index(&self) {
        if let Some(kept) = &self.kept
            && !self.publish(kept, true).unwrap_or(false)
        {
            kept.arena.risk();
        }
    }

    /// Leaves the index to the next start as it is at the end.
    pub(super) fn leave_index(&self) {
        if let Some(kept) = &self.kept {
            self.loading().open_all();
            if !self.publish(kept, true).unwrap_or(false) {
                tracing::info!("the next start will read the whole pool");
            }
        }
    }
}

impl Loading<'_> {
    /// Takes a shard over from an earlier process, or reads the partition that it belongs to, unless that was done.
    #[cold]
    pub(super) fn index_shard(self, number: usize) -> Result<(), KeyspaceError> {
        if self.keyspace.has_left_index() {
            self.open_shard(number);
            return Ok(());
        }
        let partition = self.keyspace.hashing.partition_of_shard(number);
        self.index_partition(partition)
    }

    /// Takes over all shards that an earlier process has left. The caller holds none.
    pub(super) fn open_all(self) {
        if let Some(kept) = &self.keyspace.kept
            && !kept.is_open()
        {
            for number in 0..SHARDS {
                self.open_shard(number);
            }
        }
    }

    /// Reads what the start has not read, a part at a time and resting between them: damage must not wait for the command
    /// that needs the damaged record. The next start then reads everything, and says what is wrong.
    pub(super) fn check_unread(self, stop: &AtomicBool) {
        let Some(kept) = self
            .keyspace
            .kept
            .as_ref()
            .filter(|_| self.keyspace.has_left_index())
        else {
            return;
        };
        for part in 0..self.keyspace.store.parts() {
            let started = Instant::now();
            if let Err(error) = self.keyspace.store.check_part(part) {
                kept.arena.poison();
                tracing::error!(%error, "the pool is damaged. The next start reads all of it");
                return;
            }
            std::thread::park_timeout(started.elapsed() * CHECK_REST);
            if stop.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn open_shard(self, number: usize) {
        let Some(kept) = &self.keyspace.kept else {
            return;
        };
        let mut shard = self.keyspace.shards[number].write();
        if shard.indexed {
            return;
        }
        let left = std::mem::take(&mut *kept.left[number].lock());
        if let Err(why) = self.rebuild(kept, &mut shard, number, left) {
            // Commands may have been answered by other shards, so this process cannot begin again.
            kept.arena.poison();
            tracing::error!(
                path = %kept.arena.path().display(),
                "the index that the last process has left is damaged: {why}. The next start reads the whole pool"
            );
            std::process::abort();
        }
        shard.indexed = true;
        kept.unopened.fetch_sub(1, Ordering::AcqRel);
    }

    fn rebuild(
        self,
        kept: &State,
        shard: &mut Shard,
        number: usize,
        left: LeftShard,
    ) -> Result<(), String> {
        let keyspace = self.keyspace;
        for one in left.tables {
            let generation = one.owner.generation;
            let index = Index::reopen(SHARD_BITS, kept.arena, one)?;
            shard.add(generation, index);
        }
        for record in left.records {
            self.enter(shard, number, record)
                .map_err(|error| error.to_string())?;
        }
        for table in &shard.tables {
            let index = &table.index;
            for entry in index.iter() {
                if has_anchor(entry.stored_kind()) {
                    return Err("it names a collection with elements".to_owned());
                }
                keyspace.forms.note_kind(entry.stored_kind());
            }
            let mut locations = index.iter().map(|entry| index.location(entry));
            let claimed = keyspace.store.claim(&mut locations);
            claimed.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Enters a later record into a shard that is being taken over.
    fn enter(
        self,
        shard: &mut Shard,
        number: usize,
        record: LoadedRecord,
    ) -> Result<(), StoreError> {
        let keyspace = self.keyspace;
        let LoadedRecord {
            hash,
            generation,
            key,
            kind,
            expires_at,
            location,
            sequence,
            removed,
        } = record;
        let names = keyspace.names(generation);
        let new_index = || keyspace.new_index(number, generation, 0);
        let table = shard.table_for(generation, new_index, &keyspace.views);
        let present = table.index.get(hash, &key, &names)?.map(Found::located);
        let Some(present) = present else {
            if !removed {
                let access = keyspace.eviction.clock().first(now_ms());
                let new = NewEntry {
                    key: &key,
                    kind,
                    location,
                    expires_at,
                    access,
                };
                table.index.insert(hash, new);
            }
            return Ok(());
        };
        if present.location == location || keyspace.store.sequence(present.location)? > sequence {
            return Ok(());
        }
        if removed {
            table.index.remove(hash, &key, present, &names);
        } else {
            let index = &mut table.index;
            index.replace(hash, &key, present, kind, location, expires_at);
        }
        Ok(())
    }
}

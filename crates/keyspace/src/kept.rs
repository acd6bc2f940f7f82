//! The index in an arena, which outlives the process: the next start takes it over and reads only what was written last.
//!
//! From time to time a thread has every index note a mark, commits all that was staged until then, and publishes the mark
//! with the place where the logs ended before it. The next process takes back what an index has changed since its mark,
//! and looks at each record behind that place as the load does: the record with the highest sequence number counts. So
//! it does not matter which of the later changes an index had seen, nor which of them were committed.
//!
//! A shard is taken over when the first command needs it, or by the store's thread soon after the start. All that the arena
//! says is checked then, and the records are counted as live.

mod pause;
mod shards;
#[cfg(test)]
mod tests;

pub use pause::PausedMarks;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arena::{Arena, Found as Left, Identity, Mark, Opening, Owner, Point};
use parking_lot::Mutex;

use super::hashing::{SHARD_BITS, SHARDS, shard_of};
use super::index::{Index, IndexKey, LAYOUT};
use super::loaded::LoadedRecord;
use super::single::Single;
use super::{DATABASES, Keyspace, KeyspaceError, Millis};
use crate::collection::{ELEMENTS, has_anchor, split_key};
use store::{Location, Stand};

/// A mark is published when this many bytes were staged since the last one. The next start reads about as much.
const STAGED_BYTES: u64 = 2 << 20;

/// How long a thread waits for another one that publishes a mark.
const TURN_TIME: Duration = Duration::from_millis(10);

/// The rest after reading a part that the start has not read, as a multiple of the time that it took.
const CHECK_REST: u32 = 9;

/// Addresses reserved for the arena beside those for the index of a full pool.
const SPARE_BYTES: usize = 1 << 30;

/// Set in a point where the pool has elements of collections, which no index in the arena names.
const HAS_ELEMENTS: u64 = 1;
/// Set in a point where an element may have had a deadline since the pool was read as a whole.
const HAS_DEADLINES: u64 = 2;

/// How many keys that are gone by their deadlines are remembered at most.
const EXPIRED_MAX: usize = 1 << 16;

/// The arena, and what of it is still to be taken over.
#[derive(Debug)]
pub(super) struct State {
    arena: &'static Arena,
    /// A mark that was begun and is not published. Its holder waits for shards and commits, and nobody waits for the lock
    /// with one of those.
    turn: Mutex<Option<Pending>>,
    /// Bytes staged before the published mark.
    staged: AtomicU64,
    /// The mark that each shard has noted last; its lock protects it.
    noted: Vec<AtomicU64>,
    /// Whether the first mark waits; see [`Keyspace::pause_marks`].
    is_paused: AtomicBool,
    /// Whether the store's thread was told that a mark is due.
    rung: AtomicBool,
    /// What an earlier process has left of each shard.
    left: Vec<Mutex<LeftShard>>,
    /// Shards that are not taken over yet.
    unopened: AtomicUsize,
    /// Whether the log says that the arena does not count.
    told: AtomicBool,
    /// Keys of later records that are gone by their deadlines; `None` if there are too many.
    expired: Mutex<Option<Vec<Expired>>>,
}

/// A key that is gone by its deadline: the deadline, the generation, and the key.
type Expired = (Millis, u32, IndexKey);

#[derive(Clone, Copy, Debug)]
struct Pending {
    mark: Mark,
    stand: Stand,
    staged: u64,
    /// Whether there were collections with elements.
    has_elements: bool,
    /// Whether an element may have had a deadline.
    has_deadlines: bool,
    /// The id of the next collection.
    next_id: u64,
    /// Where the single records lay.
    singles: [Location; 2],
}

/// What an earlier process has left.
struct SortedLeft {
    shards: Vec<LeftShard>,
    /// Whether there may be elements of collections.
    has_elements: bool,
    /// Whether an element may have had a deadline.
    has_deadlines: bool,
    expired: Option<Vec<Expired>>,
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
    ///
    /// With `has_history`, the process before had replicas. A pool with fields that have deadlines, and records of their own, is
    /// read as a whole then, since that finds the fields that are gone by them, of which nobody may have told the replicas.
    pub fn keep_index(
        &mut self,
        path: &Path,
        pool: &Path,
        has_history: bool,
    ) -> io::Result<&'static AtomicU64> {
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
        let left = match left {
            Ok(left) if left.has_deadlines && has_history => {
                Err("replicas may have to hear of fields that are gone".to_owned())
            }
            left => left.and_then(|left| {
                let mut singles = self.singles().into_iter();
                let claimed = singles.try_for_each(Single::claim);
                claimed.map_err(|error| error.to_string()).map(|()| left)
            }),
        };
        identity.opens = opens;
        let unopened = if left.is_ok() { SHARDS } else { 0 };
        let (left, expired) = match left {
            Ok(SortedLeft {
                shards,
                has_elements,
                has_deadlines,
                expired,
            }) => {
                if has_elements {
                    self.leave_elements();
                }
                if has_deadlines {
                    self.registry.deadlines.saw_one();
                }
                arena.adopt(&identity);
                tracing::info!(path = %path.display(), "the index of the last process is taken over");
                (shards, expired)
            }
            Err(why) => {
                for single in self.singles() {
                    single.forget();
                }
                arena.begin(&identity)?;
                tracing::info!(path = %path.display(), "the index is made anew: {why}");
                (Vec::new(), None)
            }
        };
        self.kept = Some(State {
            arena,
            turn: Mutex::new(None),
            staged: AtomicU64::new(self.store.staged_bytes()),
            noted: (0..SHARDS).map(|_| AtomicU64::new(arena.mark())).collect(),
            is_paused: AtomicBool::new(false),
            rung: AtomicBool::new(false),
            left: left.into_iter().map(Mutex::new).collect(),
            unopened: AtomicUsize::new(unopened),
            told: AtomicBool::new(false),
            expired: Mutex::new(expired),
        });
        Ok(arena.state())
    }

    /// What each shard gets of what an earlier process has left. The text of the error says why nothing of it can be used.
    fn sort_left(
        &self,
        arena: &'static Arena,
        point: &Point,
        left: Vec<Left>,
    ) -> Result<SortedLeft, String> {
        let [
            f0,
            f1,
            c0,
            c1,
            sequence,
            flags,
            libraries,
            place,
            next_id,
            sum,
        ] = point.words;
        let stand = Stand {
            ends: [(f0, f1), (c0, c1)],
            sequence,
        };
        if self.store.sum_before(&stand) != Some(sum) {
            return Err("the pool is not what it was".to_owned());
        }
        let generations: [u32; DATABASES] = std::array::from_fn(|db| self.generations.of(db));
        let mut shards: Vec<LeftShard> = (0..SHARDS).map(|_| LeftShard::default()).collect();
        for (single, location) in self.singles().into_iter().zip([libraries, place]) {
            single.begin_with(Location(location))?;
        }
        let mut has_elements = flags & HAS_ELEMENTS != 0;
        let mut has_deadlines = flags & HAS_DEADLINES != 0;
        let mut expired = Some(Vec::new());
        let mut failed = None;
        let mut last_id = next_id;
        let fits = self.store.visit_since(&stand, &mut |record| {
            has_elements |= record.generation == ELEMENTS || has_anchor(record.kind);
            has_deadlines |= record.generation == ELEMENTS && record.expires_at.is_some();
            if let (ELEMENTS, Some((id, _))) = (record.generation, split_key(record.key)) {
                last_id = last_id.max(id);
            }
            if let Some(single) = self.single_of(record.generation) {
                failed = single.met_later(&record).err().or_else(|| failed.take());
            }
            if !generations.contains(&record.generation) {
                return;
            }
            if let (true, Some(deadline)) = (record.removed, record.expires_at) {
                let key = IndexKey::from_slice(record.key);
                let one = (deadline, record.generation, key);
                expired = expired
                    .take()
                    .filter(|all: &Vec<Expired>| all.len() < EXPIRED_MAX);
                expired
                    .as_mut()
                    .into_iter()
                    .for_each(|all| all.push(one.clone()));
            }
            let hash = self.hashing.hash(record.key);
            shards[shard_of(hash)]
                .records
                .push(LoadedRecord::of(hash, &record));
        });
        if let Some(why) = failed {
            return Err(why);
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
        self.registry.seen(last_id);
        Ok(SortedLeft {
            shards,
            has_elements,
            has_deadlines,
            expired,
        })
    }

    /// The keys that are gone by deadlines after `time`, of the records that came after the index that was taken over; `None` if
    /// there were too many. Keys that it names are removed as any others are, and whoever has removed one before has named it
    /// to replicas first.
    pub(super) fn expired_behind(&self, time: Millis) -> Option<Vec<(u32, IndexKey)>> {
        let kept = self.kept.as_ref()?;
        let all = kept.expired.lock().take()?;
        let later = all.into_iter().filter(|one| one.0 > time);
        Some(
            later
                .map(|(_, generation, key)| (generation, key))
                .collect(),
        )
    }

    /// A new index of a generation in a shard, with leaves for about this many keys. The caller has the shard's lock.
    pub(super) fn new_index(&self, shard: usize, generation: u32, keys: usize) -> Index {
        match &self.kept {
            None if keys == 0 => Index::new(SHARD_BITS, self.naming()),
            None => Index::with_leaves_for(SHARD_BITS, self.naming(), keys),
            Some(kept) => {
                let shard = u16::try_from(shard).unwrap_or(u16::MAX);
                let owner = Owner { shard, generation };
                let noted = kept.noted[usize::from(shard)].load(Ordering::Relaxed);
                Index::in_arena(SHARD_BITS, kept.arena, owner, noted, keys)
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
        if !kept.arena.counts() {
            if !kept.told.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    path = %kept.arena.path().display(),
                    "the index is not left to the next start, which will read the whole pool: the file's place has no room for it"
                );
            }
            return Ok(true);
        }
        // Some words of the others are still to be taken back.
        if !kept.is_open() || !self.loading().is_done() || kept.waits_with_first_mark() {
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
            // One that is made later lies behind the place; one that has gone by now stands in no index.
            let has_elements = self.has_collections();
            let mark = kept.arena.begin_mark();
            for (shard, noted) in self.shards.iter().zip(&kept.noted) {
                let mut shard = shard.write();
                for table in &mut shard.tables {
                    table.index.note_mark(mark);
                }
                noted.store(mark.number, Ordering::Relaxed);
            }
            *turn.insert(Pending {
                mark,
                stand,
                staged,
                has_elements,
                // Asked after the shards: whoever stores a deadline before the place notes it before letting its shard go.
                has_deadlines: self.registry.deadlines.had_any(),
                next_id: self.registry.next_id(),
                singles: self.singles().map(Single::location),
            })
        };
        if !self.store.commit_all_staged()? {
            return Ok(false);
        }
        let [front, compaction] = pending.stand.ends;
        let flags = u64::from(pending.has_elements) * HAS_ELEMENTS
            + u64::from(pending.has_deadlines) * HAS_DEADLINES;
        let [libraries, place] = pending.singles;
        let words = [
            front.0,
            front.1,
            compaction.0,
            compaction.1,
            pending.stand.sequence,
            flags,
            libraries.0,
            place.0,
            pending.next_id,
            self.store.sum_before(&pending.stand).unwrap_or(0),
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

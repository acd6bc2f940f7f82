//! `durability everysec`: commits go to memory, and a thread syncs them to the disk each second.
//!
//! The operating system writes changed pages back in any order, so what a power cut leaves is of many moments. Each sync
//! therefore ends with a point of the pool (`pmemkv::Point`): the words as they were between two commits, and a table of how
//! far each segment was filled then. The open after a power cut goes by the last point, and finds what was acknowledged up to
//! one moment: headers and words of later ones are taken back (`find.rs`).
//!
//! A point holds as long as nothing overwrites what it names. Records lie behind one another, and a segment that was freed
//! waits for the next point before it is used again.
//!
//! The order of a sync: the moment, the table of the place that is not in use, an msync of the whole pool, the point, an msync
//! of the point. Where one fails, the point before it still holds, and writes are refused until a sync succeeds.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lock_order::{Mutex, Rank, RwLock};
use parking_lot::Condvar;
use xxhash_rust::xxh3::xxh3_64;

use super::header::{Header, Which};
use super::space::Space;
use crate::model::now_ms;
use crate::{StoreError, SyncReport};
use pmemkv::{Point, Pool, Segments, WORDS};

/// Words of a table's entry: the life, and its committed bytes.
const ENTRY_WORDS: usize = 2;

/// Where the version of a segment's header stands in a life, and the log that fills it.
const VERSION_SHIFT: u32 = 56;
const COMPACTION_BIT: u64 = 1 << 63;

/// The numbers of a point that belong to this layout.
const ENTRIES: usize = 0;
const SUM: usize = 1;
const CUT_MS: usize = 2;

/// What a segment holds: nothing, or a life and how many bytes of it are committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    life: u64,
    committed: u64,
}

impl Entry {
    fn of(header: &Header) -> Self {
        if header.serial == 0 {
            return Self::default();
        }
        let log = match header.which {
            Which::Front => 0,
            Which::Compaction => COMPACTION_BIT,
        };
        Self {
            life: header.serial | u64::from(header.version) << VERSION_SHIFT | log,
            committed: header.committed,
        }
    }

    fn header(self) -> Header {
        if self.life == 0 {
            return Header::FREE;
        }
        let version = (self.life & !COMPACTION_BIT) >> VERSION_SHIFT;
        Header {
            version: u8::try_from(version).unwrap_or(0),
            which: if self.life & COMPACTION_BIT == 0 {
                Which::Front
            } else {
                Which::Compaction
            },
            serial: self.life & ((1 << VERSION_SHIFT) - 1),
            committed: self.committed,
            begun: self.committed,
        }
    }

    /// Its share in the sum of a table.
    fn hash(self, segment: usize) -> u64 {
        if self.life == 0 {
            return 0;
        }
        let mut bytes = [0; 24];
        let words = [segment as u64, self.life, self.committed];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        xxh3_64(&bytes)
    }
}

/// One of the two tables in the ledger.
struct Table<'a>(&'a [AtomicU64]);

impl<'a> Table<'a> {
    /// That of the point with this number.
    fn of(segments: &'a Segments, number: u64) -> Self {
        let ledger = segments.ledger();
        let (even, odd) = ledger.split_at(ledger.len() / 2);
        Self(if number & 1 == 0 { even } else { odd })
    }

    fn len(&self) -> usize {
        self.0.len() / ENTRY_WORDS
    }

    fn get(&self, segment: usize) -> Entry {
        let word = |n| {
            let place = self.0.get(ENTRY_WORDS * segment + n);
            place.map_or(0, |place: &AtomicU64| place.load(Ordering::Acquire))
        };
        Entry {
            life: word(0),
            committed: word(1),
        }
    }

    /// Replaces an entry; how much the table's sum changes.
    fn set(&self, segment: usize, entry: Entry) -> u64 {
        let before = self.get(segment);
        let places = self.0[ENTRY_WORDS * segment..].iter();
        for (place, word) in places.zip([entry.life, entry.committed]) {
            place.store(word, Ordering::Release);
        }
        entry.hash(segment).wrapping_sub(before.hash(segment))
    }

    fn sum(&self) -> u64 {
        (0..self.len()).fold(0, |sum, segment| {
            sum.wrapping_add(self.get(segment).hash(segment))
        })
    }
}

/// What a segment holds by the last commit.
#[derive(Debug, Default)]
struct Latest {
    life: AtomicU64,
    committed: AtomicU64,
    /// Whether it is in the list of what has changed since the last moment.
    is_listed: AtomicBool,
}

#[derive(Debug, Default)]
struct Changes {
    segments: Vec<u32>,
    freed: Vec<u32>,
}

/// What the thread that syncs knows.
#[derive(Debug)]
struct Turn {
    /// Of the last point.
    number: u64,
    words: Vec<u64>,
    /// The sums of the two tables.
    sums: [u64; 2],
    /// What the tables have still to learn, in order.
    behind: [Vec<(u32, Entry)>; 2],
    /// Segments that the next point frees.
    freed: Vec<u32>,
    /// A point that is stored, and may not be on the disk.
    unfinished: Option<Point>,
    has_failed: bool,
}

/// The state of a pool that is synced each second.
#[derive(Debug)]
pub struct Synced {
    pool: Pool,
    latest: Box<[Latest]>,
    /// A commit holds it as one of many, the moment alone.
    step: RwLock<()>,
    changes: parking_lot::Mutex<Changes>,
    /// Segments that wait for a point.
    waiting: AtomicU32,
    turn: Mutex<Turn>,
    bell: (parking_lot::Mutex<bool>, Condvar),
    report: parking_lot::Mutex<SyncReport>,
    is_failing: AtomicBool,
}

impl Synced {
    /// Begins with the pool as it is, whose used segments have these headers. `words` are the pool's as they will be when
    /// it is open. On return the first point is on the disk, and the pool's own stores wait for it no more.
    pub fn begin(
        pool: &Pool,
        segments: &Segments,
        segments_max: u32,
        used: &[(u32, Header)],
        words: Vec<u64>,
    ) -> Result<Self, StoreError> {
        let entries = segments_max as usize;
        segments.open_ledger(2 * ENTRY_WORDS * entries)?;
        let number = pool.last_point().map_or(1, |point| point.number + 1);
        let latest: Box<[Latest]> = (0..entries).map(|_| Latest::default()).collect();
        for (segment, header) in used {
            let entry = Entry::of(header);
            let place = &latest[*segment as usize];
            place.life.store(entry.life, Ordering::Relaxed);
            place.committed.store(entry.committed, Ordering::Relaxed);
        }
        let entry = |place: &Latest| Entry {
            life: place.life.load(Ordering::Relaxed),
            committed: place.committed.load(Ordering::Relaxed),
        };
        // The last point still lies in the other place, with the other table: it holds until this one is on the disk.
        let table = Table::of(segments, number);
        for (segment, place) in latest.iter().enumerate() {
            table.set(segment, entry(place));
        }
        let all = (0..).zip(latest.iter().map(entry)).collect();
        let mut sums = [0; 2];
        sums[place(number)] = table.sum();
        let point = point(number, entries, sums[place(number)], &words);
        let failed =
            |error: io::Error| StoreError::Engine(format!("the pool cannot be synced: {error}"));
        pool.sync_all().map_err(failed)?;
        pool.write_point(&point);
        pool.sync_points().map_err(failed)?;
        pool.note_point(&point);
        let other = Table::of(segments, number + 1);
        sums[place(number + 1)] = other.sum();
        let mut behind = [Vec::new(), Vec::new()];
        behind[place(number + 1)] = all;
        pool.rely_on_points();
        Ok(Self {
            pool: pool.clone(),
            latest,
            step: RwLock::new(Rank::SyncStep, ()),
            changes: parking_lot::Mutex::default(),
            waiting: AtomicU32::new(0),
            turn: Mutex::new(
                Rank::SyncTurn,
                Turn {
                    number,
                    words,
                    sums,
                    behind,
                    freed: Vec::new(),
                    unfinished: None,
                    has_failed: false,
                },
            ),
            bell: (parking_lot::Mutex::new(false), Condvar::new()),
            report: parking_lot::Mutex::new(SyncReport {
                synced_to_ms: now_ms(),
                count: 1,
                ..SyncReport::default()
            }),
            is_failing: AtomicBool::new(false),
        })
    }

    /// Keeps the moment of a sync from coming while the result lives: a step is in it whole or not at all.
    pub fn step(&self) -> impl Sized + '_ {
        self.step.read()
    }

    /// Notes what a segment holds after a commit, or nothing. The caller is in a [step](Self::step).
    pub fn note(&self, segment: u32, header: &Header) {
        let entry = Entry::of(header);
        let latest = &self.latest[segment as usize];
        latest.life.store(entry.life, Ordering::Release);
        latest.committed.store(entry.committed, Ordering::Release);
        if !latest.is_listed.swap(true, Ordering::AcqRel) {
            self.changes.lock().segments.push(segment);
        }
    }

    /// Takes a segment that was freed, and gives it back when a point says that it is.
    pub fn keep_freed(&self, segment: u32) {
        self.changes.lock().freed.push(segment);
        self.waiting.fetch_add(1, Ordering::AcqRel);
    }

    /// Segments that are free and wait for a point.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Acquire)
    }

    /// Has the thread that syncs do so at once.
    pub fn ring(&self) {
        let (rung, bell) = &self.bell;
        *rung.lock() = true;
        bell.notify_one();
    }

    /// Waits for the time of the next sync, or until one is asked for.
    pub fn wait(&self, time: Duration) {
        let (rung, bell) = &self.bell;
        let mut rung = rung.lock();
        if !*rung {
            bell.wait_for(&mut rung, time);
        }
        *rung = false;
    }

    /// Whether the last sync has failed.
    #[inline]
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire)
    }

    /// What the syncs have done.
    pub fn report(&self) -> SyncReport {
        self.report.lock().clone()
    }

    /// Makes everything durable that was committed before the call.
    ///
    /// # Errors
    /// The operating system's, where it could not write.
    pub fn sync(&self, space: &Space) -> io::Result<()> {
        let mut turn = self.turn.lock();
        self.sync_in(&mut turn, space)
    }

    /// As [`sync`](Self::sync), unless another thread is doing it: then `None`.
    pub fn try_sync(&self, space: &Space) -> Option<io::Result<()>> {
        let mut turn = self.turn.try_lock()?;
        Some(self.sync_in(&mut turn, space))
    }

    fn sync_in(&self, turn: &mut Turn, space: &Space) -> io::Result<()> {
        let started = Instant::now();
        let done = self.make_point(turn, space);
        let took = started.elapsed();
        let mut report = self.report.lock();
        report.took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match &done {
            Ok(cut_ms) => {
                report.synced_to_ms = *cut_ms;
                report.failure = None;
                if self.is_failing.swap(false, Ordering::AcqRel) {
                    tracing::info!("the pool could be synced again: writes are accepted");
                }
            }
            Err(error) => {
                report.failures += 1;
                let text = error.to_string();
                // As Redis gives an error of the system, without its number.
                let text = text.split(" (os error").next().unwrap_or(&text);
                report.failure = Some(text.to_owned());
                turn.has_failed = true;
                if !self.is_failing.swap(true, Ordering::AcqRel) {
                    tracing::error!(%error, "the pool could not be synced: writes are refused until it can");
                }
            }
        }
        if done.as_ref().is_ok_and(|_| turn.unfinished.is_none()) {
            report.count = turn.number;
        }
        done.map(|_| ())
    }

    /// Returns the time of the moment that is on the disk now.
    fn make_point(&self, turn: &mut Turn, space: &Space) -> io::Result<i64> {
        let segments = space.segments();
        if turn.has_failed {
            self.touch_all(turn, segments);
        }
        if let Some(point) = turn.unfinished.clone() {
            // All that it needs is on the disk already.
            self.pool.sync_all()?;
            self.finish(turn, space, point);
        }
        let cut_ms = now_ms();
        let (words, changed, freed) = {
            let _alone = self.step.write();
            let mut changes = self.changes.lock();
            let entries: Vec<(u32, Entry)> = changes
                .segments
                .drain(..)
                .map(|segment| (segment, self.take_latest(segment)))
                .collect();
            let freed = std::mem::take(&mut changes.freed);
            (self.pool.words(0, WORDS), entries, freed)
        };
        turn.freed.extend(freed);
        let is_same = changed.is_empty() && turn.freed.is_empty() && words == turn.words;
        for behind in &mut turn.behind {
            behind.extend_from_slice(&changed);
        }
        if is_same && !turn.has_failed {
            return Ok(cut_ms);
        }
        let number = turn.number + 1;
        let table = Table::of(segments, number);
        for (segment, entry) in &turn.behind[place(number)] {
            let sum = &mut turn.sums[place(number)];
            *sum = sum.wrapping_add(table.set(*segment as usize, *entry));
        }
        self.pool.sync_all()?;
        let mut point = point(number, table.len(), turn.sums[place(number)], &words);
        point.layout[CUT_MS] = u64::try_from(cut_ms).unwrap_or(0);
        self.pool.write_point(&point);
        turn.unfinished = Some(point.clone());
        self.pool.sync_points()?;
        self.finish(turn, space, point);
        Ok(cut_ms)
    }

    /// A point is on the disk.
    fn finish(&self, turn: &mut Turn, space: &Space, point: Point) {
        self.pool.note_point(&point);
        turn.behind[place(point.number)].clear();
        turn.number = point.number;
        turn.words = point.words;
        turn.unfinished = None;
        turn.has_failed = false;
        for segment in turn.freed.drain(..) {
            space.found_free(segment);
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The system takes pages that it could not write for written: all that may be among them count as changed again.
    fn touch_all(&self, turn: &Turn, segments: &Segments) {
        let listed = turn.behind.iter().flatten().map(|(segment, _)| *segment);
        let mut changed: Vec<u32> = listed.collect();
        changed.extend_from_slice(&self.changes.lock().segments);
        changed.sort_unstable();
        changed.dedup();
        for segment in changed {
            segments.touch_pages(segment);
        }
        for word in segments.ledger() {
            word.fetch_or(0, Ordering::AcqRel);
        }
        self.pool.touch();
    }

    fn take_latest(&self, segment: u32) -> Entry {
        let latest = &self.latest[segment as usize];
        latest.is_listed.store(false, Ordering::Release);
        Entry {
            life: latest.life.load(Ordering::Acquire),
            committed: latest.committed.load(Ordering::Acquire),
        }
    }
}

/// Which place and which table a point takes.
fn place(number: u64) -> usize {
    usize::from(number & 1 == 1)
}

fn point(number: u64, entries: usize, sum: u64, words: &[u64]) -> Point {
    let mut layout = [0; 4];
    layout[ENTRIES] = entries as u64;
    layout[SUM] = sum;
    layout[CUT_MS] = u64::try_from(now_ms()).unwrap_or(0);
    Point {
        number,
        layout,
        words: words.to_vec(),
    }
}

/// The headers that all segments had at a point, or why they cannot be told. Segments of later are free.
pub fn headers_at(point: &Point, segments: &Segments) -> Result<Vec<Header>, String> {
    let table = Table::of(segments, point.number);
    if table.len() as u64 != point.layout[ENTRIES] || table.sum() != point.layout[SUM] {
        return Err("the table of the last sync does not fit its checksum".to_owned());
    }
    let count = segments.count() as usize;
    Ok((0..count).map(|n| table.get(n).header()).collect())
}

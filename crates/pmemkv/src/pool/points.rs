//! Points: moments up to which all of the pool is on the disk, for a pool whose commits do not wait for it.
//!
//! The operating system writes changed pages back when it likes. What a power cut leaves is then of many moments. So the
//! server has it write everything from time to time, and then stores a point: the pool's words as they were at one moment, and
//! what the layout needs to find its records as they were then. There are two places, used by turns, so that one whole point
//! is there while the other is written.
//!
//! A process's death loses nothing that it has stored, so a point counts only where another boot, or another file, finds it:
//! each says which boot and file it was made in. And it counts only as long as no open has come after the one that it
//! belongs to: it holds the count of opens with the other words.
//!
//! A point that is not whole may be one that a power cut tore, or one that was damaged on the disk. So a note, pages away from
//! both places, says which point was on the disk last: if that one is not whole, it was damaged.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use super::Pool;
use super::root::{POINT_NUMBERS, Root, StoredPoint, WORDS};
use super::words::WORD_OPENS;
use crate::persist::sync;

/// The cells of the note: the point's number, its boot and file, the count of opens in its words, and a checksum. Pools of the
/// other layout have something else in these cells, and no points.
const NOTE: usize = 2;

/// A point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// One more with each point of a pool; its lowest bit says in which of the two places it lies.
    pub number: u64,
    /// The layout's own numbers.
    pub layout: [u64; POINT_NUMBERS],
    /// The pool's words.
    pub words: Vec<u64>,
}

impl Pool {
    /// The latest whole point, if there is one that no later open has made worthless.
    pub fn last_point(&self) -> Option<Point> {
        self.valid_points()
            .map(|(point, _)| point)
            .max_by_key(|point| point.number)
    }

    /// The point to which the open has taken the words back, because another boot had made it. The layout takes its own
    /// things back as well.
    pub fn restored(&self) -> Option<Point> {
        self.inner.restored.lock().clone()
    }

    /// Stores a point in the place of the one before the last. Not durable before [`sync_points`](Self::sync_points).
    pub fn write_point(&self, point: &Point) {
        let place = self.point_at(point.number);
        let identity = identity(self.path());
        // A reader after a crash finds the old checksum with new numbers, which does not fit, until the last store.
        place.checksum.store(0, Ordering::Release);
        place.number.store(point.number, Ordering::Release);
        place.identity.store(identity, Ordering::Release);
        let numbers = place.layout.iter().chain(&place.words);
        for (place, value) in numbers.zip(point.layout.iter().chain(&point.words)) {
            place.store(*value, Ordering::Release);
        }
        place
            .checksum
            .store(checksum(point, identity), Ordering::Release);
    }

    /// Notes that this point is on the disk. A store that the operating system writes back when it likes: an older note, or
    /// none, says less.
    pub fn note_point(&self, point: &Point) {
        let numbers = [point.number, identity(self.path()), point.words[WORD_OPENS]];
        let note = numbers.into_iter().chain([checksum_of_note(numbers)]);
        for (cell, number) in (NOTE..).zip(note) {
            self.hint(cell, number);
        }
    }

    /// The number of a point that was on the disk and is no longer whole, if this open should have gone by it.
    pub fn damaged_point(&self) -> Option<u64> {
        *self.inner.damaged_point.lock()
    }

    /// The point of the note, and its boot and file, if no later open has made it worthless.
    fn noted_point(&self) -> Option<(u64, u64)> {
        let [number, identity, opens, checksum] = std::array::from_fn(|at| self.cell(NOTE + at));
        let is_whole = checksum == checksum_of_note([number, identity, opens]);
        (is_whole && self.is_of_this_open(opens)).then_some((number, identity))
    }

    /// Makes the points useless, durably.
    ///
    /// # Errors
    /// The operating system's.
    pub fn void_points(&self) -> io::Result<()> {
        if self.valid_points().next().is_none() {
            return Ok(());
        }
        self.hint(NOTE, 0);
        for number in 0..2 {
            self.point_at(number).checksum.store(0, Ordering::Release);
        }
        self.sync_points()
    }

    /// Has the operating system write all pages that have changed.
    ///
    /// # Errors
    /// The operating system's. Then [`touch`](Self::touch) what may have changed, and try again: the system takes pages that
    /// it could not write for written.
    pub fn sync_all(&self) -> io::Result<()> {
        let mapped = self.inner.mapped();
        sync(self.inner.pop.as_ptr().cast_const().cast(), mapped.len())
    }

    /// Has the operating system write the points, and all else in the root object.
    ///
    /// # Errors
    /// As for [`sync_all`](Self::sync_all).
    pub fn sync_points(&self) -> io::Result<()> {
        sync(
            self.inner.root.as_ptr().cast_const().cast(),
            size_of::<Root>(),
        )
    }

    /// Has the system take the root object's pages for changed.
    pub fn touch(&self) {
        for number in 0..2 {
            let place = self.point_at(number);
            place.number.fetch_or(0, Ordering::AcqRel);
            place.checksum.fetch_or(0, Ordering::AcqRel);
        }
        for word in self.every_word() {
            word.fetch_or(0, Ordering::AcqRel);
        }
    }

    /// Stops waiting for the disk after a store of a word: points say what is there after a power cut.
    pub fn rely_on_points(&self) {
        self.inner.persist.rely_on_points();
    }

    /// Takes the words back to the latest point, if a power cut may have left others.
    pub(super) fn restore_words(&self) {
        let identity = identity(self.path());
        let newest = self.valid_points().max_by_key(|(point, _)| point.number);
        let last = newest.as_ref().map_or(0, |(point, _)| point.number);
        *self.inner.damaged_point.lock() = self
            .noted_point()
            .filter(|&(number, of)| number > last && of != identity)
            .map(|(number, _)| number);
        let Some((point, _)) = newest.filter(|&(_, of)| of != identity) else {
            return;
        };
        self.replace_words(&point.words);
        *self.inner.restored.lock() = Some(point);
    }

    /// The points that are whole and of the last open, each with the boot and file in which it was made.
    fn valid_points(&self) -> impl Iterator<Item = (Point, u64)> {
        (0..2).filter_map(|number| {
            let place = self.point_at(number);
            let load = |words: &[AtomicU64]| -> Vec<u64> {
                words
                    .iter()
                    .map(|word| word.load(Ordering::Acquire))
                    .collect()
            };
            let mut layout = [0; POINT_NUMBERS];
            layout.copy_from_slice(&load(&place.layout));
            let point = Point {
                number: place.number.load(Ordering::Acquire),
                layout,
                words: load(&place.words),
            };
            let identity = place.identity.load(Ordering::Acquire);
            let is_of_this_open = self.is_of_this_open(point.words[WORD_OPENS]);
            let is_whole = point.number & 1 == number
                && place.checksum.load(Ordering::Acquire) == checksum(&point, identity);
            (is_whole && is_of_this_open).then_some((point, identity))
        })
    }

    /// Whether this count of opens is that of the last open: it stores its first point just before it counts itself.
    fn is_of_this_open(&self, opens: u64) -> bool {
        self.opens_as_stored()
            .iter()
            .all(|&stored| stored == opens || stored.checked_add(1) == Some(opens))
    }

    fn point_at(&self, number: u64) -> &StoredPoint {
        let root = self.inner.root.as_ptr();
        if number & 1 == 0 {
            // SAFETY: the root object is mapped as long as `self` lives, and the points are made of atomics.
            unsafe { &(*root).first_point }
        } else {
            // SAFETY: as above.
            unsafe { &(*root).second_point }
        }
    }
}

/// Never 0, which stands for no point.
fn checksum(point: &Point, identity: u64) -> u64 {
    let mut bytes = Vec::with_capacity((2 + POINT_NUMBERS + WORDS) * 8);
    let numbers = [point.number, identity];
    for number in numbers.iter().chain(&point.layout).chain(&point.words) {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    xxh3_64(&bytes) | 1
}

/// Never 0, which stands for no note.
fn checksum_of_note(numbers: [u64; 3]) -> u64 {
    let bytes: Vec<u8> = numbers.iter().flat_map(|one| one.to_le_bytes()).collect();
    xxh3_64(&bytes) | 1
}

/// A number for this boot and the file at `path`. Where the system does not tell the boot, each open is one of its own.
fn identity(path: &Path) -> u64 {
    static UNKNOWN: AtomicU64 = AtomicU64::new(1);
    let known = fs::read("/proc/sys/kernel/random/boot_id").and_then(|boot| {
        let metadata = fs::metadata(path)?;
        Ok((boot, metadata))
    });
    let Ok((mut identity, metadata)) = known else {
        return UNKNOWN.fetch_add(2, Ordering::Relaxed);
    };
    for number in [metadata.dev(), metadata.ino()] {
        identity.extend_from_slice(&number.to_le_bytes());
    }
    xxh3_64(&identity) | 1 << 63
}

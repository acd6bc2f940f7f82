//! The durable words: small numbers in the pool. The server stores one word, or several in one step.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use super::root::{CELLS, Root, Seal, StoredWords, WORDS};
use super::root::{
    FORMAT_VERSION, FORMAT_WITH_EXTENTS, FORMAT_WITHOUT_COPY, RawHeader, Redo, redo_checksum,
};
use super::{Pool, PoolError};

/// The word that counts the opens of a pool.
pub(super) const WORD_OPENS: usize = 15;

/// Where the checksum of a copy is, behind the words.
const CHECK: usize = WORDS;

/// Where the number of the change is that made a copy.
const CHANGE: usize = WORDS + 1;

/// A copy's words in DRAM, and its seal.
type Image = [u64; WORDS + 2];

impl Pool {
    /// Word `index`; 0 in a new pool.
    ///
    /// # Panics
    /// If `index` is not below [`WORDS`].
    pub fn word(&self, index: usize) -> u64 {
        assert!(index < WORDS, "a pool has {WORDS} words");
        self.root().first.words[index].load(Ordering::Acquire)
    }

    /// Stores one word. After a crash it has the old or the new value; once this has returned, the new one.
    ///
    /// # Panics
    /// If `index` is not below [`WORDS`].
    pub fn set_word(&self, index: usize, value: u64) {
        self.set_words(index, &[value]);
    }

    /// `count` words from `start` on, all as of one moment: never between two words of a
    /// [`set_words`](Self::set_words).
    ///
    /// # Panics
    /// If the words reach beyond [`WORDS`].
    pub fn words(&self, start: usize, count: usize) -> Vec<u64> {
        assert!(start + count <= WORDS, "a pool has {WORDS} words");
        let _alone = self.inner.words.lock();
        self.root().first.words[start..start + count]
            .iter()
            .map(|word| word.load(Ordering::Relaxed))
            .collect()
    }

    /// Stores the words from `start` on in one step. After a crash all are old or all are new; once this has returned,
    /// all are new. [`word`](Self::word) may see some of them earlier than others; [`words`](Self::words) sees all or
    /// none.
    ///
    /// # Panics
    /// If the words reach beyond [`WORDS`].
    pub fn set_words(&self, start: usize, values: &[u64]) {
        assert!(
            start <= WORDS && values.len() <= WORDS - start,
            "a pool has {WORDS} words"
        );
        if values.is_empty() {
            return;
        }
        let has_copy = self.has_copy();
        let _alone = self.inner.words.lock();
        let root = self.root();
        let old = load(&root.first);
        let change = if has_copy { next(old[CHANGE]) } else { 0 };
        let redo = root.redo;
        redo.start.store(start as u64, Ordering::Relaxed);
        redo.count
            .store(values.len() as u64 | change << 32, Ordering::Relaxed);
        for (place, value) in redo.words.iter().zip(values) {
            place.store(*value, Ordering::Relaxed);
        }
        // A crash before the checksum fits drops the whole set. After it, the next open finishes the set.
        redo.checksum
            .store(checksum_of_redo(start, values, change), Ordering::Release);
        self.inner.persist::<Redo>(redo);
        let mut new = old;
        new[start..start + values.len()].copy_from_slice(values);
        self.apply(start, values.len(), &mut new, change);
        if has_copy {
            // The number of its change tells the next open that the entry is done, so that nobody waits for this store.
            redo.checksum.store(0, Ordering::Release);
        } else {
            self.clear_redo();
        }
    }

    /// Cell `index`: a word of 8 bytes that is stored by itself and has no second copy; 0 in a new pool. It survives the
    /// process.
    ///
    /// # Panics
    /// If `index` is not below [`CELLS`].
    pub fn cell(&self, index: usize) -> u64 {
        self.root().cells[index].load(Ordering::Acquire)
    }

    /// Stores a cell; durable on return.
    ///
    /// # Panics
    /// If `index` is not below [`CELLS`].
    pub fn set_cell(&self, index: usize, value: u64) {
        let cell = &self.root().cells[index];
        cell.store(value, Ordering::Release);
        self.inner.persist(cell);
    }

    /// Adds to a cell, beside others that do; durable on return.
    ///
    /// # Panics
    /// If `index` is not below [`CELLS`].
    pub fn add_to_cell(&self, index: usize, value: u64) {
        let cell = &self.root().cells[index];
        cell.fetch_add(value, Ordering::AcqRel);
        self.inner.persist(cell);
    }

    /// Stores a cell without a flush: after a loss of power it may be an older one.
    ///
    /// # Panics
    /// If `index` is not below [`CELLS`].
    #[inline]
    pub fn hint(&self, index: usize, value: u64) {
        self.root().cells[index].store(value, Ordering::Release);
    }

    /// Whether the words have their second copy: those of a pool of the former format get it by
    /// [`upgrade`](Self::upgrade).
    pub fn has_copy(&self) -> bool {
        self.inner.has_copy.load(Ordering::Acquire)
    }

    /// What the open has mended of the words, for the log.
    pub fn mended(&self) -> Option<&'static str> {
        *self.inner.mended.lock()
    }

    /// Gives a pool of a former format the newest one, from which no earlier program opens it.
    pub fn upgrade(&self) {
        let has_copy = self.has_copy();
        if has_copy && self.inner.header.format_version >= FORMAT_VERSION {
            return;
        }
        if !has_copy {
            self.make_copies();
        }
        self.set_version(FORMAT_VERSION);
        self.inner.has_copy.store(true, Ordering::Release);
    }

    /// Keeps programs that know no extents from opening the pool. Durable on return.
    pub fn will_have_extents(&self) {
        if !self.inner.has_extents.swap(true, Ordering::AcqRel) {
            self.set_version(FORMAT_WITH_EXTENTS);
        }
    }

    fn set_version(&self, version: u32) {
        // SAFETY: the root object is mapped as long as `self` lives.
        let header = unsafe { &raw mut (*self.inner.root.as_ptr()).header };
        // SAFETY: nobody reads the header in place after the open.
        unsafe {
            RawHeader::upgrade(header, version, |start, bytes| {
                self.inner.persist_now(start, bytes);
            });
        }
    }

    /// Makes two whole copies of the words as they are.
    pub(super) fn make_copies(&self) {
        let _alone = self.inner.words.lock();
        let root = self.root();
        let mut image = load(&root.first);
        seal(&mut image, 1);
        for copy in [&root.first, &root.second] {
            self.store_copy(copy, &image, 0, WORDS);
        }
    }

    /// Finishes a set of words that a crash interrupted, and mends a copy that is damaged or older than the other one.
    pub(super) fn replay_words(&self, format: u32) -> Result<(), PoolError> {
        let _alone = self.inner.words.lock();
        let root = self.root();
        let (first, second) = (load(&root.first), load(&root.second));
        let pending = self.pending();
        if format == FORMAT_WITHOUT_COPY {
            if let Some(pending) = &pending {
                let mut image = first;
                pending.enter(&mut image);
                self.store_image(&root.first, &image, pending.start, pending.values.len());
            }
            self.clear_redo();
            return Ok(());
        }
        let whole = |image: &Image| image[CHECK] == check_of(image);
        let newest = match (whole(&first), whole(&second)) {
            (true, true) if !is_before(first[CHANGE], second[CHANGE]) => first,
            (true, false) => first,
            (_, true) => second,
            (false, false) => return Err(self.damaged("neither copy of its words is whole")),
        };
        if whole(&first) && whole(&second) && first[CHANGE] == second[CHANGE] && first != second {
            return Err(self.damaged("the two copies of its words differ"));
        }
        let mut image = newest;
        // A change that is older than a copy has been made already; what is newer than the next one is stray.
        let due = pending.filter(|pending| {
            pending.change == next(newest[CHANGE]) || pending.change == newest[CHANGE]
        });
        if let Some(pending) = &due {
            pending.enter(&mut image);
            seal(&mut image, pending.change);
        } else if first != second {
            *self.inner.mended.lock() = Some(if first == newest {
                "the second copy of the pool's words was damaged or stale: made anew"
            } else {
                "the pool's words were damaged or stale: taken from their second copy"
            });
        }
        for (copy, found) in [(&root.first, first), (&root.second, second)] {
            if found != image {
                self.store_copy(copy, &image, 0, WORDS);
            }
        }
        self.clear_redo();
        Ok(())
    }

    /// Replaces all words, whatever the copies and the redo entry hold.
    pub(super) fn replace_words(&self, words: &[u64]) {
        let _alone = self.inner.words.lock();
        let root = self.root();
        self.clear_redo();
        let mut image = [0; WORDS + 2];
        for (place, word) in image.iter_mut().zip(words) {
            *place = *word;
        }
        seal(&mut image, 1);
        for copy in [&root.first, &root.second] {
            self.store_copy(copy, &image, 0, WORDS);
        }
    }

    /// The count of opens: that of the newest whole copy, since the other one may be damaged or stale. Where a power cut has
    /// left no copy whole, those of both.
    pub(super) fn opens_as_stored(&self) -> [u64; 2] {
        let root = self.root();
        let copies = [load(&root.first), load(&root.second)];
        let whole = copies
            .iter()
            .filter(|image| image[CHECK] == check_of(image));
        let newest = whole.reduce(|one, other| {
            if is_before(one[CHANGE], other[CHANGE]) {
                other
            } else {
                one
            }
        });
        match newest {
            Some(image) => [image[WORD_OPENS]; 2],
            None => copies.map(|image| image[WORD_OPENS]),
        }
    }

    /// All words of the root object that this module stores.
    pub(super) fn every_word(&self) -> impl Iterator<Item = &AtomicU64> {
        let root = self.root();
        let copies = [root.first, root.second];
        let copies = copies
            .into_iter()
            .flat_map(|copy| copy.words.iter().chain(copy.seal));
        let redo = root.redo;
        copies.chain(root.cells).chain(redo.words.iter()).chain([
            &redo.start,
            &redo.count,
            &redo.checksum,
        ])
    }

    /// The set of words on its way, if it is whole.
    fn pending(&self) -> Option<Pending> {
        let redo = self.root().redo;
        let checksum = redo.checksum.load(Ordering::Relaxed);
        let start = redo.start.load(Ordering::Relaxed);
        let count = redo.count.load(Ordering::Relaxed);
        let (count, change) = (count & u64::from(u32::MAX), count >> 32);
        let is_inside = start
            .checked_add(count)
            .is_some_and(|end| end <= WORDS as u64);
        if checksum == 0 || !is_inside {
            return None;
        }
        let start = usize::try_from(start).ok()?;
        let values: Vec<u64> = redo
            .words
            .iter()
            .zip(0..count)
            .map(|(word, _)| word.load(Ordering::Relaxed))
            .collect();
        // A checksum that doesn't fit is a set that never became valid.
        (checksum == checksum_of_redo(start, &values, change)).then_some(Pending {
            start,
            values,
            change,
        })
    }

    /// Stores what has changed in one copy, then in the other.
    fn apply(&self, start: usize, count: usize, image: &mut Image, change: u64) {
        let root = self.root();
        if !self.has_copy() {
            self.store_image(&root.first, image, start, count);
            return;
        }
        seal(image, change);
        for copy in [&root.first, &root.second] {
            self.store_copy(copy, image, start, count);
        }
    }

    /// Stores some words of a copy; durable on return.
    fn store_image(&self, copy: &Copy<'_>, image: &Image, start: usize, count: usize) {
        let places = put(copy, image, start, count);
        self.inner
            .persist_bytes(places.as_ptr().cast(), size_of_val(places));
    }

    /// Stores some words of a copy and its seal; both durable on return. A seal without the words, or the words without it,
    /// make a copy that does not count, and then there is the other one, or the redo entry.
    fn store_copy(&self, copy: &Copy<'_>, image: &Image, start: usize, count: usize) {
        let places = put(copy, image, start, count);
        for (place, value) in copy.seal.iter().zip(&image[CHECK..]) {
            place.store(*value, Ordering::Release);
        }
        self.inner.persist.both([
            (places.as_ptr().cast(), size_of_val(places)),
            (copy.seal.as_ptr().cast(), size_of_val(copy.seal)),
        ]);
    }

    fn clear_redo(&self) {
        let checksum = &self.root().redo.checksum;
        checksum.store(0, Ordering::Release);
        self.inner.persist(checksum);
    }

    fn damaged(&self, why: &str) -> PoolError {
        PoolError::Damaged {
            path: self.inner.path.clone(),
            why: why.to_owned(),
        }
    }

    /// The root object's words. Only pointers reach its slots, because engines change them.
    fn root(&self) -> Words<'_> {
        let root = self.inner.root.as_ptr();
        Words {
            first: Copy {
                // SAFETY: the root object is mapped as long as `self` lives, and the words are atomics.
                words: unsafe { &(*root).words },
                // SAFETY: as for the words.
                seal: unsafe { &(*root).seal },
            },
            second: Copy {
                // SAFETY: as for the words.
                words: unsafe { &(*root).copy },
                // SAFETY: as for the words.
                seal: unsafe { &(*root).copy_seal },
            },
            // SAFETY: as for the words.
            redo: unsafe { &(*root).redo },
            // SAFETY: as for the words.
            cells: unsafe { &(*root).cells },
        }
    }
}

/// The parts of [`Root`] that Rust may borrow.
struct Words<'a> {
    first: Copy<'a>,
    second: Copy<'a>,
    redo: &'a Redo,
    cells: &'a [AtomicU64; CELLS],
}

/// One copy of the words.
struct Copy<'a> {
    words: &'a StoredWords,
    seal: &'a Seal,
}

/// A set of words that a crash has kept from its place.
struct Pending {
    start: usize,
    values: Vec<u64>,
    change: u64,
}

impl Pending {
    fn enter(&self, image: &mut Image) {
        image[self.start..self.start + self.values.len()].copy_from_slice(&self.values);
    }
}

fn put<'a>(copy: &Copy<'a>, image: &Image, start: usize, count: usize) -> &'a [AtomicU64] {
    let places = &copy.words[start..start + count];
    for (place, value) in places.iter().zip(&image[start..]) {
        place.store(*value, Ordering::Release);
    }
    places
}

/// The number of the change after this one: 32 bits, which the redo entry has room for.
fn next(change: u64) -> u64 {
    (change + 1) & u64::from(u32::MAX)
}

/// Whether a change was made before another, where both are less than 2^31 apart.
fn is_before(change: u64, other: u64) -> bool {
    other.wrapping_sub(change) & u64::from(u32::MAX) & (1 << 31) == 0 && change != other
}

fn load(copy: &Copy<'_>) -> Image {
    let mut image = [0; WORDS + 2];
    for (place, word) in image.iter_mut().zip(copy.words.iter().chain(copy.seal)) {
        *place = word.load(Ordering::Relaxed);
    }
    image
}

/// Says which change made the words.
fn seal(image: &mut Image, change: u64) {
    image[CHANGE] = change;
    image[CHECK] = check_of(image);
}

fn check_of(image: &Image) -> u64 {
    let words = image[..CHECK].iter().chain(&image[CHANGE..]);
    let bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
    xxh3_64(&bytes)
}

/// The number of the change is part of it; it is 0 in the former format.
fn checksum_of_redo(start: usize, values: &[u64], change: u64) -> u64 {
    redo_checksum(start as u64 | change << 32, values)
}

const _: () = assert!(align_of::<Root>() == 8, "words are stored by 8-byte stores");

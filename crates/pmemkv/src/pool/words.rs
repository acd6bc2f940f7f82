//! The durable words: small numbers in the pool. The server stores one word, or several in one step.

use std::sync::atomic::Ordering;

use super::Pool;
use super::root::{Redo, Root, WORDS, redo_checksum};

impl Pool {
    /// Word `index`; 0 in a new pool.
    ///
    /// # Panics
    /// If `index` is not below [`WORDS`].
    pub fn word(&self, index: usize) -> u64 {
        self.root().words[index].load(Ordering::Acquire)
    }

    /// Stores one word. After a crash it has the old or the new value; once this has returned, the new one.
    ///
    /// # Panics
    /// If `index` is not below [`WORDS`].
    pub fn set_word(&self, index: usize, value: u64) {
        // Another thread may be storing a set of words, which must not mix with this one.
        let _alone = self.inner.words.lock();
        self.store_word(index, value);
    }

    /// `count` words from `start` on, all as of one moment: never between two words of a
    /// [`set_words`](Self::set_words).
    ///
    /// # Panics
    /// If the words reach beyond [`WORDS`].
    pub fn words(&self, start: usize, count: usize) -> Vec<u64> {
        let _alone = self.inner.words.lock();
        self.root().words[start..start + count]
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
        let _alone = self.inner.words.lock();
        let redo = self.root().redo;
        redo.start.store(start as u64, Ordering::Relaxed);
        redo.count.store(values.len() as u64, Ordering::Relaxed);
        for (place, value) in redo.words.iter().zip(values) {
            place.store(*value, Ordering::Relaxed);
        }
        // A crash before the checksum fits drops the whole set. After it, the next open finishes the set.
        redo.checksum
            .store(redo_checksum(start as u64, values), Ordering::Release);
        self.inner.persist::<Redo>(redo);
        self.apply(start, values);
    }

    /// Finishes a set of words that a crash has interrupted.
    pub(super) fn replay_words(&self) {
        let _alone = self.inner.words.lock();
        let redo = self.root().redo;
        let checksum = redo.checksum.load(Ordering::Relaxed);
        if checksum == 0 {
            return;
        }
        let start = redo.start.load(Ordering::Relaxed);
        let count = redo.count.load(Ordering::Relaxed);
        let sane = start
            .checked_add(count)
            .is_some_and(|end| end <= WORDS as u64);
        // If the checksum does not fit, the set never became valid.
        if sane {
            let values: Vec<u64> = redo
                .words
                .iter()
                .zip(0..count)
                .map(|(word, _)| word.load(Ordering::Relaxed))
                .collect();
            if checksum == redo_checksum(start, &values) {
                let start = usize::try_from(start).expect("checked to be small");
                return self.apply(start, &values);
            }
        }
        self.clear_redo();
    }

    /// Stores each word, then clears the redo entry.
    fn apply(&self, start: usize, values: &[u64]) {
        for (index, value) in (start..).zip(values) {
            self.store_word(index, *value);
        }
        self.clear_redo();
    }

    fn clear_redo(&self) {
        let checksum = &self.root().redo.checksum;
        checksum.store(0, Ordering::Release);
        self.inner.persist(checksum);
    }

    fn store_word(&self, index: usize, value: u64) {
        let word = &self.root().words[index];
        word.store(value, Ordering::Release);
        self.inner.persist(word);
    }

    /// The root object's words. Only pointers reach its slots, because engines change them.
    fn root(&self) -> Words<'_> {
        let root = self.inner.root.as_ptr();
        Words {
            // SAFETY: the root object is mapped as long as `self` lives, and the words are atomics.
            words: unsafe { &(*root).words },
            // SAFETY: as for the words.
            redo: unsafe { &(*root).redo },
        }
    }
}

/// The parts of [`Root`] that Rust may borrow.
struct Words<'a> {
    words: &'a [std::sync::atomic::AtomicU64; WORDS],
    redo: &'a Redo,
}

const _: () = assert!(align_of::<Root>() == 8, "words are stored by 8-byte stores");

#[cfg(test)]
mod tests {
    use super::super::{FORMAT_VERSION, PoolError, PoolHeader};
    use super::*;

    /// The words after the open of a pool with a redo entry that has this checksum, start and count.
    fn words_after(checksum: u64, start: u64, count: u64) -> Result<Vec<u64>, PoolError> {
        let directory = tempfile::tempdir().expect("a directory for the pool");
        let path = directory.path().join("data.pool");
        let header = PoolHeader {
            format_version: FORMAT_VERSION,
            engine: "cmap".to_owned(),
            layout: "pairs".to_owned(),
            partitions: 1,
            hash_seed: 0,
        };
        let pool = Pool::create(&path, 16 << 20, &header)?;
        pool.set_words(0, &[1, 2, 3, 4]);
        let redo = pool.root().redo;
        redo.start.store(start, Ordering::Relaxed);
        redo.count.store(count, Ordering::Relaxed);
        redo.words[0].store(20, Ordering::Relaxed);
        redo.words[1].store(30, Ordering::Relaxed);
        redo.checksum.store(checksum, Ordering::Relaxed);
        drop(pool);
        let pool = Pool::open(&path)?;
        assert_eq!(pool.root().redo.checksum.load(Ordering::Relaxed), 0);
        Ok(pool.words(0, 4))
    }

    #[test]
    fn the_open_finishes_a_valid_set_and_forgets_any_other() -> Result<(), PoolError> {
        let valid = redo_checksum(1, &[20, 30]);
        let old = vec![1, 2, 3, 4];
        assert_eq!(words_after(valid, 1, 2)?, [1, 20, 30, 4]);
        assert_eq!(words_after(valid, 2, 2)?, old);
        assert_eq!(words_after(valid, 1, 1)?, old);
        assert_eq!(words_after(valid ^ 2, 1, 2)?, old);
        assert_eq!(words_after(7, u64::MAX, 2)?, old);
        assert_eq!(words_after(7, 0, 65)?, old);
        assert_eq!(words_after(0, 1, 2)?, old);
        Ok(())
    }
}

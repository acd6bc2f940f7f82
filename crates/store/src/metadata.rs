//! Pool metadata: what a store keeps beside its records. It lies in the pool, or in this process if the engine's data
//! end with the process.

use std::path::PathBuf;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::{Generations, StoreError, Usage};
use crate::model::DATABASES;
use pmemkv::{Pool, PoolError, WORDS};

/// The pool's word that is 1 while a process has the pool open, and 0 after an orderly end.
const WORD_OPEN: usize = 0;

/// The pool's first word of generations: two databases a word, then the next unused number.
const WORD_GENERATIONS: usize = 1;

/// The word after the generations: a checksum of them.
const WORD_GENERATIONS_CHECK: usize = WORD_GENERATIONS + GENERATION_WORDS;

/// How many words the generations take.
const GENERATION_WORDS: usize = DATABASES / 2 + 1;

/// The pool's word with the checksum of the partitions' places.
const WORD_PLACES_CHECK: usize = 11;

/// The pool's word that counts how often it was opened.
const WORD_OPENS: usize = 15;

/// The pool's first word that belongs to the layout.
pub const WORD_LAYOUT: usize = 16;

/// What a store keeps beside its records.
#[derive(Debug)]
pub enum Metadata {
    /// In the pool.
    Pool(Pool),
    /// In this process.
    Process {
        /// The generations.
        generations: Mutex<Generations>,
        /// The directory that the engine's memory comes from.
        path: PathBuf,
        /// The size of that memory.
        size_bytes: u64,
    },
}

impl Metadata {
    /// Metadata in this process, for an engine with memory of that size under `path`.
    pub fn process(path: PathBuf, size_bytes: u64) -> Self {
        Metadata::Process {
            generations: Mutex::new(Generations::default()),
            path,
            size_bytes,
        }
    }

    /// The stored generations.
    pub fn generations(&self) -> Generations {
        match self {
            Metadata::Process { generations, .. } => *generations.lock(),
            Metadata::Pool(pool) => {
                decode_generations(&pool.words(WORD_GENERATIONS, GENERATION_WORDS))
            }
        }
    }

    /// Replaces the generations in one durable step.
    pub fn set_generations(&self, new: &Generations) {
        match self {
            Metadata::Process { generations, .. } => *generations.lock() = *new,
            Metadata::Pool(pool) => set_generations(pool, new),
        }
    }

    /// Notes in one durable step that the numbers below `next` are given away. Nobody sets generations meanwhile.
    pub fn reserve_generations(&self, next: u32) {
        let stored = self.generations();
        if stored.next < next {
            self.set_generations(&Generations { next, ..stored });
        }
    }

    /// Replaces the generations and clears a word of the layout, in one durable step.
    pub fn set_generations_and_clear(&self, new: &Generations, word: usize) {
        match self {
            Metadata::Process { .. } => self.set_generations(new),
            Metadata::Pool(pool) => {
                let mut words = pool.words(WORD_GENERATIONS, word + 1 - WORD_GENERATIONS);
                for (place, value) in words.iter_mut().zip(checked(encode_generations(new))) {
                    *place = value;
                }
                if let Some(last) = words.last_mut() {
                    *last = 0;
                }
                pool.set_words(WORD_GENERATIONS, &words);
            }
        }
    }

    /// The pool or the memory, its size, and how much of it is allocated.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let mut usage = Usage::default();
        match self {
            Metadata::Pool(pool) => {
                let stats = pool
                    .stats()
                    .map_err(|error| StoreError::Pool(Box::new(error)))?;
                usage.pool_path = Some(pool.path().to_owned());
                usage.pool_bytes = stats.size_bytes;
                usage.allocated_bytes = stats.allocated_bytes;
                usage.opens = Some(pool.word(WORD_OPENS));
            }
            Metadata::Process {
                path, size_bytes, ..
            } => {
                usage.pool_path = Some(path.clone());
                usage.pool_bytes = *size_bytes;
            }
        }
        Ok(usage)
    }

    /// Notes in the pool that it was closed in order.
    pub fn mark_closed(&self) {
        if let Metadata::Pool(pool) = self {
            pool.set_word(WORD_OPEN, 0);
            pool.note_alive();
        }
    }

    /// Notes in the pool that this process lives; see [`Pool::note_alive`].
    pub fn note_alive(&self) {
        if let Metadata::Pool(pool) = self {
            pool.note_alive();
        }
    }
}

/// Whether the pool was closed in order.
pub fn was_closed(pool: &Pool) -> bool {
    pool.word(WORD_OPEN) == 0
}

/// Marks the pool as open.
pub fn mark_open(pool: &Pool) {
    pool.set_word(WORD_OPEN, 1);
}

/// The pool's words as they are after [`mark_open`] and [`count_open`].
pub fn words_when_open(pool: &Pool) -> Vec<u64> {
    let mut words = pool.words(0, WORDS);
    words[WORD_OPEN] = 1;
    words[WORD_OPENS] = words[WORD_OPENS].saturating_add(1);
    words
}

/// Counts an open of the pool.
pub fn count_open(pool: &Pool) {
    pool.set_word(WORD_OPENS, pool.word(WORD_OPENS).saturating_add(1));
}

/// Replaces a pool's generations in one durable step.
pub fn set_generations(pool: &Pool, new: &Generations) {
    pool.set_words(WORD_GENERATIONS, &checked(encode_generations(new)));
}

/// Copies the generations and the count of opens from one pool to another.
pub fn copy_generations(old: &Pool, new: &Pool) {
    let words = old.words(WORD_GENERATIONS, GENERATION_WORDS);
    complete(new, &decode_generations(&words), old.word(WORD_OPENS));
}

/// Gives a pool that was filled by hand the generations and the count of opens. From then on it counts as one that a
/// server has used and closed in order.
pub fn complete(new: &Pool, generations: &Generations, opens: u64) {
    set_generations(new, generations);
    new.set_word(WORD_PLACES_CHECK, new.places_checksum());
    new.set_word(WORD_OPENS, opens);
}

/// How often a pool was opened.
pub fn opens(pool: &Pool) -> u64 {
    pool.word(WORD_OPENS)
}

/// Refuses a pool whose generations or partitions' places are damaged. With wrong generations the server would take
/// whole databases for flushed ones and remove them; with a wrong place an engine would begin with empty data.
pub fn check(pool: &Pool) -> Result<(), PoolError> {
    let generations = pool.words(WORD_GENERATIONS, GENERATION_WORDS);
    let places = pool.places_checksum();
    if pool.word(WORD_OPENS) == 0 {
        // A new pool, or one of a version that kept no checksums.
        pool.set_words(WORD_GENERATIONS, &checked(generations));
        pool.set_word(WORD_PLACES_CHECK, places);
        return Ok(());
    }
    let damaged = |why: &str| {
        Err(PoolError::Damaged {
            path: pool.path().to_owned(),
            why: why.to_owned(),
        })
    };
    if pool.word(WORD_GENERATIONS_CHECK) != words_checksum(&generations) {
        return damaged("the databases' generations do not fit their checksum");
    }
    if pool.word(WORD_PLACES_CHECK) != places {
        return damaged("the partitions' places do not fit their checksum");
    }
    Ok(())
}

/// Appends the checksum of the words to them.
fn checked(mut words: Vec<u64>) -> Vec<u64> {
    words.push(words_checksum(&words));
    words
}

/// A checksum of words. It is never 0, so that a page of zeros never passes for intact.
pub fn words_checksum(words: &[u64]) -> u64 {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    xxh3_64(&bytes) | 1
}

/// The generations, as words of a pool.
pub fn encode_generations(generations: &Generations) -> Vec<u64> {
    let (pairs, _) = generations.of_database.as_chunks::<2>();
    let mut words: Vec<u64> = pairs
        .iter()
        .map(|&[low, high]| u64::from(low) | u64::from(high) << 32)
        .collect();
    words.push(u64::from(generations.next));
    words
}

/// The inverse of [`encode_generations`].
#[allow(clippy::cast_possible_truncation)] // Each half of a word is one number.
pub fn decode_generations(words: &[u64]) -> Generations {
    let mut generations = Generations::default();
    let Some((&next, pairs)) = words.split_last() else {
        return generations;
    };
    // All words of a new pool are 0, and the next unused generation never is.
    if next != 0 {
        for (db, generation) in generations.of_database.iter_mut().enumerate() {
            *generation = (pairs[db / 2] >> (32 * (db % 2))) as u32;
        }
        generations.next = next as u32;
    }
    generations
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fs;

    use super::*;
    use crate::testing::folder;
    use pmemkv::{FORMAT_VERSION, PoolHeader};

    type Result = std::result::Result<(), Box<dyn Error>>;

    fn is_damaged(pool: &Pool, what: &str) -> bool {
        matches!(check(pool), Err(PoolError::Damaged { why, .. }) if why.contains(what))
    }

    #[test]
    fn damaged_words_and_places_are_refused() -> Result {
        let folder = folder()?;
        let path = folder.path().join("pool");
        let header = PoolHeader {
            format_version: FORMAT_VERSION,
            engine: "cmap".to_owned(),
            layout: "pairs".to_owned(),
            partitions: 2,
            hash_seed: 0,
        };
        let pool = Pool::create(&path, 16 << 20, &header)?;
        check(&pool)?;
        count_open(&pool);
        check(&pool)?;
        let metadata = Metadata::Pool(pool.clone());
        let mut generations = metadata.generations();
        generations.of_database[3] = 77;
        generations.next = 78;
        metadata.set_generations(&generations);
        check(&pool)?;
        assert_eq!(metadata.generations(), generations);

        for word in WORD_GENERATIONS..=WORD_GENERATIONS_CHECK {
            let sound = pool.word(word);
            for damaged in [sound ^ 1, sound ^ (1 << 40), u64::MAX] {
                pool.set_word(word, damaged);
                assert!(is_damaged(&pool, "generations"), "{word}: {damaged}");
            }
            pool.set_word(word, sound);
        }
        check(&pool)?;
        drop(metadata);
        drop(pool);

        // Clears the partitions' places, 1088 bytes after the layout's name, as in a pool without partitions.
        let mut bytes = fs::read(&path)?;
        let name = memchr::memmem::find(&bytes, b"pairs\0").ok_or("no header")?;
        bytes[name + 1088..name + 1104].fill(0);
        fs::write(&path, bytes)?;
        assert!(is_damaged(&Pool::open(&path)?, "places"));
        Ok(())
    }
}

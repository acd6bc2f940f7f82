//! Where a store keeps what is not a record: in its pool, or in this process where the engine does not outlive it.

use std::path::PathBuf;

use parking_lot::Mutex;

use super::{Generations, StoreError, Usage};
use crate::keyspace::DATABASES;
use crate::pmemkv::Pool;

/// The pool's word that is 1 while a process has the pool open, and 0 after an orderly end.
const WORD_OPEN: usize = 0;

/// The pool's first word of generations: two databases a word, then the next unused number.
const WORD_GENERATIONS: usize = 1;

/// The pool's first word that belongs to the layout.
pub const WORD_LAYOUT: usize = 16;

/// Where what is not a record is kept.
#[derive(Debug)]
pub enum Home {
    /// In the pool.
    Pool(Pool),
    /// In this process.
    Process {
        /// The generations.
        generations: Mutex<Generations>,
        /// Where the engine's memory comes from.
        path: PathBuf,
        /// How much there is of it.
        size_bytes: u64,
    },
}

impl Home {
    /// One in this process, for an engine with memory of that size under `path`.
    pub fn process(path: PathBuf, size_bytes: u64) -> Self {
        Home::Process {
            generations: Mutex::new(Generations::default()),
            path,
            size_bytes,
        }
    }

    /// The stored generations.
    pub fn generations(&self) -> Generations {
        match self {
            Home::Process { generations, .. } => *generations.lock(),
            Home::Pool(pool) => {
                decode_generations(&pool.words(WORD_GENERATIONS, DATABASES / 2 + 1))
            }
        }
    }

    /// Replaces the generations in one durable step.
    pub fn set_generations(&self, new: &Generations) {
        match self {
            Home::Process { generations, .. } => *generations.lock() = *new,
            Home::Pool(pool) => set_generations(pool, new),
        }
    }

    /// Replaces the generations and clears a word of the layout's, all in one durable step.
    pub fn set_generations_and_clear(&self, new: &Generations, word: usize) {
        match self {
            Home::Process { .. } => self.set_generations(new),
            Home::Pool(pool) => {
                let mut words = pool.words(WORD_GENERATIONS, word + 1 - WORD_GENERATIONS);
                for (place, value) in words.iter_mut().zip(encode_generations(new)) {
                    *place = value;
                }
                if let Some(last) = words.last_mut() {
                    *last = 0;
                }
                pool.set_words(WORD_GENERATIONS, &words);
            }
        }
    }

    /// What the pool or the memory is and how much of it is allocated.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let mut usage = Usage::default();
        match self {
            Home::Pool(pool) => {
                let stats = pool
                    .stats()
                    .map_err(|error| StoreError::Engine(error.to_string()))?;
                usage.pool_path = Some(pool.path().to_owned());
                usage.pool_bytes = stats.size_bytes;
                usage.allocated_bytes = stats.allocated_bytes;
            }
            Home::Process {
                path, size_bytes, ..
            } => {
                usage.pool_path = Some(path.clone());
                usage.pool_bytes = *size_bytes;
            }
        }
        Ok(usage)
    }

    /// Marks the data as left in good order.
    pub fn mark_closed(&self) {
        if let Home::Pool(pool) = self {
            pool.set_word(WORD_OPEN, 0);
        }
    }
}

/// Whether the pool was left in good order.
pub fn was_closed(pool: &Pool) -> bool {
    pool.word(WORD_OPEN) == 0
}

/// Marks the pool as open.
pub fn mark_open(pool: &Pool) {
    pool.set_word(WORD_OPEN, 1);
}

/// Replaces a pool's generations in one durable step.
pub fn set_generations(pool: &Pool, new: &Generations) {
    pool.set_words(WORD_GENERATIONS, &encode_generations(new));
}

/// Gives a new pool the generations of another.
pub fn copy_generations(old: &Pool, new: &Pool) {
    let words = old.words(WORD_GENERATIONS, DATABASES / 2 + 1);
    new.set_words(WORD_GENERATIONS, &words);
}

/// Generations as words of a pool.
pub fn encode_generations(generations: &Generations) -> Vec<u64> {
    let (pairs, _) = generations.of_database.as_chunks::<2>();
    let mut words: Vec<u64> = pairs
        .iter()
        .map(|&[low, high]| u64::from(low) | u64::from(high) << 32)
        .collect();
    words.push(u64::from(generations.next));
    words
}

/// The opposite of [`encode_generations`].
#[allow(clippy::cast_possible_truncation)] // Each half of a word is one number.
pub fn decode_generations(words: &[u64]) -> Generations {
    let mut generations = Generations::default();
    let Some((&next, pairs)) = words.split_last() else {
        return generations;
    };
    // A new pool's words are 0, which no set of generations has at its end.
    if next != 0 {
        for (db, generation) in generations.of_database.iter_mut().enumerate() {
            *generation = (pairs[db / 2] >> (32 * (db % 2))) as u32;
        }
        generations.next = next as u32;
    }
    generations
}

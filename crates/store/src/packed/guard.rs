//! Guards of commits, as words of the pool.

use super::WORD_GUARDS;
use super::header::Which;
use super::log::Guard;
use crate::Generations;
use crate::metadata::{self, Metadata};

/// The second word of a guard: the offset, with a checksum of the guard in its upper half. Without the checksum a
/// damaged guard would undo committed records.
pub(super) fn guarded_offset(which: Which, serial: u64, offset: u64) -> u64 {
    let check = metadata::words_checksum(&[which as u64, serial, offset]);
    (check >> 32 << 32) | offset
}

impl Guard for Metadata {
    fn set(&self, which: Which, serial: u64, offset: usize) {
        if let Metadata::Pool(pool) = self {
            let word = WORD_GUARDS + 2 * which as usize;
            pool.set_words(
                word,
                &[serial, guarded_offset(which, serial, offset as u64)],
            );
        }
    }

    fn clear(&self, which: Which) {
        if let Metadata::Pool(pool) = self {
            pool.set_word(WORD_GUARDS + 2 * which as usize, 0);
        }
    }

    fn clear_with(&self, which: Which, generations: &Generations) {
        self.set_generations_and_clear(generations, WORD_GUARDS + 2 * which as usize);
    }
}

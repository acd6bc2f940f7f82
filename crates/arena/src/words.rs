//! Words of an arena that were looked up, so that who changes one need not look it up again.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Arena, EXTENT_LINES, EXTENT_WORDS, LINE_WORDS};

/// A word, with its number.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub(crate) number: usize,
    pub(crate) word: &'static AtomicU64,
}

/// Words that lie one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Run<const N: usize> {
    first: usize,
    words: &'static [AtomicU64; N],
}

impl<const N: usize> Run<N> {
    /// The number of the first word.
    #[inline]
    pub fn first(self) -> usize {
        self.first
    }

    /// The words.
    #[inline]
    pub fn words(self) -> &'static [AtomicU64; N] {
        self.words
    }

    /// The value of a word.
    ///
    /// # Panics
    ///
    /// If the run has no such word.
    #[inline]
    pub fn get(self, at: usize) -> u64 {
        self.words[at].load(Ordering::Relaxed)
    }

    /// One of the words.
    ///
    /// # Panics
    ///
    /// If the run has no such word.
    #[inline]
    pub fn word(self, at: usize) -> Word {
        Word {
            number: self.first + at,
            word: &self.words[at],
        }
    }
}

/// The lines of an extent.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    first: usize,
    lines: &'static [[AtomicU64; LINE_WORDS]; EXTENT_LINES],
}

impl Lines {
    /// The line of this number, counted on into the next extents: the extent's own lines come again and again.
    #[inline]
    pub fn line(self, number: usize) -> Run<LINE_WORDS> {
        let number = number % EXTENT_LINES;
        Run {
            first: self.first + number * LINE_WORDS,
            words: &self.lines[number],
        }
    }
}

impl Arena {
    /// Words from one on.
    ///
    /// # Panics
    ///
    /// If there are none of these numbers.
    #[inline]
    pub fn run<const N: usize>(&'static self, first: usize) -> Run<N> {
        let (runs, _) = self.slice(first, N).as_chunks();
        Run {
            first,
            words: &runs[0],
        }
    }

    /// The lines of an extent.
    ///
    /// # Panics
    ///
    /// If there is no such extent.
    pub fn lines(&'static self, extent: u32) -> Lines {
        let first = extent as usize * EXTENT_WORDS;
        let (lines, _) = self.slice(first, EXTENT_WORDS).as_chunks();
        let (extents, _) = lines.as_chunks();
        Lines {
            first,
            lines: &extents[0],
        }
    }
}

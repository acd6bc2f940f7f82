//! Keeps the first mark of an index away while an empty pool is filled.

use std::sync::atomic::Ordering;

use super::State;
use crate::Keyspace;

impl State {
    /// Whether the first mark is not to be published yet.
    pub(super) fn waits_with_first_mark(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed) && self.arena.is_unmarked()
    }
}

/// While it lives, no thread publishes the first mark; see [`Keyspace::pause_marks`].
#[derive(Debug)]
pub struct PausedMarks<'k>(Option<&'k State>);

impl Drop for PausedMarks<'_> {
    fn drop(&mut self) {
        if let Some(kept) = self.0 {
            kept.is_paused.store(false, Ordering::Relaxed);
        }
    }
}

impl Keyspace {
    /// Keeps the first mark of a new index from being published while the result lives. Before that mark an index notes no old
    /// values of its words, which would cost about as much as the words themselves. A process that dies meanwhile leaves no
    /// index, and the next one reads the pool. Where there is a mark already, this changes nothing.
    pub fn pause_marks(&self) -> PausedMarks<'_> {
        let kept = self.kept.as_ref();
        if let Some(kept) = kept {
            kept.is_paused.store(true, Ordering::Relaxed);
        }
        PausedMarks(kept)
    }
}

//! Segments that are mostly garbage, emptied while clients write nothing.
//!
//! The compaction works for room, so in a roomy pool it does nothing, and each start reads all the garbage. Streams make much
//! of it: a full node replaces the records of its entries, which are more than half of what the entries have written.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Packed;
use super::accounts::Ask;
use super::compact::{Aim, SLICE};
use super::space::Space;
use crate::{Relocate, Worked};

/// Clients must have written nothing for so long: under load the cores are theirs.
const QUIET_TIME: Duration = Duration::from_millis(100);

/// A segment is emptied if more than one of this many shares of it is garbage: copying costs less than it frees.
const GARBAGE_SHARE: usize = 2;

/// How much clients had written when it was last looked at, and when they wrote last.
#[derive(Debug, Default)]
pub struct Quiet(Mutex<Option<(u64, Instant)>>);

impl Quiet {
    /// Whether clients have written nothing for a while. `staged` is how much they have written so far.
    fn is_quiet(&self, staged: u64) -> bool {
        let mut last = self.0.lock();
        match *last {
            Some((before, since)) if before == staged => since.elapsed() >= QUIET_TIME,
            _ => {
                *last = Some((staged, Instant::now()));
                false
            }
        }
    }
}

impl Packed {
    /// Goes on with a segment that is mostly garbage, for a moment, if clients write nothing. Returns whether it did
    /// something.
    pub(super) fn tidy(&self, index: &dyn Relocate) -> bool {
        let staged = self.front.staged.load(Ordering::Acquire);
        if !self.quiet.is_quiet(staged) {
            return false;
        }
        self.compact_for(Aim::Tidiness, index, SLICE)
            .inspect_err(|error| tracing::error!(%error, "the compaction failed"))
            .is_ok_and(|worked| worked == Worked::Some)
    }
}

impl Space {
    /// Of the sealed segments that `may_go` and are mostly garbage, one that frees most when it is emptied.
    pub(super) fn mostly_garbage(&self, may_go: Ask<'_>) -> Option<u32> {
        self.most_gained(self.capacity() / GARBAGE_SHARE, may_go)
    }
}

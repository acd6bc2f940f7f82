//! Spare segments, which the store makes ahead of need: a new one costs some 0.7 ms, most of it for zeros and page faults.
//!
//! While clients write, the store keeps a few ready. When its thread has nothing else to do, it makes many, one at a
//! time, so that a burst of writes finds them. A spare segment is a free one: the store counts free segments and those that
//! can still be made as one, so spares take no room from anybody.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::header::Header;
use super::space::Space;
use crate::StoreError;
use pmemkv::Error;

/// How many free segments the store keeps ready while clients write.
const SPARES: u32 = 4;

/// The most spare segments that the store makes when it is idle: 128 MiB.
const IDLE_SPARES_MAX: u32 = 128;

/// Of a small pool the idle store makes one of this many shares ready.
const IDLE_SHARE: u32 = 16;

/// A pool's new objects lie one behind the other, but for what libpmemobj keeps for itself. So much, and one of this many shares of
/// what is allocated, is had ready behind them.
const RESERVE_BYTES: u64 = 16 << 20;
const RESERVE_SHARE: u64 = 128;

/// A process that uses less than one of this many shares of a core is calm.
const CALM_SHARE: u32 = 50;

/// What the idle store has done.
#[derive(Debug, Default)]
pub struct Idle {
    /// Free segments of an earlier process whose pages are mapped already.
    mapped: AtomicU32,
    /// What the process had used when blocks were given last, or could have been.
    looked: parking_lot::Mutex<Option<Usage>>,
}

/// How much processor time the process had used at a moment.
#[derive(Clone, Copy, Debug)]
struct Usage {
    at: Instant,
    used: Duration,
}

impl Usage {
    /// `None` where the system does not tell.
    fn now() -> Option<Self> {
        let used = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok()?;
        Some(Self {
            at: Instant::now(),
            used: used.into(),
        })
    }

    /// Whether the process has been calm since then.
    fn was_calm_since(self) -> bool {
        Self::now().is_some_and(|now| {
            let used = now.used.saturating_sub(self.used);
            used < (now.at - self.at) / CALM_SHARE
        })
    }
}

impl Space {
    /// Makes one more segment, or as many as are best made at once.
    pub(super) fn make(&self) -> Result<(), StoreError> {
        let possible = self.possible();
        if possible == 0 {
            return Err(StoreError::OutOfMemory);
        }
        let count = self.segments.made_at_once().min(possible);
        self.reserve_for(count)?;
        let made = match self.make_extent(count) {
            // There may be room for one where there is none for many.
            Ok(None) | Err(Error::OutOfMemory(_)) => self
                .segments
                .add(&Header::FREE.encode())
                .map(|first| (first, 1)),
            Ok(Some(first)) => Ok((first, count)),
            Err(error) => Err(error),
        };
        match made {
            Ok((first, count)) => {
                self.roll.note_made(first + count);
                self.made.fetch_add(count, Ordering::AcqRel);
                // The first is the next to be taken.
                for segment in (first..first + count).rev() {
                    self.found_free(segment);
                }
                Ok(())
            }
            Err(Error::OutOfMemory(_)) => {
                let made = self.made.load(Ordering::Acquire);
                tracing::info!(segments = made, "the pool takes no more segments");
                self.made_max.store(made, Ordering::Release);
                Err(StoreError::OutOfMemory)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Has the file system give the blocks that `count` more segments may take.
    fn reserve_for(&self, count: u32) -> Result<(), StoreError> {
        let Some(pool) = self.roll.pool() else {
            return Ok(());
        };
        let allocated = pool
            .stats()
            .map_err(|error| StoreError::Engine(error.to_string()))?
            .allocated_bytes;
        let more = u64::from(count) * self.segments.segment_bytes() as u64;
        let bytes = allocated + more + allocated / RESERVE_SHARE + RESERVE_BYTES;
        pool.reserve_to(bytes).map_err(|error| {
            let made = self.made.load(Ordering::Acquire);
            tracing::warn!(segments = made, "the pool takes no more segments: {error}");
            self.made_max.store(made, Ordering::Release);
            StoreError::OutOfMemory
        })
    }

    /// Has the file system give some more of the pool's blocks; `false` if it has given all, or cannot, or the process is busy: clients
    /// may be reading, and whoever needs blocks has them given at once.
    pub fn reserve_some(&self) -> bool {
        let pool = self.roll.pool().filter(|pool| !pool.has_all_blocks());
        let Some(pool) = pool else {
            return false;
        };
        let mut looked = self.idle.looked.lock();
        let is_calm = looked.is_some_and(Usage::was_calm_since);
        let has_given = is_calm && matches!(pool.reserve_some(), Ok(true));
        // What this has taken itself does not count.
        *looked = Usage::now();
        has_given
    }

    /// Makes so many segments as one value; `None` where that gains nothing.
    fn make_extent(&self, count: u32) -> Result<Option<u32>, Error> {
        if count < 2 || !self.roll.will_have_extents() {
            return Ok(None);
        }
        let first = self.segments.add_extent(count, &Header::FREE.encode())?;
        Ok(Some(first))
    }

    /// Makes spare segments until there are enough for clients that write, or the pool has no room for more.
    pub fn make_spares(&self) {
        while self.wants_spares() {
            if self.make().is_err() {
                return;
            }
        }
    }

    /// Whether [`make_spares`](Self::make_spares) has something to do.
    pub fn wants_spares(&self) -> bool {
        // What takes long is begun earlier.
        self.is_short_of(SPARES.max(self.segments.made_at_once() / 2))
    }

    /// Makes one spare segment, or maps the pages of one that an earlier process has left. Returns whether it did: `false`
    /// says that there are as many as an idle store keeps ready.
    pub fn prepare_one(&self) -> bool {
        let wanted =
            (self.made_max.load(Ordering::Relaxed) / IDLE_SHARE).clamp(SPARES, IDLE_SPARES_MAX);
        let mapped = self.idle.mapped.load(Ordering::Relaxed);
        if mapped < wanted
            && let Some(segment) = self.nth_next(mapped)
        {
            self.idle.mapped.store(mapped + 1, Ordering::Relaxed);
            self.segments.populate(segment);
            return true;
        }
        self.is_short_of(wanted) && self.make().is_ok()
    }

    fn is_short_of(&self, spares: u32) -> bool {
        self.free_count.load(Ordering::Acquire) < spares && self.possible() > 0
    }
}

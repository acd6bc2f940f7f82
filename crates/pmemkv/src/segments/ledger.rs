//! A value of words beside the segments, in which their owner keeps accounts of them. It keeps its address, as they do.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::{Found, Place, SEGMENT_HEADER_BYTES, Segments};
use crate::error::Error;
use crate::persist::PAGE_BYTES;

/// The ledger's key: longer than a segment's.
const KEY: &[u8] = b"ledger";

/// The ledger's place.
#[derive(Debug)]
pub(super) struct Ledger {
    start: Place,
    words: usize,
}

impl Segments {
    /// Finds the ledger that an earlier process has left. Returns whether there is one.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where it lies outside of the pool or at an odd place, and any error of the engine.
    pub fn find_ledger(&self) -> Result<bool, Error> {
        if self.ledger.get().is_some() {
            return Ok(true);
        }
        let Some(found) = Found::of(&self.database, KEY)? else {
            return Ok(false);
        };
        let start = found.start as usize;
        let is_inside = self.database.mapped().is_none_or(|pool| {
            pool.contains(&start) && start.saturating_add(found.bytes) <= pool.end
        });
        if !is_inside || !start.is_multiple_of(align_of::<AtomicU64>()) {
            return Err(Error::InvalidArgument(
                "the ledger lies at an odd place".to_owned(),
            ));
        }
        let _ = self.ledger.set(Ledger {
            start: Place(found.start),
            words: found.bytes / size_of::<u64>(),
        });
        Ok(true)
    }

    /// Finds a ledger of so many words, or makes one of zeros.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] where the pool has no room, [`Error::InvalidArgument`] where there is one of another length.
    pub fn open_ledger(&self, words: usize) -> Result<(), Error> {
        if !self.find_ledger()? {
            self.database.put(KEY, &vec![0; words * size_of::<u64>()])?;
            self.find_ledger()?;
        }
        match self.ledger().len() {
            found if found == words => Ok(()),
            found => Err(Error::InvalidArgument(format!(
                "the ledger has {found} words, not {words}"
            ))),
        }
    }

    /// The ledger; empty where there is none.
    pub fn ledger(&self) -> &[AtomicU64] {
        #[allow(clippy::cast_ptr_alignment)] // `find_ledger` has checked it.
        self.ledger.get().map_or(&[], |ledger| {
            // SAFETY: the value stays in place as long as the database, which `self` owns, is open and does none of the
            // calls that move it; `find_ledger` has checked place and alignment; atomics may be shared.
            unsafe { std::slice::from_raw_parts(ledger.start.0.cast::<AtomicU64>(), ledger.words) }
        })
    }

    /// Has the operating system take the pages of a segment, up to its last readable byte, for changed.
    pub fn touch_pages(&self, number: u32) {
        let Ok(segment) = self.segment(number) else {
            return;
        };
        let _writer = segment.writer.lock();
        let end = SEGMENT_HEADER_BYTES + segment.readable.load(Ordering::Acquire);
        let first = segment.start.0 as usize;
        let mut at = 0;
        while at < end {
            let place = segment.start.0.wrapping_add(at).cast::<AtomicU8>();
            // SAFETY: the byte lies in the segment; it is replaced by itself, in one step, and the thread holds `writer`, so
            // no other thread stores to it.
            unsafe { &*place }.fetch_or(0, Ordering::AcqRel);
            at = (first + at + 1).next_multiple_of(PAGE_BYTES) - first;
        }
    }
}

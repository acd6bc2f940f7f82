//! The segments that a backup has still to copy: nobody frees them meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A flag for each segment. They are set and taken away together under the turn to compact; the backup alone lets go of
/// single ones.
#[derive(Debug)]
pub struct Kept {
    flags: Box<[AtomicBool]>,
    count: AtomicU32,
}

impl Kept {
    /// No segment is kept of so many.
    pub fn new(segments_max: u32) -> Self {
        Self {
            flags: (0..segments_max).map(|_| AtomicBool::new(false)).collect(),
            count: AtomicU32::new(0),
        }
    }

    /// Keeps a segment.
    pub fn keep(&self, segment: u32) {
        if !self.flag(segment).swap(true, Ordering::SeqCst) {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Whether a segment is kept.
    pub fn has(&self, segment: u32) -> bool {
        self.flag(segment).load(Ordering::SeqCst)
    }

    /// Whether any segment is kept.
    pub fn is_any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Keeps a segment no more. Returns whether it was kept. The caller files it anew.
    pub(super) fn let_go(&self, segment: u32) -> bool {
        let was_kept = self.flag(segment).swap(false, Ordering::SeqCst);
        if was_kept {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
        was_kept
    }

    fn flag(&self, segment: u32) -> &AtomicBool {
        &self.flags[segment as usize]
    }
}

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

    /// Keeps a segment no more.
    pub fn let_go(&self, segment: u32) {
        if self.flag(segment).swap(false, Ordering::SeqCst) {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Keeps no segment any more.
    pub fn let_go_of_all(&self) {
        for segment in 0..u32::try_from(self.flags.len()).unwrap_or(u32::MAX) {
            self.let_go(segment);
        }
    }

    fn flag(&self, segment: u32) -> &AtomicBool {
        &self.flags[segment as usize]
    }
}

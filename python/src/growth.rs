//! Tells which put makes a hash table grow. That put takes a third of a second with a quarter of a million pairs, and a
//! second with a million, where others take microseconds.

use std::sync::atomic::{AtomicUsize, Ordering};

use pmemkv::Database;

/// A table with fewer pairs grows in a few milliseconds.
const PAIRS_MIN: usize = 1 << 15;

/// How far the table is from growing. cmap and vcmap grow by the put that finds two pairs less than a power of two.
pub(crate) struct Growth {
    grows: bool,
    /// So many puts cannot make it grow. Then the pairs have to be counted.
    left: AtomicUsize,
}

impl Growth {
    pub(crate) fn new(engine: &str) -> Self {
        Self {
            grows: matches!(engine, "cmap" | "vcmap"),
            left: AtomicUsize::new(0),
        }
    }

    /// Whether the put that comes now may make the table grow. To be asked under the interpreter's lock.
    #[inline]
    pub(crate) fn is_due(&self, database: &Database) -> bool {
        if !self.grows {
            return false;
        }
        match self.left.load(Ordering::Relaxed) {
            0 => self.count(database),
            left => {
                self.left.store(left - 1, Ordering::Relaxed);
                false
            }
        }
    }

    #[cold]
    fn count(&self, database: &Database) -> bool {
        let Ok(pairs) = database.count_all() else {
            return true;
        };
        let grows_at = (pairs + 2).next_power_of_two() - 2;
        // This put is one of those that are left.
        let left = grows_at - pairs;
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0 && pairs >= PAIRS_MIN
    }

    /// Somebody has put a pair without asking.
    pub(crate) fn forget(&self) {
        self.left.store(0, Ordering::Relaxed);
    }
}

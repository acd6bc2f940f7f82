//! The ordered view of a generation's keys, for range commands on engines without order.
//!
//! The first range command builds the view, and the keyspace then keeps it. Once the view is registered, each change
//! adds or removes its key in the view under the shard's lock. So building the view needs only one shard lock at a
//! time.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lock_order::{Mutex, Rank};
use parking_lot::RwLock;

use super::Range;

/// DRAM of a key in the view besides its bytes: a fat pointer, the tree's slack, the allocator's rounding.
const KEY_OVERHEAD_BYTES: usize = 40;

/// The keys of one generation in byte order.
#[derive(Debug)]
pub struct OrderedView {
    keys: RwLock<BTreeSet<Box<[u8]>>>,
    bytes: AtomicUsize,
    /// Whether all shards have been read into the view. The thread that builds the view holds this lock.
    pub complete: Mutex<bool>,
}

impl Default for OrderedView {
    fn default() -> Self {
        Self {
            keys: RwLock::default(),
            bytes: AtomicUsize::new(0),
            complete: Mutex::new(Rank::View, false),
        }
    }
}

impl OrderedView {
    /// Adds a key.
    pub fn insert(&self, key: &[u8]) {
        if self.keys.write().insert(key.into()) {
            self.bytes
                .fetch_add(key.len() + KEY_OVERHEAD_BYTES, Ordering::Relaxed);
        }
    }

    /// Removes a key.
    pub fn remove(&self, key: &[u8]) {
        if self.keys.write().remove(key) {
            self.bytes
                .fetch_sub(key.len() + KEY_OVERHEAD_BYTES, Ordering::Relaxed);
        }
    }

    /// Up to `limit` keys of `range` in order; if `after` is given, only keys after it.
    pub fn keys(&self, range: Range<'_>, after: Option<&[u8]>, limit: usize) -> Vec<Box<[u8]>> {
        let lower: Bound<&[u8]> = match (after, range) {
            (Some(key), _) | (None, Range::Above(key) | Range::Between(key, _)) => {
                Bound::Excluded(key)
            }
            (None, Range::EqualAbove(key)) => Bound::Included(key),
            (None, Range::All | Range::Below(_) | Range::EqualBelow(_)) => Bound::Unbounded,
        };
        self.keys
            .read()
            .range::<[u8], _>((lower, Bound::Unbounded))
            .take_while(|key| !range.is_past(key))
            .take(limit)
            .cloned()
            .collect()
    }
}

/// All ordered views, by generation.
#[derive(Debug, Default)]
pub struct Views {
    by_generation: RwLock<HashMap<u32, Arc<OrderedView>>>,
}

impl Views {
    /// The view of a generation; `None` if no range command has asked for it.
    pub fn get(&self, generation: u32) -> Option<Arc<OrderedView>> {
        self.by_generation.read().get(&generation).cloned()
    }

    /// The view of a generation; creates an empty one if there is none.
    pub fn get_or_create(&self, generation: u32) -> Arc<OrderedView> {
        Arc::clone(self.by_generation.write().entry(generation).or_default())
    }

    /// Removes a generation's view.
    pub fn remove(&self, generation: u32) {
        self.by_generation.write().remove(&generation);
    }

    /// DRAM of all views, bytes (an estimate).
    pub fn memory_bytes(&self) -> u64 {
        let views = self.by_generation.read();
        let bytes: usize = views
            .values()
            .map(|view| view.bytes.load(Ordering::Relaxed))
            .sum();
        bytes as u64
    }
}

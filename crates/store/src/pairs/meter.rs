//! How much the records take, cheap enough to be asked before each write.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use super::{RESERVE_BYTES, RESERVE_SHARE, UNSAFE_WHEN_FULL, length_of};
use crate::metadata::Metadata;
use crate::{Fill, Location, Write};

/// Writes between two looks at the pool's own figure.
const WRITES_PER_LOOK: u32 = 16;

/// What an engine in DRAM spends on a record besides key and value: the map's node and two string heads.
const RECORD_BYTES: usize = 128;

/// Share of a pool that stays free, beside what its engine needs, where keys may be evicted: without it each write
/// would have to make its own room.
const FREE_SHARE: u64 = 16;

/// What records take: what the pool has allocated, as it was a few writes ago; of an engine in DRAM the sum of the
/// records.
#[derive(Debug)]
pub enum Meter {
    /// Of a pool.
    Pool {
        allocated: AtomicU64,
        writes: AtomicU32,
        evict_above: u64,
    },
    /// Of an engine in this process's memory.
    Sum { bytes: AtomicI64 },
}

impl Meter {
    /// The meter of an engine that `metadata` describes.
    pub fn new(metadata: &Metadata, engine: &str) -> Self {
        match metadata {
            Metadata::Process { .. } => Meter::Sum {
                bytes: AtomicI64::new(0),
            },
            Metadata::Pool(pool) => {
                let stats = pool.stats().ok();
                let size = stats.as_ref().map_or(u64::MAX, |stats| stats.size_bytes);
                let reserve = if engine == UNSAFE_WHEN_FULL {
                    size / RESERVE_SHARE + RESERVE_BYTES
                } else {
                    0
                };
                Meter::Pool {
                    allocated: AtomicU64::new(stats.map_or(0, |stats| stats.allocated_bytes)),
                    writes: AtomicU32::new(0),
                    evict_above: size.saturating_sub(reserve + size / FREE_SHARE),
                }
            }
        }
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        let bytes = match self {
            Meter::Pool { allocated, .. } => allocated.load(Ordering::Relaxed),
            Meter::Sum { bytes } => u64::try_from(bytes.load(Ordering::Relaxed)).unwrap_or(0),
        };
        Fill {
            bytes,
            is_short: false,
        }
    }

    /// Above how many bytes keys should be evicted.
    pub fn evict_above(&self) -> u64 {
        match self {
            Meter::Pool { evict_above, .. } => *evict_above,
            Meter::Sum { .. } => u64::MAX,
        }
    }

    /// Notes what was written. `locations` are those that the records have now.
    pub fn note(&self, metadata: &Metadata, writes: &[Write<'_>], locations: &[Location]) {
        match self {
            Meter::Pool {
                allocated,
                writes: count,
                ..
            } => {
                if count.fetch_add(1, Ordering::Relaxed) % WRITES_PER_LOOK == 0
                    && let Metadata::Pool(pool) = metadata
                    && let Ok(stats) = pool.stats()
                {
                    allocated.store(stats.allocated_bytes, Ordering::Relaxed);
                }
            }
            Meter::Sum { bytes } => {
                let changes = writes
                    .iter()
                    .zip(locations)
                    .map(|(write, &now)| change(write, now));
                bytes.fetch_add(changes.sum(), Ordering::Relaxed);
            }
        }
    }
}

/// By how many bytes a write changes the sum.
fn change(write: &Write<'_>, now: Location) -> i64 {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let length = |location| signed(length_of(location));
    let of_key = |key: &[u8]| signed((key.len() + RECORD_BYTES) as u64);
    match *write {
        Write::Put {
            record, previous, ..
        } => match previous {
            Some(before) => length(now) - length(before),
            None => length(now) + of_key(record.key),
        },
        Write::Remove { record, location } => -length(location) - of_key(record.key),
        Write::Patch { location, .. } => length(now) - length(location),
        Write::SetExpiry { .. } => 0,
    }
}

//! Measures how much space the records take, cheaply enough for a check before each write.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use super::{RESERVE_BYTES, RESERVE_SHARE, UNSAFE_WHEN_FULL, length_of};
use crate::metadata::Metadata;
use crate::{Fill, Location, Write};

/// The meter reads the pool's own figure once in this many writes.
const WRITES_PER_LOOK: u32 = 16;

/// Bytes that an engine in DRAM takes for a record besides key and value: the map's node and two string headers.
const RECORD_BYTES: usize = 128;

/// Eviction keeps this fraction of a pool free, beside what the engine needs: without it each write would have to make
/// its own room.
const FREE_SHARE: u64 = 16;

/// Knows how much space the records take: in a pool, what was allocated a few writes ago; in DRAM, the sum of the
/// records.
#[derive(Debug)]
pub enum Meter {
    /// For an engine in a pool.
    Pool {
        allocated: AtomicU64,
        writes: AtomicU32,
        evict_above: u64,
    },
    /// For an engine in this process's memory.
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

    /// How full the store is.
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

    /// The number of bytes above which the keyspace should evict keys.
    pub fn evict_above(&self) -> u64 {
        match self {
            Meter::Pool { evict_above, .. } => *evict_above,
            Meter::Sum { .. } => u64::MAX,
        }
    }

    /// Notes writes. `locations` are those of the records after the writes.
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

/// How many bytes a write adds to the sum. A location is the length of the value.
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

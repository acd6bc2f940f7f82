//! Opening the layout: opens its engines and undoes what a crash left half done.

use std::sync::atomic::AtomicBool;

use super::Pairs;
use super::journal::Journal;
use super::meter::Meter;
use super::rebuild::rebuild;
use crate::OpenError;
use crate::metadata::{self, Metadata};
use pmemkv::{Database, Engine, Pool};

/// The most partitions of a pool: more would cost memory and bring nothing.
const PARTITIONS_MAX: u32 = 256;

/// A pool gets one partition for each this many bytes, so that the empty engines of a small pool leave room for data.
const POOL_BYTES_PER_PARTITION: u64 = 4 << 20;

/// Opens the layout in its pool.
pub fn open_pool(engine: Engine, mut pool: Pool) -> Result<Pairs, OpenError> {
    let path = pool.path().to_owned();
    if !metadata::was_closed(&pool) {
        tracing::info!(path = %path.display(), "the pool was not closed in order");
        if engine.name == "stree" {
            pool = rebuild(pool)?;
        }
    }
    let databases = open_partitions(&pool)?;
    metadata::mark_open(&pool);
    metadata::count_open(&pool);
    let store_error = |source| OpenError::Store { path, source };
    let (journal, undone) =
        Journal::recover(&databases, &|old| metadata::set_generations(&pool, old))
            .map_err(store_error)?;
    if undone > 0 {
        tracing::info!(undone, "undid unfinished changes of several keys");
    }
    let hash_seed = pool.header().hash_seed;
    let metadata = Metadata::Pool(pool);
    Ok(Pairs {
        engine,
        hash_seed,
        has_iterators: has_iterators(&databases[0]),
        databases,
        journal,
        meter: Meter::new(&metadata, engine.name),
        metadata,
        spoilt: AtomicBool::new(false),
    })
}

/// Opens the layout in an engine whose data end with the process.
pub fn open_volatile(
    engine: Engine,
    database: Database,
    metadata: Metadata,
    hash_seed: u64,
) -> Pairs {
    Pairs {
        has_iterators: has_iterators(&database),
        databases: vec![database],
        engine,
        hash_seed,
        journal: Journal::new(),
        meter: Meter::new(&metadata, engine.name),
        metadata,
        spoilt: AtomicBool::new(false),
    }
}

/// Whether the engine writes in place. Tries it on a key that no record has.
fn has_iterators(database: &Database) -> bool {
    matches!(database.write_range(b"", 0, b""), Ok(false))
}

/// Opens the engines of all partitions of a pool.
pub(super) fn open_partitions(pool: &Pool) -> Result<Vec<Database>, OpenError> {
    (0..pool.header().partitions)
        .map(|partition| {
            pool.open_partition(partition)
                .map_err(|source| OpenError::Engine {
                    engine: pool.header().engine.clone(),
                    source,
                })
        })
        .collect()
}

/// How many partitions a new pool of that size gets. A sorted engine needs a single one to keep its order. Other
/// engines get many, so that growing one and building its index take little time.
pub fn partitions(engine: Engine, size_bytes: u64) -> u32 {
    if engine.sorted || !engine.concurrent {
        return 1;
    }
    let fitting = u32::try_from(size_bytes / POOL_BYTES_PER_PARTITION).unwrap_or(u32::MAX);
    let fitting = fitting.clamp(1, PARTITIONS_MAX);
    // The largest power of two that fits.
    1 << fitting.ilog2()
}

//! Opening the layout: opens its engines and undoes what a crash left half done.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::journal::Journal;
use super::meter::Meter;
use super::rebuild::{must_be_rebuilt, rebuild};
use super::sums::Sums;
use super::table::Table;
use super::{Pairs, WORD_UNCHECKED};
use crate::OpenError;
use crate::metadata::{self, Metadata};
use pmemkv::{Database, Engine, Pool};

/// The most partitions of a pool: more would cost memory and bring nothing.
const PARTITIONS_MAX: u32 = 256;

/// A pool gets one partition for each this many bytes, so that the empty engines of a small pool leave room for data.
const POOL_BYTES_PER_PARTITION: u64 = 4 << 20;

/// A key that no record has.
const REHEARSAL_KEY: &[u8] = b"rehearsal";

/// Opens the layout in its pool.
pub fn open_pool(engine: Engine, mut pool: Pool) -> Result<Pairs, OpenError> {
    let path = pool.path().to_owned();
    if !metadata::was_closed(&pool) {
        tracing::info!(path = %path.display(), "the pool was not closed in order");
    }
    if must_be_rebuilt(&pool) {
        pool = rebuild(pool)?;
    }
    let tables: Vec<Table> = open_partitions(&pool)?
        .into_iter()
        .map(Table::new)
        .collect();
    let store_error = |source| OpenError::Store {
        path: path.clone(),
        source,
    };
    let sums = Sums::of(&pool).map_err(store_error)?;
    if !pool.has_copy() {
        pool.set_word(WORD_UNCHECKED, 1);
    }
    pool.upgrade();
    metadata::mark_open(&pool);
    metadata::count_open(&pool);
    let (journal, undone) = Journal::recover(&tables, &sums, &|old| {
        metadata::set_generations(&pool, old);
    })
    .map_err(store_error)?;
    if undone > 0 {
        tracing::info!(undone, "undid unfinished changes of several keys");
    }
    let hash_seed = pool.header().hash_seed;
    let metadata = Metadata::Pool(pool);
    Ok(Pairs {
        engine,
        hash_seed,
        has_iterators: has_iterators(&tables[0]),
        tables,
        journal,
        meter: Meter::new(&metadata, engine.name),
        metadata,
        sums,
        spoilt: AtomicBool::new(false),
    })
}

/// What a child process does with a private copy of the pool before the open: it walks over everything, since a damaged
/// engine can crash the process that does, and writes to each partition. What the open refuses is left for the real one
/// to say.
pub fn rehearse(engine: Engine, pool: &Pool) -> Result<(), String> {
    // An engine that is rebuilt is walked over on the way, and what is rebuilt must not be a copy's file.
    if must_be_rebuilt(pool) {
        return open_partitions(pool).map(drop).or(Ok(()));
    }
    let Ok(pairs) = open_pool(engine, pool.clone()) else {
        return Ok(());
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let occupied = pool.occupied();
    let next = AtomicUsize::new(0);
    let walks = || -> Result<(), String> {
        while let Some(table) = pairs.tables.get(next.fetch_add(1, Ordering::Relaxed)) {
            walk(table.database(), &|bytes| occupied.note(bytes))?;
        }
        Ok(())
    };
    // The look at the heap takes as long as all the walks: both at once.
    let allocated = std::thread::scope(|scope| {
        let walking: Vec<_> = (1..threads.max(2)).map(|_| scope.spawn(walks)).collect();
        let allocated = pool.allocated();
        walks()?;
        walking.into_iter().try_for_each(|walk| {
            walk.join()
                .unwrap_or_else(|_| Err("a trial of reading it failed badly".to_owned()))
        })?;
        Ok::<_, String>(allocated)
    })?;
    if !allocated.holds_all(&occupied) {
        return Err(stray());
    }
    for table in &pairs.tables {
        let written = table
            .put(REHEARSAL_KEY, REHEARSAL_KEY)
            .and_then(|()| table.remove(REHEARSAL_KEY));
        match written {
            Ok(_) | Err(pmemkv::Error::OutOfMemory(_)) => {}
            Err(error) => return Err(format!("a trial of writing to it failed: {error}")),
        }
    }
    Ok(())
}

fn stray() -> String {
    "some of its engine's pairs lie where its heap has nothing".to_owned()
}

/// Walks over an engine's pairs; `lies_well` says of a key or a value whether it lies where one can. What is damaged in
/// them the index names when it comes there.
pub fn walk(database: &Database, lies_well: &dyn Fn(&[u8]) -> bool) -> Result<(), String> {
    let (mut met, mut strays) = (0, 0);
    let counted = database.get_all_counted(|count, key, value| {
        met += 1;
        strays += usize::from(!lies_well(key) || !lies_well(value));
        if met > count {
            // A chain that leads back into itself.
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    match counted {
        Ok(_) if strays > 0 => Err(stray()),
        Err(error) => Err(format!("a trial of reading it failed: {error}")),
        Ok(_) => Ok(()),
    }
}

/// The layout in an engine that does not outlive the process.
pub fn open_volatile(
    engine: Engine,
    database: Database,
    metadata: Metadata,
    hash_seed: u64,
) -> Pairs {
    let table = Table::new(database);
    Pairs {
        has_iterators: has_iterators(&table),
        tables: vec![table],
        engine,
        hash_seed,
        journal: Journal::new(),
        meter: Meter::new(&metadata, engine.name),
        metadata,
        sums: Sums::none(),
        spoilt: AtomicBool::new(false),
    }
}

/// Whether the engine writes in place. Tries it on a key that no record has.
fn has_iterators(table: &Table) -> bool {
    matches!(table.write_range(b"", 0, b""), Ok(false))
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

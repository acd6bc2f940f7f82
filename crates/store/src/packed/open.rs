//! Opening the layout: finds the segments, and undoes a long commit that a crash cut short.

use std::sync::atomic::{AtomicBool, AtomicU64};

use lock_order::{Mutex, Rank};
use parking_lot::Condvar;

use super::compact::Compaction;
use super::expired::Expired;
use super::find::WAY_OUT;
use super::header::{Header, Which};
use super::load::Damage;
use super::log::Log;
use super::record::{SEGMENT_BYTES_MAX, SEGMENTS_MAX};
use super::roll::Roll;
use super::space::Space;
use super::synced::Synced;
use super::tidy::Quiet;
use super::{Packed, WORD_SEGMENT_BYTES};
use crate::metadata::{self, Metadata};
use crate::{OpenError, StoreError};
use pmemkv::{Database, Engine, Pool, SEGMENT_HEADER_BYTES, Segments};

/// libpmemobj's unit of memory.
const CHUNK_BYTES: usize = 256 << 10;

/// What a segment leaves of its last chunk, for the headers of the allocator and the engine. (Measured: with 4 KiB,
/// segments of one chunk come from another class of allocations, of which 7 % fewer fit.)
const CHUNK_SLACK: usize = 1 << 10;

/// In a pool of at least this size a segment has four chunks, in a smaller one it has one.
const LARGE_POOL_BYTES: u64 = 128 << 20;

/// libpmemobj allocates objects of one size in runs of this many bytes.
const RUN_BYTES: u64 = 4 << 20;

/// What segments cannot use of a pool: libpmemobj's lanes and chunk headers, the engine's table, and a run for the undo
/// logs of commits. (Measured with one arena for all threads, until commits of 128 KiB failed: 12 MiB of 16 to 128 MiB,
/// 17 MiB of 1,024 MiB.)
fn overhead_bytes(pool_bytes: u64) -> u64 {
    (11 << 20) + pool_bytes / 128
}

/// With fewer segments the compaction has no room for its copies.
const SEGMENTS_MIN: u32 = 8;

/// A record takes at most one of this many shares of a segment; a longer value is stored in parts. A record that does
/// not fit leaves a segment's end empty, so shorter records waste less.
const RECORD_SHARE: usize = 16;

/// Bytes of a segment in a new pool.
fn segment_bytes(pool_bytes: u64) -> usize {
    let chunks = if pool_bytes >= LARGE_POOL_BYTES { 4 } else { 1 };
    chunks * CHUNK_BYTES - CHUNK_SLACK
}

/// How many segments fit into a pool.
fn segments_max(pool_bytes: u64, segment_bytes: usize) -> u32 {
    let usable = pool_bytes.saturating_sub(overhead_bytes(pool_bytes)) / RUN_BYTES * RUN_BYTES;
    let taken = segment_bytes.next_multiple_of(CHUNK_BYTES) as u64;
    u32::try_from(usable / taken)
        .unwrap_or(u32::MAX)
        .min(SEGMENTS_MAX)
}

/// Opens the layout in its pool.
pub fn open_pool(
    engine: Engine,
    pool: &Pool,
    repair: bool,
    every_second: bool,
) -> Result<Packed, OpenError> {
    let path = pool.path().to_owned();
    let store_error = |source| OpenError::Store {
        path: path.clone(),
        source,
    };
    if !metadata::was_closed(pool) {
        tracing::info!(path = %path.display(), "the pool was not closed in order");
    }
    let size_bytes = pool.stats()?.size_bytes;
    let stored = pool.word(WORD_SEGMENT_BYTES);
    let segment_bytes = if stored == 0 {
        let bytes = segment_bytes(size_bytes);
        pool.set_word(WORD_SEGMENT_BYTES, bytes as u64);
        bytes
    } else {
        usize::try_from(stored)
            .ok()
            .filter(|bytes| (CHUNK_BYTES / 2..=SEGMENT_BYTES_MAX).contains(bytes))
            .ok_or_else(|| {
                store_error(StoreError::Damaged(format!("segments of {stored} bytes")))
            })?
    };
    let database = pool.open_partition(0).map_err(|source| OpenError::Engine {
        engine: engine.name.to_owned(),
        source,
    })?;
    let max = segments_max(size_bytes, segment_bytes);
    if max < SEGMENTS_MIN {
        return Err(OpenError::TooSmall {
            path,
            bytes: size_bytes,
        });
    }
    let hash_seed = pool.header().hash_seed;
    let mut packed = new(
        engine,
        database,
        segment_bytes,
        max,
        Metadata::Pool(pool.clone()),
        hash_seed,
        repair,
    )
    .map_err(&store_error)?;
    let used = packed.find_segments().map_err(&store_error)?;
    if every_second {
        let space = &mut packed.space;
        let words = metadata::words_when_open(pool);
        let synced = Synced::begin(pool, space.segments(), space.segments_max(), &used, words);
        space.synced = Some(synced.map_err(&store_error)?);
    }
    metadata::mark_open(pool);
    metadata::count_open(pool);
    if !every_second {
        pool.void_points()
            .map_err(|error| store_error(StoreError::Engine(error.to_string())))?;
    }
    Ok(packed)
}

/// Opens the layout in an engine whose data end with the process.
pub fn open_volatile(
    engine: Engine,
    database: Database,
    metadata: Metadata,
    hash_seed: u64,
) -> Result<Packed, OpenError> {
    let store_error = |source| OpenError::Engine {
        engine: engine.name.to_owned(),
        source,
    };
    let size_bytes = match &metadata {
        Metadata::Process { size_bytes, .. } => *size_bytes,
        Metadata::Pool(_) => 0,
    };
    let bytes = segment_bytes(size_bytes);
    let max = segments_max(size_bytes, bytes);
    let packed = new(engine, database, bytes, max, metadata, hash_seed, false)
        .map_err(|error| store_error(pmemkv::Error::Unknown(error.to_string())))?;
    Ok(packed)
}

fn new(
    engine: Engine,
    database: Database,
    segment_bytes: usize,
    segments_max: u32,
    metadata: Metadata,
    hash_seed: u64,
    repair: bool,
) -> Result<Packed, StoreError> {
    let pool = match &metadata {
        Metadata::Pool(pool) => Some(pool.clone()),
        Metadata::Process { .. } => None,
    };
    let roll = Roll::new(pool);
    let mut remade = |segment| {
        tracing::warn!(
            segment,
            "repair: a segment is missing: an empty one is made"
        );
        Header::FREE.encode()
    };
    let segments = Segments::open(
        database,
        segment_bytes,
        roll.made(),
        segments_max,
        repair.then_some(&mut remade),
    )
    .map_err(|error| match error {
        // What is missing can be made anew; what lies where no segment can, cannot.
        pmemkv::Error::InvalidArgument(why) if repair => StoreError::Damaged(format!(
            "{why}. That is beyond repair: restore the pool from a copy"
        )),
        pmemkv::Error::InvalidArgument(why) => StoreError::Damaged(format!("{why}. {WAY_OUT}")),
        other => other.into(),
    })?;
    let damage = Damage::new(repair);
    let expired = match Expired::load(&metadata) {
        Some(expired) => expired,
        None if !repair => {
            return Err(StoreError::Damaged(
                "the note of what has expired does not fit its checksum. Restore the pool from a copy, or start once \
                 with --repair yes, which passes over it"
                    .to_owned(),
            ));
        }
        None => {
            tracing::warn!(
                "the note of what has expired does not fit its checksum: passed over. If the clock was set back, \
                 expired keys may be there again"
            );
            damage.note(0);
            Expired::none()
        }
    };
    Ok(Packed {
        engine,
        hash_seed,
        metadata,
        space: Space::new(segments, segments_max, roll),
        front: Log::new(Which::Front),
        compaction: Compaction::new(),
        sequence: AtomicU64::new(expired.last_sequence()),
        record_bytes_max: (segment_bytes - SEGMENT_HEADER_BYTES) / RECORD_SHARE,
        bell: (parking_lot::Mutex::new(false), Condvar::new()),
        quiet: Quiet::default(),
        holds_segments: AtomicBool::new(false),
        damage,
        held_generations: Mutex::new(Rank::HeldGenerations, None),
        has_held_generations: AtomicBool::new(false),
        expired,
    })
}

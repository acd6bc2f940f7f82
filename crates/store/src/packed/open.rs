//! Opening the layout: finds the segments, and undoes a long commit that a crash cut short.

use std::sync::atomic::AtomicU64;

use lock_order::{Mutex, Rank};
use parking_lot::Condvar;

use super::compact::Compaction;
use super::expired::Expired;
use super::header::{Header, HeaderError, Which};
use super::load::Damage;
use super::log::{Guard, Log};
use super::record::{SEGMENT_BYTES_MAX, SEGMENTS_MAX};
use super::space::Space;
use super::{Packed, WORD_GUARDS, WORD_SEGMENT_BYTES, guarded_offset};
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
pub fn open_pool(engine: Engine, pool: Pool, repair: bool) -> Result<Packed, OpenError> {
    let path = pool.path().to_owned();
    let store_error = |source| OpenError::Store {
        path: path.clone(),
        source,
    };
    if !metadata::was_closed(&pool) {
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
    let packed = new(
        engine,
        database,
        segment_bytes,
        max,
        Metadata::Pool(pool),
        hash_seed,
        repair,
    )
    .map_err(&store_error)?;
    packed.find_segments().map_err(&store_error)?;
    if let Metadata::Pool(pool) = &packed.metadata {
        metadata::mark_open(pool);
        metadata::count_open(pool);
    }
    packed.space.make_spares();
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
    packed.space.make_spares();
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
    let segments = Segments::open(database, segment_bytes, segments_max)?;
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
        space: Space::new(segments, segments_max),
        front: Log::new(Which::Front),
        compaction: Compaction::new(),
        sequence: AtomicU64::new(expired.last_sequence()),
        record_bytes_max: (segment_bytes - SEGMENT_HEADER_BYTES) / RECORD_SHARE,
        bell: (parking_lot::Mutex::new(false), Condvar::new()),
        damage,
        held_generations: Mutex::new(Rank::HeldGenerations, None),
        expired,
    })
}

/// Bytes of committed records in a segment.
fn committed_bytes(header: &Header) -> usize {
    usize::try_from(header.committed).unwrap_or(usize::MAX)
}

impl Packed {
    /// Reads the headers: finds the free and the used segments, and undoes commits that a crash cut short.
    fn find_segments(&self) -> Result<(), StoreError> {
        let segments = self.space.segments();
        let mut used = Vec::new();
        for segment in 0..segments.count() {
            let header = match self.read_header(segment)? {
                Ok(header) => header,
                Err(why) if !self.damage.repair => {
                    return Err(StoreError::Damaged(format!(
                        "segment {segment}: {why}. Restore the pool from a copy, or start once with --repair yes, \
                         which keeps all that is readable and says what it dropped"
                    )));
                }
                Err(why) => {
                    tracing::warn!(segment, why, "a whole segment is unreadable: dropped");
                    self.damage.note(segments.segment_bytes() as u64);
                    segments.reset(segment, &Header::FREE.encode())?;
                    Header::FREE
                }
            };
            if header.serial == 0 {
                self.space.found_free(segment);
            } else {
                used.push((segment, header));
            }
        }
        let mut used = self.undo_unfinished(used)?;
        // A log sealed each segment when it began the next one, so the next serial number of the log is the bound.
        used.sort_unstable_by_key(|(_, header)| (header.which as u64, header.serial));
        let bound = used.iter().map(|(_, header)| header.serial + 1).max();
        let bound = bound.unwrap_or(1);
        for (i, &(segment, header)) in used.iter().enumerate() {
            let next = used.get(i + 1).map(|(_, next)| next);
            let next = next.filter(|next| next.which == header.which);
            let next = next.map_or(bound, |next| next.serial);
            self.space.found(segment, header.serial, next);
            segments.set_readable(segment, committed_bytes(&header))?;
        }
        Ok(())
    }

    /// A segment's header, or why it is damaged.
    fn read_header(&self, segment: u32) -> Result<Result<Header, String>, StoreError> {
        let refused = |error: HeaderError| format!("segment {segment}: {error}");
        match Header::decode(&self.space.segments().header(segment)?) {
            // A header of another version is not damage: the repair must not drop the segment.
            Err(error @ HeaderError::OtherVersion(_)) => Err(StoreError::Engine(refused(error))),
            Err(HeaderError::Damaged(why)) => Ok(Err(why)),
            Ok(header) if committed_bytes(&header) > self.space.capacity() => {
                Ok(Err(format!("it claims {} bytes", header.committed)))
            }
            Ok(header) => Ok(Ok(header)),
        }
    }

    /// Takes back the records of commits that a crash cut short. Returns the segments that are still used.
    fn undo_unfinished(
        &self,
        mut used: Vec<(u32, Header)>,
    ) -> Result<Vec<(u32, Header)>, StoreError> {
        let Metadata::Pool(pool) = &self.metadata else {
            return Ok(used);
        };
        for which in [Which::Front, Which::Compaction] {
            let words = pool.words(WORD_GUARDS + 2 * which as usize, 2);
            let (serial, offset) = (words[0], words[1] & u64::from(u32::MAX));
            if serial == 0 {
                continue;
            }
            if words[1] != guarded_offset(which, serial, offset) {
                let why = "the note of a commit that was not finished does not fit its checksum";
                if !self.damage.repair {
                    return Err(StoreError::Damaged(format!(
                        "{why}. Restore the pool from a copy, or start once with --repair yes, which keeps all that is \
                         readable"
                    )));
                }
                tracing::warn!("{why}: passed over");
                self.damage.note(0);
                self.metadata.clear(which);
                continue;
            }
            tracing::info!("a commit that was not finished is undone");
            for (segment, header) in used.iter_mut().filter(|(_, header)| header.which == which) {
                let kept = match header.serial.cmp(&serial) {
                    std::cmp::Ordering::Less => continue,
                    std::cmp::Ordering::Equal if offset > 0 => Header {
                        committed: header.committed.min(offset),
                        ..*header
                    },
                    _ => Header::FREE,
                };
                self.space.segments().reset(*segment, &kept.encode())?;
                *header = kept;
            }
            self.metadata.clear(which);
        }
        for &(segment, _) in used.iter().filter(|(_, header)| header.serial == 0) {
            self.space.found_free(segment);
        }
        used.retain(|(_, header)| header.serial != 0);
        Ok(used)
    }
}

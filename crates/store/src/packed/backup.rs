//! A copy of the pool as it is at one moment, while clients write.
//!
//! Between two commits the pool is what a crash would leave, and a crash leaves a whole pool. So the backup keeps both logs
//! from being committed for some microseconds, and notes how far each segment is filled. Committed bytes do not change
//! until their segment is freed, and the compaction frees no segment that the backup has still to copy. The copy's
//! segments have the numbers, serial numbers and offsets of the originals, because records name each other by these.

use std::path::Path;
use std::time::{Duration, Instant};

use super::accounts::Waiting;
use super::header::{Header, HeaderError, VERSION_WITHOUT_PLACE};
use super::record::{Binding, Record};
use super::roll::Roll;
use super::{LAYOUT, Packed, WORD_SEGMENT_BYTES, expired};
use crate::metadata::{self, Metadata};
use crate::{BackupError, BackupJob, Generations, StoreError, Upkeep};
use pmemkv::{FORMAT_VERSION, Pool, PoolHeader, SEGMENT_HEADER_BYTES, Segments, Unfinished};

/// Bytes that the backup reads at a time: whoever frees a segment waits for readers.
const PIECE_BYTES: usize = 128 << 10;

/// The operating system writes the copy out each time that so many bytes have come, so that the end takes no long sync.
const SYNC_BYTES: u64 = 64 << 20;

/// How long the backup rests after a segment, as a multiple of the time that it worked.
const REST_SHARE: u32 = 1;

/// A segment at the moment.
#[derive(Clone, Copy, Debug)]
struct Noted {
    segment: u32,
    serial: u64,
    committed: usize,
}

/// The pool at one moment.
#[derive(Debug)]
struct Moment {
    /// The segments with records, in the order of their numbers.
    segments: Vec<Noted>,
    generations: Generations,
    expired: Vec<u64>,
    /// Serial numbers given out are below this.
    serial_bound: u64,
}

/// Lets go of all segments when the backup ends, however it ends.
struct Keeping<'a>(&'a Packed);

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        self.0.space.let_go_of_all();
        self.0.ring();
    }
}

/// The new pool.
struct Copy<'a> {
    pool: Pool,
    segments: Segments,
    unfinished: &'a Unfinished,
    unsynced_bytes: u64,
}

impl Packed {
    fn pool(&self) -> Result<&Pool, BackupError> {
        match &self.metadata {
            Metadata::Pool(pool) => Ok(pool),
            Metadata::Process { .. } => Err(BackupError::NotSupported(
                "the engine keeps its data in the process's memory only",
            )),
        }
    }

    /// [`Store::check_backup`](crate::Store::check_backup).
    pub(super) fn check_copy(&self, path: &Path) -> Result<(), BackupError> {
        Unfinished::check(path, self.pool()?.stats()?.size_bytes)?;
        Ok(())
    }

    /// [`Store::back_up`](crate::Store::back_up). At most one thread at a time.
    pub(super) fn copy_to(&self, path: &Path, job: &BackupJob) -> Result<(), BackupError> {
        let pool = self.pool()?;
        job.rest(Duration::ZERO)?;
        let header = PoolHeader {
            format_version: FORMAT_VERSION,
            engine: self.engine.name.to_owned(),
            layout: LAYOUT.to_owned(),
            partitions: 1,
            hash_seed: self.hash_seed,
        };
        // First, since the file system may take long to reserve the space.
        let (copy, unfinished) = Pool::create_unfinished(path, pool.stats()?.size_bytes, &header)?;
        let figures = self.space.figures();
        let mut copy = Copy {
            segments: Segments::open(
                copy.open_partition(0)?,
                self.space.segments().segment_bytes(),
                0,
                figures.segments_max.max(figures.segments),
                None,
            )?,
            pool: copy,
            unfinished: &unfinished,
            unsynced_bytes: 0,
        };
        // Before the moment, since it takes long, and the segments that are copied are kept from it on.
        let is_used = |segment: &u32| self.space.segments().readable(*segment) > 0;
        let used = (0..figures.segments).rev().find(is_used);
        copy.make(used.map_or(0, |last| last + 1), job)?;
        let _keeping = Keeping(self);
        let moment = self.note_moment(pool, job)?;
        let kept: Vec<u32> = moment.segments.iter().map(|noted| noted.segment).collect();
        self.space.file_kept(&kept);
        self.fill(copy, pool, &moment, job)?;
        // Closed: what follows is the file system's.
        job.rest(Duration::ZERO)?;
        unfinished.finish()?;
        Ok(())
    }

    /// Notes a moment between two commits, and keeps all segments that have records.
    fn note_moment(&self, pool: &Pool, job: &BackupJob) -> Result<Moment, BackupError> {
        let segments = self.space.segments();
        let room = self.space.figures().segments_max as usize;
        let mut noted = Vec::with_capacity(room);
        loop {
            job.rest(Duration::ZERO)?;
            // So that little is left to be committed while others wait.
            self.commit_all()?;
            let _compaction = self.compaction.interrupt();
            let started = Instant::now();
            // A transaction may keep the log for long, and wait for the compaction.
            let Some(_front) = self.front.settle(&self.space, &self.metadata)? else {
                continue;
            };
            let log = self.compaction.log();
            let Some(_copies) = log.settle(&self.space, &self.metadata)? else {
                continue;
            };
            for segment in 0..self.space.figures().segments {
                let committed = segments.readable(segment);
                if committed > 0 {
                    self.space.kept().keep(segment);
                    noted.push(Noted {
                        segment,
                        serial: self.space.serial(segment),
                        committed,
                    });
                }
            }
            let moment = Moment {
                segments: noted,
                generations: self.metadata.generations(),
                expired: expired::stored_words(pool),
                serial_bound: self.space.serial_bound(),
            };
            job.note_hold(started.elapsed());
            return Ok(moment);
        }
    }

    /// Fills the copy, and closes it.
    fn fill(
        &self,
        mut copy: Copy<'_>,
        pool: &Pool,
        moment: &Moment,
        job: &BackupJob,
    ) -> Result<(), BackupError> {
        let noted = &moment.segments;
        let bytes = noted.iter().map(|noted| noted.committed as u64).sum();
        job.expect(bytes);
        let headers = self.headers(noted)?;
        let made = noted.last().map_or(0, |last| last.segment + 1);
        let used: Vec<_> = noted
            .iter()
            .map(|noted| noted.segment)
            .zip(headers)
            .collect();
        let segment_bytes = self.space.segments().segment_bytes();
        copy.make(made, job)?;
        let made = copy.segments.count();
        // First, so that no open takes a part of the copy for all of it.
        copy.pool.set_word(WORD_SEGMENT_BYTES, segment_bytes as u64);
        Roll::of_copy(&copy.pool, made, moment.serial_bound, &used);
        let mut value = Vec::with_capacity(segment_bytes);
        let mut in_order = used.iter().zip(noted);
        for _ in noted {
            let started = Instant::now();
            // What the compaction wants most goes first, where it wants something.
            let hurried = self.needs() > Upkeep::Nothing;
            let wanted = hurried
                .then(|| self.space.victim(Waiting::ForBackup, &|_| true))
                .flatten();
            let wanted = wanted.and_then(|wanted| {
                let at = noted.binary_search_by_key(&wanted, |noted| noted.segment);
                at.ok().map(|at| (&used[at], &noted[at]))
            });
            let next =
                wanted.or_else(|| in_order.find(|(_, noted)| self.space.kept().has(noted.segment)));
            let Some(((_, header), noted)) = next else {
                return Err(BackupError::PoolShort);
            };
            self.read_segment(noted, header, &mut value)?;
            self.space.let_go(noted.segment);
            check_records(noted, header, &value[SEGMENT_HEADER_BYTES..])?;
            copy.fill(noted.segment, &value)?;
            job.note_copied(noted.committed as u64);
            if hurried {
                self.ring();
            }
            let time = if hurried {
                Duration::ZERO
            } else {
                started.elapsed() * REST_SHARE
            };
            job.rest(time)?;
        }
        expired::store_words(&copy.pool, &moment.expired);
        metadata::complete(&copy.pool, &moment.generations, metadata::opens(pool));
        Ok(())
    }

    /// The headers that the noted segments had at the moment.
    fn headers(&self, noted: &[Noted]) -> Result<Vec<Header>, BackupError> {
        let header = |noted: &Noted| -> Result<Header, BackupError> {
            let bytes = self.space.segments().header(noted.segment)?;
            let damaged =
                |why: HeaderError| StoreError::Damaged(format!("segment {}: {why}", noted.segment));
            let (now, _) = Header::decode(&bytes).map_err(damaged)?;
            if now.serial != noted.serial {
                // Taken from the backup and used again.
                return Err(BackupError::PoolShort);
            }
            Ok(Header {
                committed: noted.committed as u64,
                begun: noted.committed as u64,
                ..now
            })
        };
        noted.iter().map(header).collect()
    }

    /// Reads a segment as it was at the moment.
    fn read_segment(
        &self,
        noted: &Noted,
        header: &Header,
        value: &mut Vec<u8>,
    ) -> Result<(), BackupError> {
        value.clear();
        value.extend_from_slice(&header.encode());
        let mut offset = 0;
        while offset < noted.committed {
            let length = PIECE_BYTES.min(noted.committed - offset);
            let reader = self.space.segments().reader();
            // The compaction may have taken it. Then it frees the segment after this reader, or the reader sees it here.
            if !self.space.kept().has(noted.segment) {
                return Err(BackupError::PoolShort);
            }
            let bytes = reader.read(noted.segment, offset, length).ok_or_else(|| {
                StoreError::Damaged(format!("segment {} cannot be read", noted.segment))
            })?;
            value.extend_from_slice(bytes);
            offset += length;
        }
        Ok(())
    }
}

impl Copy<'_> {
    /// Makes free segments, until there are so many.
    fn make(&mut self, count: u32, job: &BackupJob) -> Result<(), BackupError> {
        while self.segments.count() < count {
            let at_once = self
                .segments
                .made_at_once()
                .min(count - self.segments.count());
            if at_once > 1 {
                self.pool.will_have_extents();
                self.segments.add_extent(at_once, &Header::FREE.encode())?;
            } else {
                self.segments.add(&Header::FREE.encode())?;
            }
            self.wrote(u64::from(at_once) * self.segments.segment_bytes() as u64)?;
            job.rest(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Gives a segment its header and its records.
    fn fill(&mut self, segment: u32, value: &[u8]) -> Result<(), BackupError> {
        self.segments.fill(segment, value)?;
        self.wrote(value.len() as u64)
    }

    fn wrote(&mut self, bytes: u64) -> Result<(), BackupError> {
        self.unsynced_bytes += bytes;
        if self.unsynced_bytes >= SYNC_BYTES {
            self.unsynced_bytes = 0;
            self.unfinished.sync()?;
        }
        Ok(())
    }
}

/// A copy of a damaged record would be a backup that no server opens.
fn check_records(noted: &Noted, header: &Header, bytes: &[u8]) -> Result<(), BackupError> {
    let mut offset = 0;
    while offset < bytes.len() {
        let binding = Binding {
            serial: noted.serial,
            offset: if header.version == VERSION_WITHOUT_PLACE {
                0
            } else {
                offset
            },
        };
        let record = Record::verify(binding, &bytes[offset..]).map_err(|why| {
            StoreError::Damaged(format!(
                "the record at byte {offset} of segment {}: {why}",
                noted.segment
            ))
        })?;
        offset += record.padded_bytes();
    }
    Ok(())
}

//! The compaction copies the live records out of the segment that holds fewest of them, and then frees that segment.
//!
//! A crash at any point is safe: the compaction gives the old segment up only after it has committed the copies and the
//! writes that made the other records useless. A moved value gets a new sequence number under its key's lock; a
//! tombstone keeps its own.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lock_order::{Mutex, Rank};

use super::Packed;
use super::accounts::Waiting;
use super::header::Which;
use super::log::Log;
use super::record::{Form, Record, Spot};
use super::space::CRITICAL_MARK;
use super::write::Batch;
use crate::model::now_ms;
use crate::{Location, Relocate, Store, StoreError, Upkeep, Worked};

/// The compaction commits its copies at this many bytes: a commit of them takes one step.
const PENDING_BYTES_MAX: u64 = 64 * 1024;

/// How long a transaction compacts before it looks whether there is room, and an idle store before it rests.
pub(super) const SLICE: Duration = Duration::from_millis(1);

/// A transaction gives up after it found nothing to do more than this many times in a row. Once is not enough: the
/// store's thread may have just ended the search.
const IDLE_MAX: usize = 3;

/// So many empty segments are freed after one commit and one mark of the index: the mark takes all shards one by one.
const FREED_AT_ONCE: usize = 64;

/// What the compaction works for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// As many segments that a log can take as the store needs.
    Room,
    /// Segments that are not mostly garbage: a start reads less, and their room is there before it is needed.
    Tidiness,
}

/// The compaction: its log, and the segment that it is emptying.
#[derive(Debug)]
pub struct Compaction {
    log: Log,
    victim: Mutex<Option<Victim>>,
    segments: AtomicU64,
    moved_bytes: AtomicU64,
}

/// What the compaction has done since the start.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Segments that it freed.
    pub segments: u64,
    /// Bytes of records that it copied.
    pub moved_bytes: u64,
}

/// The result of looking at a segment's next record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The record was copied, or it need not be.
    Done,
    /// There was no record left: the segment may be freed.
    End,
    /// The record has to stay until another thread has acted.
    NotYet,
}

/// The segment that is being emptied.
#[derive(Debug)]
struct Victim {
    segment: u32,
    /// Bytes of records in it.
    committed: usize,
    /// Where the next record begins.
    offset: usize,
    /// The bound that the segment was sealed with: no segment with this serial number or a higher one holds an older
    /// record of a key whose record is here.
    sealed_bound: u64,
    /// The oldest serial number of any other segment.
    oldest_other: u64,
}

impl Compaction {
    /// A compaction that has not begun.
    pub fn new() -> Self {
        Self {
            log: Log::new(Which::Compaction),
            victim: Mutex::new(Rank::Compaction, None),
            segments: AtomicU64::new(0),
            moved_bytes: AtomicU64::new(0),
        }
    }

    /// Keeps the compaction from working while the result lives. It goes on with another segment afterwards.
    pub(super) fn interrupt(&self) -> impl Sized + '_ {
        let mut victim = self.victim.lock();
        *victim = None;
        victim
    }

    /// The log that it writes its copies to.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What it has done.
    pub fn figures(&self) -> Figures {
        Figures {
            segments: self.segments.load(Ordering::Relaxed),
            moved_bytes: self.moved_bytes.load(Ordering::Relaxed),
        }
    }
}

impl Packed {
    /// How urgently the store needs the compaction.
    pub(super) fn needs(&self) -> Upkeep {
        let available = self.space.available();
        if available < CRITICAL_MARK {
            Upkeep::Critical
        } else if available < self.space.low_mark() {
            Upkeep::Urgent
        } else if available < self.space.high_mark() || self.space.wants_spares() {
            Upkeep::Background
        } else {
            Upkeep::Nothing
        }
    }

    /// Compacts for about `time`.
    pub(super) fn compact(
        &self,
        index: &dyn Relocate,
        time: Duration,
    ) -> Result<Worked, StoreError> {
        self.compact_for(Aim::Room, index, time)
    }

    /// Compacts for about `time`, for what `aim` says.
    pub(super) fn compact_for(
        &self,
        aim: Aim,
        index: &dyn Relocate,
        time: Duration,
    ) -> Result<Worked, StoreError> {
        let until = Instant::now() + time;
        self.space.make_spares();
        if let Some(worked) = self.sync_if_short() {
            return Ok(worked);
        }
        if self.holds_segments.load(Ordering::Acquire) {
            return Ok(Worked::Elsewhere);
        }
        let Some(mut victim) = self.compaction.victim.try_lock() else {
            return Ok(Worked::Elsewhere);
        };
        let mut worked = Worked::Nothing;
        loop {
            // A transaction on this thread has released records there. A crash would bring them back.
            if victim
                .as_ref()
                .is_some_and(|at| self.front.is_pinned(at.segment))
            {
                *victim = None;
            }
            if victim.is_none() {
                if worked == Worked::Some && self.space.awaits_sync().1 {
                    // What was freed counts only after a sync. The copies need the rest.
                    return Ok(worked);
                }
                match self.give_back_empty(index)? {
                    Worked::Some => worked = Worked::Some,
                    Worked::Nothing => {}
                    Worked::Elsewhere => return Ok(Worked::Elsewhere),
                }
                if aim == Aim::Room && self.space.has_enough() {
                    self.space.want_nothing();
                    return Ok(worked);
                }
                if let Some(segment) = self.next_victim(aim) {
                    // Its last records may only be staged.
                    if !self.commit_all_soon()? {
                        return Ok(Worked::Elsewhere);
                    }
                    *victim = Some(self.victim(segment));
                }
            }
            let Some(at) = victim.as_mut() else {
                if aim == Aim::Room {
                    self.space.want_nothing();
                }
                return Ok(worked);
            };
            worked = Worked::Some;
            match self.move_one(index, at)? {
                Step::Done => {}
                Step::End => {
                    if !self.commit_all_soon()? {
                        return Ok(Worked::Elsewhere);
                    }
                    let segment = at.segment;
                    *victim = None;
                    index.settle();
                    self.give_back(segment)?;
                    self.compaction.segments.fetch_add(1, Ordering::Relaxed);
                }
                Step::NotYet if self.front.is_held_here() => {
                    // Other threads must act first, and they wait for this transaction: skip the segment until it ends.
                    self.front.pin(&self.space, at.segment);
                }
                Step::NotYet => return Ok(Worked::Elsewhere),
            }
            if Instant::now() >= until {
                return Ok(worked);
            }
        }
    }

    /// Frees the segments that hold no live record and no tombstone that is needed. No log appends to them and no record of them
    /// comes back to life, so one commit and one mark of the index, made after they were found empty, serve many of them.
    fn give_back_empty(&self, index: &dyn Relocate) -> Result<Worked, StoreError> {
        let mut worked = Worked::Nothing;
        let pinned = self.front.pinned_here();
        let may_go = |segment: u32| !pinned.contains(&segment) && !self.space.kept().has(segment);
        loop {
            let empty = self.space.empty_ones(FREED_AT_ONCE, &may_go);
            if empty.is_empty() {
                return Ok(worked);
            }
            if !self.commit_all_soon()? {
                return Ok(Worked::Elsewhere);
            }
            index.settle();
            for segment in empty {
                // Tombstones in the rest may supersede records in this one.
                if !may_go(segment) {
                    break;
                }
                self.give_back(segment)?;
                worked = Worked::Some;
            }
        }
    }

    /// Commits all that is staged. Returns `false` if a transaction holds the front log: it may be waiting for the
    /// compaction. Inside a transaction of this thread it commits only the copies: what was staged before the
    /// transaction is committed already.
    pub(super) fn commit_all_soon(&self) -> Result<bool, StoreError> {
        Ok(self.front.commit_soon(&self.space, &self.metadata)?
            && self
                .compaction
                .log()
                .commit_soon(&self.space, &self.metadata)?)
    }

    /// Makes room for `bytes` inside the transaction of this thread, until `until` or until nothing more can be freed.
    /// Keeps everything that a crash before the transaction's commit would bring back.
    pub(super) fn compact_in_step(
        &self,
        index: &dyn Relocate,
        bytes: u64,
        until: Instant,
    ) -> Result<bool, StoreError> {
        self.front.commit_before_hold(&self.space, &self.metadata)?;
        let mut idle = 0;
        while !self.has_room_for(bytes) {
            if Instant::now() >= until || idle > IDLE_MAX {
                self.space.want_nothing();
                return Ok(false);
            }
            match self.compact(index, SLICE)? {
                Worked::Some => idle = 0,
                Worked::Nothing => idle += 1,
                // The store's thread is compacting. It stops soon, because it cannot commit.
                Worked::Elsewhere => std::thread::sleep(SLICE / 10),
            }
        }
        Ok(true)
    }

    fn next_victim(&self, aim: Aim) -> Option<u32> {
        // The compaction seals its own old segment: otherwise no tombstone could ever be dropped.
        let oldest = self.space.oldest_serial(None);
        self.compaction.log.seal(&self.space, oldest);
        let pinned = self.front.pinned_here();
        let may_go = |segment: u32| !pinned.contains(&segment);
        if aim == Aim::Tidiness {
            return self.space.mostly_garbage(&may_go);
        }
        let next = || self.space.victim(Waiting::ForCompaction, &may_go);
        next().or_else(|| {
            if !self.space.keeps_what_is_needed() {
                return None;
            }
            // Writes come before the backup, which finds out when it looks for its next segment.
            self.space.let_go_of_all();
            next()
        })
    }

    fn victim(&self, segment: u32) -> Victim {
        self.space.segments().fetch(segment);
        Victim {
            segment,
            committed: self.space.segments().readable(segment),
            offset: 0,
            sealed_bound: self.space.sealed_bound(segment),
            oldest_other: self.space.oldest_serial(Some(segment)),
        }
    }

    /// Copies the live ones among the records at `offsets` out of a segment, and frees it.
    pub(super) fn evacuate(
        &self,
        index: &dyn Relocate,
        segment: u32,
        offsets: &[usize],
    ) -> Result<(), StoreError> {
        let mut victim = self.victim(segment);
        for &offset in offsets {
            victim.offset = offset;
            // A record may have to wait for another thread.
            while self.move_one(index, &mut victim)? == Step::NotYet {
                std::thread::yield_now();
            }
        }
        self.commit_all()?;
        index.settle();
        self.give_back(segment)
    }

    /// Copies the live records out of a segment and neither commits nor frees: the state before the commit.
    #[cfg(test)]
    pub(super) fn move_all(&self, index: &dyn Relocate, segment: u32) -> Result<Step, StoreError> {
        let mut victim = self.victim(segment);
        loop {
            let step = self.move_one(index, &mut victim)?;
            if step != Step::Done {
                return Ok(step);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn give_back_for_test(&self, segment: u32) -> Result<(), StoreError> {
        self.commit_all()?;
        self.give_back(segment)
    }

    /// Copies the next record if it is live.
    fn move_one(&self, index: &dyn Relocate, victim: &mut Victim) -> Result<Step, StoreError> {
        if victim.offset >= victim.committed {
            return Ok(Step::End);
        }
        let rest = victim.committed - victim.offset;
        let moved = self.space.segments().read(
            victim.segment,
            victim.offset,
            rest,
            |bytes| -> Result<Option<usize>, StoreError> {
                let record = Record::decode(bytes).ok_or_else(|| {
                    StoreError::Damaged(format!("{victim:?} while it was compacted"))
                })?;
                let from = Spot {
                    segment: victim.segment,
                    offset: victim.offset,
                    length: record.padded_bytes(),
                    large: matches!(record.form, Form::Large(_)),
                };
                let stays = Cell::new(false);
                self.move_record(index, victim, &record, from, &stays)?;
                Ok((!stays.get()).then_some(from.length))
            },
        );
        match moved {
            Some(length) => match length? {
                Some(length) => victim.offset += length,
                None => return Ok(Step::NotYet),
            },
            None => return Err(StoreError::Damaged(format!("{victim:?} is not readable"))),
        }
        if self.compaction.log.pending_bytes() >= PENDING_BYTES_MAX {
            self.compaction.log.commit(&self.space, &self.metadata)?;
        }
        Ok(Step::Done)
    }

    fn move_record(
        &self,
        index: &dyn Relocate,
        victim: &Victim,
        record: &Record<'_>,
        from: Spot,
        stays: &Cell<bool>,
    ) -> Result<(), StoreError> {
        index.relocate(record.generation, record.key, &mut |current| {
            // A record that this thread's transaction has staged supersedes nothing before its commit.
            let current = current.filter(|&at| !self.front.is_of_hold(&self.space, at));
            match (record.form, current) {
                (Form::Value(_) | Form::Large(_), Some(current)) if current == from.location() => {
                    let copy = Record {
                        sequence: self.sequence_of_copy(record),
                        ..*record
                    };
                    let to = self.copy(&copy, from.large)?;
                    self.space.claim(to);
                    self.space.release(from);
                    Ok(Some(to.location()))
                }
                (Form::Part, Some(current)) => self.move_part(stays, record, from, current),
                (Form::Tombstone, None) => {
                    let bound = record.body.first_chunk::<8>().copied();
                    let bound = bound.map_or(u64::MAX, u64::from_le_bytes);
                    if bound > victim.oldest_other {
                        self.keep_tombstone(record, bound)?;
                    }
                    Ok(None)
                }
                // The keyspace has not forgotten the flushed key yet. Forgetting it takes this record, which leads to
                // the parts: they still count as live.
                (Form::Large(_), None) if index.awaits_removal(record.generation) => {
                    stays.set(true);
                    Ok(None)
                }
                (Form::Value(_) | Form::Large(_), None) => {
                    // A removed value has a tombstone elsewhere. An expired value needs one here.
                    // It was dropped by its deadline, whatever the clock says now.
                    let now = now_ms().max(self.expired.latest());
                    let expired = record.expires_at.is_some_and(|at| at <= now);
                    if expired && victim.sealed_bound > victim.oldest_other {
                        self.keep_tombstone(record, victim.sealed_bound)?;
                    }
                    Ok(None)
                }
                // A later record of the key supersedes this one.
                (_, Some(_)) | (Form::Part, None) => Ok(None),
            }
        })
    }

    /// The number of a live record's copy: a new one, but a record that has expired must not seem to be written later.
    fn sequence_of_copy(&self, record: &Record<'_>) -> u64 {
        match record.expires_at {
            Some(deadline) if self.expired.hold(record.sequence, deadline) => record.sequence,
            _ => self.next_sequence(),
        }
    }

    /// Copies a part and the current record of its key, if that record names the part.
    fn move_part(
        &self,
        stays: &Cell<bool>,
        part: &Record<'_>,
        from: Spot,
        current: Location,
    ) -> Result<Option<Location>, StoreError> {
        let current = Spot::from(current);
        if !current.large {
            return Ok(None);
        }
        let mut parts = self.parts_of(current)?;
        let Some(place) = parts.spots.iter_mut().find(|spot| **spot == from) else {
            return Ok(None);
        };
        // The record that names the parts, or one that was staged together with it, may not be durable yet. A copy of
        // it must not become durable earlier.
        let is_durable =
            self.front.is_held_here() || self.front.try_commit(&self.space, &self.metadata)?;
        if !is_durable {
            // The thread that holds the log may be waiting for the key.
            stays.set(true);
            return Ok(None);
        }
        *place = self.copy(part, false)?;
        let to = *place;
        let body = parts.encode();
        let head = self.with_record(current, |head| {
            let copy = Record {
                sequence: self.sequence_of_copy(&head),
                body: &body,
                ..head
            };
            let mut batch = Batch::default();
            batch.push(&copy, None);
            batch
        })?;
        let head = self.stage_copy(head, true)?;
        for (new, old) in [(to, from), (head, current)] {
            self.space.claim(new);
            self.space.release(old);
        }
        Ok(Some(head.location()))
    }

    /// Keeps a tombstone until all segments with serial numbers below `bound` are gone: they may hold older records.
    fn keep_tombstone(&self, record: &Record<'_>, bound: u64) -> Result<(), StoreError> {
        // It keeps its sequence number, since a later record of the key may exist by now.
        let kept = Record {
            form: Form::Tombstone,
            expires_at: None,
            body: &bound.to_le_bytes(),
            ..*record
        };
        let to = self.copy(&kept, false)?;
        self.space.add_tombstone(to);
        Ok(())
    }

    fn copy(&self, record: &Record<'_>, large: bool) -> Result<Spot, StoreError> {
        let mut batch = Batch::take();
        batch.push(record, None);
        self.stage_copy(batch, large)
    }

    fn stage_copy(&self, mut batch: Batch, large: bool) -> Result<Spot, StoreError> {
        let mut to = None;
        let staged = self.compaction.log.stage(
            &self.space,
            &mut batch.encoded,
            &batch.lengths,
            |_, spot| to = Some(Spot { large, ..spot }),
        );
        let bytes = batch.encoded.len() as u64;
        batch.give_back();
        staged?;
        self.compaction
            .moved_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        to.ok_or_else(|| StoreError::Engine("a record was staged nowhere".into()))
    }
}

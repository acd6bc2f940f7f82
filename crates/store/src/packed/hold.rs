//! A hold: while a transaction holds the log, the log keeps only the last version of each record that it stages.
//!
//! All staged bytes lie in DRAM until the hold ends, and no other thread stages meanwhile. So when the transaction
//! replaces or removes a record that it staged itself, the record's bytes become a hole, and later records of the hold
//! fill holes first. No record moves, so the index needs no change. At the end of the hold each hole becomes a filler:
//! a record that the recovery passes over.
//!
//! Sequence numbers therefore do not rise along a segment. Bounds must still hold: a tombstone, or a value with a
//! deadline, must lie in a segment that is sealed after the record is staged. Such records fill only holes of the
//! active segment.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::holes::Holes;
use super::log::{Active, Chunk, Log, Staging, Taken};
use super::record::{self, Binding, Form, Parts, Record, Spot, bind};
use super::space::Space;
use crate::{Location, RecordKey, StoreError};

/// The most bytes that a hold may stage: all of them lie in DRAM.
const HELD_BYTES_MAX: usize = 1 << 30;

/// A collection that has grown past this many entries shrinks to it when the hold ends.
const KEPT_ENTRIES: usize = 1024;

/// Numbers of segments.
pub(super) type Pinned = HashSet<u32, FixedState>;

/// What the log knows of the records that the hold staged.
#[derive(Debug, Default)]
pub(super) struct Hold {
    is_on: bool,
    /// Serial number and offset where the hold's records begin. What was staged before lies before them.
    start: (u64, usize),
    /// How many bytes were staged before.
    staged_before: u64,
    /// Bytes of the hold in the chunks, holes included.
    bytes: usize,
    /// Holes in the active segment.
    open: Holes,
    /// Holes in the segments that the hold filled before it.
    full: Holes,
    /// The segments that the hold filled, and the bounds to seal them with at its end: until then the compaction must
    /// not empty them.
    seals: Vec<(u32, u64)>,
    /// Locations of records whose keys had none before the hold: removing them needs no tombstone.
    fresh: HashSet<u64, FixedState>,
    /// The tombstones that the hold staged, by generation and key.
    tombstones: HashMap<u32, HashMap<Box<[u8]>, Spot>>,
    /// Segments with records that were staged before the hold and that the hold released. A crash brings the records
    /// back, so the compaction must not empty these segments.
    pinned: Pinned,
}

impl Hold {
    /// Whether the hold has filled no segment and has left no hole.
    fn is_plain(&self) -> bool {
        self.seals.is_empty() && self.open.is_empty() && self.full.is_empty()
    }

    /// Takes a hole for a record: its segment and offset.
    fn take_hole(&mut self, record: &[u8]) -> Option<(u32, usize)> {
        let full = if record::hides_older(record) {
            None
        } else {
            self.full.take(record.len())
        };
        full.or_else(|| self.open.take(record.len()))
    }

    /// See [`Log::note_new`].
    fn note_new(&mut self, generation: u32, key: &[u8], to: Spot) -> Option<Spot> {
        let removed = if self.tombstones.is_empty() {
            None
        } else {
            let tombstones = self.tombstones.get_mut(&generation);
            tombstones.and_then(|tombstones| tombstones.remove(key))
        };
        if removed.is_none() {
            self.fresh.insert(to.location().0);
        }
        removed
    }

    /// Forgets everything, and frees most of the memory of large collections.
    fn clear(&mut self) {
        self.is_on = false;
        self.bytes = 0;
        self.open.clear();
        self.full.clear();
        self.seals.clear();
        self.tombstones.clear();
        self.fresh.clear();
        self.fresh.shrink_to(KEPT_ENTRIES);
        self.pinned.clear();
        self.pinned.shrink_to(KEPT_ENTRIES);
    }
}

impl Staging {
    /// Begins the hold.
    pub(super) fn begin_hold(&mut self, space: &Space) {
        self.hold.is_on = true;
        self.hold.staged_before = self.staged_bytes;
        self.hold.start = match self.active {
            Some(active) => (active.serial, active.end),
            None => (space.serial_bound(), 0),
        };
    }

    /// Ends the hold: turns the remaining holes into fillers.
    pub(super) fn end_hold(&mut self, space: &Space) {
        if !self.hold.is_on {
            return;
        }
        // Only the last chunk can be empty if no segment is to be sealed.
        let has_empty = self
            .chunks
            .last()
            .is_some_and(|chunk| chunk.bytes.is_empty());
        if self.hold.is_plain() && !has_empty {
            // The usual case: nothing is to be filled, sealed or given back.
            return self.hold.clear();
        }
        let mut hold = std::mem::take(&mut self.hold);
        hold.full.absorb(&mut hold.open);
        for (&(segment, offset), &length) in &hold.full.by_place {
            let Some(chunk) = self.chunk_mut(space.serial(segment)) else {
                continue;
            };
            let start = offset - chunk.offset;
            if start + length == chunk.bytes.len() {
                chunk.bytes.truncate(start);
            } else {
                let binding = Binding {
                    serial: chunk.serial,
                    offset,
                };
                record::fill(&mut chunk.bytes[start..start + length], binding);
            }
        }
        // The hold took this segment and emptied it again. Nothing was written to it, so it is free.
        let active = self.active.map(|active| active.segment);
        self.chunks.retain(|chunk| {
            let is_empty = chunk.bytes.is_empty();
            if is_empty && chunk.offset == 0 && active != Some(chunk.segment) {
                hold.seals.retain(|&(segment, _)| segment != chunk.segment);
                space.put_back(chunk.segment);
            }
            !is_empty
        });
        for &(segment, bound) in &hold.seals {
            space.seal(segment, bound);
        }
        hold.clear();
        self.hold = hold;
    }

    /// Takes what was staged before the hold.
    pub(super) fn take_before_hold(&mut self) -> Taken {
        let (serial, end) = self.hold.start;
        let mut chunks = Vec::new();
        let whole = self.chunks.partition_point(|chunk| chunk.serial < serial);
        chunks.extend(self.chunks.drain(..whole));
        if let Some(first) = self.chunks.first_mut()
            && first.serial == serial
            && first.offset < end
        {
            let rest = first.bytes.split_off(end - first.offset);
            chunks.push(Chunk {
                segment: first.segment,
                serial,
                offset: first.offset,
                bytes: std::mem::replace(&mut first.bytes, rest),
            });
            first.offset = end;
        }
        let staged_bytes = std::mem::take(&mut self.hold.staged_before);
        self.staged_bytes -= staged_bytes;
        Taken {
            chunks,
            staged_bytes,
        }
    }

    fn chunk_mut(&mut self, serial: u64) -> Option<&mut Chunk> {
        let n = self.chunk_number(serial)?;
        self.chunks.get_mut(n)
    }

    fn chunk_number(&self, serial: u64) -> Option<usize> {
        let last = self.chunks.len().checked_sub(1)?;
        if self.chunks[last].serial == serial {
            return Some(last);
        }
        let found = self
            .chunks
            .binary_search_by_key(&serial, |chunk| chunk.serial);
        found.ok()
    }

    /// The number of the chunk with a record, if the hold staged the record.
    fn held(&self, space: &Space, spot: Spot) -> Option<usize> {
        let serial = space.serial(spot.segment);
        if !self.hold.is_on || (serial, spot.offset) < self.hold.start {
            return None;
        }
        let n = self.chunk_number(serial)?;
        let chunk = &self.chunks[n];
        (spot.offset >= chunk.offset).then_some(n)
    }

    /// Has a record take the place of another one of its key, which the index uses no more.
    fn replace(&mut self, space: &Space, to: Spot, replaced: Spot) {
        if self.hold.fresh.contains(&replaced.location().0) {
            self.hold.fresh.insert(to.location().0);
        }
        self.give_up(space, replaced);
    }

    /// Makes a hole of a record that the hold has staged. A crash brings any other one back, so its segment stays.
    fn give_up(&mut self, space: &Space, spot: Spot) {
        if self.held(space, spot).is_some() {
            self.dig(spot);
        } else {
            self.hold.pinned.insert(spot.segment);
        }
    }

    /// Makes a hole of a record's bytes.
    fn dig(&mut self, spot: Spot) {
        let Self {
            active: Some(active),
            chunks,
            hold,
            ..
        } = self
        else {
            return;
        };
        hold.fresh.remove(&spot.location().0);
        let place = (spot.segment, spot.offset);
        if active.segment != spot.segment {
            hold.full.add(place, spot.length);
            return;
        }
        let (start, length) = hold.open.add(place, spot.length);
        if start + length == active.end
            && let Some(chunk) = chunks.last_mut()
        {
            // The hole ends where the log ends: shorten the log instead.
            hold.open.remove((spot.segment, start));
            hold.bytes -= length;
            chunk.bytes.truncate(start - chunk.offset);
            active.end = start;
        }
    }
}

impl Log {
    /// [`stage`](Self::stage) in a hold: fills holes first.
    pub(super) fn stage_held(
        &self,
        space: &Space,
        encoded: &mut [u8],
        lengths: &[usize],
        placed: &mut dyn FnMut(usize, Spot),
    ) -> Result<(), StoreError> {
        let mut staging = self.held_staging(space);
        let staging = &mut *staging;
        let mut planned = SmallVec::<[Option<(u32, usize)>; 8]>::with_capacity(lengths.len());
        let mut at_end = SmallVec::<[usize; 8]>::new();
        let mut start = 0;
        for &length in lengths {
            let record = &encoded[start..start + length];
            start += length;
            let hole = (length > 0)
                .then(|| staging.hold.take_hole(record))
                .flatten();
            if hole.is_none() {
                at_end.push(length);
            }
            planned.push(hole);
        }
        let added: usize = at_end.iter().sum();
        let fresh = if staging.hold.bytes + added > HELD_BYTES_MAX {
            Err(StoreError::OutOfMemory)
        } else {
            staging.take_segments(space, at_end.into_iter(), false)
        };
        let mut fresh = match fresh {
            Ok(fresh) => fresh.into_iter(),
            Err(error) => {
                let active = staging.active.map(|active| active.segment);
                for (place, &length) in planned.iter().zip(lengths) {
                    if let Some(place) = *place {
                        let hold = &mut staging.hold;
                        let is_open = active == Some(place.0);
                        let holes = if is_open {
                            &mut hold.open
                        } else {
                            &mut hold.full
                        };
                        holes.add(place, length);
                    }
                }
                return Err(error);
            }
        };
        let mut rest = encoded;
        for (i, (&length, place)) in lengths.iter().zip(planned).enumerate() {
            let (record, after) = rest.split_at_mut(length);
            rest = after;
            if length == 0 {
                continue;
            }
            let (segment, offset) = match place {
                Some((segment, offset)) => {
                    staging.refill(space.serial(segment), offset, record);
                    (segment, offset)
                }
                None => staging.append_held(space, record, &mut fresh),
            };
            placed(
                i,
                Spot {
                    segment,
                    offset,
                    length,
                    large: false,
                },
            );
        }
        staging.staged_bytes += added as u64;
        self.staged.fetch_add(added as u64, Ordering::Release);
        Ok(())
    }

    /// [`stage_one`](Self::stage_one) in a hold, of a value that is one record: fills a hole if there is one, keeps the accounts of
    /// both records, and notes what the hold must know of the key. Returns where the record lies, and whether it is the
    /// first of a segment.
    pub(super) fn stage_one_held(
        &self,
        space: &Space,
        name: RecordKey<'_>,
        record: &mut [u8],
        replaced: Option<Spot>,
    ) -> Result<(Spot, bool), StoreError> {
        let length = record.len();
        let mut guard = self.held_staging(space);
        let staging = &mut *guard;
        let mut is_first = false;
        let (segment, offset) = if let Some(hole) = staging.hold.take_hole(record) {
            staging.refill(space.serial(hole.0), hole.1, record);
            hole
        } else {
            if staging.hold.bytes + length > HELD_BYTES_MAX {
                return Err(StoreError::OutOfMemory);
            }
            let mut fresh = staging
                .take_segments(space, std::iter::once(length), false)?
                .into_iter();
            is_first = fresh.len() > 0;
            let place = staging.append_held(space, record, &mut fresh);
            staging.staged_bytes += length as u64;
            self.staged.fetch_add(length as u64, Ordering::Release);
            place
        };
        let spot = Spot {
            segment,
            offset,
            length,
            large: false,
        };
        space.claim_instead(spot, replaced);
        match replaced {
            Some(replaced) => staging.replace(space, spot, replaced),
            None => {
                if let Some(tombstone) = staging.hold.note_new(name.generation, name.key, spot) {
                    space.drop_tombstone(tombstone);
                    staging.give_up(space, tombstone);
                }
            }
        }
        Ok((spot, is_first))
    }

    /// Notes that the index uses a record no more. If the hold staged the record, its bytes become a hole. Otherwise a
    /// crash brings the record back, so its segment stays.
    #[inline]
    pub(super) fn let_go(&self, space: &Space, spot: Spot) {
        if self.is_held_here() {
            self.let_go_in_hold(space, spot);
        }
    }

    fn let_go_in_hold(&self, space: &Space, spot: Spot) {
        self.held_staging(space).give_up(space, spot);
    }

    /// Makes a hole of a record's bytes if the hold of this thread staged the record; `false` if it did not.
    pub(super) fn reuse(&self, space: &Space, spot: Spot) -> bool {
        self.is_held_here() && {
            let mut staging = self.staging.lock();
            let is_held = staging.held(space, spot).is_some();
            if is_held {
                staging.dig(spot);
            }
            is_held
        }
    }

    /// Keeps a segment from compaction until the hold ends, because a crash would bring records of it back.
    pub(super) fn pin(&self, space: &Space, segment: u32) {
        if self.is_held_here() {
            self.held_staging(space).hold.pinned.insert(segment);
        }
    }

    /// Whether the hold of this thread has [pinned](Self::pin) the segment.
    pub(super) fn is_pinned(&self, segment: u32) -> bool {
        self.is_held_here() && self.staging.lock().hold.pinned.contains(&segment)
    }

    /// The segments that the hold of this thread has [pinned](Self::pin).
    pub(super) fn pinned_here(&self) -> Pinned {
        if self.is_held_here() {
            self.staging.lock().hold.pinned.clone()
        } else {
            Pinned::default()
        }
    }

    /// Whether the hold of this thread staged a record.
    pub(super) fn is_of_hold(&self, space: &Space, location: Location) -> bool {
        self.is_held_here() && {
            let staging = self.staging.lock();
            staging.held(space, location.into()).is_some()
        }
    }

    /// Whether the hold of this thread staged a record and its key had none before.
    #[inline]
    pub(super) fn is_fresh(&self, location: Location) -> bool {
        self.is_held_here() && self.staging.lock().hold.fresh.contains(&location.0)
    }

    /// Notes that a key without a record has one now. Returns the key's tombstone if the hold staged one: the new
    /// record supersedes it.
    pub(super) fn note_new(&self, generation: u32, key: &[u8], to: Location) -> Option<Spot> {
        self.staging
            .lock()
            .hold
            .note_new(generation, key, to.into())
    }

    /// Notes that a record replaces a fresh one, so it is fresh too.
    pub(super) fn note_fresh(&self, to: Location) {
        self.staging.lock().hold.fresh.insert(to.0);
    }

    /// Notes a tombstone.
    pub(super) fn note_tombstone(&self, generation: u32, key: &[u8], spot: Spot) {
        let hold = &mut self.staging.lock().hold;
        let tombstones = hold.tombstones.entry(generation).or_default();
        tombstones.insert(key.into(), spot);
    }

    /// Drops all records of a flushed generation that the hold staged: calls `each` for every one and makes a hole of
    /// it.
    pub(super) fn drop_generation(
        &self,
        space: &Space,
        generation: u32,
        each: &mut dyn FnMut(Form, Spot),
    ) {
        let mut staging = self.held_staging(space);
        let mut found = Vec::new();
        let (first, start) = staging.hold.start;
        for chunk in &staging.chunks {
            if chunk.serial < first {
                continue;
            }
            let mut offset = if chunk.serial == first {
                start.max(chunk.offset)
            } else {
                chunk.offset
            };
            while let Some(bytes) = chunk.bytes.get(offset - chunk.offset..) {
                let place = (chunk.segment, offset);
                let holes = [&staging.hold.open, &staging.hold.full];
                if let Some(length) = holes.iter().find_map(|holes| holes.by_place.get(&place)) {
                    offset += length;
                    continue;
                }
                let Some(record) = Record::decode(bytes) else {
                    break;
                };
                let length = record.padded_bytes();
                // This record names parts from before the hold, and these still count as live. Keep it: only through it
                // can the store find them later and stop counting them.
                let is_needed = matches!(record.form, Form::Large(_))
                    && Parts::decode(record.body).is_ok_and(|parts| {
                        let mut parts = parts.spots.iter();
                        parts.any(|part| staging.held(space, *part).is_none())
                    });
                if record.generation == generation && !is_needed {
                    let spot = Spot {
                        segment: chunk.segment,
                        offset,
                        length,
                        large: matches!(record.form, Form::Large(_)),
                    };
                    found.push((record.form, spot));
                }
                offset += length;
            }
        }
        // From the end, so that each hole at the log's end shortens the log.
        for (form, spot) in found.into_iter().rev() {
            each(form, spot);
            if staging.held(space, spot).is_some() {
                staging.dig(spot);
            }
        }
        staging.hold.tombstones.remove(&generation);
    }
}

impl Staging {
    /// Writes a record into a hole.
    fn refill(&mut self, serial: u64, offset: usize, record: &mut [u8]) {
        bind(record, Binding { serial, offset });
        let Some(chunk) = self.chunk_mut(serial) else {
            unreachable!("a hole lies in a chunk");
        };
        let start = offset - chunk.offset;
        chunk.bytes[start..start + record.len()].copy_from_slice(record);
    }

    /// Writes a record to the end of the log. Returns its segment and offset.
    fn append_held(
        &mut self,
        space: &Space,
        record: &mut [u8],
        fresh: &mut impl Iterator<Item = (u32, u64)>,
    ) -> (u32, usize) {
        let active = match self.active {
            Some(active) if record.len() <= space.capacity() - active.end => active,
            full => {
                let Some((segment, serial)) = fresh.next() else {
                    unreachable!("a segment was taken for each change of it");
                };
                if let Some(full) = full {
                    self.hold.seals.push((full.segment, serial));
                }
                self.hold.full.absorb(&mut self.hold.open);
                Active {
                    segment,
                    serial,
                    end: 0,
                }
            }
        };
        bind(record, active.binding());
        self.append(active, record);
        self.hold.bytes += record.len();
        self.active = Some(Active {
            end: active.end + record.len(),
            ..active
        });
        (active.segment, active.end)
    }
}

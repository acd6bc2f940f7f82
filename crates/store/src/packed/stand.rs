//! Opening without reading everything: what an earlier process knew at some moment, and the records that came later.

use std::sync::atomic::Ordering;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Packed;
use super::header::{Header, Which};
use super::record::{Form, Record, Spot};
use crate::{LocationWalk, Stand, StoreError, Visited};

/// How many bytes before a stand tell whether a pool is the one of which the stand was noted.
const SUMMED_BYTES: usize = 4096;

/// Up to so many records are claimed without a table of all segments.
const FEW: usize = 256;

/// What a segment has of the records that are counted as live.
struct Claimed {
    /// Bytes of records that may be read; 0 if it is free.
    readable: usize,
    /// Bytes of those that were counted.
    bytes: usize,
}

impl Packed {
    /// Where both logs end.
    pub(super) fn present_stand(&self) -> Option<Stand> {
        let front = self.front.end(&self.space)?;
        let compaction = self.compaction.log().end(&self.space)?;
        Some(Stand {
            ends: [front, compaction],
            sequence: self.sequence.load(Ordering::Acquire),
        })
    }

    /// A sum of the last bytes before a stand, which are others in a pool with another history; `None` where they are not there.
    pub(super) fn sum_before(&self, stand: &Stand) -> Option<u64> {
        let segments = self.space.segments();
        let mut sum = 0;
        for &(serial, end) in stand.ends.iter().filter(|&&(_, end)| end > 0) {
            let segment = self.space.with_serial(serial)?;
            let length = usize::try_from(end).ok()?.min(SUMMED_BYTES);
            let from = usize::try_from(end).ok()? - length;
            let add = |bytes: &[u8]| xxh3_64_with_seed(bytes, sum);
            sum = segments.read(segment, from, length, add)?;
        }
        Some(sum)
    }

    /// Shows the records behind a stand. Every segment's tombstones are unknown from then on.
    pub(super) fn visit_behind(
        &self,
        stand: &Stand,
        visit: &mut dyn FnMut(Visited<'_>),
    ) -> Result<bool, StoreError> {
        let segments = self.space.segments();
        let least = stand.ends.iter().map(|&(serial, _)| serial).min();
        // A segment that was being filled is there, and as full as it was.
        let mut missing = stand.ends.map(|(_, end)| end > 0);
        let mut behind = Vec::new();
        for segment in 0..segments.count() {
            let serial = self.space.serial(segment);
            if serial == 0 || Some(serial) < least {
                continue;
            }
            let (header, _) = Header::decode(&segments.header(segment)?)
                .map_err(|error| StoreError::Damaged(format!("segment {segment}: {error}")))?;
            let (first, end) = stand.ends[header.which as usize];
            let from = match serial.cmp(&first) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => {
                    missing[header.which as usize] = header.committed < end;
                    end
                }
                std::cmp::Ordering::Greater => 0,
            };
            behind.push((segment, usize::try_from(from).unwrap_or(usize::MAX)));
        }
        // Keys whose end was seen must not come back, although the clock went back.
        let went_back = crate::model::now_ms() < self.expired.latest();
        if missing.contains(&true) || self.damage.repair || went_back {
            return Ok(false);
        }
        self.sequence.fetch_max(stand.sequence, Ordering::Relaxed);
        // The pool knows no serial number of a segment of which nothing was committed, so the stand may lie behind all that it
        // knows. What this process writes must lie behind the stand too: the next start may go back to the same one.
        for (serial, _) in stand.ends {
            self.space.go_on_from(serial);
        }
        for (segment, from) in behind {
            self.visit_from(segment, from, visit)?;
        }
        self.space.leave_unread();
        Ok(true)
    }

    /// Shows the records of a segment from an offset on.
    fn visit_from(
        &self,
        segment: u32,
        from: usize,
        visit: &mut dyn FnMut(Visited<'_>),
    ) -> Result<(), StoreError> {
        let segments = self.space.segments();
        let committed = segments.readable(segment);
        if from >= committed {
            return Ok(());
        }
        let walked = segments.read(segment, 0, committed, |bytes| {
            self.verify_records(segment, from, bytes, &mut |spot, record| {
                self.sequence.fetch_max(record.sequence, Ordering::Relaxed);
                self.show(spot, record, visit);
            })
        });
        walked.unwrap_or_else(|| {
            let why = format!("segment {segment} cannot be read");
            Err(StoreError::Damaged(why))
        })
    }

    /// Walks over the records in a segment's bytes from an offset on, and checks each.
    fn verify_records(
        &self,
        segment: u32,
        from: usize,
        bytes: &[u8],
        met: &mut dyn FnMut(Spot, &Record<'_>),
    ) -> Result<(), StoreError> {
        let mut offset = from;
        while offset < bytes.len() {
            let binding = self.space.binding(segment, offset);
            let record = Record::verify(binding, &bytes[offset..]).map_err(|why| {
                let place = format!("the record at byte {offset} of segment {segment}");
                StoreError::Damaged(format!("{place}: {why}"))
            })?;
            let spot = Spot {
                segment,
                offset,
                length: record.padded_bytes(),
                large: matches!(record.form, Form::Large(_)),
            };
            offset += spot.length;
            met(spot, &record);
        }
        Ok(())
    }

    /// Checks a segment that the open has not read, without having its pages mapped if all is well.
    pub(super) fn check_unread_segment(&self, part: usize) -> Result<(), StoreError> {
        let segment = u32::try_from(part).map_err(|_| StoreError::TooLarge)?;
        if !self.space.is_unread(segment) {
            return Ok(());
        }
        let segments = self.space.segments();
        let copy = segments.copy_of_file(segment, segments.readable(segment));
        let is_sound = copy.is_some_and(|copy| {
            self.verify_records(segment, 0, &copy, &mut |_, _| ())
                .is_ok()
        });
        if is_sound {
            return Ok(());
        }
        self.visit_unread_segment(part, &mut |_| ())
    }

    /// Has all segments stay as they are while another thread reads them one after the other, or lets the compaction go on.
    pub(super) fn hold_segments(&self, hold: bool) {
        self.holds_segments.store(hold, Ordering::Release);
        if !hold {
            self.ring();
        }
    }

    /// Shows the records of a segment that the open has not read.
    pub(super) fn visit_unread_segment(
        &self,
        part: usize,
        visit: &mut dyn FnMut(Visited<'_>),
    ) -> Result<(), StoreError> {
        let segment = u32::try_from(part).map_err(|_| StoreError::TooLarge)?;
        let serial = self.space.serial(segment);
        if !self.space.is_unread(segment) {
            return Ok(());
        }
        let checked = self.visit_from(segment, 0, visit);
        // Freed and filled anew meanwhile, it may have been read half and half.
        if self.space.serial(segment) == serial {
            checked
        } else {
            Ok(())
        }
    }

    /// Shows a record, and keeps no account of it.
    fn show(&self, spot: Spot, record: &Record<'_>, visit: &mut dyn FnMut(Visited<'_>)) {
        let has_expired = record
            .expires_at
            .is_some_and(|deadline| self.expired.hold(record.sequence, deadline));
        let kind = match record.form {
            Form::Value(kind) | Form::Large(kind) => Some(kind.kind),
            Form::Tombstone => None,
            Form::Part => return,
        };
        visit(Visited {
            generation: record.generation,
            key: record.key,
            kind: kind.unwrap_or(crate::model::Kind::String),
            expires_at: record.expires_at,
            location: spot.location(),
            value: if spot.large { &[] } else { record.body },
            sequence: record.sequence,
            removed: kind.is_none() || has_expired,
        });
    }

    /// Counts records as live, with the parts of their values.
    pub(super) fn claim_records(&self, walk: LocationWalk<'_>) -> Result<(), StoreError> {
        let mut counted = Counted::default();
        let mut outcome: Result<(), StoreError> = Ok(());
        walk(&mut |location| {
            let spot = Spot::from(location);
            let mut claim = || {
                counted.add(self, spot)?;
                if spot.large {
                    self.parts_of(spot)?
                        .spots
                        .into_iter()
                        .try_for_each(|part| counted.add(self, part))?;
                }
                Ok(())
            };
            if let Err(error) = claim() {
                outcome = Err(error);
            }
        });
        outcome?;
        counted.few.sort_unstable();
        let of_few = counted.few.chunk_by(|(one, _), (next, _)| one == next);
        let of_few = of_few.map(|some| (some[0].0, some.iter().map(|(_, bytes)| bytes).sum()));
        let of_all = (0..).zip(counted.all.iter().map(|claimed| claimed.bytes));
        for (segment, bytes) in of_few.chain(of_all) {
            if bytes > self.space.capacity() {
                let why = format!("the records of segment {segment} are more than it holds");
                return Err(StoreError::Damaged(why));
            }
            if bytes > 0 {
                self.space.claim_all(segment, bytes);
            }
        }
        Ok(())
    }

    /// Bytes of records that may be read of a segment; 0 if it is free.
    fn readable_in_use(&self, segment: u32) -> usize {
        match self.space.serial(segment) {
            0 => 0,
            _ => self.space.segments().readable(segment),
        }
    }
}

/// What is to be claimed of each segment.
#[derive(Default)]
struct Counted {
    /// The segment and the length of each record, while there are few of them: a table of all segments would cost a small
    /// collection more than its records do.
    few: Vec<(u32, usize)>,
    /// By segment, as soon as there are many: side by side, and once for all records, since they lie everywhere, and the
    /// accounts are too many for the nearest cache.
    all: Vec<Claimed>,
}

impl Counted {
    fn add(&mut self, packed: &Packed, spot: Spot) -> Result<(), StoreError> {
        let missing = || {
            Err(StoreError::Damaged(format!(
                "there is no record at {spot:?}"
            )))
        };
        let count = packed.space.segments().count();
        let readable = match self.all.get(spot.segment as usize) {
            Some(here) => here.readable,
            None if spot.segment < count => packed.readable_in_use(spot.segment),
            None => return missing(),
        };
        if spot.length == 0 || spot.offset + spot.length > readable {
            return missing();
        }
        if self.all.is_empty() && self.few.len() == FEW {
            let claimed = (0..count).map(|segment| Claimed {
                readable: packed.readable_in_use(segment),
                bytes: 0,
            });
            self.all = claimed.collect();
            for (segment, bytes) in self.few.drain(..) {
                self.all[segment as usize].bytes += bytes;
            }
        }
        match self.all.get_mut(spot.segment as usize) {
            Some(here) => here.bytes += spot.length,
            None => self.few.push((spot.segment, spot.length)),
        }
        Ok(())
    }
}

const _: () = assert!(Which::Front as usize == 0 && Which::Compaction as usize == 1);

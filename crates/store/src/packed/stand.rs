//! Opening without reading everything: what an earlier process knew at some moment, and the records that came later.

use std::sync::atomic::Ordering;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Packed;
use super::header::{Header, Which};
use super::record::{Form, Record, Spot};
use crate::{LocationWalk, Stand, StoreError, Visited};

/// How many bytes before a stand tell whether a pool is the one of which the stand was noted.
const SUMMED_BYTES: usize = 4096;

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
            let mut all = 0..segments.count();
            let segment = all.find(|&segment| self.space.serial(segment) == serial)?;
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
        let segments = self.space.segments();
        // Side by side, and once for all records: they lie everywhere, and the accounts are too many for the nearest cache.
        let readable = |segment| match self.space.serial(segment) {
            0 => 0,
            _ => segments.readable(segment),
        };
        let counted = (0..segments.count()).map(|segment| Claimed {
            readable: readable(segment),
            bytes: 0,
        });
        let mut counted: Vec<Claimed> = counted.collect();
        let mut add = |spot: Spot| match counted.get_mut(spot.segment as usize) {
            Some(here) if spot.length > 0 && spot.offset + spot.length <= here.readable => {
                here.bytes += spot.length;
                Ok(())
            }
            _ => Err(StoreError::Damaged(format!(
                "there is no record at {spot:?}"
            ))),
        };
        let mut outcome: Result<(), StoreError> = Ok(());
        walk(&mut |location| {
            let spot = Spot::from(location);
            let mut claim = || {
                add(spot)?;
                if spot.large {
                    self.parts_of(spot)?
                        .spots
                        .into_iter()
                        .try_for_each(&mut add)?;
                }
                Ok(())
            };
            if let Err(error) = claim() {
                outcome = Err(error);
            }
        });
        outcome?;
        for (segment, Claimed { bytes, .. }) in (0..).zip(counted) {
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
}

const _: () = assert!(Which::Front as usize == 0 && Which::Compaction as usize == 1);

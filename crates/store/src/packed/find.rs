//! The segments that an earlier process has left: what is free, what is used, what a crash left of a commit that was not
//! finished, and whether all are there and none is stale.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::guard::guarded_offset;
use super::header::{Header, HeaderError, Which};
use super::log::Guard;
use super::record::{Binding, Record};
use super::roll::Used;
use super::synced::headers_at;
use super::{Packed, WORD_GUARDS};
use crate::StoreError;
use crate::metadata::Metadata;

/// What an operator can do about damage.
pub(super) const WAY_OUT: &str = "Restore the pool from a copy, or start once with --repair yes, which keeps all that is \
                                  readable and says what it dropped";

/// A segment's header, `None` where it was never used, or why it makes no sense.
type HeaderFound = Result<Option<Header>, String>;

/// What the headers say.
#[derive(Default)]
struct Found {
    free: Vec<u32>,
    /// Free ones whose header does not say so yet, or says so in the form of a former version.
    unmarked: Vec<u32>,
    used: Vec<Used>,
}

impl Packed {
    /// Reads the headers, and has the pool's words and the headers say the same from now on. Returns the segments in use.
    pub(super) fn find_segments(&self) -> Result<Vec<Used>, StoreError> {
        let roll = self.space.roll();
        let segments = self.space.segments();
        self.take_back()?;
        let mut found = self.read_headers()?;
        self.cut_torn(&mut found)?;
        let undone = self.find_unfinished(&found.used)?;
        if self.has_roll() {
            self.check_roll(&found.used, &undone)?;
            let (freed, used) = found
                .used
                .drain(..)
                .partition(|(segment, header)| roll.is_freed(*segment, header));
            found.used = used;
            for (segment, _) in freed {
                segments.reset(segment, &Header::FREE.encode())?;
                found.free.push(segment);
            }
        }
        let mut used = undo(&found.used, &undone);
        // First the roll, as it is after all of what follows: an open that is cut short finds out by the guard.
        roll.replace(segments.count(), &used);
        self.undo_unfinished(&found.used, &undone)?;
        for segment in found.unmarked {
            segments.reset(segment, &Header::FREE.encode())?;
            found.free.push(segment);
        }
        if let Metadata::Pool(pool) = &self.metadata {
            pool.upgrade();
        }
        let kept: HashSet<u32> = used.iter().map(|&(segment, _)| segment).collect();
        let emptied = found.used.iter().map(|(segment, _)| *segment);
        let free = found
            .free
            .into_iter()
            .chain(emptied.filter(|segment| !kept.contains(segment)));
        for segment in free {
            self.space.found_free(segment);
        }
        // Serial numbers rise within a log: each segment was sealed when the next was begun.
        used.sort_unstable_by_key(|(_, header)| (header.which as u64, header.serial));
        let bound = used.iter().map(|(_, header)| header.serial + 1).max();
        let bound = bound.unwrap_or(1).max(roll.next_serial());
        self.space.go_on_from(bound);
        for (i, &(segment, header)) in used.iter().enumerate() {
            let next = used.get(i + 1).map(|(_, next)| next);
            let next = next.filter(|next| next.which == header.which);
            let next = next.map_or(bound, |next| next.serial);
            self.space.found(segment, &header, next);
            segments.set_readable(segment, committed_bytes(&header))?;
        }
        Ok(used)
    }

    /// Where a power cut may have left headers of many moments, takes all back to the last sync's.
    fn take_back(&self) -> Result<(), StoreError> {
        let Metadata::Pool(pool) = &self.metadata else {
            return Ok(());
        };
        if let Some(number) = pool.damaged_point() {
            let why = format!("what sync {number} left in the pool's root object is damaged");
            if !self.damage.repair {
                return Err(StoreError::Damaged(format!("{why}. {WAY_OUT}")));
            }
            tracing::warn!("repair: {why}: what was written after the sync before may be lost");
            self.damage.note(0);
        }
        let Some(point) = pool.restored() else {
            return Ok(());
        };
        let segments = self.space.segments();
        let headers = match segments.find_ledger() {
            Ok(true) => headers_at(&point, segments),
            Ok(false) => Err("the table of the last sync is missing".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let headers = match headers {
            Ok(headers) => headers,
            Err(why) if !self.damage.repair => {
                return Err(StoreError::Damaged(format!("{why}. {WAY_OUT}")));
            }
            Err(why) => {
                tracing::warn!("repair: {why}: the segments are taken as they are");
                self.damage.note(0);
                return Ok(());
            }
        };
        self.space.roll().skip_lost_serials();
        // The hints may be of later commits.
        for which in [Which::Front, Which::Compaction] {
            pool.set_cell(which as usize, 0);
        }
        let mut changed = 0;
        for (segment, header) in (0..).zip(&headers) {
            let found = Header::decode(&segments.header(segment)?);
            let is_same = found.is_ok_and(|(found, _)| {
                (found.serial, found.committed, found.which)
                    == (header.serial, header.committed, header.which)
            });
            if !is_same {
                segments.reset(segment, &header.encode())?;
                changed += 1;
            }
        }
        // All that the table has was on the disk when the point was made. Where it is damaged, no power cut cut it short.
        let roll = self.space.roll();
        for header in headers.iter().filter(|header| header.serial != 0) {
            if roll.hinted(header).is_some() {
                roll.appended(header.which, header.serial, committed_bytes(header));
            }
        }
        if changed > 0 {
            tracing::warn!(
                segments = changed,
                "the pool was not closed in order, and the system has been started since: what was written after the last \
                 sync is taken back"
            );
        }
        Ok(())
    }

    /// Whether the pool keeps a roll: those of the former format have none.
    fn has_roll(&self) -> bool {
        match &self.metadata {
            Metadata::Pool(pool) => pool.has_copy(),
            Metadata::Process { .. } => false,
        }
    }

    fn read_headers(&self) -> Result<Found, StoreError> {
        let segments = self.space.segments();
        let mut found = Found::default();
        for (segment, header) in (0..).zip(segments.headers()?) {
            match self.understand(segment, &header)? {
                Ok(Some(header)) if header.serial == 0 && header.has_one_value() => {
                    found.unmarked.push(segment);
                }
                Ok(Some(header)) if header.serial == 0 => found.free.push(segment),
                Ok(Some(header)) => found.used.push((segment, header)),
                Ok(None) => found.unmarked.push(segment),
                Err(why) if !self.damage.repair => {
                    return Err(StoreError::Damaged(format!(
                        "segment {segment}: {why}. {WAY_OUT}"
                    )));
                }
                Err(why) => {
                    tracing::warn!(
                        segment,
                        why,
                        "repair: a whole segment is unreadable: dropped"
                    );
                    self.damage.note(segments.segment_bytes() as u64);
                    found.unmarked.push(segment);
                }
            }
        }
        Ok(found)
    }

    /// Goes on with what a segment's header says.
    fn understand(
        &self,
        segment: u32,
        header: &[u8; pmemkv::SEGMENT_HEADER_BYTES],
    ) -> Result<HeaderFound, StoreError> {
        let refused = |error: HeaderError| format!("segment {segment}: {error}");
        let segments = self.space.segments();
        Ok(match Header::decode(header) {
            // Nothing is wrong with it: the repair must not take it for damage.
            Err(error @ HeaderError::OtherVersion(_)) => {
                return Err(StoreError::Engine(refused(error)));
            }
            Err(HeaderError::Zeros) if !self.has_roll() => Ok(None),
            Err(error) => Err(error.to_string()),
            Ok((header, _)) if committed_bytes(&header) > self.space.capacity() => {
                Err(format!("it claims {} bytes", header.committed))
            }
            Ok((header, entry)) => {
                segments.go_on_with(segment, 1 - entry)?;
                Ok(Some(header))
            }
        })
    }

    /// Takes back the last commit of each log where a loss of power has kept some of its records from the memory. Such a
    /// commit was never acknowledged: the hint, which is stored after it, does not know it. A commit that the hint knows, and
    /// whose records are damaged, stays and is refused when the records are read.
    fn cut_torn(&self, found: &mut Found) -> Result<(), StoreError> {
        let segments = self.space.segments();
        let roll = self.space.roll();
        for (segment, header) in &mut found.used {
            let is_last = header.begun < header.committed
                && roll
                    .hinted(header)
                    .is_some_and(|least| least <= header.begun);
            if !is_last || self.is_whole_commit(*segment, header)? {
                continue;
            }
            tracing::info!(segment, "the last commit was cut short: it is undone");
            *header = if header.begun == 0 {
                Header::FREE
            } else {
                Header {
                    committed: header.begun,
                    ..*header
                }
            };
            segments.reset(*segment, &header.encode())?;
        }
        let (used, free) = found
            .used
            .drain(..)
            .partition(|(_, header)| header.serial != 0);
        found.used = used;
        let free: Vec<Used> = free;
        found
            .free
            .extend(free.into_iter().map(|(segment, _)| segment));
        Ok(())
    }

    /// Whether all records of a segment's last commit are there.
    fn is_whole_commit(&self, segment: u32, header: &Header) -> Result<bool, StoreError> {
        let segments = self.space.segments();
        let (mut offset, end) = (to_usize(header.begun), committed_bytes(header));
        segments.set_readable(segment, end)?;
        let is_whole = segments.read(segment, 0, end, |bytes| {
            while offset < end {
                let binding = Binding {
                    serial: header.serial,
                    offset,
                };
                match Record::verify(binding, &bytes[offset..]) {
                    Ok(record) => offset += record.padded_bytes(),
                    Err(_) => return false,
                }
            }
            offset == end
        });
        Ok(is_whole == Some(true))
    }

    /// Refuses a pool whose segments are not those of the roll. An open that undid a commit may have been cut short: then
    /// they are what is left of them.
    fn check_roll(&self, used: &[Used], undone: &[Unfinished]) -> Result<(), StoreError> {
        let roll = self.space.roll();
        let Err(why) = roll.check(used) else {
            return Ok(());
        };
        if !undone.is_empty() && roll.check(&undo(used, undone)).is_ok() {
            return Ok(());
        }
        if !self.damage.repair {
            return Err(StoreError::Damaged(format!("{why}. {WAY_OUT}")));
        }
        tracing::warn!("repair: {why}: what was found is kept");
        self.damage.note(0);
        Ok(())
    }

    /// The commits that were cut short.
    fn find_unfinished(&self, used: &[Used]) -> Result<Vec<Unfinished>, StoreError> {
        let Metadata::Pool(pool) = &self.metadata else {
            return Ok(Vec::new());
        };
        let mut unfinished = Vec::new();
        for which in [Which::Front, Which::Compaction] {
            let words = pool.words(WORD_GUARDS + 2 * which as usize, 2);
            let (serial, offset) = (words[0], words[1] & u64::from(u32::MAX));
            if serial == 0 {
                continue;
            }
            if words[1] == guarded_offset(which, serial, offset) {
                unfinished.push(Unfinished {
                    which,
                    serial,
                    offset,
                });
                continue;
            }
            let why = "the note of a commit that was not finished does not fit its checksum";
            if !self.damage.repair {
                return Err(StoreError::Damaged(format!("{why}. {WAY_OUT}")));
            }
            tracing::warn!(segments = used.len(), "repair: {why}: passed over");
            self.damage.note(0);
            self.metadata.clear(which);
        }
        Ok(unfinished)
    }

    /// Takes back the records of commits that were cut short.
    fn undo_unfinished(&self, used: &[Used], undone: &[Unfinished]) -> Result<(), StoreError> {
        for unfinished in undone {
            tracing::info!("a commit that was not finished is undone");
            for (segment, header) in used {
                let kept = unfinished.kept(header);
                if kept != *header {
                    self.space.segments().reset(*segment, &kept.encode())?;
                }
            }
            self.metadata.clear(unfinished.which);
        }
        Ok(())
    }
}

/// A commit that was cut short: where in its log it began.
struct Unfinished {
    which: Which,
    serial: u64,
    offset: u64,
}

impl Unfinished {
    /// What is left of a segment.
    fn kept(&self, header: &Header) -> Header {
        if header.which != self.which {
            return *header;
        }
        match header.serial.cmp(&self.serial) {
            Ordering::Less => *header,
            Ordering::Equal if self.offset > 0 => Header {
                committed: header.committed.min(self.offset),
                begun: header.begun.min(self.offset),
                ..*header
            },
            _ => Header::FREE,
        }
    }
}

/// What is left of the segments when the commits are undone.
fn undo(used: &[Used], undone: &[Unfinished]) -> Vec<Used> {
    let kept = |&(segment, header): &Used| {
        let header = undone
            .iter()
            .fold(header, |header, unfinished| unfinished.kept(&header));
        (segment, header)
    };
    used.iter()
        .map(kept)
        .filter(|(_, header)| header.serial != 0)
        .collect()
}

/// Bytes of records in a segment.
fn committed_bytes(header: &Header) -> usize {
    to_usize(header.committed)
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

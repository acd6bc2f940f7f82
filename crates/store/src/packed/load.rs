//! Recovery: reads all records when the store opens, and with `--repair` drops the unreadable ones.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Packed;
use super::record::{ALIGNMENT, Form, Record, Spot};
use crate::{LIBRARIES, PLACE, Relocate, Store, StoreError, Visited};

/// The damage that the recovery has found.
#[derive(Debug, Default)]
pub struct Damage {
    /// Whether the recovery skips damage instead of refusing it.
    pub repair: bool,
    segments: AtomicU64,
    bytes: AtomicU64,
    /// The segments of which a part is readable.
    partly: Mutex<Vec<Partly>>,
    /// Large values of which parts are missing.
    torn: Mutex<Vec<Torn>>,
    /// The newest tombstone of each key: its sequence number.
    removed: Mutex<HashMap<Name, u64>>,
}

/// A generation and a key.
type Name = (u32, Vec<u8>);

/// A large value of which parts are missing. That is damage, unless a later record replaces or removes the value.
#[derive(Debug)]
struct Torn {
    name: Name,
    sequence: u64,
    bytes: usize,
}

/// A segment of which a part is readable.
#[derive(Debug)]
struct Partly {
    segment: u32,
    /// The offsets of its readable records.
    offsets: Vec<usize>,
}

impl Damage {
    /// No damage yet. With `repair` the recovery will skip damage, otherwise refuse it.
    pub fn new(repair: bool) -> Self {
        Self {
            repair,
            ..Self::default()
        }
    }

    /// How many segments have unreadable records.
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }

    /// How many bytes are unreadable.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Notes damage in one segment.
    pub fn note(&self, bytes: u64) {
        self.segments.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Packed {
    /// Shows the records of one segment.
    pub(super) fn visit_segment(
        &self,
        part: usize,
        visit: &mut dyn FnMut(Visited<'_>),
    ) -> Result<(), StoreError> {
        let segment = u32::try_from(part).map_err(|_| StoreError::TooLarge)?;
        let serial = self.space.serial(segment);
        let committed = self.space.segments().readable(segment);
        if serial == 0 || committed == 0 {
            return Ok(());
        }
        let walked = self.space.segments().read(segment, 0, committed, |bytes| {
            self.walk(segment, bytes, visit)
        });
        walked.unwrap_or_else(|| {
            Err(StoreError::Damaged(format!(
                "segment {segment} cannot be read"
            )))
        })
    }

    fn walk(
        &self,
        segment: u32,
        bytes: &[u8],
        visit: &mut dyn FnMut(Visited<'_>),
    ) -> Result<(), StoreError> {
        let mut offset = 0;
        let mut skipped = 0;
        let mut offsets = Vec::new();
        let mut live = 0;
        // The threads share one counter, so each updates it once per segment, not once per record.
        let mut last_sequence = 0;
        let mut dropped = false;
        while offset < bytes.len() {
            let binding = self.space.binding(segment, offset);
            let record = match Record::verify(binding, &bytes[offset..]) {
                Ok(record) => record,
                Err(why) if !self.damage.repair => {
                    return Err(StoreError::Damaged(format!(
                        "the record at byte {offset} of segment {segment}: {why}. Restore the pool from a copy, or \
                         start once with --repair yes, which keeps all that is readable and says what it dropped"
                    )));
                }
                Err(_) => {
                    offset += ALIGNMENT;
                    skipped += ALIGNMENT as u64;
                    continue;
                }
            };
            let spot = Spot {
                segment,
                offset,
                length: record.padded_bytes(),
                large: matches!(record.form, Form::Large(_)),
            };
            offset += spot.length;
            last_sequence = last_sequence.max(record.sequence);
            match self.meet(spot, &record, visit) {
                Some(bytes) => {
                    live += bytes;
                    if self.damage.repair {
                        offsets.push(spot.offset);
                    }
                }
                None => dropped = true,
            }
        }
        self.sequence.fetch_max(last_sequence, Ordering::Relaxed);
        self.space.claim_all(segment, live);
        if skipped > 0 {
            tracing::warn!(
                segment,
                bytes = skipped,
                "dropped unreadable bytes of a segment"
            );
            self.damage.note(skipped);
        }
        if skipped > 0 || dropped {
            self.damage.partly.lock().push(Partly { segment, offsets });
        }
        Ok(())
    }

    /// Shows one record and returns the bytes to count as live. The parts of a value count with the record that names
    /// them. `None` means that the repair drops the record: it must be gone at the next open.
    fn meet(
        &self,
        spot: Spot,
        record: &Record<'_>,
        visit: &mut dyn FnMut(Visited<'_>),
    ) -> Option<usize> {
        // By its own deadline, as far as a mark says; a clock that was set back does not count.
        let is_gone = record
            .expires_at
            .is_some_and(|deadline| self.expired.hold(record.sequence, deadline));
        let kind = match record.form {
            Form::Value(_) | Form::Large(_) if is_gone => {
                self.meet_removal(spot, record);
                crate::model::Kind::String
            }
            Form::Value(kind) | Form::Large(kind) => kind.kind,
            Form::Tombstone => {
                self.meet_removal(spot, record);
                crate::model::Kind::String
            }
            Form::Part => return Some(0),
        };
        let removed = is_gone || record.form == Form::Tombstone;
        if spot.large && !removed && self.damage.repair && !self.is_whole(record) {
            self.damage.torn.lock().push(Torn {
                name: name(record),
                sequence: record.sequence,
                bytes: spot.length,
            });
            return None;
        }
        if spot.large
            && !removed
            && let Ok(parts) = super::Parts::decode(record.body)
        {
            for part in parts.spots {
                self.space.claim(part);
            }
        }
        visit(Visited {
            generation: record.generation,
            key: record.key,
            kind,
            expires_at: record.expires_at,
            location: spot.location(),
            value: if spot.large { &[] } else { record.body },
            sequence: record.sequence,
            removed,
        });
        Some(if removed { 0 } else { spot.length })
    }

    /// Counts a record that says that its key is gone.
    fn meet_removal(&self, spot: Spot, record: &Record<'_>) {
        self.space.add_tombstone(spot);
        if self.damage.repair {
            let mut removed = self.damage.removed.lock();
            let last = removed.entry(name(record)).or_default();
            *last = record.sequence.max(*last);
        }
    }

    /// Whether all parts of a large value are there, and are the ones that the record was written for: where a replaced
    /// part lay, a later part of the same key may lie now.
    fn is_whole(&self, head: &Record<'_>) -> bool {
        let Ok(parts) = super::Parts::decode(head.body) else {
            return false;
        };
        let mut bytes = 0;
        // An older version numbered the record before its parts, this one after them; no version numbered it in
        // between.
        let mut later = 0;
        for part in &parts.spots {
            let binding = self.space.binding(part.segment, part.offset);
            let found =
                self.space
                    .segments()
                    .read(part.segment, part.offset, part.length, |stored| {
                        let found = Record::verify(binding, stored).ok()?;
                        let fits = found.form == Form::Part
                            && found.generation == head.generation
                            && found.key == head.key;
                        fits.then_some((found.sequence, found.body.len()))
                    });
            let Some((sequence, length)) = found.flatten() else {
                return false;
            };
            bytes += length as u64;
            later += usize::from(sequence > head.sequence);
        }
        bytes == parts.value_bytes && (later == 0 || later == parts.spots.len())
    }

    /// After a recovery that skipped damage: moves the readable records out of the damaged segments, frees these, and
    /// logs what was dropped.
    pub(super) fn repair(&self, index: &dyn Relocate) -> Result<(), StoreError> {
        if !self.damage.repair {
            return Ok(());
        }
        for Partly { segment, offsets } in std::mem::take(&mut *self.damage.partly.lock()) {
            self.evacuate(index, segment, &offsets)?;
        }
        self.tell_of_torn(index)?;
        if self.damage.segments() == 0 {
            tracing::info!("repair: nothing is damaged");
            return Ok(());
        }
        tracing::warn!(
            segments = self.damage.segments(),
            bytes = self.damage.bytes(),
            "repair: dropped what was unreadable, kept the rest. Where the newest record of a key was in what is lost, the \
             key is gone, has an older value, or is back although it was removed"
        );
        Ok(())
    }

    /// Logs the keys of the large values that were lost.
    fn tell_of_torn(&self, index: &dyn Relocate) -> Result<(), StoreError> {
        let databases = self.metadata.generations().of_database;
        let removed = std::mem::take(&mut *self.damage.removed.lock());
        for torn in std::mem::take(&mut *self.damage.torn.lock()) {
            let (generation, key) = &torn.name;
            let removed_later = removed
                .get(&torn.name)
                .is_some_and(|&at| at > torn.sequence);
            let is_lost = databases.contains(generation) || [LIBRARIES, PLACE].contains(generation);
            if removed_later || !is_lost {
                continue;
            }
            let mut replaced = false;
            index.relocate(*generation, key, &mut |current| {
                if let Some(current) = current {
                    replaced = self.sequence(current)? > torn.sequence;
                }
                Ok(None)
            })?;
            if !replaced {
                if *generation == LIBRARIES {
                    tracing::warn!(
                        "dropped all libraries of functions: parts of their record are unreadable"
                    );
                } else {
                    let key = key.escape_ascii();
                    tracing::warn!(%key, "dropped a large value: some of its parts are unreadable");
                }
                self.damage.note(torn.bytes as u64);
            }
        }
        Ok(())
    }
}

fn name(record: &Record<'_>) -> Name {
    (record.generation, record.key.to_vec())
}

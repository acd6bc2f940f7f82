//! Writes: encodes each as a record, stages the records, and keeps the accounts of the segments.

use std::cell::{Cell, RefCell};

use super::Packed;
use super::record::{self, Form, Parts, Record, Spot};
use crate::model::RecordKind;
use crate::{Location, RecordKey, StoreError, Write};

/// Encoded records on their way into the log. Each thread reuses one, so that a write allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The records, one behind the other.
    pub(super) encoded: Vec<u8>,
    /// The length of each record in bytes; 0 for a write that needs no record.
    pub(super) lengths: Vec<usize>,
    /// The parts that the store has staged for records, each with the number of its record. Few records have any.
    parts: Vec<(usize, Parts)>,
    /// Records and parts that patches replace.
    pub(super) replaced: Vec<Spot>,
}

impl Batch {
    /// The calling thread's batch, empty.
    pub(super) fn take() -> Self {
        let mut batch = BATCH.take();
        batch.encoded.clear();
        batch.lengths.clear();
        batch.parts.clear();
        batch.replaced.clear();
        batch
    }

    pub(super) fn give_back(self) {
        if self.encoded.capacity() <= 1 << 20 {
            BATCH.set(self);
        }
    }

    /// Adds a write that needs no record.
    fn push_nothing(&mut self) {
        self.lengths.push(0);
    }

    /// Encodes a record; `parts` are those of its value.
    #[inline]
    pub(super) fn push(&mut self, record: &Record<'_>, parts: Option<Parts>) {
        let start = self.encoded.len();
        record.encode(&mut self.encoded);
        if let Some(parts) = parts {
            self.parts.push((self.lengths.len(), parts));
        }
        self.lengths.push(self.encoded.len() - start);
    }
}

thread_local! {
    /// For a write of one record, which is short.
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static BATCH: Cell<Batch> = const {
        Cell::new(Batch { encoded: Vec::new(), lengths: Vec::new(), parts: Vec::new(), replaced: Vec::new() })
    };
}

/// Lends the bytes of an encoded record, which are `padded` with their padding, in a buffer of the thread.
#[inline]
fn with_encoded<R>(record: &Record<'_>, padded: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
    ENCODED.with_borrow_mut(|buffer| {
        if buffer.len() < padded {
            buffer.resize(padded, 0);
        }
        let encoded = &mut buffer[..padded];
        record.encode_over(encoded);
        f(encoded)
    })
}

impl Packed {
    /// Stages all writes, or on an error none.
    #[inline]
    pub(super) fn put_all(
        &self,
        writes: &[Write<'_>],
        locations: &mut [Location],
    ) -> Result<(), StoreError> {
        if let ([write], [location]) = (writes, &mut *locations) {
            if let Write::Remove {
                record,
                location: removed,
            } = *write
                && !Spot::from(removed).large
                && !self.front.is_held_here()
            {
                return self.remove_whole(record, removed);
            }
            let put = match write {
                Write::SetExpiry { .. } => self.set_expiry_of_whole(write),
                _ => self.put_whole(write),
            };
            if let Some(put) = put {
                *location = put?;
                return Ok(());
            }
        }
        self.put_each(writes, locations)
    }

    /// Stages a value that is one record and replaces none in parts; `None` if it is not so.
    #[inline]
    fn put_whole(&self, write: &Write<'_>) -> Option<Result<Location, StoreError>> {
        let &Write::Put {
            record: name @ RecordKey {
                generation, key, ..
            },
            previous,
            kind,
            expires_at,
            value,
        } = write
        else {
            return None;
        };
        let replaced = previous.map(Spot::from);
        let padded = record::padded_bytes(key.len(), value.len(), expires_at.is_some());
        if padded > self.record_bytes_max || replaced.is_some_and(|spot| spot.large) {
            return None;
        }
        if self.space.is_full_for(padded) {
            return Some(Err(StoreError::OutOfMemory));
        }
        if key.len() > self.key_bytes_max() {
            return Some(Err(StoreError::TooLarge));
        }
        let whole = Record {
            sequence: self.next_sequence(),
            form: Form::Value(kind),
            generation,
            expires_at,
            key,
            body: value,
        };
        Some(with_encoded(&whole, padded, |encoded| {
            self.stage_whole(name, encoded, replaced)
        }))
    }

    /// Stages a record with another deadline in the place of one that is a whole value; `None` if the value is in parts.
    fn set_expiry_of_whole(&self, write: &Write<'_>) -> Option<Result<Location, StoreError>> {
        let &Write::SetExpiry {
            record,
            location,
            expires_at,
        } = write
        else {
            return None;
        };
        let replaced = Spot::from(location);
        if replaced.large {
            return None;
        }
        let sequence = self.next_sequence();
        Some(ENCODED.with_borrow_mut(|encoded| {
            encoded.clear();
            self.with_record(replaced, |stored| {
                let changed = Record {
                    sequence,
                    expires_at,
                    ..stored
                };
                changed.encode(encoded);
            })?;
            self.stage_whole(record, encoded, Some(replaced))
        }))
    }

    /// Stages the encoded record of a value, in the place of the key's record before.
    #[inline]
    fn stage_whole(
        &self,
        name: RecordKey<'_>,
        encoded: &mut [u8],
        replaced: Option<Spot>,
    ) -> Result<Location, StoreError> {
        let (spot, is_first) = if self.front.is_held_here() {
            self.front
                .stage_one_held(&self.space, name, encoded, replaced)?
        } else {
            self.front.stage_one(&self.space, encoded, |spot| {
                self.space.claim_instead(spot, replaced);
            })?
        };
        if is_first {
            self.ring();
        }
        Ok(spot.location())
    }

    /// Stages the tombstone of a key whose value is one record. The thread does not hold the log.
    fn remove_whole(&self, record: RecordKey<'_>, removed: Location) -> Result<(), StoreError> {
        let RecordKey {
            generation, key, ..
        } = record;
        if key.len() > self.key_bytes_max() {
            return Err(StoreError::TooLarge);
        }
        let sequence = self.next_sequence();
        let bound = self.space.serial_bound().to_le_bytes();
        let tombstone = Record {
            sequence,
            form: Form::Tombstone,
            generation,
            expires_at: None,
            key,
            body: &bound,
        };
        let padded = tombstone.padded_bytes();
        let (_, is_first) = with_encoded(&tombstone, padded, |encoded| {
            self.front.stage_one(&self.space, encoded, |spot| {
                self.space.add_tombstone(spot);
                self.space.release(removed.into());
            })
        })?;
        if is_first {
            self.ring();
        }
        Ok(())
    }

    fn put_each(&self, writes: &[Write<'_>], locations: &mut [Location]) -> Result<(), StoreError> {
        let added: usize = writes
            .iter()
            .map(|write| match write {
                Write::Put {
                    record,
                    value,
                    expires_at,
                    ..
                } => record::padded_bytes(record.key.len(), value.len(), expires_at.is_some()),
                _ => 0,
            })
            .sum();
        if added > 0 && self.space.is_full_for(added) {
            return Err(StoreError::OutOfMemory);
        }
        let mut batch = Batch::take();
        let written = self
            .encode(writes, &mut batch)
            .and_then(|()| self.stage(writes, &mut batch, locations));
        if written.is_err() {
            for part in batch.parts.iter().flat_map(|(_, parts)| &parts.spots) {
                self.let_go(*part);
            }
        }
        batch.give_back();
        written
    }

    fn encode(&self, writes: &[Write<'_>], batch: &mut Batch) -> Result<(), StoreError> {
        for write in writes {
            let RecordKey {
                generation, key, ..
            } = write.record();
            if key.len() > self.key_bytes_max() {
                return Err(StoreError::TooLarge);
            }
            let sequence = self.next_sequence();
            let empty = Record {
                sequence,
                form: Form::Tombstone,
                generation,
                expires_at: None,
                key,
                body: &[],
            };
            match *write {
                Write::Put {
                    kind,
                    expires_at,
                    value,
                    ..
                } => {
                    let whole = Record {
                        form: Form::Value(kind),
                        expires_at,
                        body: value,
                        ..empty
                    };
                    self.encode_value(kind, &whole, batch)?;
                }
                Write::Patch {
                    record,
                    location,
                    changes,
                } => self.encode_patch(record, location.into(), changes, batch)?,
                Write::SetExpiry {
                    location,
                    expires_at,
                    ..
                } => {
                    let spot = Spot::from(location);
                    if spot.large {
                        // The new record may name parts that the compaction has staged. Commit these first: after a
                        // crash the record must not be there without them.
                        self.compaction.log().commit(&self.space, &self.metadata)?;
                    }
                    self.with_record(spot, |stored| {
                        let changed = Record {
                            sequence,
                            expires_at,
                            ..stored
                        };
                        batch.push(&changed, None);
                    })?;
                }
                // A crash cannot bring back a key that this transaction created, so its removal needs no tombstone.
                Write::Remove { location, .. } if self.front.is_fresh(location) => {
                    batch.push_nothing();
                }
                Write::Remove { .. } => {
                    let bound = self.space.serial_bound().to_le_bytes();
                    let removed = Record {
                        body: &bound,
                        ..empty
                    };
                    batch.push(&removed, None);
                }
            }
        }
        Ok(())
    }

    /// Encodes a value, in parts if it is large.
    #[inline]
    pub(super) fn encode_value(
        &self,
        kind: RecordKind,
        whole: &Record<'_>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        if whole.padded_bytes() <= self.record_bytes_max {
            batch.push(whole, None);
            return Ok(());
        }
        self.encode_large(kind, whole, batch)
    }

    fn encode_large(
        &self,
        kind: RecordKind,
        whole: &Record<'_>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let parts = self.put_parts(whole.generation, whole.key, whole.body)?;
        let body = parts.encode();
        let head = Record {
            // Numbered after its parts, so that the repair can tell whether a part is one that the record was written
            // for.
            sequence: self.next_sequence(),
            form: Form::Large(kind),
            body: &body,
            ..*whole
        };
        batch.push(&head, Some(parts));
        Ok(())
    }

    /// Stages an encoded batch and keeps the accounts.
    fn stage(
        &self,
        writes: &[Write<'_>],
        batch: &mut Batch,
        locations: &mut [Location],
    ) -> Result<(), StoreError> {
        let Batch {
            encoded,
            lengths,
            parts,
            replaced,
        } = batch;
        let segment_before = self.space.serial_bound();
        let is_held = self.front.is_held_here();
        let mut tombstones = Vec::new();
        // Then the accounts of both records change together.
        let is_whole = |previous: Location| !is_held && !Spot::from(previous).large;
        let is_in_parts = |i: usize| {
            parts
                .binary_search_by_key(&i, |&(record, _)| record)
                .is_ok()
        };
        self.front
            .stage(&self.space, encoded, lengths, |i, spot| match writes[i] {
                Write::Put {
                    previous: Some(previous),
                    ..
                } if is_whole(previous) => {
                    let large = is_in_parts(i);
                    locations[i] = Spot { large, ..spot }.location();
                    self.space.claim_instead(spot, Some(previous.into()));
                }
                Write::Put { .. } | Write::Patch { .. } => {
                    let large = is_in_parts(i);
                    locations[i] = Spot { large, ..spot }.location();
                    self.space.claim(spot);
                }
                Write::SetExpiry { location, .. } => {
                    let large = Spot::from(location).large;
                    locations[i] = Spot { large, ..spot }.location();
                    self.space.claim(spot);
                }
                Write::Remove { .. } => {
                    self.space.add_tombstone(spot);
                    if is_held {
                        tombstones.push((i, spot));
                    }
                }
            })?;
        if is_held {
            self.note_held(writes, locations, &tombstones);
        }
        for write in writes {
            match *write {
                Write::Put {
                    previous: Some(previous),
                    ..
                } if is_whole(previous) => {}
                Write::Put {
                    previous: Some(replaced),
                    ..
                }
                | Write::Remove {
                    location: replaced, ..
                } => self.release_with_parts(replaced)?,
                // The parts stay: the new record names them too.
                Write::SetExpiry { location, .. } => self.let_go_of_head(location)?,
                // The batch lists the records that the patch replaces.
                Write::Patch { location, .. } => self.pin_parts(location.into())?,
                Write::Put { previous: None, .. } => {}
            }
        }
        for spot in replaced.drain(..) {
            self.let_go(spot);
        }
        if self.space.serial_bound() != segment_before {
            self.ring();
        }
        Ok(())
    }

    /// Stops counting the record of a value as live; its parts stay live.
    fn let_go_of_head(&self, location: Location) -> Result<(), StoreError> {
        let spot = Spot::from(location);
        self.pin_parts(spot)?;
        self.let_go(spot);
        Ok(())
    }

    /// In a transaction, keeps the parts of a value where they are, since a crash brings back the record that names
    /// them.
    fn pin_parts(&self, spot: Spot) -> Result<(), StoreError> {
        if spot.large && self.front.is_held_here() {
            for part in self.parts_of(spot)?.spots {
                self.front.pin(&self.space, part.segment);
            }
        }
        Ok(())
    }

    /// Tells the hold which records are the first of their keys, and drops tombstones that these records make useless.
    /// `tombstones` are the staged ones, each with the number of its write.
    fn note_held(
        &self,
        writes: &[Write<'_>],
        locations: &[Location],
        tombstones: &[(usize, Spot)],
    ) {
        for (write, &to) in writes.iter().zip(locations) {
            let RecordKey {
                generation, key, ..
            } = write.record();
            match *write {
                Write::Put { previous: None, .. } => {
                    if let Some(tombstone) = self.front.note_new(generation, key, to) {
                        self.space.drop_tombstone(tombstone);
                        self.front.let_go(&self.space, tombstone);
                    }
                }
                Write::Put {
                    previous: Some(from),
                    ..
                }
                | Write::Patch { location: from, .. }
                | Write::SetExpiry { location: from, .. } => {
                    if self.front.is_fresh(from) {
                        self.front.note_fresh(to);
                    }
                }
                Write::Remove { .. } => {}
            }
        }
        for &(i, spot) in tombstones {
            let RecordKey {
                generation, key, ..
            } = writes[i].record();
            self.front.note_tombstone(generation, key, spot);
        }
    }
}

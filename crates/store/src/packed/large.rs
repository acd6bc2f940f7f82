//! Large values: the store splits a value that is too long for one record into parts, and one record names the parts.

use super::record::{ALIGNMENT, Form, HEADER_BYTES, Parts, Record, Spot};
use super::write::Batch;
use super::{PARTS_PENDING_MAX, Packed};
use crate::model::Value;
use crate::{OnValue, StoreError};

impl Packed {
    /// The longest key. Each record and each part contains the key, so it must leave room for the value.
    pub(super) fn key_bytes_max(&self) -> usize {
        self.space.capacity() / 4
    }

    /// Stores the parts of a value. They mean nothing until the caller stores a record that names them. The caller
    /// holds the key's lock until then: the compaction asks the index about each part, so it waits.
    pub(super) fn put_parts(
        &self,
        generation: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<Parts, StoreError> {
        let part_bytes = self.part_bytes(key);
        if value.len().div_ceil(part_bytes) > self.parts_max() {
            return Err(StoreError::TooLarge);
        }
        let mut parts = Parts {
            value_bytes: value.len() as u64,
            spots: Vec::with_capacity(value.len() / part_bytes + 1),
        };
        let stored = value
            .chunks(part_bytes)
            .try_for_each(|body| self.put_part(generation, key, body, &mut parts));
        if let Err(error) = stored {
            for part in &parts.spots {
                self.let_go(*part);
            }
            return Err(error);
        }
        Ok(parts)
    }

    /// The most parts of a value: a segment must hold the list of them.
    pub(super) fn parts_max(&self) -> usize {
        (self.space.capacity() / 2 - HEADER_BYTES) / 8
    }

    /// Bytes of a value in one part. Unless the key is long, parts of this length fill a segment to its end.
    pub(super) fn part_bytes(&self, key: &[u8]) -> usize {
        let room = self.record_bytes_max / ALIGNMENT * ALIGNMENT - HEADER_BYTES;
        if key.len() <= room / 2 {
            room - key.len()
        } else {
            room
        }
    }

    pub(super) fn put_part(
        &self,
        generation: u32,
        key: &[u8],
        body: &[u8],
        parts: &mut Parts,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let part = Record {
            sequence: self.next_sequence(),
            form: Form::Part,
            generation,
            expires_at: None,
            key,
            body,
        };
        batch.push(&part, None);
        self.front.stage(
            &self.space,
            &mut batch.encoded,
            &batch.lengths,
            |_, spot| {
                self.space.claim(spot);
                parts.spots.push(spot);
            },
        )?;
        if self.front.pending_bytes() >= PARTS_PENDING_MAX {
            self.front.commit(&self.space, &self.metadata)?;
        }
        if self.space.wants_spares() {
            self.ring();
        }
        Ok(())
    }

    /// The parts that a large value's record names.
    pub(super) fn parts_of(&self, spot: Spot) -> Result<Parts, StoreError> {
        self.with_record(spot, |record| match record.form {
            Form::Large(_) => Parts::decode(record.body),
            _ => Err(StoreError::Damaged(format!("no large value at {spot:?}"))),
        })?
    }

    /// Bytes that a record takes, with the parts of its value.
    pub(super) fn stored_bytes_of(&self, spot: Spot) -> Result<u64, StoreError> {
        let parts = if spot.large {
            self.parts_of(spot)?.spots
        } else {
            Vec::new()
        };
        let bytes: usize = parts.iter().map(|part| part.length).sum();
        Ok((spot.length + bytes) as u64)
    }

    /// Joins the parts of a value and lends the whole.
    pub(super) fn read_parts(&self, spot: Spot, f: OnValue<'_>) -> Result<(), StoreError> {
        let (kind, expires_at, parts) = self.with_record(spot, |record| match record.form {
            Form::Large(kind) => Ok((kind, record.expires_at, Parts::decode(record.body)?)),
            _ => Err(StoreError::Damaged(format!("no large value at {spot:?}"))),
        })??;
        let length = usize::try_from(parts.value_bytes).map_err(|_| StoreError::TooLarge)?;
        let mut bytes = Vec::with_capacity(length.min(parts.spots.len() * self.space.capacity()));
        for part in &parts.spots {
            // All are read from a disk at the same time.
            self.space
                .segments()
                .ask(part.segment, part.offset, part.length);
        }
        for part in &parts.spots {
            self.with_record(*part, |record| bytes.extend_from_slice(record.body))?;
        }
        if bytes.len() != length {
            return Err(StoreError::Damaged(format!(
                "the parts of the value at {spot:?} have {} bytes, not {length}",
                bytes.len()
            )));
        }
        f(Value {
            kind: kind.kind,
            form: kind.form,
            expires_at,
            bytes: &bytes,
        });
        Ok(())
    }
}

//! The names of records, for an index that does not keep them.

use super::Packed;
use super::record::{self, Form, Record, Spot};
use crate::model::{IsNamed, Name, RecordKind, Value};
use crate::{OnName, OnValue, RecordKey, StoreError};

/// What a look at a record's name reads of it, unless the key is longer than 16 bytes.
const NAME_BYTES: usize = record::HEADER_BYTES + 16;

/// What a record of a whole value holds.
pub(super) fn value<'a>(kind: RecordKind, record: &Record<'a>) -> Value<'a> {
    Value {
        kind: kind.kind,
        form: kind.form,
        expires_at: record.expires_at,
        bytes: record.body,
    }
}

/// Whether a record is a value in the form that its place tells.
fn is_value(record: &Record<'_>, spot: Spot) -> bool {
    match record.form {
        Form::Value(_) => !spot.large,
        Form::Large(_) => spot.large,
        Form::Part | Form::Tombstone => false,
    }
}

#[cold]
fn no_value(spot: Spot) -> StoreError {
    StoreError::Damaged(format!("no value at {spot:?}"))
}

impl Packed {
    /// Lends a whole value if its record has this name; `false` if the record has another one.
    #[inline]
    pub(super) fn read_named_at(
        &self,
        name: RecordKey<'_>,
        spot: Spot,
        f: OnValue<'_>,
    ) -> Result<bool, StoreError> {
        self.ask_if_long(spot);
        self.with_record(spot, |record| match record.form {
            Form::Value(kind) => {
                let same = record.generation == name.generation && record.key == name.key;
                if same {
                    f(value(kind, &record));
                }
                Ok(same)
            }
            _ => Err(no_value(spot)),
        })?
    }

    /// Compares the name of a value's record.
    #[inline]
    pub(super) fn is_named_at(
        &self,
        spot: Spot,
        generation: u32,
        [start, end]: [&[u8]; 2],
    ) -> Result<IsNamed, StoreError> {
        self.with_record(spot, |record| {
            if !is_value(&record, spot) {
                return Err(no_value(spot));
            }
            let is_so = record.generation == generation
                && match record.key.split_at_checked(start.len()) {
                    Some((before, after)) => after == end && (start.is_empty() || before == start),
                    None => false,
                };
            Ok(if is_so {
                IsNamed::So(record.expires_at)
            } else {
                IsNamed::Otherwise
            })
        })?
    }

    /// Lends the name of a value's record.
    #[inline]
    pub(super) fn name_at(&self, spot: Spot, f: OnName<'_>) -> Result<(), StoreError> {
        self.with_record(spot, |record| {
            if !is_value(&record, spot) {
                return Err(no_value(spot));
            }
            f(Name {
                generation: record.generation,
                key: record.key,
                expires_at: record.expires_at,
            });
            Ok(())
        })?
    }

    /// Has the name of a record fetched into the processor's cache, or into memory while commands wait for a disk.
    #[inline]
    pub(super) fn prefetch_name_at(&self, spot: Spot) {
        let segments = self.space.segments();
        let length = spot.length.min(NAME_BYTES);
        if segments.asks_ahead() {
            segments.ask(spot.segment, spot.offset, length);
        } else {
            segments.prefetch_few(spot.segment, spot.offset, length);
        }
    }
}

//! A patch of a large value: the store writes the parts that change anew, and a new record names these and the others.
//!
//! Like every later record of a key, the new record counts once it is committed. A crash before that leaves the old
//! record, and the old parts that it names: the store gives their segments back only after a commit.

use super::Packed;
use super::record::{Form, Parts, Record, Spot};
use super::write::Batch;
use crate::change::{Change, changed, changed_len};
use crate::model::{Millis, RecordKind, StringForm};
use crate::{RecordKey, StoreError};

/// The contents of a large value's record.
#[derive(Debug)]
struct Head {
    kind: RecordKind,
    expires_at: Option<Millis>,
    parts: Parts,
}

/// The parts of a value after a patch.
#[derive(Debug)]
struct Patched {
    /// All parts.
    parts: Parts,
    /// The new ones among them.
    new: Parts,
    /// The old parts that the new ones replace.
    replaced: Vec<Spot>,
}

impl Packed {
    /// Encodes the record of the value at `spot` after `changes`, and stores the parts that change.
    pub(super) fn encode_patch(
        &self,
        name: RecordKey<'_>,
        spot: Spot,
        changes: &[Change<'_>],
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        if !spot.large {
            return self.encode_changed(name, spot, Vec::new(), changes, batch);
        }
        // The new record may name parts that the compaction has staged. Commit these first: after a crash the record
        // must not be there without them.
        self.compaction.log().commit(&self.space, &self.metadata)?;
        let Head {
            kind,
            expires_at,
            parts,
        } = self.head_at(spot)?;
        let Some(patched) = self.patch_parts(name, &parts, changes)? else {
            // An older version of the server stored this value, in parts of another length.
            return self.encode_changed(name, spot, parts.spots, changes, batch);
        };
        let body = patched.parts.encode();
        let head = Record {
            sequence: self.next_sequence(),
            form: Form::Large(kind),
            generation: name.generation,
            expires_at,
            key: name.key,
            body: &body,
        };
        batch.push(&head, Some(patched.new));
        batch.replaced.push(spot);
        batch.replaced.extend(patched.replaced);
        Ok(())
    }

    /// Encodes the changed value as a new one. `parts` are its present parts.
    fn encode_changed(
        &self,
        name: RecordKey<'_>,
        spot: Spot,
        parts: Vec<Spot>,
        changes: &[Change<'_>],
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let mut value = None;
        self.read_at(spot, &mut |old| {
            value = Some((old.expires_at, changed(old.bytes, changes)));
        })?;
        let Some((expires_at, value)) = value else {
            return Err(StoreError::Damaged(format!("no value at {spot:?}")));
        };
        if self.space.is_full_for(value.len()) {
            return Err(StoreError::OutOfMemory);
        }
        // In Redis a string that a command changes in place becomes a raw one.
        let kind = StringForm::Raw.into();
        let whole = Record {
            sequence: self.next_sequence(),
            form: Form::Value(kind),
            generation: name.generation,
            expires_at,
            key: name.key,
            body: &value,
        };
        self.encode_value(kind, &whole, batch)?;
        batch.replaced.push(spot);
        batch.replaced.extend(parts);
        Ok(())
    }

    fn head_at(&self, spot: Spot) -> Result<Head, StoreError> {
        self.with_record(spot, |record| match record.form {
            Form::Large(kind) => Ok(Head {
                kind,
                expires_at: record.expires_at,
                parts: Parts::decode(record.body)?,
            }),
            _ => Err(StoreError::Damaged(format!("no large value at {spot:?}"))),
        })?
    }

    /// Stores the parts that change. Returns `None`, and leaves nothing stored, if the present parts have another
    /// length than [`Packed::part_bytes`].
    fn patch_parts(
        &self,
        name: RecordKey<'_>,
        old: &Parts,
        changes: &[Change<'_>],
    ) -> Result<Option<Patched>, StoreError> {
        let part_bytes = self.part_bytes(name.key);
        let old_len = usize::try_from(old.value_bytes).map_err(|_| StoreError::TooLarge)?;
        if old.spots.len() != old_len.div_ceil(part_bytes) {
            return Ok(None);
        }
        let len = changed_len(old_len, changes);
        if len.div_ceil(part_bytes) > self.parts_max() {
            return Err(StoreError::TooLarge);
        }
        if len > old_len && self.space.is_full_for(len - old_len) {
            return Err(StoreError::OutOfMemory);
        }
        let mut patched = Patched {
            parts: Parts {
                value_bytes: len as u64,
                spots: old.spots.clone(),
            },
            new: Parts {
                value_bytes: len as u64,
                spots: Vec::new(),
            },
            replaced: Vec::new(),
        };
        let mut regular = Ok(true);
        for number in touched_parts(old_len, len, part_bytes, changes) {
            regular = self.patch_part(name, number, old_len, changes, &mut patched);
            if !matches!(regular, Ok(true)) {
                break;
            }
        }
        match regular {
            Ok(true) => Ok(Some(patched)),
            other => {
                for part in patched.new.spots {
                    self.let_go(part);
                }
                other.map(|_| None)
            }
        }
    }

    /// Stores one part anew. Returns `false` if the old part does not have the expected length.
    fn patch_part(
        &self,
        name: RecordKey<'_>,
        number: usize,
        old_len: usize,
        changes: &[Change<'_>],
        patched: &mut Patched,
    ) -> Result<bool, StoreError> {
        let part_bytes = self.part_bytes(name.key);
        let start = number * part_bytes;
        let len = usize::try_from(patched.parts.value_bytes).map_err(|_| StoreError::TooLarge)?;
        let bytes = (len - start).min(part_bytes);
        let mut body = Vec::with_capacity(bytes);
        let replaced = patched.parts.spots.get(number).copied();
        if let Some(replaced) = replaced {
            self.with_record(replaced, |part| {
                if part.form == Form::Part {
                    body.extend_from_slice(part.body);
                }
            })?;
            if body.len() != (old_len - start).min(part_bytes) {
                return Ok(false);
            }
        }
        body.resize(bytes, 0);
        for change in changes {
            change.apply_to(&mut body, start);
        }
        self.put_part(name.generation, name.key, &body, &mut patched.new)?;
        let spot = patched.new.spots.last().copied();
        let spot = spot.ok_or_else(|| StoreError::Engine("a part was staged nowhere".into()))?;
        match replaced {
            Some(replaced) => {
                patched.parts.spots[number] = spot;
                patched.replaced.push(replaced);
            }
            // The numbers rise without a gap after the last old part, so this part comes next.
            None => patched.parts.spots.push(spot),
        }
        Ok(true)
    }
}

/// The rising numbers of the parts that `changes` touch. They bring the value's length from `old_len` bytes to `len`.
fn touched_parts(
    old_len: usize,
    len: usize,
    part_bytes: usize,
    changes: &[Change<'_>],
) -> Vec<usize> {
    let mut numbers: Vec<usize> = changes
        .iter()
        .filter(|change| !change.bytes.is_empty())
        .flat_map(|change| change.offset / part_bytes..change.end().div_ceil(part_bytes))
        .collect();
    if len > old_len {
        numbers.extend(old_len / part_bytes..len.div_ceil(part_bytes));
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn parts_are_numbered() {
        let touched = |old_len, changes: &[(usize, usize)]| {
            let changes: Vec<_> = changes
                .iter()
                .map(|&(offset, bytes)| Change {
                    offset,
                    bytes: Cow::Owned(vec![1; bytes]),
                })
                .collect();
            touched_parts(old_len, changed_len(old_len, &changes), 10, &changes)
        };
        assert_eq!(touched(40, &[(0, 1)]), [0]);
        assert_eq!(touched(40, &[(9, 1)]), [0]);
        assert_eq!(touched(40, &[(9, 2)]), [0, 1]);
        assert_eq!(touched(40, &[(35, 2), (3, 2), (4, 1)]), [0, 3]);
        assert_eq!(touched(40, &[(40, 1)]), [4]);
        assert_eq!(touched(39, &[(39, 1)]), [3]);
        assert_eq!(touched(39, &[(39, 2)]), [3, 4]);
        assert_eq!(touched(35, &[(60, 0)]), [3, 4, 5]);
        assert!(touched(35, &[(20, 0)]).is_empty());
    }
}

//! One change of one record.

use super::record::{
    DEADLINE_AT, Header, VALUE_HEADER_BYTES, check_of, decode_value, encode_value, key_of,
};
use super::{IN_PLACE_BYTES_MAX, Pairs, at, check_in, length_of, location_of};
use crate::model::{Millis, RecordKind};
use crate::{Location, StoreError, Write};

/// A value with another deadline.
enum Changed {
    /// Its header.
    InPlace([u8; VALUE_HEADER_BYTES]),
    /// All of it.
    Anew(Vec<u8>),
}

impl Pairs {
    /// One change, durable when this returns. Stores where the record lies now in `location`.
    pub(super) fn apply(
        &self,
        write: &Write<'_>,
        location: &mut Location,
    ) -> Result<(), StoreError> {
        let record = write.record();
        let table = self.table(record.partition);
        let key = key_of(&record);
        match *write {
            Write::Put {
                previous,
                kind,
                expires_at,
                value,
                ..
            } => {
                let value = encode_value(&key, kind, expires_at, value);
                *location = location_of(&value);
                // Overwriting in place costs half of a put and leaves the allocator alone.
                let in_place = self.has_iterators
                    && previous.is_some_and(|previous| length_of(previous) == value.len() as u64)
                    && value.len() <= IN_PLACE_BYTES_MAX;
                let before = previous.map_or(0, check_in);
                self.sums
                    .change(record.partition, before, check_of(&value), || {
                        if !(in_place && table.write_range(&key, 0, &value)?) {
                            self.put(table, &key, &value)?;
                        }
                        Ok(true)
                    })?;
            }
            Write::Patch {
                location: present,
                changes,
                ..
            } => self.patch(record.partition, &key, present, changes, location)?,
            Write::Remove {
                location: present, ..
            } => {
                self.sums
                    .change(record.partition, check_in(present), 0, || {
                        Ok(table.remove(&key)?)
                    })?;
            }
            Write::SetExpiry {
                location: present,
                expires_at,
                ..
            } => {
                self.set_expiry(record.partition, &key, present, expires_at, location)?;
            }
        }
        Ok(())
    }

    /// Gives a value another deadline; one of the former format is written anew.
    fn set_expiry(
        &self,
        partition: usize,
        key: &[u8],
        present: Location,
        expires_at: Option<Millis>,
        location: &mut Location,
    ) -> Result<(), StoreError> {
        let table = self.table(partition);
        let found = table.get_with(key, |encoded| {
            let header = Header::decode(encoded).map(|header| {
                let changed = Header {
                    expires_at,
                    ..header
                };
                changed.encode(key, encoded.len() - VALUE_HEADER_BYTES)
            });
            match header {
                Some(header) if self.has_iterators => Ok::<_, StoreError>(Changed::InPlace(header)),
                _ => {
                    let value = decode_value(encoded)?;
                    let kind = RecordKind {
                        kind: value.kind,
                        form: value.form,
                    };
                    Ok(Changed::Anew(
                        encode_value(key, kind, expires_at, value.bytes).into_vec(),
                    ))
                }
            }
        })?;
        let before = check_in(present);
        match found.transpose()? {
            Some(Changed::InPlace(header)) => {
                *location = at(length_of(present), check_of(&header));
                self.sums.change(partition, before, check_of(&header), || {
                    Ok(table.write_range(key, DEADLINE_AT, &header[DEADLINE_AT..])?)
                })?;
            }
            Some(Changed::Anew(value)) => {
                *location = location_of(&value);
                self.sums.change(partition, before, check_of(&value), || {
                    self.put(table, key, &value)?;
                    Ok(true)
                })?;
            }
            None => *location = present,
        }
        Ok(())
    }
}

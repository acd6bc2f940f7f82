//! Patches: changes of parts of a value.

use super::record::{
    Header, VALUE_HEADER_BYTES, changed_sum, check_of, decode_value, encode_value,
};
use super::{IN_PLACE_BYTES_MAX, Pairs, at, check_in, length_of, location_of};
use crate::change::{Change, changed, changed_len};
use crate::{Location, StoreError, StringForm};

impl Pairs {
    /// Changes parts of the value at `present`, in place if the value keeps its length.
    pub(super) fn patch(
        &self,
        partition: usize,
        key: &[u8],
        present: Location,
        changes: &[Change<'_>],
        location: &mut Location,
    ) -> Result<(), StoreError> {
        let table = self.table(partition);
        let before = check_in(present);
        let bytes = changes
            .iter()
            .map(|change| change.bytes.len())
            .sum::<usize>();
        let end = VALUE_HEADER_BYTES + changed_len(0, changes);
        let in_place =
            self.has_iterators && bytes <= IN_PLACE_BYTES_MAX && end as u64 <= length_of(present);
        let header = if in_place {
            table.get_with(key, |encoded| changed_header(key, encoded, changes))?
        } else {
            None
        };
        if let Some(header) = header.flatten() {
            let mut ranges: Vec<(usize, &[u8])> = vec![(0, &header)];
            ranges.extend(
                changes
                    .iter()
                    .map(|change| (VALUE_HEADER_BYTES + change.offset, &*change.bytes)),
            );
            let check = check_of(&header);
            let is_there = self.sums.change(partition, before, check, || {
                Ok(table.write_ranges(key, &ranges)?)
            })?;
            if is_there {
                *location = at(length_of(present), check);
                return Ok(());
            }
        }
        let encoded = table.get_with(key, |encoded| {
            let old = decode_value(encoded)?;
            let new = changed(old.bytes, changes);
            // Redis moves a string that it changes in place into a buffer.
            Ok::<_, StoreError>(encode_value(
                key,
                StringForm::Raw.into(),
                old.expires_at,
                &new,
            ))
        })?;
        let encoded = encoded.ok_or_else(|| StoreError::Damaged("a value is missing".into()))??;
        *location = location_of(&encoded);
        self.sums
            .change(partition, before, check_of(&encoded), || {
                self.put(table, key, &encoded)?;
                Ok(true)
            })?;
        Ok(())
    }
}

/// The header of a value after changes that leave its length; `None` where it is of the former format.
fn changed_header(
    key: &[u8],
    encoded: &[u8],
    changes: &[Change<'_>],
) -> Option<[u8; VALUE_HEADER_BYTES]> {
    let header = Header::decode(encoded)?;
    let value = &encoded[VALUE_HEADER_BYTES..];
    let new = Header {
        sum: changed_sum(header.sum, value, changes),
        ..header
    };
    Some(new.encode(key, value.len()))
}

//! Patches: changes of parts of a value.

use super::record::{VALUE_HEADER_BYTES, decode_value, encode_value};
use super::{IN_PLACE_BYTES_MAX, Pairs, location_of};
use crate::change::{Change, changed, changed_len};
use crate::{Location, StoreError, StringForm};
use pmemkv::Database;

impl Pairs {
    /// Changes parts of the value at `present`, in place if the value keeps its length.
    pub(super) fn patch(
        &self,
        database: &Database,
        key: &[u8],
        present: Location,
        changes: &[Change<'_>],
        location: &mut Location,
    ) -> Result<(), StoreError> {
        let bytes = changes
            .iter()
            .map(|change| change.bytes.len())
            .sum::<usize>();
        let end = VALUE_HEADER_BYTES + changed_len(0, changes);
        let in_place = self.has_iterators && bytes <= IN_PLACE_BYTES_MAX && end as u64 <= present.0;
        if in_place {
            let ranges: Vec<(usize, &[u8])> = changes
                .iter()
                .map(|change| (VALUE_HEADER_BYTES + change.offset, &*change.bytes))
                .collect();
            if database.write_ranges(key, &ranges)? {
                *location = present;
                return Ok(());
            }
        }
        let encoded = database.get_with(key, |encoded| {
            let old = decode_value(encoded)?;
            let new = changed(old.bytes, changes);
            // In Redis a string that a command changes in place becomes a raw one.
            Ok::<_, StoreError>(encode_value(StringForm::Raw.into(), old.expires_at, &new))
        })?;
        let encoded = encoded.ok_or_else(|| StoreError::Damaged("a value is missing".into()))??;
        *location = location_of(&encoded);
        self.put(database, key, &encoded)
    }
}

//! What elements' records are called and hold.
//!
//! | part | bytes |
//! |---|---|
//! | id of the collection | 8, little-endian |
//! | name: a hash's field, a set's or sorted set's member, a list's label | the rest |
//!
//! The value is a field's, an element's of a list, a member's score (8 bytes, IEEE 754, little-endian), nothing of a
//! set's member. A label is 8 bytes, big-endian, with the sign's bit turned over: in byte order, labels are in the
//! list's order.

use smallvec::SmallVec;

/// Bytes of an id.
pub const ID_BYTES: usize = 8;

/// The name of an element's record; most fit on the stack.
pub type ElementKey = SmallVec<[u8; 64]>;

/// The record's name of the element `name` of a collection.
pub fn element_key(id: u64, name: &[u8]) -> ElementKey {
    let mut key = ElementKey::with_capacity(ID_BYTES + name.len());
    key.extend_from_slice(&id.to_le_bytes());
    key.extend_from_slice(name);
    key
}

/// Id and element of a record's name; `None` where it is none.
pub fn split_key(key: &[u8]) -> Option<(u64, &[u8])> {
    let (id, name) = key.split_first_chunk::<ID_BYTES>()?;
    Some((u64::from_le_bytes(*id), name))
}

/// A label's bytes.
pub fn encode_label(label: i64) -> [u8; 8] {
    (label.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The label of a name; `None` where it is none.
pub fn decode_label(name: &[u8]) -> Option<i64> {
    let bytes = <[u8; 8]>::try_from(name).ok()?;
    Some((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}

/// A score's bytes.
pub fn encode_score(score: f64) -> [u8; 8] {
    score.to_le_bytes()
}

/// The score of a value; `None` where it is none.
pub fn decode_score(value: &[u8]) -> Option<f64> {
    let score = f64::from_le_bytes(<[u8; 8]>::try_from(value).ok()?);
    (!score.is_nan()).then_some(score)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_come_back(id: u64, name in prop::collection::vec(any::<u8>(), 0..100)) {
            let key = element_key(id, &name);
            prop_assert_eq!(split_key(&key), Some((id, &name[..])));
        }

        #[test]
        fn labels_come_back_in_order(a: i64, b: i64) {
            prop_assert_eq!(decode_label(&encode_label(a)), Some(a));
            prop_assert_eq!(encode_label(a).cmp(&encode_label(b)), a.cmp(&b));
        }

        #[test]
        fn scores_come_back(score: f64) {
            let expected = (!score.is_nan()).then_some(score.to_bits());
            prop_assert_eq!(decode_score(&encode_score(score)).map(f64::to_bits), expected);
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = (split_key(&bytes), decode_label(&bytes), decode_score(&bytes));
        }
    }
}

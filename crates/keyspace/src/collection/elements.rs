//! The format of the records of elements: their keys and values.
//!
//! | part | bytes |
//! |---|---|
//! | id of the collection | 8, little-endian |
//! | name: a hash's field, a set's or sorted set's member, a list's label | the rest |
//!
//! The value is a field's value, a list element's bytes, a member's score (8 bytes, IEEE 754, little-endian), or empty
//! for a set's member. A label is 8 bytes, big-endian, with its sign bit flipped, so that labels sort as bytes in the
//! list's order.

use smallvec::SmallVec;

use super::Encoding;

/// Bytes of an id.
pub const ID_BYTES: usize = 8;

/// The value of a key's record whose collection's elements have records of their own: the id, and in a byte behind it the
/// encoding. Records of earlier versions have the id alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub id: u64,
    pub encoding: Option<Encoding>,
}

/// The numbers of encodings in anchors.
const ENCODINGS: [(u8, Encoding); 3] = [
    (1, Encoding::Integers),
    (2, Encoding::Compact),
    (3, Encoding::Full),
];

impl Anchor {
    /// Appends the record's value.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        let number = ENCODINGS
            .iter()
            .find(|(_, encoding)| Some(*encoding) == self.encoding);
        out.extend(number.map(|&(number, _)| number));
    }

    /// Decodes a record's value; `None` if it is too short.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let (id, rest) = split_key(value)?;
        let known = |&&(number, _): &&(u8, Encoding)| rest.first() == Some(&number);
        let encoding = ENCODINGS.iter().find(known).map(|&(_, encoding)| encoding);
        Some(Self { id, encoding })
    }
}

/// Bytes of the keys of elements' records that fit on the stack, as most do.
const KEY_BYTES: usize = 64;

/// The key of an element's record.
pub type ElementKey = SmallVec<[u8; KEY_BYTES]>;

/// The key of the record of a collection's element `name`.
#[inline]
pub fn element_key(id: u64, name: &[u8]) -> ElementKey {
    let mut bytes = [0; KEY_BYTES];
    if let Some(space) = bytes[ID_BYTES..].get_mut(..name.len()) {
        space.copy_from_slice(name);
        bytes[..ID_BYTES].copy_from_slice(&id.to_le_bytes());
        return ElementKey::from_buf_and_len(bytes, ID_BYTES + name.len());
    }
    let mut key = ElementKey::with_capacity(ID_BYTES + name.len());
    key.extend_from_slice(&id.to_le_bytes());
    key.extend_from_slice(name);
    key
}

/// Splits a record's key into the collection's id and the element's name; `None` if the key is too short.
pub fn split_key(key: &[u8]) -> Option<(u64, &[u8])> {
    let (id, name) = key.split_first_chunk::<ID_BYTES>()?;
    Some((u64::from_le_bytes(*id), name))
}

/// Encodes a label.
pub fn encode_label(label: i64) -> [u8; 8] {
    (label.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Decodes a label from a name; `None` if the name is not a label.
pub fn decode_label(name: &[u8]) -> Option<i64> {
    let bytes = <[u8; 8]>::try_from(name).ok()?;
    Some((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}

/// Encodes a score.
pub fn encode_score(score: f64) -> [u8; 8] {
    score.to_le_bytes()
}

/// Decodes a score from a value; `None` if the value is not a score.
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
        fn anchors_come_back(id: u64, encoding in 0..4usize) {
            let encoding = ENCODINGS.get(encoding).map(|&(_, encoding)| encoding);
            let anchor = Anchor { id, encoding };
            let mut value = Vec::new();
            anchor.encode(&mut value);
            prop_assert_eq!(value.len(), 8 + usize::from(encoding.is_some()));
            prop_assert_eq!(Anchor::decode(&value), Some(anchor));
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

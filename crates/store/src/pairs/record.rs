//! The format of a record in the engine: one pair.
//!
//! | part | bytes |
//! |---|---|
//! | key | generation (u32, big-endian, so that one database's keys are neighbours in a sorted engine), tag (1), user key |
//! | value | type with [`CHECKED`] (1), deadline (i64, little-endian, ms since the Unix epoch, `i64::MAX` for none), checksum (4), sum of the user value (4), user value |
//!
//! The checksum covers the key, the type, the deadline, the user value's length and its sum. The sum is that of a checksum
//! of each block of the value, so that a new deadline needs no look at the value and a change in place only looks at the
//! blocks that it touches.
//!
//! The former format had neither checksum nor sum, and types without the mark. Pools that began in it may hold such
//! records until they are written anew.

use smallvec::SmallVec;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::change::Change;
use crate::model::{Millis, RecordKind, Value};
use crate::{RecordKey, StoreError};

/// Bytes of an engine key before the user's.
pub const KEY_PREFIX_BYTES: usize = 5;

/// Bytes of an engine value before the user's.
pub const VALUE_HEADER_BYTES: usize = 17;

/// Where the checksum lies.
const CHECK_AT: usize = 9;

/// The same in the former format.
const UNCHECKED_HEADER_BYTES: usize = 9;

/// Where the deadline lies within an engine value; the checksum and the sum follow it.
pub const DEADLINE_AT: usize = 1;

/// Marks a type with a checksum behind it: more than one bit away from one without.
const CHECKED: u8 = 0xa0;

/// The bits of a type's byte that are the mark.
const MARK_BITS: u8 = 0xe0;

/// A value's sum is one of blocks of this length.
pub const BLOCK_BYTES: usize = 4096;

/// Marks a user's key.
const TAG_KEY: u8 = b'k';

/// Marks a journal slot.
const TAG_JOURNAL: u8 = b'j';

/// The generation of journal slots. No database ever has it.
const JOURNAL_GENERATION: u32 = u32::MAX;

/// Stands for "no deadline".
const NEVER: Millis = Millis::MAX;

/// An engine key; most fit on the stack.
pub type EngineKey = SmallVec<[u8; 64]>;

/// An engine value; small ones fit on the stack.
pub type EngineValue = SmallVec<[u8; 512]>;

/// The engine key of a record.
pub fn encode_key(generation: u32, key: &[u8]) -> EngineKey {
    let mut encoded = EngineKey::with_capacity(KEY_PREFIX_BYTES + key.len());
    encoded.extend_from_slice(&generation.to_be_bytes());
    encoded.push(TAG_KEY);
    encoded.extend_from_slice(key);
    encoded
}

/// The engine key of a record.
pub fn key_of(record: &RecordKey<'_>) -> EngineKey {
    encode_key(record.generation, record.key)
}

/// The engine key of a journal slot.
pub fn journal_key(slot: u32) -> EngineKey {
    let mut encoded = EngineKey::new();
    encoded.extend_from_slice(&JOURNAL_GENERATION.to_be_bytes());
    encoded.push(TAG_JOURNAL);
    encoded.extend_from_slice(&slot.to_be_bytes());
    encoded
}

/// Generation and user key of an engine key; `None` if it is not a record's.
pub fn decode_key(encoded: &[u8]) -> Option<(u32, &[u8])> {
    let (generation, rest) = encoded.split_first_chunk::<4>()?;
    let (&tag, key) = rest.split_first()?;
    (tag == TAG_KEY).then_some((u32::from_be_bytes(*generation), key))
}

/// Whether an engine key is a journal slot's.
pub fn is_journal_key(encoded: &[u8]) -> bool {
    encoded
        .strip_prefix(&JOURNAL_GENERATION.to_be_bytes())
        .is_some_and(|rest| rest.first() == Some(&TAG_JOURNAL))
}

/// The engine value of a user's, under an engine key.
pub fn encode_value(
    key: &[u8],
    kind: RecordKind,
    expires_at: Option<Millis>,
    value: &[u8],
) -> EngineValue {
    let header = Header {
        kind,
        expires_at,
        sum: sum(value),
    };
    let mut encoded = EngineValue::with_capacity(VALUE_HEADER_BYTES + value.len());
    encoded.extend_from_slice(&header.encode(key, value.len()));
    encoded.extend_from_slice(value);
    encoded
}

/// What stands before a user's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its type and form.
    pub kind: RecordKind,
    /// Its deadline.
    pub expires_at: Option<Millis>,
    /// Its sum.
    pub sum: u32,
}

impl Header {
    /// The bytes, for a value of `length` bytes under an engine key.
    #[allow(clippy::cast_possible_truncation)] // The lower half of the hash.
    pub fn encode(&self, key: &[u8], length: usize) -> [u8; VALUE_HEADER_BYTES] {
        let mut bytes = [0; VALUE_HEADER_BYTES];
        bytes[0] = CHECKED | self.kind.number();
        bytes[1..9].copy_from_slice(&self.expires_at.unwrap_or(NEVER).to_le_bytes());
        bytes[13..17].copy_from_slice(&self.sum.to_le_bytes());
        let mut hash = Xxh3::new();
        hash.update(&bytes[..9]);
        hash.update(&bytes[13..17]);
        hash.update(&(length as u64).to_le_bytes());
        hash.update(key);
        // 0 stands for none.
        let check = (hash.digest() as u32).max(1);
        bytes[CHECK_AT..CHECK_AT + 4].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// The header of an engine value; `None` where it is of the former format, or damaged.
    pub fn decode(encoded: &[u8]) -> Option<Self> {
        let header = encoded.first_chunk::<VALUE_HEADER_BYTES>()?;
        let (kind, expires_at, _) = split(encoded).ok()?;
        (header[0] & MARK_BITS == CHECKED).then_some(Self {
            kind,
            expires_at,
            sum: u32::from_le_bytes([header[13], header[14], header[15], header[16]]),
        })
    }
}

/// The checksum that an engine value has; 0 for one of the former format.
#[inline]
pub fn check_of(encoded: &[u8]) -> u32 {
    match encoded.first_chunk::<VALUE_HEADER_BYTES>() {
        Some(header) if header[0] & MARK_BITS == CHECKED => {
            let check = [
                header[CHECK_AT],
                header[CHECK_AT + 1],
                header[CHECK_AT + 2],
                header[CHECK_AT + 3],
            ];
            u32::from_le_bytes(check)
        }
        _ => 0,
    }
}

/// The sum of a value: that of the checksums of its blocks.
pub fn sum(value: &[u8]) -> u32 {
    (0..)
        .zip(value.chunks(BLOCK_BYTES))
        .fold(0, |sum, (number, block)| {
            sum.wrapping_add(block_sum(number, block))
        })
}

#[allow(clippy::cast_possible_truncation)] // The lower half of the hash.
fn block_sum(number: u64, block: &[u8]) -> u32 {
    xxh3_64_with_seed(block, number) as u32
}

/// The sum of a value after changes that leave its length.
pub fn changed_sum(old: u32, value: &[u8], changes: &[Change<'_>]) -> u32 {
    let mut touched: Vec<usize> = changes
        .iter()
        .filter(|change| !change.bytes.is_empty())
        .flat_map(|change| change.offset / BLOCK_BYTES..change.end().div_ceil(BLOCK_BYTES))
        .collect();
    touched.sort_unstable();
    touched.dedup();
    touched.iter().fold(old, |sum, &number| {
        let start = number * BLOCK_BYTES;
        let end = (start + BLOCK_BYTES).min(value.len());
        let mut block = value[start..end].to_vec();
        let before = block_sum(number as u64, &block);
        for change in changes {
            change.apply_to(&mut block, start);
        }
        sum.wrapping_sub(before)
            .wrapping_add(block_sum(number as u64, &block))
    })
}

/// The user's value in an engine value; no checksum is looked at.
#[inline]
pub fn decode_value(encoded: &[u8]) -> Result<Value<'_>, StoreError> {
    let (kind, expires_at, bytes) = split(encoded)?;
    Ok(Value {
        kind: kind.kind,
        form: kind.form,
        expires_at,
        bytes,
    })
}

/// [`decode_value`] of bytes that may be anything, under an engine key: the checksum must fit. Values of the former format
/// have none; whether there may be such ones, `may_be_unchecked` says.
pub fn verify_value<'a>(
    key: &[u8],
    encoded: &'a [u8],
    may_be_unchecked: bool,
) -> Result<Value<'a>, StoreError> {
    let value = decode_value(encoded)?;
    let damaged = |why: &str| {
        let key = key.get(KEY_PREFIX_BYTES..).unwrap_or_default();
        Err(StoreError::Damaged(format!(
            "the value of key {}: {why}",
            key.escape_ascii()
        )))
    };
    let Some(header) = Header::decode(encoded) else {
        return if may_be_unchecked {
            Ok(value)
        } else {
            damaged("it has no checksum")
        };
    };
    if header.encode(key, value.bytes.len()) != encoded[..VALUE_HEADER_BYTES]
        || header.sum != sum(value.bytes)
    {
        return damaged("its checksum does not fit");
    }
    Ok(value)
}

fn split(encoded: &[u8]) -> Result<(RecordKind, Option<Millis>, &[u8]), StoreError> {
    let damaged = || StoreError::Damaged(format!("a value of {} bytes", encoded.len()));
    let &kind = encoded.first().ok_or_else(damaged)?;
    let header_bytes = match kind & MARK_BITS {
        CHECKED => VALUE_HEADER_BYTES,
        _ => UNCHECKED_HEADER_BYTES,
    };
    let (header, bytes) = encoded.split_at_checked(header_bytes).ok_or_else(damaged)?;
    let deadline = header[DEADLINE_AT..]
        .first_chunk::<8>()
        .ok_or_else(damaged)?;
    let deadline = Millis::from_le_bytes(*deadline);
    let number = match kind & MARK_BITS {
        CHECKED => kind & !MARK_BITS,
        _ => kind,
    };
    let kind = RecordKind::from_number(number)
        .ok_or_else(|| StoreError::Damaged(format!("a value of type {kind}")))?;
    Ok((kind, (deadline != NEVER).then_some(deadline), bytes))
}

/// The engine value of a user's in the former format.
#[cfg(test)]
pub fn encode_unchecked(kind: RecordKind, expires_at: Option<Millis>, value: &[u8]) -> Vec<u8> {
    let mut encoded = vec![kind.number()];
    encoded.extend_from_slice(&expires_at.unwrap_or(NEVER).to_le_bytes());
    encoded.extend_from_slice(value);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, StringForm};

    #[test]
    fn keys_keep_their_order_and_come_back() {
        let mut last = EngineKey::new();
        for (generation, key) in [
            (0, &b""[..]),
            (0, b"a"),
            (0, b"a\0"),
            (1, b""),
            (256, b"\xff"),
        ] {
            let encoded = encode_key(generation, key);
            assert!(encoded > last);
            assert_eq!(decode_key(&encoded), Some((generation, key)));
            last = encoded;
        }
        assert!(journal_key(0) > last);
        assert_eq!(decode_key(&journal_key(3)), None);
        assert_eq!(decode_key(b"abc"), None);
    }

    #[test]
    fn values_come_back_and_damage_is_told() {
        for (expires_at, bytes) in [(None, &b""[..]), (Some(-5), b"\0\xff"), (Some(9), b"v")] {
            let key = encode_key(3, b"key");
            let encoded = encode_value(&key, StringForm::Raw.into(), expires_at, bytes);
            let old = encode_unchecked(StringForm::Raw.into(), expires_at, bytes);
            for (encoded, may_be_unchecked) in [(&encoded[..], false), (&old, true)] {
                let value = verify_value(&key, encoded, may_be_unchecked).expect("valid");
                assert_eq!(
                    (value.kind, value.form, value.expires_at, value.bytes),
                    (Kind::String, StringForm::Raw, expires_at, bytes)
                );
            }
            assert!(verify_value(&key, &old, false).is_err());
            assert!(verify_value(&encode_key(4, b"key"), &encoded, true).is_err());
            for bit in 0..encoded.len() * 8 {
                let mut damaged = encoded.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(verify_value(&key, &damaged, false).is_err(), "{bit}");
                assert!(verify_value(&key, &damaged, true).is_err(), "{bit}");
            }
        }
        assert!(decode_value(b"").is_err());
        assert!(decode_value(&[0; 8]).is_err());
        assert!(decode_value(&[CHECKED; 16]).is_err());
        assert!(decode_value(&[99; 20]).is_err());
    }

    #[test]
    fn the_sum_of_a_changed_value_is_found_from_its_blocks() {
        let old: Vec<u8> = (0..20_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let change = |offset, bytes: &'static [u8]| Change {
            offset,
            bytes: bytes.into(),
        };
        for changes in [
            vec![],
            vec![change(0, b"a")],
            vec![change(4_090, b"over the end of a block")],
            vec![
                change(19_990, b"the end"),
                change(5_000, b""),
                change(19_992, b"x"),
            ],
        ] {
            let new = crate::change::changed(&old, &changes);
            assert_eq!(changed_sum(sum(&old), &old, &changes), sum(&new));
        }
    }
}

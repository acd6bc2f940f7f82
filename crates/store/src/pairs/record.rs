//! The format of a record in the engine: one pair.
//!
//! | part | bytes |
//! |---|---|
//! | key | generation (u32, big-endian, so that one database's keys are neighbours in a sorted engine), tag (1), user key |
//! | value | type (1), deadline (i64, little-endian, ms since the Unix epoch, `i64::MAX` for none), user value |

use smallvec::SmallVec;

use crate::model::{Millis, RecordKind, Value};
use crate::{RecordKey, StoreError};

/// Bytes of an engine key before the user's.
pub const KEY_PREFIX_BYTES: usize = 5;

/// Bytes of an engine value before the user's.
pub const VALUE_HEADER_BYTES: usize = 9;

/// Where the deadline lies within an engine value.
pub const DEADLINE_AT: usize = 1;

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

/// The engine value for a user's value.
pub fn encode_value(kind: RecordKind, expires_at: Option<Millis>, value: &[u8]) -> EngineValue {
    let mut encoded = EngineValue::with_capacity(VALUE_HEADER_BYTES + value.len());
    encoded.push(kind.number());
    encoded.extend_from_slice(&encode_deadline(expires_at));
    encoded.extend_from_slice(value);
    encoded
}

/// The bytes of a deadline.
pub fn encode_deadline(expires_at: Option<Millis>) -> [u8; 8] {
    expires_at.unwrap_or(NEVER).to_le_bytes()
}

/// The user's value in an engine value.
pub fn decode_value(encoded: &[u8]) -> Result<Value<'_>, StoreError> {
    let damaged = || StoreError::Damaged(format!("a value of {} bytes", encoded.len()));
    let (&kind, rest) = encoded.split_first().ok_or_else(damaged)?;
    let (deadline, bytes) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let deadline = Millis::from_le_bytes(*deadline);
    let kind = RecordKind::from_number(kind)
        .ok_or_else(|| StoreError::Damaged(format!("a value of type {kind}")))?;
    Ok(Value {
        kind: kind.kind,
        form: kind.form,
        expires_at: (deadline != NEVER).then_some(deadline),
        bytes,
    })
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
            let encoded = encode_value(StringForm::Raw.into(), expires_at, bytes);
            let value = decode_value(&encoded).expect("valid");
            assert_eq!(
                (value.kind, value.form, value.expires_at, value.bytes),
                (Kind::String, StringForm::Raw, expires_at, bytes)
            );
        }
        assert!(decode_value(b"").is_err());
        assert!(decode_value(&[0; 8]).is_err());
        assert!(decode_value(&[99; 20]).is_err());
    }
}

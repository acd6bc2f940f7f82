//! Writes values: each type in its simplest form, and a string that is an integer as an integer.

use super::{FOOTER_BYTES, Object, close, form};

/// The payload of a value. Redis 7.0 and later restore it.
///
/// Do not encode an empty collection: no key holds one, and Redis does not restore its payload.
pub fn encode(object: &Object) -> Vec<u8> {
    let mut payload = Vec::with_capacity(bytes_max(object));
    match object {
        Object::String(value) => {
            payload.push(form::STRING);
            string(&mut payload, value);
        }
        Object::List(elements) => strings(&mut payload, form::LIST, elements),
        Object::Set(members) => strings(&mut payload, form::SET, members),
        Object::Hash(fields) => {
            payload.push(form::HASH);
            length(&mut payload, fields.len());
            for (field, value) in fields {
                string(&mut payload, field);
                string(&mut payload, value);
            }
        }
        Object::SortedSet(members) => {
            payload.push(form::SORTED_SET);
            length(&mut payload, members.len());
            for (member, score) in members {
                string(&mut payload, member);
                payload.extend_from_slice(&score.to_le_bytes());
            }
        }
    }
    close(&mut payload);
    payload
}

/// How many bytes the longest form of a length takes.
pub(super) const LENGTH_BYTES_MAX: usize = 9;

/// An upper bound for the length of this value's payload.
fn bytes_max(object: &Object) -> usize {
    const LENGTH: usize = LENGTH_BYTES_MAX;
    let sum = |strings: &[Vec<u8>]| strings.iter().map(|s| s.len() + LENGTH).sum::<usize>();
    let elements = match object {
        Object::String(value) => value.len(),
        Object::List(elements) | Object::Set(elements) => sum(elements),
        Object::Hash(fields) => fields
            .iter()
            .map(|(field, value)| field.len() + value.len() + 2 * LENGTH)
            .sum(),
        Object::SortedSet(members) => members
            .iter()
            .map(|(member, _)| member.len() + LENGTH + size_of::<f64>())
            .sum(),
    };
    1 + LENGTH + elements + FOOTER_BYTES
}

fn strings(payload: &mut Vec<u8>, form: u8, strings: &[Vec<u8>]) {
    payload.push(form);
    length(payload, strings.len());
    for bytes in strings {
        string(payload, bytes);
    }
}

fn string(payload: &mut Vec<u8>, bytes: &[u8]) {
    if let Some(number) = integer(bytes) {
        let [first, second, ..] = number.to_le_bytes();
        if i8::try_from(number).is_ok() {
            payload.extend_from_slice(&[0xc0, first]);
        } else if i16::try_from(number).is_ok() {
            payload.extend_from_slice(&[0xc1, first, second]);
        } else {
            payload.push(0xc2);
            payload.extend_from_slice(&number.to_le_bytes());
        }
        return;
    }
    length(payload, bytes.len());
    payload.extend_from_slice(bytes);
}

/// The integer whose text is exactly these bytes.
fn integer(bytes: &[u8]) -> Option<i32> {
    const DIGITS_MAX: usize = "-2147483648".len();
    if bytes.len() > DIGITS_MAX {
        return None;
    }
    let number: i32 = str::from_utf8(bytes).ok()?.parse().ok()?;
    let canonical = itoa::Buffer::new().format(number).as_bytes() == bytes;
    canonical.then_some(number)
}

/// Writes a length in 1, 2, 5 or 9 bytes. The first two bits, or the whole first byte, tell the reader which.
pub(super) fn length(payload: &mut Vec<u8>, length: usize) {
    match length {
        0..0x40 => payload.push(u8::try_from(length).unwrap_or_default()),
        0x40..0x4000 => {
            let marked = 0x4000 | u16::try_from(length).unwrap_or_default();
            payload.extend_from_slice(&marked.to_be_bytes());
        }
        _ => {
            if let Ok(length) = u32::try_from(length) {
                payload.push(0x80);
                payload.extend_from_slice(&length.to_be_bytes());
            } else {
                payload.push(0x81);
                payload.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
    }
}

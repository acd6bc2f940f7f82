//! Writes values: each type in its simplest form, and a string that is an integer as an integer.

use super::{FOOTER_BYTES, Object, Release, close, deadlines, form, stream};

/// The payload of a value. Redis 7.0 and later restore it.
///
/// Do not encode an empty collection, except a stream: no key holds one, and Redis does not restore its payload.
pub fn encode(object: &Object) -> Vec<u8> {
    encode_for(object, Release::Redis70)
}

/// The payload of a value in the form of a release of Redis, which that release and later ones restore. They differ in
/// streams only. A hash with deadlines of fields has the form of Redis 7.4 at least.
pub fn encode_for(object: &Object, release: Release) -> Vec<u8> {
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
            count(&mut payload, fields.len());
            for (field, value) in fields {
                string(&mut payload, field);
                string(&mut payload, value);
            }
        }
        Object::ExpiringHash(fields) => deadlines::write(&mut payload, fields),
        Object::SortedSet(members) => {
            payload.push(form::SORTED_SET);
            count(&mut payload, members.len());
            for (member, score) in members {
                string(&mut payload, member);
                payload.extend_from_slice(&score.to_le_bytes());
            }
        }
        Object::Stream(stream) => stream::write(&mut payload, stream, release),
    }
    let version = match object {
        Object::ExpiringHash(_) => Release::Redis74.version().max(release.version()),
        _ => release.version(),
    };
    close(&mut payload, version);
    payload
}

/// How many bytes the longest form of a length takes.
pub(super) const LENGTH_BYTES_MAX: usize = 9;

/// An upper bound for the length of this value's payload, except that of a stream.
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
        Object::ExpiringHash(fields) => fields
            .iter()
            .map(|field| field.name.len() + field.value.len() + 3 * LENGTH)
            .sum(),
        Object::SortedSet(members) => members
            .iter()
            .map(|(member, _)| member.len() + LENGTH + size_of::<f64>())
            .sum(),
        // How long its nodes become is known when they are written.
        Object::Stream(_) => 0,
    };
    1 + LENGTH + elements + FOOTER_BYTES
}

fn strings(payload: &mut Vec<u8>, form: u8, strings: &[Vec<u8>]) {
    payload.push(form);
    count(payload, strings.len());
    for bytes in strings {
        string(payload, bytes);
    }
}

pub(super) fn string(payload: &mut Vec<u8>, bytes: &[u8]) {
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
    plain(payload, bytes);
}

/// Writes a string byte by byte, even if it is an integer.
pub(super) fn plain(payload: &mut Vec<u8>, bytes: &[u8]) {
    count(payload, bytes.len());
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

pub(super) fn count(payload: &mut Vec<u8>, count: usize) {
    number(payload, count as u64);
}

/// Writes a number or a length in 1, 2, 5 or 9 bytes. The first two bits, or the whole first byte, tell the reader which.
pub(super) fn number(payload: &mut Vec<u8>, number: u64) {
    match number {
        0..0x40 => payload.push(u8::try_from(number).unwrap_or_default()),
        0x40..0x4000 => {
            let marked = 0x4000 | u16::try_from(number).unwrap_or_default();
            payload.extend_from_slice(&marked.to_be_bytes());
        }
        _ => {
            if let Ok(number) = u32::try_from(number) {
                payload.push(0x80);
                payload.extend_from_slice(&number.to_be_bytes());
            } else {
                payload.push(0x81);
                payload.extend_from_slice(&number.to_be_bytes());
            }
        }
    }
}

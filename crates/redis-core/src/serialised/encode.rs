//! Writes values: each type in its simplest form, and a string that is an integer as an integer.

use super::{FOOTER_BYTES, Object, Release, close, deadlines, form, lzf, stream};

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
    payload.push(object.form(release));
    encode_value(&mut payload, object, release, Strings::Plain);
    let version = match object {
        Object::ExpiringHash(_) => Release::Redis74.version().max(release.version()),
        _ => release.version(),
    };
    close(&mut payload, version);
    payload
}

/// How strings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strings {
    /// Byte by byte.
    Plain,
    /// Compressed, where that makes a string of more than 20 bytes shorter.
    Compressed,
}

impl Object {
    /// The number of the encoding in which [`encode_value`] writes it.
    pub fn form(&self, release: Release) -> u8 {
        match self {
            Object::String(_) => form::STRING,
            Object::List(_) => form::LIST,
            Object::Set(_) => form::SET,
            Object::Hash(_) => form::HASH,
            Object::ExpiringHash(_) => form::HASH_EXPIRING,
            Object::SortedSet(_) => form::SORTED_SET,
            Object::Stream(_) => stream::form(release),
        }
    }
}

/// Appends a value as it lies in an RDB file behind its key, without the encoding's number, which is [`Object::form`].
pub fn encode_value(payload: &mut Vec<u8>, object: &Object, release: Release, how: Strings) {
    match object {
        Object::String(value) => encode_string(payload, value, how),
        Object::List(elements) | Object::Set(elements) => {
            count(payload, elements.len());
            for bytes in elements {
                encode_string(payload, bytes, how);
            }
        }
        Object::Hash(fields) => {
            count(payload, fields.len());
            for (field, value) in fields {
                encode_string(payload, field, how);
                encode_string(payload, value, how);
            }
        }
        Object::ExpiringHash(fields) => deadlines::write(payload, fields, how),
        Object::SortedSet(members) => {
            count(payload, members.len());
            for (member, score) in members {
                encode_string(payload, member, how);
                payload.extend_from_slice(&score.to_le_bytes());
            }
        }
        Object::Stream(stream) => stream::write(payload, stream, release),
    }
}

/// Appends a string: an integer's text as an integer, a long string compressed where `how` says so.
pub fn encode_string(payload: &mut Vec<u8>, bytes: &[u8], how: Strings) {
    if how == Strings::Compressed
        && bytes.len() > COMPRESSED_ABOVE_BYTES
        && let Some(compressed) = lzf::compress(bytes)
    {
        payload.push(0xc3);
        count(payload, compressed.len());
        count(payload, bytes.len());
        payload.extend_from_slice(&compressed);
        return;
    }
    string(payload, bytes);
}

/// Strings of up to this length are never compressed, as in Redis.
const COMPRESSED_ABOVE_BYTES: usize = 20;

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

/// Appends a number in the form of a length.
pub fn encode_number(payload: &mut Vec<u8>, value: u64) {
    number(payload, value);
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

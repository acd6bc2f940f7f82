//! Hashes with fields that have deadlines, in the forms of Redis 7.4.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | the earliest deadline, ms since the Unix epoch, little-endian |
//! | any | form 24: a count, then of each field the time, the name, the value |
//! | | form 25: a listpack with name, value and deadline of each field |
//!
//! In form 24 the time counts from the earliest deadline on, which has the number 1. In either form 0 says that the field has
//! no deadline.

use super::decode::owned;
use super::encode::{Strings, count, encode_string, number};
use super::reader::Reader;
use super::{ExpiringField, FIELD_DEADLINE_MAX, Object, listpack};

/// Writes form 24 without its number. Redis reads it whatever the hash's size.
pub(super) fn write(payload: &mut Vec<u8>, fields: &[ExpiringField], how: Strings) {
    let deadlines = fields.iter().filter_map(|field| field.expires_at);
    let first = deadlines.min().unwrap_or_default();
    payload.extend_from_slice(&first.to_le_bytes());
    count(payload, fields.len());
    for field in fields {
        let since = field.expires_at.map_or(0, |at| at.abs_diff(first) + 1);
        number(payload, since);
        encode_string(payload, &field.name, how);
        encode_string(payload, &field.value, how);
    }
}

/// Reads form 24.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Object> {
    let first = i64::from_le_bytes(reader.array()?);
    let fields = (0..reader.count()?).map(|_| {
        let expires_at = match reader.number()? {
            0 => None,
            since => {
                let since = i64::try_from(since - 1).ok()?;
                Some(deadline(first.checked_add(since)?)?)
            }
        };
        Some(ExpiringField {
            name: owned(reader)?,
            value: owned(reader)?,
            expires_at,
        })
    });
    fields.collect::<Option<_>>().map(Object::hash)
}

/// Reads form 25. The earliest deadline is told by the fields themselves.
pub(super) fn read_listpack(reader: &mut Reader<'_>) -> Option<Object> {
    reader.array::<8>()?;
    let mut elements = reader.packed(listpack::decode)?.into_iter();
    let mut fields = Vec::with_capacity(elements.len() / 3);
    while let Some(name) = elements.next() {
        let (value, at) = (elements.next()?, elements.next()?);
        let expires_at = match crate::numbers::parse_i64(&at)? {
            0 => None,
            at => Some(deadline(at)?),
        };
        fields.push(ExpiringField {
            name,
            value,
            expires_at,
        });
    }
    Some(Object::hash(fields))
}

fn deadline(at: i64) -> Option<i64> {
    (1..=FIELD_DEADLINE_MAX).contains(&at).then_some(at)
}

impl Object {
    /// A hash. Without any deadline it is a plain one: Redis keeps the other form after the last deadline is gone.
    pub fn hash(fields: Vec<ExpiringField>) -> Object {
        if fields.iter().any(|field| field.expires_at.is_some()) {
            return Object::ExpiringHash(fields);
        }
        let pairs = fields.into_iter().map(|field| (field.name, field.value));
        Object::Hash(pairs.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serialised::{decode, encode, form};

    fn field(name: &str, value: &str, expires_at: Option<i64>) -> ExpiringField {
        ExpiringField {
            name: name.into(),
            value: value.into(),
            expires_at,
        }
    }

    /// What Redis 8.2.3 dumps of a small and of a large hash.
    const OF_REDIS: [&[u8]; 2] = [
        b"\x19 \x8fi*\xa2\x01\x00\x00,,\x00\x00\x00\t\x00\x81b\x02\x02\x01\xf4 \x8fi*\xa2\x01\x00\x00\t\x81a\x02\x01\x01\xf4\x008\xd3`\xba\x01\x00\x00\t\x81c\x02\x03\x01\x00\x01\xff\x0c\x00D|\xfb{\xf6\xc4\xbb\xa4",
        b"\x18!\x8fi*\xa2\x01\x00\x00\x03\x81\x00\x00\x00\x186i\xa8\xe0\x01a\xc0\x01\x01\x01b\xc0\x02\x00\x01c\xc0\x03\x0c\x00|\x85\xffp\xaf\x10\xf8\x90",
    ];

    #[test]
    fn reads_what_redis_dumps() {
        for (payload, first) in OF_REDIS.iter().zip([1_796_007_890_720, 1_796_007_890_721]) {
            let Ok(Object::ExpiringHash(mut fields)) = decode(payload) else {
                panic!("no hash with deadlines");
            };
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            assert_eq!(
                fields,
                [
                    field("a", "1", Some(1_900_000_000_000)),
                    field("b", "2", Some(first)),
                    field("c", "3", None),
                ]
            );
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let fields = vec![
            field("a", "x", Some(FIELD_DEADLINE_MAX)),
            field("b", "", None),
            field("c", "12", Some(1)),
            field("d", "12", Some(1)),
        ];
        let hash = Object::ExpiringHash(fields);
        let payload = encode(&hash);
        assert_eq!(payload[0], form::HASH_EXPIRING);
        assert_eq!(decode(&payload), Ok(hash));
        let plain = vec![field("a", "x", None)];
        let settled = Object::Hash(vec![(b"a".to_vec(), b"x".to_vec())]);
        assert_eq!(decode(&encode(&Object::ExpiringHash(plain))), Ok(settled));
    }

    #[test]
    fn refuses_deadlines_out_of_range_and_fields_that_repeat() {
        for fields in [
            vec![field("a", "x", Some(FIELD_DEADLINE_MAX + 1))],
            vec![field("a", "x", Some(-1))],
            vec![field("a", "x", Some(5)), field("a", "y", None)],
        ] {
            assert!(decode(&encode(&Object::ExpiringHash(fields))).is_err());
        }
    }
}

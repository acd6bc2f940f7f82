use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::fuzzing::closed;
use super::{FOOTER_BYTES, Object, SerialisedError, decode, encode, form};

fn refused(body: &[u8]) -> bool {
    decode(&closed(body)) == Err(SerialisedError::Format)
}

#[test]
fn the_checksum_is_redis_s() {
    // What redis-server 7.0.15 dumps for `10`.
    let dumped = b"\x00\xc0\x0a\x0a\x00n\x9fWE\x0e\xaec\xbb";
    assert_eq!(decode(dumped), Ok(Object::String(b"10".to_vec())));
    assert_eq!(closed(b"\x00\xc0\x0a"), dumped);
}

#[test]
fn the_envelope_is_checked() {
    let whole = encode(&Object::String(b"value".to_vec()));
    for cut in 0..whole.len() {
        assert_eq!(decode(&whole[..cut]), Err(SerialisedError::Envelope));
    }
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 4;
        assert_eq!(decode(&changed), Err(SerialisedError::Envelope), "{place}");
    }
    for (version, read) in [
        (1u16, true),
        (9, true),
        (12, true),
        (13, false),
        (256, false),
    ] {
        let mut payload = b"\x00\x01x".to_vec();
        payload.extend_from_slice(&version.to_le_bytes());
        let checksum = super::CHECKSUM.checksum(&payload);
        payload.extend_from_slice(&checksum.to_le_bytes());
        assert_eq!(decode(&payload).is_ok(), read, "{version}");
    }
}

#[test]
fn short_bodies_are_written_as_documented() {
    for (object, body) in [
        (Object::String(vec![]), &b"\x00\x00"[..]),
        (
            Object::List(vec![b"a".to_vec(), b"a".to_vec()]),
            b"\x01\x02\x01a\x01a",
        ),
        (Object::Set(vec![b"a".to_vec()]), b"\x02\x01\x01a"),
        (
            Object::Hash(vec![(b"a".to_vec(), b"bc".to_vec())]),
            b"\x04\x01\x01a\x02bc",
        ),
        (
            Object::SortedSet(vec![(b"a".to_vec(), -0.0)]),
            b"\x05\x01\x01a\x00\x00\x00\x00\x00\x00\x00\x80",
        ),
    ] {
        assert_eq!(encode(&object), closed(body));
        assert_eq!(decode(&closed(body)), Ok(object));
    }
}

#[test]
fn what_only_looks_like_an_integer_stays_a_string() {
    for string in [
        "",
        "-",
        "+1",
        "01",
        "-0",
        "1.",
        " 1",
        "2147483648",
        "-2147483649",
    ] {
        let payload = encode(&Object::String(string.into()));
        assert_eq!(usize::from(payload[1]), string.len(), "{string}");
    }
}

#[test]
fn lengths_around_their_forms() {
    for (length, head) in [
        (63, &b"\x00\x3f"[..]),
        (64, b"\x00\x40\x40"),
        (16_383, b"\x00\x7f\xff"),
        (16_384, b"\x00\x80\x00\x00\x40\x00"),
    ] {
        let object = Object::String(vec![b'x'; length]);
        let payload = encode(&object);
        assert!(payload.starts_with(head), "{length}");
        assert_eq!(payload.len(), head.len() + length + FOOTER_BYTES);
        assert_eq!(decode(&payload), Ok(object));
    }
    let long = decode(&closed(b"\x00\x81\x00\x00\x00\x00\x00\x00\x00\x01x"));
    assert_eq!(long, Ok(Object::String(b"x".to_vec())));
}

#[test]
fn strings_in_other_forms() {
    for (body, string) in [
        (&b"\x00\xc0\x80"[..], &b"-128"[..]),
        (b"\x00\xc1\x80\x00", b"128"),
        (b"\x00\xc2\x00\x80\x00\x00", b"32768"),
        (b"\x00\xc1\x00\x80", b"-32768"),
        (b"\x00\xc2\xff\xff\xff\x7f", b"2147483647"),
        (b"\x00\xc3\x04\x05\x00a\x40\x00", b"aaaaa"),
    ] {
        let expected = Object::String(string.to_vec());
        if body[1] != 0xc3 {
            assert_eq!(encode(&expected), closed(body));
        }
        assert_eq!(decode(&closed(body)), Ok(expected));
        for cut in 1..body.len() {
            assert!(refused(&body[..cut]), "{body:?} {cut}");
        }
    }
}

#[test]
fn scores_as_text() {
    let body = b"\x03\x04\x01a\xff\x01b\xfe\x01c\x031.5\x01d\x02-0";
    let members = [
        ("a", f64::NEG_INFINITY),
        ("b", f64::INFINITY),
        ("c", 1.5),
        ("d", -0.0),
    ];
    let members = members.map(|(member, score)| (member.as_bytes().to_vec(), score));
    assert_eq!(
        decode(&closed(body)),
        Ok(Object::SortedSet(members.to_vec()))
    );
    for score in [&b"\xfd"[..], b"\x03nan", b"\x01x", b"\x00", b"\x05"] {
        assert!(refused(&[b"\x03\x01\x01a", score].concat()), "{score:?}");
    }
}

#[test]
fn what_is_no_value_is_refused() {
    for body in [
        &b""[..],
        b"\x00",
        // Bytes behind the value.
        b"\x00\x01xx",
        // Counts and lengths of nothing.
        b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x02\x80\xff\xff\xff\xff",
        b"\x04\x80\xff\xff\xff\xff\x01a\x01b",
        b"\x0e\x80\x00\x00\x00\x05",
        b"\x12\x02\x01\x01a",
        b"\x12\x01\x03\x01a",
        b"\x00\xc3\x04\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00a\x40\x00",
        // Strings in forms that there are not.
        b"\x00\x82\x00\x00\x00\x01x",
        b"\x00\xc4\x01",
        b"\x00\xff",
        // Nothing in them.
        b"\x01\x00",
        b"\x02\x00",
        b"\x04\x00",
        b"\x05\x00",
        b"\x12\x00",
        b"\x10\x07\x07\x00\x00\x00\x00\x00\xff",
        b"\x0b\x08\x02\x00\x00\x00\x00\x00\x00\x00",
        // Twice.
        b"\x02\x02\x01a\x01a",
        b"\x02\x02\x011\xc0\x01",
        b"\x04\x02\x01a\x01b\x01a\x01c",
        b"\x14\x0b\x0b\x00\x00\x00\x02\x00\x01\x01\x01\x01\xff",
        // NaN.
        b"\x05\x01\x01a\x00\x00\x00\x00\x00\x00\xf8\x7f",
        // A field without its value.
        b"\x10\x09\x09\x00\x00\x00\x01\x00\x01\x01\xff",
        // Modules, streams, zipmaps, functions, and what there is not.
        b"\x07\x01",
        b"\x0f\x01",
        b"\x15\x01",
        b"\x09\x02\x00\xff",
        b"\xf5\x01x",
        b"\xff",
    ] {
        assert!(refused(body), "{}", body.escape_ascii());
    }
}

#[test]
fn compressed_collections_stay_within_bounds() {
    // A listpack of 16 Ki entries of one byte, each with its length: 32 KiB from 376 bytes.
    let entries = 16 << 10;
    let total = 2 * entries + 7;
    let mut compressed = b"\x08".to_vec();
    compressed.extend_from_slice(&u32::try_from(total).unwrap_or_default().to_le_bytes());
    compressed.extend_from_slice(b"\xff\xff\x01\x01\x01");
    let mut left = total - 9 - 1;
    while left > 0 {
        let length = left.min(264);
        let low = u8::try_from(length - 9).unwrap_or_default();
        compressed.extend_from_slice(&[0xe0, low, 0x01]);
        left -= length;
    }
    compressed.extend_from_slice(b"\x00\xff");
    let mut container = b"\xc3\x80".to_vec();
    let count = u32::try_from(compressed.len()).unwrap_or_default();
    container.extend_from_slice(&count.to_be_bytes());
    container.push(0x80);
    container.extend_from_slice(&u32::try_from(total).unwrap_or_default().to_be_bytes());
    container.append(&mut compressed);

    let list = |nodes: u8| {
        let mut body = vec![form::LIST_OF_LISTPACKS, nodes];
        for _ in 0..nodes {
            body.push(2);
            body.extend_from_slice(&container);
        }
        super::decode::body(&body, 1 << 20)
    };
    let Some(Object::List(elements)) = list(1) else {
        panic!("one fits into a mebibyte");
    };
    assert_eq!(elements.len(), entries);
    assert_eq!(list(2), None);
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..12),
        vec(any::<u8>(), 60..70),
        any::<i32>().prop_map(|n| n.to_string().into_bytes()),
        (0usize..20_000).prop_map(|length| vec![b'x'; length]),
    ]
}

fn object() -> impl Strategy<Value = Object> {
    let score = any::<f64>().prop_filter("a score", |score| !score.is_nan());
    prop_oneof![
        bytes().prop_map(Object::String),
        vec(bytes(), 1..70).prop_map(Object::List),
        btree_set(bytes(), 1..70).prop_map(|set| Object::Set(set.into_iter().collect())),
        btree_map(bytes(), bytes(), 1..70).prop_map(|map| Object::Hash(map.into_iter().collect())),
        btree_map(bytes(), score, 1..70)
            .prop_map(|map| Object::SortedSet(map.into_iter().collect())),
    ]
}

/// A body that looks like one of every form.
fn suspicious() -> impl Strategy<Value = Vec<u8>> {
    let small = prop_oneof![0u8..24, any::<u8>()];
    (0u8..22, vec(small, 0..64)).prop_map(|(form, mut rest)| {
        rest.insert(0, form);
        rest
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes(object in object()) {
        prop_assert_eq!(decode(&encode(&object)), Ok(object));
    }

    #[test]
    fn any_bytes_end_well(body in suspicious()) {
        if let Ok(object) = decode(&closed(&body)) {
            prop_assert_eq!(decode(&encode(&object)), Ok(object));
        }
        let _ = decode(&body);
    }

    #[test]
    fn changed_payloads_end_well(object in object(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = encode(&object);
        body.truncate(body.len() - FOOTER_BYTES);
        let place = place.index(body.len());
        body[place] = byte;
        if let Ok(object) = decode(&closed(&body)) {
            prop_assert_eq!(decode(&encode(&object)), Ok(object));
        }
    }
}

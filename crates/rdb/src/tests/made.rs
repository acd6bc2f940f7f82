//! Files of other servers and of old ones, made by hand from the format's description.

use super::*;

/// A ziplist of short strings.
fn ziplist(entries: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    let (mut before, mut last) = (0u8, 10u32);
    for entry in entries {
        last = 10 + body.len() as u32;
        body.extend_from_slice(&[before, entry.len() as u8]);
        body.extend_from_slice(entry.as_bytes());
        before = entry.len() as u8 + 2;
    }
    let mut whole = (body.len() as u32 + 11).to_le_bytes().to_vec();
    whole.extend_from_slice(&last.to_le_bytes());
    whole.extend_from_slice(&(entries.len() as u16).to_le_bytes());
    whole.extend_from_slice(&body);
    whole.push(0xff);
    whole
}

/// A listpack of short strings.
fn listpack(entries: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for entry in entries {
        body.push(0x80 | entry.len() as u8);
        body.extend_from_slice(entry.as_bytes());
        body.push(entry.len() as u8 + 1);
    }
    let mut whole = (body.len() as u32 + 7).to_le_bytes().to_vec();
    whole.extend_from_slice(&(entries.len() as u16).to_le_bytes());
    whole.extend_from_slice(&body);
    whole.push(0xff);
    whole
}

/// A string, byte by byte.
fn string(bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 64);
    [&[bytes.len() as u8], bytes].concat()
}

/// A key `k` with an encoding and a value.
fn item(form: u8, value: &[u8]) -> Vec<u8> {
    [&[form], &b"\x01k"[..], value].concat()
}

#[test]
fn every_encoding_of_every_version() {
    let ranked = Object::SortedSet(vec![(b"a".to_vec(), 1.5), (b"b".to_vec(), 2.0)]);
    let hash = Object::Hash(vec![(b"f".to_vec(), b"v".to_vec())]);
    let list = Object::List(texts(&["a", "b"]));
    let set = Object::Set(texts(&["-1", "2"]));
    let integers = b"\x02\0\0\0\x02\0\0\0\xff\xff\x02\0";
    let (two_z, two_l) = (
        string(&ziplist(&["a", "b"])),
        string(&listpack(&["a", "b"])),
    );
    let scores = ["a", "1.5", "b", "2"];
    for (form, value, object) in [
        (0, b"\xc0\xff".to_vec(), Object::String(b"-1".to_vec())),
        (
            0,
            b"\xc1\x00\x80".to_vec(),
            Object::String(b"-32768".to_vec()),
        ),
        (
            0,
            b"\xc2\0\0\x01\0".to_vec(),
            Object::String(b"65536".to_vec()),
        ),
        (
            0,
            b"\xc3\x06\x0b\x01ab\xe0\x00\x01".to_vec(),
            Object::String(b"abababababa".to_vec()),
        ),
        (
            0,
            [b"\x40\x46", &[b'x'; 70][..]].concat(),
            Object::String(vec![b'x'; 70]),
        ),
        (
            0,
            b"\x80\0\0\0\x01x".to_vec(),
            Object::String(b"x".to_vec()),
        ),
        (
            0,
            b"\x81\0\0\0\0\0\0\0\x01x".to_vec(),
            Object::String(b"x".to_vec()),
        ),
        (1, b"\x02\x01a\x01b".to_vec(), list.clone()),
        (2, b"\x02\xc0\xff\x012".to_vec(), set.clone()),
        (3, b"\x02\x01a\x031.5\x01b\x012".to_vec(), ranked.clone()),
        (
            3,
            b"\x01\x01a\xfe".to_vec(),
            Object::SortedSet(vec![(b"a".to_vec(), f64::INFINITY)]),
        ),
        (
            3,
            b"\x01\x01a\xff".to_vec(),
            Object::SortedSet(vec![(b"a".to_vec(), f64::NEG_INFINITY)]),
        ),
        (4, b"\x01\x01f\x01v".to_vec(), hash.clone()),
        (
            5,
            [b"\x01\x01a", &2.5f64.to_le_bytes()[..]].concat(),
            Object::SortedSet(vec![(b"a".to_vec(), 2.5)]),
        ),
        (9, string(b"\x01\x01f\x01\x03v...\xff"), hash.clone()),
        (10, two_z.clone(), list.clone()),
        (11, string(integers), set.clone()),
        (12, string(&ziplist(&scores)), ranked.clone()),
        (13, string(&ziplist(&["f", "v"])), hash.clone()),
        (
            14,
            [
                b"\x02",
                &string(&ziplist(&["a"]))[..],
                &string(&ziplist(&["b"])),
            ]
            .concat(),
            list.clone(),
        ),
        (16, string(&listpack(&["f", "v"])), hash.clone()),
        (17, string(&listpack(&scores)), ranked.clone()),
        (
            18,
            [b"\x02\x01\x01a\x02", &string(&listpack(&["b"]))[..]].concat(),
            list.clone(),
        ),
        (20, two_l, Object::Set(texts(&["a", "b"]))),
    ] {
        let file = file(b"REDIS0011", &item(form, &value));
        let items = read_all(&file).unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!(items, [Item::Key(key("k", object))], "{form}");
    }
}

#[test]
fn old_files_have_no_checksum_and_seconds() {
    let body = b"\xfe\x00\xfd\x80\x00\x00\x00\x00\x01k\x01v\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x00\x01l\x01v\xff";
    let mut old = [&b"REDIS0003"[..], body].concat();
    let expected = |at| {
        Item::Key(Key {
            expires_at: Some(at),
            ..key(
                if at == -1 { "l" } else { "k" },
                Object::String(b"v".to_vec()),
            )
        })
    };
    let items = read_all(&old).expect("it is whole");
    assert_eq!(items, [Item::Database(0), expected(128_000), expected(-1)]);
    // In version 5 the checksum is missing.
    old[8] = b'5';
    assert!(matches!(read_all(&old), Err(RdbError::Truncated { .. })));
    old.extend_from_slice(&[0; 8]);
    assert_eq!(read_all(&old).expect("0 means no checksum").len(), 3);
    *old.last_mut().expect("it has bytes") = 1;
    assert_eq!(refusal(&old), "its checksum is wrong: the file is damaged");
    let reader = Reader::new(&old[..], Limits::default()).expect("it has a head");
    let mut reader = reader.checking_sum(false);
    while reader.next().expect("nobody checks") != Item::End {}
}

#[test]
fn what_tells_of_slots_and_modules_is_skipped() {
    let module = b"\xf7\x81\x25\xc2\xef\x74\x92\xcb\x11\x03\x02\x02\x01\x05\x02\x40\x50\x03abcd\x04abcdefgh\x05\x02xy\x00";
    let body = [
        &b"\xfa\x03ver\xc0\x07\xf4\x01\x40\x50\x03\xfb\x05\x01"[..],
        module,
        b"\xf8\x05\x00\x01k\x01v\xf9\x09\x00\x01l\x01v",
    ]
    .concat();
    for head in [b"REDIS0012", b"VALKEY080"] {
        let items = read_all(&file(head, &body)).expect("it is whole");
        let mut first = key("k", Object::String(b"v".to_vec()));
        first.idle_s = Some(5);
        let mut second = key("l", Object::String(b"v".to_vec()));
        second.frequency = Some(9);
        let aux = Item::Aux {
            name: b"ver".to_vec(),
            value: b"7".to_vec(),
        };
        assert_eq!(items, [aux, Item::Key(first), Item::Key(second)]);
    }
}

#[test]
fn what_cannot_be_held_is_named() {
    let redis = |body: &[u8]| refusal(&file(b"REDIS0012", body));
    let valkey = |body: &[u8]| refusal(&file(b"VALKEY080", body));
    let deadlines = "the key 'k' cannot be held: it is a hash with deadlines of fields";
    for form in 22..=23 {
        assert_eq!(redis(&item(form, b"...")), deadlines);
    }
    assert_eq!(valkey(&item(22, b"...")), deadlines);
    assert!(valkey(&item(23, b"...")).contains("neither an item nor a type"));
    assert!(refusal(&file(b"REDIS0011", &item(22, b""))).contains("neither an item nor a type"));
    assert!(valkey(&item(24, b"...")).contains("neither an item nor a type"));
    assert_eq!(
        redis(&item(7, b"\x81\x25\xc2\xef\x74\x92\xcb\x11\x03\x00")),
        "the key 'k' cannot be held: its value belongs to the module type JcLvdJLLE"
    );
    assert!(redis(&item(6, b"")).contains("belongs to a module"));
    assert!(valkey(b"\xf3\x01j\x00").contains("import of cluster slots"));
    assert!(redis(b"\xf3\x01j\x00").contains("neither an item nor a type"));
    assert!(redis(b"\xf6").contains("release candidates"));
    for (head, version) in [
        (&b"REDIS0000"[..], "0 of Redis"),
        (b"REDIS0013", "13 of Redis"),
        (b"VALKEY011", "11 of Valkey"),
        (b"VALKEY081", "81 of Valkey"),
    ] {
        let text = refusal(&file(head, b""));
        assert!(text.contains(version) && text.contains("1 to 12"), "{text}");
    }
    for head in [&b"REDIS00x1"[..], b"redis0011", b"*1\r\n$4\r\nP"] {
        assert!(matches!(read_all(head), Err(RdbError::NotRdb)));
    }
}

#[test]
fn empty_collections_are_skipped_and_counted() {
    let body = [
        item(4, b"\x00"),
        item(10, &string(&ziplist(&[]))),
        item(0, b"\x01v"),
    ]
    .concat();
    let file = file(b"REDIS0009", &body);
    let mut reader = Reader::new(&file[..], Limits::default()).expect("it has a head");
    let only = key("k", Object::String(b"v".to_vec()));
    assert_eq!(reader.next().expect("it is whole"), Item::Key(only));
    assert_eq!(reader.next().expect("it is whole"), Item::End);
    assert_eq!(reader.empty_keys(), 2);
}

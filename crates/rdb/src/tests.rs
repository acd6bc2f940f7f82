//! Tests by files that are made here by hand; files of real servers are in the server's tests.

// The numbers are small.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]

mod damage;
mod made;

use std::io::Read;

use redis_core::serialised::{Checksum, Stream, StreamEntry, StreamGroup, StreamId};

use crate::{Item, Key, KeyRef, Keys, Limits, Object, Options, RdbError, Reader, Version, Writer};

/// All items of a file.
fn read_all(file: &[u8]) -> Result<Vec<Item>, RdbError> {
    let one_by_one = read_each(file);
    for bytes_max in [1, 50, 1 << 20] {
        match (&one_by_one, read_batches(file, bytes_max)) {
            (Ok(items), Ok(batches)) => assert_eq!(*items, batches, "in {bytes_max} bytes"),
            (Err(_), Err(_)) => {}
            (items, batches) => panic!("in {bytes_max} bytes: {items:?}, and {batches:?}"),
        }
    }
    one_by_one
}

/// All items, the keys of which are read in batches of about so many bytes and decoded later.
fn read_batches(file: &[u8], bytes_max: usize) -> Result<Vec<Item>, RdbError> {
    let mut reader = Reader::new(file, Limits::default())?;
    let (mut items, mut keys) = (Vec::new(), Keys::default());
    loop {
        let item = reader.next_keys(&mut keys, bytes_max)?;
        for number in 0..keys.len() {
            items.extend(keys.decode(number)?.map(|key| Item::Key(key.into())));
        }
        match item {
            Some(Item::End) => {
                assert!(reader.into_inner().is_empty());
                return Ok(items);
            }
            Some(item) => items.push(item),
            None => assert!(keys.bytes() >= bytes_max && !keys.is_empty()),
        }
    }
}

/// As [`read_batches`], one by one.
fn read_each(file: &[u8]) -> Result<Vec<Item>, RdbError> {
    let mut reader = Reader::new(file, Limits::default())?;
    let mut items = Vec::new();
    loop {
        match reader.next()? {
            Item::End => {
                assert!(reader.into_inner().is_empty());
                return Ok(items);
            }
            item => items.push(item),
        }
    }
}

/// The text of the error that a file gives.
fn refusal(file: &[u8]) -> String {
    match read_all(file) {
        Ok(items) => format!("no error: {items:?}"),
        Err(error) => error.to_string(),
    }
}

/// A file with this head and body, a right end mark and checksum.
fn file(head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut file = [head, body, b"\xff"].concat();
    let mut checksum = Checksum::default();
    checksum.add(&file);
    file.extend_from_slice(&checksum.value().to_le_bytes());
    file
}

fn key(name: &str, value: Object) -> Key {
    Key {
        key: name.into(),
        value,
        expires_at: None,
        idle_s: None,
        frequency: None,
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// One value of each type.
fn values() -> Vec<Object> {
    let id = |ms, seq| StreamId { ms, seq };
    let entry = |ms, seq, deleted| StreamEntry {
        id: id(ms, seq),
        deleted,
        names: vec![b"name".to_vec()].into(),
        values: texts(&["value"]),
    };
    vec![
        Object::String(b"12345".to_vec()),
        Object::String(b"-1".to_vec()),
        Object::String(Vec::new()),
        Object::String(b"abc".repeat(300)),
        Object::String((0..=255u8).cycle().take(3000).collect()),
        Object::List(texts(&["a", "", "7", "a"])),
        Object::Set(texts(&["x", "70000"])),
        Object::Hash(vec![
            (b"f".to_vec(), b"v".repeat(100)),
            (b"".to_vec(), b"".to_vec()),
        ]),
        Object::SortedSet(vec![
            (b"m".to_vec(), 1.5),
            (b"n".to_vec(), f64::NEG_INFINITY),
        ]),
        Object::Stream(Box::new(Stream {
            entries: vec![entry(1, 1, false), entry(1, 2, true), entry(3, 0, false)],
            last_id: id(4, 0),
            first_id: id(1, 1),
            max_deleted_id: id(1, 2),
            entries_added: 9,
            groups: vec![StreamGroup {
                name: b"group".to_vec(),
                last_id: id(1, 1),
                entries_read: Some(1),
                ..StreamGroup::default()
            }],
        })),
    ]
}

/// A file of everything that the writer writes, and its items.
fn whole(options: Options) -> (Vec<u8>, Vec<Item>) {
    let mut writer = Writer::new(Vec::new(), options);
    let mut items = vec![
        Item::Aux {
            name: b"redis-ver".to_vec(),
            value: b"7.2.0".to_vec(),
        },
        Item::Function(b"#!lua name=x\n".repeat(9)),
    ];
    writer.aux("redis-ver", "7.2.0").expect("memory takes it");
    writer
        .function(&b"#!lua name=x\n".repeat(9))
        .expect("memory takes it");
    for db in [0, 9] {
        writer.database(db).expect("memory takes it");
        writer.sizes(10, 2).expect("memory takes it");
        items.push(Item::Database(db as u64));
        for (number, value) in values().into_iter().enumerate() {
            let written = Key {
                expires_at: (number % 3 == 0)
                    .then_some(1_700_000_000_000 - 2_000_000_000_000 * db as i64),
                idle_s: (number % 3 == 1).then_some(100_000),
                frequency: (number % 3 == 2).then_some(200),
                ..key(&format!("key{number}"), value)
            };
            let wrote = writer.key(&KeyRef {
                key: &written.key,
                value: &written.value,
                expires_at: written.expires_at,
                idle_s: written.idle_s,
                frequency: written.frequency,
            });
            wrote.expect("memory takes it");
            items.push(Item::Key(written));
        }
    }
    let bytes = writer.bytes();
    let file = writer.finish().expect("memory takes it");
    assert_eq!(file.len() as u64, bytes + 9);
    (file, items)
}

const PLAIN: Options = Options {
    version: Version::Redis72,
    compresses: false,
    sums: true,
};

#[test]
fn what_is_written_is_read() {
    let (plain, items) = whole(PLAIN);
    assert_eq!(read_all(&plain).expect("it is whole"), items);
    for version in [Version::Redis70, Version::Redis72] {
        for sums in [false, true] {
            let (compressed, same) = whole(Options {
                version,
                compresses: true,
                sums,
            });
            assert_eq!(same, items);
            assert!(compressed.len() < plain.len());
            assert_eq!(read_all(&compressed).expect("it is whole"), items);
            let has_sum = compressed[compressed.len() - 8..] != [0; 8];
            assert_eq!(has_sum, sums);
        }
    }
}

/// Gives a few bytes at a time, as a socket may.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1 % 7 + 1;
        let length = self.1.min(into.len());
        self.0.read(&mut into[..length])
    }
}

#[test]
fn what_follows_a_file_is_not_read() {
    let (mut file, items) = whole(PLAIN);
    let length = file.len();
    file.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
    let mut reader = Reader::new(Slow(&file, 0), Limits::default()).expect("it has a head");
    let mut read = Vec::new();
    loop {
        match reader.next().expect("it is whole") {
            Item::End => break,
            item => read.push(item),
        }
    }
    assert_eq!(read, items);
    assert_eq!(reader.offset(), length as u64);
    assert_eq!(reader.next().expect("the end stays"), Item::End);
    assert_eq!(reader.into_inner().0, b"*1\r\n$4\r\nPING\r\n");
}

#[test]
fn a_file_says_how_many_keys_come() {
    let body = b"\xfe\x00\xfb\x41\x02\x03\x00\x01k\x01v\xfa\x01a\x01b\x00\x01l\x01v";
    let file = file(b"REDIS0011", body);
    let mut reader = Reader::new(&file[..], Limits::default()).expect("the head is right");
    let mut keys = Keys::default();
    let item = reader.next_keys(&mut keys, 100).expect("it reads");
    assert_eq!(
        (item, keys.len(), reader.take_sizes(u64::MAX)),
        (Some(Item::Database(0)), 0, None)
    );
    let item = reader.next_keys(&mut keys, 100).expect("it reads");
    assert!(matches!(item, Some(Item::Aux { .. })), "{item:?}");
    assert_eq!((keys.len(), keys.bytes()), (1, 5));
    assert_eq!(
        (reader.take_sizes(u64::MAX), reader.take_sizes(u64::MAX)),
        (Some(258), None)
    );
    assert_eq!(reader.offset(), 9 + body.len() as u64 - 5);
    // What it says is bounded by what its bytes can hold.
    let mut reader = Reader::new(&file[..], Limits::default()).expect("the head is right");
    for _ in 0..2 {
        reader.next_keys(&mut keys, 100).expect("it reads");
    }
    let total = reader.offset() + 64;
    assert_eq!(reader.take_sizes(total), Some(4));
}

#[test]
fn items_that_are_skipped_are_not_kept_with_keys() {
    // The data of a module that belongs to no key, between two keys: the module's number, an opcode, a string, the end.
    let module = [&b"\xf7\x01\x02\x00\x05\x40\xff"[..], &[b'm'; 255], &[0]].concat();
    let body = [&b"\x00\x01k\x01v"[..], &module, b"\x00\x01l\x01v"].concat();
    let file = file(b"REDIS0011", &body);
    let mut reader = Reader::new(&file[..], Limits::default()).expect("the head is right");
    let mut keys = Keys::default();
    let item = reader.next_keys(&mut keys, 1000).expect("it reads");
    assert_eq!((item, keys.len(), keys.bytes()), (Some(Item::End), 2, 10));
    assert_eq!(reader.module_items(), 1);
}

//! Any RDB file is read or refused, in little memory, and what was read is the same after it is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pmemkv_rdb::{Item, KeyRef, Limits, Options, Reader, Version, Writer};

const LIMITS: Limits = Limits {
    item_bytes_max: 1 << 16,
    elements_max: 1 << 12,
};

/// The items of a file up to its end, or up to what is wrong in it.
fn items(file: &[u8]) -> (Vec<Item>, bool) {
    let mut items = Vec::new();
    let Ok(reader) = Reader::new(file, LIMITS) else {
        return (items, false);
    };
    // A right checksum is not found by chance.
    let mut reader = reader.checking_sum(false);
    loop {
        match reader.next() {
            Ok(Item::End) => return (items, true),
            Ok(item) => items.push(item),
            Err(_) => return (items, false),
        }
    }
}

fuzz_target!(|file: &[u8]| {
    let (read, is_whole) = items(file);
    if !is_whole {
        return;
    }
    let options = Options {
        version: Version::Redis72,
        compresses: true,
        sums: true,
    };
    let mut writer = Writer::new(Vec::new(), options);
    for item in &read {
        let wrote = match item {
            Item::Database(number) => writer.database(*number as usize),
            Item::Function(text) => writer.function(text),
            Item::Key(key) => writer.key(&KeyRef {
                key: &key.key,
                value: &key.value,
                expires_at: key.expires_at,
                idle_s: key.idle_s,
                frequency: key.frequency,
            }),
            // The writer writes texts only.
            Item::Aux { .. } | Item::End => Ok(()),
        };
        wrote.expect("memory takes all");
    }
    let written = writer.finish().expect("memory takes all");
    let mut reader = Reader::new(&written[..], Limits::default()).expect("its head is right");
    for item in read {
        if !matches!(item, Item::Aux { .. }) {
            assert_eq!(reader.next().expect("it is whole"), item);
        }
    }
    assert_eq!(reader.next().expect("it is whole"), Item::End);
});

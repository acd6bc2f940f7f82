//! Keys of every type and encoding, and all that a server holds, in a form that compares.

use std::collections::BTreeMap;

use common::{RawClient, TestResult, Value};
use pmemkv_server::serialised::{Object, StreamId, decode_value};

/// What a server holds: for each database and key its value and its deadline.
pub type Contents = BTreeMap<(usize, Vec<u8>), (Object, i64)>;

/// A library of functions.
pub const LIBRARY: &str =
    "#!lua name=mine\nredis.register_function('answer', function() return 42 end)";

/// Fills a server with keys of every type, small and large, in three databases, and with a library.
pub fn fill(client: &mut RawClient) -> TestResult {
    let long = "abcdefghij".repeat(500);
    let lines = [
        "SELECT 0",
        "SET int 12345",
        "SET negative -1",
        "SET int32 2000000000",
        "SET int64 9000000000000000000",
        "SET text hello",
        "SET until later PXAT 4000000000123",
        "SET empty \"\"",
        "RPUSH list a b c 1 -70000 9000000000000000000",
        "HSET hash f v g 1 h -5",
        "HSET expiring f v",
        "PEXPIREAT expiring 4000000000456",
        "SADD ints 1 -2 70000",
        "SADD bigints 1 9000000000000000000",
        "SADD mixed a b 3",
        "ZADD scores 1.5 a -inf b inf c 3 d 0.1 e",
        "XADD stream 1-1 f v",
        "XADD stream 1-2 f w",
        "XADD stream 5-0 other 1 more 2",
        "XDEL stream 1-2",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group alice COUNT 1 STREAMS stream >",
        "XREADGROUP GROUP group bob COUNT 1 STREAMS stream >",
        "XGROUP CREATE stream lazy $",
        "XGROUP CREATE nothing group $ MKSTREAM",
        "XSETID stream 9-9 ENTRIESADDED 20 MAXDELETEDID 1-2",
        "PFADD sketch a b c d",
        "SETBIT bits 100 1",
        "SELECT 9",
        "SET other database",
        "SELECT 15",
        "SET last database",
    ];
    for line in lines {
        let reply = client.line(line)?;
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
    client.line("SELECT 3")?;
    let mut call = |words: &[&str]| -> TestResult {
        let reply = client.call(words)?;
        assert!(!reply.is_error(), "{words:?}: {reply:?}");
        Ok(())
    };
    call(&["SET", "long", &long])?;
    call(&["SET", "bytes\r\n\0", "\0\r\n\u{ff}"])?;
    call(&["RPUSH", "one", &long])?;
    for n in 0..600 {
        let number = n.to_string();
        let name = format!("element-{n}-{}", "x".repeat(n % 90));
        call(&["RPUSH", "longlist", &name, &number])?;
        call(&["HSET", "longhash", &name, &number])?;
        call(&["SADD", "longset", &name])?;
        call(&["SADD", "longints", &number])?;
        call(&["ZADD", "longscores", &format!("{}.25", n * 7), &name])?;
        call(&[
            "XADD",
            "longstream",
            &format!("{n}-1"),
            "n",
            &number,
            "name",
            &name,
        ])?;
    }
    call(&["RPUSH", "longlist", &long])?;
    call(&["FUNCTION", "LOAD", "REPLACE", LIBRARY])
}

/// Everything that a server holds.
pub fn contents(client: &mut RawClient) -> TestResult<Contents> {
    let mut all = Contents::new();
    for db in 0..16 {
        client.line(&format!("SELECT {db}"))?;
        let keys = client.line("KEYS *")?;
        for key in keys.items().ok_or("no keys")? {
            let key = key.bytes().ok_or("no key")?;
            let dump = client.call(&[b"DUMP", key])?;
            let dump = dump.bytes().ok_or("no dump")?;
            // The version behind the value is that of the server.
            let (&form, rest) = dump.split_first().ok_or("an empty dump")?;
            let value = decode_value(form, &rest[..rest.len() - 10])?;
            let until = client.call(&[b"PEXPIRETIME", key])?;
            let until = until.integer().ok_or("no deadline")?;
            all.insert((db, key.to_vec()), (ordered(value), until));
        }
    }
    Ok(all)
}

/// A value without what does not matter: the order of members, entries that were deleted, and what Redis 7.0 does not know.
fn ordered(mut value: Object) -> Object {
    match &mut value {
        Object::String(_) | Object::List(_) => {}
        Object::Set(members) => members.sort(),
        Object::Hash(fields) => fields.sort(),
        Object::ExpiringHash(fields) => fields.sort_by(|a, b| a.name.cmp(&b.name)),
        Object::SortedSet(members) => members.sort_by(|a, b| a.0.cmp(&b.0)),
        Object::Stream(stream) => {
            stream.entries.retain(|entry| !entry.deleted);
            if stream.entries.is_empty() {
                stream.first_id = StreamId::default();
            }
            stream.groups.sort_by(|a, b| a.name.cmp(&b.name));
            for group in &mut stream.groups {
                for consumer in &mut group.consumers {
                    consumer.active_ms = 0;
                }
            }
        }
    }
    value
}

/// The same without the times at which consumers were last seen: an append-only file does not tell them.
pub fn unseen(mut contents: Contents) -> Contents {
    for (value, _) in contents.values_mut() {
        if let Object::Stream(stream) = value {
            let groups = stream.groups.iter_mut();
            for consumer in groups.flat_map(|group| &mut group.consumers) {
                consumer.seen_ms = 0;
            }
        }
    }
    contents
}

/// Asserts that two servers hold the same.
pub fn assert_same(left: &Contents, right: &Contents) {
    assert!(!left.is_empty());
    for (key, value) in left {
        assert_eq!(Some(value), right.get(key), "{key:?}");
    }
    assert_eq!(left.len(), right.len());
}

/// Asserts that the library of [`fill`] is there.
pub fn assert_library(client: &mut RawClient) -> TestResult {
    assert_eq!(client.line("FCALL answer 0")?, Value::Integer(42));
    Ok(())
}

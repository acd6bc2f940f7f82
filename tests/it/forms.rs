//! OBJECT ENCODING of collections, across the thresholds of Redis's directives. The answers are those of Valkey 8.0, which
//! has the rules of Redis 7.2; redis-server 7.0 knows no lists and no sets in listpacks.

use common::{RawClient, Server, TestResult, show};

/// The directives, with their defaults.
const DEFAULTS: &[&str] = &[
    "hash-max-listpack-entries 512",
    "hash-max-listpack-value 64",
    "set-max-intset-entries 512",
    "set-max-listpack-entries 128",
    "set-max-listpack-value 64",
    "zset-max-listpack-entries 128",
    "zset-max-listpack-value 64",
    "list-max-listpack-size -2",
];

/// Calls and the encoding of the key `@` afterwards. `{w0..3}` stands for the words w0 w1 w2, `{64x}` for so many x.
const CASES: &[(&str, &str)] = &[
    ("HSET @ {0..1024}", "listpack"),
    ("HSET @ {0..1026}", "hashtable"),
    ("HSET @ f {64x}", "listpack"),
    ("HSET @ f {65x}", "hashtable"),
    ("HSET @ {65x} v", "hashtable"),
    ("HSET @ f {65x};HSET @ f v", "hashtable"),
    ("HSET @ {0..1026};HDEL @ {0..1000}", "hashtable"),
    ("HSET @ {0..200};HSET @ a 1", "listpack"),
    ("HSETNX @ f {65x}", "hashtable"),
    ("HINCRBY @ n 5", "listpack"),
    (
        "CONFIG SET hash-max-ziplist-entries 2;HSET @ a 1 b 2;HSET @ c 3",
        "hashtable",
    ),
    (
        "CONFIG SET hash-max-listpack-entries 2;HSET @ a 1 b 2",
        "listpack",
    ),
    (
        "CONFIG SET hash-max-ziplist-value 3;HSET @ a abcd",
        "hashtable",
    ),
    (
        "CONFIG SET hash-max-listpack-value 100;HSET @ a {90x}",
        "listpack",
    ),
    (
        "HSET @ a 1 b 2 c 3;CONFIG SET hash-max-listpack-entries 2;HGET @ a",
        "listpack",
    ),
    (
        "HSET @ a 1 b 2 c 3;CONFIG SET hash-max-listpack-entries 2;HSET @ a 2",
        "hashtable",
    ),
    ("SADD @ {0..512}", "intset"),
    ("SADD @ {0..513}", "hashtable"),
    ("SADD @ 1 2 x", "listpack"),
    ("SADD @ x;SREM @ x;SADD @ 1", "intset"),
    ("SADD @ x 1;SREM @ x", "listpack"),
    ("SADD @ {0..127};SADD @ x", "listpack"),
    ("SADD @ {0..128};SADD @ x", "hashtable"),
    ("SADD @ {w0..128}", "listpack"),
    ("SADD @ {w0..129}", "hashtable"),
    ("SADD @ {64x}", "listpack"),
    ("SADD @ {65x}", "hashtable"),
    ("SADD @ 1 {65x}", "hashtable"),
    ("SADD @ {0..513};SREM @ {1..513}", "hashtable"),
    ("CONFIG SET set-max-intset-entries 3;SADD @ 1 2 3", "intset"),
    (
        "CONFIG SET set-max-intset-entries 3;SADD @ 1 2 3;SADD @ 4",
        "hashtable",
    ),
    (
        "CONFIG SET set-max-intset-entries 3;SADD @ 1 2 3 4",
        "listpack",
    ),
    ("CONFIG SET set-max-intset-entries 0;SADD @ 1", "listpack"),
    (
        "CONFIG SET set-max-listpack-entries 2;SADD @ a b;SADD @ c",
        "hashtable",
    ),
    (
        "CONFIG SET set-max-listpack-value 3;SADD @ abcd",
        "hashtable",
    ),
    ("ZADD @ {0..256}", "listpack"),
    ("ZADD @ {0..258}", "skiplist"),
    ("ZADD @ 1 {64x}", "listpack"),
    ("ZADD @ 1 {65x}", "skiplist"),
    ("ZADD @ {0..258};ZREMRANGEBYRANK @ 1 -1", "skiplist"),
    (
        "CONFIG SET zset-max-ziplist-entries 2;ZADD @ 1 a 2 b",
        "listpack",
    ),
    (
        "CONFIG SET zset-max-ziplist-entries 2;ZADD @ 1 a 2 b 3 c",
        "skiplist",
    ),
    (
        "CONFIG SET zset-max-listpack-value 3;ZADD @ 1 abcd",
        "skiplist",
    ),
    (
        "ZADD @ 1 a;CONFIG SET zset-max-listpack-entries 0;ZADD @ 2 a",
        "skiplist",
    ),
    (
        "ZADD @ 1 a;CONFIG SET zset-max-listpack-entries 0;ZADD @ 2 b",
        "skiplist",
    ),
    ("GEOADD @ 13.4 52.5 berlin", "listpack"),
    ("RPUSH @ {w0..100}", "listpack"),
    ("RPUSH @ {8000x}", "listpack"),
    ("RPUSH @ {8200x}", "quicklist"),
    ("RPUSH @ {4000x} {4000x};RPUSH @ {200x}", "quicklist"),
    ("RPUSH @ {4000x} {4200x};LPOP @", "quicklist"),
    ("RPUSH @ {3000x} {3000x} {3000x};RPOP @;LPOP @", "listpack"),
    ("RPUSH @ {5000x} {4000x};RPOP @", "quicklist"),
    (
        "CONFIG SET list-max-ziplist-size 4;RPUSH @ 1 2 3 4",
        "listpack",
    ),
    (
        "CONFIG SET list-max-listpack-size 4;RPUSH @ 1 2 3 4 5",
        "quicklist",
    ),
    (
        "CONFIG SET list-max-listpack-size -1;RPUSH @ {4000x};RPUSH @ {90x}",
        "quicklist",
    ),
    (
        "CONFIG SET list-max-listpack-size -5;RPUSH @ {60000x}",
        "listpack",
    ),
    (
        "CONFIG SET list-max-listpack-size 4;RPUSH @ 1 2 3 4;LSET @ 0 x",
        "quicklist",
    ),
    ("RPUSH @ a b c;LINSERT @ BEFORE b {8200x}", "quicklist"),
    ("RPUSH @ a b c;LSET @ 1 {8200x}", "quicklist"),
    (
        "HSET @ {0..1026};HDEL @ {0..1000};COPY @ @c;RENAME @c @",
        "hashtable",
    ),
    ("SADD @ x 1;SREM @ x;COPY @ @c;RENAME @c @", "listpack"),
    (
        "SADD @a {0..200};SADD @b x;SUNIONSTORE @ @a @b",
        "hashtable",
    ),
    (
        "SADD @a {0..10};SADD @b {5..20};SINTERSTORE @ @a @b",
        "intset",
    ),
    (
        "SADD @a {0..10} x;SADD @b {5..20};SDIFFSTORE @ @a @b",
        "listpack",
    ),
    ("ZADD @a 1 {65x};ZUNIONSTORE @ 1 @a", "skiplist"),
    ("ZADD @a {0..20};ZRANGESTORE @ @a 0 -1", "listpack"),
    ("RPUSH @a c b a;SORT @a ALPHA STORE @", "listpack"),
];

/// The words that a word of a case stands for.
fn expand(word: &str, key: &str) -> Vec<String> {
    let inner = word
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    if let Some((start, end)) = inner.and_then(|inner| inner.split_once("..")) {
        let digits = start.trim_start_matches(char::is_alphabetic);
        let letters = &start[..start.len() - digits.len()];
        let number = |text: &str| text.parse::<u32>().unwrap_or_default();
        let numbers = number(digits)..number(end);
        return numbers.map(|n| format!("{letters}{n}")).collect();
    }
    if let Some(count) = inner.and_then(|inner| inner.strip_suffix('x')) {
        return vec!["x".repeat(count.parse().unwrap_or_default())];
    }
    vec![word.replace('@', key)]
}

fn call(client: &mut RawClient, line: &str, key: &str) -> TestResult<String> {
    let words: Vec<String> = line.split(' ').flat_map(|word| expand(word, key)).collect();
    let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    Ok(show(&client.call(&words)?))
}

/// On one store, with collections in one record each or in records of elements.
fn on(store: &str, compact_bytes_max: u32) -> TestResult {
    let mut server = Server::start(store)?;
    let mut client = server.raw()?;
    let limit = format!("CONFIG SET compact-bytes-max {compact_bytes_max}");
    assert_eq!(call(&mut client, &limit, "")?, "+OK");
    for (n, (calls, expected)) in CASES.iter().enumerate() {
        for default in DEFAULTS {
            assert_eq!(
                call(&mut client, &format!("CONFIG SET {default}"), "")?,
                "+OK"
            );
        }
        let key = format!("key{n}");
        for line in calls.split(';') {
            let reply = call(&mut client, line, &key)?;
            assert!(!reply.starts_with('-'), "{line}: {reply}");
        }
        let found = call(&mut client, "OBJECT ENCODING @", &key)?;
        assert_eq!(&found, expected, "{store} {compact_bytes_max}: {calls}");
    }
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    for (n, (calls, expected)) in CASES.iter().enumerate() {
        let key = format!("key{n}");
        let found = call(&mut client, "OBJECT ENCODING @", &key)?;
        assert_eq!(
            &found, expected,
            "{store} {compact_bytes_max}, after a restart: {calls}"
        );
        // The form moves with the value, and a copy has it too.
        call(&mut client, "RENAME @ @:new", &key)?;
        call(&mut client, "COPY @:new @", &key)?;
        for name in ["@", "@:new"] {
            let found = call(&mut client, &format!("OBJECT ENCODING {name}"), &key)?;
            assert_eq!(
                &found, expected,
                "{store} {compact_bytes_max}, {name}: {calls}"
            );
        }
    }
    Ok(())
}

#[test]
fn encodings_on_packed() -> TestResult {
    on("cmap", 1024)?;
    on("cmap", 0)
}

#[test]
fn encodings_on_pairs() -> TestResult {
    on("cmap/pairs", 1024)?;
    on("cmap/pairs", 100)
}

/// A small collection is one record, whose fields keep their order.
#[test]
fn order_and_deadline_survive() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let mut server = Server::start(store)?;
        let mut client = server.raw()?;
        for line in [
            "HSET h z 1 y 2 x 3 w 4",
            "HSET h y 5",
            "HDEL h x",
            "EXPIREAT h 4000000000",
            "HSET h v 6",
            "SADD s 30 4 x 200",
            "RPUSH l b a",
            "LPUSH l c",
            "ZADD z 1.5 b -1 c 70000 a 1e300 d -0 e",
        ] {
            call(&mut client, line, "")?;
        }
        server.kill_9()?;
        server.resume()?;
        let mut client = server.raw()?;
        for (line, expected) in [
            ("HGETALL h", "[z 1 y 5 w 4 v 6]"),
            ("SMEMBERS s", "[4 30 x 200]"),
            ("LRANGE l 0 -1", "[c b a]"),
            (
                "ZRANGE z 0 -1 WITHSCORES",
                "[c -1 e 0 b 1.5 a 70000 d 1e+300]",
            ),
            ("EXPIRETIME h", ":4000000000"),
            ("TYPE h", "+hash"),
            ("TYPE s", "+set"),
            ("TYPE l", "+list"),
            ("TYPE z", "+zset"),
            ("SCAN 0 TYPE zset", "[0 [z]]"),
        ] {
            assert_eq!(call(&mut client, line, "")?, expected, "{store}: {line}");
        }
        // A list of one record. With records of elements it would take four.
        let usage = call(&mut client, "MEMORY USAGE l", "")?;
        let bytes: u32 = usage.trim_start_matches(':').parse()?;
        assert!(bytes < 500, "{store}: {bytes}");
    }
    Ok(())
}

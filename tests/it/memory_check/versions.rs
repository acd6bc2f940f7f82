//! A transaction that changes one key many times takes memory only for the key's last version.

use common::{Options, RawClient, Server, TestResult, Value, encode};

/// All versions together are larger than the pool.
const VERSIONS: usize = 160;
const VERSION_BYTES: usize = 150_000;

type Call = Vec<Vec<u8>>;

fn call(words: &[&[u8]]) -> Call {
    words.iter().map(|word| word.to_vec()).collect()
}

fn value(n: usize) -> Vec<u8> {
    let stamp = format!("{n} ");
    stamp.bytes().cycle().take(VERSION_BYTES + n % 13).collect()
}

/// Runs calls as one transaction; the server must refuse none.
fn exec(client: &mut RawClient, name: &str, calls: &[Call]) -> TestResult {
    let mut bytes = Vec::new();
    encode(&mut bytes, &[b"MULTI".as_slice()]);
    for call in calls {
        encode(&mut bytes, call);
    }
    encode(&mut bytes, &[b"EXEC".as_slice()]);
    client.send_bytes(&bytes)?;
    for _ in 0..=calls.len() {
        client.read()?;
    }
    let replies = client.read()?;
    let replies = replies.items().ok_or("EXEC answers no array")?;
    assert_eq!(replies.len(), calls.len(), "{name}");
    for (n, reply) in replies.iter().enumerate() {
        assert!(!reply.is_error(), "{name}: call {n} answers {reply:?}");
    }
    Ok(())
}

/// A name, calls before, the transaction's calls in each round, and the reply of a call at the end.
struct Case {
    name: &'static str,
    before: Vec<Call>,
    round: fn(usize) -> Vec<Call>,
    check: (Call, Value),
}

fn number(n: usize) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(0))
}

fn cases() -> Vec<Case> {
    strings().into_iter().chain(collections()).collect()
}

fn strings() -> Vec<Case> {
    let last = || value(VERSIONS - 1);
    let set = |key: &[u8]| call(&[b"SET", key, &value(0)]);
    vec![
        Case {
            name: "SET",
            before: vec![],
            round: |n| vec![call(&[b"SET", b"k", &value(n)])],
            check: (call(&[b"GET", b"k"]), Value::Bulk(last())),
        },
        Case {
            name: "SET with a deadline",
            before: vec![],
            round: |n| {
                vec![
                    call(&[b"SET", b"k", &value(n), b"EX", b"1000"]),
                    call(&[b"EXPIRE", b"k", b"2000"]),
                ]
            },
            check: (call(&[b"GET", b"k"]), Value::Bulk(last())),
        },
        Case {
            name: "SET and DEL in turns",
            before: vec![],
            round: |n| vec![call(&[b"SET", b"k", &value(n)]), call(&[b"DEL", b"k"])],
            check: (call(&[b"DBSIZE"]), number(0)),
        },
        Case {
            name: "SETBIT",
            before: vec![set(b"k")],
            round: |n| vec![call(&[b"SETBIT", b"k", n.to_string().as_bytes(), b"1"])],
            check: (call(&[b"BITCOUNT", b"k", b"0", b"19"]), number(20 * 8)),
        },
        Case {
            name: "SETRANGE and BITFIELD",
            before: vec![set(b"k")],
            round: |n| {
                vec![
                    call(&[b"SETRANGE", b"k", n.to_string().as_bytes(), b"zz"]),
                    call(&[b"BITFIELD", b"k", b"SET", b"u8", b"9000", b"7"]),
                ]
            },
            check: (call(&[b"STRLEN", b"k"]), number(value(0).len())),
        },
        Case {
            name: "APPEND",
            before: vec![],
            round: |_| {
                (0..8)
                    .map(|_| call(&[b"APPEND", b"k", &[b'a'; 100]]))
                    .collect()
            },
            check: (call(&[b"STRLEN", b"k"]), number(VERSIONS * 800)),
        },
        Case {
            name: "BITOP",
            before: vec![set(b"a"), set(b"b")],
            round: |_| vec![call(&[b"BITOP", b"XOR", b"k", b"a", b"b"])],
            check: (call(&[b"BITCOUNT", b"k"]), number(0)),
        },
        Case {
            name: "COPY with REPLACE",
            before: vec![set(b"a")],
            round: |_| vec![call(&[b"COPY", b"a", b"k", b"REPLACE"])],
            check: (call(&[b"GET", b"k"]), Value::Bulk(value(0))),
        },
        Case {
            name: "RENAME",
            before: vec![set(b"a")],
            round: |_| {
                vec![
                    call(&[b"RENAME", b"a", b"k"]),
                    call(&[b"RENAME", b"k", b"a"]),
                ]
            },
            check: (call(&[b"GET", b"a"]), Value::Bulk(value(0))),
        },
    ]
}

fn collections() -> Vec<Case> {
    let last = || value(VERSIONS - 1);
    vec![
        Case {
            name: "HSET of one field",
            before: vec![call(&[b"HSET", b"k", b"other", b"1"])],
            round: |n| vec![call(&[b"HSET", b"k", b"f", &value(n)])],
            check: (call(&[b"HGET", b"k", b"f"]), Value::Bulk(last())),
        },
        Case {
            name: "HSET and DEL in turns",
            before: vec![],
            round: |n| {
                vec![
                    call(&[b"HSET", b"k", b"f", &value(n), b"g", b"1"]),
                    call(&[b"DEL", b"k"]),
                ]
            },
            check: (call(&[b"DBSIZE"]), number(0)),
        },
        Case {
            name: "HSET and DEL in turns after a hash that was there",
            before: vec![call(&[b"HSET", b"k", b"there", &value(1)])],
            round: |n| {
                vec![
                    call(&[b"HSET", b"k", b"f", &value(n)]),
                    call(&[b"HDEL", b"k", b"f"]),
                    call(&[b"DEL", b"k"]),
                ]
            },
            check: (call(&[b"DBSIZE"]), number(0)),
        },
        Case {
            name: "LSET",
            before: vec![call(&[b"RPUSH", b"k", b"a", b"b"])],
            round: |n| vec![call(&[b"LSET", b"k", b"1", &value(n)])],
            check: (call(&[b"LINDEX", b"k", b"1"]), Value::Bulk(last())),
        },
        Case {
            name: "LMOVE",
            before: vec![call(&[b"RPUSH", b"k", &value(5), b"b"])],
            round: |_| {
                vec![
                    call(&[b"LMOVE", b"k", b"l", b"LEFT", b"RIGHT"]),
                    call(&[b"LMOVE", b"l", b"k", b"LEFT", b"LEFT"]),
                ]
            },
            check: (call(&[b"LINDEX", b"k", b"0"]), Value::Bulk(value(5))),
        },
        Case {
            name: "COPY of a list",
            before: vec![call(&[b"RPUSH", b"a", &value(5), b"b"])],
            round: |_| vec![call(&[b"COPY", b"a", b"k", b"REPLACE"])],
            check: (call(&[b"LINDEX", b"k", b"0"]), Value::Bulk(value(5))),
        },
    ]
}

fn keeps_the_last_version(store: &str, cases: &[Case]) -> TestResult {
    let mut server = Server::start_with(Options::new(store).pool_size("32mb"))?;
    for case in cases {
        let name = case.name;
        let client = &mut server.raw()?;
        client.line("FLUSHALL")?;
        for call in &case.before {
            assert!(!client.call(call)?.is_error(), "{name}");
        }
        let calls: Vec<Call> = (0..VERSIONS).flat_map(case.round).collect();
        exec(client, name, &calls)?;
        assert!(client.call(&case.check.0)? == case.check.1, "{name}");
        server.kill_9()?;
        server.resume()?;
        let client = &mut server.raw()?;
        let found = client.call(&case.check.0)?;
        assert!(found == case.check.1, "{name}: after a restart");
    }
    Ok(())
}

#[test]
fn packed() -> TestResult {
    let flushes = Case {
        name: "SET and FLUSHDB in turns",
        before: vec![call(&[b"SET", b"there", b"v"])],
        round: |n| {
            vec![
                call(&[b"SET", b"k", &value(n)]),
                call(&[b"RPUSH", b"l", &value(n), &value(n)]),
                call(&[b"FLUSHDB"]),
            ]
        },
        check: (call(&[b"DBSIZE"]), number(0)),
    };
    let mut cases = cases();
    cases.push(flushes);
    keeps_the_last_version("cmap", &cases)
}

#[test]
fn pairs() -> TestResult {
    let mut cases = cases();
    // libpmemobj itself finds no space for a value that grows by a little each time, also without a transaction.
    cases.retain(|case| case.name != "APPEND");
    keeps_the_last_version("cmap/pairs", &cases)
}

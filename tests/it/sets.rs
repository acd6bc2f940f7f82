//! The set commands over TCP, on every engine.

use common::{RawClient, Server, TestResult, on_every_engine, show};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

/// Calls and their replies, in order, on an empty database.
const SCRIPT: &[(&str, &str)] = &[
    // Integers are in ascending order until another member comes
    ("SADD i 3 1 2 3", ":3"),
    ("SMEMBERS i", "[1 2 3]"),
    ("OBJECT ENCODING i", "intset"),
    ("SADD i -5", ":1"),
    ("SSCAN i 0 COUNT 1", "[0 [-5 1 2 3]]"),
    ("SADD i b 0 a", ":3"),
    ("OBJECT ENCODING i", "listpack"),
    ("SMEMBERS i", "[-5 1 2 3 b 0 a]"),
    ("SREM i b 9 1", ":2"),
    ("SADD i b", ":1"),
    ("SMEMBERS i", "[-5 2 3 0 a b]"),
    // Members
    ("SADD s a b c", ":3"),
    ("SADD s a d", ":1"),
    ("SCARD s", ":4"),
    ("SCARD none", ":0"),
    ("SISMEMBER s a", ":1"),
    ("SISMEMBER s x", ":0"),
    ("SMISMEMBER s a x d", "[:1 :0 :1]"),
    ("SMISMEMBER none a", "[:0]"),
    ("SMEMBERS none", "[]"),
    ("TYPE s", "+set"),
    ("SMOVE s t a", ":1"),
    ("SMOVE s t a", ":0"),
    ("SMEMBERS t", "[a]"),
    ("SMEMBERS s", "[b c d]"),
    ("SREM t a", ":1"),
    ("EXISTS t", ":0"),
    // Together
    ("SADD x 1 2 3 4", ":4"),
    ("SADD y 3 4 5", ":3"),
    ("SINTER x y", "[3 4]"),
    ("SUNION y x", "[1 2 3 4 5]"),
    ("SDIFF x y", "[1 2]"),
    ("SINTER x none", "[]"),
    ("SINTERCARD 2 x y", ":2"),
    ("SINTERCARD 2 x y LIMIT 1", ":1"),
    ("SINTERCARD 0 x", "-ERR numkeys should be greater than 0"),
    (
        "SINTERCARD 3 x y",
        "-ERR Number of keys can't be greater than number of args",
    ),
    ("SINTERCARD 1 x LIMIT -1", "-ERR LIMIT can't be negative"),
    ("SUNIONSTORE u x y", ":5"),
    ("SINTERSTORE u x y", ":2"),
    ("SMEMBERS u", "[3 4]"),
    ("SDIFFSTORE u x x", ":0"),
    ("EXISTS u", ":0"),
    // Drawing
    ("SRANDMEMBER none", "nil"),
    ("SRANDMEMBER none 2", "[]"),
    ("SADD one only", ":1"),
    ("SRANDMEMBER one -2", "[only only]"),
    ("SRANDMEMBER one 9", "[only]"),
    ("SPOP one 0", "[]"),
    (
        "SPOP one -1",
        "-ERR value is out of range, must be positive",
    ),
    ("SPOP one", "only"),
    ("SPOP one", "nil"),
    ("EXISTS one", ":0"),
    // Wrong calls
    (
        "SADD s",
        "-ERR wrong number of arguments for 'sadd' command",
    ),
    ("SET string 1", "+OK"),
    ("SADD string a", WRONG_TYPE),
    ("SMOVE s string b", WRONG_TYPE),
    ("SUNION s string", WRONG_TYPE),
    ("SUNIONSTORE string s", ":3"),
    ("TYPE string", "+set"),
];

fn call(client: &mut RawClient, line: &str) -> TestResult<String> {
    Ok(show(&client.line(line)?))
}

fn replies(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for (line, expected) in SCRIPT {
        assert_eq!(call(&mut client, line)?, *expected, "{line}");
    }
    Ok(())
}

/// SPOP with counts takes each member once, from sets of every encoding.
fn everything_is_popped_once(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for (size, word) in [(10, ""), (100, "m"), (700, ""), (2_000, "member")] {
        for n in 0..size {
            client.line(&format!("SADD pool {word}{n}"))?;
        }
        let mut popped = std::collections::HashSet::new();
        for count in [1, 3, size / 2, size] {
            let reply = client.line(&format!("SPOP pool {count}"))?;
            for member in reply.items().ok_or("members")? {
                assert!(popped.insert(member.text().ok_or("a member")?));
            }
        }
        assert_eq!(popped.len(), size);
        assert_eq!(call(&mut client, "EXISTS pool")?, ":0");
    }
    Ok(())
}

fn survives_kill_9(store: &str) -> TestResult {
    let mut server = Server::start(store)?;
    let mut client = server.raw()?;
    for line in [
        "SADD words z y x",
        "SREM words y",
        "SADD words w",
        "SADD numbers 9 -1 5",
        "SADD from a b",
        "SMOVE from to a",
        "SADD gone a",
        "SPOP gone",
    ] {
        client.line(line)?;
    }
    for n in 0..600 {
        client.line(&format!("SADD many {n}"))?;
        client.line(&format!("SADD names name{n}"))?;
    }
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    for (line, expected) in [
        ("SCARD words", ":3"),
        ("SMEMBERS numbers", "[-1 5 9]"),
        ("SMEMBERS from", "[b]"),
        ("SMEMBERS to", "[a]"),
        ("EXISTS gone", ":0"),
        ("SCARD many", ":600"),
        ("SISMEMBER many 599", ":1"),
        ("OBJECT ENCODING words", "listpack"),
        ("OBJECT ENCODING numbers", "intset"),
        ("OBJECT ENCODING many", "hashtable"),
        ("OBJECT ENCODING names", "hashtable"),
    ] {
        assert_eq!(call(&mut client, line)?, expected, "{line}");
    }
    for key in ["many", "names"] {
        let members = client.line(&format!("SMEMBERS {key}"))?;
        assert_eq!(members.items().map(<[_]>::len), Some(600), "{key}");
    }
    Ok(())
}

/// Sets of integers, of which each pair of calls makes and changes one, and their members in ascending order.
const INTEGERS: &[(&str, &str, &str)] = &[
    ("SADD i 300 -5 7 9999", "SADD i 7 8", "[-5 7 8 300 9999]"),
    ("SADD i 1 32767", "SADD i 32768", "[1 32767 32768]"),
    (
        "SADD i 1 -32768",
        "SADD i -32769 -1",
        "[-32769 -32768 -1 1]",
    ),
    (
        "SADD i 2147483647",
        "SADD i 2147483648",
        "[2147483647 2147483648]",
    ),
    (
        "SADD i -9223372036854775808 0",
        "SADD i 9223372036854775807",
        "[-9223372036854775808 0 9223372036854775807]",
    ),
    ("SADD i 1 70000 2", "SREM i 70000 x 01", "[1 2]"),
    (
        "SADD i 1 -9223372036854775808 2",
        "SREM i -9223372036854775808",
        "[1 2]",
    ),
    ("SADD i 5 4", "SREM i 4", "[5]"),
    ("SADD j 5 4;SADD i 1", "SMOVE j i 5", "[1 5]"),
    ("SADD j 5 4;SADD i 1 4 70000", "SINTERSTORE i i j", "[4]"),
    ("SADD j 3 2 70000", "SORT j STORE l", "[]"),
    ("SADD j 3 2 70000", "COPY j i", "[2 3 70000]"),
    ("SADD j 3 2 70000", "RENAME j i", "[2 3 70000]"),
];

/// Integers stay integers, of the width that they need, across changes, a copy in Redis's own form and a kill.
fn integers_stay_intsets(store: &str) -> TestResult {
    let mut server = Server::start(store)?;
    let mut client = server.raw()?;
    for (n, (makes, changes, expected)) in INTEGERS.iter().enumerate() {
        let named = |calls: &str| {
            let word = |word: &str| match word {
                "i" | "j" | "l" => format!("{word}{n}"),
                other => other.to_owned(),
            };
            calls.split(' ').map(word).collect::<Vec<_>>().join(" ")
        };
        for line in makes.split(';').chain([*changes]) {
            let reply = call(&mut client, &named(line))?;
            assert!(!reply.starts_with('-'), "{line}: {reply}");
        }
        let found = call(&mut client, &named("SMEMBERS i"))?;
        assert_eq!(&found, expected, "{store}: {makes}; {changes}");
        let dump = client.call(&[b"DUMP".to_vec(), named("i").into_bytes()])?;
        if let Some(dump) = dump.bytes() {
            let copy = format!("i{n}:copy").into_bytes();
            let words = [b"RESTORE".to_vec(), copy, b"0".to_vec(), dump.to_vec()];
            assert_eq!(show(&client.call(&words)?), "+OK");
        }
    }
    for again in [false, true] {
        if again {
            server.kill_9()?;
            server.resume()?;
            client = server.raw()?;
        }
        for (n, (makes, changes, expected)) in INTEGERS.iter().enumerate() {
            for key in [format!("i{n}"), format!("i{n}:copy")] {
                let found = call(&mut client, &format!("SMEMBERS {key}"))?;
                assert_eq!(&found, expected, "{store} {key}: {makes}; {changes}");
                let encoding = call(&mut client, &format!("OBJECT ENCODING {key}"))?;
                let intset = if *expected == "[]" { "nil" } else { "intset" };
                assert_eq!(encoding, intset, "{store} {key}: {makes}; {changes}");
            }
        }
    }
    // Members that only look like integers.
    for member in ["01", "+1", "-0", "1.0", "9223372036854775808"] {
        assert_eq!(call(&mut client, &format!("SISMEMBER i0 {member}"))?, ":0");
        assert_eq!(call(&mut client, &format!("SADD i5 {member}"))?, ":1");
        assert_eq!(call(&mut client, "OBJECT ENCODING i5")?, "listpack");
        assert_eq!(call(&mut client, &format!("SREM i5 {member}"))?, ":1");
        assert_eq!(call(&mut client, "SMEMBERS i5")?, "[1 2]");
    }
    // The limit, which a change of the configuration moves.
    assert_eq!(
        call(&mut client, "CONFIG SET set-max-intset-entries 3")?,
        "+OK"
    );
    for (line, expected) in [
        ("SADD limited 3 1 2", ":3"),
        ("SADD limited 2", ":0"),
        ("OBJECT ENCODING limited", "intset"),
        ("SADD limited 4", ":1"),
        ("OBJECT ENCODING limited", "hashtable"),
        ("SREM i0 7", ":1"),
        ("OBJECT ENCODING i0", "intset"),
        ("SADD i0 7", ":1"),
        ("OBJECT ENCODING i0", "hashtable"),
        ("SISMEMBER i0 9999", ":1"),
        ("SCARD i0", ":5"),
    ] {
        assert_eq!(call(&mut client, line)?, expected, "{store}: {line}");
    }
    Ok(())
}

#[test]
fn integers_on_packed() -> TestResult {
    integers_stay_intsets("cmap")
}

#[test]
fn integers_on_pairs() -> TestResult {
    integers_stay_intsets("cmap/pairs")
}

fn on(store: &str) -> TestResult {
    let server = Server::start(store)?;
    replies(&server)?;
    everything_is_popped_once(&server)
}

on_every_engine!(on, persistent: survives_kill_9);

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

fn on(store: &str) -> TestResult {
    let server = Server::start(store)?;
    replies(&server)?;
    everything_is_popped_once(&server)
}

on_every_engine!(on, persistent: survives_kill_9);

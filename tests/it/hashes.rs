//! The hash commands over TCP, on every engine.

use common::{RawClient, Server, TestResult, Value, on_every_engine, show};

const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

/// Calls and their replies, in order, on an empty database.
const SCRIPT: &[(&str, &str)] = &[
    ("HSET h b 1 a 2", ":2"),
    ("HSET h b 3 c 4", ":1"),
    ("HMSET h d 5", "+OK"),
    ("HSETNX h d 6", ":0"),
    ("HSETNX h e 7", ":1"),
    ("HGETALL h", "[b 3 a 2 c 4 d 5 e 7]"),
    ("HKEYS h", "[b a c d e]"),
    ("HVALS h", "[3 2 4 5 7]"),
    ("HSCAN h 0 COUNT 1", "[0 [b 3 a 2 c 4 d 5 e 7]]"),
    ("HDEL h a x e", ":2"),
    ("HSET h a 8", ":1"),
    ("HGETALL h", "[b 3 c 4 d 5 a 8]"),
    ("HGET h c", "4"),
    ("HGET h x", "nil"),
    ("HMGET h a x b", "[8 nil 3]"),
    ("HMGET none a b", "[nil nil]"),
    ("HLEN h", ":4"),
    ("HEXISTS h a", ":1"),
    ("HEXISTS h x", ":0"),
    ("HSTRLEN h a", ":1"),
    ("HSTRLEN h x", ":0"),
    ("HGETALL none", "[]"),
    ("HLEN none", ":0"),
    ("TYPE h", "+hash"),
    ("OBJECT ENCODING h", "listpack"),
    // Counters
    ("HINCRBY h n 5", ":5"),
    ("HINCRBY h n -7", ":-2"),
    ("HINCRBY h n x", NOT_AN_INTEGER),
    ("HSET h n 9223372036854775807", ":0"),
    (
        "HINCRBY h n 1",
        "-ERR increment or decrement would overflow",
    ),
    ("HSET h n word", ":0"),
    ("HINCRBY h n 1", "-ERR hash value is not an integer"),
    ("HINCRBYFLOAT h n 1", "-ERR hash value is not a float"),
    ("HINCRBYFLOAT h f 10.5", "10.5"),
    ("HINCRBYFLOAT h f 0.1", "10.6"),
    ("HINCRBYFLOAT h f 5", "15.6"),
    ("HINCRBYFLOAT h f inf", "-ERR value is NaN or Infinity"),
    // Drawing
    ("HRANDFIELD none", "nil"),
    ("HRANDFIELD none 3", "[]"),
    ("HSET one only 1", ":1"),
    ("HRANDFIELD one", "only"),
    ("HRANDFIELD one -3", "[only only only]"),
    ("HRANDFIELD one 5 WITHVALUES", "[only 1]"),
    ("HRANDFIELD one 5 WITH", "-ERR syntax error"),
    // Removing the last field removes the key
    ("HDEL one only", ":1"),
    ("EXISTS one", ":0"),
    // Wrong calls
    (
        "HSET h",
        "-ERR wrong number of arguments for 'hset' command",
    ),
    (
        "HSET h a",
        "-ERR wrong number of arguments for 'hset' command",
    ),
    (
        "HSET h a 1 b",
        "-ERR wrong number of arguments for 'hset' command",
    ),
    ("HSCAN h x", "-ERR invalid cursor"),
    ("SET s 1", "+OK"),
    ("HSET s a 1", WRONG_TYPE),
    ("HGETALL s", WRONG_TYPE),
    ("HINCRBY s a 1", WRONG_TYPE),
    ("GET h", WRONG_TYPE),
    ("SET h 1", "+OK"),
    ("GET h", "1"),
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

/// Names and values of any bytes and lengths are read back unchanged.
fn binary_and_large(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    let bytes = |len: usize| -> Vec<u8> { (0..=255).cycle().take(len).collect() };
    let lengths = [0, 1, 16, 17, 255, 4_096, 70_000];
    for len in lengths {
        let value = bytes(len * 20);
        client.call(&[b"HSET".as_slice(), b"binary", &bytes(len), &value])?;
    }
    for len in lengths {
        let value = client.call(&[b"HGET".as_slice(), b"binary", &bytes(len)])?;
        assert!(value.bytes() == Some(&bytes(len * 20)[..]), "{len}");
    }
    assert_eq!(
        call(&mut client, "HLEN binary")?,
        format!(":{}", lengths.len())
    );
    assert_eq!(call(&mut client, "OBJECT ENCODING binary")?, "hashtable");
    Ok(())
}

/// A scan of many fields visits each field that stays, although others are added and removed.
fn a_long_scan(server: &Server) -> TestResult {
    const FIELDS: usize = 3_000;

    let mut client = server.raw()?;
    for n in 0..FIELDS {
        client.line(&format!("HSET long field{n} {n}"))?;
    }
    let mut met = std::collections::HashSet::new();
    let mut cursor = "0".to_owned();
    for step in 0..FIELDS {
        let page = client.line(&format!("HSCAN long {cursor} COUNT 50"))?;
        let page = page.items().ok_or("a page")?.to_vec();
        cursor = page[0].text().ok_or("a cursor")?;
        let elements = page[1].items().ok_or("elements")?;
        met.extend(elements.iter().step_by(2).filter_map(Value::text));
        if cursor == "0" {
            break;
        }
        client.line(&format!("HSET long new{step} 1"))?;
        client.line(&format!("HDEL long new{}", step / 2))?;
    }
    assert_eq!(cursor, "0");
    for n in 0..FIELDS {
        assert!(met.contains(&format!("field{n}")), "{n}");
    }
    Ok(())
}

fn survives_kill_9(store: &str) -> TestResult {
    let mut server = Server::start(store)?;
    let mut client = server.raw()?;
    for n in 0..600 {
        client.line(&format!("HSET many f{n} {n}"))?;
    }
    for line in [
        "HSET few z 1 y 2 x 3",
        "HDEL few y",
        "HSET few w 4",
        "HINCRBY few n 9",
        "HSET gone a 1",
        "HDEL gone a",
    ] {
        client.line(line)?;
    }
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    assert_eq!(call(&mut client, "HLEN many")?, ":600");
    assert_eq!(call(&mut client, "HGET many f599")?, "599");
    assert_eq!(call(&mut client, "OBJECT ENCODING many")?, "hashtable");
    assert_eq!(call(&mut client, "OBJECT ENCODING few")?, "listpack");
    assert_eq!(call(&mut client, "EXISTS gone")?, ":0");
    assert_eq!(call(&mut client, "HMGET few z y x w n")?, "[1 nil 3 4 9]");
    if !store.ends_with("pairs") && store != "stree" {
        assert_eq!(call(&mut client, "HGETALL few")?, "[z 1 x 3 w 4 n 9]");
    }
    Ok(())
}

fn on(store: &str) -> TestResult {
    let server = Server::start(store)?;
    replies(&server)?;
    binary_and_large(&server)?;
    a_long_scan(&server)
}

on_every_engine!(on, persistent: survives_kill_9);

//! Keys of every type and encoding.

use common::{RawClient, TestResult, Value};

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

/// Asserts that the library of [`fill`] is there.
pub fn assert_library(client: &mut RawClient) -> TestResult {
    assert_eq!(client.line("FCALL answer 0")?, Value::Integer(42));
    Ok(())
}

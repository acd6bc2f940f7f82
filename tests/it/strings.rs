//! The string commands over TCP, on every engine.

use std::thread;

use common::{Server, TestResult, on_every_engine};
use redis::{Commands, Connection, Value, cmd};

/// Calls and their replies, in order, on an empty database. `""` is an empty argument.
const SCRIPT: &[(&str, &str)] = &[
    // SET and GET
    ("GET a", "nil"),
    ("SET a 1", "OK"),
    ("GET a", "'1'"),
    ("SET a 2 NX", "nil"),
    ("SET a 3 xx", "OK"),
    ("SET b 1 XX", "nil"),
    ("SET a 4 GET", "'3'"),
    ("SET b 1 NX GET", "nil"),
    ("SET b 2 GET NX", "'1'"),
    ("GET b", "'1'"),
    ("SET c 1 XX GET", "nil"),
    ("GET c", "nil"),
    ("SET a v NX XX", "ERR syntax error"),
    ("SET a v EX", "ERR syntax error"),
    ("SET a v EX 5 PX 5", "ERR syntax error"),
    ("SET a v EX 5 KEEPTTL", "ERR syntax error"),
    ("SET a v PERSIST", "ERR syntax error"),
    ("SET a v nonsense", "ERR syntax error"),
    ("SET a v EX 0", "ERR invalid expire time in 'set' command"),
    ("SET a v PX -1", "ERR invalid expire time in 'set' command"),
    (
        "SET a v EX 9223372036854775807",
        "ERR invalid expire time in 'set' command",
    ),
    (
        "SET a v PX 9223372036854775807",
        "ERR invalid expire time in 'set' command",
    ),
    (
        "SET a v EXAT 9223372036854776",
        "ERR invalid expire time in 'set' command",
    ),
    (
        "SET a v EX x",
        "ERR value is not an integer or out of range",
    ),
    ("GET a", "'4'"),
    ("SET a", "ERR wrong number of arguments for 'set' command"),
    // Deadlines: PERSIST says whether there was one
    ("SET a v EX 1000", "OK"),
    ("SET a w KEEPTTL", "OK"),
    ("PERSIST a", "1"),
    ("SET a v PXAT 99999999999999", "OK"),
    ("PEXPIRETIME a", "99999999999999"),
    ("SET a v XX KEEPTTL GET", "'v'"),
    ("PEXPIRETIME a", "99999999999999"),
    ("SET a w", "OK"),
    ("PERSIST a", "0"),
    ("SET a w EXAT 1", "OK"),
    ("GET a", "nil"),
    ("SET a w PXAT 1 GET", "nil"),
    ("EXISTS a", "0"),
    // The older relatives
    ("SETNX n 1", "1"),
    ("SETNX n 2", "0"),
    ("SETEX n 1000 v", "OK"),
    ("PERSIST n", "1"),
    ("PSETEX n 1000000 v", "OK"),
    ("GETSET n w", "'v'"),
    ("PERSIST n", "0"),
    ("GETSET none w", "nil"),
    ("SETEX n 0 v", "ERR invalid expire time in 'setex' command"),
    (
        "PSETEX n -5 v",
        "ERR invalid expire time in 'psetex' command",
    ),
    (
        "SETEX n 1.5 v",
        "ERR value is not an integer or out of range",
    ),
    ("GET n", "'w'"),
    // GETDEL and GETEX
    ("GETDEL n", "'w'"),
    ("GETDEL n", "nil"),
    ("GETEX n EX 0", "nil"),
    ("GETEX n EX 0 PX", "ERR syntax error"),
    ("SET n v", "OK"),
    ("GETEX n", "'v'"),
    ("GETEX n EX 0", "ERR invalid expire time in 'getex' command"),
    ("GETEX n PXAT 99999999999999", "'v'"),
    ("PEXPIRETIME n", "99999999999999"),
    ("GETEX n", "'v'"),
    ("GETEX n PERSIST", "'v'"),
    ("PERSIST n", "0"),
    ("GETEX n KEEPTTL", "ERR syntax error"),
    ("GETEX n EXAT 1", "'v'"),
    ("EXISTS n", "0"),
    // Several keys
    ("MSET m1 1 m2 2 m1 3", "OK"),
    ("MGET m1 none2 m2 m1", "['3', nil, '2', '3']"),
    ("MGET m1", "['3']"),
    ("MGET none2", "[nil]"),
    ("MSETNX m3 1 m1 2", "0"),
    ("EXISTS m3", "0"),
    ("MSETNX m3 1 m4 2 m3 5", "1"),
    ("MGET m3 m4", "['5', '2']"),
    (
        "MSET m1 1 m2",
        "ERR wrong number of arguments for 'mset' command",
    ),
    (
        "MSETNX m1 1 m2",
        "ERR wrong number of arguments for 'msetnx' command",
    ),
    // Comparisons
    ("SET q 1", "OK"),
    ("SET q 2 IFEQ 2", "nil"),
    ("SET q 2 ifeq 1", "OK"),
    ("SET q 3 IFEQ 1 GET", "'2'"),
    ("SET q 3 IFEQ 2 GET", "'2'"),
    ("SET q 4 IFNE 3", "nil"),
    ("SET q 4 IFNE 5 EX 1000", "OK"),
    ("SET q 5 IFNE 5 KEEPTTL", "OK"),
    ("PERSIST q", "1"),
    ("SET none4 1 IFEQ 1", "nil"),
    ("SET none4 1 IFDEQ 0123456789abcdef GET", "nil"),
    ("EXISTS none4", "0"),
    ("SET r 1 IFNE 1", "OK"),
    ("SET s 1 IFDNE 0123456789abcdef", "OK"),
    ("DEL r s", "2"),
    ("DIGEST none4", "nil"),
    ("SET r \"\"", "OK"),
    ("DIGEST r", "'2d06800538d394c2'"),
    (
        "SET r v8lf0c11xh8ymlqztfd3eeq16kfn4sspw7fqmnuuq3k3t75em5wdizgcdw7uc26nnf961u2jkfzkjytls2kwlj7626sd",
        "OK",
    ),
    ("DIGEST r", "'00006c38adf31777'"),
    ("SET r 1 IFDNE 00006c38adf31777", "nil"),
    (
        "SET r 1 IFDEQ 00006C38ADF31777 GET",
        "'v8lf0c11xh8ymlqztfd3eeq16kfn4sspw7fqmnuuq3k3t75em5wdizgcdw7uc26nnf961u2jkfzkjytls2kwlj7626sd'",
    ),
    ("GET r", "'1'"),
    (
        "SET r 1 IFDEQ 6c38adf31777",
        "ERR must be exactly 16 hexadecimal characters",
    ),
    ("SET r 1 IFEQ 1 NX", "ERR syntax error"),
    ("SET r 1 XX IFEQ 1", "ERR syntax error"),
    ("SET r 1 IFEQ", "ERR syntax error"),
    ("DELEX r IFEQ 2", "0"),
    ("DELEX r IFNE 1", "0"),
    ("DELEX r IFDEQ 0123456789abcdef", "0"),
    (
        "DELEX r IFDEQ 12",
        "ERR must be exactly 16 hexadecimal characters",
    ),
    (
        "DELEX r IFEQ",
        "ERR wrong number of arguments for 'delex' command",
    ),
    (
        "DELEX r IFXX 1",
        "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
    ),
    ("DELEX r ifeq 1", "1"),
    ("DELEX r IFNE 1", "0"),
    ("SET r 1", "OK"),
    ("DELEX r IFNE 2", "1"),
    ("SET r 1", "OK"),
    ("DELEX r", "1"),
    ("DELEX r", "0"),
    ("SET r 1", "OK"),
    ("DELIFEQ r 2", "0"),
    ("DELIFEQ r 1", "1"),
    ("DELIFEQ r 1", "0"),
    ("RPUSH t a", "1"),
    (
        "SET t 1 IFEQ 1",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "SET t 1 IFNE 1",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "DIGEST t",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "DELIFEQ t 1",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    (
        "DELEX t IFEQ 1",
        "ERR Key should be of string type if conditions are specified",
    ),
    ("DELEX t", "1"),
    // Several keys with a deadline
    ("MSETEX 2 u1 1 u2 2 EX 1000", "1"),
    ("MGET u1 u2", "['1', '2']"),
    ("PERSIST u1", "1"),
    ("MSETEX 2 u1 3 u3 3 NX", "0"),
    ("MSETEX 2 u1 3 u3 3 xx", "0"),
    ("EXISTS u3", "0"),
    ("MSETEX 2 u1 3 u2 3 XX KEEPTTL", "1"),
    ("PERSIST u1", "0"),
    ("PERSIST u2", "1"),
    ("MSETEX 2 u3 1 u3 2 NX PXAT 99999999999999", "1"),
    ("GET u3", "'2'"),
    ("PEXPIRETIME u3", "99999999999999"),
    ("MSETEX 1 u3 1 EXAT 5", "1"),
    ("EXISTS u3", "0"),
    ("MSETEX 0 a b", "ERR invalid numkeys value"),
    ("MSETEX x a b", "ERR invalid numkeys value"),
    ("MSETEX 4294967296 a b", "ERR invalid numkeys value"),
    ("MSETEX 2 a b c", "ERR wrong number of key-value pairs"),
    ("MSETEX 1 a b c", "ERR syntax error"),
    ("MSETEX 1 a b NX XX", "ERR syntax error"),
    (
        "MSETEX 1 a b EX 0",
        "ERR invalid expire time in 'msetex' command",
    ),
    (
        "MSETEX 1 a",
        "ERR wrong number of arguments for 'msetex' command",
    ),
    ("COMMAND GETKEYS MSETEX 2 u1 a u2 b EX 5", "['u1', 'u2']"),
    // Parts
    ("APPEND p abc", "3"),
    ("APPEND p def", "6"),
    ("STRLEN p", "6"),
    ("STRLEN none3", "0"),
    ("GETRANGE p 1 3", "'bcd'"),
    ("SUBSTR p -2 -1", "'ef'"),
    ("GETRANGE p 0 -100", "'a'"),
    ("GETRANGE p 5 1", "''"),
    ("GETRANGE none3 0 -1", "''"),
    (
        "GETRANGE p 0 x",
        "ERR value is not an integer or out of range",
    ),
    ("SETRANGE p 2 XY", "6"),
    ("GET p", "'abXYef'"),
    ("SETRANGE p 5 123", "8"),
    ("GET p", "'abXYe123'"),
    ("SETRANGE p 100 \"\"", "8"),
    ("SETRANGE none3 100 \"\"", "0"),
    ("EXISTS none3", "0"),
    ("SETRANGE none3 2 a", "3"),
    ("GET none3", "'\\x00\\x00a'"),
    ("SETRANGE p -1 a", "ERR offset is out of range"),
    (
        "SETRANGE p 536870911 ab",
        "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
    ),
    (
        "SETRANGE none4 9223372036854775807 a",
        "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
    ),
    ("EXISTS none4", "0"),
    ("APPEND empty \"\"", "0"),
    ("EXISTS empty", "1"),
    // Counters
    ("INCR i", "1"),
    ("INCRBY i 41", "42"),
    ("DECR i", "41"),
    ("DECRBY i -1", "42"),
    ("GETEX i PXAT 99999999999999", "'42'"),
    ("INCR i", "43"),
    ("PEXPIRETIME i", "99999999999999"),
    ("APPEND i 0", "3"),
    ("SETRANGE i 0 5", "3"),
    ("PEXPIRETIME i", "99999999999999"),
    ("INCRBYFLOAT i 0.5", "'530.5'"),
    ("PEXPIRETIME i", "99999999999999"),
    ("INCR i", "ERR value is not an integer or out of range"),
    ("INCRBY i x", "ERR value is not an integer or out of range"),
    ("INCR empty", "ERR value is not an integer or out of range"),
    ("SET i 9223372036854775807", "OK"),
    ("INCR i", "ERR increment or decrement would overflow"),
    (
        "DECRBY i -9223372036854775808",
        "ERR decrement would overflow",
    ),
    ("SET i -9223372036854775808", "OK"),
    ("DECR i", "ERR increment or decrement would overflow"),
    ("GET i", "'-9223372036854775808'"),
    ("INCRBYFLOAT f 0.1", "'0.1'"),
    ("INCRBYFLOAT f 0.2", "'0.3'"),
    ("INCRBYFLOAT f 5.0e3", "'5000.29999999999999982'"),
    ("SET f 5.0e3", "OK"),
    ("INCRBYFLOAT f 2.0e2", "'5200'"),
    ("INCRBYFLOAT f -5200", "'0'"),
    ("INCRBYFLOAT f x", "ERR value is not a valid float"),
    (
        "INCRBYFLOAT f inf",
        "ERR increment would produce NaN or Infinity",
    ),
    ("INCRBYFLOAT empty 1", "ERR value is not a valid float"),
    // LCS
    ("MSET l1 ohmytext l2 mynewtext", "OK"),
    ("LCS l1 l2", "'mytext'"),
    ("LCS l1 l2 LEN", "6"),
    (
        "LCS l1 l2 IDX",
        "['matches', [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], 'len', 6]",
    ),
    (
        "LCS l1 l2 IDX MINMATCHLEN 4 WITHMATCHLEN",
        "['matches', [[[4, 7], [5, 8], 4]], 'len', 6]",
    ),
    ("LCS l1 none5", "''"),
    ("LCS none5 none6 IDX", "['matches', [], 'len', 0]"),
    (
        "LCS l1 l2 IDX LEN",
        "ERR If you want both the length and indexes, please just use IDX.",
    ),
    ("LCS l1 l2 MINMATCHLEN", "ERR syntax error"),
    (
        "LCS l1 l2 MINMATCHLEN x",
        "ERR value is not an integer or out of range",
    ),
    ("SETRANGE big 20000 x", "20001"),
    (
        "LCS big big",
        "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
    ),
];

fn show(value: &Value) -> String {
    match value {
        Value::Nil => "nil".into(),
        Value::Okay => "OK".into(),
        Value::Int(number) => number.to_string(),
        Value::BulkString(bytes) => format!("'{}'", bytes.escape_ascii()),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(show).collect();
            format!("[{}]", items.join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn call(connection: &mut Connection, line: &str) -> String {
    let mut words = line.split(' ').map(|word| word.trim_matches('"'));
    let mut command = cmd(words.next().unwrap_or_default());
    words.for_each(|word| {
        command.arg(word);
    });
    match command.query::<Value>(connection) {
        Ok(value) => show(&value),
        Err(error) => format!(
            "{} {}",
            error.code().unwrap_or_default(),
            error.detail().unwrap_or_default()
        ),
    }
}

fn replies(server: &Server) -> TestResult {
    let mut connection = server.connection()?;
    for (line, expected) in SCRIPT {
        assert_eq!(call(&mut connection, line), *expected, "{line}");
    }
    Ok(())
}

/// Values of all lengths and bytes are read back unchanged.
fn large_and_binary_values(server: &Server) -> TestResult {
    let mut connection = server.connection()?;
    for len in [0, 1, 255, 4096, 65_536, 1 << 20] {
        let value: Vec<u8> = (0..=255).cycle().take(len).collect();
        let key = [&b"\0\r\n\xff"[..], len.to_string().as_bytes()].concat();
        let () = connection.set(&key, &value)?;
        assert!(connection.get::<_, Vec<u8>>(&key)? == value, "{len} bytes");
        assert_eq!(connection.strlen::<_, usize>(&key)?, len);
        assert_eq!(connection.append::<_, _, usize>(&key, "tail")?, len + 4);
        let tail: Vec<u8> = connection.getrange(&key, -4, -1)?;
        assert_eq!(tail, b"tail");
    }
    Ok(())
}

/// A value disappears after its deadline, for every way to set one.
fn deadlines_pass(server: &Server) -> TestResult {
    let mut connection = server.connection()?;
    let lines = [
        "SET d1 v PX 40",
        "PSETEX d2 40 v",
        "SET d3 v",
        "GETEX d3 PX 40",
        "SET d4 5 PX 40",
        "INCR d4",
    ];
    for line in lines {
        call(&mut connection, line);
    }
    assert_eq!(call(&mut connection, "SET d5 v"), "OK");
    thread::sleep(std::time::Duration::from_millis(60));
    assert_eq!(
        call(&mut connection, "MGET d1 d2 d3 d4 d5"),
        "[nil, nil, nil, nil, 'v']"
    );
    assert_eq!(call(&mut connection, "INCR d4"), "1");
    assert_eq!(call(&mut connection, "SETNX d1 w"), "1");
    assert_eq!(call(&mut connection, "APPEND d2 w"), "1");
    assert_eq!(call(&mut connection, "PERSIST d1"), "0");
    assert_eq!(call(&mut connection, "PERSIST d2"), "0");
    Ok(())
}

/// Increments of many connections all count.
fn increments_are_atomic(server: &Server) -> TestResult {
    const THREADS: i64 = 4;
    const CALLS: i64 = 200;

    let mut connections = Vec::new();
    for _ in 0..THREADS {
        connections.push(server.connection()?);
    }
    thread::scope(|scope| {
        for mut connection in connections {
            scope.spawn(move || {
                for _ in 0..CALLS {
                    assert_ne!(call(&mut connection, "INCR counter"), "");
                    assert_ne!(call(&mut connection, "APPEND log x"), "");
                }
            });
        }
    });
    let mut connection = server.connection()?;
    assert_eq!(connection.get::<_, i64>("counter")?, THREADS * CALLS);
    assert_eq!(connection.strlen::<_, i64>("log")?, THREADS * CALLS);
    Ok(())
}

/// MGET never sees half of an MSET.
fn several_keys_change_together(server: &Server) -> TestResult {
    let mut writer = server.connection()?;
    let mut reader = server.connection()?;
    let mset = |connection: &mut Connection, round: u32| {
        call(
            connection,
            &format!("MSET t1 {round} t2 {round} t3 {round} t4 {round}"),
        )
    };
    assert_eq!(mset(&mut writer, 0), "OK");
    thread::scope(|scope| -> TestResult {
        let writing = scope.spawn(move || {
            for round in 1..300 {
                assert_eq!(mset(&mut writer, round), "OK");
            }
        });
        while !writing.is_finished() {
            let seen: Vec<u32> = reader.mget(&["t1", "t2", "t3", "t4"])?;
            assert!(seen.iter().all(|&round| round == seen[0]), "{seen:?}");
        }
        Ok(())
    })
}

fn on(engine: &str) -> TestResult {
    let server = Server::start(engine)?;
    replies(&server)?;
    large_and_binary_values(&server)?;
    deadlines_pass(&server)?;
    increments_are_atomic(&server)?;
    several_keys_change_together(&server)
}

on_every_engine!(on);

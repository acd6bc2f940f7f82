//! The list commands over TCP, on every engine.

use std::thread;

use common::{Options, RawClient, Server, TestResult, Value, check_events, on_every_engine, show};

/// Calls and their replies, in order, on an empty database.
const SCRIPT: &[(&str, &str)] = &[
    // Pushing
    ("LPUSH a 1 2 3", ":3"),
    ("RPUSH a 4 5", ":5"),
    ("LRANGE a 0 -1", "[3 2 1 4 5]"),
    ("LPUSHX none x", ":0"),
    ("RPUSHX none x", ":0"),
    ("EXISTS none", ":0"),
    ("LPUSHX a 6", ":6"),
    ("RPUSHX a 7 8", ":8"),
    ("TYPE a", "+list"),
    ("LLEN a", ":8"),
    ("LLEN none", ":0"),
    // Looking
    ("LRANGE a 2 3", "[2 1]"),
    ("LRANGE a -3 100", "[5 7 8]"),
    ("LRANGE a 5 4", "[]"),
    ("LRANGE a 8 9", "[]"),
    ("LRANGE none 0 -1", "[]"),
    ("LRANGE a x 0", NOT_AN_INTEGER),
    ("LRANGE none 0 x", NOT_AN_INTEGER),
    ("LINDEX a 0", "6"),
    ("LINDEX a -1", "8"),
    ("LINDEX a 8", "nil"),
    ("LINDEX a -9", "nil"),
    ("LINDEX a x", NOT_AN_INTEGER),
    ("LINDEX none x", "nil"),
    // Popping
    ("LPOP a", "6"),
    ("RPOP a", "8"),
    ("LPOP a 2", "[3 2]"),
    ("RPOP a 2", "[7 5]"),
    ("LPOP a 0", "[]"),
    ("LPOP a -1", NEGATIVE),
    ("LPOP none x", NEGATIVE),
    ("LPOP none", "nil"),
    ("LPOP none 1", "nil-array"),
    ("LPOP none 0", "nil-array"),
    (
        "RPOP a 1 2",
        "-ERR wrong number of arguments for 'rpop' command",
    ),
    ("RPOP a 9", "[4 1]"),
    ("EXISTS a", ":0"),
    // Changing
    ("RPUSH b a b c b a", ":5"),
    ("LSET b 1 B", "+OK"),
    ("LSET b -1 A", "+OK"),
    ("LSET b 5 x", "-ERR index out of range"),
    ("LSET b x x", NOT_AN_INTEGER),
    ("LSET none x x", "-ERR no such key"),
    ("LRANGE b 0 -1", "[a B c b A]"),
    ("LINSERT b BEFORE c 1", ":6"),
    ("LINSERT b after c 2", ":7"),
    ("LINSERT b BEFORE a 0", ":8"),
    ("LINSERT b AFTER A 9", ":9"),
    ("LINSERT b AFTER nothing 9", ":-1"),
    ("LINSERT none AFTER a 9", ":0"),
    ("LINSERT none beside a 9", "-ERR syntax error"),
    ("LRANGE b 0 -1", "[0 a B 1 c 2 b A 9]"),
    ("LTRIM b 1 -3", "+OK"),
    ("LRANGE b 0 -1", "[a B 1 c 2 b]"),
    ("LTRIM b 4 2", "+OK"),
    ("EXISTS b", ":0"),
    ("LTRIM none 0 0", "+OK"),
    ("LTRIM none 0 x", NOT_AN_INTEGER),
    ("RPUSH r x a x b x c x", ":7"),
    ("LREM r 1 x", ":1"),
    ("LREM r -2 x", ":2"),
    ("LRANGE r 0 -1", "[a x b c]"),
    ("LREM r 0 nothing", ":0"),
    ("LREM r 0 x", ":1"),
    ("LREM r x x", NOT_AN_INTEGER),
    ("LREM r -9223372036854775808 x", OUT_OF_RANGE),
    ("LREM none 0 x", ":0"),
    ("LRANGE r 0 -1", "[a b c]"),
    ("LREM r 1 a", ":1"),
    ("LREM r 1 b", ":1"),
    ("LREM r -5 c", ":1"),
    ("EXISTS r", ":0"),
    // Searching
    ("RPUSH p a b c 1 2 3 c c", ":8"),
    ("LPOS p c", ":2"),
    ("LPOS p c RANK 2", ":6"),
    ("LPOS p c RANK -1", ":7"),
    ("LPOS p c COUNT 2", "[:2 :6]"),
    ("LPOS p c COUNT 0", "[:2 :6 :7]"),
    ("LPOS p c COUNT 0 RANK -2", "[:6 :2]"),
    ("LPOS p c COUNT 0 MAXLEN 7", "[:2 :6]"),
    ("LPOS p c MAXLEN 2", "nil"),
    ("LPOS p c MAXLEN 2 COUNT 0", "[]"),
    ("LPOS p c RANK -1 MAXLEN 1", ":7"),
    ("LPOS p c RANK 4", "nil"),
    ("LPOS none c", "nil"),
    ("LPOS none c COUNT 0", "[]"),
    ("LPOS p c RANK -9223372036854775808", OUT_OF_RANGE),
    ("LPOS p c COUNT -1", "-ERR COUNT can't be negative"),
    // Moving
    ("RPUSH m 1 2 3", ":3"),
    ("LMOVE m n LEFT RIGHT", "1"),
    ("LMOVE m n right left", "3"),
    ("LRANGE n 0 -1", "[3 1]"),
    ("RPOPLPUSH m n", "2"),
    ("EXISTS m", ":0"),
    ("RPOPLPUSH n n", "1"),
    ("LMOVE n n LEFT LEFT", "1"),
    ("LRANGE n 0 -1", "[1 2 3]"),
    ("LMOVE m n LEFT RIGHT", "nil"),
    ("LMOVE m n LEFT UP", "-ERR syntax error"),
    ("RPUSH one 1", ":1"),
    ("LMOVE one one LEFT RIGHT", "1"),
    ("LRANGE one 0 -1", "[1]"),
    // Popping from the first of several
    ("LMPOP 2 none n LEFT", "[n [1]]"),
    ("LMPOP 2 n none RIGHT COUNT 5", "[n [3 2]]"),
    ("LMPOP 2 n none RIGHT COUNT 5", "nil-array"),
    ("LMPOP 0 n LEFT", "-ERR numkeys should be greater than 0"),
    (
        "LMPOP 1 n LEFT COUNT 0",
        "-ERR count should be greater than 0",
    ),
    // Other types
    ("SET s v", "+OK"),
    ("LPUSH s x", WRONG_TYPE),
    ("RPUSHX s x", WRONG_TYPE),
    ("LPOP s", WRONG_TYPE),
    ("LPOP s 0", WRONG_TYPE),
    ("LLEN s", WRONG_TYPE),
    ("LRANGE s 0 -1", WRONG_TYPE),
    ("LINDEX s x", WRONG_TYPE),
    ("LSET s x x", WRONG_TYPE),
    ("LINSERT s BEFORE a b", WRONG_TYPE),
    ("LREM s 0 x", WRONG_TYPE),
    ("LTRIM s 0 0", WRONG_TYPE),
    ("LPOS s x", WRONG_TYPE),
    ("LMOVE s p LEFT LEFT", WRONG_TYPE),
    ("LMOVE p s LEFT LEFT", WRONG_TYPE),
    ("LMOVE none s LEFT LEFT", "nil"),
    ("LMPOP 2 none s LEFT", WRONG_TYPE),
    ("LMPOP 2 p s LEFT", "[p [a]]"),
    ("GET p", WRONG_TYPE),
    ("LLEN p", ":7"),
];

const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const NEGATIVE: &str = "-ERR value is out of range, must be positive";
const OUT_OF_RANGE: &str =
    "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

fn call(client: &mut RawClient, line: &str) -> TestResult<String> {
    Ok(show(&client.line(line)?))
}

fn replies(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for (line, expected) in SCRIPT {
        assert_eq!(call(&mut client, line)?, *expected, "{line}");
    }
    client.line("HELLO 3")?;
    for line in [
        "LPOP none",
        "LPOP none 1",
        "LMPOP 1 none LEFT",
        "LINDEX none 0",
    ] {
        assert_eq!(client.line(line)?, Value::Null, "{line}");
    }
    Ok(())
}

fn range(client: &mut RawClient, key: &str) -> TestResult<Vec<Vec<u8>>> {
    let reply = client.call(&["LRANGE", key, "0", "-1"])?;
    let items = reply.items().ok_or("no array")?;
    Ok(items
        .iter()
        .filter_map(|item| item.bytes().map(<[u8]>::to_vec))
        .collect())
}

/// Elements of all lengths and bytes are read back unchanged, also from the middle of a list.
fn large_and_binary_elements(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    let element = |len: usize| -> Vec<u8> { (0..=255).cycle().take(len).collect() };
    let mut expected = Vec::new();
    for len in [0, 1, 255, 4096, 65_536, 1 << 20] {
        client.call(&[b"RPUSH".as_slice(), b"large", &element(len)])?;
        expected.push(element(len));
    }
    assert!(range(&mut client, "large")? == expected);
    client.call(&[b"LSET".as_slice(), b"large", b"1", &element(70_000)])?;
    expected[1] = element(70_000);
    client.call(&[
        b"LINSERT".as_slice(),
        b"large",
        b"BEFORE",
        &element(4096),
        &element(9),
    ])?;
    expected.insert(3, element(9));
    assert!(range(&mut client, "large")? == expected);
    let last = client.call(&["LPOS", "large", "", "RANK", "-1"])?;
    assert_eq!(last, Value::Integer(0));
    Ok(())
}

/// Many insertions at one position, so that the labels between two neighbours run out.
fn a_crowded_middle(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    client.line("RPUSH crowd first last")?;
    let mut expected = vec![b"first".to_vec(), b"last".to_vec()];
    for n in 0..200 {
        let n = n.to_string();
        client.call(&["LINSERT", "crowd", "AFTER", "first", n.as_str()])?;
        expected.insert(1, n.into_bytes());
    }
    assert_eq!(range(&mut client, "crowd")?, expected);
    Ok(())
}

/// Several clients pop at once: each element goes to one of them, and none is left.
fn elements_are_taken_once(server: &Server) -> TestResult {
    const CLIENTS: usize = 4;
    const ELEMENTS: usize = 400;

    let mut client = server.raw()?;
    for n in 0..ELEMENTS {
        client.call(&["RPUSH", "queue", n.to_string().as_str()])?;
    }
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(server.raw()?);
    }
    let lines = [
        "LPOP queue",
        "RPOP queue",
        "LMPOP 1 queue LEFT",
        "LMOVE queue done LEFT RIGHT",
    ];
    thread::scope(|scope| {
        for (mut client, line) in clients.into_iter().zip(lines) {
            scope.spawn(move || {
                for _ in 0..ELEMENTS / CLIENTS {
                    let reply = client.line(line).expect("an element");
                    if !line.starts_with("LMOVE") {
                        let taken = match &reply {
                            Value::Array(items) => items[1].items().map(<[_]>::to_vec),
                            _ => Some(vec![reply.clone()]),
                        };
                        let taken = taken.expect("elements")[0].text().expect("a string");
                        client.call(&["RPUSH", "done", &taken]).expect("pushed");
                    }
                }
            });
        }
    });
    assert_eq!(call(&mut client, "EXISTS queue")?, ":0");
    let mut numbers = Vec::new();
    for element in range(&mut client, "done")? {
        numbers.push(String::from_utf8(element)?.parse::<usize>()?);
    }
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..ELEMENTS));
    Ok(())
}

/// A list's deadline stays while the list changes, and goes with the list.
fn deadlines(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for (line, expected) in [
        ("RPUSH d 1 2 3", ":3"),
        ("PEXPIREAT d 99999999999999", ":1"),
        ("RPUSH d 4", ":4"),
        ("LPOP d", "1"),
        ("LTRIM d 0 1", "+OK"),
        ("PEXPIRETIME d", ":99999999999999"),
        ("LMOVE d e LEFT LEFT", "2"),
        ("PTTL e", ":-1"),
        ("LPOP d", "3"),
        ("RPUSH d 9", ":1"),
        ("PTTL d", ":-1"),
        ("PEXPIREAT d 1", ":1"),
        ("LLEN d", ":0"),
        ("LPUSHX d 1", ":0"),
        ("RPUSH d 5", ":1"),
        ("LRANGE d 0 -1", "[5]"),
    ] {
        assert_eq!(call(&mut client, line)?, expected, "{line}");
    }
    Ok(())
}

/// Events in Redis's order.
fn events(server: &Server) -> TestResult {
    check_events(
        server,
        &[
            ("RPUSH v 1 2", "new rpush"),
            ("LPUSHX v 0", "lpush"),
            ("LSET v 0 x", "lset"),
            ("LINSERT v AFTER x y", "linsert"),
            ("LINSERT v AFTER nothing y", ""),
            ("LREM v 0 nothing", ""),
            ("LREM v 0 y", "lrem"),
            ("LTRIM v 0 -1", "ltrim"),
            ("LPOP v 0", ""),
            ("LPOP v", "lpop"),
            ("LMOVE v w LEFT RIGHT", "new rpush lpop"),
            ("LMOVE v w RIGHT LEFT", "lpush rpop del"),
            ("RPOPLPUSH w w", "lpush rpop"),
            ("LMPOP 2 none w LEFT COUNT 5", "lpop del"),
            ("RPUSH w 1 1", "new rpush"),
            ("LREM w 0 1", "lrem del"),
            ("RPUSH w 1", "new rpush"),
            ("LTRIM w 1 0", "ltrim del"),
        ],
    )
}

/// In a transaction each call sees the changes of the calls before it. A change of a watched list stops the
/// transaction.
fn transactions(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    client.line("MULTI")?;
    for line in [
        "RPUSH t 1 2",
        "LPOP t",
        "LMOVE t u LEFT LEFT",
        "LLEN t",
        "LPOP u",
        "LPOP u",
    ] {
        client.line(line)?;
    }
    assert_eq!(call(&mut client, "EXEC")?, "[:2 1 2 :0 2 nil]");
    client.line("RPUSH t 1 2")?;
    client.line("WATCH t")?;
    server.raw()?.line("LSET t 0 x")?;
    client.line("MULTI")?;
    client.line("LPOP t")?;
    assert_eq!(call(&mut client, "EXEC")?, "nil-array");
    Ok(())
}

/// Acknowledged writes are there after the process was killed.
fn survives_kill_9(store: &str) -> TestResult {
    let mut server = Server::start_with(Options::new(store))?;
    let mut client = server.raw()?;
    for line in [
        "RPUSH k a b c d e f",
        "LPUSH k 1 2",
        "LINSERT k BEFORE c C",
        "LREM k 1 b",
        "LSET k 0 zero",
        "RPOP k",
        "LMOVE k l LEFT RIGHT",
        "RPUSH gone x",
        "LPOP gone",
    ] {
        client.line(line)?;
    }
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    assert_eq!(call(&mut client, "LRANGE k 0 -1")?, "[1 a C c d e]");
    assert_eq!(call(&mut client, "LRANGE l 0 -1")?, "[zero]");
    assert_eq!(call(&mut client, "EXISTS gone")?, ":0");
    assert_eq!(call(&mut client, "RPUSH k f")?, ":7");
    assert_eq!(call(&mut client, "LINSERT k AFTER a A")?, ":8");
    assert_eq!(call(&mut client, "LRANGE k 0 -1")?, "[1 a A C c d e f]");
    Ok(())
}

fn on(store: &str) -> TestResult {
    let server = Server::start(store)?;
    replies(&server)?;
    large_and_binary_elements(&server)?;
    a_crowded_middle(&server)?;
    elements_are_taken_once(&server)?;
    deadlines(&server)?;
    events(&server)?;
    transactions(&server)
}

on_every_engine!(on, persistent: survives_kill_9);

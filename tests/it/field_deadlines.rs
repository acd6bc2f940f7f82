//! Deadlines of hashes' fields: they pass, are told of, survive, and go with their hashes.

mod journeys;

use std::thread;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value, show};

const PATIENCE: Duration = Duration::from_secs(10);

fn call(client: &mut RawClient, line: &str) -> TestResult<String> {
    Ok(show(&client.line(line)?))
}

/// Calls and their replies, in order, on an empty database.
const SCRIPT: &[(&str, &str)] = &[
    ("HSET h a 1 b 2 c 3", ":3"),
    ("HPEXPIREAT h 9999999999000 FIELDS 2 a x", "[:1 :-2]"),
    ("HEXPIRETIME h FIELDS 3 a b x", "[:9999999999 :-1 :-2]"),
    ("OBJECT ENCODING h", "listpackex"),
    // A new value clears the deadline, a sum keeps it.
    ("HSET h a 5", ":0"),
    ("HTTL h FIELDS 1 a", "[:-1]"),
    ("HPEXPIREAT h 9999999999000 FIELDS 1 a", "[:1]"),
    ("HINCRBY h a 2", ":7"),
    ("HINCRBYFLOAT h a 0.5", "7.5"),
    ("HPEXPIRETIME h FIELDS 1 a", "[:9999999999000]"),
    // Hashes take their deadlines along.
    ("RENAME h i", "+OK"),
    ("HPEXPIRETIME i FIELDS 1 a", "[:9999999999000]"),
    ("COPY i j", ":1"),
    ("HPERSIST i FIELDS 2 a b", "[:1 :-1]"),
    ("HPEXPIRETIME i FIELDS 1 a", "[:-1]"),
    ("HPEXPIRETIME j FIELDS 1 a", "[:9999999999000]"),
    ("MOVE j 1", ":1"),
    ("SELECT 1", "+OK"),
    ("HPEXPIRETIME j FIELDS 1 a", "[:9999999999000]"),
    ("DEL j", ":1"),
    ("SELECT 0", "+OK"),
    // Of a transaction all of this is one step.
    ("MULTI", "+OK"),
    ("HSETEX i EX 1000 FIELDS 2 d 4 e 5", "+QUEUED"),
    ("HPERSIST i FIELDS 1 d", "+QUEUED"),
    ("HGETDEL i FIELDS 2 e a", "+QUEUED"),
    ("HGETEX i PXAT 9999999999000 FIELDS 2 d x", "+QUEUED"),
    ("EXEC", "[:1 [:1] [5 7.5] [4 nil]]"),
    (
        "HPEXPIRETIME i FIELDS 4 a b d e",
        "[:-2 :-1 :9999999999000 :-2]",
    ),
    ("HSCAN i 0 NOVALUES MATCH ?", "[0 [b c d]]"),
    // Deadlines that have passed.
    ("HSETEX i PXAT 1 FIELDS 2 b 1 c 1", ":1"),
    ("HKEYS i", "[d]"),
    ("HEXPIRE i 0 FIELDS 1 d", "[:2]"),
    ("EXISTS i", ":0"),
    ("HSETEX i PXAT 1 FIELDS 1 b 1", ":1"),
    ("EXISTS i", ":0"),
];

fn replies(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    client.line("FLUSHALL")?;
    for &(line, reply) in SCRIPT {
        assert_eq!(call(&mut client, line)?, reply, "{line}");
    }
    Ok(())
}

/// INFO counts each database's hashes with deadlines of fields.
fn they_are_counted(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    client.line("FLUSHALL")?;
    for (line, counts) in [
        ("HSETEX h EX 1000 FIELDS 2 a 1 b 2", [1, 0]),
        ("HSETEX i EX 1000 FIELDS 1 a 1", [2, 0]),
        ("HSETEX i EX 500 FIELDS 1 b 1", [2, 0]),
        ("HSET j a 1", [2, 0]),
        ("COPY h j REPLACE", [3, 0]),
        ("MOVE j 1", [2, 1]),
        ("COPY i i DB 1", [2, 2]),
        ("SWAPDB 0 1", [2, 2]),
        ("DEL i", [1, 2]),
        ("RENAME j k", [1, 2]),
        ("HPERSIST k FIELDS 2 a b", [0, 2]),
        ("FLUSHDB", [0, 2]),
        ("HSETEX last EX 1000 FIELDS 1 a 1", [1, 2]),
        ("HGETDEL last FIELDS 1 a", [0, 2]),
    ] {
        let reply = client.line(line)?;
        assert!(!reply.is_error(), "{line}: {reply:?}");
        let info = client.line("INFO keyspace")?.text().unwrap_or_default();
        let count = |db: usize| {
            let name = format!("db{db}:");
            let mut lines = info.lines();
            let line = lines.find_map(|line| line.strip_prefix(&name));
            let count = line.and_then(|line| line.split(",subexpiry=").nth(1)?.parse().ok());
            count.unwrap_or(0)
        };
        assert_eq!([count(0), count(1)], counts, "{line}: {info}");
    }
    Ok(())
}

/// Fields past their deadlines show to no command, before anything removes them.
fn nobody_sees_them(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    client.line("FLUSHALL")?;
    client.line("DEBUG SET-ACTIVE-EXPIRE 0")?;
    client.line("HSET h a 1 b 2 c 3")?;
    client.line("HSET all a 1")?;
    client.line("HPEXPIRE h 20 FIELDS 2 a b")?;
    client.line("HPEXPIRE all 20 FIELDS 1 a")?;
    thread::sleep(Duration::from_millis(40));
    for (line, reply) in [
        ("HLEN h", ":1"),
        ("HGET h a", "nil"),
        ("HMGET h a b c", "[nil nil 3]"),
        ("HGETALL h", "[c 3]"),
        ("HKEYS h", "[c]"),
        ("HVALS h", "[3]"),
        ("HEXISTS h a", ":0"),
        ("HSTRLEN h a", ":0"),
        ("HSCAN h 0", "[0 [c 3]]"),
        ("HRANDFIELD h", "c"),
        ("HRANDFIELD h 5", "[c]"),
        ("HRANDFIELD h -2", "[c c]"),
        ("HTTL h FIELDS 2 a c", "[:-2 :-1]"),
        ("HPERSIST h FIELDS 1 a", "[:-2]"),
        ("HEXPIRE h 10 FIELDS 1 a", "[:-2]"),
        ("HGETEX h EX 10 FIELDS 1 a", "[nil]"),
        ("HGETDEL h FIELDS 1 a", "[nil]"),
        ("HDEL h a", ":0"),
        ("HSETEX h FXX FIELDS 1 a 9", ":0"),
        ("COPY h copy", ":1"),
        ("HLEN copy", ":1"),
        ("HLEN all", ":0"),
        ("HGETALL all", "[]"),
        ("HRANDFIELD all", "nil"),
        ("DUMP all", "nil"),
        ("HINCRBY h a 5", ":5"),
        ("HTTL h FIELDS 1 a", "[:-1]"),
        ("HSETNX h b 7", ":1"),
        ("HLEN h", ":3"),
        ("HSET all z 1", ":1"),
        ("HGETALL all", "[z 1]"),
        ("HDEL all z", ":1"),
        ("EXISTS all", ":0"),
    ] {
        assert_eq!(call(&mut client, line)?, reply, "{line}");
    }
    client.line("DEBUG SET-ACTIVE-EXPIRE 1")?;
    Ok(())
}

/// Reads events until all of these have come.
fn wait_for(listener: &mut RawClient, wanted: &[&str]) -> TestResult {
    let mut missing = wanted.to_vec();
    while !missing.is_empty() {
        let message = listener.read()?;
        let words = message.items().unwrap_or_default();
        let text = |place: usize| words.get(place).and_then(Value::text).unwrap_or_default();
        let event = text(2);
        let event = event.rsplit(':').next().unwrap_or_default();
        let told = format!("{event} {}", text(3));
        missing.retain(|&event| event != told);
    }
    Ok(())
}

/// The background removes them, and tells watchers, caching clients and listeners.
fn they_are_told_of(server: &Server) -> TestResult {
    let (mut client, mut listener, mut watcher) = (server.raw()?, server.raw()?, server.raw()?);
    client.line("FLUSHALL")?;
    client.line("CONFIG SET notify-keyspace-events Eh$xg")?;
    client.line("CONFIG RESETSTAT")?;
    client.line("HSET h a 1 b 2 c 3")?;
    client.line("HSET gone a 1 b 2")?;
    client.line("HSET moved a 1 b 2")?;
    watcher.line("WATCH h")?;
    listener.line("PSUBSCRIBE __keyevent@0__:*")?;
    client.line("HPEXPIRE moved 100 FIELDS 1 a")?;
    client.line("RENAME moved here")?;
    client.line("HPEXPIRE h 50 FIELDS 2 a b")?;
    client.line("HPEXPIRE gone 100 FIELDS 2 a b")?;
    let wanted = ["hexpired h", "hexpired here", "hexpired gone", "del gone"];
    wait_for(&mut listener, &wanted)?;
    assert_eq!(call(&mut client, "EXISTS gone h here")?, ":2");
    assert_eq!(call(&mut client, "DBSIZE")?, ":2");
    watcher.line("MULTI")?;
    watcher.line("PING")?;
    assert_eq!(call(&mut watcher, "EXEC")?, "nil-array");
    let stats = client.line("INFO stats")?.text().unwrap_or_default();
    assert!(stats.contains("expired_subkeys:5\r\n"), "{stats}");
    Ok(())
}

/// What outlives a kill: fields with their deadlines, and that others are gone.
fn survives(store: &str) -> TestResult {
    let mut server =
        Server::start_with(Options::new(store).directive("enable-debug-command", "yes"))?;
    let mut client = server.raw()?;
    client.line("DEBUG SET-ACTIVE-EXPIRE 0")?;
    for n in 0..1000 {
        client.line(&format!(
            "HSETEX many PXAT {} FIELDS 1 f{n} {n}",
            9_000_000_000_000_i64 + n
        ))?;
    }
    for line in [
        "HSET few a 1 b 2 c 3",
        "HPEXPIREAT few 9000000000000 FIELDS 2 a b",
        "HPERSIST few FIELDS 1 b",
        "HSET brief a 1 b 2",
        "HPEXPIRE brief 30 FIELDS 1 a",
        "HSETEX gone PX 30 FIELDS 2 a 1 b 2",
        "HSETEX late PX 1500 FIELDS 2 a 1 b 2",
        "HSET late c 3",
    ] {
        assert!(!client.line(line)?.is_error(), "{line}");
    }
    thread::sleep(Duration::from_millis(50));
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    for (line, reply) in [
        ("HLEN many", ":1000"),
        (
            "HPEXPIRETIME many FIELDS 2 f0 f999",
            "[:9000000000000 :9000000000999]",
        ),
        (
            "HPEXPIRETIME few FIELDS 3 a b c",
            "[:9000000000000 :-1 :-1]",
        ),
        ("HMGET brief a b", "[nil 2]"),
        ("HGETALL gone", "[]"),
        ("HMGET late c", "[3]"),
    ] {
        assert_eq!(call(&mut client, line)?, reply, "{line}");
    }
    // The background goes on where it was: it removes what is due, and what becomes due.
    let end = Instant::now() + PATIENCE;
    loop {
        let stats = client.line("INFO stats")?.text().unwrap_or_default();
        if stats.contains("expired_subkeys:5\r\n") {
            break;
        }
        assert!(Instant::now() < end, "{stats}");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(call(&mut client, "EXISTS gone")?, ":0");
    assert_eq!(call(&mut client, "HLEN late")?, ":1");
    assert_eq!(call(&mut client, "DBSIZE")?, ":4");
    server.restart()?;
    let mut client = server.raw()?;
    assert_eq!(call(&mut client, "EXISTS gone late few brief many")?, ":4");
    assert_eq!(call(&mut client, "HGETALL late")?, "[c 3]");
    Ok(())
}

/// Deadlines that are set again and again leave nothing behind, in the pool or in memory.
fn leaves_nothing(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    client.line("FLUSHALL")?;
    for n in 0..3_000 {
        let deadline = 9_000_000_000_000_i64 - n;
        client.line(&format!("HSETEX h PXAT {deadline} FIELDS 1 a {n}"))?;
        if n % 3 == 0 {
            client.line("DEL h")?;
        }
    }
    client.line("DEL h")?;
    let stats = client.line("PMEMKV.STATS")?;
    let stats = stats.items().ok_or("no figures")?.to_vec();
    let mut stats = stats.chunks_exact(2);
    let figure = stats.find(|pair| pair[0].text().as_deref() == Some("hashes-with-deadlines"));
    assert_eq!(figure.ok_or("no such figure")?[1].integer(), Some(0));
    Ok(())
}

/// A hash that is one record gets records of its fields with its first deadline. A kill between two calls loses neither.
fn leaves_the_compact_form(store: &str) -> TestResult {
    let mut server = Server::start(store)?;
    let mut client = server.raw()?;
    for (line, reply) in [
        ("HSET h a 1 b 2 c 3", ":3"),
        ("PEXPIREAT h 9999999999999", ":1"),
        ("OBJECT ENCODING h", "listpack"),
        ("HPERSIST h FIELDS 1 a", "[:-1]"),
        ("OBJECT ENCODING h", "listpack"),
        ("HPEXPIREAT h 9000000000000 FIELDS 1 b", "[:1]"),
        ("HSETEX new PXAT 9000000000001 FIELDS 1 a 1", ":1"),
        ("HSET mixed a 1 b 2", ":2"),
        ("MULTI", "+OK"),
        ("HSET mixed a 5 c 3", "+QUEUED"),
        ("HPEXPIREAT mixed 9000000000002 FIELDS 2 a c", "+QUEUED"),
        ("HDEL mixed b", "+QUEUED"),
        ("EXEC", "[:1 [:1 :1] :1]"),
        ("COPY h copied", ":1"),
    ] {
        assert_eq!(call(&mut client, line)?, reply, "{line}");
    }
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    for (line, reply) in [
        ("HMGET h a b c", "[1 2 3]"),
        ("HPEXPIRETIME h FIELDS 3 a b c", "[:-1 :9000000000000 :-1]"),
        ("PEXPIRETIME h", ":9999999999999"),
        ("OBJECT ENCODING h", "listpackex"),
        ("HGETALL new", "[a 1]"),
        ("HPEXPIRETIME new FIELDS 1 a", "[:9000000000001]"),
        ("HMGET mixed a b c", "[5 nil 3]"),
        (
            "HPEXPIRETIME mixed FIELDS 2 a c",
            "[:9000000000002 :9000000000002]",
        ),
        ("HMGET copied a b c", "[1 2 3]"),
        ("HPEXPIRETIME copied FIELDS 1 b", "[:9000000000000]"),
    ] {
        assert_eq!(call(&mut client, line)?, reply, "{line}");
    }
    Ok(())
}

fn on(store: &str) -> TestResult {
    let server = Server::start_with(Options::new(store).directive("enable-debug-command", "yes"))?;
    replies(&server)?;
    they_are_counted(&server)?;
    nobody_sees_them(&server)?;
    they_are_told_of(&server)?;
    leaves_nothing(&server)
}

#[test]
fn cmap() -> TestResult {
    on("cmap")?;
    leaves_the_compact_form("cmap")?;
    survives("cmap")
}

#[test]
fn cmap_in_pairs() -> TestResult {
    on("cmap/pairs")?;
    leaves_the_compact_form("cmap/pairs")?;
    survives("cmap/pairs")
}

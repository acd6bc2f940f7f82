//! The stream commands over TCP, on every engine.

mod groups;
mod script;

use std::time::{Duration, Instant};

use common::{
    Options, RawClient, Server, TestResult, Value, check_events, encode, on_every_engine, show,
};

use script::SCRIPT;

fn call(client: &mut RawClient, line: &str) -> TestResult<String> {
    Ok(show(&client.line(line)?))
}

fn replies(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for (line, expected) in SCRIPT {
        assert_eq!(call(&mut client, line)?, *expected, "{line}");
    }
    client.line("HELLO 3")?;
    let read = client.line("XREAD COUNT 1 STREAMS s none 2 0")?;
    assert!(matches!(read, Value::Map(_)), "{read:?}");
    assert_eq!(client.line("XREAD STREAMS none 0")?, Value::Null);
    client.line("HELLO 2")?;
    client.line("FLUSHALL")?;
    Ok(())
}

/// XREAD's `+` of Redis 7.4 is the last entry.
fn the_last_entry(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for line in [
        "XADD l 1-1 f a",
        "XADD l 2-1 f b",
        "XADD l 3-1 f c",
        "XDEL l 3-1",
    ] {
        client.line(line)?;
    }
    assert_eq!(
        call(&mut client, "XREAD STREAMS l none + +")?,
        "[[l [[2-1 [f b]]]]]"
    );
    client.line("XTRIM l MAXLEN 0")?;
    assert_eq!(call(&mut client, "XREAD STREAMS l +")?, "nil-array");
    Ok(())
}

/// The options of Redis 8.2 for entries that groups refer to. Group `slow` has read the first two entries.
fn references(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for (line, expected) in [
        ("XADD r 1-1 f a", "1-1"),
        ("XADD r 2-1 f b", "2-1"),
        ("XADD r 3-1 f c", "3-1"),
        ("XADD r 4-1 f d", "4-1"),
        ("XDELEX r ACKED IDS 1 1-1", "[:1]"),
        ("XADD r 5-1 f e", "5-1"),
        ("XGROUP CREATE r g 0", "+OK"),
        ("XGROUP CREATE r slow 0", "+OK"),
    ] {
        assert_eq!(call(&mut client, line)?, expected, "{line}");
    }
    client.line("XREADGROUP GROUP g c STREAMS r >")?;
    client.line("XREADGROUP GROUP slow c COUNT 2 STREAMS r >")?;
    for (line, expected) in [
        (
            "XDELEX r IDS 2 9-9 x",
            "-ERR Invalid stream ID specified as stream command argument",
        ),
        (
            "XDELEX r IDS 0 1-1",
            "-ERR Number of IDs must be a positive integer",
        ),
        (
            "XDELEX r IDS 2 1-1",
            "-ERR The `numids` parameter must match the number of arguments",
        ),
        ("XDELEX r ACKED KEEPREF IDS 1 1-1", "-ERR syntax error"),
        ("XDELEX none ACKED IDS 2 1-1 2-1", "[:-1 :-1]"),
        ("XDELEX r ACKED IDS 3 1-1 2-1 5-1", "[:-1 :2 :2]"),
        ("XTRIM r MAXLEN 0 ACKED", ":0"),
        ("XACKDEL none g IDS 1 1-1", "[:-1]"),
        ("XACKDEL r none IDS 1 1-1", "[:-1]"),
        // Pending in the other group, then in none.
        ("XACKDEL r g ACKED IDS 2 2-1 9-9", "[:2 :-1]"),
        ("XACKDEL r slow ACKED IDS 1 2-1", "[:1]"),
        // Not delivered to the other group yet.
        ("XACKDEL r g ACKED IDS 1 5-1", "[:2]"),
        ("XTRIM r MINID 4 DELREF", ":1"),
        ("XPENDING r g", "[:1 4-1 4-1 [[c 1]]]"),
        ("XPENDING r slow", "[:0 nil nil nil-array]"),
        ("XDELEX r KEEPREF IDS 1 4-1", "[:1]"),
        ("XPENDING r g", "[:1 4-1 4-1 [[c 1]]]"),
        ("XDELEX r IDS 1 4-1 DELREF", "[:-1]"),
        ("XPENDING r g", "[:0 nil nil nil-array]"),
        ("XRANGE r - +", "[[5-1 [f e]]]"),
        ("XADD r ACKED MAXLEN 1 6-1 f f", "6-1"),
        ("XLEN r", ":2"),
        ("XGROUP DESTROY r slow", ":1"),
        ("XADD r MAXLEN 1 ACKED 7-1 f g", "7-1"),
        ("XRANGE r - +", "[[6-1 [f f]] [7-1 [f g]]]"),
    ] {
        assert_eq!(call(&mut client, line)?, expected, "{line}");
    }
    Ok(())
}

/// Fields and values of all lengths and bytes come back, in nodes of all sizes.
fn large_and_binary_fields(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    let bytes = |len: usize| -> Vec<u8> { (0..=255).cycle().take(len).collect() };
    let lens = [0, 1, 255, 4096, 65_536, 1 << 20, 3];
    for (number, len) in (1..).zip(lens) {
        let id = format!("{number}-1").into_bytes();
        let words = [
            b"XADD".to_vec(),
            b"large".to_vec(),
            id,
            bytes(len),
            bytes(len / 2),
        ];
        client.call(&words)?;
    }
    let reply = client.line("XRANGE large - +")?;
    let entries = reply.items().ok_or("no array")?;
    assert_eq!(entries.len(), lens.len());
    for (entry, len) in entries.iter().zip(lens) {
        let fields = entry
            .items()
            .and_then(|entry| entry[1].items())
            .ok_or("no fields")?;
        assert!(
            fields[0].bytes() == Some(&bytes(len)) && fields[1].bytes() == Some(&bytes(len / 2))
        );
    }
    Ok(())
}

/// Nodes end where Redis's do, so that approximate trimming leaves what Redis leaves.
fn approximate_trimming(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for number in 1..=250 {
        client.line(&format!("XADD nodes {number}-1 f v"))?;
    }
    let info = client.line("XINFO STREAM nodes")?;
    assert_eq!(show(&info.items().ok_or("no array")?[3]), ":3");
    for (line, expected) in [
        ("XTRIM nodes MAXLEN ~ 151", ":0"),
        ("XTRIM nodes MAXLEN ~ 150", ":100"),
        ("XTRIM nodes MINID ~ 200", ":0"),
        ("XTRIM nodes MINID ~ 201 LIMIT 99", ":0"),
        ("XTRIM nodes MINID ~ 201 LIMIT 100", ":100"),
        ("XLEN nodes", ":50"),
        ("XADD nodes MAXLEN ~ 1 251-1 f v", "251-1"),
        ("XLEN nodes", ":51"),
        ("XADD nodes MAXLEN ~ 0 252-1 f v", "252-1"),
        ("XLEN nodes", ":0"),
        ("XADD nodes 253-1 f v", "253-1"),
        ("XRANGE nodes - +", "[[253-1 [f v]]]"),
    ] {
        assert_eq!(call(&mut client, line)?, expected, "{line}");
    }
    client.line("CONFIG SET stream-node-max-entries 10")?;
    for number in 1..=35 {
        client.line(&format!("XADD small {number}-1 f v"))?;
    }
    assert_eq!(call(&mut client, "XTRIM small MAXLEN ~ 7")?, ":20");
    client.line("CONFIG SET stream-node-max-entries 100")?;
    Ok(())
}

/// Events in Redis's order.
fn events(server: &Server) -> TestResult {
    check_events(
        server,
        &[
            ("XADD v 1-1 f v", "new xadd"),
            ("XADD v MAXLEN 1 2-1 f v", "xadd xtrim"),
            ("XADD v 2-1 f v", ""),
            ("XDEL v 9-9", ""),
            ("XDEL v 2-1", "xdel"),
            ("XTRIM v MAXLEN 0", ""),
            ("XSETID v 5-1", "xsetid"),
            ("XGROUP CREATE v g 0", "xgroup-create"),
            ("XGROUP CREATE v g 0", ""),
            ("XGROUP CREATE w g 0 MKSTREAM", "new xgroup-create"),
            ("XGROUP SETID v g 0", "xgroup-setid"),
            ("XGROUP CREATECONSUMER v g c", "xgroup-createconsumer"),
            ("XGROUP CREATECONSUMER v g c", ""),
            ("XADD v 6-1 f v", "xadd"),
            ("XREADGROUP GROUP g d STREAMS v >", "xgroup-createconsumer"),
            ("XREADGROUP GROUP g d STREAMS v >", ""),
            ("XCLAIM v g e 0 6-1", "xgroup-createconsumer"),
            ("XAUTOCLAIM v g f 0 0", "xgroup-createconsumer"),
            ("XACK v g 6-1", ""),
            ("XGROUP DELCONSUMER v g c", "xgroup-delconsumer"),
            ("XGROUP DELCONSUMER v g c", ""),
            ("XGROUP DESTROY v g", "xgroup-destroy"),
            ("DEL v w", "del del"),
        ],
    )
}

/// A transaction is one step, and a script sees streams too. A new entry stops a transaction that watches the stream; a
/// change of its groups does not.
fn transactions(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    client.line("MULTI")?;
    for line in [
        "XADD t 1-1 f v",
        "XGROUP CREATE t g 0",
        "XREADGROUP GROUP g c BLOCK 0 STREAMS t >",
        "XREADGROUP GROUP g c BLOCK 0 STREAMS t >",
        "XREAD BLOCK 0 STREAMS t $",
        "XACK t g 1-1",
        "XDEL t 1-1",
        "XLEN t",
    ] {
        client.line(line)?;
    }
    let expected = "[1-1 +OK [[t [[1-1 [f v]]]]] nil-array nil-array :1 :1 :0]";
    assert_eq!(call(&mut client, "EXEC")?, expected);
    for (change, stops) in [
        ("XADD t 2-1 f v", true),
        ("XREADGROUP GROUP g c STREAMS t >", false),
    ] {
        client.line("WATCH t")?;
        server.raw()?.line(change)?;
        client.line("MULTI")?;
        client.line("XLEN t")?;
        let expected = if stops { "nil-array" } else { "[:1]" };
        assert_eq!(call(&mut client, "EXEC")?, expected, "{change}");
    }
    let script = "redis.call('XADD', KEYS[1], '3-1', 'f', 'w') return redis.call('XRANGE', KEYS[1], '3', '+')";
    let reply = client.call(&["EVAL", script, "1", "t"])?;
    assert_eq!(show(&reply), "[[3-1 [f w]]]");
    let script = "return redis.call('XREAD', 'BLOCK', 0, 'STREAMS', KEYS[1], '$')";
    let reply = show(&client.call(&["EVAL", script, "1", "t"])?);
    assert!(
        reply.contains("not allowed with BLOCK option from scripts"),
        "{reply}"
    );
    Ok(())
}

/// Acknowledged writes are there after the process was killed.
fn survives_kill_9(store: &str) -> TestResult {
    let mut server = Server::start_with(Options::new(store))?;
    let mut client = server.raw()?;
    for number in 1..=230 {
        client.line(&format!(
            "XADD k {number}-1 number {number} long {number:0>40}"
        ))?;
    }
    for line in [
        "XDEL k 3-1 150-1 151-1 230-1",
        "XTRIM k MAXLEN 200",
        "XGROUP CREATE k g 50",
        "XGROUP CREATE k other 0",
        "XGROUP CREATE k gone 0",
        "XREADGROUP GROUP gone c STREAMS k >",
        "XREADGROUP GROUP g alice COUNT 10 STREAMS k >",
        "XREADGROUP GROUP g bob COUNT 10 STREAMS k >",
        "XACK k g 51-1 61-1",
        "XCLAIM k g carol 0 52-1",
        "XGROUP DESTROY k gone",
        "XGROUP DELCONSUMER k g bob",
        "XADD empty 5-1 f v",
        "XTRIM empty MAXLEN 0",
        "XSETID empty 7-1 ENTRIESADDED 70 MAXDELETEDID 6-1",
        "XADD removed 1-1 f v",
        "DEL removed",
        "COPY k copy",
        "RENAME copy renamed",
    ] {
        let reply = client.line(line)?;
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
    let looks = [
        "XRANGE k - +",
        "XREVRANGE renamed + -",
        "XINFO STREAM k",
        "XINFO STREAM empty",
        "XINFO GROUPS k",
        "XINFO GROUPS renamed",
        "XPENDING k g",
        "XPENDING renamed other",
        "EXISTS removed",
    ];
    let look = |server: &Server| -> TestResult<Vec<String>> {
        let mut client = server.raw()?;
        looks.iter().map(|line| call(&mut client, line)).collect()
    };
    let before = look(&server)?;
    for _ in 0..2 {
        server.kill_9()?;
        server.resume()?;
        assert_eq!(look(&server)?, before);
    }
    let mut client = server.raw()?;
    for (line, expected) in [
        (
            "XADD k 229-1 f v",
            "-ERR The ID specified in XADD is equal or smaller than the target stream top item",
        ),
        ("XADD k 231-1 f v", "231-1"),
        (
            "XREADGROUP GROUP g alice COUNT 1 STREAMS k >",
            "[[k [[70-1 [number 70 long 0000000000000000000000000000000000000070]]]]]",
        ),
        ("XACK k g 52-1", ":1"),
        ("XADD empty 7-2 f v", "7-2"),
        ("XGROUP CREATE k gone 0", "+OK"),
        ("XPENDING k gone", "[:0 nil nil nil-array]"),
    ] {
        assert_eq!(call(&mut client, line)?, expected, "{line}");
    }
    Ok(())
}

fn on(store: &str) -> TestResult {
    let server = Server::start(store)?;
    replies(&server)?;
    the_last_entry(&server)?;
    references(&server)?;
    large_and_binary_fields(&server)?;
    approximate_trimming(&server)?;
    events(&server)?;
    transactions(&server)
}

on_every_engine!(on, persistent: survives_kill_9);

/// Full nodes replace the records of their entries. A server at rest wins the place of these back, though it needs none.
#[test]
fn a_server_at_rest_keeps_little_that_full_nodes_have_replaced() -> TestResult {
    let mut server = Server::start_with(Options::new("cmap").pool_size("256mb"))?;
    let mut client = server.raw()?;
    let mut bytes = Vec::new();
    for n in 0..30_000 {
        let value = format!("{n:080}");
        encode(&mut bytes, &["XADD", "s", "*", "field", &value]);
    }
    client.send_bytes(&bytes)?;
    for _ in 0..30_000 {
        assert!(!client.read()?.is_error());
    }
    let figure = |client: &mut RawClient, name: &str| -> TestResult<u64> {
        let info = client.line("INFO pmemkv")?.text().ok_or("no text")?;
        let mut lines = info.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(value.ok_or_else(|| format!("no {name}"))?.parse()?)
    };
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let used = figure(&mut client, "segments")? - figure(&mut client, "segments_free")?;
        let live = figure(&mut client, "live_bytes")?;
        // A segment of each log is not full yet.
        let needed = live.div_ceil(1 << 20) + 2;
        if used <= needed + 1 {
            break;
        }
        assert!(Instant::now() < until, "{used} segments for {live} bytes");
        std::thread::sleep(Duration::from_millis(50));
    }
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    assert_eq!(call(&mut client, "XLEN s")?, ":30000");
    let last = client.line("XREVRANGE s + - COUNT 1")?;
    assert!(show(&last).contains(&format!("{:080}", 29_999)), "{last:?}");
    Ok(())
}

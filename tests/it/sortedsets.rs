//! The sorted-set commands over TCP, on every engine. The replies are those of a real server of the protocol.

mod calls;

use calls::{RESP3, SCRIPT};
use common::{Options, RawClient, Server, TestResult, Value, check_events, on_every_engine, show};

fn run(client: &mut RawClient, script: &[(&str, &str)]) -> TestResult {
    for (line, expected) in script {
        assert_eq!(show(&client.line(line)?), *expected, "{line}");
    }
    Ok(())
}

fn replies(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    run(&mut client, SCRIPT)?;
    client.line("FLUSHALL")?;
    client.line("HELLO 3")?;
    run(&mut client, RESP3)?;
    client.line("FLUSHALL")?;
    Ok(())
}

/// A large sorted set: ranks, ranges and pops agree with the expected order.
fn many_members(server: &Server) -> TestResult {
    const MEMBERS: usize = 3000;
    let mut client = server.raw()?;
    // Three members of each score, added in another order.
    for start in (0..MEMBERS).step_by(100) {
        let mut words = vec!["ZADD".to_owned(), "many".to_owned()];
        for n in start..start + 100 {
            let n = n * 1999 % MEMBERS;
            words.extend([(n / 3).to_string(), format!("m{n:04}")]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(client.call(&words)?, Value::Integer(100));
    }
    run(
        &mut client,
        &[
            ("ZCARD many", ":3000"),
            ("ZRANK many m1234", ":1234"),
            ("ZREVRANK many m1234", ":1765"),
            ("ZRANGE many 1500 1502", "[m1500 m1501 m1502]"),
            ("ZRANGE many 998 998 BYSCORE", "[m2994 m2995 m2996]"),
            ("ZCOUNT many (10 20", ":30"),
            ("ZRANGEBYSCORE many 500 +inf LIMIT 2 2", "[m1502 m1503]"),
            (
                "ZRANGE many 500 -inf BYSCORE REV LIMIT 1 2",
                "[m1501 m1500]",
            ),
            ("ZREMRANGEBYRANK many 10 2989", ":2980"),
            ("ZPOPMAX many 2", "[m2999 999 m2998 999]"),
            (
                "ZPOPMIN many 9",
                "[m0000 0 m0001 0 m0002 0 m0003 1 m0004 1 m0005 1 m0006 2 m0007 2 m0008 2]",
            ),
            (
                "ZRANGE many 0 -1",
                "[m0009 m2990 m2991 m2992 m2993 m2994 m2995 m2996 m2997]",
            ),
            ("ZSCAN many 0 MATCH *9?0", "[0 [m2990 996]]"),
            ("DEL many", ":1"),
        ],
    )?;
    // A large sorted set keeps -0, a small one does not.
    let zeros: Vec<String> = (0..129).map(|n| format!("0 {n}")).collect();
    client.line(&format!("ZADD zeros {}", zeros.join(" ")))?;
    run(
        &mut client,
        &[
            ("ZADD zeros -0 m", ":1"),
            ("ZSCORE zeros m", "-0"),
            (
                "ZRANGESTORE few zeros m m BYSCORE",
                "-ERR min or max is not a float",
            ),
            ("ZRANGESTORE few zeros -1 -1", ":1"),
            ("ZRANGE few 0 -1 WITHSCORES", "[m 0]"),
            ("DEL zeros few", ":2"),
        ],
    )
}

/// Random draws give members, distinct ones where they must be, and each member is drawn at some time.
fn random_members(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    client.line("ZADD draw 1 a 2 b 3 c 4 d")?;
    let drawn = |client: &mut RawClient, line: &str| -> TestResult<Vec<String>> {
        let reply = client.line(line)?;
        let items = reply.items().ok_or("no array")?;
        Ok(items.iter().map(show).collect())
    };
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let mut members = drawn(&mut client, "ZRANDMEMBER draw 3")?;
        members.sort_unstable();
        members.dedup();
        assert_eq!(members.len(), 3);
        seen.extend(members);
    }
    // A member that 200 draws of 3 out of 4 never gave would be no accident.
    assert_eq!(seen.len(), 4);
    assert_eq!(drawn(&mut client, "ZRANDMEMBER draw -50")?.len(), 50);
    let scored = drawn(&mut client, "ZRANDMEMBER draw -50 WITHSCORES")?;
    for pair in scored.chunks(2) {
        let score = "abcd".find(pair[0].as_str()).ok_or("no member")? + 1;
        assert_eq!(pair[1], score.to_string());
    }
    Ok(())
}

/// A deadline stays while a sorted set changes, and goes with it; a transaction sees its own changes.
fn deadlines_and_transactions(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    run(
        &mut client,
        &[
            ("ZADD d 1 a 2 b 3 c", ":3"),
            ("PEXPIREAT d 99999999999999", ":1"),
            ("ZADD d 4 d", ":1"),
            ("ZPOPMIN d", "[a 1]"),
            ("ZREMRANGEBYRANK d 0 0", ":1"),
            ("PEXPIRETIME d", ":99999999999999"),
            ("ZUNIONSTORE d 1 d", ":2"),
            ("PTTL d", ":-1"),
            ("PEXPIREAT d 1", ":1"),
            ("ZCARD d", ":0"),
            ("ZADD d XX 1 c", ":0"),
            ("MULTI", "+OK"),
            ("ZADD t 2 a 1 b", "+QUEUED"),
            ("ZINCRBY t 5 b", "+QUEUED"),
            ("ZRANGE t 0 -1 WITHSCORES", "+QUEUED"),
            ("ZPOPMAX t 5", "+QUEUED"),
            ("ZMPOP 1 t MIN", "+QUEUED"),
            ("ZADD t 3 c", "+QUEUED"),
            ("EXEC", "[:2 6 [a 2 b 6] [b 6 a 2] nil-array :1]"),
        ],
    )?;
    client.line("WATCH t")?;
    server.raw()?.line("ZADD t 4 c")?;
    client.line("MULTI")?;
    client.line("ZPOPMIN t")?;
    assert_eq!(client.line("EXEC")?, Value::NullArray);
    Ok(())
}

/// Hits and misses count as in Redis: for keys that a command reads, also to store a result, but not for keys that it
/// pops from.
fn lookups(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for line in ["FLUSHALL", "ZADD z 1 a", "SET str v", "CONFIG RESETSTAT"] {
        client.line(line)?;
    }
    for (line, hits, misses) in [
        ("ZPOPMIN none", 0, 0),
        ("ZMPOP 1 none MIN", 0, 0),
        ("ZREM none a", 0, 0),
        ("ZADD z 2 b", 0, 0),
        ("ZSCORE z a", 1, 0),
        ("ZCARD none", 0, 1),
        ("ZINTERCARD 2 z none", 1, 1),
        ("ZRANGESTORE d z 0 -1", 1, 0),
        ("ZRANGESTORE d none 0 -1", 0, 1),
        ("ZUNION 3 z str none", 2, 0),
        ("ZUNIONSTORE d 3 z none z", 2, 1),
        ("ZDIFF 2 none z", 1, 1),
    ] {
        let before = figures(&mut client)?;
        client.line(line)?;
        let after = figures(&mut client)?;
        assert_eq!(
            (after.0 - before.0, after.1 - before.1),
            (hits, misses),
            "{line}"
        );
    }
    Ok(())
}

fn figures(client: &mut RawClient) -> TestResult<(u64, u64)> {
    let info = client.line("INFO stats")?.text().ok_or("no text")?;
    let figure = |name: &str| -> TestResult<u64> {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.ok_or("no figure")?.parse()?)
    };
    Ok((figure("keyspace_hits:")?, figure("keyspace_misses:")?))
}

/// Events in Redis's order.
fn events(server: &Server) -> TestResult {
    check_events(
        server,
        &[
            ("ZADD v 1 a 2 b", "new zadd"),
            ("ZADD v 1 a", ""),
            ("ZADD v XX 5 none", ""),
            ("ZADD v INCR 1 a", "zincr"),
            ("ZINCRBY v 1 c", "zincr"),
            ("ZREM v none", ""),
            ("ZREM v c", "zrem"),
            ("ZREMRANGEBYRANK v 0 0", "zremrangebyrank"),
            ("ZREMRANGEBYSCORE v 5 6", ""),
            ("ZREMRANGEBYSCORE v 0 6", "zremrangebyscore del"),
            ("ZADD v 0 a 0 b 0 c", "new zadd"),
            ("ZREMRANGEBYLEX v - [a", "zremrangebylex"),
            ("ZPOPMIN v", "zpopmin"),
            ("ZPOPMAX v", "zpopmax del"),
            ("ZPOPMAX v", ""),
            ("ZADD v 1 a 2 b", "new zadd"),
            ("ZMPOP 2 none v MAX", "zpopmax"),
            ("ZPOPMIN v 0", ""),
            ("ZRANGESTORE w v 0 -1", "new zrangestore"),
            ("ZRANGESTORE w none 0 -1", "del"),
            ("ZRANGESTORE w none 0 -1", ""),
            ("ZUNIONSTORE w 1 v", "new zunionstore"),
            ("ZINTERSTORE w 1 v", "zinterstore"),
            ("ZDIFFSTORE w 1 v", "zdiffstore"),
            ("ZDIFFSTORE w 2 v v", "del"),
            ("ZUNIONSTORE w 1 none", ""),
        ],
    )
}

/// Acknowledged writes are there after the process was killed.
fn survives_kill_9(store: &str) -> TestResult {
    let mut server = Server::start_with(Options::new(store))?;
    let mut client = server.raw()?;
    for line in [
        "ZADD k 1 a 2 b 3 c 4 d 5 e 6 f",
        "ZINCRBY k 1.25 a",
        "ZREM k b",
        "ZPOPMIN k",
        "ZPOPMAX k",
        "ZADD k -inf low inf high -2.5 c",
        "ZREMRANGEBYSCORE k 5 5",
        "ZUNIONSTORE u 2 k k WEIGHTS 1 2 AGGREGATE MAX",
        "ZRANGESTORE r k 0 1",
        "ZADD gone 1 a",
        "ZREM gone a",
    ] {
        client.line(line)?;
    }
    // With a name this long, the score has a record of its own.
    let long = "x".repeat(60_000);
    client.call(&["ZADD", "long", "1.5", &long, "2", "short"])?;
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    assert_eq!(show(&client.call(&["ZSCORE", "long", &long])?), "1.5");
    run(
        &mut client,
        &[
            ("ZRANGE k 0 -1 WITHSCORES", "[low -inf c -2.5 d 4 high inf]"),
            ("ZRANGE u 0 -1 WITHSCORES", "[low -inf c -2.5 d 8 high inf]"),
            ("ZRANGE r 0 -1 WITHSCORES", "[low -inf c -2.5]"),
            ("EXISTS gone", ":0"),
            ("ZRANK long short", ":1"),
            ("ZADD k 3 g", ":1"),
            ("ZRANK k g", ":2"),
            ("ZRANGE k 3 9 BYSCORE", "[g d]"),
        ],
    )
}

fn on(store: &str) -> TestResult {
    let server = Server::start(store)?;
    replies(&server)?;
    many_members(&server)?;
    random_members(&server)?;
    deadlines_and_transactions(&server)?;
    events(&server)?;
    lookups(&server)
}

on_every_engine!(on, persistent: survives_kill_9);

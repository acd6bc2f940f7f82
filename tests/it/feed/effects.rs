//! What each call becomes on replicas.

use super::replica::Replica;
use common::{Options, RawClient, Server, TestResult};

/// Runs calls, and compares what replicas get for each with what is expected: commands separated by `; `. In these `<T>`
/// stands for a time in ms, `<ID>` for an id of a stream, and `<...>` for any bytes.
fn check(server: &Server, cases: &[(&str, &str)]) -> TestResult {
    let (mut replica, _) = Replica::follow(server.port())?;
    let mut client = server.raw()?;
    let mut failures = Vec::new();
    for &(calls, expected) in cases {
        for call in calls.split("; ") {
            let reply = client.line(call)?;
            if reply.is_error() && !call.starts_with("BAD") {
                let text = reply.text().unwrap_or_default();
                assert!(expected.is_empty(), "{call}: {text}");
            }
        }
        client.line("PUBLISH mark 1")?;
        let commands = replica.until("mark")?;
        // Where the stream stands is no matter of the call.
        let commands = commands.iter().filter(|one| !one.starts_with("SELECT 0"));
        let got = commands
            .map(|one| masked(one))
            .collect::<Vec<_>>()
            .join("; ");
        if got != expected {
            failures.push(format!("{calls}\n  expected {expected}\n  got      {got}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// A command with placeholders for what differs from run to run.
fn masked(command: &str) -> String {
    let words = command.split(' ').map(|word| {
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if word.len() == 13 && digits(word) {
            "<T>"
        } else if let Some((ms, seq)) = word.split_once('-')
            && ms.len() == 13
            && digits(ms)
            && digits(seq)
        {
            "<ID>"
        } else if word.contains("\\x") {
            "<...>"
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn server(store: &str) -> TestResult<Server> {
    Server::start_with(Options::new(store).directive("worker-threads", "2"))
}

#[test]
fn keys_and_deadlines() -> TestResult {
    let server = server("cmap")?;
    check(
        &server,
        &[
            ("SET a 1", "set a 1"),
            ("GET a", ""),
            ("SET a 2 NX", ""),
            ("SET a 2 EX 100", "SET a 2 PXAT <T>"),
            ("SETEX a 100 3", "SET a 3 PXAT <T>"),
            ("PSETEX a 100000 3", "SET a 3 PXAT <T>"),
            ("SET a 4 KEEPTTL", "set a 4 KEEPTTL"),
            ("SET a 5 PXAT 1", "DEL a"),
            ("SET a 5 GET", "set a 5 GET"),
            ("GETEX a", ""),
            ("GETEX a EX 100", "PEXPIREAT a <T>"),
            ("GETEX a PERSIST", "PERSIST a"),
            ("GETEX a PERSIST", ""),
            ("EXPIRE a 100", "PEXPIREAT a <T>"),
            ("EXPIRE a 50 GT", ""),
            ("PERSIST a", "persist a"),
            ("EXPIRE a -1", "DEL a"),
            ("EXPIRE a 100", ""),
            ("MSET a 1 b 2", "mset a 1 b 2"),
            ("MSETNX a 1 c 2", ""),
            ("DEL a nothing b", "DEL a; DEL b"),
            ("UNLINK a b", ""),
            ("SET a 1.5; INCRBYFLOAT a 1", "set a 1.5; SET a 2.5 KEEPTTL"),
            ("SET a 1; INCR a", "set a 1; incr a"),
            ("APPEND a", ""),
            ("GETDEL a", "getdel a"),
            ("SET a 1; RENAME a b", "set a 1; rename a b"),
            ("COPY b c DB 3", "copy b c DB 3"),
            ("MOVE c 4", ""),
            ("PFADD h 1 2; PFADD h 1", "pfadd h 1 2"),
            (
                "HSET f a 1; HINCRBYFLOAT f a 0.5",
                "hset f a 1; HSET f a 1.5",
            ),
            ("HDEL f a", "hdel f a"),
            ("FLUSHDB", "flushdb"),
            ("SWAPDB 0 1", "swapdb 0 1"),
            ("FLUSHALL ASYNC", "flushall ASYNC"),
            ("PUBLISH c m", "publish c m"),
            ("SPUBLISH c m", "spublish c m"),
            ("WAIT 0 1", ""),
            ("CONFIG SET timeout 0", ""),
        ],
    )
}

#[test]
fn what_draws_or_waits() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let server = server(store)?;
        check(
            &server,
            &[
                ("SADD s a; SPOP s", "sadd s a; SREM s a"),
                ("SADD s a b; SPOP s 5", "sadd s a b; DEL s"),
                ("SPOP s", ""),
                ("SRANDMEMBER s", ""),
                ("RPUSH l a b c d; BLPOP l 0", "rpush l a b c d; LPOP l 1"),
                ("BRPOP nothing l 0", "RPOP l 1"),
                ("BLMPOP 0 2 nothing l LEFT COUNT 5", "LPOP l 2"),
                ("BLPOP l 0.01", ""),
                (
                    "RPUSH l a b; BLMOVE l m LEFT RIGHT 0",
                    "rpush l a b; LMOVE l m LEFT RIGHT",
                ),
                ("BRPOPLPUSH l m 0", "LMOVE l m RIGHT LEFT"),
                ("LMPOP 2 l m RIGHT", "RPOP m 1"),
                (
                    "ZADD z 1 a 2 b 3 c; BZPOPMIN z 0",
                    "zadd z 1 a 2 b 3 c; zpopmin z 1",
                ),
                ("BZMPOP 0 1 z MAX COUNT 9", "zpopmax z 2"),
                (
                    "RPUSH u 2 1; SORT u STORE v",
                    "rpush u 2 1; RESTORE v 0 <...> REPLACE ABSTTL",
                ),
                ("SORT nothing STORE nowhere", ""),
                ("RESTORE r 0 bad", ""),
            ],
        )?;
    }
    Ok(())
}

#[test]
fn streams_and_groups() -> TestResult {
    let server = server("cmap")?;
    check(
        &server,
        &[
            ("XADD x * f v", "XADD x <ID> f v"),
            (
                "XADD x NOMKSTREAM MAXLEN 1 * f v",
                "XADD x NOMKSTREAM MAXLEN = 1 <ID> f v",
            ),
            ("XADD x MAXLEN ~ 1 * f v", "XADD x <ID> f v"),
            ("XADD nothing NOMKSTREAM * f v", ""),
            ("XTRIM x MAXLEN 1", "XTRIM x MAXLEN = 1"),
            ("XTRIM x MAXLEN 1", ""),
            ("XGROUP CREATE x g 0", "xgroup CREATE x g 0"),
            (
                "XREADGROUP GROUP g c COUNT 1 STREAMS x >",
                "MULTI; XGROUP CREATECONSUMER x g c; \
                 XCLAIM x g c 0 <ID> TIME <T> RETRYCOUNT 1 FORCE JUSTID LASTID <ID>; \
                 XGROUP SETID x g <ID> ENTRIESREAD 3; EXEC",
            ),
            ("XREADGROUP GROUP g c COUNT 1 STREAMS x >", ""),
            (
                "XREADGROUP GROUP g c STREAMS x 0",
                "XCLAIM x g c 0 <ID> TIME <T> RETRYCOUNT 2 FORCE JUSTID LASTID <ID>",
            ),
            (
                "XAUTOCLAIM x g d 0 0",
                "MULTI; XGROUP CREATECONSUMER x g d; \
                 XCLAIM x g d 0 <ID> TIME <T> RETRYCOUNT 3 FORCE JUSTID LASTID <ID>; EXEC",
            ),
            (
                "XADD y 1-1 f v; XGROUP CREATE y g 0; XREADGROUP GROUP g c NOACK STREAMS y >",
                "XADD y 1-1 f v; xgroup CREATE y g 0; \
                 MULTI; XGROUP CREATECONSUMER y g c; XGROUP SETID y g 1-1 ENTRIESREAD 1; EXEC",
            ),
            (
                "XADD y 2-1 f v; XREADGROUP GROUP g c STREAMS y >; XACKDEL y g DELREF IDS 1 2-1",
                "XADD y 2-1 f v; MULTI; \
                 XCLAIM y g c 0 2-1 TIME <T> RETRYCOUNT 1 FORCE JUSTID LASTID 2-1; \
                 XGROUP SETID y g 2-1 ENTRIESREAD 2; EXEC; \
                 MULTI; XACK y g 2-1; XACK y g 2-1; XDEL y 2-1; EXEC",
            ),
            ("XACK y g 2-1", ""),
            ("XDEL y 1-1", "xdel y 1-1"),
            ("XSETID y 9-9", "xsetid y 9-9"),
        ],
    )
}

#[test]
fn steps_are_transactions() -> TestResult {
    let server = server("cmap")?;
    check(
        &server,
        &[
            (
                "MULTI; SET a 1; INCR a; EXEC",
                "MULTI; set a 1; incr a; EXEC",
            ),
            ("MULTI; GET a; SET a 1; EXEC", "set a 1"),
            ("MULTI; GET a; EXEC", ""),
            ("MULTI; SET a 1; DISCARD", ""),
            (
                "MULTI; SET a 1; SELECT 2; SET b 2; SELECT 0; EXEC",
                "MULTI; set a 1; SELECT 2; set b 2; EXEC",
            ),
            (
                "EVAL redis.call('set','a','x')redis.call('lpush','l','y') 0",
                "MULTI; set a x; lpush l y; EXEC",
            ),
            (
                "EVAL redis.call('spop','s')redis.call('set','e','1','px','90000') 0",
                "SET e 1 PXAT <T>",
            ),
            ("EVAL return(redis.call('get','a')) 0", ""),
        ],
    )
}

/// What a script did before its error stands, as in Redis.
#[test]
fn a_script_that_fails_has_effects() -> TestResult {
    let server = server("cmap")?;
    let (mut replica, _) = Replica::follow(server.port())?;
    let mut client = server.raw()?;
    let script = "redis.call('set','a','z') error('x')";
    assert!(client.call(&["EVAL", script, "0"])?.is_error());
    client.line("PUBLISH mark 1")?;
    assert_eq!(replica.until("mark")?, ["SELECT 0", "set a z"]);
    Ok(())
}

#[test]
fn functions_are_loaded_on_replicas_too() -> TestResult {
    let server = server("cmap")?;
    let (mut replica, _) = Replica::follow(server.port())?;
    let mut client = server.raw()?;
    let code = "#!lua name=lib\nredis.register_function('f', function() return redis.call('set','k','v') end)";
    client.call(&["FUNCTION", "LOAD", code])?;
    client.line("FCALL f 0")?;
    client.line("FUNCTION DELETE nothing")?;
    client.line("FUNCTION DELETE lib")?;
    client.line("PUBLISH mark 1")?;
    let commands = replica.until("mark")?;
    assert_eq!(commands.len(), 4, "{commands:?}");
    assert!(
        commands[1].starts_with("function LOAD #!lua name=lib"),
        "{commands:?}"
    );
    assert_eq!(commands[2..], ["set k v", "function DELETE lib"]);
    Ok(())
}

/// Commands that the stream has, once it has this one.
fn stream_until(replica: &mut Replica, end: &str) -> TestResult<Vec<String>> {
    let mut commands = Vec::new();
    loop {
        let command = replica.command()?;
        let is_end = command == end;
        commands.push(command);
        if is_end {
            return Ok(commands);
        }
    }
}

#[test]
fn keys_that_go_by_themselves_are_deleted() -> TestResult {
    let server = server("cmap")?;
    let (mut replica, _) = Replica::follow(server.port())?;
    let mut client = server.raw()?;
    client.line("SET gone 1 PX 20")?;
    let commands = stream_until(&mut replica, "DEL gone")?;
    assert!(
        commands
            .iter()
            .any(|one| one.starts_with("SET gone 1 PXAT"))
    );
    // A command that meets such a key says first that it is gone.
    client.line("DEBUG SET-ACTIVE-EXPIRE 0")?;
    client.line("RPUSH list old")?;
    client.line("PEXPIRE list 5")?;
    client.line("SADD source a")?;
    client.line("PEXPIRE source 5")?;
    std::thread::sleep(std::time::Duration::from_millis(30));
    client.line("RPUSH list new")?;
    client.line("SUNIONSTORE target source other")?;
    client.line("MULTI")?;
    client.line("RPUSH list newer")?;
    client.line("EXEC")?;
    client.line("PUBLISH mark 1")?;
    let commands = replica.until("mark")?;
    let at = |text: &str| {
        let at = commands.iter().position(|one| one == text);
        at.ok_or_else(|| format!("no {text} in {commands:?}"))
    };
    assert!(at("DEL list")? < at("rpush list new")?);
    assert!(at("DEL source")? > at("sadd source a")?);
    assert!(at("rpush list newer")? > at("rpush list new")?);
    Ok(())
}

#[test]
fn evicted_keys_are_deleted() -> TestResult {
    let options = Options::new("cmap")
        .pool_size("64mb")
        .directive("maxmemory", "8mb")
        .directive("maxmemory-policy", "allkeys-lru");
    let server = Server::start_with(options)?;
    let (mut replica, _) = Replica::follow(server.port())?;
    let mut client = server.raw()?;
    let value = "v".repeat(10_000);
    for n in 0..1_500 {
        client.call(&["SET", &format!("k{n}"), &value])?;
    }
    client.line("PUBLISH mark 1")?;
    let commands = replica.until("mark")?;
    let deleted = commands
        .iter()
        .filter(|one| one.starts_with("DEL k"))
        .count();
    let left = client.line("DBSIZE")?.integer().unwrap_or(0);
    assert!(deleted > 100, "{deleted}");
    // The background may evict some more behind the mark.
    let known = left + i64::try_from(deleted)?;
    assert!((1_450..=1_500).contains(&known), "{left} and {deleted}");
    Ok(())
}

/// Two workers' changes of one key reach replicas in the order in which they happened.
#[test]
fn the_order_of_a_key_is_kept() -> TestResult {
    let server = server("cmap")?;
    let (mut replica, _) = Replica::follow(server.port())?;
    let port = server.port();
    let writers: Vec<_> = (0..4)
        .map(|n| {
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut client = RawClient::connect(port)?;
                for step in 0..300 {
                    client.line(&format!("APPEND a {n}:{step},"))?;
                }
                Ok(())
            })
        })
        .collect();
    for writer in writers {
        writer.join().map_err(|_| "a writer panicked")??;
    }
    let mut client = server.raw()?;
    client.line("PUBLISH mark 1")?;
    let text: String = replica
        .until("mark")?
        .iter()
        .filter_map(|command| command.strip_prefix("append a "))
        .collect();
    assert_eq!(client.line("GET a")?.text(), Some(text));
    Ok(())
}

#[test]
fn newer_calls_and_deadlines_of_fields() -> TestResult {
    let server = server("cmap")?;
    check(
        &server,
        &[
            ("HSET h a 1 b 2 c 3", "hset h a 1 b 2 c 3"),
            ("HEXPIRE h 100 FIELDS 2 a x", "HPEXPIREAT h <T> FIELDS 1 a"),
            ("HEXPIRE h 0 FIELDS 1 b", "HDEL h b"),
            ("HEXPIRE h 100 GT FIELDS 1 c", ""),
            (
                "HINCRBYFLOAT h a 0.5",
                "MULTI; HSET h a 1.5; HPEXPIREAT h <T> FIELDS 1 a; EXEC",
            ),
            ("HPERSIST h FIELDS 2 a x", "hpersist h FIELDS 2 a x"),
            (
                "HGETEX h PX 100000 FIELDS 1 c",
                "HPEXPIREAT h <T> FIELDS 1 c",
            ),
            ("HGETEX h PERSIST FIELDS 2 a c", "HPERSIST h FIELDS 1 c"),
            ("HGETEX h FIELDS 1 c", ""),
            (
                "HSETEX h EX 100 FIELDS 2 d 4 e 5",
                "MULTI; HSET h d 4 e 5; HPEXPIREAT h <T> FIELDS 2 d e; EXEC",
            ),
            ("HSETEX h FNX FIELDS 1 d 4", ""),
            ("HSETEX h PXAT 1 FIELDS 1 e 5", "HDEL h e"),
            ("HGETDEL h FIELDS 2 d x", "HDEL h d"),
            ("SET k v", "set k v"),
            ("SET k w IFEQ v", "SET k w"),
            ("SET k w IFEQ v", ""),
            ("SET k v IFEQ w KEEPTTL", "SET k v KEEPTTL"),
            ("DELEX k IFEQ v", "DEL k"),
            ("DELEX k IFEQ v", ""),
            ("MSETEX 2 k a l b", "MULTI; SET k a; SET l b; EXEC"),
            ("MSETEX 1 k a EX 100", "SET k a PXAT <T>"),
            ("MSETEX 1 k a NX", ""),
            ("DELIFEQ k a", "DEL k"),
            ("BITOP ANDOR k l l", "SET k b"),
            ("BITOP ONE k none", "DEL k"),
            ("BITOP OR k l l", "bitop OR k l l"),
        ],
    )
}

/// Replicas keep fields past their deadlines until the master says that they are gone: when it removes them, or before a call
/// to which they are missing.
#[test]
fn fields_that_go_by_themselves_are_deleted() -> TestResult {
    let server = server("cmap")?;
    let (mut replica, _) = Replica::follow(server.port())?;
    let mut client = server.raw()?;
    client.line("HSET h a 1 b 2")?;
    client.line("HPEXPIRE h 20 FIELDS 1 a")?;
    stream_until(&mut replica, "HDEL h a")?;
    client.line("HPEXPIRE h 20 FIELDS 1 b")?;
    stream_until(&mut replica, "DEL h")?;
    client.line("DEBUG SET-ACTIVE-EXPIRE 0")?;
    client.line("HSET h a 1 b 2")?;
    client.line("HPEXPIRE h 5 FIELDS 1 a")?;
    std::thread::sleep(std::time::Duration::from_millis(30));
    client.line("HSETNX h a 3")?;
    client.line("PUBLISH mark 1")?;
    let commands = replica.until("mark")?;
    let at = |text: &str| {
        let at = commands.iter().position(|one| one == text);
        at.ok_or_else(|| format!("no {text} in {commands:?}"))
    };
    assert!(at("HDEL h a")? < at("hsetnx h a 3")?);
    Ok(())
}

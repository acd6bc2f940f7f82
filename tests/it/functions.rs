//! Functions over TCP, on every engine.

use std::thread;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value, show};

#[path = "functions/around.rs"]
mod around;
#[path = "functions/kept.rs"]
mod kept;

/// A library with functions that write, read, and count in the library's own state.
const LIBRARY: &str = "#!lua name=mylib
local calls = 0
redis.register_function('write', function(keys, args)
  calls = calls + 1
  redis.call('set', keys[1], args[1])
  return calls
end)
redis.register_function{
  function_name = 'read',
  callback = function(keys) return redis.call('get', keys[1]) end,
  flags = {'no-writes', 'allow-stale'},
  description = 'reads a key',
}";

fn text(client: &mut RawClient, words: &[&str]) -> TestResult<String> {
    let reply = client.call(words)?;
    Ok(match &reply {
        Value::Error(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Integer(number) => number.to_string(),
        other => other.text().unwrap_or_else(|| show(other)),
    })
}

/// A library with one function of this name, which returns this.
fn one(library: &str, function: &str, result: &str) -> String {
    format!(
        "#!lua name={library}\nredis.register_function('{function}', function() return '{result}' end)"
    )
}

fn loads_and_calls(client: &mut RawClient) -> TestResult {
    client.line("FUNCTION FLUSH")?;
    assert_eq!(text(client, &["FUNCTION", "LOAD", LIBRARY])?, "mylib");
    // The first call runs on a thread of its own, the others on the worker.
    for calls in 1..4 {
        let reply = text(client, &["FCALL", "write", "1", "key", "value"])?;
        assert_eq!(reply, calls.to_string());
    }
    assert_eq!(text(client, &["FCALL_RO", "READ", "1", "key"])?, "value");
    let listed = client.line("FUNCTION LIST")?;
    let expected = "[[library_name mylib engine LUA functions [\
                    [name write description nil flags []] \
                    [name read description reads a key flags [+no-writes +allow-stale]]]]]";
    assert_eq!(show(&listed).replace('"', ""), expected);
    let listed = show(&client.line("FUNCTION LIST LIBRARYNAME MY* WITHCODE")?);
    assert!(listed.contains("calls = calls + 1"), "{listed}");
    assert_eq!(show(&client.line("FUNCTION LIST LIBRARYNAME x*")?), "[]");
    let stats = show(&client.line("FUNCTION STATS")?).replace('"', "");
    assert_eq!(
        stats,
        "[running_script nil engines [LUA [libraries_count :1 functions_count :2]]]"
    );
    let info = text(client, &["INFO", "memory"])?;
    for line in [
        "number_of_functions:2\r\n",
        "number_of_libraries:1\r\n",
        "used_memory_functions:",
    ] {
        assert!(info.contains(line), "{info}");
    }
    assert!(!info.contains("used_memory_vm_functions:0\r\n"), "{info}");
    assert_eq!(text(client, &["FUNCTION", "DELETE", "mylib"])?, "OK");
    let missing = "ERR Function not found";
    assert_eq!(
        text(client, &["FCALL", "write", "1", "key", "value"])?,
        missing
    );
    let info = text(client, &["INFO", "memory"])?;
    assert!(info.contains("used_memory_vm_functions:0\r\n"), "{info}");
    Ok(())
}

/// Each change counts as one, as a change of a key does; one that fails does not.
fn counts_as_changes(client: &mut RawClient) -> TestResult {
    let mut before = changes(client)?;
    let library = one("counted", "counted", "x");
    for (words, counts) in [
        (&["FUNCTION", "FLUSH"][..], 1),
        (&["FUNCTION", "FLUSH"], 1),
        (&["FUNCTION", "LOAD", &library], 1),
        (&["FUNCTION", "LOAD", &library], 0),
        (&["FUNCTION", "LOAD", "REPLACE", &library], 1),
        (&["FUNCTION", "DELETE", "nosuch"], 0),
        (&["FUNCTION", "DELETE", "counted"], 1),
    ] {
        client.call(words)?;
        let after = changes(client)?;
        assert_eq!(after - before, counts, "{words:?}");
        before = after;
    }
    Ok(())
}

fn changes(client: &mut RawClient) -> TestResult<i64> {
    let info = text(client, &["INFO", "persistence"])?;
    let field = "rdb_changes_since_last_save:";
    let line = info.lines().find_map(|line| line.strip_prefix(field));
    Ok(line.ok_or("no such field")?.trim().parse()?)
}

fn refuses_as_redis_does(client: &mut RawClient) -> TestResult {
    client.line("FUNCTION FLUSH")?;
    client.call(&["FUNCTION", "LOAD", LIBRARY])?;
    let collides = one("other", "WRITE", "x");
    let calls = "#!lua name=calls\nredis.call('get', 'x')";
    for (words, error) in [
        (
            &["FUNCTION", "LOAD", LIBRARY][..],
            "ERR Library 'mylib' already exists",
        ),
        (
            &["FUNCTION", "LOAD", &collides],
            "ERR Function WRITE already exists",
        ),
        (
            &["FUNCTION", "LOAD", "#!lua name=x\nreturn 1"],
            "ERR No functions registered",
        ),
        (
            &["FUNCTION", "LOAD", "return 1"],
            "ERR Missing library metadata",
        ),
        (
            &["FUNCTION", "LOAD", "nosuch", "x"],
            "ERR Unknown option given: nosuch",
        ),
        (&["FUNCTION", "DELETE", "nosuch"], "ERR Library not found"),
        (
            &["FUNCTION", "FLUSH", "nosuch"],
            "ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
        ),
        (
            &["FUNCTION", "RESTORE", "nosuch"],
            "ERR DUMP payload version or checksum are wrong",
        ),
        (
            &["FUNCTION", "RESTORE", "nosuch", "x"],
            "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
        ),
        (
            &["FUNCTION", "KILL"],
            "NOTBUSY No scripts in execution right now.",
        ),
        (&["FCALL", "nosuch", "x"], "ERR Function not found"),
        (&["FCALL", "read", "x"], "ERR Bad number of keys provided"),
        (
            &["FCALL", "read", "2", "x"],
            "ERR Number of keys can't be greater than number of args",
        ),
        (
            &["FCALL", "read", "-1"],
            "ERR Number of keys can't be negative",
        ),
        (
            &["FCALL_RO", "write", "1", "x"],
            "ERR Can not execute a script with write flag using *_ro command.",
        ),
    ] {
        assert_eq!(text(client, words)?, error, "{words:?}");
    }
    let reply = text(client, &["FUNCTION", "LOAD", calls])?;
    assert!(
        reply.starts_with("ERR Error registering functions: ")
            && reply.contains("attempted to access nonexistent global variable 'call'"),
        "{reply}"
    );
    // It says that it does not write, and writes.
    let liar = "#!lua name=liar\nredis.register_function{function_name='liar', flags={'no-writes'}, \
                callback=function() return redis.call('set', 'x', 1) end}";
    client.call(&["FUNCTION", "LOAD", liar])?;
    let reply = text(client, &["FCALL", "liar", "0"])?;
    assert!(
        reply.starts_with("ERR Write commands are not allowed from read-only scripts. script: liar, on @user_function:"),
        "{reply}"
    );
    // A library that runs for ever while it loads.
    let began = Instant::now();
    let endless = text(
        client,
        &["FUNCTION", "LOAD", "#!lua name=x\nwhile true do end"],
    )?;
    assert!(endless.contains("FUNCTION LOAD timeout"), "{endless}");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    // From a script, or a function.
    let reply = text(
        client,
        &["EVAL", "return redis.call('function', 'flush')", "0"],
    )?;
    assert!(
        reply.starts_with("ERR This Redis command is not allowed from script"),
        "{reply}"
    );
    Ok(())
}

fn replaces_whole(client: &mut RawClient) -> TestResult {
    client.line("FUNCTION FLUSH")?;
    client.call(&["FUNCTION", "LOAD", &one("lib", "f", "old")])?;
    client.call(&["FUNCTION", "LOAD", &one("other", "taken", "x")])?;
    // One that fails leaves the old one.
    for bad in [
        one("lib", "taken", "new"),
        "#!lua name=lib\nerror('no')".into(),
        "#!lua name=lib\nthis is no Lua".into(),
    ] {
        assert!(
            client
                .call(&["FUNCTION", "LOAD", "REPLACE", &bad])?
                .is_error()
        );
        assert_eq!(text(client, &["FCALL", "f", "0"])?, "old");
    }
    client.call(&["FUNCTION", "LOAD", "REPLACE", &one("lib", "g", "new")])?;
    assert_eq!(
        text(client, &["FCALL", "f", "0"])?,
        "ERR Function not found"
    );
    assert_eq!(text(client, &["FCALL", "g", "0"])?, "new");
    // FLUSHALL is not for functions.
    client.line("FLUSHALL")?;
    assert_eq!(text(client, &["FCALL", "g", "0"])?, "new");
    Ok(())
}

fn dumps_and_restores(client: &mut RawClient) -> TestResult {
    client.line("FUNCTION FLUSH")?;
    for (library, function) in [("a", "fa"), ("b", "fb")] {
        client.call(&["FUNCTION", "LOAD", &one(library, function, "first")])?;
    }
    let dump = client.line("FUNCTION DUMP")?;
    let dump = dump.bytes().ok_or("no dump")?;
    let mut restore = |words: &[&[u8]]| -> TestResult<String> {
        let call = [&[&b"FUNCTION"[..], b"RESTORE", dump], words].concat();
        Ok(show(&client.call(&call)?))
    };
    assert!(restore(&[])?.contains("ERR Library a already exists"));
    assert_eq!(restore(&[b"REPLACE"])?, "+OK");
    assert_eq!(restore(&[b"FLUSH"])?, "+OK");
    client.call(&["FUNCTION", "DELETE", "a"])?;
    client.call(&["FUNCTION", "LOAD", &one("c", "FA", "other")])?;
    for policy in [&b"REPLACE"[..], b"APPEND"] {
        let call = [&b"FUNCTION"[..], b"RESTORE", dump, policy];
        let reply = show(&client.call(&call)?);
        assert!(reply.contains("already exists"), "{reply}");
    }
    assert_eq!(text(client, &["FCALL", "fa", "0"])?, "other");
    let call = [&b"FUNCTION"[..], b"RESTORE", dump, b"FLUSH"];
    assert_eq!(show(&client.call(&call)?), "+OK");
    assert_eq!(text(client, &["FCALL", "fa", "0"])?, "first");
    assert_eq!(
        text(client, &["FUNCTION", "DELETE", "c"])?,
        "ERR Library not found"
    );
    Ok(())
}

fn runs_inside_transactions(client: &mut RawClient) -> TestResult {
    client.line("FUNCTION FLUSH")?;
    client.line("FLUSHALL")?;
    client.line("MULTI")?;
    client.call(&["FUNCTION", "LOAD", LIBRARY])?;
    client.call(&["FCALL", "write", "1", "key", "value"])?;
    client.call(&["FCALL_RO", "read", "1", "key"])?;
    client.call(&["FCALL", "nosuch", "0"])?;
    let replies = show(&client.line("EXEC")?).replace('"', "");
    assert_eq!(replies, "[mylib :1 value -ERR Function not found]");
    Ok(())
}

fn check(engine: &str) -> TestResult {
    let server = Server::start(engine)?;
    let client = &mut server.raw()?;
    loads_and_calls(client)?;
    counts_as_changes(client)?;
    refuses_as_redis_does(client)?;
    replaces_whole(client)?;
    dumps_and_restores(client)?;
    runs_inside_transactions(client)
}

#[test]
fn functions_on_cmap() -> TestResult {
    check("cmap")
}

#[test]
fn functions_on_cmap_in_pairs() -> TestResult {
    check("cmap/pairs")
}

#[test]
fn functions_on_stree() -> TestResult {
    check("stree")
}

#[test]
fn functions_on_vcmap() -> TestResult {
    check("vcmap")
}

#[test]
fn functions_on_vcmap_in_pairs() -> TestResult {
    check("vcmap/pairs")
}

#[test]
fn functions_on_vsmap() -> TestResult {
    check("vsmap")
}

const BUSY: &str =
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
const BUSY_SCRIPT: &str =
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";

/// Asks until the answer is another one than at the beginning.
fn wait_for(client: &mut RawClient, words: &[&str], wanted: &str) -> TestResult {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let reply = text(client, words)?;
        if reply == wanted {
            return Ok(());
        }
        assert!(Instant::now() < until, "{words:?}: {reply}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_endless_function_is_killed_by_its_own_command() -> TestResult {
    let options = Options::new("cmap").directive("busy-reply-threshold", "50");
    let server = Server::start_with(options)?;
    let (mut runner, mut other) = (server.raw()?, server.raw()?);
    let library = "#!lua name=loops\n\
                   redis.register_function('reads', function() while true do end end)\n\
                   redis.register_function('writes', function() redis.call('set', 'x', 1) while true do end end)";
    runner.call(&["FUNCTION", "LOAD", library])?;
    runner.send(&["FCALL", "reads", "1", "key", "arg"])?;
    wait_for(&mut other, &["PING"], BUSY)?;
    let stats = show(&other.line("FUNCTION STATS")?).replace('"', "");
    assert!(
        stats.starts_with(
            "[running_script [name reads command [FCALL reads 1 key arg] duration_ms :"
        ) && stats.ends_with("engines [LUA [libraries_count :1 functions_count :2]]]"),
        "{stats}"
    );
    assert_eq!(text(&mut other, &["SCRIPT", "KILL"])?, BUSY);
    assert_eq!(text(&mut other, &["FUNCTION", "LIST"])?, BUSY);
    assert_eq!(text(&mut other, &["FUNCTION", "KILL"])?, "OK");
    let reply = show(&runner.read()?);
    assert!(
        reply.contains(
            "Script killed by user with SCRIPT KILL... script: reads, on @user_function:2."
        ),
        "{reply}"
    );
    wait_for(&mut other, &["PING"], "PONG")?;
    // The other way round.
    runner.send(&["EVAL", "while true do end", "0"])?;
    wait_for(&mut other, &["PING"], BUSY_SCRIPT)?;
    assert_eq!(text(&mut other, &["FUNCTION", "KILL"])?, BUSY_SCRIPT);
    assert_eq!(text(&mut other, &["FUNCTION", "STATS"])?, BUSY_SCRIPT);
    assert_eq!(text(&mut other, &["SCRIPT", "KILL"])?, "OK");
    runner.read()?;
    wait_for(&mut other, &["PING"], "PONG")?;
    let stats = show(&other.line("FUNCTION STATS")?);
    assert!(stats.contains("nil"), "{stats}");
    // One that has written.
    runner.send(&["FCALL", "writes", "0"])?;
    wait_for(&mut other, &["PING"], BUSY)?;
    let reply = text(&mut other, &["FUNCTION", "KILL"])?;
    assert!(reply.starts_with("UNKILLABLE"), "{reply}");
    Ok(())
}

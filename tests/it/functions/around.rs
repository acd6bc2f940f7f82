//! What surrounds scripts and functions: permissions, MONITOR, the slow log, CLIENT PAUSE, memory, caching clients, events.

use std::thread;
use std::time::Duration;

use common::{Options, RawClient, Server, TestResult, Value, show};

use super::{LIBRARY, text};

#[test]
fn users_need_permission_for_functions() -> TestResult {
    let server = Server::start("vcmap")?;
    let client = &mut server.raw()?;
    client.call(&["FUNCTION", "LOAD", LIBRARY])?;
    client.line("ACL SETUSER caller on nopass +fcall +get +set ~open:*")?;
    client.line("ACL SETUSER scripter on nopass +@scripting ~*")?;
    let caller = &mut server.raw()?;
    caller.line("AUTH caller x")?;
    let reply = text(caller, &["FCALL", "write", "1", "open:a", "x"])?;
    assert_eq!(reply, "1");
    let reply = text(caller, &["FCALL", "write", "1", "closed", "x"])?;
    assert_eq!(reply, "NOPERM No permissions to access a key");
    let reply = text(caller, &["FUNCTION", "FLUSH"])?;
    assert!(
        reply.contains("no permissions to run the 'function|flush' command"),
        "{reply}"
    );
    let reply = text(caller, &["FCALL_RO", "read", "0"])?;
    assert!(
        reply.contains("no permissions to run the 'fcall_ro' command"),
        "{reply}"
    );
    let scripter = &mut server.raw()?;
    scripter.line("AUTH scripter x")?;
    let reply = text(scripter, &["FCALL", "read", "1", "a"])?;
    assert!(
        reply.starts_with("ERR ACL failure in script: User scripter has no permissions to run the 'get' command script: read"),
        "{reply}"
    );
    assert_eq!(text(scripter, &["FUNCTION", "FLUSH"])?, "OK");
    let keys = client.line("COMMAND GETKEYS FCALL f 2 a b c")?;
    assert_eq!(show(&keys), "[a b]");
    Ok(())
}

#[test]
fn functions_are_seen_by_others() -> TestResult {
    let server = Server::start("vcmap")?;
    let client = &mut server.raw()?;
    let monitor = &mut server.raw()?;
    client.call(&["FUNCTION", "LOAD", LIBRARY])?;
    client.line("CONFIG SET slowlog-log-slower-than 0")?;
    client.line("SLOWLOG RESET")?;
    client.line("CONFIG RESETSTAT")?;
    assert_eq!(text(monitor, &["MONITOR"])?, "OK");
    client.call(&["FCALL", "write", "1", "seen", "x"])?;
    let mut next =
        || -> TestResult<String> { Ok(monitor.read()?.text().ok_or("nothing is shown")?) };
    let shown = next()?;
    assert!(
        shown.contains("\"FCALL\" \"write\" \"1\" \"seen\" \"x\""),
        "{shown}"
    );
    let shown = next()?;
    assert!(shown.contains("[0 lua] \"set\" \"seen\" \"x\""), "{shown}");
    // One that does not exist is shown too.
    client.call(&["FCALL", "nosuch", "0"])?;
    let shown = next()?;
    assert!(shown.contains("\"FCALL\" \"nosuch\""), "{shown}");
    let slow = show(&client.line("SLOWLOG GET 10")?);
    assert!(slow.contains("FCALL write"), "{slow}");
    assert!(!slow.contains("[set "), "{slow}");
    let info = text(client, &["INFO", "commandstats"])?;
    for line in ["cmdstat_fcall:calls=2,", "cmdstat_set:calls=1,"] {
        assert!(info.contains(line), "{info}");
    }
    Ok(())
}

#[test]
fn a_pause_of_writes_holds_functions_that_may_write() -> TestResult {
    let server = Server::start("vcmap")?;
    let (mut client, mut other) = (server.raw()?, server.raw()?);
    let mut third = server.raw()?;
    client.call(&["FUNCTION", "LOAD", LIBRARY])?;
    client.line("CLIENT PAUSE 100000 WRITE")?;
    assert!(client.call(&["FCALL", "read", "1", "a"])?.is_null());
    assert!(client.call(&["FCALL_RO", "read", "1", "a"])?.is_null());
    other.send(&["FCALL", "write", "1", "a", "x"])?;
    third.send(&["FUNCTION", "FLUSH"])?;
    thread::sleep(Duration::from_millis(200));
    let blocked = show(&client.line("INFO clients")?);
    assert!(blocked.contains("blocked_clients:2"), "{blocked}");
    client.line("FCALL_RO read 1 a")?;
    client.line("CLIENT UNPAUSE")?;
    other.read()?;
    assert_eq!(show(&third.read()?), "+OK");
    Ok(())
}

/// The words of Redis 7.0, which differ with where the script is called.
#[test]
fn flags_decide_without_memory() -> TestResult {
    for engine in ["cmap", "cmap/pairs"] {
        let server = Server::start(engine)?;
        let client = &mut server.raw()?;
        let library = "#!lua name=m\n\
            redis.register_function('w', function() return redis.call('set', 'x', 1) end)\n\
            redis.register_function{function_name='o', callback=function() return redis.call('set', 'x', 1) end, flags={'allow-oom'}}\n\
            redis.register_function{function_name='r', callback=function() return redis.call('get', 'x') end, flags={'no-writes'}}";
        client.call(&["FUNCTION", "LOAD", library])?;
        client.line("SET x 1")?;
        let writes = "return redis.call('set', 'x', 1)";
        let denied = "OOM command not allowed when used memory > 'maxmemory'.";
        let in_exec = "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'";
        let reads_only = "ERR Can not execute a script with write flag using *_ro command.";
        client.line("CONFIG SET maxmemory 1")?;
        for (words, reply) in [
            (&["FCALL", "w", "0"][..], denied),
            (&["FCALL_RO", "w", "0"], denied),
            (&["FCALL", "o", "0"], "OK"),
            (&["FCALL_RO", "o", "0"], reads_only),
            (&["FCALL", "r", "0"], "1"),
            (&["FCALL_RO", "r", "0"], "1"),
            (&["EVAL_RO", "#!lua\nreturn 1", "0"], denied),
            (&["EVAL", "#!lua\nreturn 1", "0"], denied),
            (
                &[
                    "EVAL",
                    "#!lua flags=allow-oom\nreturn redis.call('set', 'x', 1)",
                    "0",
                ],
                "OK",
            ),
        ] {
            assert_eq!(text(client, words)?, reply, "{engine}: {words:?}");
        }
        let reply = text(client, &["EVAL", writes, "0"])?;
        assert!(reply.starts_with(&format!("{denied} script: ")), "{reply}");
        let reply = text(client, &["FUNCTION", "LOAD", "REPLACE", library])?;
        assert_eq!(reply, denied);
        assert_eq!(
            text(client, &["FUNCTION", "DELETE", "nosuch"])?,
            "ERR Library not found"
        );
        // Queued before, run after.
        let queue = |client: &mut RawClient, calls: &[&[&str]]| -> TestResult {
            client.line("CONFIG SET maxmemory 0")?;
            client.line("MULTI")?;
            for call in calls {
                assert_eq!(text(client, call)?, "QUEUED");
            }
            server.raw()?.line("CONFIG SET maxmemory 1")?;
            Ok(())
        };
        queue(client, &[&["FCALL", "w", "0"], &["EVAL", writes, "0"]])?;
        let reply = text(client, &["EXEC"])?;
        assert_eq!(
            reply,
            format!("EXECABORT Transaction discarded because of: {denied}")
        );
        queue(client, &[&["FCALL", "o", "0"], &["EVAL", writes, "0"]])?;
        let replies = show(&client.line("EXEC")?);
        assert!(
            replies.starts_with(&format!("[+OK -{denied} script: ")),
            "{replies}"
        );
        client.line("CONFIG SET maxmemory 0")?;
        client.line("MULTI")?;
        client.line("CONFIG SET maxmemory 1")?;
        client.line("FCALL w 0")?;
        client.line("FCALL_RO w 0")?;
        let replies = show(&client.line("EXEC")?);
        assert_eq!(replies, format!("[+OK -{in_exec} -{reads_only}]"));
    }
    Ok(())
}

/// As Redis 7.2: what a script reads is what its client caches, whatever it declared.
#[test]
fn caching_clients_and_scripts() -> TestResult {
    let server = Server::start("cmap")?;
    let (mut reader, mut writer) = (server.raw()?, server.raw()?);
    reader.line("HELLO 3")?;
    reader.line("CLIENT TRACKING ON")?;
    writer.line("MSET read 1 declared 1 written 1")?;
    writer.call(&["FUNCTION", "LOAD", LIBRARY])?;
    // Twice: on a thread of its own, and on the worker.
    for _ in 0..2 {
        let script = "redis.call('get', 'read') return redis.call('set', 'written', 2)";
        reader.call(&["EVAL", script, "1", "declared"])?;
        reader.call(&["FCALL", "read", "1", "fread"])?;
        writer.line("SET declared 2")?;
        writer.line("SET written 3")?;
        writer.line("SET read 2")?;
        writer.line("SET fread 2")?;
        for key in ["read", "fread"] {
            let message = reader.read()?;
            assert_eq!(
                message,
                Value::Push(vec![
                    Value::Bulk(b"invalidate".to_vec()),
                    Value::Array(vec![Value::Bulk(key.into())])
                ])
            );
        }
        assert_eq!(show(&reader.line("PING")?), "+PONG");
    }
    // A script invalidates what it writes, also for its own client, once it is over.
    reader.line("GET read")?;
    reader.send(&["EVAL", "redis.call('set', 'read', 3) return 'over'", "0"])?;
    assert_eq!(show(&reader.read()?), "over");
    assert!(matches!(reader.read()?, Value::Push(_)));
    // With OPTIN only the script behind CLIENT CACHING counts.
    reader.line("CLIENT TRACKING OFF")?;
    reader.line("CLIENT TRACKING ON OPTIN")?;
    reader.call(&["EVAL", "return redis.call('get', 'read')", "0"])?;
    writer.line("SET read 4")?;
    reader.line("CLIENT CACHING YES")?;
    reader.call(&["EVAL", "return redis.call('get', 'read')", "0"])?;
    writer.line("SET read 5")?;
    assert!(matches!(reader.read()?, Value::Push(_)));
    assert_eq!(show(&reader.line("PING")?), "+PONG");
    // With NOLOOP its own writes do not count.
    reader.line("CLIENT TRACKING OFF")?;
    reader.line("CLIENT TRACKING ON NOLOOP")?;
    reader.line("GET read")?;
    reader.call(&["EVAL", "return redis.call('set', 'read', 6)", "0"])?;
    assert_eq!(show(&reader.line("PING")?), "+PONG");
    Ok(())
}

/// Events and invalidations of a script leave when it is over.
#[test]
fn events_wait_for_the_end_of_the_script() -> TestResult {
    let server = Server::start("cmap")?;
    let (mut runner, mut listener, mut other) = (server.raw()?, server.raw()?, server.raw()?);
    other.line("CONFIG SET notify-keyspace-events KEA")?;
    other.line("CONFIG SET busy-reply-threshold 100")?;
    listener.line("SUBSCRIBE __keyevent@0__:set over")?;
    listener.read()?;
    let script = "redis.call('set', 'a', 1) redis.call('publish', 'over', 1)\n\
                  for i = 1, 2000000000 do if redis.call('exists', 'stop') == 1 then break end\n\
                  if i >= tonumber(ARGV[1]) then break end end return 1";
    runner.send(&["EVAL", script, "0", "20000"])?;
    let message = show(&listener.read()?);
    assert_eq!(message, "[message __keyevent@0__:set a]");
    assert_eq!(show(&listener.read()?), "[message over 1]");
    // The message was not there before the write was: any client sees it now.
    assert_eq!(show(&other.line("GET a")?), "1");
    assert_eq!(show(&runner.read()?), ":1");
    Ok(())
}

#[test]
fn no_touch_and_no_reply_beside_scripts() -> TestResult {
    let server =
        Server::start_with(Options::new("cmap").directive("maxmemory-policy", "allkeys-lru"))?;
    let client = &mut server.raw()?;
    client.line("MSET touched 1 untouched 1")?;
    thread::sleep(Duration::from_millis(2100));
    let read = "return redis.call('get', KEYS[1])";
    client.call(&["EVAL", read, "1", "touched"])?;
    client.line("CLIENT NO-TOUCH ON")?;
    client.call(&["EVAL", read, "1", "untouched"])?;
    client.line("CLIENT NO-TOUCH OFF")?;
    let idle = |client: &mut RawClient, key: &str| -> TestResult<i64> {
        let idle = client.call(&["OBJECT", "IDLETIME", key])?;
        Ok(idle.integer().ok_or("no time")?)
    };
    assert!(idle(client, "touched")? <= 1);
    assert!(idle(client, "untouched")? >= 2);
    // No reply, and the script runs.
    let count = "redis.call('incr', 'count') return redis.call('get', 'count')";
    client.send(&["CLIENT", "REPLY", "SKIP"])?;
    client.send(&["EVAL", count, "0"])?;
    assert_eq!(show(&client.call(&["EVAL", count, "0"])?), "2");
    client.send(&["CLIENT", "REPLY", "OFF"])?;
    client.send(&["EVAL", count, "0"])?;
    client.send(&["EVAL", "error('no')", "0"])?;
    assert_eq!(show(&client.call(&["CLIENT", "REPLY", "ON"])?), "+OK");
    assert_eq!(show(&client.call(&["EVAL", count, "0"])?), "4");
    Ok(())
}

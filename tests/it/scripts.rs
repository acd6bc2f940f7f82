//! Scripts over TCP, on every engine.

use std::thread;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value};

/// A call of EVAL: the script, its keys, its arguments.
fn eval(client: &mut RawClient, script: &str, keys: &[&str], args: &[&str]) -> TestResult<String> {
    run(client, "EVAL", script, keys, args)
}

fn run(
    client: &mut RawClient,
    command: &str,
    script: &str,
    keys: &[&str],
    args: &[&str],
) -> TestResult<String> {
    let count = keys.len().to_string();
    let mut words = vec![command, script, &count];
    words.extend(keys);
    words.extend(args);
    Ok(show(&client.call(&words)?))
}

fn show(value: &Value) -> String {
    common::show(value)
}

fn line(client: &mut RawClient, line: &str) -> TestResult<String> {
    Ok(show(&client.line(line)?))
}

fn text(client: &mut RawClient, words: &[&str]) -> TestResult<String> {
    let reply = client.call(words)?;
    Ok(match &reply {
        Value::Error(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Integer(number) => number.to_string(),
        other => other.text().unwrap_or_else(|| show(other)),
    })
}

fn reads_and_writes(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    client.line("FLUSHALL")?;
    client.line("SCRIPT FLUSH")?;
    let script = "redis.call('set', KEYS[1], ARGV[1]) return redis.call('get', KEYS[1])";
    // The second time it runs on the worker itself.
    for _ in 0..3 {
        let reply = text(client, &["EVAL", script, "1", "key", "value"])?;
        assert_eq!(reply, "value");
    }
    // A key that was not declared.
    let reply = text(
        client,
        &["EVAL", "return redis.call('incr', 'counter')", "0"],
    )?;
    assert_eq!(reply, "1");
    assert_eq!(text(client, &["GET", "counter"])?, "1");
    // The selected database is the script's own.
    let reply = text(
        client,
        &[
            "EVAL",
            "redis.call('select', 3) return redis.call('set', 'far', 1)",
            "0",
        ],
    )?;
    assert_eq!(reply, "OK");
    assert!(client.line("GET far")?.is_null());
    client.line("SELECT 3")?;
    assert_eq!(text(client, &["GET", "far"])?, "1");
    client.line("SELECT 0")?;
    // What it wrote before it failed stays.
    let reply = text(
        client,
        &["EVAL", "redis.call('set', 'half', 1) error('no')", "0"],
    )?;
    assert!(reply.contains("no script: "), "{reply}");
    assert_eq!(text(client, &["GET", "half"])?, "1");
    Ok(())
}

fn refuses_as_redis_does(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    for (script, error) in [
        (
            "return redis.call('nosuch')",
            "ERR Unknown Redis command called from script script: ",
        ),
        (
            "return redis.call('config', 'nosuch')",
            "ERR Unknown Redis command called from script script: ",
        ),
        (
            "return redis.call('get')",
            "ERR Wrong number of args calling Redis command from script script: ",
        ),
        (
            "return redis.call('multi')",
            "ERR This Redis command is not allowed from script script: ",
        ),
        (
            "return redis.call('eval', 'return 1', 0)",
            "ERR This Redis command is not allowed from script script: ",
        ),
        (
            "return redis.call('subscribe', 'a')",
            "ERR This Redis command is not allowed from script script: ",
        ),
        (
            "#!lua flags=no-writes\nreturn redis.call('set', 'a', 1)",
            "ERR Write commands are not allowed from read-only scripts. script: ",
        ),
        (
            "#!lua flags=bogus\nreturn 1",
            "ERR Unexpected flag in script shebang: bogus",
        ),
    ] {
        let reply = text(client, &["EVAL", script, "0"])?;
        assert!(reply.starts_with(error), "{script}: {reply}");
    }
    let reply = text(client, &["EVAL_RO", "return redis.call('del', 'a')", "0"])?;
    assert!(reply.starts_with("ERR Write commands are not allowed from read-only scripts."));
    // Redis counts what its replicas might get as a write.
    for call in ["'publish', 'channel', 'message'", "'pfcount', 'a'"] {
        for script in [
            ["EVAL_RO".to_owned(), format!("return redis.call({call})")],
            [
                "EVAL".to_owned(),
                format!("#!lua flags=no-writes\nreturn redis.call({call})"),
            ],
        ] {
            let reply = text(client, &[&script[0], &script[1], "0"])?;
            assert!(
                reply.starts_with("ERR Write commands are not allowed from read-only scripts"),
                "{script:?}: {reply}"
            );
        }
    }
    let reply = text(client, &["EVAL_RO", "#!lua\nreturn 1", "0"])?;
    assert_eq!(
        reply,
        "ERR Can not execute a script with write flag using *_ro command."
    );
    // No command waits.
    assert!(
        client
            .call(&["EVAL", "return redis.call('blpop', 'none', 0)", "0"])?
            .is_null()
    );
    Ok(())
}

fn caches(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    client.line("SCRIPT FLUSH")?;
    let missing = "NOSCRIPT No matching script. Please use EVAL.";
    let sha = text(client, &["SCRIPT", "LOAD", "return ARGV[1]"])?;
    assert_eq!(sha.len(), 40);
    assert_eq!(text(client, &["EVALSHA", &sha, "0", "x"])?, "x");
    assert_eq!(
        text(client, &["EVALSHA_RO", &sha.to_uppercase(), "0", "y"])?,
        "y"
    );
    let exists = client.call(&["SCRIPT", "EXISTS", &sha, "ffff"])?;
    assert_eq!(
        exists,
        Value::Array(vec![Value::Integer(1), Value::Integer(0)])
    );
    // One script more than may stay.
    for number in 0..=500 {
        let number = number.to_string();
        let script = format!("return {number}");
        assert_eq!(text(client, &["EVAL", &script, "0"])?, number);
    }
    let info = text(client, &["INFO", "everything"])?;
    assert!(info.contains("number_of_cached_scripts:501\r\n"), "{info}");
    assert!(info.contains("evicted_scripts:1\r\n"), "{info}");
    assert_eq!(text(client, &["EVALSHA", &sha, "0", "x"])?, "x");
    assert_eq!(text(client, &["SCRIPT", "FLUSH", "ASYNC"])?, "OK");
    assert_eq!(text(client, &["EVALSHA", &sha, "0", "x"])?, missing);
    let info = text(client, &["INFO", "memory"])?;
    assert!(info.contains("number_of_cached_scripts:0\r\n"), "{info}");
    assert!(info.contains("used_memory_vm_eval:0\r\n"), "{info}");
    Ok(())
}

fn runs_inside_transactions(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    client.line("FLUSHALL")?;
    let script = "redis.call('incr', KEYS[1]) return redis.call('incr', KEYS[1])";
    let sha = text(client, &["SCRIPT", "LOAD", script])?;
    for round in 1..4 {
        client.line("MULTI")?;
        client.call(&["EVAL", script, "1", "n"])?;
        client.call(&["SET", "other", "x"])?;
        client.call(&["EVALSHA", &sha, "1", "n"])?;
        client.call(&["EVALSHA", &"0".repeat(40), "0"])?;
        let replies = client.line("EXEC")?;
        let replies = replies.items().ok_or("EXEC failed")?;
        assert_eq!(replies[0], Value::Integer(4 * round - 2));
        assert_eq!(replies[2], Value::Integer(4 * round));
        assert!(replies[3].is_error());
    }
    // A script changes a watched key.
    let other = &mut server.raw()?;
    client.line("WATCH n")?;
    other.call(&["EVAL", script, "1", "n"])?;
    client.line("MULTI")?;
    client.line("PING")?;
    assert!(client.line("EXEC")?.is_null());
    Ok(())
}

fn asks_for_permission(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    client.line("ACL SETUSER scripter on nopass +@all -incr ~open:*")?;
    let other = &mut server.raw()?;
    other.line("AUTH scripter x")?;
    let reply = text(other, &["EVAL", "return redis.call('incr', 'open:n')", "0"])?;
    let refused = "ERR ACL failure in script: User scripter has no permissions to run the 'incr' command script: ";
    assert!(reply.starts_with(refused), "{reply}");
    let reply = text(
        other,
        &["EVAL", "return redis.call('set', 'closed', 1)", "0"],
    )?;
    let refused = "ERR ACL failure in script: No permissions to access a key script: ";
    assert!(reply.starts_with(refused), "{reply}");
    let reply = text(other, &["EVAL", "return 1", "1", "closed"])?;
    assert_eq!(reply, "NOPERM No permissions to access a key");
    let reply = text(
        other,
        &[
            "EVAL",
            "return redis.call('set', KEYS[1], 1)",
            "1",
            "open:a",
        ],
    )?;
    assert_eq!(reply, "OK");
    let allowed =
        "return {redis.acl_check_cmd('set', 'open:a', 1), redis.acl_check_cmd('incr', 'open:a')}";
    let reply = other.call(&["EVAL", allowed, "0"])?;
    assert_eq!(show(&reply), "[:1 nil]");
    let log = line(client, "ACL LOG 10")?;
    assert!(log.contains("context lua"), "{log}");
    client.line("ACL LOG RESET")?;
    client.line("ACL DELUSER scripter")?;
    Ok(())
}

fn is_seen_by_others(server: &Server) -> TestResult {
    let client = &mut server.raw()?;
    let monitor = &mut server.raw()?;
    client.line("CONFIG SET slowlog-log-slower-than 0")?;
    client.line("SLOWLOG RESET")?;
    assert_eq!(text(monitor, &["MONITOR"])?, "OK");
    eval(
        client,
        "return redis.call('set', KEYS[1], 'x')",
        &["seen"],
        &[],
    )?;
    let shown = monitor.read()?.text().ok_or("nothing is shown")?;
    assert!(shown.contains("\"EVAL\""), "{shown}");
    let shown = monitor.read()?.text().ok_or("nothing is shown")?;
    assert!(shown.contains("[0 lua] \"set\" \"seen\" \"x\""), "{shown}");
    let slow = line(client, "SLOWLOG GET 10")?;
    assert!(slow.contains("EVAL"), "{slow}");
    assert!(!slow.contains("\"set\""), "{slow}");
    client.line("CONFIG SET slowlog-log-slower-than 10000")?;
    client.line("CONFIG RESETSTAT")?;
    eval(
        client,
        "return redis.call('lpush', KEYS[1], 'x')",
        &["seen"],
        &[],
    )?;
    let info = text(client, &["INFO", "everything"])?;
    for expected in [
        "errorstat_WRONGTYPE:count=1\r\n",
        "total_error_replies:1\r\n",
    ] {
        assert!(info.contains(expected), "{info}");
    }
    for name in ["cmdstat_lpush:calls=1,", "cmdstat_eval:calls=1,"] {
        let line = info.lines().find(|line| line.starts_with(name));
        assert!(
            line.is_some_and(|line| line.ends_with("failed_calls=1")),
            "{info}"
        );
    }
    Ok(())
}

fn check(engine: &str) -> TestResult {
    let server = Server::start(engine)?;
    reads_and_writes(&server)?;
    refuses_as_redis_does(&server)?;
    caches(&server)?;
    runs_inside_transactions(&server)?;
    asks_for_permission(&server)?;
    is_seen_by_others(&server)
}

#[test]
fn scripts_on_cmap() -> TestResult {
    check("cmap")
}

#[test]
fn scripts_on_cmap_in_pairs() -> TestResult {
    check("cmap/pairs")
}

#[test]
fn scripts_on_stree() -> TestResult {
    check("stree")
}

#[test]
fn scripts_on_vcmap() -> TestResult {
    check("vcmap")
}

#[test]
fn scripts_on_vcmap_in_pairs() -> TestResult {
    check("vcmap/pairs")
}

#[test]
fn scripts_on_vsmap() -> TestResult {
    check("vsmap")
}

const BUSY: &str =
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

/// A script without end: the others hear of it, and end it.
fn endless(engine: &str, workers: &str) -> TestResult {
    let options = Options::new(engine)
        .directive("worker-threads", workers)
        .directive("busy-reply-threshold", "50");
    let mut server = Server::start_with(options)?;
    let mut runner = server.raw()?;
    let mut others = [server.raw()?, server.raw()?, server.raw()?];
    let mut subscriber = server.raw()?;
    subscriber.line("SUBSCRIBE news")?;
    // Known as a quick one, so that it begins on the client's own worker.
    let script = "redis.call('get', 'a') while ARGV[1] == 'x' do end return 'done'";
    for _ in 0..3 {
        assert_eq!(text(&mut runner, &["EVAL", script, "0", "y"])?, "done");
    }
    runner.send(&["EVAL", script, "0", "x"])?;
    for other in &mut others {
        wait_for(other, &["PING"], BUSY)?;
    }
    let [other, killer, queuer] = &mut others;
    assert_eq!(text(other, &["SHUTDOWN"])?, BUSY);
    assert_eq!(text(other, &["EVAL", "return 1", "0"])?, BUSY);
    assert_eq!(text(queuer, &["MULTI"])?, "OK");
    assert_eq!(text(queuer, &["GET", "a"])?, BUSY);
    assert_eq!(text(killer, &["SCRIPT", "KILL"])?, "OK");
    let reply = runner.read()?;
    let reply = show(&reply);
    assert!(
        reply.contains("Script killed by user with SCRIPT KILL..."),
        "{reply}"
    );
    wait_for(other, &["PING"], "PONG")?;
    assert!(text(queuer, &["EXEC"])?.starts_with("EXECABORT"));
    let reply = text(killer, &["SCRIPT", "KILL"])?;
    assert_eq!(reply, "NOTBUSY No scripts in execution right now.");
    // One that has written cannot be killed; SHUTDOWN NOSAVE ends it. What it wrote stays.
    let script =
        "redis.call('set', 'wrote', 1) redis.call('publish', 'news', 'x') while true do end";
    runner.send(&["EVAL", script, "0"])?;
    wait_for(other, &["PING"], BUSY)?;
    let reply = text(killer, &["SCRIPT", "KILL"])?;
    assert!(
        reply.starts_with("UNKILLABLE Sorry the script already executed write"),
        "{reply}"
    );
    let began = Instant::now();
    killer.send(&["SHUTDOWN", "NOSAVE"])?;
    server.wait_for_exit()?;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}

#[test]
fn an_endless_script_on_one_worker() -> TestResult {
    endless("cmap", "1")
}

#[test]
fn an_endless_script_on_three_workers() -> TestResult {
    endless("cmap", "3")
}

#[test]
fn an_endless_script_in_pairs() -> TestResult {
    endless("cmap/pairs", "2")
}

/// SIGTERM ends the server although a script runs; what it wrote is there afterwards, and scripts must be sent anew.
#[test]
fn a_signal_ends_a_script() -> TestResult {
    for engine in ["cmap", "cmap/pairs"] {
        let mut server = Server::start(engine)?;
        let mut client = server.raw()?;
        let sha = text(&mut client, &["SCRIPT", "LOAD", "return 1"])?;
        client.send(&[
            "EVAL",
            "redis.call('set', 'a', 1) redis.call('set', 'b', 2) while true do end",
            "0",
        ])?;
        thread::sleep(Duration::from_millis(300));
        let began = Instant::now();
        server.terminate()?;
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        server.resume()?;
        let mut client = server.raw()?;
        assert_eq!(
            text(&mut client, &["MGET", "a", "b"])?,
            show(&Value::Array(vec![
                Value::Bulk(b"1".to_vec()),
                Value::Bulk(b"2".to_vec())
            ]))
        );
        assert_eq!(
            text(&mut client, &["EVALSHA", &sha, "0"])?,
            "NOSCRIPT No matching script. Please use EVAL."
        );
    }
    Ok(())
}

/// CLIENT PAUSE WRITE holds scripts that may write, and lets others run.
#[test]
fn a_pause_of_writes_holds_scripts_that_may_write() -> TestResult {
    let server = Server::start("vcmap")?;
    let mut client = server.raw()?;
    let mut other = server.raw()?;
    let mut third = server.raw()?;
    client.line("CLIENT PAUSE 100000 WRITE")?;
    assert_eq!(text(&mut client, &["EVAL_RO", "return 5", "0"])?, "5");
    let script = "#!lua flags=no-writes\nreturn 6";
    assert_eq!(text(&mut client, &["EVAL", script, "0"])?, "6");
    other.send(&["EVAL", "return 7", "0"])?;
    third.send(&["EVAL", "#!lua\nreturn 8", "0"])?;
    thread::sleep(Duration::from_millis(200));
    let blocked = line(&mut client, "INFO clients")?;
    assert!(blocked.contains("blocked_clients:2"), "{blocked}");
    client.line("CLIENT UNPAUSE")?;
    assert_eq!(other.read()?, Value::Integer(7));
    assert_eq!(third.read()?, Value::Integer(8));
    Ok(())
}

/// A worker that stays alone for its next script lets others in now and then: they must find all scripts and functions.
#[test]
fn two_workers_run_the_same_scripts() -> TestResult {
    const CLIENTS: usize = 8;
    const BATCHES: usize = 40;
    const CALLS: usize = 100;
    let server = Server::start_with(Options::new("cmap").directive("worker-threads", "2"))?;
    let script = "return redis.call('incr', KEYS[1])";
    let mut client = server.raw()?;
    let sha = text(&mut client, &["SCRIPT", "LOAD", script])?;
    let library = "#!lua name=l\nredis.register_function('f', function(keys) return redis.call('incr', keys[1]) end)";
    assert_eq!(text(&mut client, &["FUNCTION", "LOAD", library])?, "l");
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (server, sha) = (&server, &sha);
                scope.spawn(move || -> Result<(), String> {
                    let run = || -> TestResult {
                        let mut client = server.raw()?;
                        let key = number.to_string();
                        let script = ["EVALSHA", sha, "1", &key];
                        let function = ["FCALL", "f", "1", &key];
                        for batch in 0..BATCHES {
                            let mut bytes = Vec::new();
                            for call in 0..CALLS {
                                common::encode(
                                    &mut bytes,
                                    if call % 2 == 0 { &script } else { &function },
                                );
                            }
                            client.send_bytes(&bytes)?;
                            for call in 1..=CALLS {
                                let count = i64::try_from(batch * CALLS + call)?;
                                assert_eq!(client.read()?, Value::Integer(count));
                            }
                        }
                        Ok(())
                    };
                    run().map_err(|error| error.to_string())
                })
            })
            .collect();
        for client in clients {
            client.join().map_err(|_| "a client failed")??;
        }
        Ok(())
    })
}

//! The directive `index-file`: the next start takes the index over where it fits, and reads the pool where it does not.

use std::time::{Duration, Instant};

use common::{Options, Server, TestResult, Value};

const TAKEN_OVER: &str = "the index of the last process is taken over";

fn options() -> Options {
    Options::new("cmap").directive("index-file", "test.index")
}

fn times_taken_over(server: &Server) -> usize {
    server.log().matches(TAKEN_OVER).count()
}

fn fill(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    for n in 0..500 {
        client.call(&["SET", &format!("key:{n}"), &n.to_string()])?;
    }
    client.call(&["HSET", "hash", "field", "value"])?;
    client.call(&["SET", "brief", "value", "PX", "1"])?;
    client.call(&["SET", "long", "value", "EX", "1000"])?;
    client.call(&["SET", "large", &"x".repeat(300_000)])?;
    Ok(())
}

fn check(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    assert_eq!(
        client.call(&["GET", "key:499"])?,
        Value::Bulk(b"499".to_vec())
    );
    assert_eq!(client.call(&["GET", "brief"])?, Value::NullBulk);
    assert_eq!(
        client.call(&["HGET", "hash", "field"])?,
        Value::Bulk(b"value".to_vec())
    );
    assert_eq!(client.call(&["STRLEN", "large"])?, Value::Integer(300_000));
    assert!(matches!(
        client.call(&["TTL", "long"])?,
        Value::Integer(1..=1_000)
    ));
    // A key past its deadline counts until the background removes it.
    let until = Instant::now() + Duration::from_secs(10);
    while client.call(&["DBSIZE"])? != Value::Integer(503) {
        assert!(Instant::now() < until, "{:?}", client.call(&["DBSIZE"])?);
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The server notes ten times a second which state of the index counts. Before the first time there is none.
fn wait_for_a_point() {
    std::thread::sleep(Duration::from_millis(600));
}

#[test]
fn a_start_takes_the_index_over() -> TestResult {
    let mut server = Server::start_with(options())?;
    fill(&server)?;
    wait_for_a_point();
    server.kill_9()?;
    server.resume()?;
    check(&server)?;
    wait_for_a_point();
    server.restart()?;
    check(&server)?;
    assert_eq!(times_taken_over(&server), 2, "{}", server.log());
    // A server without the file has had the pool in between.
    server.terminate()?;
    server.set_options(Options::new("cmap"));
    server.resume()?;
    server.raw()?.call(&["SET", "key:499", "499"])?;
    server.terminate()?;
    server.set_options(options());
    server.resume()?;
    check(&server)?;
    assert_eq!(times_taken_over(&server), 2, "{}", server.log());
    server.terminate()
}

/// A start that reads everything meets removals of keys that are nowhere else.
/// The first figures after a start are those of all keys, also while nobody has asked for most of them.
#[test]
fn memory_counts_what_was_taken_over() -> TestResult {
    let mut server = Server::start_with(options())?;
    let mut client = server.raw()?;
    let value = "x".repeat(1_000);
    for n in 0..1_000 {
        client.call(&["SET", &format!("key:{n}"), &value])?;
    }
    let dataset = |server: &Server| -> TestResult<u64> {
        let info = server.raw()?.line("INFO memory")?.text();
        let info = info.ok_or("no text")?;
        let mut lines = info.lines();
        let field = lines.find_map(|line| line.strip_prefix("used_memory_dataset:"));
        Ok(field.ok_or("no such field")?.parse()?)
    };
    let before = dataset(&server)?;
    assert!(before > 1_000_000, "{before}");
    wait_for_a_point();
    for _ in 0..3 {
        server.kill_9()?;
        server.resume()?;
        assert_eq!(dataset(&server)?, before);
        wait_for_a_point();
    }
    assert_eq!(times_taken_over(&server), 3, "{}", server.log());
    Ok(())
}

#[test]
fn keys_come_back_to_shards_that_had_only_removals() -> TestResult {
    let mut server = Server::start_with(Options::new("cmap"))?;
    let mut client = server.raw()?;
    for n in 0..300 {
        client.call(&["SET", &format!("key:{n}"), "old"])?;
        client.call(&["DEL", &format!("key:{n}")])?;
    }
    server.terminate()?;
    server.set_options(options());
    server.resume()?;
    wait_for_a_point();
    let mut client = server.raw()?;
    for n in 0..20 {
        client.call(&["SET", &format!("key:{n}"), "new"])?;
    }
    wait_for_a_point();
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    for n in 0..20 {
        let value = client.call(&["GET", &format!("key:{n}")])?;
        assert_eq!(value, Value::Bulk(b"new".to_vec()), "{}", server.log());
    }
    assert_eq!(times_taken_over(&server), 1, "{}", server.log());
    assert!(!server.log().contains("damaged"), "{}", server.log());
    server.terminate()
}

#[test]
fn a_crash_spoils_the_index() -> TestResult {
    let mut server = Server::start_with(options())?;
    fill(&server)?;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(server.pid())?);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSEGV)?;
    let ended = server.wait_for_exit();
    assert!(ended.is_err(), "a crash is no orderly end");
    server.resume()?;
    check(&server)?;
    assert_eq!(times_taken_over(&server), 0, "{}", server.log());
    server.terminate()
}

#[test]
fn a_start_gathers_what_no_index_in_the_file_names() -> TestResult {
    let long = "x".repeat(5_000);
    let others: [&[&str]; 6] = [
        &["HSET", "other", "field", &long],
        &["SADD", "other", &long, "member"],
        &["RPUSH", "other", &long, "second", "third"],
        &["ZADD", "other", "1", &long, "2", "second"],
        &["XADD", "other", "*", "field", "value"],
        &[
            "FUNCTION",
            "LOAD",
            "#!lua name=one\nredis.register_function('f', function() return 'here' end)",
        ],
    ];
    for other in others {
        let mut server = Server::start_with(options())?;
        fill(&server)?;
        let mut client = server.raw()?;
        let reply = client.call(other)?;
        assert!(!matches!(reply, Value::Error(_)), "{reply:?}");
        let shown = match other[0] {
            "FUNCTION" => vec!["FCALL", "f", "0"],
            // The order of a large set is none that a client may rely on.
            "SADD" => vec!["SMISMEMBER", "other", &long, "member", "third"],
            _ => vec!["DUMP", "other"],
        };
        let before = client.call(&shown)?;
        // Until the first mark is published, there is nothing to take over.
        std::thread::sleep(Duration::from_millis(500));
        server.kill_9()?;
        server.resume()?;
        let mut client = server.raw()?;
        assert_eq!(client.call(&shown)?, before);
        assert_eq!(
            client.call(&["GET", "key:499"])?,
            Value::Bulk(b"499".to_vec())
        );
        client.call(&["DEL", "other"])?;
        client.call(&["FUNCTION", "FLUSH"])?;
        server.restart()?;
        let mut client = server.raw()?;
        let after = client.call(&shown)?;
        assert_ne!(after, before);
        check(&server)?;
        assert_eq!(times_taken_over(&server), 2, "{}", server.log());
        server.terminate()?;
    }
    Ok(())
}

/// What clients ask first, while elements are gathered.
#[test]
fn answers_are_right_before_elements_are_gathered() -> TestResult {
    let calls: [(&[&str], &str); 14] = [
        (&["DBSIZE"], ":2005"),
        (&["TYPE", "hash:7"], "+hash"),
        (&["EXISTS", "hash:7", "hash:x"], ":1"),
        (&["HGET", "hash:7", "field:3"], "$4 7:3:"),
        (&["HLEN", "hash:8"], ":20"),
        (&["OBJECT", "ENCODING", "hash:9"], "$9 hashtable"),
        (&["DEL", "hash:10"], ":1"),
        (&["SET", "hash:11", "v"], "+OK"),
        (&["RENAME", "hash:12", "hash:renamed"], "+OK"),
        (&["PEXPIRE", "hash:13", "1"], ":1"),
        (&["LLEN", "list"], ":20"),
        (&["ZSCORE", "zset", "member:3"], "$1 3"),
        (&["XLEN", "stream"], ":20"),
        (&["FLUSHDB"], "+OK"),
    ];
    let mut server = Server::start_with(options())?;
    let mut client = server.raw()?;
    let pad = "x".repeat(100);
    for n in 0..2_000 {
        let mut request = vec!["HSET".to_owned(), format!("hash:{n}")];
        for field in 0..20 {
            request.extend([format!("field:{field}"), format!("{n}:{field}:{pad}")]);
        }
        client.call(&request)?;
    }
    for n in 0..20 {
        let n = n.to_string();
        client.call(&["RPUSH", "list", &format!("{n}{pad}")])?;
        client.call(&["ZADD", "zset", &n, &format!("member:{n}")])?;
        client.call(&["ZADD", "zset", &n, &format!("{n}{pad}")])?;
        client.call(&["XADD", "stream", "*", "field", &n])?;
        client.call(&["SADD", "set", &format!("{n}{pad}")])?;
    }
    client.call(&["HSET", "brief", "field", &"x".repeat(2_000)])?;
    client.call(&["PEXPIRE", "brief", "1"])?;
    client.call(&["SET", "string", "value"])?;
    for (call, expected) in calls {
        server.kill_9()?;
        server.resume()?;
        let mut client = server.raw()?;
        let reply = client.call(call)?;
        let shown = match reply {
            Value::Integer(n) => format!(":{n}"),
            Value::Simple(text) => format!("+{}", text.escape_ascii()),
            Value::Bulk(text) => format!("${} {}", text.len(), text.escape_ascii()),
            other => format!("{other:?}"),
        };
        let fits = match call[0] {
            "HGET" => shown.ends_with(&format!("7:3:{pad}")),
            // What has expired counts until the background has removed it.
            "DBSIZE" => shown == expected || shown == ":2006",
            _ => shown == expected,
        };
        assert!(fits, "{call:?}: {shown}, not {expected}\n{}", server.log());
    }
    assert_eq!(times_taken_over(&server), calls.len(), "{}", server.log());
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    assert_eq!(client.call(&["DBSIZE"])?, Value::Integer(0));
    // The elements that nobody names take no room.
    client.call(&["HSET", "hash", "field", &pad.repeat(20)])?;
    assert_eq!(client.call(&["HLEN", "hash"])?, Value::Integer(1));
    server.terminate()
}

/// Clients that come at once, some for the same collections.
#[test]
fn many_clients_ask_first_before_elements_are_gathered() -> TestResult {
    const CLIENTS: usize = 8;
    const HASHES: usize = 300;
    let mut server = Server::start_with(options().directive("worker-threads", "3"))?;
    let mut client = server.raw()?;
    let pad = "x".repeat(100);
    for n in 0..HASHES {
        let (key, more) = (format!("hash:{n}"), format!("{n}{pad}"));
        client.call(&["HSET", &key, "a", &more, "b", &pad, "c", "short"])?;
    }
    wait_for_a_point();
    for round in 0..6 {
        server.kill_9()?;
        server.resume()?;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| (number, server.raw()))
            .map(|(number, client)| {
                Ok(std::thread::spawn({
                    let mut client = client?;
                    move || -> std::io::Result<Vec<(usize, Value)>> {
                        let mut wrong = Vec::new();
                        for n in (0..HASHES).map(|n| (n * (1 + number / 2)) % HASHES) {
                            let fields = client.call(&["HLEN", &format!("hash:{n}")])?;
                            if fields != Value::Integer(3) {
                                wrong.push((n, fields));
                            }
                        }
                        // A key whose shard nobody may have asked for.
                        let other = format!("other:{round}:{number}");
                        client.call(&["HSET", &other, "a", &"y".repeat(200)])?;
                        let fields = client.call(&["HLEN", &other])?;
                        if fields != Value::Integer(1) {
                            wrong.push((usize::MAX, fields));
                        }
                        Ok(wrong)
                    }
                }))
            })
            .collect::<TestResult<_>>()?;
        for client in clients {
            let wrong = client.join().map_err(|_| "a client panicked")??;
            assert!(wrong.is_empty(), "{wrong:?}\n{}", server.log());
        }
        let keys = HASHES + CLIENTS * (round + 1);
        let counted = server.raw()?.call(&["DBSIZE"])?;
        assert_eq!(counted, Value::Integer(i64::try_from(keys)?));
    }
    assert_eq!(times_taken_over(&server), 6, "{}", server.log());
    server.terminate()
}

/// As a start that reads everything, one that gathers elements serves nothing of a damaged pool. It has begun to serve by then.
#[test]
fn damage_among_elements_ends_the_process() -> TestResult {
    const PATTERN: &[u8] = b"a pattern that nothing else in the pool has";
    let mut server = Server::start_with(options().pool_size("40mb"))?;
    let value = [PATTERN, &[b'y'; 3_000]].concat();
    let mut client = server.raw()?;
    client.call(&[b"HSET".as_slice(), b"other", b"field", &value])?;
    fill(&server)?;
    // What was written last is checked before the index is taken over: the record must lie before that.
    std::thread::sleep(Duration::from_secs(2));
    server.kill_9()?;
    let mut pool = std::fs::read(server.pool_path())?;
    let at = pool
        .windows(PATTERN.len())
        .position(|bytes| bytes == PATTERN);
    pool[at.ok_or("the value is nowhere")?] ^= 1;
    std::fs::write(server.pool_path(), &pool)?;
    // The process may end before or after it is ready.
    if server.resume().is_ok() {
        assert!(server.wait_for_exit().is_err(), "{}", server.log());
    }
    let log = server.log();
    assert!(log.contains("cannot be gathered"), "{log}");
    assert!(server.resume().is_err(), "{}", server.log());
    assert_eq!(times_taken_over(&server), 1, "{}", server.log());
    assert!(server.log().contains("--repair yes"), "{}", server.log());
    Ok(())
}

#[test]
fn a_place_that_cannot_be_used_is_a_warning() -> TestResult {
    let first = Server::start_with(options())?;
    let taken = first.dir().join("test.index").display().to_string();
    for place in ["/proc/no/such/folder", taken.as_str()] {
        let nowhere = Options::new("cmap").directive("index-file", place);
        let mut server = Server::start_with(nowhere)?;
        assert!(
            server.log().contains("the index is not kept"),
            "{}",
            server.log()
        );
        fill(&server)?;
        server.kill_9()?;
        server.resume()?;
        check(&server)?;
        server.terminate()?;
    }
    Ok(())
}

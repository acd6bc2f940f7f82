//! No client waits long for another one: long strings, clients that do not read, connections that say nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value, quiet_port};

/// The longest wait of a client that pings while `run` runs.
fn longest_wait(server: &Server, run: impl FnOnce() -> TestResult) -> TestResult<Duration> {
    let over = Arc::new(AtomicBool::new(false));
    let mut client = server.raw()?;
    let pings = {
        let over = Arc::clone(&over);
        thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let start = Instant::now();
                client.line("PING")?;
                longest = longest.max(start.elapsed());
                thread::sleep(Duration::from_millis(1));
            }
            Ok::<_, std::io::Error>(longest)
        })
    };
    let ran = run();
    over.store(true, Ordering::Relaxed);
    let longest = pings.join().map_err(|_| "the pings panicked")??;
    ran?;
    Ok(longest)
}

#[test]
fn long_strings_are_written_beside_the_others() -> TestResult {
    const STRING_BYTES: i64 = 192 << 20;
    for store in ["cmap", "cmap/pairs"] {
        let options = Options::new(store)
            .pool_size("1gb")
            .directive("worker-threads", "1");
        let server = Server::start_with(options)?;
        let mut client = server.raw()?;
        for (line, reply) in [
            (format!("SETRANGE k {} x", STRING_BYTES - 1), STRING_BYTES),
            ("APPEND k x".into(), STRING_BYTES + 1),
            (format!("SETBIT bits {} 1", STRING_BYTES * 8 - 1), 0),
        ] {
            let start = Instant::now();
            let waited = longest_wait(&server, || {
                assert_eq!(client.line(&line)?, Value::Integer(reply), "{line}");
                Ok(())
            })?;
            let took = start.elapsed();
            eprintln!("{store}: {line} took {took:?}, others waited {waited:?}");
            assert!(
                waited < Duration::from_millis(500) || waited * 5 < took,
                "{store}: {line} took {took:?}, others waited {waited:?}"
            );
        }
        // In a transaction too it is done, and once.
        for (line, reply) in [
            ("MULTI", "+OK"),
            ("SETRANGE t 2000000 x", "+QUEUED"),
            ("APPEND t y", "+QUEUED"),
            ("EXEC", "[:2000001, :2000002]"),
            ("GETRANGE t -3 -1", "\"\\x00xy\""),
        ] {
            assert_eq!(format!("{:?}", client.line(line)?), reply, "{line}");
        }
    }
    Ok(())
}

#[test]
fn long_collections_are_read_beside_the_others() -> TestResult {
    const ELEMENTS: usize = 100_000;
    let options = Options::new("cmap/pairs")
        .pool_size("512mb")
        .directive("worker-threads", "1");
    let server = Server::start_with(options)?;
    let mut client = server.raw()?;
    for from in (0..ELEMENTS).step_by(1_000) {
        let mut push = vec!["RPUSH".to_owned(), "list".to_owned()];
        let mut set = vec!["HSET".to_owned(), "hash".to_owned()];
        for n in from..from + 1_000 {
            push.push(n.to_string());
            set.extend([n.to_string(), n.to_string()]);
        }
        assert!(!client.call(&push)?.is_error() && !client.call(&set)?.is_error());
    }
    for (line, items) in [
        ("LRANGE list 0 -1", ELEMENTS),
        ("HGETALL hash", 2 * ELEMENTS),
        ("HVALS hash", ELEMENTS),
    ] {
        let start = Instant::now();
        let waited = longest_wait(&server, || {
            let reply = client.line(line)?;
            assert_eq!(reply.items().map(<[Value]>::len), Some(items), "{line}");
            Ok(())
        })?;
        let took = start.elapsed();
        eprintln!("{line} took {took:?}, others waited {waited:?}");
        assert!(
            waited * 3 < took,
            "{line} took {took:?}, others waited {waited:?}"
        );
    }
    for (line, reply) in [
        ("MULTI", "+OK"),
        ("LRANGE list 1 3000", "+QUEUED"),
        ("HGETALL hash", "+QUEUED"),
    ] {
        assert_eq!(format!("{:?}", client.line(line)?), reply, "{line}");
    }
    let replies = client.line("EXEC")?;
    let replies = replies.items().ok_or("no replies")?;
    let lengths = replies
        .iter()
        .map(|reply| reply.items().map(<[Value]>::len));
    assert_eq!(
        lengths.collect::<Vec<_>>(),
        [Some(3_000), Some(2 * ELEMENTS)]
    );
    Ok(())
}

#[test]
fn a_long_value_that_was_sent_is_stored_beside_the_others() -> TestResult {
    let options = Options::new("cmap")
        .pool_size("512mb")
        .directive("worker-threads", "1");
    let server = Server::start_with(options)?;
    let mut client = server.raw()?;
    let value = "v".repeat(64 << 20);
    for key in ["a", "b"] {
        assert_eq!(
            client.call(&["SET", key, &value])?,
            Value::Simple(b"OK".to_vec())
        );
    }
    let ok = Value::Simple(b"OK".to_vec());
    for line in ["MULTI", "EXEC"] {
        if line == "EXEC" {
            let queued = client.call(&["SET", "c", &value])?;
            assert_eq!(queued, Value::Simple(b"QUEUED".to_vec()));
            assert_eq!(client.line(line)?, Value::Array(vec![ok.clone()]));
        } else {
            assert_eq!(client.line(line)?, ok);
        }
    }
    for key in ["a", "b", "c"] {
        assert_eq!(
            client.line(&format!("STRLEN {key}"))?,
            Value::Integer(64 << 20)
        );
    }
    Ok(())
}

#[test]
fn a_client_that_does_not_read_does_not_hold_up_the_end() -> TestResult {
    for count in [1, 20] {
        let mut server = Server::start("cmap")?;
        let mut clients = Vec::new();
        server
            .raw()?
            .call(&["SET", "large", &"x".repeat(1 << 20)])?;
        for _ in 0..count {
            let mut client: RawClient = server.raw()?;
            for _ in 0..16 {
                client.send(&["GET", "large"])?;
            }
            clients.push(client);
        }
        // All of it has run when no more output comes.
        let mut admin = server.raw()?;
        let mut before = String::new();
        loop {
            thread::sleep(Duration::from_millis(200));
            let info = admin.line("INFO commandstats")?.text().unwrap_or_default();
            let calls = info.lines().find(|line| line.starts_with("cmdstat_get:"));
            let calls = calls.unwrap_or_default().to_owned();
            if calls == before {
                break;
            }
            before = calls;
        }
        drop(admin);
        let start = Instant::now();
        server.terminate()?;
        let took = start.elapsed();
        assert!(took < Duration::from_millis(1500), "{count}: {took:?}");
        server.resume()?;
        assert_eq!(server.raw()?.line("STRLEN large")?, Value::Integer(1 << 20));
    }
    Ok(())
}

/// What an HTTP server answers to a request for the metrics.
fn metrics(port: u16) -> TestResult<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn connections_that_ask_nothing_do_not_keep_the_metrics_from_others() -> TestResult {
    let port = quiet_port()?;
    let options = Options::new("cmap").directive("metrics-port", &port.to_string());
    let server = Server::start_with(options)?;
    let mut silent = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        if number % 2 == 0 {
            // The server may have closed it already.
            let _ = stream.write_all(b"GET /metr");
        }
        silent.push(stream);
    }
    for _ in 0..5 {
        let start = Instant::now();
        let answer = metrics(port)?;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(start.elapsed() < Duration::from_secs(1));
        silent.push(TcpStream::connect(("127.0.0.1", port))?);
    }
    assert!(!server.raw()?.line("PING")?.is_error());
    Ok(())
}

#[test]
fn the_log_tells_when_no_descriptor_is_left_and_when_there_is_again() -> TestResult {
    let server = Server::start_with(Options::new("cmap"))?;
    let pid = server.pid();
    let mut admin = server.raw()?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let limited = Command::new("prlimit")
        .args([
            "--pid",
            &pid.to_string(),
            &format!("--nofile={}:", open + 4),
        ])
        .status();
    if !limited.is_ok_and(|status| status.success()) {
        eprintln!("prlimit is not there: skipped");
        return Ok(());
    }
    let clients: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(("127.0.0.1", server.port())))
        .collect::<Result<_, _>>()?;
    thread::sleep(Duration::from_millis(500));
    assert!(!admin.line("PING")?.is_error());
    let told = |text: &str| server.log().matches(text).count();
    assert_eq!(
        told("connections cannot be accepted: no file descriptor is left"),
        1
    );
    drop(clients);
    thread::sleep(Duration::from_millis(500));
    assert!(!server.raw()?.line("PING")?.is_error());
    assert_eq!(told("connections cannot be accepted"), 1);
    assert!(
        told("connections are accepted again") >= 1,
        "{}",
        server.log()
    );
    Ok(())
}

/// Where a commit waits for a disk, one serves all clients of a worker that have writes, however they come: each
/// acknowledged write is there after a kill.
#[test]
fn clients_share_the_commits_of_a_disk() -> TestResult {
    const CLIENTS: usize = 8;
    const CALLS: usize = 300;
    let options = Options::new("cmap").pool_size("64mb").on_disk("power");
    let mut server = Server::start_with(options)?;
    let info = server.raw()?.line("INFO")?;
    let info = String::from_utf8_lossy(info.bytes().unwrap_or_default()).into_owned();
    assert!(info.contains("msync at each commit"), "{info}");
    let connections: Vec<RawClient> = (0..CLIENTS)
        .map(|_| server.raw())
        .collect::<TestResult<_>>()?;
    let told = thread::scope(|scope| {
        let clients = connections.into_iter().enumerate();
        let clients: Vec<_> = clients
            .map(|(number, mut client)| {
                scope.spawn(move || {
                    let calls = 0..CALLS;
                    let set = |call| client.line(&format!("SET {number}:{call} {call}"));
                    calls.map(set).collect::<std::io::Result<Vec<Value>>>()
                })
            })
            .collect();
        let ended = clients.into_iter().map(thread::ScopedJoinHandle::join);
        ended.collect::<Result<Vec<_>, _>>()
    });
    for replies in told.map_err(|_| "a client panicked")? {
        let replies = replies?;
        assert!(!replies.iter().any(Value::is_error), "{replies:?}");
    }
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    let keys = client.line("DBSIZE")?.integer();
    assert_eq!(keys, Some(i64::try_from(CLIENTS * CALLS)?));
    Ok(())
}

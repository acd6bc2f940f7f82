//! The server's life and limits: what it refuses, which clients it disconnects, how it stops, what it has after a
//! restart.

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value};

/// The smallest pool that leaves some space on cmap, so that starting costs little.
fn small() -> Options {
    Options::new("cmap").pool_size("64mb")
}

fn error(value: &Value) -> String {
    let Value::Error(text) = value else {
        panic!("no error: {value:?}");
    };
    String::from_utf8_lossy(text).into_owned()
}

#[test]
fn a_breach_of_protocol_ends_only_its_connection() -> TestResult {
    let server = Server::start_with(small())?;
    let mut other = server.raw()?;
    let long = vec![b'x'; 70_000];
    let cases: [(&[u8], &str); 6] = [
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*1\r\n$-5\r\n", "invalid bulk length"),
        (b"*1\r\n$999999999999\r\n", "invalid bulk length"),
        (b"GET \"a\r\n", "unbalanced quotes in request"),
        (&long, "too big inline request"),
    ];
    for (bytes, text) in cases {
        let mut client = server.raw()?;
        client.send_bytes(bytes)?;
        let reply = error(&client.read()?);
        assert_eq!(reply, format!("ERR Protocol error: {text}"));
        assert!(client.is_closed()?);
        assert_eq!(other.line("PING")?, Value::Simple(b"PONG".to_vec()));
    }
    Ok(())
}

#[test]
fn calls_before_a_breach_are_answered() -> TestResult {
    let server = Server::start_with(small())?;
    let mut client = server.raw()?;
    client.send_bytes(b"SET k v\r\n*1\r\n$x\r\n")?;
    assert_eq!(client.read()?, Value::Simple(b"OK".to_vec()));
    assert!(client.read()?.is_error());
    assert_eq!(server.raw()?.line("GET k")?, Value::Bulk(b"v".to_vec()));
    Ok(())
}

#[test]
fn a_request_may_arrive_in_any_pieces() -> TestResult {
    let server = Server::start_with(small())?;
    let mut client = server.raw()?;
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n\r\n\0\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" {
        client.send_bytes(&[*byte])?;
    }
    assert_eq!(client.read()?, Value::Simple(b"OK".to_vec()));
    assert_eq!(client.read()?, Value::Bulk(b"\r\n\0".to_vec()));
    Ok(())
}

#[test]
fn more_clients_than_maxclients_are_refused() -> TestResult {
    let server = Server::start_with(small().directive("maxclients", "3"))?;
    let mut first = server.raw()?;
    first.line("PING")?;
    // The clients that waited for the start may not have left yet.
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut clients = vec![first];
    while clients.len() < 3 && Instant::now() < deadline {
        let mut client = server.raw()?;
        if client.line("PING").is_ok_and(|reply| !reply.is_error()) {
            clients.push(client);
        }
    }
    assert_eq!(clients.len(), 3);
    let mut refused = server.raw()?;
    assert_eq!(error(&refused.read()?), "ERR max number of clients reached");
    assert!(refused.is_closed()?);
    assert_eq!(
        clients[0].line("CONFIG SET maxclients 10")?,
        Value::Simple(b"OK".to_vec())
    );
    assert!(!server.raw()?.line("PING")?.is_error());
    Ok(())
}

#[test]
fn idle_clients_are_closed_after_timeout() -> TestResult {
    let server = Server::start_with(small().directive("timeout", "1"))?;
    let mut idle = server.raw()?;
    idle.line("PING")?;
    let started = Instant::now();
    assert!(idle.is_closed()?);
    assert!(started.elapsed() >= Duration::from_millis(900));
    Ok(())
}

#[test]
fn input_over_its_limit_closes_the_client() -> TestResult {
    let server = Server::start_with(small().directive("client-query-buffer-limit", "1mb"))?;
    let mut client = server.raw()?;
    client.send_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000000\r\n")?;
    // Sending may fail half-way, because the server has closed the connection.
    let sent = client.send_bytes(&vec![b'x'; 3_000_000]);
    assert!(sent.is_err() || client.is_closed()?);
    assert_eq!(server.raw()?.line("EXISTS k")?, Value::Integer(0));
    assert!(server.log().contains("client-query-buffer-limit"));
    Ok(())
}

#[test]
fn output_over_its_limits_closes_the_client() -> TestResult {
    let limits = ["normal 1000000 0 0", "normal 0 500000 1"];
    for limit in limits {
        let server = Server::start_with(small().directive("client-output-buffer-limit", limit))?;
        let mut client = server.raw()?;
        let value = vec![b'v'; 900_000];
        client.call(&[&b"SET"[..], b"k", &value])?;
        assert_eq!(client.line("STRLEN k")?, Value::Integer(900_000));
        // The client asks for much and reads nothing.
        let mut greedy = server.raw()?;
        greedy.send_bytes(&b"GET k\r\n".repeat(200))?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !server.log().contains("client-output-buffer-limit") {
            assert!(Instant::now() < deadline, "{limit}: it was not closed");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(client.line("STRLEN k")?, Value::Integer(900_000));
    }
    Ok(())
}

#[test]
fn a_full_pool_refuses_and_loses_nothing() -> TestResult {
    let mut server = Server::start_with(Options::new("cmap").pool_size("32mb"))?;
    let mut client = server.raw()?;
    let value = vec![b'v'; 2_000];
    let set = |client: &mut RawClient, n: u32| {
        client.call(&[&b"SET"[..], n.to_string().as_bytes(), &value])
    };
    let mut stored = 0;
    let refused = loop {
        let reply = set(&mut client, stored)?;
        if reply.is_error() {
            break reply;
        }
        stored += 1;
        assert!(stored < 20_000);
    };
    let text = error(&refused);
    assert!(
        text.starts_with("OOM command not allowed: the pool is full."),
        "{text}"
    );
    let doctor = client.line("MEMORY DOCTOR")?.text().unwrap_or_default();
    assert!(doctor.contains("The pool is full to"), "{doctor}");
    assert!(doctor.contains("maxmemory-policy allkeys-lru"), "{doctor}");
    assert!(doctor.contains("pool-size"), "{doctor}");
    // Redis's text names maxmemory.
    client.line("CONFIG SET maxmemory 1mb")?;
    assert_eq!(
        error(&set(&mut client, stored)?),
        "OOM command not allowed when used memory > 'maxmemory'."
    );
    server.restart()?;
    let mut client = server.raw()?;
    assert_eq!(client.line("DBSIZE")?, Value::Integer(stored.into()));
    assert_eq!(client.line("GET 0")?, Value::Bulk(value.clone()));
    assert_eq!(client.line("DEL 0 1 2 3")?, Value::Integer(4));
    assert!(!set(&mut client, 0)?.is_error());
    assert!(!client.line("FLUSHALL")?.is_error());
    // Compaction frees space for the writes that need it.
    for n in 0..stored / 2 {
        assert!(!set(&mut client, n)?.is_error(), "{n} of {stored}");
    }
    Ok(())
}

#[test]
fn sigterm_answers_what_was_sent_and_closes_in_order() -> TestResult {
    let mut server = Server::start_with(small())?;
    let mut client = server.raw()?;
    let mut idle = server.raw()?;
    idle.line("PING")?;
    let writer = std::thread::spawn(move || {
        let mut acknowledged = 0u32;
        for n in 0..1_000_000u32 {
            let call = format!("SET {n} v\r\n");
            let sent = client.send_bytes(call.as_bytes());
            match sent.and_then(|()| client.read()) {
                Ok(Value::Simple(_)) => acknowledged = n + 1,
                _ => break,
            }
        }
        acknowledged
    });
    std::thread::sleep(Duration::from_millis(300));
    server.terminate()?;
    let acknowledged = writer.join().map_err(|_| "the writer failed")?;
    assert!(acknowledged > 0);
    assert!(idle.is_closed()?);
    server.resume()?;
    assert!(!server.log().contains("not closed in order"));
    let mut client = server.raw()?;
    for n in 0..acknowledged {
        assert_eq!(client.line(&format!("EXISTS {n}"))?, Value::Integer(1));
    }
    server.kill_9()?;
    server.resume()?;
    assert!(server.log().contains("not closed in order"));
    Ok(())
}

#[test]
fn the_process_has_its_name() -> TestResult {
    let server = Server::start_with(small())?;
    let name = std::fs::read_to_string(format!("/proc/{}/comm", server.pid()))?;
    assert_eq!(name, "pmemkv-server\n");
    Ok(())
}

#[test]
fn the_unix_socket_serves_and_goes() -> TestResult {
    let mut server = Server::start_with(
        small()
            .directive("unixsocket", "test.sock")
            .directive("unixsocketperm", "700"),
    )?;
    let path = server.dir().join("test.sock");
    let metadata = std::fs::metadata(&path)?;
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
    let mut stream = UnixStream::connect(&path)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"PING\r\n")?;
    let mut reply = [0; 7];
    stream.read_exact(&mut reply)?;
    assert_eq!(&reply, b"+PONG\r\n");
    server.terminate()?;
    assert!(!path.exists());
    Ok(())
}

#[test]
fn a_client_that_does_not_read_can_be_killed() -> TestResult {
    let server = Server::start_with(small())?;
    let mut client = server.raw()?;
    client.call(&[&b"SET"[..], b"k", &vec![b'v'; 1_000_000]])?;
    let mut deaf = server.raw()?;
    let id = deaf.line("CLIENT ID")?.integer().ok_or("no id")?;
    // More bytes than the sockets' buffers take.
    deaf.send_bytes(&b"GET k\r\n".repeat(100))?;
    std::thread::sleep(Duration::from_millis(300));
    let kill = format!("CLIENT KILL ID {id}");
    assert_eq!(client.line(&kill)?, Value::Integer(1));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let list = client.line("CLIENT LIST")?.text().unwrap_or_default();
        if !list.contains(&format!("id={id} ")) {
            return Ok(());
        }
        assert!(Instant::now() < deadline, "it is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_slow_command_does_not_hold_up_others() -> TestResult {
    const KEYS: usize = 100_000;
    let server = Server::start_with(small())?;
    let mut client = server.raw()?;
    let mut words = vec!["MSET".to_owned()];
    words.extend((0..KEYS).flat_map(|n| [format!("key:{n}"), String::new()]));
    client.call(&words)?;
    // More slow commands than worker threads. Each looks at all keys and finds none.
    let mut slow = Vec::new();
    let started = Instant::now();
    for _ in 0..16 {
        let mut keys = server.raw()?;
        keys.send(&["KEYS", "*x*"])?;
        slow.push(keys);
    }
    for n in 0..20 {
        client.line(&format!("SET k {n}"))?;
    }
    let others = started.elapsed();
    for mut keys in slow {
        assert_eq!(keys.read()?, Value::Array(Vec::new()));
    }
    let all = started.elapsed();
    assert!(others < all / 2, "{others:?} of {all:?}");
    Ok(())
}

#[test]
fn debug_sleep_delays_every_client() -> TestResult {
    const SLEEP: Duration = Duration::from_millis(400);
    let options = small()
        .directive("enable-debug-command", "yes")
        .directive("worker-threads", "3");
    let server = Server::start_with(options)?;
    // At least one client for each worker.
    let mut others = Vec::new();
    for _ in 0..6 {
        let mut other = server.raw()?;
        other.line("SET k v")?;
        others.push(other);
    }
    let mut sleeper = server.raw()?;
    let started = Instant::now();
    sleeper.send(&["DEBUG", "SLEEP", "0.4"])?;
    std::thread::sleep(SLEEP / 8);
    for (number, other) in others.iter_mut().enumerate() {
        let words: &[&str] = match number % 3 {
            0 => &["PING"],
            1 => &["GET", "k"],
            _ => &["KEYS", "*"],
        };
        other.send(words)?;
    }
    for other in &mut others {
        assert!(!other.read()?.is_error());
        assert!(started.elapsed() >= SLEEP, "{:?}", started.elapsed());
    }
    assert!(!sleeper.read()?.is_error());
    // In a transaction too.
    sleeper.line("MULTI")?;
    sleeper.line("DEBUG SLEEP 0.4")?;
    let started = Instant::now();
    sleeper.send(&["EXEC"])?;
    std::thread::sleep(SLEEP / 8);
    others[0].line("PING")?;
    assert!(started.elapsed() >= SLEEP, "{:?}", started.elapsed());
    assert!(!sleeper.read()?.is_error());
    Ok(())
}

#[test]
fn slow_commands_keep_their_place_in_a_pipeline() -> TestResult {
    let server = Server::start_with(small())?;
    let mut client = server.raw()?;
    client.send_bytes(
        b"SET k 1\r\nKEYS k\r\nINCR k\r\nFLUSHDB\r\nGET k\r\nCLIENT REPLY SKIP\r\nKEYS *\r\nKEYS\r\nPING\r\n",
    )?;
    assert!(!client.read()?.is_error());
    assert_eq!(client.read()?.items().map(<[_]>::len), Some(1));
    assert_eq!(client.read()?, Value::Integer(2));
    assert!(!client.read()?.is_error());
    assert!(client.read()?.is_null());
    // The client skipped the reply of `KEYS *`; the reply of `KEYS` alone is an error.
    assert!(client.read()?.is_error());
    assert_eq!(client.read()?.text().as_deref(), Some("PONG"));
    let info = client.line("INFO commandstats")?.text().unwrap_or_default();
    assert!(info.contains("cmdstat_keys:calls=2,"), "{info}");
    assert!(info.contains("rejected_calls=1,"), "{info}");
    Ok(())
}

/// Starts the server with `arguments`, which it must refuse; returns its output.
fn refused(arguments: &[&str]) -> TestResult<String> {
    let output = Command::new(common::program())
        .args(["--port", "0"])
        .args(arguments)
        .output()?;
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_impossible_start_is_refused_with_a_reason() -> TestResult {
    let mut server = Server::start_with(small())?;
    let pool = server.pool_path().display().to_string();
    assert!(refused(&["--pool-path", &pool])?.contains("open in another process"));
    server.terminate()?;
    let file = server.dir().join("file");
    let name = file.display().to_string();
    let noise = vec![7; 10 << 20];
    for (content, text) in [(&b""[..], "is empty"), (&noise, "signature")] {
        std::fs::write(&file, content)?;
        let said = refused(&["--pool-path", &name])?;
        assert!(said.contains("not a pool") && said.contains(text), "{said}");
        assert_eq!(std::fs::read(&file)?, content, "it is left as it was");
    }
    let cases: [(&[&str], &str); 6] = [
        (&["--pool-path", &pool, "--engine", "stree"], "engine cmap"),
        (&["--pool-path", "/nonexistent/x.pool"], "no such directory"),
        (&["--engine", "nonsense"], "it has cmap"),
        (
            &["--pool-path", "new.pool", "--pool-size", "1mb"],
            "too small",
        ),
        (&["--nonsense", "1"], ">>> 'nonsense \"1\"'"),
        (&["--rename-command", "nonsense", "x"], "no such command"),
    ];
    for (arguments, text) in cases {
        let said = refused(arguments)?;
        assert!(said.contains(text), "{arguments:?}: {said}");
    }
    // Half of a pool is not a pool.
    let bytes = std::fs::read(&pool)?;
    std::fs::write(&pool, &bytes[..bytes.len() / 2])?;
    let said = refused(&["--pool-path", &pool])?;
    assert!(said.contains(&pool), "{said}");
    Ok(())
}

#[test]
fn commands_can_be_renamed_and_taken_away() -> TestResult {
    let config = "rename-command FLUSHALL wipe\nrename-command KEYS \"\"\nrequirepass secret\n";
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("test.conf");
    std::fs::write(&path, config)?;
    let include = path.display().to_string();
    let server = Server::start_with(small().directive("include", &include))?;
    let mut client = server.raw()?;
    assert!(error(&client.line("GET k")?).starts_with("NOAUTH"));
    client.line("AUTH secret")?;
    client.line("SET k v")?;
    let reply = error(&client.line("FLUSHALL")?);
    assert!(
        reply.starts_with("ERR unknown command 'FLUSHALL'"),
        "{reply}"
    );
    assert!(client.line("KEYS *")?.is_error());
    assert_eq!(client.line("wipe")?, Value::Simple(b"OK".to_vec()));
    assert_eq!(client.line("DBSIZE")?, Value::Integer(0));
    assert!(!server.log().contains("secret"));
    Ok(())
}

#[test]
fn sigterm_ends_listeners_monitors_and_waiting_clients() -> TestResult {
    let mut server = Server::start_with(small())?;
    let mut clients = Vec::new();
    for line in [
        "SUBSCRIBE a",
        "PSUBSCRIBE *",
        "MONITOR",
        "HELLO 3",
        "MULTI",
        "CLIENT PAUSE 600000",
    ] {
        let mut client = server.raw()?;
        assert!(!client.line(line)?.is_error(), "{line}");
        clients.push(client);
    }
    let mut waiting = server.raw()?;
    waiting.send(&["SET", "a", "b"])?;
    // The server must exit with 0, and in time.
    server.terminate()?;
    for mut client in clients.into_iter().chain([waiting]) {
        while !client.is_closed()? {
            client.read()?;
        }
    }
    Ok(())
}

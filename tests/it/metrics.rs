//! The metrics endpoint: its figures, in Prometheus's format, and the requests that it refuses.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Options, Server, TestResult, backup};

fn start(store: &str) -> TestResult<(Server, u16)> {
    start_with(&Options::new(store).pool_size("64mb"))
}

fn start_with(options: &Options) -> TestResult<(Server, u16)> {
    let mut last = None;
    // Another process may take the port before the server binds it.
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let options = options.clone().directive("metrics-port", &port.to_string());
        match Server::start_with(options) {
            Ok(server) => return Ok((server, port)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.ok_or("no start was tried")?)
}

/// The head and the body of the response.
fn request(port: u16, text: &str) -> TestResult<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no end of the head")?;
    Ok((head.to_owned(), body.to_owned()))
}

fn get(port: u16) -> TestResult<String> {
    let (head, body) = request(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.to_ascii_lowercase()
            .contains("\r\ncontent-type: text/plain; version=0.0.4"),
        "{head}"
    );
    Ok(body)
}

/// The samples of a text in the exposition format, by name with labels.
fn parse(text: &str) -> TestResult<BTreeMap<String, f64>> {
    let mut kinds: HashMap<&str, &str> = HashMap::new();
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.contains(' '), "no text: {line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("no type")?;
            assert!(kinds.insert(name, kind).is_none(), "{name} comes twice");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').ok_or("no value")?;
        let name = series.split('{').next().unwrap_or_default();
        let well_named = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(name.starts_with("pmemkv_") && well_named, "{name}");
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
            name.strip_suffix(end)
                .filter(|base| kinds.get(base) == Some(&"histogram"))
        });
        let kind = kinds
            .get(base.unwrap_or(name))
            .ok_or_else(|| format!("{name} has no type"))?;
        assert_eq!(
            *kind == "counter",
            name.ends_with("_total"),
            "{name} is a {kind}"
        );
        let known = samples.insert(series.to_owned(), value.parse::<f64>()?);
        assert!(known.is_none(), "{series} comes twice");
    }
    Ok(samples)
}

fn value(samples: &BTreeMap<String, f64>, series: &str) -> TestResult<f64> {
    let value = samples.get(series);
    Ok(*value.ok_or_else(|| format!("no {series} in {samples:#?}"))?)
}

#[test]
fn metrics_tell_what_happened() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let (mut server, mut port) = start(store)?;
        let mut client = server.raw()?;
        for line in [
            "SET a 1",
            "SET b 2 EX 1000",
            "GET a",
            "GET nothing",
            "INCR a b c",
            "APPEND",
            "SET x y EX nothing",
        ] {
            client.line(line)?;
        }
        client.line("SELECT 3")?;
        client.line("SET c 3")?;
        let samples = parse(&get(port)?)?;
        for (series, expected) in [
            ("pmemkv_commands_total{command=\"get\"}", 2.0),
            ("pmemkv_commands_total{command=\"set\"}", 4.0),
            ("pmemkv_commands_failed_total{command=\"set\"}", 1.0),
            ("pmemkv_commands_rejected_total{command=\"incr\"}", 1.0),
            ("pmemkv_commands_rejected_total{command=\"append\"}", 1.0),
            ("pmemkv_error_replies_total", 3.0),
            ("pmemkv_keyspace_hits_total", 1.0),
            ("pmemkv_keyspace_misses_total", 1.0),
            ("pmemkv_connected_clients", 1.0),
            ("pmemkv_keys{db=\"0\"}", 2.0),
            ("pmemkv_keys{db=\"3\"}", 1.0),
            ("pmemkv_keys_expiring{db=\"0\"}", 1.0),
            ("pmemkv_pool_opens_total", 1.0),
            ("pmemkv_loading", 0.0),
            ("pmemkv_command_latency_seconds_count{command=\"set\"}", 4.0),
            (
                "pmemkv_command_latency_seconds_bucket{command=\"set\",le=\"+Inf\"}",
                4.0,
            ),
            ("pmemkv_errors_total{code=\"ERR\"}", 3.0),
            ("pmemkv_acl_denied_total{reason=\"auth\"}", 0.0),
            ("pmemkv_blocked_clients", 0.0),
            ("pmemkv_evicted_keys_total", 0.0),
            ("pmemkv_maxmemory_bytes", 0.0),
            ("pmemkv_pubsub_clients", 0.0),
        ] {
            assert!(
                (value(&samples, series)? - expected).abs() < 1e-9,
                "{store}: {series}"
            );
        }
        for series in [
            "pmemkv_commands_duration_seconds_total{command=\"get\"}",
            "pmemkv_net_input_bytes_total",
            "pmemkv_net_output_bytes_total",
            "pmemkv_pool_bytes",
            "pmemkv_pool_allocated_bytes",
            "pmemkv_pool_fill_ratio",
            "pmemkv_index_bytes",
            "pmemkv_uptime_seconds",
            "pmemkv_start_time_seconds",
        ] {
            assert!(value(&samples, series)? > 0.0, "{store}: {series}");
        }
        assert!(value(&samples, "pmemkv_pool_fill_ratio")? < 1.0);
        assert_eq!(
            samples.contains_key("pmemkv_pool_live_bytes"),
            store == "cmap"
        );
        assert!(samples.keys().any(|series| {
            series.starts_with("pmemkv_build_info{") && series.contains("engine=\"cmap\"")
        }));

        // After another start with the same pool, the metrics count the start, and show the keys before any command.
        server.terminate()?;
        port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let options = Options::new(store).directive("metrics-port", &port.to_string());
        server.set_options(options);
        server.resume()?;
        let deadline = Instant::now() + Duration::from_secs(20);
        let samples = loop {
            let samples = parse(&get(port)?)?;
            if samples.contains_key("pmemkv_index_time_seconds") || Instant::now() > deadline {
                break samples;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(value(&samples, "pmemkv_index_time_seconds")? > 0.0);
        assert!((value(&samples, "pmemkv_pool_opens_total")? - 2.0).abs() < 1e-9);
        assert!((value(&samples, "pmemkv_keys{db=\"0\"}")? - 2.0).abs() < 1e-9);
        assert!(!samples.contains_key("pmemkv_commands_total{command=\"get\"}"));
    }
    Ok(())
}

#[test]
fn listeners_trackers_slow_calls_and_evictions_are_counted() -> TestResult {
    let (server, port) = start("vcmap")?;
    let mut client = server.raw()?;
    let mut listener = server.raw()?;
    listener.line("SUBSCRIBE a b")?;
    listener.line("PSUBSCRIBE c*")?;
    listener.line("SSUBSCRIBE d")?;
    for line in [
        "CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 3",
        "HELLO 3",
        "CLIENT TRACKING on",
        "GET a",
        "GET b",
        "AUTH nobody x",
        "PING",
    ] {
        client.line(line)?;
    }
    let samples = parse(&get(port)?)?;
    for (series, expected) in [
        ("pmemkv_pubsub_clients", 1.0),
        ("pmemkv_pubsub_channels", 2.0),
        ("pmemkv_pubsub_patterns", 1.0),
        ("pmemkv_pubsub_shard_channels", 1.0),
        ("pmemkv_tracking_clients", 1.0),
        ("pmemkv_tracking_keys", 2.0),
        ("pmemkv_slowlog_length", 3.0),
        ("pmemkv_errors_total{code=\"WRONGPASS\"}", 1.0),
        ("pmemkv_acl_denied_total{reason=\"auth\"}", 1.0),
    ] {
        let found = value(&samples, series)?;
        assert!((found - expected).abs() < 1e-9, "{series} is {found}");
    }
    let sum = value(
        &samples,
        "pmemkv_command_latency_seconds_sum{command=\"get\"}",
    )?;
    let time = value(
        &samples,
        "pmemkv_commands_duration_seconds_total{command=\"get\"}",
    )?;
    assert!((sum - time).abs() <= time / 16.0, "{sum} of {time}");
    for line in [
        "CLIENT TRACKING off",
        "CONFIG SET maxmemory-policy allkeys-random",
        "SET a 1",
        "SET b 2",
        "CONFIG SET maxmemory 1",
    ] {
        client.line(line)?;
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while value(&parse(&get(port)?)?, "pmemkv_evicted_keys_total")? < 2.0 {
        assert!(Instant::now() < deadline, "nothing was evicted");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn promtool_finds_nothing_wrong() -> TestResult {
    let (server, port) = start("vcmap")?;
    server.raw()?.line("SET a 1")?;
    let text = get(port)?;
    let check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut check) = check else {
        eprintln!("promtool is not installed: skipped");
        return Ok(());
    };
    check
        .stdin
        .take()
        .ok_or("no input")?
        .write_all(text.as_bytes())?;
    let output = check.wait_with_output()?;
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    Ok(())
}

#[test]
fn only_get_of_two_pages_is_answered() -> TestResult {
    let (_server, port) = start("vcmap")?;
    for (text, status) in [
        ("GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found"),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "405 Method Not Allowed",
        ),
        (
            "GET /metrics/x HTTP/1.1\r\nHost: x\r\n\r\n",
            "404 Not Found",
        ),
        (
            "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "404 Not Found",
        ),
        (
            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "405 Method Not Allowed",
        ),
        (
            "DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
            "405 Method Not Allowed",
        ),
        ("PING\r\n\r\n", "400 Bad Request"),
    ] {
        let (head, _) = request(port, text)?;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{text}: {head}"
        );
    }
    let (head, _) = request(port, "PUT /metrics HTTP/1.1\r\nHost: x\r\n\r\n")?;
    assert!(
        head.to_ascii_lowercase().contains("\r\nallow: get"),
        "{head}"
    );
    let many: Vec<String> = (0..100).map(|number| format!("x-{number}: y")).collect();
    let many = many.join("\r\n");
    let (head, _) = request(port, &format!("GET /metrics HTTP/1.1\r\n{many}\r\n\r\n"))?;
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
    // A head without an end gets a response or a closed connection at once.
    let began = Instant::now();
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}", "y".repeat(64 * 1024));
    if let Ok((head, _)) = request(port, &long) {
        assert!(head.starts_with("HTTP/1.1 4"), "{head}");
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    Ok(())
}

#[test]
fn silent_connections_do_not_keep_others_out() -> TestResult {
    let (_server, port) = start("vcmap")?;
    let began = Instant::now();
    let mut silent: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(("127.0.0.1", port)))
        .collect::<std::io::Result<_>>()?;
    let samples = parse(&get(port)?)?;
    assert!(samples.contains_key("pmemkv_uptime_seconds"));
    // A silent connection has ten seconds if nobody needs its place.
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    // The server has closed the oldest one.
    silent[0].set_read_timeout(Some(Duration::from_secs(5)))?;
    assert_eq!(silent[0].read(&mut [0])?, 0);
    Ok(())
}

#[test]
fn there_is_no_endpoint_unless_asked_for() -> TestResult {
    let server = Server::start("vcmap")?;
    let reply = server.raw()?.line("CONFIG GET metrics-*")?;
    let text = format!("{reply:?}");
    assert!(text.contains("\"metrics-port\", \"0\""), "{text}");
    assert!(
        text.contains("\"metrics-bind\", \"127.0.0.1 -::1\""),
        "{text}"
    );
    assert!(!server.log().contains("metrics are at"));
    Ok(())
}

#[test]
fn backups_are_measured_and_counted() -> TestResult {
    let folder = backup::folder()?;
    let (server, port) = start_with(&backup::options("cmap", folder.path()))?;
    let mut client = server.raw()?;
    let samples = parse(&get(port)?)?;
    for result in ["ok", "err"] {
        let series = format!("pmemkv_backups_total{{result=\"{result}\"}}");
        assert!(value(&samples, &series)?.abs() < 1e-9);
    }
    assert!(!samples.contains_key("pmemkv_backup_last_success"));

    client.call(&["SET", "k", &"x".repeat(100_000)])?;
    client.line("PMEMKV.BACKUP good")?;
    assert_eq!(backup::ended(&mut client)?, "ok");
    let samples = parse(&get(port)?)?;
    let is = |name: &str, expected: f64| -> TestResult {
        assert!((value(&samples, name)? - expected).abs() < 1e-9, "{name}");
        Ok(())
    };
    is("pmemkv_backups_total{result=\"ok\"}", 1.0)?;
    is("pmemkv_backup_last_success", 1.0)?;
    is("pmemkv_backup_in_progress", 0.0)?;
    let bytes = value(&samples, "pmemkv_backup_last_bytes")?;
    assert!(bytes >= 100_000.0, "{bytes}");
    assert!(value(&samples, "pmemkv_backup_last_duration_seconds")? > 0.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let ended = value(&samples, "pmemkv_backup_last_end_time_seconds")?;
    assert!((now - ended).abs() < 60.0, "{ended} {now}");

    // A file that may not grow as far as the copy.
    let limited = Command::new("prlimit")
        .args(["--pid", &server.pid().to_string(), "--fsize=20000000"])
        .status()?;
    assert!(limited.success());
    client.line("PMEMKV.BACKUP bad")?;
    assert_eq!(backup::ended(&mut client)?, "err");
    let samples = parse(&get(port)?)?;
    assert!((value(&samples, "pmemkv_backups_total{result=\"err\"}")? - 1.0).abs() < 1e-9);
    assert!(value(&samples, "pmemkv_backup_last_success")?.abs() < 1e-9);
    assert_eq!(backup::field(&mut client, "backup_count")?, "1");
    assert_eq!(backup::field(&mut client, "backup_failures")?, "1");
    Ok(())
}

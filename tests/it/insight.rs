//! Observing the server over TCP: the slow log, latencies, MONITOR, INFO's figures. Also CLIENT PAUSE and calls that
//! ask for snapshots.

mod pause;
mod saves;

use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value};

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

fn text(value: &Value) -> String {
    value.text().unwrap_or_else(|| format!("{value:?}"))
}

fn start() -> TestResult<Server> {
    Server::start_with(Options::new("vcmap").directive("enable-debug-command", "yes"))
}

/// The arguments of each entry of SLOWLOG GET, newest first.
fn slow_calls(client: &mut RawClient) -> TestResult<Vec<Vec<String>>> {
    let reply = client.line("SLOWLOG GET -1")?;
    let entries = reply.items().ok_or("no array")?;
    let words = |entry: &Value| -> Option<Vec<String>> {
        let words = entry.items()?.get(3)?.items()?;
        Some(words.iter().map(text).collect())
    };
    Ok(entries.iter().filter_map(words).collect())
}

fn field(info: &str, name: &str) -> Option<String> {
    let mut lines = info.lines();
    lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned()))
}

#[test]
fn the_slow_log_names_the_client_and_the_call() -> TestResult {
    let server = start()?;
    let mut client = server.raw()?;
    client.line("CLIENT SETNAME slow")?;
    assert_eq!(
        client.line("CONFIG SET slowlog-log-slower-than 20000")?,
        ok()
    );
    client.line("GET quick")?;
    client.line("DEBUG SLEEP 0.03")?;
    let reply = client.line("SLOWLOG GET")?;
    let [entry] = reply.items().ok_or("no array")? else {
        panic!("one entry is due: {reply:?}");
    };
    let entry = entry.items().ok_or("no entry")?;
    assert_eq!(entry[0], Value::Integer(0));
    let micros = entry[2].integer().ok_or("no duration")?;
    assert!((30_000..1_000_000).contains(&micros), "{micros}");
    assert!(text(&entry[4]).starts_with("127.0.0.1:"));
    assert_eq!(text(&entry[5]), "slow");
    // SLOWLOG RESET does not reset the ids.
    assert_eq!(client.line("SLOWLOG RESET")?, ok());
    assert_eq!(client.line("SLOWLOG LEN")?, Value::Integer(0));
    client.line("DEBUG SLEEP 0.03")?;
    let reply = client.line("SLOWLOG GET 1")?;
    let entry = reply.items().and_then(|all| all.first()?.items());
    assert_eq!(entry.ok_or("no entry")?[0], Value::Integer(1));
    Ok(())
}

#[test]
fn the_slow_log_shortens_hides_and_forgets() -> TestResult {
    let server = start()?;
    let mut client = server.raw()?;
    client.line("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 4")?;
    client.line("SLOWLOG RESET")?;
    let mut many = vec!["DEL".to_owned()];
    many.extend((0..32).map(|n| n.to_string()));
    client.call(&many)?;
    client.call(&["SET", "k", &"x".repeat(130)])?;
    client.line("AUTH user secret")?;
    // In a transaction each command is an entry, and EXEC is none.
    client.send_bytes(b"MULTI\r\nGET in-exec\r\nEXEC\r\n")?;
    for _ in 0..3 {
        client.read()?;
    }
    let calls = slow_calls(&mut client)?;
    assert_eq!(calls.len(), 4);
    assert_eq!(calls[0], ["GET", "in-exec"]);
    assert_eq!(calls[1], ["MULTI"]);
    assert_eq!(calls[2], ["AUTH", "(redacted)", "(redacted)"]);
    assert_eq!(calls[3][2], "x".repeat(128) + "... (2 more bytes)");
    client.line("CONFIG SET slowlog-max-len 100")?;
    client.call(&many)?;
    let calls = slow_calls(&mut client)?;
    assert_eq!(calls[0].len(), 32);
    assert_eq!(calls[0][31], "... (2 more arguments)");
    client.line("CONFIG SET slowlog-log-slower-than -1")?;
    client.line("SLOWLOG RESET")?;
    client.line("GET k")?;
    assert_eq!(client.line("SLOWLOG LEN")?, Value::Integer(0));
    Ok(())
}

#[test]
fn latency_events_are_noted_from_the_threshold_on() -> TestResult {
    let server = start()?;
    let mut client = server.raw()?;
    client.line("DEBUG SLEEP 0.03")?;
    assert_eq!(client.line("LATENCY LATEST")?, Value::Array(Vec::new()));
    client.line("CONFIG SET latency-monitor-threshold 20")?;
    client.line("DEBUG SLEEP 0.03")?;
    let reply = client.line("LATENCY LATEST")?;
    let event = reply
        .items()
        .and_then(|all| all.first()?.items())
        .ok_or("no event")?;
    assert_eq!(text(&event[0]), "command");
    let ms = event[2].integer().ok_or("no duration")?;
    assert!((30..1000).contains(&ms), "{ms}");
    assert_eq!(event[3], Value::Integer(ms));
    let history = client.line("LATENCY HISTORY Command")?;
    assert_eq!(history.items().map(<[Value]>::len), Some(1));
    let graph = text(&client.line("LATENCY GRAPH command")?);
    assert!(
        graph.starts_with(&format!(
            "command - high {ms} ms, low {ms} ms (all time high {ms} ms)\n"
        )),
        "{graph}"
    );
    let doctor = text(&client.line("LATENCY DOCTOR")?);
    assert!(doctor.contains("1. command: 1 latency spikes"), "{doctor}");
    assert_eq!(client.line("LATENCY RESET command x")?, Value::Integer(1));
    assert_eq!(client.line("LATENCY LATEST")?, Value::Array(Vec::new()));
    Ok(())
}

#[test]
fn every_call_has_its_duration() -> TestResult {
    let server = start()?;
    let mut client = server.raw()?;
    client.line("CONFIG RESETSTAT")?;
    // In one batch, only the slow call shows as slow.
    let mut batch = Vec::new();
    for _ in 0..100 {
        batch.extend_from_slice(b"GET k\r\n");
    }
    batch.extend_from_slice(b"DEBUG SLEEP 0.05\r\nMULTI\r\nDEBUG SLEEP 0.05\r\nEXEC\r\n");
    client.send_bytes(&batch)?;
    for _ in 0..104 {
        client.read()?;
    }
    let reply = client.line("LATENCY HISTOGRAM get debug nonsense exec")?;
    let commands = reply.items().ok_or("no map")?;
    let names: Vec<String> = commands.iter().step_by(2).map(text).collect();
    assert_eq!(names, ["get", "debug", "exec"]);
    let last = |place: usize| -> Option<(i64, i64, i64)> {
        let fields = commands[place].items()?;
        let counts = fields[3].items()?;
        let [.., micros, calls] = counts else {
            return None;
        };
        Some((fields[1].integer()?, micros.integer()?, calls.integer()?))
    };
    let (calls, micros, counted) = last(1).ok_or("no histogram of get")?;
    assert_eq!((calls, counted), (100, 100));
    assert!(micros < 50_000, "a GET of {micros} microseconds");
    let (calls, micros, counted) = last(3).ok_or("no histogram of debug")?;
    assert_eq!((calls, counted), (2, 2));
    assert!(micros >= 50_000);
    // EXEC's time includes that of its commands.
    let (_, micros, _) = last(5).ok_or("no histogram of exec")?;
    assert!(micros >= 50_000);
    let info = text(&client.line("INFO latencystats")?);
    let debug = field(&info, "latency_percentiles_usec_debug").ok_or("no line of debug")?;
    let p50 = debug
        .split(',')
        .next()
        .and_then(|p50| p50.strip_prefix("p50="));
    let p50: f64 = p50.ok_or("no p50")?.parse()?;
    assert!((50_000.0..1_000_000.0).contains(&p50), "{debug}");
    assert!(
        debug.contains(",p99=") && debug.contains(",p99.9="),
        "{debug}"
    );
    client.line("CONFIG SET latency-tracking-info-percentiles 90")?;
    let info = text(&client.line("INFO latencystats")?);
    let debug = field(&info, "latency_percentiles_usec_debug").ok_or("no line of debug")?;
    assert!(debug.starts_with("p90=") && !debug.contains(','), "{debug}");
    client.line("CONFIG SET latency-tracking no")?;
    assert_eq!(
        text(&client.line("INFO latencystats")?),
        "# Latencystats\r\n"
    );
    client.line("CONFIG RESETSTAT")?;
    assert_eq!(
        client.line("LATENCY HISTOGRAM get")?,
        Value::Array(Vec::new())
    );
    Ok(())
}

#[test]
fn errors_are_counted_by_their_code() -> TestResult {
    let server = start()?;
    let mut client = server.raw()?;
    client.line("CONFIG RESETSTAT")?;
    client.line("SET k v")?;
    client.line("INCR k")?;
    client.line("GET")?;
    client.line("nonsense")?;
    client.send_bytes(b"MULTI\r\nGET\r\nEXEC\r\n")?;
    for _ in 0..3 {
        client.read()?;
    }
    client.call(&["DEBUG", "ERROR", "MINE it is"])?;
    let info = text(&client.line("INFO everything")?);
    assert_eq!(field(&info, "errorstat_ERR").as_deref(), Some("count=4"));
    assert_eq!(
        field(&info, "errorstat_EXECABORT").as_deref(),
        Some("count=1")
    );
    assert_eq!(field(&info, "errorstat_MINE").as_deref(), Some("count=1"));
    assert_eq!(field(&info, "total_error_replies").as_deref(), Some("6"));
    let of = |name: &str| field(&info, &format!("cmdstat_{name}")).unwrap_or_default();
    assert!(
        of("incr").ends_with("rejected_calls=0,failed_calls=1"),
        "{}",
        of("incr")
    );
    assert!(
        of("get").ends_with("rejected_calls=2,failed_calls=0"),
        "{}",
        of("get")
    );
    assert!(
        of("exec").ends_with("rejected_calls=0,failed_calls=1"),
        "{}",
        of("exec")
    );
    // Invented error codes cannot take all memory.
    for code in 0..200 {
        client.call(&["DEBUG", "ERROR", &format!("CODE{code} text")])?;
    }
    let info = text(&client.line("INFO errorstats")?);
    assert_eq!(info.lines().count(), 1 + 128);
    client.line("CONFIG RESETSTAT")?;
    assert_eq!(text(&client.line("INFO errorstats")?), "# Errorstats\r\n");
    Ok(())
}

#[test]
fn info_has_what_exporters_read() -> TestResult {
    let server = start()?;
    let mut client = server.raw()?;
    client.line("PING")?;
    let info = text(&client.line("INFO everything")?);
    let version = field(&info, "redis_version").ok_or("no version")?;
    assert!(version.starts_with("7.4."), "{version}");
    for name in [
        "pmemkv_server_version",
        "arch_bits",
        "io_threads_active",
        "blocked_clients",
        "loading",
        "rdb_last_save_time",
        "instantaneous_ops_per_sec",
        "unexpected_error_replies",
        "master_replid",
        "role",
        "cluster_enabled",
        "expired_stale_perc",
        "number_of_cached_scripts",
        "used_memory_lua",
        "allocator_rss_ratio",
        "mem_total_replication_buffers",
        "used_cpu_user_main_thread",
        "used_cpu_sys_main_thread",
    ] {
        assert!(field(&info, name).is_some(), "no {name}");
    }
    let tcp = format!("name=tcp,bind=127.0.0.1,port={}", server.port());
    assert_eq!(field(&info, "listener0"), Some(tcp));
    for name in ["total_reads_processed", "total_writes_processed"] {
        let count: u64 = field(&info, name).ok_or("no count")?.parse()?;
        assert!(count > 0, "{name}");
    }
    assert_eq!(text(&client.line("INFO modules")?), "# Modules\r\n");
    Ok(())
}

#[test]
fn monitor_shows_commands_as_they_run() -> TestResult {
    let server = start()?;
    let mut watcher = server.raw()?;
    let mut client = server.raw()?;
    assert_eq!(watcher.line("MONITOR")?, ok());
    client.line("SELECT 3")?;
    client.call(&[&b"SET"[..], b"k\n\"", b"\0\xff"])?;
    client.line("GET")?;
    client.line("nonsense")?;
    client.line("CONFIG GET maxmemory")?;
    client.line("AUTH user secret")?;
    client.send_bytes(b"MULTI\r\nset a 1\r\nINCR a\r\nEXEC\r\nPING\r\n")?;
    for _ in 0..5 {
        client.read()?;
    }
    let mut next = || -> TestResult<String> {
        let line = text(&watcher.read()?);
        let (time, rest) = line.split_once(" [").ok_or(line.clone())?;
        time.parse::<f64>()?;
        let (client, words) = rest.split_once("] ").ok_or(line.clone())?;
        let (db, addr) = client.split_once(' ').ok_or(line.clone())?;
        assert_eq!(db, "3");
        assert!(addr.starts_with("127.0.0.1:"), "{addr}");
        Ok(words.to_owned())
    };
    for expected in [
        r#""SELECT" "3""#,
        r#""SET" "k\n\"" "\x00\xff""#,
        r#""AUTH" "(redacted)" "(redacted)""#,
        r#""MULTI""#,
        r#""set" "a" "1""#,
        r#""INCR" "a""#,
        r#""EXEC""#,
        r#""PING""#,
    ] {
        assert_eq!(next()?, expected);
    }
    let refused = Value::Error(b"ERR Replica can't interact with the keyspace".to_vec());
    assert_eq!(watcher.line("GET a")?, refused);
    assert!(text(&client.line("CLIENT LIST")?).contains(" flags=O "));
    watcher.send(&["RESET"])?;
    assert_eq!(text(&watcher.read()?), "RESET");
    assert!(watcher.line("GET a")?.is_null());
    client.line("PING")?;
    assert!(!text(&client.line("CLIENT LIST")?).contains(" flags=O "));
    Ok(())
}

#[test]
fn a_monitor_that_does_not_read_is_closed() -> TestResult {
    let server = start()?;
    let mut client = server.raw()?;
    client.call(&[
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "normal 1mb 0 0",
    ])?;
    let mut watcher = server.raw()?;
    assert_eq!(watcher.line("MONITOR")?, ok());
    let word = "x".repeat(100_000);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        client.call(&["ECHO", &word])?;
        let info = text(&client.line("INFO")?);
        let closed = field(&info, "client_output_buffer_limit_disconnections");
        if closed.as_deref() == Some("1") {
            break;
        }
        assert!(Instant::now() < deadline, "{closed:?}");
    }
    assert!(!text(&client.line("CLIENT LIST")?).contains(" flags=O "));
    Ok(())
}

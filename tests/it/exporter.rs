//! Debian's prometheus-redis-exporter, which many dashboards for Redis use, works with the server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Server, TestResult};

const PROGRAM: &str = "prometheus-redis-exporter";

/// Series that dashboards show, each with at least this value.
const SERIES: &[(&str, f64)] = &[
    ("redis_up", 1.0),
    ("redis_uptime_in_seconds", 0.0),
    ("redis_connected_clients", 1.0),
    ("redis_blocked_clients", 0.0),
    ("redis_config_maxclients", 1.0),
    ("redis_rejected_connections_total", 0.0),
    ("redis_connections_received_total", 1.0),
    ("redis_commands_processed_total", 4.0),
    ("redis_commands_total{cmd=\"get\"}", 2.0),
    ("redis_commands_duration_seconds_total{cmd=\"get\"}", 0.0),
    ("redis_commands_failed_calls_total{cmd=\"incr\"}", 1.0),
    ("redis_commands_rejected_calls_total{cmd=\"get\"}", 1.0),
    ("redis_keyspace_hits_total", 1.0),
    ("redis_keyspace_misses_total", 1.0),
    ("redis_expired_keys_total", 0.0),
    ("redis_evicted_keys_total", 0.0),
    ("redis_memory_used_bytes", 1.0),
    ("redis_memory_used_rss_bytes", 1.0),
    ("redis_memory_used_peak_bytes", 1.0),
    ("redis_memory_max_bytes", 0.0),
    ("redis_mem_fragmentation_ratio", 0.0),
    ("redis_net_input_bytes_total", 1.0),
    ("redis_net_output_bytes_total", 1.0),
    ("redis_cpu_user_seconds_total", 0.0),
    ("redis_cpu_sys_seconds_total", 0.0),
    ("redis_db_keys{db=\"db0\"}", 2.0),
    ("redis_db_keys_expiring{db=\"db0\"}", 1.0),
    ("redis_db_avg_ttl_seconds{db=\"db0\"}", 1.0),
    ("redis_loading_dump_file", 0.0),
];

/// The exporter's process; dropping it ends the process.
struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn scrape(port: u16) -> TestResult<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn the_exporter_finds_what_dashboards_show() -> TestResult {
    let server = Server::start("cmap")?;
    let mut client = server.raw()?;
    for line in [
        "SET a text",
        "SET b 2 EX 1000",
        "GET a",
        "GET nothing",
        "GET",
        "INCR a",
    ] {
        client.line(line)?;
    }
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let started = Command::new(PROGRAM)
        .args([
            "-redis.addr",
            &format!("redis://127.0.0.1:{}", server.port()),
        ])
        .args(["-web.listen-address", &format!("127.0.0.1:{port}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = started else {
        eprintln!("{PROGRAM} is not installed: skipped");
        return Ok(());
    };
    let _exporter = Exporter(child);
    let deadline = Instant::now() + Duration::from_secs(30);
    let text = loop {
        match scrape(port) {
            Ok(text) => break text,
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    for (series, least) in SERIES {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value: f64 = line
            .ok_or_else(|| format!("no {series} in:\n{text}"))?
            .parse()?;
        assert!(value >= *least, "{series} is {value}");
    }
    Ok(())
}

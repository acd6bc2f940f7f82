//! RDB files and append-only files: what comes from a real server and goes to one, and what SAVE and BGSAVE answer.
//!
//! `PMEMKV_REAL` names another program than redis-server to compare with, for instance Valkey's.

mod filling;
mod import;
mod migration;
mod moment;
mod saves;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult};

/// How long a save or a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with an empty pool, whose RDB files go to `folder`.
fn options(store: &str, folder: &Path) -> Options {
    Options::new(store)
        .pool_size("64mb")
        .directive("dir", &folder.display().to_string())
        .directive("enable-protected-configs", "yes")
}

/// A field of INFO persistence.
fn field(client: &mut RawClient, name: &str) -> TestResult<String> {
    let info = client.line("INFO persistence")?.text().ok_or("no text")?;
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(value.ok_or(format!("no field {name}"))?.trim().to_owned())
}

/// Waits until no save runs and none is asked for.
fn wait_for_save(client: &mut RawClient) -> TestResult {
    wait_until(|| Ok(field(client, "rdb_bgsave_in_progress")? == "0"))
}

fn wait_until(mut is_so: impl FnMut() -> TestResult<bool>) -> TestResult {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        assert!(Instant::now() < deadline, "it takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Starts a server whose start fails, and returns what it says.
fn refused_start(options: &Options, pool: &Path) -> TestResult<String> {
    let output = std::process::Command::new(common::program())
        .args(["--port", &common::quiet_port()?.to_string()])
        .args(["--bind", "127.0.0.1", "--engine", &options.engine])
        .args(["--pool-size", &options.pool_size])
        .arg("--pool-path")
        .arg(pool)
        .args(&options.directives)
        .output()?;
    assert_eq!(output.status.code(), Some(1));
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Asserts that a pool has neither keys nor functions.
fn assert_empty(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    let keyspace = client.line("INFO keyspace")?.text().ok_or("no text")?;
    assert!(!keyspace.contains("db"), "{keyspace}");
    let functions = client.line("FUNCTION LIST")?;
    assert_eq!(functions.items().map(<[_]>::len), Some(0));
    Ok(())
}

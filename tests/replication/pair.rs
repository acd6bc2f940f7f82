//! A master and its replica.

use std::thread;
use std::time::{Duration, Instant};

use common::{Options, RawClient, RedisServer, Server, TestResult};

/// How long the replica may take to be where the master is.
const PATIENCE: Duration = Duration::from_secs(40);

/// Valkey 8, where the environment names it or it is installed.
fn valkey() -> Option<String> {
    if let Ok(program) = std::env::var("PMEMKV_VALKEY_8") {
        return Some(program);
    }
    let folders = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&folders).map(|folder| folder.join("valkey-server"));
    let program = places.find(|program| program.exists())?;
    Some(program.to_str()?.to_owned())
}

/// The masters that this machine has, with their names.
pub fn masters() -> Vec<(&'static str, String)> {
    let mut masters = vec![("redis", "redis-server".to_owned())];
    if let Some(valkey) = valkey() {
        masters.push(("valkey", valkey));
    } else {
        eprintln!(
            "skipped: there is no Valkey 8: install valkey-server, or name the program by PMEMKV_VALKEY_8"
        );
    }
    masters
}

/// A master that sends its data set at once and keeps a long history.
pub fn master_of(program: &str, words: &[&str]) -> TestResult<RedisServer> {
    let mut all = vec![
        "--repl-diskless-sync-delay",
        "0",
        "--repl-backlog-size",
        "64mb",
        "--enable-debug-command",
        "yes",
        "--repl-ping-replica-period",
        "1",
    ];
    all.extend(words);
    RedisServer::start_program(program, &all)
}

/// A redis-server as a master.
pub fn master() -> TestResult<RedisServer> {
    master_of("redis-server", &[])
}

/// The options of a replica of the master on this port.
pub fn options(store: &str, master: u16) -> Options {
    let mut options = Options::new(store).pool_size("256mb");
    let words = ["--replicaof", "127.0.0.1", &master.to_string()].map(str::to_owned);
    options.directives.extend(words);
    options
}

/// A field of INFO.
pub fn info(client: &mut RawClient, section: &str, field: &str) -> TestResult<String> {
    let text = client.call(&["INFO", section])?.text().unwrap_or_default();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(value
        .ok_or_else(|| format!("no {field} in:\n{text}"))?
        .to_owned())
}

/// Waits until `is_so` is true.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> TestResult<bool>) -> TestResult {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            return Err(format!("not in time: {what}").into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits until the replica has all that the master has now.
pub fn wait_for_sync(master: &mut RawClient, replica: &Server) -> TestResult {
    let mut client = replica.raw()?;
    let waited = wait_until("the replica is where the master is", || {
        let wanted: u64 = info(master, "replication", "master_repl_offset")?.parse()?;
        let is_up = info(&mut client, "replication", "master_link_status")? == "up";
        let found: u64 = info(&mut client, "replication", "slave_repl_offset")?.parse()?;
        Ok(is_up && found >= wanted)
    });
    waited.map_err(|error| format!("{error}\n{}", replica.log()).into())
}

/// How often the replica took the master's whole data set, by its log.
pub fn full_syncs(replica: &Server) -> usize {
    let log = replica.log();
    log.matches("the replica has the master's data set").count()
}

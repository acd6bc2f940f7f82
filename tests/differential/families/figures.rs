//! The names of INFO's and MEMORY STATS' figures, against the real server: tools look for each of them.

use std::collections::BTreeSet;

use common::{RawClient, RedisServer, Server, TestResult, Value};

/// Fields of INFO that this server does not have, each with the reason. docs/commands.md says the same.
const INFO_ABSENT: &[(&str, &str)] = &[
    ("atomicvar_api", "names the C compiler's atomic operations"),
    ("redis_build_id", "tells builds of Redis apart"),
];

/// Fields that appear and disappear with what clients did.
const OF_CLIENTS: &[&str] = &["cmdstat_", "latency_percentiles_usec_", "errorstat_", "db"];

/// Calls whose effects make these fields appear: a key with a deadline, an error, a removed collection.
fn prepare(client: &mut RawClient) -> TestResult {
    client.line("SET k v EX 1000")?;
    client.line("NONSENSE")?;
    Ok(())
}

fn info_names(client: &mut RawClient) -> TestResult<BTreeSet<String>> {
    let info = client.line("INFO everything")?.text().unwrap_or_default();
    let names = info.lines().filter_map(|line| line.split_once(':'));
    let names = names.map(|(name, _)| name.to_owned());
    let of_clients = |name: &String| OF_CLIENTS.iter().any(|start| name.starts_with(start));
    Ok(names.filter(|name| !of_clients(name)).collect())
}

/// This server has every field of the real INFO, or the list above names it.
pub fn compare_info_fields() -> TestResult {
    let (ours, real) = (Server::start("vcmap")?, RedisServer::start()?);
    let (mut ours, mut real) = (ours.raw()?, real.raw()?);
    prepare(&mut ours)?;
    prepare(&mut real)?;
    let (ours, real) = (info_names(&mut ours)?, info_names(&mut real)?);
    assert!(real.len() > 100, "INFO has {} fields", real.len());
    let missing: BTreeSet<&str> = real.difference(&ours).map(String::as_str).collect();
    let absent: BTreeSet<&str> = INFO_ABSENT.iter().map(|&(name, _)| name).collect();
    assert_eq!(missing, absent);
    Ok(())
}

/// The names in a map of MEMORY STATS; those of a database's map follow the database.
fn stats_names(map: &Value, start: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for pair in map.items().unwrap_or_default().chunks_exact(2) {
        let name = format!("{start}{}", pair[0].text().unwrap_or_default());
        names.extend(stats_names(&pair[1], &format!("{name}/")));
        names.insert(name);
    }
    names
}

/// This server has every field of the real MEMORY STATS.
pub fn compare_memory_stats() -> TestResult {
    let (ours, real) = (Server::start("vcmap")?, RedisServer::start()?);
    let (mut ours, mut real) = (ours.raw()?, real.raw()?);
    prepare(&mut ours)?;
    prepare(&mut real)?;
    let ours = stats_names(&ours.line("MEMORY STATS")?, "");
    let real = stats_names(&real.line("MEMORY STATS")?, "");
    assert!(real.contains("db.0/overhead.hashtable.main"), "{real:?}");
    let missing: Vec<_> = real.difference(&ours).collect();
    assert!(missing.is_empty(), "{missing:?}");
    Ok(())
}

//! Configurations of real Redis servers start this server as they are, apart from the pool: those that come with Redis 6.2,
//! 7.0 and 7.2, and Debian's. They are made here of the directives that they set, in their order, with the values that they
//! set: the texts are not this project's.

use std::fs;
use std::path::Path;

use common::{Options, RedisServer, Server, TestResult, Value};

/// What all three versions set, with the names of 7.2.
const COMMON: &str = "\
    bind 127.0.0.1 -::1|protected-mode yes|port 6379|tcp-backlog 511|timeout 0|tcp-keepalive 300|daemonize no|\
    pidfile /var/run/redis_6379.pid|loglevel notice|logfile \"\"|databases 16|always-show-logo no|set-proc-title yes|\
    proc-title-template \"{title} {listen-addr} {server-mode}\"|stop-writes-on-bgsave-error yes|rdbcompression yes|\
    rdbchecksum yes|dbfilename dump.rdb|rdb-del-sync-files no|dir ./|replica-serve-stale-data yes|replica-read-only yes|\
    repl-diskless-sync-delay 5|repl-diskless-load disabled|repl-disable-tcp-nodelay no|replica-priority 100|\
    acllog-max-len 128|lazyfree-lazy-eviction no|lazyfree-lazy-expire no|lazyfree-lazy-server-del no|\
    replica-lazy-flush no|lazyfree-lazy-user-del no|lazyfree-lazy-user-flush no|oom-score-adj no|\
    oom-score-adj-values 0 200 800|disable-thp yes|appendonly no|appendfilename \"appendonly.aof\"|appendfsync everysec|\
    no-appendfsync-on-rewrite no|auto-aof-rewrite-percentage 100|auto-aof-rewrite-min-size 64mb|aof-load-truncated yes|\
    aof-use-rdb-preamble yes|slowlog-log-slower-than 10000|slowlog-max-len 128|latency-monitor-threshold 0|\
    notify-keyspace-events \"\"|list-compress-depth 0|set-max-intset-entries 512|hll-sparse-max-bytes 3000|\
    stream-node-max-bytes 4096|stream-node-max-entries 100|activerehashing yes|client-output-buffer-limit normal 0 0 0|\
    client-output-buffer-limit replica 256mb 64mb 60|client-output-buffer-limit pubsub 32mb 8mb 60|hz 10|dynamic-hz yes|\
    aof-rewrite-incremental-fsync yes|rdb-save-incremental-fsync yes|jemalloc-bg-thread yes";

/// What only some versions set.
const VERSIONS: &[(&str, &str)] = &[
    (
        "6.2",
        "repl-diskless-sync no|lua-time-limit 5000|hash-max-ziplist-entries 512|hash-max-ziplist-value 64|\
         list-max-ziplist-size -2|zset-max-ziplist-entries 128|zset-max-ziplist-value 64",
    ),
    (
        "7.0",
        "repl-diskless-sync yes|repl-diskless-sync-max-replicas 0|appenddirname \"appendonlydir\"|\
         aof-timestamp-enabled no|hash-max-listpack-entries 512|hash-max-listpack-value 64|list-max-listpack-size -2|\
         zset-max-listpack-entries 128|zset-max-listpack-value 64",
    ),
    (
        "7.2",
        "repl-diskless-sync yes|repl-diskless-sync-max-replicas 0|appenddirname \"appendonlydir\"|\
         aof-timestamp-enabled no|locale-collate \"\"|hash-max-listpack-entries 512|hash-max-listpack-value 64|\
         list-max-listpack-size -2|zset-max-listpack-entries 128|zset-max-listpack-value 64|\
         set-max-listpack-entries 128|set-max-listpack-value 64",
    ),
];

/// Starts a server with the file, and returns its warnings.
fn warnings(file: &Path) -> TestResult<Vec<String>> {
    // Only what belongs to the machine and not to the configuration is replaced.
    let options = Options::new("cmap")
        .pool_size("64mb")
        .file(file)
        .directive("daemonize", "no")
        .directive("logfile", "")
        .directive("pidfile", "");
    let mut server = Server::start_with(options)?;
    let reply = server.raw()?.line("PING")?;
    assert_eq!(reply, Value::Simple(b"PONG".to_vec()));
    let log = server.log();
    server.terminate()?;
    assert!(!log.contains("ERROR"), "{log}");
    Ok(log
        .lines()
        .filter(|line| line.contains("WARN"))
        .map(str::to_owned)
        .collect())
}

#[test]
fn distributed_configurations_start_the_server() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("redis.conf");
    for (version, own) in VERSIONS {
        let lines: Vec<&str> = COMMON.split('|').chain(own.split('|')).collect();
        fs::write(&file, lines.join("\n"))?;
        let warnings = warnings(&file)?;
        assert_eq!(warnings, Vec::<String>::new(), "{version}");
    }
    Ok(())
}

#[test]
fn what_people_switch_on_in_them_warns_or_says_why_not() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("redis.conf");
    let tuned = "io-threads 4\nsave 3600 1 300 100 60 10000\nappendonly yes\nactivedefrag yes\nreplica-priority 10\n\
        maxmemory 32mb\nmaxmemory-policy allkeys-lru\nlazyfree-lazy-eviction yes\ngopher-enabled no\n\
        hide-user-data-from-log yes\ntls-replication no\nset-proc-title no\noom-score-adj relative\n";
    fs::write(&file, format!("{}\n{tuned}", COMMON.replace('|', "\n")))?;
    let warnings = warnings(&file)?;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("appendonly (line "));
    for name in [
        "io-threads",
        "activedefrag",
        "hide-user-data-from-log",
        "oom-score-adj",
    ] {
        assert!(warnings[1].contains(name), "{name}: {warnings:?}");
    }
    for promise in ["cluster-enabled yes", "gopher-enabled yes"] {
        fs::write(&file, format!("{}\n{promise}\n", COMMON.replace('|', "\n")))?;
        let output = std::process::Command::new(common::program())
            .arg(&file)
            .arg("--dump-config")
            .output()?;
        assert_eq!(output.status.code(), Some(1), "{promise}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(promise), "{promise}: {text}");
    }
    Ok(())
}

#[test]
fn the_configuration_of_debian_starts_the_server() -> TestResult {
    let path = Path::new("/etc/redis/redis.conf");
    let Ok(text) = fs::read_to_string(path) else {
        eprintln!("{} is not readable: skipped", path.display());
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("redis.conf");
    fs::write(&file, text)?;
    assert_eq!(warnings(&file)?, Vec::<String>::new());
    Ok(())
}

/// A file that names everything which the installed Redis has, as tools make it from CONFIG GET.
#[test]
fn all_values_of_a_redis_server_start_the_server() -> TestResult {
    let redis = RedisServer::start()?;
    let mut client = redis.raw()?;
    let reply = client.line("CONFIG GET *")?;
    let items = reply.items().ok_or("no array")?;
    let mut text = Vec::new();
    for pair in items.chunks_exact(2) {
        let (name, value) = (
            pair[0].text().ok_or("no name")?,
            pair[1].bytes().ok_or("no value")?,
        );
        if (name == "slaveof" || name == "replicaof") && value.is_empty() {
            continue;
        }
        text.extend(name.as_bytes());
        text.push(b' ');
        text.extend(pmemkv_server::quoting::quote(value));
        text.push(b'\n');
    }
    assert!(items.len() > 300, "{}", items.len());
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("redis.conf");
    fs::write(&file, text)?;
    for line in warnings(&file)? {
        let is_known = ["no effect in this server", "writes no append-only file"]
            .iter()
            .any(|part| line.contains(part));
        assert!(is_known, "{line}");
    }
    Ok(())
}

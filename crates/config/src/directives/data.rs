//! Directives on how Redis encodes data, saves it and copies it. Many of them have no effect in this server.

use super::{
    Directive, INT, INT_MIN, LONG, LONG_BYTES, boolean, choice, choice_of, int, memory, row, text,
};
use crate::settings::FullSync;
use crate::value::Kind;

/// Forms of collections.
pub(super) const ENCODINGS: &[Directive] = &[
    int("hash-max-listpack-entries", 0, LONG, "512")
        .alias("hash-max-ziplist-entries")
        .sets(|settings, value| settings.forms.hash_entries = value.number()),
    memory("hash-max-listpack-value", 0, LONG_BYTES, "64")
        .alias("hash-max-ziplist-value")
        .sets(|settings, value| settings.forms.hash_value_bytes = value.number()),
    int("list-max-listpack-size", INT_MIN, INT, "-2")
        .alias("list-max-ziplist-size")
        .sets(|settings, value| settings.forms.list_size = value.number()),
    int("list-compress-depth", 0, INT, "0").idle(),
    int("set-max-intset-entries", 0, LONG, "512")
        .sets(|settings, value| settings.forms.set_integers = value.number()),
    int("set-max-listpack-entries", 0, LONG, "128")
        .sets(|settings, value| settings.forms.set_entries = value.number()),
    memory("set-max-listpack-value", 0, LONG_BYTES, "64")
        .sets(|settings, value| settings.forms.set_value_bytes = value.number()),
    int("zset-max-listpack-entries", 0, LONG, "128")
        .alias("zset-max-ziplist-entries")
        .sets(|settings, value| settings.forms.zset_entries = value.number()),
    memory("zset-max-listpack-value", 0, LONG_BYTES, "64")
        .alias("zset-max-ziplist-value")
        .sets(|settings, value| settings.forms.zset_value_bytes = value.number()),
    memory("stream-node-max-bytes", 0, LONG_BYTES, "4096")
        .sets(|settings, value| settings.stream_node_max_bytes = value.number()),
    int("stream-node-max-entries", 0, LONG, "100")
        .sets(|settings, value| settings.stream_node_max_entries = value.number()),
    memory("hll-sparse-max-bytes", 0, LONG_BYTES, "3000")
        .sets(|settings, value| settings.hll_sparse_max_bytes = value.number()),
];

/// Snapshots and the append-only file.
pub(super) const SAVING: &[Directive] = &[
    row("dir", Kind::WorkingDirectory, "")
        .protected()
        .sets(|settings, value| settings.dir = value.path().unwrap_or_else(|| "./".into())),
    row("dbfilename", Kind::FileName("filename"), "dump.rdb")
        .protected()
        .sets(|settings, value| settings.dbfilename = value.path().unwrap_or_default()),
    // Redis's default is a number of snapshots. Here none is needed, since the pool has every acknowledged write.
    row("save", Kind::Save, "").sets(|settings, value| settings.save_points = value.save_points()),
    // A write is in the pool before it is acknowledged, whether or not an RDB file could be written.
    boolean("stop-writes-on-bgsave-error", "yes").idle(),
    boolean("rdbcompression", "yes").sets(|settings, value| settings.rdb_compression = value.yes()),
    boolean("rdbchecksum", "yes")
        .fixed()
        .sets(|settings, value| settings.rdb_checksum = value.yes()),
    boolean("rdb-del-sync-files", "no").idle(),
    boolean("rdb-save-incremental-fsync", "yes").idle(),
    int("rdb-key-save-delay", INT_MIN, INT, "0").hidden().idle(),
    int("key-load-delay", INT_MIN, INT, "0").hidden().idle(),
    int(
        "loading-process-events-interval-bytes",
        1_024,
        INT,
        "2097152",
    )
    .hidden()
    .idle(),
    boolean("appendonly", "no").refused_later(
        "this server has no append-only file: every acknowledged write is in the pool already",
    ),
    row(
        "appendfilename",
        Kind::FileName("filename"),
        "appendonly.aof",
    )
    .fixed()
    .idle(),
    row("appenddirname", Kind::FileName("dirname"), "appendonlydir")
        .fixed()
        .idle(),
    choice("appendfsync", &["everysec", "always", "no"], "everysec").idle(),
    boolean("no-appendfsync-on-rewrite", "no").idle(),
    int("auto-aof-rewrite-percentage", 0, INT, "100").idle(),
    memory("auto-aof-rewrite-min-size", 0, LONG_BYTES, "67108864").idle(),
    boolean("aof-load-truncated", "yes").idle(),
    boolean("aof-use-rdb-preamble", "yes").idle(),
    boolean("aof-timestamp-enabled", "no").idle(),
    boolean("aof-rewrite-incremental-fsync", "yes").idle(),
    boolean("aof-disable-auto-gc", "no").idle(),
];

/// Replication.
pub(super) const REPLICATION: &[Directive] = &[
    row("replicaof", Kind::ReplicaOf, "")
        .alias("slaveof")
        .fixed()
        .sets(|settings, value| settings.replication.master = value.master()),
    text("masteruser", "")
        .secret()
        .sets(|settings, value| settings.replication.user = value.secret()),
    text("masterauth", "")
        .secret()
        .sets(|settings, value| settings.replication.password = value.secret()),
    int("replica-priority", 0, INT, "100")
        .alias("slave-priority")
        .sets(|settings, value| settings.replication.priority = value.number()),
    text("replica-announce-ip", "")
        .alias("slave-announce-ip")
        .sets(|settings, value| settings.replication.announced_ip = value.text_if_any()),
    int("replica-announce-port", 0, 65_535, "0")
        .alias("slave-announce-port")
        .sets(|settings, value| settings.replication.announced_port = value.number()),
    boolean("replica-announced", "yes")
        .sets(|settings, value| settings.replication.is_announced = value.yes()),
    boolean("replica-lazy-flush", "no")
        .alias("slave-lazy-flush")
        .idle(),
    boolean("replica-serve-stale-data", "yes")
        .alias("slave-serve-stale-data")
        .sets(|settings, value| settings.replication.serves_stale = value.yes()),
    boolean("replica-read-only", "yes")
        .alias("slave-read-only")
        .sets(|settings, value| settings.replication.read_only = value.yes()),
    boolean("replica-ignore-maxmemory", "yes")
        .alias("slave-ignore-maxmemory")
        .sets(|settings, value| settings.replication.ignores_maxmemory = value.yes()),
    boolean("replica-ignore-disk-write-errors", "no").idle(),
    choice(
        "propagation-error-behavior",
        &["ignore", "panic", "panic-on-replicas"],
        "ignore",
    )
    .idle(),
    memory("repl-backlog-size", 1, LONG_BYTES, "1048576")
        .sets(|settings, value| settings.feed.backlog_bytes = value.number()),
    int("repl-backlog-ttl", 0, LONG, "3600")
        .sets(|settings, value| settings.feed.backlog_ttl = value.seconds_if_any()),
    int("repl-timeout", 1, INT, "60")
        .sets(|settings, value| settings.replication.timeout = value.seconds()),
    int("repl-ping-replica-period", 1, INT, "10")
        .alias("repl-ping-slave-period")
        .sets(|settings, value| settings.feed.ping_period = value.seconds()),
    boolean("repl-disable-tcp-nodelay", "no")
        .sets(|settings, value| settings.replication.delays_packets = value.yes()),
    boolean("repl-diskless-sync", "yes").idle(),
    int("repl-diskless-sync-delay", 0, INT, "5").idle(),
    int("repl-diskless-sync-max-replicas", 0, INT, "0").idle(),
    choice_of::<FullSync>("repl-diskless-load", "disabled")
        .sets(|settings, value| settings.replication.full_sync = value.choice()),
    int("min-replicas-to-write", 0, INT, "0")
        .alias("min-slaves-to-write")
        .sets(|settings, value| settings.feed.replicas_min = value.number()),
    int("min-replicas-max-lag", 0, INT, "10")
        .alias("min-slaves-max-lag")
        .sets(|settings, value| settings.feed.lag_max = value.seconds()),
];

/// The cluster.
pub(super) const CLUSTER: &[Directive] = &[
    boolean("cluster-enabled", "no")
        .fixed()
        .refused("there is no cluster, so this server would take every key for its own"),
    text("cluster-config-file", "nodes.conf").fixed().idle(),
    int("cluster-port", 0, 65_535, "0").fixed().idle(),
    int("cluster-node-timeout", 0, LONG, "15000").idle(),
    int("cluster-ping-interval", 0, INT, "1000").hidden().idle(),
    text("cluster-announce-ip", "").idle(),
    row("cluster-announce-hostname", Kind::HostName, "").idle(),
    text("cluster-announce-human-nodename", "").idle(),
    int("cluster-announce-port", 0, 65_535, "0").idle(),
    int("cluster-announce-tls-port", 0, 65_535, "0").idle(),
    int("cluster-announce-bus-port", 0, 65_535, "0").idle(),
    int("cluster-replica-validity-factor", 0, INT, "10")
        .alias("cluster-slave-validity-factor")
        .idle(),
    boolean("cluster-replica-no-failover", "no")
        .alias("cluster-slave-no-failover")
        .idle(),
    int("cluster-migration-barrier", 0, INT, "1").idle(),
    boolean("cluster-allow-replica-migration", "yes").idle(),
    boolean("cluster-require-full-coverage", "yes").idle(),
    boolean("cluster-allow-reads-when-down", "no").idle(),
    boolean("cluster-allow-pubsubshard-when-down", "yes").idle(),
    memory("cluster-link-sendbuf-limit", 0, u64::MAX, "0").idle(),
    choice(
        "cluster-preferred-endpoint-type",
        &["ip", "hostname", "unknown-endpoint"],
        "ip",
    )
    .idle(),
];

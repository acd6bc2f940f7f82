//! The table of directives: every name that a configuration file or CONFIG may hold.
//!
//! It lists all of Redis 7.2's directives, also those that mean nothing here, so that a file written for Redis
//! loads and CONFIG GET answers clients that ask for them. Names, defaults and ranges are Redis's; the last
//! section holds our own. Everything else in this module is derived from these rows.

use super::unsupported::{ACCEPT, Unsupported};
use super::value::Kind;

/// One directive.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)] // Independent properties of a row, not states.
pub struct Directive {
    /// Redis's present name.
    pub name: &'static str,
    /// An older name that is still accepted and shown.
    pub alias: Option<&'static str>,
    /// What the value may be.
    pub kind: Kind,
    /// The value when nobody gives one, in the form that CONFIG GET shows.
    pub default: &'static str,
    /// Only a start can set it.
    pub immutable: bool,
    /// CONFIG SET may change it only if `enable-protected-configs` allows that.
    pub protected: bool,
    /// Its value must not show in logs and messages.
    pub sensitive: bool,
    /// Accepted and shown, but without an effect in this server.
    pub no_meaning: bool,
    /// What it would promise and this server cannot keep.
    pub unsupported: Option<Unsupported>,
    /// Names something outside, such as a file: CONFIG SET reads it anew also where the name stays.
    pub reloads: bool,
    /// Left out of what CONFIG GET matches by a pattern.
    pub hidden: bool,
}

impl Directive {
    const fn new(name: &'static str, kind: Kind, default: &'static str) -> Self {
        Self {
            name,
            alias: None,
            kind,
            default,
            immutable: false,
            protected: false,
            sensitive: false,
            no_meaning: false,
            unsupported: None,
            reloads: false,
            hidden: false,
        }
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    const fn fixed(mut self) -> Self {
        self.immutable = true;
        self
    }

    const fn protected(mut self) -> Self {
        self.protected = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.sensitive = true;
        self
    }

    const fn idle(mut self) -> Self {
        self.no_meaning = true;
        self
    }

    /// A value other than the default stops the start.
    const fn refused(mut self, reason: &'static str) -> Self {
        self.no_meaning = true;
        self.unsupported = Some(Unsupported {
            reason,
            stops: true,
        });
        self
    }

    /// CONFIG SET refuses a value other than the default. A file of Redis's has one, so the start only warns.
    const fn refused_later(mut self, reason: &'static str) -> Self {
        self.no_meaning = true;
        self.unsupported = Some(Unsupported {
            reason,
            stops: false,
        });
        self
    }

    const fn reloads(mut self) -> Self {
        self.reloads = true;
        self
    }

    const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Whether the value is a list of words, which a file may give as several arguments.
    pub const fn takes_many(&self) -> bool {
        matches!(
            self.kind,
            Kind::EnumSet(_)
                | Kind::Save
                | Kind::BufferLimits
                | Kind::OomScores
                | Kind::Addresses
                | Kind::ReplicaOf
                | Kind::Percentiles
                | Kind::Unsupported
        )
    }
}

const fn boolean(name: &'static str, default: &'static str) -> Directive {
    Directive::new(name, Kind::Bool, default)
}

const fn int(name: &'static str, min: i64, max: i64, default: &'static str) -> Directive {
    Directive::new(name, Kind::Int { min, max }, default)
}

const fn memory(name: &'static str, min: u64, max: u64, default: &'static str) -> Directive {
    Directive::new(name, Kind::Memory { min, max }, default)
}

const fn text(name: &'static str, default: &'static str) -> Directive {
    Directive::new(name, Kind::Text, default)
}

const fn choice(
    name: &'static str,
    words: &'static [&'static str],
    default: &'static str,
) -> Directive {
    Directive::new(name, Kind::Enum(words), default)
}

const INT: i64 = i32::MAX as i64;
const INT_MIN: i64 = i32::MIN as i64;
const LONG: i64 = i64::MAX;
const LONG_BYTES: u64 = i64::MAX as u64;
const MIB: u64 = 1 << 20;
const ACCESS: &[&str] = &["no", "yes", "local"];
const STOP: &[&str] = &["default", "save", "nosave", "now", "force"];

/// The eviction policies, in Redis's order.
const POLICIES: &[&str] = &[
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
];

/// The syslog facilities that Redis knows.
const FACILITIES: &[&str] = &[
    "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Every directive.
pub static DIRECTIVES: &[Directive] = &[
    // Network and connections.
    Directive::new("bind", Kind::Addresses, "* -::*"),
    int("port", 0, 65_535, "6379"),
    text("unixsocket", "").fixed(),
    Directive::new("unixsocketperm", Kind::Octal { max: 0o777 }, "0").fixed(),
    int("tcp-backlog", 0, INT, "511").fixed(),
    int("timeout", 0, INT, "0"),
    int("tcp-keepalive", 0, INT, "300"),
    int("maxclients", 1, 4_294_967_295, "10000"),
    int("databases", 1, 16, "16").fixed(),
    text("requirepass", "").secret(),
    boolean("protected-mode", "yes"),
    memory("client-query-buffer-limit", MIB, LONG_BYTES, "1073741824"),
    memory("proto-max-bulk-len", MIB, LONG_BYTES, "536870912"),
    Directive::new(
        "client-output-buffer-limit",
        Kind::BufferLimits,
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
    ),
    text("bind-source-addr", "").idle(),
    int("socket-mark-id", 0, 4_294_967_295, "0").fixed().idle(),
    int("io-threads", 1, 128, "1").fixed().idle(),
    boolean("io-threads-do-reads", "no").fixed().idle(),
    int("max-new-connections-per-cycle", 1, 1_000, "10").idle(),
    int("max-new-tls-connections-per-cycle", 1, 1_000, "1").idle(),
    // Process and logging.
    choice(
        "loglevel",
        &["debug", "verbose", "notice", "warning", "nothing"],
        "notice",
    ),
    text("logfile", "").fixed(),
    text("pidfile", "").fixed(),
    boolean("daemonize", "no").fixed(),
    choice("supervised", &["upstart", "systemd", "auto", "no"], "no").fixed(),
    boolean("syslog-enabled", "no").fixed().idle(),
    text("syslog-ident", "redis").fixed().idle(),
    choice("syslog-facility", FACILITIES, "local0")
        .fixed()
        .idle(),
    boolean("crash-log-enabled", "yes").idle(),
    boolean("crash-memcheck-enabled", "yes").idle(),
    boolean("use-exit-on-panic", "no").hidden().idle(),
    boolean("always-show-logo", "no").fixed().idle(),
    boolean("set-proc-title", "yes").fixed().idle(),
    Directive::new(
        "proc-title-template",
        Kind::TitleTemplate,
        "{title} {listen-addr} {server-mode}",
    )
    .idle(),
    text("locale-collate", "").idle(),
    choice(
        "oom-score-adj",
        &["no", "yes", "relative", "absolute"],
        "no",
    )
    .idle(),
    Directive::new("oom-score-adj-values", Kind::OomScores, "0 200 800").idle(),
    boolean("disable-thp", "yes").fixed().idle(),
    text("server_cpulist", "").fixed().idle(),
    text("bio_cpulist", "").fixed().idle(),
    text("aof_rewrite_cpulist", "").fixed().idle(),
    text("bgsave_cpulist", "").fixed().idle(),
    text("ignore-warnings", "").idle(),
    int("watchdog-period", 0, INT, "0").hidden().idle(),
    int("shutdown-timeout", 0, INT, "10").idle(),
    Directive::new("shutdown-on-sigint", Kind::EnumSet(STOP), "default").idle(),
    Directive::new("shutdown-on-sigterm", Kind::EnumSet(STOP), "default").idle(),
    int("busy-reply-threshold", 0, LONG, "5000")
        .alias("lua-time-limit")
        .idle(),
    // Protection.
    choice("enable-protected-configs", ACCESS, "no").fixed(),
    choice("enable-debug-command", ACCESS, "no").fixed(),
    choice("enable-module-command", ACCESS, "no").fixed(),
    boolean("enable-debug-assert", "no").fixed().hidden().idle(),
    text("aclfile", "").fixed(),
    int("acllog-max-len", 0, LONG, "128"),
    choice(
        "acl-pubsub-default",
        &["allchannels", "resetchannels"],
        "resetchannels",
    ),
    choice("sanitize-dump-payload", &["no", "yes", "clients"], "no").idle(),
    // Memory and expiry.
    int("hz", 0, INT, "10"),
    boolean("dynamic-hz", "yes").idle(),
    int("active-expire-effort", 1, 10, "1"),
    memory("maxmemory", 0, u64::MAX, "0"),
    choice("maxmemory-policy", POLICIES, "noeviction"),
    int("maxmemory-samples", 1, INT, "5"),
    int("maxmemory-eviction-tenacity", 0, 100, "10"),
    Directive::new("maxmemory-clients", Kind::MemoryOrPercent, "0").idle(),
    int("lfu-log-factor", 0, INT, "10"),
    int("lfu-decay-time", 0, INT, "1"),
    boolean("lazyfree-lazy-eviction", "no").idle(),
    boolean("lazyfree-lazy-expire", "no").idle(),
    boolean("lazyfree-lazy-server-del", "no").idle(),
    boolean("lazyfree-lazy-user-del", "no").idle(),
    boolean("lazyfree-lazy-user-flush", "no").idle(),
    boolean("activerehashing", "yes").idle(),
    boolean("dict-resizing", "yes").hidden().idle(),
    boolean("jemalloc-bg-thread", "yes").idle(),
    boolean("activedefrag", "no").idle(),
    memory("active-defrag-ignore-bytes", 1, LONG_BYTES, "104857600").idle(),
    int("active-defrag-cycle-min", 1, 99, "1").idle(),
    int("active-defrag-cycle-max", 1, 99, "25").idle(),
    int("active-defrag-threshold-lower", 0, 1_000, "10").idle(),
    int("active-defrag-threshold-upper", 0, 1_000, "100").idle(),
    int("active-defrag-max-scan-fields", 1, LONG, "1000").idle(),
    // Observation.
    int("slowlog-log-slower-than", -1, LONG, "10000"),
    int("slowlog-max-len", 0, LONG, "128"),
    int("latency-monitor-threshold", 0, LONG, "0"),
    boolean("latency-tracking", "yes"),
    Directive::new(
        "latency-tracking-info-percentiles",
        Kind::Percentiles,
        "50 99 99.9",
    ),
    Directive::new("notify-keyspace-events", Kind::Events, ""),
    int("tracking-table-max-keys", 0, LONG, "1000000"),
    // Encodings of collections.
    int("hash-max-listpack-entries", 0, LONG, "512")
        .alias("hash-max-ziplist-entries")
        .idle(),
    memory("hash-max-listpack-value", 0, LONG_BYTES, "64")
        .alias("hash-max-ziplist-value")
        .idle(),
    int("list-max-listpack-size", INT_MIN, INT, "-2")
        .alias("list-max-ziplist-size")
        .idle(),
    int("list-compress-depth", 0, INT, "0").idle(),
    int("set-max-intset-entries", 0, LONG, "512").idle(),
    int("set-max-listpack-entries", 0, LONG, "128").idle(),
    memory("set-max-listpack-value", 0, LONG_BYTES, "64").idle(),
    int("zset-max-listpack-entries", 0, LONG, "128")
        .alias("zset-max-ziplist-entries")
        .idle(),
    memory("zset-max-listpack-value", 0, LONG_BYTES, "64")
        .alias("zset-max-ziplist-value")
        .idle(),
    memory("stream-node-max-bytes", 0, LONG_BYTES, "4096").idle(),
    int("stream-node-max-entries", 0, LONG, "100").idle(),
    memory("hll-sparse-max-bytes", 0, LONG_BYTES, "3000"),
    // Snapshots and the append-only file.
    text("dir", "").protected().idle(),
    Directive::new("dbfilename", Kind::FileName, "dump.rdb")
        .protected()
        .idle(),
    // Redis's default is a number of snapshots. This server makes none, and CONFIG GET says so.
    Directive::new("save", Kind::Save, "").refused_later(
        "this server writes no RDB file: every acknowledged write is in the pool already",
    ),
    boolean("stop-writes-on-bgsave-error", "yes").idle(),
    boolean("rdbcompression", "yes").idle(),
    boolean("rdbchecksum", "yes").fixed().idle(),
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
    Directive::new("appendfilename", Kind::FileName, "appendonly.aof")
        .fixed()
        .idle(),
    Directive::new("appenddirname", Kind::FileName, "appendonlydir")
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
    // Replication.
    Directive::new("replicaof", Kind::ReplicaOf, "")
        .alias("slaveof")
        .fixed()
        .refused("there is no replication, so this server would be a master with data of its own"),
    text("masteruser", "").secret().idle(),
    text("masterauth", "").secret().idle(),
    int("replica-priority", 0, INT, "100")
        .alias("slave-priority")
        .idle(),
    text("replica-announce-ip", "")
        .alias("slave-announce-ip")
        .idle(),
    int("replica-announce-port", 0, 65_535, "0")
        .alias("slave-announce-port")
        .idle(),
    boolean("replica-announced", "yes").idle(),
    boolean("replica-lazy-flush", "no")
        .alias("slave-lazy-flush")
        .idle(),
    boolean("replica-serve-stale-data", "yes")
        .alias("slave-serve-stale-data")
        .idle(),
    boolean("replica-read-only", "yes")
        .alias("slave-read-only")
        .idle(),
    boolean("replica-ignore-maxmemory", "yes")
        .alias("slave-ignore-maxmemory")
        .idle(),
    boolean("replica-ignore-disk-write-errors", "no").idle(),
    choice(
        "propagation-error-behavior",
        &["ignore", "panic", "panic-on-replicas"],
        "ignore",
    )
    .idle(),
    memory("repl-backlog-size", 1, LONG_BYTES, "1048576").idle(),
    int("repl-backlog-ttl", 0, LONG, "3600").idle(),
    int("repl-timeout", 1, INT, "60").idle(),
    int("repl-ping-replica-period", 1, INT, "10")
        .alias("repl-ping-slave-period")
        .idle(),
    boolean("repl-disable-tcp-nodelay", "no").idle(),
    boolean("repl-diskless-sync", "yes").idle(),
    int("repl-diskless-sync-delay", 0, INT, "5").idle(),
    int("repl-diskless-sync-max-replicas", 0, INT, "0").idle(),
    choice(
        "repl-diskless-load",
        &["disabled", "on-empty-db", "swapdb"],
        "disabled",
    )
    .idle(),
    int("min-replicas-to-write", 0, INT, "0")
        .alias("min-slaves-to-write")
        .refused("there is no replication, so no replica would have what this server acknowledges"),
    int("min-replicas-max-lag", 0, INT, "10")
        .alias("min-slaves-max-lag")
        .idle(),
    // Cluster.
    boolean("cluster-enabled", "no")
        .fixed()
        .refused("there is no cluster, so this server would take every key for its own"),
    text("cluster-config-file", "nodes.conf").fixed().idle(),
    int("cluster-port", 0, 65_535, "0").fixed().idle(),
    int("cluster-node-timeout", 0, LONG, "15000").idle(),
    int("cluster-ping-interval", 0, INT, "1000").hidden().idle(),
    text("cluster-announce-ip", "").idle(),
    Directive::new("cluster-announce-hostname", Kind::HostName, "").idle(),
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
    // TLS.
    int("tls-port", 0, 65_535, "0"),
    int("tls-session-cache-size", 0, INT, "20480"),
    int("tls-session-cache-timeout", 0, INT, "300"),
    boolean("tls-session-caching", "yes"),
    boolean("tls-cluster", "no").idle(),
    boolean("tls-replication", "no").idle(),
    boolean("tls-prefer-server-ciphers", "no"),
    choice("tls-auth-clients", &["no", "yes", "optional"], "yes"),
    text("tls-cert-file", "").reloads(),
    text("tls-key-file", "").reloads(),
    text("tls-key-file-pass", "").secret(),
    text("tls-client-cert-file", "").idle(),
    text("tls-client-key-file", "").idle(),
    text("tls-client-key-file-pass", "").secret().idle(),
    text("tls-dh-params-file", "").idle(),
    text("tls-ca-cert-file", "").reloads(),
    text("tls-ca-cert-dir", "").reloads(),
    text("tls-protocols", ""),
    text("tls-ciphers", ""),
    text("tls-ciphersuites", ""),
    // Our own.
    Directive::new(ACCEPT, Kind::Unsupported, ""),
    Directive::new("engine", Kind::Engine, "cmap").fixed(),
    Directive::new("engine-config", Kind::Json, "").fixed(),
    choice("layout", &["auto", "pairs", "packed"], "auto").fixed(),
    choice("repair", &["no", "yes"], "no").fixed(),
    text("pool-path", "/dev/shm/pmemkv-server.pool").fixed(),
    memory("pool-size", 1, LONG_BYTES, "1073741824").fixed(),
    choice("durability", &["auto", "power", "process"], "auto").fixed(),
    choice("log-format", &["text", "json"], "text").fixed(),
    int("worker-threads", 0, 1_024, "0").fixed(),
    int("metrics-port", 0, 65_535, "0").fixed(),
    Directive::new("metrics-bind", Kind::Addresses, "127.0.0.1 -::1").fixed(),
];

/// The place in [`DIRECTIVES`] of the directive that has this name or alias, in any case.
pub fn find(name: &[u8]) -> Option<usize> {
    DIRECTIVES.iter().position(|directive| {
        directive.name.as_bytes().eq_ignore_ascii_case(name)
            || directive
                .alias
                .is_some_and(|alias| alias.as_bytes().eq_ignore_ascii_case(name))
    })
}

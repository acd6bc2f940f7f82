//! Directives on connections, the process, protection, memory and observation.

use super::{
    Directive, INT, LONG, LONG_BYTES, MIB, boolean, choice, choice_of, int, memory, row, text,
};
use crate::settings::{Access, EvictionPolicy, LogLevel, Supervised};
use crate::value::Kind;

/// What a signal may make the shutdown do.
const STOP: &[&str] = &["default", "save", "nosave", "now", "force"];

/// The syslog facilities that Redis knows.
const FACILITIES: &[&str] = &[
    "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// The network and connections.
pub(super) const NETWORK: &[Directive] = &[
    row("bind", Kind::Addresses, "* -::*")
        .sets(|settings, value| settings.bind = value.addresses()),
    int("port", 0, 65_535, "6379").sets(|settings, value| settings.port = value.number()),
    text("unixsocket", "")
        .fixed()
        .sets(|settings, value| settings.unixsocket = value.path()),
    row("unixsocketperm", Kind::Octal { max: 0o777 }, "0")
        .fixed()
        .sets(|settings, value| settings.unixsocketperm = value.mode()),
    int("tcp-backlog", 0, INT, "511")
        .fixed()
        .sets(|settings, value| settings.tcp_backlog = value.number()),
    int("timeout", 0, INT, "0").sets(|settings, value| settings.timeout = value.seconds_if_any()),
    int("tcp-keepalive", 0, INT, "300")
        .sets(|settings, value| settings.tcp_keepalive = value.seconds_if_any()),
    int("maxclients", 1, 4_294_967_295, "10000")
        .sets(|settings, value| settings.maxclients = value.number()),
    int("databases", 1, 16, "16")
        .fixed()
        .sets(|settings, value| settings.databases = value.number()),
    text("requirepass", "")
        .secret()
        .sets(|settings, value| settings.requirepass = value.secret()),
    boolean("protected-mode", "yes").sets(|settings, value| settings.protected_mode = value.yes()),
    memory("client-query-buffer-limit", MIB, LONG_BYTES, "1073741824")
        .sets(|settings, value| settings.client_query_buffer_limit = value.number()),
    memory("proto-max-bulk-len", MIB, LONG_BYTES, "536870912")
        .sets(|settings, value| settings.proto_max_bulk_len = value.number()),
    row(
        "client-output-buffer-limit",
        Kind::BufferLimits,
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
    )
    .sets(|settings, value| settings.client_output_buffer_limits = value.output_limits()),
    text("bind-source-addr", "").idle(),
    int("socket-mark-id", 0, 4_294_967_295, "0").fixed().idle(),
    int("io-threads", 1, 128, "1").fixed().idle(),
    boolean("io-threads-do-reads", "no").fixed().idle(),
    int("max-new-connections-per-cycle", 1, 1_000, "10").idle(),
    int("max-new-tls-connections-per-cycle", 1, 1_000, "1").idle(),
];

/// The process and its log.
pub(super) const PROCESS: &[Directive] = &[
    choice_of::<LogLevel>("loglevel", "notice")
        .sets(|settings, value| settings.loglevel = value.choice()),
    text("logfile", "")
        .fixed()
        .sets(|settings, value| settings.logfile = value.path()),
    text("pidfile", "")
        .fixed()
        .sets(|settings, value| settings.pidfile = value.path()),
    boolean("daemonize", "no")
        .fixed()
        .sets(|settings, value| settings.daemonize = value.yes()),
    choice_of::<Supervised>("supervised", "no")
        .fixed()
        .sets(|settings, value| settings.supervised = value.choice()),
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
    row(
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
    row("oom-score-adj-values", Kind::OomScores, "0 200 800").idle(),
    boolean("disable-thp", "yes").fixed().idle(),
    text("server_cpulist", "").fixed().idle(),
    text("bio_cpulist", "").fixed().idle(),
    text("aof_rewrite_cpulist", "").fixed().idle(),
    text("bgsave_cpulist", "").fixed().idle(),
    text("ignore-warnings", "").idle(),
    int("watchdog-period", 0, INT, "0").hidden().idle(),
    int("shutdown-timeout", 0, INT, "10").idle(),
    row("shutdown-on-sigint", Kind::EnumSet(STOP), "default")
        .sets(|settings, value| settings.shutdown_on_sigint = value.text()),
    row("shutdown-on-sigterm", Kind::EnumSet(STOP), "default")
        .sets(|settings, value| settings.shutdown_on_sigterm = value.text()),
    int("busy-reply-threshold", 0, LONG, "5000")
        .alias("lua-time-limit")
        .sets(|settings, value| settings.busy_reply_threshold_ms = value.number()),
];

/// Protection.
pub(super) const PROTECTION: &[Directive] = &[
    choice_of::<Access>("enable-protected-configs", "no")
        .fixed()
        .sets(|settings, value| settings.enable_protected_configs = value.choice()),
    choice_of::<Access>("enable-debug-command", "no")
        .fixed()
        .sets(|settings, value| settings.enable_debug_command = value.choice()),
    choice_of::<Access>("enable-module-command", "no")
        .fixed()
        .sets(|settings, value| settings.enable_module_command = value.choice()),
    boolean("enable-debug-assert", "no").fixed().hidden().idle(),
    text("aclfile", "")
        .fixed()
        .sets(|settings, value| settings.aclfile = value.path()),
    int("acllog-max-len", 0, LONG, "128")
        .sets(|settings, value| settings.acllog_max_len = value.number()),
    choice(
        "acl-pubsub-default",
        &["allchannels", "resetchannels"],
        "resetchannels",
    )
    .sets(|settings, value| settings.acl_pubsub_default_all = value.is("allchannels")),
    choice("sanitize-dump-payload", &["no", "yes", "clients"], "no").idle(),
];

/// Memory and expiry.
pub(super) const MEMORY: &[Directive] = &[
    row(
        "hz",
        Kind::Clamped {
            least: 1,
            most: 500,
        },
        "10",
    )
    .sets(|settings, value| settings.hz = value.number()),
    boolean("dynamic-hz", "yes").idle(),
    int("active-expire-effort", 1, 10, "1")
        .sets(|settings, value| settings.active_expire_effort = value.number()),
    memory("maxmemory", 0, u64::MAX, "0")
        .sets(|settings, value| settings.maxmemory = value.number()),
    choice_of::<EvictionPolicy>("maxmemory-policy", "noeviction")
        .sets(|settings, value| settings.maxmemory_policy = value.choice()),
    int("maxmemory-samples", 1, INT, "5")
        .sets(|settings, value| settings.maxmemory_samples = value.number()),
    int("maxmemory-eviction-tenacity", 0, 100, "10")
        .sets(|settings, value| settings.maxmemory_eviction_tenacity = value.number()),
    row("maxmemory-clients", Kind::MemoryOrPercent, "0")
        .sets(|settings, value| settings.maxmemory_clients = value.memory_share()),
    int("lfu-log-factor", 0, INT, "10")
        .sets(|settings, value| settings.lfu_log_factor = value.number()),
    int("lfu-decay-time", 0, INT, "1")
        .sets(|settings, value| settings.lfu_decay_time_minutes = value.number()),
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
];

/// Observation.
pub(super) const OBSERVATION: &[Directive] = &[
    int("slowlog-log-slower-than", -1, LONG, "10000")
        .alias("commandlog-execution-slower-than")
        .sets(|settings, value| settings.slowlog_log_slower_than_micros = value.number()),
    int("slowlog-max-len", 0, LONG, "128")
        .alias("commandlog-slow-execution-max-len")
        .sets(|settings, value| settings.slowlog_max_len = value.number()),
    int("commandlog-request-larger-than", -1, LONG, "1048576")
        .sets(|settings, value| settings.commandlog_request_larger_than_bytes = value.number()),
    int("commandlog-large-request-max-len", 0, LONG, "128")
        .sets(|settings, value| settings.commandlog_large_request_max_len = value.number()),
    int("commandlog-reply-larger-than", -1, LONG, "1048576")
        .sets(|settings, value| settings.commandlog_reply_larger_than_bytes = value.number()),
    int("commandlog-large-reply-max-len", 0, LONG, "128")
        .sets(|settings, value| settings.commandlog_large_reply_max_len = value.number()),
    int("latency-monitor-threshold", 0, LONG, "0")
        .sets(|settings, value| settings.latency_monitor_threshold_ms = value.number()),
    boolean("latency-tracking", "yes")
        .sets(|settings, value| settings.latency_tracking = value.yes()),
    row(
        "latency-tracking-info-percentiles",
        Kind::Percentiles,
        "50 99 99.9",
    )
    .sets(|settings, value| settings.latency_tracking_info_percentiles = value.percentiles()),
    row("notify-keyspace-events", Kind::Events, "")
        .sets(|settings, value| settings.notify_keyspace_events = value.text()),
    int("tracking-table-max-keys", 0, LONG, "1000000")
        .sets(|settings, value| settings.tracking_table_max_keys = value.number()),
];

//! Directives on TLS, and those that only this server has.

use super::{Directive, INT, LONG_BYTES, boolean, choice, choice_of, int, memory, row, text};
use crate::settings::{AuthClients, Durability, Layout, LogFormat};
use crate::unsupported::ACCEPT;
use crate::value::Kind;

/// TLS.
pub(super) const TLS: &[Directive] = &[
    int("tls-port", 0, 65_535, "0").sets(|settings, value| settings.tls.port = value.number()),
    int("tls-session-cache-size", 0, INT, "20480")
        .sets(|settings, value| settings.tls.session_cache_size = value.number()),
    int("tls-session-cache-timeout", 0, INT, "300")
        .sets(|settings, value| settings.tls.session_cache_timeout = value.seconds()),
    boolean("tls-session-caching", "yes")
        .sets(|settings, value| settings.tls.session_caching = value.yes()),
    boolean("tls-cluster", "no").idle(),
    boolean("tls-replication", "no").sets(|settings, value| settings.replication.tls = value.yes()),
    boolean("tls-prefer-server-ciphers", "no")
        .sets(|settings, value| settings.tls.prefer_server_ciphers = value.yes()),
    choice_of::<AuthClients>("tls-auth-clients", "yes")
        .sets(|settings, value| settings.tls.auth_clients = value.choice()),
    text("tls-cert-file", "")
        .reloads()
        .sets(|settings, value| settings.tls.cert_file = value.path()),
    text("tls-key-file", "")
        .reloads()
        .sets(|settings, value| settings.tls.key_file = value.path()),
    text("tls-key-file-pass", "")
        .secret()
        .sets(|settings, value| settings.tls.key_file_pass = value.secret()),
    text("tls-client-cert-file", "")
        .sets(|settings, value| settings.tls.client_cert_file = value.path()),
    text("tls-client-key-file", "")
        .sets(|settings, value| settings.tls.client_key_file = value.path()),
    text("tls-client-key-file-pass", "")
        .secret()
        .sets(|settings, value| settings.tls.client_key_file_pass = value.secret()),
    text("tls-dh-params-file", "").idle(),
    text("tls-ca-cert-file", "")
        .reloads()
        .sets(|settings, value| settings.tls.ca_cert_file = value.path()),
    text("tls-ca-cert-dir", "")
        .reloads()
        .sets(|settings, value| settings.tls.ca_cert_dir = value.path()),
    text("tls-protocols", "").sets(|settings, value| settings.tls.protocols = value.text()),
    text("tls-ciphers", "").sets(|settings, value| settings.tls.ciphers = value.text()),
    text("tls-ciphersuites", "").sets(|settings, value| settings.tls.ciphersuites = value.text()),
];

/// This server's own directives.
pub(super) const OWN: &[Directive] = &[
    // `Values::accepts` reads it.
    row(ACCEPT, Kind::Unsupported, "").read_elsewhere(),
    row("engine", Kind::Engine, "cmap")
        .fixed()
        .sets(|settings, value| settings.engine = value.text()),
    row("engine-config", Kind::Json, "")
        .fixed()
        .sets(|settings, value| settings.engine_config = value.text_if_any()),
    choice_of::<Layout>("layout", "auto")
        .fixed()
        .sets(|settings, value| settings.layout = value.choice()),
    memory("compact-bytes-max", 0, 16_384, "1024")
        .sets(|settings, value| settings.forms.compact_bytes_max = value.number()),
    choice("repair", &["no", "yes"], "no")
        .fixed()
        .sets(|settings, value| settings.repair = value.is("yes")),
    text("pool-path", "/dev/shm/pmemkv-server.pool")
        .fixed()
        .sets(|settings, value| settings.pool_path = value.path().unwrap_or_default()),
    memory("pool-size", 1, LONG_BYTES, "1073741824")
        .fixed()
        .sets(|settings, value| settings.pool_size_bytes = value.number()),
    text("index-file", "auto")
        .fixed()
        .sets(|settings, value| settings.index_file = value.text()),
    // Fixed, since a client that could set it could write files anywhere.
    text("backup-dir", "")
        .fixed()
        .sets(|settings, value| settings.backup_dir = value.path()),
    text("import", "")
        .fixed()
        .sets(|settings, value| settings.import = value.path()),
    choice("repl-backlog-outlives-crash", &["no", "yes"], "yes")
        .sets(|settings, value| settings.feed.outlives_crash = value.is("yes")),
    choice("rdb-version", &["11", "10"], "11")
        .sets(|settings, value| settings.rdb_version = value.number()),
    memory("rdb-buffer-limit", 1, LONG_BYTES, "268435456")
        .sets(|settings, value| settings.rdb_buffer_limit = value.number()),
    choice_of::<Durability>("durability", "auto")
        .fixed()
        .sets(|settings, value| settings.durability = value.choice()),
    choice_of::<LogFormat>("log-format", "text")
        .fixed()
        .sets(|settings, value| settings.log_format = value.choice()),
    row("redis-version", Kind::Version, "7.4.7")
        .fixed()
        .sets(|settings, value| settings.redis_version = value.text()),
    int("worker-threads", 0, 1_024, "0")
        .fixed()
        .sets(|settings, value| settings.worker_threads = value.number()),
    int("metrics-port", 0, 65_535, "0")
        .fixed()
        .sets(|settings, value| settings.metrics_port = value.number()),
    row("metrics-bind", Kind::Addresses, "127.0.0.1 -::1")
        .fixed()
        .sets(|settings, value| settings.metrics_bind = value.addresses()),
];

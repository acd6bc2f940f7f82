//! The metrics' families. Names and units follow Prometheus's conventions: seconds, bytes, ratios from 0 to 1, and
//! `_total` at the end of a counter's name.

use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use prometheus::proto::{Bucket, Histogram, Metric, MetricType};
use prometheus::{Encoder, TextEncoder};

use super::backups::backups;
use super::family::{Families, label, number, seconds_of_nanos};
use super::replication::replication;
use crate::catalog::table;
use crate::keyspace::{DATABASES, Keyspace, KeyspaceError, StoreStats, now_ms};
use crate::state::{CommandStats, Durations, Server, Topic, redis_version};
use crate::system::resident_bytes;

/// The upper bounds of the latency buckets, µs.
const LATENCY_MICROS: [u64; 19] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
    200_000, 500_000, 1_000_000,
];

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub(super) enum MetricsError {
    #[error(transparent)]
    Keyspace(#[from] KeyspaceError),
    #[error(transparent)]
    Encoding(#[from] prometheus::Error),
}

/// The present values of all metrics, in Prometheus's text format.
pub(super) fn text(server: &Server, keyspace: &Keyspace) -> Result<Vec<u8>, MetricsError> {
    let mut families = Families::default();
    let stats = keyspace.stats()?;
    process(&mut families, server, &stats);
    commands(&mut families, server);
    latencies(&mut families, server);
    errors(&mut families, server);
    clients(&mut families, server);
    listeners(&mut families, server);
    replication(&mut families, server);
    eviction(&mut families, server, keyspace);
    data(&mut families, keyspace, &stats);
    segments(&mut families, &stats);
    backups(&mut families, server);
    let mut text = Vec::new();
    TextEncoder::new().encode(&families.0, &mut text)?;
    Ok(text)
}

fn process(families: &mut Families, server: &Server, stats: &StoreStats) {
    let build = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("redis_version", redis_version()),
        ("engine", stats.engine.as_str()),
        ("layout", stats.layout),
    ];
    families.add(
        "build_info",
        "The server's version, the Redis version that it follows, and where the data lies; always 1.",
        MetricType::GAUGE,
        [(&build[..], 1.0)],
    );
    let started = server.started_at.duration_since(UNIX_EPOCH);
    families.gauge(
        "start_time_seconds",
        "When the process started, in seconds since the Unix epoch.",
        started.unwrap_or_default().as_secs_f64(),
    );
    let uptime = server.started.elapsed().as_secs_f64();
    families.gauge("uptime_seconds", "How long the process has run.", uptime);
    families.gauge(
        "resident_memory_bytes",
        "The process's resident set; a pool in memory counts as far as it was touched.",
        number(resident_bytes()),
    );
    if let Some(opens) = stats.opens {
        families.counter(
            "pool_opens_total",
            "How often the pool was opened since it was made: one, and one more with each restart.",
            number(opens),
        );
    }
    if let Some(time) = stats.index_time {
        families.gauge(
            "index_time_seconds",
            "How long all keys took to be indexed at the start.",
            time.as_secs_f64(),
        );
    }
}

/// The segments of the packed layout.
fn segments(families: &mut Families, stats: &StoreStats) {
    for (detail, help) in [
        ("segments", "Segments that the pool has (packed)."),
        (
            "segments_free",
            "Segments without records, which new records take (packed).",
        ),
        ("segments_max", "Segments that the pool can have (packed)."),
        (
            "damaged_segments",
            "Segments and values of which a repair has dropped something (packed).",
        ),
    ] {
        if let Some((_, value)) = stats.details.iter().find(|(name, _)| *name == detail) {
            families.gauge(detail, help, number(*value));
        }
    }
}

/// One figure of a command.
type CommandValue = fn(&CommandStats) -> f64;

fn commands(families: &mut Families, server: &Server) {
    let sums = server.stats.snapshot();
    let used: Vec<(&'static str, &CommandStats)> = table()
        .all()
        .iter()
        .map(|command| command.full_name)
        .zip(&sums.commands)
        .filter(|(_, stats)| stats.calls + stats.rejected > 0)
        .collect();
    let labels: Vec<[(&str, &str); 1]> =
        used.iter().map(|(name, _)| [("command", *name)]).collect();
    let counters: [(&str, &str, CommandValue); 4] = [
        ("commands_total", "Calls that ran.", |stats| {
            number(stats.calls)
        }),
        (
            "commands_duration_seconds_total",
            "Time that the calls took.",
            |stats| seconds_of_nanos(stats.nanos),
        ),
        (
            "commands_rejected_total",
            "Calls that were refused before they ran.",
            |stats| number(stats.rejected),
        ),
        (
            "commands_failed_total",
            "Calls that ran and answered an error.",
            |stats| number(stats.failed),
        ),
    ];
    for (name, help, value) in counters {
        let samples = labels.iter().zip(&used);
        let samples = samples.map(|(labels, (_, stats))| (&labels[..], value(stats)));
        families.add(name, help, MetricType::COUNTER, samples);
    }
    families.counter(
        "error_replies_total",
        "Replies that were errors.",
        number(sums.error_replies),
    );
    families.counter(
        "keyspace_hits_total",
        "Keys that were looked up and found.",
        number(sums.hits),
    );
    families.counter(
        "keyspace_misses_total",
        "Keys that were looked up and not found.",
        number(sums.misses),
    );
    families.counter(
        "net_input_bytes_total",
        "Bytes of requests.",
        number(sums.input_bytes),
    );
    families.counter(
        "net_output_bytes_total",
        "Bytes of replies.",
        number(sums.output_bytes),
    );
}

/// The latencies of each command's calls.
fn latencies(families: &mut Families, server: &Server) {
    let metrics = table().all().iter().filter_map(|command| {
        let durations = server.stats.durations(command.number)?;
        let labels = vec![label(&("command", command.full_name))];
        let mut metric = Metric::from_label(labels);
        metric.set_histogram(histogram(&durations));
        Some(metric)
    });
    families.push(
        "command_latency_seconds",
        "How long each call took; there are none while latency-tracking is off.",
        MetricType::HISTOGRAM,
        metrics.collect(),
    );
}

fn histogram(durations: &Durations) -> Histogram {
    let buckets = LATENCY_MICROS.iter().map(|micros| {
        let mut bucket = Bucket::default();
        bucket.set_cumulative_count(durations.up_to(micros * 1_000));
        bucket.set_upper_bound(seconds_of_nanos(micros * 1_000));
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(durations.calls());
    histogram.set_sample_sum(seconds_of_nanos(durations.total()));
    histogram
}

fn errors(families: &mut Families, server: &Server) {
    let errors = server.stats.errors();
    let labels: Vec<[(&str, &str); 1]> = errors
        .keys()
        .map(|code| [("code", code.as_str())])
        .collect();
    let samples = labels.iter().zip(errors.values());
    families.add(
        "errors_total",
        "Replies that were errors, by their first word.",
        MetricType::COUNTER,
        samples.map(|(labels, count)| (&labels[..], number(*count))),
    );
    let denied = server.acl.denied();
    let reasons = [
        ([("reason", "auth")], &denied.auth),
        ([("reason", "command")], &denied.command),
        ([("reason", "key")], &denied.key),
        ([("reason", "channel")], &denied.channel),
    ];
    families.add(
        "acl_denied_total",
        "What users were denied, by what it was.",
        MetricType::COUNTER,
        reasons
            .iter()
            .map(|(labels, count)| (&labels[..], number(count.load(Ordering::Relaxed)))),
    );
    families.gauge(
        "slowlog_length",
        "Calls in the slow log.",
        number(server.slowlog.len() as u64),
    );
}

/// The subscribers, and the clients that cache keys.
fn listeners(families: &mut Families, server: &Server) {
    let (pubsub, tracking) = (&server.pubsub, &server.tracking);
    for (name, help, count) in [
        (
            "pubsub_clients",
            "Clients that listen to something.",
            pubsub.clients(),
        ),
        (
            "pubsub_channels",
            "Channels that are listened to.",
            pubsub.count(Topic::Channel),
        ),
        (
            "pubsub_patterns",
            "Patterns of channels that are listened to.",
            pubsub.count(Topic::Pattern),
        ),
        (
            "pubsub_shard_channels",
            "Shard channels that are listened to.",
            pubsub.count(Topic::Shard),
        ),
        (
            "tracking_clients",
            "Clients that are told when keys change which they cache.",
            tracking.clients(),
        ),
        (
            "tracking_keys",
            "Keys that clients are remembered to cache.",
            tracking.keys(),
        ),
    ] {
        families.gauge(name, help, number(count as u64));
    }
}

fn eviction(families: &mut Families, server: &Server, keyspace: &Keyspace) {
    let stats = keyspace.eviction().stats(now_ms());
    families.counter(
        "evicted_keys_total",
        "Keys that were removed to free memory.",
        number(stats.evicted_keys),
    );
    families.counter(
        "maxmemory_exceeded_seconds_total",
        "How long maxmemory was exceeded.",
        Duration::from_millis(stats.exceeded_ms).as_secs_f64(),
    );
    families.gauge(
        "maxmemory_bytes",
        "The directive maxmemory; 0 where the pool's size is the limit.",
        number(server.config.settings().maxmemory),
    );
}

fn clients(families: &mut Families, server: &Server) {
    let stats = &server.stats;
    let load = |counter: &std::sync::atomic::AtomicU64| number(counter.load(Ordering::Relaxed));
    let count = |count: usize| number(count as u64);
    families.gauge(
        "connected_clients",
        "Clients that are connected.",
        count(server.clients.len()),
    );
    let all = server.clients.all();
    let waiting = all.iter().filter(|client| client.is_blocked());
    families.gauge(
        "blocked_clients",
        "Clients that wait: in a command, or until CLIENT PAUSE is over.",
        count(waiting.count()),
    );
    let maxclients = server.config.settings().maxclients;
    families.gauge(
        "maxclients",
        "Clients that may be connected.",
        count(maxclients),
    );
    families.counter(
        "connections_received_total",
        "Connections that came in.",
        load(&stats.connections_received),
    );
    families.counter(
        "connections_rejected_total",
        "Connections that were refused at maxclients.",
        load(&stats.connections_rejected),
    );
    let limits: [(&[(&str, &str)], f64); 2] = [
        (
            &[("buffer", "input")],
            load(&stats.query_limit_disconnections),
        ),
        (
            &[("buffer", "output")],
            load(&stats.output_limit_disconnections),
        ),
    ];
    families.add(
        "clients_over_limit_total",
        "Clients that were closed for a buffer over its limit.",
        MetricType::COUNTER,
        limits,
    );
}

fn data(families: &mut Families, keyspace: &Keyspace, stats: &StoreStats) {
    let (pool, allocated) = (stats.pool_bytes, stats.allocated_bytes);
    let of_layout = |wanted: &str| {
        let mut details = stats.details.iter();
        details
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| *value)
    };
    families.gauge("pool_bytes", "The pool's size.", number(pool));
    families.gauge(
        "pool_allocated_bytes",
        "What is allocated in the pool.",
        number(allocated),
    );
    // The packed layout keeps segments allocated whose records are no longer used, so live bytes tell more there.
    let live = of_layout("live_bytes");
    if let Some(live) = live {
        families.gauge(
            "pool_live_bytes",
            "Bytes of records in use (packed).",
            number(live),
        );
    }
    let capacity = of_layout("segments_max")
        .zip(of_layout("segment_bytes"))
        .map_or(pool, |(segments, bytes)| segments * bytes);
    if capacity > 0 {
        families.gauge(
            "pool_fill_ratio",
            "The share of the pool's space for records that is in use, from 0 to 1.",
            number(live.unwrap_or(allocated)) / number(capacity),
        );
    }
    families.gauge(
        "index_bytes",
        "DRAM that the index takes.",
        number(stats.index_bytes),
    );
    families.gauge(
        "ordered_view_bytes",
        "DRAM that the ordered views of keys take.",
        number(stats.ordered_view_bytes),
    );
    families.gauge(
        "loading",
        "1 while the pool is read at the start and commands wait.",
        f64::from(u8::from(!keyspace.loading().is_done())),
    );
    families.counter(
        "expired_keys_total",
        "Keys that were removed past their deadline.",
        number(stats.expired_keys),
    );
    let now = now_ms();
    let databases: Vec<_> = (0..DATABASES)
        .map(|db| (db.to_string(), keyspace.databases().stats(db, now)))
        .filter(|(_, stats)| stats.keys > 0)
        .collect();
    let labels: Vec<[(&str, &str); 1]> = databases
        .iter()
        .map(|(db, _)| [("db", db.as_str())])
        .collect();
    let samples = |value: fn(&crate::keyspace::DatabaseStats) -> u64| {
        let samples = labels.iter().zip(&databases);
        samples.map(move |(labels, (_, stats))| (&labels[..], number(value(stats))))
    };
    let gauge = MetricType::GAUGE;
    families.add(
        "keys",
        "Keys of each database that has any.",
        gauge,
        samples(|stats| stats.keys),
    );
    families.add(
        "keys_expiring",
        "Keys with a deadline, of each database that has keys.",
        gauge,
        samples(|stats| stats.expires),
    );
}

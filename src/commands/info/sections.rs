//! What each section of INFO says.

#![allow(clippy::unnecessary_wraps)] // Sections have one shape, also those that cannot fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};

use super::report::Report;
use crate::commands::{CommandError, Context};
use crate::config::Settings;
use crate::keyspace::{DATABASES, LoadProgress};
use crate::state::replication::Link;
use crate::state::{BackupFigures, Topic, redis_version};

type Written = Result<(), CommandError>;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

pub(super) fn server(ctx: &Context<'_>, report: &mut Report) -> Written {
    let server = ctx.server;
    let settings = server.config.settings();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let uptime_s = server.started.elapsed().as_secs();
    report.field("redis_version", redis_version());
    report.field("pmemkv_server_version", env!("CARGO_PKG_VERSION"));
    report.field("redis_git_sha1", "00000000");
    report.field("redis_git_dirty", 0);
    report.field("redis_mode", "standalone");
    report.field("os", operating_system());
    report.field("arch_bits", usize::BITS);
    report.field("monotonic_clock", "POSIX clock_gettime");
    report.field("multiplexing_api", "epoll");
    // No C compiler made this program; Redis says so of a build without GCC.
    report.field("gcc_version", "0.0.0");
    report.field("process_id", std::process::id());
    report.field("process_supervised", server.supervised);
    report.field("run_id", &server.run_id);
    // As in Redis, the port of TLS where there is no other.
    let port = Some(settings.port).filter(|port| *port != 0);
    report.field("tcp_port", port.unwrap_or(settings.tls.port));
    report.field("server_time_usec", now.as_micros());
    report.field("uptime_in_seconds", uptime_s);
    report.field("uptime_in_days", uptime_s / SECONDS_PER_DAY);
    report.field("hz", settings.hz);
    report.field("configured_hz", settings.hz);
    // Redis's clock of accesses: seconds, in 24 bits.
    report.field("lru_clock", now.as_secs() & 0x00ff_ffff);
    let executable = std::env::current_exe().unwrap_or_default();
    report.field("executable", executable.display());
    let file = server.config.file().unwrap_or("".as_ref());
    report.field("config_file", file.display());
    report.field("io_threads_active", 0);
    listeners(&settings, report);
    Ok(())
}

/// Where the server listens, a line for each kind of socket.
fn listeners(settings: &Settings, report: &mut Report) {
    let mut number = 0;
    let binds = settings.bind.iter().fold(String::new(), |binds, bind| {
        binds + ",bind=" + &bind.address
    });
    if settings.port > 0 {
        let port = settings.port;
        report.field("listener0", format_args!("name=tcp{binds},port={port}"));
        number += 1;
    }
    if let Some(path) = &settings.unixsocket {
        report.field(
            format_args!("listener{number}"),
            format_args!("name=unix,bind={}", path.display()),
        );
        number += 1;
    }
    if settings.tls.port > 0 {
        let name = format!("listener{number}");
        report.field(
            name,
            format_args!("name=tls{binds},port={}", settings.tls.port),
        );
    }
}

fn operating_system() -> String {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{name}"));
    let system = read("ostype").unwrap_or_else(|_| std::env::consts::OS.into());
    let release = read("osrelease").unwrap_or_default();
    format!(
        "{} {} {}",
        system.trim(),
        release.trim(),
        std::env::consts::ARCH
    )
}

pub(super) fn clients(ctx: &Context<'_>, report: &mut Report) -> Written {
    let all = ctx.server.clients.all();
    let input = all
        .iter()
        .map(|client| client.query_buffer_bytes.load(Ordering::Relaxed));
    let output = all.iter().map(|client| client.output_bytes());
    let is_replica = |client: &&std::sync::Arc<crate::state::ClientHandle>| {
        client.is_replica.load(Ordering::Relaxed)
    };
    let replicas = all.iter().filter(is_replica).count();
    report.field("connected_clients", all.len() - replicas);
    report.field("cluster_connections", 0);
    report.field("maxclients", ctx.server.config.settings().maxclients);
    report.field("client_recent_max_input_buffer", input.max().unwrap_or(0));
    report.field("client_recent_max_output_buffer", output.max().unwrap_or(0));
    let waiting = all.iter().filter(|client| client.is_blocked());
    report.field("blocked_clients", waiting.count());
    report.field("tracking_clients", ctx.server.tracking.clients());
    report.field("pubsub_clients", ctx.server.pubsub.clients());
    report.field("clients_in_timeout_table", 0);
    report.field(
        "total_blocking_keys",
        ctx.keyspace.waiting().keys_waited_for(),
    );
    report.field("total_blocking_keys_on_nokey", 0);
    Ok(())
}

/// There are no snapshots and no log: every acknowledged write is already in the pool.
pub(super) fn persistence(ctx: &Context<'_>, report: &mut Report) -> Written {
    let started = ctx
        .server
        .started_at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let stats = &ctx.server.stats;
    let outcome = |refused: &AtomicBool| {
        if refused.load(Ordering::Relaxed) {
            "err"
        } else {
            "ok"
        }
    };
    let loading = ctx.keyspace.loading().progress();
    report.field("loading", u8::from(loading.is_some()));
    let following = ctx.server.replication.following();
    let is_syncing = following.is_some_and(|following| following.link == Link::Sync);
    report.field("async_loading", u8::from(is_syncing));
    report.field("current_cow_peak", 0);
    report.field("current_cow_size", 0);
    report.field("current_cow_size_age", 0);
    report.field("current_fork_perc", "0.00");
    report_saves(ctx, report);
    report.field("rdb_last_cow_size", 0);
    report.field("aof_enabled", 0);
    report.field("aof_rewrite_in_progress", 0);
    report.field("aof_rewrite_scheduled", 0);
    report.field("aof_last_rewrite_time_sec", -1);
    report.field("aof_current_rewrite_time_sec", -1);
    report.field(
        "aof_last_bgrewrite_status",
        outcome(&stats.bgrewriteaof_refused),
    );
    let is_failing = ctx.keyspace.is_sync_failing();
    report.field(
        "aof_last_write_status",
        if is_failing { "err" } else { "ok" },
    );
    report.field("aof_last_cow_size", 0);
    report.field("aof_rewrites", 0);
    report.field("aof_rewrites_consecutive_failures", 0);
    let saves = ctx.server.saves.figures();
    report.field("rdb_last_load_keys_expired", saves.load_expired);
    report.field("rdb_last_load_keys_loaded", saves.loaded);
    report.field("module_fork_in_progress", 0);
    report.field("module_fork_last_cow_size", 0);
    report_backups(ctx, report);
    if let Some(progress) = loading {
        let stats = ctx.keyspace.stats()?;
        report_loading(report, progress, stats.allocated_bytes, started);
    }
    Ok(())
}

fn report_saves(ctx: &Context<'_>, report: &mut Report) {
    let saves = ctx.server.saves.figures();
    // -1 stands for no save, as in Redis.
    let seconds = |time: Option<Duration>| {
        time.map_or(-1, |time| i64::try_from(time.as_secs()).unwrap_or(-1))
    };
    report.field("current_save_keys_processed", saves.keys_written);
    report.field("current_save_keys_total", saves.keys_total);
    let changes = ctx.keyspace.dirty().saturating_sub(saves.saved_dirty);
    report.field("rdb_changes_since_last_save", changes);
    report.field("rdb_bgsave_in_progress", u8::from(saves.elapsed.is_some()));
    report.field("rdb_last_save_time", saves.saved_at);
    let status = if saves.has_failed { "err" } else { "ok" };
    report.field("rdb_last_bgsave_status", status);
    report.field("rdb_last_bgsave_time_sec", seconds(saves.took));
    report.field("rdb_current_bgsave_time_sec", seconds(saves.elapsed));
    report.field("rdb_saves", saves.count);
}

fn report_backups(ctx: &Context<'_>, report: &mut Report) {
    let BackupFigures {
        progress,
        last,
        done,
        failed,
    } = ctx.server.backups.figures();
    report.field("backup_in_progress", u8::from(progress.is_some()));
    if let Some(progress) = progress {
        report.field("backup_current_time_sec", progress.elapsed.as_secs());
        report.field("backup_copied_bytes", progress.copied_bytes);
        report.field("backup_total_bytes", progress.total_bytes);
    }
    let error = last.as_ref().and_then(|last| last.error.as_deref());
    let status = match (&last, error) {
        (None, _) => "none",
        (Some(_), None) => "ok",
        (Some(_), Some(_)) => "err",
    };
    report.field("backup_last_status", status);
    if let Some(last) = &last {
        report.field("backup_last_error", error.unwrap_or_default());
        report.field("backup_last_end_time", last.ended_at);
        report.field("backup_last_msec", last.took.as_millis());
        report.field("backup_last_bytes", last.bytes);
        report.field("backup_last_hold_usec", last.hold_micros);
    }
    report.field("backup_count", done);
    report.field("backup_failures", failed);
}

/// Redis counts bytes of its file; here they follow from the segments that were read.
#[allow(clippy::cast_precision_loss)] // Two decimals are shown.
fn report_loading(report: &mut Report, progress: LoadProgress, bytes: u64, since: Duration) {
    let share = progress.parts_read as f64 / progress.parts.max(1) as f64;
    let seconds = progress.elapsed_ms as f64 / 1000.0;
    let eta = if share > 0.0 {
        seconds / share - seconds
    } else {
        1.0
    };
    report.field("loading_start_time", since.as_secs());
    report.field("loading_total_bytes", bytes);
    report.field(
        "loading_loaded_bytes",
        format_args!("{:.0}", share * bytes as f64),
    );
    report.field("loading_loaded_perc", format_args!("{:.2}", share * 100.0));
    report.field("loading_eta_seconds", format_args!("{eta:.0}"));
}

#[allow(clippy::cast_precision_loss)] // Two decimals are shown.
pub(super) fn stats(ctx: &Context<'_>, report: &mut Report) -> Written {
    let stats = &ctx.server.stats;
    let sums = stats.snapshot();
    let rates = ctx.server.rates.per_second();
    let of_keys = ctx.keyspace.stats()?;
    let eviction = ctx.keyspace.eviction().stats(ctx.access.now);
    let calls: u64 = sums.commands.iter().map(|command| command.calls).sum();
    let kib = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    report.field(
        "total_connections_received",
        load(&stats.connections_received),
    );
    report.field("total_commands_processed", calls);
    report.field("instantaneous_ops_per_sec", rates.commands);
    report.field("total_net_input_bytes", sums.input_bytes);
    report.field("total_net_output_bytes", sums.output_bytes);
    let replication = &ctx.server.replication.figures;
    report.field("total_net_repl_input_bytes", load(&replication.input_bytes));
    let feed = &ctx.server.feed.figures;
    let output_bytes = load(&replication.output_bytes) + load(&feed.output_bytes);
    report.field("total_net_repl_output_bytes", output_bytes);
    report.field("instantaneous_input_kbps", kib(rates.input_bytes));
    report.field("instantaneous_output_kbps", kib(rates.output_bytes));
    report.field("instantaneous_input_repl_kbps", "0.00");
    report.field("instantaneous_output_repl_kbps", "0.00");
    report.field("rejected_connections", load(&stats.connections_rejected));
    report.field("sync_full", load(&feed.full));
    report.field("sync_partial_ok", load(&feed.partial));
    report.field("sync_partial_err", load(&feed.partial_refused));
    report.field("expired_subkeys", of_keys.expired_fields);
    report.field("expired_keys", of_keys.expired_keys);
    // Each round removes all that are due, however long it takes.
    report.field("expired_stale_perc", "0.00");
    report.field("expired_time_cap_reached_count", 0);
    report.field(
        "expire_cycle_cpu_milliseconds",
        of_keys.expire_cycle_micros / 1000,
    );
    report.field("evicted_keys", eviction.evicted_keys);
    report.field("evicted_clients", load(&ctx.server.stats.evicted_clients));
    let scripts = ctx.server.scripting.figures();
    report.field("evicted_scripts", scripts.evicted);
    report.field("total_eviction_exceeded_time", eviction.exceeded_ms);
    report.field("current_eviction_exceeded_time", eviction.exceeded_now_ms);
    // Of this batch too, which are added to the sums only at its end.
    report.field("keyspace_hits", sums.hits + ctx.lookups.hits);
    report.field("keyspace_misses", sums.misses + ctx.lookups.misses);
    let pubsub = &ctx.server.pubsub;
    report.field("pubsub_channels", pubsub.count(Topic::Channel));
    report.field("pubsub_patterns", pubsub.count(Topic::Pattern));
    report.field("pubsubshard_channels", pubsub.count(Topic::Shard));
    report.field("latest_fork_usec", 0);
    report.field("total_forks", 0);
    report.field("migrate_cached_sockets", 0);
    report.field("slave_expires_tracked_keys", 0);
    report.field("active_defrag_hits", 0);
    report.field("active_defrag_misses", 0);
    report.field("active_defrag_key_hits", 0);
    report.field("active_defrag_key_misses", 0);
    report.field("total_active_defrag_time", 0);
    report.field("current_active_defrag_time", 0);
    let tracking = &ctx.server.tracking;
    report.field("tracking_total_keys", tracking.keys());
    report.field("tracking_total_items", tracking.items());
    report.field("tracking_total_prefixes", tracking.prefixes());
    report.field("unexpected_error_replies", load(&replication.errors));
    report.field("total_error_replies", sums.error_replies);
    report.field("dump_payload_sanitizations", 0);
    report.field("total_reads_processed", sums.reads);
    report.field("total_writes_processed", sums.writes);
    report.field("io_threaded_reads_processed", 0);
    report.field("io_threaded_writes_processed", 0);
    report.field(
        "client_query_buffer_limit_disconnections",
        load(&stats.query_limit_disconnections),
    );
    report.field(
        "client_output_buffer_limit_disconnections",
        load(&stats.output_limit_disconnections),
    );
    report.field("reply_buffer_shrinks", load(&stats.reply_buffer_shrinks));
    report.field("reply_buffer_expands", load(&stats.reply_buffer_expands));
    let denied = ctx.server.acl.denied();
    report.field("acl_access_denied_auth", load(&denied.auth));
    report.field("acl_access_denied_cmd", load(&denied.command));
    report.field("acl_access_denied_key", load(&denied.key));
    report.field("acl_access_denied_channel", load(&denied.channel));
    Ok(())
}

pub(super) fn cpu(_: &Context<'_>, report: &mut Report) -> Written {
    let mut usage = |who, end: &str| {
        let seconds =
            |time: nix::sys::time::TimeVal| format!("{}.{:06}", time.tv_sec(), time.tv_usec());
        if let Ok(usage) = getrusage(who) {
            for (name, time) in [("sys", usage.system_time()), ("user", usage.user_time())] {
                report.field(format_args!("used_cpu_{name}{end}"), seconds(time));
            }
        }
    };
    usage(UsageWho::RUSAGE_SELF, "");
    usage(UsageWho::RUSAGE_CHILDREN, "_children");
    // Of the thread that accepts; commands run on others.
    if let Some((system, user)) = main_thread_seconds() {
        report.field("used_cpu_sys_main_thread", format_args!("{system:.6}"));
        report.field("used_cpu_user_main_thread", format_args!("{user:.6}"));
    }
    Ok(())
}

/// CPU time of the main thread in the kernel and outside.
#[allow(clippy::cast_precision_loss)] // Ticks of 10 ms.
fn main_thread_seconds() -> Option<(f64, f64)> {
    let path = format!("/proc/self/task/{}/stat", std::process::id());
    let stat = std::fs::read_to_string(path).ok()?;
    // The name, in parentheses, may hold anything; behind it, `utime` is field 12.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let ticks = sysconf(SysconfVar::CLK_TCK).ok()?? as f64;
    let mut seconds = || Some(fields.next()?.parse::<u64>().ok()? as f64 / ticks);
    let user = seconds()?;
    Some((seconds()?, user))
}

pub(super) fn cluster(_: &Context<'_>, report: &mut Report) -> Written {
    report.field("cluster_enabled", 0);
    Ok(())
}

pub(super) fn keyspace(ctx: &Context<'_>, report: &mut Report) -> Written {
    for db in 0..DATABASES {
        let stats = ctx.keyspace.databases().stats(db, ctx.access.now);
        if stats.keys > 0 {
            report.field(
                format_args!("db{db}"),
                format_args!(
                    "keys={},expires={},avg_ttl={},subexpiry={}",
                    stats.keys, stats.expires, stats.avg_ttl_ms, stats.subexpiry
                ),
            );
        }
    }
    Ok(())
}

pub(super) fn pmemkv(ctx: &Context<'_>, report: &mut Report) -> Written {
    let stats = ctx.keyspace.stats()?;
    let settings = ctx.server.config.settings();
    let path = stats.pool_path.unwrap_or_default();
    report.field("engine", stats.engine);
    report.field("layout", stats.layout);
    report.field("durability", settings.durability.as_str());
    report.field("writes_survive", ctx.server.durability.words);
    if let Some(syncs) = ctx.keyspace.syncs() {
        report.field(
            "sync_last_status",
            if syncs.failure.is_some() { "err" } else { "ok" },
        );
        report.field("synced_to_time_ms", syncs.synced_to_ms);
        report.field("sync_last_time_us", syncs.took_us);
        report.field("syncs", syncs.count);
        report.field("sync_failures", syncs.failures);
    }
    report.field("pool_path", path.display());
    report.bytes("pool_bytes", stats.pool_bytes);
    report.bytes("allocated_bytes", stats.allocated_bytes);
    report.field(
        "free_bytes",
        stats.pool_bytes.saturating_sub(stats.allocated_bytes),
    );
    report.field("partitions", stats.partitions);
    report.field("partitions_indexed", stats.partitions_indexed);
    report.field(
        "index_ready",
        u8::from(stats.partitions_indexed == stats.partitions),
    );
    report.field("records", stats.records);
    report.bytes("index_bytes", stats.index_bytes);
    report.bytes("ordered_view_bytes", stats.ordered_view_bytes);
    report.field("pending_removals", stats.pending_removals);
    for (name, value) in stats.details {
        report.field(name, value);
    }
    Ok(())
}

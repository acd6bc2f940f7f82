//! INFO's section on replication.

#![allow(clippy::unnecessary_wraps)] // Sections have one shape, also those that cannot fail.

use std::time::Instant;

use super::report::Report;
use crate::commands::{CommandError, Context};
use crate::config::ReplicationSettings;
use crate::state::replication::{Following, Link};

pub(super) fn replication(ctx: &Context<'_>, report: &mut Report) -> Result<(), CommandError> {
    let following = ctx.server.replication.following();
    match &following {
        None => report.field("role", "master"),
        Some(following) => {
            let settings = ctx.server.config.settings();
            replica(following, &settings.replication, report);
        }
    }
    let place = following.and_then(|following| following.place);
    super::feed::replicas(ctx, place, report);
    Ok(())
}

/// What a replica tells before the fields of every server.
fn replica(following: &Following, settings: &ReplicationSettings, report: &mut Report) {
    let now = Instant::now();
    let is_up = following.link == Link::Up;
    let seconds = |since: Instant| now.saturating_duration_since(since).as_secs();
    report.field("role", "slave");
    report.field("master_host", &following.master.host);
    report.field("master_port", following.master.port);
    report.field("master_link_status", if is_up { "up" } else { "down" });
    let last_io = is_up.then(|| seconds(following.heard));
    report.field(
        "master_last_io_seconds_ago",
        last_io.map_or(-1, u64::cast_signed),
    );
    let is_syncing = following.link == Link::Sync;
    report.field("master_sync_in_progress", u8::from(is_syncing));
    // As in Redis, without a place 1 was never read.
    let applied = following.place.map_or(1, |place| place.offset);
    report.field("slave_read_repl_offset", applied + following.ahead_bytes);
    report.field("slave_repl_offset", applied);
    if let Some(transfer) = following.transfer.filter(|_| is_syncing) {
        let total = transfer.total.unwrap_or(0);
        report.field("master_sync_total_bytes", total);
        report.field("master_sync_read_bytes", transfer.read);
        let left = total.saturating_sub(transfer.read);
        report.field(
            "master_sync_left_bytes",
            transfer.total.map_or(-1, |_| left.cast_signed()),
        );
        let percent = super::percent(transfer.read, total);
        report.field("master_sync_perc", percent);
        report.field("master_sync_last_io_seconds_ago", seconds(following.heard));
    }
    if !is_up {
        report.field("master_link_down_since_seconds", seconds(following.since));
        if let Some(error) = &following.error {
            report.field("master_link_last_error", error.replace(['\r', '\n'], " "));
        }
    }
    report.field("slave_priority", settings.priority);
    report.field("slave_read_only", u8::from(settings.read_only));
    report.field("replica_announced", u8::from(settings.is_announced));
}

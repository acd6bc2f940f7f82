//! What INFO's section Replication says of the replicas of this server.

use super::report::Report;
use crate::commands::Context;
use crate::keyspace::now_ms;
use crate::state::replication::Place;

/// The fields of replicas and of the stream that they follow. A replica, which is at `place`, shows its master's history.
pub(super) fn replicas(ctx: &Context<'_>, place: Option<Place>, report: &mut Report) {
    let feed = &ctx.server.feed;
    let (now, replicas) = (now_ms(), feed.replicas());
    let settings = ctx.server.config.settings();
    report.field("connected_slaves", replicas.len());
    let (least, lag_max) = (settings.feed.replicas_min, settings.feed.lag_max);
    if least > 0 && !lag_max.is_zero() {
        let lag_max = i64::try_from(lag_max.as_millis()).unwrap_or(i64::MAX);
        report.field("min_slaves_good_slaves", feed.near(lag_max, now));
    }
    for (n, replica) in replicas.iter().enumerate() {
        let lag = if replica.is_online() {
            replica.silence_ms(now) / 1000
        } else {
            0
        };
        let line = format!(
            "ip={},port={},state={},offset={},lag={lag}",
            replica.ip(),
            replica.announced.port,
            replica.phase().name(),
            replica.acknowledged(false),
        );
        report.field(format!("slave{n}"), line);
    }
    let stream = feed.state();
    report.field("master_failover_state", ctx.server.failover.word());
    match &place {
        Some(place) => report.field("master_replid", place.id.as_str()),
        None => report.field("master_replid", &stream.id),
    }
    report.field("master_replid2", &stream.former_id);
    let offset = place.map_or(stream.end, |place| place.offset);
    report.field("master_repl_offset", offset);
    report.field("second_repl_offset", stream.former_end);
    report.field("repl_backlog_active", u8::from(stream.keeps));
    let size = if stream.keeps {
        settings.feed.backlog_bytes
    } else {
        0
    };
    report.field("repl_backlog_size", size);
    report.field("repl_backlog_first_byte_offset", stream.first_byte);
    report.field("repl_backlog_histlen", stream.kept_bytes);
}

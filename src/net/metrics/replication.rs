//! The metrics of replication: of the link to a master, and of the replicas of this server.

use std::sync::atomic::Ordering;

use super::family::{Families, number};
use crate::keyspace::now_ms;
use crate::state::Server;
use crate::state::replication::Link;

/// The metrics of both sides.
pub(super) fn replication(families: &mut Families, server: &Server) {
    link(families, server);
    replicas(families, server);
}

fn link(families: &mut Families, server: &Server) {
    let following = server.replication.following();
    families.gauge(
        "replica",
        "Whether the server follows a master.",
        f64::from(u8::from(following.is_some())),
    );
    if let Some(following) = following {
        let is_up = following.link == Link::Up;
        families.gauge(
            "master_link_up",
            "Whether the link to the master is up.",
            f64::from(u8::from(is_up)),
        );
        families.gauge(
            "master_heard_seconds",
            "How long ago the master was heard.",
            following.heard.elapsed().as_secs_f64(),
        );
        let offset = following.place.map_or(0, |place| place.offset);
        families.gauge(
            "replica_offset_bytes",
            "How far the replica's data is in the master's stream.",
            number(offset),
        );
    }
    let figures = &server.replication.figures;
    for (name, help, figure) in [
        (
            "full_syncs_total",
            "Data sets of a master that were taken as a whole.",
            &figures.full_syncs,
        ),
        (
            "partial_syncs_total",
            "Links to a master that went on from the replica's place.",
            &figures.partial_syncs,
        ),
        (
            "replication_errors_total",
            "Commands that succeeded on the master and failed here.",
            &figures.errors,
        ),
    ] {
        families.counter(name, help, number(figure.load(Ordering::Relaxed)));
    }
}

fn replicas(families: &mut Families, server: &Server) {
    let feed = &server.feed;
    let (replicas, now, stream) = (feed.replicas(), now_ms(), feed.state());
    let online: Vec<_> = replicas.iter().filter(|one| one.is_online()).collect();
    families.gauge(
        "connected_replicas",
        "Replicas of this server, also those that get their copy.",
        number(replicas.len() as u64),
    );
    let figures: Vec<(String, f64, f64)> = online
        .iter()
        .map(|replica| {
            let name = format!("{}:{}", replica.ip(), replica.announced.port);
            let behind = stream.end.saturating_sub(replica.acknowledged(false));
            let silent = u64::try_from(replica.silence_ms(now)).unwrap_or(0);
            #[allow(clippy::cast_precision_loss)] // Seconds of a link's life.
            let silent = silent as f64 / 1000.0;
            (name, number(behind), silent)
        })
        .collect();
    for (name, help, which) in [
        (
            "replica_lag_bytes",
            "How much of the stream a replica has not told to have.",
            0,
        ),
        (
            "replica_silence_seconds",
            "How long ago a replica told how much it has.",
            1,
        ),
    ] {
        let labelled: Vec<_> = figures
            .iter()
            .map(|(replica, bytes, seconds)| {
                let value = if which == 0 { *bytes } else { *seconds };
                ([("replica", replica.as_str())], value)
            })
            .collect();
        families.gauges(name, help, &labelled);
    }
    families.gauge(
        "replication_offset_bytes",
        "The end of the stream that replicas follow.",
        number(stream.end),
    );
    families.gauge(
        "backlog_bytes",
        "How much of the stream is kept for replicas that were away.",
        number(stream.kept_bytes as u64),
    );
    families.gauge(
        "backlog_outlives_crash",
        "Whether the backlog lies in a file beside the pool too.",
        f64::from(u8::from(feed.is_kept())),
    );
    families.gauge(
        "failover_in_progress",
        "Whether the server hands over to a replica, so that writes wait.",
        f64::from(u8::from(server.failover.is_on())),
    );
    let figures = &feed.figures;
    for (name, help, figure) in [
        (
            "replica_copies_total",
            "Copies of the data that were begun for replicas.",
            &figures.full,
        ),
        (
            "replica_resumes_total",
            "Replicas that went on from their place.",
            &figures.partial,
        ),
        (
            "replica_resumes_refused_total",
            "Replicas that could not go on from their place.",
            &figures.partial_refused,
        ),
        (
            "replica_output_bytes_total",
            "Bytes of the stream that replicas were sent.",
            &figures.output_bytes,
        ),
    ] {
        families.counter(name, help, number(figure.load(Ordering::Relaxed)));
    }
}

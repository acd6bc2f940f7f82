//! The metrics of backups. Those of the last one are absent until one has ended.

use std::time::Duration;

use prometheus::proto::MetricType;

use super::family::{Families, number};
use crate::state::{BackupFigures, Server};

pub(super) fn backups(families: &mut Families, server: &Server) {
    let BackupFigures {
        progress,
        last,
        done,
        failed,
    } = server.backups.figures();
    let by_result: [(&[(&str, &str)], f64); 2] = [
        (&[("result", "ok")], number(done)),
        (&[("result", "err")], number(failed)),
    ];
    families.add(
        "backups_total",
        "Backups that ended since the start of the process, by how.",
        MetricType::COUNTER,
        by_result,
    );
    families.gauge(
        "backup_in_progress",
        "1 while a backup is under way.",
        f64::from(u8::from(progress.is_some())),
    );
    let Some(last) = last else { return };
    families.gauge(
        "backup_last_success",
        "1 if the last backup made a copy, 0 if it failed.",
        f64::from(u8::from(last.error.is_none())),
    );
    families.gauge(
        "backup_last_end_time_seconds",
        "When the last backup ended, in seconds since the Unix epoch.",
        number(last.ended_at),
    );
    families.gauge(
        "backup_last_duration_seconds",
        "How long the last backup took.",
        last.took.as_secs_f64(),
    );
    families.gauge(
        "backup_last_bytes",
        "Bytes of records that the last backup copied.",
        number(last.bytes),
    );
    families.gauge(
        "backup_last_hold_seconds",
        "For how long commits waited while the last backup noted its moment.",
        Duration::from_micros(last.hold_micros).as_secs_f64(),
    );
}

//! The sections on what commands did: how often, with which errors, how long.

#![allow(clippy::unnecessary_wraps)] // Sections have one shape, also those that cannot fail.

use super::report::Report;
use crate::catalog::table;
use crate::commands::{CommandError, Context};

type Written = Result<(), CommandError>;

#[allow(clippy::cast_precision_loss)] // Two decimals are shown.
pub(super) fn commandstats(ctx: &Context<'_>, report: &mut Report) -> Written {
    let sums = ctx.server.stats.snapshot();
    for (command, stats) in table().all().iter().zip(&sums.commands) {
        if stats.calls + stats.rejected == 0 {
            continue;
        }
        let micros = stats.nanos / 1000;
        let mean = if stats.calls == 0 {
            0.0
        } else {
            stats.nanos as f64 / 1000.0 / stats.calls as f64
        };
        report.field(
            format_args!("cmdstat_{}", command.full_name),
            format_args!(
                "calls={},usec={micros},usec_per_call={mean:.2},rejected_calls={},failed_calls={}",
                stats.calls, stats.rejected, stats.failed
            ),
        );
    }
    Ok(())
}

pub(super) fn errorstats(ctx: &Context<'_>, report: &mut Report) -> Written {
    for (code, count) in ctx.server.stats.errors() {
        // A client can choose the code with DEBUG ERROR. It must not look like another field.
        let code = code.replace([':', '\r', '\n'], "_");
        report.field(
            format_args!("errorstat_{code}"),
            format_args!("count={count}"),
        );
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // Three decimals are shown.
pub(super) fn latencystats(ctx: &Context<'_>, report: &mut Report) -> Written {
    let settings = ctx.server.config.settings();
    if !settings.latency_tracking {
        return Ok(());
    }
    let percentiles = &settings.latency_tracking_info_percentiles;
    for command in table().all() {
        let Some(durations) = ctx.server.stats.durations(command.number) else {
            continue;
        };
        let shares: Vec<String> = percentiles
            .iter()
            .map(|&percent| {
                let micros = durations.percentile(percent) as f64 / 1000.0;
                format!("p{percent}={micros:.3}")
            })
            .collect();
        report.field(
            format_args!("latency_percentiles_usec_{}", command.full_name),
            shares.join(","),
        );
    }
    Ok(())
}

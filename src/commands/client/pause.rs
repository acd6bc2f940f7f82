//! CLIENT PAUSE, UNPAUSE and UNBLOCK.

use std::time::Duration;

use super::super::help;
use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, ArgumentKind};
use crate::keyspace::now_ms;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::state::Paused;

pub(super) const PAUSE_ARGUMENTS: &[Argument] = &[
    Argument::new("timeout", ArgumentKind::Integer),
    Argument::new(
        "mode",
        ArgumentKind::OneOf(&[
            Argument::token("write", "WRITE"),
            Argument::token("all", "ALL"),
        ]),
    )
    .optional()
    .since("6.2.0"),
];

pub(super) const UNBLOCK_ARGUMENTS: &[Argument] = &[
    Argument::new("client-id", ArgumentKind::Integer),
    Argument::new(
        "unblock-type",
        ArgumentKind::OneOf(&[
            Argument::token("timeout", "TIMEOUT"),
            Argument::token("error", "ERROR"),
        ]),
    )
    .optional(),
];

pub(super) fn pause(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let paused = match args.get(3) {
        _ if args.len() > 4 => return Err(help::wrong_words(args, "CLIENT")),
        None => Paused::All,
        Some(mode) if mode.eq_ignore_ascii_case(b"all") => Paused::All,
        Some(mode) if mode.eq_ignore_ascii_case(b"write") => Paused::Writes,
        Some(_) => {
            return Err(CommandError::text(
                "ERR CLIENT PAUSE mode must be WRITE or ALL",
            ));
        }
    };
    let ms = parse_i64(&args[2]).ok_or(CommandError::text(
        "ERR timeout is not an integer or out of range",
    ))?;
    let ms = u64::try_from(ms).map_err(|_| CommandError::text("ERR timeout is negative"))?;
    let until = i64::try_from(ms)
        .ok()
        .and_then(|ms| now_ms().checked_add(ms));
    until.ok_or(CommandError::text("ERR timeout is out of range"))?;
    let pause = &ctx.server.pause;
    pause.begin(paused, Duration::from_millis(ms));
    // Nothing is to change meanwhile, by time either.
    let rest = pause.rest().unwrap_or_default().as_millis();
    let rest = i64::try_from(rest).unwrap_or(i64::MAX);
    ctx.keyspace.hold_expiry(now_ms().saturating_add(rest));
    Ok(Reply::Ok.into())
}

pub(super) fn unpause(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.server.pause.end();
    ctx.keyspace.hold_expiry(0);
    Ok(Reply::Ok.into())
}

/// Who waits for the end of a pause is not set free.
pub(super) fn unblock(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 4 {
        return Err(help::wrong_words(args, "CLIENT"));
    }
    let known = |reason: &[u8]| {
        reason.eq_ignore_ascii_case(b"timeout") || reason.eq_ignore_ascii_case(b"error")
    };
    if !args.get(3).is_none_or(known) {
        return Err(CommandError::text(
            "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
        ));
    }
    let id = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    let client = u64::try_from(id)
        .ok()
        .and_then(|id| ctx.server.clients.get(id));
    let blocked = client.and_then(|client| client.blocked.lock().clone());
    let with_error = args
        .get(3)
        .is_some_and(|reason| reason.eq_ignore_ascii_case(b"error"));
    let set_free = blocked.is_some_and(|blocked| blocked.set_free(with_error));
    Ok(Reply::Integer(set_free.into()).into())
}

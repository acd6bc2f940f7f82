//! CLIENT PAUSE, UNPAUSE and UNBLOCK.

use std::time::Duration;

use super::{ADMIN, CommandError, CommandResult, Context, sub};
use crate::catalog::spec::{Argument, ArgumentKind, Arity};
use crate::commands::help;
use crate::commands::row::Row;
use crate::keyspace::now_ms;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::state::Paused;

const PAUSED: &[Argument] = &[
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

const UNBLOCKED: &[Argument] = &[
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

pub(super) const PAUSE: Row = sub(
    "pause",
    Arity::AtLeast(3),
    ADMIN,
    "3.0.0",
    "Has commands wait for a time: all, or those that write.",
    PAUSED,
    pause,
)
.history(&[(
    "6.2.0",
    "`CLIENT PAUSE WRITE` mode added along with the `mode` option.",
)]);

pub(super) const UNPAUSE: Row = sub(
    "unpause",
    Arity::Exactly(2),
    ADMIN,
    "6.2.0",
    "Ends the wait of PAUSE.",
    &[],
    unpause,
)
.complexity("O(N) Where N is the number of paused clients");

pub(super) const UNBLOCK: Row = sub(
    "unblock",
    Arity::AtLeast(3),
    ADMIN,
    "5.0.0",
    "Ends the wait of another connection's blocking command.",
    UNBLOCKED,
    unblock,
)
.complexity("O(log N) where N is the number of client connections");

fn pause(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let paused = match args.get(3) {
        _ if args.len() > 4 => return Err(help::wrong_arguments(args, "CLIENT")),
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
    // Nothing may change meanwhile, not even by expiry.
    let rest = pause.rest().unwrap_or_default().as_millis();
    let rest = i64::try_from(rest).unwrap_or(i64::MAX);
    ctx.keyspace.expiry().hold(now_ms().saturating_add(rest));
    Ok(Reply::Ok.into())
}

fn unpause(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.server.pause.end();
    ctx.keyspace.expiry().hold(0);
    Ok(Reply::Ok.into())
}

/// A client that waits for the end of a pause stays blocked.
fn unblock(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 4 {
        return Err(help::wrong_arguments(args, "CLIENT"));
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

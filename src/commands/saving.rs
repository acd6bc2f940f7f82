//! SAVE and its like. This server writes no RDB and no append-only file: every acknowledged write is in the pool
//! already. They answer errors, so that a script that backs up such a file fails instead of copying none, or an old
//! one.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, Arity, Categories, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::protocol::{Args, Reply};

const ADMIN: Flags = Flags::ADMIN
    .union(Flags::NOSCRIPT)
    .union(Flags::NO_ASYNC_LOADING);

const fn row(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    summary: &'static str,
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(flags)
        .group(Group::Server, "1.0.0")
        .summary(summary)
        .complexity("O(1)")
}

pub(super) static COMMANDS: &[Row] = &[
    row(
        "save",
        Arity::Exactly(1),
        ADMIN.union(Flags::NO_MULTI),
        "Answers an error: no RDB file is written, every acknowledged write \
             is in the pool already.",
        save,
    ),
    row(
        "bgsave",
        Arity::AtLeast(1),
        ADMIN,
        "Answers the same error as SAVE.",
        bgsave,
    )
    .arguments(&[Argument::token("schedule", "SCHEDULE")
        .optional()
        .since("3.2.2")])
    .history(&[("3.2.2", "Added the `SCHEDULE` option.")]),
    row(
        "bgrewriteaof",
        Arity::Exactly(1),
        ADMIN,
        "Answers an error: there is no append-only file, every acknowledged \
             write is in the pool already.",
        bgrewriteaof,
    ),
    row(
        "lastsave",
        Arity::Exactly(1),
        Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        "Answers when the server started: it has saved no RDB file since.",
        lastsave,
    )
    .categories(Categories::ADMIN.union(Categories::DANGEROUS))
    .tips(&["nondeterministic_output"]),
];

/// Why there is no file, and what holds instead.
fn refusal(ctx: &Context<'_>, missing: &str) -> CommandError {
    let instead = if ctx.server.durability.process {
        "every acknowledged write is in the pool already, and there is \
             nothing to back up but the pool"
    } else {
        "its engine keeps data in the process's memory only"
    };
    CommandError::Text(format!("ERR this server {missing}: {instead}").into())
}

const NO_RDB: &str = "writes no RDB file";
const NO_AOF: &str = "has no append-only file to rewrite";

fn save(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Err(refusal(ctx, NO_RDB))
}

fn bgsave(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut rest = args.from(1);
    if args.len() > 2 || !rest.all(|argument| argument.eq_ignore_ascii_case(b"schedule")) {
        return Err(CommandError::Syntax);
    }
    // Some scripts look at INFO alone to learn the result.
    let stats = &ctx.server.stats;
    stats.bgsave_refused.store(true, Ordering::Relaxed);
    Err(refusal(ctx, NO_RDB))
}

fn bgrewriteaof(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let stats = &ctx.server.stats;
    stats.bgrewriteaof_refused.store(true, Ordering::Relaxed);
    Err(refusal(ctx, NO_AOF))
}

/// The server's start and never later, as in a Redis that has saved nothing: scripts wait until it rises.
fn lastsave(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let started = ctx.server.started_at.duration_since(UNIX_EPOCH);
    let seconds = started.unwrap_or_default().as_secs();
    Ok(Reply::Integer(i64::try_from(seconds).unwrap_or(i64::MAX)).into())
}

//! SAVE and its like: RDB files, as a way out of this server and for tools that take such files. They keep nothing that the
//! pool does not keep; see [`crate::state::Saves`]. There is no append-only file, and BGREWRITEAOF answers an error, so that a
//! script that backs up such a file fails instead of copying none, or an old one.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use std::sync::atomic::Ordering;

use super::{CommandError, CommandResult, Context, copy_value};
use crate::catalog::spec::{Argument, Arity, Categories, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::protocol::{Args, Reply};
use crate::state::{SaveError, SaveRunning};

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
        ADMIN
            .union(Flags::NO_MULTI)
            .union(Flags::SLOW)
            .union(Flags::ALONE),
        "Writes all databases to an RDB file. All clients wait.",
        save,
    )
    .complexity("O(N) where N is the total number of keys in all databases"),
    row(
        "bgsave",
        Arity::AtLeast(1),
        ADMIN,
        "Writes all databases to an RDB file in the background.",
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
        "Answers when the last RDB file was written, or when the server started.",
        lastsave,
    )
    .categories(Categories::ADMIN.union(Categories::DANGEROUS))
    .tips(&["nondeterministic_output"]),
];

fn save(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let server = ctx.server;
    match server.saves.save(server, ctx.keyspace, copy_value) {
        Ok(()) => Ok(Reply::Ok.into()),
        Err(SaveError::Running(running)) => Err(running.into()),
        // Redis's error has no text.
        Err(error) => Err(CommandError::Text(format!("ERR {error}").into())),
    }
}

fn bgsave(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut rest = args.from(1);
    // SCHEDULE matters in Redis while it rewrites its append-only file.
    if args.len() > 2 || !rest.all(|argument| argument.eq_ignore_ascii_case(b"schedule")) {
        return Err(CommandError::Syntax);
    }
    ctx.server.saves.begin()?;
    Ok(Reply::Simple("Background saving started").into())
}

fn bgrewriteaof(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    // Some scripts look at INFO alone to learn the result.
    let stats = &ctx.server.stats;
    stats.bgrewriteaof_refused.store(true, Ordering::Relaxed);
    let instead = if ctx.server.durability.process {
        "every acknowledged write is in the pool already, and there is \
             nothing to back up but the pool"
    } else {
        "its engine keeps data in the process's memory only"
    };
    Err(CommandError::Text(
        format!("ERR this server has no append-only file to rewrite: {instead}").into(),
    ))
}

/// Before the first file the server's start, as in Redis: scripts wait until it rises.
fn lastsave(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let seconds = ctx.server.saves.figures().saved_at;
    Ok(Reply::Integer(i64::try_from(seconds).unwrap_or(i64::MAX)).into())
}

impl From<SaveRunning> for CommandError {
    fn from(running: SaveRunning) -> Self {
        CommandError::Text(running.to_string().into())
    }
}

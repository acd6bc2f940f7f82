//! SAVE and its like. Every acknowledged write is in the pool already: there is nothing to save, and what asks for it
//! is told that it is done.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use super::spec::{Argument, Arity, Categories, CommandSpec, Flags, Group, Handler, Notes};
use super::{CommandError, CommandResult, Context};
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
) -> CommandSpec {
    CommandSpec {
        name,
        arity,
        flags,
        categories: Categories::NONE,
        keys: &[],
        group: Group::Server,
        since: "1.0.0",
        summary,
        complexity: "O(1)",
        arguments: &[],
        notes: Notes::NONE,
        subcommands: &[],
        handler,
    }
}

pub(super) static COMMANDS: &[CommandSpec] = &[
    row(
        "save",
        Arity::Exactly(1),
        ADMIN.union(Flags::NO_MULTI),
        "Makes everything written so far durable, which it is when it is acknowledged.",
        save,
    ),
    CommandSpec {
        arguments: &[Argument::token("schedule", "SCHEDULE")
            .optional()
            .since("3.2.2")],
        ..row(
            "bgsave",
            Arity::AtLeast(1),
            ADMIN,
            "Does what SAVE does.",
            bgsave,
        )
    }
    .history(&[("3.2.2", "Added the `SCHEDULE` option.")]),
    row(
        "bgrewriteaof",
        Arity::Exactly(1),
        ADMIN,
        "Does what SAVE does: there is no log to rewrite.",
        bgrewriteaof,
    ),
    CommandSpec {
        categories: Categories::ADMIN.union(Categories::DANGEROUS),
        ..row(
            "lastsave",
            Arity::Exactly(1),
            Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
            "Answers up to when everything is durable: now.",
            lastsave,
        )
    }
    .tips(&["nondeterministic_output"]),
];

/// Its reply, like every other one, leaves after all that was written before it is durable.
fn save(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Reply::Ok.into())
}

fn bgsave(_: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut words = args.from(1);
    if args.len() > 2 || !words.all(|word| word.eq_ignore_ascii_case(b"schedule")) {
        return Err(CommandError::Syntax);
    }
    Ok(Reply::Simple("Background saving started").into())
}

fn bgrewriteaof(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Reply::Simple("Background append only file rewriting started").into())
}

fn lastsave(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Reply::Integer(ctx.access.now / 1000).into())
}

//! COMMANDLOG of Valkey: the slow log, and those of large requests and large replies.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use super::slowlog::{entries, parse_count};
use super::{CommandError, CommandResult, Context, help};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::protocol::{Args, Reply};
use crate::state::Slowlog;

const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);

const TYPE: Argument = Argument::new(
    "type",
    ArgumentKind::OneOf(&[
        Argument::token("slow", "SLOW"),
        Argument::token("large-request", "LARGE-REQUEST"),
        Argument::token("large-reply", "LARGE-REPLY"),
    ]),
);

pub(super) static COMMANDS: &[Row] = &[row(
    "commandlog",
    Arity::AtLeast(2),
    Flags::NONE,
    "Commands on the logs of slow and of large calls.",
    help,
)
.complexity("Depends on subcommand.")
.subcommands(SUBCOMMANDS)];

const fn row(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    summary: &'static str,
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(flags)
        .group(Group::Server, "8.1.0")
        .summary(summary)
        .complexity("O(1)")
}

static SUBCOMMANDS: &[Row] = &[
    row(
        "get",
        Arity::Exactly(4),
        Flags::ADMIN.union(ANYTIME),
        "Answers the newest entries of a log.",
        get,
    )
    .complexity("O(N) where N is the number of entries returned")
    .arguments(&[Argument::new("count", ArgumentKind::Integer), TYPE])
    .tips(&["request_policy:all_nodes", "nondeterministic_output"]),
    row(
        "len",
        Arity::Exactly(3),
        Flags::ADMIN.union(ANYTIME),
        "Answers how many entries a log has.",
        len,
    )
    .arguments(&[TYPE])
    .tips(&[
        "request_policy:all_nodes",
        "response_policy:agg_sum",
        "nondeterministic_output",
    ]),
    row(
        "reset",
        Arity::Exactly(3),
        Flags::ADMIN.union(ANYTIME),
        "Forgets the entries of a log.",
        reset,
    )
    .complexity("O(N) where N is the number of entries in the log")
    .arguments(&[TYPE])
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    row(
        "help",
        Arity::Exactly(2),
        ANYTIME,
        "Lists the subcommands.",
        help,
    ),
];

fn help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    const LINES: &[&str] = &[
        "GET <count> <type>",
        "    The newest <count> entries of a log (-1 for all): id, time in seconds, what was",
        "    logged (microseconds, or bytes of the request or reply), words, client's address,",
        "    client's name.",
        "    * SLOW",
        "      Commands that took long; the log that SLOWLOG shows.",
        "    * LARGE-REQUEST",
        "      Commands with large requests.",
        "    * LARGE-REPLY",
        "      Commands with large replies.",
        "LEN <type>",
        "    How many entries a log has.",
        "RESET <type>",
        "    Forget a log's entries.",
    ];
    help::reply(ctx, "COMMANDLOG", LINES)
}

/// The log of a type.
fn log_of<'s>(ctx: &Context<'s>, argument: &[u8]) -> Result<&'s Slowlog, CommandError> {
    let is = |name: &str| argument.eq_ignore_ascii_case(name.as_bytes());
    if is("slow") {
        Ok(&ctx.server.slowlog)
    } else if is("large-request") {
        Ok(&ctx.server.large_requests)
    } else if is("large-reply") {
        Ok(&ctx.server.large_replies)
    } else {
        Err(CommandError::text(
            "ERR type should be one of the following: slow, large-request, large-reply",
        ))
    }
}

fn get(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let count = parse_count(&args[2])?;
    let log = log_of(ctx, &args[3])?;
    entries(ctx, args, b"commandlog|get", log, count)
}

fn len(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    Ok(Reply::count(log_of(ctx, &args[2])?.len()).into())
}

fn reset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    log_of(ctx, &args[2])?.reset();
    Ok(Reply::Ok.into())
}

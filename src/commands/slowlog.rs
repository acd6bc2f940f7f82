//! SLOWLOG: the commands that took longest lately.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use super::{CommandError, CommandResult, Context, help};
use crate::acl;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::state::Slowlog;

const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);

/// Entries that SLOWLOG GET answers without a number. Redis's number.
const COUNT: usize = 10;

pub(super) static COMMANDS: &[Row] = &[row(
    "slowlog",
    Arity::AtLeast(2),
    Flags::NONE,
    "Commands on the slow log.",
    help,
)
.since("2.2.12")
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
        .group(Group::Server, "2.2.12")
        .summary(summary)
        .complexity("O(1)")
}

static SUBCOMMANDS: &[Row] = &[
    row(
        "get",
        Arity::AtLeast(2),
        Flags::ADMIN.union(ANYTIME),
        "Answers the newest entries.",
        get,
    )
    .complexity("O(N) where N is the number of entries returned")
    .arguments(&[Argument::new("count", ArgumentKind::Integer).optional()])
    .tips(&["request_policy:all_nodes", "nondeterministic_output"])
    .history(&[(
        "4.0.0",
        "Added client IP address, port and name to the reply.",
    )]),
    row(
        "len",
        Arity::Exactly(2),
        Flags::ADMIN.union(ANYTIME),
        "Answers how many entries there are.",
        len,
    )
    .tips(&[
        "request_policy:all_nodes",
        "response_policy:agg_sum",
        "nondeterministic_output",
    ]),
    row(
        "reset",
        Arity::Exactly(2),
        Flags::ADMIN.union(ANYTIME),
        "Forgets all entries.",
        reset,
    )
    .complexity("O(N) where N is the number of entries in the slowlog")
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    row(
        "help",
        Arity::Exactly(2),
        ANYTIME,
        "Lists the subcommands.",
        help,
    )
    .since("6.2.0"),
];

fn help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    const LINES: &[&str] = &[
        "GET [<count>]",
        "    The newest <count> entries (default 10, -1 for all): id, time in seconds,",
        "    duration in microseconds, words, client's address, client's name.",
        "LEN",
        "    How many entries there are.",
        "RESET",
        "    Forget all entries.",
    ];
    help::reply(ctx, "SLOWLOG", LINES)
}

fn get(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 3 {
        return Err(help::wrong_arguments(args, "SLOWLOG"));
    }
    let count = match args.get(2) {
        None => COUNT,
        Some(count) => parse_count(count)?,
    };
    entries(ctx, args, b"slowlog|get", &ctx.server.slowlog, count)
}

/// How many entries are wanted; -1 says all.
pub(super) fn parse_count(argument: &[u8]) -> Result<usize, CommandError> {
    match parse_i64(argument) {
        Some(-1) => Ok(usize::MAX),
        count => count
            .and_then(|count| usize::try_from(count).ok())
            .ok_or(CommandError::text(
                "ERR count should be greater than or equal to -1",
            )),
    }
}

/// Answers the newest entries of a log, as the user of the call may see them.
pub(super) fn entries(
    ctx: &Context<'_>,
    args: Args<'_>,
    name: &[u8],
    log: &Slowlog,
    count: usize,
) -> CommandResult {
    let number = |n: u64| Reply::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let calls = log.newest(count).into_iter();
    let rules = ctx.session.identity.rules();
    let command = acl::command(name).expect("there is such a command");
    let reach = rules.reach(command, args.get(1));
    let entries = calls.map(|call| {
        let call = call.seen_by(&reach);
        Reply::Array(vec![
            number(call.id),
            Reply::Integer(call.at_s),
            number(call.amount),
            Reply::Array(call.arguments.into_iter().map(Reply::Bulk).collect()),
            Reply::bulk(call.addr),
            Reply::bulk(call.name),
        ])
    });
    Ok(Reply::Array(entries.collect()).into())
}

fn len(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Reply::count(ctx.server.slowlog.len()).into())
}

fn reset(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.server.slowlog.reset();
    Ok(Reply::Ok.into())
}

//! LATENCY: events that took long, and how long each command's calls take.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

mod doctor;
mod graph;

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::{Command, CommandError, CommandResult, Context, help, table};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::error::shown;
use crate::protocol::{Args, Reply};

const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);
const ADMIN: Flags = ANYTIME.union(Flags::ADMIN).union(Flags::NOSCRIPT);

const EVENT: Argument = Argument::new("event", ArgumentKind::String);

pub(super) static COMMANDS: &[Row] = &[row(
    "latency",
    Arity::AtLeast(2),
    Flags::NONE,
    "Commands on latencies.",
    &[],
    help,
)
.complexity("Depends on subcommand.")
.subcommands(SUBCOMMANDS)];

const fn row(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    summary: &'static str,
    arguments: &'static [Argument],
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(flags)
        .group(Group::Server, "2.8.13")
        .summary(summary)
        .complexity("O(1)")
        .arguments(arguments)
}

static SUBCOMMANDS: &[Row] = &[
    row(
        "latest",
        Arity::Exactly(2),
        ADMIN,
        "Answers the newest sample of each event.",
        &[],
        latest,
    )
    .tips(&[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ]),
    row(
        "history",
        Arity::Exactly(3),
        ADMIN,
        "Answers the samples of an event.",
        &[EVENT],
        history,
    )
    .tips(&[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ]),
    row(
        "reset",
        Arity::AtLeast(2),
        ADMIN,
        "Forgets the samples of events, or of all.",
        &[EVENT.optional().multiple()],
        reset,
    )
    .tips(&["request_policy:all_nodes", "response_policy:agg_sum"]),
    row(
        "graph",
        Arity::Exactly(3),
        ADMIN,
        "Draws the samples of an event.",
        &[EVENT],
        graph,
    )
    .tips(&[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ]),
    row(
        "doctor",
        Arity::Exactly(2),
        ADMIN,
        "Says in words what took long, and what may help.",
        &[],
        doctor,
    )
    .tips(&[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ]),
    row(
        "histogram",
        Arity::AtLeast(2),
        ADMIN,
        "Answers how long the calls of commands took.",
        &[Argument::new("command", ArgumentKind::String)
            .optional()
            .multiple()],
        histogram,
    )
    .since("7.0.0")
    .complexity(
        "O(N) where N is the number of commands with latency information \
             being retrieved.",
    )
    .tips(&[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ]),
    row(
        "help",
        Arity::Exactly(2),
        ANYTIME,
        "Lists the subcommands.",
        &[],
        help,
    ),
];

fn help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    const LINES: &[&str] = &[
        "DOCTOR",
        "    What took long, in words, and what may help.",
        "GRAPH <event>",
        "    A drawing of the event's samples.",
        "HISTOGRAM [<command> ...]",
        "    How many calls took up to 1, 2, 4, ... microseconds, for each command.",
        "HISTORY <event>",
        "    The event's samples: time in seconds, milliseconds.",
        "LATEST",
        "    Of each event: name, time of the newest sample, its milliseconds, the most ever.",
        "RESET [<event> ...]",
        "    Forget the samples of these events, or of all.",
    ];
    help::reply(ctx, "LATENCY", LINES)
}

fn number(n: u64) -> Reply {
    Reply::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

fn latest(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let events = ctx.keyspace.latency().all().into_iter();
    let events = events.filter_map(|(name, event)| {
        let last = event.samples.back()?;
        Some(Reply::Array(vec![
            Reply::text(name),
            Reply::Integer(last.at_s),
            number(last.ms),
            number(event.max_ms),
        ]))
    });
    Ok(Reply::Array(events.collect()).into())
}

fn history(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let event = ctx.keyspace.latency().get(&args[2]);
    let samples = event.into_iter().flat_map(|(_, event)| event.samples);
    let samples =
        samples.map(|sample| Reply::Array(vec![Reply::Integer(sample.at_s), number(sample.ms)]));
    Ok(Reply::Array(samples.collect()).into())
}

fn reset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let latency = ctx.keyspace.latency();
    let forgotten = if args.len() == 2 {
        latency.reset(None)
    } else {
        args.from(2).map(|event| latency.reset(Some(event))).sum()
    };
    Ok(Reply::count(forgotten).into())
}

fn graph(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let Some((name, event)) = ctx.keyspace.latency().get(&args[2]) else {
        let event = shown(&args[2], usize::MAX);
        let text = format!("ERR No samples available for event '{event}'");
        return Err(CommandError::Text(text.into()));
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    Ok(Reply::Verbatim(Bytes::from(graph::draw(name, &event, now_s))).into())
}

fn doctor(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let settings = ctx.server.config.settings();
    let text = doctor::report(&ctx.keyspace.latency().all(), &settings);
    Ok(Reply::Verbatim(Bytes::from(text)).into())
}

fn histogram(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let all = table().all();
    let mut commands: Vec<&Command> = Vec::new();
    if args.len() == 2 {
        commands.extend(all);
    }
    for argument in args.from(2) {
        if let Some(command) = table().find(argument) {
            commands.extend(&all[command.numbers()]);
        }
    }
    let pairs = commands.into_iter().filter_map(|command| {
        let durations = ctx.server.stats.durations(command.number)?;
        let counts = durations
            .doubling()
            .into_iter()
            .map(|(micros, calls)| (number(micros), number(calls)))
            .collect();
        let fields = vec![
            (Reply::text("calls"), number(durations.calls())),
            (Reply::text("histogram_usec"), Reply::Map(counts)),
        ];
        Some((Reply::text(command.full_name), Reply::Map(fields)))
    });
    Ok(Reply::Map(pairs.collect()).into())
}

//! CONFIG: the directives of a running server.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use bytes::Bytes;

use super::{CommandError, CommandResult, Context, help};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::protocol::{Args, Reply};

const ADMIN: Flags = Flags::ADMIN
    .union(Flags::NOSCRIPT)
    .union(Flags::LOADING)
    .union(Flags::STALE);

pub(super) static COMMANDS: &[Row] = &[Row::new("config", Arity::AtLeast(2), help)
    .group(Group::Server, "2.0.0")
    .summary("Commands on the server's configuration.")
    .complexity("Depends on subcommand.")
    .subcommands(SUBCOMMANDS)];

const fn sub(
    name: &'static str,
    arity: Arity,
    since: &'static str,
    summary: &'static str,
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(ADMIN)
        .group(Group::Server, since)
        .summary(summary)
        .complexity("O(1)")
}

static SUBCOMMANDS: &[Row] = &[
    sub(
        "get",
        Arity::AtLeast(3),
        "2.0.0",
        "Answers the directives that match the patterns.",
        get,
    )
    .complexity("O(N) when N is the number of configuration parameters provided")
    .arguments(&[Argument::new("parameter", ArgumentKind::String).multiple()])
    .history(&[(
        "7.0.0",
        "Added the ability to pass multiple pattern parameters in one call",
    )]),
    sub(
        "set",
        Arity::AtLeast(4),
        "2.0.0",
        "Changes directives, all of them or none.",
        set,
    )
    .complexity("O(N) when N is the number of configuration parameters provided")
    .arguments(&[Argument::new(
        "data",
        ArgumentKind::Block(&[
            Argument::new("parameter", ArgumentKind::String),
            Argument::new("value", ArgumentKind::String),
        ]),
    )
    .multiple()])
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
    .history(&[(
        "7.0.0",
        "Added the ability to set multiple parameters in one call.",
    )]),
    sub(
        "resetstat",
        Arity::Exactly(2),
        "2.0.0",
        "Sets the counters that INFO shows to zero.",
        resetstat,
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    sub(
        "rewrite",
        Arity::Exactly(2),
        "2.8.0",
        "Writes the directives as they are into the configuration file.",
        rewrite,
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    sub(
        "help",
        Arity::Exactly(2),
        "5.0.0",
        "Lists the subcommands.",
        help,
    )
    .flags(Flags::LOADING.union(Flags::STALE)),
];

fn help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    const LINES: &[&str] = &[
        "GET <pattern> [<pattern> ...]",
        "    The directives that match, and their values.",
        "SET <directive> <value> [<directive> <value> ...]",
        "    Change directives, all of them or none.",
        "RESETSTAT",
        "    Set the counters that INFO shows to zero.",
        "REWRITE",
        "    Write the directives as they are into the configuration file.",
    ];
    help::reply(ctx, "CONFIG", LINES)
}

fn get(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let patterns: Vec<&[u8]> = args.from(2).collect();
    let pairs = ctx.server.config.get(&patterns);
    Ok(Reply::Map(
        pairs
            .into_iter()
            .map(|(name, value)| (Reply::bulk(name), Reply::Bulk(Bytes::from(value))))
            .collect(),
    )
    .into())
}

fn set(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    // The pairs begin after two arguments. With an odd number of arguments a value is missing.
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    let arguments: Vec<&[u8]> = args.from(2).collect();
    let pairs: Vec<(&[u8], &[u8])> = arguments.chunks(2).map(|pair| (pair[0], pair[1])).collect();
    let (server, keyspace) = (ctx.server, ctx.keyspace);
    let local = ctx.session.handle.is_local();
    let set = server.config.set_with(&pairs, local, |settings, changed| {
        // Sets first what may be refused.
        let prepared = server.prepare(settings, changed)?;
        server.take_over(prepared);
        if changed.contains(&"notify-keyspace-events") {
            let letters = &settings.notify_keyspace_events;
            server.notifications.set(letters, keyspace);
        }
        if changed.contains(&"requirepass") {
            let password = settings.requirepass.as_ref().map(|password| &***password);
            server.acl.set_default_password(password);
        }
        keyspace
            .latency()
            .set_threshold(settings.latency_monitor_threshold_ms);
        // Runs under the configuration's lock, so that of two calls the later one counts.
        keyspace.eviction().configure(settings);
        keyspace.limit_forms(settings);
        server.leave_to_master(keyspace, settings);
        Ok(())
    });
    match set {
        Ok(_changed) => Ok(Reply::Ok.into()),
        Err(error) => Err(CommandError::Text(error.to_string().into())),
    }
}

fn resetstat(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.server.stats.reset();
    ctx.server.scripting.reset_figures();
    ctx.server.replication.figures.reset();
    ctx.server.feed.figures.reset();
    ctx.keyspace.reset_stats();
    Ok(Reply::Ok.into())
}

fn rewrite(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    match ctx
        .server
        .config
        .rewrite(&super::acl::for_config(&ctx.server.acl))
    {
        Ok(()) => {
            tracing::info!("configuration file rewritten");
            Ok(Reply::Ok.into())
        }
        Err(error) => Err(CommandError::Text(error.to_string().into())),
    }
}

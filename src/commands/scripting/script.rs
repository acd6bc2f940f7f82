//! SCRIPT: the cache of scripts, and the script that runs.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::commands::{CommandError, CommandResult, Context, help};
use crate::protocol::{Args, Reply};
use crate::state::scripting::{KillRefused, RunKind, Scripts};

/// A subcommand; the parameters are what differs between the rows.
const fn sub(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(flags)
        .categories(Categories::SCRIPTING)
        .group(Group::Scripting, since)
        .summary(summary)
        .complexity("O(1)")
}

const NOSCRIPT: Flags = Flags::NOSCRIPT;

pub(in crate::commands) static COMMANDS: &[Row] = &[Row::new(
    "script",
    Arity::AtLeast(2),
    container,
)
.group(Group::Scripting, "2.6.0")
.summary("Manages scripts.")
.complexity("Depends on subcommand.")
.subcommands(&[
    sub(
        "load",
        Arity::Exactly(3),
        NOSCRIPT.union(Flags::STALE),
        "2.6.0",
        "Caches a script, without running it.",
        load,
    )
    .complexity("O(N) with N being the length in bytes of the script body.")
    .arguments(&[Argument::new("script", ArgumentKind::String)])
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    sub(
        "exists",
        Arity::AtLeast(3),
        NOSCRIPT,
        "2.6.0",
        "Tells which scripts are cached.",
        exists,
    )
    .complexity(
        "O(N) with N being the number of scripts to check (so checking a single script is an O(1) \
                 operation).",
    )
    .arguments(&[Argument::new("sha1", ArgumentKind::String).multiple()])
    .tips(&[
        "request_policy:all_shards",
        "response_policy:agg_logical_and",
    ]),
    sub(
        "flush",
        Arity::AtLeast(2),
        NOSCRIPT,
        "2.6.0",
        "Forgets all cached scripts.",
        flush,
    )
    .complexity("O(N) with N being the number of scripts in cache")
    .arguments(&[Argument::new(
        "flush-type",
        ArgumentKind::OneOf(&[
            Argument::token("async", "ASYNC"),
            Argument::token("sync", "SYNC"),
        ]),
    )
    .optional()
    .since("6.2.0")])
    .history(&[(
        "6.2.0",
        "Added the `ASYNC` and `SYNC` flushing mode modifiers.",
    )])
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    sub(
        "kill",
        Arity::Exactly(2),
        NOSCRIPT.union(Flags::ALLOW_BUSY),
        "2.6.0",
        "Ends the script that runs, unless it has written.",
        kill,
    )
    .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
    sub(
        "debug",
        Arity::Exactly(3),
        NOSCRIPT,
        "3.2.0",
        "Would start the debugger of scripts; there is none.",
        debug,
    )
    .arguments(&[Argument::new(
        "mode",
        ArgumentKind::OneOf(&[
            Argument::token("yes", "YES"),
            Argument::token("sync", "SYNC"),
            Argument::token("no", "NO"),
        ]),
    )]),
    sub(
        "help",
        Arity::Exactly(2),
        Flags::LOADING.union(Flags::STALE),
        "5.0.0",
        "Lists the subcommands.",
        show_help,
    ),
])];

const HELP: &[&str] = &[
    "DEBUG (YES|SYNC|NO)",
    "    Would set the debug mode for subsequent scripts; there is no debugger here.",
    "EXISTS <sha1> [<sha1> ...]",
    "    Return information about the existence of the scripts in the script cache.",
    "FLUSH [ASYNC|SYNC]",
    "    Flush the Lua scripts cache. Very dangerous on replicas.",
    "    When called without the optional mode argument, the behavior is determined",
    "    by the lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the scripts cache.",
    "    * SYNC: Synchronously flush the scripts cache.",
    "KILL",
    "    Kill the currently executing Lua script.",
    "LOAD <script>",
    "    Load a script into the scripts cache without executing it.",
];

fn container(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Err(CommandError::WrongArity("script".into()))
}

fn show_help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    help::reply(ctx, "SCRIPT", HELP)
}

fn load(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let found = ctx
        .server
        .scripting
        .with(|scripts| scripts.load(&args[2], true))?;
    Ok(Reply::bulk(found.name).into())
}

fn exists(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let known = ctx.server.scripting.with(|scripts| {
        let names = args.from(2);
        names
            .map(|name| Reply::Integer(scripts.has(name).into()))
            .collect()
    });
    Ok(Reply::Array(known).into())
}

fn flush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mode = args.get(2);
    let is_mode =
        |word: &[u8]| word.eq_ignore_ascii_case(b"sync") || word.eq_ignore_ascii_case(b"async");
    if args.len() > 3 || !mode.is_none_or(is_mode) {
        return Err(CommandError::text(
            "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
        ));
    }
    // Both modes leave the same behind, and there is no more to free than what the interpreter holds.
    ctx.server.scripting.with(Scripts::flush);
    Ok(Reply::Ok.into())
}

fn debug(_: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mode = args[2].to_ascii_lowercase();
    match mode.as_slice() {
        b"no" => Ok(Reply::Ok.into()),
        b"yes" | b"sync" => Err(CommandError::text(
            "ERR SCRIPT DEBUG is not supported: this server has no debugger of scripts",
        )),
        _ => Err(CommandError::text("ERR Use SCRIPT DEBUG YES/SYNC/NO")),
    }
}

fn kill(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    kill_running(ctx, RunKind::Eval)
}

/// SCRIPT KILL and FUNCTION KILL.
pub(super) fn kill_running(ctx: &mut Context<'_>, kind: RunKind) -> CommandResult {
    match ctx.server.scripting.running.kill(kind) {
        Ok(()) => Ok(Reply::Ok.into()),
        Err(KillRefused::NotBusy) => Err(CommandError::text(
            "NOTBUSY No scripts in execution right now.",
        )),
        Err(KillRefused::Wrote) => Err(CommandError::text(
            "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait \
             the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
        )),
        Err(KillRefused::Other(kind)) => Err(CommandError::text(kind.busy())),
    }
}

//! FUNCTION: the libraries of functions, and the function that runs.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use super::script::kill_running;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::commands::{CommandError, CommandResult, Context, help};
use crate::error::shown;
use crate::glob::matches;
use crate::protocol::{Args, Reply};
use crate::state::scripting::{Change, Functions, Policy, RunKind};

/// A subcommand; the parameters are what differs between the rows.
const fn sub(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    complexity: &'static str,
    summary: &'static str,
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(flags)
        .categories(Categories::SCRIPTING)
        .group(Group::Scripting, "7.0.0")
        .summary(summary)
        .complexity(complexity)
}

/// The name of the engine, as Redis shows it.
const ENGINE: &str = "LUA";

const NOSCRIPT: Flags = Flags::NOSCRIPT;
/// It runs libraries or writes all of them, and no function may run beside it.
const CHANGES: Flags = NOSCRIPT
    .union(Flags::WRITE)
    .union(Flags::SLOW)
    .union(Flags::ALONE);
const ADDS: Flags = CHANGES.union(Flags::DENYOOM);

const ON_ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

pub(in crate::commands) static COMMANDS: &[Row] =
    &[Row::new("function", Arity::AtLeast(2), container)
        .group(Group::Scripting, "7.0.0")
        .summary("Manages libraries of functions.")
        .complexity("Depends on subcommand.")
        .subcommands(&[
            sub(
                "load",
                Arity::AtLeast(3),
                ADDS,
                "O(1) (considering compilation time is redundant)",
                "Loads a library and stores it in the pool.",
                load,
            )
            .arguments(&[
                Argument::token("replace", "REPLACE").optional(),
                Argument::new("function-code", ArgumentKind::String),
            ])
            .tips(ON_ALL_SHARDS),
            sub(
                "delete",
                Arity::Exactly(3),
                CHANGES,
                "O(1)",
                "Removes a library and its functions.",
                delete,
            )
            .arguments(&[Argument::new("library-name", ArgumentKind::String)])
            .tips(ON_ALL_SHARDS),
            sub(
                "flush",
                Arity::AtLeast(2),
                CHANGES,
                "O(N) where N is the number of functions deleted",
                "Removes all libraries.",
                flush,
            )
            .arguments(&[Argument::new(
                "flush-type",
                ArgumentKind::OneOf(&[
                    Argument::token("async", "ASYNC"),
                    Argument::token("sync", "SYNC"),
                ]),
            )
            .optional()])
            .tips(ON_ALL_SHARDS),
            sub(
                "list",
                Arity::AtLeast(2),
                NOSCRIPT,
                "O(N) where N is the number of functions",
                "Lists libraries and their functions.",
                list,
            )
            .arguments(&[
                Argument::new("library-name-pattern", ArgumentKind::String)
                    .with_token("LIBRARYNAME")
                    .optional(),
                Argument::token("withcode", "WITHCODE").optional(),
            ])
            .tips(&["nondeterministic_output_order"]),
            sub(
                "stats",
                Arity::Exactly(2),
                NOSCRIPT.union(Flags::ALLOW_BUSY),
                "O(1)",
                "Tells which function runs, and how many there are.",
                stats,
            )
            .tips(&[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ]),
            sub(
                "kill",
                Arity::Exactly(2),
                NOSCRIPT.union(Flags::ALLOW_BUSY),
                "O(1)",
                "Ends the function that runs, unless it has written.",
                kill,
            )
            .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
            sub(
                "dump",
                Arity::Exactly(2),
                NOSCRIPT,
                "O(N) where N is the number of functions",
                "Answers all libraries in one serialized form.",
                dump,
            ),
            sub(
                "restore",
                Arity::AtLeast(3),
                ADDS,
                "O(N) where N is the number of functions on the payload",
                "Loads the libraries of a serialized form.",
                restore,
            )
            .arguments(&[
                Argument::new("serialized-value", ArgumentKind::String),
                Argument::new(
                    "policy",
                    ArgumentKind::OneOf(&[
                        Argument::token("flush", "FLUSH"),
                        Argument::token("append", "APPEND"),
                        Argument::token("replace", "REPLACE"),
                    ]),
                )
                .optional(),
            ])
            .tips(ON_ALL_SHARDS),
            sub(
                "help",
                Arity::Exactly(2),
                Flags::LOADING.union(Flags::STALE),
                "O(1)",
                "Lists the subcommands.",
                show_help,
            ),
        ])];

const HELP: &[&str] = &[
    "LOAD [REPLACE] <FUNCTION CODE>",
    "    Create a new library with the given library name and code.",
    "DELETE <LIBRARY NAME>",
    "    Delete the given library.",
    "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
    "    Return general information on all the libraries:",
    "    * Library name",
    "    * The engine used to run the Library",
    "    * Library description",
    "    * Functions list",
    "    * Library code (if WITHCODE is given)",
    "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
    "STATS",
    "    Return information about the current function running:",
    "    * Function name",
    "    * Command used to run the function",
    "    * Duration in MS that the function is running",
    "    If no function is running, return nil",
    "    In addition, returns a list of available engines.",
    "KILL",
    "    Kill the current running function.",
    "FLUSH [ASYNC|SYNC]",
    "    Delete all the libraries.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the libraries.",
    "    * SYNC: Synchronously flush the libraries.",
    "DUMP",
    "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
    "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
    "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
    "    control how to handle existing libraries (default APPEND):",
    "    * FLUSH: delete all existing libraries.",
    "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
    "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
    "      libraries with the new libraries (notice that even on this option there is a chance of failure",
    "      in case of functions name collision with another library).",
];

fn container(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Err(CommandError::WrongArity("function".into()))
}

fn show_help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    help::reply(ctx, "FUNCTION", HELP)
}

/// Prepares a change, stores it in the pool and makes it; returns what `prepare` returns beside it.
fn change<R>(
    ctx: &mut Context<'_>,
    prepare: impl FnOnce(&mut Functions) -> Result<(Change, R), CommandError>,
) -> Result<R, CommandError> {
    let mut held = ctx.server.scripting.take();
    let functions = &mut held.get().functions;
    let (change, result) = prepare(functions)?;
    ctx.intends_beside_keys();
    functions.commit(ctx.keyspace, change)?;
    ctx.effect_beside_keys();
    Ok(result)
}

fn load(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (mut replaces, mut at) = (false, 2);
    while at < args.len() - 1 {
        if !args[at].eq_ignore_ascii_case(b"replace") {
            return Err(unknown("ERR Unknown option given: ", &args[at]));
        }
        replaces = true;
        at += 1;
    }
    let name = change(ctx, |functions| {
        let change = functions.load(&args[at], replaces)?;
        let name = change.name();
        Ok((change, name))
    })?;
    Ok(Reply::bulk(name).into())
}

fn delete(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    change(ctx, |functions| {
        let change = functions.delete(&args[2]);
        let change = change.ok_or(CommandError::text("ERR Library not found"))?;
        Ok((change, ()))
    })?;
    Ok(Reply::Ok.into())
}

fn flush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 3 {
        return Err(help::wrong_arguments(args, "FUNCTION"));
    }
    // Both modes leave the same behind, and there is no more to free than what the interpreter holds.
    let is_mode =
        |word: &[u8]| word.eq_ignore_ascii_case(b"sync") || word.eq_ignore_ascii_case(b"async");
    if !args.get(2).is_none_or(is_mode) {
        return Err(CommandError::text(
            "ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
        ));
    }
    change(ctx, |functions| Ok((functions.flush(), ())))?;
    Ok(Reply::Ok.into())
}

fn dump(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let payload = ctx.server.scripting.with_functions(Functions::dump);
    Ok(Reply::bulk(payload).into())
}

fn restore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 4 {
        return Err(help::wrong_arguments(args, "FUNCTION"));
    }
    let policy = match args.get(3).map(<[u8]>::to_ascii_lowercase).as_deref() {
        None | Some(b"append") => Policy::Append,
        Some(b"replace") => Policy::Replace,
        Some(b"flush") => Policy::Flush,
        Some(_) => {
            return Err(CommandError::text(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    change(ctx, |functions| {
        Ok((functions.restore(&args[2], policy)?, ()))
    })?;
    Ok(Reply::Ok.into())
}

fn list(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (mut pattern, mut with_code) = (None, false);
    let mut words = args.from(2);
    while let Some(word) = words.next() {
        if !with_code && word.eq_ignore_ascii_case(b"withcode") {
            with_code = true;
        } else if pattern.is_none() && word.eq_ignore_ascii_case(b"libraryname") {
            let given = words.next();
            pattern = Some(given.ok_or(CommandError::text(
                "ERR library name argument was not given",
            ))?);
        } else {
            return Err(unknown("ERR Unknown argument ", word));
        }
    }
    let libraries = ctx.server.scripting.with_functions(|functions| {
        let libraries = functions.libraries();
        let matching =
            libraries.filter(|library| pattern.is_none_or(|p| matches(p, &library.name, true)));
        matching
            .map(|library| {
                let functions = library.functions.iter().map(|function| {
                    let flags = function.flags.names();
                    Reply::Map(vec![
                        field("name", Reply::bulk(function.name.clone())),
                        field(
                            "description",
                            function
                                .description
                                .clone()
                                .map_or(Reply::Null, Reply::bulk),
                        ),
                        field("flags", Reply::Set(flags.map(Reply::Simple).collect())),
                    ])
                });
                let mut pairs = vec![
                    field("library_name", Reply::bulk(library.name.clone())),
                    field("engine", Reply::bulk(ENGINE)),
                    field("functions", Reply::Array(functions.collect())),
                ];
                if with_code {
                    pairs.push(field("library_code", Reply::bulk(&library.text)));
                }
                Reply::Map(pairs)
            })
            .collect()
    });
    Ok(Reply::Array(libraries).into())
}

fn stats(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let scripting = &ctx.server.scripting;
    let running = match (scripting.running.kind(), scripting.running.call()) {
        (Some(RunKind::Eval), _) => {
            return Err(CommandError::text(RunKind::Eval.busy()));
        }
        (Some(RunKind::Function), Some(call)) => {
            let words = call.command.into_iter().map(Reply::bulk);
            let ms = i64::try_from(call.started.elapsed().as_millis()).unwrap_or(i64::MAX);
            Reply::Map(vec![
                field("name", Reply::bulk(call.name)),
                field("command", Reply::Array(words.collect())),
                field("duration_ms", Reply::Integer(ms)),
            ])
        }
        _ => Reply::Null,
    };
    let figures = scripting.figures();
    let count = |count: u64| Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    let engine = Reply::Map(vec![
        field("libraries_count", count(figures.libraries)),
        field("functions_count", count(figures.functions)),
    ]);
    let pairs = vec![
        field("running_script", running),
        field("engines", Reply::Map(vec![field(ENGINE, engine)])),
    ];
    Ok(Reply::Map(pairs).into())
}

fn kill(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    kill_running(ctx, RunKind::Function)
}

fn field(name: &'static str, value: Reply) -> (Reply, Reply) {
    (Reply::bulk(name), value)
}

fn unknown(what: &str, word: &[u8]) -> CommandError {
    CommandError::Text(format!("{what}{}", shown(word, usize::MAX)).into())
}

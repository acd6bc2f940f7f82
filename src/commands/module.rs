//! MODULE: there are no modules here. LIST is empty, and loading one fails as it does where Redis cannot load a file.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use super::{CommandError, CommandResult, Context, help};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::protocol::{Args, Reply};

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);
const LOADS: Flags = ADMIN.union(Flags::NO_ASYNC_LOADING);

pub(super) static COMMANDS: &[Row] = &[Row::new("module", Arity::AtLeast(2), help)
    .group(Group::Server, "4.0.0")
    .summary("Commands on modules, of which there are none.")
    .complexity("Depends on subcommand.")
    .subcommands(SUBCOMMANDS)];

const fn sub(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    arguments: &'static [Argument],
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(flags)
        .group(Group::Server, since)
        .summary(summary)
        .complexity("O(1)")
        .arguments(arguments)
}

static SUBCOMMANDS: &[Row] = &[
    sub(
        "list",
        Arity::Exactly(2),
        ADMIN,
        "4.0.0",
        "Lists the loaded modules: none.",
        &[],
        list,
    )
    .complexity("O(N) where N is the number of loaded modules.")
    .tips(&["nondeterministic_output_order"]),
    sub(
        "load",
        Arity::AtLeast(3),
        LOADS,
        "4.0.0",
        "Answers an error: no module can be loaded.",
        &[
            Argument::new("path", ArgumentKind::String),
            Argument::new("arg", ArgumentKind::String)
                .optional()
                .multiple(),
        ],
        load,
    ),
    sub(
        "loadex",
        Arity::AtLeast(3),
        LOADS,
        "7.0.0",
        "Answers an error: no module can be loaded.",
        &[
            Argument::new("path", ArgumentKind::String),
            Argument {
                multiple_token: true,
                ..Argument::new(
                    "configs",
                    ArgumentKind::Block(&[
                        Argument::new("name", ArgumentKind::String),
                        Argument::new("value", ArgumentKind::String),
                    ]),
                )
                .with_token("CONFIG")
                .optional()
                .multiple()
            },
            Argument::new(
                "args",
                ArgumentKind::Block(&[Argument::new("arg", ArgumentKind::String)]),
            )
            .with_token("ARGS")
            .optional()
            .multiple(),
        ],
        load,
    ),
    sub(
        "unload",
        Arity::Exactly(3),
        LOADS,
        "4.0.0",
        "Answers an error: no module is loaded.",
        &[Argument::new("name", ArgumentKind::String)],
        unload,
    ),
    sub(
        "help",
        Arity::Exactly(2),
        Flags::LOADING.union(Flags::STALE),
        "5.0.0",
        "Lists the subcommands.",
        &[],
        help,
    ),
];

fn help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    const LINES: &[&str] = &[
        "LIST",
        "    The loaded modules: none, this server takes no modules.",
        "LOAD <path> [<arg> ...]",
        "    Answers an error.",
        "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
        "    Answers an error.",
        "UNLOAD <name>",
        "    Answers an error.",
    ];
    help::reply(ctx, "MODULE", LINES)
}

fn list(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Reply::Array(Vec::new()).into())
}

fn load(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    check_allowed(ctx)?;
    let path = String::from_utf8_lossy(&args[2]).into_owned();
    tracing::warn!(%path, "a module was not loaded: this server takes no modules");
    Err(CommandError::text(
        "ERR Error loading the extension. Please check the server logs.",
    ))
}

fn unload(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    check_allowed(ctx)?;
    Err(CommandError::text(
        "ERR Error unloading module: no such module with that name",
    ))
}

fn check_allowed(ctx: &Context<'_>) -> Result<(), CommandError> {
    let access = ctx.server.config.settings().enable_module_command;
    if access.allows(ctx.session.handle.is_local()) {
        return Ok(());
    }
    Err(CommandError::text(
        "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it \
         from a local connection, otherwise you need to set this option in the configuration file, and then \
         restart the server.",
    ))
}

//! COMMAND: the table of commands, as clients ask for it.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

mod docs;
mod info;
mod keys;

use self::docs::write_docs;
use self::info::write_info;
use super::{CommandError, CommandResult, Context, Outcome, help};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::catalog::{Command, table};
use crate::commands::row::{Handler, Row};
use crate::glob;
use crate::protocol::{Args, Reply};

const FLAGS: Flags = Flags::LOADING.union(Flags::STALE);

pub(super) static COMMANDS: &[Row] = &[Row::new("command", Arity::AtLeast(1), all)
    .flags(FLAGS)
    .categories(Categories::CONNECTION)
    .group(Group::Server, "2.8.13")
    .summary("Describes all commands.")
    .complexity("O(N) where N is the total number of Redis commands")
    .subcommands(SUBCOMMANDS)
    .tips(&["nondeterministic_output_order"])];

const NAMES: &[Argument] = &[Argument::new("command-name", ArgumentKind::String)
    .optional()
    .multiple()];

const CALL: &[Argument] = &[
    Argument::new("command", ArgumentKind::String),
    Argument::new("arg", ArgumentKind::String)
        .optional()
        .multiple(),
];

const fn sub(
    name: &'static str,
    arity: Arity,
    since: &'static str,
    summary: &'static str,
    complexity: &'static str,
    arguments: &'static [Argument],
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(FLAGS)
        .categories(Categories::CONNECTION)
        .group(Group::Server, since)
        .summary(summary)
        .complexity(complexity)
        .arguments(arguments)
}

static SUBCOMMANDS: &[Row] = &[
    sub(
        "count",
        Arity::Exactly(2),
        "2.8.13",
        "How many commands there are.",
        "O(1)",
        &[],
        count,
    ),
    sub(
        "list",
        Arity::AtLeast(2),
        "7.0.0",
        "Lists the names of commands.",
        "O(N) where N is the total number of Redis commands",
        &[Argument::new(
            "filterby",
            ArgumentKind::OneOf(&[
                Argument::new("module-name", ArgumentKind::String).with_token("MODULE"),
                Argument::new("category", ArgumentKind::String).with_token("ACLCAT"),
                Argument::new("pattern", ArgumentKind::Pattern).with_token("PATTERN"),
            ]),
        )
        .with_token("FILTERBY")
        .optional()],
        list,
    )
    .tips(&["nondeterministic_output_order"]),
    sub(
        "info",
        Arity::AtLeast(2),
        "2.8.13",
        "Describes the commands named, or all.",
        "O(N) where N is the number of commands to look up",
        NAMES,
        info,
    )
    .tips(&["nondeterministic_output_order"])
    .history(&[(
        "7.0.0",
        "Allowed to be called with no argument to get info on all commands.",
    )]),
    sub(
        "docs",
        Arity::AtLeast(2),
        "7.0.0",
        "Documents the commands named, or all.",
        "O(N) where N is the number of commands to look up",
        NAMES,
        docs,
    )
    .tips(&["nondeterministic_output_order"]),
    sub(
        "getkeys",
        Arity::AtLeast(3),
        "2.8.13",
        "Answers the keys of a command with its arguments.",
        "O(N) where N is the number of arguments to the command",
        CALL,
        getkeys,
    ),
    sub(
        "getkeysandflags",
        Arity::AtLeast(3),
        "7.0.0",
        "Answers the keys of a command with its arguments, and what is done to each.",
        "O(N) where N is the number of arguments to the command",
        CALL,
        getkeysandflags,
    ),
    sub(
        "help",
        Arity::Exactly(2),
        "5.0.0",
        "Lists the subcommands.",
        "O(1)",
        &[],
        help,
    ),
];

const HELP: &[&str] = &[
    "(no subcommand)",
    "    Describe all commands.",
    "COUNT",
    "    How many commands there are.",
    "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
    "    The names of commands.",
    "INFO [<command-name> ...]",
    "    Describe the commands named, or all.",
    "DOCS [<command-name> ...]",
    "    Document the commands named, or all.",
    "GETKEYS <full-command>",
    "    The keys of a command with its arguments.",
    "GETKEYSANDFLAGS <full-command>",
    "    The keys, and what is done to each.",
];

fn help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    help::reply(ctx, "COMMAND", HELP)
}

fn all(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.out.array_header(table().top_level().count());
    for command in table().top_level() {
        write_info(ctx.out, command);
    }
    Ok(Outcome::Written)
}

fn count(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Reply::count(table().top_level().count()).into())
}

fn info(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let names = args.from(2);
    if names.len() == 0 {
        return all(ctx, args);
    }
    ctx.out.array_header(names.len());
    for name in names {
        match table().find(name) {
            Some(command) => write_info(ctx.out, command),
            None => ctx.out.null(),
        }
    }
    Ok(Outcome::Written)
}

fn docs(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let names = args.from(2);
    let commands: Vec<&Command> = if names.len() == 0 {
        table().top_level().collect()
    } else {
        // Skips names that no command has.
        names.filter_map(|name| table().find(name)).collect()
    };
    ctx.out.map_header(commands.len());
    for command in commands {
        ctx.out.bulk(command.full_name.as_bytes());
        write_docs(ctx.out, command);
    }
    Ok(Outcome::Written)
}

fn list(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let all = table().all().iter();
    let names: Vec<&'static str> = match args.len() {
        2 => all.map(|command| command.full_name).collect(),
        5 if args[2].eq_ignore_ascii_case(b"filterby") => {
            let filter = filter(&args[3], &args[4])?;
            all.filter(|command| filter(command))
                .map(|command| command.full_name)
                .collect()
        }
        _ => return Err(CommandError::Syntax),
    };
    ctx.out.array_header(names.len());
    for name in names {
        ctx.out.bulk(name.as_bytes());
    }
    Ok(Outcome::Written)
}

/// Whether a command passes FILTERBY.
type Filter<'a> = Box<dyn Fn(&Command) -> bool + 'a>;

/// What FILTERBY's arguments ask of a command.
fn filter<'a>(by: &[u8], value: &'a [u8]) -> Result<Filter<'a>, CommandError> {
    match by.to_ascii_lowercase().as_slice() {
        // No command here comes from a module.
        b"module" => Ok(Box::new(|_| false)),
        b"aclcat" => {
            let category = Categories::NAMED
                .iter()
                .find(|(_, name)| name.as_bytes().eq_ignore_ascii_case(value))
                .map(|&(category, _)| category);
            Ok(Box::new(move |command| {
                category.is_some_and(|category| command.spec.acl_categories().contains(category))
            }))
        }
        b"pattern" => Ok(Box::new(move |command| {
            glob::matches(value, command.full_name.as_bytes(), true)
        })),
        _ => Err(CommandError::Syntax),
    }
}

fn getkeys(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = keys::find(args)?;
    ctx.out.array_header(keys.len());
    for key in keys {
        ctx.out.bulk(key.name);
    }
    Ok(Outcome::Written)
}

fn getkeysandflags(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = keys::find(args)?;
    ctx.out.array_header(keys.len());
    for key in keys {
        ctx.out.array_header(2);
        ctx.out.bulk(key.name);
        ctx.out.set_header(key.flags.len());
        for flag in key.flags {
            ctx.out.simple(flag);
        }
    }
    Ok(Outcome::Written)
}

#[cfg(test)]
mod tests {
    use super::table;

    /// The words in backticks that begin like a command.
    fn documented() -> Vec<&'static str> {
        include_str!("../../docs/commands.md")
            .split('`')
            .skip(1)
            .step_by(2)
            .collect()
    }

    #[test]
    fn every_command_is_documented() {
        let documented = documented();
        for command in table().all() {
            let name = command.full_name.to_ascii_uppercase().replace('|', " ");
            let names_it = |text: &&str| {
                text.strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            };
            assert!(
                documented.iter().any(names_it),
                "{name} is not named in docs/commands.md"
            );
        }
    }
}

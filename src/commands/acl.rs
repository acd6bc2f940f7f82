//! ACL: users and what they may do.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

mod log;

use std::sync::Arc;

use bytes::Bytes;

use super::{CommandError, CommandResult, Context, Outcome, help, table};
use crate::acl::{self, Acl, DEFAULT_USER, Denial, Rules, RulesError, Selector, User};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::error::shown;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::state::ClientHandle;

const PLAIN: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const ADMIN: Flags = PLAIN.union(Flags::ADMIN);

const USERS: &str = "O(N). Where N is the number of configured users.";

pub(super) static COMMANDS: &[Row] = &[Row::new("acl", Arity::AtLeast(2), help)
    .group(Group::Server, "6.0.0")
    .summary("Commands on users and what they may do.")
    .complexity("Depends on subcommand.")
    .subcommands(SUBCOMMANDS)];

const fn sub(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    summary: &'static str,
    complexity: &'static str,
    arguments: &'static [Argument],
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(flags)
        .group(Group::Server, "6.0.0")
        .summary(summary)
        .complexity(complexity)
        .arguments(arguments)
}

const USERNAME: Argument = Argument::new("username", ArgumentKind::String);

static SUBCOMMANDS: &[Row] = &[
    sub(
        "cat",
        Arity::AtLeast(2),
        PLAIN,
        "Lists the categories of commands, or the commands of one.",
        "O(1) since the categories and commands are a fixed set.",
        &[Argument::new("categoryname", ArgumentKind::String).optional()],
        cat,
    ),
    sub(
        "deluser",
        Arity::AtLeast(3),
        ADMIN,
        "Removes users and closes their connections.",
        "O(1) amortized time considering the typical user.",
        &[USERNAME.multiple()],
        deluser,
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    sub(
        "dryrun",
        Arity::AtLeast(4),
        ADMIN,
        "Tells whether a user may make a call, without running it.",
        "O(1).",
        &[
            USERNAME,
            Argument::new("command", ArgumentKind::String),
            Argument::new("arg", ArgumentKind::String)
                .optional()
                .multiple(),
        ],
        dryrun,
    )
    .since("7.0.0"),
    sub(
        "genpass",
        Arity::AtLeast(2),
        PLAIN,
        "Makes a random password.",
        "O(1)",
        &[Argument::new("bits", ArgumentKind::Integer).optional()],
        genpass,
    ),
    sub(
        "getuser",
        Arity::Exactly(3),
        ADMIN,
        "Shows a user's rules.",
        "O(N). Where N is the number of password, command and pattern rules that the user has.",
        &[USERNAME],
        getuser,
    )
    .history(&[
        ("6.2.0", "Added Pub/Sub channel patterns."),
        (
            "7.0.0",
            "Added selectors and changed the format of key and channel patterns from a list \
             to their rule representation.",
        ),
    ]),
    sub(
        "help",
        Arity::Exactly(2),
        Flags::LOADING.union(Flags::STALE),
        "Lists the subcommands.",
        "O(1)",
        &[],
        help,
    ),
    sub(
        "list",
        Arity::Exactly(2),
        ADMIN,
        "Shows all users as lines of a configuration file.",
        USERS,
        &[],
        list,
    ),
    sub(
        "load",
        Arity::Exactly(2),
        ADMIN,
        "Replaces all users by those of the ACL file.",
        USERS,
        &[],
        load,
    ),
    log::LOG,
    sub(
        "save",
        Arity::Exactly(2),
        ADMIN,
        "Writes all users into the ACL file.",
        USERS,
        &[],
        save,
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    sub(
        "setuser",
        Arity::AtLeast(3),
        ADMIN,
        "Makes a user or changes its rules.",
        "O(N). Where N is the number of rules provided.",
        &[
            USERNAME,
            Argument::new("rule", ArgumentKind::String)
                .optional()
                .multiple(),
        ],
        setuser,
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
    .history(&[
        ("6.2.0", "Added Pub/Sub channel patterns."),
        ("7.0.0", "Added selectors and key based permissions."),
    ]),
    sub(
        "users",
        Arity::Exactly(2),
        ADMIN,
        "Lists the names of all users.",
        USERS,
        &[],
        users,
    ),
    sub(
        "whoami",
        Arity::Exactly(2),
        PLAIN,
        "Shows the user that this connection acts as.",
        "O(1)",
        &[],
        whoami,
    ),
];

/// The longest password that GENPASS makes.
const GENPASS_BITS_MAX: i64 = 4096;

/// How much of an unknown category an error shows, bytes. Redis's number.
const CATEGORY_SHOWN_BYTES: usize = 128;

fn error(text: String) -> CommandError {
    CommandError::Text(text.into())
}

fn bulk(bytes: Vec<u8>) -> Reply {
    Reply::Bulk(Bytes::from(bytes))
}

/// The parts of each `user` line for CONFIG REWRITE, behind `user`. There are none if the users have a file of their
/// own.
pub(super) fn for_config(acl: &Acl) -> Vec<Vec<Vec<u8>>> {
    if acl.file().is_some() {
        return Vec::new();
    }
    let line = |user: &Arc<User>| {
        let rules = user.rules().describe();
        let rules = rules.split(|&byte| byte == b' ').map(<[u8]>::to_vec);
        std::iter::once(user.name().to_vec()).chain(rules).collect()
    };
    acl.all().iter().map(line).collect()
}

fn setuser(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let name = &args[2];
    if acl::has_spaces(name) {
        return Err(CommandError::text(
            "ERR Usernames can't contain spaces or null characters",
        ));
    }
    let rules: Vec<&[u8]> = args.from(3).collect();
    let channels_by_default = ctx.server.config.settings().acl_pubsub_default_all;
    ctx.server
        .acl
        .set_user(name, &rules, channels_by_default)
        .map_err(|problem| match problem {
            RulesError::Unmatched(argument) => error(format!(
                "ERR Unmatched parenthesis in acl selector starting at '{}'.",
                shown(&argument, usize::MAX)
            )),
            RulesError::Rule(rule, reason) => error(format!(
                "ERR Error in ACL SETUSER modifier '{}': {reason}",
                shown(&rule, usize::MAX)
            )),
        })?;
    let user = ctx.server.acl.get(name);
    let is_meant = |other: &Arc<User>| user.as_ref().is_some_and(|user| Arc::ptr_eq(user, other));
    let clients = ctx.server.pubsub.denied(is_meant);
    Ok(disconnect(ctx, clients, Reply::Ok))
}

fn deluser(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.from(2).any(|name| name == DEFAULT_USER) {
        return Err(CommandError::text(
            "ERR The 'default' user cannot be removed",
        ));
    }
    let gone: Vec<Arc<User>> = args
        .from(2)
        .filter_map(|name| ctx.server.acl.delete(name))
        .collect();
    let clients = clients_of(ctx, &gone);
    Ok(disconnect(ctx, clients, Reply::count(gone.len())))
}

fn clients_of(ctx: &Context<'_>, users: &[Arc<User>]) -> Vec<Arc<ClientHandle>> {
    let clients = &ctx.server.clients;
    users
        .iter()
        .flat_map(|user| clients.of_user(user))
        .collect()
}

/// Closes connections. The caller's own closes after its reply.
fn disconnect(ctx: &Context<'_>, clients: Vec<Arc<ClientHandle>>, reply: Reply) -> Outcome {
    let mut own = false;
    for client in clients {
        if client.id == ctx.session.handle.id {
            own = true;
        } else {
            client.kill();
        }
    }
    if own {
        Outcome::ReplyAndClose(reply)
    } else {
        reply.into()
    }
}

fn getuser(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let Some(user) = ctx.server.acl.get(&args[2]) else {
        return Ok(Reply::Null.into());
    };
    Ok(described(&user.rules()).into())
}

fn described(rules: &Rules) -> Reply {
    let flags = rules.flags().into_iter().map(Reply::text).collect();
    let passwords = rules.password_hashes().map(Reply::bulk).collect();
    let selectors = rules.selectors().iter();
    let selectors = selectors.map(|selector| Reply::Map(selector_fields(selector)));
    let mut fields = vec![
        (Reply::text("flags"), Reply::Set(flags)),
        (Reply::text("passwords"), Reply::Array(passwords)),
    ];
    fields.extend(selector_fields(rules.root()));
    fields.push((Reply::text("selectors"), Reply::Array(selectors.collect())));
    Reply::Map(fields)
}

fn selector_fields(selector: &Selector) -> Vec<(Reply, Reply)> {
    vec![
        (Reply::text("commands"), bulk(selector.describe_commands())),
        (Reply::text("keys"), bulk(selector.describe_keys())),
        (Reply::text("channels"), bulk(selector.describe_channels())),
    ]
}

fn list(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let users = ctx.server.acl.all();
    let lines = users.iter().map(|user| bulk(user.describe()));
    Ok(Reply::Array(lines.collect()).into())
}

fn users(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let users = ctx.server.acl.all();
    let names = users.iter().map(|user| Reply::bulk(user.name()));
    Ok(Reply::Array(names.collect()).into())
}

fn whoami(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Reply::bulk(ctx.session.identity.user().name()).into())
}

fn cat(_: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let names: Vec<Reply> = match args.get(2) {
        None => Categories::NAMED
            .iter()
            .map(|&(_, name)| Reply::text(name))
            .collect(),
        Some(_) if args.len() > 3 => return Err(wrong_arguments(args)),
        Some(name) => {
            let category = acl::category(name).ok_or_else(|| {
                error(format!(
                    "ERR Unknown category '{}'",
                    shown(name, CATEGORY_SHOWN_BYTES)
                ))
            })?;
            table()
                .all()
                .iter()
                .filter(|command| command.spec.acl_categories().contains(category))
                .map(|command| Reply::text(command.full_name))
                .collect()
        }
    };
    Ok(Reply::Array(names).into())
}

/// The error of a call with too many arguments, which the row's arity cannot refuse.
fn wrong_arguments(args: Args<'_>) -> CommandError {
    error(format!(
        "ERR unknown subcommand or wrong number of arguments for '{}'. Try ACL HELP.",
        shown(&args[1], CATEGORY_SHOWN_BYTES)
    ))
}

fn genpass(_: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let bits = match args.len() {
        2 => 256,
        3 => parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?,
        _ => return Err(wrong_arguments(args)),
    };
    let digits = usize::try_from(bits)
        .ok()
        .filter(|_| (1..=GENPASS_BITS_MAX).contains(&bits))
        .map(|bits| bits.div_ceil(4))
        .ok_or_else(|| {
            error(format!(
                "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up \
                 to {GENPASS_BITS_MAX}"
            ))
        })?;
    let mut random = vec![0; digits.div_ceil(2)];
    getrandom::fill(&mut random)
        .map_err(|problem| error(format!("ERR no random numbers: {problem}")))?;
    let mut password = acl::hex(&random);
    password.truncate(digits);
    Ok(Reply::bulk(password).into())
}

fn dryrun(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let name = &args[2];
    let user = ctx
        .server
        .acl
        .get(name)
        .ok_or_else(|| error(format!("ERR User '{}' not found", shown(name, usize::MAX))))?;
    let call = args.tail(3);
    let argument = &call[0];
    let not_found = || {
        error(format!(
            "ERR Command '{}' not found",
            shown(argument, usize::MAX)
        ))
    };
    let mut command = table().find(argument).ok_or_else(not_found)?;
    if let (Some(sub), true) = (call.get(1), command.is_container()) {
        command = table()
            .find_subcommand(command, sub)
            .ok_or_else(not_found)?;
    }
    if !command.spec.arity.accepts(call.len()) {
        return Err(CommandError::WrongArity(command.full_name.to_owned()));
    }
    let Err(denial) = user.rules().check(command, call) else {
        return Ok(Reply::Ok.into());
    };
    let object = |index| shown(call.get(index).unwrap_or_default(), usize::MAX);
    let name = shown(name, usize::MAX);
    Ok(Reply::bulk(match denial {
        Denial::Command => user.denied_command(command),
        Denial::Key(index) => format!(
            "User {name} has no permissions to access the '{}' key",
            object(index)
        ),
        Denial::Channel(index) => format!(
            "User {name} has no permissions to access the '{}' channel",
            object(index)
        ),
    })
    .into())
}

fn save(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    match ctx.server.acl.save() {
        Ok(()) => Ok(Reply::Ok.into()),
        Err(problem) => Err(error(problem.to_string())),
    }
}

fn load(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let channels_by_default = ctx.server.config.settings().acl_pubsub_default_all;
    match ctx.server.acl.load(channels_by_default) {
        Ok(gone) => {
            let mut clients = clients_of(ctx, &gone);
            clients.extend(ctx.server.pubsub.denied(|_| true));
            Ok(disconnect(ctx, clients, Reply::Ok))
        }
        Err(problem) => Err(error(problem.to_string())),
    }
}

const HELP: &[&str] = &[
    "CAT [<category>]",
    "    The categories, or the commands of one.",
    "DELUSER <username> [<username> ...]",
    "    Remove users and close their connections.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Whether the user may make this call, which does not run.",
    "GETUSER <username>",
    "    The user's rules.",
    "GENPASS [<bits>]",
    "    A random password, of 256 bits if no number is given.",
    "LIST",
    "    All users, as lines of a configuration file.",
    "LOAD",
    "    Replace all users by those of the ACL file.",
    "LOG [<count> | RESET]",
    "    What was denied lately, or forget it.",
    "SAVE",
    "    Write all users into the ACL file.",
    "SETUSER <username> <attribute> [<attribute> ...]",
    "    Make or change a user.",
    "USERS",
    "    The names of all users.",
    "WHOAMI",
    "    The user that this connection acts as.",
];

fn help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    help::reply(ctx, "ACL", HELP)
}

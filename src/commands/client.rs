//! CLIENT: what connections say of themselves, and what they may do to each other.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

mod filter;
mod pause;
mod tracking;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use self::filter::{Filter, capability};
use super::connection::{parse_client_name, printable};
use super::{CommandError, CommandResult, Context, Outcome, help, table};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::{Handler, Row};
use crate::error::shown;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::state::{ClientHandle, ReplyMode};

/// What every subcommand but HELP may do.
const PLAIN: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const ADMIN: Flags = PLAIN.union(Flags::ADMIN);

const ON_OFF: &[Argument] = &[Argument::new(
    "enabled",
    ArgumentKind::OneOf(&[Argument::token("on", "ON"), Argument::token("off", "OFF")]),
)];

pub(super) static COMMANDS: &[Row] = &[Row::new("client", Arity::AtLeast(2), help)
    .group(Group::Connection, "2.4.0")
    .summary("Commands on client connections.")
    .complexity("Depends on subcommand.")
    .subcommands(SUBCOMMANDS)];

/// A subcommand's row; the parameters are what differs between the rows.
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
        .categories(Categories::CONNECTION)
        .group(Group::Connection, since)
        .summary(summary)
        .complexity("O(1)")
        .arguments(arguments)
}

static SUBCOMMANDS: &[Row] = &[
    sub(
        "id",
        Arity::Exactly(2),
        PLAIN,
        "5.0.0",
        "Answers the connection's id.",
        &[],
        id,
    ),
    sub(
        "getname",
        Arity::Exactly(2),
        PLAIN,
        "2.6.9",
        "Answers the connection's name.",
        &[],
        getname,
    ),
    sub(
        "setname",
        Arity::Exactly(3),
        PLAIN,
        "2.6.9",
        "Names the connection.",
        &[Argument::new("connection-name", ArgumentKind::String)],
        setname,
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    sub(
        "setinfo",
        Arity::Exactly(4),
        PLAIN,
        "7.2.0",
        "Notes the name or version of the client library.",
        &[Argument::new(
            "attr",
            ArgumentKind::OneOf(&[
                Argument::new("libname", ArgumentKind::String).with_token("LIB-NAME"),
                Argument::new("libver", ArgumentKind::String).with_token("LIB-VER"),
            ]),
        )],
        setinfo,
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    sub(
        "info",
        Arity::Exactly(2),
        PLAIN,
        "6.2.0",
        "Describes the connection.",
        &[],
        info,
    )
    .tips(&["nondeterministic_output"]),
    sub(
        "list",
        Arity::AtLeast(2),
        ADMIN,
        "2.4.0",
        "Describes the connections.",
        filter::LIST_ARGUMENTS,
        list,
    )
    .complexity("O(N) where N is the number of client connections")
    .tips(&["nondeterministic_output"])
    .history(&[
        ("2.8.12", "Added unique client `id` field."),
        ("5.0.0", "Added optional `TYPE` filter."),
        ("6.0.0", "Added `user` field."),
        (
            "6.2.0",
            "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the \
             optional `ID` filter.",
        ),
        (
            "7.0.0",
            "Added `resp`, `multi-mem`, `rbs` and `rbp` fields.",
        ),
        ("7.0.3", "Added `ssub` field."),
        ("7.2.0", "Added `lib-name` and `lib-ver` fields."),
        ("7.4.0", "Added `watch` field."),
    ]),
    sub(
        "kill",
        Arity::AtLeast(3),
        ADMIN,
        "2.4.0",
        "Closes connections.",
        filter::KILL_ARGUMENTS,
        kill,
    )
    .complexity("O(N) where N is the number of client connections")
    .history(&[
        ("2.8.12", "Added new filter format."),
        ("2.8.12", "`ID` option."),
        ("3.2.0", "Added `master` type in for `TYPE` option."),
        (
            "5.0.0",
            "Replaced `slave` `TYPE` with `replica`. `slave` still supported for \
             backward compatibility.",
        ),
        ("6.2.0", "`LADDR` option."),
        ("7.4.0", "`MAXAGE` option."),
    ]),
    sub(
        "capa",
        Arity::AtLeast(3),
        PLAIN,
        "8.0.0",
        "Notes what the client can do.",
        &[Argument::new("capability", ArgumentKind::String).multiple()],
        capa,
    ),
    sub(
        "no-evict",
        Arity::Exactly(3),
        ADMIN,
        "7.0.0",
        "Protects the connection from being closed for want of memory.",
        ON_OFF,
        no_evict,
    ),
    sub(
        "no-touch",
        Arity::Exactly(3),
        PLAIN,
        "7.2.0",
        "Sets whether the connection's commands count as accesses of keys.",
        ON_OFF,
        no_touch,
    ),
    tracking::TRACKING,
    tracking::CACHING,
    tracking::TRACKINGINFO,
    tracking::GETREDIR,
    pause::PAUSE,
    pause::UNPAUSE,
    pause::UNBLOCK,
    sub(
        "reply",
        Arity::Exactly(3),
        PLAIN,
        "3.2.0",
        "Sets whether commands are answered.",
        &[Argument::new(
            "action",
            ArgumentKind::OneOf(&[
                Argument::token("on", "ON"),
                Argument::token("off", "OFF"),
                Argument::token("skip", "SKIP"),
            ]),
        )],
        reply,
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

const HELP: &[&str] = &[
    "CAPA <capability> [<capability> ...]",
    "    Note what the client can do: REDIRECT.",
    "CACHING (YES|NO)",
    "    Whether the keys of the next command are tracked, in the modes OPTIN and OPTOUT.",
    "GETREDIR",
    "    The client that gets this connection's invalidations.",
    "GETNAME",
    "    The connection's name.",
    "ID",
    "    The connection's id.",
    "INFO",
    "    The connection's line of CLIENT LIST.",
    "KILL <ip:port>",
    "    Close the connection that comes from there.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Close every connection that fits all options:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      It comes from there.",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      It was made to that address of the server.",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      It is of that type.",
    "    * USER <username>",
    "      It is authenticated as that user.",
    "    * ID <client-id> [<client-id> ...]",
    "      It is one of these.",
    "    * MAXAGE <seconds>",
    "      It is at least so old.",
    "    * IDLE <seconds>",
    "      It has sent nothing for so long.",
    "    * NAME <name>, LIB-NAME <name>, LIB-VER <version>, IP <address>, DB <number>, FLAGS <flags>, CAPA <capa>",
    "      It has these.",
    "    * NOT-ID, NOT-TYPE, NOT-USER, NOT-ADDR, NOT-LADDR, NOT-NAME, NOT-IP, NOT-DB, ...",
    "      It has not this.",
    "    * SKIPME (YES|NO)",
    "      Leave out the connection that asks (default: yes).",
    "LIST [options ...]",
    "    One line for each connection that fits all options, which are those of KILL.",
    "NO-EVICT (ON|OFF)",
    "    Protect the connection from being closed for want of memory.",
    "NO-TOUCH (ON|OFF)",
    "    With ON, the connection's commands don't count as accesses of keys.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Have all commands, or those that write, wait for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Whether commands are answered; SKIP leaves out the next answer.",
    "SETINFO <option> <value>",
    "    Note the client library's LIB-NAME or LIB-VER.",
    "SETNAME <name>",
    "    Name the connection.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
    "    Whether the connection is told of changes of the keys that it has read.",
    "TRACKINGINFO",
    "    How the connection tracks keys.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    End the wait of a blocking command.",
    "UNPAUSE",
    "    End the wait of PAUSE.",
];

fn help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    help::reply(ctx, "CLIENT", HELP)
}

fn id(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let id = i64::try_from(ctx.session.handle.id).unwrap_or(i64::MAX);
    Ok(Reply::Integer(id).into())
}

fn getname(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let name = ctx.session.handle.name.lock();
    Ok(if name.is_empty() {
        Reply::Null.into()
    } else {
        Reply::bulk(&*name).into()
    })
}

fn setname(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let name = parse_client_name(&args[2])?;
    *ctx.session.handle.name.lock() = name;
    Ok(Reply::Ok.into())
}

fn setinfo(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let option = shown(&args[2], usize::MAX);
    let handle = &ctx.session.handle;
    let target = if option.eq_ignore_ascii_case("lib-name") {
        &handle.lib_name
    } else if option.eq_ignore_ascii_case("lib-ver") {
        &handle.lib_ver
    } else {
        return Err(CommandError::Text(
            format!("ERR Unrecognized option '{option}'").into(),
        ));
    };
    let Some(value) = printable(&args[3]) else {
        let text = format!("ERR {option} cannot contain spaces, newlines or special characters.");
        return Err(CommandError::Text(text.into()));
    };
    *target.lock() = value;
    Ok(Reply::Ok.into())
}

/// One client's line; the client that asks runs `command` right now.
fn line(ctx: &Context<'_>, client: &ClientHandle, command: &'static str) -> String {
    if client.id == ctx.session.handle.id {
        // A script's calls are not noted otherwise.
        if let Some(command) = table().find(command.as_bytes()) {
            client.last_command.set(command);
        }
    }
    client.describe(ctx.access.now) + "\n"
}

fn info(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let line = line(ctx, &ctx.session.handle, "client|info");
    Ok(Reply::Verbatim(Bytes::from(line)).into())
}

fn list(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let filter = Filter::of_list(args, &ctx.server.acl)?;
    let mut clients: Vec<Arc<ClientHandle>> = match filter.ids() {
        [] => ctx.server.clients.all(),
        // In the order of the call.
        ids => ids
            .iter()
            .filter_map(|&id| ctx.server.clients.get(id))
            .collect(),
    };
    let (own, now_ms) = (ctx.session.handle.id, ctx.access.now);
    clients.retain(|client| filter.fits(client, own, now_ms));
    let lines: String = clients
        .iter()
        .map(|client| line(ctx, client, "client|list"))
        .collect();
    Ok(Reply::Verbatim(Bytes::from(lines)).into())
}

fn kill(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let filter = Filter::of_kill(args, &ctx.server.acl)?;
    let (own, now_ms) = (ctx.session.handle.id, ctx.access.now);
    let mut killed = 0;
    let mut suicide = false;
    for client in ctx.server.clients.all() {
        if client.is_killed() || !filter.fits(&client, own, now_ms) {
            continue;
        }
        killed += 1;
        if client.id == own {
            // The reply still goes out; then the connection closes.
            suicide = true;
        } else {
            client.kill();
        }
    }
    let reply = match (filter.old_form, killed) {
        (true, 0) => return Err(CommandError::text("ERR No such client")),
        (true, _) => Reply::Ok,
        (false, killed) => Reply::count(killed),
    };
    Ok(if suicide {
        Outcome::ReplyAndClose(reply)
    } else {
        Outcome::Reply(reply)
    })
}

fn parse_on_off(argument: &[u8]) -> Result<bool, CommandError> {
    if argument.eq_ignore_ascii_case(b"on") {
        Ok(true)
    } else if argument.eq_ignore_ascii_case(b"off") {
        Ok(false)
    } else {
        Err(CommandError::Syntax)
    }
}

fn no_evict(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let on = parse_on_off(&args[2])?;
    ctx.session.handle.no_evict.store(on, Ordering::Relaxed);
    Ok(Reply::Ok.into())
}

/// CLIENT CAPA of Valkey. This server sends no redirections; CLIENT LIST finds the clients that would follow one.
fn capa(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let claimed = args.from(2).map(capability).fold(0, |all, one| all | one);
    let handle = &ctx.session.handle;
    handle.capabilities.fetch_or(claimed, Ordering::Relaxed);
    Ok(Reply::Ok.into())
}

fn no_touch(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let on = parse_on_off(&args[2])?;
    ctx.session.set_no_touch(on);
    Ok(Reply::Ok.into())
}

fn reply(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mode = &mut ctx.session.reply_mode;
    if args[2].eq_ignore_ascii_case(b"on") {
        *mode = ReplyMode::On;
        return Ok(Reply::Ok.into());
    }
    if args[2].eq_ignore_ascii_case(b"off") {
        *mode = ReplyMode::Off;
    } else if args[2].eq_ignore_ascii_case(b"skip") {
        if *mode != ReplyMode::Off {
            *mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(CommandError::Syntax);
    }
    // OFF and SKIP themselves are not answered.
    Ok(Outcome::Written)
}

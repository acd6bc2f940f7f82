//! XGROUP: making, changing and removing groups and consumers.

use super::ids::{parse_id, parse_id_or_end};
use super::{SHOWN_BYTES_MAX, row};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, help};
use crate::error::shown;
use crate::keyspace::{EventClass, GroupState, StreamEdit, StreamId, Update};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

const NAME: Argument = Argument::new("group", ArgumentKind::String);
const CONSUMER: Argument = Argument::new("consumer", ArgumentKind::String);
const ID: Argument = Argument::new(
    "id-selector",
    ArgumentKind::OneOf(&[
        Argument::new("id", ArgumentKind::String),
        Argument::token("new-id", "$"),
    ]),
);
const ENTRIES_READ: Argument = Argument::new("entriesread", ArgumentKind::Integer)
    .shown_as("entries-read")
    .with_token("ENTRIESREAD")
    .optional();
const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);
const WRITE_MORE: Flags = Flags::WRITE.union(Flags::DENYOOM);

pub(in crate::commands) static COMMANDS: &[Row] =
    &[Row::new("xgroup", Arity::AtLeast(2), xgroup_help)
        .group(crate::catalog::spec::Group::Stream, "5.0.0")
        .summary("Commands on the groups of a stream")
        .complexity("Depends on subcommand.")
        .subcommands(SUBCOMMANDS)];

static SUBCOMMANDS: &[Row] = &[
    row(
        "create",
        Arity::AtLeast(5),
        WRITE_MORE,
        "5.0.0",
        "Makes a group",
        "O(1)",
        create,
    )
    .keys(&[KeySpec::range(&["RW", "insert"], 2, 0, 1)])
    .arguments(&[
        Argument::key(),
        NAME,
        ID,
        Argument::token("mkstream", "MKSTREAM").optional(),
        ENTRIES_READ,
    ])
    .history(&[("7.0.0", "Added the `entries_read` named argument.")]),
    row(
        "setid",
        Arity::AtLeast(5),
        Flags::WRITE,
        "5.0.0",
        "Sets the last delivered ID of a group",
        "O(1)",
        set_id,
    )
    .keys(&[KeySpec::range(&["RW", "update"], 2, 0, 1)])
    .arguments(&[Argument::key(), NAME, ID, ENTRIES_READ])
    .history(&[("7.0.0", "Added the optional `entries_read` argument.")]),
    row(
        "destroy",
        Arity::Exactly(4),
        Flags::WRITE,
        "5.0.0",
        "Removes a group",
        "O(N) where N is the number of entries in the group's pending entries list (PEL).",
        destroy,
    )
    .keys(&[KeySpec::range(&["RW", "delete"], 2, 0, 1)])
    .arguments(&[Argument::key(), NAME]),
    row(
        "createconsumer",
        Arity::Exactly(5),
        WRITE_MORE,
        "6.2.0",
        "Makes a consumer of a group",
        "O(1)",
        create_consumer,
    )
    .keys(&[KeySpec::range(&["RW", "insert"], 2, 0, 1)])
    .arguments(&[Argument::key(), NAME, CONSUMER]),
    row(
        "delconsumer",
        Arity::Exactly(5),
        Flags::WRITE,
        "5.0.0",
        "Removes a consumer of a group; returns how many entries it had pending",
        "O(1)",
        delete_consumer,
    )
    .keys(&[KeySpec::range(&["RW", "delete"], 2, 0, 1)])
    .arguments(&[Argument::key(), NAME, CONSUMER]),
    row(
        "help",
        Arity::Exactly(2),
        ANYTIME,
        "5.0.0",
        "Lists the subcommands.",
        "O(1)",
        xgroup_help,
    ),
];

fn xgroup_help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    help::reply(
        ctx,
        "XGROUP",
        &[
            "CREATE <key> <groupname> <id|$> [option]",
            "    Create a new consumer group. Options are:",
            "    * MKSTREAM",
            "      Create the empty stream if it does not exist.",
            "    * ENTRIESREAD entries_read",
            "      Set the group's entries_read counter (internal use).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Create a new consumer in the specified group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove the specified consumer.",
            "DESTROY <key> <groupname>",
            "    Remove the specified group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set the current group ID and entries_read counter.",
        ],
    )
}

/// The options behind the id.
struct Options {
    mkstream: bool,
    entries_read: i64,
}

impl Options {
    fn parse(args: Args<'_>, creates: bool) -> Result<Self, CommandError> {
        let mut options = Self {
            mkstream: false,
            entries_read: -1,
        };
        let mut rest = args.from(5);
        while let Some(option) = rest.next() {
            if creates && option.eq_ignore_ascii_case(b"mkstream") {
                options.mkstream = true;
                continue;
            }
            let number = rest
                .next()
                .filter(|_| option.eq_ignore_ascii_case(b"entriesread"));
            let number = number.ok_or_else(|| help::wrong_arguments(args, "XGROUP"))?;
            options.entries_read = parse_i64(number).ok_or(CommandError::NotAnInteger)?;
            if options.entries_read < -1 {
                return Err(CommandError::text(
                    "ERR value for ENTRIESREAD must be positive or -1",
                ));
            }
        }
        Ok(options)
    }
}

/// The stream of the one key, which must exist.
fn stream_of<'s>(keys: &'s mut Update<'_>) -> Result<StreamEdit<'s>, CommandError> {
    if keys.info(0).is_none() {
        return Err(CommandError::text(
            "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the \
             MKSTREAM option to create an empty stream automatically.",
        ));
    }
    Ok(keys.stream(0)?)
}

/// The group that argument 3 names, which must exist.
fn group_of(stream: &StreamEdit<'_>, args: Args<'_>) -> Result<u32, CommandError> {
    stream.group(&args[3]).ok_or_else(|| no_such_group(args))
}

/// The error of a group that a stream does not have.
pub(super) fn no_such_group(args: Args<'_>) -> CommandError {
    let (key, group) = (
        shown(&args[2], SHOWN_BYTES_MAX),
        shown(&args[3], SHOWN_BYTES_MAX),
    );
    let text = format!("NOGROUP No such consumer group '{group}' for key name '{key}'");
    CommandError::Text(text.into())
}

fn create(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = Options::parse(args, true)?;
    ctx.update_collection(&args[2], |keys| {
        let is_new = keys.info(0).is_none();
        let mut stream = if options.mkstream {
            keys.stream(0)?
        } else {
            stream_of(keys)?
        };
        if args.len() > 8 {
            return Err(help::wrong_arguments(args, "XGROUP"));
        }
        let last_id = match &args[4] {
            b"$" if is_new => StreamId::MIN,
            b"$" => stream.last_id(),
            id => parse_id(id, 0)?,
        };
        if stream.group(&args[3]).is_some() {
            return Err(CommandError::text(
                "BUSYGROUP Consumer Group name already exists",
            ));
        }
        let state = GroupState {
            last_id,
            entries_read: options.entries_read,
        };
        stream.create_group(&args[3], state);
        keys.event(0, EventClass::STREAM, "xgroup-create");
        Ok(())
    })?;
    Ok(Reply::Ok.into())
}

fn set_id(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = Options::parse(args, false)?;
    ctx.update_collection(&args[2], |keys| {
        let mut stream = stream_of(keys)?;
        let group = group_of(&stream, args)?;
        if args.len() > 7 {
            return Err(help::wrong_arguments(args, "XGROUP"));
        }
        let last_id = match &args[4] {
            b"$" => stream.last_id(),
            id => parse_id_or_end(id, 0)?,
        };
        let state = GroupState {
            last_id,
            entries_read: options.entries_read,
        };
        stream.set_group_state(group, state);
        keys.event(0, EventClass::STREAM, "xgroup-setid");
        Ok(())
    })?;
    Ok(Reply::Ok.into())
}

fn destroy(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let destroyed = ctx.update_collection(&args[2], |keys| {
        let mut stream = stream_of(keys)?;
        let Some(group) = stream.group(&args[3]) else {
            return Ok(false);
        };
        stream.destroy_group(group);
        keys.event(0, EventClass::STREAM, "xgroup-destroy");
        Ok::<_, CommandError>(true)
    })?;
    Ok(Reply::Integer(destroyed.into()).into())
}

fn create_consumer(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let now = ctx.access.clock();
    let created = ctx.update_collection(&args[2], |keys| {
        let mut stream = stream_of(keys)?;
        let group = group_of(&stream, args)?;
        if stream.consumer(group, &args[4]).is_some() {
            return Ok(false);
        }
        stream.create_consumer(group, &args[4], now);
        keys.event(0, EventClass::STREAM, "xgroup-createconsumer");
        Ok::<_, CommandError>(true)
    })?;
    Ok(Reply::Integer(created.into()).into())
}

fn delete_consumer(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let pending = ctx.update_collection(&args[2], |keys| {
        let mut stream = stream_of(keys)?;
        let group = group_of(&stream, args)?;
        let Some(consumer) = stream.consumer(group, &args[4]) else {
            return Ok(0);
        };
        let pending = stream.remove_consumer(group, consumer);
        keys.event(0, EventClass::STREAM, "xgroup-delconsumer");
        Ok::<_, CommandError>(pending)
    })?;
    Ok(Reply::count(pending).into())
}

//! XDEL, XSETID.

use super::ids::parse_id;
use super::{IDS, row};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{EventClass, Kind, StreamId};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    row(
        "xdel",
        Arity::AtLeast(3),
        Flags::WRITE.union(Flags::FAST),
        "5.0.0",
        "Removes entries from a stream; returns how many there were",
        "O(1) for each single item to delete in the stream, regardless of the stream size.",
        xdel,
    )
    .keys(&[KeySpec::first(&["RW", "delete"])])
    .arguments(&[Argument::key(), IDS]),
    row(
        "xsetid",
        Arity::AtLeast(3),
        Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        "5.0.0",
        "Sets the last ID of a stream",
        "O(1)",
        xsetid,
    )
    .keys(&[KeySpec::first(&["RW", "update"])])
    .arguments(&[
        Argument::key(),
        Argument::new("last-id", ArgumentKind::String),
        Argument::new("entries-added", ArgumentKind::Integer)
            .with_token("ENTRIESADDED")
            .since("7.0.0")
            .optional(),
        Argument::new("max-deleted-id", ArgumentKind::String)
            .with_token("MAXDELETEDID")
            .since("7.0.0")
            .optional(),
    ])
    .history(&[(
        "7.0.0",
        "Added the `entries_added` and `max_deleted_entry_id` arguments.",
    )]),
];

fn xdel(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let deleted = ctx.database().update_one(&args[1], Kind::Stream, |key| {
        if !key.exists() {
            return Ok(0);
        }
        let mut stream = key.stream()?;
        let ids = args.from(2).map(|id| parse_id(id, 0));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let mut deleted = 0;
        for id in ids {
            deleted += usize::from(stream.delete(id)?);
        }
        if deleted > 0 {
            key.event(EventClass::STREAM, "xdel");
            key.set_dirty(deleted);
        }
        Ok::<_, CommandError>(deleted)
    })?;
    Ok(Reply::count(deleted).into())
}

fn xsetid(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let id = parse_id(&args[2], 0)?;
    let mut entries_added = None;
    let mut max_deleted = None;
    let mut rest = args.from(3);
    while let Some(option) = rest.next() {
        let operand = rest.next().ok_or(CommandError::Syntax)?;
        if option.eq_ignore_ascii_case(b"entriesadded") {
            let added = parse_i64(operand).ok_or(CommandError::NotAnInteger)?;
            let error = CommandError::text("ERR entries_added must be positive");
            entries_added = Some(u64::try_from(added).map_err(|_| error)?);
        } else if option.eq_ignore_ascii_case(b"maxdeletedid") {
            let deleted = parse_id(operand, 0)?;
            if id < deleted {
                return Err(CommandError::text(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            max_deleted = Some(deleted);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    // 0-0 sets nothing.
    let max_deleted = max_deleted.filter(|&id| id != StreamId::MIN);
    ctx.update_collection(&args[1], |keys| {
        if keys.info(0).is_none() {
            return Err(CommandError::NoSuchKey);
        }
        let mut stream = keys.stream(0)?;
        let view = stream.view();
        if id < view.max_deleted_id() {
            return Err(CommandError::text(
                "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
            ));
        }
        if let Some(last) = view.last_entry_id()? {
            if id < last {
                return Err(CommandError::text(
                    "ERR The ID specified in XSETID is smaller than the target stream top item",
                ));
            }
            if entries_added.is_some_and(|added| view.len() > added) {
                return Err(CommandError::text(
                    "ERR The entries_added specified in XSETID is smaller than the target stream length",
                ));
            }
        }
        stream.set_ids(id, entries_added, max_deleted);
        keys.event(0, EventClass::STREAM, "xsetid");
        Ok(())
    })?;
    Ok(Reply::Ok.into())
}

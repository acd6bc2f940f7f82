//! Changes within lists: LSET, LINSERT, LREM, LTRIM.

use std::ops::ControlFlow;

use super::{list_of, parse_magnitude, position, positions};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{End, EventClass, KeyspaceError, Kind, List, View};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("lset", Arity::Exactly(4), lset)
        .flags(Flags::WRITE.union(Flags::DENYOOM))
        .categories(Categories::LIST)
        .keys(&[KeySpec::first(&["RW", "update"])])
        .group(Group::List, "1.0.0")
        .summary("Replaces a list's element at an index")
        .complexity("O(N) for N elements up to the index, counted in parts of the list")
        .arguments(&[
            Argument::key(),
            Argument::new("index", ArgumentKind::Integer),
            Argument::new("element", ArgumentKind::String),
        ]),
    Row::new("linsert", Arity::Exactly(5), linsert)
        .flags(Flags::WRITE.union(Flags::DENYOOM))
        .categories(Categories::LIST)
        .keys(&[KeySpec::first(&["RW", "insert"])])
        .group(Group::List, "2.2.0")
        .summary("Puts an element before or behind another one")
        .complexity("O(N) for N elements that are compared")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "where",
                ArgumentKind::OneOf(&[
                    Argument::token("before", "BEFORE"),
                    Argument::token("after", "AFTER"),
                ]),
            ),
            Argument::new("pivot", ArgumentKind::String),
            Argument::new("element", ArgumentKind::String),
        ]),
    Row::new("lrem", Arity::Exactly(4), lrem)
        .flags(Flags::WRITE)
        .categories(Categories::LIST)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::List, "1.0.0")
        .summary("Removes elements that equal a value, from either end")
        .complexity("O(N+M) for a list of N elements of which M are removed")
        .arguments(&[
            Argument::key(),
            Argument::new("count", ArgumentKind::Integer),
            Argument::new("element", ArgumentKind::String),
        ]),
    Row::new("ltrim", Arity::Exactly(4), ltrim)
        .flags(Flags::WRITE)
        .categories(Categories::LIST)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::List, "1.0.0")
        .summary("Removes the elements outside of a range")
        .complexity("O(N) for N elements removed")
        .arguments(&[
            Argument::key(),
            Argument::new("start", ArgumentKind::Integer),
            Argument::new("stop", ArgumentKind::Integer),
        ]),
];

fn lset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.change_list(&args[1], "lset", |list| {
        if list.is_empty() {
            return Err(CommandError::NoSuchKey);
        }
        let index = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
        let position =
            position(index, list.len()).ok_or(CommandError::text("ERR index out of range"))?;
        list.set(position, &args[3]);
        Ok(((), 1))
    })?;
    Ok(Reply::Ok.into())
}

fn linsert(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let behind = if args[2].eq_ignore_ascii_case(b"after") {
        1
    } else if args[2].eq_ignore_ascii_case(b"before") {
        0
    } else {
        return Err(CommandError::Syntax);
    };
    let reply = ctx.update_collection(&args[1], |keys| {
        let Some(list) = list_of(keys, 0)? else {
            return Ok(Reply::Integer(0));
        };
        let pivot = matches(list, &args[3], false, 1)?;
        let Some(pivot) = pivot.first() else {
            return Ok(Reply::Integer(-1));
        };
        let mut list = keys.list(0)?;
        list.insert(pivot + behind, &args[4]);
        let len = list.len();
        keys.event(0, EventClass::LIST, "linsert");
        Ok(Reply::count(len))
    })?;
    Ok(reply.into())
}

fn lrem(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let count = parse_magnitude(&args[2])?;
    let most = match count {
        0 => usize::MAX,
        _ => usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX),
    };
    let removed = ctx.database().update_one(&args[1], Kind::List, |keys| {
        let Some(list) = keys.view().map(View::list).transpose()? else {
            return Ok(0);
        };
        let len = list.len();
        let mut found = matches(list, &args[3], count < 0, most)?;
        let removed = found.len();
        if removed > 0 {
            if count < 0 {
                found.reverse();
            }
            keys.list()?.remove(found);
            keys.set_dirty(removed);
            keys.event(EventClass::LIST, "lrem");
            if removed == len {
                keys.event(EventClass::GENERIC, "del");
            }
        }
        Ok(removed)
    })?;
    Ok(Reply::count(removed).into())
}

fn ltrim(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let start = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    let end = parse_i64(&args[3]).ok_or(CommandError::NotAnInteger)?;
    ctx.update_collection(&args[1], |keys| {
        let Some(list) = list_of(keys, 0)? else {
            return Ok(());
        };
        let len = list.len();
        let kept = positions(start, end, len);
        let mut list = keys.list(0)?;
        list.pop(End::Head, kept.start);
        list.pop(End::Tail, len - kept.end);
        keys.set_dirty(len - kept.len());
        if kept == (0..len) {
            // Redis counts LTRIM as a change, with its event, even if it removes nothing.
            keys.modified(0);
        }
        keys.event(0, EventClass::LIST, "ltrim");
        if kept.is_empty() {
            keys.event(0, EventClass::GENERIC, "del");
        }
        Ok(())
    })?;
    Ok(Reply::Ok.into())
}

/// The positions of up to `most` elements that equal `wanted`, in the order in which they are met.
fn matches(
    list: List<'_>,
    wanted: &[u8],
    reversed: bool,
    most: usize,
) -> Result<Vec<usize>, KeyspaceError> {
    let len = list.len();
    let mut met = 0;
    let mut found = Vec::new();
    list.for_range(0..len, reversed, |element| {
        if element == wanted {
            found.push(if reversed { len - 1 - met } else { met });
        }
        met += 1;
        if found.len() < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(found)
}

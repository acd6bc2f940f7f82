//! From several lists, or from one to another: LMOVE, RPOPLPUSH, LMPOP.

use super::ends::pop_elements;
use super::{list, parse_end, pop_event, push_event, tell};
use crate::commands::numkeys::{Counted, parse_count};
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{Access, End, EventClass, Keyspace};
use crate::protocol::{Args, Reply};

pub(super) fn lmove(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (from, to) = (parse_end(&args[3])?, parse_end(&args[4])?);
    move_between(ctx, args, from, to)
}

pub(super) fn rpoplpush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    move_between(ctx, args, End::Tail, End::Head)
}

fn move_between(ctx: &mut Context<'_>, args: Args<'_>, from: End, to: End) -> CommandResult {
    let db = ctx.session.db;
    let (source, destination) = ((&args[1], from), (&args[2], to));
    let moved = move_element(ctx.keyspace, db, ctx.access, source, destination)?;
    Ok(Reply::bulk_or_null(moved).into())
}

/// Positions of the two keys in a [`Slots`](crate::keyspace::Slots).
const SOURCE: usize = 0;
const DESTINATION: usize = 1;

/// Moves an element from an end of a list to an end of another; `None` where there is none.
pub(in crate::commands) fn move_element(
    keyspace: &Keyspace,
    db: usize,
    access: Access,
    (source, from): (&[u8], End),
    (destination, to): (&[u8], End),
) -> Result<Option<Vec<u8>>, CommandError> {
    keyspace.update_many(&[(db, source), (db, destination)], access, |slots| {
        let Some(present) = list(slots, SOURCE)? else {
            return Ok(None);
        };
        let position = match from {
            End::Head => 0,
            End::Tail => present.len() - 1,
        };
        let element = present.get(position, <[u8]>::to_vec)?.unwrap_or_default();
        slots.list(DESTINATION)?;
        slots.list(SOURCE)?.pop(from, 1);
        slots.list(DESTINATION)?.push(to, &element);
        slots.event(DESTINATION, EventClass::LIST, push_event(to));
        tell(slots, SOURCE, pop_event(from))?;
        Ok(Some(element))
    })
}

pub(super) fn lmpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (keys, end, count) = parse_mpop(args, 1)?;
    let keys: Vec<&[u8]> = keys.words(args).collect();
    let db = ctx.session.db;
    let popped = pop_first(ctx.keyspace, db, ctx.access, &keys, end, count)?;
    Ok(popped.unwrap_or(Reply::NullArray).into())
}

/// Keys, end and count of LMPOP and BLMPOP; the number of keys is word `at`.
pub(in crate::commands) fn parse_mpop(
    args: Args<'_>,
    at: usize,
) -> Result<(Counted, End, usize), CommandError> {
    let keys = Counted::parse(args, at, "ERR numkeys should be greater than 0")?;
    let end = parse_end(args.get(keys.end()).ok_or(CommandError::Syntax)?)?;
    Ok((keys, end, parse_count(args, keys.end() + 1)?))
}

/// Takes up to `count` elements from an end of the first of several lists that has any: its name and they.
pub(in crate::commands) fn pop_first(
    keyspace: &Keyspace,
    db: usize,
    access: Access,
    keys: &[&[u8]],
    end: End,
    count: usize,
) -> Result<Option<Reply>, CommandError> {
    for key in keys {
        if let Some(taken) = pop_elements(keyspace, db, access, key, end, count)? {
            let taken = taken.into_iter().map(|one| Reply::bulk_or_null(Some(one)));
            return Ok(Some(Reply::Array(vec![
                Reply::bulk(key),
                Reply::Array(taken.collect()),
            ])));
        }
    }
    Ok(None)
}

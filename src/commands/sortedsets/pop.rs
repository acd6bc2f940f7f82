//! The lowest and highest members: ZPOPMIN, ZPOPMAX, ZMPOP.

use crate::commands::numkeys::{Counted, parse_count};
use crate::commands::{CommandError, CommandResult, Context, Database};
use crate::keyspace::{EventClass, View};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Protocol, Reply};

/// Members with their scores.
pub(in crate::commands) type Popped = Vec<(Vec<u8>, f64)>;

/// An end of a sorted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extreme {
    /// The lowest scores.
    Min,
    /// The highest scores.
    Max,
}

pub(super) fn zpopmin(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, Extreme::Min)
}

pub(super) fn zpopmax(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, Extreme::Max)
}

fn pop(ctx: &mut Context<'_>, args: Args<'_>, which: Extreme) -> CommandResult {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = match args.get(2) {
        None => 1,
        Some(word) => parse_i64(word)
            .and_then(|count| usize::try_from(count).ok())
            .ok_or(CommandError::text(
                "ERR value is out of range, must be positive",
            ))?,
    };
    let popped = pop_members(ctx.database(), &args[1], which, count)?;
    let popped = popped.unwrap_or_default().into_iter();
    // Pairs only where a count was given, and RESP3 can tell them apart.
    let paired = args.len() > 2 && ctx.out.protocol == Protocol::Resp3;
    Ok(if paired {
        pairs(popped)
    } else {
        Reply::Array(popped.flat_map(pair).collect())
    }
    .into())
}

fn pair((member, score): (Vec<u8>, f64)) -> [Reply; 2] {
    [Reply::Bulk(member.into()), Reply::Double(score)]
}

fn pairs(popped: impl Iterator<Item = (Vec<u8>, f64)>) -> Reply {
    Reply::Array(popped.map(|one| Reply::Array(pair(one).into())).collect())
}

/// Takes up to `count` members from an end; `None` where there is no such sorted set.
pub(in crate::commands) fn pop_members(
    database: Database<'_>,
    key: &[u8],
    which: Extreme,
    count: usize,
) -> Result<Option<Popped>, CommandError> {
    database.update_many([key], |keys| {
        let Some(present) = keys.view(0).map(View::sorted_set).transpose()? else {
            return Ok(None);
        };
        let len = present.len();
        let count = count.min(len);
        let owned = |(member, score): (&[u8], f64)| (member.to_vec(), score);
        let taken: Popped = match which {
            Extreme::Min => present.range(0..count).map(owned).collect(),
            Extreme::Max => present.range(len - count..len).rev().map(owned).collect(),
        };
        if count > 0 {
            let mut edit = keys.scores(0)?;
            for (member, score) in &taken {
                edit.remove_scored(member, *score)?;
            }
            let event = match which {
                Extreme::Min => "zpopmin",
                Extreme::Max => "zpopmax",
            };
            keys.changed(count);
            keys.event(0, EventClass::ZSET, event);
            if count == len {
                keys.event(0, EventClass::GENERIC, "del");
            }
        }
        Ok(Some(taken))
    })
}

pub(super) fn zmpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (keys, which, count) = parse_mpop(args, 1)?;
    let keys: Vec<&[u8]> = keys.keys(args).collect();
    let popped = pop_first(ctx.database(), &keys, which, count)?;
    Ok(popped.unwrap_or(Reply::NullArray).into())
}

/// Keys, end and count of ZMPOP and BZMPOP; the number of keys is word `at`.
pub(in crate::commands) fn parse_mpop(
    args: Args<'_>,
    at: usize,
) -> Result<(Counted, Extreme, usize), CommandError> {
    let keys = Counted::parse(args, at, "ERR numkeys should be greater than 0")?;
    let which = args.get(keys.end()).ok_or(CommandError::Syntax)?;
    let which = if which.eq_ignore_ascii_case(b"min") {
        Extreme::Min
    } else if which.eq_ignore_ascii_case(b"max") {
        Extreme::Max
    } else {
        return Err(CommandError::Syntax);
    };
    Ok((keys, which, parse_count(args, keys.end() + 1)?))
}

/// Takes up to `count` members from an end of the first of several sorted sets that has any: its name and they.
pub(in crate::commands) fn pop_first(
    database: Database<'_>,
    keys: &[&[u8]],
    which: Extreme,
    count: usize,
) -> Result<Option<Reply>, CommandError> {
    for key in keys {
        if let Some(taken) = pop_members(database, key, which, count)? {
            return Ok(Some(Reply::Array(vec![
                Reply::bulk(key),
                pairs(taken.into_iter()),
            ])));
        }
    }
    Ok(None)
}

//! Counting and removing ranges: ZCOUNT, ZLEXCOUNT, ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX.

use std::ops::Range;

use super::bounds::{NameRange, ScoreRange};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::lists::positions;
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{EventClass, Kind, Scores, View};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("zcount", Arity::Exactly(4), zcount)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.0.0")
        .summary("Counts the members of a range of scores")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("min", ArgumentKind::Double),
            Argument::new("max", ArgumentKind::Double),
        ]),
    Row::new("zlexcount", Arity::Exactly(4), zlexcount)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.8.9")
        .summary("Counts the members of a range of names")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("min", ArgumentKind::String),
            Argument::new("max", ArgumentKind::String),
        ]),
    Row::new("zremrangebyrank", Arity::Exactly(4), zremrangebyrank)
        .flags(Flags::WRITE)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::SortedSet, "2.0.0")
        .summary("Removes the members of a range of ranks")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("start", ArgumentKind::Integer),
            Argument::new("stop", ArgumentKind::Integer),
        ]),
    Row::new("zremrangebyscore", Arity::Exactly(4), zremrangebyscore)
        .flags(Flags::WRITE)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Removes the members of a range of scores")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("min", ArgumentKind::Double),
            Argument::new("max", ArgumentKind::Double),
        ]),
    Row::new("zremrangebylex", Arity::Exactly(4), zremrangebylex)
        .flags(Flags::WRITE)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::SortedSet, "2.8.9")
        .summary("Removes the members of a range of names")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("min", ArgumentKind::String),
            Argument::new("max", ArgumentKind::String),
        ]),
];

fn zcount(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let range = ScoreRange::parse(&args[2], &args[3])?;
    count(ctx, args, |scores| range.ranks(scores))
}

fn zlexcount(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let range = NameRange::parse(&args[2], &args[3])?;
    count(ctx, args, |scores| range.ranks(scores))
}

fn count(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    ranks: impl FnOnce(Scores<'_>) -> Range<usize>,
) -> CommandResult {
    let count = ctx.sorted_set(&args[1], |scores, _| {
        Ok(scores.map_or(0, |scores| ranks(scores).len()))
    })?;
    Ok(Reply::count(count).into())
}

fn zremrangebyrank(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let start = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    let end = parse_i64(&args[3]).ok_or(CommandError::NotAnInteger)?;
    remove(ctx, args, "zremrangebyrank", |scores| {
        positions(start, end, scores.len())
    })
}

fn zremrangebyscore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let range = ScoreRange::parse(&args[2], &args[3])?;
    remove(ctx, args, "zremrangebyscore", |scores| range.ranks(scores))
}

fn zremrangebylex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let range = NameRange::parse(&args[2], &args[3])?;
    remove(ctx, args, "zremrangebylex", |scores| range.ranks(scores))
}

fn remove(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    event: &'static str,
    ranks: impl Fn(Scores<'_>) -> Range<usize>,
) -> CommandResult {
    let database = ctx.database();
    let removed = database.update_one(&args[1], Kind::SortedSet, |keys| {
        let Some(scores) = keys.view().map(View::sorted_set).transpose()? else {
            return Ok(0);
        };
        let ranks = ranks(scores);
        let whole = ranks.len() == scores.len();
        let removed = ranks.len();
        if removed == 0 {
            return Ok(0);
        }
        if whole {
            keys.remove();
        } else {
            let members: Vec<(Vec<u8>, f64)> = scores
                .range(ranks)
                .map(|(member, score)| (member.to_vec(), score))
                .collect();
            let mut edit = keys.scores()?;
            for (member, score) in members {
                edit.remove_scored(&member, score)?;
            }
        }
        keys.set_dirty(removed);
        keys.event(EventClass::ZSET, event);
        if whole {
            keys.event(EventClass::GENERIC, "del");
        }
        Ok(removed)
    })?;
    Ok(Reply::count(removed).into())
}

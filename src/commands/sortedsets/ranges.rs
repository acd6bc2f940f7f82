//! Ranges of members: ZRANGE in all its forms, ZRANGESTORE, and the older commands for each form.

use std::ops::Range;

use super::bounds::{NameRange, ScoreRange};
use super::{store_members, write_members};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::lists::positions;
use crate::commands::row::Row;
use crate::commands::sources::{self, DESTINATION, SOURCE};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Kind, Scores, View};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

const KEYS: &[KeySpec] = &[KeySpec::first(&["RO", "access"])];

const SORT_BY: Argument = Argument::new(
    "sortby",
    ArgumentKind::OneOf(&[
        Argument::token("byscore", "BYSCORE"),
        Argument::token("bylex", "BYLEX"),
    ]),
)
.optional();
const LIMIT: Argument = Argument::new(
    "offset_count",
    ArgumentKind::Block(&[
        Argument::new("offset", ArgumentKind::Integer),
        Argument::new("count", ArgumentKind::Integer),
    ]),
)
.with_token("LIMIT")
.optional();
const WITH_SCORES: Argument = Argument::token("withscores", "WITHSCORES").optional();

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("zrange", Arity::AtLeast(4), zrange)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(KEYS)
        .group(Group::SortedSet, "1.2.0")
        .summary("Returns the members of a range of ranks, scores or names")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("start", ArgumentKind::String),
            Argument::new("stop", ArgumentKind::String),
            SORT_BY.since("6.2.0"),
            Argument::token("rev", "REV").optional().since("6.2.0"),
            LIMIT.since("6.2.0"),
            WITH_SCORES,
        ])
        .history(&[(
            "6.2.0",
            "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.",
        )]),
    Row::new("zrangestore", Arity::AtLeast(5), zrangestore)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::COPIES))
        .categories(Categories::SORTEDSET)
        .keys(&[
            KeySpec::first(&["OW", "update"]),
            KeySpec::range(&["RO", "access"], 2, 0, 1),
        ])
        .group(Group::SortedSet, "6.2.0")
        .summary("Stores the members of a range of ranks, scores or names")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::new("dst", ArgumentKind::Key(0)),
            Argument::new("src", ArgumentKind::Key(1)),
            Argument::new("min", ArgumentKind::String),
            Argument::new("max", ArgumentKind::String),
            SORT_BY,
            Argument::token("rev", "REV").optional(),
            LIMIT,
        ]),
    Row::new("zrevrange", Arity::AtLeast(4), zrevrange)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(KEYS)
        .group(Group::SortedSet, "1.2.0")
        .summary("Returns the members of a range of ranks, from the highest score down")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("start", ArgumentKind::Integer),
            Argument::new("stop", ArgumentKind::Integer),
            WITH_SCORES,
        ])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` argument"),
    Row::new("zrangebyscore", Arity::AtLeast(4), zrangebyscore)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(KEYS)
        .group(Group::SortedSet, "1.0.5")
        .summary("Returns the members of a range of scores")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("min", ArgumentKind::Double),
            Argument::new("max", ArgumentKind::Double),
            WITH_SCORES.since("2.0.0"),
            LIMIT,
        ])
        .history(&[("2.0.0", "Added the `WITHSCORES` modifier.")])
        .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument"),
    Row::new("zrevrangebyscore", Arity::AtLeast(4), zrevrangebyscore)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(KEYS)
        .group(Group::SortedSet, "2.2.0")
        .summary("Returns the members of a range of scores, from the highest down")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("max", ArgumentKind::Double),
            Argument::new("min", ArgumentKind::Double),
            WITH_SCORES,
            LIMIT,
        ])
        .history(&[("2.1.6", "`min` and `max` can be exclusive.")])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments"),
    Row::new("zrangebylex", Arity::AtLeast(4), zrangebylex)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(KEYS)
        .group(Group::SortedSet, "2.8.9")
        .summary("Returns the members of a range of names")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("min", ArgumentKind::String),
            Argument::new("max", ArgumentKind::String),
            LIMIT,
        ])
        .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument"),
    Row::new("zrevrangebylex", Arity::AtLeast(4), zrevrangebylex)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(KEYS)
        .group(Group::SortedSet, "2.8.9")
        .summary("Returns the members of a range of names, from the last one back")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("max", ArgumentKind::String),
            Argument::new("min", ArgumentKind::String),
            LIMIT,
        ])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments"),
];

/// What the bounds of a range are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Name,
}

/// A call for a range.
struct Wanted<'a> {
    range: WantedRange<'a>,
    reversed: bool,
    /// Members of the range to leave out first; negative for all.
    offset: i64,
    /// Members wanted; negative for all.
    limit: i64,
    with_scores: bool,
}

enum WantedRange<'a> {
    Ranks(i64, i64),
    Scores(ScoreRange),
    Names(NameRange<'a>),
}

/// What the command's name says of the form, before the arguments are read.
#[derive(Clone, Copy)]
struct Form {
    /// Where the bounds stand.
    at: usize,
    /// `None` if the arguments decide.
    by: Option<By>,
    /// `None` if the arguments decide.
    reversed: Option<bool>,
    stores: bool,
}

impl<'a> Wanted<'a> {
    fn parse(args: Args<'a>, form: Form) -> Result<Self, CommandError> {
        let Form { at, stores, .. } = form;
        let mut by = form.by;
        let mut reversed = form.reversed;
        let mut limits = None;
        let mut with_scores = false;
        let mut rest = args.from(at + 2);
        while let Some(argument) = rest.next() {
            if !stores && argument.eq_ignore_ascii_case(b"withscores") {
                with_scores = true;
            } else if argument.eq_ignore_ascii_case(b"limit") {
                let (Some(offset), Some(limit)) = (rest.next(), rest.next()) else {
                    return Err(CommandError::Syntax);
                };
                let number = |argument| parse_i64(argument).ok_or(CommandError::NotAnInteger);
                limits = Some((number(offset)?, number(limit)?));
            } else if reversed.is_none() && argument.eq_ignore_ascii_case(b"rev") {
                reversed = Some(true);
            } else if by.is_none() && argument.eq_ignore_ascii_case(b"byscore") {
                by = Some(By::Score);
            } else if by.is_none() && argument.eq_ignore_ascii_case(b"bylex") {
                by = Some(By::Name);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        let by = by.unwrap_or(By::Rank);
        let reversed = reversed.unwrap_or(false);
        if limits.is_some_and(|(_, limit)| limit != -1) && by == By::Rank {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Name {
            return Err(CommandError::text(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let argument = |at| args.get(at).unwrap_or_default();
        let (mut min, mut max) = (argument(at), argument(at + 1));
        if reversed && by != By::Rank {
            std::mem::swap(&mut min, &mut max);
        }
        let number = |argument| parse_i64(argument).ok_or(CommandError::NotAnInteger);
        let range = match by {
            By::Rank => WantedRange::Ranks(number(min)?, number(max)?),
            By::Score => WantedRange::Scores(ScoreRange::parse(min, max)?),
            By::Name => WantedRange::Names(NameRange::parse(min, max)?),
        };
        let (offset, limit) = match by {
            By::Rank => (0, -1),
            _ => limits.unwrap_or((0, -1)),
        };
        Ok(Self {
            range,
            reversed,
            offset,
            limit,
            with_scores,
        })
    }

    /// The ranks of the wanted members, counted from the lowest score.
    fn ranks(&self, scores: Scores<'_>) -> Range<usize> {
        let all = match &self.range {
            WantedRange::Ranks(start, end) => {
                let len = scores.len();
                let ranks = positions(*start, *end, len);
                if self.reversed {
                    return len - ranks.end..len - ranks.start;
                }
                return ranks;
            }
            WantedRange::Scores(range) => range.ranks(scores),
            WantedRange::Names(range) => range.ranks(scores),
        };
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let offset = offset.min(all.len());
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let len = limit.min(all.len() - offset);
        if self.reversed {
            let end = all.end - offset;
            end - len..end
        } else {
            let start = all.start + offset;
            start..start + len
        }
    }

    fn members<'s>(&self, scores: Scores<'s>) -> Vec<(&'s [u8], f64)> {
        let members = scores.range(self.ranks(scores));
        if self.reversed {
            members.rev().collect()
        } else {
            members.collect()
        }
    }
}

fn range(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    by: Option<By>,
    reversed: Option<bool>,
) -> CommandResult {
    let form = Form {
        at: 2,
        by,
        reversed,
        stores: false,
    };
    let wanted = Wanted::parse(args, form)?;
    ctx.sorted_set(&args[1], |scores, out| {
        let members = scores.map(|scores| wanted.members(scores));
        let members = members.unwrap_or_default();
        write_members(out, members.into_iter(), wanted.with_scores);
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn zrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, None, None)
}

fn zrevrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, Some(By::Rank), Some(true))
}

fn zrangebyscore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, Some(By::Score), Some(false))
}

fn zrevrangebyscore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, Some(By::Score), Some(true))
}

fn zrangebylex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, Some(By::Name), Some(false))
}

fn zrevrangebylex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, Some(By::Name), Some(true))
}

fn zrangestore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let form = Form {
        at: 3,
        by: None,
        reversed: None,
        stores: true,
    };
    let wanted = Wanted::parse(args, form)?;
    let mut found = Vec::new();
    let stored = ctx.update_many([&args[1], &args[2]], |keys| {
        found = sources::look_up(keys, |_| true);
        let mut new = keys.build(DESTINATION, Kind::SortedSet);
        let source = keys.view(SOURCE).map(View::sorted_set).transpose()?;
        let members = source.map(|source| wanted.members(source));
        store_members(&mut new, &members.unwrap_or_default())?;
        let len = sources::store(keys, new, EventClass::ZSET, "zrangestore")?;
        Ok(len)
    });
    ctx.count_lookups(found);
    Ok(Reply::count(stored?).into())
}

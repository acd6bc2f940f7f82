//! The lowest and highest members: ZPOPMIN, ZPOPMAX, ZMPOP.

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::numkeys::{Counted, parse_count};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Database, Outcome};
use crate::keyspace::{ElementChange, End, EventClass, Kind, OneUpdate, View};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Protocol, Reply, ReplyBuffer};

/// The arguments of ZPOPMIN and ZPOPMAX.
const POPPED: &[Argument] = &[
    Argument::key(),
    Argument::new("count", ArgumentKind::Integer).optional(),
];
/// The argument that names an end of the scores.
pub(in crate::commands) const EXTREME: Argument = Argument::new(
    "where",
    ArgumentKind::OneOf(&[Argument::token("min", "MIN"), Argument::token("max", "MAX")]),
);

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("zpopmin", Arity::AtLeast(2), zpopmin)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "access", "delete"])])
        .group(Group::SortedSet, "5.0.0")
        .summary("Removes the members with the lowest scores and returns them")
        .complexity("O(log(N)*M)")
        .arguments(POPPED),
    Row::new("zpopmax", Arity::AtLeast(2), zpopmax)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "access", "delete"])])
        .group(Group::SortedSet, "5.0.0")
        .summary("Removes the members with the highest scores and returns them")
        .complexity("O(log(N)*M)")
        .arguments(POPPED),
    Row::new("zmpop", Arity::AtLeast(4), zmpop)
        .flags(Flags::WRITE.union(Flags::MOVABLEKEYS))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::counted(&["RW", "access", "delete"], 1)])
        .group(Group::SortedSet, "7.0.0")
        .summary(
            "Removes members from the first of several sorted sets that has any, \
             and returns them",
        )
        .complexity("O(K) + O(M*log(N))")
        .arguments(&[
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::key().multiple(),
            EXTREME,
            Argument::new("count", ArgumentKind::Integer)
                .with_token("COUNT")
                .optional(),
        ]),
];

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

impl Extreme {
    /// The end of the members in the order of their scores.
    fn end(self) -> End {
        match self {
            Self::Min => End::Head,
            Self::Max => End::Tail,
        }
    }

    fn event(self) -> &'static str {
        match self {
            Self::Min => "zpopmin",
            Self::Max => "zpopmax",
        }
    }
}

fn zpopmin(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, Extreme::Min)
}

fn zpopmax(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, Extreme::Max)
}

fn pop(ctx: &mut Context<'_>, args: Args<'_>, which: Extreme) -> CommandResult {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = match args.get(2) {
        None => 1,
        Some(argument) => parse_i64(argument)
            .and_then(|count| usize::try_from(count).ok())
            .ok_or(CommandError::text(
                "ERR value is out of range, must be positive",
            ))?,
    };
    let (database, key) = (ctx.database(), &args[1]);
    let one = |out: &mut ReplyBuffer, set: &mut ElementChange<'_>| {
        if args.len() > 2 {
            return Ok(None);
        }
        let taken = set.pop_scored(which.end(), |member, score| {
            out.array_header(2);
            out.bulk(member);
            out.double(score);
        })?;
        if taken.is_some() {
            set.tell(EventClass::ZSET, which.event(), 1);
        }
        Ok(taken.map(|()| None))
    };
    let popped = database.change_element(key, Kind::SortedSet, &mut *ctx.out, one, |_, keys| {
        let taken = take_members(database, key, keys, which, count)?;
        Ok(Some(taken.unwrap_or_default()))
    })?;
    let Some(popped) = popped else {
        return Ok(Outcome::Written);
    };
    let popped = popped.into_iter();
    // Redis answers pairs only for a call with a count, in RESP3.
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

/// Takes up to `count` members from an end; `None` if the key is missing.
pub(in crate::commands) fn pop_members(
    database: Database<'_>,
    key: &[u8],
    which: Extreme,
    count: usize,
) -> Result<Option<Popped>, CommandError> {
    database.update_one(key, Kind::SortedSet, |keys| {
        take_members(database, key, keys, which, count)
    })
}

fn take_members(
    database: Database<'_>,
    key: &[u8],
    keys: &mut OneUpdate<'_, '_>,
    which: Extreme,
    count: usize,
) -> Result<Option<Popped>, CommandError> {
    let Some(present) = keys.view().map(View::sorted_set).transpose()? else {
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
        let mut edit = keys.scores()?;
        for (member, score) in &taken {
            edit.remove_scored(member, *score)?;
        }
        let event = which.event();
        if database.is_followed() {
            let count = count.to_string();
            database.effect(&[event.as_bytes(), key, count.as_bytes()]);
        }
        keys.set_dirty(count);
        keys.event(EventClass::ZSET, event);
        if count == len {
            keys.event(EventClass::GENERIC, "del");
        }
    }
    Ok(Some(taken))
}

fn zmpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (keys, which, count) = parse_mpop(args, 1)?;
    let keys: Vec<&[u8]> = keys.keys(args).collect();
    let popped = pop_first(ctx.database(), &keys, which, count)?;
    Ok(popped.unwrap_or(Reply::NullArray).into())
}

/// Keys, end and count of ZMPOP and BZMPOP; the number of keys is argument `at`.
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

/// Takes up to `count` members from an end of the first of several sorted sets that has any. Answers its name and the
/// members.
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

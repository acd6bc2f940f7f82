//! Single members: ZREM, ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK, ZRANDMEMBER, ZSCAN.

use super::write_members;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::draw::{Draw, different};
use crate::commands::row::Row;
use crate::commands::scan::{ELEMENT_SCAN, Walked, scan_elements};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::random_below;
use crate::numbers::format_double;
use crate::protocol::{Args, Reply};

/// The arguments of ZRANK and ZREVRANK.
const RANKED: &[Argument] = &[
    Argument::key(),
    Argument::new("member", ArgumentKind::String),
    Argument::token("withscore", "WITHSCORE")
        .since("7.2.0")
        .optional(),
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("zrem", Arity::AtLeast(3), zrem)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Removes members of a sorted set")
        .complexity("O(M*log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ])
        .history(&[("2.4.0", "Accepts multiple elements.")]),
    Row::new("zcard", Arity::Exactly(2), zcard)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Counts the members of a sorted set")
        .complexity("O(1)")
        .arguments(&[Argument::key()]),
    Row::new("zscore", Arity::Exactly(3), zscore)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Returns a member's score")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String),
        ]),
    Row::new("zmscore", Arity::AtLeast(3), zmscore)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "6.2.0")
        .summary("Returns the scores of several members")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ]),
    Row::new("zrank", Arity::AtLeast(3), zrank)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.0.0")
        .summary("Returns how many members have a lower score than one")
        .complexity("O(log(N))")
        .arguments(RANKED)
        .history(&[("7.2.0", "Added the optional `WITHSCORE` argument.")]),
    Row::new("zrevrank", Arity::AtLeast(3), zrevrank)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.0.0")
        .summary("Returns how many members have a higher score than one")
        .complexity("O(log(N))")
        .arguments(RANKED)
        .history(&[("7.2.0", "Added the optional `WITHSCORE` argument.")]),
    Row::new("zrandmember", Arity::AtLeast(2), zrandmember)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "6.2.0")
        .summary("Returns members drawn at random")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "options",
                ArgumentKind::Block(&[
                    Argument::new("count", ArgumentKind::Integer),
                    Argument::token("withscores", "WITHSCORES").optional(),
                ]),
            )
            .optional(),
        ])
        .tips(&["nondeterministic_output"]),
    Row::new("zscan", Arity::AtLeast(3), zscan)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.8.0")
        .summary("Walks the members of a sorted set, a few at a time")
        .complexity("O(1)")
        .arguments(ELEMENT_SCAN)
        .tips(&["nondeterministic_output"]),
];

fn zrem(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let removed = ctx.change_sorted_set(&args[1], "zrem", |scores| {
        let mut removed = 0;
        for member in args.from(2) {
            removed += usize::from(scores.remove(member)?);
        }
        Ok((removed, removed))
    })?;
    Ok(Reply::count(removed).into())
}

fn zcard(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let len = ctx.sorted_set(&args[1], |scores, _| {
        Ok(scores.map_or(0, |scores| scores.len()))
    })?;
    Ok(Reply::count(len).into())
}

fn zscore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.sorted_set(&args[1], |scores, out| {
        let score = scores.map(|scores| scores.score(&args[2])).transpose()?;
        match score.flatten() {
            Some(score) => out.double(score),
            None => out.null(),
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn zmscore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.sorted_set(&args[1], |scores, out| {
        out.array_header(args.len() - 2);
        for member in args.from(2) {
            let score = scores.map(|scores| scores.score(member)).transpose()?;
            match score.flatten() {
                Some(score) => out.double(score),
                None => out.null(),
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn zrank(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    rank(ctx, args, false)
}

fn zrevrank(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    rank(ctx, args, true)
}

fn rank(ctx: &mut Context<'_>, args: Args<'_>, reversed: bool) -> CommandResult {
    if args.len() > 4 {
        let name = if reversed { "zrevrank" } else { "zrank" };
        return Err(CommandError::WrongArity(name.to_owned()));
    }
    let with_score = match args.get(3) {
        None => false,
        Some(argument) if argument.eq_ignore_ascii_case(b"withscore") => true,
        Some(_) => return Err(CommandError::Syntax),
    };
    ctx.sorted_set(&args[1], |scores, out| {
        let found = match scores {
            None => None,
            Some(scores) => scores.score(&args[2])?.map(|score| (scores, score)),
        };
        let Some((scores, score)) = found else {
            if with_score {
                out.null_array();
            } else {
                out.null();
            }
            return Ok(());
        };
        let rank = scores.rank(score, &args[2]);
        let rank = if reversed {
            scores.len() - 1 - rank
        } else {
            rank
        };
        if with_score {
            out.array_header(2);
        }
        out.reply(&Reply::count(rank));
        if with_score {
            out.double(score);
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn zrandmember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let Some(count) = args.get(2) else {
        ctx.sorted_set(&args[1], |scores, out| {
            let drawn = scores.and_then(|scores| {
                let rank = random_below(scores.len());
                scores.range(rank..rank + 1).next()
            });
            match drawn {
                Some((member, _)) => out.bulk(member),
                None => out.null(),
            }
            Ok(())
        })?;
        return Ok(Outcome::Written);
    };
    let draw = Draw::parse(count)?;
    let with_scores = match args.get(3) {
        None => false,
        Some(argument) if args.len() == 4 && argument.eq_ignore_ascii_case(b"withscores") => true,
        Some(_) => return Err(CommandError::Syntax),
    };
    if with_scores {
        draw.check_pairs()?;
    }
    ctx.sorted_set(&args[1], |scores, out| {
        let Some(scores) = scores else {
            out.array_header(0);
            return Ok(());
        };
        let len = scores.len();
        let at = |rank| {
            let member = scores.range(rank..rank + 1).next();
            member.unwrap_or_default()
        };
        match draw {
            Draw::Different(count) if count >= len => {
                write_members(out, (0..len).map(at), with_scores);
            }
            Draw::Different(count) => {
                let ranks = different(count, len).into_iter();
                write_members(out, ranks.map(at), with_scores);
            }
            // They may be many more than there are members.
            Draw::Repeated(count) => {
                let drawn = (0..count).map(|_| at(random_below(len)));
                write_members(out, drawn, with_scores);
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn zscan(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    scan_elements(ctx, args, |view, step| {
        let scores = view.sorted_set()?;
        let (cursor, count) = step.begin(Walked::Members)?;
        let mut members = Vec::new();
        let mut bytes = 0;
        let next = scores.scan(cursor, count, |member| {
            if step.has_room(bytes) && step.wants(member) {
                bytes += member.len();
                members.push(member.to_vec());
            }
        })?;
        for member in members {
            if let Some(score) = scores.score(&member)? {
                step.push(&member);
                step.push(format_double(score).as_bytes());
            }
        }
        Ok(next)
    })
}

//! Single members: ZREM, ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK, ZRANDMEMBER, ZSCAN.

use super::write_members;
use crate::commands::draw::{Draw, different};
use crate::commands::scan::scan_elements;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::random_below;
use crate::numbers::format_double;
use crate::protocol::{Args, Reply};

pub(super) fn zrem(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let removed = ctx.change_sorted_set(&args[1], "zrem", |scores| {
        let mut removed = 0;
        for member in args.from(2) {
            removed += usize::from(scores.remove(member)?);
        }
        Ok((removed, removed))
    })?;
    Ok(Reply::count(removed).into())
}

pub(super) fn zcard(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let len = ctx.sorted_set(&args[1], |scores, _| {
        Ok(scores.map_or(0, |scores| scores.len()))
    })?;
    Ok(Reply::count(len).into())
}

pub(super) fn zscore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
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

pub(super) fn zmscore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
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

pub(super) fn zrank(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    rank(ctx, args, false)
}

pub(super) fn zrevrank(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    rank(ctx, args, true)
}

fn rank(ctx: &mut Context<'_>, args: Args<'_>, reversed: bool) -> CommandResult {
    if args.len() > 4 {
        let name = if reversed { "zrevrank" } else { "zrank" };
        return Err(CommandError::WrongArity(name.to_owned()));
    }
    let with_score = match args.get(3) {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"withscore") => true,
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

pub(super) fn zrandmember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
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
        Some(word) if args.len() == 4 && word.eq_ignore_ascii_case(b"withscores") => true,
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
        let ranks: Vec<usize> = match draw {
            Draw::Different(count) if count >= len => (0..len).collect(),
            Draw::Different(count) => different(count, len),
            Draw::Repeated(count) => (0..count).map(|_| random_below(len)).collect(),
        };
        let drawn: Vec<(&[u8], f64)> = ranks
            .into_iter()
            .filter_map(|rank| scores.range(rank..rank + 1).next())
            .collect();
        write_members(out, drawn.into_iter(), with_scores);
        Ok(())
    })?;
    Ok(Outcome::Written)
}

pub(super) fn zscan(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    scan_elements(ctx, args, |view, step| {
        let scores = view.sorted_set()?;
        let (cursor, count) = step.begin()?;
        let mut members = Vec::new();
        let mut bytes = 0;
        let next = scores.scan(cursor, count, |member| {
            if step.has_room(bytes) && step.wants(member) {
                bytes += member.len();
                members.push(member.to_vec());
            }
        });
        for member in members {
            if let Some(score) = scores.score(&member)? {
                step.push(&member);
                step.push(format_double(score).as_bytes());
            }
        }
        Ok(next)
    })
}

//! Ranges of members: ZRANGE in all its forms, ZRANGESTORE, and the older commands for each form.

use std::ops::Range;

use super::bounds::{NameRange, ScoreRange};
use super::{store_members, write_members};
use crate::commands::lists::positions;
use crate::commands::sources::{self, DESTINATION, SOURCE};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Kind, Scores, View};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

/// What a range is told by.
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

/// What is known of the form before the words are read.
#[derive(Clone, Copy)]
struct Form {
    /// Where the bounds stand.
    at: usize,
    /// `None` where words say it.
    by: Option<By>,
    /// `None` where words say it.
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
        let mut words = args.from(at + 2);
        while let Some(word) = words.next() {
            if !stores && word.eq_ignore_ascii_case(b"withscores") {
                with_scores = true;
            } else if word.eq_ignore_ascii_case(b"limit") {
                let (Some(offset), Some(limit)) = (words.next(), words.next()) else {
                    return Err(CommandError::Syntax);
                };
                let number = |word| parse_i64(word).ok_or(CommandError::NotAnInteger);
                limits = Some((number(offset)?, number(limit)?));
            } else if reversed.is_none() && word.eq_ignore_ascii_case(b"rev") {
                reversed = Some(true);
            } else if by.is_none() && word.eq_ignore_ascii_case(b"byscore") {
                by = Some(By::Score);
            } else if by.is_none() && word.eq_ignore_ascii_case(b"bylex") {
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
        let word = |at| args.get(at).unwrap_or_default();
        let (mut min, mut max) = (word(at), word(at + 1));
        if reversed && by != By::Rank {
            std::mem::swap(&mut min, &mut max);
        }
        let number = |word| parse_i64(word).ok_or(CommandError::NotAnInteger);
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

    /// The ranks of what is wanted, from the lowest score on.
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

pub(super) fn zrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, None, None)
}

pub(super) fn zrevrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, Some(By::Rank), Some(true))
}

pub(super) fn zrangebyscore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, Some(By::Score), Some(false))
}

pub(super) fn zrevrangebyscore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, Some(By::Score), Some(true))
}

pub(super) fn zrangebylex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, Some(By::Name), Some(false))
}

pub(super) fn zrevrangebylex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, Some(By::Name), Some(true))
}

pub(super) fn zrangestore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
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

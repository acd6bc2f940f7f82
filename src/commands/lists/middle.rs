//! The middle of a list: LSET, LINSERT, LREM, LTRIM, LPOS.

use std::ops::ControlFlow;

use super::reads::read;
use super::{list, position, positions, tell};
use crate::commands::numbers::parse_i64;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{End, EventClass, KeyspaceError, List};
use crate::protocol::{Args, Reply};

pub(super) fn lset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = [(ctx.session.db, &args[1])];
    ctx.keyspace.update_many(&key, ctx.access, |slots| {
        let present = list(slots, 0)?.ok_or(CommandError::NoSuchKey)?;
        let index = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
        let position =
            position(index, present.len()).ok_or(CommandError::text("ERR index out of range"))?;
        slots.list(0)?.set(position, &args[3]);
        slots.event(0, EventClass::LIST, "lset");
        Ok::<_, CommandError>(())
    })?;
    Ok(Reply::Ok.into())
}

/// The positions of up to `max` elements that equal `wanted`, from the head or from the tail.
fn find(
    list: List<'_>,
    wanted: &[u8],
    reversed: bool,
    mut each: impl FnMut(usize) -> ControlFlow<()>,
    looked_at_max: usize,
) -> Result<(), KeyspaceError> {
    let len = list.len();
    let mut looked_at = 0;
    list.for_range(0..len, reversed, |element| {
        let position = if reversed {
            len - 1 - looked_at
        } else {
            looked_at
        };
        looked_at += 1;
        if element == wanted {
            each(position)?;
        }
        if looked_at >= looked_at_max {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
}

pub(super) fn linsert(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let after = if args[2].eq_ignore_ascii_case(b"after") {
        true
    } else if args[2].eq_ignore_ascii_case(b"before") {
        false
    } else {
        return Err(CommandError::Syntax);
    };
    let key = [(ctx.session.db, &args[1])];
    let len = ctx.keyspace.update_many(&key, ctx.access, |slots| {
        let Some(present) = list(slots, 0)? else {
            return Ok::<_, KeyspaceError>(Some(0));
        };
        let mut pivot = None;
        let found = |position| {
            pivot = Some(position);
            ControlFlow::Break(())
        };
        find(present, &args[3], false, found, usize::MAX)?;
        let Some(pivot) = pivot else {
            return Ok(None);
        };
        let mut list = slots.list(0)?;
        list.insert(pivot + usize::from(after), &args[4]);
        let len = list.len();
        slots.event(0, EventClass::LIST, "linsert");
        Ok(Some(len))
    })?;
    Ok(len.map_or(Reply::Integer(-1), Reply::count).into())
}

pub(super) fn lrem(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let count = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    let max = match usize::try_from(count.unsigned_abs()) {
        Ok(0) => usize::MAX,
        Ok(max) => max,
        Err(_) => usize::MAX,
    };
    let key = [(ctx.session.db, &args[1])];
    let removed = ctx.keyspace.update_many(&key, ctx.access, |slots| {
        let Some(present) = list(slots, 0)? else {
            return Ok::<_, KeyspaceError>(0);
        };
        let mut found = Vec::new();
        let each = |position| {
            found.push(position);
            if found.len() >= max {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        find(present, &args[3], count < 0, each, usize::MAX)?;
        let removed = found.len();
        if removed > 0 {
            found.sort_unstable();
            slots.list(0)?.remove(found);
            tell(slots, 0, "lrem")?;
        }
        Ok(removed)
    })?;
    Ok(Reply::count(removed).into())
}

pub(super) fn ltrim(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let start = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    let end = parse_i64(&args[3]).ok_or(CommandError::NotAnInteger)?;
    let key = [(ctx.session.db, &args[1])];
    ctx.keyspace.update_many(&key, ctx.access, |slots| {
        let Some(present) = list(slots, 0)? else {
            return Ok::<_, KeyspaceError>(());
        };
        let len = present.len();
        let kept = positions(start, end, len);
        let mut list = slots.list(0)?;
        if kept.is_empty() {
            list.pop(End::Head, len);
        } else {
            list.pop(End::Head, kept.start);
            list.pop(End::Tail, len - kept.end);
        }
        tell(slots, 0, "ltrim")
    })?;
    Ok(Reply::Ok.into())
}

/// LPOS's options.
struct Wanted {
    /// Matches before the first one that counts; from the tail where `reversed`.
    skipped: usize,
    reversed: bool,
    /// How many are wanted at most; `None` where one is, and is told alone.
    count: Option<usize>,
    looked_at_max: usize,
}

impl Wanted {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut wanted = Self {
            skipped: 0,
            reversed: false,
            count: None,
            looked_at_max: usize::MAX,
        };
        let mut words = args.from(3);
        while let Some(word) = words.next() {
            let Some(value) = words.next() else {
                return Err(CommandError::Syntax);
            };
            let limit = |text: &'static str| {
                let number = parse_i64(value).ok_or(CommandError::NotAnInteger)?;
                let number = usize::try_from(number).map_err(|_| CommandError::text(text))?;
                Ok::<_, CommandError>(if number == 0 { usize::MAX } else { number })
            };
            if word.eq_ignore_ascii_case(b"rank") {
                let rank = parse_i64(value).ok_or(CommandError::NotAnInteger)?;
                if rank == i64::MIN {
                    return Err(CommandError::text(
                        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
                    ));
                }
                let skipped = rank.unsigned_abs().checked_sub(1).ok_or(CommandError::text(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
                ))?;
                wanted.reversed = rank < 0;
                wanted.skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
            } else if word.eq_ignore_ascii_case(b"count") {
                wanted.count = Some(limit("ERR COUNT can't be negative")?);
            } else if word.eq_ignore_ascii_case(b"maxlen") {
                wanted.looked_at_max = limit("ERR MAXLEN can't be negative")?;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(wanted)
    }
}

pub(super) fn lpos(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut wanted = Wanted::parse(args)?;
    let found = read(ctx, args, |list| {
        let mut found = Vec::new();
        let max = wanted.count.unwrap_or(1);
        let each = |position| {
            if wanted.skipped > 0 {
                wanted.skipped -= 1;
                return ControlFlow::Continue(());
            }
            found.push(position);
            if found.len() >= max {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        find(list, &args[2], wanted.reversed, each, wanted.looked_at_max)?;
        Ok(found)
    })?;
    let mut found = found.unwrap_or_default().into_iter().map(Reply::count);
    Ok(match wanted.count {
        None => found.next().unwrap_or(Reply::Null),
        Some(_) => Reply::Array(found.collect()),
    }
    .into())
}

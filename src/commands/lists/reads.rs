//! Looking at lists: LLEN, LRANGE, LINDEX.

use std::ops::ControlFlow;

use super::{position, positions};
use crate::commands::numbers::parse_i64;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{List, View};
use crate::protocol::{Args, Reply};

/// Runs `f` on the list that word 1 names; `None` where there is none.
pub(super) fn read<R>(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    f: impl FnOnce(List<'_>) -> Result<R, CommandError>,
) -> Result<Option<R>, CommandError> {
    ctx.view(&args[1], |view, _| {
        view.map(View::list).transpose()?.map(f).transpose()
    })
}

pub(super) fn llen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let len = read(ctx, args, |list| Ok(list.len()))?;
    Ok(Reply::count(len.unwrap_or(0)).into())
}

pub(super) fn lindex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let index = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    let element = read(ctx, args, |list| {
        let position = position(index, list.len());
        let element = position.map(|position| list.get(position, <[u8]>::to_vec));
        Ok(element.transpose()?.flatten())
    })?;
    Ok(Reply::bulk_or_null(element.flatten()).into())
}

pub(super) fn lrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let start = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    let end = parse_i64(&args[3]).ok_or(CommandError::NotAnInteger)?;
    ctx.view(&args[1], |view, out| {
        let Some(list) = view.map(View::list).transpose()? else {
            out.array_header(0);
            return Ok(());
        };
        let positions = positions(start, end, list.len());
        out.array_header(positions.len());
        list.for_range(positions, false, |element| {
            out.bulk(element);
            ControlFlow::Continue(())
        })?;
        Ok(())
    })?;
    Ok(Outcome::Written)
}

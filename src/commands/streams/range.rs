//! XLEN, XRANGE, XREVRANGE.

use super::entries::Collected;
use super::ids::{parse_end, parse_start};
use super::{COUNT, READ_KEY, row};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

const START: Argument = Argument::new("start", ArgumentKind::String);
const END: Argument = Argument::new("end", ArgumentKind::String);

pub(in crate::commands) static COMMANDS: &[Row] = &[
    row(
        "xlen",
        Arity::Exactly(2),
        Flags::READONLY.union(Flags::FAST),
        "5.0.0",
        "Returns how many entries a stream has",
        "O(1)",
        xlen,
    )
    .keys(&[KeySpec::first(&["RO"])])
    .arguments(&[Argument::key()]),
    row(
        "xrange",
        Arity::AtLeast(4),
        Flags::READONLY,
        "5.0.0",
        "Returns the entries of a stream whose IDs are in a range",
        "O(N) for N entries returned",
        xrange,
    )
    .keys(READ_KEY)
    .arguments(&[Argument::key(), START, END, COUNT])
    .history(&[("6.2.0", "Added exclusive ranges.")]),
    row(
        "xrevrange",
        Arity::AtLeast(4),
        Flags::READONLY,
        "5.0.0",
        "Returns the entries of a stream whose IDs are in a range, the highest ID first",
        "O(N) for N entries returned",
        xrevrange,
    )
    .keys(READ_KEY)
    .arguments(&[Argument::key(), END, START, COUNT])
    .history(&[("6.2.0", "Added exclusive ranges.")]),
];

fn xlen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let len = ctx.stream(&args[1], |stream, _| {
        Ok(stream.map_or(0, |stream| stream.len()))
    })?;
    Ok(Reply::Integer(i64::try_from(len).unwrap_or(i64::MAX)).into())
}

fn xrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, false)
}

fn xrevrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, true)
}

fn range(ctx: &mut Context<'_>, args: Args<'_>, reversed: bool) -> CommandResult {
    let (start, end) = if reversed { (3, 2) } else { (2, 3) };
    let start = parse_start(&args[start])?;
    let end = parse_end(&args[end])?;
    let count = parse_count(args)?;
    let found = ctx.stream(&args[1], |stream, out| {
        let Some(stream) = stream else {
            return Ok(Some(Collected::Data(Vec::new())));
        };
        if count == Some(0) {
            return Ok(None);
        }
        let mut found = Collected::Encoded(out.part(), 0);
        found.add_range(stream, (start, end), reversed, count.unwrap_or(0))?;
        Ok(Some(found))
    })?;
    let Some(found) = found else {
        return Ok(Reply::NullArray.into());
    };
    found.write(ctx.out);
    Ok(Outcome::Written)
}

/// The count; of several the last one counts.
fn parse_count(args: Args<'_>) -> Result<Option<usize>, CommandError> {
    let mut count = None;
    let mut rest = args.from(4);
    while let Some(option) = rest.next() {
        let number = rest
            .next()
            .filter(|_| option.eq_ignore_ascii_case(b"count"));
        let number = number.ok_or(CommandError::Syntax)?;
        let number = parse_i64(number).ok_or(CommandError::NotAnInteger)?;
        count = Some(usize::try_from(number).unwrap_or(0));
    }
    Ok(count)
}

//! Numbers held in strings: INCR and its relatives.

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Kind, StringForm, StringView};
use crate::numbers::{Extended, INTEGER_BYTES_MAX, parse_i64};
use crate::protocol::{Args, Reply};

const FLAGS: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);
const KEYS: &[KeySpec] = &[KeySpec::first(&["RW", "access", "update"])];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("incr", Arity::Exactly(2), incr)
        .flags(FLAGS)
        .categories(Categories::STRING)
        .keys(KEYS)
        .group(Group::String, "1.0.0")
        .summary("Adds one to the integer of a key; a missing key counts as 0")
        .complexity("O(1)")
        .arguments(&[Argument::key()]),
    Row::new("decr", Arity::Exactly(2), decr)
        .flags(FLAGS)
        .categories(Categories::STRING)
        .keys(KEYS)
        .group(Group::String, "1.0.0")
        .summary("Takes one from the integer of a key; a missing key counts as 0")
        .complexity("O(1)")
        .arguments(&[Argument::key()]),
    Row::new("incrby", Arity::Exactly(3), incrby)
        .flags(FLAGS)
        .categories(Categories::STRING)
        .keys(KEYS)
        .group(Group::String, "1.0.0")
        .summary("Adds to the integer of a key; a missing key counts as 0")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("increment", ArgumentKind::Integer),
        ]),
    Row::new("decrby", Arity::Exactly(3), decrby)
        .flags(FLAGS)
        .categories(Categories::STRING)
        .keys(KEYS)
        .group(Group::String, "1.0.0")
        .summary("Takes from the integer of a key; a missing key counts as 0")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("decrement", ArgumentKind::Integer),
        ]),
    Row::new("incrbyfloat", Arity::Exactly(3), incrbyfloat)
        .flags(FLAGS)
        .categories(Categories::STRING)
        .keys(KEYS)
        .group(Group::String, "2.6.0")
        .summary("Adds to the decimal number of a key; a missing key counts as 0")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("increment", ArgumentKind::Double),
        ]),
];

fn incr(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    add(ctx, &args[1], 1)
}

fn decr(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    add(ctx, &args[1], -1)
}

fn incrby(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let increment = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    add(ctx, &args[1], increment)
}

fn decrby(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let decrement = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    let increment = decrement
        .checked_neg()
        .ok_or(CommandError::DecrementOverflow)?;
    add(ctx, &args[1], increment)
}

fn add(ctx: &mut Context<'_>, key: &[u8], increment: i64) -> CommandResult {
    let read = |string: StringView<'_>| {
        let digits = string.whole_up_to(INTEGER_BYTES_MAX)?;
        let number = digits.and_then(|digits| parse_i64(&digits));
        let number = number.ok_or(CommandError::NotAnInteger)?;
        Ok::<_, CommandError>((number, string.expires_at))
    };
    let sum = ctx.update_string(key, read, |key, current| {
        let (number, expires_at) = current.transpose()?.unwrap_or((0, None));
        let sum = number
            .checked_add(increment)
            .ok_or(CommandError::Overflow)?;
        let mut digits = itoa::Buffer::new();
        key.put(Kind::String, digits.format(sum).as_bytes(), expires_at)?;
        key.event(EventClass::STRING, "incrby");
        Ok(sum)
    })?;
    ctx.out.integer(sum);
    Ok(Outcome::Written)
}

fn incrbyfloat(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let increment = Extended::parse(&args[2]);
    let sum = ctx.update(&args[1], |key| {
        let current = key.read_string(|string| {
            let digits = string.whole_up_to(Extended::TEXT_BYTES_MAX)?;
            let number = digits.and_then(|digits| Extended::parse(&digits));
            let number = number.ok_or(CommandError::NotAFloat)?;
            Ok::<_, CommandError>((number, string.expires_at))
        })?;
        let (number, expires_at) = current.transpose()?.unwrap_or((Extended::ZERO, None));
        // Redis checks the value's type before the increment.
        let increment = increment.ok_or(CommandError::NotAFloat)?;
        let sum = number
            .checked_add(increment)
            .ok_or(CommandError::NanOrInfinity)?
            .to_string();
        key.put(StringForm::Text, sum.as_bytes(), expires_at)?;
        key.event(EventClass::STRING, "incrbyfloat");
        Ok(sum)
    })?;
    // Another server may round otherwise.
    ctx.effect(&[b"SET", &args[1], sum.as_bytes(), b"KEEPTTL"]);
    Ok(Reply::Bulk(sum.into()).into())
}

//! Numbers in hashes: HINCRBY, HINCRBYFLOAT.

use super::effects::FieldEffects;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{FieldsEdit, Millis};
use crate::numbers::{Extended, parse_i64};
use crate::protocol::{Args, Reply};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("hincrby", Arity::Exactly(4), hincrby)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "access", "update"])])
        .group(Group::Hash, "2.0.0")
        .summary("Adds an integer to a field's number")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String),
            Argument::new("increment", ArgumentKind::Integer),
        ]),
    Row::new("hincrbyfloat", Arity::Exactly(4), hincrbyfloat)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "access", "update"])])
        .group(Group::Hash, "2.6.0")
        .summary("Adds a floating-point number to a field's number")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String),
            Argument::new("increment", ArgumentKind::Double),
        ]),
];

/// Sets a field's number. Its deadline stays; returns it.
fn put_number(
    hash: &mut FieldsEdit<'_>,
    field: &[u8],
    number: &[u8],
) -> Result<Option<Millis>, CommandError> {
    let expires_at = hash.deadline(field)?.flatten();
    hash.put_until(field, number, expires_at)?;
    Ok(expires_at)
}

fn hincrby(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let increment = parse_i64(&args[3]).ok_or(CommandError::NotAnInteger)?;
    let sum = ctx.change_hash(&args[1], "hincrby", |hash| {
        let number = match hash.get(&args[2], parse_i64)? {
            None => 0,
            Some(number) => number.ok_or(CommandError::text("ERR hash value is not an integer"))?,
        };
        let sum = number
            .checked_add(increment)
            .ok_or(CommandError::Overflow)?;
        put_number(hash, &args[2], itoa::Buffer::new().format(sum).as_bytes())?;
        Ok((sum, 1))
    })?;
    Ok(Reply::Integer(sum).into())
}

fn hincrbyfloat(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let increment = Extended::parse(&args[3]).ok_or(CommandError::NotAFloat)?;
    if increment == Extended::Infinite {
        return Err(CommandError::text("ERR value is NaN or Infinity"));
    }
    let (sum, expires_at) = ctx.change_hash(&args[1], "hincrbyfloat", |hash| {
        let number = match hash.get(&args[2], Extended::parse)? {
            None => Extended::ZERO,
            Some(number) => number.ok_or(CommandError::text("ERR hash value is not a float"))?,
        };
        let sum = number
            .checked_add(increment)
            .ok_or(CommandError::NanOrInfinity)?
            .to_string();
        let expires_at = put_number(hash, &args[2], sum.as_bytes())?;
        Ok(((sum, expires_at), 1))
    })?;
    // Another server may round otherwise.
    let mut effects = FieldEffects::begin(ctx.database(), &args[1]);
    effects.sets(&args[2], sum.as_bytes(), expires_at);
    effects.finish();
    ctx.out.bulk(sum.as_bytes());
    Ok(Outcome::Written)
}

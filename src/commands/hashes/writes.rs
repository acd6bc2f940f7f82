//! Changing hashes: HSET, HMSET, HSETNX, HDEL.

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context};
use crate::protocol::{Args, Reply};

/// The arguments of HSET and HMSET.
const FIELDS_AND_VALUES: &[Argument] = &[
    Argument::key(),
    Argument::new(
        "field_value",
        ArgumentKind::Block(&[
            Argument::new("field", ArgumentKind::String),
            Argument::new("value", ArgumentKind::String),
        ]),
    )
    .multiple(),
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("hset", Arity::AtLeast(4), hset)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "update"])])
        .group(Group::Hash, "2.0.0")
        .summary("Gives fields of a hash values; makes the hash where it is missing")
        .complexity("O(1)")
        .arguments(FIELDS_AND_VALUES)
        .history(&[("4.0.0", "Accepts multiple `field` and `value` arguments.")]),
    Row::new("hsetnx", Arity::Exactly(4), hsetnx)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "insert"])])
        .group(Group::Hash, "2.0.0")
        .summary("Gives a field a value if the hash does not have it")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String),
            Argument::new("value", ArgumentKind::String),
        ]),
    Row::new("hmset", Arity::AtLeast(4), hmset)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "update"])])
        .group(Group::Hash, "2.0.0")
        .summary("Gives fields of a hash values")
        .complexity("O(N)")
        .arguments(FIELDS_AND_VALUES)
        .deprecated("4.0.0", "`HSET` with multiple field-value pairs"),
    Row::new("hdel", Arity::AtLeast(3), hdel)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::Hash, "2.0.0")
        .summary("Removes fields of a hash")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String).multiple(),
        ])
        .history(&[("2.4.0", "Accepts multiple `field` arguments.")]),
];

fn hset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    Ok(Reply::count(set(ctx, args, "hset")?).into())
}

fn hmset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    set(ctx, args, "hmset")?;
    Ok(Reply::Ok.into())
}

/// Returns how many fields are new.
fn set(ctx: &mut Context<'_>, args: Args<'_>, name: &str) -> Result<usize, CommandError> {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity(name.to_owned()));
    }
    ctx.change_in_hash(
        &args[1],
        "hset",
        |hash| {
            if args.len() > 4 {
                return Ok(None);
            }
            let new = hash.put(&args[2], &args[3])?;
            Ok(new.map(|new| (usize::from(new), 1)))
        },
        |hash| {
            let mut new = 0;
            let mut rest = args.from(2);
            while let (Some(field), Some(value)) = (rest.next(), rest.next()) {
                new += usize::from(hash.put(field, value)?);
            }
            Ok((new, args.len() / 2 - 1))
        },
    )
}

fn hsetnx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let set = ctx.change_hash(&args[1], "hset", |hash| {
        if hash.contains(&args[2])? {
            return Ok((false, 0));
        }
        hash.put(&args[2], &args[3])?;
        Ok((true, 1))
    })?;
    Ok(Reply::Integer(set.into()).into())
}

fn hdel(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let removed = ctx.change_hash(&args[1], "hdel", |hash| {
        let mut removed = 0;
        for field in args.from(2) {
            removed += usize::from(hash.remove(field)?);
        }
        Ok((removed, removed))
    })?;
    Ok(Reply::count(removed).into())
}

//! Looking at hashes: HGET, HMGET, HGETALL, HKEYS, HVALS, HLEN, HEXISTS, HSTRLEN, HSCAN.

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::scan::{ELEMENT_SCAN, Walked, scan_elements};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::Fields;
use crate::protocol::{Args, Reply, ReplyBuffer};

/// The arguments of HSCAN.
const FIELD_SCAN: &[Argument] = &[
    ELEMENT_SCAN[0],
    ELEMENT_SCAN[1],
    ELEMENT_SCAN[2],
    ELEMENT_SCAN[3],
    Argument::token("novalues", "NOVALUES").optional(),
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("hget", Arity::Exactly(3), hget)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "2.0.0")
        .summary("Returns a field's value")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String),
        ]),
    Row::new("hmget", Arity::AtLeast(3), hmget)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "2.0.0")
        .summary("Returns the values of several fields")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String).multiple(),
        ]),
    Row::new("hgetall", Arity::Exactly(2), hgetall)
        .flags(Flags::READONLY)
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "2.0.0")
        .summary("Returns all fields with their values")
        .complexity("O(N)")
        .arguments(&[Argument::key()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("hlen", Arity::Exactly(2), hlen)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::Hash, "2.0.0")
        .summary("Counts the fields of a hash")
        .complexity("O(1)")
        .arguments(&[Argument::key()]),
    Row::new("hexists", Arity::Exactly(3), hexists)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::Hash, "2.0.0")
        .summary("Tells whether a hash has a field")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String),
        ]),
    Row::new("hkeys", Arity::Exactly(2), hkeys)
        .flags(Flags::READONLY)
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "2.0.0")
        .summary("Returns the names of all fields")
        .complexity("O(N)")
        .arguments(&[Argument::key()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("hvals", Arity::Exactly(2), hvals)
        .flags(Flags::READONLY)
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "2.0.0")
        .summary("Returns the values of all fields")
        .complexity("O(N)")
        .arguments(&[Argument::key()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("hstrlen", Arity::Exactly(3), hstrlen)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::Hash, "3.2.0")
        .summary("Returns the length of a field's value, in bytes")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String),
        ]),
    Row::new("hscan", Arity::AtLeast(3), hscan)
        .flags(Flags::READONLY)
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "2.8.0")
        .summary("Walks the fields of a hash, a few at a time")
        .complexity("O(1)")
        .arguments(FIELD_SCAN)
        .tips(&["nondeterministic_output"]),
];

/// Writes a field's value; null where there is none.
fn write_value(
    hash: Option<Fields<'_>>,
    name: &[u8],
    out: &mut ReplyBuffer,
) -> Result<(), CommandError> {
    let written = hash
        .map(|hash| hash.get(name, |value| out.bulk(value)))
        .transpose()?;
    if written.flatten().is_none() {
        out.null();
    }
    Ok(())
}

fn hget(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.hash(&args[1], |hash, out| write_value(hash, &args[2], out))?;
    Ok(Outcome::Written)
}

fn hmget(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.hash(&args[1], |hash, out| {
        out.array_header(args.len() - 2);
        args.from(2)
            .try_for_each(|name| write_value(hash, name, out))
    })?;
    Ok(Outcome::Written)
}

fn hgetall(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let elements_max = ctx.elements_max();
    ctx.hash(&args[1], |hash, out| {
        if hash.is_some_and(|hash| hash.len() > elements_max) {
            return Err(CommandError::TakesLong);
        }
        out.map_header(hash.map_or(0, |hash| hash.len()));
        if let Some(hash) = hash {
            hash.for_each(|name, value| {
                out.bulk(name);
                out.bulk(value);
            })?;
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn hkeys(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.hash(&args[1], |hash, out| {
        out.array_header(hash.map_or(0, |hash| hash.len()));
        if let Some(hash) = hash {
            for name in hash.names()? {
                out.bulk(&name?);
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn hvals(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let elements_max = ctx.elements_max();
    ctx.hash(&args[1], |hash, out| {
        if hash.is_some_and(|hash| hash.len() > elements_max) {
            return Err(CommandError::TakesLong);
        }
        out.array_header(hash.map_or(0, |hash| hash.len()));
        if let Some(hash) = hash {
            hash.for_each(|_, value| out.bulk(value))?;
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn hlen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let len = ctx.hash(&args[1], |hash, _| Ok(hash.map_or(0, |hash| hash.len())))?;
    Ok(Reply::count(len).into())
}

fn hexists(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let exists = ctx.hash(&args[1], |hash, _| {
        let exists = hash.map(|hash| hash.contains(&args[2])).transpose()?;
        Ok(exists.unwrap_or(false))
    })?;
    Ok(Reply::Integer(exists.into()).into())
}

fn hstrlen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let len = ctx.hash(&args[1], |hash, _| {
        let len = hash.map(|hash| hash.get(&args[2], <[u8]>::len));
        Ok(len.transpose()?.flatten())
    })?;
    Ok(Reply::count(len.unwrap_or(0)).into())
}

fn hscan(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    scan_elements(ctx, args, |view, step| {
        let hash = view.hash()?;
        let (cursor, count) = step.begin(Walked::Fields)?;
        let mut names = Vec::new();
        let next = hash.scan(cursor, count, |name| {
            if step.wants(name) {
                names.push(name.to_vec());
            }
        })?;
        for name in names {
            step.push(&name);
            if step.wants_values() {
                hash.get(&name, |value| step.push(value))?;
            }
        }
        Ok(next)
    })
}

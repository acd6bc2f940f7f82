//! Whole values: GET and its relatives, and several keys at once.

use super::write_string;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Kind};
use crate::protocol::{Args, Reply};

pub(super) const KEYS_AND_VALUES: &[Argument] = &[Argument::new(
    "data",
    ArgumentKind::Block(&[
        Argument::key(),
        Argument::new("value", ArgumentKind::String),
    ]),
)
.multiple()];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("get", Arity::Exactly(2), get)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::String, "1.0.0")
        .summary("Returns the string of a key")
        .complexity("O(1)")
        .arguments(&[Argument::key()]),
    Row::new("getset", Arity::Exactly(3), getset)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["RW", "access", "update"])])
        .group(Group::String, "1.0.0")
        .summary("Sets a key's string and returns the one before")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("value", ArgumentKind::String),
        ])
        .deprecated("6.2.0", "`SET` with the `!GET` argument"),
    Row::new("getdel", Arity::Exactly(2), getdel)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["RW", "access", "delete"])])
        .group(Group::String, "6.2.0")
        .summary("Returns the string of a key and removes the key")
        .complexity("O(1)")
        .arguments(&[Argument::key()]),
    Row::new("mget", Arity::AtLeast(2), mget)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::STRING)
        .keys(&[KeySpec::range(&["RO", "access"], 1, -1, 1)])
        .group(Group::String, "1.0.0")
        .summary("Returns the strings of several keys")
        .complexity("O(N) for N keys")
        .arguments(&[Argument::key().multiple()])
        .tips(&["request_policy:multi_shard"]),
    Row::new("mset", Arity::AtLeast(3), mset)
        .flags(Flags::WRITE.union(Flags::DENYOOM))
        .categories(Categories::STRING)
        .keys(&[KeySpec::range(&["OW", "update"], 1, -1, 2)])
        .group(Group::String, "1.0.1")
        .summary("Sets several keys in one step")
        .complexity("O(N) for N keys")
        .arguments(KEYS_AND_VALUES)
        .tips(&[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ]),
    Row::new("msetnx", Arity::AtLeast(3), msetnx)
        .flags(Flags::WRITE.union(Flags::DENYOOM))
        .categories(Categories::STRING)
        .keys(&[KeySpec::range(&["OW", "insert"], 1, -1, 2)])
        .group(Group::String, "1.0.1")
        .summary("Sets several keys in one step, unless one of them exists")
        .complexity("O(N) for N keys")
        .arguments(KEYS_AND_VALUES),
];

/// GET. Also GETEX without options.
pub(super) fn get(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    match ctx.read(&args[1], write_string)? {
        Some(written) => written?,
        None => ctx.out.null(),
    }
    Ok(Outcome::Written)
}

fn getset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    replace(ctx, &args[1], Some(&args[2]))
}

fn getdel(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    replace(ctx, &args[1], None)
}

/// Answers a key's string and puts `value` in its place, or removes the key.
fn replace(ctx: &mut Context<'_>, key: &[u8], value: Option<&[u8]>) -> CommandResult {
    let mut found = false;
    let done = ctx.database().update(key, |key| {
        let out = &mut *ctx.out;
        if let Some(written) = key.read(|old| write_string(old, out))? {
            found = true;
            written?;
        } else {
            out.null();
            key.event(EventClass::KEY_MISS, "keymiss");
        }
        match value {
            Some(value) => {
                key.put(Kind::String, value, None)?;
                key.event(EventClass::STRING, "set");
            }
            None if found => {
                key.remove()?;
                key.event(EventClass::GENERIC, "del");
            }
            None => {}
        }
        Ok(())
    });
    ctx.count_lookup(found);
    done?;
    Ok(Outcome::Written)
}

fn mget(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.out.array_header(args.len() - 1);
    if args.len() == 2 {
        mget_one(ctx, &args[1])?;
    } else {
        mget_many(ctx, args)?;
    }
    Ok(Outcome::Written)
}

fn mget_one(ctx: &mut Context<'_>, key: &[u8]) -> Result<(), CommandError> {
    let written = ctx.read(key, |value, out| write_string(value, out).is_ok())?;
    if written != Some(true) {
        ctx.out.null();
    }
    Ok(())
}

/// Reads all keys under their locks together, so that the client never sees half of an MSET.
fn mget_many(ctx: &mut Context<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let db = ctx.session.db;
    let keys: Vec<_> = args.from(1).map(|key| (db, key)).collect();
    let out = &mut *ctx.out;
    let lookups = &mut *ctx.lookups;
    let tells = ctx.keyspace.events().wants(EventClass::KEY_MISS);
    let mut missing = Vec::new();
    let mut names = args.from(1);
    ctx.keyspace.read_many(&keys, ctx.access, |value| {
        let name = names.next();
        if value.is_some() {
            lookups.hits += 1;
        } else {
            lookups.misses += 1;
            missing.extend(name.filter(|_| tells));
        }
        let written = value.map(|value| write_string(value, out).is_ok());
        if written != Some(true) {
            out.null();
        }
    })?;
    for key in missing {
        ctx.keyspace
            .events()
            .emit(EventClass::KEY_MISS, "keymiss", db, key);
    }
    Ok(())
}

fn mset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    set_many(ctx, args, "mset", false)?;
    ctx.out.ok();
    Ok(Outcome::Written)
}

fn msetnx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let set = set_many(ctx, args, "msetnx", true)?;
    Ok(Reply::Integer(i64::from(set)).into())
}

/// Sets all keys in one step; with `absent_only`, sets none if one of them exists. Returns whether it set them.
fn set_many(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    name: &str,
    absent_only: bool,
) -> Result<bool, CommandError> {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity(name.into()));
    }
    if !absent_only
        && ctx
            .database()
            .put_strings(args.from(1).step_by(2), args.from(2).step_by(2), "set")?
    {
        return Ok(true);
    }
    ctx.update_many(args.from(1).step_by(2), |keys| {
        if absent_only && (0..keys.count()).any(|index| keys.info(index).is_some()) {
            return Ok(false);
        }
        keys.set_dirty(args.len() / 2);
        // If the call names a key twice, its later value stays.
        for (index, value) in args.from(2).step_by(2).enumerate() {
            keys.put(index, Kind::String, value, None);
            keys.event(index, EventClass::STRING, "set");
        }
        Ok(true)
    })
}

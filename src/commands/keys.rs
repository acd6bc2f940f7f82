//! Commands on keys of any type: DEL, UNLINK, EXISTS, TOUCH, TYPE, RANDOMKEY and DBSIZE.

use std::time::Instant;

use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::keyspace::{
    EventClass, KeyInfo, KeyspaceError, RECLAIM_IN_GATE_TIME_MAX, take_refused_bytes,
};
use crate::protocol::{Args, Reply};

/// One or more keys, to the end of the call.
const KEYS: &[Argument] = &[Argument::key().multiple()];
/// One key alone.
pub(super) const ONE_KEY: &[Argument] = &[Argument::key()];

pub(super) static COMMANDS: &[Row] = &[
    Row::new("del", Arity::AtLeast(2), del)
        .flags(Flags::WRITE)
        .categories(Categories::KEYSPACE)
        .keys(&[KeySpec::range(&["RM", "delete"], 1, -1, 1)])
        .group(Group::Generic, "1.0.0")
        .summary("Removes keys.")
        .complexity("O(N) where N is the number of keys.")
        .arguments(KEYS)
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    Row::new("unlink", Arity::AtLeast(2), del)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::KEYSPACE)
        .keys(&[KeySpec::range(&["RM", "delete"], 1, -1, 1)])
        .group(Group::Generic, "4.0.0")
        .summary("Removes keys; their space may be given back later.")
        .complexity("O(1) for each key.")
        .arguments(KEYS)
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    Row::new("exists", Arity::AtLeast(2), exists)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::KEYSPACE)
        .keys(&[KeySpec::range(&["RO"], 1, -1, 1)])
        .group(Group::Generic, "1.0.0")
        .summary("Counts how many of the keys exist.")
        .complexity("O(N) where N is the number of keys.")
        .arguments(KEYS)
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .history(&[("3.0.3", "Accepts multiple `key` arguments.")]),
    Row::new("touch", Arity::AtLeast(2), touch)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::KEYSPACE)
        .keys(&[KeySpec::range(&["RO"], 1, -1, 1)])
        .group(Group::Generic, "3.2.1")
        .summary("Marks keys as used now, and counts those that exist.")
        .complexity("O(N) where N is the number of keys.")
        .arguments(KEYS)
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    Row::new("type", Arity::Exactly(2), key_type)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::KEYSPACE)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::Generic, "1.0.0")
        .summary("Names the type of a key's value.")
        .complexity("O(1)")
        .arguments(ONE_KEY),
    Row::new("randomkey", Arity::Exactly(1), random_key)
        .flags(Flags::READONLY)
        .categories(Categories::KEYSPACE)
        .group(Group::Generic, "1.0.0")
        .summary("Returns some key of the database.")
        .complexity("O(1)")
        .tips(&[
            "request_policy:all_shards",
            "response_policy:special",
            "nondeterministic_output",
        ]),
    Row::new("dbsize", Arity::Exactly(1), dbsize)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::KEYSPACE)
        .group(Group::Server, "1.0.0")
        .summary("Counts the keys of the database.")
        .complexity("O(1)")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
];

/// What the index knows of a key, counted as a hit or a miss but not as an access.
pub(super) fn look_up(ctx: &mut Context<'_>, key: &[u8]) -> Result<Option<KeyInfo>, KeyspaceError> {
    look_up_with(ctx, key, false)
}

fn look_up_with(
    ctx: &mut Context<'_>,
    key: &[u8],
    touch: bool,
) -> Result<Option<KeyInfo>, KeyspaceError> {
    let mut database = ctx.database();
    database.access.touch = touch;
    let info = database.info(key)?;
    ctx.looked_up(key, info.is_some());
    Ok(info)
}

/// Keys that DEL removes in one atomic step. It holds their locks meanwhile: at some 20 us a key, other clients wait a
/// few milliseconds at most.
const KEYS_PER_STEP: usize = 256;

/// DEL and UNLINK: several keys go in one atomic step, very many in several.
fn del(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.effects_are_removals();
    let removed = if args.len() == 2 {
        ctx.update(&args[1], |key| {
            let removed = key.remove()?;
            if removed {
                key.event(EventClass::GENERIC, "del");
            }
            Ok(usize::from(removed))
        })?
    } else {
        let mut keys: Vec<_> = args.from(1).enumerate().collect();
        // A repeated key counts once, at its first position.
        keys.sort_unstable_by_key(|&(place, key)| (key, place));
        keys.dedup_by_key(|&mut (_, key)| key);
        keys.sort_unstable();
        let mut removed = 0;
        let mut until = None;
        for step in keys.chunks(KEYS_PER_STEP) {
            let gone = match remove_together(ctx, step) {
                // The keys that are gone already leave space for the removal of the rest.
                Err(CommandError::OutOfMemory) if removed > 0 => {
                    let end = || Instant::now() + RECLAIM_IN_GATE_TIME_MAX;
                    let until = *until.get_or_insert_with(end);
                    let check = ctx.keyspace.memory_check();
                    check.reclaim_in_gate(take_refused_bytes(), until)?;
                    remove_together(ctx, step)?
                }
                gone => gone?,
            };
            removed += gone;
        }
        removed
    };
    Ok(Reply::count(removed).into())
}

/// Removes some keys as one step. Returns how many there were.
fn remove_together(ctx: &mut Context<'_>, keys: &[(usize, &[u8])]) -> Result<usize, CommandError> {
    let names = keys.iter().map(|&(_, key)| key);
    ctx.update_many(names, |keys| {
        let mut removed = 0;
        for position in 0..keys.count() {
            if keys.info(position).is_some() {
                keys.remove(position);
                keys.event(position, EventClass::GENERIC, "del");
                removed += 1;
            }
        }
        keys.set_dirty(removed);
        Ok(removed)
    })
}

fn exists(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    count_keys(ctx, args, false)
}

/// Counts as an access even for a client with CLIENT NO-TOUCH.
fn touch(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    count_keys(ctx, args, true)
}

fn count_keys(ctx: &mut Context<'_>, args: Args<'_>, touch: bool) -> CommandResult {
    let mut found = 0;
    for key in args.from(1) {
        found += usize::from(look_up_with(ctx, key, touch)?.is_some());
    }
    Ok(Reply::count(found).into())
}

fn key_type(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let info = look_up(ctx, &args[1])?;
    Ok(Reply::Simple(info.map_or("none", |info| info.kind.name())).into())
}

fn random_key(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let key = ctx
        .keyspace
        .walk()
        .random_key(ctx.session.db, ctx.access.now)?;
    Ok(Reply::bulk_or_null(key).into())
}

fn dbsize(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let keys = ctx.keyspace.databases().len(ctx.session.db)?;
    Ok(Reply::Integer(i64::try_from(keys).unwrap_or(i64::MAX)).into())
}

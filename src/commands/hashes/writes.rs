//! Changing hashes: HSET, HMSET, HSETNX, HDEL.

use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{EventClass, KeyspaceError, Kind};
use crate::protocol::{Args, Reply};

pub(super) fn hset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    Ok(Reply::count(set(ctx, args, "hset")?).into())
}

pub(super) fn hmset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    set(ctx, args, "hmset")?;
    Ok(Reply::Ok.into())
}

/// Returns how many fields are new.
fn set(ctx: &mut Context<'_>, args: Args<'_>, name: &str) -> Result<usize, CommandError> {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity(name.to_owned()));
    }
    let key = [(ctx.session.db, &args[1])];
    ctx.keyspace.update_many(&key, ctx.access, |slots| {
        let mut hash = slots.fields(0, Kind::Hash)?;
        let mut new = 0;
        let mut words = args.from(2);
        while let (Some(field), Some(value)) = (words.next(), words.next()) {
            new += usize::from(hash.put(field, value)?);
        }
        slots.set_dirty(args.len() / 2 - 1);
        slots.event(0, EventClass::HASH, "hset");
        Ok(new)
    })
}

pub(super) fn hsetnx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = [(ctx.session.db, &args[1])];
    let set = ctx.keyspace.update_many(&key, ctx.access, |slots| {
        let mut hash = slots.fields(0, Kind::Hash)?;
        if hash.contains(&args[2]) {
            return Ok::<_, KeyspaceError>(false);
        }
        hash.put(&args[2], &args[3])?;
        slots.event(0, EventClass::HASH, "hset");
        Ok(true)
    })?;
    Ok(Reply::Integer(set.into()).into())
}

pub(super) fn hdel(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = [(ctx.session.db, &args[1])];
    let removed = ctx.keyspace.update_many(&key, ctx.access, |slots| {
        let mut hash = slots.fields(0, Kind::Hash)?;
        let mut removed = 0;
        for field in args.from(2) {
            removed += usize::from(hash.remove(field)?);
        }
        let is_empty = hash.is_empty();
        if removed > 0 {
            slots.set_dirty(removed);
            slots.event(0, EventClass::HASH, "hdel");
            if is_empty {
                slots.event(0, EventClass::GENERIC, "del");
            }
        }
        Ok::<_, KeyspaceError>(removed)
    })?;
    Ok(Reply::count(removed).into())
}

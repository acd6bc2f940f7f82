//! Changing hashes: HSET, HMSET, HSETNX, HDEL.

use crate::commands::{CommandError, CommandResult, Context};
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
    ctx.change_hash(&args[1], "hset", |hash| {
        let mut new = 0;
        let mut rest = args.from(2);
        while let (Some(field), Some(value)) = (rest.next(), rest.next()) {
            new += usize::from(hash.put(field, value)?);
        }
        Ok((new, args.len() / 2 - 1))
    })
}

pub(super) fn hsetnx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let set = ctx.change_hash(&args[1], "hset", |hash| {
        if hash.contains(&args[2]) {
            return Ok((false, 0));
        }
        hash.put(&args[2], &args[3])?;
        Ok((true, 1))
    })?;
    Ok(Reply::Integer(set.into()).into())
}

pub(super) fn hdel(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let removed = ctx.change_hash(&args[1], "hdel", |hash| {
        let mut removed = 0;
        for field in args.from(2) {
            removed += usize::from(hash.remove(field)?);
        }
        Ok((removed, removed))
    })?;
    Ok(Reply::count(removed).into())
}

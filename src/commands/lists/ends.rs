//! Both ends of a list: LPUSH, RPUSH, LPUSHX, RPUSHX, LPOP, RPOP.

use super::{list, pop_event, push_event, tell};
use crate::commands::numbers::parse_i64;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{Access, End, EventClass, Keyspace, KeyspaceError};
use crate::protocol::{Args, Reply};

pub(super) fn lpush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    push(ctx, args, End::Head, false)
}

pub(super) fn rpush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    push(ctx, args, End::Tail, false)
}

pub(super) fn lpushx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    push(ctx, args, End::Head, true)
}

pub(super) fn rpushx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    push(ctx, args, End::Tail, true)
}

fn push(ctx: &mut Context<'_>, args: Args<'_>, end: End, only_present: bool) -> CommandResult {
    let key = [(ctx.session.db, &args[1])];
    let len = ctx.keyspace.update_many(&key, ctx.access, |slots| {
        if only_present && list(slots, 0)?.is_none() {
            return Ok::<_, KeyspaceError>(0);
        }
        let mut list = slots.list(0)?;
        for element in args.from(2) {
            list.push(end, element);
        }
        let len = list.len();
        slots.event(0, EventClass::LIST, push_event(end));
        Ok(len)
    })?;
    Ok(Reply::count(len).into())
}

pub(super) fn lpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, End::Head)
}

pub(super) fn rpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, End::Tail)
}

fn pop(ctx: &mut Context<'_>, args: Args<'_>, end: End) -> CommandResult {
    if args.len() > 3 {
        let name = if end == End::Head { "lpop" } else { "rpop" };
        return Err(CommandError::WrongArity(name.to_owned()));
    }
    let count = match args.get(2) {
        Some(word) => Some(
            parse_i64(word)
                .and_then(|count| usize::try_from(count).ok())
                .ok_or(CommandError::text(
                    "ERR value is out of range, must be positive",
                ))?,
        ),
        None => None,
    };
    let db = ctx.session.db;
    let popped = pop_elements(
        ctx.keyspace,
        db,
        ctx.access,
        &args[1],
        end,
        count.unwrap_or(1),
    )?;
    ctx.count_lookup(popped.is_some());
    Ok(match (count, popped) {
        (None, popped) => Reply::bulk_or_null(popped.and_then(|mut popped| popped.pop())),
        (Some(_), None) => Reply::NullArray,
        (Some(_), Some(popped)) => {
            let elements = popped.into_iter().map(|one| Reply::bulk_or_null(Some(one)));
            Reply::Array(elements.collect())
        }
    }
    .into())
}

/// Takes up to `count` elements from an end; `None` where there is no such list.
pub(in crate::commands) fn pop_elements(
    keyspace: &Keyspace,
    db: usize,
    access: Access,
    key: &[u8],
    end: End,
    count: usize,
) -> Result<Option<Vec<Vec<u8>>>, CommandError> {
    keyspace.update_many(&[(db, key)], access, |slots| {
        let Some(present) = list(slots, 0)? else {
            return Ok(None);
        };
        let len = present.len();
        let count = count.min(len);
        let mut taken = Vec::with_capacity(count);
        for n in 0..count {
            let position = match end {
                End::Head => n,
                End::Tail => len - 1 - n,
            };
            taken.extend(present.get(position, <[u8]>::to_vec)?);
        }
        if count > 0 {
            slots.list(0)?.pop(end, count);
            tell(slots, 0, pop_event(end))?;
        }
        Ok(Some(taken))
    })
}

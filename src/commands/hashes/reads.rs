//! Looking at hashes: HGET, HMGET, HGETALL, HKEYS, HVALS, HLEN, HEXISTS, HSTRLEN, HSCAN.

use crate::commands::scan::scan_elements;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::Fields;
use crate::protocol::{Args, Reply, ReplyBuffer};

/// Writes a field's value; null where there is none.
fn write_value(
    fields: Option<Fields<'_>>,
    name: &[u8],
    out: &mut ReplyBuffer,
) -> Result<(), CommandError> {
    let written = fields
        .map(|fields| fields.get(name, |value| out.bulk(value)))
        .transpose()?;
    if written.flatten().is_none() {
        out.null();
    }
    Ok(())
}

pub(super) fn hget(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.hash(&args[1], |fields, out| write_value(fields, &args[2], out))?;
    Ok(Outcome::Written)
}

pub(super) fn hmget(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.hash(&args[1], |fields, out| {
        out.array_header(args.len() - 2);
        args.from(2)
            .try_for_each(|name| write_value(fields, name, out))
    })?;
    Ok(Outcome::Written)
}

pub(super) fn hgetall(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.hash(&args[1], |fields, out| {
        out.map_header(fields.map_or(0, |fields| fields.len()));
        if let Some(fields) = fields {
            fields.for_each(|name, value| {
                out.bulk(name);
                out.bulk(value);
            })?;
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

pub(super) fn hkeys(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.hash(&args[1], |fields, out| {
        out.array_header(fields.map_or(0, |fields| fields.len()));
        for name in fields.into_iter().flat_map(|fields| fields.names()) {
            out.bulk(name);
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

pub(super) fn hvals(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.hash(&args[1], |fields, out| {
        out.array_header(fields.map_or(0, |fields| fields.len()));
        if let Some(fields) = fields {
            fields.for_each(|_, value| out.bulk(value))?;
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

pub(super) fn hlen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let len = ctx.hash(&args[1], |fields, _| {
        Ok(fields.map_or(0, |fields| fields.len()))
    })?;
    Ok(Reply::count(len).into())
}

pub(super) fn hexists(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let exists = ctx.hash(&args[1], |fields, _| {
        Ok(fields.is_some_and(|fields| fields.contains(&args[2])))
    })?;
    Ok(Reply::Integer(exists.into()).into())
}

pub(super) fn hstrlen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let len = ctx.hash(&args[1], |fields, _| {
        let len = fields.map(|fields| fields.get(&args[2], <[u8]>::len));
        Ok(len.transpose()?.flatten())
    })?;
    Ok(Reply::count(len.unwrap_or(0)).into())
}

pub(super) fn hscan(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    scan_elements(ctx, args, |view, step| {
        let fields = view.hash()?;
        let (cursor, count) = step.begin()?;
        let mut names = Vec::new();
        let next = fields.scan(cursor, count, |name| {
            if step.wants(name) {
                names.push(name.to_vec());
            }
        });
        for name in names {
            step.push(&name);
            fields.get(&name, |value| step.push(value))?;
        }
        Ok(next)
    })
}

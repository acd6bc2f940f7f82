//! Members of one set: SADD, SREM, SMEMBERS, SISMEMBER, SMISMEMBER, SCARD, SMOVE, SSCAN.

use super::write_members;
use crate::commands::scan::scan_elements;
use crate::commands::{CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Kind, View};
use crate::protocol::{Args, Reply};

pub(super) fn sadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let added = ctx.change_set(&args[1], "sadd", |set| {
        let mut added = 0;
        for member in args.from(2) {
            added += usize::from(set.add(member)?);
        }
        Ok((added, added))
    })?;
    Ok(Reply::count(added).into())
}

pub(super) fn srem(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let removed = ctx.change_set(&args[1], "srem", |set| {
        let mut removed = 0;
        for member in args.from(2) {
            removed += usize::from(set.remove(member)?);
        }
        Ok((removed, removed))
    })?;
    Ok(Reply::count(removed).into())
}

pub(super) fn smembers(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.set(&args[1], |set, out| {
        match set {
            Some(set) => write_members(set, out),
            None => out.set_header(0),
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

pub(super) fn sismember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let is_member = ctx.set(&args[1], |set, _| {
        Ok(set.is_some_and(|set| set.contains(&args[2])))
    })?;
    Ok(Reply::Integer(is_member.into()).into())
}

pub(super) fn smismember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.set(&args[1], |set, out| {
        out.array_header(args.len() - 2);
        for member in args.from(2) {
            let is_member = set.is_some_and(|set| set.contains(member));
            out.integer(is_member.into());
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

pub(super) fn scard(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let len = ctx.set(&args[1], |set, _| Ok(set.map_or(0, |set| set.len())))?;
    Ok(Reply::count(len).into())
}

pub(super) fn smove(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    const SOURCE: usize = 0;
    const DESTINATION: usize = 1;
    let member = &args[3];
    let moved = ctx.update_many([&args[1], &args[2]], |keys| {
        let Some(source) = keys.view(SOURCE) else {
            return Ok(false);
        };
        let is_member = source.set()?.contains(member);
        let destination = keys.view(DESTINATION).map(View::set).transpose()?;
        let adds = !destination.is_some_and(|set| set.contains(member));
        if !is_member || args[1] == args[2] {
            return Ok(is_member);
        }
        let mut source = keys.fields(SOURCE, Kind::Set)?;
        source.remove(member)?;
        let is_empty = source.is_empty();
        keys.event(SOURCE, EventClass::SET, "srem");
        if is_empty {
            keys.event(SOURCE, EventClass::GENERIC, "del");
        }
        if adds {
            keys.fields(DESTINATION, Kind::Set)?.put(member, b"")?;
            keys.event(DESTINATION, EventClass::SET, "sadd");
        }
        keys.changed(1 + usize::from(adds));
        Ok(true)
    })?;
    Ok(Reply::Integer(moved.into()).into())
}

pub(super) fn sscan(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    scan_elements(ctx, args, |view, step| {
        let set = view.set()?;
        let (cursor, count) = step.begin()?;
        Ok(set.scan(cursor, count, |member| {
            if step.wants(member) {
                step.push(member);
            }
        }))
    })
}

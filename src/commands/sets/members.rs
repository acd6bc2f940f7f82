//! Members of one set: SADD, SREM, SMEMBERS, SISMEMBER, SMISMEMBER, SCARD, SMOVE, SSCAN.

use super::write_members;
use crate::commands::scan::scan_elements;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Fields, KeyspaceError, Kind, View};
use crate::protocol::{Args, Reply, ReplyBuffer};

/// Runs `f` on the set that word 1 names, if there is one.
fn read<R>(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    f: impl FnOnce(Option<Fields<'_>>, &mut ReplyBuffer) -> Result<R, CommandError>,
) -> Result<R, CommandError> {
    ctx.view(&args[1], |view, out| {
        f(view.map(View::set).transpose()?, out)
    })
}

pub(super) fn sadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = [(ctx.session.db, &args[1])];
    let added = ctx.keyspace.update_many(&key, ctx.access, |slots| {
        let mut set = slots.fields(0, Kind::Set)?;
        let mut added = 0;
        for member in args.from(2) {
            added += usize::from(set.add(member)?);
        }
        if added > 0 {
            slots.set_dirty(added);
            slots.event(0, EventClass::SET, "sadd");
        }
        Ok::<_, KeyspaceError>(added)
    })?;
    Ok(Reply::count(added).into())
}

pub(super) fn srem(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = [(ctx.session.db, &args[1])];
    let removed = ctx.keyspace.update_many(&key, ctx.access, |slots| {
        let mut set = slots.fields(0, Kind::Set)?;
        let mut removed = 0;
        for member in args.from(2) {
            removed += usize::from(set.remove(member)?);
        }
        let is_empty = set.is_empty();
        if removed > 0 {
            slots.set_dirty(removed);
            slots.event(0, EventClass::SET, "srem");
            if is_empty {
                slots.event(0, EventClass::GENERIC, "del");
            }
        }
        Ok::<_, KeyspaceError>(removed)
    })?;
    Ok(Reply::count(removed).into())
}

pub(super) fn smembers(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    read(ctx, args, |set, out| {
        match set {
            Some(set) => write_members(set, out),
            None => out.set_header(0),
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

pub(super) fn sismember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let is_member = read(ctx, args, |set, _| {
        Ok(set.is_some_and(|set| set.contains(&args[2])))
    })?;
    Ok(Reply::Integer(is_member.into()).into())
}

pub(super) fn smismember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    read(ctx, args, |set, out| {
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
    let len = read(ctx, args, |set, _| Ok(set.map_or(0, |set| set.len())))?;
    Ok(Reply::count(len).into())
}

pub(super) fn smove(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    const SOURCE: usize = 0;
    const DESTINATION: usize = 1;
    let db = ctx.session.db;
    let (keys, member) = ([(db, &args[1]), (db, &args[2])], &args[3]);
    let moved = ctx.keyspace.update_many(&keys, ctx.access, |slots| {
        let Some(source) = slots.view(SOURCE) else {
            return Ok::<_, CommandError>(false);
        };
        let is_member = source.set()?.contains(member);
        let destination = slots.view(DESTINATION).map(View::set).transpose()?;
        let adds = !destination.is_some_and(|set| set.contains(member));
        if !is_member || args[1] == args[2] {
            return Ok(is_member);
        }
        let mut source = slots.fields(SOURCE, Kind::Set)?;
        source.remove(member)?;
        let is_empty = source.is_empty();
        slots.event(SOURCE, EventClass::SET, "srem");
        if is_empty {
            slots.event(SOURCE, EventClass::GENERIC, "del");
        }
        if adds {
            slots.fields(DESTINATION, Kind::Set)?.put(member, b"")?;
            slots.event(DESTINATION, EventClass::SET, "sadd");
        }
        slots.set_dirty(1 + usize::from(adds));
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

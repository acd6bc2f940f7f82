//! Members of one set: SADD, SREM, SMEMBERS, SISMEMBER, SMISMEMBER, SCARD, SMOVE, SSCAN.

use super::write_members;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::scan::{ELEMENT_SCAN, Walked, scan_elements};
use crate::commands::{CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Kind, View};
use crate::protocol::{Args, Reply};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("sadd", Arity::AtLeast(3), sadd)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RW", "insert"])])
        .group(Group::Set, "1.0.0")
        .summary("Adds members to a set; makes the set where it is missing")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ])
        .history(&[("2.4.0", "Accepts multiple `member` arguments.")]),
    Row::new("srem", Arity::AtLeast(3), srem)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::Set, "1.0.0")
        .summary("Removes members of a set")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ])
        .history(&[("2.4.0", "Accepts multiple `member` arguments.")]),
    Row::new("smembers", Arity::Exactly(2), smembers)
        .flags(Flags::READONLY)
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Set, "1.0.0")
        .summary("Returns all members of a set")
        .complexity("O(N)")
        .arguments(&[Argument::key()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("sismember", Arity::Exactly(3), sismember)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::Set, "1.0.0")
        .summary("Tells whether a set has a member")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String),
        ]),
    Row::new("smismember", Arity::AtLeast(3), smismember)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Set, "6.2.0")
        .summary("Tells of each of several members whether a set has it")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ]),
    Row::new("scard", Arity::Exactly(2), scard)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::Set, "1.0.0")
        .summary("Counts the members of a set")
        .complexity("O(1)")
        .arguments(&[Argument::key()]),
    Row::new("smove", Arity::Exactly(4), smove)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[
            KeySpec::first(&["RW", "access", "delete"]),
            KeySpec::range(&["RW", "insert"], 2, 0, 1),
        ])
        .group(Group::Set, "1.0.0")
        .summary("Moves a member from a set to another")
        .complexity("O(1)")
        .arguments(&[
            Argument::new("source", ArgumentKind::Key(0)),
            Argument::new("destination", ArgumentKind::Key(1)),
            Argument::new("member", ArgumentKind::String),
        ]),
    Row::new("sscan", Arity::AtLeast(3), sscan)
        .flags(Flags::READONLY)
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Set, "2.8.0")
        .summary("Walks the members of a set, a few at a time")
        .complexity("O(1)")
        .arguments(ELEMENT_SCAN)
        .tips(&["nondeterministic_output"]),
];

fn sadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let added = ctx.change_in_set(
        &args[1],
        "sadd",
        |set| {
            if args.len() > 3 {
                return Ok(None);
            }
            let added = set.add(&args[2])?.map(usize::from);
            Ok(added.map(|added| (added, added)))
        },
        |set| {
            let mut added = 0;
            for member in args.from(2) {
                added += usize::from(set.add(member)?);
            }
            Ok((added, added))
        },
    )?;
    Ok(Reply::count(added).into())
}

fn srem(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let removed = ctx.change_set(&args[1], "srem", |set| {
        let mut removed = 0;
        for member in args.from(2) {
            removed += usize::from(set.remove(member)?);
        }
        Ok((removed, removed))
    })?;
    Ok(Reply::count(removed).into())
}

fn smembers(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.set(&args[1], |set, out| {
        match set {
            Some(set) => write_members(set, out)?,
            None => out.set_header(0),
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn sismember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let is_member = ctx.set(&args[1], |set, _| {
        let is_member = set.map(|set| set.contains(&args[2])).transpose()?;
        Ok(is_member.unwrap_or(false))
    })?;
    Ok(Reply::Integer(is_member.into()).into())
}

fn smismember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.set(&args[1], |set, out| {
        out.array_header(args.len() - 2);
        for member in args.from(2) {
            let is_member = set.map(|set| set.contains(member)).transpose()?;
            out.integer(is_member.unwrap_or(false).into());
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn scard(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let len = ctx.set(&args[1], |set, _| Ok(set.map_or(0, |set| set.len())))?;
    Ok(Reply::count(len).into())
}

fn smove(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    const SOURCE: usize = 0;
    const DESTINATION: usize = 1;
    let member = &args[3];
    let moved = ctx.update_many([&args[1], &args[2]], |keys| {
        let Some(source) = keys.view(SOURCE) else {
            return Ok(false);
        };
        let is_member = source.set()?.contains(member)?;
        let destination = keys.view(DESTINATION).map(View::set).transpose()?;
        let has = destination.map(|set| set.contains(member)).transpose()?;
        let adds = !has.unwrap_or(false);
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
        keys.set_dirty(1 + usize::from(adds));
        Ok(true)
    })?;
    Ok(Reply::Integer(moved.into()).into())
}

fn sscan(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    scan_elements(ctx, args, |view, step| {
        let set = view.set()?;
        let (cursor, count) = step.begin(Walked::Members)?;
        Ok(set.scan(cursor, count, |member| {
            if step.wants(member) {
                step.push(member);
            }
        })?)
    })
}

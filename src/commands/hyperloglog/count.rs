//! PFADD and PFCOUNT.

use super::estimate::Histogram;
use super::hash::Mark;
use super::merge::Union;
use super::sketch::{Draft, Sketch};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::object::is_in_buffer;
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{EventClass, KeyspaceError, StringForm};
use crate::protocol::{Args, Reply};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("pfadd", Arity::AtLeast(2), pfadd)
        .flags(
            Flags::WRITE
                .union(Flags::DENYOOM)
                .union(Flags::FAST)
                .union(Flags::REWRITES),
        )
        .categories(Categories::HYPERLOGLOG)
        .keys(&[KeySpec::first(&["RW", "insert"])])
        .group(Group::Hyperloglog, "2.8.9")
        .summary("Shows elements to a HyperLogLog; makes the key where it is missing")
        .complexity("O(1) for each element")
        .arguments(&[
            Argument::key(),
            Argument::new("element", ArgumentKind::String)
                .optional()
                .multiple(),
        ]),
    Row::new("pfcount", Arity::AtLeast(2), pfcount)
        .flags(Flags::READONLY)
        .categories(Categories::HYPERLOGLOG)
        // The estimate is kept in the value.
        .keys(&[KeySpec::range(&["RW", "access"], 1, -1, 1).with_notes(
            "RW because it may change the internal representation of the key, \
             and propagate to replicas",
        )])
        .group(Group::Hyperloglog, "2.8.9")
        .summary("Estimates how many different elements HyperLogLogs have seen together")
        .complexity("O(1) for one key whose estimate is kept; O(N) for N keys")
        .arguments(&[Argument::key().multiple()]),
];

fn pfadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let marks = || args.from(2).map(Mark::of);
    let sparse_bytes_max = ctx.server.config.settings().hll_sparse_max_bytes;
    let changed = ctx.update(&args[1], |key| {
        let current = key.read_string(|string| {
            let changed = Sketch::read(string, |sketch| {
                Ok(sketch.with_marks(marks(), sparse_bytes_max)?)
            })?;
            let held_anew = if is_in_buffer(string)? {
                None
            } else {
                Some(string.whole()?.into_owned())
            };
            Ok::<_, CommandError>((changed, held_anew, string.expires_at))
        })?;
        let (changed, held_anew, expires_at) = if let Some(current) = current.transpose()? {
            current
        } else {
            let mut new = Draft::empty();
            // The new key counts as a change too.
            let mut changes = 1;
            for mark in marks() {
                changes += usize::from(new.raise(mark, sparse_bytes_max)?);
            }
            (Some((new.finish(), changes)), None, None)
        };
        if let Some((bytes, changes)) = &changed {
            key.put(StringForm::Raw, bytes, expires_at)?;
            key.set_dirty(*changes);
            key.event(EventClass::STRING, "pfadd");
        } else if let Some(bytes) = &held_anew {
            key.put_unmodified(StringForm::Raw, bytes, expires_at)?;
        }
        Ok(changed.is_some())
    })?;
    Ok(Reply::Integer(changed.into()).into())
}

fn pfcount(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let estimate = if args.len() == 2 {
        estimate_of_one(ctx, &args[1])?
    } else {
        estimate_of_several(ctx, args)?
    };
    // A header from elsewhere may hold any number. Redis shows it as a signed one, too.
    Ok(Reply::Integer(estimate.cast_signed()).into())
}

fn estimate_of_one(ctx: &mut Context<'_>, key: &[u8]) -> Result<u64, CommandError> {
    let cached = ctx.read_string(key, |string, _| {
        Sketch::read(string, |sketch| Ok(sketch.cached()))
    })?;
    match cached {
        None => return Ok(0),
        Some(Some(estimate)) => return Ok(estimate),
        Some(None) => {}
    }
    ctx.database().untouched().update(key, |key| {
        let estimated = key.read_string(|string| {
            Sketch::read(string, |sketch| {
                let estimate = sketch.estimate()?;
                let bytes = sketch.with_estimate(estimate);
                Ok((estimate, bytes, string.expires_at))
            })
        })?;
        // Another client may have removed the key since.
        let Some((estimate, bytes, expires_at)) = estimated.transpose()? else {
            return Ok(0);
        };
        match key.put(StringForm::Raw, &bytes, expires_at) {
            Ok(()) => key.set_dirty(1),
            // The estimate is right even if there is no memory to keep it.
            Err(KeyspaceError::OutOfMemory) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(estimate)
    })
}

fn estimate_of_several(ctx: &mut Context<'_>, args: Args<'_>) -> Result<u64, CommandError> {
    let mut union = Union::default();
    let mut found = Vec::with_capacity(args.len() - 1);
    let taken = ctx.database().view_many(args.from(1), |views| {
        views.iter().try_for_each(|view| {
            found.push(view.is_some());
            view.map_or(Ok(()), |view| union.take(view.string()?))
        })
    })?;
    for (key, found) in args.from(1).zip(found) {
        ctx.looked_up(key, found);
    }
    taken?;
    Ok(union.ranks().collect::<Histogram>().estimate())
}

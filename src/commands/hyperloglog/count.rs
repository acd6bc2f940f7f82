//! PFADD and PFCOUNT.

use super::estimate::Histogram;
use super::hash::Mark;
use super::merge::Union;
use super::sketch::{Draft, Sketch};
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{Access, EventClass, KeyspaceError, Kind};
use crate::protocol::{Args, Reply};

pub(super) fn pfadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let marks = || args.from(2).map(Mark::of);
    let sparse_bytes_max = ctx.server.config.settings().hll_sparse_max_bytes;
    let changed = ctx
        .keyspace
        .update(ctx.session.db, &args[1], ctx.access, |slot| {
            let current = slot.read(|value| {
                let expires_at = value.expires_at;
                let changed = Sketch::of(value)?.with_marks(marks(), sparse_bytes_max)?;
                Ok::<_, CommandError>((changed, expires_at))
            })?;
            let (changed, expires_at) = if let Some(current) = current.transpose()? {
                current
            } else {
                let mut new = Draft::empty();
                // That there is one now counts too.
                let mut changes = 1;
                for mark in marks() {
                    changes += usize::from(new.raise(mark, sparse_bytes_max)?);
                }
                (Some((new.finish(), changes)), None)
            };
            if let Some((bytes, changes)) = &changed {
                slot.put(Kind::String, bytes, expires_at)?;
                slot.changed(*changes);
                slot.event(EventClass::STRING, "pfadd");
            }
            Ok::<_, CommandError>(changed.is_some())
        })?;
    Ok(Reply::Integer(changed.into()).into())
}

pub(super) fn pfcount(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let estimate = if args.len() == 2 {
        estimate_of_one(ctx, &args[1])?
    } else {
        estimate_of_several(ctx, args)?
    };
    // A header that nobody wrote here may hold any number: Redis shows it as a signed one, too.
    Ok(Reply::Integer(estimate.cast_signed()).into())
}

fn estimate_of_one(ctx: &mut Context<'_>, key: &[u8]) -> Result<u64, CommandError> {
    let cached = ctx.read(key, |value| Sketch::of(value).map(Sketch::cached))?;
    let out_of_date = match cached.transpose()? {
        None => return Ok(0),
        Some(Some(estimate)) => return Ok(estimate),
        Some(None) => Access {
            touch: false,
            ..ctx.access
        },
    };
    ctx.keyspace
        .update(ctx.session.db, key, out_of_date, |slot| {
            let estimated = slot.read(|value| {
                let expires_at = value.expires_at;
                let sketch = Sketch::of(value)?;
                let estimate = sketch.estimate()?;
                let bytes = sketch.with_estimate(estimate);
                Ok::<_, CommandError>((estimate, bytes, expires_at))
            })?;
            // It may have gone since.
            let Some((estimate, bytes, expires_at)) = estimated.transpose()? else {
                return Ok(0);
            };
            match slot.put(Kind::String, &bytes, expires_at) {
                Ok(()) => slot.changed(1),
                // The number is right, whether there is room to keep it or not.
                Err(KeyspaceError::OutOfMemory) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(estimate)
        })
}

fn estimate_of_several(ctx: &mut Context<'_>, args: Args<'_>) -> Result<u64, CommandError> {
    let db = ctx.session.db;
    let keys: Vec<(usize, &[u8])> = args.from(1).map(|key| (db, key)).collect();
    let mut union = Union::default();
    let mut found = Vec::with_capacity(keys.len());
    let mut failed = None;
    ctx.keyspace.read_many(&keys, ctx.access, |value| {
        if failed.is_none() {
            found.push(value.is_some());
            failed = value.and_then(|value| union.take(value).err());
        }
    })?;
    for (&(_, key), &found) in keys.iter().zip(&found) {
        ctx.looked_up(key, found);
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(union.ranks().collect::<Histogram>().estimate()),
    }
}

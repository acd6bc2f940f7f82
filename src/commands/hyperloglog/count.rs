//! PFADD and PFCOUNT.

use super::estimate::Histogram;
use super::hash::Mark;
use super::merge::Union;
use super::sketch::{Draft, Sketch};
use crate::commands::object::is_in_buffer;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{Access, EventClass, KeyspaceError, StringForm};
use crate::protocol::{Args, Reply};

pub(super) fn pfadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let marks = || args.from(2).map(Mark::of);
    let sparse_bytes_max = ctx.server.config.settings().hll_sparse_max_bytes;
    let changed = ctx
        .keyspace
        .update(ctx.session.db, &args[1], ctx.access, |slot| {
            let current = slot.read_string(|string| {
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
                // That there is one now counts too.
                let mut changes = 1;
                for mark in marks() {
                    changes += usize::from(new.raise(mark, sparse_bytes_max)?);
                }
                (Some((new.finish(), changes)), None, None)
            };
            if let Some((bytes, changes)) = &changed {
                slot.put(StringForm::Raw, bytes, expires_at)?;
                slot.set_dirty(*changes);
                slot.event(EventClass::STRING, "pfadd");
            } else if let Some(bytes) = &held_anew {
                slot.put_unmodified(StringForm::Raw, bytes, expires_at)?;
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
    let cached = ctx.read_string(key, |string, _| {
        Sketch::read(string, |sketch| Ok(sketch.cached()))
    })?;
    let out_of_date = match cached {
        None => return Ok(0),
        Some(Some(estimate)) => return Ok(estimate),
        Some(None) => Access {
            touch: false,
            ..ctx.access
        },
    };
    ctx.keyspace
        .update(ctx.session.db, key, out_of_date, |slot| {
            let estimated = slot.read_string(|string| {
                Sketch::read(string, |sketch| {
                    let estimate = sketch.estimate()?;
                    let bytes = sketch.with_estimate(estimate);
                    Ok((estimate, bytes, string.expires_at))
                })
            })?;
            // It may have gone since.
            let Some((estimate, bytes, expires_at)) = estimated.transpose()? else {
                return Ok(0);
            };
            match slot.put(StringForm::Raw, &bytes, expires_at) {
                Ok(()) => slot.set_dirty(1),
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
    let taken = ctx.keyspace.view_many(&keys, ctx.access, |views| {
        views.iter().try_for_each(|view| {
            found.push(view.is_some());
            view.map_or(Ok(()), |view| union.take(view.string()?))
        })
    })?;
    for (&(_, key), &found) in keys.iter().zip(&found) {
        ctx.looked_up(key, found);
    }
    taken?;
    Ok(union.ranks().collect::<Histogram>().estimate())
}

//! `HyperLogLogs`: PFADD, PFCOUNT, PFMERGE.

mod registers;
pub(super) mod rows;

use super::strings::string;
use super::{CommandError, CommandResult, Context};
use crate::keyspace::{EventClass, Kind};
use crate::protocol::{Args, Reply};
use registers::{Registers, kept_estimate};

pub(super) fn pfadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let sparse_bytes_max = ctx.server.config.settings().hll_sparse_max_bytes;
    let changed = ctx
        .keyspace
        .update(ctx.session.db, &args[1], ctx.access, |slot| {
            let current = slot.read(|value| {
                let registers = Registers::decode(string(value)?)?;
                Ok::<_, CommandError>((registers, value.expires_at))
            })?;
            let current = current.transpose()?;
            let is_new = current.is_none();
            let (mut registers, expires_at) = current.unwrap_or_default();
            let mut changed = false;
            for element in args.from(2) {
                changed |= registers.add(element);
            }
            if !changed && !is_new {
                return Ok::<_, CommandError>(false);
            }
            // An empty one is known to be empty.
            let estimate = (!changed).then_some(0);
            let value = registers.encode(estimate, sparse_bytes_max);
            slot.put(Kind::String, &value, expires_at)?;
            slot.event(EventClass::STRING, "pfadd");
            Ok(true)
        })?;
    Ok(Reply::Integer(changed.into()).into())
}

pub(super) fn pfcount(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() == 2 {
        return count_one(ctx, &args[1]);
    }
    let keys: Vec<(usize, &[u8])> = args.from(1).map(|key| (ctx.session.db, key)).collect();
    let mut all = Registers::default();
    let mut result = Ok(());
    let mut found = Vec::with_capacity(keys.len());
    ctx.keyspace.read_many(&keys, ctx.access, |value| {
        found.push(value.is_some());
        if let (Some(value), Ok(())) = (value, &result) {
            result = string(value)
                .and_then(Registers::decode)
                .map(|registers| all.merge(&registers));
        }
    })?;
    for (found, (_, key)) in found.into_iter().zip(keys) {
        ctx.looked_up(key, found);
    }
    result?;
    Ok(reply(all.estimate()))
}

fn reply(estimate: u64) -> super::Outcome {
    Reply::Integer(i64::try_from(estimate).unwrap_or(i64::MAX)).into()
}

/// The estimate of one, which is kept with it.
fn count_one(ctx: &mut Context<'_>, key: &[u8]) -> CommandResult {
    let kept = ctx.read(key, |value| kept_estimate(string(value)?))?;
    match kept.transpose()? {
        None => return Ok(reply(0)),
        Some(Some(estimate)) => return Ok(reply(estimate)),
        Some(None) => {}
    }
    let sparse_bytes_max = ctx.server.config.settings().hll_sparse_max_bytes;
    let estimate = ctx
        .keyspace
        .update(ctx.session.db, key, ctx.access, |slot| {
            let current = slot.read(|value| {
                let registers = Registers::decode(string(value)?)?;
                Ok::<_, CommandError>((registers, value.expires_at))
            })?;
            let Some((registers, expires_at)) = current.transpose()? else {
                return Ok::<_, CommandError>(0);
            };
            let estimate = registers.estimate();
            let value = registers.encode(Some(estimate), sparse_bytes_max);
            slot.put(Kind::String, &value, expires_at)?;
            Ok(estimate)
        })?;
    Ok(reply(estimate))
}

pub(super) fn pfmerge(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    const DESTINATION: usize = 0;
    let sparse_bytes_max = ctx.server.config.settings().hll_sparse_max_bytes;
    let keys: Vec<(usize, &[u8])> = args.from(1).map(|key| (ctx.session.db, key)).collect();
    let mut found = Vec::with_capacity(keys.len());
    let merged = ctx.keyspace.update_many(&keys, ctx.access, |slots| {
        let mut all = Registers::default();
        for i in 0..keys.len() {
            found.push(slots.info(i).is_some());
            let one = slots.read(i, |value| Registers::decode(string(value)?))?;
            if let Some(one) = one.transpose()? {
                all.merge(&one);
            }
        }
        let expires_at = slots.info(DESTINATION).and_then(|info| info.expires_at);
        let value = all.encode(None, sparse_bytes_max);
        slots.put(DESTINATION, Kind::String, &value, expires_at);
        slots.event(DESTINATION, EventClass::STRING, "pfadd");
        Ok::<_, CommandError>(())
    });
    for (found, (_, key)) in found.into_iter().zip(keys) {
        ctx.looked_up(key, found);
    }
    merged?;
    Ok(Reply::Ok.into())
}

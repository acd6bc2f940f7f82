//! MSETEX: several keys with one condition and one deadline, in one step.

use super::options::{Condition, Dialect, Expiry, Options, deadline};
use super::values::KEYS_AND_VALUES;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::context::Database;
use crate::commands::row::Row;
use crate::commands::time_unit::{EX, EXAT, PX, PXAT};
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{EventClass, Kind, Millis};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

/// Keys and values, as of MSET.
const DATA: Argument = KEYS_AND_VALUES[0];

pub(in crate::commands) static COMMANDS: &[Row] = &[Row::new("msetex", Arity::AtLeast(4), msetex)
    .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLEKEYS))
    .categories(Categories::STRING)
    .keys(&[KeySpec::counted_pairs(&["OW", "update"], 1)])
    .group(Group::String, "8.4.0")
    .summary("Sets several keys and their deadline in one step, on a condition")
    .complexity("O(N) where N is the number of keys to set.")
    .arguments(&[
        Argument::new("numkeys", ArgumentKind::Integer),
        DATA,
        Argument::new(
            "condition",
            ArgumentKind::OneOf(&[Argument::token("nx", "NX"), Argument::token("xx", "XX")]),
        )
        .optional(),
        Argument::new(
            "expiration",
            ArgumentKind::OneOf(&[EX, PX, EXAT, PXAT, Argument::token("keepttl", "KEEPTTL")]),
        )
        .optional(),
    ])
    .tips(&[
        "request_policy:multi_shard",
        "response_policy:all_succeeded",
    ])];

fn msetex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let count = parse_i64(&args[1])
        .and_then(|count| i32::try_from(count).ok())
        .and_then(|count| usize::try_from(count).ok())
        .filter(|&count| count > 0)
        .ok_or(CommandError::text("ERR invalid numkeys value"))?;
    if count > (args.len() - 2) / 2 {
        return Err(CommandError::text("ERR wrong number of key-value pairs"));
    }
    let options = Options::parse(Dialect::MSetEx, args.from(2 + 2 * count))?;
    let (now, clock) = (ctx.access.now, ctx.access.clock());
    let at = match options.expiry {
        Expiry::At(unit, text) => Some(deadline(unit, text, clock, "msetex")?),
        Expiry::Unsaid | Expiry::Persist | Expiry::Keep => None,
    };
    let names = args.from(2).step_by(2).take(count);
    let database = ctx.database();
    let set = ctx.update_many(names, |keys| {
        database.begin_effects();
        let mut infos = (0..count).map(|index| keys.info(index));
        let refused = match options.condition {
            Condition::Absent => infos.any(|info| info.is_some()),
            Condition::Present => infos.any(|info| info.is_none()),
            Condition::Always | Condition::Compared(_) => false,
        };
        if refused {
            return Ok(false);
        }
        keys.set_dirty(count);
        // If the call names a key twice, its later value stays.
        for (index, value) in args.from(3).step_by(2).take(count).enumerate() {
            let expires_at = match options.expiry {
                Expiry::Keep => keys.info(index).and_then(|info| info.expires_at),
                _ => at,
            };
            if at.is_some_and(|at| at <= now) {
                // The deadline has passed already, so the key goes at once.
                keys.remove(index);
                database.effect(&[b"DEL", &args[2 + 2 * index]]);
            } else {
                keys.put(index, Kind::String, value, expires_at);
                set_effect(database, &args[2 + 2 * index], value, expires_at);
            }
            keys.event(index, EventClass::STRING, "set");
            if at.is_some() {
                keys.event(index, EventClass::GENERIC, "expire");
            }
        }
        Ok(true)
    })?;
    Ok(Reply::Integer(i64::from(set)).into())
}

/// Replicas set each key by itself: older servers do not know the call.
fn set_effect(database: Database<'_>, key: &[u8], value: &[u8], expires_at: Option<Millis>) {
    match expires_at {
        Some(at) if database.is_followed() => {
            let at = at.to_string();
            database.effect(&[b"SET", key, value, b"PXAT", at.as_bytes()]);
        }
        _ => database.effect(&[b"SET", key, value]),
    }
}

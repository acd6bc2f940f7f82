//! SET with its options, its older relatives, and GETEX.

use super::compared::COMPARISONS;
use super::options::{Condition, Dialect, Expiry, Options, deadline};
use super::write_string;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::time_unit::{EX, EXAT, PX, PXAT, TimeUnit};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Kind, Millis};
use crate::protocol::Args;

/// What SET may require of the key.
const CONDITIONS: &[Argument] = &[
    Argument::token("nx", "NX"),
    Argument::token("xx", "XX"),
    COMPARISONS[0],
    COMPARISONS[1],
    COMPARISONS[2],
    COMPARISONS[3],
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("set", Arity::AtLeast(3), set)
        .flags(Flags::WRITE.union(Flags::DENYOOM))
        .categories(Categories::STRING)
        .keys(&[
            KeySpec::first(&["RW", "access", "update", "variable_flags"]).with_notes(
                "RW and ACCESS due to the optional `GET` argument, and to the comparisons",
            ),
        ])
        .group(Group::String, "1.0.0")
        .summary("Sets a key's string, whatever the key held before")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("value", ArgumentKind::String),
            Argument::new("condition", ArgumentKind::OneOf(CONDITIONS))
                .optional()
                .since("2.6.12"),
            Argument::token("get", "GET").optional().since("6.2.0"),
            Argument::new(
                "expiration",
                ArgumentKind::OneOf(&[
                    EX.since("2.6.12"),
                    PX.since("2.6.12"),
                    EXAT.since("6.2.0"),
                    PXAT.since("6.2.0"),
                    Argument::token("keepttl", "KEEPTTL").since("6.0.0"),
                ]),
            )
            .optional(),
        ])
        .history(&[
            ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
            ("6.0.0", "Added the `KEEPTTL` option."),
            ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
            (
                "7.0.0",
                "Allowed the `NX` and `GET` options to be used together.",
            ),
            (
                "8.4.0",
                "Added the `IFEQ`, `IFNE`, `IFDEQ` and `IFDNE` options.",
            ),
        ]),
    Row::new("setnx", Arity::Exactly(3), setnx)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["OW", "insert"])])
        .group(Group::String, "1.0.0")
        .summary("Sets a key's string, unless the key exists")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("value", ArgumentKind::String),
        ])
        .deprecated("2.6.12", "`SET` with the `NX` argument"),
    Row::new("setex", Arity::Exactly(4), setex)
        .flags(Flags::WRITE.union(Flags::DENYOOM))
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["OW", "update"])])
        .group(Group::String, "2.0.0")
        .summary("Sets a key's string and its time to live in seconds")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("seconds", ArgumentKind::Integer),
            Argument::new("value", ArgumentKind::String),
        ])
        .deprecated("2.6.12", "`SET` with the `EX` argument"),
    Row::new("psetex", Arity::Exactly(4), psetex)
        .flags(Flags::WRITE.union(Flags::DENYOOM))
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["OW", "update"])])
        .group(Group::String, "2.6.0")
        .summary("Sets a key's string and its time to live in milliseconds")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("milliseconds", ArgumentKind::Integer),
            Argument::new("value", ArgumentKind::String),
        ])
        .deprecated("2.6.12", "`SET` with the `PX` argument"),
    Row::new("getex", Arity::AtLeast(2), getex)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["RW", "access", "update"])
            .with_notes("RW and UPDATE because it changes the TTL")])
        .group(Group::String, "6.2.0")
        .summary("Returns a key's string and may change its deadline")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "expiration",
                ArgumentKind::OneOf(&[EX, PX, EXAT, PXAT, Argument::token("persist", "PERSIST")]),
            )
            .optional(),
        ]),
];

/// What [`store`] does with the key's deadline.
#[derive(Clone, Copy)]
enum Deadline {
    Clear,
    Keep,
    At(Millis),
}

fn set(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (key, value) = (&args[1], &args[2]);
    if args.len() == 3 {
        put(ctx, key, value, None)?;
        return Ok(Outcome::Written);
    }
    let options = Options::parse(Dialect::Set, args.from(3))?;
    let deadline = match options.expiry {
        Expiry::Unsaid | Expiry::Persist => Deadline::Clear,
        Expiry::Keep => Deadline::Keep,
        Expiry::At(unit, text) => Deadline::At(deadline(unit, text, ctx.access.clock(), "set")?),
    };
    let stored = store(ctx, key, value, options.condition, options.get, deadline)?;
    if let Deadline::At(at) = deadline {
        ctx.effect_is_set(key, value, at);
    } else if let Condition::Compared(_) = options.condition {
        // Older servers do not know the condition, and it held.
        match deadline {
            Deadline::Keep => ctx.effect(&[b"SET", key, value, b"KEEPTTL"]),
            Deadline::Clear | Deadline::At(_) => ctx.effect(&[b"SET", key, value]),
        }
    }
    match (options.get, stored) {
        // `store` has written the old value, which is the reply.
        (true, _) => {}
        (false, true) => ctx.out.ok(),
        (false, false) => ctx.out.null(),
    }
    Ok(Outcome::Written)
}

fn setnx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let stored = store(
        ctx,
        &args[1],
        &args[2],
        Condition::Absent,
        false,
        Deadline::Clear,
    )?;
    ctx.out.integer(i64::from(stored));
    Ok(Outcome::Written)
}

fn setex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let at = deadline(TimeUnit::Seconds, &args[2], ctx.access.clock(), "setex")?;
    put(ctx, &args[1], &args[3], Some(at))?;
    ctx.effect_is_set(&args[1], &args[3], at);
    Ok(Outcome::Written)
}

fn psetex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let at = deadline(TimeUnit::Millis, &args[2], ctx.access.clock(), "psetex")?;
    put(ctx, &args[1], &args[3], Some(at))?;
    ctx.effect_is_set(&args[1], &args[3], at);
    Ok(Outcome::Written)
}

/// Sets a key without looking at what it held, and answers OK.
fn put(
    ctx: &mut Context<'_>,
    key: &[u8],
    value: &[u8],
    expires_at: Option<Millis>,
) -> Result<(), CommandError> {
    ctx.update(key, |key| {
        key.put(Kind::String, value, expires_at)?;
        key.event(EventClass::STRING, "set");
        if expires_at.is_some() {
            key.event(EventClass::GENERIC, "expire");
        }
        Ok(())
    })?;
    ctx.out.ok();
    Ok(())
}

/// Sets a key where `condition` holds, and returns whether it did. With `get`, writes the old value as the reply; if
/// that is no string, returns an error and sets nothing. (After an error dispatch removes the part of a reply.)
fn store(
    ctx: &mut Context<'_>,
    key: &[u8],
    value: &[u8],
    condition: Condition<'_>,
    get: bool,
    deadline: Deadline,
) -> Result<bool, CommandError> {
    let now = ctx.access.now;
    let mut found = false;
    let stored = ctx.database().update(key, |key| {
        let out = &mut *ctx.out;
        let before = key.info();
        found = before.is_some();
        if get {
            if let Some(written) = key.read(|old| write_string(old, out))? {
                written?;
            } else {
                out.null();
                key.event(EventClass::KEY_MISS, "keymiss");
            }
        }
        match condition {
            Condition::Absent if found => return Ok(false),
            Condition::Present if !found => return Ok(false),
            Condition::Compared(comparison) => {
                let holds = key.read_string(|string| comparison.holds_for(string))?;
                if !holds.unwrap_or(Ok(comparison.holds_for_none()))? {
                    return Ok(false);
                }
            }
            Condition::Always | Condition::Absent | Condition::Present => {}
        }
        let expires_at = match deadline {
            Deadline::Clear => None,
            Deadline::Keep => before.and_then(|info| info.expires_at),
            Deadline::At(at) => Some(at),
        };
        if expires_at.is_some_and(|at| at <= now) {
            // The deadline has passed already, so the key goes at once.
            if !key.remove()? {
                key.modified();
                key.event(EventClass::NEW, "new");
            }
            key.event(EventClass::STRING, "set");
            key.event(EventClass::GENERIC, "expire");
            key.event(EventClass::EXPIRED, "expired");
        } else {
            key.put(Kind::String, value, expires_at)?;
            key.event(EventClass::STRING, "set");
            if matches!(deadline, Deadline::At(_)) {
                key.event(EventClass::GENERIC, "expire");
            }
        }
        Ok(true)
    });
    if get {
        ctx.count_lookup(found);
    }
    stored
}

fn getex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = Options::parse(Dialect::GetEx, args.from(2))?;
    if options.expiry == Expiry::Unsaid {
        return super::values::get(ctx, args);
    }
    let (now, clock) = (ctx.access.now, ctx.access.clock());
    let mut found = false;
    let mut given = None;
    let done = ctx.database().update(&args[1], |key| {
        let out = &mut *ctx.out;
        let Some(info) = key.info() else {
            out.null();
            key.event(EventClass::KEY_MISS, "keymiss");
            return Ok(());
        };
        found = true;
        key.read(|value| write_string(value, out))?.transpose()?;
        match options.expiry {
            Expiry::At(unit, text) => {
                let at = deadline(unit, text, clock, "getex")?;
                given = Some(at);
                if at <= now {
                    key.remove()?;
                    key.event(EventClass::GENERIC, "del");
                } else {
                    key.set_expiry(Some(at))?;
                    key.event(EventClass::GENERIC, "expire");
                }
            }
            Expiry::Persist if info.expires_at.is_some() => {
                key.set_expiry(None)?;
                key.event(EventClass::GENERIC, "persist");
            }
            Expiry::Persist | Expiry::Keep | Expiry::Unsaid => {}
        }
        Ok(())
    });
    ctx.count_lookup(found);
    done?;
    match given {
        Some(at) => ctx.effect_is_deadline(&args[1], at),
        None => ctx.effect(&[b"PERSIST", &args[1]]),
    }
    Ok(Outcome::Written)
}

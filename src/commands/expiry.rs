//! Deadlines: EXPIRE and its kin, TTL and its kin, PERSIST.

use super::keys::{ONE_KEY, look_up};
use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::{Handler, Row};
use crate::commands::time_unit::TimeUnit;
use crate::error::shown;
use crate::keyspace::{EventClass, Millis};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

const MS_PER_S: i64 = 1000;

pub(super) static COMMANDS: &[Row] = &[
    setter(
        "expire",
        "1.0.0",
        "Lets a key expire in some seconds.",
        SECONDS,
        expire,
    )
    .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")]),
    setter(
        "pexpire",
        "2.6.0",
        "Lets a key expire in some milliseconds.",
        MILLISECONDS,
        pexpire,
    )
    .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")]),
    setter(
        "expireat",
        "1.2.0",
        "Lets a key expire at a time given in seconds since 1970.",
        UNIX_SECONDS,
        expireat,
    )
    .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")]),
    setter(
        "pexpireat",
        "2.6.0",
        "Lets a key expire at a time given in milliseconds since 1970.",
        UNIX_MILLISECONDS,
        pexpireat,
    )
    .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")]),
    getter(
        "ttl",
        "1.0.0",
        "Returns how many seconds a key has left.",
        ttl,
    )
    .tips(&["nondeterministic_output"])
    .history(&[("2.8.0", "Added the -2 reply.")]),
    getter(
        "pttl",
        "2.6.0",
        "Returns how many milliseconds a key has left.",
        pttl,
    )
    .tips(&["nondeterministic_output"])
    .history(&[("2.8.0", "Added the -2 reply.")]),
    getter(
        "expiretime",
        "7.0.0",
        "Returns when a key expires, in seconds since 1970.",
        expiretime,
    ),
    getter(
        "pexpiretime",
        "7.0.0",
        "Returns when a key expires, in milliseconds since 1970.",
        pexpiretime,
    ),
    Row::new("persist", Arity::Exactly(2), persist)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::KEYSPACE)
        .keys(UPDATED_KEY)
        .group(Group::Generic, "2.2.0")
        .summary("Lets a key stay for ever.")
        .complexity("O(1)")
        .arguments(ONE_KEY),
];

const CONDITION: Argument = Argument::new(
    "condition",
    ArgumentKind::OneOf(&[
        Argument::token("nx", "NX"),
        Argument::token("xx", "XX"),
        Argument::token("gt", "GT"),
        Argument::token("lt", "LT"),
    ]),
)
.optional()
.since("7.0.0");

const SECONDS: &[Argument] = &[
    Argument::key(),
    Argument::new("seconds", ArgumentKind::Integer),
    CONDITION,
];
const MILLISECONDS: &[Argument] = &[
    Argument::key(),
    Argument::new("milliseconds", ArgumentKind::Integer),
    CONDITION,
];
const UNIX_SECONDS: &[Argument] = &[
    Argument::key(),
    Argument::new("unix-time-seconds", ArgumentKind::UnixTime),
    CONDITION,
];
const UNIX_MILLISECONDS: &[Argument] = &[
    Argument::key(),
    Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime),
    CONDITION,
];

const UPDATED_KEY: &[KeySpec] = &[KeySpec::first(&["RW", "update"])];
const READ_KEY: &[KeySpec] = &[KeySpec::first(&["RO", "access"])];

/// A row of the EXPIRE kind.
const fn setter(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    arguments: &'static [Argument],
    handler: Handler,
) -> Row {
    Row::new(name, Arity::AtLeast(3), handler)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::KEYSPACE)
        .keys(UPDATED_KEY)
        .group(Group::Generic, since)
        .summary(summary)
        .complexity("O(1)")
        .arguments(arguments)
}

/// A row of the TTL kind.
const fn getter(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    handler: Handler,
) -> Row {
    Row::new(name, Arity::Exactly(2), handler)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::KEYSPACE)
        .keys(READ_KEY)
        .group(Group::Generic, since)
        .summary(summary)
        .complexity("O(1)")
        .arguments(ONE_KEY)
}

/// When EXPIRE and its kin may set the deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Four arguments that may stand together in some ways.
struct Condition {
    /// Only where there is none.
    nx: bool,
    /// Only where there is one.
    xx: bool,
    /// Only to a later one.
    gt: bool,
    /// Only to an earlier one.
    lt: bool,
}

impl Condition {
    fn parse<'a>(rest: impl Iterator<Item = &'a [u8]>) -> Result<Self, CommandError> {
        let mut condition = Self::default();
        for argument in rest {
            match argument.to_ascii_lowercase().as_slice() {
                b"nx" => condition.nx = true,
                b"xx" => condition.xx = true,
                b"gt" => condition.gt = true,
                b"lt" => condition.lt = true,
                _ => return Err(unsupported_option(argument)),
            }
        }
        if condition.nx && (condition.xx || condition.gt || condition.lt) {
            return Err(CommandError::text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if condition.gt && condition.lt {
            return Err(CommandError::text(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(condition)
    }

    /// Whether a key whose deadline is `current` may get `new`. No deadline counts as infinitely late.
    fn allows(self, current: Option<Millis>, new: Millis) -> bool {
        match current {
            None => !self.xx && !self.gt,
            Some(current) => !self.nx && (!self.gt || new > current) && (!self.lt || new < current),
        }
    }
}

fn unsupported_option(argument: &[u8]) -> CommandError {
    CommandError::Text(format!("ERR Unsupported option {}", shown(argument, usize::MAX)).into())
}

/// The deadline for the number `time`, or the error of `command` where it can't be represented.
fn deadline(
    command: &'static str,
    unit: TimeUnit,
    time: i64,
    now: Millis,
) -> Result<Millis, CommandError> {
    unit.point(time, now)
        .ok_or(CommandError::InvalidExpireTime(command))
}

fn expire(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    set_deadline(ctx, args, "expire", TimeUnit::Seconds)
}

fn pexpire(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    set_deadline(ctx, args, "pexpire", TimeUnit::Millis)
}

fn expireat(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    set_deadline(ctx, args, "expireat", TimeUnit::AtSeconds)
}

fn pexpireat(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    set_deadline(ctx, args, "pexpireat", TimeUnit::AtMillis)
}

fn set_deadline(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    command: &'static str,
    unit: TimeUnit,
) -> CommandResult {
    let condition = Condition::parse(args.from(3))?;
    let time = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    let now = ctx.access.now;
    let deadline = deadline(command, unit, time, ctx.access.clock())?;
    let set = ctx.update(&args[1], |key| {
        let Some(info) = key.info() else {
            return Ok(false);
        };
        if !condition.allows(info.expires_at, deadline) {
            return Ok(false);
        }
        if deadline <= now {
            key.remove()?;
            key.event(EventClass::GENERIC, "del");
        } else {
            key.set_expiry(Some(deadline))?;
            key.event(EventClass::GENERIC, "expire");
        }
        Ok(true)
    })?;
    ctx.effect_is_deadline(&args[1], deadline);
    Ok(Reply::Integer(i64::from(set)).into())
}

fn persist(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let persisted = ctx.update(&args[1], |key| {
        let expires = key.info().is_some_and(|info| info.expires_at.is_some());
        if expires {
            key.set_expiry(None)?;
            key.event(EventClass::GENERIC, "persist");
        }
        Ok(expires)
    })?;
    Ok(Reply::Integer(i64::from(persisted)).into())
}

/// Rounds as Redis does: half a second and more counts as one.
fn rounded_s(ms: Millis) -> i64 {
    ms.saturating_add(MS_PER_S / 2) / MS_PER_S
}

/// Answers -2 for no key, -1 for no deadline, or `f` of the deadline.
fn get_deadline(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    f: impl FnOnce(Millis) -> i64,
) -> CommandResult {
    let number = match look_up(ctx, &args[1])? {
        None => -2,
        Some(info) => info.expires_at.map_or(-1, f),
    };
    Ok(Reply::Integer(number).into())
}

fn ttl(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let now = ctx.access.now;
    get_deadline(ctx, args, |deadline| rounded_s((deadline - now).max(0)))
}

fn pttl(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let now = ctx.access.now;
    get_deadline(ctx, args, |deadline| (deadline - now).max(0))
}

fn expiretime(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    get_deadline(ctx, args, rounded_s)
}

fn pexpiretime(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    get_deadline(ctx, args, |deadline| deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(arguments: &str) -> Result<Condition, String> {
        Condition::parse(arguments.split_whitespace().map(str::as_bytes))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn conditions() {
        let allows = |arguments: &str, current: Option<Millis>| {
            condition(arguments)
                .expect("a valid condition")
                .allows(current, 100)
        };
        // For each condition: on no deadline, an earlier, the same and a later one.
        for (arguments, expected) in [
            ("", [true, true, true, true]),
            ("nx", [true, false, false, false]),
            ("XX", [false, true, true, true]),
            ("gt", [false, true, false, false]),
            ("lt", [true, false, false, true]),
            ("xx lt", [false, false, false, true]),
            ("xx gt", [false, true, false, false]),
        ] {
            let currents = [None, Some(50), Some(100), Some(150)];
            assert_eq!(
                currents.map(|c| allows(arguments, c)),
                expected,
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn conditions_that_exclude_each_other() {
        let incompatible = "ERR NX and XX, GT or LT options at the same time are not compatible";
        for arguments in ["nx xx", "gt nx", "lt nx gt"] {
            assert_eq!(condition(arguments), Err(incompatible.to_owned()));
        }
        assert_eq!(
            condition("gt lt"),
            Err("ERR GT and LT options at the same time are not compatible".to_owned())
        );
        assert_eq!(
            condition("nx soon"),
            Err("ERR Unsupported option soon".to_owned())
        );
    }

    #[test]
    fn deadlines() {
        let check = |command, unit, time| {
            deadline(command, unit, time, 1_000_000).map_err(|error| error.to_string())
        };
        let error = |name: &str| Err(format!("ERR invalid expire time in '{name}' command"));
        assert_eq!(check("expire", TimeUnit::Seconds, 7), Ok(1_007_000));
        assert_eq!(check("expire", TimeUnit::Seconds, -7), Ok(993_000));
        assert_eq!(
            check("pexpireat", TimeUnit::AtMillis, i64::MAX),
            Ok(i64::MAX)
        );
        assert_eq!(
            check("expire", TimeUnit::Seconds, i64::MAX / 1000),
            error("expire")
        );
        assert_eq!(
            check("expireat", TimeUnit::AtSeconds, i64::MIN),
            error("expireat")
        );
        assert_eq!(
            check("pexpire", TimeUnit::Millis, i64::MAX),
            error("pexpire")
        );
        assert_eq!(
            check("pexpire", TimeUnit::Millis, i64::MIN),
            Ok(i64::MIN + 1_000_000)
        );
    }

    #[test]
    fn seconds_are_rounded() {
        assert_eq!([499, 500, 1499, 1500].map(rounded_s), [0, 1, 1, 2]);
        assert_eq!(rounded_s(i64::MAX), i64::MAX / 1000);
    }
}

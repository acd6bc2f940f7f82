//! Deadlines of fields: HEXPIRE and its kin, HTTL and its kin, HPERSIST. They came with Redis 7.4.

use super::effects::FieldEffects;
use super::fields::{FIELDS, Fields, NO_COUNT, parse_deadline, refusal, tell_removed};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::{Handler, Row};
use crate::commands::time_unit::TimeUnit;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Kind, Millis};
use crate::protocol::{Args, ReplyBuffer};

/// What a field's number says: there is no such field, ...
const NO_FIELD: i64 = -2;
/// ... it has no deadline, ...
const NO_DEADLINE: i64 = -1;
/// ... the condition does not hold, ...
const REFUSED: i64 = 0;
/// ... it is done, ...
const DONE: i64 = 1;
/// ... the field is gone at once.
const REMOVED: i64 = 2;

const CONDITIONS: Argument = Argument::new(
    "condition",
    ArgumentKind::OneOf(&[
        Argument::token("nx", "NX"),
        Argument::token("xx", "XX"),
        Argument::token("gt", "GT"),
        Argument::token("lt", "LT"),
    ]),
)
.optional();

const SECONDS: &[Argument] = &[
    Argument::key(),
    Argument::new("seconds", ArgumentKind::Integer),
    CONDITIONS,
    FIELDS,
];
const MILLISECONDS: &[Argument] = &[
    Argument::key(),
    Argument::new("milliseconds", ArgumentKind::Integer),
    CONDITIONS,
    FIELDS,
];
const AT_SECONDS: &[Argument] = &[
    Argument::key(),
    Argument::new("unix-time-seconds", ArgumentKind::UnixTime),
    CONDITIONS,
    FIELDS,
];
const AT_MILLISECONDS: &[Argument] = &[
    Argument::key(),
    Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime),
    CONDITIONS,
    FIELDS,
];

const COMPLEXITY: &str = "O(N) where N is the number of specified fields";

const UPDATES: &[KeySpec] = &[KeySpec::first(&["RW", "update"])];
const READS: &[KeySpec] = &[KeySpec::first(&["RO", "access"])];
const KEY_AND_FIELDS: &[Argument] = &[Argument::key(), FIELDS];

/// A command that gives fields a deadline.
const fn setter(
    name: &'static str,
    summary: &'static str,
    arguments: &'static [Argument],
    handler: Handler,
) -> Row {
    Row::new(name, Arity::AtLeast(6), handler)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(UPDATES)
        .group(Group::Hash, "7.4.0")
        .summary(summary)
        .complexity(COMPLEXITY)
        .arguments(arguments)
}

/// A command that tells fields' deadlines.
const fn getter(name: &'static str, summary: &'static str, handler: Handler) -> Row {
    Row::new(name, Arity::AtLeast(5), handler)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(READS)
        .group(Group::Hash, "7.4.0")
        .summary(summary)
        .complexity(COMPLEXITY)
        .arguments(KEY_AND_FIELDS)
}

pub(in crate::commands) static COMMANDS: &[Row] = &[
    setter(
        "hexpire",
        "Lets fields expire in some seconds",
        SECONDS,
        hexpire,
    ),
    setter(
        "hpexpire",
        "Lets fields expire in some milliseconds",
        MILLISECONDS,
        hpexpire,
    ),
    setter(
        "hexpireat",
        "Lets fields expire at a point in time, in seconds",
        AT_SECONDS,
        hexpireat,
    ),
    setter(
        "hpexpireat",
        "Lets fields expire at a point in time, in milliseconds",
        AT_MILLISECONDS,
        hpexpireat,
    ),
    getter("httl", "Returns how many seconds fields have left", httl)
        .tips(&["nondeterministic_output"]),
    getter(
        "hpttl",
        "Returns how many milliseconds fields have left",
        hpttl,
    )
    .tips(&["nondeterministic_output"]),
    getter(
        "hexpiretime",
        "Returns when fields expire, in seconds",
        hexpiretime,
    ),
    getter(
        "hpexpiretime",
        "Returns when fields expire, in milliseconds",
        hpexpiretime,
    ),
    Row::new("hpersist", Arity::AtLeast(5), hpersist)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(UPDATES)
        .group(Group::Hash, "7.4.0")
        .summary("Takes fields' deadlines away")
        .complexity(COMPLEXITY)
        .arguments(KEY_AND_FIELDS),
];

/// What must hold of a field's present deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    None,
    Absent,
    Present,
    Later,
    Earlier,
}

impl Condition {
    fn of_option(option: &[u8]) -> Option<Self> {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("NX") {
            Some(Condition::Absent)
        } else if is("XX") {
            Some(Condition::Present)
        } else if is("GT") {
            Some(Condition::Later)
        } else if is("LT") {
            Some(Condition::Earlier)
        } else {
            None
        }
    }

    /// Whether a field with the deadline `before` may get the deadline `at`. No deadline counts as the latest one.
    fn holds(self, before: Option<Millis>, at: Millis) -> bool {
        match self {
            Condition::None => true,
            Condition::Absent => before.is_none(),
            Condition::Present => before.is_some(),
            Condition::Later => before.is_some_and(|before| at > before),
            Condition::Earlier => before.is_none_or(|before| at < before),
        }
    }
}

fn hexpire(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    expire(ctx, args, TimeUnit::Seconds, "hexpire")
}

fn hpexpire(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    expire(ctx, args, TimeUnit::Millis, "hpexpire")
}

fn hexpireat(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    expire(ctx, args, TimeUnit::AtSeconds, "hexpireat")
}

fn hpexpireat(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    expire(ctx, args, TimeUnit::AtMillis, "hpexpireat")
}

fn expire(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    unit: TimeUnit,
    command: &'static str,
) -> CommandResult {
    let (now, clock) = (ctx.access.now, ctx.access.clock());
    let condition = Condition::of_option(&args[3]);
    let parse = || {
        let at = parse_deadline(unit, &args[2], clock, command)?;
        let first = 3 + usize::from(condition.is_some());
        let refusal = "ERR Parameter `numFields` should be greater than 0";
        Ok((at, Fields::parse(args, first, refusal)?))
    };
    let (at, fields) = parse().map_err(|error| refusal(ctx, &args[1], error))?;
    let condition = condition.unwrap_or(Condition::None);
    let database = ctx.database();
    database.update_collection(&args[1], |keys| {
        let mut effects = FieldEffects::begin(database, &args[1]);
        let out = &mut *ctx.out;
        let mut hash = keys.fields(0, Kind::Hash)?;
        let (mut set, mut removed) = (0, 0);
        out.array_header(fields.len());
        for field in fields.iter() {
            out.integer(match hash.deadline(field)? {
                None => NO_FIELD,
                Some(before) if !condition.holds(before, at) => REFUSED,
                Some(_) if at <= now => {
                    hash.remove(field)?;
                    effects.removes(field);
                    removed += 1;
                    REMOVED
                }
                Some(_) => {
                    hash.set_deadline(field, Some(at))?;
                    effects.expires(field, at);
                    set += 1;
                    DONE
                }
            });
        }
        effects.finish();
        let is_empty = hash.is_empty();
        keys.set_dirty(set + removed);
        if set > 0 {
            keys.event(0, EventClass::HASH, "hexpire");
        }
        if removed > 0 {
            tell_removed(keys, is_empty);
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn hpersist(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let fields = numbered(ctx, args)?;
    ctx.database().update_collection(&args[1], |keys| {
        let out = &mut *ctx.out;
        let mut hash = keys.fields(0, Kind::Hash)?;
        let mut persisted = 0;
        out.array_header(fields.len());
        for field in fields.iter() {
            out.integer(match hash.deadline(field)? {
                None => NO_FIELD,
                Some(None) => NO_DEADLINE,
                Some(Some(_)) => {
                    hash.set_deadline(field, None)?;
                    persisted += 1;
                    DONE
                }
            });
        }
        if persisted > 0 {
            keys.set_dirty(persisted);
            keys.event(0, EventClass::HASH, "hpersist");
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn numbered<'a>(ctx: &Context<'_>, args: Args<'a>) -> Result<Fields<'a>, CommandError> {
    Fields::parse(args, 2, NO_COUNT).map_err(|error| refusal(ctx, &args[1], error))
}

fn httl(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    tell(ctx, args, |at, now| seconds(at - now))
}

fn hpttl(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    tell(ctx, args, |at, now| at - now)
}

fn hexpiretime(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    tell(ctx, args, |at, _| seconds(at))
}

fn hpexpiretime(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    tell(ctx, args, |at, _| at)
}

/// Whole seconds, rounded up.
fn seconds(millis: Millis) -> i64 {
    (millis + 999) / 1000
}

/// Answers a number for each field; `number` makes it of the deadline and of the present time.
fn tell(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    number: impl Fn(Millis, Millis) -> i64,
) -> CommandResult {
    let fields = numbered(ctx, args)?;
    let now = ctx.access.clock();
    ctx.hash(&args[1], |hash, out: &mut ReplyBuffer| {
        out.array_header(fields.len());
        for field in fields.iter() {
            let deadline = hash.map(|hash| hash.deadline(field)).transpose()?;
            out.integer(match deadline.flatten() {
                None => NO_FIELD,
                Some(None) => NO_DEADLINE,
                Some(Some(at)) => number(at, now),
            });
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

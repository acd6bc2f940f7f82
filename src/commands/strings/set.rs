//! SET with its options, its older relatives, and GETEX.

use super::write_string;
use crate::commands::numbers::parse_i64;
use crate::commands::spec::{
    Argument, ArgumentKind, Arity, Categories, CommandSpec, Flags, Group, KeySpec,
};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{Kind, Millis};
use crate::protocol::{Args, Words};

pub(in crate::commands) static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "set",
        arity: Arity::AtLeast(3),
        flags: Flags::WRITE.union(Flags::DENYOOM),
        categories: Categories::STRING,
        keys: &[KeySpec::first(&[
            "RW",
            "access",
            "update",
            "variable_flags",
        ])],
        group: Group::String,
        since: "1.0.0",
        summary: "Sets a key's string, whatever the key held before",
        complexity: "O(1)",
        arguments: &[
            Argument::key(),
            Argument::new("value", ArgumentKind::String),
            Argument::new(
                "condition",
                ArgumentKind::OneOf(&[Argument::token("nx", "NX"), Argument::token("xx", "XX")]),
            )
            .optional()
            .since("2.6.12"),
            Argument::token("get", "GET").optional().since("6.2.0"),
            Argument::new(
                "expiration",
                ArgumentKind::OneOf(&[
                    Argument::new("seconds", ArgumentKind::Integer)
                        .with_token("EX")
                        .since("2.6.12"),
                    Argument::new("milliseconds", ArgumentKind::Integer)
                        .with_token("PX")
                        .since("2.6.12"),
                    Argument::new("unix-time-seconds", ArgumentKind::UnixTime)
                        .with_token("EXAT")
                        .since("6.2.0"),
                    Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime)
                        .with_token("PXAT")
                        .since("6.2.0"),
                    Argument::token("keepttl", "KEEPTTL").since("6.0.0"),
                ]),
            )
            .optional(),
        ],
        subcommands: &[],
        handler: set,
    },
    CommandSpec {
        name: "setnx",
        arity: Arity::Exactly(3),
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        categories: Categories::STRING,
        keys: &[KeySpec::first(&["OW", "insert"])],
        group: Group::String,
        since: "1.0.0",
        summary: "Sets a key's string, unless the key exists",
        complexity: "O(1)",
        arguments: &[
            Argument::key(),
            Argument::new("value", ArgumentKind::String),
        ],
        subcommands: &[],
        handler: setnx,
    },
    CommandSpec {
        name: "setex",
        arity: Arity::Exactly(4),
        flags: Flags::WRITE.union(Flags::DENYOOM),
        categories: Categories::STRING,
        keys: &[KeySpec::first(&["OW", "update"])],
        group: Group::String,
        since: "2.0.0",
        summary: "Sets a key's string and its time to live in seconds",
        complexity: "O(1)",
        arguments: &[
            Argument::key(),
            Argument::new("seconds", ArgumentKind::Integer),
            Argument::new("value", ArgumentKind::String),
        ],
        subcommands: &[],
        handler: setex,
    },
    CommandSpec {
        name: "psetex",
        arity: Arity::Exactly(4),
        flags: Flags::WRITE.union(Flags::DENYOOM),
        categories: Categories::STRING,
        keys: &[KeySpec::first(&["OW", "update"])],
        group: Group::String,
        since: "2.6.0",
        summary: "Sets a key's string and its time to live in milliseconds",
        complexity: "O(1)",
        arguments: &[
            Argument::key(),
            Argument::new("milliseconds", ArgumentKind::Integer),
            Argument::new("value", ArgumentKind::String),
        ],
        subcommands: &[],
        handler: psetex,
    },
    CommandSpec {
        name: "getex",
        arity: Arity::AtLeast(2),
        flags: Flags::WRITE.union(Flags::FAST),
        categories: Categories::STRING,
        keys: &[KeySpec::first(&["RW", "access", "update"])],
        group: Group::String,
        since: "6.2.0",
        summary: "Returns a key's string and may change its deadline",
        complexity: "O(1)",
        arguments: &[
            Argument::key(),
            Argument::new(
                "expiration",
                ArgumentKind::OneOf(&[
                    Argument::new("seconds", ArgumentKind::Integer).with_token("EX"),
                    Argument::new("milliseconds", ArgumentKind::Integer).with_token("PX"),
                    Argument::new("unix-time-seconds", ArgumentKind::UnixTime).with_token("EXAT"),
                    Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime)
                        .with_token("PXAT"),
                    Argument::token("persist", "PERSIST"),
                ]),
            )
            .optional(),
        ],
        subcommands: &[],
        handler: getex,
    },
];

/// Which command's options are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Set,
    GetEx,
}

/// What must hold before SET sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Condition {
    #[default]
    Always,
    Absent,
    Present,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// EX
    Seconds,
    /// PX
    Millis,
    /// EXAT
    AtSeconds,
    /// PXAT
    AtMillis,
}

/// What becomes of the key's deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expiry<'a> {
    /// Nothing is said.
    #[default]
    Unsaid,
    /// KEEPTTL
    Keep,
    /// PERSIST
    Persist,
    /// A deadline, not yet read as a number: an error in it comes after errors in the options.
    At(Unit, &'a [u8]),
}

/// The options of SET or GETEX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options<'a> {
    condition: Condition,
    get: bool,
    expiry: Expiry<'a>,
}

impl<'a> Options<'a> {
    fn parse(dialect: Dialect, mut words: Words<'a>) -> Result<Self, CommandError> {
        let mut options = Options::default();
        while let Some(word) = words.next() {
            options
                .add(dialect, word, &mut words)
                .ok_or(CommandError::Syntax)?;
        }
        Ok(options)
    }

    /// Takes one option; `None` where it is unknown or contradicts an earlier one. The same one twice is allowed.
    fn add(&mut self, dialect: Dialect, word: &[u8], rest: &mut Words<'a>) -> Option<()> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let set = dialect == Dialect::Set;
        let unit = if is("EX") {
            Some(Unit::Seconds)
        } else if is("PX") {
            Some(Unit::Millis)
        } else if is("EXAT") {
            Some(Unit::AtSeconds)
        } else if is("PXAT") {
            Some(Unit::AtMillis)
        } else {
            None
        };
        if let Some(unit) = unit {
            let allowed = match self.expiry {
                Expiry::Unsaid => true,
                Expiry::At(before, _) => before == unit,
                Expiry::Keep | Expiry::Persist => false,
            };
            self.expiry = Expiry::At(unit, rest.next()?);
            allowed.then_some(())
        } else if set && is("NX") {
            self.require(Condition::Absent)
        } else if set && is("XX") {
            self.require(Condition::Present)
        } else if set && is("GET") {
            self.get = true;
            Some(())
        } else if set && is("KEEPTTL") {
            self.expire(Expiry::Keep)
        } else if !set && is("PERSIST") {
            self.expire(Expiry::Persist)
        } else {
            None
        }
    }

    fn require(&mut self, condition: Condition) -> Option<()> {
        let allowed = self.condition == Condition::Always || self.condition == condition;
        self.condition = condition;
        allowed.then_some(())
    }

    fn expire(&mut self, expiry: Expiry<'a>) -> Option<()> {
        let allowed = self.expiry == Expiry::Unsaid || self.expiry == expiry;
        self.expiry = expiry;
        allowed.then_some(())
    }
}

/// The deadline that `text` says; `command` is named in errors.
fn deadline(
    unit: Unit,
    text: &[u8],
    now: Millis,
    command: &'static str,
) -> Result<Millis, CommandError> {
    let number = parse_i64(text).ok_or(CommandError::NotAnInteger)?;
    let millis = match unit {
        Unit::Seconds | Unit::AtSeconds => number.checked_mul(1000),
        Unit::Millis | Unit::AtMillis => Some(number),
    };
    let base = match unit {
        Unit::Seconds | Unit::Millis => now,
        Unit::AtSeconds | Unit::AtMillis => 0,
    };
    millis
        .filter(|&millis| millis > 0)
        .and_then(|millis| millis.checked_add(base))
        .ok_or(CommandError::InvalidExpireTime(command))
}

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
        Expiry::At(unit, text) => Deadline::At(deadline(unit, text, ctx.access.now, "set")?),
    };
    let stored = store(ctx, key, value, options.condition, options.get, deadline)?;
    match (options.get, stored) {
        // The value before is the reply, and it is written.
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
    let at = deadline(Unit::Seconds, &args[2], ctx.access.now, "setex")?;
    put(ctx, &args[1], &args[3], Some(at))?;
    Ok(Outcome::Written)
}

fn psetex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let at = deadline(Unit::Millis, &args[2], ctx.access.now, "psetex")?;
    put(ctx, &args[1], &args[3], Some(at))?;
    Ok(Outcome::Written)
}

/// Sets a key without looking at what it held, and answers OK.
fn put(
    ctx: &mut Context<'_>,
    key: &[u8],
    value: &[u8],
    expires_at: Option<Millis>,
) -> Result<(), CommandError> {
    ctx.keyspace
        .update(ctx.session.db, key, ctx.access, |slot| {
            slot.put(Kind::String, value, expires_at)?;
            Ok::<_, CommandError>(())
        })?;
    ctx.out.ok();
    Ok(())
}

/// Sets a key where `condition` holds, and returns whether it did. Where `get`, the value before is written as the
/// reply; where it is no string, that is an error and nothing is set.
fn store(
    ctx: &mut Context<'_>,
    key: &[u8],
    value: &[u8],
    condition: Condition,
    get: bool,
    deadline: Deadline,
) -> Result<bool, CommandError> {
    let now = ctx.access.now;
    let out = &mut *ctx.out;
    let mark = out.bytes.len();
    let mut found = false;
    let stored = ctx
        .keyspace
        .update(ctx.session.db, key, ctx.access, |slot| {
            let before = slot.info();
            found = before.is_some();
            if get {
                match slot.read(|old| write_string(out, old))? {
                    Some(written) => written?,
                    None => out.null(),
                }
            }
            match condition {
                Condition::Absent if found => return Ok(false),
                Condition::Present if !found => return Ok(false),
                _ => {}
            }
            let expires_at = match deadline {
                Deadline::Clear => None,
                Deadline::Keep => before.and_then(|info| info.expires_at),
                Deadline::At(at) => Some(at),
            };
            if expires_at.is_some_and(|at| at <= now) {
                // It would be gone already.
                slot.remove()?;
            } else {
                slot.put(Kind::String, value, expires_at)?;
            }
            Ok::<_, CommandError>(true)
        });
    if get {
        ctx.count_lookup(found);
    }
    // An error is the only reply: the value written before it goes.
    stored.inspect_err(|_| ctx.out.bytes.truncate(mark))
}

fn getex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = Options::parse(Dialect::GetEx, args.from(2))?;
    if options.expiry == Expiry::Unsaid {
        return super::values::get(ctx, args);
    }
    let now = ctx.access.now;
    let out = &mut *ctx.out;
    let mark = out.bytes.len();
    let mut found = false;
    let done = ctx
        .keyspace
        .update(ctx.session.db, &args[1], ctx.access, |slot| {
            let Some(info) = slot.info() else {
                out.null();
                return Ok(());
            };
            found = true;
            slot.read(|value| write_string(out, value))?.transpose()?;
            match options.expiry {
                Expiry::At(unit, text) => {
                    let at = deadline(unit, text, now, "getex")?;
                    if at <= now {
                        slot.remove()?;
                    } else {
                        slot.set_expiry(Some(at))?;
                    }
                }
                Expiry::Persist if info.expires_at.is_some() => slot.set_expiry(None)?,
                Expiry::Persist | Expiry::Keep | Expiry::Unsaid => {}
            }
            Ok::<_, CommandError>(())
        });
    ctx.count_lookup(found);
    // An error is the only reply: the value written before it goes.
    done.inspect_err(|_| ctx.out.bytes.truncate(mark))?;
    Ok(Outcome::Written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn parse(dialect: Dialect, line: &str) -> String {
        let owned = OwnedArgs::new(line.split_whitespace());
        match Options::parse(dialect, owned.args().from(0)) {
            Ok(Options {
                condition,
                get,
                expiry,
            }) => {
                let expiry = match expiry {
                    Expiry::At(unit, text) => {
                        format!("{unit:?} {}", String::from_utf8_lossy(text))
                    }
                    other => format!("{other:?}"),
                };
                format!("{condition:?} {get} {expiry}")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn set_options() {
        for (line, expected) in [
            ("", "Always false Unsaid"),
            ("nx", "Absent false Unsaid"),
            ("NX GET", "Absent true Unsaid"),
            ("get XX eX 5", "Present true Seconds 5"),
            ("NX NX", "Absent false Unsaid"),
            ("EX 5 EX 6", "Always false Seconds 6"),
            ("px EX", "Always false Millis EX"),
            ("EXAT 5", "Always false AtSeconds 5"),
            ("PXAT 5 NX", "Absent false AtMillis 5"),
            ("KEEPTTL KEEPTTL", "Always false Keep"),
        ] {
            assert_eq!(parse(Dialect::Set, line), expected, "{line}");
        }
        for line in [
            "NX XX",
            "XX NX",
            "EX 5 PX 6",
            "KEEPTTL EX 5",
            "EX 5 KEEPTTL",
            "EX",
            "PERSIST",
            "EX 5 6",
            "what",
            "GETX",
        ] {
            assert_eq!(parse(Dialect::Set, line), "ERR syntax error", "{line}");
        }
    }

    #[test]
    fn getex_options() {
        for (line, expected) in [
            ("", "Always false Unsaid"),
            ("persist", "Always false Persist"),
            ("PERSIST PERSIST", "Always false Persist"),
            ("PX 7", "Always false Millis 7"),
        ] {
            assert_eq!(parse(Dialect::GetEx, line), expected, "{line}");
        }
        for line in [
            "NX",
            "XX",
            "GET",
            "KEEPTTL",
            "PERSIST EX 5",
            "EX 5 PERSIST",
            "PXAT",
        ] {
            assert_eq!(parse(Dialect::GetEx, line), "ERR syntax error", "{line}");
        }
    }

    #[test]
    fn deadlines() {
        let now = 1_700_000_000_000;
        let at = |unit, text: &str| deadline(unit, text.as_bytes(), now, "set").ok();
        assert_eq!(at(Unit::Seconds, "5"), Some(now + 5_000));
        assert_eq!(at(Unit::Millis, "5"), Some(now + 5));
        assert_eq!(at(Unit::AtSeconds, "5"), Some(5_000));
        assert_eq!(at(Unit::AtMillis, "5"), Some(5));
        assert_eq!(at(Unit::AtMillis, "9223372036854775807"), Some(i64::MAX));
        assert_eq!(at(Unit::Millis, "9223372036854775807"), None);
        assert_eq!(at(Unit::Seconds, "9223372036854775"), None);
        assert_eq!(at(Unit::AtSeconds, "9223372036854776"), None);
        assert_eq!(at(Unit::Seconds, "0"), None);
        assert_eq!(at(Unit::Seconds, "-1"), None);
        assert_eq!(at(Unit::AtMillis, "-1"), None);
        assert_eq!(at(Unit::AtMillis, "x"), None);
    }
}

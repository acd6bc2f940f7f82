//! DUMP and RESTORE: a value as bytes that Redis reads too, and back.

use std::borrow::Cow;

use bytes::Bytes;

use super::keys::ONE_KEY;
use super::numbers::parse_i64;
use super::spec::{Argument, ArgumentKind, Arity, Categories, CommandSpec, Flags, Group, KeySpec};
use super::{CommandError, CommandResult, Context};
use crate::keyspace::{Access, EventClass, KeyspaceError, Kind, Millis, Slot, Value};
use crate::protocol::{Args, Reply};
use crate::serialised::{Object, SerialisedError, decode, encode};

pub(super) static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "dump",
        arity: Arity::Exactly(2),
        flags: Flags::READONLY,
        categories: Categories::KEYSPACE,
        keys: &[KeySpec::first(&["RO", "access"])],
        group: Group::Generic,
        since: "2.6.0",
        summary: "Returns a value in Redis's serialised form.",
        complexity: "O(1) to find the key, and O(N*M) for N elements of M bytes.",
        arguments: ONE_KEY,
        subcommands: &[],
        handler: dump,
    },
    CommandSpec {
        name: "restore",
        arity: Arity::AtLeast(4),
        flags: Flags::WRITE.union(Flags::DENYOOM),
        categories: Categories::KEYSPACE.union(Categories::DANGEROUS),
        keys: &[KeySpec::first(&["OW", "update"])],
        group: Group::Generic,
        since: "2.6.0",
        summary: "Makes a key of a value in Redis's serialised form.",
        complexity: "O(1) for the key, and O(N*M) for N elements of M bytes; of sorted sets O(N*M*log(N)).",
        arguments: &[
            Argument::key(),
            Argument::new("ttl", ArgumentKind::Integer),
            Argument::new("serialized-value", ArgumentKind::String),
            Argument::token("replace", "REPLACE")
                .optional()
                .since("3.0.0"),
            Argument::token("absttl", "ABSTTL")
                .optional()
                .since("5.0.0"),
            Argument::new("seconds", ArgumentKind::Integer)
                .with_token("IDLETIME")
                .optional()
                .since("5.0.0"),
            Argument::new("frequency", ArgumentKind::Integer)
                .with_token("FREQ")
                .optional()
                .since("5.0.0"),
        ],
        subcommands: &[],
        handler: restore,
    },
];

const BAD_FORMAT: CommandError = CommandError::text("ERR Bad data format");
const BUSY_KEY: CommandError = CommandError::text("BUSYKEY Target key name already exists.");

fn dump(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let object = ctx.read(&args[1], load)?;
    // Out of the key's lock, which a large value would hold for long.
    let payload = object.map(|object| Reply::Bulk(Bytes::from(encode(&object))));
    Ok(payload.unwrap_or(Reply::Null).into())
}

/// A value with all of its elements.
fn load(value: Value<'_>) -> Object {
    match value.kind {
        Kind::String => Object::String(value.bytes.to_vec()),
    }
}

/// Makes the key hold what was restored, whatever it held before.
fn store(
    slot: &mut Slot<'_>,
    object: &Object,
    expires_at: Option<Millis>,
) -> Result<(), CommandError> {
    match object {
        Object::String(value) => Ok(slot.put(Kind::String, value, expires_at)?),
        Object::List(_) | Object::Set(_) | Object::Hash(_) | Object::SortedSet(_) => Err(
            CommandError::text("ERR Bad data format: only strings can be restored"),
        ),
    }
}

/// The options of RESTORE, in the order in which they are looked at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    replace: bool,
    /// The time to live is a deadline.
    absolute: bool,
    idle_s: Option<i64>,
    /// FREQ was said. It excludes IDLETIME, and sets nothing.
    frequency: bool,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut words = args.from(4);
        while let Some(word) = words.next() {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("REPLACE") {
                options.replace = true;
            } else if is("ABSTTL") {
                options.absolute = true;
            } else if is("IDLETIME") && !options.frequency {
                let number = words.next().ok_or(CommandError::Syntax)?;
                let idle_s = parse_i64(number).ok_or(CommandError::NotAnInteger)?;
                if idle_s < 0 {
                    const TEXT: &str = "ERR Invalid IDLETIME value, must be >= 0";
                    return Err(CommandError::text(TEXT));
                }
                options.idle_s = Some(idle_s);
            } else if is("FREQ") && options.idle_s.is_none() {
                let number = words.next().ok_or(CommandError::Syntax)?;
                let frequency = parse_i64(number).ok_or(CommandError::NotAnInteger)?;
                if !(0..=255).contains(&frequency) {
                    const TEXT: &str = "ERR Invalid FREQ value, must be >= 0 and <= 255";
                    return Err(CommandError::text(TEXT));
                }
                options.frequency = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    /// The deadline that `ttl` says; `None` for none.
    fn deadline(&self, ttl: &[u8], now: Millis) -> Result<Option<Millis>, CommandError> {
        let ttl = parse_i64(ttl).ok_or(CommandError::NotAnInteger)?;
        match ttl {
            0 => Ok(None),
            ..0 => Err(CommandError::text("ERR Invalid TTL value, must be >= 0")),
            _ if self.absolute => Ok(Some(ttl)),
            // Too long a time is over at once, as in Redis.
            _ => Ok(Some(ttl.checked_add(now).unwrap_or(Millis::MIN))),
        }
    }
}

fn restore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = Options::parse(args)?;
    let (db, key, access) = (ctx.session.db, &args[1], ctx.access);
    let deadline = options.deadline(&args[2], access.now);
    // Before the key is locked, although a key that exists is complained of first.
    let object = decode(&args[3]);
    let idle = ctx.keyspace.update(db, key, access, |slot| {
        let replaces = slot.info().is_some();
        if replaces && !options.replace {
            return Err(BUSY_KEY);
        }
        let expires_at = deadline?;
        let object = object?;
        if expires_at.is_some_and(|at| at <= access.now) {
            if slot.remove()? {
                slot.event(EventClass::GENERIC, "del");
            }
            return Ok(None);
        }
        store(slot, &object, expires_at)?;
        if replaces {
            // Redis removes what it replaces, and says nothing of that.
            slot.event(EventClass::NEW, "new");
        }
        slot.event(EventClass::GENERIC, "restore");
        // Where uses are counted instead, there is no time to be set.
        let recency = slot.info().is_some_and(|info| info.idle_s.is_some());
        Ok(options.idle_s.filter(|_| recency))
    })?;
    if let Some(idle_s) = idle {
        let used = access.now.saturating_sub(idle_s.saturating_mul(1000));
        look_at(ctx, key, used.max(0))?;
    }
    Ok(Reply::Ok.into())
}

/// Has a key count as used at some time in the past.
fn look_at(ctx: &Context<'_>, key: &[u8], used: Millis) -> Result<(), KeyspaceError> {
    let access = Access {
        now: used,
        touch: true,
        ..ctx.access
    };
    ctx.keyspace.info(ctx.session.db, key, access).map(|_| ())
}

impl From<SerialisedError> for CommandError {
    fn from(error: SerialisedError) -> Self {
        match error {
            SerialisedError::Envelope => CommandError::Text(Cow::Borrowed(
                "ERR DUMP payload version or checksum are wrong",
            )),
            SerialisedError::Format => BAD_FORMAT,
        }
    }
}

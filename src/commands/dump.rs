//! DUMP and RESTORE: a value as bytes that Redis reads too, and back.

use std::borrow::Cow;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::keys::ONE_KEY;
use super::{CommandError, CommandResult, Context, streams};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::keyspace::{EventClass, KeyspaceError, Kind, Millis, NodeLimits, Update, Use, View};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::serialised::{ExpiringField, Object, SerialisedError, decode, encode};

pub(super) static COMMANDS: &[Row] = &[
    Row::new("dump", Arity::Exactly(2), dump)
        .flags(Flags::READONLY)
        .categories(Categories::KEYSPACE)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Generic, "2.6.0")
        .summary("Returns a value in Redis's serialised form.")
        .complexity("O(1) to find the key, and O(N*M) for N elements of M bytes.")
        .arguments(ONE_KEY)
        .tips(&["nondeterministic_output"]),
    Row::new("restore", Arity::AtLeast(4), restore)
        .flags(Flags::WRITE.union(Flags::DENYOOM))
        .categories(Categories::KEYSPACE.union(Categories::DANGEROUS))
        .keys(&[KeySpec::first(&["OW", "update"])])
        .group(Group::Generic, "2.6.0")
        .summary("Makes a key of a value in Redis's serialised form.")
        .complexity(
            "O(1) for the key, and O(N*M) for N elements of M bytes; of sorted \
             sets O(N*M*log(N)).",
        )
        .arguments(&[
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
        ])
        .history(&[
            ("3.0.0", "Added the `REPLACE` modifier."),
            ("5.0.0", "Added the `ABSTTL` modifier."),
            ("5.0.0", "Added the `IDLETIME` and `FREQ` options."),
        ]),
];

/// Position of the one key in an [`Update`].
const KEY: usize = 0;

const BAD_FORMAT: CommandError = CommandError::text("ERR Bad data format");
const BUSY_KEY: CommandError = CommandError::text("BUSYKEY Target key name already exists.");

fn dump(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let object = ctx.view(&args[1], |view, _| {
        Ok(view.filter(is_there).map(load).transpose()?)
    })?;
    // Encodes without the key's lock, since a large value takes long.
    let payload = object.map(|object| Reply::Bulk(Bytes::from(encode(&object))));
    Ok(payload.unwrap_or(Reply::Null).into())
}

/// The payload of a value, if there is one.
pub(super) fn payload(view: Option<View<'_>>) -> Result<Option<Vec<u8>>, KeyspaceError> {
    let object = view.filter(is_there).map(load).transpose()?;
    Ok(object.map(|object| encode(&object)))
}

/// Whether a value has anything. A hash of which all fields are past their deadlines will be gone in a moment.
fn is_there(view: &View<'_>) -> bool {
    !matches!(view, View::Hash(fields) if fields.is_empty())
}

/// A copy of a value with all of its elements.
pub(crate) fn load(view: View<'_>) -> Result<Object, KeyspaceError> {
    let len = view.len();
    Ok(match view {
        View::String(string) => Object::String(string.whole()?.into_owned()),
        View::Stream(stream) => Object::Stream(Box::new(streams::object::load(stream)?)),
        View::List(list) => {
            let mut elements = Vec::with_capacity(len);
            list.for_range(0..len, false, |element| {
                elements.push(element.to_vec());
                ControlFlow::Continue(())
            })?;
            Object::List(elements)
        }
        View::Set(members) => {
            let members = members.names()?.map(|member| Ok(member?.into_vec()));
            Object::Set(members.collect::<Result<_, KeyspaceError>>()?)
        }
        View::Hash(fields) if fields.has_deadlines() => {
            let names = fields.names()?.map(|name| {
                let name = name?;
                Ok(ExpiringField {
                    value: fields.get(&name, <[u8]>::to_vec)?.unwrap_or_default(),
                    expires_at: fields.deadline(&name)?.flatten(),
                    name: name.into_vec(),
                })
            });
            Object::hash(names.collect::<Result<_, KeyspaceError>>()?)
        }
        View::Hash(fields) => {
            let mut pairs = Vec::with_capacity(len);
            fields.for_each(|field, value| pairs.push((field.to_vec(), value.to_vec())))?;
            Object::Hash(pairs)
        }
        // From the highest score down, as Redis dumps them: its RESTORE inserts each one at the front.
        View::SortedSet(members) => Object::SortedSet(
            members
                .range(0..len)
                .rev()
                .map(|(member, score)| (member.to_vec(), score))
                .collect(),
        ),
    })
}

/// Stages the restored value for the one key, whatever the key held before.
pub(crate) fn store(
    keys: &mut Update<'_>,
    object: &Object,
    expires_at: Option<Millis>,
    limits: NodeLimits,
) -> Result<(), KeyspaceError> {
    let kind = match object {
        Object::String(value) => {
            keys.put(KEY, Kind::String, value, expires_at);
            return Ok(());
        }
        Object::List(_) => Kind::List,
        Object::Set(_) => Kind::Set,
        Object::Hash(_) | Object::ExpiringHash(_) => Kind::Hash,
        Object::SortedSet(_) => Kind::SortedSet,
        Object::Stream(_) => Kind::Stream,
    };
    let mut new = keys.build(KEY, kind);
    match object {
        Object::String(_) => {}
        Object::Stream(stream) => streams::object::store(&mut new, stream, limits)?,
        Object::List(elements) => elements.iter().try_for_each(|e| new.element(e))?,
        Object::Set(members) => members.iter().try_for_each(|m| new.member(m))?,
        Object::Hash(fields) => fields.iter().try_for_each(|(f, v)| new.field(f, v))?,
        Object::ExpiringHash(fields) => fields
            .iter()
            .try_for_each(|field| new.field_until(&field.name, &field.value, field.expires_at))?,
        Object::SortedSet(members) => members.iter().try_for_each(|(m, s)| new.scored(m, *s))?,
    }
    keys.replace(new, expires_at)
}

/// The options of RESTORE, in the order in which Redis checks them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    replace: bool,
    /// The time to live is a deadline.
    absolute: bool,
    /// IDLETIME or FREQ, of which one excludes the other.
    used: Option<Use>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut rest = args.from(4);
        while let Some(argument) = rest.next() {
            let is = |name: &str| argument.eq_ignore_ascii_case(name.as_bytes());
            if is("REPLACE") {
                options.replace = true;
            } else if is("ABSTTL") {
                options.absolute = true;
            } else if is("IDLETIME") && !matches!(options.used, Some(Use::Count(_))) {
                let number = rest.next().ok_or(CommandError::Syntax)?;
                let idle_s = parse_i64(number).ok_or(CommandError::NotAnInteger)?;
                let idle_s = u64::try_from(idle_s)
                    .map_err(|_| CommandError::text("ERR Invalid IDLETIME value, must be >= 0"))?;
                options.used = Some(Use::Ago(idle_s));
            } else if is("FREQ") && !matches!(options.used, Some(Use::Ago(_))) {
                let number = rest.next().ok_or(CommandError::Syntax)?;
                let frequency = parse_i64(number).ok_or(CommandError::NotAnInteger)?;
                let count = u8::try_from(frequency).map_err(|_| {
                    CommandError::text("ERR Invalid FREQ value, must be >= 0 and <= 255")
                })?;
                options.used = Some(Use::Count(count));
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    /// The deadline that `ttl` gives; `None` where the key stays.
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
    let (key, now) = (&args[1], ctx.access.now);
    let deadline = options.deadline(&args[2], ctx.access.clock());
    // Decodes before the key is locked. The error of an existing key still comes first.
    let object = decode(&args[3]);
    let limits = streams::node_limits(ctx);
    let database = ctx.database();
    let stored = ctx.update_collection(key, |keys| {
        let replaces = keys.info(KEY).is_some();
        if replaces && !options.replace {
            return Err(BUSY_KEY);
        }
        let expires_at = deadline?;
        let object = object?;
        if expires_at.is_some_and(|at| at <= now) {
            if replaces {
                database.effect(&[b"DEL", key]);
                keys.remove(KEY);
                keys.event(KEY, EventClass::GENERIC, "del");
            }
            return Ok(false);
        }
        store(keys, &object, expires_at, limits)?;
        if database.is_followed() {
            let deadline = expires_at.unwrap_or(0).to_string();
            // A replica may be too old for the payload's version.
            database.effect(&[
                b"RESTORE",
                key,
                deadline.as_bytes(),
                &encode(&object),
                b"REPLACE",
                b"ABSTTL",
            ]);
        }
        if replaces {
            // Redis removes the old value without an event.
            keys.event(KEY, EventClass::NEW, "new");
        }
        keys.event(KEY, EventClass::GENERIC, "restore");
        Ok(true)
    })?;
    if let Some(used) = options.used.filter(|_| stored) {
        ctx.database().set_use(key, used)?;
    }
    Ok(Reply::Ok.into())
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

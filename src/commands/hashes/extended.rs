//! Fields read and changed together with their deadlines: HGETEX, HSETEX, HGETDEL. They came with Redis 8.0.

use super::effects::FieldEffects;
use super::fields::{FIELDS, Fields, NO_COUNT, parse_deadline, refusal, tell_removed};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::time_unit::{EX, EXAT, PX, PXAT, TimeUnit};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, FieldsEdit, Kind, Millis};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply, ReplyBuffer};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("hgetex", Arity::AtLeast(5), hgetex)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "access", "update"])
            .with_notes("RW and UPDATE because it changes the TTL")])
        .group(Group::Hash, "8.0.0")
        .summary("Returns fields' values and may change their deadlines")
        .complexity("O(N) where N is the number of specified fields")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "expiration",
                ArgumentKind::OneOf(&[EX, PX, EXAT, PXAT, Argument::token("persist", "PERSIST")]),
            )
            .optional(),
            FIELDS,
        ]),
    Row::new("hsetex", Arity::AtLeast(6), hsetex)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "update"])])
        .group(Group::Hash, "8.0.0")
        .summary("Gives fields values and deadlines, on a condition")
        .complexity("O(N) where N is the number of fields being set.")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "condition",
                ArgumentKind::OneOf(&[
                    Argument::token("fnx", "FNX"),
                    Argument::token("fxx", "FXX"),
                ]),
            )
            .optional(),
            Argument::new(
                "expiration",
                ArgumentKind::OneOf(&[EX, PX, EXAT, PXAT, Argument::token("keepttl", "KEEPTTL")]),
            )
            .optional(),
            Argument::new(
                "fields",
                ArgumentKind::Block(&[
                    Argument::new("numfields", ArgumentKind::Integer),
                    Argument::new(
                        "data",
                        ArgumentKind::Block(&[
                            Argument::new("field", ArgumentKind::String),
                            Argument::new("value", ArgumentKind::String),
                        ]),
                    )
                    .multiple(),
                ]),
            )
            .with_token("FIELDS"),
        ]),
    Row::new("hgetdel", Arity::AtLeast(5), hgetdel)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "access", "delete"])])
        .group(Group::Hash, "8.0.0")
        .summary("Returns fields' values and removes the fields")
        .complexity("O(N) where N is the number of specified fields")
        .arguments(&[Argument::key(), FIELDS]),
];

/// What HGETEX does to the deadlines.
#[derive(Clone, Copy)]
enum Change {
    Nothing,
    Persist,
    Expire(Millis),
}

/// Writes a field's value, or null; returns whether there is such a field.
fn write_value(
    hash: &FieldsEdit<'_>,
    field: &[u8],
    out: &mut ReplyBuffer,
) -> Result<bool, CommandError> {
    let found = hash.get(field, |value| out.bulk(value))?.is_some();
    if !found {
        out.null();
    }
    Ok(found)
}

fn hgetex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (now, clock) = (ctx.access.now, ctx.access.clock());
    let parse = || {
        let (change, first) = if let Some(unit) = TimeUnit::of_option(&args[2]) {
            let at = parse_deadline(unit, &args[3], clock, "hgetex")?;
            (Change::Expire(at), 4)
        } else if args[2].eq_ignore_ascii_case(b"persist") {
            (Change::Persist, 3)
        } else {
            (Change::Nothing, 2)
        };
        Ok((change, Fields::parse(args, first, NO_COUNT)?))
    };
    let (change, fields) = parse().map_err(|error| refusal(ctx, &args[1], error))?;
    let database = ctx.database();
    database.update_collection(&args[1], |keys| {
        let mut effects = FieldEffects::begin(database, &args[1]);
        let out = &mut *ctx.out;
        let mut hash = keys.fields(0, Kind::Hash)?;
        let mut changed = 0;
        out.array_header(fields.len());
        for field in fields.iter() {
            if !write_value(&hash, field, out)? {
                continue;
            }
            match change {
                Change::Nothing => continue,
                Change::Persist if hash.deadline(field)?.flatten().is_none() => continue,
                Change::Persist => {
                    hash.set_deadline(field, None)?;
                    effects.persists(field);
                }
                Change::Expire(at) if at <= now => {
                    hash.remove(field)?;
                    effects.removes(field);
                }
                Change::Expire(at) => {
                    hash.set_deadline(field, Some(at))?;
                    effects.expires(field, at);
                }
            }
            changed += 1;
        }
        effects.finish();
        let is_empty = hash.is_empty();
        if changed == 0 {
            return Ok(());
        }
        keys.set_dirty(changed);
        match change {
            Change::Nothing => {}
            Change::Persist => keys.event(0, EventClass::HASH, "hpersist"),
            Change::Expire(at) if at > now => keys.event(0, EventClass::HASH, "hexpire"),
            Change::Expire(_) => {
                tell_removed(keys, is_empty);
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn hgetdel(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let fields = Fields::parse(args, 2, NO_COUNT);
    let fields = fields.map_err(|error| refusal(ctx, &args[1], error))?;
    let database = ctx.database();
    database.update_collection(&args[1], |keys| {
        let mut effects = FieldEffects::begin(database, &args[1]);
        let out = &mut *ctx.out;
        let mut hash = keys.fields(0, Kind::Hash)?;
        let mut removed = 0;
        out.array_header(fields.len());
        for field in fields.iter() {
            if write_value(&hash, field, out)? {
                hash.remove(field)?;
                effects.removes(field);
                removed += 1;
            }
        }
        effects.finish();
        let is_empty = hash.is_empty();
        if removed > 0 {
            keys.set_dirty(removed);
            tell_removed(keys, is_empty);
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

/// What must hold of all fields before HSETEX sets any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Absent,
    Present,
}

/// What HSETEX makes of the fields' deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadline<'a> {
    Keep,
    /// Not parsed yet: errors in the options come before an error in the number.
    At(TimeUnit, &'a [u8]),
}

/// The arguments of HSETEX behind the key.
#[derive(Debug)]
struct SetEx<'a> {
    condition: Option<Condition>,
    deadline: Option<Deadline<'a>>,
    /// The position of the first field.
    first: usize,
}

impl<'a> SetEx<'a> {
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut parsed = SetEx {
            condition: None,
            deadline: None,
            first: 0,
        };
        let mut at = 2;
        while let Some(word) = args.get(at) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            at += 1;
            if is("FNX") {
                parsed.require(Condition::Absent)?;
            } else if is("FXX") {
                parsed.require(Condition::Present)?;
            } else if is("KEEPTTL") {
                parsed.expire(Deadline::Keep)?;
            } else if let Some(unit) = TimeUnit::of_option(word) {
                let text = args.get(at).ok_or(CommandError::Syntax)?;
                parsed.expire(Deadline::At(unit, text))?;
                at += 1;
            } else if is("FIELDS") {
                let count = args.get(at).and_then(parse_i64);
                let count = count
                    .filter(|&count| count > 0 && count <= i64::from(i32::MAX))
                    .ok_or(CommandError::text("ERR invalid number of fields"))?;
                parsed.first = at + 1;
                let words = usize::try_from(count)
                    .unwrap_or(usize::MAX)
                    .saturating_mul(2);
                if args.len() - parsed.first != words {
                    return Err(CommandError::WrongArity("hsetex".into()));
                }
                return Ok(parsed);
            } else {
                let word = crate::error::shown(word, usize::MAX);
                return Err(CommandError::Text(
                    format!("ERR unknown argument: {word}").into(),
                ));
            }
        }
        Err(CommandError::WrongArity("hsetex".into()))
    }

    fn require(&mut self, condition: Condition) -> Result<(), CommandError> {
        if self.condition.replace(condition).is_some() {
            return Err(CommandError::text(
                "ERR Only one of FXX or FNX arguments can be specified",
            ));
        }
        Ok(())
    }

    fn expire(&mut self, deadline: Deadline<'a>) -> Result<(), CommandError> {
        if self.deadline.replace(deadline).is_some() {
            return Err(CommandError::text(
                "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
            ));
        }
        Ok(())
    }
}

fn hsetex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (now, clock) = (ctx.access.now, ctx.access.clock());
    let SetEx {
        condition,
        deadline,
        first,
    } = SetEx::parse(args)?;
    let at = match deadline {
        Some(Deadline::At(unit, text)) => Some(parse_deadline(unit, text, clock, "hsetex")?),
        Some(Deadline::Keep) | None => None,
    };
    let keeps = deadline == Some(Deadline::Keep);
    let is_past = at.is_some_and(|at| at <= now);
    let database = ctx.database();
    let set = ctx.update_collection(&args[1], |keys| {
        let mut effects = FieldEffects::begin(database, &args[1]);
        let is_new = keys.info(0).is_none();
        let mut hash = keys.fields(0, Kind::Hash)?;
        if let Some(condition) = condition {
            for name in args.from(first).step_by(2) {
                if hash.contains(name)? != (condition == Condition::Present) {
                    return Ok(false);
                }
            }
        }
        let mut removed = 0;
        let mut rest = args.from(first);
        while let (Some(field), Some(value)) = (rest.next(), rest.next()) {
            if is_past {
                effects.removes(field);
                removed += usize::from(hash.remove(field)?);
            } else {
                let kept = if keeps {
                    hash.deadline(field)?.flatten()
                } else {
                    None
                };
                hash.put_until(field, value, at.or(kept))?;
                effects.sets(field, value, at.or(kept));
            }
        }
        effects.finish();
        let is_empty = hash.is_empty();
        keys.set_dirty((args.len() - first) / 2);
        if is_past && removed == 0 {
            // In Redis the fields were there for a moment.
            keys.modified(0);
        }
        if is_past && is_new {
            keys.event(0, EventClass::NEW, "new");
        }
        keys.event(0, EventClass::HASH, "hset");
        if is_past {
            tell_removed(keys, is_empty);
        } else if at.is_some() {
            keys.event(0, EventClass::HASH, "hexpire");
        }
        Ok(true)
    })?;
    Ok(Reply::Integer(set.into()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn parse(line: &str) -> String {
        let owned = OwnedArgs::new(line.split(' '));
        match SetEx::parse(owned.args()) {
            Ok(parsed) => format!(
                "{:?} {} {}",
                parsed.condition,
                match parsed.deadline {
                    Some(Deadline::At(unit, text)) =>
                        format!("{unit:?} {}", String::from_utf8_lossy(text)),
                    other => format!("{other:?}"),
                },
                parsed.first
            ),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn arguments_of_hsetex() {
        let only = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
        let arity = "ERR wrong number of arguments for 'hsetex' command";
        for (line, expected) in [
            ("hsetex k fields 1 a 1", "None None 4"),
            ("hsetex k ex 5 FNX fields 1 a 1", "Some(Absent) Seconds 5 7"),
            (
                "hsetex k FXX keepttl fields 1 a 1",
                "Some(Present) Some(Keep) 6",
            ),
            ("hsetex k ex fields 1 a 1", "ERR unknown argument: 1"),
            ("hsetex k ex 5 px 5 fields 1 a 1", only),
            ("hsetex k keepttl px 5 fields 1 a 1", only),
            (
                "hsetex k fnx fxx fields 1 a 1",
                "ERR Only one of FXX or FNX arguments can be specified",
            ),
            ("hsetex k fields 2 a 1", arity),
            ("hsetex k fields 1 a 1 b 2", arity),
            ("hsetex k fnx ex 5 keepttl", only),
            ("hsetex k fnx ex 5", arity),
            ("hsetex k fields 0 a 1", "ERR invalid number of fields"),
            ("hsetex k nx fields 1 a 1", "ERR unknown argument: nx"),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
    }
}

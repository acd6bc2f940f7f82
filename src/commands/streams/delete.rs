//! XDELEX and XACKDEL of Redis 8.2: deleting entries with regard to the groups that refer to them.

use super::effects::GroupEffects;
use super::ids::parse_id;
use super::{GROUP, REFERENCES, parse_references, row};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Database};
use crate::keyspace::{EventClass, References, StreamEdit, StreamId};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

const IDS: Argument = Argument::new(
    "ids",
    ArgumentKind::Block(&[
        Argument::new("numids", ArgumentKind::Integer),
        Argument::new("id", ArgumentKind::String).multiple(),
    ]),
)
.with_token("IDS");

pub(in crate::commands) static COMMANDS: &[Row] = &[
    row(
        "xdelex",
        Arity::AtLeast(5),
        Flags::WRITE.union(Flags::FAST),
        "8.2.0",
        "Removes entries from a stream, and says what becomes of their pending references",
        "O(1) for each ID, with G groups O(G)",
        xdelex,
    )
    .keys(&[KeySpec::first(&["RW", "delete"])])
    .arguments(&[Argument::key(), REFERENCES, IDS]),
    row(
        "xackdel",
        Arity::AtLeast(6),
        Flags::WRITE.union(Flags::FAST),
        "8.2.0",
        "Acknowledges entries in a group, and removes them from the stream",
        "O(1) for each ID, with G groups O(G)",
        xackdel,
    )
    .keys(&[KeySpec::first(&["RW", "update", "delete"])])
    .arguments(&[Argument::key(), GROUP, REFERENCES, IDS]),
];

/// The reply for an id that does not exist, one that was deleted, and one that groups still refer to.
const UNKNOWN: i64 = -1;
const DELETED: i64 = 1;
const REFERENCED: i64 = 2;

/// The options from argument `at` on.
fn parse(args: Args<'_>, at: usize) -> Result<(References, Vec<StreamId>), CommandError> {
    let mut references = None;
    let mut ids = None;
    let mut at = at;
    while let Some(option) = args.get(at) {
        at += 1;
        if let Some(named) = parse_references(option) {
            if references.replace(named).is_some() {
                return Err(CommandError::Syntax);
            }
            continue;
        }
        if !option.eq_ignore_ascii_case(b"ids") || ids.is_some() {
            return Err(CommandError::Syntax);
        }
        let count = args.get(at).and_then(parse_i64).filter(|&count| count > 0);
        let count = count.ok_or(CommandError::text(
            "ERR Number of IDs must be a positive integer",
        ))?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        at += 1;
        if count > args.len() - at {
            return Err(CommandError::text(
                "ERR The `numids` parameter must match the number of arguments",
            ));
        }
        let given = args.from(at).take(count).map(|id| parse_id(id, 0));
        ids = Some(given.collect::<Result<Vec<_>, _>>()?);
        at += count;
    }
    Ok((
        references.unwrap_or_default(),
        ids.ok_or(CommandError::Syntax)?,
    ))
}

/// Deletes an entry, unless groups refer to it and `references` respects that.
fn delete(
    stream: &mut StreamEdit<'_>,
    id: StreamId,
    references: References,
) -> Result<Option<bool>, CommandError> {
    if references == References::Respect && stream.is_referenced(id) {
        return Ok(None);
    }
    if references == References::Delete {
        stream.drop_references(id);
    }
    Ok(Some(stream.delete(id)?))
}

/// Tells replicas in commands that older servers know too. `results` are those of the ids; all but [`UNKNOWN`] were pending
/// in the call's group, if it has one.
fn tell_replicas(
    database: Database<'_>,
    stream: &StreamEdit<'_>,
    (key, group): (&[u8], Option<&[u8]>),
    ids: &[StreamId],
    (results, references): (&[i64], References),
) {
    if !database.is_followed() {
        return;
    }
    database.begin_effects();
    let with = |is: fn(i64) -> bool| -> Vec<StreamId> {
        let pairs = ids.iter().zip(results);
        pairs
            .filter(|&(_, &result)| is(result))
            .map(|(&id, _)| id)
            .collect()
    };
    let effects = |group| GroupEffects {
        database,
        key,
        group,
    };
    if let Some(group) = group {
        effects(group).acknowledge(&with(|result| result != UNKNOWN));
    }
    if references == References::Delete {
        for group in stream.view().groups() {
            effects(group.name()).acknowledge(ids);
        }
    }
    effects(b"").delete(&with(|result| result == DELETED));
}

fn reply(results: Vec<i64>) -> Reply {
    Reply::Array(results.into_iter().map(Reply::Integer).collect())
}

fn xdelex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (references, ids) = parse(args, 2)?;
    let database = ctx.database();
    let results = ctx.update_collection(&args[1], |keys| {
        if keys.info(0).is_none() {
            return Ok(vec![UNKNOWN; ids.len()]);
        }
        let mut stream = keys.stream(0)?;
        let mut results = Vec::with_capacity(ids.len());
        let given = ids.clone();
        for id in ids {
            results.push(match delete(&mut stream, id, references)? {
                None => REFERENCED,
                Some(true) => DELETED,
                Some(false) => UNKNOWN,
            });
        }
        let deleted = results.iter().filter(|&&result| result == DELETED).count();
        tell_replicas(
            database,
            &stream,
            (&args[1], None),
            &given,
            (&results, references),
        );
        if deleted > 0 {
            keys.event(0, EventClass::STREAM, "xdel");
        }
        keys.set_dirty(deleted);
        Ok::<_, CommandError>(results)
    })?;
    Ok(reply(results).into())
}

fn xackdel(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (references, ids) = parse(args, 3)?;
    let database = ctx.database();
    let results = ctx.update_collection(&args[1], |keys| {
        let unknown = vec![UNKNOWN; ids.len()];
        if keys.info(0).is_none() {
            return Ok(unknown);
        }
        let mut stream = keys.stream(0)?;
        let Some(group) = stream.group(&args[2]) else {
            return Ok(unknown);
        };
        let mut results = Vec::with_capacity(ids.len());
        let given = ids.clone();
        let (mut acknowledged, mut deleted) = (0, 0);
        for id in ids {
            if !stream.remove_pending(group, id) {
                results.push(UNKNOWN);
                continue;
            }
            acknowledged += 1;
            let result = delete(&mut stream, id, references)?;
            deleted += usize::from(result == Some(true));
            results.push(if result.is_some() {
                DELETED
            } else {
                REFERENCED
            });
        }
        let named = (&args[1], Some(&args[2]));
        tell_replicas(database, &stream, named, &given, (&results, references));
        if deleted > 0 {
            keys.event(0, EventClass::STREAM, "xdel");
        }
        keys.set_dirty(acknowledged + deleted);
        Ok::<_, CommandError>(results)
    })?;
    Ok(reply(results).into())
}

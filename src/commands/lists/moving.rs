//! Elements that go from one list to another: LMOVE, RPOPLPUSH.

use smallvec::SmallVec;

use super::{ENDS, end_name, list_of, parse_end, pop_event, push_event};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Database};
use crate::keyspace::{End, EventClass};
use crate::protocol::{Args, Reply};

const KEYS: &[KeySpec] = &[
    KeySpec::first(&["RW", "access", "delete"]),
    KeySpec::range(&["RW", "insert"], 2, 0, 1),
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("lmove", Arity::Exactly(5), lmove)
        .flags(Flags::WRITE.union(Flags::DENYOOM))
        .categories(Categories::LIST)
        .keys(KEYS)
        .group(Group::List, "6.2.0")
        .summary(
            "Moves an element from an end of one list to an end of another and \
             returns it",
        )
        .complexity("O(1)")
        .arguments(&[
            Argument::new("source", ArgumentKind::Key(0)),
            Argument::new("destination", ArgumentKind::Key(1)),
            Argument::new("wherefrom", ArgumentKind::OneOf(ENDS)),
            Argument::new("whereto", ArgumentKind::OneOf(ENDS)),
        ]),
    Row::new("rpoplpush", Arity::Exactly(3), rpoplpush)
        .flags(Flags::WRITE.union(Flags::DENYOOM))
        .categories(Categories::LIST)
        .keys(KEYS)
        .group(Group::List, "1.2.0")
        .summary(
            "Moves a list's last element before the first one of another and \
             returns it; LMOVE does the same",
        )
        .complexity("O(1)")
        .arguments(&[
            Argument::new("source", ArgumentKind::Key(0)),
            Argument::new("destination", ArgumentKind::Key(1)),
        ])
        .deprecated("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments"),
];

fn lmove(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (from, to) = (parse_end(&args[3])?, parse_end(&args[4])?);
    between(ctx, args, from, to)
}

fn rpoplpush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    between(ctx, args, End::Tail, End::Head)
}

fn between(ctx: &mut Context<'_>, args: Args<'_>, from: End, to: End) -> CommandResult {
    let moved = move_element(ctx.database(), &args[1], &args[2], from, to)?;
    Ok(moved.unwrap_or(Reply::Null).into())
}

/// Moves an element from an end of the list `source` to an end of `destination`, which may be the same, for the
/// reply; `None` where the source is missing.
pub(in crate::commands) fn move_element(
    database: Database<'_>,
    source: &[u8],
    destination: &[u8],
    from: End,
    to: End,
) -> Result<Option<Reply>, CommandError> {
    const SOURCE: usize = 0;
    const DESTINATION: usize = 1;
    database.update_many([source, destination], |keys| {
        let Some(list) = list_of(keys, SOURCE)? else {
            return Ok(None);
        };
        list_of(keys, DESTINATION)?;
        let len = list.len();
        let position = match from {
            End::Head => 0,
            End::Tail => len - 1,
        };
        let copied = list.get(position, SmallVec::<[u8; 128]>::from_slice)?;
        let Some(element) = copied else {
            return Ok(None);
        };
        keys.list(DESTINATION)?.push(to, &element);
        keys.event(DESTINATION, EventClass::LIST, push_event(to));
        keys.list(SOURCE)?.pop(from, 1);
        keys.event(SOURCE, EventClass::LIST, pop_event(from));
        if len == 1 && source != destination {
            keys.event(SOURCE, EventClass::GENERIC, "del");
        }
        database.effect(&[b"LMOVE", source, destination, end_name(from), end_name(to)]);
        Ok(Some(Reply::bulk(element)))
    })
}

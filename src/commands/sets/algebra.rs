//! Several sets together: SINTER, SUNION, SDIFF, their STORE forms, SINTERCARD.

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::numkeys::Counted;
use crate::commands::row::Row;
use crate::commands::sources::{self, DESTINATION};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{Encoding, EventClass, Fields, IndexKey, KeyspaceError, Kind, View};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

const STORES: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::COPIES);
const SOURCES: &[KeySpec] = &[KeySpec::range(&["RO", "access"], 1, -1, 1)];
/// The keys of SUNIONSTORE and SDIFFSTORE. Redis describes the destination of SINTERSTORE otherwise.
const OVERWRITTEN_AND_SOURCES: &[KeySpec] = &[
    KeySpec::first(&["OW", "update"]),
    KeySpec::range(&["RO", "access"], 2, -1, 1),
];
/// The arguments of the commands that store their result.
const DESTINATION_AND_SOURCES: &[Argument] = &[
    Argument::new("destination", ArgumentKind::Key(0)),
    Argument::new("key", ArgumentKind::Key(1)).multiple(),
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("sinter", Arity::AtLeast(2), sinter)
        .flags(Flags::READONLY)
        .categories(Categories::SET)
        .keys(SOURCES)
        .group(Group::Set, "1.0.0")
        .summary("Returns the members that all of several sets have")
        .complexity("O(N*M) worst case")
        .arguments(&[Argument::key().multiple()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("sunion", Arity::AtLeast(2), sunion)
        .flags(Flags::READONLY)
        .categories(Categories::SET)
        .keys(SOURCES)
        .group(Group::Set, "1.0.0")
        .summary("Returns the members that any of several sets has")
        .complexity("O(N)")
        .arguments(&[Argument::key().multiple()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("sdiff", Arity::AtLeast(2), sdiff)
        .flags(Flags::READONLY)
        .categories(Categories::SET)
        .keys(SOURCES)
        .group(Group::Set, "1.0.0")
        .summary("Returns the members of the first set that none of the others has")
        .complexity("O(N)")
        .arguments(&[Argument::key().multiple()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("sinterstore", Arity::AtLeast(3), sinterstore)
        .flags(STORES)
        .categories(Categories::SET)
        .keys(&[
            KeySpec::first(&["RW", "update"]),
            KeySpec::range(&["RO", "access"], 2, -1, 1),
        ])
        .group(Group::Set, "1.0.0")
        .summary("Stores the members that all of several sets have")
        .complexity("O(N*M) worst case")
        .arguments(DESTINATION_AND_SOURCES),
    Row::new("sunionstore", Arity::AtLeast(3), sunionstore)
        .flags(STORES)
        .categories(Categories::SET)
        .keys(OVERWRITTEN_AND_SOURCES)
        .group(Group::Set, "1.0.0")
        .summary("Stores the members that any of several sets has")
        .complexity("O(N)")
        .arguments(DESTINATION_AND_SOURCES),
    Row::new("sdiffstore", Arity::AtLeast(3), sdiffstore)
        .flags(STORES)
        .categories(Categories::SET)
        .keys(OVERWRITTEN_AND_SOURCES)
        .group(Group::Set, "1.0.0")
        .summary("Stores the members of the first set that none of the others has")
        .complexity("O(N)")
        .arguments(DESTINATION_AND_SOURCES),
    Row::new("sintercard", Arity::AtLeast(3), sintercard)
        .flags(Flags::READONLY.union(Flags::MOVABLEKEYS))
        .categories(Categories::SET)
        .keys(&[KeySpec::counted(&["RO", "access"], 1)])
        .group(Group::Set, "7.0.0")
        .summary("Counts the members that all of several sets have")
        .complexity("O(N*M) worst case")
        .arguments(&[
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::key().multiple(),
            Argument::new("limit", ArgumentKind::Integer)
                .with_token("LIMIT")
                .optional(),
        ]),
];

/// How several sets become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

impl Operation {
    /// The members of the result, each once, until `each` says that it has enough.
    fn run(
        self,
        sets: &[Option<Fields<'_>>],
        mut each: impl FnMut(IndexKey) -> bool,
    ) -> Result<(), KeyspaceError> {
        match self {
            // No copies of what was seen: a member is new if none of the sets before has it.
            Operation::Union => {
                for (position, set) in sets.iter().enumerate() {
                    let Some(set) = set else { continue };
                    'members: for member in set.names()? {
                        let member = member?;
                        for before in sets[..position].iter().flatten() {
                            if before.contains(&member)? {
                                continue 'members;
                            }
                        }
                        if !each(member) {
                            return Ok(());
                        }
                    }
                }
            }
            Operation::Intersection => {
                // A set that is missing is empty.
                let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<_>>>() else {
                    return Ok(());
                };
                sets.sort_by_key(Fields::len);
                let Some((smallest, others)) = sets.split_first() else {
                    return Ok(());
                };
                'members: for member in smallest.names()? {
                    let member = member?;
                    for set in others {
                        if !set.contains(&member)? {
                            continue 'members;
                        }
                    }
                    if !each(member) {
                        return Ok(());
                    }
                }
            }
            Operation::Difference => {
                let Some((Some(first), others)) = sets.split_first() else {
                    return Ok(());
                };
                'members: for member in first.names()? {
                    let member = member?;
                    for set in others.iter().flatten() {
                        if set.contains(&member)? {
                            continue 'members;
                        }
                    }
                    if !each(member) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

fn sets<'a>(views: &[Option<View<'a>>]) -> Result<Vec<Option<Fields<'a>>>, KeyspaceError> {
    views
        .iter()
        .map(|view| view.map(View::set).transpose())
        .collect()
}

fn is_source(view: View<'_>) -> bool {
    matches!(view, View::Set(_))
}

fn sinter(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply(ctx, args, Operation::Intersection)
}

fn sunion(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply(ctx, args, Operation::Union)
}

fn sdiff(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply(ctx, args, Operation::Difference)
}

fn reply(ctx: &mut Context<'_>, args: Args<'_>, operation: Operation) -> CommandResult {
    ctx.view_many(args.from(1), is_source, |views, out| {
        let mut members = Vec::new();
        let sets = sets(views)?;
        // What the reply has no room for is not collected.
        let mut room = Some(out.room());
        operation.run(&sets, |member| {
            room = room.and_then(|room| room.checked_sub(member.len()));
            members.push(member);
            room.is_some()
        })?;
        if room.is_none() {
            out.overflow();
            return Ok(());
        }
        let is_sorted = |set: &Fields<'_>| set.encoding() == Encoding::Integers;
        if sets.iter().flatten().all(is_sorted) {
            // Redis collects them in a sorted set of integers.
            members.sort_by_cached_key(|member| parse_i64(member));
        }
        out.set_header(members.len());
        for member in members {
            out.bulk(&member);
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn sintercard(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let counted = Counted::parse(args, 1, "ERR numkeys should be greater than 0").map_err(
        |error| match error {
            CommandError::Syntax => {
                CommandError::text("ERR Number of keys can't be greater than number of args")
            }
            other => other,
        },
    )?;
    let limit = parse_limit(args, counted.end())?;
    let count = ctx.view_many(counted.keys(args), is_source, |views, _| {
        let mut count = 0;
        Operation::Intersection.run(&sets(views)?, |_| {
            count += 1;
            count < limit
        })?;
        Ok(count)
    })?;
    Ok(Reply::count(count).into())
}

/// `[LIMIT limit]` from argument `at` to the end, as SINTERCARD and ZINTERCARD have it.
pub(in crate::commands) fn parse_limit(args: Args<'_>, at: usize) -> Result<usize, CommandError> {
    let mut limit = usize::MAX;
    let mut rest = args.from(at);
    while let Some(argument) = rest.next() {
        if !argument.eq_ignore_ascii_case(b"limit") {
            return Err(CommandError::Syntax);
        }
        let number = rest.next().ok_or(CommandError::Syntax)?;
        let number = parse_i64(number).and_then(|number| usize::try_from(number).ok());
        limit = match number.ok_or(CommandError::text("ERR LIMIT can't be negative"))? {
            0 => usize::MAX,
            limit => limit,
        };
    }
    Ok(limit)
}

fn sinterstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    store(ctx, args, Operation::Intersection, "sinterstore")
}

fn sunionstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    store(ctx, args, Operation::Union, "sunionstore")
}

fn sdiffstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    store(ctx, args, Operation::Difference, "sdiffstore")
}

fn store(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    operation: Operation,
    event: &'static str,
) -> CommandResult {
    let mut found = Vec::new();
    let stored = ctx.update_many(args.from(1), |keys| {
        found = sources::look_up(keys, is_source);
        let mut new = keys.build(DESTINATION, Kind::Set);
        let mut failed = Ok(());
        operation.run(&sets(&sources::views(keys))?, |member| {
            failed = new.member(&member);
            failed.is_ok()
        })?;
        failed?;
        Ok(sources::store(keys, new, EventClass::SET, event)?)
    });
    ctx.count_lookups(found);
    Ok(Reply::count(stored?).into())
}

//! BZPOPMIN, BZPOPMAX, BZMPOP.

use super::super::lists::parse_at_least;
use super::super::spec::{
    Argument, ArgumentKind, Arity, Categories, CommandSpec, Flags, Group, Handler, KeySpec,
};
use super::super::{CommandError, CommandResult, Context};
use super::{Call, KEYS_AND_TIMEOUT, POPPED, TIMEOUT, attempt, keys_before_timeout, parse_timeout};
use crate::keyspace::{Access, End, EventClass, Keyspace};
use crate::protocol::Args;

/// A row; what differs between them is in the arguments.
const fn row(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    complexity: &'static str,
    handler: Handler,
) -> CommandSpec {
    CommandSpec {
        name,
        arity,
        flags: Flags::WRITE.union(Flags::BLOCKING).union(flags),
        categories: Categories::SORTEDSET,
        keys: POPPED,
        group: Group::SortedSet,
        since,
        summary,
        complexity,
        arguments: KEYS_AND_TIMEOUT,
        subcommands: &[],
        handler,
    }
}

pub(in crate::commands) static COMMANDS: &[CommandSpec] = &[
    row(
        "bzpopmin",
        Arity::AtLeast(3),
        Flags::FAST,
        "5.0.0",
        "Takes the member with the lowest score from the first sorted set that has any, and waits for one where all are empty",
        "O(log(N)) for N members",
        bzpopmin,
    ),
    row(
        "bzpopmax",
        Arity::AtLeast(3),
        Flags::FAST,
        "5.0.0",
        "Takes the member with the highest score from the first sorted set that has any, and waits for one where all are empty",
        "O(log(N)) for N members",
        bzpopmax,
    ),
    CommandSpec {
        keys: &[KeySpec::range(&["RW", "access", "delete"], 3, 0, 1)],
        arguments: &[
            TIMEOUT,
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::key().multiple(),
            Argument::new(
                "where",
                ArgumentKind::OneOf(&[
                    Argument::token("min", "MIN"),
                    Argument::token("max", "MAX"),
                ]),
            ),
            Argument::new("count", ArgumentKind::Integer)
                .with_token("COUNT")
                .optional(),
        ],
        ..row(
            "bzmpop",
            Arity::AtLeast(5),
            Flags::MOVABLEKEYS,
            "7.0.0",
            "Takes members from an end of the first sorted set that has any, and waits for some where all are empty",
            "O(K) + O(M*log(N)) for K keys, N members and M taken",
            bzmpop,
        )
    },
];

fn bzpopmin(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, End::Head)
}

fn bzpopmax(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, End::Tail)
}

fn pop(ctx: &mut Context<'_>, args: Args<'_>, end: End) -> CommandResult {
    let deadline = parse_timeout(&args[args.len() - 1])?;
    let keys = keys_before_timeout(args);
    attempt(ctx, Call::ScorePop { keys, end }, deadline)
}

fn bzmpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let deadline = parse_timeout(&args[1])?;
    let numkeys = parse_at_least(1, &args[2], "ERR numkeys should be greater than 0")?;
    let where_at = numkeys.saturating_add(3);
    let end = match args.get(where_at) {
        Some(word) if word.eq_ignore_ascii_case(b"min") => End::Head,
        Some(word) if word.eq_ignore_ascii_case(b"max") => End::Tail,
        _ => return Err(CommandError::Syntax),
    };
    let count = match (args.get(where_at + 1), args.get(where_at + 2)) {
        (None, _) => 1,
        (Some(option), Some(count)) if option.eq_ignore_ascii_case(b"count") => {
            let count = parse_at_least(1, count, "ERR count should be greater than 0")?;
            if args.len() > where_at + 3 {
                return Err(CommandError::Syntax);
            }
            count
        }
        _ => return Err(CommandError::Syntax),
    };
    let keys = args.from(3).take(numkeys).map(<[u8]>::to_vec).collect();
    attempt(ctx, Call::ScoreMpop { keys, end, count }, deadline)
}

/// Members with their scores.
pub(super) type Scored = Vec<(Vec<u8>, f64)>;

/// Takes up to `count` members from an end of the first sorted set among the keys, by score: with the position of its
/// key; `None` where all keys are missing.
pub(super) fn take(
    keyspace: &Keyspace,
    db: usize,
    access: Access,
    keys: &[&[u8]],
    end: End,
    count: usize,
) -> Result<Option<(usize, Scored)>, CommandError> {
    let named: Vec<_> = keys.iter().map(|&key| (db, key)).collect();
    keyspace.update_many(&named, access, |slots| {
        for i in 0..keys.len() {
            let Some(view) = slots.view(i) else {
                continue;
            };
            let scores = view.sorted_set()?;
            let len = scores.len();
            let taken = count.min(len);
            let copied = |(member, score): (&[u8], f64)| (member.to_vec(), score);
            let (members, name): (Scored, _) = match end {
                End::Head => (scores.range(0..taken).map(copied).collect(), "zpopmin"),
                End::Tail => {
                    let last = scores.range(len - taken..len).rev();
                    (last.map(copied).collect(), "zpopmax")
                }
            };
            let mut edit = slots.scores(i)?;
            for (member, _) in &members {
                edit.remove(member)?;
            }
            slots.event(i, EventClass::ZSET, name);
            if taken == len {
                slots.event(i, EventClass::GENERIC, "del");
            }
            return Ok(Some((i, members)));
        }
        Ok(None)
    })
}

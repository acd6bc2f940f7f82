//! BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH.

use super::{Call, KEYS_AND_TIMEOUT, POPPED, TIMEOUT, attempt, keys_before_timeout, parse_timeout};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::lists::pop::MpopArgs;
use crate::commands::lists::{ENDS, parse_end};
use crate::commands::row::{Handler, Row};
use crate::commands::{CommandResult, Context};
use crate::keyspace::End;
use crate::protocol::Args;

/// A row; the parameters are what differs between the rows.
const fn row(
    name: &'static str,
    arity: Arity,
    flags: Flags,
    keys: &'static [KeySpec],
    since: &'static str,
    summary: &'static str,
    handler: Handler,
) -> Row {
    Row::new(name, arity, handler)
        .flags(Flags::WRITE.union(Flags::BLOCKING).union(flags))
        .categories(Categories::LIST)
        .keys(keys)
        .group(Group::List, since)
        .summary(summary)
        .complexity("O(1)")
}

const MOVED: &[KeySpec] = &[
    KeySpec::first(&["RW", "access", "delete"]),
    KeySpec::range(&["RW", "insert"], 2, 0, 1),
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    row(
        "blpop",
        Arity::AtLeast(3),
        Flags::NONE,
        POPPED,
        "2.0.0",
        "Takes the first element of the first list that has any, and waits \
             for one where all are empty",
        blpop,
    )
    .complexity("O(N) for N keys")
    .arguments(KEYS_AND_TIMEOUT)
    .history(&[(
        "6.0.0",
        "`timeout` is interpreted as a double instead of an integer.",
    )]),
    row(
        "brpop",
        Arity::AtLeast(3),
        Flags::NONE,
        POPPED,
        "2.0.0",
        "Takes the last element of the first list that has any, and waits \
             for one where all are empty",
        brpop,
    )
    .complexity("O(N) for N keys")
    .arguments(KEYS_AND_TIMEOUT)
    .history(&[(
        "6.0.0",
        "`timeout` is interpreted as a double instead of an integer.",
    )]),
    row(
        "blmpop",
        Arity::AtLeast(5),
        Flags::MOVABLEKEYS,
        &[KeySpec::counted(&["RW", "access", "delete"], 2)],
        "7.0.0",
        "Takes elements of the first list that has any, and waits for some \
             where all are empty",
        blmpop,
    )
    .complexity("O(N+M) for N keys and M elements taken")
    .arguments(&[
        TIMEOUT,
        Argument::new("numkeys", ArgumentKind::Integer),
        Argument::key().multiple(),
        Argument::new("where", ArgumentKind::OneOf(ENDS)),
        Argument::new("count", ArgumentKind::Integer)
            .with_token("COUNT")
            .optional(),
    ]),
    row(
        "blmove",
        Arity::Exactly(6),
        Flags::DENYOOM,
        MOVED,
        "6.2.0",
        "Moves an element from an end of one list to an end of another, and \
             waits for it where there is none",
        blmove,
    )
    .arguments(&[
        Argument::new("source", ArgumentKind::Key(0)),
        Argument::new("destination", ArgumentKind::Key(1)),
        Argument::new("wherefrom", ArgumentKind::OneOf(ENDS)),
        Argument::new("whereto", ArgumentKind::OneOf(ENDS)),
        TIMEOUT,
    ]),
    row(
        "brpoplpush",
        Arity::Exactly(4),
        Flags::DENYOOM,
        MOVED,
        "2.2.0",
        "Moves a list's last element before the first one of another, and \
             waits for it; BLMOVE does the same",
        brpoplpush,
    )
    .arguments(&[
        Argument::new("source", ArgumentKind::Key(0)),
        Argument::new("destination", ArgumentKind::Key(1)),
        TIMEOUT,
    ])
    .history(&[(
        "6.0.0",
        "`timeout` is interpreted as a double instead of an integer.",
    )])
    .deprecated("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments"),
];

fn blpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, End::Head)
}

fn brpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, End::Tail)
}

fn pop(ctx: &mut Context<'_>, args: Args<'_>, end: End) -> CommandResult {
    let deadline = parse_timeout(&args[args.len() - 1])?;
    let keys = keys_before_timeout(args);
    attempt(ctx, Call::ListPop { keys, end }, deadline)
}

fn blmpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let MpopArgs { keys, end, count } = MpopArgs::parse(args, 2)?;
    let deadline = parse_timeout(&args[1])?;
    let keys = keys.into_iter().map(<[u8]>::to_vec).collect();
    attempt(ctx, Call::ListMpop { keys, end, count }, deadline)
}

fn blmove(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (from, to) = (parse_end(&args[3])?, parse_end(&args[4])?);
    move_element(ctx, args, from, to, &args[5])
}

fn brpoplpush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    move_element(ctx, args, End::Tail, End::Head, &args[3])
}

fn move_element(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    from: End,
    to: End,
    timeout: &[u8],
) -> CommandResult {
    let deadline = parse_timeout(timeout)?;
    let call = Call::ListMove {
        source: args[1].to_vec(),
        destination: args[2].to_vec(),
        from,
        to,
    };
    attempt(ctx, call, deadline)
}

//! Places around a place, the older form of the search: GEORADIUS, GEORADIUSBYMEMBER and their forms that only read.

use super::options::Form;
use super::search::run;
use super::{COUNT, ORDER, UNIT, WITH_COORD, WITH_DIST, WITH_HASH};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandResult, Context};
use crate::protocol::Args;

const STORES: Flags = Flags::WRITE
    .union(Flags::DENYOOM)
    .union(Flags::MOVABLEKEYS)
    .union(Flags::COPIES);

/// The options that have operands.
const OPTIONS: &[(&str, usize)] = &[("COUNT", 1), ("STORE", 1), ("STOREDIST", 1)];

/// COUNT. Only for these arguments does Redis say when ANY was added.
const COUNT_SINCE: Argument = Argument::new(
    "count",
    ArgumentKind::Block(&[
        Argument::new("count", ArgumentKind::Integer).with_token("COUNT"),
        Argument::token("any", "ANY").optional().since("6.2.0"),
    ]),
)
.optional();

/// The arguments of GEORADIUS.
const AROUND_POINT: &[Argument] = &[
    Argument::key(),
    Argument::new("longitude", ArgumentKind::Double),
    Argument::new("latitude", ArgumentKind::Double),
    Argument::new("radius", ArgumentKind::Double),
    UNIT,
    WITH_COORD,
    WITH_DIST,
    WITH_HASH,
    COUNT_SINCE,
    ORDER,
    Argument::new("key", ArgumentKind::Key(1))
        .with_token("STORE")
        .optional(),
    Argument::new("key", ArgumentKind::Key(2))
        .with_token("STOREDIST")
        .optional(),
];
/// The arguments of GEORADIUSBYMEMBER.
const AROUND_MEMBER: &[Argument] = &[
    Argument::key(),
    Argument::new("member", ArgumentKind::String),
    Argument::new("radius", ArgumentKind::Double),
    UNIT,
    WITH_COORD,
    WITH_DIST,
    WITH_HASH,
    COUNT,
    ORDER,
    Argument::new("key", ArgumentKind::Key(1))
        .with_token("STORE")
        .optional(),
    Argument::new("key", ArgumentKind::Key(2))
        .with_token("STOREDIST")
        .optional(),
];

/// The arguments of the form that only reads: all but STORE and STOREDIST, which are the last two.
const fn without_store(arguments: &'static [Argument]) -> &'static [Argument] {
    arguments.split_at(arguments.len() - 2).0
}

const HISTORY: &[(&str, &str)] = &[
    ("6.2.0", "Added the `ANY` option for `COUNT`."),
    ("7.0.0", "Added support for uppercase unit names."),
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("georadius", Arity::AtLeast(6), georadius)
        .flags(STORES)
        .categories(Categories::GEO)
        .keys(&[
            KeySpec::first(&["RO", "access"]),
            KeySpec::after(&["OW", "update"], "STORE", 6, OPTIONS),
            KeySpec::after(&["OW", "update"], "STOREDIST", 6, OPTIONS),
        ])
        .group(Group::Geo, "3.2.0")
        .summary("Returns the places around coordinates, or stores them")
        .complexity("O(N+log(M))")
        .arguments(AROUND_POINT)
        .history(HISTORY)
        .deprecated(
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
        ),
    Row::new("georadius_ro", Arity::AtLeast(6), georadius_ro)
        .flags(Flags::READONLY)
        .categories(Categories::GEO)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Geo, "3.2.10")
        .summary("Returns the places around coordinates")
        .complexity("O(N+log(M))")
        .arguments(without_store(AROUND_POINT))
        .history(HISTORY)
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument"),
    Row::new("georadiusbymember", Arity::AtLeast(5), georadiusbymember)
        .flags(STORES)
        .categories(Categories::GEO)
        .keys(&[
            KeySpec::first(&["RO", "access"]),
            KeySpec::after(&["OW", "update"], "STORE", 5, OPTIONS),
            KeySpec::after(&["OW", "update"], "STOREDIST", 5, OPTIONS),
        ])
        .group(Group::Geo, "3.2.0")
        .summary("Returns the places around another one, or stores them")
        .complexity("O(N+log(M))")
        .arguments(AROUND_MEMBER)
        .history(HISTORY)
        .deprecated(
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        ),
    Row::new(
        "georadiusbymember_ro",
        Arity::AtLeast(5),
        georadiusbymember_ro,
    )
    .flags(Flags::READONLY)
    .categories(Categories::GEO)
    .keys(&[KeySpec::first(&["RO", "access"])])
    .group(Group::Geo, "3.2.10")
    .summary("Returns the places around another one")
    .complexity("O(N+log(M))")
    .arguments(without_store(AROUND_MEMBER))
    .history(HISTORY)
    .deprecated(
        "6.2.0",
        "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
    ),
];

fn georadius(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, radius(false, true))
}

fn georadius_ro(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, radius(false, false))
}

fn georadiusbymember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, radius(true, true))
}

fn georadiusbymember_ro(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, radius(true, false))
}

fn radius(by_member: bool, may_store: bool) -> Form {
    Form::Radius {
        by_member,
        may_store,
    }
}

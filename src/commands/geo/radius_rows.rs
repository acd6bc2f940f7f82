//! The rows of the older search commands.

use super::search::{georadius, georadius_ro, georadiusbymember, georadiusbymember_ro};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;

/// The options that have operands.
const OPTIONS: &[(&str, usize)] = &[("COUNT", 1), ("STORE", 1), ("STOREDIST", 1)];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("georadius", Arity::AtLeast(6), georadius)
        .flags(
            Flags::WRITE
                .union(Flags::DENYOOM)
                .union(Flags::MOVABLEKEYS)
                .union(Flags::COPIES),
        )
        .categories(Categories::GEO)
        .keys(&[
            KeySpec::first(&["RO", "access"]),
            KeySpec::after(&["OW", "update"], "STORE", 6, OPTIONS),
            KeySpec::after(&["OW", "update"], "STOREDIST", 6, OPTIONS),
        ])
        .group(Group::Geo, "3.2.0")
        .summary("Returns the places around coordinates, or stores them")
        .complexity("O(N+log(M))")
        .arguments(&[
            Argument::key(),
            Argument::new("longitude", ArgumentKind::Double),
            Argument::new("latitude", ArgumentKind::Double),
            Argument::new("radius", ArgumentKind::Double),
            Argument::new(
                "unit",
                ArgumentKind::OneOf(&[
                    Argument::token("m", "M"),
                    Argument::token("km", "KM"),
                    Argument::token("ft", "FT"),
                    Argument::token("mi", "MI"),
                ]),
            ),
            Argument::token("withcoord", "WITHCOORD").optional(),
            Argument::token("withdist", "WITHDIST").optional(),
            Argument::token("withhash", "WITHHASH").optional(),
            Argument::new(
                "count",
                ArgumentKind::Block(&[
                    Argument::new("count", ArgumentKind::Integer).with_token("COUNT"),
                    Argument::token("any", "ANY").optional().since("6.2.0"),
                ]),
            )
            .optional(),
            Argument::new(
                "order",
                ArgumentKind::OneOf(&[
                    Argument::token("asc", "ASC"),
                    Argument::token("desc", "DESC"),
                ]),
            )
            .optional(),
            Argument::new("key", ArgumentKind::Key(1))
                .with_token("STORE")
                .optional(),
            Argument::new("key", ArgumentKind::Key(2))
                .with_token("STOREDIST")
                .optional(),
        ])
        .history(&[
            ("6.2.0", "Added the `ANY` option for `COUNT`."),
            ("7.0.0", "Added support for uppercase unit names."),
        ])
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
        .arguments(&[
            Argument::key(),
            Argument::new("longitude", ArgumentKind::Double),
            Argument::new("latitude", ArgumentKind::Double),
            Argument::new("radius", ArgumentKind::Double),
            Argument::new(
                "unit",
                ArgumentKind::OneOf(&[
                    Argument::token("m", "M"),
                    Argument::token("km", "KM"),
                    Argument::token("ft", "FT"),
                    Argument::token("mi", "MI"),
                ]),
            ),
            Argument::token("withcoord", "WITHCOORD").optional(),
            Argument::token("withdist", "WITHDIST").optional(),
            Argument::token("withhash", "WITHHASH").optional(),
            Argument::new(
                "count",
                ArgumentKind::Block(&[
                    Argument::new("count", ArgumentKind::Integer).with_token("COUNT"),
                    Argument::token("any", "ANY").optional().since("6.2.0"),
                ]),
            )
            .optional(),
            Argument::new(
                "order",
                ArgumentKind::OneOf(&[
                    Argument::token("asc", "ASC"),
                    Argument::token("desc", "DESC"),
                ]),
            )
            .optional(),
        ])
        .history(&[
            ("6.2.0", "Added the `ANY` option for `COUNT`."),
            ("7.0.0", "Added support for uppercase unit names."),
        ])
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument"),
    Row::new("georadiusbymember", Arity::AtLeast(5), georadiusbymember)
        .flags(
            Flags::WRITE
                .union(Flags::DENYOOM)
                .union(Flags::MOVABLEKEYS)
                .union(Flags::COPIES),
        )
        .categories(Categories::GEO)
        .keys(&[
            KeySpec::first(&["RO", "access"]),
            KeySpec::after(&["OW", "update"], "STORE", 5, OPTIONS),
            KeySpec::after(&["OW", "update"], "STOREDIST", 5, OPTIONS),
        ])
        .group(Group::Geo, "3.2.0")
        .summary("Returns the places around another one, or stores them")
        .complexity("O(N+log(M))")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String),
            Argument::new("radius", ArgumentKind::Double),
            Argument::new(
                "unit",
                ArgumentKind::OneOf(&[
                    Argument::token("m", "M"),
                    Argument::token("km", "KM"),
                    Argument::token("ft", "FT"),
                    Argument::token("mi", "MI"),
                ]),
            ),
            Argument::token("withcoord", "WITHCOORD").optional(),
            Argument::token("withdist", "WITHDIST").optional(),
            Argument::token("withhash", "WITHHASH").optional(),
            Argument::new(
                "count",
                ArgumentKind::Block(&[
                    Argument::new("count", ArgumentKind::Integer).with_token("COUNT"),
                    Argument::token("any", "ANY").optional(),
                ]),
            )
            .optional(),
            Argument::new(
                "order",
                ArgumentKind::OneOf(&[
                    Argument::token("asc", "ASC"),
                    Argument::token("desc", "DESC"),
                ]),
            )
            .optional(),
            Argument::new("key", ArgumentKind::Key(1))
                .with_token("STORE")
                .optional(),
            Argument::new("key", ArgumentKind::Key(2))
                .with_token("STOREDIST")
                .optional(),
        ])
        .history(&[
            ("6.2.0", "Added the `ANY` option for `COUNT`."),
            ("7.0.0", "Added support for uppercase unit names."),
        ])
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
    .arguments(&[
        Argument::key(),
        Argument::new("member", ArgumentKind::String),
        Argument::new("radius", ArgumentKind::Double),
        Argument::new(
            "unit",
            ArgumentKind::OneOf(&[
                Argument::token("m", "M"),
                Argument::token("km", "KM"),
                Argument::token("ft", "FT"),
                Argument::token("mi", "MI"),
            ]),
        ),
        Argument::token("withcoord", "WITHCOORD").optional(),
        Argument::token("withdist", "WITHDIST").optional(),
        Argument::token("withhash", "WITHHASH").optional(),
        Argument::new(
            "count",
            ArgumentKind::Block(&[
                Argument::new("count", ArgumentKind::Integer).with_token("COUNT"),
                Argument::token("any", "ANY").optional(),
            ]),
        )
        .optional(),
        Argument::new(
            "order",
            ArgumentKind::OneOf(&[
                Argument::token("asc", "ASC"),
                Argument::token("desc", "DESC"),
            ]),
        )
        .optional(),
    ])
    .history(&[
        ("6.2.0", "Added the `ANY` option for `COUNT`."),
        ("7.0.0", "Added support for uppercase unit names."),
    ])
    .deprecated(
        "6.2.0",
        "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
    ),
];

//! The rows of commands on several sorted sets.

use super::algebra::{zdiff, zdiffstore, zinter, zintercard, zinterstore, zunion, zunionstore};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("zunion", Arity::AtLeast(3), zunion)
        .flags(Flags::READONLY.union(Flags::MOVABLEKEYS))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::counted(&["RO", "access"], 1)])
        .group(Group::SortedSet, "6.2.0")
        .summary("Returns the members that any of several sorted sets has")
        .complexity("O(N)+O(M*log(M))")
        .arguments(&[
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::key().multiple(),
            Argument::new("weight", ArgumentKind::Integer)
                .with_token("WEIGHTS")
                .optional()
                .multiple(),
            Argument::new(
                "aggregate",
                ArgumentKind::OneOf(&[
                    Argument::token("sum", "SUM"),
                    Argument::token("min", "MIN"),
                    Argument::token("max", "MAX"),
                ]),
            )
            .with_token("AGGREGATE")
            .optional(),
            Argument::token("withscores", "WITHSCORES").optional(),
        ]),
    Row::new("zinter", Arity::AtLeast(3), zinter)
        .flags(Flags::READONLY.union(Flags::MOVABLEKEYS))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::counted(&["RO", "access"], 1)])
        .group(Group::SortedSet, "6.2.0")
        .summary("Returns the members that all of several sorted sets have")
        .complexity("O(N*K)+O(M*log(M)) worst case")
        .arguments(&[
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::key().multiple(),
            Argument::new("weight", ArgumentKind::Integer)
                .with_token("WEIGHTS")
                .optional()
                .multiple(),
            Argument::new(
                "aggregate",
                ArgumentKind::OneOf(&[
                    Argument::token("sum", "SUM"),
                    Argument::token("min", "MIN"),
                    Argument::token("max", "MAX"),
                ]),
            )
            .with_token("AGGREGATE")
            .optional(),
            Argument::token("withscores", "WITHSCORES").optional(),
        ]),
    Row::new("zdiff", Arity::AtLeast(3), zdiff)
        .flags(Flags::READONLY.union(Flags::MOVABLEKEYS))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::counted(&["RO", "access"], 1)])
        .group(Group::SortedSet, "6.2.0")
        .summary("Returns the members of the first sorted set that none of the others has")
        .complexity("O(L + (N-K)log(N)) worst case")
        .arguments(&[
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::key().multiple(),
            Argument::token("withscores", "WITHSCORES").optional(),
        ]),
    Row::new("zintercard", Arity::AtLeast(3), zintercard)
        .flags(Flags::READONLY.union(Flags::MOVABLEKEYS))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::counted(&["RO", "access"], 1)])
        .group(Group::SortedSet, "7.0.0")
        .summary("Counts the members that all of several sorted sets have")
        .complexity("O(N*K) worst case")
        .arguments(&[
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::key().multiple(),
            Argument::new("limit", ArgumentKind::Integer)
                .with_token("LIMIT")
                .optional(),
        ]),
    Row::new("zunionstore", Arity::AtLeast(4), zunionstore)
        .flags(
            Flags::WRITE
                .union(Flags::DENYOOM)
                .union(Flags::MOVABLEKEYS)
                .union(Flags::COPIES),
        )
        .categories(Categories::SORTEDSET)
        .keys(&[
            KeySpec::first(&["OW", "update"]),
            KeySpec::counted(&["RO", "access"], 2),
        ])
        .group(Group::SortedSet, "2.0.0")
        .summary("Stores the members that any of several sorted sets has")
        .complexity("O(N)+O(M log(M))")
        .arguments(&[
            Argument::new("destination", ArgumentKind::Key(0)),
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::new("key", ArgumentKind::Key(1)).multiple(),
            Argument::new("weight", ArgumentKind::Integer)
                .with_token("WEIGHTS")
                .optional()
                .multiple(),
            Argument::new(
                "aggregate",
                ArgumentKind::OneOf(&[
                    Argument::token("sum", "SUM"),
                    Argument::token("min", "MIN"),
                    Argument::token("max", "MAX"),
                ]),
            )
            .with_token("AGGREGATE")
            .optional(),
        ]),
    Row::new("zinterstore", Arity::AtLeast(4), zinterstore)
        .flags(
            Flags::WRITE
                .union(Flags::DENYOOM)
                .union(Flags::MOVABLEKEYS)
                .union(Flags::COPIES),
        )
        .categories(Categories::SORTEDSET)
        .keys(&[
            KeySpec::first(&["OW", "update"]),
            KeySpec::counted(&["RO", "access"], 2),
        ])
        .group(Group::SortedSet, "2.0.0")
        .summary("Stores the members that all of several sorted sets have")
        .complexity("O(N*K)+O(M*log(M)) worst case")
        .arguments(&[
            Argument::new("destination", ArgumentKind::Key(0)),
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::new("key", ArgumentKind::Key(1)).multiple(),
            Argument::new("weight", ArgumentKind::Integer)
                .with_token("WEIGHTS")
                .optional()
                .multiple(),
            Argument::new(
                "aggregate",
                ArgumentKind::OneOf(&[
                    Argument::token("sum", "SUM"),
                    Argument::token("min", "MIN"),
                    Argument::token("max", "MAX"),
                ]),
            )
            .with_token("AGGREGATE")
            .optional(),
        ]),
    Row::new("zdiffstore", Arity::AtLeast(4), zdiffstore)
        .flags(
            Flags::WRITE
                .union(Flags::DENYOOM)
                .union(Flags::MOVABLEKEYS)
                .union(Flags::COPIES),
        )
        .categories(Categories::SORTEDSET)
        .keys(&[
            KeySpec::first(&["OW", "update"]),
            KeySpec::counted(&["RO", "access"], 2),
        ])
        .group(Group::SortedSet, "6.2.0")
        .summary("Stores the members of the first sorted set that none of the others has")
        .complexity("O(L + (N-K)log(N)) worst case")
        .arguments(&[
            Argument::new("destination", ArgumentKind::Key(0)),
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::new("key", ArgumentKind::Key(1)).multiple(),
        ]),
];

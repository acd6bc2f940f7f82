//! The rows of commands on single members of sorted sets.

use super::add::{zadd, zincrby};
use super::members::{zcard, zmscore, zrandmember, zrank, zrem, zrevrank, zscan, zscore};
use super::pop::{zmpop, zpopmax, zpopmin};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("zadd", Arity::AtLeast(4), zadd)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "update"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Gives members of a sorted set scores; makes the set where it is missing")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "condition",
                ArgumentKind::OneOf(&[Argument::token("nx", "NX"), Argument::token("xx", "XX")]),
            )
            .optional()
            .since("3.0.2"),
            Argument::new(
                "comparison",
                ArgumentKind::OneOf(&[Argument::token("gt", "GT"), Argument::token("lt", "LT")]),
            )
            .optional()
            .since("6.2.0"),
            Argument::token("change", "CH").optional().since("3.0.2"),
            Argument::token("increment", "INCR")
                .optional()
                .since("3.0.2"),
            Argument::new(
                "score_member",
                ArgumentKind::Block(&[
                    Argument::new("score", ArgumentKind::Double),
                    Argument::new("member", ArgumentKind::String),
                ]),
            )
            .multiple(),
        ])
        .history(&[
            ("2.4.0", "Accepts multiple elements."),
            ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
            ("6.2.0", "Added the `GT` and `LT` options."),
        ]),
    Row::new("zincrby", Arity::Exactly(4), zincrby)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "access", "update"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Adds a number to a member's score")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("increment", ArgumentKind::Integer),
            Argument::new("member", ArgumentKind::String),
        ]),
    Row::new("zrem", Arity::AtLeast(3), zrem)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Removes members of a sorted set")
        .complexity("O(M*log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ])
        .history(&[("2.4.0", "Accepts multiple elements.")]),
    Row::new("zcard", Arity::Exactly(2), zcard)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Counts the members of a sorted set")
        .complexity("O(1)")
        .arguments(&[Argument::key()]),
    Row::new("zscore", Arity::Exactly(3), zscore)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Returns a member's score")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String),
        ]),
    Row::new("zmscore", Arity::AtLeast(3), zmscore)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "6.2.0")
        .summary("Returns the scores of several members")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ]),
    Row::new("zrank", Arity::AtLeast(3), zrank)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.0.0")
        .summary("Returns how many members have a lower score than one")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String),
            Argument::token("withscore", "WITHSCORE")
                .since("7.2.0")
                .optional(),
        ])
        .history(&[("7.2.0", "Added the optional `WITHSCORE` argument.")]),
    Row::new("zrevrank", Arity::AtLeast(3), zrevrank)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.0.0")
        .summary("Returns how many members have a higher score than one")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String),
            Argument::token("withscore", "WITHSCORE")
                .since("7.2.0")
                .optional(),
        ])
        .history(&[("7.2.0", "Added the optional `WITHSCORE` argument.")]),
    Row::new("zpopmin", Arity::AtLeast(2), zpopmin)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "access", "delete"])])
        .group(Group::SortedSet, "5.0.0")
        .summary("Removes the members with the lowest scores and returns them")
        .complexity("O(log(N)*M)")
        .arguments(&[
            Argument::key(),
            Argument::new("count", ArgumentKind::Integer).optional(),
        ]),
    Row::new("zpopmax", Arity::AtLeast(2), zpopmax)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "access", "delete"])])
        .group(Group::SortedSet, "5.0.0")
        .summary("Removes the members with the highest scores and returns them")
        .complexity("O(log(N)*M)")
        .arguments(&[
            Argument::key(),
            Argument::new("count", ArgumentKind::Integer).optional(),
        ]),
    Row::new("zmpop", Arity::AtLeast(4), zmpop)
        .flags(Flags::WRITE.union(Flags::MOVABLEKEYS))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::counted(&["RW", "access", "delete"], 1)])
        .group(Group::SortedSet, "7.0.0")
        .summary(
            "Removes members from the first of several sorted sets that has any, \
             and returns them",
        )
        .complexity("O(K) + O(M*log(N))")
        .arguments(&[
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
        ]),
    Row::new("zrandmember", Arity::AtLeast(2), zrandmember)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "6.2.0")
        .summary("Returns members drawn at random")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "options",
                ArgumentKind::Block(&[
                    Argument::new("count", ArgumentKind::Integer),
                    Argument::token("withscores", "WITHSCORES").optional(),
                ]),
            )
            .optional(),
        ])
        .tips(&["nondeterministic_output"]),
    Row::new("zscan", Arity::AtLeast(3), zscan)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.8.0")
        .summary("Walks the members of a sorted set, a few at a time")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("cursor", ArgumentKind::Integer),
            Argument::new("pattern", ArgumentKind::Pattern)
                .with_token("MATCH")
                .optional(),
            Argument::new("count", ArgumentKind::Integer)
                .with_token("COUNT")
                .optional(),
        ])
        .tips(&["nondeterministic_output"]),
];

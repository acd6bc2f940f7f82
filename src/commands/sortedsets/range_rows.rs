//! The rows of commands on ranges of sorted sets.

use super::ranges::{
    zrange, zrangebylex, zrangebyscore, zrangestore, zrevrange, zrevrangebylex, zrevrangebyscore,
};
use super::removals::{zcount, zlexcount, zremrangebylex, zremrangebyrank, zremrangebyscore};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("zrange", Arity::AtLeast(4), zrange)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Returns the members of a range of ranks, scores or names")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("start", ArgumentKind::String),
            Argument::new("stop", ArgumentKind::String),
            Argument::new(
                "sortby",
                ArgumentKind::OneOf(&[
                    Argument::token("byscore", "BYSCORE"),
                    Argument::token("bylex", "BYLEX"),
                ]),
            )
            .optional()
            .since("6.2.0"),
            Argument::token("rev", "REV").optional().since("6.2.0"),
            Argument::new(
                "offset_count",
                ArgumentKind::Block(&[
                    Argument::new("offset", ArgumentKind::Integer),
                    Argument::new("count", ArgumentKind::Integer),
                ]),
            )
            .with_token("LIMIT")
            .optional()
            .since("6.2.0"),
            Argument::token("withscores", "WITHSCORES").optional(),
        ])
        .history(&[(
            "6.2.0",
            "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.",
        )]),
    Row::new("zrangestore", Arity::AtLeast(5), zrangestore)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::COPIES))
        .categories(Categories::SORTEDSET)
        .keys(&[
            KeySpec::first(&["OW", "update"]),
            KeySpec::range(&["RO", "access"], 2, 0, 1),
        ])
        .group(Group::SortedSet, "6.2.0")
        .summary("Stores the members of a range of ranks, scores or names")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::new("dst", ArgumentKind::Key(0)),
            Argument::new("src", ArgumentKind::Key(1)),
            Argument::new("min", ArgumentKind::String),
            Argument::new("max", ArgumentKind::String),
            Argument::new(
                "sortby",
                ArgumentKind::OneOf(&[
                    Argument::token("byscore", "BYSCORE"),
                    Argument::token("bylex", "BYLEX"),
                ]),
            )
            .optional(),
            Argument::token("rev", "REV").optional(),
            Argument::new(
                "offset_count",
                ArgumentKind::Block(&[
                    Argument::new("offset", ArgumentKind::Integer),
                    Argument::new("count", ArgumentKind::Integer),
                ]),
            )
            .with_token("LIMIT")
            .optional(),
        ]),
    Row::new("zrevrange", Arity::AtLeast(4), zrevrange)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Returns the members of a range of ranks, from the highest score down")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("start", ArgumentKind::Integer),
            Argument::new("stop", ArgumentKind::Integer),
            Argument::token("withscores", "WITHSCORES").optional(),
        ])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` argument"),
    Row::new("zrangebyscore", Arity::AtLeast(4), zrangebyscore)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "1.0.5")
        .summary("Returns the members of a range of scores")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("min", ArgumentKind::Double),
            Argument::new("max", ArgumentKind::Double),
            Argument::token("withscores", "WITHSCORES")
                .optional()
                .since("2.0.0"),
            Argument::new(
                "offset_count",
                ArgumentKind::Block(&[
                    Argument::new("offset", ArgumentKind::Integer),
                    Argument::new("count", ArgumentKind::Integer),
                ]),
            )
            .with_token("LIMIT")
            .optional(),
        ])
        .history(&[("2.0.0", "Added the `WITHSCORES` modifier.")])
        .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument"),
    Row::new("zrevrangebyscore", Arity::AtLeast(4), zrevrangebyscore)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.2.0")
        .summary("Returns the members of a range of scores, from the highest down")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("max", ArgumentKind::Double),
            Argument::new("min", ArgumentKind::Double),
            Argument::token("withscores", "WITHSCORES").optional(),
            Argument::new(
                "offset_count",
                ArgumentKind::Block(&[
                    Argument::new("offset", ArgumentKind::Integer),
                    Argument::new("count", ArgumentKind::Integer),
                ]),
            )
            .with_token("LIMIT")
            .optional(),
        ])
        .history(&[("2.1.6", "`min` and `max` can be exclusive.")])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments"),
    Row::new("zrangebylex", Arity::AtLeast(4), zrangebylex)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.8.9")
        .summary("Returns the members of a range of names")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("min", ArgumentKind::String),
            Argument::new("max", ArgumentKind::String),
            Argument::new(
                "offset_count",
                ArgumentKind::Block(&[
                    Argument::new("offset", ArgumentKind::Integer),
                    Argument::new("count", ArgumentKind::Integer),
                ]),
            )
            .with_token("LIMIT")
            .optional(),
        ])
        .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument"),
    Row::new("zrevrangebylex", Arity::AtLeast(4), zrevrangebylex)
        .flags(Flags::READONLY)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.8.9")
        .summary("Returns the members of a range of names, from the last one back")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("max", ArgumentKind::String),
            Argument::new("min", ArgumentKind::String),
            Argument::new(
                "offset_count",
                ArgumentKind::Block(&[
                    Argument::new("offset", ArgumentKind::Integer),
                    Argument::new("count", ArgumentKind::Integer),
                ]),
            )
            .with_token("LIMIT")
            .optional(),
        ])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments"),
    Row::new("zcount", Arity::Exactly(4), zcount)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.0.0")
        .summary("Counts the members of a range of scores")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("min", ArgumentKind::Double),
            Argument::new("max", ArgumentKind::Double),
        ]),
    Row::new("zlexcount", Arity::Exactly(4), zlexcount)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::SortedSet, "2.8.9")
        .summary("Counts the members of a range of names")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("min", ArgumentKind::String),
            Argument::new("max", ArgumentKind::String),
        ]),
    Row::new("zremrangebyrank", Arity::Exactly(4), zremrangebyrank)
        .flags(Flags::WRITE)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::SortedSet, "2.0.0")
        .summary("Removes the members of a range of ranks")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("start", ArgumentKind::Integer),
            Argument::new("stop", ArgumentKind::Integer),
        ]),
    Row::new("zremrangebyscore", Arity::Exactly(4), zremrangebyscore)
        .flags(Flags::WRITE)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::SortedSet, "1.2.0")
        .summary("Removes the members of a range of scores")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("min", ArgumentKind::Double),
            Argument::new("max", ArgumentKind::Double),
        ]),
    Row::new("zremrangebylex", Arity::Exactly(4), zremrangebylex)
        .flags(Flags::WRITE)
        .categories(Categories::SORTEDSET)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::SortedSet, "2.8.9")
        .summary("Removes the members of a range of names")
        .complexity("O(log(N)+M)")
        .arguments(&[
            Argument::key(),
            Argument::new("min", ArgumentKind::String),
            Argument::new("max", ArgumentKind::String),
        ]),
];

//! The rows of commands on ranges of sorted sets.

use super::ranges::{
    zrange, zrangebylex, zrangebyscore, zrangestore, zrevrange, zrevrangebylex, zrevrangebyscore,
};
use super::removals::{zcount, zlexcount, zremrangebylex, zremrangebyrank, zremrangebyscore};
use crate::catalog::spec::{
    Argument, ArgumentKind, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Notes,
};

pub(in crate::commands) static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "zrange",
        arity: Arity::AtLeast(4),
        flags: Flags::READONLY,
        categories: Categories::SORTEDSET,
        keys: &[KeySpec::first(&["RO", "access"])],
        group: Group::SortedSet,
        since: "1.2.0",
        summary: "Returns the members of a range of ranks, scores or names",
        complexity: "O(log(N)+M)",
        arguments: &[
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
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: zrange,
    }
    .history(&[(
        "6.2.0",
        "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.",
    )]),
    CommandSpec {
        name: "zrangestore",
        arity: Arity::AtLeast(5),
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::COPIES),
        categories: Categories::SORTEDSET,
        keys: &[
            KeySpec::first(&["OW", "update"]),
            KeySpec::range(&["RO", "access"], 2, 0, 1),
        ],
        group: Group::SortedSet,
        since: "6.2.0",
        summary: "Stores the members of a range of ranks, scores or names",
        complexity: "O(log(N)+M)",
        arguments: &[
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
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: zrangestore,
    },
    CommandSpec {
        name: "zrevrange",
        arity: Arity::AtLeast(4),
        flags: Flags::READONLY,
        categories: Categories::SORTEDSET,
        keys: &[KeySpec::first(&["RO", "access"])],
        group: Group::SortedSet,
        since: "1.2.0",
        summary: "Returns the members of a range of ranks, from the highest score down",
        complexity: "O(log(N)+M)",
        arguments: &[
            Argument::key(),
            Argument::new("start", ArgumentKind::Integer),
            Argument::new("stop", ArgumentKind::Integer),
            Argument::token("withscores", "WITHSCORES").optional(),
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: zrevrange,
    }
    .deprecated("6.2.0", "`ZRANGE` with the `REV` argument"),
    CommandSpec {
        name: "zrangebyscore",
        arity: Arity::AtLeast(4),
        flags: Flags::READONLY,
        categories: Categories::SORTEDSET,
        keys: &[KeySpec::first(&["RO", "access"])],
        group: Group::SortedSet,
        since: "1.0.5",
        summary: "Returns the members of a range of scores",
        complexity: "O(log(N)+M)",
        arguments: &[
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
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: zrangebyscore,
    }
    .history(&[("2.0.0", "Added the `WITHSCORES` modifier.")])
    .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument"),
    CommandSpec {
        name: "zrevrangebyscore",
        arity: Arity::AtLeast(4),
        flags: Flags::READONLY,
        categories: Categories::SORTEDSET,
        keys: &[KeySpec::first(&["RO", "access"])],
        group: Group::SortedSet,
        since: "2.2.0",
        summary: "Returns the members of a range of scores, from the highest down",
        complexity: "O(log(N)+M)",
        arguments: &[
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
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: zrevrangebyscore,
    }
    .history(&[("2.1.6", "`min` and `max` can be exclusive.")])
    .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments"),
    CommandSpec {
        name: "zrangebylex",
        arity: Arity::AtLeast(4),
        flags: Flags::READONLY,
        categories: Categories::SORTEDSET,
        keys: &[KeySpec::first(&["RO", "access"])],
        group: Group::SortedSet,
        since: "2.8.9",
        summary: "Returns the members of a range of names",
        complexity: "O(log(N)+M)",
        arguments: &[
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
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: zrangebylex,
    }
    .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument"),
    CommandSpec {
        name: "zrevrangebylex",
        arity: Arity::AtLeast(4),
        flags: Flags::READONLY,
        categories: Categories::SORTEDSET,
        keys: &[KeySpec::first(&["RO", "access"])],
        group: Group::SortedSet,
        since: "2.8.9",
        summary: "Returns the members of a range of names, from the last one back",
        complexity: "O(log(N)+M)",
        arguments: &[
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
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: zrevrangebylex,
    }
    .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments"),
    CommandSpec {
        name: "zcount",
        arity: Arity::Exactly(4),
        flags: Flags::READONLY.union(Flags::FAST),
        categories: Categories::SORTEDSET,
        keys: &[KeySpec::first(&["RO", "access"])],
        group: Group::SortedSet,
        since: "2.0.0",
        summary: "Counts the members of a range of scores",
        complexity: "O(log(N))",
        arguments: &[
            Argument::key(),
            Argument::new("min", ArgumentKind::Double),
            Argument::new("max", ArgumentKind::Double),
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: zcount,
    },
    CommandSpec {
        name: "zlexcount",
        arity: Arity::Exactly(4),
        flags: Flags::READONLY.union(Flags::FAST),
        categories: Categories::SORTEDSET,
        keys: &[KeySpec::first(&["RO", "access"])],
        group: Group::SortedSet,
        since: "2.8.9",
        summary: "Counts the members of a range of names",
        complexity: "O(log(N))",
        arguments: &[
            Argument::key(),
            Argument::new("min", ArgumentKind::String),
            Argument::new("max", ArgumentKind::String),
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: zlexcount,
    },
    CommandSpec {
        name: "zremrangebyrank",
        arity: Arity::Exactly(4),
        flags: Flags::WRITE,
        categories: Categories::SORTEDSET,
        keys: &[KeySpec::first(&["RW", "delete"])],
        group: Group::SortedSet,
        since: "2.0.0",
        summary: "Removes the members of a range of ranks",
        complexity: "O(log(N)+M)",
        arguments: &[
            Argument::key(),
            Argument::new("start", ArgumentKind::Integer),
            Argument::new("stop", ArgumentKind::Integer),
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: zremrangebyrank,
    },
    CommandSpec {
        name: "zremrangebyscore",
        arity: Arity::Exactly(4),
        flags: Flags::WRITE,
        categories: Categories::SORTEDSET,
        keys: &[KeySpec::first(&["RW", "delete"])],
        group: Group::SortedSet,
        since: "1.2.0",
        summary: "Removes the members of a range of scores",
        complexity: "O(log(N)+M)",
        arguments: &[
            Argument::key(),
            Argument::new("min", ArgumentKind::Double),
            Argument::new("max", ArgumentKind::Double),
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: zremrangebyscore,
    },
    CommandSpec {
        name: "zremrangebylex",
        arity: Arity::Exactly(4),
        flags: Flags::WRITE,
        categories: Categories::SORTEDSET,
        keys: &[KeySpec::first(&["RW", "delete"])],
        group: Group::SortedSet,
        since: "2.8.9",
        summary: "Removes the members of a range of names",
        complexity: "O(log(N)+M)",
        arguments: &[
            Argument::key(),
            Argument::new("min", ArgumentKind::String),
            Argument::new("max", ArgumentKind::String),
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: zremrangebylex,
    },
];

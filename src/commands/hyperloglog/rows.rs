//! The rows of the `HyperLogLog` commands.

use super::{pfadd, pfcount, pfmerge};
use crate::commands::spec::{
    Argument, ArgumentKind, Arity, Categories, CommandSpec, Flags, Group, KeySpec,
};

pub(in crate::commands) static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "pfadd",
        arity: Arity::AtLeast(2),
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        categories: Categories::HYPERLOGLOG,
        keys: &[KeySpec::first(&["RW", "insert"])],
        group: Group::Hyperloglog,
        since: "2.8.9",
        summary: "Adds elements to a `HyperLogLog`",
        complexity: "O(1) to add every element.",
        arguments: &[
            Argument::key(),
            Argument::new("element", ArgumentKind::String)
                .optional()
                .multiple(),
        ],
        subcommands: &[],
        handler: pfadd,
    },
    CommandSpec {
        name: "pfcount",
        arity: Arity::AtLeast(2),
        flags: Flags::READONLY,
        categories: Categories::HYPERLOGLOG,
        keys: &[KeySpec::range(&["RW", "access"], 1, -1, 1)],
        group: Group::Hyperloglog,
        since: "2.8.9",
        summary: "Estimates how many different elements `HyperLogLog`s have seen",
        complexity: "O(1) with a very small average constant time when called with a single key",
        arguments: &[Argument::key().multiple()],
        subcommands: &[],
        handler: pfcount,
    },
    CommandSpec {
        name: "pfmerge",
        arity: Arity::AtLeast(2),
        flags: Flags::WRITE.union(Flags::DENYOOM),
        categories: Categories::HYPERLOGLOG,
        keys: &[
            KeySpec::first(&["RW", "access", "insert"]),
            KeySpec::range(&["RO", "access"], 2, -1, 1),
        ],
        group: Group::Hyperloglog,
        since: "2.8.9",
        summary: "Stores the union of `HyperLogLog`s",
        complexity: "O(N) to merge N `HyperLogLog`s, but with high constant times.",
        arguments: &[
            Argument::new("destkey", ArgumentKind::Key(0)),
            Argument::new("sourcekey", ArgumentKind::Key(1)).multiple(),
        ],
        subcommands: &[],
        handler: pfmerge,
    },
];

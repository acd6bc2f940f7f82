//! The rows of the `HyperLogLog` commands.

use super::count::{pfadd, pfcount};
use super::merge::pfmerge;
use crate::catalog::spec::{
    Argument, ArgumentKind, Arity, Categories, CommandSpec, Flags, Group, KeySpec, Notes,
};

pub(in crate::commands) static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "pfadd",
        arity: Arity::AtLeast(2),
        flags: Flags::WRITE
            .union(Flags::DENYOOM)
            .union(Flags::FAST)
            .union(Flags::REWRITES),
        categories: Categories::HYPERLOGLOG,
        keys: &[KeySpec::first(&["RW", "insert"])],
        group: Group::Hyperloglog,
        since: "2.8.9",
        summary: "Shows elements to a HyperLogLog; makes the key where it is missing",
        complexity: "O(1) for each element",
        arguments: &[
            Argument::key(),
            Argument::new("element", ArgumentKind::String)
                .optional()
                .multiple(),
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: pfadd,
    },
    CommandSpec {
        name: "pfcount",
        arity: Arity::AtLeast(2),
        flags: Flags::READONLY,
        categories: Categories::HYPERLOGLOG,
        // The estimate is kept in the value.
        keys: &[KeySpec::range(&["RW", "access"], 1, -1, 1).with_notes("RW because it may change the internal representation of the key, and propagate to replicas")],
        group: Group::Hyperloglog,
        since: "2.8.9",
        summary: "Estimates how many different elements HyperLogLogs have seen together",
        complexity: "O(1) for one key whose estimate is kept; O(N) for N keys",
        arguments: &[Argument::key().multiple()],
        notes: Notes::NONE,
        subcommands: &[],
        handler: pfcount,
    },
    CommandSpec {
        name: "pfmerge",
        arity: Arity::AtLeast(2),
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::REWRITES),
        categories: Categories::HYPERLOGLOG,
        keys: &[
            KeySpec::first(&["RW", "access", "insert"]),
            KeySpec::range(&["RO", "access"], 2, -1, 1),
        ],
        group: Group::Hyperloglog,
        since: "2.8.9",
        summary: "Makes a HyperLogLog of what it and others have seen",
        complexity: "O(N) for N keys",
        arguments: &[
            Argument::new("destkey", ArgumentKind::Key(0)),
            Argument::new("sourcekey", ArgumentKind::Key(1))
                .optional()
                .multiple(),
        ],
        notes: Notes::NONE,
        subcommands: &[],
        handler: pfmerge,
    },
];

//! The rows of the `HyperLogLog` commands.

use super::count::{pfadd, pfcount};
use super::merge::pfmerge;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("pfadd", Arity::AtLeast(2), pfadd)
        .flags(
            Flags::WRITE
                .union(Flags::DENYOOM)
                .union(Flags::FAST)
                .union(Flags::REWRITES),
        )
        .categories(Categories::HYPERLOGLOG)
        .keys(&[KeySpec::first(&["RW", "insert"])])
        .group(Group::Hyperloglog, "2.8.9")
        .summary("Shows elements to a HyperLogLog; makes the key where it is missing")
        .complexity("O(1) for each element")
        .arguments(&[
            Argument::key(),
            Argument::new("element", ArgumentKind::String)
                .optional()
                .multiple(),
        ]),
    Row::new("pfcount", Arity::AtLeast(2), pfcount)
        .flags(Flags::READONLY)
        .categories(Categories::HYPERLOGLOG)
        // The estimate is kept in the value.
        .keys(&[KeySpec::range(&["RW", "access"], 1, -1, 1).with_notes(
            "RW because it may change the internal representation of the key, \
             and propagate to replicas",
        )])
        .group(Group::Hyperloglog, "2.8.9")
        .summary("Estimates how many different elements HyperLogLogs have seen together")
        .complexity("O(1) for one key whose estimate is kept; O(N) for N keys")
        .arguments(&[Argument::key().multiple()]),
    Row::new("pfmerge", Arity::AtLeast(2), pfmerge)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::REWRITES))
        .categories(Categories::HYPERLOGLOG)
        .keys(&[
            KeySpec::first(&["RW", "access", "insert"]),
            KeySpec::range(&["RO", "access"], 2, -1, 1),
        ])
        .group(Group::Hyperloglog, "2.8.9")
        .summary("Makes a HyperLogLog of what it and others have seen")
        .complexity("O(N) for N keys")
        .arguments(&[
            Argument::new("destkey", ArgumentKind::Key(0)),
            Argument::new("sourcekey", ArgumentKind::Key(1))
                .optional()
                .multiple(),
        ]),
];

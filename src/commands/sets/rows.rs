//! The rows of the set commands.

use super::algebra::{sdiff, sdiffstore, sinter, sintercard, sinterstore, sunion, sunionstore};
use super::draw::{spop, srandmember};
use super::members::{sadd, scard, sismember, smembers, smismember, smove, srem, sscan};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("sadd", Arity::AtLeast(3), sadd)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RW", "insert"])])
        .group(Group::Set, "1.0.0")
        .summary("Adds members to a set; makes the set where it is missing")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ])
        .history(&[("2.4.0", "Accepts multiple `member` arguments.")]),
    Row::new("srem", Arity::AtLeast(3), srem)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::Set, "1.0.0")
        .summary("Removes members of a set")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ])
        .history(&[("2.4.0", "Accepts multiple `member` arguments.")]),
    Row::new("smembers", Arity::Exactly(2), smembers)
        .flags(Flags::READONLY)
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Set, "1.0.0")
        .summary("Returns all members of a set")
        .complexity("O(N)")
        .arguments(&[Argument::key()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("sismember", Arity::Exactly(3), sismember)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::Set, "1.0.0")
        .summary("Tells whether a set has a member")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String),
        ]),
    Row::new("smismember", Arity::AtLeast(3), smismember)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Set, "6.2.0")
        .summary("Tells of each of several members whether a set has it")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ]),
    Row::new("scard", Arity::Exactly(2), scard)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::Set, "1.0.0")
        .summary("Counts the members of a set")
        .complexity("O(1)")
        .arguments(&[Argument::key()]),
    Row::new("spop", Arity::AtLeast(2), spop)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RW", "access", "delete"])])
        .group(Group::Set, "1.0.0")
        .summary("Removes members drawn at random and returns them")
        .complexity("Without the count argument O(1), otherwise O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("count", ArgumentKind::Integer)
                .optional()
                .since("3.2.0"),
        ])
        .tips(&["nondeterministic_output"])
        .history(&[("3.2.0", "Added the `count` argument.")]),
    Row::new("srandmember", Arity::AtLeast(2), srandmember)
        .flags(Flags::READONLY)
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Set, "1.0.0")
        .summary("Returns members drawn at random")
        .complexity("Without the count argument O(1), otherwise O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("count", ArgumentKind::Integer)
                .optional()
                .since("2.6.0"),
        ])
        .tips(&["nondeterministic_output"])
        .history(&[("2.6.0", "Added the optional `count` argument.")]),
    Row::new("smove", Arity::Exactly(4), smove)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::SET)
        .keys(&[
            KeySpec::first(&["RW", "access", "delete"]),
            KeySpec::range(&["RW", "insert"], 2, 0, 1),
        ])
        .group(Group::Set, "1.0.0")
        .summary("Moves a member from a set to another")
        .complexity("O(1)")
        .arguments(&[
            Argument::new("source", ArgumentKind::Key(0)),
            Argument::new("destination", ArgumentKind::Key(1)),
            Argument::new("member", ArgumentKind::String),
        ]),
    Row::new("sinter", Arity::AtLeast(2), sinter)
        .flags(Flags::READONLY)
        .categories(Categories::SET)
        .keys(&[KeySpec::range(&["RO", "access"], 1, -1, 1)])
        .group(Group::Set, "1.0.0")
        .summary("Returns the members that all of several sets have")
        .complexity("O(N*M) worst case")
        .arguments(&[Argument::key().multiple()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("sunion", Arity::AtLeast(2), sunion)
        .flags(Flags::READONLY)
        .categories(Categories::SET)
        .keys(&[KeySpec::range(&["RO", "access"], 1, -1, 1)])
        .group(Group::Set, "1.0.0")
        .summary("Returns the members that any of several sets has")
        .complexity("O(N)")
        .arguments(&[Argument::key().multiple()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("sdiff", Arity::AtLeast(2), sdiff)
        .flags(Flags::READONLY)
        .categories(Categories::SET)
        .keys(&[KeySpec::range(&["RO", "access"], 1, -1, 1)])
        .group(Group::Set, "1.0.0")
        .summary("Returns the members of the first set that none of the others has")
        .complexity("O(N)")
        .arguments(&[Argument::key().multiple()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("sinterstore", Arity::AtLeast(3), sinterstore)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::COPIES))
        .categories(Categories::SET)
        .keys(&[
            KeySpec::first(&["RW", "update"]),
            KeySpec::range(&["RO", "access"], 2, -1, 1),
        ])
        .group(Group::Set, "1.0.0")
        .summary("Stores the members that all of several sets have")
        .complexity("O(N*M) worst case")
        .arguments(&[
            Argument::new("destination", ArgumentKind::Key(0)),
            Argument::new("key", ArgumentKind::Key(1)).multiple(),
        ]),
    Row::new("sunionstore", Arity::AtLeast(3), sunionstore)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::COPIES))
        .categories(Categories::SET)
        .keys(&[
            KeySpec::first(&["OW", "update"]),
            KeySpec::range(&["RO", "access"], 2, -1, 1),
        ])
        .group(Group::Set, "1.0.0")
        .summary("Stores the members that any of several sets has")
        .complexity("O(N)")
        .arguments(&[
            Argument::new("destination", ArgumentKind::Key(0)),
            Argument::new("key", ArgumentKind::Key(1)).multiple(),
        ]),
    Row::new("sdiffstore", Arity::AtLeast(3), sdiffstore)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::COPIES))
        .categories(Categories::SET)
        .keys(&[
            KeySpec::first(&["OW", "update"]),
            KeySpec::range(&["RO", "access"], 2, -1, 1),
        ])
        .group(Group::Set, "1.0.0")
        .summary("Stores the members of the first set that none of the others has")
        .complexity("O(N)")
        .arguments(&[
            Argument::new("destination", ArgumentKind::Key(0)),
            Argument::new("key", ArgumentKind::Key(1)).multiple(),
        ]),
    Row::new("sintercard", Arity::AtLeast(3), sintercard)
        .flags(Flags::READONLY.union(Flags::MOVABLEKEYS))
        .categories(Categories::SET)
        .keys(&[KeySpec::counted(&["RO", "access"], 1)])
        .group(Group::Set, "7.0.0")
        .summary("Counts the members that all of several sets have")
        .complexity("O(N*M) worst case")
        .arguments(&[
            Argument::new("numkeys", ArgumentKind::Integer),
            Argument::key().multiple(),
            Argument::new("limit", ArgumentKind::Integer)
                .with_token("LIMIT")
                .optional(),
        ]),
    Row::new("sscan", Arity::AtLeast(3), sscan)
        .flags(Flags::READONLY)
        .categories(Categories::SET)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Set, "2.8.0")
        .summary("Walks the members of a set, a few at a time")
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

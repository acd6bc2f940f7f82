//! The rows of the hash commands.

use super::draw::hrandfield;
use super::numbers::{hincrby, hincrbyfloat};
use super::reads::{hexists, hget, hgetall, hkeys, hlen, hmget, hscan, hstrlen, hvals};
use super::writes::{hdel, hmset, hset, hsetnx};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("hset", Arity::AtLeast(4), hset)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "update"])])
        .group(Group::Hash, "2.0.0")
        .summary("Gives fields of a hash values; makes the hash where it is missing")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "field_value",
                ArgumentKind::Block(&[
                    Argument::new("field", ArgumentKind::String),
                    Argument::new("value", ArgumentKind::String),
                ]),
            )
            .multiple(),
        ])
        .history(&[("4.0.0", "Accepts multiple `field` and `value` arguments.")]),
    Row::new("hsetnx", Arity::Exactly(4), hsetnx)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "insert"])])
        .group(Group::Hash, "2.0.0")
        .summary("Gives a field a value if the hash does not have it")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String),
            Argument::new("value", ArgumentKind::String),
        ]),
    Row::new("hmset", Arity::AtLeast(4), hmset)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "update"])])
        .group(Group::Hash, "2.0.0")
        .summary("Gives fields of a hash values")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "field_value",
                ArgumentKind::Block(&[
                    Argument::new("field", ArgumentKind::String),
                    Argument::new("value", ArgumentKind::String),
                ]),
            )
            .multiple(),
        ])
        .deprecated("4.0.0", "`HSET` with multiple field-value pairs"),
    Row::new("hget", Arity::Exactly(3), hget)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "2.0.0")
        .summary("Returns a field's value")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String),
        ]),
    Row::new("hmget", Arity::AtLeast(3), hmget)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "2.0.0")
        .summary("Returns the values of several fields")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String).multiple(),
        ]),
    Row::new("hgetall", Arity::Exactly(2), hgetall)
        .flags(Flags::READONLY)
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "2.0.0")
        .summary("Returns all fields with their values")
        .complexity("O(N)")
        .arguments(&[Argument::key()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("hdel", Arity::AtLeast(3), hdel)
        .flags(Flags::WRITE.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "delete"])])
        .group(Group::Hash, "2.0.0")
        .summary("Removes fields of a hash")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String).multiple(),
        ])
        .history(&[("2.4.0", "Accepts multiple `field` arguments.")]),
    Row::new("hlen", Arity::Exactly(2), hlen)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::Hash, "2.0.0")
        .summary("Counts the fields of a hash")
        .complexity("O(1)")
        .arguments(&[Argument::key()]),
    Row::new("hexists", Arity::Exactly(3), hexists)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::Hash, "2.0.0")
        .summary("Tells whether a hash has a field")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String),
        ]),
    Row::new("hkeys", Arity::Exactly(2), hkeys)
        .flags(Flags::READONLY)
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "2.0.0")
        .summary("Returns the names of all fields")
        .complexity("O(N)")
        .arguments(&[Argument::key()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("hvals", Arity::Exactly(2), hvals)
        .flags(Flags::READONLY)
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "2.0.0")
        .summary("Returns the values of all fields")
        .complexity("O(N)")
        .arguments(&[Argument::key()])
        .tips(&["nondeterministic_output_order"]),
    Row::new("hincrby", Arity::Exactly(4), hincrby)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "access", "update"])])
        .group(Group::Hash, "2.0.0")
        .summary("Adds an integer to a field's number")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String),
            Argument::new("increment", ArgumentKind::Integer),
        ]),
    Row::new("hincrbyfloat", Arity::Exactly(4), hincrbyfloat)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RW", "access", "update"])])
        .group(Group::Hash, "2.6.0")
        .summary("Adds a floating-point number to a field's number")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String),
            Argument::new("increment", ArgumentKind::Double),
        ]),
    Row::new("hstrlen", Arity::Exactly(3), hstrlen)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::Hash, "3.2.0")
        .summary("Returns the length of a field's value, in bytes")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("field", ArgumentKind::String),
        ]),
    Row::new("hrandfield", Arity::AtLeast(2), hrandfield)
        .flags(Flags::READONLY)
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "6.2.0")
        .summary("Returns fields drawn at random")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "options",
                ArgumentKind::Block(&[
                    Argument::new("count", ArgumentKind::Integer),
                    Argument::token("withvalues", "WITHVALUES").optional(),
                ]),
            )
            .optional(),
        ])
        .tips(&["nondeterministic_output"]),
    Row::new("hscan", Arity::AtLeast(3), hscan)
        .flags(Flags::READONLY)
        .categories(Categories::HASH)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Hash, "2.8.0")
        .summary("Walks the fields of a hash, a few at a time")
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

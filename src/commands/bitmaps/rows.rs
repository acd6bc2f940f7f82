//! The rows of the bitmap commands.

use super::combine::bitop;
use super::fields::{bitfield, bitfield_ro};
use super::range::{bitcount, bitpos};
use super::single::{getbit, setbit};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("setbit", Arity::Exactly(4), setbit)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::REWRITES))
        .categories(Categories::BITMAP)
        .keys(&[KeySpec::first(&["RW", "access", "update"])])
        .group(Group::Bitmap, "2.2.0")
        .summary("Sets a bit of a string and returns what it was")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("offset", ArgumentKind::Integer),
            Argument::new("value", ArgumentKind::Integer),
        ]),
    Row::new("getbit", Arity::Exactly(3), getbit)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::BITMAP)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Bitmap, "2.2.0")
        .summary("Returns a bit of a string")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("offset", ArgumentKind::Integer),
        ]),
    Row::new("bitcount", Arity::AtLeast(2), bitcount)
        .flags(Flags::READONLY)
        .categories(Categories::BITMAP)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Bitmap, "2.6.0")
        .summary("Counts the bits of a string that are set")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "index",
                ArgumentKind::Block(&[
                    Argument::new("start", ArgumentKind::Integer),
                    Argument::new("end", ArgumentKind::Integer),
                    Argument::new(
                        "index_unit",
                        ArgumentKind::OneOf(&[
                            Argument::token("byte", "BYTE"),
                            Argument::token("bit", "BIT"),
                        ]),
                    )
                    .optional()
                    .since("7.0.0"),
                ]),
            )
            .optional(),
        ])
        .history(&[("7.0.0", "Added the `BYTE|BIT` option.")]),
    Row::new("bitpos", Arity::AtLeast(3), bitpos)
        .flags(Flags::READONLY)
        .categories(Categories::BITMAP)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Bitmap, "2.8.7")
        .summary("Finds the first bit that is set, or clear")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("bit", ArgumentKind::Integer),
            Argument::new(
                "index",
                ArgumentKind::Block(&[
                    Argument::new("start", ArgumentKind::Integer),
                    Argument::new(
                        "end_index",
                        ArgumentKind::Block(&[
                            Argument::new("end", ArgumentKind::Integer),
                            Argument::new(
                                "index_unit",
                                ArgumentKind::OneOf(&[
                                    Argument::token("byte", "BYTE"),
                                    Argument::token("bit", "BIT"),
                                ]),
                            )
                            .optional()
                            .since("7.0.0"),
                        ]),
                    )
                    .optional(),
                ]),
            )
            .optional(),
        ])
        .history(&[("7.0.0", "Added the `BYTE|BIT` option.")]),
    Row::new("bitop", Arity::AtLeast(4), bitop)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::REWRITES))
        .categories(Categories::BITMAP)
        .keys(&[
            KeySpec::range(&["OW", "update"], 2, 0, 1),
            KeySpec::range(&["RO", "access"], 3, -1, 1),
        ])
        .group(Group::Bitmap, "2.6.0")
        .summary("Stores the bitwise combination of strings")
        .complexity("O(N)")
        .arguments(&[
            Argument::new("operation", ArgumentKind::String),
            Argument::new("destkey", ArgumentKind::Key(0)),
            Argument::new("key", ArgumentKind::Key(1)).multiple(),
        ]),
    Row::new("bitfield", Arity::AtLeast(2), bitfield)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::REWRITES))
        .categories(Categories::BITMAP)
        .keys(&[
            KeySpec::first(&["RW", "access", "update", "variable_flags"])
                .with_notes("This command allows both access and modification of the key"),
        ])
        .group(Group::Bitmap, "3.2.0")
        .summary("Reads and changes integers of any width within a string")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "operation",
                ArgumentKind::OneOf(&[
                    Argument::new(
                        "encoding_offset",
                        ArgumentKind::Block(&[
                            Argument::new("encoding", ArgumentKind::String),
                            Argument::new("offset", ArgumentKind::Integer),
                        ]),
                    )
                    .with_token("GET"),
                    Argument::new(
                        "write",
                        ArgumentKind::Block(&[
                            Argument::new(
                                "wrap_sat_fail",
                                ArgumentKind::OneOf(&[
                                    Argument::token("wrap", "WRAP"),
                                    Argument::token("sat", "SAT"),
                                    Argument::token("fail", "FAIL"),
                                ]),
                            )
                            .with_token("OVERFLOW")
                            .optional(),
                            Argument::new(
                                "write_operation",
                                ArgumentKind::OneOf(&[
                                    Argument::new(
                                        "encoding_offset_value",
                                        ArgumentKind::Block(&[
                                            Argument::new("encoding", ArgumentKind::String),
                                            Argument::new("offset", ArgumentKind::Integer),
                                            Argument::new("value", ArgumentKind::Integer),
                                        ]),
                                    )
                                    .with_token("SET"),
                                    Argument::new(
                                        "encoding_offset_increment",
                                        ArgumentKind::Block(&[
                                            Argument::new("encoding", ArgumentKind::String),
                                            Argument::new("offset", ArgumentKind::Integer),
                                            Argument::new("increment", ArgumentKind::Integer),
                                        ]),
                                    )
                                    .with_token("INCRBY"),
                                ]),
                            ),
                        ]),
                    ),
                ]),
            )
            .optional()
            .multiple(),
        ]),
    Row::new("bitfield_ro", Arity::AtLeast(2), bitfield_ro)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::BITMAP)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Bitmap, "6.0.0")
        .summary("Reads integers of any width within a string")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "encoding_offset",
                ArgumentKind::Block(&[
                    Argument::new("encoding", ArgumentKind::String),
                    Argument::new("offset", ArgumentKind::Integer),
                ]),
            )
            .with_token("GET")
            .optional()
            .multiple()
            .repeated_token(),
        ]),
];

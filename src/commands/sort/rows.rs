//! The rows of SORT and `SORT_RO`.

use super::{sort, sort_ro};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;

const PATTERNS: &str = "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the \
                        content of the key we sort";

/// The options that have operands.
const OPTIONS: &[(&str, usize)] = &[("LIMIT", 2), ("GET", 1), ("BY", 1), ("STORE", 1)];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("sort", Arity::AtLeast(2), sort)
        .flags(
            Flags::WRITE
                .union(Flags::DENYOOM)
                .union(Flags::MOVABLEKEYS)
                .union(Flags::COPIES),
        )
        .categories(
            Categories::SET
                .union(Categories::SORTEDSET)
                .union(Categories::LIST)
                .union(Categories::DANGEROUS),
        )
        .keys(&[
            KeySpec::first(&["RO", "access"]),
            KeySpec::unknown(&["RO", "access"]).with_notes(PATTERNS),
            KeySpec::hidden_after(&["OW", "update"], "STORE", 2, OPTIONS).with_notes(
                "For the optional STORE keyword. It is marked 'unknown' because the \
             keyword can appear anywhere in the argument array",
            ),
        ])
        .group(Group::Generic, "1.0.0")
        .summary("Sorts the elements of a list, a set or a sorted set; may store the result")
        .complexity("O(N+M*log(M))")
        .arguments(&[
            Argument::key(),
            Argument::new("pattern", ArgumentKind::Pattern)
                .with_token("BY")
                .optional(),
            Argument::new(
                "offset_count",
                ArgumentKind::Block(&[
                    Argument::new("offset", ArgumentKind::Integer),
                    Argument::new("count", ArgumentKind::Integer),
                ]),
            )
            .with_token("LIMIT")
            .optional(),
            Argument::new("pattern", ArgumentKind::Pattern)
                .with_token("GET")
                .optional()
                .multiple()
                .repeated_token(),
            Argument::new(
                "order",
                ArgumentKind::OneOf(&[
                    Argument::token("asc", "ASC"),
                    Argument::token("desc", "DESC"),
                ]),
            )
            .optional(),
            Argument::token("sorting", "ALPHA").optional(),
            Argument::new("destination", ArgumentKind::Key(2))
                .with_token("STORE")
                .optional(),
        ]),
    Row::new("sort_ro", Arity::AtLeast(2), sort_ro)
        .flags(Flags::READONLY.union(Flags::MOVABLEKEYS))
        .categories(
            Categories::SET
                .union(Categories::SORTEDSET)
                .union(Categories::LIST)
                .union(Categories::DANGEROUS),
        )
        .keys(&[
            KeySpec::first(&["RO", "access"]),
            KeySpec::unknown(&["RO", "access"]).with_notes(PATTERNS),
        ])
        .group(Group::Generic, "7.0.0")
        .summary("Sorts the elements of a list, a set or a sorted set")
        .complexity("O(N+M*log(M))")
        .arguments(&[
            Argument::key(),
            Argument::new("pattern", ArgumentKind::Pattern)
                .with_token("BY")
                .optional(),
            Argument::new(
                "offset_count",
                ArgumentKind::Block(&[
                    Argument::new("offset", ArgumentKind::Integer),
                    Argument::new("count", ArgumentKind::Integer),
                ]),
            )
            .with_token("LIMIT")
            .optional(),
            Argument::new("pattern", ArgumentKind::Pattern)
                .with_token("GET")
                .optional()
                .multiple()
                .repeated_token(),
            Argument::new(
                "order",
                ArgumentKind::OneOf(&[
                    Argument::token("asc", "ASC"),
                    Argument::token("desc", "DESC"),
                ]),
            )
            .optional(),
            Argument::token("sorting", "ALPHA").optional(),
        ]),
];

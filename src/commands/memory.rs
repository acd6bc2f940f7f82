//! MEMORY USAGE: what a key takes.

use super::numbers::parse_i64;
use super::spec::{Argument, ArgumentKind, Arity, Categories, CommandSpec, Flags, Group, KeySpec};
use super::{CommandError, CommandResult, Context, help};
use crate::keyspace::Access;
use crate::protocol::{Args, Reply};
use crate::store::packed;

pub(super) static COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "memory",
    arity: Arity::AtLeast(2),
    flags: Flags::NONE,
    categories: Categories::NONE,
    keys: &[],
    group: Group::Server,
    since: "4.0.0",
    summary: "Commands on the memory that data takes.",
    complexity: "Depends on subcommand.",
    arguments: &[],
    subcommands: SUBCOMMANDS,
    handler: help,
}];

static SUBCOMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "usage",
        arity: Arity::AtLeast(3),
        flags: Flags::READONLY,
        categories: Categories::NONE,
        keys: &[KeySpec::range(&["RO"], 2, 0, 1)],
        group: Group::Server,
        since: "4.0.0",
        summary: "Estimates the bytes that a key takes, in the pool and in DRAM.",
        complexity: "O(N) where N is the number of samples.",
        arguments: &[
            Argument::key(),
            Argument::new("count", ArgumentKind::Integer)
                .with_token("SAMPLES")
                .optional(),
        ],
        subcommands: &[],
        handler: usage,
    },
    CommandSpec {
        name: "help",
        arity: Arity::Exactly(2),
        flags: Flags::LOADING.union(Flags::STALE),
        categories: Categories::NONE,
        keys: &[],
        group: Group::Server,
        since: "4.0.0",
        summary: "Lists the subcommands.",
        complexity: "O(1)",
        arguments: &[],
        subcommands: &[],
        handler: help,
    },
];

/// What a record takes besides key and value in the packed layout, bytes: its header.
const PACKED_RECORD_BYTES: usize = 24;

/// What engines spend on a small record besides key and value in the pairs layout, bytes. Measured: the growth of the
/// pool over a million records with a 16-byte key and a 64-byte value.
const RECORD_BYTES: &[(&str, usize)] = &[("cmap", 415), ("stree", 163)];

/// The same for an engine that is not in the list: the map node and the two string heads of an engine in DRAM.
const OTHER_RECORD_BYTES: usize = 128;

/// A key's entry in the index, with its share of free places, bytes. A key of up to 16 bytes lies in the entry.
const INDEX_ENTRY_BYTES: usize = 50;
const INLINE_KEY_BYTES: usize = 16;

fn help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    const LINES: &[&str] = &[
        "USAGE <key> [SAMPLES <count>]",
        "    An estimate of the bytes that <key> and its value take, in the pool and in DRAM.",
    ];
    help::reply(ctx, "MEMORY", LINES)
}

fn usage(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut words = args.from(3);
    while let Some(word) = words.next() {
        let samples = words.next().ok_or(CommandError::Syntax)?;
        if !word.eq_ignore_ascii_case(b"samples") {
            return Err(CommandError::Syntax);
        }
        // How many elements of a collection to look at: a string is measured as a whole.
        if parse_i64(samples).ok_or(CommandError::NotAnInteger)? < 0 {
            return Err(CommandError::Syntax);
        }
    }
    let key = &args[2];
    // Looking at a key's size is no use of it.
    let access = Access {
        touch: false,
        ..ctx.access
    };
    let value_bytes = ctx
        .keyspace
        .read(ctx.session.db, key, access, |value| value.bytes.len())?;
    let Some(value_bytes) = value_bytes else {
        return Ok(Reply::Null.into());
    };
    let engine = &ctx.server.config.settings().engine;
    let record_bytes = if ctx.keyspace.layout()? == packed::LAYOUT {
        PACKED_RECORD_BYTES
    } else {
        RECORD_BYTES
            .iter()
            .find_map(|&(name, bytes)| (name == engine.as_str()).then_some(bytes))
            .unwrap_or(OTHER_RECORD_BYTES)
    };
    // The key is in both: in the record and in the index.
    let long_key_bytes = if key.len() > INLINE_KEY_BYTES {
        key.len()
    } else {
        0
    };
    let bytes = value_bytes + key.len() + long_key_bytes + record_bytes + INDEX_ENTRY_BYTES;
    Ok(Reply::count(bytes).into())
}

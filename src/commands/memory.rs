//! MEMORY: what a key takes, and what there is to say of the process.

#![allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.

use super::numbers::parse_i64;
use super::spec::{
    Argument, ArgumentKind, Arity, Categories, CommandSpec, Flags, Group, Handler, KeySpec,
};
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

const fn plain(
    name: &'static str,
    complexity: &'static str,
    summary: &'static str,
    handler: Handler,
) -> CommandSpec {
    CommandSpec {
        name,
        arity: Arity::Exactly(2),
        flags: Flags::NONE,
        categories: Categories::NONE,
        keys: &[],
        group: Group::Server,
        since: "4.0.0",
        summary,
        complexity,
        arguments: &[],
        subcommands: &[],
        handler,
    }
}

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
    plain(
        "doctor",
        "O(1)",
        "Says in words what is wrong with memory, if anything is.",
        doctor,
    ),
    plain(
        "purge",
        "Depends on how much memory is allocated, could be slow",
        "Accepted; the allocator gives memory back by itself.",
        purge,
    ),
    plain(
        "malloc-stats",
        "Depends on how much memory is allocated, could be slow",
        "Answers what the process takes, as the kernel counts it.",
        malloc_stats,
    ),
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
        "DOCTOR",
        "    What is wrong with memory, in words.",
        "MALLOC-STATS",
        "    What the process takes, as the kernel counts it.",
        "PURGE",
        "    Accepted; the allocator gives memory back by itself.",
        "USAGE <key> [SAMPLES <count>]",
        "    An estimate of the bytes that <key> and its value take, in the pool and in DRAM.",
    ];
    help::reply(ctx, "MEMORY", LINES)
}

/// A pool this full (percent) deserves a word.
const FULL_PERCENT: u64 = 90;

fn doctor(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let stats = ctx.keyspace.stats()?;
    let mut text = String::new();
    let detail = |name: &str| {
        let mut details = stats.details.iter();
        details.find_map(|&(field, value)| (field == name).then_some(value))
    };
    // Packed pools keep the segments that they have made: what is in them counts.
    let used = detail("live_bytes").unwrap_or(stats.allocated_bytes);
    if used > stats.pool_bytes / 100 * FULL_PERCENT {
        text.push_str(
            "The pool is nearly full: a full one refuses commands that add. A larger pool-size at its creation, \
             shorter deadlines, or fewer keys help.\n",
        );
    }
    if detail("damaged_segments").is_some_and(|segments| segments > 0) {
        text.push_str(
            "Parts of the pool could not be read at the start: 'repair yes' has dropped them.\n",
        );
    }
    if stats.pending_removals > 0 {
        text.push_str(
            "Records of flushed databases still wait for their removal; it goes on by itself.\n",
        );
    }
    if text.is_empty() {
        text.push_str("Nothing is wrong with memory.\n");
    }
    Ok(Reply::Verbatim(text.into()).into())
}

fn purge(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Reply::Ok.into())
}

fn malloc_stats(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut text = String::from("Allocator: mimalloc. The process, by the kernel's count:\n");
    for line in status.lines() {
        if line.starts_with("Vm") || line.starts_with("Rss") {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(Reply::Verbatim(text.into()).into())
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

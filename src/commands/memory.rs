//! MEMORY: what a key takes, and what all of them do.

use super::info::{MemoryUse, percent};
use super::numbers::parse_i64;
use super::spec::{
    Argument, ArgumentKind, Arity, Categories, CommandSpec, Flags, Group, Handler, KeySpec,
};
use super::{CommandError, CommandResult, Context, help};
use crate::keyspace::{Access, DATABASES};
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
    of_server(
        "doctor",
        "Says in words what is remarkable about memory.",
        "O(1)",
        doctor,
    ),
    of_server(
        "malloc-stats",
        "Shows what the allocators of pool and DRAM hold.",
        SLOW,
        malloc_stats,
    ),
    of_server(
        "purge",
        "Answers OK: the allocator gives back by itself what it does not need.",
        SLOW,
        purge,
    ),
    of_server("stats", "Shows what takes memory.", "O(1)", stats),
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

/// The complexity of what looks at all of an allocator, in Redis.
const SLOW: &str = "Depends on how much memory is allocated, could be slow";

/// A subcommand on the server's memory as a whole.
const fn of_server(
    name: &'static str,
    summary: &'static str,
    complexity: &'static str,
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
        "    What is remarkable about memory, in words.",
        "MALLOC-STATS",
        "    What the allocators of pool and DRAM hold.",
        "PURGE",
        "    Answers OK: the allocator gives back by itself what it does not need.",
        "STATS",
        "    What takes memory, in figures.",
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

/// Below so many bytes there is nothing to judge.
const JUDGED_BYTES_MIN: u64 = 5 << 20;

/// A pool whose segments are less used than this while it is nearly full has work for the compaction.
const FRAGMENTED_RATIO: f64 = 1.4;

fn stats(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let memory = MemoryUse::now(ctx)?;
    let whole = |name, bytes: u64| (Reply::text(name), integer(bytes));
    let ratio = |name, value| (Reply::text(name), Reply::Double(value));
    let mut pairs = vec![
        whole("peak.allocated", memory.peak),
        whole("total.allocated", memory.used),
        whole("startup.allocated", 0),
        whole("replication.backlog", 0),
        whole("clients.slaves", 0),
        whole("clients.normal", memory.of_clients),
        whole("cluster.links", 0),
        whole("aof.buffer", 0),
        whole("lua.caches", 0),
        whole("functions.caches", 0),
    ];
    for db in 0..DATABASES {
        let keys = ctx.keyspace.database_stats(db, ctx.access.now).keys;
        if keys > 0 {
            // Keys and deadlines lie in the same entries of the index.
            let main = u128::from(memory.index) * u128::from(keys) / u128::from(memory.keys.max(1));
            let overhead = vec![
                whole(
                    "overhead.hashtable.main",
                    u64::try_from(main).unwrap_or(u64::MAX),
                ),
                whole("overhead.hashtable.expires", 0),
            ];
            pairs.push((Reply::bulk(format!("db.{db}")), Reply::Map(overhead)));
        }
    }
    pairs.extend([
        whole("overhead.total", memory.overhead),
        whole("keys.count", memory.keys),
        whole(
            "keys.bytes-per-key",
            memory.used.checked_div(memory.keys).unwrap_or(0),
        ),
        whole("dataset.bytes", memory.dataset),
        ratio("dataset.percentage", percent(memory.dataset, memory.used)),
        ratio("peak.percentage", percent(memory.used, memory.peak)),
        whole("pool.allocated", memory.allocated - memory.overhead),
        whole("dram.index", memory.overhead),
        whole("allocator.allocated", memory.used),
        whole("allocator.active", memory.allocated),
        whole("allocator.resident", memory.resident),
        ratio("allocator-fragmentation.ratio", memory.fragmentation()),
        whole(
            "allocator-fragmentation.bytes",
            memory.allocated - memory.used,
        ),
        ratio(
            "fragmentation",
            percent(memory.resident, memory.used) / 100.0,
        ),
        (
            Reply::text("fragmentation.bytes"),
            Reply::Integer(signed(memory.resident) - signed(memory.used)),
        ),
    ]);
    Ok(Reply::Map(pairs).into())
}

fn doctor(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let memory = MemoryUse::now(ctx)?;
    let text = if memory.used < JUDGED_BYTES_MIN {
        "There is too little data to say anything about memory.\n".to_owned()
    } else {
        let mut findings = String::new();
        let full = percent(memory.used - memory.not_counted, memory.max);
        if full > 95.0 {
            findings.push_str(
                " * Memory is nearly full: keys are evicted, or writes refused, as maxmemory-policy says. \
                 A larger pool or maxmemory helps.\n",
            );
        }
        if full > 80.0 && memory.fragmentation() > FRAGMENTED_RATIO {
            findings.push_str(
                " * Much of what the pool has allocated holds nothing of use any more. The compaction makes room \
                 of it when room is needed.\n",
            );
        }
        if memory.peak > memory.used / 2 * 3 {
            findings.push_str(
                " * Memory was once more than half as full again as it is now. The pool keeps what it has allocated, \
                 and uses it for what comes.\n",
            );
        }
        if findings.is_empty() {
            "Nothing is remarkable about memory.\n".to_owned()
        } else {
            findings
        }
    };
    Ok(Reply::Verbatim(text.into()).into())
}

fn malloc_stats(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let memory = MemoryUse::now(ctx)?;
    let MemoryUse {
        allocated,
        overhead,
        dataset,
        resident,
        ..
    } = memory;
    let pool = allocated - overhead;
    let text = format!(
        "pool: {pool} bytes allocated, {dataset} of them in use\n\
         DRAM: {overhead} bytes for index and views\n\
         process: {resident} bytes resident, touched pages of the pool among them\n"
    );
    Ok(Reply::Verbatim(text.into()).into())
}

#[allow(clippy::unnecessary_wraps)] // Every handler has this shape.
fn purge(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Reply::Ok.into())
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn integer(bytes: u64) -> Reply {
    Reply::Integer(signed(bytes))
}

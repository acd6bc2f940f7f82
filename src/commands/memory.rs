//! MEMORY: what a key takes, and what all of them do.

use super::info::{MemoryUse, percent};
use super::{CommandError, CommandResult, Context, help};
use crate::numbers::parse_i64;
use std::ops::ControlFlow;

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, Group, KeySpec};
use crate::commands::row::{Handler, Row};
use crate::config::EvictionPolicy;
use crate::keyspace::{DATABASES, KeyspaceError, View};
use crate::protocol::{Args, Reply};
use crate::store::packed;

pub(super) static COMMANDS: &[Row] = &[Row::new("memory", Arity::AtLeast(2), help)
    .group(Group::Server, "4.0.0")
    .summary("Commands on the memory that data takes.")
    .complexity("Depends on subcommand.")
    .subcommands(SUBCOMMANDS)];

static SUBCOMMANDS: &[Row] = &[
    Row::new("usage", Arity::AtLeast(3), usage)
        .flags(Flags::READONLY)
        .keys(&[KeySpec::range(&["RO"], 2, 0, 1)])
        .group(Group::Server, "4.0.0")
        .summary("Estimates the bytes that a key takes, in the pool and in DRAM.")
        .complexity("O(N) where N is the number of samples.")
        .arguments(&[
            Argument::key(),
            Argument::new("count", ArgumentKind::Integer)
                .with_token("SAMPLES")
                .optional(),
        ]),
    of_server(
        "doctor",
        "Says in words what is remarkable about memory.",
        "O(1)",
        doctor,
    )
    .tips(&[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ]),
    of_server(
        "malloc-stats",
        "Shows what the allocators of pool and DRAM hold.",
        SLOW,
        malloc_stats,
    )
    .tips(&[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ]),
    of_server(
        "purge",
        "Answers OK: the allocator gives back by itself what it does not need.",
        SLOW,
        purge,
    )
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    of_server("stats", "Shows what takes memory.", "O(1)", stats).tips(&[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ]),
    Row::new("help", Arity::Exactly(2), help)
        .flags(Flags::LOADING.union(Flags::STALE))
        .group(Group::Server, "4.0.0")
        .summary("Lists the subcommands.")
        .complexity("O(1)"),
];

/// The complexity of what looks at all of an allocator, in Redis.
const SLOW: &str = "Depends on how much memory is allocated, could be slow";

/// A subcommand on the server's memory as a whole.
const fn of_server(
    name: &'static str,
    summary: &'static str,
    complexity: &'static str,
    handler: Handler,
) -> Row {
    Row::new(name, Arity::Exactly(2), handler)
        .group(Group::Server, "4.0.0")
        .summary(summary)
        .complexity(complexity)
}

/// What a record takes besides key and value in the packed layout, bytes: its header.
const PACKED_RECORD_BYTES: usize = 24;

/// What engines spend on a small record besides key and value in the pairs layout, bytes. Measured: the growth of the
/// pool over a million records with a 16-byte key and a 64-byte value.
const RECORD_BYTES: &[(&str, usize)] = &[("cmap", 415), ("stree", 288)];

/// The same for an engine that is not in the list: the map node and the two string heads of an engine in DRAM.
const OTHER_RECORD_BYTES: usize = 128;

/// A key's entry in the index, with its share of free places, bytes.
const INDEX_ENTRY_BYTES: usize = 21;

/// A key's name beside its entry, where the layout is pairs: what it takes besides the key, which lies in it up to 16 bytes.
const NAME_BYTES: usize = 42;
const INLINE_KEY_BYTES: usize = 16;

/// How many elements of a collection are looked at where the call does not say.
const SAMPLES_DEFAULT: usize = 5;
/// A list's element in DRAM: its label and its place.
const LIST_ITEM_BYTES: usize = 16;
/// The number of a collection, in its head and in its elements' keys.
const COLLECTION_ID_BYTES: usize = 8;
/// What the record of a compact collection has before its elements.
const COMPACT_HEADER_BYTES: usize = 4;

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
    let mut rest = args.from(3);
    let mut samples_max = SAMPLES_DEFAULT;
    while let Some(argument) = rest.next() {
        let samples = rest.next().ok_or(CommandError::Syntax)?;
        if !argument.eq_ignore_ascii_case(b"samples") {
            return Err(CommandError::Syntax);
        }
        let samples = parse_i64(samples).ok_or(CommandError::NotAnInteger)?;
        samples_max = match usize::try_from(samples) {
            Ok(0) => usize::MAX,
            Ok(samples) => samples,
            Err(_) => return Err(CommandError::Syntax),
        };
    }
    let key = &args[2];
    let engine = &ctx.server.config.settings().engine;
    let costs = if ctx.keyspace.layout()? == packed::LAYOUT {
        Costs {
            record_bytes: PACKED_RECORD_BYTES,
            names_beside: false,
        }
    } else {
        let known = RECORD_BYTES
            .iter()
            .find_map(|&(name, bytes)| (name == engine.as_str()).then_some(bytes));
        Costs {
            record_bytes: known.unwrap_or(OTHER_RECORD_BYTES),
            names_beside: true,
        }
    };
    // Looking at a key's size is no use of it.
    let value_bytes = ctx.database().untouched().view(key, |view| {
        view.map(|view| value_bytes(view, samples_max, costs))
            .transpose()
    })??;
    let Some(value_bytes) = value_bytes else {
        return Ok(Reply::Null.into());
    };
    Ok(Reply::count(value_bytes + costs.of_name(key) + costs.record_bytes).into())
}

/// What the layout spends on each record.
#[derive(Clone, Copy)]
struct Costs {
    /// Besides name and value, in the pool.
    record_bytes: usize,
    /// Whether the index keeps names.
    names_beside: bool,
}

impl Costs {
    /// A name in its record, and its entry in the index.
    fn of_name(self, name: &[u8]) -> usize {
        let beside = match self.names_beside {
            false => 0,
            true if name.len() > INLINE_KEY_BYTES => NAME_BYTES + name.len(),
            true => NAME_BYTES,
        };
        name.len() + INDEX_ENTRY_BYTES + beside
    }
}

/// The bytes of a value: of a string those of its text, of a collection its elements as far as `samples_max` of them
/// tell, with their records and entries.
fn value_bytes(view: View<'_>, samples_max: usize, costs: Costs) -> Result<usize, KeyspaceError> {
    if let Some(bytes) = view.compact_bytes() {
        return Ok(bytes + COMPACT_HEADER_BYTES);
    }
    let len = view.len();
    let samples = len.min(samples_max);
    let mut bytes = 0;
    let each = match view {
        View::String(string) => return string.len_bytes(),
        View::Hash(fields) | View::Set(fields) => {
            for name in fields.names()?.take(samples) {
                let name = name?;
                bytes += costs.of_name(&name) + fields.get(&name, <[u8]>::len)?.unwrap_or(0);
            }
            0
        }
        View::List(list) => {
            list.for_range(0..samples, false, |element| {
                bytes += element.len();
                ControlFlow::Continue(())
            })?;
            // The label stands in the record's key too.
            LIST_ITEM_BYTES + size_of::<i64>()
        }
        View::Stream(stream) => {
            let stored = usize::try_from(stream.stored_bytes(samples_max)?).unwrap_or(usize::MAX);
            let heads = stream
                .record_count()
                .saturating_mul(costs.record_bytes + COLLECTION_ID_BYTES);
            return Ok(stream
                .memory_bytes()
                .saturating_add(stored)
                .saturating_add(heads));
        }
        View::SortedSet(scores) => {
            for (member, _) in scores.range(0..samples) {
                // Once more in the order by score.
                bytes += costs.of_name(member) + member.len() + size_of::<f64>();
            }
            size_of::<f64>()
        }
    };
    let each = each + costs.record_bytes + COLLECTION_ID_BYTES;
    // As in Redis, the mean of the samples stands for all elements.
    let of_elements = (bytes as u128 * len as u128) / (samples.max(1) as u128);
    let of_elements = usize::try_from(of_elements).unwrap_or(usize::MAX);
    Ok(of_elements
        .saturating_add(each.saturating_mul(len))
        .saturating_add(COLLECTION_ID_BYTES))
}

/// MEMORY DOCTOR judges nothing below this many bytes.
const JUDGED_BYTES_MIN: u64 = 5 << 20;

/// Above so many per cent memory or pool are called nearly full.
const NEARLY_FULL_PERCENT: f64 = 95.0;

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
        whole("lua.caches", ctx.server.scripting.figures().text_bytes),
        whole(
            "functions.caches",
            ctx.server.scripting.figures().library_bytes,
        ),
    ];
    for db in 0..DATABASES {
        let database = ctx.keyspace.databases().stats(db, ctx.access.now);
        if database.keys > 0 {
            // Deadlines lie in the entries of the keys, and there are no slots of a cluster.
            let overhead = vec![
                whole("overhead.hashtable.main", database.index_bytes),
                whole("overhead.hashtable.expires", 0),
                whole("overhead.hashtable.slot-to-keys", 0),
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
        ratio("allocator-rss.ratio", memory.resident_ratio()),
        (
            Reply::text("allocator-rss.bytes"),
            Reply::Integer(signed(memory.resident) - signed(memory.allocated)),
        ),
        // The allocator's resident set is taken to be the process's.
        ratio("rss-overhead.ratio", 1.0),
        whole("rss-overhead.bytes", 0),
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
        let settings = ctx.server.config.settings();
        let full = percent(memory.used - memory.not_counted, memory.max);
        if settings.maxmemory > 0 && full > NEARLY_FULL_PERCENT {
            findings.push_str(
                " * Memory is nearly full: keys are evicted, or writes refused, as maxmemory-policy says. \
                 A larger maxmemory helps, as far as the pool has space.\n",
            );
        }
        let of_pool = percent(memory.dataset, memory.pool_max);
        if of_pool > NEARLY_FULL_PERCENT {
            findings.push_str(&full_pool(of_pool, settings.maxmemory_policy));
        }
        if full > 80.0 && memory.fragmentation() > FRAGMENTED_RATIO {
            findings.push_str(
                " * Much of what the pool has allocated holds nothing of use any more. The compaction frees \
                 it when space is needed.\n",
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

/// What to do about a pool whose records take so many per cent of what it can hold.
fn full_pool(percent: f64, policy: EvictionPolicy) -> String {
    let what_happens = if policy == EvictionPolicy::Noeviction {
        "Writes that find no space are refused with -OOM. Remove keys, give them deadlines, or let keys go by \
         themselves (CONFIG SET maxmemory-policy allkeys-lru). Otherwise use a larger pool"
    } else {
        "Keys go, as maxmemory-policy says, and writes are refused with -OOM where none may go. To keep more, use a \
         larger pool"
    };
    format!(
        " * The pool is full to {percent:.0} %. {what_happens}: a pool keeps its size, so start a second server with \
         another pool-path and a larger pool-size, and copy the keys to it (DUMP, RESTORE).\n"
    )
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

//! XINFO: what a stream, its groups and their consumers are like.

use std::ops::ControlFlow;

use super::entries;
use super::groups::no_such_group;
use super::ids::IdText;
use super::row;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome, help};
use crate::keyspace::{GroupView, Millis, Stream, StreamId};
use crate::numbers::parse_i64;
use crate::protocol::{Args, ReplyBuffer};

const KEY: &[KeySpec] = &[KeySpec::range(&["RO", "access"], 2, 0, 1)];

pub(in crate::commands) static COMMANDS: &[Row] =
    &[Row::new("xinfo", Arity::AtLeast(2), xinfo_help)
        .group(Group::Stream, "5.0.0")
        .summary("Commands that describe streams")
        .complexity("Depends on subcommand.")
        .subcommands(SUBCOMMANDS)];

static SUBCOMMANDS: &[Row] = &[
    row(
        "consumers",
        Arity::Exactly(4),
        Flags::READONLY,
        "5.0.0",
        "Lists the consumers of a group",
        "O(1)",
        consumers,
    )
    .keys(KEY)
    .tips(&["nondeterministic_output"])
    .arguments(&[
        Argument::key(),
        Argument::new("group", ArgumentKind::String),
    ])
    .history(&[(
        "7.2.0",
        "Added the `inactive` field, and changed the meaning of `idle`.",
    )]),
    row(
        "groups",
        Arity::Exactly(3),
        Flags::READONLY,
        "5.0.0",
        "Lists the groups of a stream",
        "O(1)",
        groups,
    )
    .keys(KEY)
    .arguments(&[Argument::key()])
    .history(&[("7.0.0", "Added the `entries-read` and `lag` fields")]),
    row(
        "stream",
        Arity::AtLeast(3),
        Flags::READONLY,
        "5.0.0",
        "Describes a stream",
        "O(1)",
        stream,
    )
    .keys(KEY)
    .arguments(&[
        Argument::key(),
        Argument::new(
            "full-block",
            ArgumentKind::Block(&[
                Argument::token("full", "FULL"),
                Argument::new("count", ArgumentKind::Integer)
                    .with_token("COUNT")
                    .optional(),
            ]),
        )
        .optional(),
    ])
    .history(&[
        ("6.0.0", "Added the `FULL` modifier."),
        (
            "7.0.0",
            "Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag` \
             fields",
        ),
        (
            "7.2.0",
            "Added the `active-time` field, and changed the meaning of `seen-time`.",
        ),
    ]),
    row(
        "help",
        Arity::Exactly(2),
        Flags::LOADING.union(Flags::STALE),
        "5.0.0",
        "Lists the subcommands.",
        "O(1)",
        xinfo_help,
    ),
];

fn xinfo_help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    help::reply(
        ctx,
        "XINFO",
        &[
            "CONSUMERS <key> <groupname>",
            "    Show consumers of <groupname>.",
            "GROUPS <key>",
            "    Show the stream consumer groups.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    Show information about the stream.",
        ],
    )
}

/// Runs `f` on the stream that argument 2 names, which must exist.
fn on_stream(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    f: impl FnOnce(Stream<'_>, &mut ReplyBuffer) -> Result<(), CommandError>,
) -> CommandResult {
    ctx.stream(&args[2], |stream, out| {
        f(stream.ok_or(CommandError::NoSuchKey)?, out)
    })?;
    Ok(Outcome::Written)
}

fn number(out: &mut ReplyBuffer, name: &str, number: impl TryInto<i64>) {
    out.bulk(name.as_bytes());
    out.integer(number.try_into().unwrap_or(i64::MAX));
}

fn text(out: &mut ReplyBuffer, name: &str, text: &[u8]) {
    out.bulk(name.as_bytes());
    out.bulk(text);
}

fn id(out: &mut ReplyBuffer, name: &str, id: StreamId) {
    text(out, name, IdText::of(id).as_ref());
}

fn number_or_null(out: &mut ReplyBuffer, name: &str, number: Option<i64>) {
    out.bulk(name.as_bytes());
    match number {
        Some(number) => out.integer(number),
        None => out.null(),
    }
}

/// How many entries a group has read, and how many are left.
fn progress(out: &mut ReplyBuffer, stream: Stream<'_>, group: GroupView<'_>) {
    let read = group.entries_read();
    number_or_null(out, "entries-read", (read >= 0).then_some(read));
    number_or_null(out, "lag", stream.lag(group.last_id(), read));
}

fn consumers(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let now = ctx.access.now;
    on_stream(ctx, args, |stream, out| {
        let group = stream.group(&args[3]).ok_or_else(|| no_such_group(args))?;
        let consumers = group.consumers();
        out.array_header(consumers.len());
        for consumer in consumers {
            out.map_header(4);
            text(out, "name", consumer.name());
            number(out, "pending", consumer.pending_len());
            number(out, "idle", now.saturating_sub(consumer.seen()).max(0));
            let since = |active: Millis| now.saturating_sub(active);
            let active = Some(consumer.active()).filter(|&active| active != -1);
            number(out, "inactive", active.map_or(-1, since));
        }
        Ok(())
    })
}

fn groups(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    on_stream(ctx, args, |stream, out| {
        let groups = stream.groups();
        out.array_header(groups.len());
        for group in groups {
            out.map_header(6);
            text(out, "name", group.name());
            number(out, "consumers", group.consumers().len());
            number(out, "pending", group.pending_len());
            id(out, "last-delivered-id", group.last_id());
            progress(out, stream, group);
        }
        Ok(())
    })
}

/// The count that FULL has; `None` where the call asks for the summary.
fn full_count(args: Args<'_>) -> Result<Option<usize>, CommandError> {
    let wrong = || help::wrong_arguments(args, "XINFO");
    let is = |at: usize, name: &str| {
        args.get(at)
            .is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
    };
    match args.len() {
        3 => Ok(None),
        4 if is(3, "full") => Ok(Some(10)),
        6 if is(3, "full") && is(4, "count") => {
            let count = parse_i64(&args[5]).ok_or(CommandError::NotAnInteger)?;
            Ok(Some(usize::try_from(count).unwrap_or(10)))
        }
        _ => Err(wrong()),
    }
}

fn stream(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    on_stream(ctx, args, |stream, out| {
        let full = full_count(args)?;
        out.map_header(if full.is_some() { 9 } else { 10 });
        number(out, "length", stream.len());
        number(out, "radix-tree-keys", stream.node_count());
        number(out, "radix-tree-nodes", stream.radix_tree_nodes());
        id(out, "last-generated-id", stream.last_id());
        id(out, "max-deleted-entry-id", stream.max_deleted_id());
        number(out, "entries-added", stream.entries_added().cast_signed());
        id(out, "recorded-first-entry-id", stream.first_id());
        let Some(count) = full else {
            number(out, "groups", stream.groups().len());
            end_entry(out, "first-entry", stream, false)?;
            return end_entry(out, "last-entry", stream, true);
        };
        out.bulk(b"entries");
        let mut found = entries::Collected::Encoded(out.part(), 0);
        found.add_range(stream, (StreamId::MIN, StreamId::MAX), false, count)?;
        found.write(out);
        out.bulk(b"groups");
        let groups = stream.groups();
        out.array_header(groups.len());
        for group in groups {
            full_group(
                out,
                stream,
                group,
                if count == 0 { usize::MAX } else { count },
            );
        }
        Ok(())
    })
}

/// The first or the last entry; null where there is none.
fn end_entry(
    out: &mut ReplyBuffer,
    name: &str,
    stream: Stream<'_>,
    last: bool,
) -> Result<(), CommandError> {
    out.bulk(name.as_bytes());
    if stream.is_empty() {
        out.null();
    }
    stream.for_range(StreamId::MIN, StreamId::MAX, last, |id, pairs| {
        entries::write(out, id, pairs);
        ControlFlow::Break(())
    })?;
    Ok(())
}

fn full_group(out: &mut ReplyBuffer, stream: Stream<'_>, group: GroupView<'_>, count: usize) {
    out.map_header(7);
    text(out, "name", group.name());
    id(out, "last-delivered-id", group.last_id());
    progress(out, stream, group);
    number(out, "pel-count", group.pending_len());
    out.bulk(b"pending");
    out.array_header(group.pending_len().min(count));
    for (id, consumer, delivered_at, deliveries) in
        group.pending(StreamId::MIN, StreamId::MAX).take(count)
    {
        out.array_header(4);
        out.bulk(IdText::of(id).as_ref());
        out.bulk(consumer.name());
        out.integer(delivered_at);
        out.integer(deliveries.cast_signed());
    }
    out.bulk(b"consumers");
    let consumers = group.consumers();
    out.array_header(consumers.len());
    for consumer in consumers {
        out.map_header(5);
        text(out, "name", consumer.name());
        number(out, "seen-time", consumer.seen());
        number(out, "active-time", consumer.active());
        number(out, "pel-count", consumer.pending_len());
        out.bulk(b"pending");
        out.array_header(consumer.pending_len().min(count));
        for (id, delivered_at, deliveries) in group
            .pending_of(consumer, StreamId::MIN, StreamId::MAX)
            .take(count)
        {
            out.array_header(3);
            out.bulk(IdText::of(id).as_ref());
            out.integer(delivered_at);
            out.integer(deliveries.cast_signed());
        }
    }
}

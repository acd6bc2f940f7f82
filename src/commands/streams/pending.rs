//! XACK, XPENDING: entries that were delivered and not acknowledged.

use super::ids::{IdText, parse_end, parse_id, parse_start};
use super::{CONSUMER, GROUP, IDS, READ_KEY, no_group, row};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{GroupView, Kind, Millis, StreamId};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply, ReplyBuffer};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    row(
        "xack",
        Arity::AtLeast(4),
        Flags::WRITE.union(Flags::FAST),
        "5.0.0",
        "Acknowledges entries, so that they are pending no longer; returns how many were",
        "O(1) for each message ID processed.",
        xack,
    )
    .keys(&[KeySpec::first(&["RW", "update"])])
    .arguments(&[Argument::key(), GROUP, IDS]),
    row(
        "xpending",
        Arity::AtLeast(3),
        Flags::READONLY,
        "5.0.0",
        "Returns how many entries of a group are pending, or which",
        "O(N) with N being the number of elements returned, so asking for a small fixed number of entries per call \
         is O(1).",
        xpending,
    )
    .keys(READ_KEY)
    .tips(&["nondeterministic_output"])
    .arguments(&[
        Argument::key(),
        GROUP,
        Argument::new(
            "filters",
            ArgumentKind::Block(&[
                Argument::new("min-idle-time", ArgumentKind::Integer)
                    .with_token("IDLE")
                    .since("6.2.0")
                    .optional(),
                Argument::new("start", ArgumentKind::String),
                Argument::new("end", ArgumentKind::String),
                Argument::new("count", ArgumentKind::Integer),
                CONSUMER.optional(),
            ]),
        )
        .optional(),
    ])
    .history(&[(
        "6.2.0",
        "Added the `IDLE` option and exclusive range intervals.",
    )]),
];

fn xack(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut found = false;
    let result = ctx.database().update_one(&args[1], Kind::Stream, |key| {
        found = key.exists();
        if !found {
            return Ok(0);
        }
        let mut stream = key.stream()?;
        let Some(group) = stream.group(&args[2]) else {
            return Ok(0);
        };
        let ids = args.from(3).map(|id| parse_id(id, 0));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let mut acknowledged = 0;
        for id in ids {
            acknowledged += usize::from(stream.remove_pending(group, id));
        }
        key.set_dirty(acknowledged);
        Ok::<_, CommandError>(acknowledged)
    });
    ctx.looked_up(&args[1], found);
    Ok(Reply::count(result?).into())
}

/// Which pending entries XPENDING lists.
struct Filter<'a> {
    idle: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    /// `None` where the call asks for the summary.
    fn parse(args: Args<'a>) -> Result<Option<Self>, CommandError> {
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(CommandError::Syntax);
        }
        let integer = |text| parse_i64(text).ok_or(CommandError::NotAnInteger);
        let mut at = 3;
        let mut idle = 0;
        if args[3].eq_ignore_ascii_case(b"idle") {
            idle = integer(&args[4])?;
            if args.len() < 8 {
                return Err(CommandError::Syntax);
            }
            at = 5;
        }
        let count = integer(&args[at + 2])?;
        Ok(Some(Self {
            idle,
            count: usize::try_from(count).unwrap_or(0),
            start: parse_start(&args[at])?,
            end: parse_end(&args[at + 1])?,
            consumer: args.get(at + 3),
        }))
    }
}

fn xpending(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let filter = Filter::parse(args)?;
    let now = ctx.access.now;
    ctx.stream(&args[1], |stream, out| {
        let group = stream.and_then(|stream| stream.group(&args[2]));
        let group = group.ok_or_else(|| no_group(&args[1], &args[2], ""))?;
        match &filter {
            None => summary(group, out),
            Some(filter) => list(group, filter, now, out),
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn summary(group: GroupView<'_>, out: &mut ReplyBuffer) {
    out.array_header(4);
    out.integer(i64::try_from(group.pending_len()).unwrap_or(i64::MAX));
    let Some((first, last)) = group.pending_ends() else {
        out.null();
        out.null();
        out.null_array();
        return;
    };
    out.bulk(IdText::of(first).as_ref());
    out.bulk(IdText::of(last).as_ref());
    let with_pending = || {
        group
            .consumers()
            .filter(|consumer| consumer.pending_len() > 0)
    };
    out.array_header(with_pending().count());
    for consumer in with_pending() {
        out.array_header(2);
        out.bulk(consumer.name());
        out.bulk(
            itoa::Buffer::new()
                .format(consumer.pending_len())
                .as_bytes(),
        );
    }
}

fn list(group: GroupView<'_>, filter: &Filter<'_>, now: Millis, out: &mut ReplyBuffer) {
    let Filter { start, end, .. } = *filter;
    let mut part = out.part();
    let mut listed = 0;
    let mut add = |id, name: &[u8], delivered_at: i64, deliveries: u64| {
        let idle = now.saturating_sub(delivered_at);
        if filter.idle != 0 && idle < filter.idle {
            return true;
        }
        part.array_header(4);
        part.bulk(IdText::of(id).as_ref());
        part.bulk(name);
        part.integer(idle.max(0));
        part.integer(deliveries.cast_signed());
        listed += 1;
        listed < filter.count && !part.is_overflown()
    };
    if filter.count > 0 {
        match filter.consumer {
            None => {
                let mut pending = group.pending(start, end);
                let _ =
                    pending.all(|(id, consumer, at, count)| add(id, consumer.name(), at, count));
            }
            Some(name) => {
                if let Some(consumer) = group.consumer(name) {
                    let mut pending = group.pending_of(consumer, start, end);
                    let _ = pending.all(|(id, at, count)| add(id, name, at, count));
                }
            }
        }
    }
    out.array_header(listed);
    out.append(part);
}

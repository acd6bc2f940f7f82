//! Streams as DUMP and RESTORE have them.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::keyspace::{
    GroupState, GroupView, KeyspaceError, NewCollection, NodeLimits, Pair, PendingState, Stream,
    StreamId,
};
use crate::serialised;

fn shown(id: StreamId) -> serialised::StreamId {
    serialised::StreamId {
        ms: id.ms,
        seq: id.seq,
    }
}

fn read(id: serialised::StreamId) -> StreamId {
    StreamId::new(id.ms, id.seq)
}

/// A copy of a stream with its groups.
pub(in crate::commands) fn load(stream: Stream<'_>) -> Result<serialised::Stream, KeyspaceError> {
    let mut entries: Vec<serialised::StreamEntry> = Vec::new();
    let mut names: Arc<[Vec<u8>]> = Arc::new([]);
    stream.for_range(StreamId::MIN, StreamId::MAX, false, |id, pairs| {
        let same = pairs
            .iter()
            .map(|(field, _)| *field)
            .eq(names.iter().map(Vec::as_slice));
        if !same {
            names = pairs.iter().map(|(field, _)| field.to_vec()).collect();
        }
        entries.push(serialised::StreamEntry {
            id: shown(id),
            deleted: false,
            names: Arc::clone(&names),
            values: pairs.iter().map(|(_, value)| value.to_vec()).collect(),
        });
        ControlFlow::Continue(())
    })?;
    Ok(serialised::Stream {
        entries,
        last_id: shown(stream.last_id()),
        first_id: shown(stream.first_id()),
        max_deleted_id: shown(stream.max_deleted_id()),
        entries_added: stream.entries_added(),
        groups: stream.groups().map(load_group).collect(),
    })
}

fn load_group(group: GroupView<'_>) -> serialised::StreamGroup {
    let consumers = group.consumers().map(|one| serialised::StreamConsumer {
        name: one.name().to_vec(),
        seen_ms: one.seen(),
        active_ms: one.active(),
    });
    let positions: HashMap<&[u8], usize> =
        group.consumers().map(|one| one.name()).zip(0..).collect();
    let pending = group.pending(StreamId::MIN, StreamId::MAX);
    let pending = pending.filter_map(|(id, consumer, delivered_ms, deliveries)| {
        Some(serialised::StreamPending {
            id: shown(id),
            consumer: *positions.get(consumer.name())?,
            delivered_ms,
            deliveries,
        })
    });
    serialised::StreamGroup {
        name: group.name().to_vec(),
        last_id: shown(group.last_id()),
        entries_read: u64::try_from(group.entries_read()).ok(),
        consumers: consumers.collect(),
        pending: pending.collect(),
    }
}

/// Stores a stream as a new one.
pub(in crate::commands) fn store(
    new: &mut NewCollection<'_>,
    stream: &serialised::Stream,
    limits: NodeLimits,
) -> Result<(), KeyspaceError> {
    let mut builder = new.stream(limits);
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    for entry in stream.entries.iter().filter(|entry| !entry.deleted) {
        pairs.clear();
        pairs.extend(entry.fields());
        builder.entry(read(entry.id), &pairs)?;
    }
    builder.ids(
        read(stream.last_id),
        read(stream.max_deleted_id),
        stream.entries_added,
    )?;
    for group in &stream.groups {
        let state = GroupState {
            last_id: read(group.last_id),
            entries_read: group.entries_read.map_or(-1, u64::cast_signed),
        };
        let number = builder.group(&group.name, state)?;
        let mut numbers = Vec::with_capacity(group.consumers.len());
        for one in &group.consumers {
            numbers.push(builder.consumer(number, &one.name, one.seen_ms, one.active_ms)?);
        }
        for pending in &group.pending {
            let Some(&consumer) = numbers.get(pending.consumer) else {
                continue;
            };
            let state = PendingState {
                consumer,
                delivered_at: pending.delivered_ms,
                deliveries: pending.deliveries,
            };
            builder.pending(number, read(pending.id), state)?;
        }
    }
    Ok(())
}

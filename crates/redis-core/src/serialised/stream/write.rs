//! Writes streams.

use super::{Stream, StreamGroup, StreamId, StreamPending, node};
use crate::serialised::encode::{count, number, plain, string};
use crate::serialised::{Release, form};

/// The number of the form of a release's streams.
pub(in crate::serialised) fn form(release: Release) -> u8 {
    match release {
        Release::Redis70 => form::STREAM_2,
        Release::Redis72 | Release::Redis74 => form::STREAM_3,
    }
}

/// Appends a stream in the form of a release of Redis, without the form's number.
pub(in crate::serialised) fn write(payload: &mut Vec<u8>, stream: &Stream, release: Release) {
    let (mut nodes, mut nodes_number) = (Vec::new(), 0);
    node::write(&stream.entries, |first, bytes| {
        plain(&mut nodes, &first.to_be_bytes());
        plain(&mut nodes, bytes);
        nodes_number += 1;
    });
    count(payload, nodes_number);
    payload.append(&mut nodes);
    count(payload, stream.len());
    id(payload, stream.last_id);
    id(payload, stream.first_id);
    id(payload, stream.max_deleted_id);
    number(payload, stream.entries_added);
    count(payload, stream.groups.len());
    for one in &stream.groups {
        group(payload, one, release);
    }
}

fn id(payload: &mut Vec<u8>, id: StreamId) {
    number(payload, id.ms);
    number(payload, id.seq);
}

fn group(payload: &mut Vec<u8>, group: &StreamGroup, release: Release) {
    string(payload, &group.name);
    id(payload, group.last_id);
    number(payload, group.entries_read.unwrap_or(u64::MAX));
    count(payload, group.pending.len());
    for entry in &group.pending {
        payload.extend_from_slice(&entry.id.to_be_bytes());
        payload.extend_from_slice(&entry.delivered_ms.to_le_bytes());
        number(payload, entry.deliveries);
    }
    // By consumer, and for each consumer still by rising id.
    let mut owned: Vec<&StreamPending> = group.pending.iter().collect();
    owned.sort_by_key(|entry| entry.consumer);
    let mut owned = owned.as_slice();
    count(payload, group.consumers.len());
    for (position, consumer) in group.consumers.iter().enumerate() {
        string(payload, &consumer.name);
        payload.extend_from_slice(&consumer.seen_ms.to_le_bytes());
        if release != Release::Redis70 {
            payload.extend_from_slice(&consumer.active_ms.to_le_bytes());
        }
        let (mine, others) =
            owned.split_at(owned.partition_point(|entry| entry.consumer <= position));
        count(payload, mine.len());
        for entry in mine {
            payload.extend_from_slice(&entry.id.to_be_bytes());
        }
        owned = others;
    }
}

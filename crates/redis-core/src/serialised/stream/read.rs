//! Reads streams.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{Stream, StreamConsumer, StreamGroup, StreamId, StreamPending, node};
use crate::serialised::form;
use crate::serialised::reader::Reader;

/// The consumer of a pending entry for which none was read yet.
const NOBODY: usize = usize::MAX;

/// Reads a stream in one of its three forms.
pub(in crate::serialised) fn read(reader: &mut Reader<'_>, form: u8) -> Option<Stream> {
    let mut stream = Stream::default();
    for _ in 0..reader.count()? {
        read_node(reader, &mut stream)?;
    }
    let rises = stream.entries.is_sorted_by(|a, b| a.id < b.id);
    let length = reader.number()?;
    stream.last_id = id(reader)?;
    let last = stream.entries.last();
    let behind_last = last.is_some_and(|entry| entry.id > stream.last_id);
    if !rises || behind_last || u64::try_from(stream.len()) != Ok(length) {
        return None;
    }
    if form == form::STREAM {
        stream.first_id = StreamId::MAX;
        stream.entries_added = length;
    } else {
        stream.first_id = id(reader)?;
        stream.max_deleted_id = id(reader)?;
        stream.entries_added = reader.number()?;
    }
    if let Some(first) = stream.entries.iter().find(|entry| !entry.deleted) {
        stream.first_id = first.id;
    }

    let mut names = HashSet::new();
    for _ in 0..reader.count()? {
        let group = group(reader, form, &stream)?;
        if !names.insert(group.name.clone()) {
            return None;
        }
        stream.groups.push(group);
    }
    Some(stream)
}

fn read_node(reader: &mut Reader<'_>, stream: &mut Stream) -> Option<()> {
    let id = StreamId::from_be_bytes(reader.string()?.as_ref().try_into().ok()?);
    let bytes = reader.string()?;
    let inflated = matches!(bytes, Cow::Owned(_));
    node::read(id, &bytes, inflated, &mut stream.entries, |bytes| {
        reader.inflate(bytes)
    })
}

/// Reads an id that is written as two numbers.
fn id(reader: &mut Reader<'_>) -> Option<StreamId> {
    Some(StreamId {
        ms: reader.number()?,
        seq: reader.number()?,
    })
}

/// Reads an id of 16 bytes.
fn raw_id(reader: &mut Reader<'_>) -> Option<StreamId> {
    reader.array().map(StreamId::from_be_bytes)
}

fn time(reader: &mut Reader<'_>) -> Option<i64> {
    reader.array().map(i64::from_le_bytes)
}

fn group(reader: &mut Reader<'_>, form: u8, stream: &Stream) -> Option<StreamGroup> {
    let name = reader.string()?.into_owned();
    let last_id = id(reader)?;
    let entries_read = if form == form::STREAM {
        entries_read(stream, last_id)
    } else {
        match reader.number()? {
            u64::MAX => None,
            known => Some(i64::try_from(known).ok()?.cast_unsigned()),
        }
    };
    let mut pending = Vec::new();
    for _ in 0..reader.count()? {
        pending.push(StreamPending {
            id: raw_id(reader)?,
            consumer: NOBODY,
            delivered_ms: time(reader)?,
            deliveries: reader.number()?,
        });
    }
    if !pending.is_sorted_by(|a, b| a.id < b.id) {
        return None;
    }

    let mut consumers = Vec::new();
    let mut positions = HashMap::new();
    for position in 0..reader.count()? {
        let name = reader.string()?.into_owned();
        let seen_ms = time(reader)?;
        let active_ms = match form {
            form::STREAM_3 => time(reader)?,
            _ => seen_ms,
        };
        if positions.insert(name.clone(), position).is_some() {
            return None;
        }
        consumers.push(StreamConsumer {
            name,
            seen_ms,
            active_ms,
        });
        for _ in 0..reader.count()? {
            let id = raw_id(reader)?;
            let place = pending.binary_search_by_key(&id, |entry| entry.id).ok()?;
            let owner = &mut pending[place].consumer;
            if *owner != NOBODY {
                return None;
            }
            *owner = position;
        }
    }
    let owned = pending.iter().all(|entry| entry.consumer != NOBODY);
    owned.then_some(StreamGroup {
        name,
        last_id,
        entries_read,
        consumers,
        pending,
    })
}

/// How many entries a group has read in a stream from before Redis 7.0, which did not count them. Redis knows it for some
/// ids only, since entries between the others may have been deleted.
fn entries_read(stream: &Stream, last_id: StreamId) -> Option<u64> {
    if stream.entries_added == 0 {
        Some(0)
    } else if last_id == stream.last_id {
        Some(stream.entries_added)
    } else if last_id < stream.first_id {
        Some(0)
    } else {
        (last_id == stream.first_id).then_some(1)
    }
}

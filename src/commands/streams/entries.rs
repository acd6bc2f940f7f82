//! Entries in replies.

use std::ops::ControlFlow;

use crate::commands::CommandError;
use crate::keyspace::{Pair, Stream, StreamId};
use crate::protocol::{Reply, ReplyBuffer};

use super::ids::IdText;

/// Writes an entry: its id and its fields.
pub(super) fn write(out: &mut ReplyBuffer, id: StreamId, pairs: &[Pair<'_>]) {
    out.array_header(2);
    out.bulk(IdText::of(id).as_ref());
    out.array_header(pairs.len() * 2);
    for (field, value) in pairs {
        out.bulk(field);
        out.bulk(value);
    }
}

/// Entries that are collected for a reply: encoded, or as data for a client that waits.
#[derive(Debug)]
pub(in crate::commands) enum Collected {
    /// Encoded, and how many there are.
    Encoded(ReplyBuffer, usize),
    /// As data.
    Data(Vec<Reply>),
}

impl Collected {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        match self {
            Collected::Encoded(_, count) => *count,
            Collected::Data(entries) => entries.len(),
        }
    }

    /// Adds an entry.
    pub fn push(&mut self, id: StreamId, pairs: &[Pair<'_>]) {
        match self {
            Collected::Encoded(out, count) => {
                write(out, id, pairs);
                *count += 1;
            }
            Collected::Data(entries) => {
                let fields = pairs.iter().flat_map(|(field, value)| [field, value]);
                let fields = fields.map(Reply::bulk).collect();
                entries.push(Reply::Array(vec![id_reply(id), Reply::Array(fields)]));
            }
        }
    }

    /// Adds an entry that was deleted meanwhile.
    pub fn push_deleted(&mut self, id: StreamId) {
        match self {
            Collected::Encoded(out, count) => {
                out.array_header(2);
                out.bulk(IdText::of(id).as_ref());
                out.null_array();
                *count += 1;
            }
            Collected::Data(entries) => {
                entries.push(Reply::Array(vec![id_reply(id), Reply::NullArray]));
            }
        }
    }

    /// Whether more would exceed the limit of replies.
    pub fn is_overflown(&self) -> bool {
        match self {
            Collected::Encoded(out, _) => out.is_overflown(),
            Collected::Data(_) => false,
        }
    }

    /// Adds the entries from `start` to `end`, up to `count` of them (0: all).
    pub fn add_range(
        &mut self,
        stream: Stream<'_>,
        (start, end): (StreamId, StreamId),
        reversed: bool,
        count: usize,
    ) -> Result<Vec<StreamId>, CommandError> {
        let mut ids = Vec::new();
        stream.for_range(start, end, reversed, |id, pairs| {
            self.push(id, pairs);
            ids.push(id);
            if ids.len() == count || self.is_overflown() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(ids)
    }

    /// Writes the entries as an array.
    pub fn write(self, out: &mut ReplyBuffer) {
        out.array_header(self.len());
        match self {
            Collected::Encoded(part, _) => out.append(part),
            Collected::Data(entries) => entries.iter().for_each(|entry| out.reply(entry)),
        }
    }
}

/// An id as a reply.
pub(super) fn id_reply(id: StreamId) -> Reply {
    Reply::bulk(IdText::of(id))
}

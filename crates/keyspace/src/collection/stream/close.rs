//! Full nodes: when the open entries are one, and how a closed node takes their place.
//!
//! The closed node only repeats what the open entries' records hold. So it need not be written in the step that adds the
//! next entry, nor beside it: [`StreamShape::close_aside`] has the store keep it apart from what clients write, as a change
//! of its own. Where the store cannot do that, the call that adds the entry writes both ([`plan`](super::plan)).

use smallvec::SmallVec;

use super::StreamId;
use super::apply::new_node;
use super::limits::{NodeLimits, entry_bytes, first_bytes};
use super::node::{Entries, NodeWriter, Pair};
use super::plan::Closed;
use super::records::RecordName;
use super::shape::{OpenEntry, OpenSize, StreamShape, record_key};
use super::view::{node_name, read_node};
use crate::collection::element_record_key;
use crate::collection::scratch::Scratch;
use crate::collection::source::Source;
use crate::{KeyspaceError, Kind};

impl StreamShape {
    /// Whether the open entries are a full node, so that an entry with these fields begins another one.
    pub fn is_full_for(
        &mut self,
        source: &Source<'_>,
        pairs: &[Pair<'_>],
        limits: NodeLimits,
    ) -> Result<bool, KeyspaceError> {
        if self.open.is_empty() {
            return Ok(false);
        }
        let size = match self.open_size {
            Some(size) => size,
            None => *self.open_size.insert(measure_open(source, self)?),
        };
        Ok(limits.is_full(self.open_count(), size.bytes, given_bytes(pairs)))
    }

    /// Has a closed node take the place of the open entries, apart from any call. Returns `false` and changes nothing where
    /// the store cannot do that now.
    pub fn close_aside(&mut self, source: &Source<'_>) -> Result<bool, KeyspaceError> {
        let store = &source.keyspace.store;
        let left: SmallVec<[&OpenEntry; 128]> = self.open.iter().collect();
        let Some(closed) = Closed::of(&left).filter(|_| store.puts_aside()) else {
            return Ok(false);
        };
        let mut value = Scratch::default();
        close(source, &left, &mut value)?;
        let key = record_key(source.id, RecordName::Node(closed.first.0));
        let record = element_record_key(source.partition, &key);
        let Some(location) = store.put_aside(record, Kind::Stream.into(), &value)? else {
            return Ok(false);
        };
        drop(left);
        for entry in self.open.drain(..) {
            if let Err(error) = store.release(entry.location) {
                // The next start finds that the closed node covers it.
                tracing::warn!(%error, "an entry that is part of a closed node could not be released");
            }
        }
        self.open_size = None;
        self.nodes.push_back(new_node(closed, location));
        self.head.closed_through = closed.last.0.max(self.head.next_ordinal - 1);
        Ok(true)
    }
}

impl Closed {
    /// What a closed node of these entries says of itself; `None` if there are none.
    pub(super) fn of(entries: &[&OpenEntry]) -> Option<Self> {
        let (first, last) = (entries.first()?, entries.last()?);
        Some(Self {
            first: (first.ordinal, first.id),
            last: (last.ordinal, last.id),
            count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        })
    }
}

/// The bytes of an entry's fields and values.
pub(super) fn given_bytes(pairs: &[Pair<'_>]) -> usize {
    let each = pairs.iter().map(|(field, value)| field.len() + value.len());
    each.sum()
}

/// The size of the open entries, from their records.
pub(super) fn measure_open(
    source: &Source<'_>,
    shape: &StreamShape,
) -> Result<OpenSize, KeyspaceError> {
    let mut size: Option<OpenSize> = None;
    for entry in &shape.open {
        read_node(source, entry.ordinal, entry.location, |mut entries| {
            if entries.next()?.is_some() {
                let pairs = entries.pairs();
                if let Some(size) = &mut size {
                    let same = fields_hash(pairs) == size.fields;
                    size.bytes += entry_bytes(pairs, same, distance(size.first_id, entry.id));
                } else {
                    size = Some(OpenSize {
                        bytes: first_bytes(pairs),
                        fields: fields_hash(pairs),
                        first_id: entry.id,
                    });
                }
            }
            Ok(())
        })?;
    }
    Ok(size.unwrap_or(OpenSize {
        bytes: 0,
        fields: 0,
        first_id: StreamId::MIN,
    }))
}

/// Appends the value of a closed node of these entries to `out`.
pub(super) fn close(
    source: &Source<'_>,
    left: &[&OpenEntry],
    out: &mut Vec<u8>,
) -> Result<(), KeyspaceError> {
    let mut node = NodeWriter::default();
    let mut failed = None;
    source.read_run(
        left.iter(),
        |entry| entry.location,
        |entry| node_name(entry.ordinal),
        |entry, bytes| {
            let added = Entries::of(entry.ordinal, bytes).and_then(|mut entries| {
                if let Some(place) = entries.next()? {
                    node.push(place.ordinal, place.id, entries.pairs());
                }
                Ok(())
            });
            failed = added.err();
            if failed.is_some() {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        },
    )?;
    if let Some(error) = failed {
        return Err(error);
    }
    node.finish(out);
    Ok(())
}

/// How far an id is from the first one of its node, as Redis stores it.
pub(super) fn distance(first: StreamId, id: StreamId) -> (i64, i64) {
    (
        id.ms.wrapping_sub(first.ms).cast_signed(),
        id.seq.wrapping_sub(first.seq).cast_signed(),
    )
}

/// Tells the names of fields apart. It only serves to estimate sizes.
pub(super) fn fields_hash(pairs: &[Pair<'_>]) -> u64 {
    pairs.iter().fold(pairs.len() as u64, |hash, (field, _)| {
        xxhash_rust::xxh3::xxh3_64_with_seed(field, hash)
    })
}

//! Writes the records of a new stream.

use std::collections::HashMap;

use super::limits::{NodeLimits, entry_bytes, first_bytes};
use super::node::{NodeWriter, Pair, encode_open};
use super::records::{ConsumerRecord, GroupRecord, Head, PendingRecord, RecordName};
use super::{GroupState, PendingState, StreamId};
use crate::KeyspaceError;
use crate::collection::build::Built;

/// A new stream. Its entries come first, then its groups.
#[derive(Debug)]
pub struct StreamBuilder<'n, 'k> {
    built: &'n mut Built<'k>,
    limits: NodeLimits,
    head: Head,
    /// The entries of the last node: ordinal, id, and the value of an open node.
    open: Vec<(u64, StreamId, Vec<u8>)>,
    node: NodeWriter,
    /// Bytes that the last node would take in Redis.
    node_bytes: usize,
    consumers: HashMap<u32, u32>,
}

impl<'n, 'k> StreamBuilder<'n, 'k> {
    pub(in super::super::super) fn new(built: &'n mut Built<'k>, limits: NodeLimits) -> Self {
        Self {
            built,
            limits,
            head: Head::default(),
            open: Vec::new(),
            node: NodeWriter::default(),
            node_bytes: 0,
            consumers: HashMap::new(),
        }
    }

    /// Adds an entry, whose id is higher than those of the entries before it.
    pub fn entry(&mut self, id: StreamId, pairs: &[Pair<'_>]) -> Result<(), KeyspaceError> {
        let given = pairs
            .iter()
            .map(|(field, value)| field.len() + value.len())
            .sum();
        if let Some(&(first, first_id, _)) = self.open.first() {
            if self
                .limits
                .is_full(self.open.len() as u64, self.node_bytes, given)
            {
                self.close(first)?;
            } else {
                let distance = (
                    id.ms.wrapping_sub(first_id.ms).cast_signed(),
                    id.seq.wrapping_sub(first_id.seq).cast_signed(),
                );
                self.node_bytes += entry_bytes(pairs, self.node.has_fields(pairs), distance);
            }
        }
        if self.open.is_empty() {
            self.node_bytes = first_bytes(pairs);
        }
        let ordinal = self.head.next_ordinal;
        self.head.next_ordinal += 1;
        let mut value = Vec::new();
        encode_open(&mut value, id, pairs);
        self.node.push(ordinal, id, pairs);
        self.open.push((ordinal, id, value));
        Ok(())
    }

    /// Writes the last node as a closed one.
    fn close(&mut self, first: u64) -> Result<(), KeyspaceError> {
        let mut value = Vec::new();
        std::mem::take(&mut self.node).finish(&mut value);
        self.open.clear();
        self.head.closed_through = self.head.next_ordinal - 1;
        self.record(RecordName::Node(first), &value)
    }

    /// Sets what the stream knows besides its entries. After the last entry.
    pub fn ids(
        &mut self,
        last_id: StreamId,
        max_deleted_id: StreamId,
        entries_added: u64,
    ) -> Result<(), KeyspaceError> {
        for (ordinal, _, value) in std::mem::take(&mut self.open) {
            self.record(RecordName::Node(ordinal), &value)?;
        }
        self.head.last_id = last_id;
        self.head.max_deleted_id = max_deleted_id;
        self.head.set_entries_added(entries_added);
        let mut value = Vec::new();
        self.head.encode(&mut value);
        self.record(RecordName::Head, &value)
    }

    /// Adds a group, whose name no other group has. Returns its number.
    pub fn group(&mut self, name: &[u8], state: GroupState) -> Result<u32, KeyspaceError> {
        let number = self.head.next_group;
        self.head.next_group += 1;
        let mut value = Vec::new();
        GroupRecord {
            last_id: state.last_id,
            entries_read: state.entries_read,
            name,
        }
        .encode(&mut value);
        self.record(RecordName::Group(number), &value)?;
        Ok(number)
    }

    /// Adds a consumer, whose name no other consumer of the group has. Returns its number.
    pub fn consumer(
        &mut self,
        group: u32,
        name: &[u8],
        seen: i64,
        active: i64,
    ) -> Result<u32, KeyspaceError> {
        let next = self.consumers.entry(group).or_default();
        let number = *next;
        *next += 1;
        let mut value = Vec::new();
        ConsumerRecord { seen, active, name }.encode(&mut value);
        self.record(RecordName::Consumer(group, number), &value)?;
        Ok(number)
    }

    /// Adds a pending entry of a consumer.
    pub fn pending(
        &mut self,
        group: u32,
        id: StreamId,
        pending: PendingState,
    ) -> Result<(), KeyspaceError> {
        let mut value = Vec::new();
        PendingRecord {
            consumer: pending.consumer,
            delivered_at: pending.delivered_at,
            deliveries: pending.deliveries,
        }
        .encode(&mut value);
        self.record(RecordName::Pending(group, id), &value)
    }

    fn record(&mut self, name: RecordName, value: &[u8]) -> Result<(), KeyspaceError> {
        let mut bytes = Vec::new();
        name.encode(&mut bytes);
        self.built.push(&bytes, value)
    }
}

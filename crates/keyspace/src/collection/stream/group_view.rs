//! Looking at the groups of a stream.

use super::StreamId;
use super::groups::{Consumer, Group};

/// A group of a stream.
#[derive(Clone, Copy, Debug)]
pub struct GroupView<'a> {
    pub(super) group: &'a Group,
}

impl<'a> GroupView<'a> {
    /// Its name.
    pub fn name(&self) -> &'a [u8] {
        &self.group.name
    }

    /// The highest id that it has delivered.
    pub fn last_id(&self) -> StreamId {
        self.group.last_id
    }

    /// How many entries it has delivered; -1 if that is unknown.
    pub fn entries_read(&self) -> i64 {
        self.group.entries_read
    }

    /// The consumers, in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = ConsumerView<'a>> + use<'a> {
        let group = self.group;
        let consumers = group.consumers_by_name.values();
        consumers.map(move |number| ConsumerView {
            consumer: &group.consumers[number],
        })
    }

    /// The consumer of this name.
    pub fn consumer(&self, name: &[u8]) -> Option<ConsumerView<'a>> {
        let number = self.group.consumers_by_name.get(name)?;
        let consumer = self.group.consumers.get(number)?;
        Some(ConsumerView { consumer })
    }

    /// How many entries are pending.
    pub fn pending_len(&self) -> usize {
        self.group.pending.len()
    }

    /// The lowest and the highest id of a pending entry.
    pub fn pending_ends(&self) -> Option<(StreamId, StreamId)> {
        let pending = &self.group.pending;
        Some((*pending.first_key_value()?.0, *pending.last_key_value()?.0))
    }

    /// The pending entries from `start` to `end`: id, consumer, time of the last delivery, and count of deliveries.
    pub fn pending(
        &self,
        start: StreamId,
        end: StreamId,
    ) -> impl Iterator<Item = (StreamId, ConsumerView<'a>, i64, u64)> + use<'a> {
        let group = self.group;
        let range = (start <= end).then(|| group.pending.range(start..=end));
        range.into_iter().flatten().filter_map(move |(&id, one)| {
            let consumer = group.consumers.get(&one.consumer)?;
            Some((
                id,
                ConsumerView { consumer },
                one.delivered_at,
                one.deliveries,
            ))
        })
    }

    /// The pending entries of a consumer from `start` to `end`: id, time of the last delivery, count of deliveries.
    pub fn pending_of(
        &self,
        consumer: ConsumerView<'a>,
        start: StreamId,
        end: StreamId,
    ) -> impl Iterator<Item = (StreamId, i64, u64)> + use<'a> {
        let group = self.group;
        let range = (start <= end).then(|| consumer.consumer.pending.range(start..=end));
        range.into_iter().flatten().filter_map(move |id| {
            let one = group.pending.get(id)?;
            Some((*id, one.delivered_at, one.deliveries))
        })
    }
}

/// A consumer of a group.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerView<'a> {
    consumer: &'a Consumer,
}

impl<'a> ConsumerView<'a> {
    /// Its name.
    pub fn name(&self) -> &'a [u8] {
        &self.consumer.name
    }

    /// When it called last, ms since the Unix epoch.
    pub fn seen(&self) -> i64 {
        self.consumer.times.get().0
    }

    /// When it got an entry last, ms since the Unix epoch; -1 if never.
    pub fn active(&self) -> i64 {
        self.consumer.times.get().1
    }

    /// How many pending entries it has.
    pub fn pending_len(&self) -> usize {
        self.consumer.pending.len()
    }
}

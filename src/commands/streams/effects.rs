//! What replicas run for a change of a group: the same commands that Redis sends.

use super::ids::IdText;
use crate::commands::Database;
use crate::keyspace::{GroupState, PendingState, StreamId};

/// The effects of a call on a group of a stream.
#[derive(Clone, Copy)]
pub(super) struct GroupEffects<'e> {
    pub database: Database<'e>,
    pub key: &'e [u8],
    pub group: &'e [u8],
}

impl GroupEffects<'_> {
    /// A consumer was made.
    pub(super) fn create_consumer(self, name: &[u8]) {
        let words = [
            &b"XGROUP"[..],
            b"CREATECONSUMER",
            self.key,
            self.group,
            name,
        ];
        self.database.effect(&words);
    }

    /// Entries are pending with a consumer.
    pub(super) fn claim(
        self,
        consumer: &[u8],
        ids: &[StreamId],
        pending: PendingState,
        last_id: StreamId,
    ) {
        if ids.is_empty() || !self.database.is_followed() {
            return;
        }
        let ids: Vec<IdText> = ids.iter().map(|&id| IdText::of(id)).collect();
        let time = pending.delivered_at.to_string();
        let count = pending.deliveries.to_string();
        let last_id = IdText::of(last_id);
        let mut words = vec![&b"XCLAIM"[..], self.key, self.group, consumer, b"0"];
        words.extend(ids.iter().map(AsRef::as_ref));
        words.extend([
            &b"TIME"[..],
            time.as_bytes(),
            b"RETRYCOUNT",
            count.as_bytes(),
            b"FORCE",
            b"JUSTID",
            b"LASTID",
            last_id.as_ref(),
        ]);
        self.database.effect(&words);
    }

    /// Entries are pending no longer.
    pub(super) fn acknowledge(self, ids: &[StreamId]) {
        self.with_ids(&[b"XACK", self.key, self.group], ids);
    }

    /// Entries are deleted.
    pub(super) fn delete(self, ids: &[StreamId]) {
        self.with_ids(&[b"XDEL", self.key], ids);
    }

    fn with_ids(self, words: &[&[u8]], ids: &[StreamId]) {
        if ids.is_empty() || !self.database.is_followed() {
            return;
        }
        let ids: Vec<IdText> = ids.iter().map(|&id| IdText::of(id)).collect();
        let mut words = words.to_vec();
        words.extend(ids.iter().map(AsRef::as_ref));
        self.database.effect(&words);
    }

    /// The group has read so far.
    pub(super) fn set_state(self, state: GroupState) {
        if self.database.is_followed() {
            let last_id = IdText::of(state.last_id);
            let read = state.entries_read.to_string();
            self.database.effect(&[
                b"XGROUP",
                b"SETID",
                self.key,
                self.group,
                last_id.as_ref(),
                b"ENTRIESREAD",
                read.as_bytes(),
            ]);
        }
    }
}

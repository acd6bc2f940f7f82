//! Values that repeat what committed records hold. They go to the compaction's log, as its copies do: what clients write lies
//! in the front's segments, and where its records are all repeated, whole segments become free without a copy.

use super::Packed;
use super::record::{self, Form, Record};
use crate::model::RecordKind;
use crate::{Location, RecordKey, StoreError};

impl Packed {
    /// Whether no transaction of this thread is under way and room is not short: the last segments are the compaction's own,
    /// which could not go on without them.
    pub(super) fn may_repeat(&self) -> bool {
        !self.front.is_held_here() && self.space.available() >= self.space.low_mark()
    }

    /// Stages a value in the compaction's log and commits it, after all that clients have staged. `None`, and nothing is
    /// staged, where the value needs parts, room is short, or a transaction or another commit is under way.
    pub(super) fn repeat_value(
        &self,
        RecordKey {
            generation, key, ..
        }: RecordKey<'_>,
        kind: RecordKind,
        value: &[u8],
    ) -> Result<Option<Location>, StoreError> {
        let padded = record::padded_bytes(key.len(), value.len(), false);
        let is_whole = padded <= self.record_bytes_max && key.len() <= self.key_bytes_max();
        // What the value repeats must not become durable before its own commit: a step may have staged it with other writes.
        if !is_whole
            || !self.may_repeat()
            || self.space.is_full_for(padded)
            || !self.front.try_commit(&self.space, &self.metadata)?
        {
            return Ok(None);
        }
        let mut encoded = Vec::new();
        Record {
            sequence: self.next_sequence(),
            form: Form::Value(kind),
            generation,
            expires_at: None,
            key,
            body: value,
        }
        .encode(&mut encoded);
        let log = self.compaction.log();
        let staged = log.stage_one(&self.space, &mut encoded, |spot| self.space.claim(spot));
        let (spot, _) = match staged {
            Err(StoreError::OutOfMemory) => return Ok(None),
            staged => staged?,
        };
        if let Err(error) = log.commit(&self.space, &self.metadata) {
            // It stays staged for the next commit. Until then nobody frees a segment, so what it repeats is still there.
            tracing::error!(%error, "a value that repeats others was not committed");
        }
        Ok(Some(spot.location()))
    }
}

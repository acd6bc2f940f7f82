//! Reading a record, from its segment or from where it is staged.

use super::Packed;
use super::name::value;
use super::record::{Form, Record, Spot};
use crate::{OnValue, StoreError};

/// A longer value is asked for before it is read, if the pool lies on a disk: otherwise the thread that reads it would wait for each
/// of its pages. Beside the copy of so many bytes that costs next to nothing.
pub(super) const ASKED_FOR_BYTES: usize = 8 << 10;

/// So much of a record is asked for before the command runs that uses it, which may want only a piece.
const ASKED_AHEAD_BYTES: usize = 16 << 10;

impl Packed {
    /// Has a record fetched into the processor's cache, or into memory while commands wait for a disk.
    #[inline]
    pub(super) fn prefetch_at(&self, spot: Spot) {
        let segments = self.space.segments();
        if segments.asks_ahead() {
            let length = spot.length.min(ASKED_AHEAD_BYTES);
            segments.ask(spot.segment, spot.offset, length);
        } else {
            segments.prefetch(spot.segment, spot.offset, spot.length);
        }
    }

    /// Has a record read into memory that is going to be read as a whole, if it is long and the pool lies on a disk.
    #[inline]
    pub(super) fn ask_if_long(&self, spot: Spot) {
        if spot.length > ASKED_FOR_BYTES {
            let segments = self.space.segments();
            segments.ask(spot.segment, spot.offset, spot.length);
        }
    }

    /// Lends a record from its segment, or from DRAM while it is only staged.
    #[inline]
    pub(super) fn with_record<R>(
        &self,
        spot: Spot,
        read: impl FnOnce(Record<'_>) -> R,
    ) -> Result<R, StoreError> {
        self.try_record(spot, read)
            .ok_or_else(|| StoreError::Damaged(format!("no record at {spot:?}")))
    }

    /// [`with_record`](Self::with_record); `None` if there is no record.
    #[inline]
    pub(super) fn try_record<R>(
        &self,
        spot: Spot,
        read: impl FnOnce(Record<'_>) -> R,
    ) -> Option<R> {
        let Spot {
            segment,
            offset,
            length,
            ..
        } = spot;
        {
            let reader = self.space.segments().reader();
            if let Some(bytes) = reader.read(segment, offset, length) {
                return Record::decode(bytes).map(read);
            }
        }
        let mut read = Some(read);
        let mut result = None;
        self.read_elsewhere(spot, &mut |bytes| {
            if let (Some(record), Some(read)) = (Record::decode(bytes), read.take()) {
                result = Some(read(record));
            }
        });
        result
    }

    /// Lends the bytes of a record that was not in its segment a moment ago.
    fn read_elsewhere(&self, spot: Spot, each: &mut dyn FnMut(&[u8])) {
        let segments = self.space.segments();
        // A commit may move a record from DRAM to its segment between the two looks. The next round finds it there.
        for _ in 0..3 {
            let Spot {
                segment,
                offset,
                length,
                ..
            } = spot;
            if self.front.read_staged(spot, each)
                || self.compaction.log().read_staged(spot, each)
                || segments.read(segment, offset, length, &mut *each).is_some()
            {
                return;
            }
        }
    }

    #[inline]
    pub(super) fn read_at(&self, spot: Spot, f: OnValue<'_>) -> Result<(), StoreError> {
        if spot.large {
            return self.read_parts(spot, f);
        }
        self.ask_if_long(spot);
        self.with_record(spot, |record| match record.form {
            Form::Value(kind) => {
                f(value(kind, &record));
                Ok(())
            }
            _ => Err(StoreError::Damaged(format!("no value at {spot:?}"))),
        })?
    }
}

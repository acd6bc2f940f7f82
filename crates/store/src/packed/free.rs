//! Freeing segments: at once, or after the next sync.

use super::Packed;
use super::header::Header;
use super::synced::Synced;
use crate::{StoreError, Worked};

impl Packed {
    /// Wakes the store's thread.
    pub(super) fn ring(&self) {
        let (rung, bell) = &self.bell;
        *rung.lock() = true;
        bell.notify_one();
    }

    /// Frees a segment. The caller has committed the writes that made its records useless: a later crash must not lose
    /// both.
    pub(super) fn give_back(&self, segment: u32) -> Result<(), StoreError> {
        let segments = self.space.segments();
        {
            let synced = self.space.synced();
            let _step = synced.map(Synced::step);
            self.space.roll().free(
                segment,
                self.space.serial(segment),
                segments.readable(segment),
            );
            if let Some(synced) = synced {
                synced.note(segment, &Header::FREE);
            }
        }
        let (header, _) = Header::decode(&segments.header(segment)?)
            .map_err(|error| StoreError::Damaged(format!("segment {segment}: {error}")))?;
        if header.has_one_value() {
            segments.reset(segment, &Header::FREE.encode())?;
        } else {
            segments.end(segment, &Header::ended(header.serial))?;
        }
        self.space.put_back_used(segment);
        Ok(())
    }

    /// Where writes are short of segments that wait for a sync, has it done, or does it where they have none left: then it
    /// returns what came of it, and there is no use in freeing more before.
    pub(super) fn sync_if_short(&self) -> Option<Worked> {
        let (soon, now) = self.space.awaits_sync();
        let synced = self.space.synced().filter(|_| soon || now)?;
        if !now {
            synced.ring();
            return None;
        }
        if synced.is_failing() {
            // It is tried each second.
            return Some(Worked::Elsewhere);
        }
        match synced.try_sync(&self.space) {
            Some(Ok(())) => Some(Worked::Some),
            // Another thread syncs, or the disk fails, which the report says.
            None | Some(Err(_)) => Some(Worked::Elsewhere),
        }
    }
}

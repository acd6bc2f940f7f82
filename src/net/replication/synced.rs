//! How much of the master's stream survives a loss of power here. The master counts it for WAITAOF, as it counts the
//! append-only file of a replica that has one.

use std::collections::VecDeque;

use crate::keyspace::{Keyspace, Millis, now_ms};
use crate::state::Server;

/// So many places are remembered until a sync. More than the link tells in a second are rare, and only delay the answer.
const PLACES_MAX: usize = 256;

/// Places of the stream that wait for a sync.
#[derive(Debug, Default)]
pub(super) struct SyncedOffset {
    /// When the stream was committed up to which offset.
    committed: VecDeque<(Millis, u64)>,
    synced: Option<u64>,
}

impl SyncedOffset {
    /// The stream is committed up to `offset`. Returns how much of it survives a loss of power; `None` if nothing does, or
    /// nobody knows.
    pub fn of(&mut self, offset: u64, server: &Server, keyspace: &Keyspace) -> Option<u64> {
        let durability = server.durability;
        if durability.power {
            return Some(offset);
        }
        if !durability.every_second {
            return None;
        }
        let synced_to = keyspace.syncs()?.synced_to_ms;
        self.at(offset, now_ms(), synced_to)
    }

    /// The same where what was committed before `synced_to` is synced. It is `now`.
    fn at(&mut self, offset: u64, now: Millis, synced_to: Millis) -> Option<u64> {
        let is_new = self
            .committed
            .back()
            .is_none_or(|&(_, last)| last != offset);
        if is_new && self.synced != Some(offset) && self.committed.len() < PLACES_MAX {
            self.committed.push_back((now, offset));
        }
        while let Some(&(at, offset)) = self.committed.front()
            && at < synced_to
        {
            self.synced = Some(offset);
            self.committed.pop_front();
        }
        self.synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_counts_when_a_sync_began_later() {
        let mut places = SyncedOffset::default();
        assert_eq!(places.at(100, 10, 9), None);
        assert_eq!(places.at(100, 11, 10), None, "the sync may have missed it");
        assert_eq!(places.at(200, 12, 11), Some(100));
        assert_eq!(places.at(200, 13, 11), Some(100));
        assert_eq!(places.at(300, 20, 15), Some(200));
        assert_eq!(places.at(300, 30, 29), Some(300));
        assert_eq!(places.at(300, 40, 39), Some(300));
        assert!(places.committed.is_empty());
    }

    #[test]
    fn many_places_have_a_limit() {
        let mut places = SyncedOffset::default();
        for n in 0..1000 {
            assert_eq!(places.at(n, 10, 5), None);
        }
        assert_eq!(places.committed.len(), PLACES_MAX);
        assert_eq!(places.at(1000, 20, 11), Some(PLACES_MAX as u64 - 1));
        assert_eq!(places.at(1000, 21, 12), Some(PLACES_MAX as u64 - 1));
        assert_eq!(places.at(1000, 30, 25), Some(1000));
    }
}

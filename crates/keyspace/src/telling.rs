//! Tells others of a write: transactions that watch the key, clients that cache it, and subscribers to events.

use super::index::Located;
use super::shard::Shard;
use super::{Access, EventClass, Keyspace};

/// What a key was before it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Absent,
    Expired,
    Live,
}

impl Before {
    #[inline]
    pub(super) fn of(located: Option<Located>, access: Access) -> Self {
        match located {
            None => Before::Absent,
            Some(located) if located.is_expired(access.now) => Before::Expired,
            Some(_) => Before::Live,
        }
    }
}

/// Tells of writes; see [`Keyspace::telling`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Telling<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl Telling<'_> {
    /// Tells everyone concerned that a key was written or, if `exists` is not set, removed.
    pub(super) fn wrote(
        self,
        shard: &mut Shard,
        db: usize,
        key: &[u8],
        access: Access,
        before: Before,
        exists: bool,
    ) {
        self.wrote_silently(shard, db, key, access, before, exists);
        self.written(db, key, before, exists);
    }

    /// As [`wrote`](Self::wrote), without the events.
    #[inline]
    pub(super) fn wrote_silently(
        self,
        shard: &mut Shard,
        db: usize,
        key: &[u8],
        access: Access,
        before: Before,
        exists: bool,
    ) {
        self.modified(shard, db, key, access, exists);
        if let Some(queues) = &mut shard.queues {
            let waiting = self.keyspace.waiting();
            if exists {
                waiting.key_filled(queues, db, key);
            } else {
                waiting.key_removed(queues, db, key);
            }
        }
        if before == Before::Expired {
            self.keyspace.expiry().count(1);
        }
    }

    /// Marks a key as modified: transactions that watch it fail, and the server invalidates it for clients that cache
    /// it. Every write except [`KeyUpdate::put_unmodified`](super::KeyUpdate::put_unmodified) does this. So do commands
    /// that Redis counts as a modification although they change nothing.
    #[inline]
    pub(super) fn modified(
        self,
        shard: &mut Shard,
        db: usize,
        key: &[u8],
        access: Access,
        exists: bool,
    ) {
        if let Some(watchers) = &mut shard.watchers {
            watchers.changed(db, key, exists);
        }
        self.keyspace.events.tell_modified(db, key, access, exists);
    }

    /// Emits the events that follow from the write itself.
    #[inline]
    pub(super) fn written(self, db: usize, key: &[u8], before: Before, exists: bool) {
        if before == Before::Expired {
            self.keyspace
                .events
                .emit(EventClass::EXPIRED, "expired", db, key);
        }
        if before != Before::Live && exists {
            self.keyspace.events.emit(EventClass::NEW, "new", db, key);
        }
    }
}

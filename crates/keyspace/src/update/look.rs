//! The look at a locked key that a call changes. Where it can, a call finds the key and reads its value with one look at the
//! record.

use super::locked::LockedKey;
use super::one::KeyUpdate;
use crate::index::{Found, Located};
use crate::shard::Shard;
use crate::{Access, Keyspace, KeyspaceError, Kind, StringView, Value};

/// What one look at a record tells of a key.
#[derive(Clone, Copy)]
pub(super) enum Look {
    /// Where the index has the key, expired or not; `None` if there is no such key.
    Enough(Option<Located>),
    /// The store finds records by their names, the value is of another kind or long, or the entry whose hash fits is another
    /// key's.
    TooLittle,
}

impl Keyspace {
    /// As [`update`](Self::update), for a call that first reads the key's string: `f` gets what `read` makes of it, or `None` if
    /// there is no such key.
    pub fn update_string<P, R, E: From<KeyspaceError>>(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
        mut read: impl FnMut(StringView<'_>) -> P,
        f: impl FnOnce(&mut KeyUpdate<'_>, Option<P>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.expiry().on_access(db, key, access.now)?;
        let (mut shard, locked) = self.locking().lock_key(db, key, access)?;
        let mut had = None;
        let look = self.look_once(&shard, locked, access, Some(Kind::String), |value| {
            had = Some(read(value.into()));
        })?;
        let stored = match look {
            Look::Enough(stored) => stored,
            Look::TooLittle => self.look_up(&shard, locked)?,
        };
        let mut key = KeyUpdate::with(self, &mut shard, locked, access, stored);
        if matches!(look, Look::TooLittle) {
            had = key.read_string(read)?;
        }
        if self.events.is_followed() {
            key.tell_expired();
        }
        let result = f(&mut key, had);
        key.touch();
        key.add_dirty();
        result
    }

    /// Where the index has a key, expired or not.
    pub(super) fn look_up(
        &self,
        shard: &Shard,
        locked: LockedKey<'_>,
    ) -> Result<Option<Located>, KeyspaceError> {
        let names = self.names(locked.generation);
        let found = shard.get(names, locked.hash, locked.key)?;
        Ok(found.map(Found::located))
    }

    /// Finds a key and lends its value with one look at its record. Calls `f` once if the key is live and its value is of this
    /// kind, and not where the look tells too little.
    #[inline]
    pub(super) fn look_once(
        &self,
        shard: &Shard,
        locked: LockedKey<'_>,
        access: Access,
        kind: Option<Kind>,
        mut f: impl FnMut(Value<'_>),
    ) -> Result<Look, KeyspaceError> {
        let LockedKey {
            key,
            hash,
            generation,
            ..
        } = locked;
        if self.partitioned {
            return Ok(Look::TooLittle);
        }
        let index = shard.table(generation).map(|table| &table.index);
        let Some(mut located) = index.and_then(|index| index.guess_located(hash)) else {
            return Ok(Look::Enough(None));
        };
        if Some(located.kind) != kind || self.store.is_large(located.location) {
            return Ok(Look::TooLittle);
        }
        let record = self.hashing.record(hash, generation, key);
        let same = self
            .store
            .read_named(record, located.location, &mut |value| {
                located.expires_at = value.expires_at;
                if !located.is_expired(access.now) {
                    f(value);
                }
            })?;
        // A key that this call sees gone must not come back after a restart.
        self.expiry().has_passed(located.expires_at, access.now);
        Ok(if same {
            Look::Enough(Some(located))
        } else {
            Look::TooLittle
        })
    }
}

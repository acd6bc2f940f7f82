//! Several strings that are set in one step, as MSET does: the store takes their values from the caller's bytes, and nothing
//! is staged.

use smallvec::{SmallVec, smallvec};

use super::locked::LockedKeys;
use super::{Current, KeyWrite};
use crate::collection::has_anchor;
use crate::{Access, EventClass, Keyspace, KeyspaceError, Kind, PREFETCHED};
use store::{Location, Write};

impl Keyspace {
    /// Locks several keys and sets them to strings without deadlines, as one atomic step; each key emits `event`. Returns
    /// `false` if that takes more than these writes: if a key repeats or has a large collection, or if copies follow the
    /// changes. Then nothing has happened, and the caller takes the way of [`update_many`](Self::update_many).
    pub fn put_strings<'v>(
        &self,
        keys: &[(usize, &[u8])],
        values: impl Iterator<Item = &'v [u8]>,
        access: Access,
        event: &'static str,
    ) -> Result<bool, KeyspaceError> {
        if self.events.is_followed() || self.images().is_taken() || keys.len() > PREFETCHED {
            return Ok(false);
        }
        self.expiry().on_access_to_all(keys, access.now)?;
        let (shards, list) = self.locking().lock_keys(keys, access)?;
        let mut keys = LockedKeys::new(self, shards, list, access)?;
        if keys.any_repeats() {
            return Ok(false);
        }
        let mut changes: SmallVec<[(KeyWrite<'v>, Current); PREFETCHED]> = SmallVec::new();
        for (i, value) in values.enumerate() {
            let current = Current::of(keys.stored(i), access);
            if current.stored.is_some_and(|stored| has_anchor(stored.kind)) {
                return Ok(false);
            }
            let change = KeyWrite::Put {
                kind: Kind::String.into(),
                value,
                expires_at: None,
                modifies: true,
            };
            changes.push((change, current));
        }
        let each = changes.iter().enumerate();
        let writes: SmallVec<[Write<'_>; PREFETCHED]> = each
            .filter_map(|(i, (change, current))| change.write(keys.record(i), *current))
            .collect();
        let mut locations: SmallVec<[Location; PREFETCHED]> =
            smallvec![Location::default(); writes.len()];
        self.writing().store(&writes, &mut locations, access.now)?;
        drop(writes);
        for (i, (&(change, current), location)) in changes.iter().zip(locations).enumerate() {
            let (locked, touching) = (keys[i], keys.next_access(i));
            let shard = keys.shard_mut(i);
            self.writing()
                .index(shard, locked, change, current, location, || touching);
            self.telling()
                .modified_by(shard, locked, change, current.was, access);
        }
        if self.events.wants_any() {
            for (i, (_, current)) in changes.iter().enumerate() {
                let (db, key) = (keys[i].db, keys[i].key);
                self.telling().written(db, key, current.was, true);
                self.events.emit(EventClass::STRING, event, db, key);
            }
        }
        keys.dirty.set(changes.len());
        keys.add_dirty();
        Ok(true)
    }
}

impl LockedKeys<'_> {
    /// Whether a key stands at two positions.
    fn any_repeats(&self) -> bool {
        let same = |a: usize, b: usize| {
            let (a, b) = (&self[a], &self[b]);
            a.hash == b.hash && a.generation == b.generation && a.key == b.key
        };
        (1..self.len()).any(|later| (0..later).any(|earlier| same(earlier, later)))
    }
}

//! Several strings that are set in one step, as MSET does: the store takes their values from the caller's bytes, and nothing
//! is staged.

use smallvec::{SmallVec, smallvec};

use super::locked::LockedKey;
use super::{Current, KeyWrite};
use crate::collection::has_anchor;
use crate::index::Found;
use crate::locking::{Locks, Several};
use crate::prefetch::Fetched;
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
        let (mut locks, mut locked) = (Locks::default(), Several::new());
        self.locking()
            .lock_several(keys, access, &mut locks, &mut locked)?;
        // Slices: a list that may have spilled looks where it lies at each access.
        let (shards, places) = (locks.shards.as_mut_slice(), locks.places.as_slice());
        let keys = locked.as_slice();
        // Keys of different shards differ.
        if shards.len() < keys.len() && any_repeats(keys) {
            return Ok(false);
        }
        let mut fetched = Fetched::new();
        for (locked, &place) in keys.iter().zip(places) {
            fetched.add(&shards[place], locked.generation, locked.hash, false);
        }
        fetched.fetch(self);
        let mut olds: Several<Current> = SmallVec::new();
        for (i, locked) in keys.iter().enumerate() {
            let names = self.names(locked.generation);
            let likely = fetched.likely(i);
            let found = shards[places[i]].get_likely(names, locked.hash, locked.key, likely)?;
            let stored = found.map(Found::located);
            if stored.is_some_and(|stored| has_anchor(stored.kind)) {
                return Ok(false);
            }
            olds.push(Current::of(stored, access));
        }
        drop(fetched);
        let olds = olds.as_slice();
        let change = |value| KeyWrite::Put {
            kind: Kind::String.into(),
            value,
            expires_at: None,
            modifies: true,
        };
        let mut writes: Several<Write<'_>> = SmallVec::new();
        for ((locked, &current), value) in keys.iter().zip(olds).zip(values) {
            let record = self
                .hashing
                .record(locked.hash, locked.generation, locked.key);
            writes.extend(change(value).write(record, current));
        }
        let mut locations: Several<Location> = smallvec![Location::default(); writes.len()];
        self.writing().store(&writes, &mut locations, access.now)?;
        drop(writes);
        let each = keys.iter().zip(olds).zip(places).zip(&locations);
        for (((&locked, &current), &place), &location) in each {
            let shard = &mut shards[place];
            // The index takes no value.
            let change = change(&[]);
            self.writing()
                .index(shard, locked, change, current, location, || access);
            self.telling()
                .modified_by(shard, locked, change, current.was, access);
        }
        if self.events.wants_any() {
            for (locked, current) in keys.iter().zip(olds) {
                self.telling()
                    .written(locked.db, locked.key, current.was, true);
                self.events
                    .emit(EventClass::STRING, event, locked.db, locked.key);
            }
        }
        if let Some(shard) = shards.first_mut() {
            shard.dirty += keys.len() as u64;
        }
        Ok(true)
    }
}

/// Whether a key stands at two positions.
fn any_repeats(keys: &[LockedKey<'_>]) -> bool {
    let same = |a: &LockedKey<'_>, b: &LockedKey<'_>| {
        a.hash == b.hash && a.generation == b.generation && a.key == b.key
    };
    (1..keys.len()).any(|later| keys[..later].iter().any(|key| same(key, &keys[later])))
}

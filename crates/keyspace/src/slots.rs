//! Changing several locked keys as one step.

mod edits;

use std::cell::Cell;
use std::collections::HashMap;

use parking_lot::RwLockWriteGuard;
use smallvec::{SmallVec, smallvec};

pub use edits::NewCollection;

use edits::Opened;

use super::access::{live, storable};
use super::changes::Changes;
use super::collection::Edit;
use super::index::Entry;
use super::modified::Before;
use super::shard::{IndexPut, Shard};
use super::{
    Access, EventClass, KeyInfo, Keyspace, KeyspaceError, Millis, PREFETCHED, Place, RecordKind,
    StringView, Value,
};
use store::{Location, Write};

#[derive(Clone, Copy)]
pub(super) struct LockedKey<'a> {
    pub(super) key: &'a [u8],
    pub(super) place: Place,
    pub(super) db: usize,
    pub(super) generation: u32,
}

/// What there is one of for each key: most often there is one key, and what is small is quickly moved.
pub(super) type Each<T> = SmallVec<[T; 1]>;

/// Locked shards, with their numbers, rising.
pub(super) type LockedShards<'a> = (Each<usize>, Each<RwLockWriteGuard<'a, Shard>>);

/// Few of them are in a usual call, and none needs an allocation.
type Few<T> = SmallVec<[T; 2]>;

#[derive(Clone, Copy)]
enum Staged {
    Put {
        kind: RecordKind,
        /// Where the value lies in `Slots::values`.
        start: usize,
        end: usize,
        expires_at: Option<Millis>,
    },
    Remove,
    /// Only elements of its collection change.
    Elements,
}

/// Several locked keys, each by its position in the call.
pub struct Slots<'a> {
    keyspace: &'a Keyspace,
    /// The numbers of `shards`, rising.
    numbers: Each<usize>,
    shards: Each<RwLockWriteGuard<'a, Shard>>,
    keys: Each<LockedKey<'a>>,
    access: Access,
    /// For each key, whether this call has touched it already.
    touched: Each<Cell<bool>>,
    /// Staged values, end to end.
    values: Vec<u8>,
    staged: Few<(usize, Staged)>,
    /// What is told once the writes have happened; empty where nobody wants to know.
    steps: Vec<(usize, Step)>,
    /// The collections of the keys, and those that they are to get.
    opened: SmallVec<[Opened<'a>; 1]>,
    edits: SmallVec<[(usize, Edit); 1]>,
    built: Vec<NewCollection<'a>>,
    /// Collections that come under another key, by its position.
    moved: Vec<(u64, usize)>,
    changes: Changes,
    /// Keys that count as modified although nothing of them is written.
    modified: Few<usize>,
}

/// Records to be written in one step.
type Writes<'w> = SmallVec<[Write<'w>; 4]>;

/// What is told of a key.
#[derive(Clone, Copy)]
enum Step {
    /// What follows from its write itself.
    Written,
    Event(EventClass, &'static str),
}

/// What keys were before they were written, and whether they are there now.
type Written<'a> = HashMap<(u32, &'a [u8]), (Before, bool)>;

impl<'a> Slots<'a> {
    /// Keys whose `shards` are locked, with their `numbers`, rising.
    #[inline]
    pub(super) fn new(
        keyspace: &'a Keyspace,
        (numbers, shards): LockedShards<'a>,
        keys: Each<LockedKey<'a>>,
        access: Access,
    ) -> Self {
        Self {
            keyspace,
            numbers,
            shards,
            touched: keys.iter().map(|_| Cell::new(false)).collect(),
            keys,
            access,
            values: Vec::new(),
            staged: Few::new(),
            steps: Vec::new(),
            opened: SmallVec::new(),
            edits: SmallVec::new(),
            built: Vec::new(),
            moved: Vec::new(),
            changes: Changes::default(),
            modified: Few::new(),
        }
    }
}

impl Slots<'_> {
    fn entry(&self, i: usize) -> Option<&Entry> {
        let LockedKey {
            key,
            place,
            generation,
            ..
        } = self.keys[i];
        self.shard(place.shard).get(generation, place.hash, key)
    }

    fn shard(&self, number: usize) -> &Shard {
        &self.shards[self.position(number)]
    }

    #[inline]
    fn position(&self, number: usize) -> usize {
        if self.numbers.len() == 1 {
            return 0;
        }
        self.numbers.partition_point(|&other| other < number)
    }

    /// What the index knows of key `i`; `None` where it is absent or past its deadline.
    pub fn info(&self, i: usize) -> Option<KeyInfo> {
        let now = self.access.now;
        live(self.entry(i), now).map(|entry| entry.info(now, self.keyspace.eviction.clock()))
    }

    /// Runs `f` on the live value of key `i`, as it was before this call's writes.
    pub fn read<R>(
        &self,
        i: usize,
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let LockedKey {
            place, generation, ..
        } = self.keys[i];
        let entry = live(self.entry(i), self.access.now);
        let access = match entry {
            Some(_) => self.next_access(i),
            None => self.access,
        };
        self.keyspace
            .read_entry(place, generation, entry, access, f)
    }

    /// Runs `f` on the live string of key `i`; see [`read`](Self::read) and [`Keyspace::read_string`].
    pub fn read_string<R>(
        &self,
        i: usize,
        f: impl FnOnce(StringView<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let LockedKey {
            place, generation, ..
        } = self.keys[i];
        let entry = live(self.entry(i), self.access.now);
        let access = match entry {
            Some(_) => self.next_access(i),
            None => self.access,
        };
        self.keyspace
            .read_string_entry(place, generation, entry, access, f)
    }

    /// The access for the next look at key `i`: it is touched once, however often it is looked at.
    fn next_access(&self, i: usize) -> Access {
        Access {
            touch: self.access.touch && !self.touched[i].replace(true),
            ..self.access
        }
    }

    /// Stages a value for key `i`.
    pub fn put(
        &mut self,
        i: usize,
        kind: impl Into<RecordKind>,
        value: &[u8],
        expires_at: Option<Millis>,
    ) {
        let expires_at = storable(expires_at);
        let start = self.values.len();
        self.values.extend_from_slice(value);
        let put = Staged::Put {
            kind: kind.into(),
            start,
            end: self.values.len(),
            expires_at,
        };
        self.stage(i, put);
    }

    /// Stages the removal of key `i`.
    pub fn remove(&mut self, i: usize) {
        self.stage(i, Staged::Remove);
    }

    fn stage(&mut self, i: usize, staged: Staged) {
        self.staged.push((i, staged));
        if self.keyspace.wants_events() {
            self.steps.push((i, Step::Written));
        }
    }

    /// Says that key `i` counts as modified although nothing of it is written.
    pub fn modified(&mut self, i: usize) {
        self.modified.push(i);
    }

    /// Tells of an event of key `i`, where anybody wants to know, once the writes have happened.
    pub fn event(&mut self, i: usize, class: EventClass, name: &'static str) {
        self.changes.told_of(class);
        if self.keyspace.wants(class) {
            self.steps.push((i, Step::Event(class, name)));
        }
    }

    /// The call counts as so many changes of data, where it is not one that tells of an event.
    pub fn changed(&mut self, changes: usize) {
        self.changes.set(changes);
    }

    /// Adds this call's changes to those of all, once the writes have happened.
    pub(super) fn count_changes(&mut self) {
        if let Some(shard) = self.shards.first_mut() {
            shard.changes += self.changes.count();
        }
    }

    /// What was staged, of several writes of one key the last.
    fn last_staged(&self) -> Few<(usize, Staged)> {
        if self.staged.len() <= 1 {
            return self.staged.clone();
        }
        // A few are compared faster than hashed.
        if self.staged.len() <= PREFETCHED {
            let same = |a: usize, b: usize| {
                let (a, b) = (&self.keys[a], &self.keys[b]);
                a.place.hash == b.place.hash && a.generation == b.generation && a.key == b.key
            };
            let later = |n: usize, i: usize| self.staged[n + 1..].iter().any(|&(j, _)| same(i, j));
            return (0..)
                .zip(&self.staged)
                .filter(|&(n, &(i, _))| !later(n, i))
                .map(|(_, &change)| change)
                .collect();
        }
        let mut last: HashMap<(u32, &[u8]), (usize, Staged)> =
            HashMap::with_capacity(self.staged.len());
        for &(i, staged) in &self.staged {
            let LockedKey {
                key, generation, ..
            } = self.keys[i];
            last.insert((generation, key), (i, staged));
        }
        last.into_values().collect()
    }

    /// Writes what was staged, as one step, tells the index, and whoever is concerned.
    pub(super) fn apply(&mut self) -> Result<(), KeyspaceError> {
        for i in std::mem::take(&mut self.modified) {
            let LockedKey { key, place, db, .. } = self.keys[i];
            let (position, exists) = (self.position(place.shard), self.info(i).is_some());
            self.keyspace
                .modified(&mut self.shards[position], db, key, self.access, exists);
        }
        self.write_staged()
    }

    fn write_staged(&mut self) -> Result<(), KeyspaceError> {
        if self.only_changes_elements() {
            return self.apply_to_elements();
        }
        self.stage_heads();
        let changes: Few<(usize, Staged)> = self
            .last_staged()
            .into_iter()
            // What is not there need not be removed.
            .filter(|&(i, staged)| !matches!(staged, Staged::Remove) || self.entry(i).is_some())
            .collect();
        if changes.is_empty() {
            self.tell(Written::default());
            return Ok(());
        }
        self.plan()?;
        let mut writes: Writes<'_> = changes
            .iter()
            .filter_map(|&(i, staged)| self.write(i, staged))
            .collect();
        let heads = writes.len();
        self.write_elements(&mut writes);
        let mut locations: SmallVec<[Location; 4]> = smallvec![Location::default(); writes.len()];
        self.keyspace
            .store_write(&writes, &mut locations, self.access.now)?;
        drop(writes);
        let mut written = Written::default();
        let (head_locations, element_locations) = locations.split_at(heads);
        let mut head_locations = head_locations.iter();
        for &(i, staged) in &changes {
            let location = match staged {
                Staged::Elements => Location::default(),
                _ => head_locations.next().copied().unwrap_or_default(),
            };
            let LockedKey {
                key,
                place,
                db,
                generation,
            } = self.keys[i];
            let position = self.position(place.shard);
            let before = match staged {
                // What has elements that change, and no new head, is there.
                Staged::Elements => Before::Live,
                _ => Before::of(self.entry(i), self.access),
            };
            let access = self.next_access(i);
            let shard = &mut *self.shards[position];
            match staged {
                Staged::Put { .. } if !self.keyspace.retains => {}
                Staged::Put {
                    kind, expires_at, ..
                } => {
                    let put = IndexPut {
                        hash: place.hash,
                        key,
                        kind: kind.kind,
                        location,
                        expires_at,
                        access,
                        renewed: before == Before::Expired,
                    };
                    self.keyspace.index_put(shard, generation, put);
                }
                Staged::Elements => {
                    if let Some(entry) = shard.get(generation, place.hash, key)
                        && access.touch
                    {
                        entry.touch(access.now, self.keyspace.eviction.clock());
                    }
                }
                Staged::Remove => {
                    if let Some(table) = shard.table_mut(generation) {
                        table.forget(place.hash, key);
                    }
                }
            }
            let exists = !matches!(staged, Staged::Remove);
            self.keyspace
                .wrote_silently(shard, db, key, self.access, before, exists);
            if !self.steps.is_empty() {
                written.insert((generation, key), (before, exists));
            }
        }
        self.tell(written);
        drop(changes);
        self.apply_elements(element_locations);
        Ok(())
    }

    /// [`write_staged`](Self::write_staged) where nothing changes but elements of one collection that stays.
    fn apply_to_elements(&mut self) -> Result<(), KeyspaceError> {
        let LockedKey {
            key,
            place,
            db,
            generation,
        } = self.keys[self.edits[0].0];
        self.write_one_edit()?;
        let position = self.position(place.shard);
        let shard = &mut *self.shards[position];
        self.keyspace
            .wrote_silently(shard, db, key, self.access, Before::Live, true);
        if !self.steps.is_empty() {
            let written = ((generation, key), (Before::Live, true));
            self.tell(Written::from([written]));
        }
        Ok(())
    }

    /// Tells of keys that were missed, where nothing else happens: the call has failed.
    pub(super) fn tell_misses(&self) {
        for &(i, step) in &self.steps {
            if let Step::Event(EventClass::KEY_MISS, name) = step {
                let LockedKey { key, db, .. } = self.keys[i];
                self.keyspace.event(EventClass::KEY_MISS, name, db, key);
            }
        }
    }

    /// Tells of events in the order in which they were staged.
    fn tell<'k>(&'k self, mut written: Written<'k>) {
        for &(i, step) in &self.steps {
            let LockedKey {
                key,
                db,
                generation,
                ..
            } = self.keys[i];
            match step {
                Step::Written => {
                    if let Some((before, exists)) = written.remove(&(generation, key)) {
                        self.keyspace.tell_written(db, key, before, exists);
                    }
                }
                Step::Event(class, name) => self.keyspace.event(class, name, db, key),
            }
        }
    }

    fn write(&self, i: usize, staged: Staged) -> Option<Write<'_>> {
        let LockedKey {
            key,
            place,
            generation,
            ..
        } = self.keys[i];
        let record = self.keyspace.record(place, generation, key);
        Some(match staged {
            Staged::Elements => return None,
            Staged::Put {
                kind,
                start,
                end,
                expires_at,
            } => Write::Put {
                record,
                previous: self.entry(i).map(|entry| entry.location),
                kind,
                expires_at,
                value: &self.values[start..end],
            },
            Staged::Remove => Write::Remove {
                record,
                location: self
                    .entry(i)
                    .map_or_else(Location::default, |entry| entry.location),
            },
        })
    }
}

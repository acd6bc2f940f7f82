//! The one way in which keys change. Each call takes these steps once:
//!
//! 1. *Lock* the shards of its keys, in rising order, and the collections under them.
//! 2. *Stage*: the caller's closure looks at the keys as they were before the call, and says what to change.
//! 3. *Write*: the records of all changes go to the store in one atomic step. An error here has changed nothing.
//! 4. *Index*: the index in DRAM learns where the records lie. This step cannot fail.
//! 5. *Tell*: watchers, waiting clients and caching clients learn of the keys, then subscribers of the events, in the
//!    order in which the closure named them.
//!
//! [`Keyspace::update_many`] stages the changes of several keys, and of collections, in an [`Update`], and writes them
//! when the closure returns. [`Keyspace::update`] is the case of one key: [`KeyUpdate`] takes steps 3 to 5 for each
//! change, as soon as the closure makes it. So the store takes the value from the caller's bytes, without a copy, and
//! the closure learns at once if the store is full. Both take the same steps: `KeyWrite::write`, `Writing::store`,
//! `Writing::index`, `Telling::modified_by` and `Telling::written`.

mod collections;
mod compact;
mod element;
mod elements;
mod in_place;
mod locked;
mod look;
mod new_collection;
mod one;
mod several;
mod streams;
mod strings;
mod writing;

use std::collections::HashMap;

use smallvec::{SmallVec, smallvec};

pub use element::ElementChange;
use elements::tell_changed;
pub use in_place::OneUpdate;
pub(crate) use locked::{Each, LockedKey, LockedShards};
use locked::{LockedKeys, next_access};
pub use new_collection::NewCollection;
pub use one::{KeyUpdate, StringChanges, StringEdit};
pub use several::Update;
pub(crate) use writing::Writing;

use several::{Notice, Staged};

use super::collection::has_anchor;
use super::hashing::shard_of;
use super::index::{Located, Replacement};
use super::shard::{IndexPut, Shard};
use super::telling::{Before, Telling};
use super::{
    Access, EventClass, Followed, Keyspace, KeyspaceError, Kind, Millis, RecordKind, memory_check,
};
use store::{Change, Location, RecordKey, Write};

/// What a call writes to the record of a key.
#[derive(Clone, Copy)]
enum KeyWrite<'v> {
    Put {
        kind: RecordKind,
        value: &'v [u8],
        expires_at: Option<Millis>,
        /// Whether the key counts as modified.
        modifies: bool,
    },
    /// Parts of a live string, whose deadline is `expires_at`.
    Patch {
        changes: &'v [Change<'v>],
        expires_at: Option<Millis>,
        /// Whether the key counts as modified.
        modifies: bool,
    },
    /// A new deadline of a live key.
    SetExpiry {
        expires_at: Option<Millis>,
    },
    Remove,
    /// Nothing: only elements of its collection change.
    Nothing,
}

impl KeyWrite<'_> {
    /// Whether the key exists afterwards.
    fn leaves_key(self) -> bool {
        !matches!(self, KeyWrite::Remove)
    }

    fn modifies(self) -> bool {
        match self {
            KeyWrite::Put { modifies, .. } | KeyWrite::Patch { modifies, .. } => modifies,
            KeyWrite::SetExpiry { .. } | KeyWrite::Remove | KeyWrite::Nothing => true,
        }
    }
}

/// The state of a key before the call writes it.
#[derive(Clone, Copy)]
struct Current {
    was: Before,
    /// Where the index has it; `None` if the key is absent.
    stored: Option<Located>,
}

/// Records that the store writes in one step.
type Writes<'w> = SmallVec<[Write<'w>; 4]>;

/// For each key, its state before the write, and whether it exists now.
type Written<'a> = HashMap<(u32, &'a [u8]), (Before, bool)>;

impl Keyspace {
    /// Locks one key and runs `f` on it. What `f` writes is stored when this returns, and durable after the next
    /// [`commit`](Self::commit).
    pub fn update<R, E: From<KeyspaceError>>(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
        f: impl FnOnce(&mut KeyUpdate<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.expiry().on_access(db, key, access.now)?;
        let (mut shard, locked) = self.locking().lock_key(db, key, access)?;
        let mut key = KeyUpdate::new(self, &mut shard, locked, access)?;
        if self.events.is_followed() {
            key.tell_expired();
        }
        let result = f(&mut key);
        key.add_dirty();
        result
    }

    /// Locks several keys, which may repeat and lie in different databases, and runs `f` on them. If `f` returns `Ok`,
    /// all of its writes happen as one atomic step; if it returns an error, none of them happens.
    pub fn update_many<R, E: From<KeyspaceError>>(
        &self,
        keys: &[(usize, &[u8])],
        access: Access,
        f: impl FnOnce(&mut Update<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.expiry().on_access_to_all(keys, access.now)?;
        let (shards, keys) = if let &[(db, key)] = keys {
            let (shard, locked) = self.locking().lock_key(db, key, access)?;
            let numbers = Each::from_buf([shard_of(locked.hash)]);
            let shards = (numbers, Each::from_buf([shard]));
            (shards, Each::from_buf([locked]))
        } else {
            self.locking().lock_keys(keys, access)?
        };
        Update::new(LockedKeys::new(self, shards, keys, access)?).run(f)
    }
}

impl Current {
    /// The present state of a key. Each call looks it up once, for all its steps: after step 3 the old record may be gone,
    /// so that nobody can look by its name.
    #[inline]
    fn of(stored: Option<Located>, access: Access) -> Self {
        Self {
            was: Before::of(stored, access),
            stored,
        }
    }
}

impl<'v> KeyWrite<'v> {
    /// Step 3: the write to the store; `None` if there is nothing to write.
    #[inline]
    fn write(self, record: RecordKey<'v>, current: Current) -> Option<Write<'v>> {
        let previous = current.stored.map(|stored| stored.location);
        let location = previous.unwrap_or_default();
        Some(match self {
            KeyWrite::Nothing => return None,
            KeyWrite::Put {
                kind,
                value,
                expires_at,
                ..
            } => Write::Put {
                record,
                previous,
                kind,
                expires_at,
                value,
            },
            KeyWrite::Patch { changes, .. } => Write::Patch {
                record,
                location,
                changes,
            },
            KeyWrite::SetExpiry { expires_at } => Write::SetExpiry {
                record,
                location,
                expires_at,
            },
            KeyWrite::Remove => Write::Remove { record, location },
        })
    }
}

/// The steps that each key takes.
impl Writing<'_> {
    /// Step 4: records in the index where the record of a key lies now. Returns where a look-up would find the key.
    // Each caller makes changes of one kind, so each has only the steps of its kind.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn index(
        self,
        shard: &mut Shard,
        locked: LockedKey<'_>,
        change: KeyWrite<'_>,
        current: Current,
        location: Location,
        access: impl FnOnce() -> Access,
    ) -> Option<Located> {
        let LockedKey {
            key,
            hash,
            generation,
            ..
        } = locked;
        let (kind, expires_at) = match change {
            KeyWrite::Put {
                kind, expires_at, ..
            } => (kind.kind, expires_at),
            KeyWrite::Patch { expires_at, .. } => (Kind::String, expires_at),
            KeyWrite::SetExpiry { expires_at } => {
                let stored = current.stored?;
                let table = shard.table_mut(generation)?;
                let new = Replacement {
                    kind: stored.kind,
                    location,
                    expires_at,
                };
                return table.replace(hash, key, stored, new);
            }
            KeyWrite::Remove => {
                if let Some(stored) = current.stored
                    && let Some(table) = shard.table_mut(generation)
                {
                    table.forget(hash, key, stored, &self.keyspace.names(generation));
                }
                return None;
            }
            KeyWrite::Nothing => {
                let access = access();
                if let Some(stored) = current.stored
                    && access.touch
                    && let Some(entry) = shard.at(generation, (hash, key), stored)
                {
                    entry.touch(access.now, self.keyspace.eviction.clock());
                }
                return current.stored;
            }
        };
        self.keyspace.retains.then(|| {
            self.keyspace.forms.note_kind(kind);
            let put = IndexPut {
                hash,
                key,
                kind,
                location,
                expires_at,
                was: current.stored,
                access: access(),
                renewed: current.was == Before::Expired,
            };
            let new_index = || self.keyspace.new_index(shard_of(hash), generation, 0);
            let table = shard.table_for(generation, new_index, &self.keyspace.views);
            table.put(put, self.keyspace.eviction.clock())
        })
    }
}

impl Telling<'_> {
    /// Step 5, except the events: reports that a key was written, if `change` modifies it.
    #[inline]
    fn modified_by(
        self,
        shard: &mut Shard,
        locked: LockedKey<'_>,
        change: KeyWrite<'_>,
        was: Before,
        access: Access,
    ) {
        if change.modifies() {
            let exists = change.leaves_key();
            self.wrote_silently(shard, locked.db, locked.key, access, was, exists);
        }
    }
}

/// The steps of a call of one key.
impl KeyUpdate<'_> {
    /// Writes a change, records it in the index, and reports it.
    // Each caller makes one kind of change, so each has only the steps of its kind.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn apply(&mut self, change: KeyWrite<'_>) -> Result<(), KeyspaceError> {
        let (keyspace, locked) = (self.keyspace, self.locked);
        let LockedKey {
            key,
            hash,
            db,
            generation,
        } = locked;
        if keyspace.images().is_taken() {
            let images = keyspace.images();
            images.keep(generation, hash, key, self.found());
        }
        keyspace.events.tell_intent(Some((db, key)));
        let current = Current::of(self.stored, self.access);
        // If the change removes an anchor, its collection goes too.
        let unanchors = matches!(change, KeyWrite::Put { .. } | KeyWrite::Remove)
            && self.stored.is_some_and(|stored| has_anchor(stored.kind));
        let anchored = if unanchors { self.found() } else { None };
        let unanchored = match anchored {
            Some(found) => keyspace.collections().id_of(hash, generation, found)?,
            None => None,
        };
        let record = keyspace.hashing.record(hash, generation, key);
        let Some(write) = change.write(record, current) else {
            return Ok(());
        };
        let mut locations = [Location::default()];
        keyspace
            .writing()
            .store(&[write], &mut locations, self.access.now)?;
        let [location] = locations;
        let access = || next_access(self.access, &self.touched);
        self.stored = keyspace
            .writing()
            .index(self.shard, locked, change, current, location, access);
        if let Some(id) = unanchored {
            keyspace.collections().remove(id);
        }
        keyspace
            .telling()
            .modified_by(self.shard, locked, change, current.was, self.access);
        if !change.modifies() {
            // No client learns of it, but the value may be another one.
            keyspace.events.tell_followed(Followed::Changed(db, key));
        }
        keyspace
            .telling()
            .written(db, key, current.was, change.leaves_key());
        Ok(())
    }
}

/// The steps of a call of several keys, for all its staged changes.
impl<'a> Update<'a> {
    /// Runs `f`, and makes the changes that it stages.
    fn run<R, E: From<KeyspaceError>>(
        mut self,
        f: impl FnOnce(&mut Update<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let events = &self.keys.keyspace.events;
        if events.is_followed() {
            self.tell_expired();
        }
        self.open_collections()?;
        if events.is_followed() {
            self.tell_expired_fields()?;
        }
        memory_check::take_refused_bytes();
        let result = f(&mut self).inspect_err(|_| {
            // If the store was full, the caller repeats the call, or it was refused before it looked at its keys.
            if !memory_check::was_refused() {
                self.tell_misses();
            }
        })?;
        self.apply()?;
        self.keys.add_dirty();
        Ok(result)
    }

    /// Writes the staged changes as one step, records them in the index, and reports them.
    fn apply(&mut self) -> Result<(), KeyspaceError> {
        for i in std::mem::take(&mut self.modified) {
            let exists = self.info(i).is_some();
            let (keyspace, access) = (self.keys.keyspace, self.keys.access);
            let LockedKey { key, db, .. } = self.keys[i];
            keyspace
                .telling()
                .modified(self.keys.shard_mut(i), db, key, access, exists);
        }
        if self.keys.keyspace.images().is_taken() {
            self.keep_for_image();
        }
        if self.keys.keyspace.events.is_followed() {
            self.tell_intents();
        }
        if self.apply_to_compact()? {
            return Ok(());
        }
        if self.only_changes_elements()? {
            return self.apply_to_elements();
        }
        self.stage_anchors()?;
        let mut changes = self.last_staged();
        // An absent key need not be removed.
        changes.retain(|&mut (i, staged)| {
            !matches!(staged, Staged::Remove) || self.keys.stored(i).is_some()
        });
        if changes.is_empty() {
            self.tell(Written::default());
            return Ok(());
        }
        self.plan()?;
        let locations = self.write(&changes)?;
        let (written, element_locations) = self.index(&changes, &locations);
        self.tell(written);
        self.apply_elements(element_locations);
        Ok(())
    }

    /// Keeps for the image that is being taken what the call is about to change.
    #[cold]
    fn keep_for_image(&self) {
        let staged = self.staged.iter().map(|&(i, _)| i);
        let edited = self.edits.iter().map(|&(i, _)| i);
        for i in staged.chain(edited) {
            let LockedKey {
                key,
                hash,
                generation,
                ..
            } = self.keys[i];
            let live = self.info(i).zip(self.view(i));
            self.keys
                .keyspace
                .images()
                .keep_viewed(generation, hash, key, live);
        }
    }

    /// Tells which keys the call is about to change.
    #[cold]
    fn tell_intents(&self) {
        let staged = self.staged.iter().map(|&(i, _)| i);
        let edited = self.edits.iter().map(|&(i, _)| i);
        for i in staged.chain(edited) {
            let LockedKey { key, db, .. } = self.keys[i];
            self.keys.keyspace.events.tell_intent(Some((db, key)));
        }
    }

    /// Step 3: writes the records of keys, then those of elements, in one step. Returns their locations.
    fn write(&self, changes: &[(usize, Staged)]) -> Result<SmallVec<[Location; 4]>, KeyspaceError> {
        let key_write = |&(i, staged): &(usize, Staged)| {
            let current = Current::of(self.keys.stored(i), self.keys.access);
            let change = staged.key_write(&self.values);
            change.write(self.keys.record(i), current)
        };
        let mut writes = Writes::with_capacity(changes.len());
        writes.extend(changes.iter().filter_map(key_write));
        self.write_elements(&mut writes);
        let mut locations: SmallVec<[Location; 4]> = smallvec![Location::default(); writes.len()];
        let now = self.keys.access.now;
        self.keys
            .keyspace
            .writing()
            .store(&writes, &mut locations, now)?;
        Ok(locations)
    }

    /// Step 4, and step 5 except the events. Returns what to report about the keys, and the locations of elements.
    fn index<'l>(
        &mut self,
        changes: &[(usize, Staged)],
        locations: &'l [Location],
    ) -> (Written<'a>, &'l [Location]) {
        let mut written = Written::default();
        let mut locations = locations;
        for &(i, staged) in changes {
            let change = staged.key_write(&self.values);
            let mut location = Location::default();
            if !matches!(staged, Staged::Elements)
                && let Some((&first, others)) = locations.split_first()
            {
                (location, locations) = (first, others);
            }
            let (keyspace, locked, access) = (self.keys.keyspace, self.keys[i], self.keys.access);
            let current = Current::of(self.keys.stored(i), access);
            let was = match staged {
                // A key without a new anchor whose elements change is live.
                Staged::Elements => Before::Live,
                Staged::Put { .. } | Staged::Remove => current.was,
            };
            // Changes of a stream's groups are no changes of the key for those that watch it.
            let modifies = !matches!(staged, Staged::Elements) || self.edit_modifies(i);
            let touching = self.keys.next_access(i);
            let shard = self.keys.shard_mut(i);
            keyspace
                .writing()
                .index(shard, locked, change, current, location, || touching);
            if modifies {
                keyspace
                    .telling()
                    .modified_by(shard, locked, change, was, access);
            } else {
                keyspace
                    .events
                    .tell_followed(Followed::Changed(locked.db, locked.key));
            }
            if !self.notices.is_empty() {
                let name = (locked.generation, locked.key);
                written.insert(name, (was, change.leaves_key()));
            }
        }
        (written, locations)
    }

    /// [`apply`](Self::apply) for a call that changes only elements of one collection that stays.
    fn apply_to_elements(&mut self) -> Result<(), KeyspaceError> {
        let i = self.edits[0].0;
        self.write_one_edit()?;
        let (keyspace, locked, access) = (self.keys.keyspace, self.keys[i], self.keys.access);
        let shard = self.keys.shard_mut(i);
        tell_changed(keyspace, &self.edits[0].1, (shard, locked), access);
        if !self.notices.is_empty() {
            let name = (locked.generation, locked.key);
            self.tell(Written::from([(name, (Before::Live, true))]));
        }
        Ok(())
    }

    /// Step 5: emits the events in the order in which the closure staged them.
    fn tell(&self, mut written: Written<'a>) {
        for &(i, notice) in &self.notices {
            let LockedKey {
                key,
                db,
                generation,
                ..
            } = self.keys[i];
            match notice {
                Notice::Written => {
                    if let Some((before, exists)) = written.remove(&(generation, key)) {
                        self.keys
                            .keyspace
                            .telling()
                            .written(db, key, before, exists);
                    }
                }
                Notice::Event(class, name) => self.keys.keyspace.events.emit(class, name, db, key),
            }
        }
    }

    /// Reports the missed keys of a call that failed; nothing else of it happened.
    fn tell_misses(&self) {
        for &(i, notice) in &self.notices {
            if let Notice::Event(EventClass::KEY_MISS, name) = notice {
                let LockedKey { key, db, .. } = self.keys[i];
                self.keys
                    .keyspace
                    .events
                    .emit(EventClass::KEY_MISS, name, db, key);
            }
        }
    }
}

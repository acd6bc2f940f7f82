//! The collections of a call's locked keys.

use std::sync::Arc;

use parking_lot::RwLock;

use super::Writes;
use super::compact::changes_elements;
use super::elements::write_edit;
use super::locked::LockedKey;
use super::new_collection::NewCollection;
use super::several::{Notice, Staged, Update};
use crate::collection::{
    Anchor, Built, Collection, Edit, FieldsEdit, Held, KeyPlace, ListEdit, ScoresEdit,
    StagedFields, StagedList, StagedScores, View, What,
};
use crate::{EventClass, Keyspace, KeyspaceError, Kind, Millis, RecordKind};
use store::Location;

/// A locked collection of one of the keys.
pub(super) struct Opened<'a> {
    pub(super) keyspace: &'a Keyspace,
    pub(super) position: usize,
    /// The id; of a compact collection [`COMPACT`].
    pub(super) id: u64,
    pub(super) locked: Option<Held>,
    /// Whether its key is past the deadline.
    pub(super) expired: bool,
    /// Whether its key has no record yet.
    pub(super) new: bool,
}

/// Stands for the id of a compact collection, which has none.
pub(super) const COMPACT: u64 = 0;

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        if self.new && !self.is_compact() {
            self.locked = None;
            self.keyspace.registry.remove(self.id);
        }
    }
}

impl Opened<'_> {
    /// Whether the collection is compact.
    pub(super) fn is_compact(&self) -> bool {
        self.id == COMPACT
    }
}

impl<'a> Update<'a> {
    /// Locks the collections of the keys.
    pub(super) fn open_collections(&mut self) -> Result<(), KeyspaceError> {
        for i in 0..self.keys.len() {
            let stored = self.keys.stored(i);
            if stored.is_none_or(|stored| stored.kind == Kind::String)
                || self.first_position(i) != i
            {
                continue;
            }
            let Some(found) = self.keys.found(i) else {
                continue;
            };
            let key = self.keys[i];
            let expired = self
                .keys
                .keyspace
                .expiry()
                .has_passed(found.expires_at, self.keys.access.now);
            if !expired && self.keys.next_access(i).touch {
                let clock = self.keys.keyspace.eviction.clock();
                found.entry.touch(self.keys.access.now, clock);
            }
            if found.entry.stored_kind().is_compact() {
                if !expired {
                    self.open_compact(i)?;
                }
                continue;
            }
            let anchor = found.location;
            let table = self.keys.shard(i).table(key.generation);
            let recent = table.and_then(|table| table.recent(key.hash, anchor));
            let (id, locked) = if let Some((id, collection)) = recent {
                (id, RwLock::write_arc(collection))
            } else {
                let shared =
                    self.keys
                        .keyspace
                        .collections()
                        .of(key.hash, key.generation, found)?;
                let Some((id, collection)) = shared else {
                    continue;
                };
                let locked = RwLock::write_arc(&collection);
                if let Some(table) = self.keys.shard_mut(i).table_mut(key.generation) {
                    table.remember(key.hash, key.key, anchor, id, collection);
                }
                (id, locked)
            };
            self.opened.push(Opened {
                keyspace: self.keys.keyspace,
                position: i,
                id,
                locked: Some(Held::Shared(locked)),
                expired,
                new: false,
            });
        }
        Ok(())
    }

    /// The first position in the call at which the key of position `i` stands.
    pub(super) fn first_position(&self, i: usize) -> usize {
        let same = |other: &LockedKey<'_>| {
            let key = &self.keys[i];
            other.hash == key.hash && other.generation == key.generation && other.key == key.key
        };
        self.keys.list[..i].iter().position(same).unwrap_or(i)
    }

    pub(super) fn opened(&self, i: usize) -> Option<&Opened<'a>> {
        let i = self.first_position(i);
        let mut opened = self.opened.iter();
        opened.find(|one| one.position == i && !one.expired)
    }

    /// The live value of key `i`, as it was before this call's changes.
    pub fn view(&self, i: usize) -> Option<View<'_>> {
        let found = self.keys.live(i)?;
        if found.kind() == Kind::String {
            let LockedKey {
                hash, generation, ..
            } = self.keys[i];
            let string = self
                .keys
                .keyspace
                .reading()
                .stored_string(hash, generation, found);
            return Some(View::String(string));
        }
        let opened = self.opened(i)?;
        let collection = opened.locked.as_ref()?;
        let (keyspace, now) = (self.keys.keyspace, self.keys.access.now);
        Some(View::new(keyspace, opened.id, collection, now))
    }

    /// The hash or set of key `i`, ready to be changed; a new one if the key is absent. If it has no elements after the
    /// call, the key is removed.
    pub fn fields(&mut self, i: usize, kind: Kind) -> Result<FieldsEdit<'_>, KeyspaceError> {
        let (opened, edit) = self.edit(i, kind)?;
        let now = self.keys.access.now;
        match (&self.opened[opened].locked, &mut self.edits[edit].1.what) {
            (Some(locked), What::Elements(edits)) => Ok(FieldsEdit::Staged(StagedFields {
                keyspace: self.keys.keyspace,
                locked,
                id: self.opened[opened].id,
                edits,
                now,
            })),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// The sorted set of key `i`, ready to be changed; see [`fields`](Self::fields).
    pub fn scores(&mut self, i: usize) -> Result<ScoresEdit<'_>, KeyspaceError> {
        let (opened, edit) = self.edit(i, Kind::SortedSet)?;
        match (&self.opened[opened].locked, &mut self.edits[edit].1.what) {
            (Some(locked), What::Elements(edits)) => Ok(ScoresEdit::Staged(StagedScores {
                keyspace: self.keys.keyspace,
                locked,
                id: self.opened[opened].id,
                edits,
            })),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// The list of key `i`, ready to be changed; see [`fields`](Self::fields).
    pub fn list(&mut self, i: usize) -> Result<ListEdit<'_>, KeyspaceError> {
        let (opened, edit) = self.edit(i, Kind::List)?;
        let len = self.opened[opened]
            .locked
            .as_ref()
            .map_or(0, |list| list.len());
        match &mut self.edits[edit].1.what {
            What::List(edits) => Ok(ListEdit::Staged(StagedList::new(edits, len))),
            What::Elements(_) | What::Stream(_) => Err(KeyspaceError::WrongKind),
        }
    }

    /// The positions of key `i`'s collection in `opened` and of its changes in `edits`.
    pub(super) fn edit(&mut self, i: usize, kind: Kind) -> Result<(usize, usize), KeyspaceError> {
        let i = self.first_position(i);
        let opened = self
            .opened
            .iter()
            .position(|one| one.position == i && !one.expired);
        let opened = if let Some(opened) = opened {
            let locked = &self.opened[opened].locked;
            if locked.as_ref().is_none_or(|locked| locked.kind != kind) {
                return Err(KeyspaceError::WrongKind);
            }
            opened
        } else {
            // If the key is live and has no opened collection, its value is a string.
            if self.keys.live(i).is_some() {
                return Err(KeyspaceError::WrongKind);
            }
            self.opened.push(self.open_new(i, kind));
            self.opened.len() - 1
        };
        let edit = self.edits.iter().position(|&(position, _)| position == i);
        let edit = if let Some(edit) = edit {
            edit
        } else {
            let id = self.opened[opened].id;
            self.edits.push((i, Edit::new(id, kind)));
            if self.keys.keyspace.events.wants_any() {
                self.notices.push((i, Notice::Written));
            }
            self.edits.len() - 1
        };
        if self.edits[edit].1.kind != kind {
            return Err(KeyspaceError::WrongKind);
        }
        Ok((opened, edit))
    }

    /// A new collection for key `i`. One that can be compact is compact at first.
    fn open_new(&self, i: usize, kind: Kind) -> Opened<'a> {
        let keyspace = self.keys.keyspace;
        let (id, locked) = if kind.compact().is_some() {
            (COMPACT, Held::Copy(Collection::new_compact(kind)))
        } else {
            self.register_new(i, kind)
        };
        Opened {
            keyspace,
            position: i,
            id,
            locked: Some(locked),
            expired: false,
            new: true,
        }
    }

    /// A new collection for key `i` whose elements have records of their own, with its id.
    pub(super) fn register_new(&self, i: usize, kind: Kind) -> (u64, Held) {
        let id = self.keys.keyspace.collections().new_id();
        let shared = Arc::new(RwLock::new(Collection::new(
            kind,
            self.keys.keyspace.naming(),
        )));
        let locked = RwLock::write_arc(&shared);
        // Register the collection before its first element is stored, so that the compaction finds it.
        let generation = self.keys[i].generation;
        self.keys.keyspace.registry.insert(id, generation, shared);
        (id, Held::Shared(locked))
    }

    /// Begins a new collection, which [`replace`](Self::replace) puts under key `i`.
    pub fn build(&self, i: usize, kind: Kind) -> NewCollection<'a> {
        let generation = self.keys[i].generation;
        NewCollection {
            position: i,
            built: Built::new(self.keys.keyspace, kind, generation, self.keys.access.now),
        }
    }

    /// Stages a new collection as the value of the key that it was built for. If it has no elements, stages that key's
    /// removal.
    pub fn replace(
        &mut self,
        mut new: NewCollection<'a>,
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        if new.is_empty() {
            self.remove(new.position);
            return Ok(());
        }
        let start = self.values.len();
        let kind = new.built.finish(&mut self.values)?;
        self.put_staged(new.position, kind, start, expires_at);
        self.built.push(new);
        Ok(())
    }

    /// Stages a copy of key `from`'s value, with its deadline, under key `to`. Returns `false` if `from` has no value.
    pub fn copy_value(&mut self, from: usize, to: usize) -> Result<bool, KeyspaceError> {
        let Some(info) = self.info(from) else {
            return Ok(false);
        };
        self.tell_replaced(to);
        if info.kind == Kind::String {
            let read = self.read(from, |value| (value.form, value.bytes.to_vec()))?;
            let (form, bytes) = read.unwrap_or_default();
            self.put(to, form, &bytes, info.expires_at);
            return Ok(true);
        }
        if self.copy_compact(from, to, info.expires_at) {
            return Ok(true);
        }
        let mut new = self.build(to, info.kind);
        if let Some(view) = self.view(from) {
            new.built.copy(view)?;
        }
        self.replace(new, info.expires_at)?;
        Ok(true)
    }

    /// Stages the move of key `from`'s value, with its deadline, to key `to`. Returns `false` if `from` has no value.
    pub fn move_value(&mut self, from: usize, to: usize) -> Result<bool, KeyspaceError> {
        let Some(info) = self.info(from) else {
            return Ok(false);
        };
        // Remove first, because Redis reports the old name first.
        self.remove(from);
        let anchor = self
            .opened(from)
            .filter(|opened| !opened.is_compact())
            .and_then(Opened::anchor);
        match anchor {
            Some(anchor) if info.kind != Kind::String => {
                self.tell_replaced(to);
                let start = self.values.len();
                anchor.encode(&mut self.values);
                self.put_staged(to, info.kind, start, info.expires_at);
                self.moved.push((anchor.id, to));
            }
            _ => {
                self.copy_value(from, to)?;
            }
        }
        Ok(true)
    }

    /// Redis removes the value that it replaces, and reports only that the key is new.
    fn tell_replaced(&mut self, to: usize) {
        if self.info(to).is_some() {
            self.event(to, EventClass::NEW, "new");
        }
    }

    /// Writes the changes of the one collection, and applies them in DRAM.
    pub(super) fn write_one_edit(&mut self) -> Result<(), KeyspaceError> {
        let (keyspace, now) = (self.keys.keyspace, self.keys.access.now);
        let (Some((i, edit)), Some(opened)) = (self.edits.first_mut(), self.opened.first_mut())
        else {
            return Ok(());
        };
        let key = KeyPlace::of(self.keys[*i]);
        match &mut opened.locked {
            Some(Held::Shared(collection)) => write_edit(keyspace, edit, collection, key, now),
            _ => Ok(()),
        }
    }

    /// Whether the edit of key `i`'s collection counts as a modification of the key.
    pub(super) fn edit_modifies(&self, i: usize) -> bool {
        let mut edits = self.edits.iter();
        edits
            .find(|&&(position, _)| position == i)
            .is_none_or(|(_, edit)| edit.modifies())
    }

    /// Determines which records each edit writes.
    pub(super) fn plan(&mut self) -> Result<(), KeyspaceError> {
        let now = self.keys.access.now;
        for (_, edit) in &mut self.edits {
            if let Some(locked) = changes_elements(&self.opened, edit, now) {
                edit.plan(self.keys.keyspace, locked)?;
            }
        }
        Ok(())
    }

    /// Appends the elements' records.
    pub(super) fn write_elements<'w>(&'w self, writes: &mut Writes<'w>) {
        for (_, edit) in &self.edits {
            edit.writes(
                self.keys.keyspace.collections().partition_of(edit.id),
                writes,
            );
        }
    }

    /// Applies the written edits in DRAM, and removes the collections that have lost their anchors.
    pub(super) fn apply_elements(&mut self, mut locations: &[Location]) {
        let keyspace = self.keys.keyspace;
        for (i, edit) in self.edits.iter().filter(|(_, edit)| edit.is_planned()) {
            let opened = self.opened.iter_mut().find(|one| one.id == edit.id);
            let Some(opened) = opened else {
                continue;
            };
            if let Some(Held::Shared(collection)) = &mut opened.locked {
                let before = if opened.new {
                    (0, None)
                } else {
                    (collection.memory_bytes(), collection.first_deadline())
                };
                let used = edit.apply(keyspace, collection, locations);
                locations = &locations[used..];
                if keyspace.retains || !opened.new {
                    let key = KeyPlace::of(self.keys[*i]);
                    note_change(keyspace, before, (edit.id, collection), key);
                }
            }
            opened.new = !keyspace.retains;
        }
        for (id, to) in &self.moved {
            keyspace.registry.moved(*id, self.keys[*to].generation);
            let opened = self.opened.iter().find(|one| one.id == *id);
            if let Some(collection) = opened.and_then(|opened| opened.locked.as_ref()) {
                let first = collection.first_deadline();
                let key = KeyPlace::of(self.keys[*to]);
                keyspace.registry.deadlines.moved(*id, first, key);
            }
        }
        for new in self.built.drain(..) {
            if keyspace.retains {
                new.built.adopt(KeyPlace::of(self.keys[new.position]));
            }
        }
        let unanchored: Vec<u64> = self
            .opened
            .iter()
            .filter(|opened| !opened.is_compact())
            .filter(|opened| !opened.new && !self.moved.iter().any(|(id, _)| *id == opened.id))
            .filter(|opened| self.lost_anchor(opened))
            .map(|opened| opened.id)
            .collect();
        self.opened.clear();
        for id in unanchored {
            keyspace.collections().remove(id);
        }
    }

    /// Whether this call has removed or replaced the anchor of a collection that existed before.
    fn lost_anchor(&self, opened: &Opened<'_>) -> bool {
        self.staged.iter().any(|&(i, staged)| {
            let names_it = |kind: RecordKind, start: usize, end: usize| {
                let anchor = Anchor::decode(&self.values[start..end]);
                !kind.kind.is_compact() && anchor.is_some_and(|anchor| anchor.id == opened.id)
            };
            self.first_position(i) == opened.position
                && match staged {
                    Staged::Remove => true,
                    Staged::Put {
                        kind, start, end, ..
                    } => !names_it(kind, start, end),
                    Staged::Elements => false,
                }
        })
    }
}

/// Notes how much DRAM a changed collection takes, and when its first field is due. `before` says both of before.
pub(super) fn note_change(
    keyspace: &Keyspace,
    before: (usize, Option<Millis>),
    (id, collection): (u64, &Collection),
    key: KeyPlace,
) {
    let registry = &keyspace.registry;
    registry.note_memory(before.0, collection.memory_bytes());
    let first = collection.first_deadline();
    registry.deadlines.changed(id, before.1, first, key);
}

//! A call that changes one collection whose elements have records of their own. Most such calls change elements and nothing
//! else: then there is no list of keys, and nothing is staged but the changes of the elements.

use parking_lot::RwLock;
use smallvec::{SmallVec, smallvec};

use super::collections::{Opened, note_change};
use super::in_place::Events;
use super::locked::{Each, LockedKey, LockedKeys, LockedShards};
use super::one::KeyUpdate;
use super::several::{Notice, Update};
use super::{KeyWrite, Writes};
use crate::collection::{
    Edit, FieldsEdit, Held, KeyPlace, ListEdit, LockedCollection, ScoresEdit, StagedFields,
    StagedList, StagedScores, View, What, has_anchor,
};
use crate::dirty::Dirty;
use crate::index::Located;
use crate::shard::Shard;
use crate::telling::Before;
use crate::{Access, Followed, Keyspace, KeyspaceError, Kind, Millis};
use store::Location;

/// A locked key with its collection, which is live, and the changes of elements.
pub struct ElementsUpdate<'a> {
    pub(super) key: KeyUpdate<'a>,
    pub(super) id: u64,
    pub(super) locked: LockedCollection,
    pub(super) edit: Option<Edit>,
    removes: bool,
    pub(super) events: Events,
}

/// Where the index has a key whose collection was the last that was changed; so its record need not be read.
#[inline]
pub(super) fn recent(shard: &Shard, locked: LockedKey<'_>) -> Option<Located> {
    let table = shard.table(locked.generation)?;
    let anchor = table.recent_anchor(locked.hash, locked.key)?;
    table.index.located_at(locked.hash, anchor)
}

/// What a call changes beyond the elements of its collection: the key goes, or its anchor tells another form.
pub(super) struct Rest {
    id: u64,
    locked: LockedCollection,
    edit: Option<Edit>,
    removes: bool,
    events: Events,
    dirty: Dirty,
}

impl Keyspace {
    /// Locks the collection of a key, if the key is live and the elements have records of their own. `None` also where
    /// others follow the changes: they hear of more than the call itself tells.
    pub(super) fn open_elements(
        &self,
        shard: &mut Shard,
        key: LockedKey<'_>,
        stored: Located,
        kind: Kind,
        now: Millis,
    ) -> Result<Option<(u64, LockedCollection)>, KeyspaceError> {
        if stored.kind != kind
            || !has_anchor(kind)
            || self.events.is_followed()
            || self.images().is_taken()
            || self.expiry().has_passed(stored.expires_at, now)
        {
            return Ok(None);
        }
        let LockedKey {
            key,
            hash,
            generation,
            ..
        } = key;
        let anchor = stored.location;
        let Some(table) = shard.table_mut(generation) else {
            return Ok(None);
        };
        if let Some((id, collection)) = table.recent(hash, anchor) {
            return Ok(Some((id, RwLock::write_arc(collection))));
        }
        let found = super::locked::found_again(shard, generation, hash, key, Some(stored));
        let Some(found) = found else {
            return Ok(None);
        };
        let Some((id, collection)) = self.collections().of(hash, generation, found)? else {
            return Ok(None);
        };
        let locked = RwLock::write_arc(&collection);
        if let Some(table) = shard.table_mut(generation) {
            table.remember(hash, key, anchor, id, collection);
        }
        Ok(Some((id, locked)))
    }
}

impl<'a> ElementsUpdate<'a> {
    /// Begins the changes. The call counts as a use of the key.
    pub(super) fn new(key: KeyUpdate<'a>, (id, locked): (u64, LockedCollection)) -> Self {
        key.touch();
        Self {
            key,
            id,
            locked,
            edit: None,
            removes: false,
            events: Events::new(),
        }
    }

    pub(super) fn view(&self) -> View<'_> {
        View::new(
            self.key.keyspace,
            self.id,
            &self.locked,
            self.key.access.now,
        )
    }

    pub(super) fn remove(&mut self) {
        self.removes = true;
    }

    pub(super) fn fields(&mut self) -> Result<FieldsEdit<'_>, KeyspaceError> {
        let kind = self.locked.kind;
        let edit = self.edit.get_or_insert_with(|| Edit::new(self.id, kind));
        match &mut edit.what {
            What::Elements(edits) if matches!(kind, Kind::Hash | Kind::Set) => {
                Ok(FieldsEdit::Staged(StagedFields {
                    keyspace: self.key.keyspace,
                    locked: &self.locked,
                    id: self.id,
                    edits,
                    now: self.key.access.now,
                }))
            }
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    pub(super) fn scores(&mut self) -> Result<ScoresEdit<'_>, KeyspaceError> {
        let kind = self.locked.kind;
        let edit = self.edit.get_or_insert_with(|| Edit::new(self.id, kind));
        match &mut edit.what {
            What::Elements(edits) if kind == Kind::SortedSet => {
                Ok(ScoresEdit::Staged(StagedScores {
                    keyspace: self.key.keyspace,
                    locked: &self.locked,
                    id: self.id,
                    edits,
                }))
            }
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    pub(super) fn list(&mut self) -> Result<ListEdit<'_>, KeyspaceError> {
        let kind = self.locked.kind;
        let edit = self.edit.get_or_insert_with(|| Edit::new(self.id, kind));
        match &mut edit.what {
            What::List(edits) => Ok(ListEdit::Staged(StagedList::new(edits, self.locked.len()))),
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// Makes the changes if they are of elements alone, and emits the events. Otherwise nothing has happened, and the result
    /// is what is to be done.
    pub(super) fn apply(mut self) -> Result<Option<Rest>, KeyspaceError> {
        let changes = self.edit.as_ref().is_some_and(|edit| !edit.is_empty());
        if self.removes || (changes && !self.leaves_anchor()?) {
            return Ok(Some(Rest {
                id: self.id,
                locked: self.locked,
                edit: self.edit,
                removes: self.removes,
                events: self.events,
                dirty: self.key.dirty,
            }));
        }
        let LockedKey { key: name, db, .. } = self.key.locked;
        let keyspace = self.key.keyspace;
        if changes && let Some(edit) = &mut self.edit {
            let place = KeyPlace::of(self.key.locked);
            write_edit(keyspace, edit, &mut self.locked, place, self.key.access.now)?;
            tell_changed(
                keyspace,
                edit,
                (self.key.shard, self.key.locked),
                self.key.access,
            );
        }
        for (class, event) in self.events.drain(..) {
            keyspace.events.emit(class, event, db, name);
        }
        self.key.add_dirty();
        Ok(None)
    }

    /// Whether elements are left after the changes, and the anchor tells their form.
    fn leaves_anchor(&mut self) -> Result<bool, KeyspaceError> {
        let keyspace = self.key.keyspace;
        let Some(edit) = &mut self.edit else {
            return Ok(true);
        };
        if self.locked.kind == Kind::Stream {
            return Ok(true);
        }
        if self.locked.is_unmarked {
            return Ok(false);
        }
        let names = keyspace.names_of_elements(self.id);
        let live = self.locked.live_len(self.key.access.now, &names);
        Ok(edit.len_after(live) > 0
            && edit.measure(keyspace, &self.locked)? == self.locked.encoding)
    }
}

impl Rest {
    /// Makes the changes as those of a call of several keys are made. The key was used already.
    pub(super) fn apply<'a>(
        self,
        keyspace: &'a Keyspace,
        shards: LockedShards<'a>,
        (locked, stored): (LockedKey<'a>, Located),
        access: Access,
    ) -> Result<(), KeyspaceError> {
        let (list, stored) = (Each::from_buf([locked]), Each::from_buf([Some(stored)]));
        let keys = LockedKeys::with(keyspace, shards, list, stored, access);
        keys.next_access(0);
        let mut update = Update::new(keys);
        update.keys.dirty = self.dirty;
        update.opened.push(Opened {
            keyspace,
            position: 0,
            id: self.id,
            locked: Some(Held::Shared(self.locked)),
            expired: false,
            new: false,
        });
        if let Some(edit) = self.edit {
            update.edits.push((0, edit));
        }
        if self.removes {
            update.remove(0);
        }
        let events = self.events.into_iter();
        let notices = events.map(|(class, name)| (0, Notice::Event(class, name)));
        update.notices.extend(notices);
        update.apply()?;
        update.keys.add_dirty();
        Ok(())
    }
}

/// Tells who watches a key, waits for it or follows it, that elements of its collection were changed.
pub(super) fn tell_changed(
    keyspace: &Keyspace,
    edit: &Edit,
    (shard, locked): (&mut Shard, LockedKey<'_>),
    access: Access,
) {
    if edit.modifies() {
        let (change, before) = (KeyWrite::Nothing, Before::Live);
        keyspace
            .telling()
            .modified_by(shard, locked, change, before, access);
        return;
    }
    if edit.wakes()
        && let Some(queues) = &mut shard.queues
    {
        keyspace.waiting().key_filled(queues, locked.db, locked.key);
    }
    let change = Followed::Changed(locked.db, locked.key);
    keyspace.events.tell_followed(change);
}

/// Writes the changes of elements of one collection, and applies them in DRAM.
pub(super) fn write_edit(
    keyspace: &Keyspace,
    edit: &mut Edit,
    collection: &mut LockedCollection,
    key: KeyPlace,
    now: Millis,
) -> Result<(), KeyspaceError> {
    edit.plan(keyspace, collection)?;
    let mut writes = Writes::new();
    let partition = keyspace.collections().partition_of(edit.id);
    edit.writes(partition, &mut writes);
    let mut locations: SmallVec<[Location; 4]> = smallvec![Location::default(); writes.len()];
    keyspace.writing().store(&writes, &mut locations, now)?;
    drop(writes);
    let before = (collection.memory_bytes(), collection.first_deadline());
    edit.apply(keyspace, collection, &locations);
    note_change(keyspace, before, (edit.id, collection), key);
    Ok(())
}

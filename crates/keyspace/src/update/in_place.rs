//! A call that changes one collection. Most collections are compact, and stay so: then the call changes a copy of the
//! record, and writes it as a whole. So it looks the key up and reads its record in one step, and stages nothing.

use lock_order::WriteGuard;
use smallvec::SmallVec;

use super::elements::{ElementsUpdate, recent};
use super::locked::{Each, LockedKey, LockedKeys};
use super::look::Look;
use super::one::KeyUpdate;
use super::several::Update;

use crate::collection::{FieldsEdit, InPlace, ListEdit, ScoresEdit, Scratch, View};
use crate::hashing::shard_of;
use crate::index::Located;
use crate::shard::Shard;
use crate::{Access, EventClass, Keyspace, KeyspaceError, Kind};

/// One locked key with its collection, and its changes.
pub enum OneUpdate<'u, 'a> {
    /// By changes that are made when the call returns.
    Staged(&'u mut Update<'a>, Kind),
    /// In a copy of its record.
    InPlace(&'u mut InPlaceUpdate<'a>),
    /// By changes of its elements, which are made when the call returns.
    Elements(&'u mut ElementsUpdate<'a>),
}

/// The events to emit after the writes, of those that the observer wants.
pub(super) type Events = SmallVec<[(EventClass, &'static str); 2]>;

/// A key with a copy of its compact collection.
pub struct InPlaceUpdate<'a> {
    key: KeyUpdate<'a>,
    collection: InPlace,
    removes: bool,
    events: Events,
}

impl Keyspace {
    /// Locks one key and runs `f` on its collection, which is of type `kind`. If `f` returns `Ok`, all of its changes happen
    /// as one atomic step; if it returns an error, none of them happens.
    ///
    /// Where a compact collection outgrows its form, `f` runs a second time: so it changes nothing else, and tells nobody,
    /// before it knows that the collection only shrinks.
    pub fn update_one<R, E: From<KeyspaceError>>(
        &self,
        db: usize,
        key: &[u8],
        access: Access,
        kind: Kind,
        f: impl FnMut(&mut OneUpdate<'_, '_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.expiry().on_access(db, key, access.now)?;
        let (shard, locked) = self.locking().lock_key(db, key, access)?;
        let stored = recent(&shard, locked);
        self.update_locked((shard, stored), locked, access, kind, f)
    }

    /// [`update_one`](Self::update_one) of a key that is locked. `stored` is where the index has it, if that is known already.
    pub(super) fn update_locked<R, E: From<KeyspaceError>>(
        &self,
        (mut shard, mut stored): (WriteGuard<'_, Shard>, Option<Located>),
        locked: LockedKey<'_>,
        access: Access,
        kind: Kind,
        mut f: impl FnMut(&mut OneUpdate<'_, '_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut copy = None;
        if stored.is_none() {
            let look = self.look_once(&shard, locked, access, kind.compact(), |value| {
                let mut record = Scratch::default();
                record.extend_from_slice(value.bytes);
                copy = Some(record);
            })?;
            stored = match look {
                Look::Enough(stored) => stored,
                Look::TooLittle => self.look_up(&shard, locked)?,
            };
        }
        if let Some(copy) = copy {
            let collection = InPlace::open(kind, copy, self.form_limits())?;
            if !collection.is_outgrown() {
                let mut update = InPlaceUpdate {
                    key: KeyUpdate::with(self, &mut shard, locked, access, stored),
                    collection,
                    removes: false,
                    events: SmallVec::new(),
                };
                let result = f(&mut OneUpdate::InPlace(&mut update));
                if !update.collection.is_outgrown() {
                    if result.is_ok() {
                        update.apply()?;
                    } else {
                        update.key.touch();
                    }
                    return result;
                }
            }
        }
        let opened = match stored {
            Some(stored) => self.open_elements(&mut shard, locked, stored, kind, access.now)?,
            None => None,
        };
        if let Some((opened, stored)) = opened.zip(stored) {
            let key = KeyUpdate::with(self, &mut shard, locked, access, Some(stored));
            let mut update = ElementsUpdate::new(key, opened);
            let result = f(&mut OneUpdate::Elements(&mut update))?;
            if let Some(rest) = update.apply()? {
                let numbers = Each::from_buf([shard_of(locked.hash)]);
                let shards = (numbers, Each::from_buf([shard]));
                rest.apply(self, shards, (locked, stored), access)?;
            }
            return Ok(result);
        }
        let numbers = Each::from_buf([shard_of(locked.hash)]);
        let shards = (numbers, Each::from_buf([shard]));
        let (list, stored) = (Each::from_buf([locked]), Each::from_buf([stored]));
        let keys = LockedKeys::with(self, shards, list, stored, access);
        Update::new(keys).run(|update| f(&mut OneUpdate::Staged(update, kind)))
    }
}

impl InPlaceUpdate<'_> {
    /// Writes the record, and emits the events.
    fn apply(&mut self) -> Result<(), KeyspaceError> {
        let Self {
            key,
            collection,
            removes,
            ..
        } = &mut *self;
        if *removes || (collection.is_changed() && collection.len() == 0) {
            key.forget()?;
        } else if collection.is_changed() {
            let located = key.stored.ok_or(KeyspaceError::WrongKind)?;
            let damaged = KeyspaceError::Failed("a compact collection has too many elements");
            let value = collection.finish().ok_or(damaged)?;
            key.store(located.kind.into(), value, located.expires_at, true)?;
        } else {
            key.touch();
        }
        let LockedKey { key: name, db, .. } = key.locked;
        for (class, event) in &self.events {
            self.key.keyspace.events.emit(*class, event, db, name);
        }
        self.key.add_dirty();
        Ok(())
    }
}

impl OneUpdate<'_, '_> {
    /// The live collection as it was before the call's changes, or with those that were made in place; `None` if the key is
    /// missing. The value may be of another type.
    pub fn view(&self) -> Option<View<'_>> {
        match self {
            Self::Staged(update, _) => update.view(0),
            Self::InPlace(update) => Some(View::of_body(update.collection.body())),
            Self::Elements(update) => Some(update.view()),
        }
    }

    /// Whether the key is there, and not past its deadline.
    pub fn exists(&self) -> bool {
        match self {
            Self::Staged(update, _) => update.info(0).is_some(),
            Self::InPlace(_) | Self::Elements(_) => true,
        }
    }

    /// The hash or set, ready to be changed; a new one if the key is missing. If it has no elements after the call, the key
    /// is removed.
    pub fn fields(&mut self) -> Result<FieldsEdit<'_>, KeyspaceError> {
        match self {
            Self::Staged(update, kind) => update.fields(0, *kind),
            Self::InPlace(update) => Ok(FieldsEdit::InPlace(&mut update.collection)),
            Self::Elements(update) => update.fields(),
        }
    }

    /// The sorted set, ready to be changed; see [`fields`](Self::fields).
    pub fn scores(&mut self) -> Result<ScoresEdit<'_>, KeyspaceError> {
        match self {
            Self::Staged(update, _) => update.scores(0),
            Self::InPlace(update) => Ok(ScoresEdit::InPlace(&mut update.collection)),
            Self::Elements(update) => update.scores(),
        }
    }

    /// The list, ready to be changed; see [`fields`](Self::fields).
    pub fn list(&mut self) -> Result<ListEdit<'_>, KeyspaceError> {
        match self {
            Self::Staged(update, _) => update.list(0),
            Self::InPlace(update) => Ok(ListEdit::InPlace(&mut update.collection)),
            Self::Elements(update) => update.list(),
        }
    }

    /// Stages the removal of the key.
    pub fn remove(&mut self) {
        match self {
            Self::Staged(update, _) => update.remove(0),
            Self::InPlace(update) => update.removes = true,
            Self::Elements(update) => update.remove(),
        }
    }

    /// Emits an event of the key after the writes, if the observer wants it.
    pub fn event(&mut self, class: EventClass, name: &'static str) {
        match self {
            Self::Staged(update, _) => update.event(0, class, name),
            Self::InPlace(update) => {
                update.key.dirty.told_of(class);
                if update.key.keyspace.events.wants(class) {
                    update.events.push((class, name));
                }
            }
            Self::Elements(update) => {
                update.key.dirty.told_of(class);
                if update.key.keyspace.events.wants(class) {
                    update.events.push((class, name));
                }
            }
        }
    }

    /// Sets how many changes of data the call counts as. Without this, a call that emits an event counts as one.
    pub fn set_dirty(&mut self, changes: usize) {
        match self {
            Self::Staged(update, _) => update.set_dirty(changes),
            Self::InPlace(update) => update.key.set_dirty(changes),
            Self::Elements(update) => update.key.set_dirty(changes),
        }
    }
}

//! Changing one locked key: each change goes through the protocol at once, as a call of one change.
//!
//! The caller's bytes go to the store without a copy, and a change that finds no room fails where it is made, so that
//! the caller may do without it.

use std::cell::Cell;

use smallvec::SmallVec;

use super::KeyWrite;
use super::locked::{LockedKey, next_access};
use crate::dirty::Dirty;
use crate::index::Entry;
use crate::reading::{StringView, live, storable};
use crate::shard::Shard;
use crate::{
    Access, EventClass, KeyInfo, Keyspace, KeyspaceError, Millis, RecordKind, StringForm, Value,
};
use store::Change;
use store::change::changed;

/// One locked key.
pub struct KeyUpdate<'a> {
    pub(super) keyspace: &'a Keyspace,
    pub(super) shard: &'a mut Shard,
    pub(super) locked: LockedKey<'a>,
    pub(super) access: Access,
    /// Whether this call has touched the key already.
    pub(super) touched: Cell<bool>,
    dirty: Dirty,
}

impl<'a> KeyUpdate<'a> {
    #[inline]
    pub(super) fn new(
        keyspace: &'a Keyspace,
        shard: &'a mut Shard,
        locked: LockedKey<'a>,
        access: Access,
    ) -> Self {
        Self {
            keyspace,
            shard,
            locked,
            access,
            touched: Cell::new(false),
            dirty: Dirty::default(),
        }
    }

    /// Adds the call's changes of data to those of all calls.
    #[inline]
    pub(super) fn add_dirty(&mut self) {
        self.shard.dirty += self.dirty.count();
    }

    /// The key's entry, past its deadline or not.
    #[inline]
    pub(super) fn entry(&self) -> Option<&Entry> {
        let LockedKey {
            key,
            hash,
            generation,
            ..
        } = self.locked;
        self.shard.get(generation, hash, key)
    }

    fn live_entry(&self) -> Option<&Entry> {
        live(self.entry(), self.access.now)
    }

    fn access_of(&self, entry: Option<&Entry>) -> Access {
        match entry {
            Some(_) => next_access(self.access, &self.touched),
            None => self.access,
        }
    }

    /// What the index knows of the key; `None` where it is absent or past its deadline.
    pub fn info(&self) -> Option<KeyInfo> {
        let clock = self.keyspace.eviction.clock();
        let entry = self.live_entry()?;
        Some(entry.info(self.access.now, clock))
    }

    /// Runs `f` on the live value.
    pub fn read<R>(&self, f: impl FnOnce(Value<'_>) -> R) -> Result<Option<R>, KeyspaceError> {
        let LockedKey {
            hash, generation, ..
        } = self.locked;
        let entry = self.live_entry();
        let access = self.access_of(entry);
        self.keyspace
            .reading()
            .value(hash, generation, entry, access, f)
    }

    /// Runs `f` on the live string; see [`Keyspace::read_string`](crate::Keyspace::read_string).
    pub fn read_string<R>(
        &self,
        f: impl FnOnce(StringView<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let LockedKey {
            hash, generation, ..
        } = self.locked;
        let entry = self.live_entry();
        let access = self.access_of(entry);
        self.keyspace
            .reading()
            .string(hash, generation, entry, access, f)
    }

    /// Stores a value. On an error the old one is still there.
    pub fn put(
        &mut self,
        kind: impl Into<RecordKind>,
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        self.store(kind.into(), value, expires_at, true)
    }

    /// Stores a value in another form, which does not count as a modification of the key: Redis changes how it holds a
    /// string before it knows whether a command changes it.
    pub fn put_unmodified(
        &mut self,
        kind: impl Into<RecordKind>,
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        self.store(kind.into(), value, expires_at, false)
    }

    fn store(
        &mut self,
        kind: RecordKind,
        value: &[u8],
        expires_at: Option<Millis>,
        modifies: bool,
    ) -> Result<(), KeyspaceError> {
        self.apply(KeyWrite::Put {
            kind,
            value,
            expires_at: storable(expires_at),
            modifies,
        })
    }

    /// Changes the deadline of a live key. Does nothing where there is none.
    pub fn set_expiry(&mut self, expires_at: Option<Millis>) -> Result<(), KeyspaceError> {
        if self.live_entry().is_none() {
            return Ok(());
        }
        self.apply(KeyWrite::SetExpiry {
            expires_at: storable(expires_at),
        })
    }

    /// Removes the key. `false` where it was absent or past its deadline.
    pub fn remove(&mut self) -> Result<bool, KeyspaceError> {
        if self.entry().is_none() {
            return Ok(false);
        }
        let was_live = self.live_entry().is_some();
        self.apply(KeyWrite::Remove)?;
        Ok(was_live)
    }

    /// Says that the key counts as modified although nothing is written.
    pub fn modified(&mut self) {
        let exists = self.info().is_some();
        let LockedKey { key, db, .. } = self.locked;
        self.keyspace
            .telling()
            .modified(self.shard, db, key, self.access, exists);
    }

    /// Tells of an event of this key, where anybody wants to know. Called after the write that it is about.
    pub fn event(&mut self, class: EventClass, name: &'static str) {
        self.dirty.told_of(class);
        let LockedKey { key, db, .. } = self.locked;
        self.keyspace.events.emit(class, name, db, key);
    }

    /// Says how many changes of data the call counts as. Otherwise a call that tells of an event counts as one.
    pub fn set_dirty(&mut self, changes: usize) {
        self.dirty.set(changes);
    }

    /// Shows the live string to `f`, [`StringView::ABSENT`] where there is none, and makes the edit that `f` returns
    /// beside its result. Of a long string only what changes is written.
    pub fn edit_string<'c, R, E: From<KeyspaceError>>(
        &mut self,
        f: impl FnOnce(StringView<'_>) -> Result<(R, StringEdit<'c>), E>,
    ) -> Result<R, E> {
        let entry = self.live_entry();
        let is_large = entry.is_some_and(|entry| self.keyspace.store.is_large(entry.location));
        let edit = |string: StringView<'_>| {
            let (result, edit) = f(string)?;
            let written = match edit.changes {
                None => Written::Nothing,
                Some(changes) if is_large => Written::Parts(changes),
                Some(changes) => Written::Whole(changed(&string.whole()?, &changes)),
            };
            Ok::<_, E>((result, written, edit.form, edit.modifies, string.expires_at))
        };
        let (result, written, form, modifies, expires_at) = match entry {
            None => edit(StringView::ABSENT)?,
            Some(_) => match self.read_string(edit)? {
                Some(edited) => edited?,
                None => return Err(KeyspaceError::Store("a value is missing".into()).into()),
            },
        };
        match written {
            Written::Nothing => {}
            Written::Whole(value) if modifies => self.put(form, &value, expires_at)?,
            Written::Whole(value) => self.put_unmodified(form, &value, expires_at)?,
            Written::Parts(changes) => self.apply(KeyWrite::Patch {
                changes: &changes,
                expires_at,
                modifies,
            })?,
        }
        Ok(result)
    }
}

/// What changes in a string: most often one thing.
pub type StringChanges<'c> = SmallVec<[Change<'c>; 1]>;

/// What a command does to a string.
#[derive(Debug)]
pub struct StringEdit<'c> {
    changes: Option<StringChanges<'c>>,
    form: StringForm,
    modifies: bool,
}

impl<'c> StringEdit<'c> {
    /// Nothing is written.
    pub fn none() -> Self {
        Self {
            changes: None,
            form: StringForm::Raw,
            modifies: false,
        }
    }

    /// Changes in place, after which Redis holds the string in a buffer.
    pub fn change(changes: StringChanges<'c>) -> Self {
        Self {
            changes: Some(changes),
            form: StringForm::Raw,
            modifies: true,
        }
    }

    /// As [`change`](Self::change) of a string that `form` tells how to hold.
    pub fn change_to(form: StringForm, changes: StringChanges<'c>) -> Self {
        Self {
            form,
            ..Self::change(changes)
        }
    }

    /// Redis moves the string into a buffer, and may lengthen it, but tells nobody of a change.
    pub fn unmodified(changes: StringChanges<'c>) -> Self {
        Self {
            modifies: false,
            ..Self::change(changes)
        }
    }
}

/// What becomes of a string's record.
enum Written<'c> {
    Nothing,
    Whole(Vec<u8>),
    Parts(StringChanges<'c>),
}

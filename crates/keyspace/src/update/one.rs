//! Changes of one locked key. Each change takes all steps at once, as if it were the call's only change.
//!
//! The caller's bytes go to the store without a copy. If the store is full, the caller learns it from the change
//! itself, and may go on without that change.

use std::cell::Cell;

use smallvec::SmallVec;

use super::KeyWrite;
use super::locked::{LockedKey, found_again, next_access};
use crate::dirty::Dirty;
use crate::index::{Found, Located};
use crate::reading::{StringView, storable};
use crate::shard::Shard;
use crate::{
    Access, EventClass, Followed, KeyInfo, Keyspace, KeyspaceError, Millis, RecordKind, StringForm,
    Value,
};
use store::Change;
use store::change::{changed, changed_len};

/// One locked key.
pub struct KeyUpdate<'a> {
    pub(super) keyspace: &'a Keyspace,
    pub(super) shard: &'a mut Shard,
    pub(super) locked: LockedKey<'a>,
    pub(super) access: Access,
    /// Where the index has the key now; `None` if the key is absent. The call looks it up once, and each change of the key
    /// says where it is then.
    pub(super) stored: Option<Located>,
    /// Whether this call has touched the key already.
    pub(super) touched: Cell<bool>,
    pub(super) dirty: Dirty,
}

impl<'a> KeyUpdate<'a> {
    #[inline]
    pub(crate) fn new(
        keyspace: &'a Keyspace,
        shard: &'a mut Shard,
        locked: LockedKey<'a>,
        access: Access,
    ) -> Result<Self, KeyspaceError> {
        let LockedKey {
            key,
            hash,
            generation,
            ..
        } = locked;
        let found = shard.get(keyspace.names(generation), hash, key)?;
        let stored = found.map(Found::located);
        Ok(Self::with(keyspace, shard, locked, access, stored))
    }

    /// As [`new`](Self::new), for a key that was looked up before: where the index has it.
    #[inline]
    pub(crate) fn with(
        keyspace: &'a Keyspace,
        shard: &'a mut Shard,
        locked: LockedKey<'a>,
        access: Access,
        stored: Option<Located>,
    ) -> Self {
        Self {
            keyspace,
            shard,
            locked,
            access,
            stored,
            touched: Cell::new(false),
            dirty: Dirty::default(),
        }
    }

    /// Counts the call as a use of the key, unless it has done so before.
    pub(super) fn touch(&self) {
        if next_access(self.access, &self.touched).touch
            && let Some(found) = self.found()
        {
            let clock = self.keyspace.eviction.clock();
            found.entry.touch(self.access.now, clock);
        }
    }

    /// Adds the call's changes of data to the shard's count.
    #[inline]
    pub(super) fn add_dirty(&mut self) {
        self.shard.dirty += self.dirty.count();
    }

    /// The key's entry, expired or not.
    #[inline]
    pub(super) fn found(&self) -> Option<Found<'_>> {
        let LockedKey {
            key,
            hash,
            generation,
            ..
        } = self.locked;
        found_again(self.shard, generation, hash, key, self.stored)
    }

    /// Tells replicas that the key is gone if it is past its deadline: they leave that to this server.
    #[cold]
    pub(super) fn tell_expired(&self) {
        let LockedKey { key, db, .. } = self.locked;
        // The look-up has found the deadline already, and most keys have none.
        let deadline = self.stored.and_then(|stored| stored.expires_at);
        if self.keyspace.expiry().has_passed(deadline, self.access.now) {
            let gone = Followed::Gone(db, key);
            self.keyspace.events.tell_followed(gone);
        }
    }

    fn live(&self) -> Option<Found<'_>> {
        self.keyspace.expiry().live(self.found(), self.access.now)
    }

    fn access_of(&self, found: Option<Found<'_>>) -> Access {
        match found {
            Some(_) => next_access(self.access, &self.touched),
            None => self.access,
        }
    }

    /// What the index knows about the key; `None` if the key is absent or past its deadline.
    pub fn info(&self) -> Option<KeyInfo> {
        let clock = self.keyspace.eviction.clock();
        Some(self.live()?.info(self.access.now, clock))
    }

    /// Runs `f` on the live value; returns `None` if there is none.
    pub fn read<R>(&self, f: impl FnOnce(Value<'_>) -> R) -> Result<Option<R>, KeyspaceError> {
        let LockedKey {
            hash, generation, ..
        } = self.locked;
        let found = self.live();
        let access = self.access_of(found);
        self.keyspace
            .reading()
            .value(hash, generation, found, access, f)
    }

    /// Runs `f` on the live string; see [`Keyspace::read_string`](crate::Keyspace::read_string).
    pub fn read_string<R>(
        &self,
        f: impl FnOnce(StringView<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let LockedKey {
            hash, generation, ..
        } = self.locked;
        let found = self.live();
        let access = self.access_of(found);
        self.keyspace
            .reading()
            .string(hash, generation, found, access, f)
    }

    /// Stores a value. After an error, the key still has its old value.
    pub fn put(
        &mut self,
        kind: impl Into<RecordKind>,
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        self.store(kind.into(), value, expires_at, true)
    }

    /// Stores a value in another form, without counting it as a modification of the key: Redis changes how it holds a
    /// string before it knows whether the command changes it.
    pub fn put_unmodified(
        &mut self,
        kind: impl Into<RecordKind>,
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        self.store(kind.into(), value, expires_at, false)
    }

    /// Stores a value; see [`put`](Self::put).
    #[inline(never)]
    pub(super) fn store(
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

    /// Changes the deadline of a live key; does nothing if there is no such key. A key that has this deadline counts as modified,
    /// but nothing is written.
    pub fn set_expiry(&mut self, expires_at: Option<Millis>) -> Result<(), KeyspaceError> {
        let Some(found) = self.live() else {
            return Ok(());
        };
        let expires_at = storable(expires_at);
        if expires_at.is_some() && found.located().expires_at == expires_at {
            self.modified();
            return Ok(());
        }
        self.apply(KeyWrite::SetExpiry { expires_at })
    }

    /// Removes the key. Returns `false` if the key was absent or past its deadline.
    pub fn remove(&mut self) -> Result<bool, KeyspaceError> {
        if self.stored.is_none() {
            return Ok(false);
        }
        let was_live = self.live().is_some();
        self.forget()?;
        Ok(was_live)
    }

    /// Removes the key, which the index has.
    #[inline(never)]
    pub(super) fn forget(&mut self) -> Result<(), KeyspaceError> {
        self.apply(KeyWrite::Remove)
    }

    /// Counts the key as modified although nothing is written.
    pub fn modified(&mut self) {
        let exists = self.info().is_some();
        let LockedKey { key, db, .. } = self.locked;
        self.keyspace
            .telling()
            .modified(self.shard, db, key, self.access, exists);
    }

    /// Emits an event of this key if the observer wants it. Call it right after the write that the event reports.
    pub fn event(&mut self, class: EventClass, name: &'static str) {
        self.dirty.told_of(class);
        let LockedKey { key, db, .. } = self.locked;
        self.keyspace.events.emit(class, name, db, key);
    }

    /// Sets how many changes of data the call counts as. Without this, a call that emits an event counts as one.
    pub fn set_dirty(&mut self, changes: usize) {
        self.dirty.set(changes);
    }

    /// Shows the live string to `f`, or [`StringView::ABSENT`], and makes the edit that `f` returns beside its result.
    /// It writes only the part of a long string that changes.
    pub fn edit_string<'c, R, E: From<KeyspaceError>>(
        &mut self,
        f: impl FnOnce(StringView<'_>) -> Result<(R, StringEdit<'c>), E>,
    ) -> Result<R, E> {
        let found = self.live();
        let is_large = found.is_some_and(|found| self.keyspace.store.is_large(found.location));
        let edit = |string: StringView<'_>| {
            let (result, edit) = f(string)?;
            let written = match edit.changes {
                None => Written::Nothing,
                Some(changes) => {
                    let old_len = string.len_bytes()?;
                    let len = changed_len(old_len, &changes);
                    // Partitioned engines write a long value that grows anew as a whole.
                    let in_parts = is_large && (len == old_len || !self.keyspace.partitioned);
                    let written_bytes = if in_parts { len - old_len } else { len };
                    self.keyspace
                        .memory_check()
                        .refuse_long(len, written_bytes, self.access)?;
                    if is_large {
                        Written::Parts(changes)
                    } else {
                        Written::Whole(changed(&string.whole()?, &changes))
                    }
                }
            };
            Ok::<_, E>((result, written, edit.form, edit.modifies, string.expires_at))
        };
        let (result, written, form, modifies, expires_at) = match found {
            None => edit(StringView::ABSENT)?,
            Some(_) => match self.read_string(edit)? {
                Some(edited) => edited?,
                None => return Err(KeyspaceError::Failed("a value is missing").into()),
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

/// The changes of a string; most commands make one.
pub type StringChanges<'c> = SmallVec<[Change<'c>; 1]>;

/// What a command does to a string.
#[derive(Debug)]
pub struct StringEdit<'c> {
    changes: Option<StringChanges<'c>>,
    form: StringForm,
    modifies: bool,
}

impl<'c> StringEdit<'c> {
    /// An edit that writes nothing.
    pub fn none() -> Self {
        Self {
            changes: None,
            form: StringForm::Raw,
            modifies: false,
        }
    }

    /// An edit that changes the string in place. Redis then holds the string in a buffer.
    pub fn change(changes: StringChanges<'c>) -> Self {
        Self {
            changes: Some(changes),
            form: StringForm::Raw,
            modifies: true,
        }
    }

    /// As [`change`](Self::change), for a string that Redis holds in `form` afterwards.
    pub fn change_to(form: StringForm, changes: StringChanges<'c>) -> Self {
        Self {
            form,
            ..Self::change(changes)
        }
    }

    /// An edit after which Redis holds the string in a buffer, perhaps lengthened, without reporting a change.
    pub fn unmodified(changes: StringChanges<'c>) -> Self {
        Self {
            modifies: false,
            ..Self::change(changes)
        }
    }
}

/// What the edit writes to the string's record.
enum Written<'c> {
    Nothing,
    Whole(Vec<u8>),
    Parts(StringChanges<'c>),
}

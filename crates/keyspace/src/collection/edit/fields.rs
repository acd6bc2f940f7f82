//! Edits of a hash or a set.

use super::{ElementEdits, Stored, stored};
use crate::collection::Collection;
use crate::collection::compact::InPlace;
use crate::collection::source::Source;
use crate::{Keyspace, KeyspaceError, Millis};

/// A locked hash or set, ready to be changed.
#[derive(Debug)]
pub enum FieldsEdit<'e> {
    /// By changes that are made when the call returns.
    Staged(StagedFields<'e>),
    /// In a copy of its record. It has no fields with deadlines.
    InPlace(&'e mut InPlace),
}

impl FieldsEdit<'_> {
    /// How many elements there are after the changes so far.
    pub fn len(&self) -> usize {
        match self {
            Self::Staged(fields) => fields.len(),
            Self::InPlace(fields) => fields.len(),
        }
    }

    /// Whether no element is left after the changes so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the element exists after the changes so far.
    pub fn contains(&self, name: &[u8]) -> Result<bool, KeyspaceError> {
        match self {
            Self::Staged(fields) => fields.contains(name),
            Self::InPlace(fields) => Ok(fields.body().find(name).is_some()),
        }
    }

    /// Runs `f` on a field's value after the changes so far; returns `None` if there is no such field.
    pub fn get<R>(
        &self,
        name: &[u8],
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        match self {
            Self::Staged(fields) => fields.get(name, f),
            Self::InPlace(fields) => Ok(fields.body().find(name).map(f)),
        }
    }

    /// Sets a field's value, or adds a member (whose value is empty). The field has no deadline then. Returns whether
    /// the element is new.
    pub fn put(&mut self, name: &[u8], value: &[u8]) -> Result<bool, KeyspaceError> {
        match self {
            Self::Staged(fields) => fields.put(name, value),
            Self::InPlace(fields) => Ok(fields.put(name, value)),
        }
    }

    /// Sets a field's value and its deadline. Returns whether the field is new.
    pub fn put_until(
        &mut self,
        name: &[u8],
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<bool, KeyspaceError> {
        match self {
            Self::Staged(fields) => fields.put_until(name, value, expires_at),
            Self::InPlace(fields) => {
                if expires_at.is_some() {
                    fields.outgrow();
                }
                Ok(fields.put(name, value))
            }
        }
    }

    /// Adds a member unless it exists. Returns whether it is new.
    pub fn add(&mut self, name: &[u8]) -> Result<bool, KeyspaceError> {
        match self {
            Self::Staged(fields) => fields.add(name),
            Self::InPlace(fields) => Ok(fields.add(name)),
        }
    }

    /// Removes an element; returns whether it existed.
    #[inline]
    pub fn remove(&mut self, name: &[u8]) -> Result<bool, KeyspaceError> {
        match self {
            Self::Staged(fields) => fields.remove(name),
            Self::InPlace(fields) => Ok(fields.remove(name)),
        }
    }

    /// A field's deadline after the changes so far, `Some(None)` if it has none; `None` if there is no such field.
    pub fn deadline(&self, name: &[u8]) -> Result<Option<Option<Millis>>, KeyspaceError> {
        match self {
            Self::Staged(fields) => fields.deadline(name),
            Self::InPlace(fields) => Ok(fields.body().find(name).map(|_| None)),
        }
    }

    /// Gives a field another deadline, or none; does nothing if there is no such field.
    pub fn set_deadline(
        &mut self,
        name: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        match self {
            Self::Staged(fields) => fields.set_deadline(name, expires_at),
            Self::InPlace(fields) => {
                if expires_at.is_some() {
                    fields.outgrow();
                }
                Ok(())
            }
        }
    }

    /// Has the elements get records of their own with this change, if they lie in the record of the key: for what the
    /// compact form has no place for, as a deadline of one field.
    pub fn leave_compact(&mut self) {
        match self {
            Self::Staged(fields) => fields.leave_compact(),
            Self::InPlace(fields) => fields.outgrow(),
        }
    }
}

/// A hash or set that is changed by staged changes.
#[derive(Debug)]
pub struct StagedFields<'e> {
    pub(crate) keyspace: &'e Keyspace,
    pub(crate) locked: &'e Collection,
    pub(crate) id: u64,
    pub(crate) edits: &'e mut ElementEdits,
    pub(crate) now: Millis,
}

impl StagedFields<'_> {
    fn len(&self) -> usize {
        let names = self.keyspace.names_of_elements(self.id);
        let live = self.locked.live_len(self.now, &names);
        live.saturating_add_signed(self.edits.added)
    }

    fn contains(&self, name: &[u8]) -> Result<bool, KeyspaceError> {
        self.has(self.keyspace.hashing.hash_of_element(name), name)
    }

    /// [`contains`](Self::contains) of an element with this hash.
    fn has(&self, hash: u64, name: &[u8]) -> Result<bool, KeyspaceError> {
        Ok(match self.edits.find(hash, name) {
            Some(position) => self.edits.list[position].stays(),
            None => self.live(hash, name)?.is_some(),
        })
    }

    fn get<R>(&self, name: &[u8], f: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, KeyspaceError> {
        let hash = self.keyspace.hashing.hash_of_element(name);
        if let Some(position) = self.edits.find(hash, name)
            && !self.edits.list[position].keeps_value
        {
            let value = self.edits.list[position].value.clone();
            return Ok(value.map(|value| f(&self.edits.bytes[value])));
        }
        if let Some(body) = self.locked.body() {
            return Ok(body.find(name).map(f));
        }
        let stored = self.live(hash, name)?;
        let source = Source::new(self.keyspace, self.id);
        stored
            .map(|stored| source.read(name, stored.location, f))
            .transpose()
    }

    fn put(&mut self, name: &[u8], value: &[u8]) -> Result<bool, KeyspaceError> {
        Ok(!self.edit(name, Some(value), None)?)
    }

    fn add(&mut self, name: &[u8]) -> Result<bool, KeyspaceError> {
        let hash = self.keyspace.hashing.hash_of_element(name);
        let present = self.has(hash, name)?;
        if !present {
            self.edits
                .set(self.id, (hash, name), Some(b""), || Ok(None))?;
        }
        Ok(!present)
    }

    fn remove(&mut self, name: &[u8]) -> Result<bool, KeyspaceError> {
        self.edit(name, None, None)
    }

    pub(super) fn leave_compact(&mut self) {
        self.edits.leaves_compact = self.locked.body().is_some();
    }

    pub(super) fn edit(
        &mut self,
        name: &[u8],
        value: Option<&[u8]>,
        expires_at: Option<Millis>,
    ) -> Result<bool, KeyspaceError> {
        let (hash, now) = (self.keyspace.hashing.hash_of_element(name), self.now);
        let (keyspace, locked, id) = (self.keyspace, self.locked, self.id);
        let edits = &mut *self.edits;
        edits.set_until(id, (hash, name), value, expires_at, || {
            let located = stored(keyspace, locked, id, hash, name)?;
            Ok(located.map(|located| Stored {
                located,
                expired: located.is_expired(now),
                score: 0.0,
            }))
        })
    }
}

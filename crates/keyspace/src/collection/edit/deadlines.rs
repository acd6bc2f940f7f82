//! Edits of a hash's fields with their deadlines.

use std::ops::Range;

use super::{ElementEdit, ElementEdits, StagedFields, Stored, stored};
use crate::index::Located;
use crate::reading::storable;
use crate::{KeyspaceError, Millis};

impl ElementEdits {
    /// As [`set`](Self::set), and gives the element a deadline.
    pub(super) fn set_until(
        &mut self,
        id: u64,
        name: (u64, &[u8]),
        value: Option<&[u8]>,
        expires_at: Option<Millis>,
        stored: impl FnOnce() -> Result<Option<Stored>, KeyspaceError>,
    ) -> Result<bool, KeyspaceError> {
        let (hash, name) = name;
        let known = self.find(hash, name);
        let current = match known {
            Some(_) => None,
            None => stored()?,
        };
        let value = value.map(|value| self.give(value));
        let will_be = value.is_some();
        let was = if let Some(position) = known {
            let edit = &mut self.list[position];
            let was = edit.stays();
            (edit.value, edit.keeps_value, edit.expires_at) = (value, false, expires_at);
            was
        } else {
            let was = current.is_some_and(|stored| !stored.expired);
            if !was && !will_be {
                return Ok(false);
            }
            let key = self.key_bytes(id, name);
            self.push(ElementEdit {
                hash,
                key,
                value,
                keeps_value: false,
                expires_at,
                current,
            });
            was
        };
        self.added += isize::from(will_be) - isize::from(was);
        Ok(was)
    }

    /// Keeps the bytes of an element's key; returns where.
    fn key_bytes(&mut self, id: u64, name: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&id.to_le_bytes());
        self.bytes.extend_from_slice(name);
        start..self.bytes.len()
    }

    /// Changes the deadline of an element that exists after the edits so far; `current` is the element as it is stored.
    fn set_deadline(
        &mut self,
        id: u64,
        (hash, name): (u64, &[u8]),
        expires_at: Option<Millis>,
        current: Option<Stored>,
    ) {
        if let Some(position) = self.find(hash, name) {
            self.list[position].expires_at = expires_at;
            return;
        }
        let key = self.key_bytes(id, name);
        self.push(ElementEdit {
            hash,
            key,
            value: None,
            keeps_value: true,
            expires_at,
            current,
        });
    }
}

impl StagedFields<'_> {
    /// Sets a field's value and its deadline. Returns whether the field is new.
    pub(super) fn put_until(
        &mut self,
        name: &[u8],
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<bool, KeyspaceError> {
        let expires_at = storable(expires_at);
        if expires_at.is_some() {
            self.leave_compact();
        }
        Ok(!self.edit(name, Some(value), expires_at)?)
    }

    /// A field's deadline after the changes so far, `Some(None)` if it has none; `None` if there is no such field.
    #[allow(clippy::option_option)] // The field may be missing, or its deadline.
    pub(super) fn deadline(&self, name: &[u8]) -> Result<Option<Option<Millis>>, KeyspaceError> {
        let hash = self.keyspace.hashing.hash(name);
        if let Some(position) = self.edits.find(hash, name) {
            let edit = &self.edits.list[position];
            return Ok(edit.stays().then_some(edit.expires_at));
        }
        let found = self.live(hash, name)?;
        Ok(found.map(|found| found.expires_at))
    }

    /// Gives a field another deadline, or none; does nothing if there is no such field.
    pub(super) fn set_deadline(
        &mut self,
        name: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        let Some(before) = self.deadline(name)? else {
            return Ok(());
        };
        let expires_at = storable(expires_at);
        if before == expires_at {
            return Ok(());
        }
        if expires_at.is_some() {
            self.leave_compact();
        }
        let hash = self.keyspace.hashing.hash(name);
        let current = self.live(hash, name)?.map(|located| Stored {
            located,
            expired: false,
            score: 0.0,
        });
        let id = self.id;
        self.edits
            .set_deadline(id, (hash, name), expires_at, current);
        Ok(())
    }

    /// Where a stored field lies that is not past its deadline.
    pub(super) fn live(&self, hash: u64, name: &[u8]) -> Result<Option<Located>, KeyspaceError> {
        let found = stored(self.keyspace, self.locked, self.id, hash, name)?;
        Ok(found.filter(|found| !found.is_expired(self.now)))
    }
}

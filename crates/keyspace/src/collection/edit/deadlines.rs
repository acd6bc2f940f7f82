//! Edits of a hash's fields with their deadlines.

use super::{ElementEdit, ElementEdits, FieldsEdit, Stored};
use crate::index::Entry;
use crate::reading::storable;
use crate::{KeyspaceError, Millis};

impl ElementEdits {
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
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&id.to_le_bytes());
        self.bytes.extend_from_slice(name);
        self.push(ElementEdit {
            hash,
            key: start..self.bytes.len(),
            value: None,
            keeps_value: true,
            expires_at,
            current,
        });
    }
}

impl FieldsEdit<'_> {
    /// Sets a field's value and its deadline. Returns whether the field is new.
    pub fn put_until(
        &mut self,
        name: &[u8],
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<bool, KeyspaceError> {
        Ok(!self.edit(name, Some(value), storable(expires_at))?)
    }

    /// A field's deadline after the changes so far, `Some(None)` if it has none; `None` if there is no such field.
    pub fn deadline(&self, name: &[u8]) -> Option<Option<Millis>> {
        let hash = self.keyspace.hashing.hash(name);
        match self.edits.find(hash, name) {
            Some(position) => {
                let edit = &self.edits.list[position];
                edit.stays().then_some(edit.expires_at)
            }
            None => self.live_entry(hash, name).map(Entry::expires_at),
        }
    }

    /// Gives a field another deadline, or none; does nothing if there is no such field.
    pub fn set_deadline(&mut self, name: &[u8], expires_at: Option<Millis>) {
        if self.deadline(name).is_none() {
            return;
        }
        let hash = self.keyspace.hashing.hash(name);
        let current = self.live_entry(hash, name).map(|entry| Stored {
            location: entry.location,
            expired: false,
            score: 0.0,
        });
        let id = self.id;
        self.edits
            .set_deadline(id, (hash, name), storable(expires_at), current);
    }

    /// The entry of a stored field that is not past its deadline.
    pub(super) fn live_entry(&self, hash: u64, name: &[u8]) -> Option<&Entry> {
        let entry = self.locked.names()?.get(hash, name)?;
        (!entry.is_expired(self.now)).then_some(entry)
    }
}

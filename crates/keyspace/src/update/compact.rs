//! Compact collections in a call, and the records of keys whose collections change.

use super::collections::{COMPACT, Opened};
use super::several::{Staged, Update};
use super::{Current, KeyWrite, Written};
use crate::collection::{Anchor, Edit, Encoding, Held, LockedCollection, Rewritten, View};
use crate::{KeyspaceError, Kind, Millis};
use store::Location;

impl Opened<'_> {
    /// The anchor of the collection as it is; `None` if it was removed meanwhile.
    pub(super) fn anchor(&self) -> Option<Anchor> {
        let locked = self.locked.as_ref()?;
        let tells = locked.kind != Kind::Stream && !locked.is_unmarked;
        Some(Anchor {
            id: self.id,
            encoding: tells.then_some(locked.encoding),
        })
    }
}

impl Update<'_> {
    /// Copies the compact collection of key `i`, which is live.
    pub(super) fn open_compact(&mut self, i: usize) -> Result<(), KeyspaceError> {
        let key = self.keys[i];
        let Some(found) = self.keys.found(i) else {
            return Ok(());
        };
        let keyspace = self.keys.keyspace;
        let copy = keyspace
            .collections()
            .copy_of(key.hash, key.generation, found)?;
        self.opened.push(Opened {
            keyspace,
            position: i,
            id: COMPACT,
            locked: Some(Held::Copy(copy)),
            expired: false,
            new: false,
        });
        Ok(())
    }

    /// Stages a copy of key `from`'s compact collection for key `to`; returns `false` if it has none.
    pub(super) fn copy_compact(
        &mut self,
        from: usize,
        to: usize,
        expires_at: Option<Millis>,
    ) -> bool {
        let start = self.values.len();
        let opened = self.opened.iter().find(|one| {
            one.position == self.first_position(from) && !one.expired && one.is_compact()
        });
        let Some(Held::Copy(collection)) = opened.and_then(|opened| opened.locked.as_ref()) else {
            return false;
        };
        let (Some(record), Some(kind)) = (collection.record(), collection.kind.compact()) else {
            return false;
        };
        self.values.extend_from_slice(record);
        self.put_staged(to, kind, start, expires_at);
        true
    }

    /// Whether the call changes only elements of one collection that existed before and still has elements, and whose
    /// anchor stays.
    #[inline]
    pub(super) fn only_changes_elements(&mut self) -> Result<bool, KeyspaceError> {
        let ([(_, edit)], [opened], true) = (
            &mut self.edits[..],
            &self.opened[..],
            self.staged.is_empty(),
        ) else {
            return Ok(false);
        };
        if opened.new {
            return Ok(false);
        }
        let now = self.keys.access.now;
        let Some(locked) = changes_elements(std::slice::from_ref(opened), edit, now) else {
            return Ok(false);
        };
        if locked.kind == Kind::Stream {
            return Ok(true);
        }
        if locked.is_unmarked {
            return Ok(false);
        }
        Ok(edit.measure(self.keys.keyspace, locked)? == locked.encoding)
    }

    /// [`apply`](Self::apply) for a call that changes one compact collection and nothing else, and leaves it compact: it writes
    /// the key's record. `false` where the call is another one; then nothing has happened.
    pub(super) fn apply_to_compact(&mut self) -> Result<bool, KeyspaceError> {
        let ([(i, edit)], [opened], true) = (
            &self.edits[..],
            &self.opened[..],
            self.staged.is_empty() && self.built.is_empty(),
        ) else {
            return Ok(false);
        };
        let Some(Held::Copy(collection)) = &opened.locked else {
            return Ok(false);
        };
        let (i, old) = (*i, collection.elements());
        let Some(kind) = collection.kind.compact() else {
            return Ok(false);
        };
        if opened.position != i || edit.is_empty() || edit.len_after(old.len()) == 0 {
            return Ok(false);
        }
        let keyspace = self.keys.keyspace;
        let start = self.values.len();
        if edit.rewrite(keyspace, old, &mut self.values)? != Rewritten::Compact {
            return Ok(false);
        }
        let (access, locked) = (self.keys.access, self.keys[i]);
        let current = Current::of(self.keys.stored(i), access);
        let kept = current.stored.filter(|_| !opened.new);
        let change = KeyWrite::Put {
            kind: kind.into(),
            value: &self.values[start..],
            expires_at: kept.and_then(|stored| stored.expires_at),
            modifies: true,
        };
        let Some(write) = change.write(self.keys.record(i), current) else {
            return Ok(false);
        };
        let mut location = [Location::default()];
        keyspace
            .writing()
            .store(&[write], &mut location, access.now)?;
        let touching = self.keys.next_access(i);
        let shard = self.keys.shard_mut(i);
        keyspace
            .writing()
            .index(shard, locked, change, current, location[0], || touching);
        keyspace
            .telling()
            .modified_by(shard, locked, change, current.was, access);
        if !self.notices.is_empty() {
            let name = (locked.generation, locked.key);
            self.tell(Written::from([(name, (current.was, true))]));
        }
        Ok(true)
    }

    /// Stages the writes of the records of keys whose collections change: anchors that come, go or tell another encoding,
    /// and compact collections.
    pub(super) fn stage_anchors(&mut self) -> Result<(), KeyspaceError> {
        for n in 0..self.edits.len() {
            let (i, edit) = &self.edits[n];
            let i = *i;
            let opened = self
                .opened
                .iter()
                .position(|one| one.position == i && !one.expired);
            let Some(at) = opened else {
                continue;
            };
            let opened = &self.opened[at];
            let len = opened.locked.as_ref().map_or(0, |locked| {
                let names = self.keys.keyspace.names_of_elements(opened.id);
                locked.live_len(self.keys.access.now, &names)
            });
            let staged = match (edit.is_empty(), edit.len_after(len), opened.new) {
                (true, ..) | (_, 0, true) => continue,
                (_, 0, false) => Staged::Remove,
                _ => self.stage_changed(n, at)?,
            };
            self.staged.push((i, staged));
        }
        Ok(())
    }

    /// The write of the key's record for the changes `n` of the collection `at`, which has elements afterwards.
    fn stage_changed(&mut self, n: usize, at: usize) -> Result<Staged, KeyspaceError> {
        let keyspace = self.keys.keyspace;
        let (i, edit) = &mut self.edits[n];
        let i = *i;
        let opened = &self.opened[at];
        let expires_at = if opened.new {
            None
        } else {
            self.keys.live(i).and_then(|found| found.expires_at)
        };
        let start = self.values.len();
        let Some(locked) = &opened.locked else {
            return Ok(Staged::Elements);
        };
        let (kind, is_stream) = (locked.kind, locked.kind == Kind::Stream);
        match locked {
            Held::Copy(collection) => {
                let body = collection.elements();
                match edit.rewrite(keyspace, body, &mut self.values)? {
                    Rewritten::Compact => {
                        return Ok(self.staged_from(
                            start,
                            kind.compact().unwrap_or(kind),
                            expires_at,
                        ));
                    }
                    Rewritten::Elements(encoding) => {
                        let (id, locked) = self.register_new(i, kind);
                        let (_, edit) = &mut self.edits[n];
                        if let Some(Held::Copy(collection)) = &self.opened[at].locked {
                            edit.leave_compact(keyspace, id, collection.elements(), encoding);
                        }
                        let opened = &mut self.opened[at];
                        opened.id = id;
                        opened.locked = Some(locked);
                        opened.new = true;
                        return Ok(self.stage_anchor(id, encoding, kind, expires_at));
                    }
                }
            }
            Held::Shared(_) if is_stream && !opened.new => return Ok(Staged::Elements),
            Held::Shared(_) if is_stream => {
                self.values.extend_from_slice(&opened.id.to_le_bytes());
            }
            Held::Shared(collection) => {
                let id = opened.id;
                let encoding = edit.measure(keyspace, collection)?;
                if encoding == collection.encoding && !collection.is_unmarked {
                    return Ok(Staged::Elements);
                }
                if collection.is_unmarked {
                    let view = View::new(keyspace, id, collection, self.keys.access.now);
                    let small = view.to_compact(keyspace)?;
                    if let Some(small) = small
                        && edit.rewrite(keyspace, small.body(), &mut self.values)?
                            == Rewritten::Compact
                    {
                        // The elements' records go with their anchor.
                        edit.id = COMPACT;
                        return Ok(self.staged_from(
                            start,
                            kind.compact().unwrap_or(kind),
                            expires_at,
                        ));
                    }
                }
                edit.encoding = Some(encoding);
                return Ok(self.stage_anchor(id, encoding, kind, expires_at));
            }
        }
        Ok(self.staged_from(start, kind, expires_at))
    }

    fn stage_anchor(
        &mut self,
        id: u64,
        encoding: Encoding,
        kind: Kind,
        expires_at: Option<Millis>,
    ) -> Staged {
        let start = self.values.len();
        let anchor = Anchor {
            id,
            encoding: Some(encoding),
        };
        anchor.encode(&mut self.values);
        self.staged_from(start, kind, expires_at)
    }

    /// A write of the staged value from `start` on.
    fn staged_from(&self, start: usize, kind: Kind, expires_at: Option<Millis>) -> Staged {
        Staged::Put {
            kind: kind.into(),
            start,
            end: self.values.len(),
            expires_at,
        }
    }
}

/// The collection whose elements an edit writes; `None` if it writes none.
pub(super) fn changes_elements<'o>(
    opened: &'o [Opened<'_>],
    edit: &Edit,
    now: Millis,
) -> Option<&'o LockedCollection> {
    let opened = opened
        .iter()
        .find(|one| one.id == edit.id && !one.is_compact())?;
    let Some(Held::Shared(locked)) = &opened.locked else {
        return None;
    };
    // If the whole collection is removed, its elements need no writes of their own.
    let names = opened.keyspace.names_of_elements(opened.id);
    let live = locked.live_len(now, &names);
    (!edit.is_empty() && edit.len_after(live) > 0).then_some(locked)
}

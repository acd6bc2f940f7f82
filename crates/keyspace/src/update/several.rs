//! Staging the changes of several locked keys.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::KeyWrite;
use super::collections::Opened;
use super::locked::{LockedKey, LockedKeys};
use super::new_collection::NewCollection;
use crate::collection::{Edit, Scratch};
use crate::reading::storable;
use crate::{
    EventClass, Followed, KeyInfo, KeyspaceError, Millis, PREFETCHED, RecordKind, StringView, Value,
};

/// Most calls have so few; these need no allocation.
pub(super) type Few<T> = SmallVec<[T; 2]>;

/// A staged change of a key, which is made when the closure returns.
#[derive(Clone, Copy)]
pub(super) enum Staged {
    Put {
        kind: RecordKind,
        /// The start of the value in `Update::values`.
        start: usize,
        end: usize,
        expires_at: Option<Millis>,
    },
    Remove,
    /// Only elements of the key's collection change.
    Elements,
}

impl Staged {
    /// The write to the key's record. `values` are the call's staged values.
    pub(super) fn key_write(self, values: &[u8]) -> KeyWrite<'_> {
        match self {
            Staged::Put {
                kind,
                start,
                end,
                expires_at,
            } => KeyWrite::Put {
                kind,
                value: &values[start..end],
                expires_at,
                modifies: true,
            },
            Staged::Remove => KeyWrite::Remove,
            Staged::Elements => KeyWrite::Nothing,
        }
    }
}

/// A report that the observer gets after the writes.
#[derive(Clone, Copy)]
pub(super) enum Notice {
    /// The events that follow from the write itself.
    Written,
    Event(EventClass, &'static str),
}

/// Several locked keys, each named by its position in the call, and their staged changes.
pub struct Update<'a> {
    pub(super) keys: LockedKeys<'a>,
    /// Staged values, end to end.
    pub(super) values: Scratch,
    pub(super) staged: Few<(usize, Staged)>,
    /// The reports to make after the writes; empty if the observer wants none.
    pub(super) notices: Vec<(usize, Notice)>,
    /// The locked collections: the keys' own, and those that keys will get.
    pub(super) opened: SmallVec<[Opened<'a>; 1]>,
    pub(super) edits: SmallVec<[(usize, Edit); 1]>,
    pub(super) built: Vec<NewCollection<'a>>,
    /// Collections that move to another key, with that key's position.
    pub(super) moved: Vec<(u64, usize)>,
    /// Keys that count as modified although the call writes nothing of them.
    pub(super) modified: Few<usize>,
}

impl<'a> Update<'a> {
    #[inline]
    pub(super) fn new(keys: LockedKeys<'a>) -> Self {
        Self {
            values: Scratch::default(),
            staged: Few::with_capacity(keys.len()),
            keys,
            notices: Vec::new(),
            opened: SmallVec::new(),
            edits: SmallVec::new(),
            built: Vec::new(),
            moved: Vec::new(),
            modified: Few::new(),
        }
    }

    /// How many keys the call has.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// What the index knows about key `i`; `None` if the key is absent or past its deadline.
    pub fn info(&self, i: usize) -> Option<KeyInfo> {
        self.keys.info(i)
    }

    /// Runs `f` on the live value of key `i`, as it was before this call's writes.
    pub fn read<R>(
        &self,
        i: usize,
        f: impl FnOnce(Value<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        self.keys.read(i, f)
    }

    /// Runs `f` on the live string of key `i`; see [`read`](Self::read) and
    /// [`Keyspace::read_string`](crate::Keyspace::read_string).
    pub fn read_string<R>(
        &self,
        i: usize,
        f: impl FnOnce(StringView<'_>) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        self.keys.read_string(i, f)
    }

    /// Stages a value for key `i`.
    pub fn put(
        &mut self,
        i: usize,
        kind: impl Into<RecordKind>,
        value: &[u8],
        expires_at: Option<Millis>,
    ) {
        let start = self.values.len();
        self.values.extend_from_slice(value);
        self.put_staged(i, kind, start, expires_at);
    }

    /// Stages the value that [`values`](Self::values) has from `start` on, for key `i`.
    pub(super) fn put_staged(
        &mut self,
        i: usize,
        kind: impl Into<RecordKind>,
        start: usize,
        expires_at: Option<Millis>,
    ) {
        let put = Staged::Put {
            kind: kind.into(),
            start,
            end: self.values.len(),
            expires_at: storable(expires_at),
        };
        self.stage(i, put);
    }

    /// Stages the removal of key `i`.
    pub fn remove(&mut self, i: usize) {
        self.stage(i, Staged::Remove);
    }

    fn stage(&mut self, i: usize, staged: Staged) {
        self.staged.push((i, staged));
        if self.keys.keyspace.events.wants_any() {
            self.notices.push((i, Notice::Written));
        }
    }

    /// Counts key `i` as modified although the call writes nothing of it.
    pub fn modified(&mut self, i: usize) {
        self.modified.push(i);
    }

    /// Tells replicas that the keys which are past their deadline are gone: they leave that to this server.
    #[cold]
    pub(super) fn tell_expired(&self) {
        for i in 0..self.keys.len() {
            let deadline = self.keys.stored(i).and_then(|stored| stored.expires_at);
            let expiry = self.keys.keyspace.expiry();
            if expiry.has_passed(deadline, self.keys.access.now) {
                self.followed(i, Followed::Gone);
            }
        }
    }

    /// Tells replicas that the fields which are past their deadlines are gone. To this call they are missing, and replicas
    /// would still find them.
    #[cold]
    pub(super) fn tell_expired_fields(&self) -> Result<(), KeyspaceError> {
        let keyspace = self.keys.keyspace;
        let now = self.keys.access.now;
        for opened in self.opened.iter().filter(|opened| !opened.expired) {
            let Some(locked) = &opened.locked else {
                continue;
            };
            let names = locked.expired_names(now, &keyspace.names_of_elements(opened.id))?;
            if !names.is_empty() {
                let LockedKey { key, db, .. } = self.keys[opened.position];
                let gone = Followed::FieldsGone(db, key, &names);
                keyspace.events.tell_followed(gone);
            }
        }
        Ok(())
    }

    /// Tells replicas of key `i` as if this call changed it, although the call only looks at it.
    pub fn retell(&self, i: usize) {
        self.followed(i, Followed::Changed);
    }

    fn followed<'k>(&'k self, i: usize, change: fn(usize, &'k [u8]) -> Followed<'k>) {
        let LockedKey { key, db, .. } = self.keys[i];
        self.keys.keyspace.events.tell_followed(change(db, key));
    }

    /// Emits an event of key `i` after the writes, if the observer wants it.
    pub fn event(&mut self, i: usize, class: EventClass, name: &'static str) {
        self.keys.dirty.told_of(class);
        if self.keys.keyspace.events.wants(class) {
            self.notices.push((i, Notice::Event(class, name)));
        }
    }

    /// Sets how many changes of data the call counts as. Without this, a call that emits an event counts as one.
    pub fn set_dirty(&mut self, changes: usize) {
        self.keys.dirty.set(changes);
    }

    /// The staged changes; if a key has several, only the last one.
    pub(super) fn last_staged(&self) -> Few<(usize, Staged)> {
        if self.staged.len() <= 1 {
            return self.staged.clone();
        }
        // Comparing a few keys is faster than hashing them.
        if self.staged.len() <= PREFETCHED {
            let same = |a: usize, b: usize| {
                let (a, b) = (&self.keys[a], &self.keys[b]);
                a.hash == b.hash && a.generation == b.generation && a.key == b.key
            };
            let later = |n: usize, i: usize| self.staged[n + 1..].iter().any(|&(j, _)| same(i, j));
            let mut last = Few::with_capacity(self.staged.len());
            let each = (0..).zip(&self.staged);
            last.extend(
                each.filter(|&(n, &(i, _))| !later(n, i))
                    .map(|(_, &change)| change),
            );
            return last;
        }
        let mut last: HashMap<(u32, &[u8]), (usize, Staged)> =
            HashMap::with_capacity(self.staged.len());
        for &(i, staged) in &self.staged {
            let LockedKey {
                key, generation, ..
            } = self.keys[i];
            last.insert((generation, key), (i, staged));
        }
        last.into_values().collect()
    }
}

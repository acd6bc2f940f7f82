//! Staging the changes of several locked keys.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::KeyWrite;
use super::collections::{NewCollection, Opened};
use super::locked::{Each, LockedKey, LockedKeys, LockedShards};
use crate::collection::Edit;
use crate::reading::storable;
use crate::{
    Access, EventClass, KeyInfo, Keyspace, KeyspaceError, Millis, PREFETCHED, RecordKind,
    StringView, Value,
};

/// Few of them are in a usual call, and none needs an allocation.
pub(super) type Few<T> = SmallVec<[T; 2]>;

/// What becomes of a key when the closure returns.
#[derive(Clone, Copy)]
pub(super) enum Staged {
    Put {
        kind: RecordKind,
        /// Where the value lies in `Update::values`.
        start: usize,
        end: usize,
        expires_at: Option<Millis>,
    },
    Remove,
    /// Only elements of its collection change.
    Elements,
}

impl Staged {
    /// What is written to the key's record. `values` are those of the call.
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

/// What is told of a key.
#[derive(Clone, Copy)]
pub(super) enum Notice {
    /// What follows from its write itself.
    Written,
    Event(EventClass, &'static str),
}

/// Several locked keys, each by its position in the call, and what becomes of them.
pub struct Update<'a> {
    pub(super) keys: LockedKeys<'a>,
    /// Staged values, end to end.
    pub(super) values: Vec<u8>,
    pub(super) staged: Few<(usize, Staged)>,
    /// What is told once the writes have happened; empty where nobody wants to know.
    pub(super) notices: Vec<(usize, Notice)>,
    /// The collections of the keys, and those that they are to get.
    pub(super) opened: SmallVec<[Opened<'a>; 1]>,
    pub(super) edits: SmallVec<[(usize, Edit); 1]>,
    pub(super) built: Vec<NewCollection<'a>>,
    /// Collections that come under another key, by its position.
    pub(super) moved: Vec<(u64, usize)>,
    /// Keys that count as modified although nothing of them is written.
    pub(super) modified: Few<usize>,
}

impl<'a> Update<'a> {
    #[inline]
    pub(super) fn new(
        keyspace: &'a Keyspace,
        shards: LockedShards<'a>,
        keys: Each<LockedKey<'a>>,
        access: Access,
    ) -> Self {
        Self {
            keys: LockedKeys::new(keyspace, shards, keys, access),
            values: Vec::new(),
            staged: Few::new(),
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

    /// What the index knows of key `i`; `None` where it is absent or past its deadline.
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
        let expires_at = storable(expires_at);
        let start = self.values.len();
        self.values.extend_from_slice(value);
        let put = Staged::Put {
            kind: kind.into(),
            start,
            end: self.values.len(),
            expires_at,
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

    /// Says that key `i` counts as modified although nothing of it is written.
    pub fn modified(&mut self, i: usize) {
        self.modified.push(i);
    }

    /// Tells of an event of key `i`, where anybody wants to know, once the writes have happened.
    pub fn event(&mut self, i: usize, class: EventClass, name: &'static str) {
        self.keys.dirty.told_of(class);
        if self.keys.keyspace.events.wants(class) {
            self.notices.push((i, Notice::Event(class, name)));
        }
    }

    /// Says how many changes of data the call counts as. Otherwise a call that tells of an event counts as one.
    pub fn set_dirty(&mut self, changes: usize) {
        self.keys.dirty.set(changes);
    }

    /// What was staged, of several writes of one key the last.
    pub(super) fn last_staged(&self) -> Few<(usize, Staged)> {
        if self.staged.len() <= 1 {
            return self.staged.clone();
        }
        // A few are compared faster than hashed.
        if self.staged.len() <= PREFETCHED {
            let same = |a: usize, b: usize| {
                let (a, b) = (&self.keys[a], &self.keys[b]);
                a.hash == b.hash && a.generation == b.generation && a.key == b.key
            };
            let later = |n: usize, i: usize| self.staged[n + 1..].iter().any(|&(j, _)| same(i, j));
            return (0..)
                .zip(&self.staged)
                .filter(|&(n, &(i, _))| !later(n, i))
                .map(|(_, &change)| change)
                .collect();
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

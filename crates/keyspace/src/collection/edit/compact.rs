//! Edits of a compact collection: they make a new record, or turn the collection into one with elements.

use redis_core::numbers::parse_i64;
use smallvec::SmallVec;

use super::{
    Body, Collection, Edit, ElementEdit, ElementEdits, Encoding, FormLimits, ID_BYTES, Shape,
    Source, Texts, What, decode_score, form,
};
use crate::collection::compact::{Item, ShortScore, Unpacked, compare_scored};
use crate::collection::elements::encode_score;
use crate::collection::view::form_of;
use crate::{Keyspace, KeyspaceError, Kind};

/// What becomes of a compact collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rewritten {
    /// It stays one record.
    Compact,
    /// Its elements need records of their own. The encoding is Redis's form.
    Elements(Encoding),
}

impl Edit {
    /// Appends the record of a compact collection after the changes to `out`, unless its elements need records of their
    /// own; then `out` is as before. The collection has elements after the changes.
    pub fn rewrite(
        &self,
        keyspace: &Keyspace,
        old: Body<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Rewritten, KeyspaceError> {
        let limits = keyspace.form_limits();
        let mut space = None;
        let old = old.texts(&mut space);
        let start = out.len();
        form::begin(out);
        let (len, encoding) = match &self.what {
            What::Elements(edits) => {
                let after = edits.encoding_after(self.kind, old.len(), old.encoding(), &limits);
                let is_small = !edits.leaves_compact
                    && !edits.bring_deadlines()
                    && edits.given_bytes(after) <= limits.compact_bytes_max;
                if is_small && after != Encoding::Full {
                    edits.rewrite(keyspace, self.kind, old, after, out);
                }
                let len = self.len_after(old.len());
                (is_small.then_some(len), after)
            }
            What::List(edits) => edits.rewrite(old, &limits, out),
            What::Stream(_) => return Err(KeyspaceError::WrongKind),
        };
        let len = len
            .filter(|&len| encoding != Encoding::Full && limits.is_compact(out.len() - start, len));
        if let Some(len) = len
            && form::finish(&mut out[start..], len).is_some()
        {
            debug_assert!(Body::open(self.kind, &out[start..]).is_ok());
            return Ok(Rewritten::Compact);
        }
        out.truncate(start);
        Ok(Rewritten::Elements(encoding))
    }

    /// Makes this the edit of a collection with elements that gets the number `id`: it stores the elements of the compact
    /// collection, as the changes leave them.
    pub fn leave_compact(&mut self, keyspace: &Keyspace, id: u64, old: Body<'_>, to: Encoding) {
        self.id = id;
        self.encoding = Some(to);
        let mut space = None;
        let old = old.texts(&mut space);
        match &mut self.what {
            What::Elements(edits) => edits.leave_compact(keyspace, id, self.kind, old, to),
            What::List(edits) => edits.leave_compact(old),
            What::Stream(_) => {}
        }
    }

    /// Determines Redis's form of a collection with elements after the changes.
    pub fn measure(
        &mut self,
        keyspace: &Keyspace,
        collection: &Collection,
    ) -> Result<Encoding, KeyspaceError> {
        let before = collection.encoding;
        let limits = keyspace.form_limits();
        match (&mut self.what, &collection.shape) {
            (What::Elements(edits), _) if before != Encoding::Full => {
                Ok(edits.encoding_after(self.kind, collection.len(), before, &limits))
            }
            (What::List(edits), Shape::List(items)) => {
                let source = Source::new(keyspace, self.id);
                let before = if collection.is_unmarked {
                    form_of(&source, items, &limits)?
                } else {
                    before
                };
                edits.measure(items, before, collection.listpack_bytes, &source, &limits)
            }
            _ => Ok(before),
        }
    }
}

impl ElementEdits {
    /// Redis's form of a hash, a set or a sorted set after the changes.
    fn encoding_after(
        &self,
        kind: Kind,
        mut len: usize,
        mut encoding: Encoding,
        limits: &FormLimits,
    ) -> Encoding {
        if kind == Kind::Set && len == 0 {
            encoding = self.begins_as(limits);
        }
        if kind == Kind::SortedSet {
            // Redis looks at all members that a call names before it sets them.
            let set = || self.list.iter().filter(|edit| edit.value.is_some());
            let longest = set().map(|edit| edit.key.len() - ID_BYTES).max();
            let is_long = longest.is_some_and(|bytes| bytes > limits.zset_value_bytes);
            if is_long || set().count() > limits.zset_entries {
                return Encoding::Full;
            }
        }
        for edit in self.list.iter().filter(|edit| !edit.keeps_value) {
            let is_new = edit.current.is_none();
            let Some(value) = &edit.value else {
                len = len.saturating_sub(usize::from(!is_new));
                continue;
            };
            len += usize::from(is_new);
            // Redis looks at all that a hash gets, otherwise at new elements only.
            if is_new || kind == Kind::Hash {
                let value_bytes = if kind == Kind::Hash { value.len() } else { 0 };
                encoding = limits.after(kind, encoding, len, self.name(edit), value_bytes);
            }
        }
        encoding
    }

    /// Redis's form of a new set before the changes.
    fn begins_as(&self, limits: &FormLimits) -> Encoding {
        let first = self.list.first();
        first.map_or(Encoding::Integers, |first| {
            limits.of_new_set(self.list.len(), self.name(first))
        })
    }

    /// Whether the members of a set are integers in ascending order before the changes.
    fn is_of_integers(&self, kind: Kind, old: Texts<'_>, limits: &FormLimits) -> bool {
        let is_set = kind == Kind::Set && old.encoding() == Encoding::Integers;
        is_set && (old.len() > 0 || self.begins_as(limits) == Encoding::Integers)
    }

    /// Whether a field gets a deadline, for which the compact form has no place.
    fn bring_deadlines(&self) -> bool {
        self.list.iter().any(|edit| edit.expires_at.is_some())
    }

    /// How many bytes the changes bring to a record of that form, at least.
    fn given_bytes(&self, after: Encoding) -> usize {
        if after == Encoding::Integers {
            return self.list.len().saturating_mul(2);
        }
        let texts = self.list.iter().filter_map(|edit| {
            let value = edit.value.as_ref()?;
            Some(edit.key.len() - ID_BYTES + value.len())
        });
        texts.sum()
    }

    /// The edit of a stored element, found by name.
    fn of_stored(&self, keyspace: &Keyspace, name: &[u8]) -> Option<usize> {
        if self.by_hash.is_empty() {
            // Few edits: comparing is faster than hashing.
            return self.list.iter().position(|edit| self.name(edit) == name);
        }
        self.find(keyspace.hashing.hash(name), name)
    }

    /// The elements that the edits leave: those that were there in their order, then new ones as they came.
    fn left<'l>(
        &'l self,
        keyspace: &'l Keyspace,
        old: Texts<'l>,
    ) -> impl Iterator<Item = Item<'l>> {
        let stored = old.items().filter_map(move |item| {
            let Some(position) = self.of_stored(keyspace, item.name) else {
                return Some(item);
            };
            if self.list[position].keeps_value {
                return Some(item);
            }
            let value = self.list[position].value.clone()?;
            Some(Item {
                value: &self.bytes[value],
                ..item
            })
        });
        let new = self.list.iter().filter(|edit| edit.current.is_none());
        let new = new.filter_map(|edit| {
            let value = edit.value.clone()?;
            Some(Item {
                name: self.name(edit),
                value: &self.bytes[value],
            })
        });
        stored.chain(new)
    }

    /// Appends the entries that the edits leave.
    fn rewrite(
        &self,
        keyspace: &Keyspace,
        kind: Kind,
        old: Texts<'_>,
        after: Encoding,
        out: &mut Vec<u8>,
    ) {
        match kind {
            Kind::SortedSet => self.rewrite_scored(keyspace, old, out),
            Kind::Set if after == Encoding::Integers => {
                let left = self.left(keyspace, old);
                let mut numbers: Unpacked = left.filter_map(|item| parse_i64(item.name)).collect();
                numbers.sort_unstable();
                form::append_integers(out, &numbers);
            }
            Kind::Set if self.is_of_integers(kind, old, &keyspace.form_limits()) => {
                let mut left: SmallVec<[Item<'_>; 32]> = self.left(keyspace, old).collect();
                sort_integers(&mut left);
                for item in left {
                    form::push_item(out, kind, item);
                }
            }
            _ => self.splice(keyspace, kind, old, out),
        }
    }

    /// Copies the entries and replaces, removes and appends those that are edited.
    fn splice(&self, keyspace: &Keyspace, kind: Kind, old: Texts<'_>, out: &mut Vec<u8>) {
        let bytes = old.bytes();
        let changed = self.list.iter().filter(|edit| !edit.keeps_value);
        let mut left = changed.filter(|edit| edit.current.is_some()).count();
        let mut copied = 0;
        let mut items = old.items();
        while left > 0 {
            let at = bytes.len() - items.rest().len();
            let Some(item) = items.next() else { break };
            let Some(position) = self.of_stored(keyspace, item.name) else {
                continue;
            };
            if self.list[position].keeps_value {
                continue;
            }
            left -= 1;
            out.extend_from_slice(&bytes[copied..at]);
            copied = bytes.len() - items.rest().len();
            if let Some(value) = self.list[position].value.clone() {
                let value = &self.bytes[value];
                form::push_item(out, kind, Item { value, ..item });
            }
        }
        out.extend_from_slice(&bytes[copied..]);
        for edit in self.list.iter().filter(|edit| edit.current.is_none()) {
            if let Some(value) = edit.value.clone() {
                let (name, value) = (self.name(edit), &self.bytes[value]);
                form::push_item(out, kind, Item { name, value });
            }
        }
    }

    /// Appends the members of a sorted set in the order of their scores.
    fn rewrite_scored(&self, keyspace: &Keyspace, old: Texts<'_>, out: &mut Vec<u8>) {
        let mut scored: SmallVec<[(f64, &[u8]); 4]> = self
            .list
            .iter()
            .filter_map(|edit| {
                let score = decode_score(&self.bytes[edit.value.clone()?])?;
                Some((score, self.name(edit)))
            })
            .collect();
        scored.sort_unstable_by(|a, b| compare_scored(*a, *b));
        let push = |out: &mut Vec<u8>, (score, name): (f64, &[u8])| {
            let short = ShortScore::new(score);
            let value = short.bytes();
            form::push_item(out, Kind::SortedSet, Item { name, value });
        };
        let mut scored = scored.into_iter().peekable();
        for item in old.items() {
            while let Some(new) =
                scored.next_if(|new| compare_scored(*new, (item.score(), item.name)).is_lt())
            {
                push(out, new);
            }
            if self.of_stored(keyspace, item.name).is_none() {
                form::push_item(out, Kind::SortedSet, item);
            }
        }
        for new in scored {
            push(out, new);
        }
    }

    /// See [`Edit::leave_compact`].
    fn leave_compact(
        &mut self,
        keyspace: &Keyspace,
        id: u64,
        kind: Kind,
        old: Texts<'_>,
        to: Encoding,
    ) {
        let is_of_integers = self.is_of_integers(kind, old, &keyspace.form_limits());
        let mut edits: Vec<Option<ElementEdit>> = std::mem::take(&mut self.list)
            .into_iter()
            .map(Some)
            .collect();
        let by_hash = std::mem::take(&mut self.by_hash);
        let mut all = Vec::with_capacity(old.len() + edits.len());
        for item in old.items() {
            let hash = keyspace.hashing.hash(item.name);
            let is_of = |edit: &Option<ElementEdit>| {
                edit.as_ref()
                    .is_some_and(|edit| edit.hash == hash && self.name(edit) == item.name)
            };
            let edited = if by_hash.is_empty() {
                edits.iter().position(is_of)
            } else {
                let mut positions = by_hash
                    .get(&hash)
                    .into_iter()
                    .flatten()
                    .map(|&n| n as usize);
                positions.find(|&position| is_of(&edits[position]))
            };
            if let Some(mut edit) = edited.and_then(|position| edits[position].take()) {
                if edit.keeps_value {
                    edit.value = Some(self.give(item.value));
                    edit.keeps_value = false;
                }
                all.push(edit);
                continue;
            }
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&[0; ID_BYTES]);
            self.bytes.extend_from_slice(item.name);
            let key = start..self.bytes.len();
            let value = if kind == Kind::SortedSet {
                self.give(&encode_score(item.score()))
            } else {
                self.give(item.value)
            };
            all.push(ElementEdit {
                hash,
                key,
                value: Some(value),
                keeps_value: false,
                expires_at: None,
                current: None,
            });
        }
        all.extend(edits.into_iter().flatten());
        all.retain(|edit| edit.value.is_some());
        if is_of_integers && to == Encoding::Compact {
            let number = |edit: &ElementEdit| parse_i64(self.name(edit));
            let other = all.iter().position(|edit| number(edit).is_none());
            all[..other.unwrap_or(0)].sort_by_key(number);
        }
        for edit in &mut all {
            edit.current = None;
            self.bytes[edit.key.start..edit.key.start + ID_BYTES]
                .copy_from_slice(&id.to_le_bytes());
        }
        self.added = all.len().cast_signed();
        self.list = all.into();
    }
}

/// Sorts the members of a set that was an intset before the first that is no integer, since Redis copies the integers in sorted
/// order and puts new members behind them.
fn sort_integers(members: &mut [Item<'_>]) {
    let other = members
        .iter()
        .position(|member| parse_i64(member.name).is_none());
    members[..other.unwrap_or(0)].sort_by_key(|member| parse_i64(member.name));
}

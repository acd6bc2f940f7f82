//! Edits of a collection, kept until all records are written in one step.

mod compact;

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::FixedState;
use redis_core::numbers::parse_i64;
use smallvec::SmallVec;

use super::elements::{ID_BYTES, decode_score, encode_score};
use super::list::{ListEdit, ListEdits};
use super::scratch::Scratch;
use super::source::Source;
use super::stream::StreamEdits;
use super::{Body, Collection, Encoding, FormLimits, Shape, compact as form, element_record_key};
use crate::index::{Found, Located, Names, NewEntry};
use crate::{Keyspace, KeyspaceError, Kind};
pub(crate) use compact::Rewritten;
use store::{Location, Write};

/// Up to this many edits are compared one by one; with more, a hash table finds an element's edit.
const COMPARED_MAX: usize = 8;

/// What changes about one element.
#[derive(Debug)]
struct ElementEdit {
    hash: u64,
    /// The range of the record's name in `ElementEdits::bytes`: the collection's id, then the element's name.
    key: Range<usize>,
    /// The range of the new value; `None` if the edit removes the element.
    value: Option<Range<usize>>,
    /// The element as it is stored; `None` if it is not stored.
    current: Option<Stored>,
}

#[derive(Clone, Copy, Debug)]
struct Stored {
    located: Located,
    /// The score, if the element is a sorted set's member: the set's order needs it.
    score: f64,
}

/// The edits of named elements, at most one for each element.
#[derive(Debug, Default)]
pub(in super::super) struct ElementEdits {
    bytes: Scratch,
    list: SmallVec<[ElementEdit; 1]>,
    /// Positions in `list` by the element's hash, once `list` has more than [`COMPARED_MAX`] edits.
    by_hash: HashMap<u64, Vec<u32>, FixedState>,
    /// How many elements the edits add, minus how many they remove.
    added: isize,
    /// Whether a compact collection gets records of elements, however small it is.
    leaves_compact: bool,
}

impl ElementEdits {
    fn name(&self, edit: &ElementEdit) -> &[u8] {
        &self.bytes[edit.key.start + ID_BYTES..edit.key.end]
    }

    fn find(&self, hash: u64, name: &[u8]) -> Option<usize> {
        let same = |edit: &ElementEdit| edit.hash == hash && self.name(edit) == name;
        if self.by_hash.is_empty() {
            return self.list.iter().position(same);
        }
        let mut positions = self.by_hash.get(&hash)?.iter().map(|&n| n as usize);
        positions.find(|&position| same(&self.list[position]))
    }

    /// Changes an element; returns whether it existed. `stored` looks up the stored element; it runs only if the call
    /// has not changed the element yet.
    fn set(
        &mut self,
        id: u64,
        name: (u64, &[u8]),
        value: Option<&[u8]>,
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
            std::mem::replace(&mut edit.value, value).is_some()
        } else {
            let was = current.is_some();
            if !was && !will_be {
                return Ok(false);
            }
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&id.to_le_bytes());
            self.bytes.extend_from_slice(name);
            self.push(ElementEdit {
                hash,
                key: start..self.bytes.len(),
                value,
                current,
            });
            was
        };
        self.added += isize::from(will_be) - isize::from(was);
        Ok(was)
    }

    fn give(&mut self, value: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        start..self.bytes.len()
    }

    fn push(&mut self, edit: ElementEdit) {
        let number = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
        if self.by_hash.is_empty() && self.list.len() == COMPARED_MAX {
            for (position, edit) in self.list.iter().enumerate() {
                self.by_hash
                    .entry(edit.hash)
                    .or_default()
                    .push(number(position));
            }
        }
        if !self.by_hash.is_empty() {
            let position = number(self.list.len());
            self.by_hash.entry(edit.hash).or_default().push(position);
        }
        self.list.push(edit);
    }
}

/// The changes of one collection.
#[derive(Debug)]
pub(in super::super) struct Edit {
    pub id: u64,
    pub kind: Kind,
    pub what: What,
    /// Whether [`plan`](Self::plan) has run.
    is_planned: bool,
    /// Redis's form of the collection after the changes, if it becomes another one.
    pub encoding: Option<Encoding>,
}

/// The changes, by the shape of the collection.
#[derive(Debug)]
pub(in super::super) enum What {
    Elements(ElementEdits),
    List(ListEdits),
    Stream(Box<StreamEdits>),
}

impl Edit {
    /// An edit without changes.
    pub fn new(id: u64, kind: Kind) -> Self {
        let what = match kind {
            Kind::List => What::List(ListEdits::default()),
            Kind::Stream => What::Stream(Box::default()),
            _ => What::Elements(ElementEdits::default()),
        };
        Self {
            id,
            kind,
            what,
            is_planned: false,
            encoding: None,
        }
    }

    /// How many elements a collection of `len` elements has after the changes.
    pub fn len_after(&self, len: usize) -> usize {
        match &self.what {
            What::Elements(edits) => len.saturating_add_signed(edits.added),
            What::List(edits) => edits.len_after(len),
            // A stream without entries stays.
            What::Stream(_) => len.max(1),
        }
    }

    /// Whether the edit changes nothing.
    pub fn is_empty(&self) -> bool {
        match &self.what {
            // An element that the call added and removed again was never stored.
            What::Elements(edits) => {
                let mut list = edits.list.iter();
                let unchanged = |edit: &ElementEdit| edit.value.is_none() && edit.current.is_none();
                !edits.leaves_compact && list.all(unchanged)
            }
            What::List(edits) => edits.is_empty(),
            What::Stream(edits) => edits.is_empty(),
        }
    }

    /// Whether clients that wait for the key must be tried, although the key does not count as modified.
    pub fn wakes(&self) -> bool {
        matches!(&self.what, What::Stream(edits) if edits.wakes())
    }

    /// Whether the key counts as modified.
    pub fn modifies(&self) -> bool {
        match &self.what {
            What::Stream(edits) => edits.modifies(),
            What::Elements(_) | What::List(_) => true,
        }
    }

    /// Whether [`plan`](Self::plan) has run.
    pub fn is_planned(&self) -> bool {
        self.is_planned
    }

    /// Determines which records the edit writes.
    pub fn plan(
        &mut self,
        keyspace: &Keyspace,
        collection: &Collection,
    ) -> Result<(), KeyspaceError> {
        let source = Source::new(keyspace, self.id);
        match (&mut self.what, &collection.shape) {
            (What::List(edits), Shape::List(items)) => edits.plan(items, &source, self.id)?,
            (What::Stream(edits), Shape::Stream(stream)) => edits.plan(stream, &source)?,
            _ => {}
        }
        self.is_planned = true;
        Ok(())
    }

    /// Appends the records to write.
    pub fn writes<'w>(&'w self, partition: usize, writes: &mut impl Extend<Write<'w>>) {
        if !self.is_planned {
            return;
        }
        let kind = self.kind;
        match &self.what {
            What::Elements(edits) => {
                writes.extend(edits.list.iter().filter_map(|edit| {
                    let record = element_record_key(partition, &edits.bytes[edit.key.clone()]);
                    let previous = edit.current.map(|stored| stored.located.location);
                    match (&edit.value, previous) {
                        (Some(value), previous) => Some(Write::Put {
                            record,
                            previous,
                            kind: kind.into(),
                            expires_at: None,
                            value: &edits.bytes[value.clone()],
                        }),
                        (None, Some(location)) => Some(Write::Remove { record, location }),
                        (None, None) => None,
                    }
                }));
            }
            What::List(edits) => writes.extend(edits.writes(partition)),
            What::Stream(edits) => writes.extend(edits.writes(partition)),
        }
    }

    /// Applies the written edit to the collection in DRAM. `locations` begins with the locations of the
    /// [`writes`](Self::writes). Returns how many of the locations belonged to this edit.
    pub fn apply(
        &self,
        keyspace: &Keyspace,
        collection: &mut Collection,
        locations: &[Location],
    ) -> usize {
        if !self.is_planned {
            return 0;
        }
        // Integers that a call adds before a set leaves the form of an intset are sorted among the others. The members of
        // a new set come in their order already.
        let waits = collection.kind == Kind::Set
            && collection.encoding == Encoding::Integers
            && collection.len() > 0;
        let mut encoding = self.encoding;
        if let Some(encoding) = encoding.take_if(|_| !waits) {
            collection.set_encoding(encoding, &keyspace.names_of_elements(self.id));
        }
        collection.is_unmarked &= self.encoding.is_none();
        match &self.what {
            What::List(edits) => match &mut collection.shape {
                Shape::List(items) => {
                    collection.listpack_bytes = edits.listpack_bytes;
                    edits.apply(items, locations)
                }
                _ => 0,
            },
            What::Stream(edits) => match &mut collection.shape {
                Shape::Stream(stream) => {
                    let (used, forgotten) = edits.apply(self.id, stream, locations);
                    keyspace.collections().drop_records(self.id, forgotten);
                    used
                }
                _ => 0,
            },
            What::Elements(edits) => {
                let written = edits
                    .list
                    .iter()
                    .filter(|edit| edit.value.is_some() || edit.current.is_some());
                let mut count = 0;
                for (edit, &location) in written.zip(locations) {
                    count += 1;
                    let names = keyspace.names_of_elements(self.id);
                    let is_integer = || parse_i64(edits.name(edit)).is_some();
                    if let Some(encoding) = encoding.take_if(|_| !is_integer()) {
                        collection.set_encoding(encoding, &names);
                    }
                    apply_edit(&names, collection, edits, edit, location);
                }
                if let Some(encoding) = encoding {
                    collection.set_encoding(encoding, &keyspace.names_of_elements(self.id));
                }
                count
            }
        }
    }
}

fn apply_edit(
    names: &dyn Names,
    collection: &mut Collection,
    edits: &ElementEdits,
    edit: &ElementEdit,
    location: Location,
) {
    let name = edits.name(edit);
    let hash = edit.hash;
    let kind = collection.kind;
    let value = edit.value.clone().map(|value| &edits.bytes[value]);
    // The record of before may be gone, so the entry is found by its place.
    let located = edit.current.map(|stored| stored.located);
    let new = NewEntry {
        key: name,
        kind,
        location,
        expires_at: None,
        access: 0,
    };
    match (&mut collection.shape, value) {
        (Shape::Fields(index), Some(_)) => {
            if let Some(located) = located {
                index.replace(hash, name, located, kind, location, None);
            } else {
                let access = collection.next_ordinal;
                collection.next_ordinal = access.wrapping_add(1);
                index.insert(hash, NewEntry { access, ..new });
            }
        }
        (Shape::Fields(index), None) => {
            if let Some(located) = located {
                index.remove(hash, name, located, names);
            }
        }
        (Shape::Scores(scores), value) => {
            let score = value.and_then(decode_score);
            match (edit.current, score) {
                (None, Some(score)) => scores.insert(hash, new, score),
                (Some(old), Some(score)) => {
                    scores
                        .members_mut()
                        .replace(hash, name, old.located, kind, location, None);
                    scores.rescore(old.score, score, name);
                }
                (Some(old), None) => scores.remove((hash, name), old.located, old.score, names),
                (None, None) => {}
            }
        }
        (Shape::List(_) | Shape::Stream(_) | Shape::Compact(_), _) => {}
    }
}

/// A locked hash or set, ready to be changed.
#[derive(Debug)]
pub struct FieldsEdit<'e> {
    pub(in super::super) keyspace: &'e Keyspace,
    pub(in super::super) locked: &'e Collection,
    pub(in super::super) id: u64,
    pub(in super::super) edits: &'e mut ElementEdits,
}

impl FieldsEdit<'_> {
    /// How many elements there are after the changes so far.
    pub fn len(&self) -> usize {
        self.locked.len().saturating_add_signed(self.edits.added)
    }

    /// Whether no element is left after the changes so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the element exists after the changes so far.
    pub fn contains(&self, name: &[u8]) -> Result<bool, KeyspaceError> {
        self.has(self.keyspace.hashing.hash(name), name)
    }

    /// [`contains`](Self::contains) of an element with this hash.
    fn has(&self, hash: u64, name: &[u8]) -> Result<bool, KeyspaceError> {
        Ok(match self.edits.find(hash, name) {
            Some(position) => self.edits.list[position].value.is_some(),
            None => stored(self.keyspace, self.locked, self.id, hash, name)?.is_some(),
        })
    }

    /// Runs `f` on a field's value after the changes so far; returns `None` if there is no such field.
    pub fn get<R>(
        &self,
        name: &[u8],
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, KeyspaceError> {
        let hash = self.keyspace.hashing.hash(name);
        if let Some(position) = self.edits.find(hash, name) {
            let value = self.edits.list[position].value.clone();
            return Ok(value.map(|value| f(&self.edits.bytes[value])));
        }
        if let Some(body) = self.locked.body() {
            return Ok(body.find(name).map(|item| f(item.value)));
        }
        let stored = stored(self.keyspace, self.locked, self.id, hash, name)?;
        let source = Source::new(self.keyspace, self.id);
        stored
            .map(|stored| source.read(name, stored.location, f))
            .transpose()
    }

    /// Sets a field's value, or adds a member (whose value is empty). Returns whether the element is new.
    pub fn put(&mut self, name: &[u8], value: &[u8]) -> Result<bool, KeyspaceError> {
        Ok(!self.edit(name, Some(value))?)
    }

    /// Adds a member unless it exists. Returns whether it is new.
    pub fn add(&mut self, name: &[u8]) -> Result<bool, KeyspaceError> {
        let hash = self.keyspace.hashing.hash(name);
        let present = self.has(hash, name)?;
        if !present {
            self.edits
                .set(self.id, (hash, name), Some(b""), || Ok(None))?;
        }
        Ok(!present)
    }

    /// Removes an element; returns whether it existed.
    pub fn remove(&mut self, name: &[u8]) -> Result<bool, KeyspaceError> {
        self.edit(name, None)
    }

    /// Has the elements get records of their own with this change, if they lie in the record of the key: for what the
    /// compact form has no place for, as a deadline of one field.
    pub fn leave_compact(&mut self) {
        self.edits.leaves_compact = self.locked.body().is_some();
    }

    fn edit(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<bool, KeyspaceError> {
        let hash = self.keyspace.hashing.hash(name);
        let (keyspace, locked, id) = (self.keyspace, self.locked, self.id);
        self.edits.set(id, (hash, name), value, || {
            let located = stored(keyspace, locked, id, hash, name)?;
            Ok(located.map(|located| Stored {
                located,
                score: 0.0,
            }))
        })
    }
}

/// A locked sorted set, ready to be changed.
#[derive(Debug)]
pub struct ScoresEdit<'e> {
    pub(in super::super) keyspace: &'e Keyspace,
    pub(in super::super) locked: &'e Collection,
    pub(in super::super) id: u64,
    pub(in super::super) edits: &'e mut ElementEdits,
}

impl ScoresEdit<'_> {
    /// How many members there are after the changes so far.
    pub fn len(&self) -> usize {
        self.locked.len().saturating_add_signed(self.edits.added)
    }

    /// Whether no member is left after the changes so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A member's score after the changes so far; `None` if the set does not have the member.
    pub fn score(&self, member: &[u8]) -> Result<Option<f64>, KeyspaceError> {
        let hash = self.keyspace.hashing.hash(member);
        if let Some(position) = self.edits.find(hash, member) {
            let value = self.edits.list[position].value.clone();
            Ok(value.and_then(|value| decode_score(&self.edits.bytes[value])))
        } else {
            let stored = scored(self.keyspace, self.locked, self.id, hash, member)?;
            Ok(stored.map(|stored| stored.score))
        }
    }

    /// Sets a member's score, which must not be NaN. Returns whether the member is new.
    pub fn set(&mut self, member: &[u8], mut score: f64) -> Result<bool, KeyspaceError> {
        if score == 0.0 && score.is_sign_negative() && self.locked.encoding != Encoding::Full {
            let members = self.len() + usize::from(self.score(member)?.is_none());
            let changed = self.edits.list.iter();
            let longest = changed.map(|edit| self.edits.name(edit).len()).max();
            let longest = longest.unwrap_or(0).max(member.len());
            score = self
                .keyspace
                .form_limits()
                .kept_score(score, members, longest);
        }
        Ok(!self.edit(member, Some(score))?)
    }

    /// Removes a member; returns whether it existed.
    pub fn remove(&mut self, member: &[u8]) -> Result<bool, KeyspaceError> {
        self.edit(member, None)
    }

    /// Removes a member whose score the caller knows.
    pub fn remove_scored(&mut self, member: &[u8], score: f64) -> Result<bool, KeyspaceError> {
        let hash = self.keyspace.hashing.hash(member);
        let (keyspace, locked, id) = (self.keyspace, self.locked, self.id);
        self.edits.set(id, (hash, member), None, || {
            let stored = stored(keyspace, locked, id, hash, member)?;
            Ok(stored.map(|located| Stored { located, score }))
        })
    }

    fn edit(&mut self, member: &[u8], score: Option<f64>) -> Result<bool, KeyspaceError> {
        let hash = self.keyspace.hashing.hash(member);
        let value = score.map(encode_score);
        let value = value.as_ref().map(<[u8; 8]>::as_slice);
        let (keyspace, locked, id) = (self.keyspace, self.locked, self.id);
        self.edits.set(id, (hash, member), value, || {
            scored(keyspace, locked, id, hash, member)
        })
    }
}

/// Where the collection has an element.
fn stored(
    keyspace: &Keyspace,
    collection: &Collection,
    id: u64,
    hash: u64,
    name: &[u8],
) -> Result<Option<Located>, KeyspaceError> {
    if let Some(body) = collection.body() {
        return Ok(body.find(name).map(|_| Located::in_key()));
    }
    let Some(index) = collection.names() else {
        return Ok(None);
    };
    let found = index.get(hash, name, &keyspace.names_of_elements(id))?;
    Ok(found.map(Found::located))
}

/// The same of a member, with its score.
fn scored(
    keyspace: &Keyspace,
    collection: &Collection,
    id: u64,
    hash: u64,
    member: &[u8],
) -> Result<Option<Stored>, KeyspaceError> {
    if let Some(body) = collection.body() {
        return Ok(body.find(member).map(|item| Stored {
            located: Located::in_key(),
            score: item.score(),
        }));
    }
    let Some(located) = stored(keyspace, collection, id, hash, member)? else {
        return Ok(None);
    };
    let score = Source::new(keyspace, id).read(member, located.location, decode_score)?;
    let score = score.ok_or(KeyspaceError::Failed("a member's score is damaged"))?;
    Ok(Some(Stored { located, score }))
}

impl<'e> ListEdit<'e> {
    /// Edits of a list that has `len` elements.
    pub(in super::super) fn new(edits: &'e mut ListEdits, len: usize) -> Self {
        Self { edits, len }
    }
}

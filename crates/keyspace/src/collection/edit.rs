//! Edits of a collection, kept until all records are written in one step.

mod compact;
mod deadlines;
mod fields;
mod scores;

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::FixedState;
use redis_core::numbers::parse_i64;
use smallvec::SmallVec;

use super::elements::{ID_BYTES, decode_score};
use super::list::ListEdits;
use super::scratch::Scratch;
use super::source::Source;
use super::stream::StreamEdits;
use super::{
    Body, Collection, Encoding, FormLimits, Shape, Texts, compact as form, element_record_key,
};
use crate::index::{Found, Located, Names, NewEntry, Replacement};
use crate::{Keyspace, KeyspaceError, Kind, Millis};
pub(crate) use compact::Rewritten;
pub use fields::{FieldsEdit, StagedFields};
pub use scores::{ScoresEdit, StagedScores};
use store::{Location, Write};

/// Up to this many edits are compared one by one; with more, a hash table finds an element's edit.
const COMPARED_MAX: usize = 8;

/// What changes about one element.
#[derive(Debug)]
struct ElementEdit {
    hash: u64,
    /// The range of the record's name in `ElementEdits::bytes`: the collection's id, then the element's name.
    key: Range<usize>,
    /// The range of the new value; `None` if the edit removes the element, or only changes its deadline.
    value: Option<Range<usize>>,
    /// Whether the edit only changes the deadline.
    keeps_value: bool,
    /// The deadline that the element gets.
    expires_at: Option<Millis>,
    /// The element as it is stored; `None` if it is not stored.
    current: Option<Stored>,
}

impl ElementEdit {
    /// Whether the element exists after the edit.
    fn stays(&self) -> bool {
        self.value.is_some() || self.keeps_value
    }
}

#[derive(Clone, Copy, Debug)]
struct Stored {
    located: Located,
    /// Whether the element is past its deadline: then it does not count as one.
    expired: bool,
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
        self.set_until(id, name, value, None, stored)
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
                    let expires_at = edit.expires_at;
                    match (&edit.value, previous) {
                        (Some(value), previous) => Some(Write::Put {
                            record,
                            previous,
                            kind: kind.into(),
                            expires_at,
                            value: &edits.bytes[value.clone()],
                        }),
                        (None, Some(location)) if edit.keeps_value => Some(Write::SetExpiry {
                            record,
                            location,
                            expires_at,
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
    let expires_at = edit.expires_at;
    // The record of before may be gone, so the entry is found by its place.
    let located = edit.current.map(|stored| stored.located);
    let new = NewEntry {
        key: name,
        kind,
        location,
        expires_at,
        access: 0,
    };
    let replacement = Replacement {
        kind,
        location,
        expires_at,
    };
    match (&mut collection.shape, value) {
        (Shape::Fields(index), None) if edit.keeps_value => {
            if let Some(located) = located {
                index.replace(hash, name, located, replacement);
            }
        }
        (Shape::Fields(index), Some(_)) => {
            if let Some(located) = located {
                index.replace(hash, name, located, replacement);
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
                        .replace(hash, name, old.located, replacement);
                    scores.rescore(old.score, score, name);
                }
                (Some(old), None) => scores.remove((hash, name), old.located, old.score, names),
                (None, None) => {}
            }
        }
        (Shape::List(_) | Shape::Stream(_) | Shape::Compact(_), _) => {}
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

//! Builds new collections before they have a key.
//!
//! Their elements are garbage until an anchor names them. So any number of elements can be written in many steps, and the
//! one step that stores the anchor makes the whole collection appear.

use std::sync::Arc;

use parking_lot::RwLock;

use super::compact::Builder;
use super::elements::{Anchor, ElementKey, element_key, encode_label, encode_score};
use super::limits::{LISTPACK_BYTES, element_bytes};
use super::list::ListItem;
use super::source::Source;
use super::stream::StreamParts;
use super::view::View;
use super::{
    Collection, Encoding, FormLimits, KeyPlace, LockedCollection, Shape, element_record_key,
};
use crate::reading::storable;
use crate::{Keyspace, KeyspaceError, Kind, Millis, memory_check};
use store::{Location, Write};

/// Elements per step, in stores in which one large step costs less than several small ones.
const ELEMENTS_PER_STEP: usize = 256;

/// A new collection. Dropping it removes what was written, unless [`adopt`](Self::adopt) put it into use.
///
/// It is compact, and nothing of it is written, until it becomes too large for that.
pub(in super::super) struct Built<'k> {
    keyspace: &'k Keyspace,
    /// The collection as long as it is compact.
    compact: Option<Builder>,
    generation: u32,
    limits: FormLimits,
    /// Redis's form of the elements so far.
    encoding: Encoding,
    /// Bytes of a list's listpack.
    listpack_bytes: usize,
    /// The id of a collection that is not compact.
    pub id: u64,
    pub kind: Kind,
    /// Locked until the collection is in use, so the compaction waits.
    locked: Option<LockedCollection>,
    /// Keys, values and deadlines.
    waiting: Vec<(ElementKey, Vec<u8>, Option<Millis>)>,
    /// Written records of a stream, which is put together at the end.
    parts: StreamParts,
    next_label: i64,
    /// Bytes that the collection takes in the store so far.
    written_bytes: u64,
    now: Millis,
}

impl std::fmt::Debug for Built<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Built")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<'k> Built<'k> {
    /// An empty collection in a database's generation.
    pub fn new(keyspace: &'k Keyspace, kind: Kind, generation: u32, now: Millis) -> Self {
        let mut built = Self {
            keyspace,
            compact: kind.compact().map(|_| Builder::new(kind)),
            generation,
            limits: keyspace.form_limits(),
            encoding: Encoding::Integers,
            listpack_bytes: LISTPACK_BYTES,
            id: 0,
            kind,
            locked: None,
            waiting: Vec::new(),
            parts: StreamParts::default(),
            next_label: 0,
            written_bytes: 0,
            now,
        };
        if built.compact.is_none() {
            built.open();
        }
        built
    }

    /// Gives the collection an id, so that elements can be written.
    fn open(&mut self) {
        self.id = self.keyspace.collections().new_id();
        let naming = self.keyspace.naming();
        let collection = Arc::new(RwLock::new(Collection::new(self.kind, naming)));
        self.locked = Some(RwLock::write_arc(&collection));
        let registry = &self.keyspace.registry;
        registry.insert(self.id, self.generation, collection);
    }

    /// How many elements the collection has.
    pub fn len(&self) -> usize {
        self.compact.as_ref().map_or(0, Builder::len)
            + self.locked.as_ref().map_or(0, |locked| locked.len())
            + self.parts.len()
            + self.waiting.len()
    }

    /// The limits of its form.
    pub fn limits(&self) -> &FormLimits {
        &self.limits
    }

    /// Adds an element: a field with its value, a member (the value is empty or holds the score's bytes), a list's
    /// element (the name is empty), or a stream's record. Names must not repeat.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), KeyspaceError> {
        self.push_until(name, value, None)
    }

    /// As [`push`](Self::push), with a deadline of the element.
    pub fn push_until(
        &mut self,
        name: &[u8],
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        let expires_at = storable(expires_at);
        if let Some(compact) = &mut self.compact {
            // The compact form has no place for deadlines.
            if expires_at.is_none() && compact.push(&self.limits, name, value)? {
                return Ok(());
            }
            self.leave_compact()?;
        }
        self.push_element(name, value, expires_at)
    }

    /// Turns the compact collection into one whose elements have records of their own.
    fn leave_compact(&mut self) -> Result<(), KeyspaceError> {
        let Some(compact) = self.compact.take() else {
            return Ok(());
        };
        self.open();
        let mut space = None;
        for item in compact.body().texts(&mut space).items() {
            match self.kind {
                Kind::List => self.push_element(b"", item.name, None)?,
                Kind::SortedSet => {
                    self.push_element(item.name, &encode_score(item.score()), None)?;
                }
                _ => self.push_element(item.name, item.value, None)?,
            }
        }
        if self.encoding != Encoding::Full {
            self.encoding = compact.encoding();
        }
        Ok(())
    }

    /// Follows Redis's form of the collection as an element joins it.
    fn grow(&mut self, name: &[u8], value: &[u8]) -> Result<(), KeyspaceError> {
        let len = self.len() + 1;
        let encoding = match self.kind {
            Kind::Stream => Encoding::Full,
            Kind::List => {
                let form = self
                    .limits
                    .list_after(self.listpack_bytes + value.len(), len);
                self.listpack_bytes += element_bytes(value);
                form.max(self.encoding)
            }
            _ => {
                let value_bytes = if self.kind == Kind::Hash {
                    value.len()
                } else {
                    0
                };
                self.limits
                    .after(self.kind, self.encoding, len, name, value_bytes)
            }
        };
        if self.kind == Kind::Set && self.encoding != encoding {
            // The members so far get their order.
            self.write()?;
        }
        self.encoding = encoding;
        if let Some(locked) = &mut self.locked {
            locked.set_encoding(encoding, &self.keyspace.names_of_elements(self.id));
        }
        Ok(())
    }

    fn push_element(
        &mut self,
        name: &[u8],
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        self.grow(name, value)?;
        let key = if self.kind == Kind::List {
            self.next_label += 1 << 20;
            element_key(self.id, &encode_label(self.next_label))
        } else {
            element_key(self.id, name)
        };
        self.waiting.push((key, value.to_vec(), expires_at));
        // With partitions, a step of several writes needs a journal. Single writes cost less, and garbage needs no
        // journal.
        let step = if self.keyspace.partitioned {
            1
        } else {
            ELEMENTS_PER_STEP
        };
        if self.waiting.len() >= step {
            self.write()?;
        }
        Ok(())
    }

    /// Adds a copy of all elements of a value. It copies each element before it stores it, because nothing may be
    /// written while a value is borrowed.
    pub fn copy(&mut self, from: View<'_>) -> Result<(), KeyspaceError> {
        let encoding = match &from {
            View::Hash(fields) | View::Set(fields) => fields.encoding(),
            View::List(list) => list.encoding()?,
            View::SortedSet(scores) => scores.encoding(),
            View::String(_) | View::Stream(_) => self.encoding,
        };
        // A copy has the form of the original, even if that has become small.
        self.encoding = encoding;
        if encoding == Encoding::Full {
            self.leave_compact()?;
        } else if let Some(compact) = &mut self.compact {
            compact.begin_as(encoding);
        }
        match from {
            View::Hash(fields) | View::Set(fields) => {
                for name in fields.names()? {
                    let name = name?;
                    let value = fields.get(&name, <[u8]>::to_vec)?;
                    let expires_at = fields.deadline(&name)?.flatten();
                    self.push_until(&name, &value.unwrap_or_default(), expires_at)?;
                }
            }
            View::List(list) => {
                for position in 0..list.len() {
                    let value = list.get(position, <[u8]>::to_vec)?;
                    self.push(b"", &value.unwrap_or_default())?;
                }
            }
            View::SortedSet(scores) => {
                for (member, score) in scores.range(0..scores.len()) {
                    self.push(member, &encode_score(score))?;
                }
            }
            View::Stream(stream) => stream.for_records(|name, value| self.push(name, value))?,
            View::String(_) => return Err(KeyspaceError::WrongKind),
        }
        // Redis looks at no limits as it copies a value.
        self.encoding = encoding;
        if let Some(locked) = &mut self.locked {
            locked.encoding = encoding;
        }
        Ok(())
    }

    /// Writes the waiting elements.
    pub fn write(&mut self) -> Result<(), KeyspaceError> {
        let Some(locked) = &mut self.locked else {
            return Ok(());
        };
        if self.waiting.is_empty() {
            return Ok(());
        }
        let partition = self.keyspace.collections().partition_of(self.id);
        let writes: Vec<Write<'_>> = self
            .waiting
            .iter()
            .map(|(key, value, expires_at)| Write::Put {
                record: element_record_key(partition, key),
                previous: None,
                kind: self.kind.into(),
                expires_at: *expires_at,
                value,
            })
            .collect();
        let mut locations = vec![Location::default(); writes.len()];
        self.keyspace
            .writing()
            .store(&writes, &mut locations, self.now)
            .inspect_err(|_| memory_check::add_refused_bytes(self.written_bytes))?;
        self.written_bytes += self.keyspace.memory_check().bytes_of(&writes);
        drop(writes);
        for ((key, value, expires_at), location) in self.waiting.drain(..).zip(locations) {
            let name = &key[super::elements::ID_BYTES..];
            if self.kind == Kind::Stream {
                self.parts.insert(name, &value, location)?;
                continue;
            }
            let value = (value.as_slice(), expires_at);
            add(self.keyspace, locked, name, value, location);
        }
        Ok(())
    }

    /// Puts a stream together.
    fn settle(&mut self) -> Result<(), KeyspaceError> {
        let Some(locked) = self.locked.as_mut().filter(|_| self.kind == Kind::Stream) else {
            return Ok(());
        };
        let parts = std::mem::take(&mut self.parts);
        let (stream, dead) = parts.build(&Source::new(self.keyspace, self.id))?;
        debug_assert!(dead.is_empty(), "a new stream has only records that count");
        locked.shape = Shape::Stream(Box::new(stream));
        Ok(())
    }

    /// Writes the last elements. The collection is complete then. Appends the value of the record that its key gets to
    /// `out`, and returns the record's kind.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<Kind, KeyspaceError> {
        if let Some(compact) = &mut self.compact
            && let Some(kind) = self.kind.compact()
        {
            out.extend_from_slice(compact.finish().unwrap_or_default());
            return Ok(kind);
        }
        self.write()?;
        self.settle()?;
        if let Some(locked) = &mut self.locked {
            locked.listpack_bytes = None;
        }
        let anchor = Anchor {
            id: self.id,
            encoding: (self.kind != Kind::Stream).then_some(self.encoding),
        };
        anchor.encode(out);
        Ok(self.kind)
    }

    /// Puts the collection into use, after the anchor under its key was written.
    pub fn adopt(mut self, key: KeyPlace) {
        if let Some(locked) = self.locked.take() {
            let memory = locked.memory_bytes();
            let deadlines = &self.keyspace.registry.deadlines;
            deadlines.moved(self.id, locked.first_deadline(), key);
            self.keyspace.registry.note_memory(0, memory);
        }
    }
}

impl Drop for Built<'_> {
    fn drop(&mut self) {
        if self.parts.len() > 0
            && let Err(error) = self.settle()
        {
            // The next start finds the records again and drops them.
            tracing::warn!(%error, "the records of a stream that was not stored could not be removed");
        }
        if let Some(locked) = self.locked.take() {
            let memory = locked.memory_bytes();
            drop(locked);
            self.keyspace.registry.note_memory(0, memory);
            self.keyspace.collections().remove(self.id);
        }
    }
}

/// Adds an element that the collection does not have. In a list, it goes to the end.
pub(super) fn add(
    keyspace: &Keyspace,
    collection: &mut Collection,
    name: &[u8],
    (value, expires_at): (&[u8], Option<Millis>),
    location: Location,
) {
    let hash = keyspace.hashing.hash(name);
    let entry = collection.new_entry(name, location, expires_at);
    match &mut collection.shape {
        Shape::Fields(index) => {
            index.insert(hash, entry);
        }
        Shape::Scores(scores) => {
            if let Some(score) = super::elements::decode_score(value) {
                scores.insert(hash, entry, score);
            }
        }
        Shape::List(items) => {
            if let Some(label) = super::elements::decode_label(name) {
                items.push_back(ListItem { label, location });
            }
        }
        Shape::Stream(_) | Shape::Compact(_) => {}
    }
}

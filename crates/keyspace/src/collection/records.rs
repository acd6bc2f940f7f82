//! Collects the elements that loading reads before their collections exist.
//!
//! The store shows elements of many collections in mixed order. Loading keeps each one with the others of its collection;
//! later it adds it to the index.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::REGISTERS;
use super::elements::{decode_label, decode_score, split_key};
use super::list::ListItem;
use super::sequence::Sequence;
use super::stream::{OPEN_FORM, OpenRecords};
use crate::index::{IndexKey, NewEntry};
use crate::loading::Loading;
use crate::{KeyspaceError, Kind, Millis};
use store::{Location, Visited};

/// Elements of one collection that a thread collects before it takes the register's lock.
const BATCH: usize = 256;

/// About how many elements are sorted at a time. They, and the part of the index that takes them, then fit in the
/// processor's cache.
const BUCKET: usize = 2_048;

/// One record of an element.
#[derive(Debug)]
pub(in super::super) struct ElementRecord {
    pub hash: u64,
    /// Orders the records of one element: the record with the highest number counts.
    pub sequence: u64,
    /// For a sorted set's member, the bits of its score; for a stream's record, the first byte of its value; for other
    /// elements, the length of the value in bytes. NaN, the highest number or 0 mean that the value must be read to find
    /// out.
    pub brief: u64,
    /// The element's name.
    pub name: IndexKey,
    pub kind: Kind,
    pub location: Location,
    /// The deadline of a hash's field.
    pub expires_at: Option<Millis>,
    /// The element's number in the order in which elements were added.
    pub ordinal: u32,
    /// Whether the record is a tombstone: it says that the element is gone.
    pub removed: bool,
}

impl ElementRecord {
    /// The record's location, if the store counts the record as live.
    fn live(&self) -> Option<Location> {
        (!self.removed).then_some(self.location)
    }

    /// The index's entry of the element.
    pub fn new_entry(&self) -> NewEntry<'_> {
        NewEntry {
            key: &self.name,
            kind: self.kind,
            location: self.location,
            expires_at: self.expires_at,
            access: self.ordinal,
        }
    }
}

/// Elements of one collection that a thread read in one stretch.
#[derive(Debug, Default)]
pub(in super::super) struct ElementBatch {
    id: u64,
    found: Vec<ElementRecord>,
    open: OpenRecords,
}

/// One batch for each register.
pub(in super::super) fn element_batches() -> Vec<ElementBatch> {
    (0..REGISTERS).map(|_| ElementBatch::default()).collect()
}

/// The records of a collection that loading has read so far; there may be several records of one element.
#[derive(Debug, Default)]
pub(super) struct CollectionRecords {
    batches: Vec<Vec<ElementRecord>>,
    open: OpenRecords,
}

/// Some of the collections, by id.
pub(super) type RecordsById = HashMap<u64, CollectionRecords, FixedState>;

impl CollectionRecords {
    pub fn len(&self) -> usize {
        self.batches.iter().map(Vec::len).sum::<usize>() + self.open.len()
    }

    fn add(&mut self, batch: &mut Vec<ElementRecord>) {
        match self.batches.last_mut() {
            Some(last) if last.len() + batch.len() <= BATCH => last.append(batch),
            _ => {
                let capacity = if batch.len() < BATCH { 0 } else { BATCH };
                let mut batch = std::mem::replace(batch, Vec::with_capacity(capacity));
                batch.shrink_to_fit();
                self.batches.push(batch);
            }
        }
    }

    /// Adds one element.
    pub fn push(&mut self, found: ElementRecord) {
        match self.batches.last_mut() {
            Some(last) if last.len() < BATCH => last.push(found),
            _ => self.batches.push(vec![found]),
        }
    }

    /// The kind of the collection; `None` if all records are tombstones.
    pub fn kind(&self) -> Option<Kind> {
        let mut found = self.batches.iter().flatten();
        let found = found.find(|found| !found.removed).map(|found| found.kind);
        found.or((self.open.len() > 0).then_some(Kind::Stream))
    }

    /// Locations of the records that the store counts as live.
    pub fn live(&self) -> impl Iterator<Item = Location> {
        let found = self.batches.iter().flatten();
        found
            .filter_map(ElementRecord::live)
            .chain(self.open.locations())
    }

    /// Makes elements of the records of a stream's open entries that may count; returns where the others lie. `hash` is that of
    /// a name.
    pub fn settle_open(&mut self, hash: impl Fn(&[u8]) -> u64) -> Vec<Location> {
        let mut dead = Vec::new();
        self.open.prune(&mut dead);
        for (name, open) in self.open.take() {
            self.push(ElementRecord {
                hash: hash(&name),
                sequence: open.sequence,
                brief: OPEN_FORM,
                name: IndexKey::from_slice(&name),
                kind: Kind::Stream,
                location: open.location,
                expires_at: None,
                ordinal: 0,
                removed: false,
            });
        }
        dead
    }

    /// Returns the elements that exist, and the locations of their older records. The elements are sorted by hash, and
    /// split into buckets by hash.
    pub fn elements(self) -> (Vec<Vec<ElementRecord>>, Vec<Location>) {
        let bits = (self.len() / BUCKET).max(1).ilog2().min(16);
        // Shifting by 64 overflows, so shift in two steps.
        let bucket_of = |hash: u64| (hash >> 1 >> (63 - bits)) as usize;
        let capacity = (self.len() >> bits) + (self.len() >> bits >> 3);
        let mut buckets: Vec<Vec<ElementRecord>> = (0..1 << bits)
            .map(|_| Vec::with_capacity(capacity))
            .collect();
        // Two loops, because a flattened iterator would pass each element through memory once more.
        for batch in self.batches {
            for found in batch {
                buckets[bucket_of(found.hash)].push(found);
            }
        }
        let mut older = Vec::new();
        for bucket in &mut buckets {
            bucket.sort_unstable_by(|a, b| {
                let by_hash = a.hash.cmp(&b.hash);
                by_hash
                    .then_with(|| a.name.cmp(&b.name))
                    .then(a.sequence.cmp(&b.sequence))
            });
            let same = |a: &ElementRecord, b: &ElementRecord| a.hash == b.hash && a.name == b.name;
            keep_last(bucket, same, ElementRecord::live, &mut older);
        }
        (buckets, older)
    }

    /// Returns a list's elements in order, and the locations of their older records.
    pub fn list(mut self) -> (Sequence<ListItem>, Vec<Location>) {
        struct Labelled {
            label: i64,
            sequence: u64,
            location: Option<Location>,
        }
        // One thread filled each batch, and its labels rise or fall as clients pushed the elements. So the batches are
        // almost sorted before the sort starts.
        let label_of = |found: Option<&ElementRecord>| decode_label(&found?.name);
        for batch in &mut self.batches {
            if label_of(batch.first()) > label_of(batch.last()) {
                batch.reverse();
            }
        }
        self.batches
            .sort_unstable_by_key(|batch| label_of(batch.first()));
        let mut items = Vec::with_capacity(self.len());
        for batch in self.batches {
            for found in batch {
                items.extend(decode_label(&found.name).map(|label| Labelled {
                    label,
                    sequence: found.sequence,
                    location: found.live(),
                }));
            }
        }
        // A stable sort, because it is fast on input that is almost sorted.
        items.sort_by_key(|item| (item.label, item.sequence));
        let mut older = Vec::new();
        let same = |a: &Labelled, b: &Labelled| a.label == b.label;
        keep_last(&mut items, same, |item| item.location, &mut older);
        let items = items.into_iter().filter_map(|item| {
            Some(ListItem {
                label: item.label,
                location: item.location?,
            })
        });
        (items.collect(), older)
    }
}

/// Keeps only the newest record of each element, and drops that one too if it is a tombstone. Records of one element
/// must be adjacent, oldest first. `live` returns no location for a tombstone. The locations of older live records go
/// to `older`.
fn keep_last<T>(
    records: &mut Vec<T>,
    same: impl Fn(&T, &T) -> bool,
    live: impl Fn(&T) -> Option<Location>,
    older: &mut Vec<Location>,
) {
    records.dedup_by(|next, kept| {
        let same = same(next, kept);
        if same {
            std::mem::swap(next, kept);
            older.extend(live(next));
        }
        same
    });
    records.retain(|record| live(record).is_some());
}

impl Loading<'_> {
    /// An element's record, with the id of its collection; `None` if the record's key is not an element's.
    pub(in super::super) fn element_of(self, record: &Visited<'_>) -> Option<(u64, ElementRecord)> {
        let (id, name) = split_key(record.key)?;
        let brief = match record.kind {
            // A value that is not a score becomes NaN: it must be read later.
            Kind::SortedSet => decode_score(record.value).unwrap_or(f64::NAN).to_bits(),
            Kind::Stream => record.value.first().map_or(u64::MAX, |&form| form.into()),
            _ => record.value.len() as u64,
        };
        let found = ElementRecord {
            hash: self.keyspace.hashing.hash(name),
            sequence: record.sequence,
            brief,
            name: IndexKey::from_slice(name),
            kind: record.kind,
            location: record.location,
            expires_at: record.expires_at,
            ordinal: 0,
            removed: record.removed,
        };
        Some((id, found))
    }

    /// Collects a record if it is an element's; returns whether it is.
    pub(in super::super) fn collect_element(
        self,
        record: &Visited<'_>,
        batches: &mut [ElementBatch],
    ) -> Result<bool, KeyspaceError> {
        let Some((id, name)) = split_key(record.key) else {
            return Ok(false);
        };
        let batch = &mut batches[register(id)];
        if batch.id != id || batch.found.len().max(batch.open.len()) >= BATCH {
            self.absorb_elements(batch)?;
            batch.id = id;
        }
        let is_stream = record.kind == Kind::Stream && !record.removed;
        if !is_stream || !batch.open.meet(name, record) {
            let found = self.element_of(record);
            batch.found.extend(found.map(|(_, found)| found));
        }
        Ok(true)
    }

    /// Moves a batch to its collection.
    pub(in super::super) fn absorb_elements(
        self,
        batch: &mut ElementBatch,
    ) -> Result<(), KeyspaceError> {
        if batch.found.is_empty() && batch.open.len() == 0 {
            return Ok(());
        }
        self.keyspace.registry.seen(batch.id);
        let mut dead = Vec::new();
        {
            let mut by_id = self.keyspace.registry.unclaimed.register(batch.id);
            let records = by_id.entry(batch.id).or_default();
            if !batch.found.is_empty() {
                records.add(&mut batch.found);
            }
            records.open.absorb(&mut batch.open, &mut dead);
        }
        self.release_older(&dead)
    }
}

/// The number of the register that collects this collection's elements.
pub(super) fn register(id: u64) -> usize {
    usize::try_from(id % REGISTERS as u64).unwrap_or(0)
}

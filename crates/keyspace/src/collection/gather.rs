//! Elements that are met while the pool is read, before their collections are there.
//!
//! The store shows them in an order of its own, of many collections in turn. Each is made into an index's entry at
//! once, lies with others of its collection, and moves from there into the index: names are copied once.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::REGISTERS;
use super::elements::{decode_label, decode_score, split_key};
use super::list::ListItem;
use super::sequence::Sequence;
use crate::index::Entry;
use crate::{Keyspace, Kind, Millis};
use store::{Location, Visited};

/// Elements that a thread gathers of a collection before it takes the register's lock.
const BATCH: usize = 256;

/// About how many elements are brought into order at a time: they, and the part of the index that takes them, stay in
/// the processor's cache.
const BUCKET: usize = 2_048;

/// The deadline of an entry that stands for a removal; elements have none.
const REMOVED: Millis = 0;

/// One record of an element.
#[derive(Debug)]
pub(in super::super) struct Found {
    pub hash: u64,
    /// Of several records of an element the one with the highest counts.
    pub sequence: u64,
    /// Of a sorted set's member the bits of its score, else the value's bytes; NaN or 0 where only reading it can tell.
    pub brief: u64,
    pub entry: Entry,
}

impl Found {
    /// Whether the record says that the element is gone.
    fn is_removal(&self) -> bool {
        self.entry.expires_at().is_some()
    }

    /// Where a record lies that the store counts as live.
    fn live(&self) -> Option<Location> {
        (!self.is_removal()).then_some(self.entry.location)
    }
}

/// A record of an element, with the id of its collection.
pub(in super::super) type FoundElement = (u64, Found);

/// Elements of one collection that a thread has met one soon after the other.
#[derive(Debug, Default)]
pub(in super::super) struct Batch {
    id: u64,
    found: Vec<Found>,
}

/// One batch for each register.
pub(in super::super) fn batches() -> Vec<Batch> {
    (0..REGISTERS).map(|_| Batch::default()).collect()
}

/// What was met of a collection so far: of an element maybe several records.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    batches: Vec<Vec<Found>>,
}

/// Some of the collections by id.
pub(super) type GatheredRegister = HashMap<u64, Gathered, FixedState>;

impl Gathered {
    pub fn len(&self) -> usize {
        self.batches.iter().map(Vec::len).sum()
    }

    fn add(&mut self, batch: &mut Vec<Found>) {
        match self.batches.last_mut() {
            Some(last) if last.len() + batch.len() <= BATCH => last.append(batch),
            _ => {
                let room = if batch.len() < BATCH { 0 } else { BATCH };
                let mut batch = std::mem::replace(batch, Vec::with_capacity(room));
                batch.shrink_to_fit();
                self.batches.push(batch);
            }
        }
    }

    /// Adds one element.
    pub fn push(&mut self, found: Found) {
        match self.batches.last_mut() {
            Some(last) if last.len() < BATCH => last.push(found),
            _ => self.batches.push(vec![found]),
        }
    }

    /// The kind of what is there; `None` where nothing is.
    pub fn kind(&self) -> Option<Kind> {
        let mut found = self.batches.iter().flatten();
        Some(found.find(|found| !found.is_removal())?.entry.kind())
    }

    /// Where records lie that the store counts as live.
    pub fn live(&self) -> impl Iterator<Item = Location> {
        self.batches.iter().flatten().filter_map(Found::live)
    }

    /// The elements that there are, in buckets whose hashes rise from one to the next, and within them; and where
    /// older records of them lie.
    pub fn elements(self) -> (Vec<Vec<Found>>, Vec<Location>) {
        let bits = (self.len() / BUCKET).max(1).ilog2().min(16);
        // The shift of all bits away is none that integers have.
        let bucket_of = |hash: u64| (hash >> 1 >> (63 - bits)) as usize;
        let room = (self.len() >> bits) + (self.len() >> bits >> 3);
        let mut buckets: Vec<Vec<Found>> =
            (0..1 << bits).map(|_| Vec::with_capacity(room)).collect();
        // Not flattened: an iterator of all would pass each element through memory once more.
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
                    .then_with(|| a.entry.key().cmp(b.entry.key()))
                    .then(a.sequence.cmp(&b.sequence))
            });
            let same = |a: &Found, b: &Found| a.hash == b.hash && a.entry.key() == b.entry.key();
            keep_last(bucket, same, Found::live, &mut older);
        }
        (buckets, older)
    }

    /// A list's elements in order, and where older records of them lie.
    pub fn list(mut self) -> (Sequence<ListItem>, Vec<Location>) {
        struct Labelled {
            label: i64,
            sequence: u64,
            location: Option<Location>,
        }
        // Each batch was met by one thread, and rises or falls as the elements were pushed: most of the order is there
        // before it is looked for.
        let label_of = |found: Option<&Found>| decode_label(found?.entry.key());
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
                items.extend(decode_label(found.entry.key()).map(|label| Labelled {
                    label,
                    sequence: found.sequence,
                    location: found.live(),
                }));
            }
        }
        // Not the unstable one: this is fast where much is in order.
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

/// Leaves of several records of an element, which come one behind the other, the last, and not that where it is a
/// removal, which is `live` nowhere.
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

impl Keyspace {
    /// An element's record, with the id of its collection; `None` where the record's name is none of an element.
    pub(in super::super) fn found_element(&self, record: &Visited<'_>) -> Option<FoundElement> {
        let (id, name) = split_key(record.key)?;
        let brief = match record.kind {
            // What is no score stays none.
            Kind::SortedSet => decode_score(record.value).unwrap_or(f64::NAN).to_bits(),
            _ => record.value.len() as u64,
        };
        let removed = record.removed.then_some(REMOVED);
        let found = Found {
            hash: self.hash(name),
            sequence: record.sequence,
            brief,
            entry: Entry::new(name, record.kind, record.location, removed, 0),
        };
        Some((id, found))
    }

    /// Gathers an element's record; whether it was one.
    pub(in super::super) fn gather_element(
        &self,
        record: &Visited<'_>,
        batches: &mut [Batch],
    ) -> bool {
        let Some((id, found)) = self.found_element(record) else {
            return false;
        };
        let batch = &mut batches[register(id)];
        if batch.id != id || batch.found.len() >= BATCH {
            self.absorb_elements(batch);
            batch.id = id;
        }
        batch.found.push(found);
        true
    }

    /// Takes a batch in.
    pub(in super::super) fn absorb_elements(&self, batch: &mut Batch) {
        if batch.found.is_empty() {
            return;
        }
        self.collections.seen(batch.id);
        let mut by_id = self.collections.loading.register(batch.id);
        by_id.entry(batch.id).or_default().add(&mut batch.found);
    }
}

/// The number of the register that a collection is gathered in.
pub(super) fn register(id: u64) -> usize {
    usize::try_from(id % REGISTERS as u64).unwrap_or(0)
}

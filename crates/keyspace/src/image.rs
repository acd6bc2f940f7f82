//! An image: all keys as they were at one moment, read in small steps while commands run.
//!
//! A thread that is alone in the gate begins the image; that is its moment. Then the image walks the index in hash order, a
//! few keys under one hold of a shard, and copies their values. A command that is about to change a key that the walk has
//! not met yet first copies the old value into a queue, under the shard's lock that it holds anyway, and notes the key's
//! hash: the walk leaves this key out. A key that the command makes is noted too. So every key of the moment comes once, in
//! its state of the moment, in no order.
//!
//! A key is named by its database of the moment and its hash. Two keys of one database with the same 64 bits would count as
//! one; among a billion keys that is a chance of 3 % that there is such a pair at all, and one of the two must change
//! before the walk meets the other.
//!
//! The queue and the notes have a limit. Where a command would pass it, the image is given up; no command waits for one.
//! FLUSHDB and FLUSHALL give it up too. SWAPDB does not disturb it, since the walk goes by generations.
//!
//! Keys past their deadline are left out: whoever reads the image would not see them. For the same reason nobody notes that
//! the background removes such a key.

mod walk;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use lock_order::{Mutex, Rank};
use redis_core::serialised::Object;

use super::hashing::{SHARDS, shard_of};
use super::index::Found;
use super::{DATABASES, KeyInfo, Keyspace, KeyspaceError, Kind, Millis, View};
use store::now_ms;

pub use walk::Image;

/// Copies a value. It must not call the keyspace.
pub type CopyValue = fn(View<'_>) -> Result<Object, KeyspaceError>;

/// The most keys that the walk copies under one hold of a shard, and about the most bytes.
const STEP_KEYS: usize = 64;
const STEP_BYTES: usize = 256 * 1024;

/// What a note of a key takes.
const NOTE_BYTES: usize = 24;
/// What a key takes beside its bytes and its value, and an element beside its bytes.
const KEY_BYTES: usize = size_of::<ImageKey>();
const ELEMENT_BYTES: usize = size_of::<Vec<u8>>() + 16;

/// A key of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageKey {
    /// Its database.
    pub db: usize,
    /// Its name.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Object,
    /// Its type, deadline and use.
    pub info: KeyInfo,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Another one is being taken.
    #[error("an image is being taken already")]
    Busy,
    /// The engine keeps nothing.
    #[error("the engine keeps no data")]
    NothingKept,
    /// A database was emptied.
    #[error("a database was emptied meanwhile")]
    Flushed,
    /// More was changed than the limit allows.
    #[error(
        "commands changed more than rdb-buffer-limit ({limit_bytes} bytes) before it was written"
    )]
    TooMuchChanged {
        /// The limit.
        limit_bytes: usize,
    },
    /// A value could not be read.
    #[error(transparent)]
    Keyspace(#[from] KeyspaceError),
}

impl ImageError {
    /// Whether another try may succeed: what disturbed this one need not come again.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Flushed | Self::TooMuchChanged { .. })
    }
}

/// The image that is being taken, if there is one.
#[derive(Debug)]
pub(super) struct State {
    is_taken: AtomicBool,
    taking: Mutex<Option<Taking>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            is_taken: AtomicBool::new(false),
            taking: Mutex::new(Rank::Image, None),
        }
    }
}

/// How far the walk is. What lies before is visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    shard: usize,
    db: usize,
    hash: u64,
}

/// What commands and the walk tell each other.
#[derive(Debug)]
struct Taking {
    /// The databases' generations at the moment.
    generations: [u32; DATABASES],
    copy: CopyValue,
    at: Place,
    /// The keys that were noted before the walk met them, of each shard.
    noted: Vec<HashSet<(u8, u64)>>,
    queue: Vec<ImageKey>,
    /// What the notes take.
    note_bytes: usize,
    /// What the queue takes.
    queue_bytes: usize,
    limit_bytes: usize,
    failed: Option<ImageError>,
}

impl Taking {
    /// Notes a key that is about to change; returns its database if its old value belongs into the queue.
    fn note(&mut self, generation: u32, hash: u64) -> Option<usize> {
        let db = self.generations.iter().position(|&one| one == generation)?;
        let shard = shard_of(hash);
        let is_visited = Place { shard, db, hash } < self.at;
        if self.failed.is_some() || is_visited {
            return None;
        }
        let is_new = self.noted[shard].insert((u8::try_from(db).unwrap_or_default(), hash));
        if is_new {
            self.note_bytes += NOTE_BYTES;
            self.check_limit();
        }
        is_new.then_some(db)
    }

    fn check_limit(&mut self) {
        if self.note_bytes + self.queue_bytes > self.limit_bytes {
            let limit_bytes = self.limit_bytes;
            self.fail(ImageError::TooMuchChanged { limit_bytes });
        }
    }

    fn fail(&mut self, error: ImageError) {
        self.failed.get_or_insert(error);
        // Nobody needs them any more.
        self.queue = Vec::new();
        self.noted
            .iter_mut()
            .for_each(|notes| *notes = HashSet::new());
    }
}

/// Images; see [`Keyspace::images`].
#[derive(Clone, Copy, Debug)]
pub struct Images<'k> {
    pub(super) keyspace: &'k Keyspace,
}

/// How many keys a database has at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageSizes {
    /// Keys, some perhaps past their deadline.
    pub keys: u64,
    /// Keys with a deadline.
    pub expiring: u64,
}

impl<'k> Images<'k> {
    /// Reads what is not read of the store yet, so that [`begin`](Self::begin) takes little time.
    pub fn prepare(self) -> Result<(), KeyspaceError> {
        (0..self.keyspace.store.partitions())
            .try_for_each(|partition| self.keyspace.loading().index_partition(partition))
    }

    /// Begins an image; its moment is now. The caller is alone in the gate. `copy` copies values. Commands keep up to about
    /// `limit_bytes` for it.
    pub fn begin(self, copy: CopyValue, limit_bytes: usize) -> Result<Image<'k>, ImageError> {
        let keyspace = self.keyspace;
        if !keyspace.retains {
            return Err(ImageError::NothingKept);
        }
        keyspace.loading().open_all();
        let generations = keyspace.generations.all();
        let mut sizes = [ImageSizes::default(); DATABASES];
        for shard in &keyspace.shards {
            let shard = shard.read();
            for (sizes, &generation) in sizes.iter_mut().zip(&generations) {
                if let Some(table) = shard.table(generation) {
                    sizes.keys += table.index.len() as u64;
                    sizes.expiring += table.index.expiring() as u64;
                }
            }
        }
        let libraries = keyspace.libraries().read()?;
        let mut taking = keyspace.image.taking.lock();
        if taking.is_some() {
            return Err(ImageError::Busy);
        }
        *taking = Some(Taking {
            generations,
            copy,
            at: Place {
                shard: 0,
                db: 0,
                hash: 0,
            },
            noted: vec![HashSet::new(); SHARDS],
            queue: Vec::new(),
            note_bytes: 0,
            queue_bytes: 0,
            limit_bytes,
            failed: None,
        });
        drop(taking);
        // The gate's locks order this before all commands that follow.
        keyspace.image.is_taken.store(true, Ordering::Relaxed);
        Ok(Image {
            keyspace,
            generations,
            copy,
            sizes,
            libraries,
            at: Place {
                shard: 0,
                db: 0,
                hash: 0,
            },
            step_keys: STEP_KEYS,
        })
    }

    /// Whether commands must keep what they are about to change.
    #[inline]
    pub(super) fn is_taken(self) -> bool {
        self.keyspace.image.is_taken.load(Ordering::Relaxed)
    }

    /// Keeps the state of a key that is about to change. The caller has locked the key's shard, and not its collection.
    /// `found` is the key's entry, expired or not.
    #[cold]
    pub(super) fn keep(self, generation: u32, hash: u64, key: &[u8], found: Option<Found<'_>>) {
        let Some((db, copy)) = self.note(generation, hash) else {
            return;
        };
        let now = now_ms();
        let Some(found) = self.keyspace.expiry().live(found, now) else {
            return;
        };
        let copied = self.keyspace.copied(generation, hash, found, copy, now);
        let info = found.info(now, self.keyspace.eviction.clock());
        self.queue(db, key, info, copied);
    }

    /// The same for a caller that has locked the collection too. `view` shows the live value.
    #[cold]
    pub(super) fn keep_viewed(
        self,
        generation: u32,
        hash: u64,
        key: &[u8],
        live: Option<(KeyInfo, View<'_>)>,
    ) {
        if let Some((db, copy)) = self.note(generation, hash)
            && let Some((info, view)) = live
        {
            self.queue(db, key, info, copy(view));
        }
    }

    fn note(self, generation: u32, hash: u64) -> Option<(usize, CopyValue)> {
        let mut taking = self.keyspace.image.taking.lock();
        let taking = taking.as_mut()?;
        Some((taking.note(generation, hash)?, taking.copy))
    }

    fn queue(self, db: usize, key: &[u8], info: KeyInfo, copied: Result<Object, KeyspaceError>) {
        let copied = copied.map(|value| {
            let key = key.to_vec();
            let key = ImageKey {
                db,
                key,
                value,
                info,
            };
            (key.memory_bytes(), key)
        });
        let mut taking = self.keyspace.image.taking.lock();
        let Some(taking) = taking.as_mut().filter(|taking| taking.failed.is_none()) else {
            return;
        };
        match copied {
            // All fields of the hash are past their deadlines.
            Ok((_, key)) if key.value.is_empty() => {}
            Ok((bytes, key)) => {
                taking.queue_bytes += bytes;
                taking.queue.push(key);
                taking.check_limit();
            }
            Err(error) => taking.fail(error.into()),
        }
    }

    /// Gives up the image that is being taken, since a database is emptied.
    pub(super) fn flushed(self) {
        if self.is_taken()
            && let Some(taking) = self.keyspace.image.taking.lock().as_mut()
        {
            taking.fail(ImageError::Flushed);
        }
    }
}

impl Keyspace {
    /// A copy of the value of an entry whose shard is locked.
    fn copied(
        &self,
        generation: u32,
        hash: u64,
        found: Found<'_>,
        copy: CopyValue,
        now: Millis,
    ) -> Result<Object, KeyspaceError> {
        if found.kind() == Kind::String {
            let string = self.reading().stored_string(hash, generation, found);
            return copy(View::String(string));
        }
        if found.entry.stored_kind().is_compact() {
            let collection = self.collections().copy_of(hash, generation, found)?;
            return copy(View::new(self, 0, &collection, now));
        }
        let collection = self.collections().of(hash, generation, found)?;
        let (id, shared) = collection.ok_or(KeyspaceError::Failed("a collection has no anchor"))?;
        let collection = shared.read();
        copy(View::new(self, id, &collection, now))
    }
}

impl ImageKey {
    /// What it takes in memory, about.
    pub fn memory_bytes(&self) -> usize {
        let strings = |strings: &[Vec<u8>]| -> usize {
            strings.iter().map(|one| one.len() + ELEMENT_BYTES).sum()
        };
        let value = match &self.value {
            Object::String(value) => value.len(),
            Object::List(elements) | Object::Set(elements) => strings(elements),
            Object::Hash(fields) => fields
                .iter()
                .map(|(field, value)| field.len() + value.len() + 2 * ELEMENT_BYTES)
                .sum(),
            Object::ExpiringHash(fields) => fields
                .iter()
                .map(|field| field.name.len() + field.value.len() + 2 * ELEMENT_BYTES)
                .sum(),
            Object::SortedSet(members) => members
                .iter()
                .map(|(member, _)| member.len() + ELEMENT_BYTES + size_of::<f64>())
                .sum(),
            Object::Stream(stream) => {
                let entries = stream.entries.iter();
                let entries: usize = entries.map(|entry| strings(&entry.values) + 100).sum();
                let groups = stream.groups.iter();
                let groups: usize = groups
                    .map(|group| 48 * group.pending.len() + 64 * group.consumers.len() + 100)
                    .sum();
                entries + groups
            }
        };
        KEY_BYTES + self.key.len() + value
    }
}

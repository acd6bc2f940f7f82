//! A call that changes one element of the collection that was changed last, as most calls on a large collection do. Such a
//! change is one record, and it needs no list of changes: it takes all steps at once.
//!
//! What this cannot do, or what needs more than that one record, is left to the [edits](super::elements): the methods then
//! return `None`, and have done nothing.

use super::elements::recent;
use super::locked::LockedKey;
use super::{KeyWrite, OneUpdate};
use crate::collection::{
    Collection, Encoding, End, ListItem, Shape, Source, decode_score, element_key,
    element_record_key, encode_score, name_of_label, next_label,
};
use crate::index::{Found, Named, NewEntry, Replacement};
use crate::shard::Shard;
use crate::telling::Before;
use crate::{Access, EventClass, Keyspace, KeyspaceError, Kind};
use store::{Location, Write};

/// Elements with records of their own lie in this partition where the store has no partitions.
const PARTITION: usize = 0;

/// A locked collection of which one element changes.
pub struct ElementChange<'a> {
    keyspace: &'a Keyspace,
    id: u64,
    collection: &'a mut Collection,
    access: Access,
    /// Whether a record was written.
    has_written: bool,
    /// What the call tells, if anything, and how many changes of data it counts as.
    told: Option<(EventClass, &'static str, usize)>,
}

/// What [`Keyspace::change_element`] met.
enum Opened<R> {
    Done(R),
    /// The key's collection, if it has one, is not the one that was changed last.
    Other,
    /// The call needs more. Whether it has counted as a use of the key.
    NeedsMore(bool),
}

impl Keyspace {
    /// As [`update_one`](Self::update_one), for a call that mostly changes one element. If the key's collection is the one of
    /// its shard that was changed last, and nobody follows the changes, it runs `one`. Where that returns `None`, or does not
    /// run, it runs `all`. Both get `with`.
    pub fn change_element<S, R, E: From<KeyspaceError>>(
        &self,
        (db, key): (usize, &[u8]),
        access: Access,
        kind: Kind,
        with: &mut S,
        one: impl FnOnce(&mut S, &mut ElementChange<'_>) -> Result<Option<R>, E>,
        mut all: impl FnMut(&mut S, &mut OneUpdate<'_, '_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.expiry().on_access(db, key, access.now)?;
        let (mut shard, locked) = self.locking().lock_key(db, key, access)?;
        let opened = self.with_recent(&mut shard, locked, access, kind, |change| one(with, change));
        match opened? {
            Opened::Done(result) => Ok(result),
            Opened::Other => {
                self.update_locked((shard, None), locked, access, kind, |keys| all(with, keys))
            }
            Opened::NeedsMore(touched) => {
                let touch = access.touch && !touched;
                let access = Access { touch, ..access };
                let stored = recent(&shard, locked);
                self.update_locked((shard, stored), locked, access, kind, |keys| {
                    all(with, keys)
                })
            }
        }
    }

    /// Runs `f` on the collection of a locked key if it is the one that was changed last, and if no change of it concerns
    /// anybody but those who watch the key, wait for it or listen to events.
    #[inline]
    fn with_recent<R, E: From<KeyspaceError>>(
        &self,
        shard: &mut Shard,
        locked: LockedKey<'_>,
        access: Access,
        kind: Kind,
        f: impl FnOnce(&mut ElementChange<'_>) -> Result<Option<R>, E>,
    ) -> Result<Opened<R>, E> {
        let LockedKey {
            key,
            hash,
            generation,
            db,
        } = locked;
        let table = shard.table(generation);
        let Some((table, (id, anchor, collection))) =
            table.and_then(|table| Some((table, table.recent_of(hash, key)?)))
        else {
            return Ok(Opened::Other);
        };
        if self.events.is_followed()
            || self.images().is_taken()
            || self.partitioned
            || !self.retains
        {
            return Ok(Opened::NeedsMore(false));
        }
        // A key with a deadline is not found so.
        let entry = table.index.entry_at(hash, anchor);
        let Some(entry) = entry.filter(|entry| entry.stored_kind() == kind) else {
            return Ok(Opened::NeedsMore(false));
        };
        if access.touch {
            entry.touch(access.now, self.eviction.clock());
        }
        let mut collection = collection.write();
        if collection.encoding != Encoding::Full || collection.is_unmarked {
            return Ok(Opened::NeedsMore(access.touch));
        }
        let mut change = ElementChange {
            keyspace: self,
            id,
            collection: &mut collection,
            access,
            has_written: false,
            told: None,
        };
        let result = f(&mut change);
        let (has_written, told) = (change.has_written, change.told);
        drop(collection);
        let Some(result) = result? else {
            return Ok(Opened::NeedsMore(access.touch));
        };
        if has_written {
            let (change, before) = (KeyWrite::Nothing, Before::Live);
            self.telling()
                .modified_by(shard, locked, change, before, access);
        }
        if let Some((class, event, changes)) = told {
            self.events.emit(class, event, db, key);
            shard.dirty += changes as u64;
        }
        Ok(Opened::Done(result))
    }
}

impl ElementChange<'_> {
    /// Emits an event of the key after the call, which counts as so many changes of data.
    pub fn tell(&mut self, class: EventClass, event: &'static str, changes: usize) {
        self.told = Some((class, event, changes));
    }

    /// Takes the element at an end of a list, and shows it to `f` before.
    pub fn pop(&mut self, end: End, f: impl FnOnce(&[u8])) -> Result<Option<()>, KeyspaceError> {
        let few = self.keyspace.forms.list_entries_few();
        let Shape::List(items) = &mut self.collection.shape else {
            return Ok(None);
        };
        // With fewer elements it may become another form.
        if items.len() <= few + 1 {
            return Ok(None);
        }
        let item = match end {
            End::Head => items.first(),
            End::Tail => items.last(),
        };
        let Some(&item) = item else {
            return Ok(None);
        };
        Source::new(self.keyspace, self.id).read(&[], item.location, f)?;
        let name = name_of_label(self.id, item.label);
        let before = items.memory_bytes();
        write(self.keyspace, self.access, remove(&name, item.location))?;
        match end {
            End::Head => items.pop_front(),
            End::Tail => items.pop_back(),
        };
        let after = items.memory_bytes();
        self.keyspace.registry.note_memory(before, after);
        self.collection.listpack_bytes = None;
        self.has_written = true;
        Ok(Some(()))
    }

    /// Adds an element at an end of a list. Returns how many there are then.
    pub fn push(&mut self, end: End, value: &[u8]) -> Result<Option<usize>, KeyspaceError> {
        let few = self.keyspace.forms.list_entries_few();
        let Shape::List(items) = &mut self.collection.shape else {
            return Ok(None);
        };
        if items.len() < few {
            return Ok(None);
        }
        let Some(label) = next_label(items, end) else {
            return Ok(None);
        };
        let name = name_of_label(self.id, label);
        let before = items.memory_bytes();
        let put = put(&name, None, Kind::List, value);
        let location = write(self.keyspace, self.access, put)?;
        let item = ListItem { label, location };
        match end {
            End::Head => items.push_front(item),
            End::Tail => items.push_back(item),
        }
        let (len, after) = (items.len(), items.memory_bytes());
        self.keyspace.registry.note_memory(before, after);
        self.collection.listpack_bytes = None;
        self.has_written = true;
        Ok(Some(len))
    }

    /// Sets a field of a hash. Returns whether it is new.
    pub fn put(&mut self, name: &[u8], value: &[u8]) -> Result<Option<bool>, KeyspaceError> {
        self.put_named(name, value, true)
    }

    /// Adds a member to a set unless it exists. Returns whether it is new.
    pub fn add(&mut self, name: &[u8]) -> Result<Option<bool>, KeyspaceError> {
        self.put_named(name, b"", false)
    }

    fn put_named(
        &mut self,
        name: &[u8],
        value: &[u8],
        replaces: bool,
    ) -> Result<Option<bool>, KeyspaceError> {
        let kind = self.collection.kind;
        let access = self.collection.next_ordinal;
        let Shape::Fields(index) = &mut self.collection.shape else {
            return Ok(None);
        };
        if index.expiring() > 0 {
            return Ok(None);
        }
        let hash = self.keyspace.hashing.hash_of_element(name);
        let names = self.keyspace.names_of_elements(self.id);
        let found = index.get(hash, name, &names)?.map(Found::located);
        if found.is_some() && !replaces {
            return Ok(Some(false));
        }
        let key = element_key(self.id, name);
        let previous = found.map(|located| located.location);
        let put = put(&key, previous, kind, value);
        let location = write(self.keyspace, self.access, put)?;
        self.has_written = true;
        let expires_at = None;
        if let Some(located) = found {
            let new = Replacement {
                kind,
                location,
                expires_at,
            };
            index.replace(hash, name, located, new);
            return Ok(Some(false));
        }
        let before = index.memory_bytes();
        let new = NewEntry {
            key: name,
            kind,
            location,
            expires_at,
            access,
        };
        index.insert(hash, new);
        let after = index.memory_bytes();
        self.keyspace.registry.note_memory(before, after);
        self.collection.next_ordinal = access.wrapping_add(1);
        Ok(Some(true))
    }

    /// Removes a member of a set that is drawn at random, and shows it to `f`.
    pub fn take_drawn(&mut self, f: impl FnOnce(&[u8])) -> Result<Option<()>, KeyspaceError> {
        let names = self.keyspace.names_of_elements(self.id);
        let Shape::Fields(index) = &mut self.collection.shape else {
            return Ok(None);
        };
        if index.expiring() > 0 || index.len() < 2 {
            return Ok(None);
        }
        let Some(drawn) = index.draw() else {
            return Ok(None);
        };
        let (hash, drawn) = index.named_hashed(drawn, &names)?;
        let located = drawn.located();
        let Named { key: name, .. } = drawn;
        let key = element_key(self.id, &name);
        let before = index.memory_bytes();
        write(self.keyspace, self.access, remove(&key, located.location))?;
        f(&name);
        index.remove(hash, &name, located, &names);
        let after = index.memory_bytes();
        self.keyspace.registry.note_memory(before, after);
        self.has_written = true;
        Ok(Some(()))
    }

    /// Shows `f` a member's score, `None` if the sorted set does not have the member, and gives the member the score that `f`
    /// returns beside its result, if any. It must not be NaN.
    pub fn change_score<R, E: From<KeyspaceError>>(
        &mut self,
        member: &[u8],
        f: impl FnOnce(Option<f64>) -> Result<(R, Option<f64>), E>,
    ) -> Result<Option<R>, E> {
        let keyspace = self.keyspace;
        let Shape::Scores(scores) = &mut self.collection.shape else {
            return Ok(None);
        };
        let hash = keyspace.hashing.hash_of_element(member);
        let key = element_key(self.id, member);
        let stored = match scores.members().guess_located(hash) {
            None => None,
            Some(located) => {
                let mut score = None;
                let record = element_record_key(PARTITION, &key);
                let location = located.location;
                if keyspace.store.is_large(location) {
                    return Ok(None);
                }
                let same = keyspace.store.read_named(record, location, &mut |value| {
                    score = decode_score(value.bytes);
                });
                if !same.map_err(KeyspaceError::from)? {
                    return Ok(None);
                }
                let damaged = KeyspaceError::Failed("a member's score is damaged");
                Some((located, score.ok_or(damaged)?))
            }
        };
        let (result, new) = f(stored.map(|(_, score)| score))?;
        let Some(new) = new else {
            return Ok(Some(result));
        };
        let before = scores.memory_bytes();
        let (kind, expires_at) = (Kind::SortedSet, None);
        let previous = stored.map(|(located, _)| located.location);
        let value = encode_score(new);
        let put = put(&key, previous, kind, &value);
        let location = write(keyspace, self.access, put)?;
        self.has_written = true;
        if let Some((located, old)) = stored {
            let replacement = Replacement {
                kind,
                location,
                expires_at,
            };
            scores
                .members_mut()
                .replace(hash, member, located, replacement);
            scores.rescore(old, new, member);
        } else {
            let entry = NewEntry {
                key: member,
                kind,
                location,
                expires_at,
                access: 0,
            };
            scores.insert(hash, entry, new);
        }
        keyspace.registry.note_memory(before, scores.memory_bytes());
        Ok(Some(result))
    }

    /// Takes the member with the lowest score of a sorted set (the head) or the highest (the tail), and shows it to `f`.
    pub fn pop_scored(
        &mut self,
        end: End,
        f: impl FnOnce(&[u8], f64),
    ) -> Result<Option<()>, KeyspaceError> {
        let keyspace = self.keyspace;
        let Shape::Scores(scores) = &mut self.collection.shape else {
            return Ok(None);
        };
        if scores.len() < 2 {
            return Ok(None);
        }
        let names = keyspace.names_of_elements(self.id);
        let Some(hash) = scores.hash_of_outermost(end, &names) else {
            return Ok(None);
        };
        let before = scores.memory_bytes();
        let (Some(outermost), Some(located)) =
            (scores.outermost(end), scores.members().only_one_alike(hash))
        else {
            return Ok(None);
        };
        let key = element_key(self.id, &outermost.member);
        write(keyspace, self.access, remove(&key, located.location))?;
        self.has_written = true;
        f(&outermost.member, outermost.score);
        scores.pop(end, (hash, located), &names);
        keyspace.registry.note_memory(before, scores.memory_bytes());
        Ok(Some(()))
    }
}

/// The write of an element.
fn put<'w>(key: &'w [u8], previous: Option<Location>, kind: Kind, value: &'w [u8]) -> Write<'w> {
    Write::Put {
        record: element_record_key(PARTITION, key),
        previous,
        kind: kind.into(),
        expires_at: None,
        value,
    }
}

/// The removal of an element.
fn remove(key: &[u8], location: Location) -> Write<'_> {
    Write::Remove {
        record: element_record_key(PARTITION, key),
        location,
    }
}

/// Stages one record. Returns where it lies.
fn write(keyspace: &Keyspace, access: Access, write: Write<'_>) -> Result<Location, KeyspaceError> {
    let mut locations = [Location::default()];
    keyspace
        .writing()
        .store(&[write], &mut locations, access.now)?;
    let [location] = locations;
    Ok(location)
}

//! Records of which a pool holds one each, under generations that no database has. The store writes one record as one step,
//! so every change of such a record is whole or has not happened. The keyspace knows nothing of what the records say.

use lock_order::{Mutex, Rank};

use super::{Keyspace, KeyspaceError};
use store::{
    LIBRARIES, Location, OnCurrent, PLACE, RecordKey, RecordKind, StoreError, StringForm, Visited,
    Write,
};

/// What tells such a record from all others.
#[derive(Debug)]
pub(super) struct Name {
    generation: u32,
    form: StringForm,
    rank: Rank,
    /// For error texts.
    what: &'static str,
}

/// No such record has a lower generation: the load asks for each record that it reads.
const SINGLES_FROM: u32 = PLACE;

/// All libraries of functions.
pub(super) const OF_LIBRARIES: Name = Name {
    generation: LIBRARIES,
    form: StringForm::Libraries,
    rank: Rank::Libraries,
    what: "libraries",
};

/// How far a replica has followed its master.
pub(super) const OF_PLACE: Name = Name {
    generation: PLACE,
    form: StringForm::Place,
    rank: Rank::Place,
    what: "a replica's place",
};

/// Where such a record lies.
#[derive(Debug)]
pub(super) struct State {
    name: Name,
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    location: Option<Location>,
    /// Only while the store is read: the newest record or tombstone so far has this sequence number.
    sequence: Option<u64>,
}

impl State {
    pub(super) fn new(name: Name) -> Self {
        Self {
            present: Mutex::new(name.rank, Present::default()),
            name,
        }
    }
}

/// Stores and reads one of the records; see [`Keyspace::libraries`] and [`Keyspace::place`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Single<'k> {
    pub(super) keyspace: &'k Keyspace,
    pub(super) state: &'k State,
}

impl Single<'_> {
    /// The record's name in the store. It lies in the first partition, so that the start finds it without reading the others.
    fn record(self) -> RecordKey<'static> {
        RecordKey {
            partition: 0,
            generation: self.state.name.generation,
            key: &[],
        }
    }

    /// Replaces the record; `None` removes it.
    pub(super) fn write(self, bytes: Option<&[u8]>) -> Result<(), KeyspaceError> {
        let record = self.record();
        if self.keyspace.partitioned {
            // A partition's accounts are checked before anything is written there.
            self.keyspace.loading().index_partition(record.partition)?;
        }
        let mut present = self.state.present.lock();
        let write = match (bytes, present.location) {
            (Some(value), previous) => Write::Put {
                record,
                previous,
                kind: RecordKind::from(self.state.name.form),
                expires_at: None,
                value,
            },
            (None, Some(location)) => Write::Remove { record, location },
            (None, None) => return Ok(()),
        };
        let mut location = [Location::default()];
        self.keyspace.store.write(&[write], &mut location)?;
        present.location = bytes.map(|_| location[0]);
        Ok(())
    }

    /// The record's bytes; `None` if there is none. Fails if it is another kind of record.
    pub(super) fn read(self) -> Result<Option<Vec<u8>>, KeyspaceError> {
        let location = self.state.present.lock().location;
        let Some(location) = location else {
            return Ok(None);
        };
        let mut bytes = None;
        let mut is_right = false;
        self.keyspace
            .store
            .read(self.record(), location, &mut |value| {
                is_right = RecordKind {
                    kind: value.kind,
                    form: value.form,
                } == self.state.name.form.into()
                    && value.expires_at.is_none();
                bytes = Some(value.bytes.to_vec());
            })?;
        if bytes.is_some() && !is_right {
            return Err(self.damaged("is one of another kind"));
        }
        Ok(bytes)
    }

    /// Finds the record in a store that reads its partitions when they are needed.
    pub(super) fn locate(self) -> Result<(), KeyspaceError> {
        let location = self.keyspace.store.locate(self.record())?;
        self.state.present.lock().location = location;
        Ok(())
    }

    /// Where the record lies, for the start of the next process; the default for nowhere. The caller is inside the gate, and
    /// no transaction runs.
    pub(super) fn location(self) -> Location {
        self.state.present.lock().location.unwrap_or_default()
    }

    /// Begins with the record that an earlier process has named. The text of the error says what does not fit.
    pub(super) fn begin_with(self, location: Location) -> Result<(), String> {
        let mut present = Present::default();
        if location != Location::default() {
            let store = &self.keyspace.store;
            let mut is_it = false;
            let named = store.name(location, &mut |name| {
                is_it = name.generation == self.state.name.generation && name.key.is_empty();
            });
            let sequence = named.and_then(|()| store.sequence(location));
            let sequence = sequence.map_err(|error| error.to_string())?;
            if !is_it {
                return Err(format!(
                    "it names another record for {}",
                    self.state.name.what
                ));
            }
            present = Present {
                location: Some(location),
                sequence: Some(sequence),
            };
        }
        *self.state.present.lock() = present;
        Ok(())
    }

    /// Notes a later record than the one that the earlier process has named. The store does not count it yet.
    pub(super) fn met_later(self, record: &Visited<'_>) -> Result<(), String> {
        if !record.key.is_empty() {
            return Err(self.damaged("has a key").to_string());
        }
        let mut present = self.state.present.lock();
        if present.sequence.is_none_or(|last| last < record.sequence) {
            present.sequence = Some(record.sequence);
            present.location = (!record.removed).then_some(record.location);
        }
        Ok(())
    }

    /// Has the store count the record that was taken over.
    pub(super) fn claim(self) -> Result<(), StoreError> {
        let location = self.state.present.lock().location;
        self.keyspace
            .store
            .claim(&mut |claim| location.into_iter().for_each(claim))
    }

    /// Notes a record of this generation that the store has shown.
    pub(super) fn met(self, record: &Visited<'_>) -> Result<(), KeyspaceError> {
        if !record.key.is_empty() {
            return Err(self.damaged("has a key"));
        }
        let mut present = self.state.present.lock();
        if self.keyspace.partitioned {
            // `locate` has found it.
            return Ok(());
        }
        let is_newer = present.sequence.is_none_or(|last| last < record.sequence);
        let outdated = if is_newer {
            present.sequence = Some(record.sequence);
            let location = (!record.removed).then_some(record.location);
            std::mem::replace(&mut present.location, location)
        } else {
            (!record.removed).then_some(record.location)
        };
        if let Some(outdated) = outdated {
            self.keyspace.store.release(outdated)?;
        }
        Ok(())
    }

    /// Forgets what was met, after reading the store has failed.
    pub(super) fn forget(self) {
        *self.state.present.lock() = Present::default();
    }

    /// As [`Relocate::relocate`](store::Relocate::relocate).
    pub(super) fn relocate(self, key: &[u8], f: OnCurrent<'_>) -> Result<(), StoreError> {
        let mut present = self.state.present.lock();
        let location = present.location.filter(|_| key.is_empty());
        if let Some(moved) = f(location)? {
            present.location = Some(moved);
        }
        Ok(())
    }

    fn damaged(self, why: &str) -> KeyspaceError {
        let what = self.state.name.what;
        StoreError::Damaged(format!("the record of {what} {why}")).into()
    }
}

impl Keyspace {
    /// The single record of this generation, if it is the generation of one.
    pub(super) fn single_of(&self, generation: u32) -> Option<Single<'_>> {
        if generation < SINGLES_FROM {
            return None;
        }
        self.singles()
            .into_iter()
            .find(|single| single.state.name.generation == generation)
    }

    /// All single records.
    pub(super) fn singles(&self) -> [Single<'_>; 2] {
        [&self.libraries, &self.place].map(|state| Single {
            keyspace: self,
            state,
        })
    }
}

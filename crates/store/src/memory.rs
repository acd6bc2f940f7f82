//! A store in plain memory for the keyspace's tests, which can make it fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::change::changed;
use super::{
    Abilities, Fill, Generations, Gone, Location, OnRecord, OnValue, RecordKey, Store, StoreError,
    Usage, Visited, Write,
};
use crate::model::{Millis, Range, RecordKind, StringForm, Value};

#[derive(Clone, Debug)]
struct Record {
    kind: RecordKind,
    expires_at: Option<Millis>,
    value: Vec<u8>,
}

type Records = BTreeMap<(u32, Vec<u8>), (usize, Record)>;

/// A store that keeps its records in a map.
#[derive(Debug)]
pub struct MemoryStore {
    partitions: usize,
    sorted: bool,
    records: Mutex<Records>,
    generations: Mutex<Generations>,
    /// How many writes succeed before the store says that it is full.
    pub writes_left: AtomicU64,
    /// See [`Store::evict_above`].
    pub evict_above: AtomicU64,
    /// While the store holds more bytes than this, it refuses to store values.
    pub most: AtomicU64,
    /// How often a keyspace was opened over it.
    pub opens: AtomicU64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(partitions: usize, sorted: bool) -> Self {
        Self {
            partitions,
            sorted,
            records: Mutex::default(),
            generations: Mutex::default(),
            writes_left: AtomicU64::new(u64::MAX),
            evict_above: AtomicU64::new(u64::MAX),
            most: AtomicU64::new(u64::MAX),
            opens: AtomicU64::new(0),
        }
    }

    /// How many records there are, in all generations together.
    pub fn records(&self) -> usize {
        self.records.lock().len()
    }
}

impl Store for std::sync::Arc<MemoryStore> {
    fn abilities(&self) -> Abilities {
        Abilities {
            sorted: self.sorted,
            retains: true,
            persistent: false,
            partitioned: true,
        }
    }

    fn partitions(&self) -> usize {
        self.partitions
    }

    fn hash_seed(&self) -> u64 {
        7
    }

    fn generations(&self) -> Generations {
        *self.generations.lock()
    }

    fn set_generations(&self, generations: &Generations) -> Result<(), StoreError> {
        *self.generations.lock() = *generations;
        Ok(())
    }

    fn reserve_generations(&self, next: u32) -> Result<(), StoreError> {
        let mut generations = self.generations.lock();
        generations.next = generations.next.max(next);
        Ok(())
    }

    fn visit(
        &self,
        partition: usize,
        visit: &mut dyn FnMut(Visited<'_>),
    ) -> Result<(), StoreError> {
        for ((generation, key), (at, record)) in self.records.lock().iter() {
            if *at == partition {
                visit(Visited {
                    generation: *generation,
                    key,
                    kind: record.kind.kind,
                    expires_at: record.expires_at,
                    location: Location::default(),
                    value: &record.value,
                    sequence: 0,
                    removed: false,
                });
            }
        }
        Ok(())
    }

    fn read(
        &self,
        record: RecordKey<'_>,
        _location: Location,
        f: OnValue<'_>,
    ) -> Result<bool, StoreError> {
        let records = self.records.lock();
        let Some((_, found)) = records.get(&(record.generation, record.key.to_vec())) else {
            return Ok(false);
        };
        f(Value {
            kind: found.kind.kind,
            form: found.kind.form,
            expires_at: found.expires_at,
            bytes: &found.value,
        });
        Ok(true)
    }

    /// Calls all values large, so that the keyspace's tests use ranges and patches too.
    fn is_large(&self, _location: Location) -> bool {
        true
    }

    fn write(&self, writes: &[Write<'_>], _locations: &mut [Location]) -> Result<(), StoreError> {
        let takes_one = |left: u64| left.checked_sub(1);
        self.writes_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, takes_one)
            .map_err(|_| StoreError::OutOfMemory)?;
        let puts = writes
            .iter()
            .any(|write| matches!(write, Write::Put { .. } | Write::Patch { .. }));
        if puts && self.fill().bytes > self.most.load(Ordering::Relaxed) {
            return Err(StoreError::OutOfMemory);
        }
        let mut records = self.records.lock();
        for write in writes {
            let name = write.record();
            let id = (name.generation, name.key.to_vec());
            match *write {
                Write::Put {
                    kind,
                    expires_at,
                    value,
                    ..
                } => {
                    let record = Record {
                        kind,
                        expires_at,
                        value: value.to_vec(),
                    };
                    records.insert(id, (name.partition, record));
                }
                Write::SetExpiry { expires_at, .. } => {
                    if let Some((_, record)) = records.get_mut(&id) {
                        record.expires_at = expires_at;
                    }
                }
                Write::Patch { changes, .. } => {
                    if let Some((_, record)) = records.get_mut(&id) {
                        record.value = changed(&record.value, changes);
                        record.kind = StringForm::Raw.into();
                    }
                }
                Write::Remove { .. } => {
                    records.remove(&id);
                }
            }
        }
        Ok(())
    }

    fn atomically(&self, _: &[RecordKey<'_>], change: &mut dyn FnMut()) -> Result<(), StoreError> {
        change();
        Ok(())
    }

    fn forget(&self, record: RecordKey<'_>, location: Location, _: Gone) -> Result<(), StoreError> {
        self.write(&[Write::Remove { record, location }], &mut [location])
    }

    fn commit(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn fill(&self) -> Fill {
        let bytes = |(id, (_, record)): (&(u32, Vec<u8>), &(usize, Record))| {
            (id.1.len() + record.value.len()) as u64
        };
        Fill {
            bytes: self.records.lock().iter().map(bytes).sum(),
            is_short: false,
        }
    }

    fn evict_above(&self) -> u64 {
        self.evict_above.load(Ordering::Relaxed)
    }

    fn range(
        &self,
        generation: u32,
        range: Range<'_>,
        visit: OnRecord<'_>,
    ) -> Result<(), StoreError> {
        for ((of, key), (_, record)) in self.records.lock().iter() {
            if *of == generation && range.contains(key) {
                let value = Value {
                    kind: record.kind.kind,
                    form: record.kind.form,
                    expires_at: record.expires_at,
                    bytes: &record.value,
                };
                if visit(key, value).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn range_count(&self, generation: u32, range: Range<'_>) -> Result<u64, StoreError> {
        let mut count = 0;
        self.range(generation, range, &mut |_, _| {
            count += 1;
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        Ok(Usage {
            opens: Some(self.opens.load(Ordering::Relaxed)),
            ..Usage::default()
        })
    }

    fn defrag(&self, _start: f64, _amount: f64) -> Result<(), StoreError> {
        Ok(())
    }

    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

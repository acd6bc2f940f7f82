//! Tests of the layout over real pools, with a small index of their own.

mod accounts;
mod aside;
mod basics;
mod compaction;
mod crashes;
mod expired;
mod faults;
mod former;
mod holding;
mod missing;
mod partial;
mod patch;
mod repair;
mod spares;
mod synced;
mod tidy;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;

use super::header::Which;
use super::log::Guard;
use super::record::{Form, Record};
use super::write::Batch;
use super::*;
use crate::metadata;
use crate::model::{Kind, Millis};
use crate::open::{Opened, open_layout};
use crate::testing::folder;
use crate::{Change, LayoutChoice, OnCurrent, Options};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The smallest pool: 80 segments of 255 KiB.
const POOL_BYTES: u64 = POOL_BYTES_MIN;

/// A deadline that no test reaches.
const FAR: Millis = 1 << 50;

fn open_packed(folder: &Path, repair: bool) -> Result<Packed> {
    let options = Options {
        engine: "cmap".to_owned(),
        engine_config: None,
        pool_path: folder.join("pool"),
        pool_size_bytes: POOL_BYTES,
        layout: LayoutChoice::Packed,
        repair,
        every_second: false,
    };
    let (engine, options) = options.resolve()?;
    match open_layout(engine, &options)? {
        Opened::Packed(store) => Ok(store),
        Opened::Pairs(_) => Err("the other layout".into()),
    }
}

type Name = (u32, Vec<u8>);

/// An index with one lock. The second field says whether the keyspace has yet to forget flushed records.
#[derive(Default)]
struct Tiny(Mutex<HashMap<Name, Location>>, AtomicBool);

impl Tiny {
    fn get(&self, name: &Name) -> Option<Location> {
        self.0.lock().get(name).copied()
    }
}

impl Relocate for Tiny {
    fn relocate(&self, generation: u32, key: &[u8], f: OnCurrent<'_>) -> Result<(), StoreError> {
        let mut map = self.0.lock();
        let name = (generation, key.to_vec());
        if let Some(to) = f(map.get(&name).copied())?
            && let Some(place) = map.get_mut(&name)
        {
            *place = to;
        }
        Ok(())
    }

    fn awaits_removal(&self, _: u32) -> bool {
        self.1.load(Ordering::Relaxed)
    }
}

/// A loaded store and its index. Dropping it leaves what a crash leaves: it neither commits nor closes.
struct World {
    store: Packed,
    index: Tiny,
    generation: u32,
}

impl World {
    fn open(folder: &Path) -> Result<Self> {
        Self::open_generation(folder, 0, false)
    }

    fn open_generation(folder: &Path, generation: u32, repair: bool) -> Result<Self> {
        let world = Self {
            store: open_packed(folder, repair)?,
            index: Tiny::default(),
            generation,
        };
        world.load()?;
        // The store's thread does so first after a start.
        world.store.space.make_spares();
        Ok(world)
    }

    /// Opens the store again as after a crash.
    fn reopen(self, folder: &Path) -> Result<Self> {
        let generation = self.generation;
        drop(self);
        Self::open_generation(folder, generation, false)
    }

    fn load(&self) -> Result {
        let mut latest: HashMap<Name, (u64, Option<Location>)> = HashMap::new();
        for part in 0..self.store.parts() {
            let mut useless = Vec::new();
            self.store.visit(part, &mut |record| {
                let found = (!record.removed).then_some(record.location);
                if record.generation != self.generation {
                    useless.extend(found);
                    return;
                }
                let name = (record.generation, record.key.to_vec());
                let last = latest.entry(name).or_insert((0, None));
                if record.sequence >= last.0 {
                    useless.extend(last.1);
                    *last = (record.sequence, found);
                } else {
                    useless.extend(found);
                }
            })?;
            for location in useless {
                self.store.release(location)?;
            }
        }
        let present = latest
            .into_iter()
            .filter_map(|(name, (_, location))| Some((name, location?)));
        self.index.0.lock().extend(present);
        self.store.loaded(&self.index)?;
        Ok(())
    }

    fn name(&self, key: &[u8]) -> Name {
        (self.generation, key.to_vec())
    }

    fn record<'k>(&self, key: &'k [u8]) -> RecordKey<'k> {
        RecordKey {
            partition: 0,
            generation: self.generation,
            key,
        }
    }

    fn location(&self, key: &[u8]) -> Option<Location> {
        self.index.get(&self.name(key))
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.put_until(key, value, None)
    }

    fn put_until(
        &self,
        key: &[u8],
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), StoreError> {
        self.write(&[Write::Put {
            record: self.record(key),
            previous: self.location(key),
            kind: Kind::String.into(),
            expires_at,
            value,
        }])
    }

    fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        match self.location(key) {
            None => Ok(()),
            Some(location) => self.write(&[Write::Remove {
                record: self.record(key),
                location,
            }]),
        }
    }

    fn expire(&self, key: &[u8], expires_at: Option<Millis>) -> Result<(), StoreError> {
        match self.location(key) {
            None => Ok(()),
            Some(location) => self.write(&[Write::SetExpiry {
                record: self.record(key),
                location,
                expires_at,
            }]),
        }
    }

    /// Overwrites bytes of an existing value.
    fn patch(&self, key: &[u8], changes: &[(usize, &[u8])]) -> Result<(), StoreError> {
        let changes: Vec<Change<'_>> = changes
            .iter()
            .map(|&(offset, bytes)| Change {
                offset,
                bytes: bytes.into(),
            })
            .collect();
        match self.location(key) {
            None => Ok(()),
            Some(location) => self.write(&[Write::Patch {
                record: self.record(key),
                location,
                changes: &changes,
            }]),
        }
    }

    /// Makes several puts and removals in one write.
    fn batch(&self, changes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Result<(), StoreError> {
        let writes: Vec<Write<'_>> = changes
            .iter()
            .filter_map(|(key, value)| {
                let record = self.record(key);
                match value {
                    Some(value) => Some(Write::Put {
                        record,
                        previous: self.location(key),
                        kind: Kind::String.into(),
                        expires_at: None,
                        value,
                    }),
                    None => Some(Write::Remove {
                        record,
                        location: self.location(key)?,
                    }),
                }
            })
            .collect();
        self.write(&writes)
    }

    fn write(&self, writes: &[Write<'_>]) -> Result<(), StoreError> {
        let mut locations = vec![Location::default(); writes.len()];
        self.store.write(writes, &mut locations)?;
        let mut index = self.index.0.lock();
        for (write, location) in writes.iter().zip(locations) {
            let name = self.name(write.record().key);
            match write {
                Write::Remove { .. } => index.remove(&name),
                Write::Put { .. } | Write::SetExpiry { .. } | Write::Patch { .. } => {
                    index.insert(name, location)
                }
            };
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Option<Millis>)>> {
        let Some(location) = self.location(key) else {
            return Ok(None);
        };
        let mut found = None;
        self.store.read(self.record(key), location, &mut |value| {
            found = Some((value.bytes.to_vec(), value.expires_at));
        })?;
        Ok(found)
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.get(key)?.map(|(value, _)| value))
    }

    fn commit(&self) -> Result<bool, StoreError> {
        self.store.commit()
    }

    /// Commits, and makes room if the store needs it.
    fn commit_and_help(&self) -> Result {
        self.commit()?;
        if self.store.upkeep() >= Upkeep::Urgent {
            self.work()?;
        }
        Ok(())
    }

    /// Lets the store work until it has nothing to do.
    fn work(&self) -> Result {
        for _ in 0..1_000 {
            if self.store.work(&self.index, Duration::from_millis(20))? != Worked::Some {
                return Ok(());
            }
        }
        Err("the compaction does not come to an end".into())
    }

    /// The live bytes of each segment, without the empty ones at the end.
    fn accounts(&self) -> Vec<i64> {
        let mut accounts: Vec<i64> = (0..self.store.space.segments().count())
            .map(|segment| self.store.space.live_bytes_of(segment))
            .collect();
        while accounts.pop_if(|live| *live == 0).is_some() {}
        accounts
    }

    fn figures(&self) -> space::Figures {
        self.store.space.figures()
    }
}

/// Pseudorandom bytes, different for each number.
fn bytes(number: usize, length: usize) -> Vec<u8> {
    let mut state = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn key(number: usize) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

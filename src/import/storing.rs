//! Stores the keys of RDB files, on as many threads as there are cores.

use rdb::{Decoded, Keys, Value};
use smallvec::SmallVec;

use super::handover::{Batch, Handover};
use super::keys::THREADS_MAX;
use super::{COMMIT_BYTES, Refusal, Shared, Summary, Work};
use crate::commands::store_value;
use crate::keyspace::{
    Access, Ahead, Keyspace, KeyspaceError, Kind, NodeLimits, PREFETCHED, Presence, Use, now_ms,
};

/// What a thread stages before it commits all that is staged, in bytes of the file. More would outgrow the buffers that the store
/// keeps for its next commits.
const THREAD_COMMIT_BYTES: u64 = COMMIT_BYTES / THREADS_MAX as u64;

/// What a thread needs to store keys.
#[derive(Clone, Copy)]
pub(super) struct Storing<'a> {
    keyspace: &'a Keyspace,
    shared: &'a Shared,
    limits: NodeLimits,
    /// Keys that were evicted before the import.
    evicted: u64,
}

/// What one thread has stored.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stored {
    pub keys: u64,
    pub expired: u64,
    /// Keys of collections without elements, which were skipped.
    pub empty: u64,
}

impl Stored {
    /// Adds what another thread has stored.
    pub fn add(&mut self, other: Stored) {
        self.keys += other.keys;
        self.expired += other.expired;
        self.empty += other.empty;
    }

    /// Adds it to what the import has brought.
    pub fn tell(self, summary: &mut Summary) {
        summary.keys += self.keys;
        summary.expired += self.expired;
    }
}

impl<'a> Work<'a> {
    pub(super) fn storing(&self) -> Storing<'a> {
        let settings = self.server.config.settings();
        Storing {
            keyspace: self.keyspace,
            shared: self.shared,
            limits: NodeLimits {
                bytes: settings.stream_node_max_bytes,
                entries: settings.stream_node_max_entries,
            },
            evicted: self.evicted,
        }
    }
}

/// Ends the other threads if its own one panics.
struct Ending<'h>(&'h Handover);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

impl Storing<'_> {
    /// Looks whether the import goes on, and commits.
    pub fn commit(self) -> Result<(), Refusal> {
        self.shared.check()?;
        self.keyspace.commit()?;
        // A full pool evicts keys where the policy says so. Then not all of the data is there.
        if self.keyspace.eviction().stats(0).evicted_keys > self.evicted {
            return Err(Refusal::Keyspace(KeyspaceError::OutOfMemory));
        }
        Ok(())
    }

    /// Stores batches until none is left or one fails. What it has stored last is staged.
    pub fn run(self, handover: &Handover) -> Stored {
        let _ending = Ending(handover);
        let mut stored = Stored::default();
        let mut staged = 0;
        while let Some((number, Batch { db, keys })) = handover.take() {
            staged += keys.bytes() as u64;
            let done = self.batch(db, &keys, &mut stored).and_then(|()| {
                if staged < THREAD_COMMIT_BYTES {
                    return Ok(());
                }
                staged = 0;
                self.commit()
            });
            match done {
                Ok(()) => handover.done(keys),
                Err(refusal) => {
                    handover.fail(number, refusal);
                    break;
                }
            }
        }
        stored
    }

    fn batch(self, db: usize, keys: &Keys, stored: &mut Stored) -> Result<(), Refusal> {
        let _inside = Presence::beside(self.keyspace.gate());
        let now = now_ms();
        let mut held = SmallVec::<[Decoded<'_>; PREFETCHED]>::new();
        for number in 0..keys.len() {
            match keys.decode(number)? {
                Some(key) if key.expires_at.is_some_and(|at| at <= now) => stored.expired += 1,
                Some(key) => {
                    held.push(key);
                    if keys.is_long(number) || held.len() == PREFETCHED {
                        self.store(db, &mut held, now, stored)?;
                    }
                }
                None => stored.empty += 1,
            }
        }
        self.store(db, &mut held, now, stored)
    }

    /// Stores keys. With many keys in the pool a look-up waits for memory, so all of them are fetched together first.
    fn store(
        self,
        db: usize,
        held: &mut SmallVec<[Decoded<'_>; PREFETCHED]>,
        now: i64,
        stored: &mut Stored,
    ) -> Result<(), Refusal> {
        let ahead = held.iter().map(|key| Ahead {
            db,
            key: &key.key,
            value: false,
        });
        self.keyspace.prefetch(ahead);
        for key in held.drain(..) {
            self.key(db, &key, now)?;
            stored.keys += 1;
        }
        Ok(())
    }

    fn key(self, db: usize, key: &Decoded<'_>, now: i64) -> Result<(), Refusal> {
        let access = Access::by_server(now);
        let name = &*key.key;
        let refused = |error: KeyspaceError| match error {
            KeyspaceError::OutOfMemory => Refusal::Keyspace(error),
            error => {
                let name = name.escape_ascii();
                Refusal::Text(format!("the key '{name}' cannot be held: {error}"))
            }
        };
        let twice = || {
            let name = name.escape_ascii();
            Err(Refusal::Text(format!(
                "damaged: the key '{name}' is there twice"
            )))
        };
        match &key.value {
            Value::String(value) => self.keyspace.update(db, name, access, |slot| {
                if slot.info().is_some() {
                    return twice();
                }
                slot.put(Kind::String, value, key.expires_at)
                    .map_err(refused)
            })?,
            Value::Collection(value) => {
                self.keyspace.update_many(&[(db, name)], access, |keys| {
                    if keys.info(0).is_some() {
                        return twice();
                    }
                    store_value(keys, value, key.expires_at, self.limits).map_err(refused)
                })?;
            }
        }
        if let Some(used) = Use::of(key.idle_s, key.frequency) {
            self.keyspace
                .set_use(db, name, used, access)
                .map_err(Refusal::Keyspace)?;
        }
        Ok(())
    }
}

//! Takes a master's whole data set. It is written beside the present one, which serves meanwhile; one durable step then
//! gives it to all databases, together with the libraries of functions and the place in the master's stream.

use std::time::{Duration, Instant};

use super::{CommandError, dump, streams};
use crate::config::FullSync as Manner;
use crate::keyspace::{
    Access, Ahead, Alone, Keyspace, KeyspaceError, Kind, NO_DEADLINE_PASSES, NodeLimits,
    RECLAIM_TIME_MAX, Use, now_ms,
};
use crate::serialised::{Object, encode_libraries};
use crate::state::Server;
use crate::state::replication::Place;
use crate::state::scripting::Policy;

/// What is staged in DRAM before it is committed, bytes.
const STAGED_BYTES_MAX: u64 = 1 << 20;

/// How often a key that found no room is written again after room was made.
const TRIES_MAX: usize = 8;

/// How long to wait for a script that runs for long before looking again.
const BUSY_TIME: Duration = Duration::from_millis(20);

/// What the last step writes beside the libraries.
const LAST_BYTES: u64 = 4096;

/// What an element takes beside its bytes, at least.
const ELEMENT_BYTES: u64 = 32;

/// Why a data set was not taken. The present one is as it was.
#[derive(Debug, thiserror::Error)]
pub enum FullSyncError {
    /// Another master is followed now, or none.
    #[error("another decision was made")]
    Decided,
    /// A database that is not there.
    #[error("the master's data set has a database {0}, and this server has {1}")]
    Database(u64, usize),
    /// There is no room for both data sets.
    #[error(
        "the pool has no room for the master's data set beside the present one. Use a larger pool, or set \
         'repl-diskless-load flush-before-load', which drops the present data set first"
    )]
    NoRoomForBoth,
    /// There is no room for the data set alone.
    #[error("the pool has no room for the master's data set: use a larger pool")]
    NoRoom,
    /// The libraries of functions do not load.
    #[error("the master's libraries of functions do not load: {0}")]
    Functions(CommandError),
    /// The pool failed.
    #[error("{0}")]
    Pool(#[from] KeyspaceError),
}

/// A data set on its way. Dropping it drops what was written of it.
#[derive(Debug)]
pub struct FullSync<'s> {
    keyspace: &'s Keyspace,
    server: &'s Server,
    /// The decision by which this server follows the master.
    decision: u64,
    flushes_first: bool,
    limits: NodeLimits,
    databases: usize,
    db: usize,
    functions: Vec<Vec<u8>>,
    staged_bytes: u64,
    is_over: bool,
}

impl<'s> FullSync<'s> {
    /// Begins.
    pub fn begin(
        server: &'s Server,
        keyspace: &'s Keyspace,
        decision: u64,
    ) -> Result<Self, FullSyncError> {
        let settings = server.config.settings();
        let sync = Self {
            keyspace,
            server,
            decision,
            flushes_first: settings.replication.full_sync == Manner::FlushFirst,
            limits: streams::limits_of(&settings),
            databases: settings.databases,
            db: 0,
            functions: Vec::new(),
            staged_bytes: 0,
            is_over: false,
        };
        if sync.flushes_first {
            sync.flush()?;
        }
        let inside = keyspace.gate().enter_beside();
        keyspace.replacement().begin()?;
        drop(inside);
        Ok(sync)
    }

    /// Drops the present data set, and with it the place.
    fn flush(&self) -> Result<(), FullSyncError> {
        let alone = self.alone()?;
        let mut flushed = Ok(());
        self.keyspace.atomically(&[], &mut || {
            flushed = self.keyspace.place().store(None);
            if flushed.is_ok() {
                flushed = self.keyspace.databases().flush_all();
            }
        })?;
        drop(alone);
        flushed?;
        self.server
            .replication
            .report(self.decision, |following| following.place = None);
        Ok(self.keyspace.commit()?)
    }

    /// Enters the gate alone, while the decision holds.
    fn alone(&self) -> Result<Alone<'s>, FullSyncError> {
        let alone = loop {
            match self.keyspace.gate().enter_alone(true) {
                Ok(alone) => break alone,
                Err(_) => std::thread::sleep(BUSY_TIME),
            }
        };
        if self.server.replication.decision() == self.decision {
            Ok(alone)
        } else {
            Err(FullSyncError::Decided)
        }
    }

    /// Whether there is a database of this number.
    pub fn has(&self, db: usize) -> bool {
        db < self.databases
    }

    /// Selects the database of the next keys.
    pub fn select(&mut self, db: u64) -> Result<(), FullSyncError> {
        let known = usize::try_from(db).ok().filter(|&db| self.has(db));
        self.db = known.ok_or(FullSyncError::Database(db, self.databases))?;
        Ok(())
    }

    /// Takes a library of functions.
    pub fn function(&mut self, text: Vec<u8>) {
        self.functions.push(text);
    }

    /// Makes room in the index for so many keys of the database.
    pub fn expect(&self, keys: u64) -> Result<(), FullSyncError> {
        let _inside = self.keyspace.gate().enter_beside();
        let db = self.keyspace.replacement().database(self.db);
        let keys = usize::try_from(keys).unwrap_or(0);
        Ok(self.keyspace.databases().expect(db, keys)?)
    }

    /// Fetches what the next keys need into the processor's cache.
    pub fn prefetch<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        let db = self.keyspace.replacement().database(self.db);
        let ahead = keys.map(|key| Ahead {
            db,
            key,
            value: false,
        });
        self.keyspace.prefetch(ahead);
    }

    /// Takes a key with a string; see [`collection`](Self::collection).
    pub fn string(
        &mut self,
        key: &[u8],
        value: &[u8],
        expires_at: Option<i64>,
        used: Option<Use>,
    ) -> Result<(), FullSyncError> {
        let bytes = ELEMENT_BYTES + (key.len() + value.len()) as u64;
        self.key(key, bytes, used, &|keyspace, db, access| {
            keyspace.update(db, key, access, |slot| {
                slot.put(Kind::String, value, expires_at)
            })
        })
    }

    /// Takes a key with a collection. Its deadline may have passed: the master will remove it.
    pub fn collection(
        &mut self,
        key: &[u8],
        value: &Object,
        expires_at: Option<i64>,
        used: Option<Use>,
    ) -> Result<(), FullSyncError> {
        let limits = self.limits;
        self.key(key, bytes_of(key, value), used, &|keyspace, db, access| {
            keyspace.update_many(&[(db, key)], access, |keys| {
                dump::store(keys, value, expires_at, limits)
            })
        })
    }

    fn key(
        &mut self,
        key: &[u8],
        bytes: u64,
        used: Option<Use>,
        store: &dyn Fn(&Keyspace, usize, Access) -> Result<(), KeyspaceError>,
    ) -> Result<(), FullSyncError> {
        let db = self.keyspace.replacement().database(self.db);
        self.make_room(bytes, false)?;
        let access = Access::by_server(NO_DEADLINE_PASSES);
        let mut tries = 0;
        loop {
            let stored = {
                let _inside = self.keyspace.gate().enter_beside();
                store(self.keyspace, db, access)
            };
            match stored {
                Err(KeyspaceError::OutOfMemory) if tries < TRIES_MAX => {
                    tries += 1;
                    self.make_room(bytes, true)?;
                }
                Err(KeyspaceError::OutOfMemory) if self.flushes_first => {
                    return Err(FullSyncError::NoRoom);
                }
                Err(KeyspaceError::OutOfMemory) => return Err(FullSyncError::NoRoomForBoth),
                stored => break stored?,
            }
        }
        if let Some(used) = used {
            let _inside = self.keyspace.gate().enter_beside();
            self.keyspace.set_use(db, key, used, access)?;
        }
        self.staged_bytes += bytes;
        if self.staged_bytes > STAGED_BYTES_MAX {
            self.staged_bytes = 0;
            self.keyspace.commit()?;
        }
        Ok(())
    }

    /// Makes room for so many bytes, outside of the gate. `must`: a write has found none.
    fn make_room(&self, bytes: u64, must: bool) -> Result<(), KeyspaceError> {
        let memory = self.keyspace.memory_check();
        let now = now_ms();
        if must || memory.needs_reclaim(bytes, now) {
            self.keyspace.commit()?;
            memory.reclaim(bytes, Instant::now() + RECLAIM_TIME_MAX, now)?;
        }
        Ok(())
    }

    /// Gives what was taken to the databases, in one step with the libraries and the place. The step is durable after the
    /// next commit.
    pub fn finish(mut self, place: Place) -> Result<(), FullSyncError> {
        // All keys are durable before the step that makes them the databases' own.
        self.keyspace.commit()?;
        let texts: usize = self.functions.iter().map(Vec::len).sum();
        self.make_room(texts as u64 + LAST_BYTES, false)?;
        let alone = self.alone()?;
        let mut own = self.server.scripting.take();
        let functions = &mut own.get().functions;
        let change = if self.functions.is_empty() {
            functions.flush()
        } else {
            let texts = self.functions.iter().map(Vec::as_slice);
            functions
                .restore(&encode_libraries(texts), Policy::Flush)
                .map_err(FullSyncError::Functions)?
        };
        let keyspace = self.keyspace;
        let mut change = Some(change);
        let mut refused = Ok(());
        keyspace.atomically(&[], &mut || {
            if let Some(change) = change.take()
                && let Err(error) = functions.commit(keyspace, change)
            {
                // They are as they were, and nothing else has happened.
                refused = Err(FullSyncError::Functions(error));
                return;
            }
            let placed = keyspace.place().store(Some(&place.encode()));
            if let Err(error) = placed.and_then(|()| keyspace.replacement().adopt()) {
                // A part of the step has happened. Nothing can undo it but the next start.
                tracing::error!(%error, "the master's data set could not be put into use: the process ends, and a restart has the former one");
                std::process::abort();
            }
        })?;
        refused?;
        self.is_over = true;
        self.server.feed.begin_at(place);
        drop(own);
        drop(alone);
        let inside = keyspace.gate().enter_beside();
        if keyspace.waiting().has_ready() {
            keyspace.waiting().serve();
        }
        drop(inside);
        Ok(())
    }
}

impl Drop for FullSync<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let _inside = self.keyspace.gate().enter_beside();
            self.keyspace.replacement().abandon();
        }
    }
}

/// About how many bytes a key takes in the pool.
fn bytes_of(key: &[u8], value: &Object) -> u64 {
    let of = |bytes: &[u8]| bytes.len() as u64 + ELEMENT_BYTES;
    let value = match value {
        Object::String(value) => value.len() as u64,
        Object::List(elements) | Object::Set(elements) => elements.iter().map(|one| of(one)).sum(),
        Object::Hash(fields) => fields
            .iter()
            .map(|(field, value)| of(field) + value.len() as u64)
            .sum(),
        Object::ExpiringHash(fields) => fields
            .iter()
            .map(|field| of(&field.name) + field.value.len() as u64)
            .sum(),
        Object::SortedSet(members) => members.iter().map(|(member, _)| of(member) + 8).sum(),
        Object::Stream(stream) => stream
            .entries
            .iter()
            .flat_map(|entry| &entry.values)
            .map(|value| of(value))
            .sum(),
    };
    of(key) + value
}

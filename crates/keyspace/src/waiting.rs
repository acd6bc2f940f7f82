//! Clients that wait for keys (BLPOP and its like): a write that fills a key has its waiting clients served.
//!
//! The queues of waiting clients are in the key's shard, like the watchers. A writer holds the shard's lock anyway,
//! and marks the key as ready. The waiting clients are served when that lock is free again, before another client
//! changes the key.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Debug;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use lock_order::{Mutex, Rank};

use super::hashing::shard_of;
use super::index::{Found, IndexKey};
use super::shard::Shard;
use super::{Access, Keyspace, KeyspaceError, Kind, Millis};
use store::now_ms;

/// How often a change lets waiting clients go first. After that it goes ahead, even if other clients fill the key
/// meanwhile.
pub(super) const YIELDS_MAX: usize = 16;

/// What a waiting client wants to do.
pub trait Waiter: Debug + Send + Sync {
    /// The type of value that the client waits for.
    fn kind(&self) -> Kind;

    /// Whether the client must be served if the key loses its value or gets one of another type.
    fn needs_value(&self) -> bool {
        false
    }

    /// Does it, if it is possible now. Returns true if the client no longer waits. The attempt uses an access [that
    /// serves](Access::serves).
    fn attempt(&self, keyspace: &Keyspace) -> bool;
}

/// A client in the queues of some keys.
#[derive(Debug)]
pub struct Ticket {
    /// Tickets are numbered in ascending order; the lowest is served first.
    number: u64,
    db: usize,
    keys: Vec<IndexKey>,
    waiter: Arc<dyn Waiter>,
}

/// The clients that wait for one key.
#[derive(Debug, Default)]
struct Queue {
    tickets: BTreeMap<u64, Arc<Ticket>>,
    /// Whether the key is in the list of ready keys, or is being served.
    is_ready: bool,
    /// Whether a client wrote the key since it was last checked.
    is_written: bool,
}

impl Queue {
    /// Whether one of the clients must be served if the key loses its value.
    fn needs_value(&self) -> bool {
        self.tickets
            .values()
            .any(|ticket| ticket.waiter.needs_value())
    }
}

/// The clients that wait for a shard's keys.
#[derive(Debug, Default)]
pub(super) struct Queues(HashMap<(usize, IndexKey), Queue>);

/// The keys that clients wait for, and those of them whose waiting clients must be served.
#[derive(Debug)]
pub(super) struct State {
    /// The number of keys that were filled and are not served yet. Every command reads it at its end.
    count: AtomicUsize,
    keys: Mutex<VecDeque<(usize, IndexKey)>>,
    /// Held while a client is served, so that clients are served in the order in which they came.
    serving: Mutex<()>,
    last_number: AtomicU64,
    /// The number of keys that clients wait for.
    waited_for: AtomicUsize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            count: AtomicUsize::new(0),
            keys: Mutex::new(Rank::Lists, VecDeque::new()),
            serving: Mutex::new(Rank::Serving, ()),
            last_number: AtomicU64::new(0),
            waited_for: AtomicUsize::new(0),
        }
    }
}

impl Queues {
    fn is_ready(&self, db: usize, key: &[u8]) -> bool {
        let queue = self.0.get(&(db, IndexKey::from_slice(key)));
        queue.is_some_and(|queue| queue.is_ready)
    }
}

/// Clients that wait for keys; see [`Keyspace::waiting`].
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl Waiting<'_> {
    /// Whether there are keys to be served.
    #[inline]
    pub fn has_ready(self) -> bool {
        self.keyspace.waiting.count.load(Ordering::Relaxed) > 0
    }

    /// How many keys clients wait for.
    pub fn keys_waited_for(self) -> usize {
        self.keyspace.waiting.waited_for.load(Ordering::Relaxed)
    }

    /// Puts `waiter` into the queues of `keys`. If one of the keys has a value already, it is ready at once, and the
    /// next [`serve`](Self::serve) serves it.
    pub fn enter(
        self,
        db: usize,
        keys: &[&[u8]],
        waiter: Arc<dyn Waiter>,
        now: Millis,
    ) -> Result<Arc<Ticket>, KeyspaceError> {
        let names = keys.iter().map(|key| IndexKey::from_slice(key));
        let mut names: Vec<IndexKey> = names.collect();
        names.sort_unstable();
        names.dedup();
        let ticket = Arc::new(Ticket {
            number: self
                .keyspace
                .waiting
                .last_number
                .fetch_add(1, Ordering::Relaxed)
                + 1,
            db,
            keys: names,
            waiter,
        });
        for name in &ticket.keys {
            if let Err(error) = self.enter_queue(&ticket, name, now) {
                self.leave(&ticket);
                return Err(error);
            }
        }
        Ok(ticket)
    }

    fn enter_queue(
        self,
        ticket: &Arc<Ticket>,
        key: &IndexKey,
        now: Millis,
    ) -> Result<(), KeyspaceError> {
        let hash = self.keyspace.hashing.hash(key);
        let mut shard = self.keyspace.locking().write_shard(shard_of(hash))?;
        let names = self.keyspace.names(self.keyspace.generations.of(ticket.db));
        let found = shard.get(names, hash, key)?;
        let has_value = self.keyspace.expiry().live(found, now).is_some();
        let name = (ticket.db, key.clone());
        let queues = &mut shard.queues.get_or_insert_default().0;
        let queue = queues.entry(name).or_insert_with(|| {
            self.keyspace
                .waiting
                .waited_for
                .fetch_add(1, Ordering::Relaxed);
            Queue::default()
        });
        queue.tickets.insert(ticket.number, Arc::clone(ticket));
        if has_value {
            self.mark(queue, ticket.db, key);
        }
        Ok(())
    }

    /// Takes a ticket out of all queues.
    pub fn leave(self, ticket: &Ticket) {
        for key in &ticket.keys {
            let mut shard = self.keyspace.shards[shard_of(self.keyspace.hashing.hash(key))].write();
            let Some(queues) = &mut shard.queues else {
                continue;
            };
            let name = (ticket.db, key.clone());
            if let Some(queue) = queues.0.get_mut(&name) {
                queue.tickets.remove(&ticket.number);
                if queue.tickets.is_empty() {
                    queues.0.remove(&name);
                    self.keyspace
                        .waiting
                        .waited_for
                        .fetch_sub(1, Ordering::Relaxed);
                }
            }
            if queues.0.is_empty() {
                shard.queues = None;
            }
        }
    }

    /// Marks a key as ready after a write. Clients may wait for keys of its shard. The caller has locked the shard.
    #[cold]
    pub(super) fn key_filled(self, queues: &mut Queues, db: usize, key: &[u8]) {
        let key = IndexKey::from_slice(key);
        let name = (db, key);
        if let Some(queue) = queues.0.get_mut(&name) {
            self.mark(queue, db, &name.1);
        }
    }

    /// Marks a key as ready after it lost its value, if a waiting client needs the value. The caller has locked the
    /// shard.
    #[cold]
    pub(super) fn key_removed(self, queues: &mut Queues, db: usize, key: &[u8]) {
        let name = (db, IndexKey::from_slice(key));
        if let Some(queue) = queues.0.get_mut(&name)
            && queue.needs_value()
        {
            self.mark(queue, db, &name.1);
        }
    }

    fn mark(self, queue: &mut Queue, db: usize, key: &IndexKey) {
        queue.is_written = true;
        if !queue.is_ready {
            queue.is_ready = true;
            self.keyspace.waiting.count.fetch_add(1, Ordering::Relaxed);
            self.keyspace
                .waiting
                .keys
                .lock()
                .push_back((db, key.clone()));
        }
    }

    /// Marks keys as ready after a database got the keys of another one, or lost its own: those that have a value, and
    /// those whose clients need one.
    pub(super) fn database_changed(self, shard: &mut Shard, db: usize) {
        let Some(mut queues) = shard.queues.take() else {
            return;
        };
        for ((waited, key), queue) in &mut queues.0 {
            let hash = self.keyspace.hashing.hash(key);
            if *waited != db {
                continue;
            }
            let generation = self.keyspace.generations.of(db);
            let found = shard.get(self.keyspace.names(generation), hash, key);
            // The thread that serves the key finds out that it cannot be read.
            let has_value = found.map_or(true, |found| found.is_some());
            if has_value || queue.needs_value() {
                self.mark(queue, db, key);
            }
        }
        shard.queues = Some(queues);
    }

    /// Whether clients that wait for a locked key must be served before `access` changes it.
    #[inline]
    pub(super) fn has_to_yield(self, shard: &Shard, db: usize, key: &[u8], access: Access) -> bool {
        match &shard.queues {
            None => false,
            Some(queues) => self.is_before(queues, db, key, access),
        }
    }

    #[cold]
    fn is_before(self, queues: &Queues, db: usize, key: &[u8], access: Access) -> bool {
        // No client is served between the commands of a transaction, nor before the server's own changes.
        !access.serves
            && access.client != 0
            && !self.keyspace.transaction.is_running()
            && !self.keyspace.expiry().is_held(access.now)
            && queues.is_ready(db, key)
    }

    /// Serves the clients that wait for filled keys, in the order in which they came. The caller holds no key and is
    /// not in a transaction. During CLIENT PAUSE it does nothing.
    ///
    /// The loop ends: each served client leaves its queue, and a key without a client to serve is no longer ready.
    #[cold]
    pub fn serve(self) {
        if self.keyspace.expiry().is_held(now_ms()) {
            return;
        }
        // If another thread is serving, wait for it; this thread's keys are served after that.
        let _serving = self.keyspace.waiting.serving.lock();
        loop {
            let next = self.keyspace.waiting.keys.lock().pop_front();
            let Some(name) = next else {
                return;
            };
            self.serve_key(&name);
            self.keyspace.waiting.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn serve_key(self, name: &(usize, IndexKey)) {
        let mut last = 0;
        while let Some(ticket) = self.next_to_serve(name, last) {
            last = ticket.number;
            if ticket.waiter.attempt(self.keyspace) {
                self.leave(&ticket);
            }
        }
    }

    /// The next ticket after `last` that waits for the key's type of value. If there is none, it returns `None` and
    /// the key is no longer ready.
    fn next_to_serve(self, name: &(usize, IndexKey), mut last: u64) -> Option<Arc<Ticket>> {
        let (db, key) = name;
        let hash = self.keyspace.hashing.hash(key);
        let shard = &mut *self.keyspace.shards[shard_of(hash)].write();
        let names = self.keyspace.names(self.keyspace.generations.of(*db));
        let found = shard.get(names, hash, key).unwrap_or_else(|error| {
            // The clients go on waiting; a command that reads the key tells its client.
            tracing::error!(%error, "a key that clients wait for could not be read");
            None
        });
        let live = self.keyspace.expiry().live(found, now_ms());
        let kind = live.map(Found::kind);
        let queue = shard.queues.as_mut()?.0.get_mut(name)?;
        loop {
            if last == 0 {
                queue.is_written = false;
            }
            let behind = (Bound::Excluded(last), Bound::Unbounded);
            let mut tickets = queue.tickets.range(behind).map(|(_, ticket)| ticket);
            let concerns = |ticket: &&Arc<Ticket>| {
                Some(ticket.waiter.kind()) == kind || ticket.waiter.needs_value()
            };
            if let Some(ticket) = tickets.find(concerns) {
                return Some(Arc::clone(ticket));
            }
            if !queue.is_written {
                queue.is_ready = false;
                return None;
            }
            // Clients earlier in the queue got nothing before, but may get something now.
            last = 0;
        }
    }
}

#[cfg(test)]
#[path = "waiting/tests.rs"]
mod tests;

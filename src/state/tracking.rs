//! Clients that cache keys: records which client may have which key, and invalidates keys that change.
//!
//! By default the server remembers each key that such a client reads, before it reads the value. A writer looks the
//! key up here after its change, still under the key's lock. So either the reader sees the change, or the writer sees
//! the reader; at worst a client gets an invalidation for a value that it has already read anew. In broadcast mode the
//! server remembers nothing: it notifies the client of every changed key with one of its prefixes.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use foldhash::quality::RandomState;
use lock_order::{Mutex, Rank, RwLock};
use smallvec::SmallVec;

use super::{ClientHandle, Server};
use crate::config::OutputBufferLimits;
use crate::keyspace::Keyspace;
use crate::protocol::Push;

/// How a client tracks keys, as a set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// No tracking.
    pub const OFF: Mode = Mode(0);
    /// Tracking.
    pub const ON: Mode = Mode(1);
    /// The client is notified of every change of a key with one of its prefixes.
    pub const BCAST: Mode = Mode(1 << 1);
    /// The server tracks only what the client reads after CLIENT CACHING YES.
    pub const OPTIN: Mode = Mode(1 << 2);
    /// The server tracks everything except what the client reads after CLIENT CACHING NO.
    pub const OPTOUT: Mode = Mode(1 << 3);
    /// The client is not notified of its own changes.
    pub const NOLOOP: Mode = Mode(1 << 4);
    /// The client that receives the invalidations has disconnected.
    pub const BROKEN: Mode = Mode(1 << 5);

    /// The union of both sets.
    #[must_use]
    pub const fn union(self, other: Mode) -> Mode {
        Mode(self.0 | other.0)
    }

    /// Whether the set contains all flags of `other`.
    pub const fn contains(self, other: Mode) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What other threads need to know of a client's tracking.
#[derive(Debug, Default)]
pub struct TrackingState {
    mode: AtomicU32,
    redirect: AtomicU64,
}

impl TrackingState {
    /// The client's mode.
    pub fn mode(&self) -> Mode {
        Mode(self.mode.load(Ordering::Relaxed))
    }

    /// The client that receives the invalidations instead; 0 for the client itself.
    pub fn redirect(&self) -> u64 {
        self.redirect.load(Ordering::Relaxed)
    }
}

/// About what a prefix takes besides its bytes, here and in the table of all prefixes.
const PREFIX_BYTES: usize = 64;

/// The tracking state that the client's own connection keeps.
#[derive(Debug, Default)]
pub struct OwnTracking {
    /// Whether the server remembers the keys that the client reads.
    pub remembers: bool,
    /// Whether CLIENT CACHING was given for the next command.
    pub caching: bool,
    /// The prefixes of broadcast mode.
    pub prefixes: BTreeSet<Bytes>,
    /// Bytes of the prefixes.
    prefix_bytes: usize,
}

impl OwnTracking {
    /// About how much memory the prefixes take, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.prefix_bytes + self.prefixes.len() * PREFIX_BYTES
    }
}

/// The ids of clients that may have a key, ascending.
type Ids = SmallVec<[u64; 2]>;
type Table = HashMap<Box<[u8]>, Ids, RandomState>;

const TABLES: usize = 64;

/// At most this many keys are forgotten for each new key. After the limit was lowered, several steps reach it.
const FORGOTTEN_PER_KEY: usize = 100;

/// All tracking state.
#[derive(Debug)]
pub struct Tracking {
    /// Tracking clients, by id.
    clients: RwLock<HashMap<u64, Arc<ClientHandle>>>,
    prefixes: RwLock<HashMap<Bytes, Vec<Arc<ClientHandle>>>>,
    /// Keys that clients have read: names alone, without their databases, as in Redis.
    tables: [Mutex<Table>; TABLES],
    hasher: RandomState,
    keys: AtomicUsize,
    items: AtomicUsize,
    /// The table that must forget a key next.
    hand: AtomicUsize,
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            clients: RwLock::new(Rank::TrackingClients, HashMap::default()),
            prefixes: RwLock::new(Rank::TrackingPrefixes, HashMap::default()),
            tables: std::array::from_fn(|_| Mutex::new(Rank::TrackingTable, Table::default())),
            hasher: RandomState::default(),
            keys: AtomicUsize::new(0),
            items: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
        }
    }
}

impl Tracking {
    /// Starts tracking for a client; adds `prefixes` to those that it has.
    pub fn enable(
        &self,
        keyspace: &Keyspace,
        client: &Arc<ClientHandle>,
        own: &mut OwnTracking,
        mode: Mode,
        redirect: u64,
        prefixes: impl Iterator<Item = Bytes>,
    ) {
        let mut clients = self.clients.write();
        keyspace.events().observe_modifications(true);
        let state = &client.tracking;
        state.redirect.store(redirect, Ordering::Relaxed);
        state.mode.store(mode.union(Mode::ON).0, Ordering::Relaxed);
        clients.insert(client.id, Arc::clone(client));
        own.remembers = !mode.contains(Mode::BCAST);
        let mut all = self.prefixes.write();
        for prefix in prefixes {
            if own.prefixes.insert(prefix.clone()) {
                own.prefix_bytes += prefix.len();
                all.entry(prefix).or_default().push(Arc::clone(client));
            }
        }
    }

    /// Stops tracking for a client. The keys that it had read are forgotten when a client changes them, or when the
    /// last tracking client stops.
    pub fn disable(&self, keyspace: &Keyspace, client: &ClientHandle, own: &mut OwnTracking) {
        if client.tracking.mode() == Mode::OFF {
            return;
        }
        let mut clients = self.clients.write();
        client.tracking.mode.store(0, Ordering::Relaxed);
        client.tracking.redirect.store(0, Ordering::Relaxed);
        clients.remove(&client.id);
        {
            let mut all = self.prefixes.write();
            for prefix in &own.prefixes {
                if let Some(of_prefix) = all.get_mut(prefix) {
                    of_prefix.retain(|other| other.id != client.id);
                    if of_prefix.is_empty() {
                        all.remove(prefix);
                    }
                }
            }
        }
        *own = OwnTracking::default();
        if clients.is_empty() {
            keyspace.events().observe_modifications(false);
            self.clear();
        }
    }

    /// Remembers that a client may have a key from now on. The caller calls this before it reads the value.
    pub fn remember(&self, server: &Server, client: &ClientHandle, key: &[u8], keys_max: usize) {
        {
            let mut table = self.table(key).lock();
            let ids = if let Some(ids) = table.get_mut(key) {
                ids
            } else {
                self.keys.fetch_add(1, Ordering::Relaxed);
                table.entry(key.into()).or_default()
            };
            if let Err(place) = ids.binary_search(&client.id) {
                ids.insert(place, client.id);
                self.items.fetch_add(1, Ordering::Relaxed);
            }
        }
        if keys_max > 0 && self.keys() > keys_max {
            self.forget_some(server, keys_max);
        }
    }

    /// Handles a change of a key by the client with id `by`, or by the server itself (0).
    pub fn changed(&self, server: &Server, key: &[u8], by: u64) {
        if self.keys() > 0 {
            self.invalidate(server, key, by);
        }
        let prefixes = self.prefixes.read();
        if prefixes.is_empty() {
            return;
        }
        let mut message = Invalidation::of(server, Some(key));
        for (prefix, clients) in &*prefixes {
            if key.starts_with(prefix) {
                for client in clients {
                    let silent = client.id == by && client.tracking.mode().contains(Mode::NOLOOP);
                    if !silent {
                        message.send(client);
                    }
                }
            }
        }
    }

    /// Handles the flush of databases.
    pub fn flushed(&self, server: &Server) {
        self.clear();
        let clients = self.clients.read();
        let mut message = Invalidation::of(server, None);
        for client in clients.values() {
            message.send(client);
        }
    }

    /// Notifies the clients that may have a key, and forgets that they have it.
    fn invalidate(&self, server: &Server, key: &[u8], by: u64) {
        let Some(ids) = self.take(key) else {
            return;
        };
        let clients = self.clients.read();
        let mut message = Invalidation::of(server, Some(key));
        for id in ids {
            let Some(client) = clients.get(&id) else {
                continue;
            };
            let mode = client.tracking.mode();
            if mode.contains(Mode::BCAST) {
                continue;
            }
            if id == by && mode.contains(Mode::NOLOOP) {
                // The client knows what it wrote itself, and must be notified of the next change.
                self.remember(server, client, key, 0);
            } else {
                message.send(client);
            }
        }
    }

    fn take(&self, key: &[u8]) -> Option<Ids> {
        let ids = self.table(key).lock().remove(key)?;
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.items.fetch_sub(ids.len(), Ordering::Relaxed);
        Some(ids)
    }

    fn table(&self, key: &[u8]) -> &Mutex<Table> {
        #[allow(clippy::cast_possible_truncation)] // Any bits will do.
        let hash = self.hasher.hash_one(key) as usize;
        &self.tables[hash % TABLES]
    }

    /// Forgets keys until at most `keys_max` are left, and notifies the clients that may have them.
    #[cold]
    fn forget_some(&self, server: &Server, keys_max: usize) {
        let mut forgotten = 0;
        let mut empty = 0;
        while self.keys() > keys_max && forgotten < FORGOTTEN_PER_KEY && empty < TABLES {
            let hand = self.hand.fetch_add(1, Ordering::Relaxed);
            let key = self.tables[hand % TABLES].lock().keys().next().cloned();
            match key {
                Some(key) => {
                    self.invalidate(server, &key, 0);
                    forgotten += 1;
                    empty = 0;
                }
                None => empty += 1,
            }
        }
    }

    fn clear(&self) {
        for table in &self.tables {
            let table = std::mem::take(&mut *table.lock());
            let items = table.values().map(SmallVec::len).sum();
            self.keys.fetch_sub(table.len(), Ordering::Relaxed);
            self.items.fetch_sub(items, Ordering::Relaxed);
        }
    }

    /// How many clients track keys.
    pub fn clients(&self) -> usize {
        self.clients.read().len()
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// How many pairs of a key and a client are remembered.
    pub fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    /// How many prefixes there are.
    pub fn prefixes(&self) -> usize {
        self.prefixes.read().len()
    }

    /// Waits until messages in delivery are in their mailboxes.
    pub fn settle(&self) {
        drop(self.clients.write());
        drop(self.prefixes.write());
    }
}

/// One invalidation for several clients.
struct Invalidation<'a> {
    server: &'a Server,
    limits: Option<OutputBufferLimits>,
    key: Option<&'a [u8]>,
    push: Option<Push>,
    message: Option<Push>,
}

impl<'a> Invalidation<'a> {
    fn of(server: &'a Server, key: Option<&'a [u8]>) -> Self {
        Self {
            server,
            limits: None,
            key,
            push: None,
            message: None,
        }
    }

    fn send(&mut self, client: &ClientHandle) {
        let redirect = client.tracking.redirect();
        if redirect == 0 {
            // RESP2 has no form for an invalidation on the client's own connection.
            if client.speaks_resp3() {
                self.push(client);
            }
            return;
        }
        let Some(target) = self.server.clients.get(redirect) else {
            client
                .tracking
                .mode
                .fetch_or(Mode::BROKEN.0, Ordering::Relaxed);
            if client.speaks_resp3() {
                let mut push = Push::broken_redirection(redirect);
                client.deliver(&mut push, self.server, self.limits());
            }
            return;
        };
        if target.speaks_resp3() {
            self.push(&target);
        } else if target.is_subscriber() {
            let (key, limits) = (self.key, self.limits());
            let message = self
                .message
                .get_or_insert_with(|| Push::invalidation_message(key));
            target.deliver(message, self.server, limits);
        }
    }

    fn push(&mut self, client: &ClientHandle) {
        let (key, limits) = (self.key, self.limits());
        let push = self.push.get_or_insert_with(|| Push::invalidation(key));
        client.deliver(push, self.server, limits);
    }

    fn limits(&mut self) -> OutputBufferLimits {
        let settings = || self.server.config.settings().client_output_buffer_limits;
        *self.limits.get_or_insert_with(settings)
    }
}

//! Clients that cache keys: which of them may have which key, and telling them that it is not up to date any more.
//!
//! By default a key that such a client reads is remembered, before its value is read. Whoever changes a key looks it up
//! here after the change, still under the key's lock. So either the reader sees the change, or the writer sees the
//! reader; at worst a client is told of a value that it has read anew already. In broadcast mode nothing is
//! remembered: the client is told of every changed key with one of its prefixes.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use foldhash::quality::RandomState;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use super::{ClientHandle, Server};
use crate::config::OutputBufferLimits;
use crate::keyspace::Keyspace;
use crate::protocol::Push;

/// How a client tracks keys; a set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// No tracking.
    pub const OFF: Mode = Mode(0);
    /// Tracking.
    pub const ON: Mode = Mode(1);
    /// Told of every change of a key with one of its prefixes.
    pub const BCAST: Mode = Mode(1 << 1);
    /// Only what is read after CLIENT CACHING YES.
    pub const OPTIN: Mode = Mode(1 << 2);
    /// All but what is read after CLIENT CACHING NO.
    pub const OPTOUT: Mode = Mode(1 << 3);
    /// Not told of its own changes.
    pub const NOLOOP: Mode = Mode(1 << 4);
    /// The client that was to be told is gone.
    pub const BROKEN: Mode = Mode(1 << 5);

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Mode) -> Mode {
        Mode(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Mode) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What others need to know of how a client tracks keys.
#[derive(Debug, Default)]
pub struct TrackingState {
    mode: AtomicU32,
    redirect: AtomicU64,
}

impl TrackingState {
    /// How it tracks.
    pub fn mode(&self) -> Mode {
        Mode(self.mode.load(Ordering::Relaxed))
    }

    /// The client that is told in its place; 0 for itself.
    pub fn redirect(&self) -> u64 {
        self.redirect.load(Ordering::Relaxed)
    }
}

/// What the client's own connection keeps of it.
#[derive(Debug, Default)]
pub struct OwnTracking {
    /// Keys that it reads are to be remembered.
    pub remembers: bool,
    /// CLIENT CACHING was given for what comes next.
    pub caching: bool,
    /// Of broadcast mode.
    pub prefixes: BTreeSet<Bytes>,
}

/// The ids of clients that may have a key, rising.
type Ids = SmallVec<[u64; 2]>;
type Table = HashMap<Box<[u8]>, Ids, RandomState>;

const TABLES: usize = 64;

/// Keys forgotten to make room for one more, at most: where the limit was lowered, it is reached in steps.
const FORGOTTEN_PER_KEY: usize = 100;

/// All that is tracked.
#[derive(Debug)]
pub struct Tracking {
    /// Clients that track, by id.
    clients: RwLock<HashMap<u64, Arc<ClientHandle>>>,
    prefixes: RwLock<HashMap<Bytes, Vec<Arc<ClientHandle>>>>,
    /// Keys that clients have read. Names alone, without their databases, as in Redis.
    tables: [Mutex<Table>; TABLES],
    hasher: RandomState,
    keys: AtomicUsize,
    items: AtomicUsize,
    /// The table that forgets a key next.
    hand: AtomicUsize,
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            clients: RwLock::default(),
            prefixes: RwLock::default(),
            tables: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::default(),
            keys: AtomicUsize::new(0),
            items: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
        }
    }
}

impl Tracking {
    /// A client tracks keys from now on; `prefixes` come to those that it has.
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
        keyspace.observe_changes(true);
        let state = &client.tracking;
        state.redirect.store(redirect, Ordering::Relaxed);
        state.mode.store(mode.union(Mode::ON).0, Ordering::Relaxed);
        clients.insert(client.id, Arc::clone(client));
        own.remembers = !mode.contains(Mode::BCAST);
        let mut all = self.prefixes.write();
        for prefix in prefixes {
            if own.prefixes.insert(prefix.clone()) {
                all.entry(prefix).or_default().push(Arc::clone(client));
            }
        }
    }

    /// A client tracks no longer. What it had read is forgotten when somebody changes it, or with the last client.
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
            keyspace.observe_changes(false);
            self.clear();
        }
    }

    /// Remembers that a client may have a key from now on. To be called before the value is read.
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

    /// A key was changed: by the client of that id, or (0) by the server itself.
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

    /// Databases were emptied.
    pub fn flushed(&self, server: &Server) {
        self.clear();
        let clients = self.clients.read();
        let mut message = Invalidation::of(server, None);
        for client in clients.values() {
            message.send(client);
        }
    }

    /// Tells the clients that may have a key, and forgets that they have.
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
                // It has what it wrote itself, and is to hear of the next change.
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

    /// Forgets keys until there are no more than `keys_max`; who may have them is told.
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

    /// How many clients track.
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

    /// Waits until messages that are being sent are in their mailboxes.
    pub fn settle(&self) {
        drop(self.clients.write());
        drop(self.prefixes.write());
    }
}

/// One invalidation on its way to several clients.
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
            // RESP2 has no form for it in the client's own connection.
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

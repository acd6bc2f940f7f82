//! The list of connected clients, for CLIENT LIST, CLIENT KILL and INFO.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use lock_order::Rank;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Blocked, Mailbox, Mode, Server, Topic, TrackingState, monitors};
use crate::acl::User;
use crate::catalog::{Command, table};
use crate::config::{OutputBufferLimit, OutputBufferLimits};
use crate::protocol::Push;

/// The command that a client has called last, as its number: the client's thread sets it for each change of commands, so it must not
/// cost a lock.
#[derive(Debug, Default)]
pub struct LastCommand(AtomicUsize);

impl LastCommand {
    /// The client calls this command.
    #[inline]
    pub fn set(&self, command: &Command) {
        // No command has the number 0 here.
        self.0.store(command.number + 1, Ordering::Relaxed);
    }

    /// The command's full name (`client|list`); empty before the first one.
    pub fn full_name(&self) -> &'static str {
        let number = self.0.load(Ordering::Relaxed).checked_sub(1);
        let command = number.and_then(|number| table().all().get(number));
        command.map_or("", |command| command.full_name)
    }
}

/// What other threads see of a client, and how they disconnect it.
#[derive(Debug)]
pub struct ClientHandle {
    /// Unique, ascending, never used again.
    pub id: u64,
    /// Peer address, `127.0.0.1:50000`, or the socket's path with `:0`.
    pub addr: String,
    /// The server's address on this connection, in the same form.
    pub laddr: String,
    /// File descriptor number, as CLIENT LIST shows it.
    pub fd: i32,
    /// Whether the client came over the Unix socket.
    pub unix: bool,
    /// Whether it is the link to the master that this server follows.
    pub is_master: AtomicBool,
    /// When the client connected.
    pub connected: Instant,
    /// CLIENT SETNAME; empty for none.
    pub name: Mutex<String>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Mutex<String>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: Mutex<String>,
    /// The client's user.
    pub user: Mutex<Arc<User>>,
    /// Selected database.
    pub db: AtomicUsize,
    /// 2 or 3.
    pub resp: AtomicU8,
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// What the client has claimed by CLIENT CAPA, as bits.
    pub capabilities: AtomicU8,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// MONITOR: the server sends every command to this client.
    pub monitors: AtomicBool,
    /// Whether the client's next command waits, for CLIENT PAUSE.
    pub waits: AtomicBool,
    /// The command that the client waits in.
    pub blocked: Mutex<Option<Arc<Blocked>>>,
    /// The last command.
    pub last_command: LastCommand,
    /// Wall clock of the last batch, ms since the Unix epoch.
    pub last_active_ms: AtomicI64,
    /// Bytes in the input buffer.
    pub query_buffer_bytes: AtomicUsize,
    /// Free bytes at the end of the input buffer.
    pub query_buffer_free_bytes: AtomicUsize,
    /// Commands queued for EXEC; -1 outside a transaction.
    pub multi: AtomicI64,
    /// Memory of the queued commands, bytes.
    pub multi_bytes: AtomicUsize,
    /// How many keys the client watches.
    pub watched_keys: AtomicUsize,
    /// What watched keys, subscriptions and prefixes of tracking take, bytes.
    pub name_bytes: AtomicUsize,
    /// How many names the client subscribes to, by [`Topic`].
    pub subscriptions: [AtomicUsize; 3],
    /// CLIENT TRACKING.
    pub tracking: TrackingState,
    /// Messages that are no replies to a command of this client.
    pub mailbox: Mailbox,
    /// Bytes in the output buffer.
    pub output_buffer_bytes: AtomicUsize,
    /// Bytes that left the output buffer and that the client has not taken yet.
    pub unsent_bytes: AtomicUsize,
    /// The number of buffers that hold these bytes.
    pub unsent_buffers: AtomicUsize,
    /// The last ticket of a change that the client made; 0 if replicas follow none.
    pub last_ticket: AtomicU64,
    /// Whether the client is a replica.
    pub is_replica: AtomicBool,
    /// Set by CLIENT KILL and by shutdown.
    killed: AtomicBool,
    /// Whether the server still answers what has arrived after `killed`.
    drains: AtomicBool,
    kill: Notify,
}

impl ClientHandle {
    /// Disconnects the client: its connection closes as soon as its task sees this.
    pub fn kill(&self) {
        self.kill_first();
    }

    /// Like [`kill`](Self::kill); returns `false` if the client was killed before.
    fn kill_first(&self) -> bool {
        let before = self.killed.swap(true, Ordering::AcqRel);
        self.kill.notify_waiters();
        self.mailbox.bell.ring();
        !before
    }

    /// Whether the client subscribes to anything.
    pub fn is_subscriber(&self) -> bool {
        self.subscriptions
            .iter()
            .any(|names| names.load(Ordering::Relaxed) > 0)
    }

    /// Whether the client waits, in a command or for the end of CLIENT PAUSE.
    pub fn is_blocked(&self) -> bool {
        self.waits.load(Ordering::Relaxed) || self.blocked.lock().is_some()
    }

    /// Whether the client speaks RESP3.
    pub fn speaks_resp3(&self) -> bool {
        self.resp.load(Ordering::Relaxed) == 3
    }

    /// Leaves a message for the client, in its protocol. If the client does not read its messages, the server
    /// disconnects it, so that no publisher waits for it.
    pub fn deliver(&self, message: &mut Push, server: &Server, limits: OutputBufferLimits) {
        let limit = self.message_limit(&limits);
        let message = message.bytes(self.resp.load(Ordering::Relaxed));
        let unsent = self.taken_bytes();
        if !self.mailbox.put_behind(unsent, message, limit) && self.kill_first() {
            server
                .stats
                .output_limit_disconnections
                .fetch_add(1, Ordering::Relaxed);
            tracing::warn!(client = %self.addr, "closed: messages over client-output-buffer-limit");
        }
    }

    /// The limit of messages that wait for the client.
    fn message_limit(&self, limits: &OutputBufferLimits) -> OutputBufferLimit {
        if self.monitors.load(Ordering::Relaxed) {
            monitors::limit(limits)
        } else if self.is_subscriber() {
            limits.pubsub
        } else {
            limits.normal
        }
    }

    /// Bytes of output that the connection holds and that the client has not taken yet.
    pub fn taken_bytes(&self) -> usize {
        self.output_buffer_bytes.load(Ordering::Relaxed) + self.unsent_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of all output that waits for the client, including messages in its mailbox.
    pub fn output_bytes(&self) -> usize {
        self.taken_bytes() + self.mailbox.waiting_bytes()
    }

    /// Disconnects the client after everything that has arrived from it is answered, because the server stops.
    pub fn finish(&self) {
        self.drains.store(true, Ordering::Release);
        self.kill();
    }

    /// Whether [`finish`](Self::finish) ended the client.
    pub fn drains(&self) -> bool {
        self.drains.load(Ordering::Acquire)
    }

    /// Whether the client is on this machine, for the value `local` of `enable-debug-command` and its like.
    pub fn is_local(&self) -> bool {
        let address = self.addr.parse::<SocketAddr>();
        self.unix || address.is_ok_and(|address| address.ip().is_loopback())
    }

    /// Whether [`kill`](Self::kill) was called.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// The client's flags in CLIENT LIST; `N` for none.
    pub fn flags(&self) -> String {
        let tracks = self.tracking.mode();
        let flags: String = [
            (self.is_replica.load(Ordering::Relaxed), 'S'),
            (self.is_master.load(Ordering::Relaxed), 'M'),
            (self.is_subscriber(), 'P'),
            (self.monitors.load(Ordering::Relaxed), 'O'),
            (self.multi.load(Ordering::Relaxed) >= 0, 'x'),
            (self.is_blocked(), 'b'),
            (tracks.contains(Mode::ON), 't'),
            (tracks.contains(Mode::BROKEN), 'R'),
            (tracks.contains(Mode::BCAST), 'B'),
            (self.is_killed(), 'A'),
            (self.unix, 'U'),
            (self.no_evict.load(Ordering::Relaxed), 'e'),
            (self.no_touch.load(Ordering::Relaxed), 'T'),
        ]
        .into_iter()
        .filter_map(|(on, flag)| on.then_some(flag))
        .collect();
        if flags.is_empty() { "N".into() } else { flags }
    }

    /// The memory that the client takes: its buffers, what it has queued, its names and what is known of it.
    pub fn memory_bytes(&self) -> usize {
        let names = |name: &Mutex<String>| name.lock().len();
        self.query_buffer_bytes.load(Ordering::Relaxed)
            + self.query_buffer_free_bytes.load(Ordering::Relaxed)
            + self.output_bytes()
            + self.multi_bytes.load(Ordering::Relaxed)
            + self.name_bytes.load(Ordering::Relaxed)
            + names(&self.name)
            + names(&self.lib_name)
            + names(&self.lib_ver)
            + size_of::<Self>()
    }

    /// Whether the client counts for `maxmemory-clients`: replicas and the link to a master do not.
    fn may_be_evicted(&self) -> bool {
        !self.is_replica.load(Ordering::Relaxed) && !self.is_master.load(Ordering::Relaxed)
    }

    /// How long the client has sent nothing, seconds.
    pub fn idle_s(&self, now_ms: i64) -> i64 {
        now_ms
            .saturating_sub(self.last_active_ms.load(Ordering::Relaxed))
            .max(0)
            / 1000
    }

    /// The client's line in CLIENT LIST, without the line break.
    pub fn describe(&self, now_ms: i64) -> String {
        let tracks = self.tracking.mode();
        let flags = self.flags();
        let command = self.last_command.full_name();
        let input = self.query_buffer_bytes.load(Ordering::Relaxed);
        let input_free = self.query_buffer_free_bytes.load(Ordering::Relaxed);
        let output = self.output_buffer_bytes.load(Ordering::Relaxed);
        let multi_bytes = self.multi_bytes.load(Ordering::Relaxed);
        let names = |topic: Topic| self.subscriptions[topic as usize].load(Ordering::Relaxed);
        let redirect = if tracks.contains(Mode::ON) {
            i64::try_from(self.tracking.redirect()).unwrap_or(i64::MAX)
        } else {
            -1
        };
        // Redis has a list behind the output buffer for what does not fit. Waiting messages count there too.
        let messages = self.mailbox.waiting_bytes();
        let lists = self.unsent_buffers.load(Ordering::Relaxed) + usize::from(messages > 0);
        let waiting = self.unsent_bytes.load(Ordering::Relaxed) + messages;
        // Before the names are locked below.
        let total = self.memory_bytes();
        format!(
            "id={id} addr={addr} laddr={laddr} fd={fd} name={name} age={age} idle={idle} flags={flags} db={db} \
             sub={sub} psub={psub} ssub={ssub} multi={multi} watch={watch} qbuf={input} qbuf-free={input_free} argv-mem=0 multi-mem={multi_bytes} \
             rbs={output} rbp={output} obl={output} oll={lists} omem={waiting} tot-mem={total} events=r cmd={command} \
             user={user} redir={redirect} resp={resp} lib-name={lib_name} lib-ver={lib_ver}",
            id = self.id,
            addr = self.addr,
            laddr = self.laddr,
            fd = self.fd,
            name = self.name.lock(),
            age = self.connected.elapsed().as_secs(),
            idle = self.idle_s(now_ms),
            user = String::from_utf8_lossy(self.user.lock().name()),
            db = self.db.load(Ordering::Relaxed),
            sub = names(Topic::Channel),
            psub = names(Topic::Pattern),
            ssub = names(Topic::Shard),
            multi = self.multi.load(Ordering::Relaxed),
            watch = self.watched_keys.load(Ordering::Relaxed),
            command = if command.is_empty() { "NULL" } else { command },
            resp = self.resp.load(Ordering::Relaxed),
            lib_name = self.lib_name.lock(),
            lib_ver = self.lib_ver.lock(),
        )
    }

    /// Returns when the client is killed.
    pub async fn killed(&self) {
        loop {
            // Create this before checking the flag, so that it also sees a kill right after the check.
            let kill = self.kill.notified();
            if self.is_killed() {
                return;
            }
            kill.await;
        }
    }
}

/// The origin of a new connection.
#[derive(Debug)]
pub struct Endpoint {
    /// Peer address.
    pub addr: String,
    /// The server's address.
    pub laddr: String,
    /// File descriptor number.
    pub fd: i32,
    /// Whether the connection came over the Unix socket.
    pub unix: bool,
}

/// All connected clients, by id.
#[derive(Debug)]
pub struct Clients {
    by_id: lock_order::Mutex<BTreeMap<u64, Arc<ClientHandle>>>,
    last_id: AtomicU64,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            by_id: lock_order::Mutex::new(Rank::Clients, BTreeMap::new()),
            last_id: AtomicU64::new(0),
        }
    }
}

impl Clients {
    /// Registers a new client, which starts as `user`.
    pub fn register(&self, endpoint: Endpoint, user: &Arc<User>, now_ms: i64) -> Arc<ClientHandle> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let handle = Arc::new(ClientHandle {
            id,
            addr: endpoint.addr,
            laddr: endpoint.laddr,
            fd: endpoint.fd,
            unix: endpoint.unix,
            is_master: AtomicBool::new(false),
            connected: Instant::now(),
            name: Mutex::default(),
            lib_name: Mutex::default(),
            lib_ver: Mutex::default(),
            user: Mutex::new(Arc::clone(user)),
            db: AtomicUsize::new(0),
            resp: AtomicU8::new(2),
            no_evict: AtomicBool::new(false),
            capabilities: AtomicU8::new(0),
            no_touch: AtomicBool::new(false),
            monitors: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            blocked: Mutex::default(),
            last_command: LastCommand::default(),
            last_active_ms: AtomicI64::new(now_ms),
            query_buffer_bytes: AtomicUsize::new(0),
            query_buffer_free_bytes: AtomicUsize::new(0),
            multi: AtomicI64::new(-1),
            multi_bytes: AtomicUsize::new(0),
            watched_keys: AtomicUsize::new(0),
            name_bytes: AtomicUsize::new(0),
            subscriptions: Default::default(),
            tracking: TrackingState::default(),
            mailbox: Mailbox::default(),
            output_buffer_bytes: AtomicUsize::new(0),
            unsent_bytes: AtomicUsize::new(0),
            unsent_buffers: AtomicUsize::new(0),
            last_ticket: AtomicU64::new(0),
            is_replica: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            drains: AtomicBool::new(false),
            kill: Notify::new(),
        });
        self.by_id.lock().insert(id, Arc::clone(&handle));
        handle
    }

    /// Removes a client whose connection has ended.
    pub fn remove(&self, id: u64) {
        self.by_id.lock().remove(&id);
    }

    /// The client with this id.
    pub fn get(&self, id: u64) -> Option<Arc<ClientHandle>> {
        self.by_id.lock().get(&id).cloned()
    }

    /// How many clients are connected.
    pub fn len(&self) -> usize {
        self.by_id.lock().len()
    }

    /// Whether no client is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Disconnects the clients that take most until all together take no more than `limit_bytes`; not those with CLIENT
    /// NO-EVICT. Returns how many.
    pub fn evict(&self, limit_bytes: u64) -> usize {
        let clients = self.all();
        let mut sizes: Vec<(usize, &Arc<ClientHandle>)> = clients
            .iter()
            .filter(|client| !client.is_killed() && client.may_be_evicted())
            .map(|client| (client.memory_bytes(), client))
            .collect();
        let mut total: u64 = sizes.iter().map(|&(bytes, _)| bytes as u64).sum();
        if total <= limit_bytes {
            return 0;
        }
        sizes.sort_unstable_by_key(|&(bytes, _)| std::cmp::Reverse(bytes));
        let mut evicted = 0;
        for (bytes, client) in sizes {
            if total <= limit_bytes {
                break;
            }
            if client.no_evict.load(Ordering::Relaxed) || !client.kill_first() {
                continue;
            }
            tracing::warn!(client = %client.addr, bytes, "closed: all clients over maxmemory-clients");
            total -= bytes as u64;
            evicted += 1;
        }
        evicted
    }

    /// Disconnects clients for which more messages than the soft limit have waited for longer than it allows, although no
    /// more have come. Returns how many.
    pub fn end_slow(&self, limits: &OutputBufferLimits) -> u64 {
        let mut ended = 0;
        for client in self.all() {
            let limit = client.message_limit(limits);
            let stays = client.mailbox.stays_over(client.taken_bytes(), limit);
            if stays && client.kill_first() {
                tracing::warn!(client = %client.addr, "closed: messages over client-output-buffer-limit");
                ended += 1;
            }
        }
        ended
    }

    /// The clients of `user`.
    pub fn of_user(&self, user: &Arc<User>) -> Vec<Arc<ClientHandle>> {
        let mut clients = self.all();
        clients.retain(|client| Arc::ptr_eq(&client.user.lock(), user));
        clients
    }

    /// All clients, in ascending order of their ids.
    pub fn all(&self) -> Vec<Arc<ClientHandle>> {
        self.by_id.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests;

//! The list of connected clients, for CLIENT LIST, CLIENT KILL and INFO.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Mailbox;

/// What others may see of one client, and how they end it.
#[derive(Debug)]
pub struct ClientHandle {
    /// Unique, rising, never used again.
    pub id: u64,
    /// Peer address, `127.0.0.1:50000`, or the socket's path with `:0`.
    pub addr: String,
    /// Our address on this connection, in the same form.
    pub laddr: String,
    /// File descriptor number, as CLIENT LIST shows it.
    pub fd: i32,
    /// Came over the Unix socket.
    pub unix: bool,
    /// When it connected.
    pub connected: Instant,
    /// CLIENT SETNAME; empty for none.
    pub name: Mutex<String>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Mutex<String>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: Mutex<String>,
    /// Selected database.
    pub db: AtomicUsize,
    /// 2 or 3.
    pub resp: AtomicU8,
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// Full name of the last command (`client|list`), or empty.
    pub last_command: Mutex<&'static str>,
    /// Wall clock of the last batch, ms since the Unix epoch.
    pub last_active_ms: AtomicI64,
    /// Bytes in the input buffer.
    pub query_buffer_bytes: AtomicUsize,
    /// Free bytes at the end of the input buffer.
    pub query_buffer_free_bytes: AtomicUsize,
    /// Commands that wait for EXEC; -1 outside a transaction.
    pub multi: AtomicI64,
    /// Memory that they take, bytes.
    pub multi_bytes: AtomicUsize,
    /// Messages that it did not ask for just now.
    pub mailbox: Mailbox,
    /// Bytes in the output buffer.
    pub output_buffer_bytes: AtomicUsize,
    /// Set by CLIENT KILL and by shutdown.
    killed: AtomicBool,
    /// Whether what has arrived is still answered after `killed`.
    drains: AtomicBool,
    kill: Notify,
}

impl ClientHandle {
    /// Ends the client: its connection closes as soon as its task sees this.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.kill.notify_waiters();
    }

    /// Ends the client once everything that has arrived from it is answered: the server stops.
    pub fn finish(&self) {
        self.drains.store(true, Ordering::Release);
        self.kill();
    }

    /// Whether the client was ended by [`finish`](Self::finish).
    pub fn drains(&self) -> bool {
        self.drains.load(Ordering::Acquire)
    }

    /// Whether [`kill`](Self::kill) was called.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// The client's line in CLIENT LIST, without the line break.
    pub fn describe(&self, now_ms: i64) -> String {
        let flags: String = [
            (self.is_killed(), 'A'),
            (self.multi.load(Ordering::Relaxed) >= 0, 'x'),
            (self.unix, 'U'),
            (self.no_evict.load(Ordering::Relaxed), 'e'),
            (self.no_touch.load(Ordering::Relaxed), 'T'),
        ]
        .into_iter()
        .filter_map(|(on, flag)| on.then_some(flag))
        .collect();
        let command = *self.last_command.lock();
        let idle_ms = now_ms.saturating_sub(self.last_active_ms.load(Ordering::Relaxed));
        let input = self.query_buffer_bytes.load(Ordering::Relaxed);
        let input_free = self.query_buffer_free_bytes.load(Ordering::Relaxed);
        let output = self.output_buffer_bytes.load(Ordering::Relaxed);
        let multi_bytes = self.multi_bytes.load(Ordering::Relaxed);
        // Subscriptions and tracking do not exist here: their fields have the values of a client that
        // uses none. There is one output buffer a client, and no list behind it.
        format!(
            "id={id} addr={addr} laddr={laddr} fd={fd} name={name} age={age} idle={idle} flags={flags} db={db} \
             sub=0 psub=0 ssub=0 multi={multi} qbuf={input} qbuf-free={input_free} argv-mem=0 multi-mem={multi_bytes} \
             rbs={output} rbp={output} obl={output} oll=0 omem=0 tot-mem={total} events=r cmd={command} \
             user=default redir=-1 resp={resp} lib-name={lib_name} lib-ver={lib_ver}",
            id = self.id,
            addr = self.addr,
            laddr = self.laddr,
            fd = self.fd,
            name = self.name.lock(),
            age = self.connected.elapsed().as_secs(),
            idle = idle_ms.max(0) / 1000,
            flags = if flags.is_empty() { "N" } else { &flags },
            db = self.db.load(Ordering::Relaxed),
            multi = self.multi.load(Ordering::Relaxed),
            total = input + input_free + output + multi_bytes + size_of::<Self>(),
            command = if command.is_empty() { "NULL" } else { command },
            resp = self.resp.load(Ordering::Relaxed),
            lib_name = self.lib_name.lock(),
            lib_ver = self.lib_ver.lock(),
        )
    }

    /// Returns once the client is killed.
    pub async fn killed(&self) {
        loop {
            // Made before the look at the flag: it then hears of a kill that comes right after.
            let kill = self.kill.notified();
            if self.is_killed() {
                return;
            }
            kill.await;
        }
    }
}

/// Where a new connection comes from.
#[derive(Debug)]
pub struct Endpoint {
    /// Peer address.
    pub addr: String,
    /// Our address.
    pub laddr: String,
    /// File descriptor number.
    pub fd: i32,
    /// Over the Unix socket.
    pub unix: bool,
}

/// All connected clients, by id.
#[derive(Debug, Default)]
pub struct Clients {
    by_id: Mutex<BTreeMap<u64, Arc<ClientHandle>>>,
    last_id: AtomicU64,
}

impl Clients {
    /// Registers a new client.
    pub fn register(&self, endpoint: Endpoint, now_ms: i64) -> Arc<ClientHandle> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let handle = Arc::new(ClientHandle {
            id,
            addr: endpoint.addr,
            laddr: endpoint.laddr,
            fd: endpoint.fd,
            unix: endpoint.unix,
            connected: Instant::now(),
            name: Mutex::default(),
            lib_name: Mutex::default(),
            lib_ver: Mutex::default(),
            db: AtomicUsize::new(0),
            resp: AtomicU8::new(2),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            last_command: Mutex::new(""),
            last_active_ms: AtomicI64::new(now_ms),
            query_buffer_bytes: AtomicUsize::new(0),
            query_buffer_free_bytes: AtomicUsize::new(0),
            multi: AtomicI64::new(-1),
            multi_bytes: AtomicUsize::new(0),
            mailbox: Mailbox::default(),
            output_buffer_bytes: AtomicUsize::new(0),
            killed: AtomicBool::new(false),
            drains: AtomicBool::new(false),
            kill: Notify::new(),
        });
        self.by_id.lock().insert(id, Arc::clone(&handle));
        handle
    }

    /// Forgets a client whose connection has ended.
    pub fn remove(&self, id: u64) {
        self.by_id.lock().remove(&id);
    }

    /// The client of that id.
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

    /// All clients, in the order of their ids.
    pub fn all(&self) -> Vec<Arc<ClientHandle>> {
        self.by_id.lock().values().cloned().collect()
    }
}

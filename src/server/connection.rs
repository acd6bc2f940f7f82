//! One connection: read what arrived, run it in order, make it durable, answer it in one write.

mod waiting;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf, BytesMut};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::clients::Endpoint;
use super::socket::{read_some, write_within};
use super::workers::Place;
use super::{ClientHandle, Server, Session, Stripe, monitors};
use crate::commands::{Dispatcher, Next};
use crate::config::Settings;
use crate::keyspace::{Ahead, Keyspace, PREFETCHED, Presence, now_ms};
use crate::protocol::{
    Args, Glance, OwnedArgs, Parsed, Protocol, ReplyBuffer, RequestLimits, RequestParser, glance,
};

/// The least room that a read gets. Redis reads as much at a time.
const READ_BYTES: usize = 16 * 1024;

/// The most room made ahead of what has arrived: an announced length alone must not take memory.
const RESERVED_BYTES_MAX: usize = 1 << 20;

/// Replies gathered before they are sent although more requests wait: memory stays bounded, and so does the time
/// until the first of them is answered.
const OUTPUT_BYTES_PER_FLUSH: usize = 1 << 20;

/// Requests run before what they have written is committed although more wait: the store keeps room for as much.
const INPUT_BYTES_PER_COMMIT: usize = 1 << 20;

/// Buffers larger than this are given back when they are empty.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;

/// Reads that a connection still gets after it was told to end, for what the kernel has received already.
const LAST_READS: usize = 64;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By the client, or by a command.
    Closed,
    /// Idle for too long.
    Idle,
    /// Killed, or the server stops.
    Killed,
    /// More unread input than it may have.
    QueryLimit,
    /// More unsent output than it may have.
    OutputLimit,
    /// The pool failed: nothing may be acknowledged.
    StoreFailed,
}

/// All of a connection but its socket, so that a slow command can take it to another thread for a while.
struct Connection {
    input: BytesMut,
    parser: RequestParser,
    /// Bytes that the present request is known to need beyond the input.
    missing: usize,
    out: ReplyBuffer,
    session: Session,
    dispatcher: Dispatcher,
    keyspace: Arc<Keyspace>,
    server: Arc<Server>,
    settings: Arc<Settings>,
    settings_version: u64,
    /// The number of the worker that serves it.
    worker: usize,
}

/// What the requests of one batch led to.
enum Batch {
    /// All that arrived in whole ran.
    Done,
    /// The output is large enough to be sent before the requests that are left.
    More,
    /// The connection ends after the gathered replies.
    Close,
    /// The next request is of a slow command and has not run.
    Slow(OwnedArgs),
    /// The next request has not run: it waits until CLIENT PAUSE is over.
    Paused,
    /// The command that ran last waits; more requests may stand behind it.
    Blocked,
}

/// Serves one client until it goes.
async fn serve<S>(mut stream: S, registration: &Registration, keyspace: Arc<Keyspace>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Registration {
        server,
        handle,
        place,
    } = registration;
    let settings = server.config.settings();
    let connection = Box::new(Connection {
        input: BytesMut::with_capacity(READ_BYTES),
        parser: RequestParser::default(),
        missing: 0,
        out: ReplyBuffer::new(Protocol::Resp2),
        session: Session::new(&server.acl, Arc::clone(handle)),
        dispatcher: Dispatcher::new(place.worker),
        keyspace,
        settings_version: server.config.version(),
        settings,
        server: Arc::clone(server),
        worker: place.worker,
    });
    // The socket is closed last: who sees the end finds it counted.
    let end = run(&mut stream, connection, place).await;
    let stats = &server.stats;
    match end {
        Ok(End::QueryLimit) => {
            stats
                .query_limit_disconnections
                .fetch_add(1, Ordering::Relaxed);
            tracing::warn!(client = %handle.addr, "closed: unread input over client-query-buffer-limit");
        }
        Ok(End::OutputLimit) => {
            stats
                .output_limit_disconnections
                .fetch_add(1, Ordering::Relaxed);
            tracing::warn!(client = %handle.addr, "closed: unsent output over client-output-buffer-limit");
        }
        Ok(end) => tracing::debug!(client = %handle.addr, ?end, "connection ended"),
        Err(error) => tracing::debug!(client = %handle.addr, %error, "connection lost"),
    }
}

/// A client's place in the list of clients and with a worker. It leaves both when this is dropped, however its task
/// ends.
#[derive(Debug)]
pub struct Registration {
    server: Arc<Server>,
    handle: Arc<ClientHandle>,
    place: Place,
}

impl Registration {
    /// Enters a new client.
    pub fn new(server: &Arc<Server>, endpoint: Endpoint, place: Place) -> Self {
        Self {
            handle: server
                .clients
                .register(endpoint, server.acl.default_user(), now_ms()),
            server: Arc::clone(server),
            place,
        }
    }

    /// Serves the client on its worker's thread, where `join` makes its stream out of `plain`.
    pub fn start<S, Plain>(
        self,
        plain: Plain,
        join: impl FnOnce(Plain) -> io::Result<S> + Send + 'static,
        keyspace: &Arc<Keyspace>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        Plain: Send + 'static,
    {
        let keyspace = Arc::clone(keyspace);
        let worker = self.place.runtime.clone();
        worker.spawn(async move {
            match join(plain) {
                Ok(stream) => serve(stream, &self, keyspace).await,
                Err(error) => {
                    tracing::warn!(client = %self.handle.addr, %error, "a client could not be served");
                }
            }
        });
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.server.monitors.remove(&self.handle);
        self.server.clients.remove(self.handle.id);
    }
}

async fn run<S>(stream: &mut S, mut connection: Box<Connection>, place: &Place) -> io::Result<End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handle = Arc::clone(&connection.session.handle);
    let mut killed = pin!(handle.killed());
    let mut last_reads = LAST_READS;
    loop {
        connection
            .input
            .reserve(connection.missing.clamp(READ_BYTES, RESERVED_BYTES_MAX));
        let waits = handle.waits.load(Ordering::Relaxed);
        // Who listens need not speak, and who has to wait is not idle.
        let idle_limit =
            (connection.settings.timeout).filter(|_| !waits && !handle.is_subscriber());
        let read = tokio::select! {
            // Reading first: what has arrived is answered even when the connection is to end.
            biased;
            read = read_some(stream, &mut connection.input, idle_limit) => Some(read?),
            () = &mut killed => return Ok(End::Killed),
            () = connection.server.pause.over(), if waits => None,
            () = handle.mailbox.arrived() => {
                connection.refresh_settings();
                connection.take_mail();
                match connection.send(stream).await? {
                    None => continue,
                    Some(end) => return Ok(end),
                }
            }
        };
        match read {
            Some(None) => return Ok(End::Idle),
            Some(Some(0)) => return Ok(End::Closed),
            Some(Some(_)) => connection.stripe().add_read(),
            // What waited may go on.
            None => {}
        }
        handle.waits.store(false, Ordering::Relaxed);
        connection.refresh_settings();
        loop {
            let mut batch = connection.run_batch();
            if let Batch::Slow(args) = batch {
                let next;
                (connection, next) = run_elsewhere(connection, args).await?;
                batch = match next {
                    Next::Close => Batch::Close,
                    Next::Block => Batch::Blocked,
                    _ => continue,
                };
            }
            if place.is_shared() {
                // The worker's other connections that have requests run first: one commit then serves them all.
                tokio::task::yield_now().await;
            }
            if let Some(end) = connection.send(stream).await? {
                return Ok(end);
            }
            match batch {
                Batch::Done => break,
                Batch::Paused => {
                    handle.waits.store(true, Ordering::Relaxed);
                    break;
                }
                Batch::Blocked => {
                    if let Some(end) = connection.wait(stream).await? {
                        return Ok(end);
                    }
                }
                Batch::Close => {
                    // The peer sees an orderly end after the last reply.
                    stream.shutdown().await?;
                    return Ok(End::Closed);
                }
                Batch::More | Batch::Slow(_) => {}
            }
        }
        let held_bytes = connection.input.len() + connection.session.queued_bytes();
        if held_bytes > connection.settings.client_query_buffer_limit {
            return Ok(End::QueryLimit);
        }
        if handle.is_killed() {
            last_reads -= 1;
            if last_reads == 0 || !handle.drains() {
                return Ok(End::Killed);
            }
        }
    }
}

/// Runs a slow command on a thread of its own: the worker goes on with its other clients.
async fn run_elsewhere(
    mut connection: Box<Connection>,
    args: OwnedArgs,
) -> io::Result<(Box<Connection>, Next)> {
    let done = tokio::task::spawn_blocking(move || {
        let next = connection.run_slow(&args);
        (connection, next)
    });
    done.await.map_err(io::Error::other)
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.session.withdraw(&self.server, &self.keyspace);
    }
}

impl Connection {
    fn stripe(&self) -> &Stripe {
        self.server.stats.stripe(self.worker)
    }

    fn refresh_settings(&mut self) {
        let version = self.server.config.version();
        if version != self.settings_version {
            self.settings_version = version;
            self.settings = self.server.config.settings();
        }
    }

    /// Runs the requests that have arrived in whole, up to a slow one.
    fn run_batch(&mut self) -> Batch {
        let output_before = self.out.bytes.len();
        let mut consumed_all = 0;
        let mut fetched = 0;
        self.missing = 0;
        let Self {
            input,
            parser,
            out,
            session,
            dispatcher,
            keyspace,
            server,
            settings,
            ..
        } = self;
        let mut around = dispatcher.begin(keyspace, server, session);
        let batch = loop {
            if out.bytes.len() > OUTPUT_BYTES_PER_FLUSH || consumed_all > INPUT_BYTES_PER_COMMIT {
                break Batch::More;
            }
            if consumed_all >= fetched {
                fetched = fetch_ahead(keyspace, session.db, input, consumed_all);
                // For all of them, not for the first one.
                dispatcher.skip_time();
            }
            let rest = &input[consumed_all..];
            let limits = RequestLimits {
                bulk_bytes_max: settings.proto_max_bulk_len,
                authenticated: session.authenticated || server.acl.is_open(),
            };
            let parsed = match parser.parse(rest, limits) {
                Ok(parsed) => parsed,
                Err(error) => {
                    tracing::debug!(client = %session.handle.addr, %error, "protocol error");
                    out.error(&error.to_string());
                    break Batch::Close;
                }
            };
            let inline;
            let (args, consumed) = match parsed {
                Parsed::Request { consumed } => (Args::new(rest, parser.words()), consumed),
                Parsed::Inline { consumed } => {
                    inline = OwnedArgs::new(parser.inline());
                    (inline.args(), consumed)
                }
                Parsed::Nothing { consumed } => {
                    consumed_all += consumed;
                    continue;
                }
                Parsed::Incomplete { missing } => {
                    self.missing = missing;
                    break Batch::Done;
                }
            };
            consumed_all += consumed;
            match dispatcher.execute(&mut around, session, args, out) {
                Next::Continue => {}
                Next::Close => break Batch::Close,
                Next::Block => break Batch::Blocked,
                Next::Elsewhere => break Batch::Slow(OwnedArgs::new(args.from(0))),
                Next::Postpone => {
                    consumed_all -= consumed;
                    break Batch::Paused;
                }
            }
        };
        drop(around);
        self.input.advance(consumed_all);
        let written = self.out.bytes.len() - output_before;
        self.dispatcher.end(&self.server, consumed_all, written);
        self.note_state();
        batch
    }

    /// Runs one slow command, as a batch of its own.
    fn run_slow(&mut self, args: &OwnedArgs) -> Next {
        let output_before = self.out.bytes.len();
        let (session, out) = (&mut self.session, &mut self.out);
        let mut around = self
            .dispatcher
            .begin_slow(&self.keyspace, &self.server, session);
        let next = self
            .dispatcher
            .execute(&mut around, session, args.args(), out);
        drop(around);
        let written = self.out.bytes.len() - output_before;
        self.dispatcher.end(&self.server, 0, written);
        next
    }

    /// Puts messages that came meanwhile behind the replies.
    fn take_mail(&mut self) {
        // A transaction that is under way may have left them: they go when all that it does is there.
        let presence = Presence::of_worker(self.keyspace.gate(), self.worker);
        drop(presence);
        self.session.handle.mailbox.take_into(&mut self.out.bytes);
        self.note_state();
    }

    /// Shows this client's state to the others.
    fn note_state(&self) {
        let handle = &self.session.handle;
        handle
            .last_active_ms
            .store(self.dispatcher.now(), Ordering::Relaxed);
        handle
            .query_buffer_bytes
            .store(self.input.len(), Ordering::Relaxed);
        let free = self.input.capacity() - self.input.len();
        handle
            .query_buffer_free_bytes
            .store(free, Ordering::Relaxed);
        handle
            .output_buffer_bytes
            .store(self.out.bytes.len(), Ordering::Relaxed);
    }

    /// Sends the gathered replies, after everything that they tell of is durable.
    async fn send<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<Option<End>> {
        if let Err(error) = self.keyspace.commit() {
            tracing::error!(%error, "the pool did not take a commit: a client is closed unanswered");
            return Ok(Some(End::StoreFailed));
        }
        if self.out.bytes.is_empty() {
            return Ok(None);
        }
        let handle = &self.session.handle;
        let limits = &self.settings.client_output_buffer_limits;
        let limit = if self.session.monitors {
            monitors::limit(limits)
        } else if handle.is_subscriber() {
            limits.pubsub
        } else {
            limits.normal
        };
        let bytes = self.out.bytes.len();
        if limit.hard_bytes > 0 && bytes as u64 > limit.hard_bytes {
            return Ok(Some(End::OutputLimit));
        }
        let unsent = &handle.output_buffer_bytes;
        unsent.store(bytes, Ordering::Relaxed);
        let killed = async {
            handle.killed().await;
            if handle.drains() {
                // The last replies may still go; the server waits for them only so long.
                std::future::pending::<()>().await;
            }
        };
        let sent = tokio::select! {
            biased;
            sent = write_within(stream, &mut self.out.bytes, limit, unsent) => sent?,
            () = killed => return Ok(Some(End::Killed)),
        };
        if !sent {
            return Ok(Some(End::OutputLimit));
        }
        self.stripe().add_write();
        if self.out.bytes.capacity() > KEPT_BUFFER_BYTES {
            self.out.bytes = BytesMut::new();
        }
        if self.input.is_empty() && self.input.capacity() > KEPT_BUFFER_BYTES {
            self.input = BytesMut::with_capacity(READ_BYTES);
        }
        Ok(None)
    }
}

/// Has the keys fetched that the next requests of the input will use; returns how far into the input these go.
fn fetch_ahead(keyspace: &Keyspace, db: usize, input: &[u8], start: usize) -> usize {
    let mut glances = SmallVec::<[Glance<'_>; PREFETCHED]>::new();
    let seen = glance(&input[start..], &mut glances);
    // A single one gains nothing.
    if glances.len() > 1 {
        let keys: SmallVec<[Ahead<'_>; PREFETCHED]> = glances
            .into_iter()
            .map(|(name, key)| Ahead {
                db,
                key,
                value: !name.eq_ignore_ascii_case(b"set"),
            })
            .collect();
        keyspace.prefetch(&keys);
    }
    // Where nothing could be seen, the next look is for other input.
    if seen == 0 { input.len() } else { start + seen }
}

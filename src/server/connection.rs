//! One connection: read what arrived, run it in order, make it durable, answer it in one write.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::clients::Endpoint;
use super::{ClientHandle, ReplyMode, Server, Session};
use crate::commands::{Dispatcher, Next};
use crate::config::{OutputBufferLimit, Settings};
use crate::keyspace::{Keyspace, now_ms};
use crate::protocol::{
    Args, OwnedArgs, Parsed, Protocol, ReplyBuffer, RequestLimits, RequestParser,
};

/// The least room that a read gets. Redis reads as much at a time.
const READ_BYTES: usize = 16 * 1024;

/// The most room made ahead of what has arrived: an announced length alone must not take memory.
const RESERVED_BYTES_MAX: usize = 1 << 20;

/// Replies gathered before they are sent although more requests wait: memory stays bounded, and so does the time
/// until the first of them is answered.
const OUTPUT_BYTES_PER_FLUSH: usize = 1 << 20;

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

struct Connection<S> {
    stream: S,
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
}

/// Serves one client until it goes.
pub async fn serve<S>(stream: S, registration: Registration, keyspace: Arc<Keyspace>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Registration { server, handle } = &registration;
    let settings = server.config.settings();
    let mut connection = Connection {
        stream,
        input: BytesMut::with_capacity(READ_BYTES),
        parser: RequestParser::default(),
        missing: 0,
        out: ReplyBuffer::new(Protocol::Resp2),
        session: Session {
            db: 0,
            authenticated: settings.requirepass.is_none(),
            no_touch: false,
            reply_mode: ReplyMode::On,
            handle: Arc::clone(handle),
        },
        dispatcher: Dispatcher::new(server),
        keyspace,
        settings_version: server.config.version(),
        settings,
        server: Arc::clone(server),
    };
    let end = connection.run().await;
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

/// A client's place in the list of clients, which it leaves when this is dropped, however its task ends.
#[derive(Debug)]
pub struct Registration {
    server: Arc<Server>,
    handle: Arc<ClientHandle>,
}

impl Registration {
    /// Enters a new client.
    pub fn new(server: &Arc<Server>, endpoint: Endpoint) -> Self {
        Self {
            handle: server.clients.register(endpoint, now_ms()),
            server: Arc::clone(server),
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.server.clients.remove(self.handle.id);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(&mut self) -> std::io::Result<End> {
        let handle = Arc::clone(&self.session.handle);
        let mut killed = pin!(handle.killed());
        let mut last_reads = LAST_READS;
        loop {
            self.input
                .reserve(self.missing.clamp(READ_BYTES, RESERVED_BYTES_MAX));
            let idle_limit = self.settings.timeout;
            let read = tokio::select! {
                // Reading first: what has arrived is answered even when the connection is to end.
                biased;
                read = read_some(&mut self.stream, &mut self.input, idle_limit) => read?,
                () = &mut killed => return Ok(End::Killed),
            };
            match read {
                None => return Ok(End::Idle),
                Some(0) => return Ok(End::Closed),
                Some(_) => {}
            }
            self.refresh_settings();
            let more = loop {
                let (next, more) = self.run_batch();
                if let Some(end) = self.send().await? {
                    return Ok(end);
                }
                if next == Next::Close {
                    // The peer sees an orderly end after the last reply.
                    self.stream.shutdown().await?;
                    return Ok(End::Closed);
                }
                if !more {
                    break self.input.len();
                }
            };
            if more > self.settings.client_query_buffer_limit {
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

    fn refresh_settings(&mut self) {
        let version = self.server.config.version();
        if version != self.settings_version {
            self.settings_version = version;
            self.settings = self.server.config.settings();
        }
    }

    /// Runs the requests that have arrived in whole. The second value tells that some are left, since the output is
    /// large enough to be sent first.
    fn run_batch(&mut self) -> (Next, bool) {
        self.dispatcher.begin(&self.session);
        let output_before = self.out.bytes.len();
        let mut consumed_all = 0;
        let mut next = Next::Continue;
        let mut more = false;
        self.missing = 0;
        while next == Next::Continue {
            if self.out.bytes.len() > OUTPUT_BYTES_PER_FLUSH {
                more = true;
                break;
            }
            let input = &self.input[consumed_all..];
            let limits = RequestLimits {
                bulk_bytes_max: self.settings.proto_max_bulk_len,
                authenticated: self.session.authenticated,
            };
            match self.parser.parse(input, limits) {
                Ok(Parsed::Request { consumed }) => {
                    consumed_all += consumed;
                    let args = Args::new(input, self.parser.words());
                    next = self.dispatcher.execute(
                        &self.keyspace,
                        &self.server,
                        &mut self.session,
                        args,
                        &mut self.out,
                    );
                }
                Ok(Parsed::Inline { consumed }) => {
                    consumed_all += consumed;
                    let args = OwnedArgs::new(self.parser.inline());
                    next = self.dispatcher.execute(
                        &self.keyspace,
                        &self.server,
                        &mut self.session,
                        args.args(),
                        &mut self.out,
                    );
                }
                Ok(Parsed::Nothing { consumed }) => consumed_all += consumed,
                Ok(Parsed::Incomplete { missing }) => {
                    self.missing = missing;
                    break;
                }
                Err(error) => {
                    tracing::debug!(client = %self.session.handle.addr, %error, "protocol error");
                    self.out.error(&error.to_string());
                    next = Next::Close;
                }
            }
        }
        self.input.advance(consumed_all);
        let written = self.out.bytes.len() - output_before;
        self.dispatcher.end(&self.server, consumed_all, written);
        self.note_state();
        (next, more)
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
    async fn send(&mut self) -> std::io::Result<Option<End>> {
        if let Err(error) = self.keyspace.commit() {
            tracing::error!(%error, "the pool did not take a commit: a client is closed unanswered");
            return Ok(Some(End::StoreFailed));
        }
        if self.out.bytes.is_empty() {
            return Ok(None);
        }
        let limit = self.settings.client_output_buffer_limits.normal;
        let bytes = self.out.bytes.len();
        if limit.hard_bytes > 0 && bytes as u64 > limit.hard_bytes {
            return Ok(Some(End::OutputLimit));
        }
        let handle = &self.session.handle;
        let killed = async {
            handle.killed().await;
            if handle.drains() {
                // The last replies may still go; the server waits for them only so long.
                std::future::pending::<()>().await;
            }
        };
        let sent = tokio::select! {
            biased;
            sent = write_within(&mut self.stream, &mut self.out.bytes, limit) => sent?,
            () = killed => return Ok(Some(End::Killed)),
        };
        if !sent {
            return Ok(Some(End::OutputLimit));
        }
        self.session
            .handle
            .output_buffer_bytes
            .store(0, Ordering::Relaxed);
        if self.out.bytes.capacity() > KEPT_BUFFER_BYTES {
            self.out.bytes = BytesMut::new();
        }
        if self.input.is_empty() && self.input.capacity() > KEPT_BUFFER_BYTES {
            self.input = BytesMut::with_capacity(READ_BYTES);
        }
        Ok(None)
    }
}

/// Reads what there is; `None` where nothing came within the limit.
async fn read_some<S: AsyncRead + Unpin>(
    stream: &mut S,
    input: &mut BytesMut,
    limit: Option<std::time::Duration>,
) -> std::io::Result<Option<usize>> {
    match limit {
        None => stream.read_buf(input).await.map(Some),
        Some(limit) => match timeout(limit, stream.read_buf(input)).await {
            Ok(read) => read.map(Some),
            Err(_) => Ok(None),
        },
    }
}

/// Writes everything and empties `bytes`; `false` where more than the soft limit stayed unsent for its time.
async fn write_within<S: AsyncWrite + Unpin>(
    stream: &mut S,
    bytes: &mut BytesMut,
    limit: OutputBufferLimit,
) -> std::io::Result<bool> {
    let soft = limit.soft_bytes > 0 && bytes.len() as u64 > limit.soft_bytes;
    if soft && !limit.soft_time.is_zero() {
        let Ok(written) = timeout(limit.soft_time, stream.write_all(bytes)).await else {
            return Ok(false);
        };
        written?;
    } else {
        stream.write_all(bytes).await?;
    }
    bytes.clear();
    Ok(true)
}

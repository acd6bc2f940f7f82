//! How a connection sends its output: it commits, keeps the client's output limit, and sends. At its end it delivers
//! what still waits.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::unsent::{Progress, UNCOUNTED_BYTES};
use super::{Connection, End, KEPT_BUFFER_BYTES, READ_BYTES, Stream};
use crate::config::OutputBufferLimit;
use crate::state::monitors;

/// How long a stopping server waits for a client that takes none of its last replies.
const LAST_REPLIES_TIME: Duration = Duration::from_millis(500);

/// How long a connection that a command closed goes on dropping what its client sends.
const LINGER_TIME_MAX: Duration = Duration::from_millis(500);

impl Connection {
    /// The limit of output that waits for this client.
    fn output_limit(&self) -> OutputBufferLimit {
        let limits = &self.settings.client_output_buffer_limits;
        if self.session.monitors {
            monitors::limit(limits)
        } else if self.session.handle.is_subscriber() {
            limits.pubsub
        } else {
            limits.normal
        }
    }

    /// Sets the limit that the output must keep while it grows. Returns how many bytes to gather before a send.
    pub(super) fn limit_output(&mut self, gathered_max: usize) -> usize {
        let hard_bytes = self.output_limit().hard_bytes;
        if hard_bytes == 0 {
            self.out.set_limit(usize::MAX);
            return gathered_max;
        }
        let hard_bytes = usize::try_from(hard_bytes.max(UNCOUNTED_BYTES)).unwrap_or(usize::MAX);
        self.out
            .set_limit(hard_bytes.saturating_sub(self.unsent.bytes()));
        // A client that reads its replies must not reach the limit only because the connection gathers them.
        gathered_max.min(hard_bytes / 2)
    }

    /// Makes durable whatever the gathered replies acknowledge, and then sends them. What the stream does not take at
    /// once waits for the client. Returns `Some` if the connection must end.
    pub(super) async fn send<S: Stream>(&mut self, stream: &mut S) -> Option<End> {
        if !std::mem::take(&mut self.is_committed)
            && let Err(error) = self.keyspace.commit()
        {
            tracing::error!(%error, "the pool refused a commit: the server disconnects a client without a reply");
            return Some(End::StoreFailed);
        }
        if self.out.is_overflown() {
            return Some(End::OutputLimit);
        }
        if self.out.is_empty() {
            return None;
        }
        let limit = self.output_limit();
        let bytes = self.unsent.bytes() + self.out.len();
        if !self.unsent.is_lost() && self.unsent.is_beyond(limit, bytes) {
            return Some(End::OutputLimit);
        }
        if self.out.has_grown(KEPT_BUFFER_BYTES) {
            // Sending frees the grown buffer.
            let stats = &self.server.stats;
            stats.reply_buffer_expands.fetch_add(1, Ordering::Relaxed);
            stats.reply_buffer_shrinks.fetch_add(1, Ordering::Relaxed);
        }
        self.unsent.send(stream, &mut self.out).await;
        self.stripe().add_write();
        self.note_unsent();
        None
    }

    /// Counts a write of waiting output.
    pub(super) fn has_written(&mut self) {
        self.stripe().add_write();
        self.note_unsent();
    }

    /// Publishes how much output waits, for CLIENT LIST and its like.
    fn note_unsent(&mut self) {
        let limit = self.output_limit();
        self.unsent.is_beyond(limit, self.unsent.bytes());
        let handle = &self.session.handle;
        handle
            .output_buffer_bytes
            .store(self.out.len(), Ordering::Relaxed);
        handle
            .unsent_bytes
            .store(self.unsent.bytes(), Ordering::Relaxed);
        handle
            .unsent_buffers
            .store(self.unsent.buffers(), Ordering::Relaxed);
    }

    /// When and how the connection ends if nothing happens before.
    pub(super) fn deadline(&self, idle_limit: Option<Duration>) -> Option<(Instant, End)> {
        let soft = self.unsent.soft_deadline(self.output_limit());
        let idle = idle_limit.and_then(|limit| Instant::now().checked_add(limit));
        match (soft, idle) {
            (Some(soft), Some(idle)) if idle < soft => Some((idle, End::Idle)),
            (Some(soft), _) => Some((soft, End::OutputLimit)),
            (None, idle) => Some((idle?, End::Idle)),
        }
    }

    /// Delivers the waiting output, unless `end` forbids it. Returns how the connection ended.
    ///
    /// It runs no more requests. If a command closed the connection it reads and drops the input, because a client may
    /// read nothing before it has sent its whole pipeline.
    pub(super) async fn finish<S>(&mut self, stream: &mut S, end: End) -> io::Result<End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handle = std::sync::Arc::clone(&self.session.handle);
        let delivers = match end {
            End::Closed | End::Left => true,
            End::Killed => handle.drains(),
            _ => false,
        };
        if !delivers {
            return Ok(end);
        }
        if !self.unsent.is_empty() {
            // A client that leaves must not take elements from others, nor get messages.
            self.session.withdraw(&self.server, &self.keyspace);
        }
        let mut reads = end == End::Closed;
        let mut dropped_bytes = 0;
        let mut idle_since = Instant::now();
        while !self.unsent.is_empty() {
            let killed = handle.is_killed();
            if killed && !handle.drains() {
                return Ok(End::Killed);
            }
            let patience = if killed {
                Some(LAST_REPLIES_TIME)
            } else {
                self.settings.timeout
            };
            let idle = patience.and_then(|patience| idle_since.checked_add(patience));
            let soft = self.unsent.soft_deadline(self.output_limit());
            self.input.clear();
            self.input.reserve(READ_BYTES);
            let input = reads.then_some(&mut self.input);
            let unsent_bytes = self.unsent.bytes();
            tokio::select! {
                biased;
                progress = self.unsent.progress(stream, input) => match progress {
                    Ok(Progress::Wrote) => {}
                    Ok(Progress::Read(0)) | Err(_) => reads = false,
                    Ok(Progress::Read(bytes)) => dropped_bytes += bytes,
                },
                () = handle.killed(), if !killed => {}
                () = until(soft) => return Ok(End::OutputLimit),
                () = until(idle) => return Ok(if killed { End::Killed } else { End::Idle }),
            }
            if self.unsent.bytes() != unsent_bytes {
                idle_since = Instant::now();
                self.has_written();
            }
            if dropped_bytes > self.settings.client_query_buffer_limit {
                return Ok(End::QueryLimit);
            }
            tokio::task::yield_now().await;
        }
        if end == End::Closed {
            // The peer sees an orderly end after the last reply.
            stream.shutdown().await?;
            if reads && dropped_bytes > 0 {
                self.drop_input(stream, dropped_bytes).await;
            }
        }
        Ok(end)
    }

    /// Reads and drops what the client still sends after its last reply, until it closes.
    ///
    /// A socket that closes with unread input resets the connection, and the kernel then drops replies that the client has
    /// not read yet.
    async fn drop_input<S>(&mut self, stream: &mut S, mut dropped_bytes: usize)
    where
        S: AsyncRead + Unpin,
    {
        let handle = std::sync::Arc::clone(&self.session.handle);
        let deadline = Instant::now() + LINGER_TIME_MAX;
        while dropped_bytes <= self.settings.client_query_buffer_limit {
            self.input.clear();
            self.input.reserve(READ_BYTES);
            tokio::select! {
                biased;
                read = stream.read_buf(&mut self.input) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(bytes) => dropped_bytes += bytes,
                },
                () = handle.killed() => return,
                () = until(Some(deadline)) => return,
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Returns at that time; never for `None`.
pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

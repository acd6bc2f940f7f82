//! Output that a client has not taken yet. It is written beside the reading of more requests: a client may send a whole
//! pipeline before it reads the first reply.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::{Connection, End, KEPT_BUFFER_BYTES, READ_BYTES};
use crate::config::OutputBufferLimit;
use crate::protocol::ReplyBuffer;
use crate::state::monitors;

/// Output below this never closes a client, whatever its limit: Redis does not count its reply buffer of this size.
const UNCOUNTED_BYTES: u64 = 16 * 1024;

/// Pieces of output smaller than this are put together.
const PIECE_BYTES: usize = 16 * 1024;

/// Buffers that one write takes at most.
const BUFFERS_PER_WRITE: usize = 16;

/// The least time that a soft limit gives. Redis counts whole seconds.
const SOFT_TIME_MIN: Duration = Duration::from_secs(1);

/// A server that stops waits as long for a client that takes nothing of its last replies.
const LAST_REPLIES_TIME: Duration = Duration::from_millis(500);

/// Committed output that waits for its client, in the order of sending.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    buffers: VecDeque<BytesMut>,
    bytes: usize,
    /// The stream may hold back a part of what was written: one that encrypts does until it is flushed.
    unflushed: bool,
    /// The client takes no more output. What it had sent before it went still runs.
    lost: bool,
    over_soft_since: Option<Instant>,
}

/// What one wait for a stream came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// So many bytes were read; 0 at the end of the input.
    Read(usize),
    /// Output was written, and nothing was there to be read.
    Wrote,
}

impl Unsent {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn buffers(&self) -> usize {
        self.buffers.len()
    }

    /// Whether the stream has taken all output.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0 && !self.unflushed
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Writes what the stream takes at once of the output that waits and of `out`, which is empty then.
    pub(super) async fn send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        out: &mut ReplyBuffer,
    ) {
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.poll_send(stream, out, cx) {
                self.lose(&error);
                out.clear(KEPT_BUFFER_BYTES);
            }
            Poll::Ready(())
        })
        .await;
    }

    fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        out: &mut ReplyBuffer,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // The usual case is one write of one small buffer, which `out` keeps.
        if let Some(bytes) = out.in_one()
            && self.bytes == 0
            && !self.lost
        {
            match Pin::new(&mut *stream).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    self.unflushed = true;
                    if written == bytes.len() {
                        out.clear(KEPT_BUFFER_BYTES);
                        return self.poll_flush(stream, cx);
                    }
                    out.tail_mut().advance(written);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
            self.queue(out);
            return Poll::Pending;
        }
        self.queue(out);
        self.poll_write(stream, cx)
    }

    /// Waits until output can be written or input is there: `None` where none is wanted.
    pub(super) async fn turn<S>(
        &mut self,
        stream: &mut S,
        mut input: Option<&mut BytesMut>,
    ) -> io::Result<Turn>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        poll_fn(|cx| {
            let written = if self.is_empty() {
                Poll::Pending
            } else {
                self.poll_write(stream, cx)
            };
            if let Poll::Ready(Err(error)) = &written {
                self.lose(error);
            }
            if let Some(input) = &mut input
                && let Poll::Ready(read) = pin!(stream.read_buf(&mut **input)).poll(cx)
            {
                return Poll::Ready(read.map(Turn::Read));
            }
            written.map(|_| Ok(Turn::Wrote))
        })
        .await
    }

    /// Writes once, or flushes where everything is written.
    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes > 0 {
            let slices: SmallVec<[IoSlice<'_>; BUFFERS_PER_WRITE]> = (self.buffers.iter())
                .take(BUFFERS_PER_WRITE)
                .map(|buffer| IoSlice::new(buffer))
                .collect();
            let written = Pin::new(&mut *stream).poll_write_vectored(cx, &slices);
            drop(slices);
            let written = ready!(written)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.forget(written);
            if self.bytes > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_flush(stream, cx)
    }

    fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(stream).poll_flush(cx));
        self.unflushed = false;
        Poll::Ready(flushed)
    }

    /// Drops the first bytes: they are written.
    fn forget(&mut self, mut bytes: usize) {
        self.bytes -= bytes;
        while let Some(first) = self.buffers.front_mut() {
            if bytes < first.len() {
                first.advance(bytes);
                break;
            }
            bytes -= first.len();
            self.buffers.pop_front();
        }
    }

    /// Moves all of `out` behind what waits. Room at the end of the last buffer is used first, so that buffers take
    /// hardly more memory than they hold bytes.
    fn queue(&mut self, out: &mut ReplyBuffer) {
        if self.lost {
            out.clear(KEPT_BUFFER_BYTES);
            return;
        }
        for buffer in out.take_full() {
            self.push(buffer);
        }
        let tail = out.tail_mut();
        if tail.len() >= PIECE_BYTES {
            self.push(std::mem::take(tail));
        } else if !tail.is_empty() {
            self.fill_last(tail);
            if !tail.is_empty() {
                let mut buffer = BytesMut::with_capacity(PIECE_BYTES);
                buffer.extend_from_slice(tail);
                self.push(buffer);
            }
        }
        out.clear(KEPT_BUFFER_BYTES);
    }

    fn push(&mut self, mut buffer: BytesMut) {
        self.fill_last(&mut buffer);
        if !buffer.is_empty() {
            self.bytes += buffer.len();
            self.buffers.push_back(buffer);
        }
    }

    fn fill_last(&mut self, from: &mut BytesMut) {
        if let Some(last) = self.buffers.back_mut() {
            let fitting = from.len().min(last.capacity() - last.len());
            last.extend_from_slice(&from[..fitting]);
            from.advance(fitting);
            self.bytes += fitting;
        }
    }

    /// The client takes no more output.
    fn lose(&mut self, error: &io::Error) {
        tracing::debug!(%error, "output lost");
        *self = Self {
            lost: true,
            ..Self::default()
        };
    }

    /// Whether so much output is beyond the hard limit, or has been beyond the soft one for its time: a client that sends
    /// without a pause gives no deadline a turn.
    fn is_beyond(&mut self, limit: OutputBufferLimit, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let is_over =
            |limit_bytes: u64| limit_bytes > 0 && bytes > limit_bytes.max(UNCOUNTED_BYTES);
        if is_over(limit.soft_bytes) {
            self.over_soft_since.get_or_insert_with(Instant::now);
        } else {
            self.over_soft_since = None;
        }
        let is_late = |deadline| deadline <= Instant::now();
        is_over(limit.hard_bytes) || self.soft_deadline(limit).is_some_and(is_late)
    }

    /// When the time at the soft limit is over.
    fn soft_deadline(&self, limit: OutputBufferLimit) -> Option<Instant> {
        let since = self.over_soft_since?;
        Some(since + limit.soft_time.max(SOFT_TIME_MIN))
    }
}

impl Connection {
    /// How much output may wait for this client.
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

    /// Has the output keep the limit while it grows; returns how many bytes are gathered before they are sent.
    pub(super) fn limit_output(&mut self, gathered_max: usize) -> usize {
        let hard_bytes = self.output_limit().hard_bytes;
        if hard_bytes == 0 {
            self.out.set_limit(usize::MAX);
            return gathered_max;
        }
        let hard_bytes = usize::try_from(hard_bytes.max(UNCOUNTED_BYTES)).unwrap_or(usize::MAX);
        self.out
            .set_limit(hard_bytes.saturating_sub(self.unsent.bytes()));
        // Replies of a client that reads must not reach the limit only because they are gathered.
        gathered_max.min(hard_bytes / 2)
    }

    /// Makes everything durable that the gathered replies tell of, and then sends them: what the stream does not take at
    /// once waits for the client. `Some` where the connection ends.
    pub(super) async fn send<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Option<End> {
        if let Err(error) = self.keyspace.commit() {
            tracing::error!(%error, "the pool did not take a commit: a client is closed unanswered");
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
            // Sending gives the grown buffer back.
            let stats = &self.server.stats;
            stats.reply_buffer_expands.fetch_add(1, Ordering::Relaxed);
            stats.reply_buffer_shrinks.fetch_add(1, Ordering::Relaxed);
        }
        self.unsent.send(stream, &mut self.out).await;
        self.stripe().add_write();
        self.note_unsent();
        None
    }

    /// Called when a part of the output that waited was written.
    pub(super) fn has_written(&mut self) {
        self.stripe().add_write();
        self.note_unsent();
    }

    /// Shows to others how much output waits.
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

    /// When the connection ends if nothing moves before, and how.
    pub(super) fn deadline(&self, idle_limit: Option<Duration>) -> Option<(Instant, End)> {
        let soft = self.unsent.soft_deadline(self.output_limit());
        let idle = idle_limit.and_then(|limit| Instant::now().checked_add(limit));
        match (soft, idle) {
            (Some(soft), Some(idle)) if idle < soft => Some((idle, End::Idle)),
            (Some(soft), _) => Some((soft, End::OutputLimit)),
            (None, idle) => Some((idle?, End::Idle)),
        }
    }

    /// Delivers what waits before the connection ends as `end` says; returns how it ended.
    ///
    /// Nothing that comes in is run any more. Where a command closed the connection the input is read and dropped, since a
    /// client that has still to send the end of its pipeline reads nothing before.
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
            // A client that is going must not take anything away from others, nor hear of anything.
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
                turn = self.unsent.turn(stream, input) => match turn {
                    Ok(Turn::Wrote) => {}
                    Ok(Turn::Read(0)) | Err(_) => reads = false,
                    Ok(Turn::Read(bytes)) => dropped_bytes += bytes,
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
        }
        Ok(end)
    }
}

/// Returns at that time, or never.
pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;

    /// Sends through a pipe that holds 1,000 bytes, and reads it empty whenever it is full.
    #[tokio::test]
    async fn what_a_stream_does_not_take_follows_in_order() -> io::Result<()> {
        let (mut stream, mut peer) = tokio::io::duplex(1000);
        let mut unsent = Unsent::default();
        let mut out = ReplyBuffer::new(Protocol::Resp2);
        let (mut sent, mut read) = (Vec::new(), BytesMut::new());
        for n in 0..200u8 {
            // Small ones, which are put together, and ones that fill buffers of their own.
            let piece = vec![n; usize::from(n % 5) * 9_000 + 10];
            out.put(&piece);
            sent.extend_from_slice(&piece);
            unsent.send(&mut stream, &mut out).await;
            assert!(out.is_empty());
            assert!(read.len() + 1000 >= sent.len() - unsent.bytes());
            // The runtime lets a task do so much and no more before it yields.
            tokio::task::yield_now().await;
            if n % 3 == 0 {
                peer.read_buf(&mut read).await?;
            }
        }
        assert!(unsent.buffers() > 1);
        let spare: usize = (unsent.buffers.iter())
            .map(|buffer| buffer.capacity() - buffer.len())
            .sum();
        assert!(spare < unsent.bytes() / 4, "{spare} of {}", unsent.bytes());
        while !unsent.is_empty() {
            let turn = unsent.turn(&mut stream, None);
            tokio::select! {
                turn = turn => assert_eq!(turn?, Turn::Wrote),
                read = peer.read_buf(&mut read) => assert!(read? > 0),
            }
        }
        assert_eq!((unsent.bytes(), unsent.buffers()), (0, 0));
        while read.len() < sent.len() {
            peer.read_buf(&mut read).await?;
        }
        assert!(read == sent);
        Ok(())
    }

    #[tokio::test]
    async fn input_is_read_while_output_waits_and_after_it_is_lost() -> io::Result<()> {
        let (mut stream, mut peer) = tokio::io::duplex(1000);
        let mut unsent = Unsent::default();
        let mut out = ReplyBuffer::new(Protocol::Resp2);
        let mut input = BytesMut::with_capacity(100);
        out.put(&[1; 5000]);
        unsent.send(&mut stream, &mut out).await;
        assert_eq!(unsent.bytes(), 4000);
        peer.write_all(b"request").await?;
        assert_eq!(
            unsent.turn(&mut stream, Some(&mut input)).await?,
            Turn::Read(7)
        );
        peer.write_all(b"last").await?;
        drop(peer);
        assert_eq!(
            unsent.turn(&mut stream, Some(&mut input)).await?,
            Turn::Read(4)
        );
        assert!(unsent.is_lost() && unsent.is_empty());
        out.put(b"reply");
        unsent.send(&mut stream, &mut out).await;
        assert!(out.is_empty() && unsent.is_empty());
        Ok(())
    }

    #[test]
    fn limits() {
        let mut unsent = Unsent::default();
        let limit = OutputBufferLimit {
            hard_bytes: 1_000_000,
            soft_bytes: 100_000,
            soft_time: Duration::ZERO,
        };
        for (bytes, is_beyond, is_over_soft) in [
            (100_000, false, false),
            (100_001, false, true),
            (1_000_000, false, true),
            (1_000_001, true, true),
            (0, false, false),
        ] {
            assert_eq!(unsent.is_beyond(limit, bytes), is_beyond, "{bytes}");
            assert_eq!(
                unsent.soft_deadline(limit).is_some(),
                is_over_soft,
                "{bytes}"
            );
        }
        unsent.over_soft_since = Instant::now().checked_sub(Duration::from_secs(2));
        assert!(unsent.is_beyond(limit, 100_001));
        let least = OutputBufferLimit {
            hard_bytes: 1,
            soft_bytes: 0,
            ..limit
        };
        assert!(!unsent.is_beyond(least, 16 * 1024) && unsent.is_beyond(least, 16 * 1024 + 1));
    }
}

//! Output that a client has not taken yet. The connection writes it while it reads more requests, because a client may
//! send a whole pipeline before it reads the first reply.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::Instant;

use super::{KEPT_BUFFER_BYTES, Stream};
use crate::config::OutputBufferLimit;
use crate::protocol::ReplyBuffer;

/// Less output than this never closes a client, whatever its limit: Redis does not count its reply buffer of this size.
pub(super) const UNCOUNTED_BYTES: u64 = 16 * 1024;

/// Smaller pieces of output are copied into a common buffer.
const PIECE_BYTES: usize = 16 * 1024;

/// The most buffers that one write takes.
const BUFFERS_PER_WRITE: usize = 16;

/// The shortest time of a soft limit. Redis counts whole seconds.
const SOFT_TIME_MIN: Duration = Duration::from_secs(1);

/// Committed output that waits for its client, in order.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    buffers: VecDeque<BytesMut>,
    bytes: usize,
    /// The stream may hold back written bytes until a flush, as a TLS stream does.
    unflushed: bool,
    /// The client takes no more output. Requests that it sent before still run.
    lost: bool,
    over_soft_since: Option<Instant>,
}

/// What happened on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Bytes were read: how many, 0 at the end of the input.
    Read(usize),
    /// Output was written, and there was no input.
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

    /// Writes as much of the waiting output and of `out` as the stream takes at once. The rest waits; `out` is empty
    /// then.
    pub(super) async fn send<S: Stream>(&mut self, stream: &mut S, out: &mut ReplyBuffer) {
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.poll_send(stream, out, cx) {
                self.lose(&error);
                out.clear(KEPT_BUFFER_BYTES);
            }
            Poll::Ready(())
        })
        .await;
    }

    fn poll_send<S: Stream>(
        &mut self,
        stream: &mut S,
        out: &mut ReplyBuffer,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // The usual case: one write of one small buffer, which stays with `out`.
        if let Some(bytes) = out.in_one()
            && self.bytes == 0
            && !self.lost
        {
            let written = match stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Pin::new(&mut *stream).poll_write(cx, bytes)
                }
                written => Poll::Ready(written),
            };
            match written {
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

    /// Waits until it has written output or read `input`; with `None` it does not read.
    pub(super) async fn progress<S>(
        &mut self,
        stream: &mut S,
        mut input: Option<&mut BytesMut>,
    ) -> io::Result<Progress>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        poll_fn(|cx| self.poll_progress(stream, input.as_deref_mut(), cx)).await
    }

    /// [`progress`](Self::progress) as far as it comes without waiting.
    pub(super) fn poll_progress<S>(
        &mut self,
        stream: &mut S,
        input: Option<&mut BytesMut>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Progress>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let written = if self.is_empty() {
            Poll::Pending
        } else {
            self.poll_write(stream, cx)
        };
        if let Poll::Ready(Err(error)) = &written {
            self.lose(error);
        }
        if let Some(input) = input
            && let Poll::Ready(read) = pin!(stream.read_buf(input)).poll(cx)
        {
            return Poll::Ready(read.map(Progress::Read));
        }
        written.map(|_| Ok(Progress::Wrote))
    }

    /// Writes once, or flushes if everything is written.
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

    /// Drops the first bytes, which are written.
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

    /// Moves all of `out` to the end of the waiting output. It fills the last buffer first, so that buffers take hardly
    /// more memory than they hold bytes.
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

    /// Notes that the client takes no more output.
    fn lose(&mut self, error: &io::Error) {
        tracing::debug!(%error, "pending output was lost");
        *self = Self {
            lost: true,
            ..Self::default()
        };
    }

    /// Whether so much output is beyond the hard limit, or has been beyond the soft one for its time. The caller checks
    /// this before each send, because a client that sends without a pause keeps the connection from waiting for the
    /// deadline.
    pub(super) fn is_beyond(&mut self, limit: OutputBufferLimit, bytes: usize) -> bool {
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
    pub(super) fn soft_deadline(&self, limit: OutputBufferLimit) -> Option<Instant> {
        let since = self.over_soft_since?;
        Some(since + limit.soft_time.max(SOFT_TIME_MIN))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream, UnixStream};

    use super::*;
    use crate::protocol::Protocol;

    /// Sends through a pipe that holds 1,000 bytes, and empties it now and then.
    #[tokio::test]
    async fn what_a_stream_does_not_take_follows_in_order() -> io::Result<()> {
        let (mut stream, mut peer) = tokio::io::duplex(1000);
        let mut unsent = Unsent::default();
        let mut out = ReplyBuffer::new(Protocol::Resp2);
        let (mut sent, mut read) = (Vec::new(), BytesMut::new());
        for n in 0..200u8 {
            // Small pieces share a buffer; large ones fill buffers of their own.
            let piece = vec![n; usize::from(n % 5) * 9_000 + 10];
            out.put(&piece);
            sent.extend_from_slice(&piece);
            unsent.send(&mut stream, &mut out).await;
            assert!(out.is_empty());
            assert!(read.len() + 1000 >= sent.len() - unsent.bytes());
            // Yields, because the runtime limits how much a task may do at once.
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
            let progress = unsent.progress(&mut stream, None);
            tokio::select! {
                progress = progress => assert_eq!(progress?, Progress::Wrote),
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

    /// What a client sees that reads nothing for a while: the socket's buffers fill, and later it gets all in order.
    async fn fill_and_empty<S: Stream>(
        mut stream: S,
        mut peer: impl AsyncRead + Unpin,
    ) -> io::Result<()> {
        let (mut unsent, mut out) = (Unsent::default(), ReplyBuffer::new(Protocol::Resp2));
        let (mut sent, mut read) = (Vec::new(), BytesMut::new());
        let mut pieces_behind = 0;
        for n in 0u32.. {
            let piece = [n.to_le_bytes(); 1500].concat();
            out.put(&piece);
            sent.extend_from_slice(&piece);
            unsent.send(&mut stream, &mut out).await;
            assert!(out.is_empty() && !unsent.is_lost());
            tokio::task::yield_now().await;
            pieces_behind += u32::from(!unsent.is_empty());
            if pieces_behind == 50 {
                break;
            }
        }
        while read.len() < sent.len() {
            tokio::select! {
                progress = unsent.progress(&mut stream, None), if !unsent.is_empty() => assert_eq!(progress?, Progress::Wrote),
                read = peer.read_buf(&mut read) => assert!(read? > 0),
            }
        }
        assert!(read == sent && unsent.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_full_socket_gets_the_rest_later() -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        fill_and_empty(stream, listener.accept().await?.0).await?;
        let (stream, peer) = UnixStream::pair()?;
        fill_and_empty(stream, peer).await
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
            unsent.progress(&mut stream, Some(&mut input)).await?,
            Progress::Read(7)
        );
        peer.write_all(b"last").await?;
        drop(peer);
        assert_eq!(
            unsent.progress(&mut stream, Some(&mut input)).await?,
            Progress::Read(4)
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

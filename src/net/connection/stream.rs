//! What a connection asks of its client's stream.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::net::tls_stream::TlsClient;

/// A client's stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Writes as much of `bytes` as the stream takes at once; the caller asks for no waking. Fails with `WouldBlock` where
    /// only [`poll_write`](AsyncWrite::poll_write) can tell how much that is.
    ///
    /// A reply nearly always fits, and for a socket this takes half the instructions of `poll_write`.
    fn try_write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Stream for TcpStream {
    #[inline]
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        TcpStream::try_write(self, bytes)
    }
}

impl Stream for UnixStream {
    #[inline]
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        UnixStream::try_write(self, bytes)
    }
}

/// Its first write makes the handshake, and each of its writes may need another.
impl Stream for TlsClient {}

#[cfg(test)]
impl Stream for tokio::io::DuplexStream {}

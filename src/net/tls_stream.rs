//! A client's TLS stream. Its first read or write makes the handshake, so that the worker spends the time for it and
//! not the thread that accepts clients.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::tls::in_words;

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// A client's TLS stream.
pub struct TlsClient {
    state: State,
    /// The client's address, for the log.
    addr: String,
}

enum State {
    Handshake(Box<Accept<TcpStream>>, Pin<Box<Sleep>>),
    Open(Box<TlsStream<TcpStream>>),
    Failed,
}

impl TlsClient {
    /// A stream that waits for the handshake, whose time begins now. The caller runs on the thread whose event loop has
    /// `stream`.
    pub fn new(stream: TcpStream, config: Arc<ServerConfig>, addr: String) -> Self {
        let accept = TlsAcceptor::from(config).accept(stream);
        Self {
            state: State::Handshake(Box::new(accept), Box::pin(sleep(HANDSHAKE_TIME))),
            addr,
        }
    }

    /// The stream, once the handshake is done.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut TlsStream<TcpStream>>> {
        if let State::Handshake(accept, limit) = &mut self.state {
            let done = match Pin::new(&mut **accept).poll(cx) {
                Poll::Ready(done) => done,
                Poll::Pending if limit.as_mut().poll(cx).is_pending() => return Poll::Pending,
                Poll::Pending => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the handshake took too long",
                )),
            };
            match done {
                Ok(stream) => self.state = State::Open(Box::new(stream)),
                Err(error) => {
                    self.state = State::Failed;
                    let reason = reason(&error);
                    tracing::warn!(client = %self.addr, reason, "the server refused a TLS client");
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(match &mut self.state {
            State::Open(stream) => Ok(stream),
            State::Handshake(..) | State::Failed => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

/// Why a handshake failed, in words for an operator.
fn reason(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match tls {
        Some(rustls::Error::InvalidMessage(_)) => {
            "what it sends is not TLS: perhaps a client without TLS on tls-port".to_owned()
        }
        Some(error) => in_words(error),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it went away during the handshake".to_owned()
        }
        _ => error.to_string(),
    }
}

impl AsyncRead for TlsClient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = std::task::ready!(self.poll_open(cx))?;
        if stream.get_ref().1.wants_write() {
            // A full socket may not have taken all records. Write the rest here too, so that it does not wait for a
            // write.
            if let Poll::Ready(Err(error)) = Pin::new(&mut *stream).poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
        }
        Pin::new(stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsClient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = std::task::ready!(self.poll_open(cx))?;
        Pin::new(stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = std::task::ready!(self.poll_open(cx))?;
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = std::task::ready!(self.poll_open(cx))?;
        Pin::new(stream).poll_shutdown(cx)
    }
}

impl Drop for TlsClient {
    /// Sends the client an orderly end of TLS, if the socket takes it at once.
    fn drop(&mut self) {
        if let State::Open(stream) = &mut self.state {
            let (socket, session) = stream.get_mut();
            session.send_close_notify();
            let mut last = Vec::new();
            if session.write_tls(&mut last).is_ok() {
                let _ = socket.try_write(&last);
            }
        }
    }
}

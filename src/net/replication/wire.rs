//! The connection to a master. The thread of the link waits here, and nowhere else, for the network: each wait ends when
//! another decision is made whom to follow, when the link is killed, and when the server stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::LinkError;
use crate::config::{Master, Settings};
use crate::net::listener::keep_alive;
use crate::state::{ClientHandle, Server};
use crate::tls;

/// How much is read at once.
pub(super) const READ_BYTES: usize = 256 * 1024;

/// The longest line of an answer.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A TCP stream, or TLS on one.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What ends a wait.
pub(super) struct Ends {
    runtime: Runtime,
    server: Arc<Server>,
    decisions: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
}

impl Ends {
    pub(super) fn new(server: &Arc<Server>) -> io::Result<Self> {
        Ok(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            decisions: server.replication.decisions(),
            shutdown: server.shutdown.subscribe(),
            server: Arc::clone(server),
        })
    }

    /// Waits for `done`, for `limit` at most. From `decision` on no other one may have been made.
    fn wait<T>(
        &mut self,
        (decision, limit): (u64, Duration),
        killed: Option<&ClientHandle>,
        done: impl Future<Output = io::Result<T>>,
    ) -> Result<T, LinkError> {
        let killed = async {
            match killed {
                Some(handle) => handle.killed().await,
                None => std::future::pending().await,
            }
        };
        let (decisions, shutdown) = (&mut self.decisions, &mut self.shutdown);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|&stops| stops) => Err(LinkError::Stopping),
                _ = decisions.wait_for(|&last| last != decision) => Err(LinkError::Decided),
                () = killed => Err(LinkError::Killed),
                done = timeout(limit, done) => match done {
                    Ok(done) => Ok(done?),
                    Err(_) => Err(LinkError::Timeout),
                },
            }
        })
    }

    /// Waits until another decision than `decision` is made; returns whether the server goes on.
    pub(super) fn wait_for_decision(&mut self, decision: u64) -> bool {
        const LONG: Duration = Duration::from_secs(3600);
        loop {
            match self.wait::<()>((decision, LONG), None, std::future::pending()) {
                Err(LinkError::Decided) => return true,
                Err(LinkError::Stopping) => return false,
                _ => {}
            }
        }
    }

    /// Rests, unless there is another decision than `decision`; returns whether the server goes on.
    pub(super) fn rest(&mut self, decision: u64, time: Duration) -> bool {
        let slept = async {
            sleep(time).await;
            Ok(())
        };
        let limit = time + Duration::from_secs(1);
        !matches!(
            self.wait((decision, limit), None, slept),
            Err(LinkError::Stopping)
        )
    }
}

/// A connection to a master.
pub(super) struct Wire<'e> {
    ends: &'e mut Ends,
    stream: Box<dyn Stream>,
    decision: u64,
    /// The link's entry in the list of clients.
    pub(super) handle: Option<Arc<ClientHandle>>,
    /// After so long a master that says nothing counts as gone.
    pub(super) limit: Duration,
    /// What has arrived, and where the rest of it begins.
    ahead: Vec<u8>,
    taken: usize,
    /// The addresses of both ends.
    pub(super) peer: String,
    pub(super) local: String,
}

impl<'e> Wire<'e> {
    /// Connects to a master.
    pub(super) fn connect(
        ends: &'e mut Ends,
        master: &Master,
        settings: &Settings,
        decision: u64,
    ) -> Result<Self, LinkError> {
        let limit = settings.replication.timeout;
        let connector = if settings.replication.tls {
            let config = tls::client_config(&settings.tls);
            Some(TlsConnector::from(
                config.map_err(|error| LinkError::Tls(error.to_string()))?,
            ))
        } else {
            None
        };
        let delays = settings.replication.delays_packets;
        let connected = async {
            let stream = TcpStream::connect((master.host.as_str(), master.port)).await?;
            stream.set_nodelay(!delays)?;
            keep_alive(&stream, settings)?;
            let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
            let stream: Box<dyn Stream> = match connector {
                None => Box::new(stream),
                Some(connector) => {
                    let name = tls::name_of(&master.host);
                    Box::new(
                        connector
                            .connect(name, stream)
                            .await
                            .map_err(|error| io::Error::other(format!("TLS: {error}")))?,
                    )
                }
            };
            Ok((stream, peer.to_string(), local.to_string()))
        };
        let (stream, peer, local) = ends.wait((decision, limit), None, connected)?;
        Ok(Self {
            ends,
            stream,
            decision,
            handle: None,
            limit,
            ahead: Vec::new(),
            taken: 0,
            peer,
            local,
        })
    }

    /// Appends what arrives next to `input`; returns how many bytes. `limit` ends the wait.
    pub(super) fn read(
        &mut self,
        input: &mut Vec<u8>,
        limit: Duration,
    ) -> Result<usize, LinkError> {
        let rest = self.take_ahead();
        if !rest.is_empty() {
            input.extend_from_slice(&rest);
            return Ok(rest.len());
        }
        input.reserve(READ_BYTES);
        let stream = &mut self.stream;
        let handle = self.handle.as_deref();
        let read = self
            .ends
            .wait((self.decision, limit), handle, stream.read_buf(input))?;
        if read == 0 {
            return Err(LinkError::Closed);
        }
        let figures = &self.ends.server.replication.figures;
        figures
            .input_bytes
            .fetch_add(read as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(read)
    }

    /// What has arrived and was not taken.
    pub(super) fn take_ahead(&mut self) -> Vec<u8> {
        let rest = self.ahead.split_off(self.taken);
        self.ahead.clear();
        self.taken = 0;
        rest
    }

    /// What has arrived; waits for more if there is nothing.
    pub(super) fn peek(&mut self) -> Result<&[u8], LinkError> {
        if self.taken == self.ahead.len() {
            let mut ahead = std::mem::take(&mut self.ahead);
            ahead.clear();
            self.taken = 0;
            let read = self.read(&mut ahead, self.limit);
            self.ahead = ahead;
            read?;
        }
        Ok(&self.ahead[self.taken..])
    }

    /// Takes bytes that [`peek`](Self::peek) has shown.
    pub(super) fn take(&mut self, bytes: usize) {
        self.taken += bytes;
    }

    /// Reads one line, without its end.
    pub(super) fn line(&mut self) -> Result<Vec<u8>, LinkError> {
        let mut line = Vec::new();
        loop {
            let there = self.peek()?;
            let end = memchr::memchr(b'\n', there);
            let bytes = end.map_or(there.len(), |end| end + 1);
            line.extend_from_slice(&there[..bytes]);
            self.take(bytes);
            if line.len() > LINE_BYTES_MAX {
                return Err(LinkError::Protocol("a line without an end".into()));
            }
            if end.is_some() {
                while line.pop_if(|byte| matches!(byte, b'\r' | b'\n')).is_some() {}
                return Ok(line);
            }
        }
    }

    /// Sends a call.
    pub(super) fn call(&mut self, words: &[&[u8]]) -> Result<(), LinkError> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.send(&bytes)
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        let stream = &mut self.stream;
        let sent = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        let handle = self.handle.as_deref();
        self.ends.wait((self.decision, self.limit), handle, sent)?;
        let figures = &self.ends.server.replication.figures;
        figures
            .output_bytes
            .fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

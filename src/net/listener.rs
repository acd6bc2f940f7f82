//! Accepts clients over TCP and a Unix socket, and gives them to the workers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::connection::{Registration, Stream};
use super::failures::Failures;
use super::tls_stream::TlsClient;
use super::workers::Workers;
use crate::config::Settings;
use crate::keyspace::Keyspace;
use crate::state::{Endpoint, Server};
use crate::system::{Change, Changes, ListenAddress, UnixSocket};

/// How many clients at once get a refusal over TLS. Each costs a handshake.
const REFUSALS_MAX: usize = 64;

/// Accepts clients until the server stops. `changes` brings the TCP sockets.
pub async fn accept(reception: Reception, unix: Option<UnixSocket>, mut changes: Changes) {
    let mut stopping = reception.server.shutdown.subscribe();
    let mut tcp = Vec::new();
    let unix = unix.map(|unix| {
        let reception = reception.clone();
        tokio::spawn(async move { accept_unix(&unix, &reception).await })
    });
    let stop = async move {
        // An error means that the sender is gone: then the server stops too.
        let _ = stopping.wait_for(|&stop| stop).await;
    };
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(change) = changes.recv() => follow(change, &mut tcp, &reception).await,
        }
    }
    for task in tcp.into_iter().map(|(_, task)| task).chain(unix) {
        end(task).await;
    }
    reception.server.ports.close();
}

/// Begins to accept on new sockets, and closes those that the settings name no more.
async fn follow(
    change: Change,
    tcp: &mut Vec<(ListenAddress, JoinHandle<()>)>,
    reception: &Reception,
) {
    for (at, listener) in change.opened {
        match TcpListener::from_std(listener) {
            Ok(listener) => {
                let reception = reception.clone();
                let accept = async move { accept_tcp(&listener, &reception, at.tls).await };
                tcp.push((at, tokio::spawn(accept)));
            }
            Err(error) => {
                tracing::error!(address = %at.address, %error, "the server could not accept connections on this address");
            }
        }
    }
    for at in change.closed {
        if let Some(place) = tcp.iter().position(|(open, _)| *open == at) {
            let (_, task) = tcp.swap_remove(place);
            end(task).await;
        }
    }
    // Dropping the sender tells CONFIG SET that the sockets are closed.
    drop(change.done);
}

/// Ends a task, and waits until it has dropped what it holds.
async fn end(task: JoinHandle<()>) {
    task.abort();
    // The error only says that the task was aborted.
    let _ = task.await;
}

/// What it takes to let a new client in, or to refuse it.
#[derive(Clone)]
pub struct Reception {
    /// The data.
    pub keyspace: Arc<Keyspace>,
    /// What all connections share.
    pub server: Arc<Server>,
    /// The threads that serve clients.
    pub workers: Arc<Workers>,
    /// How many more clients may get a refusal over TLS now.
    refusals: Arc<Semaphore>,
}

impl Reception {
    /// Gives its clients to `workers`.
    pub fn new(keyspace: Arc<Keyspace>, server: Arc<Server>, workers: Arc<Workers>) -> Self {
        Self {
            keyspace,
            server,
            workers,
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        }
    }
}

async fn accept_tcp(listener: &TcpListener, reception: &Reception, tls: bool) {
    let mut failures = Failures::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failures.end();
                reception.welcome_tcp(stream, peer, tls).await;
            }
            Err(error) => failures.pause_after(&error).await,
        }
    }
}

async fn accept_unix(unix: &UnixSocket, reception: &Reception) {
    let mut failures = Failures::default();
    loop {
        match unix.listener.accept().await {
            Ok((stream, _)) => {
                failures.end();
                reception.welcome_unix(stream, &unix.path).await;
            }
            Err(error) => failures.pause_after(&error).await,
        }
    }
}

impl Reception {
    async fn welcome_tcp(&self, stream: TcpStream, peer: SocketAddr, tls: bool) {
        if let Err(error) = set_options(&stream, &self.server.config.settings()) {
            tracing::debug!(%peer, %error, "socket options could not be set");
        }
        let laddr = stream
            .local_addr()
            .map_or_else(|_| String::new(), |address| address.to_string());
        let endpoint = Endpoint {
            addr: peer.to_string(),
            laddr,
            fd: stream.as_raw_fd(),
            unix: false,
        };
        let local = is_loopback(peer.ip());
        if tls {
            self.welcome_tls(stream, endpoint, local);
            return;
        }
        let leave = TcpStream::into_std;
        let join = TcpStream::from_std;
        self.welcome(stream, endpoint, local, leave, join).await;
    }

    /// Gives a TLS client to a worker before the handshake, which costs a millisecond and waits for the client.
    fn welcome_tls(&self, stream: TcpStream, endpoint: Endpoint, local: bool) {
        let server = &self.server;
        server
            .stats
            .connections_received
            .fetch_add(1, Ordering::Relaxed);
        let (Some(config), Ok(plain), Some(place)) =
            (server.tls.config(), stream.into_std(), self.workers.place())
        else {
            tracing::warn!(client = %endpoint.addr, "the server could not hand a client to a worker");
            return;
        };
        let addr = endpoint.addr.clone();
        let join = move |plain| Ok(TlsClient::new(TcpStream::from_std(plain)?, config, addr));
        match refusal(server, &server.config.settings(), local) {
            None => Registration::new(server, endpoint, place).start(plain, join, &self.keyspace),
            // Closes the socket without a word: a text would need a handshake.
            Some(MAXCLIENTS_REFUSAL) => {}
            Some(refusal) => {
                // If too many clients get a refusal now, close this one without a word.
                let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() else {
                    return;
                };
                let worker = place.runtime.clone();
                worker.spawn(async move {
                    if let Ok(mut stream) = join(plain) {
                        let _ = stream.write_all(refusal.as_bytes()).await;
                        let _ = stream.shutdown().await;
                    }
                    drop((permit, place));
                });
            }
        }
    }

    async fn welcome_unix(&self, stream: UnixStream, path: &Path) {
        let addr = format!("{}:0", path.display());
        let endpoint = Endpoint {
            laddr: addr.clone(),
            addr,
            fd: stream.as_raw_fd(),
            unix: true,
        };
        let leave = UnixStream::into_std;
        let join = UnixStream::from_std;
        self.welcome(stream, endpoint, true, leave, join).await;
    }

    /// Gives a client to a worker, or tells the client why not. `leave` takes its socket out of this thread's event
    /// loop, `join` puts it into the worker's.
    async fn welcome<S, Plain>(
        &self,
        mut stream: S,
        endpoint: Endpoint,
        local: bool,
        leave: impl FnOnce(S) -> io::Result<Plain>,
        join: impl FnOnce(Plain) -> io::Result<S> + Send + 'static,
    ) where
        S: Stream + Send + 'static,
        Plain: Send + 'static,
    {
        let server = &self.server;
        server
            .stats
            .connections_received
            .fetch_add(1, Ordering::Relaxed);
        if let Some(refusal) = refusal(server, &server.config.settings(), local) {
            // The text fits the empty buffer of a new socket, so this does not wait for the client to read it.
            let _ = stream.write_all(refusal.as_bytes()).await;
            let _ = stream.shutdown().await;
            return;
        }
        let (Ok(plain), Some(place)) = (leave(stream), self.workers.place()) else {
            tracing::warn!(client = %endpoint.addr, "the server could not hand a client to a worker");
            return;
        };
        // Registered here and not in the task, so that `maxclients` counts it when the next client comes.
        let registration = Registration::new(server, endpoint, place);
        registration.start(plain, join, &self.keyspace);
    }
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_loopback()
                || address
                    .to_ipv4_mapped()
                    .is_some_and(|address| address.is_loopback())
        }
    }
}

/// The refusal for a new client; `None` if the client may come in.
fn refusal(server: &Server, settings: &Settings, local: bool) -> Option<&'static str> {
    if server.clients.len() >= settings.maxclients {
        server
            .stats
            .connections_rejected
            .fetch_add(1, Ordering::Relaxed);
        return Some(MAXCLIENTS_REFUSAL);
    }
    let any_password = server.acl.default_user().rules().takes_any_password();
    (settings.protected_mode && any_password && !local).then_some(PROTECTED_MODE_REFUSAL)
}

const MAXCLIENTS_REFUSAL: &str = "-ERR max number of clients reached\r\n";

const PROTECTED_MODE_REFUSAL: &str = "-DENIED This server runs in protected mode and has no password: it answers \
    clients on its own machine only. To let others in, set a password with 'requirepass' (or CONFIG SET requirepass), \
    or, on a network that you trust, switch 'protected-mode' off.\r\n";

fn set_options(stream: &TcpStream, settings: &Settings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    keep_alive(stream, settings)
}

/// Has TCP ask a silent peer whether it is alive, as the settings say.
pub(super) fn keep_alive(stream: &TcpStream, settings: &Settings) -> io::Result<()> {
    if let Some(after) = settings.tcp_keepalive {
        // Redis asks three times, a third of the time apart.
        let keepalive = TcpKeepalive::new()
            .with_time(after)
            .with_interval((after / 3).max(std::time::Duration::from_secs(1)))
            .with_retries(3);
        SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}

//! Listening sockets: TCP and Unix.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::connection::Registration;
use super::tls_stream::TlsClient;
use super::workers::Workers;
use crate::config::{BindAddress, Settings};
use crate::keyspace::Keyspace;
use crate::state::{Endpoint, Server};

/// How many clients at once are told in TLS that they may not come in: each costs a handshake.
const REFUSALS_MAX: usize = 64;

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address of `bind` that is none.
    #[error("bind: '{0}' is not an IP address")]
    Address(String),
    /// A TCP socket.
    #[error("can't listen on {address}: {source}")]
    Tcp {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The Unix socket.
    #[error("can't listen on {}: {source}", path.display())]
    Unix {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Neither a port nor a Unix socket is configured.
    #[error("nothing to listen on: port and tls-port are 0 and there is no unixsocket")]
    Nowhere,
}

/// The sockets of a server.
#[derive(Debug)]
pub struct Listeners {
    tcp: Vec<TcpListener>,
    tls: Vec<TcpListener>,
    unix: Option<UnixSocket>,
}

#[derive(Debug)]
struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl Listeners {
    /// Opens every socket that the settings name.
    pub fn open(settings: &Settings) -> Result<Self, ListenError> {
        let backlog = settings.tcp_backlog;
        let tcp = listen_all(&settings.bind, settings.port, backlog)?;
        let tls = listen_all(&settings.bind, settings.tls.port, backlog)?;
        let unix = match &settings.unixsocket {
            None => None,
            Some(path) => Some(listen_unix(path, settings.unixsocketperm, backlog).map_err(
                |source| ListenError::Unix {
                    path: path.clone(),
                    source,
                },
            )?),
        };
        if tcp.is_empty() && tls.is_empty() && unix.is_none() {
            return Err(ListenError::Nowhere);
        }
        Ok(Self { tcp, tls, unix })
    }

    /// Where the server can be reached, for the log.
    pub fn addresses(&self) -> Vec<String> {
        let address = |listener: &TcpListener| Some(listener.local_addr().ok()?.to_string());
        let tls = self.tls.iter().filter_map(address);
        let tcp = self.tcp.iter().filter_map(address);
        tcp.chain(tls.map(|address| format!("{address} (TLS)")))
            .chain(self.unix.iter().map(|unix| unix.path.display().to_string()))
            .collect()
    }

    /// Accepts clients and gives them to the workers, until the server is told to stop.
    pub async fn accept(self, reception: Reception) {
        let mut stopping = reception.server.shutdown.subscribe();
        let mut tasks = tokio::task::JoinSet::new();
        for listener in self.tcp {
            let reception = reception.clone();
            tasks.spawn(async move { accept_tcp(&listener, &reception, false).await });
        }
        for listener in self.tls {
            let reception = reception.clone();
            tasks.spawn(async move { accept_tcp(&listener, &reception, true).await });
        }
        if let Some(unix) = self.unix {
            tasks.spawn(async move { accept_unix(&unix, &reception).await });
        }
        // An error means that the sender is gone, which is the end too.
        let _ = stopping.wait_for(|&stop| stop).await;
        tasks.shutdown().await;
    }
}

/// What new clients meet.
#[derive(Clone)]
pub struct Reception {
    /// The data.
    pub keyspace: Arc<Keyspace>,
    /// What all connections share.
    pub server: Arc<Server>,
    /// Who serves them.
    pub workers: Arc<Workers>,
    /// How many more clients may be told in TLS that they may not come in.
    refusals: Arc<Semaphore>,
}

impl Reception {
    /// For clients of `workers`.
    pub fn new(keyspace: Arc<Keyspace>, server: Arc<Server>, workers: Arc<Workers>) -> Self {
        Self {
            keyspace,
            server,
            workers,
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Somebody may have removed it and put a socket of another process there.
        let ours = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino()) == self.file;
        if std::fs::symlink_metadata(&self.path)
            .as_ref()
            .is_ok_and(ours)
        {
            // The name alone is left of a closed socket; failing to remove it harms nobody.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn ip_address(text: &str) -> Result<IpAddr, ListenError> {
    match text {
        "*" => Ok(IpAddr::from([0, 0, 0, 0])),
        "::*" => Ok(IpAddr::from([0u16; 8])),
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        other => other
            .parse()
            .map_err(|_| ListenError::Address(other.to_owned())),
    }
}

/// The address family or the address is not there on this machine.
fn is_unavailable(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || [
            nix::libc::EAFNOSUPPORT,
            nix::libc::EPROTONOSUPPORT,
            nix::libc::ENODEV,
        ]
        .contains(&error.raw_os_error().unwrap_or(0))
}

/// Listens on one port of all addresses; on none where the port is 0.
pub(super) fn listen_all(
    bind: &[BindAddress],
    port: u16,
    backlog: u32,
) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::new();
    for bind in bind.iter().filter(|_| port != 0) {
        let address = SocketAddr::new(ip_address(&bind.address)?, port);
        match listen_tcp(address, backlog) {
            Ok(listener) => listeners.push(listener),
            Err(error) if bind.optional && is_unavailable(&error) => {
                tracing::info!(%address, %error, "an optional address is not available");
            }
            Err(source) => return Err(ListenError::Tcp { address, source }),
        }
    }
    Ok(listeners)
}

fn listen_tcp(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

fn listen_unix(path: &Path, mode: Option<u32>, backlog: u32) -> io::Result<UnixSocket> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let metadata = std::fs::symlink_metadata(path)?;
    let file = (metadata.dev(), metadata.ino());
    if let Some(mode) = mode {
        // Before anybody can connect.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(UnixSocket {
        listener: UnixListener::from_std(socket.into())?,
        path: path.to_owned(),
        file,
    })
}

/// Removes a socket that an earlier process left behind. One that somebody listens on, and whatever is no socket, is not
/// ours to remove.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    let visitor = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full queue must not hold the start up.
    visitor.set_nonblocking(true)?;
    match visitor.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there",
        )),
    }
}

async fn accept_tcp(listener: &TcpListener, reception: &Reception, tls: bool) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => reception.welcome_tcp(stream, peer, tls).await,
            Err(error) => pause_after(&error).await,
        }
    }
}

async fn accept_unix(unix: &UnixSocket, reception: &Reception) {
    loop {
        match unix.listener.accept().await {
            Ok((stream, _)) => reception.welcome_unix(stream, &unix.path).await,
            Err(error) => pause_after(&error).await,
        }
    }
}

/// Out of file descriptors, most likely: trying again at once would only burn the core.
pub(super) async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
}

impl Reception {
    async fn welcome_tcp(&self, stream: TcpStream, peer: SocketAddr, tls: bool) {
        if let Err(error) = set_options(&stream, &self.server.config.settings()) {
            tracing::debug!(%peer, %error, "socket options");
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

    /// The handshake runs on the worker: it costs a millisecond, and waits for the client.
    fn welcome_tls(&self, stream: TcpStream, endpoint: Endpoint, local: bool) {
        let server = &self.server;
        server
            .stats
            .connections_received
            .fetch_add(1, Ordering::Relaxed);
        let (Some(config), Ok(plain), Some(place)) =
            (server.tls.config(), stream.into_std(), self.workers.place())
        else {
            tracing::warn!(client = %endpoint.addr, "a client could not be given to a worker");
            return;
        };
        let addr = endpoint.addr.clone();
        let join = move |plain| Ok(TlsClient::new(TcpStream::from_std(plain)?, config, addr));
        match refusal(server, &server.config.settings(), local) {
            None => Registration::new(server, endpoint, place).start(plain, join, &self.keyspace),
            // Before a handshake nothing can be said.
            Some(MAXCLIENTS_REFUSAL) => {}
            Some(refusal) => {
                // Where many are told at once the others are closed untold.
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

    /// Gives a client to a worker, or tells it why not. `leave` takes its socket out of this thread's event loop,
    /// `join` puts it into that of the worker.
    async fn welcome<S, Plain>(
        &self,
        mut stream: S,
        endpoint: Endpoint,
        local: bool,
        leave: impl FnOnce(S) -> io::Result<Plain>,
        join: impl FnOnce(Plain) -> io::Result<S> + Send + 'static,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        Plain: Send + 'static,
    {
        let server = &self.server;
        server
            .stats
            .connections_received
            .fetch_add(1, Ordering::Relaxed);
        if let Some(refusal) = refusal(server, &server.config.settings(), local) {
            // It fits the empty buffer of a new socket; a client that does not read it is closed all the same.
            let _ = stream.write_all(refusal.as_bytes()).await;
            let _ = stream.shutdown().await;
            return;
        }
        let (Ok(plain), Some(place)) = (leave(stream), self.workers.place()) else {
            tracing::warn!(client = %endpoint.addr, "a client could not be given to a worker");
            return;
        };
        // Entered here, not in the task: the next client must be counted against it.
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

/// What a client that may not come in is told.
fn refusal(server: &Server, settings: &Settings, local: bool) -> Option<&'static str> {
    if server.clients.len() >= server.maxclients(settings) {
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

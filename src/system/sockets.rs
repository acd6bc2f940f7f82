//! Opens the sockets that the server listens on.

use std::io;
use std::net::{self, IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::passed::Passed;
use crate::config::{BindAddress, Settings};

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// `bind` holds something that is neither an address nor a host's name.
    #[error("bind: '{text}' is not an IP address, and no host of this name is found: {source}")]
    Address {
        /// What `bind` holds.
        text: String,
        /// Why no host is found.
        source: io::Error,
    },
    /// A TCP socket cannot be opened.
    #[error("can't listen on {address}: {source}")]
    Tcp {
        /// Its address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The Unix socket cannot be opened.
    #[error("can't listen on {}: {source}", path.display())]
    Unix {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A socket that systemd has passed cannot be used.
    #[error("socket {number} of those that systemd has passed: {source}")]
    Passed {
        /// Its number, from 1, in the order of the unit's `Listen...=` lines.
        number: usize,
        /// Why.
        source: io::Error,
    },
    /// systemd has passed sockets that the configuration does not name.
    #[error(
        "systemd has passed a socket for {places}, which the configuration does not name: the socket unit's \
         ListenStream= must be among what bind, port, tls-port, unixsocket and metrics-port say"
    )]
    Unclaimed {
        /// Their addresses.
        places: String,
    },
    /// Neither a port nor a Unix socket is configured.
    #[error("nothing to listen on: port and tls-port are 0 and there is no unixsocket")]
    Nowhere,
}

/// A Unix socket that the server listens on. Dropping it removes its file, unless systemd made the file.
#[derive(Debug)]
pub struct UnixSocket {
    /// The socket.
    pub listener: UnixListener,
    /// Its file.
    pub path: PathBuf,
    /// Device and inode of the file, if the server made it.
    file: Option<(u64, u64)>,
}

impl UnixSocket {
    /// Opens the socket that the settings name, or takes it from `passed`; `None` if they name none.
    pub fn open(settings: &Settings, passed: &Passed) -> Result<Option<Self>, ListenError> {
        let Some(path) = &settings.unixsocket else {
            return Ok(None);
        };
        if let Some(listener) = passed.take_unix(path) {
            let listener =
                UnixListener::from_std(listener).map_err(|source| ListenError::Unix {
                    path: path.clone(),
                    source,
                })?;
            return Ok(Some(Self {
                listener,
                path: path.clone(),
                file: None,
            }));
        }
        listen_unix(path, settings.unixsocketperm, settings.tcp_backlog)
            .map(Some)
            .map_err(|source| ListenError::Unix {
                path: path.clone(),
                source,
            })
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // The file may have been removed and be the socket of another process now.
        let ours =
            |metadata: &std::fs::Metadata| Some((metadata.dev(), metadata.ino())) == self.file;
        if std::fs::symlink_metadata(&self.path)
            .as_ref()
            .is_ok_and(ours)
        {
            // If this fails, only the name of a closed socket stays, which does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The address that an entry of `bind` names: itself, or that of a host. Of a host's addresses it is the first of IPv4, as
/// in Redis, or else the first. `None` if the entry is optional and there is no such host.
pub(super) fn ip_address(bind: &BindAddress) -> Result<Option<IpAddr>, ListenError> {
    let text = bind.address.as_str();
    match text {
        "*" => return Ok(Some(IpAddr::from([0, 0, 0, 0]))),
        "::*" => return Ok(Some(IpAddr::from([0u16; 8]))),
        "localhost" => return Ok(Some(IpAddr::from([127, 0, 0, 1]))),
        _ => {}
    }
    if let Ok(address) = text.parse() {
        return Ok(Some(address));
    }
    let found = (text, 0).to_socket_addrs().and_then(|found| {
        let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        let first = found.iter().find(|ip| ip.is_ipv4()).or(found.first());
        first
            .copied()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    });
    match found {
        Ok(address) => Ok(Some(address)),
        Err(error) if bind.optional => {
            tracing::info!(host = text, %error, "an optional address is not available");
            Ok(None)
        }
        Err(source) => Err(ListenError::Address {
            text: text.to_owned(),
            source,
        }),
    }
}

/// Whether this machine lacks the address or its family.
pub(super) fn is_unavailable(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || [
            nix::libc::EAFNOSUPPORT,
            nix::libc::EPROTONOSUPPORT,
            nix::libc::ENODEV,
        ]
        .contains(&error.raw_os_error().unwrap_or(0))
}

/// Listens on one port of all addresses; on none if the port is 0. Takes sockets from `passed` where it has them.
pub fn listen_all(
    bind: &[BindAddress],
    port: u16,
    backlog: u32,
    passed: &Passed,
) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::new();
    for bind in bind.iter().filter(|_| port != 0) {
        let Some(ip) = ip_address(bind)? else {
            continue;
        };
        let address = SocketAddr::new(ip, port);
        let listener = match passed.take_tcp(address) {
            Some(listener) => Ok(listener),
            None => listen_tcp(address, backlog, false),
        };
        match listener {
            Ok(listener) => listeners.push(
                TcpListener::from_std(listener)
                    .map_err(|source| ListenError::Tcp { address, source })?,
            ),
            Err(error) if bind.optional && is_unavailable(&error) => {
                tracing::info!(%address, %error, "an optional address is not available");
            }
            Err(source) => return Err(ListenError::Tcp { address, source }),
        }
    }
    Ok(listeners)
}

/// Listens on a TCP address. With `shared`, sockets of this process that will close may still have it.
pub(super) fn listen_tcp(
    address: SocketAddr,
    backlog: u32,
    shared: bool,
) -> io::Result<net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    // From here on no other socket can share the address.
    socket.set_reuse_port(false)?;
    Ok(socket.into())
}

fn listen_unix(path: &Path, mode: Option<u32>, backlog: u32) -> io::Result<UnixSocket> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let metadata = std::fs::symlink_metadata(path)?;
    let file = (metadata.dev(), metadata.ino());
    if let Some(mode) = mode {
        // Before clients can connect.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(UnixSocket {
        listener: UnixListener::from_std(socket.into())?,
        path: path.to_owned(),
        file: Some(file),
    })
}

/// Removes a socket that an earlier process has left. It keeps a socket that another process listens on, and anything
/// that is no socket.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    let visitor = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full queue must not delay the start.
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

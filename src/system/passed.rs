//! Socket activation: listening sockets that systemd has opened and passes to each start of the server (`LISTEN_FDS`).
//! They outlive a restart, so that clients which connect meanwhile wait in the kernel's queue and are not refused.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use parking_lot::Mutex;
use socket2::SockRef;

use super::sockets::ListenError;

/// The sockets that systemd has passed and that nothing has taken yet.
#[derive(Debug, Default)]
pub struct Passed {
    sockets: Mutex<Vec<Socket>>,
}

/// A socket with its place.
#[derive(Debug)]
enum Socket {
    Tcp {
        address: SocketAddr,
        listener: TcpListener,
        /// Whether it is the second form of a socket for IPv6 that takes IPv4 too: nothing need take it.
        second: bool,
    },
    Unix {
        path: PathBuf,
        listener: UnixListener,
    },
}

impl Passed {
    /// The sockets that the environment names; none if it names no sockets for this process. Takes the variables away, so
    /// the process calls it once, before it starts a thread and after its last `exec`.
    pub fn from_environment() -> Result<Self, ListenError> {
        let mut descriptors = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..descriptors.len() {
            take(&mut descriptors, index, &mut sockets).map_err(|source| ListenError::Passed {
                number: index + 1,
                source,
            })?;
        }
        Ok(Self {
            sockets: Mutex::new(sockets),
        })
    }

    /// The socket for this address, once.
    pub(super) fn take_tcp(&self, wanted: SocketAddr) -> Option<TcpListener> {
        let mut sockets = self.sockets.lock();
        let is_it =
            |socket: &Socket| matches!(socket, Socket::Tcp { address, .. } if *address == wanted);
        let place = sockets.iter().position(is_it)?;
        match sockets.remove(place) {
            Socket::Tcp { listener, .. } => Some(listener),
            Socket::Unix { .. } => None,
        }
    }

    /// The socket for this path, once.
    pub(super) fn take_unix(&self, wanted: &Path) -> Option<UnixListener> {
        let mut sockets = self.sockets.lock();
        let is_it = |socket: &Socket| matches!(socket, Socket::Unix { path, .. } if path == wanted);
        let place = sockets.iter().position(is_it)?;
        match sockets.remove(place) {
            Socket::Unix { listener, .. } => Some(listener),
            Socket::Tcp { .. } => None,
        }
    }

    /// Refuses sockets that nothing has taken: clients would wait there for ever.
    pub fn check_all_taken(&self) -> Result<(), ListenError> {
        let sockets = std::mem::take(&mut *self.sockets.lock());
        let places: Vec<String> = sockets.iter().filter_map(Socket::unclaimed).collect();
        if places.is_empty() {
            return Ok(());
        }
        Err(ListenError::Unclaimed {
            places: places.join(", "),
        })
    }
}

impl Socket {
    /// Its place, if something should have taken it.
    fn unclaimed(&self) -> Option<String> {
        match self {
            Socket::Tcp { second: true, .. } => None,
            Socket::Tcp { address, .. } => Some(address.to_string()),
            Socket::Unix { path, .. } => Some(path.display().to_string()),
        }
    }
}

/// Takes one descriptor.
fn take(descriptors: &mut ListenFd, index: usize, sockets: &mut Vec<Socket>) -> io::Result<()> {
    if let Ok(Some(listener)) = descriptors.take_unix_listener(index) {
        check_listens(SockRef::from(&listener).is_listener())?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let path = address
            .as_pathname()
            .ok_or_else(|| io::Error::other("it has no path"))?;
        sockets.push(Socket::Unix {
            path: path.to_owned(),
            listener,
        });
        return Ok(());
    }
    let listener = descriptors
        .take_tcp_listener(index)?
        .ok_or(io::ErrorKind::NotFound)?;
    let socket = SockRef::from(&listener);
    check_listens(socket.is_listener())?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    // Unless BindIPv6Only= says otherwise, a socket of systemd for all IPv6 addresses takes IPv4 too.
    if address.is_ipv6() && address.ip().is_unspecified() && !socket.only_v6()? {
        sockets.push(Socket::Tcp {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()),
            listener: listener.try_clone()?,
            second: true,
        });
    }
    sockets.push(Socket::Tcp {
        address,
        listener,
        second: false,
    });
    Ok(())
}

fn check_listens(listens: io::Result<bool>) -> io::Result<()> {
    if listens? {
        return Ok(());
    }
    let text = "it does not listen: the socket unit needs Accept=no and ListenStream=";
    Err(io::Error::other(text))
}

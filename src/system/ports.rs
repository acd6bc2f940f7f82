//! The TCP sockets of a running server. CONFIG SET changes them: it opens new ones before it closes old ones, so that a
//! failure leaves everything as it was.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::passed::Passed;
use super::sockets::{ListenError, ip_address, is_unavailable, listen_tcp};
use crate::config::{BindAddress, Settings};

/// How long CONFIG SET waits until old sockets are closed.
const CLOSING_TIME: Duration = Duration::from_secs(5);

/// An address on which the server listens by TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// IP address and port.
    pub address: SocketAddr,
    /// Whether clients must speak TLS there.
    pub tls: bool,
}

impl ListenAddress {
    fn failed(self, source: io::Error) -> ListenError {
        let address = self.address;
        ListenError::Tcp { address, source }
    }
}

/// A task for the thread that accepts clients.
#[derive(Debug)]
pub struct Change {
    /// Sockets to accept on from now on.
    pub opened: Vec<(ListenAddress, TcpListener)>,
    /// Sockets to close.
    pub closed: Vec<ListenAddress>,
    /// The thread drops it when it has closed the sockets.
    pub done: mpsc::Sender<()>,
}

/// The changes, for the thread that accepts clients.
pub type Changes = UnboundedReceiver<Change>;

/// The sockets that are open.
#[derive(Debug)]
pub struct Ports {
    /// Each address with a second descriptor of its socket.
    open: Mutex<Vec<(ListenAddress, TcpListener)>>,
    changes: UnboundedSender<Change>,
}

/// New sockets, open already, that will replace others.
#[derive(Debug)]
pub struct Plan {
    opened: Vec<(ListenAddress, TcpListener, TcpListener)>,
    kept: Vec<ListenAddress>,
}

impl Plan {
    /// Whether no socket will be open.
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.kept.is_empty()
    }
}

impl Ports {
    /// No sockets yet, and the channel of changes for the thread that accepts clients.
    pub fn new() -> (Self, Changes) {
        let (changes, receiver) = unbounded_channel();
        let ports = Self {
            open: Mutex::default(),
            changes,
        };
        (ports, receiver)
    }

    /// Opens the sockets that the settings name and that are not open yet. An error changes nothing; it says whether
    /// the socket was for `tls-port`.
    pub fn prepare(&self, settings: &Settings) -> Result<Plan, (ListenError, bool)> {
        self.prepare_with(settings, &Passed::default())
    }

    /// The same, but takes sockets from `passed` where it has them.
    pub fn prepare_with(
        &self,
        settings: &Settings,
        passed: &Passed,
    ) -> Result<Plan, (ListenError, bool)> {
        let mut wanted = Vec::new();
        for (port, tls) in [(settings.port, false), (settings.tls.port, true)] {
            for bind in settings.bind.iter().filter(|_| port != 0) {
                let ip = ip_address(bind).map_err(|error| (error, tls))?;
                let Some(ip) = ip else {
                    continue;
                };
                let address = SocketAddr::new(ip, port);
                wanted.push((ListenAddress { address, tls }, bind));
            }
        }
        let open = self.open.lock();
        let mut kept = Vec::new();
        // As at the start, the same address twice is an error: only one of the two can keep the open socket.
        wanted.retain(|(at, _)| {
            let keeps = open.iter().any(|(other, _)| other == at) && !kept.contains(at);
            if keeps {
                kept.push(*at);
            }
            !keeps
        });
        let going: Vec<&TcpListener> = open
            .iter()
            .filter(|(at, _)| !kept.contains(at))
            .map(|(_, listener)| listener)
            .collect();
        let _shared = Shared::between(&going);
        let mut opened = Vec::new();
        for (at, bind) in wanted {
            let twice = match passed.take_tcp(at.address) {
                Some(listener) => twice(listener)
                    .map(Some)
                    .map_err(|source| (at.failed(source), at.tls))?,
                None => open_twice(at, bind, settings, !going.is_empty())?,
            };
            if let Some((listener, second)) = twice {
                opened.push((at, listener, second));
            }
        }
        Ok(Plan { opened, kept })
    }

    /// Uses the sockets of the plan, and closes all others. The caller can wait for the closing.
    pub fn apply(&self, plan: Plan) -> Closing {
        let (done, closed) = mpsc::channel();
        let mut open = self.open.lock();
        let mut change = Change {
            opened: Vec::new(),
            closed: Vec::new(),
            done,
        };
        open.retain(|(at, _)| {
            let stays = plan.kept.contains(at);
            if !stays {
                change.closed.push(*at);
            }
            stays
        });
        for (at, listener, second) in plan.opened {
            open.push((at, second));
            change.opened.push((at, listener));
        }
        // If the thread that accepts is gone, the server ends, and the sockets with it.
        let _ = self.changes.send(change);
        Closing(closed)
    }

    /// Closes all sockets, because the server ends.
    pub fn close(&self) {
        self.open.lock().clear();
    }

    /// The addresses on which the server listens, for the log.
    pub fn addresses(&self) -> Vec<String> {
        let name = |(at, _): &(ListenAddress, TcpListener)| {
            let tls = if at.tls { " (TLS)" } else { "" };
            format!("{}{tls}", at.address)
        };
        self.open.lock().iter().map(name).collect()
    }
}

/// Waits for the sockets that a change closes.
#[must_use]
#[derive(Debug)]
pub struct Closing(mpsc::Receiver<()>);

impl Closing {
    /// Waits until the sockets are closed, so that a client which connects after the reply is refused.
    pub fn wait(self) {
        // The other end sends nothing; it only goes away.
        if self.0.recv_timeout(CLOSING_TIME) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("the server did not close the sockets of the former addresses in time");
        }
    }
}

/// Opens a socket and a second descriptor of it, for the thread that accepts and for [`Ports`]. `None` if the address
/// is optional and this machine does not have it.
fn open_twice(
    at: ListenAddress,
    bind: &BindAddress,
    settings: &Settings,
    shared: bool,
) -> Result<Option<(TcpListener, TcpListener)>, (ListenError, bool)> {
    let ListenAddress { address, tls } = at;
    match listen_tcp(address, settings.tcp_backlog, shared).and_then(twice) {
        Ok(both) => Ok(Some(both)),
        Err(error) if bind.optional && is_unavailable(&error) => {
            tracing::info!(%address, %error, "an optional address is not available");
            Ok(None)
        }
        Err(source) => Err((at.failed(source), tls)),
    }
}

/// A socket with a second descriptor of it.
fn twice(listener: TcpListener) -> io::Result<(TcpListener, TcpListener)> {
    Ok((listener.try_clone()?, listener))
}

/// Until it is dropped, new sockets of this process may listen beside old ones. Otherwise `*` and `127.0.0.1` would
/// exclude each other on the same port.
struct Shared<'a>(&'a [&'a TcpListener]);

impl<'a> Shared<'a> {
    fn between(listeners: &'a [&'a TcpListener]) -> Self {
        Self::set(listeners, true);
        Self(listeners)
    }

    fn set(listeners: &[&TcpListener], shared: bool) {
        for listener in listeners {
            // If this fails, the new socket cannot listen, and the caller reports that.
            if let Err(error) = SockRef::from(*listener).set_reuse_port(shared) {
                tracing::warn!(%error, "SO_REUSEPORT could not be set on a listening socket");
            }
        }
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        Self::set(self.0, false);
    }
}

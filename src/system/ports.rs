//! The TCP sockets of a running server. CONFIG SET changes them: new ones are opened before old ones are closed, so
//! that what can't be had leaves everything as it was.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::sockets::{ListenError, ip_address, is_unavailable, listen_tcp};
use crate::config::{BindAddress, Settings};

/// How long CONFIG SET waits until old sockets are closed.
const CLOSING_TIME: Duration = Duration::from_secs(5);

/// One place where clients come in by TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// What the thread that accepts clients is to do.
#[derive(Debug)]
pub struct Change {
    /// Sockets to accept on from now on.
    pub opened: Vec<(Door, TcpListener)>,
    /// Those to close.
    pub closed: Vec<Door>,
    /// Dropped when it is done.
    pub done: mpsc::Sender<()>,
}

/// The changes, for the thread that accepts clients.
pub type Changes = UnboundedReceiver<Change>;

/// The sockets that are open.
#[derive(Debug)]
pub struct Ports {
    /// Each with a second descriptor of its socket.
    open: Mutex<Vec<(Door, TcpListener)>>,
    changes: UnboundedSender<Change>,
}

/// Sockets that are open already and are to take the place of others.
#[derive(Debug)]
pub struct Plan {
    opened: Vec<(Door, TcpListener, TcpListener)>,
    kept: Vec<Door>,
}

impl Plan {
    /// Whether no socket is open then.
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.kept.is_empty()
    }
}

impl Ports {
    /// No sockets yet, and the changes that are to come.
    pub fn new() -> (Self, Changes) {
        let (changes, receiver) = unbounded_channel();
        let ports = Self {
            open: Mutex::default(),
            changes,
        };
        (ports, receiver)
    }

    /// Opens what the settings name and is not open yet. On an error, which says whether it was for `tls-port`, nothing
    /// has changed.
    pub fn prepare(&self, settings: &Settings) -> Result<Plan, (ListenError, bool)> {
        let mut wanted = Vec::new();
        for (port, tls) in [(settings.port, false), (settings.tls.port, true)] {
            for bind in settings.bind.iter().filter(|_| port != 0) {
                let ip = ip_address(&bind.address).map_err(|error| (error, tls))?;
                let address = SocketAddr::new(ip, port);
                wanted.push((Door { address, tls }, bind));
            }
        }
        let open = self.open.lock();
        let mut kept = Vec::new();
        // The same address twice is an error, as at the start: only one of the two can have the open socket.
        wanted.retain(|(door, _)| {
            let keeps = open.iter().any(|(other, _)| other == door) && !kept.contains(door);
            if keeps {
                kept.push(*door);
            }
            !keeps
        });
        let going: Vec<&TcpListener> = open
            .iter()
            .filter(|(door, _)| !kept.contains(door))
            .map(|(_, listener)| listener)
            .collect();
        let _shared = Shared::between(&going);
        let mut opened = Vec::new();
        for (door, bind) in wanted {
            if let Some((listener, second)) = open_door(door, bind, settings, !going.is_empty())? {
                opened.push((door, listener, second));
            }
        }
        Ok(Plan { opened, kept })
    }

    /// Takes over what was prepared, and closes what is not part of it. What is returned waits for the closing.
    pub fn apply(&self, plan: Plan) -> Closing {
        let (done, closed) = mpsc::channel();
        let mut open = self.open.lock();
        let mut change = Change {
            opened: Vec::new(),
            closed: Vec::new(),
            done,
        };
        open.retain(|(door, _)| {
            let stays = plan.kept.contains(door);
            if !stays {
                change.closed.push(*door);
            }
            stays
        });
        for (door, listener, second) in plan.opened {
            open.push((door, second));
            change.opened.push((door, listener));
        }
        // Where nobody accepts any more the server ends, and the sockets with it.
        let _ = self.changes.send(change);
        Closing(closed)
    }

    /// Closes all: the server ends.
    pub fn close(&self) {
        self.open.lock().clear();
    }

    /// Where the server can be reached, for the log.
    pub fn addresses(&self) -> Vec<String> {
        let name = |(door, _): &(Door, TcpListener)| {
            let tls = if door.tls { " (TLS)" } else { "" };
            format!("{}{tls}", door.address)
        };
        self.open.lock().iter().map(name).collect()
    }
}

/// The end of sockets that a change closes.
#[must_use]
#[derive(Debug)]
pub struct Closing(mpsc::Receiver<()>);

impl Closing {
    /// Waits until they are closed, so that who is answered then finds nobody there.
    pub fn wait(self) {
        // Nothing is ever sent: the other end is dropped.
        if self.0.recv_timeout(CLOSING_TIME) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("sockets that are no longer named are still open");
        }
    }
}

/// Opens a socket twice over, for [`Ports`] and for the thread that accepts; `None` where the address is optional and
/// not there.
fn open_door(
    door: Door,
    bind: &BindAddress,
    settings: &Settings,
    shared: bool,
) -> Result<Option<(TcpListener, TcpListener)>, (ListenError, bool)> {
    let Door { address, tls } = door;
    let listener = listen_tcp(address, settings.tcp_backlog, shared);
    match listener.and_then(|listener| Ok((listener.try_clone()?, listener))) {
        Ok(both) => Ok(Some(both)),
        Err(error) if bind.optional && is_unavailable(&error) => {
            tracing::info!(%address, %error, "an optional address is not available");
            Ok(None)
        }
        Err(source) => Err((ListenError::Tcp { address, source }, tls)),
    }
}

/// Lets new sockets of this process listen beside old ones, until it is dropped: `*` and `127.0.0.1` with one port
/// exclude each other otherwise.
struct Shared<'a>(&'a [&'a TcpListener]);

impl<'a> Shared<'a> {
    fn between(listeners: &'a [&'a TcpListener]) -> Self {
        Self::set(listeners, true);
        Self(listeners)
    }

    fn set(listeners: &[&TcpListener], shared: bool) {
        for listener in listeners {
            // Without it listening fails, and that is told.
            if let Err(error) = SockRef::from(*listener).set_reuse_port(shared) {
                tracing::warn!(%error, "SO_REUSEPORT of a listening socket");
            }
        }
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        Self::set(self.0, false);
    }
}

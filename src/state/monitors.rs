//! MONITOR: clients that receive every command.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use lock_order::{Rank, RwLock};

use super::ClientHandle;
use crate::acl::User;
use crate::config::{OutputBufferLimit, OutputBufferLimits};

/// One call as monitors see it.
#[derive(Debug)]
pub struct Lines {
    /// With its words.
    pub whole: Vec<u8>,
    /// For users that may not see the words.
    pub hidden: Vec<u8>,
}

/// The clients in MONITOR mode.
#[derive(Debug)]
pub struct Monitors {
    clients: RwLock<Vec<Arc<ClientHandle>>>,
    /// The number of clients; every command reads it.
    count: AtomicUsize,
}

impl Default for Monitors {
    fn default() -> Self {
        Self {
            clients: RwLock::new(Rank::Monitors, Vec::new()),
            count: AtomicUsize::new(0),
        }
    }
}

impl Monitors {
    /// Whether any client monitors.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Starts sending commands to the client. Adding a client twice has no effect.
    pub fn add(&self, client: &Arc<ClientHandle>) {
        let mut clients = self.clients.write();
        if !client.monitors.swap(true, Ordering::Relaxed) {
            clients.push(Arc::clone(client));
            self.count.store(clients.len(), Ordering::Relaxed);
        }
    }

    /// Stops sending commands to the client.
    pub fn remove(&self, client: &ClientHandle) {
        if client.monitors.swap(false, Ordering::Relaxed) {
            let mut clients = self.clients.write();
            clients.retain(|other| other.id != client.id);
            self.count.store(clients.len(), Ordering::Relaxed);
        }
    }

    /// Sends a line to all monitors, the whole one to users for which `sees` says so; returns how many it disconnected
    /// because they do not read.
    pub fn show(
        &self,
        lines: &Lines,
        sees: &dyn Fn(&User) -> bool,
        limits: &OutputBufferLimits,
    ) -> u64 {
        let limit = limit(limits);
        let mut ended = 0;
        for client in self.clients.read().iter() {
            let user = Arc::clone(&client.user.lock());
            let line = if sees(&user) {
                &lines.whole
            } else {
                &lines.hidden
            };
            if !client.is_killed() && !client.mailbox.put_behind(client.taken_bytes(), line, limit)
            {
                client.kill();
                ended += 1;
            }
        }
        ended
    }
}

/// The output limit of a monitor: that of a normal client or, if a normal client has none, that of a replica.
pub fn limit(limits: &OutputBufferLimits) -> OutputBufferLimit {
    if limits.normal.hard_bytes > 0 || limits.normal.soft_bytes > 0 {
        limits.normal
    } else {
        limits.replica
    }
}

/// One command as MONITOR shows it: time, database, client and arguments, as a simple string.
pub fn line<'a>(
    at: SystemTime,
    db: usize,
    client: &ClientHandle,
    words: impl Iterator<Item = &'a [u8]>,
) -> Vec<u8> {
    use std::io::Write;
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (kind, addr) = match client.addr.strip_suffix(":0") {
        Some(path) if client.unix => ("unix:", path),
        _ => ("", client.addr.as_str()),
    };
    let mut line = Vec::with_capacity(128);
    // Writing into a vector does not fail; the same below.
    let _ = write!(
        line,
        "+{}.{:06} [{db} {kind}{addr}]",
        at.as_secs(),
        at.subsec_micros()
    );
    for word in words {
        line.extend_from_slice(b" \"");
        for &byte in word {
            match byte {
                b'\\' | b'"' => line.extend_from_slice(&[b'\\', byte]),
                b'\n' => line.extend_from_slice(b"\\n"),
                b'\r' => line.extend_from_slice(b"\\r"),
                b'\t' => line.extend_from_slice(b"\\t"),
                0x07 => line.extend_from_slice(b"\\a"),
                0x08 => line.extend_from_slice(b"\\b"),
                b' '..=b'~' => line.push(byte),
                _ => {
                    let _ = write!(line, "\\x{byte:02x}");
                }
            }
        }
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::state::{Clients, Endpoint};

    fn client(addr: &str, unix: bool) -> Arc<ClientHandle> {
        let endpoint = Endpoint {
            addr: addr.into(),
            laddr: addr.into(),
            fd: 3,
            unix,
        };
        let acl = crate::acl::Acl::new(None, true, None);
        Clients::default().register(endpoint, acl.default_user(), 0)
    }

    #[test]
    fn lines_have_redis_form() {
        let at = UNIX_EPOCH + Duration::from_micros(1_339_518_083_007_412);
        let show = |client: &ClientHandle, words: &[&[u8]]| {
            let line = line(at, 3, client, words.iter().copied());
            String::from_utf8(line).expect("escaped")
        };
        assert_eq!(
            show(
                &client("127.0.0.1:5", false),
                &[b"ECHO", b"a\"b\\c\n\r\t\x07\x08\0\xff \x7f"]
            ),
            "+1339518083.007412 [3 127.0.0.1:5] \"ECHO\" \"a\\\"b\\\\c\\n\\r\\t\\a\\b\\x00\\xff \\x7f\"\r\n"
        );
        assert_eq!(
            show(&client("/run/s.sock:0", true), &[b"get"]),
            "+1339518083.007412 [3 unix:/run/s.sock] \"get\"\r\n"
        );
    }

    #[test]
    fn a_watcher_that_does_not_read_is_ended() {
        let unlimited = OutputBufferLimit {
            hard_bytes: 0,
            soft_bytes: 0,
            soft_time: Duration::ZERO,
        };
        let limits = OutputBufferLimits {
            normal: unlimited,
            replica: OutputBufferLimit {
                hard_bytes: 5,
                ..unlimited
            },
            pubsub: unlimited,
        };
        let monitors = Monitors::default();
        let watcher = client("127.0.0.1:5", false);
        assert!(!monitors.any());
        monitors.add(&watcher);
        monitors.add(&watcher);
        assert!(monitors.any());
        let show = |line: &[u8]| {
            let lines = Lines {
                whole: line.to_vec(),
                hidden: Vec::new(),
            };
            monitors.show(&lines, &|_| true, &limits)
        };
        assert_eq!(show(b"12345"), 0);
        assert_eq!(show(b"6"), 1);
        assert!(watcher.is_killed());
        assert_eq!(show(b"6"), 0);
        monitors.remove(&watcher);
        assert!(!monitors.any());
    }
}

//! A proxy in front of a master, so that a test can cut the link, and put another master behind it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::TestResult;

#[derive(Default)]
struct Shared {
    target: AtomicU16,
    open: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
    /// The master's bytes go on only up to this count, then the link breaks off; `u64::MAX` is no limit.
    bytes_max: AtomicU64,
}

/// A proxy on a port of its own. Dropping it cuts all connections.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Begins in front of a master on this machine.
    pub fn start(target: u16) -> TestResult<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        shared.target.store(target, Ordering::Relaxed);
        shared.bytes_max.store(u64::MAX, Ordering::Relaxed);
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if own.is_over.load(Ordering::Relaxed) {
                    return;
                }
                // A master that does not listen: the client sees a closed connection.
                let _ = own.connect(client);
            }
        });
        Ok(Self { port, shared })
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        let open = std::mem::take(&mut *self.shared.open.lock().expect("no panic"));
        for stream in open {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Leads new connections to another master.
    pub fn lead_to(&self, target: u16) {
        self.shared.target.store(target, Ordering::Relaxed);
    }

    /// Breaks each connection off when the master has sent so many bytes on it.
    pub fn break_after(&self, bytes: u64) {
        self.shared.bytes_max.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.cut();
        // Ends the wait of the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        let target = self.target.load(Ordering::Relaxed);
        let master = TcpStream::connect(("127.0.0.1", target))?;
        let mut open = self.open.lock().expect("no panic");
        open.extend([client.try_clone()?, master.try_clone()?]);
        drop(open);
        let (to_client, to_master) = (client.try_clone()?, master.try_clone()?);
        let own = Arc::clone(self);
        thread::spawn(move || own.pump(master, to_client, true));
        let own = Arc::clone(self);
        thread::spawn(move || own.pump(client, to_master, false));
        Ok(())
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, is_master: bool) {
        let mut buffer = vec![0; 64 * 1024];
        let mut sent = 0u64;
        while let Ok(bytes @ 1..) = from.read(&mut buffer) {
            sent += bytes as u64;
            let is_over = is_master && sent > self.bytes_max.load(Ordering::Relaxed);
            if is_over || to.write_all(&buffer[..bytes]).is_err() {
                // So that a link that breaks off again and again does not keep the machine busy.
                thread::sleep(Duration::from_millis(5));
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

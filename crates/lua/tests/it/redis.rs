//! A redis-server of the test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that ends with the value.
pub struct Redis {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Redis {
    /// Starts redis-server, or returns `None` if it is not installed.
    pub fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0")
            .ok()?
            .local_addr()
            .ok()?
            .port();
        let child = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
            ])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let redis = Self {
            child,
            port,
            _folder: folder,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(redis)
    }

    /// A connection that speaks this protocol.
    pub fn connect(&self, resp3: bool) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a timeout");
        let mut connection = Connection(BufReader::new(stream));
        if resp3 {
            connection.send(&[b"HELLO", b"3"]);
        }
        connection
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // The server keeps nothing that matters.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to redis-server.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Sends a command and returns the bytes of its reply.
    pub fn send(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.0
            .get_mut()
            .write_all(&request)
            .expect("the server takes the request");
        let mut reply = Vec::new();
        let mut missing = 1u64;
        while missing > 0 {
            missing -= 1;
            missing += self.read_head(&mut reply);
        }
        reply
    }

    /// Reads a reply, or its head if it has elements: returns how many follow.
    fn read_head(&mut self, reply: &mut Vec<u8>) -> u64 {
        let start = reply.len();
        self.0.read_until(b'\n', reply).expect("the server answers");
        let line = reply[start..].to_vec();
        assert!(line.ends_with(b"\r\n"), "the server closed the connection");
        let count = || {
            let text = std::str::from_utf8(&line[1..line.len() - 2]).expect("a length");
            text.parse::<i64>()
                .expect("a length")
                .try_into()
                .unwrap_or(0)
        };
        match line[0] {
            b'$' if line == b"$-1\r\n" => 0,
            b'$' | b'=' => {
                let mut bytes = vec![0; usize::try_from(count()).expect("a length") + 2];
                self.0.read_exact(&mut bytes).expect("the server answers");
                reply.extend_from_slice(&bytes);
                0
            }
            b'*' | b'~' => count(),
            b'%' => count() * 2,
            _ => 0,
        }
    }
}

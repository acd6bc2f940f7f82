//! Socket activation and the watchdog: what systemd gives a service, given here by the test.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{RawClient, TestResult, Value};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(30);

/// Passes standard input and standard output as the first two sockets, as systemd does: from descriptor 3 on, to this
/// very process.
const PASS: &str = r#"exec 3<&0 4>&1 </dev/null >/dev/null; LISTEN_PID=$$ exec "$0" "$@""#;

/// A socket to pass.
type Passed<'a> = &'a dyn Fn() -> io::Result<OwnedFd>;

/// A folder for a server.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> TestResult<Self> {
        Ok(Self(tempfile::Builder::new().tempdir_in("/dev/shm")?))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A server that gets up to two sockets.
    fn command(&self, sockets: &[Passed<'_>], arguments: &[&str]) -> TestResult<Command> {
        let mut command = Command::new("sh");
        command
            .args(["-c", PASS])
            .arg(common::program())
            .args(["--bind", "127.0.0.1", "--pool-size", "64mb", "--pool-path"])
            .arg(self.path("pool"))
            .arg("--logfile")
            .arg(self.path("log"))
            .args(arguments)
            .env("LISTEN_FDS", sockets.len().to_string())
            .env_remove("LISTEN_PID")
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(first) = sockets.first() {
            command.stdin(first()?);
        }
        if let Some(second) = sockets.get(1) {
            command.stdout(second()?);
        }
        Ok(command)
    }

    fn start(&self, sockets: &[Passed<'_>], arguments: &[&str]) -> TestResult<Running> {
        Ok(Running(self.command(sockets, arguments)?.spawn()?))
    }
}

/// A server that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn stop(mut self) -> TestResult<ExitStatus> {
        kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGTERM)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            assert!(Instant::now() < deadline, "it still runs");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What clients have seen, all together.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    answers: AtomicU64,
    connections: AtomicU64,
    refused: AtomicU64,
    /// Connections that ended instead of an answer.
    ended: AtomicU64,
    /// The longest time without an answer to one client, ms.
    longest_gap_ms: AtomicU64,
}

/// Adds to a key until the end, by a connection for each `calls` calls. Returns the last number that was answered.
fn load(port: u16, key: &str, calls: u64, seen: &Seen) -> i64 {
    let mut last = 0;
    let mut answered = Instant::now();
    while !seen.stop.load(Ordering::Relaxed) {
        let mut client = match RawClient::connect(port) {
            Ok(client) => client,
            Err(error) => {
                if error.kind() == io::ErrorKind::ConnectionRefused {
                    seen.refused.fetch_add(1, Ordering::Relaxed);
                }
                continue;
            }
        };
        seen.connections.fetch_add(1, Ordering::Relaxed);
        for _ in 0..calls {
            if seen.stop.load(Ordering::Relaxed) {
                break;
            }
            match client.call(&["INCR", key]) {
                Ok(Value::Integer(number)) => {
                    assert!(number > last, "{key} went from {last} to {number}");
                    last = number;
                    seen.answers.fetch_add(1, Ordering::Relaxed);
                    let gap = u64::try_from(answered.elapsed().as_millis()).unwrap_or(u64::MAX);
                    seen.longest_gap_ms.fetch_max(gap, Ordering::Relaxed);
                    answered = Instant::now();
                }
                // The server still reads its pool.
                Ok(Value::Error(text)) if text.starts_with(b"LOADING") => {}
                Ok(other) => panic!("{other:?}"),
                Err(_) => {
                    seen.ended.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
    last
}

#[test]
fn a_restart_refuses_no_connection() -> TestResult {
    let place = Place::new()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let words = ["--port", &port.to_string()];
    let socket = || Ok(listener.try_clone()?.into());
    let mut running = place.start(&[&socket], &words)?;
    let seen = Arc::new(Seen::default());
    let clients: Vec<(String, JoinHandle<i64>)> = [("kept", 1_000_000), ("a", 3), ("b", 1)]
        .map(|(key, calls)| {
            let seen = Arc::clone(&seen);
            let client = std::thread::spawn(move || load(port, key, calls, &seen));
            (key.to_owned(), client)
        })
        .into();
    for _ in 0..3 {
        let before = seen.answers.load(Ordering::Relaxed);
        let deadline = Instant::now() + PATIENCE;
        while seen.answers.load(Ordering::Relaxed) < before + 200 {
            assert!(Instant::now() < deadline, "no answers: {}", place.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(running.stop()?.success(), "{}", place.log());
        // A package takes a while to replace the program.
        std::thread::sleep(Duration::from_millis(100));
        running = place.start(&[&socket], &words)?;
    }
    let deadline = Instant::now() + PATIENCE;
    while !RawClient::connect(port)?
        .line("PING")
        .is_ok_and(|reply| reply == Value::Simple(b"PONG".to_vec()))
    {
        assert!(Instant::now() < deadline, "no answer: {}", place.log());
    }
    seen.stop.store(true, Ordering::Relaxed);
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    for (key, client) in clients {
        let last = client.join().map_err(|_| "a client failed")?;
        let stored = RawClient::connect(port)?.call(&["GET", &key])?;
        let stored: i64 = stored.text().ok_or("no number")?.parse()?;
        // A call whose answer the restart cut off may count too.
        assert!(last > 0 && stored >= last, "{key}: {last}, {stored}");
    }
    eprintln!(
        "three restarts: {} connections, {} refused, {} ended by a restart; {} answers, the longest gap {} ms",
        of(&seen.connections),
        of(&seen.refused),
        of(&seen.ended),
        of(&seen.answers),
        of(&seen.longest_gap_ms)
    );
    assert_eq!(of(&seen.refused), 0);
    // Each restart ends the connections that were open, and no more of them.
    assert!((1..=9).contains(&of(&seen.ended)), "{}", of(&seen.ended));
    assert!(of(&seen.longest_gap_ms) < 10_000);
    // A server with a socket of its own does refuse.
    assert!(running.stop()?.success());
    drop(listener);
    let error = std::net::TcpStream::connect(("127.0.0.1", port)).err();
    assert_eq!(
        error.map(|error| error.kind()),
        Some(io::ErrorKind::ConnectionRefused)
    );
    Ok(())
}

#[test]
fn sockets_of_every_kind_are_taken_and_stay() -> TestResult {
    let place = Place::new()?;
    let path = place.path("socket");
    let unix = UnixListener::bind(&path)?;
    let metrics = TcpListener::bind("127.0.0.1:0")?;
    let port = metrics.local_addr()?.port().to_string();
    let words = [
        "--port",
        "0",
        "--unixsocket",
        &path.display().to_string(),
        "--metrics-port",
        &port,
    ];
    let sockets: [Passed<'_>; 2] = [&|| Ok(unix.try_clone()?.into()), &|| {
        Ok(metrics.try_clone()?.into())
    }];
    for _ in 0..2 {
        let running = place.start(&sockets, &words)?;
        // It waits in the queue until the server is there.
        let mut stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        io::Write::write_all(&mut stream, b"PING\r\n")?;
        let mut reply = [0; 7];
        io::Read::read_exact(&mut stream, &mut reply)?;
        assert_eq!(&reply, b"+PONG\r\n", "{}", place.log());
        let mut stream = std::net::TcpStream::connect(metrics.local_addr()?)?;
        io::Write::write_all(&mut stream, b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let text = io::read_to_string(stream)?;
        assert!(text.contains("pmemkv_build_info"), "{text}");
        assert!(running.stop()?.success());
        assert!(path.exists(), "the socket's file is systemd's");
    }
    Ok(())
}

#[test]
fn one_socket_for_both_families_serves_both() -> TestResult {
    let place = Place::new()?;
    let Ok(both) = TcpListener::bind("[::]:0") else {
        eprintln!("this machine has no IPv6: skipped");
        return Ok(());
    };
    let port = both.local_addr()?.port();
    let socket = || Ok(both.try_clone()?.into());
    let words = ["--port", &port.to_string(), "--bind", "*", "-::*"];
    let running = place.start(&[&socket], &words)?;
    for address in ["127.0.0.1", "::1"] {
        let mut client = RawClient::connect_to(address, port)?;
        assert_eq!(client.line("PING")?, Value::Simple(b"PONG".to_vec()));
    }
    assert!(running.stop()?.success());
    Ok(())
}

#[test]
fn sockets_that_cannot_be_used_stop_the_start() -> TestResult {
    let place = Place::new()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let unnamed = || Ok(listener.try_clone()?.into());
    let address = listener.local_addr()?.to_string();
    let connected = UnixStream::pair()?;
    let inetd = || Ok(connected.0.try_clone()?.into());
    let other = common::quiet_port()?.to_string();
    for (socket, part) in [
        (&unnamed as Passed<'_>, address.as_str()),
        (&inetd, "socket 1 of those that systemd has passed"),
    ] {
        let mut command = place.command(&[socket], &["--port", &other])?;
        let output = command.stderr(Stdio::piped()).output()?;
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(part), "{part}: {text}");
        assert!(text.contains("ListenStream="), "{text}");
    }
    Ok(())
}

#[test]
fn the_watchdog_hears_of_workers_that_turn() -> TestResult {
    let place = Place::new()?;
    let notify = UnixDatagram::bind(place.path("notify"))?;
    notify.set_read_timeout(Some(PATIENCE))?;
    let hear = || -> TestResult<String> {
        let mut buffer = [0; 200];
        let len = notify.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..len]).into_owned())
    };
    let port = common::quiet_port()?;
    let (text, sleep) = (port.to_string(), ["DEBUG", "SLEEP", "1"]);
    let words = [
        "--port",
        &text,
        "--supervised",
        "systemd",
        "--enable-debug-command",
        "yes",
    ];
    let mut command = place.command(&[], &words)?;
    command
        .env("NOTIFY_SOCKET", place.path("notify"))
        .env("WATCHDOG_USEC", "200000")
        .env_remove("WATCHDOG_PID");
    let running = Running(command.spawn()?);
    while !hear()?.contains("READY=1") {}
    for _ in 0..3 {
        assert_eq!(hear()?, "WATCHDOG=1\n");
    }
    // While a command runs alone, the other clients' workers wait for it, and none of them is alive.
    let mut sleeper = RawClient::connect(port)?;
    let mut waiting = RawClient::connect(port)?;
    sleeper.send(&sleep)?;
    std::thread::sleep(Duration::from_millis(50));
    waiting.send(&["GET", "k"])?;
    notify.set_read_timeout(Some(Duration::from_millis(450)))?;
    let mut quiet = false;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(900) {
        quiet |= hear().is_err();
    }
    assert!(quiet, "signs of life although the workers wait");
    assert_eq!(sleeper.read()?, Value::Simple(b"OK".to_vec()));
    assert!(waiting.read()?.is_null());
    notify.set_read_timeout(Some(PATIENCE))?;
    assert_eq!(hear()?, "WATCHDOG=1\n");
    assert!(running.stop()?.success());
    Ok(())
}

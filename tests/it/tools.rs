//! Redis's own tools work: redis-cli in its modes, and redis-benchmark. Also tests what our benchmark computes.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use common::{Server, TestResult, encode};

/// How long one run of a tool may take.
const SECONDS_MAX: &str = "60";
const PATIENCE: Duration = Duration::from_secs(20);

/// A server, if redis-cli is installed.
fn server() -> TestResult<Option<Server>> {
    if Command::new("redis-cli").arg("--version").output().is_err() {
        eprintln!("skipped: redis-cli is not installed");
        return Ok(None);
    }
    Server::start("cmap").map(Some)
}

/// The output of `tool`, errors included. The tool must succeed in time.
fn run(server: &Server, tool: &str, args: &[&str], input: Option<File>) -> TestResult<String> {
    let output = Command::new("timeout")
        .args([SECONDS_MAX, tool, "-p", &server.port().to_string()])
        .args(args)
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .output()?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("{tool} {args:?}: {}\n{text}", output.status).into());
    }
    Ok(text)
}

#[test]
fn redis_cli_in_its_modes() -> TestResult {
    const KEYS: usize = 10_000;
    let Some(server) = server()? else {
        return Ok(());
    };
    let cli = |args: &[&str]| run(&server, "redis-cli", args, None);
    let lines = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };

    let requests = server.dir().join("requests");
    let key = |number: usize| format!("key:{number:05}");
    let mut bytes = Vec::new();
    for number in 0..KEYS {
        let value = "v".repeat(number % 50);
        encode(&mut bytes, &["SET", &key(number), &value]);
    }
    std::fs::write(&requests, bytes)?;
    let piped = run(
        &server,
        "redis-cli",
        &["--pipe"],
        Some(File::open(requests)?),
    )?;
    assert!(piped.contains("errors: 0, replies: 10000"), "{piped}");

    let all: Vec<_> = (0..KEYS).map(key).collect();
    assert_eq!(lines(cli(&["--scan"])?), all);
    let some = cli(&["--scan", "--pattern", "key:0012*"])?;
    assert_eq!(lines(some), all[120..130]);

    let big = cli(&["--bigkeys"])?;
    assert!(big.contains("Sampled 10000 keys"), "{big}");
    assert!(
        big.contains("10000 strings with 245000 bytes (100.00% of keys"),
        "{big}"
    );
    let memory = cli(&["--memkeys"])?;
    assert!(memory.contains("10000 strings with "), "{memory}");

    // Without a terminal, redis-cli samples for one second: minimum, maximum, average, number.
    let latency = cli(&["--latency"])?;
    assert_eq!(latency.split_whitespace().count(), 4, "{latency}");

    let hello = cli(&["-3", "HELLO"])?;
    assert!(hello.contains("proto 3"), "{hello}");
    let pairs = cli(&[
        "-3",
        "--no-raw",
        "PMEMKV.GETBETWEEN",
        "key:00000",
        "key:00002",
    ])?;
    assert_eq!(pairs, "1# \"key:00001\" => \"v\"\n");
    Ok(())
}

/// redis-cli on a terminal of its own, where it edits lines, and where its endless modes show each line at once.
struct Terminal {
    child: Child,
    keyboard: File,
    pieces: mpsc::Receiver<Vec<u8>>,
}

impl Terminal {
    fn start(server: &Server, args: &[&str]) -> TestResult<Self> {
        let size = nix::pty::Winsize {
            ws_row: 50,
            ws_col: 200,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let terminal = nix::pty::openpty(Some(&size), None)?;
        let child = Command::new("timeout")
            .args(["--foreground", SECONDS_MAX, "redis-cli"])
            .args(["-p", &server.port().to_string()])
            .args(args)
            .env("TERM", "xterm")
            // The test must not use the user's history and settings.
            .env("HOME", server.dir())
            .stdin(terminal.slave.try_clone()?)
            .stdout(terminal.slave.try_clone()?)
            .stderr(terminal.slave)
            .spawn()?;
        let keyboard = File::from(terminal.master.try_clone()?);
        let mut screen = File::from(terminal.master);
        let (sender, pieces) = mpsc::channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            // The end of the other side shows as an error.
            while let Ok(length @ 1..) = screen.read(&mut piece) {
                if sender.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            keyboard,
            pieces,
        })
    }

    fn wait_for(&self, text: &str) -> TestResult {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = String::new();
        while !seen.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(piece) = self.pieces.recv_timeout(left) else {
                return Err(format!("no {text:?} in {seen:?}").into());
            };
            seen.push_str(&String::from_utf8_lossy(&piece));
        }
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // `timeout` passes SIGTERM on to redis-cli; it fails only if both are gone.
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

/// redis-cli makes its hints from COMMAND DOCS, on a terminal only.
#[test]
fn redis_cli_shows_hints() -> TestResult {
    let Some(server) = server()? else {
        return Ok(());
    };
    let mut terminal = Terminal::start(&server, &[])?;
    for (typed, hint) in [
        ("set ", "key value [NX|XX|IFEQ ifeq-value|IFNE ifne-value|"),
        ("expire k ", "seconds [NX|XX|GT|LT]"),
        ("config set ", "parameter value [parameter value ...]"),
        ("pmemkv.getbetween ", "key1 key2 [LIMIT "),
    ] {
        terminal.wait_for("> ")?;
        terminal.keyboard.write_all(typed.as_bytes())?;
        terminal.wait_for(hint)?;
        // Ctrl-U empties the line and shows the prompt again.
        terminal.keyboard.write_all(b"\x15")?;
    }
    Ok(())
}

/// The modes that run until they are stopped. They read INFO, or measure.
#[test]
fn redis_cli_watches() -> TestResult {
    const KEYS: i64 = 4321;
    let Some(server) = server()? else {
        return Ok(());
    };
    let mut client = server.raw()?;
    for number in 0..KEYS {
        client.call(&["SET", &number.to_string(), "v"])?;
    }
    let stat = Terminal::start(&server, &["--stat", "-i", "0.05"])?;
    stat.wait_for("keys       mem      clients blocked requests")?;
    stat.wait_for("\n4321 ")?;
    let history = Terminal::start(&server, &["--latency-history", "-i", "1"])?;
    history.wait_for(" samples) -- 1.0")?;
    let distribution = Terminal::start(&server, &["--latency-dist", "-i", "0.2"])?;
    distribution.wait_for("from 1 to 9     milliseconds")?;
    let trial = Terminal::start(&server, &["--lru-test", "1000"])?;
    trial.wait_for("Gets/sec | Hits: ")
}

#[test]
fn redis_benchmark_sees_no_error() -> TestResult {
    if Command::new("redis-benchmark")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("skipped: redis-benchmark is not installed");
        return Ok(());
    }
    let server = Server::start("cmap")?;
    for (depth, requests) in [("1", "2000"), ("64", "20000")] {
        let printed = run(
            &server,
            "redis-benchmark",
            &[
                "-t",
                "ping,set,get,incr,mset",
                "-P",
                depth,
                "-n",
                requests,
                "-q",
            ],
            None,
        )?;
        let rates = printed.matches("requests per second").count();
        assert_eq!(rates, 6, "{printed}");
        let lower = printed.to_lowercase();
        assert!(
            !lower.contains("err") && !lower.contains("warn"),
            "{printed}"
        );
    }
    let mut client = server.raw()?;
    let stats = format!("{:?}", client.call(&["INFO", "stats"])?);
    assert!(stats.contains("total_error_replies:0"), "{stats}");
    Ok(())
}

/// The arithmetic and the tables of `scripts/bench`.
#[test]
fn the_benchmark_computes() {
    let output = Command::new("python3")
        .args(["-m", "unittest", "discover", "tests/tools"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: python3 is not installed");
        return;
    };
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("\nOK"), "{text}");
}

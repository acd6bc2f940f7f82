//! Pools that are short of room under transactions, flushes, large values and eviction: no client waits for long, and
//! SIGTERM in the middle of it ends the server at once.
//!
//! The limit holds for a machine that is not busy: where more threads want to run than there are cores, it is as many
//! times longer.
//!
//! `PMEMKV_SOAK_ROUNDS` says how long each server is under load, in units of 3 s (1 where it is not set).

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value, encode};

/// The longest wait that a client may see on a machine that is not busy.
const WAIT_MAX: Duration = Duration::from_secs(1);
const ROUND: Duration = Duration::from_secs(3);
const LARGE_BYTES: usize = 400_000;
/// Values of the pipeline that ends with a flush.
const PIPELINE: usize = 60;
const FILLER_BYTES: usize = 20_000;
const POOL_BYTES: usize = 64 << 20;

/// What one client saw.
struct Seen {
    name: String,
    calls: u64,
    refused: u64,
    longest: Duration,
}

/// One client: it measures how long each reply takes, from the sending or from the reply before.
struct Client {
    connection: RawClient,
    seen: Seen,
}

impl Client {
    fn connect(port: u16, name: &str) -> io::Result<Self> {
        Ok(Self {
            connection: RawClient::connect(port)?,
            seen: Seen {
                name: name.to_owned(),
                calls: 0,
                refused: 0,
                longest: Duration::ZERO,
            },
        })
    }

    /// Sends calls at once and reads all replies meanwhile. An error where a reply is an error other than that there is
    /// no room.
    fn run(&mut self, calls: &[Vec<Vec<u8>>]) -> Result<(), Stopped> {
        let mut bytes = Vec::new();
        for call in calls {
            encode(&mut bytes, call);
        }
        let mut sender = self.connection.sender()?;
        thread::scope(|scope| {
            // A client that reads nothing while it sends would wait for itself.
            let sending = scope.spawn(move || sender.write_all(&bytes));
            let mut last = Instant::now();
            for _ in calls {
                let reply = self.connection.read();
                let now = Instant::now();
                self.seen.longest = self.seen.longest.max(now - last);
                last = now;
                self.note(&reply?)?;
            }
            match sending.join() {
                Ok(sent) => Ok(sent?),
                Err(_) => Err(Stopped::Wrong("a sending thread panicked".to_owned())),
            }
        })
    }

    fn note(&mut self, reply: &Value) -> Result<(), Stopped> {
        self.seen.calls += 1;
        match reply {
            Value::Error(text) if text.starts_with(b"OOM") || text.starts_with(b"EXECABORT") => {
                self.seen.refused += 1;
            }
            Value::Error(_) => return Err(Stopped::Wrong(format!("{reply:?}"))),
            Value::Array(items) => items.iter().try_for_each(|item| self.note(item))?,
            _ => {}
        }
        Ok(())
    }
}

/// Why a client stopped.
enum Stopped {
    Gone,
    Wrong(String),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The client's own limit: it waited for that long.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Stopped::Wrong(error.to_string())
            }
            _ => Stopped::Gone,
        }
    }
}

/// What a client does again and again.
#[derive(Clone, Copy, Debug)]
enum Load {
    /// A pipeline of large values into database 1, then FLUSHDB.
    FlushedPipeline,
    /// MULTI, SET, GET, EXEC of small values.
    Exec(usize),
    /// The same with values in parts.
    LargeExec,
    /// Small values, one after the other.
    Sets,
    /// Reads, one after the other.
    Gets,
    /// Several values at once, and their removal.
    Several,
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

fn set(key: &str, bytes: usize) -> Vec<Vec<u8>> {
    vec![b"SET".to_vec(), key.as_bytes().to_vec(), vec![b'v'; bytes]]
}

impl Load {
    fn calls(self, n: usize) -> Vec<Vec<Vec<u8>>> {
        match self {
            Load::FlushedPipeline => {
                let mut calls = vec![words("SELECT 1")];
                calls.extend((0..PIPELINE).map(|n| set(&format!("large:{n}"), LARGE_BYTES)));
                calls.push(words("FLUSHDB"));
                calls
            }
            Load::Exec(client) => {
                let key = format!("exec:{client}:{}", n % 100);
                vec![
                    words("MULTI"),
                    set(&key, 100),
                    words(&format!("GET {key}")),
                    words("EXEC"),
                ]
            }
            Load::LargeExec => {
                let key = format!("large:{}", n % 4);
                let mut calls = vec![words("MULTI")];
                calls.extend((0..3).map(|part| set(&format!("{key}:{part}"), LARGE_BYTES)));
                calls.push(words("EXEC"));
                calls
            }
            Load::Sets => vec![set(&format!("small:{}", n % 1000), 100)],
            Load::Gets => vec![words(&format!("GET filler:{}", n % 1000))],
            Load::Several => {
                let keys: Vec<String> = (0..40).map(|m| format!("several:{}", n + m)).collect();
                let mut mset = words("MSET");
                for key in &keys {
                    mset.extend([key.as_bytes().to_vec(), vec![b'm'; FILLER_BYTES]]);
                }
                vec![mset, words(&format!("DEL {}", keys.join(" ")))]
            }
        }
    }

    fn start(self, port: u16, stop: &Arc<AtomicBool>) -> JoinHandle<Result<Seen, String>> {
        let stop = Arc::clone(stop);
        thread::spawn(move || {
            let mut client =
                Client::connect(port, &format!("{self:?}")).map_err(|error| error.to_string())?;
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                match client.run(&self.calls(n)) {
                    Ok(()) => {}
                    Err(Stopped::Gone) => break,
                    Err(Stopped::Wrong(what)) => return Err(format!("{self:?}: {what}")),
                }
            }
            Ok(client.seen)
        })
    }
}

/// How many threads have wanted to run in the last minute for each core, at least 1.
fn busyness() -> TestResult<f64> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load: f64 = load.split(' ').next().unwrap_or_default().parse()?;
    Ok((load / f64::from(u32::try_from(cores)?)).max(1.0))
}

/// A server, and what it has to bear.
struct Setting<'a> {
    workers: usize,
    policy: &'a str,
    /// How much of the pool's size lies in database 0 before.
    filled_percent: usize,
    loads: &'a [Load],
}

impl Setting<'_> {
    fn check(&self) -> TestResult {
        let rounds: u32 = match std::env::var("PMEMKV_SOAK_ROUNDS") {
            Ok(rounds) => rounds.parse()?,
            Err(_) => 1,
        };
        let options = Options::new("cmap")
            .pool_size("64mb")
            .directive("worker-threads", &self.workers.to_string())
            .directive("maxmemory-policy", self.policy);
        let mut server = Server::start_with(options)?;
        let mut filler = Client::connect(server.port(), "filler")?;
        let fillers = POOL_BYTES / FILLER_BYTES * self.filled_percent / 100;
        let numbers: Vec<usize> = (0..fillers).collect();
        for some in numbers.chunks(20) {
            let calls: Vec<_> = some
                .iter()
                .map(|n| set(&format!("filler:{n}"), FILLER_BYTES))
                .collect();
            if let Err(Stopped::Wrong(what)) = filler.run(&calls) {
                return Err(what.into());
            }
        }

        let wait_max = WAIT_MAX.mul_f64(busyness()?);
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (self.loads.iter())
            .map(|load| load.start(server.port(), &stop))
            .collect();
        thread::sleep(rounds * ROUND);
        let asked = Instant::now();
        server.terminate()?;
        let ending = asked.elapsed();
        stop.store(true, Ordering::Relaxed);
        let mut waits = vec![("SIGTERM".to_owned(), ending)];
        for client in clients {
            let seen = client.join().map_err(|_| "a client panicked")??;
            let Seen {
                name,
                calls,
                refused,
                longest,
            } = seen;
            eprintln!("{name}: {calls} calls, {refused} refused, longest wait {longest:.3?}");
            waits.push((name, longest));
        }
        let Self {
            workers, policy, ..
        } = self;
        eprintln!(
            "{workers} workers, {policy}: SIGTERM took {ending:.3?}; {wait_max:.3?} are allowed"
        );
        let too_long: Vec<_> = (waits.into_iter())
            .filter(|(_, wait)| *wait > wait_max)
            .collect();
        if too_long.is_empty() {
            Ok(())
        } else {
            Err(format!("{workers} workers, {policy}: waits of {too_long:.3?}").into())
        }
    }
}

/// Transactions beside a pipeline of large values that are flushed.
const FLUSHES: [Load; 5] = [
    Load::FlushedPipeline,
    Load::Exec(0),
    Load::Exec(1),
    Load::Sets,
    Load::Gets,
];

/// The same, and writes that find no room.
const ALL: [Load; 8] = [
    Load::FlushedPipeline,
    Load::Exec(0),
    Load::Exec(1),
    Load::LargeExec,
    Load::LargeExec,
    Load::Sets,
    Load::Gets,
    Load::Several,
];

fn check_all(filled_percent: usize, policy: &str, loads: &[Load]) -> TestResult {
    for workers in [1, 2, 4] {
        Setting {
            workers,
            policy,
            filled_percent,
            loads,
        }
        .check()?;
    }
    Ok(())
}

#[test]
fn no_client_waits_while_flushed_values_are_removed() -> TestResult {
    check_all(0, "noeviction", &FLUSHES)
}

#[test]
fn no_client_waits_while_keys_are_evicted() -> TestResult {
    check_all(70, "allkeys-lru", &ALL)
}

#[test]
fn no_client_waits_in_a_pool_that_is_nearly_full() -> TestResult {
    check_all(60, "noeviction", &ALL)
}

//! Clients that cache keys, over TCP, as far as the fixed conversations (tests/differential) do not test them.

use std::collections::HashMap;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value};

const STORES: [&str; 2] = ["cmap", "cmap/pairs"];

/// A client with a cache of its own, as libraries have it.
struct Caching {
    client: RawClient,
    cache: HashMap<String, Option<String>>,
}

impl Caching {
    fn connect(port: u16, options: &str) -> std::io::Result<Self> {
        let mut client = RawClient::connect(port)?;
        client.line("HELLO 3")?;
        assert_eq!(
            client.line(format!("CLIENT TRACKING ON {options}").trim())?,
            Value::Simple(b"OK".to_vec())
        );
        Ok(Self {
            client,
            cache: HashMap::new(),
        })
    }

    /// Sends a call and reads up to its reply; it applies the invalidations that come before.
    fn call(&mut self, line: &str) -> std::io::Result<Value> {
        self.client.send(&line.split(' ').collect::<Vec<_>>())?;
        loop {
            match self.client.read()? {
                Value::Push(message) => self.invalidate(&message),
                reply => return Ok(reply),
            }
        }
    }

    fn invalidate(&mut self, message: &[Value]) {
        assert_eq!(message[0].text().as_deref(), Some("invalidate"));
        match message[1].items() {
            Some(keys) => {
                for key in keys.iter().filter_map(Value::text) {
                    self.cache.remove(&key);
                }
            }
            None => self.cache.clear(),
        }
    }

    /// After this, the client has read everything that was sent before.
    fn settle(&mut self) -> std::io::Result<()> {
        self.call("PING")?;
        self.call("PING")?;
        Ok(())
    }

    fn get(&mut self, key: &str) -> std::io::Result<()> {
        if !self.cache.contains_key(key) {
            let value = self.call(&format!("GET {key}"))?.text();
            self.cache.insert(key.to_owned(), value);
        }
        Ok(())
    }
}

const KEYS: usize = 6;
const ROUNDS: usize = 150;
const WRITES: usize = 12;
const READERS: usize = 4;
const WRITERS: usize = 3;

/// Readers cache and writers write, all at once. Whenever the writers rest, no cache may hold another value than the
/// server.
#[test]
fn no_cache_is_ever_stale() -> TestResult {
    for (store, options) in [("cmap", ""), ("cmap", "BCAST"), ("cmap/pairs", "NOLOOP")] {
        stress(store, options)?;
    }
    Ok(())
}

fn stress(store: &str, options: &'static str) -> TestResult {
    let server = Server::start_with(Options::new(store).directive("worker-threads", "4"))?;
    let port = server.port();
    let barrier = Arc::new(Barrier::new(READERS + WRITERS));
    let mut threads = Vec::new();
    for writer in 0..WRITERS {
        let barrier = Arc::clone(&barrier);
        threads.push(std::thread::spawn(move || -> std::io::Result<()> {
            let mut client = RawClient::connect(port)?;
            for round in 0..ROUNDS {
                barrier.wait();
                for write in 0..WRITES {
                    let a = (write * 7 + writer) % KEYS;
                    let b = (write + round) % KEYS;
                    let value = (round * WRITES + write) * WRITERS + writer;
                    let line = match (write + writer + round) % 8 {
                        0 => format!("DEL k{a}"),
                        1 => format!("MSET k{a} {value} k{b} {value}"),
                        2 => format!("APPEND k{a} x"),
                        3 => format!("GETSET k{a} {value}"),
                        4 if a != b => format!("COPY k{a} k{b} REPLACE"),
                        5 if round % 10 == 0 => "FLUSHDB".to_owned(),
                        6 => format!("SET k{a} {value} PX 1"),
                        _ => format!("SET k{a} {value}"),
                    };
                    client.line(&line)?;
                }
                barrier.wait();
                barrier.wait();
            }
            Ok(())
        }));
    }
    for reader in 0..READERS {
        let barrier = Arc::clone(&barrier);
        threads.push(std::thread::spawn(move || -> std::io::Result<()> {
            let mut caching = Caching::connect(port, options)?;
            let mut plain = RawClient::connect(port)?;
            let mut cached = 0;
            for round in 0..ROUNDS {
                barrier.wait();
                for read in 0..WRITES * 3 {
                    caching.get(&format!("k{}", (read * 5 + reader) % KEYS))?;
                    if read % 3 == 0 {
                        // Reads the messages that have arrived.
                        caching.call("PING")?;
                    }
                }
                barrier.wait();
                // The server invalidates an expired key when it removes it.
                let until = Instant::now() + Duration::from_secs(5);
                loop {
                    caching.settle()?;
                    let mut stale = Vec::new();
                    for (key, value) in &caching.cache {
                        let now = plain.line(&format!("GET {key}"))?.text();
                        if &now != value {
                            stale.push((key.clone(), value.clone(), now));
                        }
                    }
                    if stale.is_empty() {
                        break;
                    }
                    assert!(Instant::now() < until, "round {round}: {stale:?}");
                    std::thread::sleep(Duration::from_millis(10));
                }
                cached += caching.cache.len();
                barrier.wait();
            }
            assert!(cached > ROUNDS, "the caches were empty");
            Ok(())
        }));
    }
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    Ok(())
}

fn info(client: &mut RawClient, field: &str) -> TestResult<i64> {
    let text = client.line("INFO all")?.text().unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(field));
    Ok(value
        .ok_or(format!("INFO lacks {field}"))?
        .trim_start_matches(':')
        .parse()?)
}

#[test]
fn expired_and_flushed_keys_are_invalidated() -> TestResult {
    for store in STORES {
        let server = Server::start(store)?;
        let mut client = server.raw()?;
        let mut caching = Caching::connect(server.port(), "")?;
        client.line("SET k v PX 50")?;
        caching.get("k")?;
        let message = caching.client.read()?;
        caching.invalidate(message.items().unwrap_or_default());
        assert!(caching.cache.is_empty(), "it expired");
        for change in ["FLUSHALL", "FLUSHDB ASYNC"] {
            caching.get("k")?;
            client.line(change)?;
            caching.settle()?;
            assert!(caching.cache.is_empty(), "{change}");
        }
        caching.get("k")?;
        client.line("SWAPDB 0 1")?;
        caching.settle()?;
        assert_eq!(caching.cache.len(), 1, "Redis does not tell of SWAPDB");
    }
    Ok(())
}

#[test]
fn remembered_keys_have_a_limit_and_go_with_their_clients() -> TestResult {
    for store in STORES {
        let server =
            Server::start_with(Options::new(store).directive("tracking-table-max-keys", "100"))?;
        let mut client = server.raw()?;
        let mut caching = Caching::connect(server.port(), "")?;
        for key in 0..300 {
            caching.get(&format!("k{key}"))?;
        }
        caching.settle()?;
        assert_eq!(info(&mut client, "tracking_total_keys")?, 100);
        assert_eq!(info(&mut client, "tracking_total_items")?, 100);
        assert_eq!(
            caching.cache.len(),
            100,
            "the client was told of the others"
        );
        let mut other = Caching::connect(server.port(), "BCAST PREFIX a PREFIX b")?;
        assert_eq!(info(&mut client, "tracking_clients")?, 2);
        assert_eq!(info(&mut client, "tracking_total_prefixes")?, 2);
        let line = other.call("CLIENT LIST")?.text().unwrap_or_default();
        assert!(
            line.contains("flags=t ") && line.contains("flags=tB "),
            "{line}"
        );
        assert!(line.contains("redir=0"), "{line}");
        other.call("RESET")?;
        assert_eq!(info(&mut client, "tracking_clients")?, 1);
        assert_eq!(info(&mut client, "tracking_total_prefixes")?, 0);
        drop(caching);
        let until = Instant::now() + Duration::from_secs(10);
        while info(&mut client, "tracking_total_keys")? > 0 {
            assert!(Instant::now() < until, "the table is not given back");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(info(&mut client, "tracking_total_items")?, 0);
        assert_eq!(info(&mut client, "tracking_clients")?, 0);
    }
    Ok(())
}

/// A client that wrote a key itself and got no message still hears of the next change.
#[test]
fn noloop_omits_only_the_clients_own_changes() -> TestResult {
    let server = Server::start("cmap")?;
    let mut client = server.raw()?;
    let mut caching = Caching::connect(server.port(), "NOLOOP")?;
    caching.get("k")?;
    caching.call("SET k own")?;
    caching.settle()?;
    assert!(caching.cache.contains_key("k"));
    client.line("SET k other")?;
    caching.settle()?;
    assert!(caching.cache.is_empty());
    Ok(())
}

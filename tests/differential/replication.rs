//! Real servers as replicas of ours: clients write at random, links break, and in the end all hold the same.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::families::{
    Call, Compare, Generator, Random, bitmaps, geo, groups, hashes, hyperloglog, keys, lists,
    newer, run, scripting, sets, sortedsets, sorting, streams, strings, transactions,
};
use common::{Newer, Options, RawClient, RedisServer, Server, TestResult, Value};

/// How long a replica may take to have everything.
const PATIENCE: Duration = Duration::from_secs(60);

const GENERATORS: &[Generator] = &[
    keys::call,
    strings::call,
    bitmaps::call,
    hashes::call,
    lists::call,
    sets::call,
    sortedsets::call,
    streams::call,
    groups::call,
    geo::call,
    hyperloglog::call,
    sorting::call,
    transactions::call,
    scripting::of_collections,
    newer::string_call,
    newer::bit_call,
    short_deadline,
    counter,
    waiting,
];

/// For replicas that know deadlines of fields.
const OF_FIELDS: &[Generator] = &[newer::field_call, short_field, hashes::call];

/// Redis 8.2, as a program.
const REDIS_8: &str = "Redis 8.2";

/// Deadlines of fields that pass while the test runs.
fn short_field(random: &mut Random) -> Call {
    let (key, field) = (random.key_of("hash"), random.element());
    let ms = random.within(1..60).to_string().into_bytes();
    let words = |words: &[&[u8]]| Call::new(words.iter().map(|word| word.to_vec()));
    match random.below(5) {
        0 => words(&[b"HPEXPIRE", &key, &ms, b"FIELDS", b"1", &field]),
        1 => words(&[b"HSETEX", &key, b"PX", &ms, b"FIELDS", b"1", &field, b"v"]),
        2 => words(&[b"HGETEX", &key, b"PX", &ms, b"FIELDS", b"1", &field]),
        3 => words(&[b"HSET", &key, &field, b"v"]),
        _ => words(&[b"HSETEX", &key, b"KEEPTTL", b"FIELDS", b"1", &field, b"w"]),
    }
}

/// Deadlines that pass while the test runs.
fn short_deadline(random: &mut Random) -> Call {
    let (key, ms) = (random.key(), random.within(1..60).to_string());
    match random.below(4) {
        0 => Call::new([
            b"SET".to_vec(),
            key,
            b"v".to_vec(),
            b"PX".to_vec(),
            ms.into(),
        ]),
        1 => Call::new([b"PEXPIRE".to_vec(), key, ms.into()]),
        2 => Call::new([b"GETEX".to_vec(), key, b"PX".to_vec(), ms.into()]),
        _ => Call::new([b"PSETEX".to_vec(), key, ms.into(), b"1".to_vec()]),
    }
}

/// A change that shows if it happens twice.
fn counter(random: &mut Random) -> Call {
    let n = random.below(4);
    match random.below(5) {
        0 => Call::line(&format!("INCR n{n}")),
        1 => Call::line(&format!("RPUSH log{n} {}", random.below(1000))),
        2 => Call::line(&format!("INCRBYFLOAT f{n} 0.1")),
        3 => Call::line(&format!("HINCRBYFLOAT hf{n} f 0.3")),
        _ => Call::line(&format!("SPOP s{n} {}", 1 + random.below(3))),
    }
}

/// Calls that wait for a short time, and calls that serve them.
fn waiting(random: &mut Random) -> Call {
    let n = random.below(3);
    match random.below(9) {
        0 => Call::line(&format!("BLPOP w{n} w1 0.02")),
        1 => Call::line(&format!("BLMOVE w{n} w2 LEFT RIGHT 0.02")),
        2 => Call::line(&format!("BLMPOP 0.02 2 w{n} w0 LEFT COUNT 2")),
        3 => Call::line(&format!("BZPOPMIN z{n} 0.02")),
        4 => Call::line(&format!("BZMPOP 0.02 1 z{n} MAX COUNT 2")),
        5 => Call::line(&format!("ZADD z{n} 1 a 2 b 3 c")),
        6 => Call::line(&format!("SADD s{n} a b c d e f")),
        7 => Call::line(&format!("PUBLISH channel {n}")),
        _ => Call::line(&format!("RPUSH w{n} a b c")),
    }
}

/// Forwards connections to a port, and breaks them when it is told to.
struct Proxy {
    port: u16,
    links: Arc<Mutex<Vec<TcpStream>>>,
    ends: Arc<AtomicBool>,
}

impl Proxy {
    fn start(to: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = Self {
            port: listener.local_addr()?.port(),
            links: Arc::default(),
            ends: Arc::default(),
        };
        let (links, ends) = (Arc::clone(&proxy.links), Arc::clone(&proxy.ends));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", to)))
                else {
                    continue;
                };
                for (from, into) in [(&client, &server), (&server, &client)] {
                    if let (Ok(from), Ok(into)) = (from.try_clone(), into.try_clone()) {
                        std::thread::spawn(move || forward(from, into));
                    }
                }
                links
                    .lock()
                    .expect("no thread panics")
                    .extend([client, server]);
            }
        });
        Ok(proxy)
    }

    /// Breaks all connections. Bytes under way are lost.
    fn cut(&self) {
        for link in self.links.lock().expect("no thread panics").drain(..) {
            let _ = link.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.cut();
    }
}

fn forward(mut from: TcpStream, mut into: TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if into.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = into.shutdown(Shutdown::Both);
}

/// Sends random calls until `ends`, and returns how many.
fn write_at_random(
    port: u16,
    seed: u64,
    ends: &AtomicBool,
    knows_fields: bool,
) -> io::Result<usize> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(io::Error::other)?;
    let base_ms = i64::try_from(now.as_millis()).map_err(io::Error::other)?;
    let mut random = Random::new(seed, base_ms);
    let mut client = RawClient::connect(port)?;
    let mut calls = 0;
    while !ends.load(Ordering::Relaxed) {
        let of_fields = knows_fields && random.one_in(3);
        let call = random.next(if of_fields { OF_FIELDS } else { GENERATORS });
        let name = call.words.first().map(|word| word.to_ascii_lowercase());
        let is_plain = !matches!(
            call.compare,
            Compare::Scan | Compare::Walk | Compare::ExistingKey
        );
        let ends_link = [
            &b"quit"[..],
            b"reset",
            b"shutdown",
            b"monitor",
            b"subscribe",
            b"hello",
            // A replica has settings of its own.
            b"config",
        ];
        if !is_plain || name.is_some_and(|name| ends_link.contains(&&name[..])) {
            continue;
        }
        let mut words = call.words;
        if call.compare == Compare::Restore {
            let dump = client.call(&[b"DUMP".to_vec(), words[3].clone()])?;
            let Some(dump) = dump.bytes() else {
                continue;
            };
            words[3] = dump.to_vec();
        }
        match client.call(&words) {
            // The end breaks calls that wait.
            Err(_) if ends.load(Ordering::Relaxed) => break,
            reply => reply?,
        };
        calls += 1;
    }
    Ok(calls)
}

fn field(client: &mut RawClient, section: &str, name: &str) -> TestResult<String> {
    let text = client.call(&["INFO", section])?.text().unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|value| value.strip_prefix(':'));
    Ok(value
        .ok_or_else(|| format!("INFO {section} lacks {name}: {text}"))?
        .to_owned())
}

/// Waits until the replica has all that its master had when this began.
fn wait_for(replica: &mut RawClient, master: &mut RawClient) -> TestResult {
    let until = Instant::now() + PATIENCE;
    // Everything that was answered is in the stream once a replica has acknowledged this.
    master.line("SET end-of-test 1")?;
    while Instant::now() < until {
        let count = master.line("WAIT 1 1000")?.integer().unwrap_or(0);
        if count >= 1 && replica.line("GET end-of-test")?.bytes() == Some(b"1") {
            let end = field(master, "replication", "master_repl_offset")?;
            let has = field(replica, "replication", "master_repl_offset")?;
            if has.parse::<u64>()? >= end.parse::<u64>()? {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let info = replica.line("INFO replication")?.text().unwrap_or_default();
    Err(format!("the replica is not there after {PATIENCE:?}: {info}").into())
}

/// A replica of any make.
enum Replica {
    Real(RedisServer),
    Ours(Box<Server>),
}

impl Replica {
    /// Starts one: a program, or ours on the same store. `None` where there is no such program.
    fn start(program: &str, store: &str) -> TestResult<Option<Self>> {
        if program == "ours" {
            let server = Server::start_with(Options::new(store).directive("worker-threads", "2"))?;
            return Ok(Some(Self::Ours(Box::new(server))));
        }
        if program == REDIS_8 {
            return Ok(Newer::Redis.start(&[])?.map(Self::Real));
        }
        match RedisServer::start_program(program, &[]) {
            Ok(server) => Ok(Some(Self::Real(server))),
            Err(error) => {
                eprintln!("skipped: there is no {program} ({error})");
                Ok(None)
            }
        }
    }

    fn raw(&self) -> TestResult<RawClient> {
        match self {
            Self::Real(server) => server.raw(),
            Self::Ours(server) => server.raw(),
        }
    }
}

/// One round: a replica joins while clients write, its link breaks now and then, and in the end it holds the same.
fn round(program: &str, seed: u64, store: &str) -> TestResult {
    let options = Options::new(store)
        .directive("worker-threads", "2")
        .directive(
            "repl-backlog-size",
            if seed.is_multiple_of(2) {
                "16mb"
            } else {
                "16kb"
            },
        );
    let ours = Server::start_with(options)?;
    let proxy = Proxy::start(ours.port())?;
    let Some(replica) = Replica::start(program, store)? else {
        return Ok(());
    };
    let port = ours.port();
    let knows_fields = matches!(replica, Replica::Ours(_)) || program == REDIS_8;
    let ends = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let ends = Arc::clone(&ends);
            std::thread::spawn(move || write_at_random(port, seed * 10 + n, &ends, knows_fields))
        })
        .collect();
    let mut real = replica.raw()?;
    std::thread::sleep(Duration::from_millis(300));
    real.line(&format!("REPLICAOF 127.0.0.1 {}", proxy.port))?;
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(700));
        proxy.cut();
    }
    std::thread::sleep(Duration::from_millis(300));
    ends.store(true, Ordering::Relaxed);
    let mut master = ours.raw()?;
    std::thread::sleep(Duration::from_millis(500));
    master.line("CLIENT KILL TYPE normal SKIPME yes")?;
    let mut calls = 0;
    for writer in writers {
        calls += writer.join().map_err(|_| "a writer panicked")??;
    }
    assert!(calls > 500, "only {calls} calls");
    if knows_fields {
        // What the writers have left may have none at this moment.
        master.line("HSET one:with:a:deadline field value")?;
        master.line("HPEXPIRE one:with:a:deadline 3600000 FIELDS 1 field")?;
    }
    wait_for(&mut real, &mut master)?;
    let full = field(&mut master, "stats", "sync_full")?;
    let partial = field(&mut master, "stats", "sync_partial_ok")?;
    eprintln!("seed {seed}: {calls} calls, {full} full copies, {partial} partial ones");
    let mut last = String::new();
    // A deadline may pass between the look at the one and at the other.
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(500));
        match run::compare_replica(ours.raw()?, replica.raw()?) {
            Ok(()) if !knows_fields => return Ok(()),
            Ok(()) => match compare_fields(&mut ours.raw()?, &mut replica.raw()?)? {
                None => return Ok(()),
                Some(difference) => last = difference,
            },
            Err(error) => last = error,
        }
    }
    Err(format!("seed {seed}: {last}").into())
}

/// Compares the deadlines of all fields; says what differs first.
fn compare_fields(master: &mut RawClient, replica: &mut RawClient) -> TestResult<Option<String>> {
    let mut with_deadlines = 0;
    for db in 0..16 {
        let select = format!("SELECT {db}");
        master.line(&select)?;
        replica.line(&select)?;
        let keys = master.line("KEYS *")?;
        for key in keys.items().unwrap_or_default() {
            let key = key.bytes().unwrap_or_default();
            let names = match master.call(&[b"HKEYS".as_slice(), key])? {
                Value::Array(names) if !names.is_empty() => names,
                _ => continue,
            };
            let count = names.len().to_string();
            let mut words = vec![b"HPEXPIRETIME".as_slice(), key, b"FIELDS", count.as_bytes()];
            words.extend(names.iter().filter_map(Value::bytes));
            let (ours, theirs) = (master.call(&words)?, replica.call(&words)?);
            if ours != theirs {
                let key = key.escape_ascii();
                return Ok(Some(format!(
                    "database {db}, {key}: {names:?}\nmaster  {ours:?}\nreplica {theirs:?}"
                )));
            }
            let times = ours.items().unwrap_or_default().iter();
            with_deadlines += times.filter(|time| time.integer() > Some(0)).count();
        }
    }
    assert!(with_deadlines > 0, "no field has a deadline");
    Ok(None)
}

fn rounds(program: &str, seeds: std::ops::Range<u64>, store: &str) -> TestResult {
    // By hand: PMEMKV_ROUNDS=30.
    let more = std::env::var("PMEMKV_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    let end = more.map_or(seeds.end, |rounds: u64| seeds.start + rounds);
    (seeds.start..end).try_for_each(|seed| round(program, seed, store))
}

#[test]
fn replicas_of_redis_hold_what_clients_wrote() -> TestResult {
    rounds("redis-server", 1..4, "cmap")
}

#[test]
fn replicas_of_redis_hold_what_clients_wrote_in_pairs() -> TestResult {
    rounds("redis-server", 100..101, "cmap/pairs")
}

#[test]
fn replicas_of_valkey_hold_what_clients_wrote() -> TestResult {
    let program = std::env::var("PMEMKV_VALKEY").unwrap_or_else(|_| "valkey-server".to_owned());
    rounds(&program, 200..201, "cmap")
}

#[test]
fn replicas_of_redis_8_hold_what_clients_wrote() -> TestResult {
    rounds(REDIS_8, 400..402, "cmap")
}

#[test]
fn replicas_of_our_own_hold_what_clients_wrote() -> TestResult {
    rounds("ours", 300..302, "cmap")
}

/// A replica takes over, and another one goes on from it without a copy.
#[test]
fn another_replica_follows_the_one_that_takes_over() -> TestResult {
    let first = Server::start("cmap")?;
    let second = Server::start("cmap")?;
    let third = RedisServer::start()?;
    let mut clients = (first.raw()?, second.raw()?, third.raw()?);
    clients.0.line("SET a 1")?;
    for client in [&mut clients.1, &mut clients.2] {
        client.line(&format!("REPLICAOF 127.0.0.1 {}", first.port()))?;
    }
    let until = Instant::now() + PATIENCE;
    while clients.0.line("WAIT 2 1000")?.integer() != Some(2) {
        assert!(Instant::now() < until, "two replicas");
    }
    clients.0.line("SET b 2")?;
    let offset = field(&mut clients.0, "replication", "master_repl_offset")?;
    while clients.0.line("WAIT 2 1000")?.integer() != Some(2) {
        assert!(Instant::now() < until, "two replicas");
    }
    std::thread::sleep(Duration::from_millis(300));
    drop(first);
    clients.1.line("REPLICAOF NO ONE")?;
    let at = field(&mut clients.1, "replication", "master_repl_offset")?;
    assert!(
        at.parse::<u64>()? >= offset.parse::<u64>()?,
        "{at} and {offset}"
    );
    clients
        .2
        .line(&format!("REPLICAOF 127.0.0.1 {}", second.port()))?;
    wait_for(&mut clients.2, &mut clients.1)?;
    assert_eq!(field(&mut clients.1, "stats", "sync_full")?, "0");
    assert_eq!(field(&mut clients.1, "stats", "sync_partial_ok")?, "1");
    assert_eq!(clients.2.line("GET b")?.bytes(), Some(&b"2"[..]));
    Ok(())
}

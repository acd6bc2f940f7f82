//! Sends random calls to both servers and compares the replies.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Call, Compare, Generator, Random, differences, properties, stream_times};
use common::{RawClient, RedisServer, Subject, TestResult, Value, encode};

/// The seed if `PMEMKV_SEED` is not set.
const SEED: u64 = 20_260;
/// Calls of one test if `PMEMKV_STEPS` is not set.
const STEPS: usize = 5_000;
/// Calls between two clean starts, so that a failure has a short history.
const SEQUENCE: usize = 500;
/// The most calls that are sent together.
const PIPELINE_MAX: usize = 30;
/// How many calls before the failing one a failure shows.
const HISTORY: usize = 40;
/// How far relative deadlines may differ even if both servers answer at once, ms.
const CLOCKS_MS: i64 = 50;
/// A scan of a handful of keys with more calls than this will never end.
const SCAN_CALLS_MAX: usize = 10_000;

/// The databases that are compared at the end of a sequence.
const DATABASES: &[&str] = &["0", "1", "2", "3", "10", "15"];

/// Runs random calls of `generators` on both servers; they must also agree on hits and misses.
pub fn compare(name: &str, generators: &[Generator]) -> TestResult {
    compare_by(name, generators, true, &RedisServer::start()?)
}

/// The same without counting hits and misses.
pub fn compare_replies(name: &str, generators: &[Generator]) -> TestResult {
    compare_by(name, generators, false, &RedisServer::start()?)
}

/// The same, with a server of a later version.
pub fn compare_replies_with(
    real: &RedisServer,
    name: &str,
    generators: &[Generator],
) -> TestResult {
    compare_by(name, generators, false, real)
}

fn compare_by(
    name: &str,
    generators: &[Generator],
    with_lookups: bool,
    real: &RedisServer,
) -> TestResult {
    let seed = seed()?;
    let steps = match std::env::var("PMEMKV_STEPS") {
        Ok(steps) => steps.parse()?,
        Err(_) => STEPS,
    };
    let engine = std::env::var("PMEMKV_ENGINE").unwrap_or_else(|_| "cmap".to_owned());
    let ours = Subject::start(&engine)?;
    let base_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let mut errors = 0;

    for sequence in 0..steps.div_ceil(SEQUENCE) {
        let sequence_seed = seed.wrapping_mul(1_000_003).wrapping_add(sequence as u64);
        let mut random = Random::new(sequence_seed, base_ms);
        let calls: Vec<Call> = (0..SEQUENCE).map(|_| random.next(generators)).collect();
        let mut pair = Pair::connect(&ours, real)?;
        let run = pair.run(&calls, &mut random).and_then(|()| {
            // A fresh connection speaks RESP2 and selects database 0, whatever the calls have done.
            pair.reconnect(&ours, real)?;
            if with_lookups {
                pair.compare_lookups()?;
            }
            pair.compare_contents()
        });
        errors += pair.errors;
        if let Err(failure) = run {
            panic!(
                "{name}: PMEMKV_SEED={seed} PMEMKV_STEPS={steps}, sequence {sequence}\n{}",
                failure.report(&calls)
            );
        }
    }
    // A user without most permissions would compare little but refusals.
    let calls = steps.div_ceil(SEQUENCE) * SEQUENCE;
    assert!(
        with_lookups || errors * 2 < calls,
        "{name}: {errors} errors in {calls} calls"
    );
    Ok(())
}

fn seed() -> TestResult<u64> {
    Ok(match std::env::var("PMEMKV_SEED") {
        Ok(word) if word == "random" => rand::random(),
        Ok(number) => number.parse()?,
        Err(_) => SEED,
    })
}

/// Why a sequence failed.
struct Failure {
    /// The call at which it failed; the length of the sequence if the contents differ at the end.
    step: Option<usize>,
    what: String,
}

impl Failure {
    fn report(&self, calls: &[Call]) -> String {
        let end = self.step.map_or(calls.len(), |step| step + 1);
        let mut report = String::new();
        for (step, call) in calls[..end]
            .iter()
            .enumerate()
            .skip(end.saturating_sub(HISTORY))
        {
            let _ = writeln!(report, "{step:5} {}", show(call));
        }
        report + &self.what
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            step: None,
            what: format!("connection: {error}"),
        }
    }
}

fn show(call: &Call) -> String {
    let words = call.words.iter().map(|word| {
        let text = word[..word.len().min(80)].escape_ascii();
        format!("\"{text}\"")
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A connection to each server.
pub(super) struct Pair {
    pub(super) ours: RawClient,
    pub(super) real: RawClient,
    /// Whether each server understands the other's dumps.
    pub(super) exchanges_dumps: bool,
    /// Whether the compared server is ours, and not another program.
    is_ours: bool,
    /// Replies that were errors.
    errors: usize,
    /// The longest time in which both ran the same calls: their clocks may differ by this much.
    skew: Duration,
    /// Redis 7.0 counts a hit for each key whose type SCAN compares, 7.2 does not.
    scan_hits: i64,
}

impl Pair {
    fn connect(ours: &Subject, real: &RedisServer) -> TestResult<Self> {
        let mut pair = Self {
            ours: ours.raw()?,
            real: real.raw()?,
            exchanges_dumps: ours.exchanges_dumps(),
            is_ours: ours.is_ours(),
            errors: 0,
            skew: Duration::ZERO,
            scan_hits: 0,
        };
        for client in [&mut pair.ours, &mut pair.real] {
            client.line("FLUSHALL")?;
            client.line("CONFIG RESETSTAT")?;
        }
        Ok(pair)
    }

    fn reconnect(&mut self, ours: &Subject, real: &RedisServer) -> io::Result<()> {
        self.ours = RawClient::connect(ours.port())?;
        self.real = RawClient::connect(real.port())?;
        Ok(())
    }

    fn run(&mut self, calls: &[Call], random: &mut Random) -> Result<(), Failure> {
        let mut step = 0;
        while step < calls.len() {
            let failed = |what: String| Failure {
                step: Some(step),
                what,
            };
            match calls[step].compare {
                Compare::Scan => {
                    self.compare_scan(&calls[step]).map_err(failed)?;
                    step += 1;
                }
                Compare::ExistingKey => {
                    self.compare_existing_key(&calls[step]).map_err(failed)?;
                    step += 1;
                }
                Compare::Walk | Compare::Chosen | Compare::Restore => {
                    properties::compare(self, &calls[step]).map_err(failed)?;
                    step += 1;
                }
                _ => {
                    let len = 1 + random.below(PIPELINE_MAX);
                    let piped = |call: &&Call| !call.compare.is_alone();
                    let len = calls[step..].iter().take_while(piped).take(len).count();
                    self.run_pipeline(calls, step, len)?;
                    step += len;
                }
            }
        }
        Ok(())
    }

    fn run_pipeline(&mut self, calls: &[Call], first: usize, len: usize) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        for call in &calls[first..first + len] {
            encode(&mut bytes, &call.words);
        }
        let start = Instant::now();
        self.ours.send_bytes(&bytes)?;
        self.real.send_bytes(&bytes)?;
        for (step, call) in calls.iter().enumerate().skip(first).take(len) {
            let failed = |what: String| Failure {
                step: Some(step),
                what,
            };
            let real = self
                .real
                .read()
                .map_err(|error| failed(format!("redis-server: {error}")))?;
            let ours = self
                .ours
                .read()
                .map_err(|error| failed(format!("ours: {error}")))?;
            self.skew = self.skew.max(start.elapsed());
            self.errors += usize::from(real.is_error());
            if !self.agree(call, &ours, &real) {
                return Err(failed(format!(
                    "ours         {ours:?}\nredis-server {real:?}"
                )));
            }
        }
        Ok(())
    }

    /// How far the two servers' relative deadlines may differ.
    fn tolerance_ms(&self) -> i64 {
        // Once for setting the deadline, once for reading it.
        CLOCKS_MS + 2 * i64::try_from(self.skew.as_millis()).unwrap_or(i64::MAX / 4)
    }

    pub(super) fn agree(&self, call: &Call, ours: &Value, real: &Value) -> bool {
        let near = |max: i64| match (ours.integer(), real.integer()) {
            // Negative numbers mean that there is no key or no deadline.
            (Some(ours), Some(real)) if ours >= 0 && real >= 0 => (ours - real).abs() <= max,
            _ => ours == real,
        };
        let agree = match call.compare {
            Compare::Within(max) => near(max),
            Compare::Milliseconds => near(self.tolerance_ms()),
            Compare::Unordered => sorted(ours) == sorted(real),
            Compare::Pairs => sorted_pairs(ours) == sorted_pairs(real),
            Compare::Length => match (ours.items(), real.items()) {
                (Some(ours), Some(real)) => ours.len() == real.len(),
                _ => ours == real,
            },
            Compare::Each => match (ours.items(), real.items()) {
                (Some(ours), Some(real)) if ours.len() == real.len() => {
                    let within = |ours: i64, real: i64| {
                        ours == real
                            || (ours >= 0
                                && real >= 0
                                && (ours - real).abs() <= self.tolerance_ms())
                    };
                    ours.iter().zip(real).all(|(ours, real)| {
                        match (ours.integer(), real.integer()) {
                            (Some(ours), Some(real)) => within(ours, real),
                            _ => ours == real,
                        }
                    })
                }
                _ => ours == real,
            },
            Compare::EntryIds => stream_times::without_ids(ours) == stream_times::without_ids(real),
            Compare::Times => stream_times::agree(call, ours, real, self.tolerance_ms()),
            Compare::Encoding(name) => {
                let exactly = ours.bytes() == Some(name.as_bytes());
                (exactly || !self.is_ours && differences::is_encoding(name, ours))
                    && differences::is_encoding(name, real)
            }
            Compare::Exact
            | Compare::ExistingKey
            | Compare::Scan
            | Compare::Walk
            | Compare::Chosen
            | Compare::Restore => ours == real,
        };
        agree
            || differences::REPLIES
                .iter()
                .any(|(_, explains)| explains(call, ours, real))
    }

    fn compare_existing_key(&mut self, call: &Call) -> Result<(), String> {
        let key_of = |client: &mut RawClient| -> io::Result<(Value, bool)> {
            let key = client.call(&call.words)?;
            let exists = match key.bytes() {
                Some(bytes) => client.call(&[b"EXISTS".as_slice(), bytes])? == Value::Integer(1),
                None => key.is_null(),
            };
            Ok((key, exists))
        };
        let (ours, ours_exists) = key_of(&mut self.ours).map_err(|error| error.to_string())?;
        let (real, _) = key_of(&mut self.real).map_err(|error| error.to_string())?;
        if ours_exists && ours.is_null() == real.is_null() {
            Ok(())
        } else {
            Err(format!(
                "ours {ours:?} exists: {ours_exists}; redis-server {real:?}"
            ))
        }
    }

    fn compare_scan(&mut self, call: &Call) -> Result<(), String> {
        let ours = scan(&mut self.ours, call).map_err(|error| format!("ours: {error}"))?;
        let real = self
            .scan_real(call)
            .map_err(|error| format!("redis-server: {error}"))?;
        if ours == real {
            Ok(())
        } else {
            Err(format!(
                "SCAN\nours         {ours:?}\nredis-server {real:?}"
            ))
        }
    }

    fn scan_real(&mut self, call: &Call) -> io::Result<BTreeSet<Value>> {
        let (before, _) = lookups(&mut self.real)?;
        let keys = scan(&mut self.real, call)?;
        let (after, _) = lookups(&mut self.real)?;
        self.scan_hits += after - before;
        Ok(keys)
    }

    /// How many keys were looked up and found, and how many were not.
    fn compare_lookups(&mut self) -> Result<(), Failure> {
        let ours = lookups(&mut self.ours)?;
        let (real_hits, real_misses) = lookups(&mut self.real)?;
        let real = (real_hits - self.scan_hits, real_misses);
        if ours == real {
            return Ok(());
        }
        Err(Failure {
            step: None,
            what: format!("hits and misses: ours {ours:?}, redis-server {real:?}"),
        })
    }

    /// Everything that both servers hold.
    fn compare_contents(&mut self) -> Result<(), Failure> {
        let start = Instant::now();
        let ours = contents(&mut self.ours)?;
        let real = contents(&mut self.real)?;
        self.skew = self.skew.max(start.elapsed());
        let tolerance = self.tolerance_ms();
        let same = |(ours, real): (&Held, &Held)| {
            let ttls = ours.pttl == real.pttl
                || (ours.pttl >= 0 && real.pttl >= 0 && (ours.pttl - real.pttl).abs() <= tolerance);
            ours.db == real.db
                && ours.key == real.key
                && properties::same_value(&ours.value, &real.value)
                && ttls
        };
        if ours.len() == real.len() && ours.iter().zip(&real).all(same) {
            return Ok(());
        }
        Err(Failure {
            step: None,
            what: format!("contents at the end\nours         {ours:?}\nredis-server {real:?}"),
        })
    }
}

/// Compares all that a replica holds with what its master does. Their deadlines are the same points in time.
pub fn compare_replica(mut master: RawClient, mut replica: RawClient) -> Result<(), String> {
    let start = Instant::now();
    let ours = contents(&mut master).map_err(|error| format!("master: {error}"))?;
    let theirs = contents(&mut replica).map_err(|error| format!("replica: {error}"))?;
    let tolerance = CLOCKS_MS + i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX / 2);
    let same = |(ours, theirs): (&Held, &Held)| {
        ours.db == theirs.db
            && ours.key == theirs.key
            && properties::same_value(&ours.value, &theirs.value)
            && (ours.pttl == theirs.pttl
                || (ours.pttl >= 0 && (ours.pttl - theirs.pttl).abs() <= tolerance))
    };
    let mut differences = Vec::new();
    for pair in ours.iter().zip(&theirs) {
        if !same(pair) {
            differences.push(format!("master  {:?}\nreplica {:?}", pair.0, pair.1));
        }
    }
    if differences.is_empty() && ours.len() == theirs.len() {
        return Ok(());
    }
    Err(format!(
        "{} and {} keys\n{}",
        ours.len(),
        theirs.len(),
        differences[..differences.len().min(3)].join("\n")
    ))
}

/// Items in a fixed order.
pub(super) fn sorted(value: &Value) -> Value {
    match value.clone() {
        Value::Array(mut items) => {
            items.sort();
            Value::Array(items)
        }
        Value::Set(mut items) => {
            items.sort();
            Value::Set(items)
        }
        other => other,
    }
}

/// Pairs in a fixed order, in either protocol.
pub(super) fn sorted_pairs(value: &Value) -> Value {
    match value.clone() {
        Value::Map(mut pairs) => {
            pairs.sort();
            Value::Map(pairs)
        }
        Value::Array(items) if items.len().is_multiple_of(2) => {
            let mut pairs: Vec<&[Value]> = items.chunks_exact(2).collect();
            pairs.sort();
            Value::Array(pairs.concat())
        }
        other => other,
    }
}

fn scan(client: &mut RawClient, call: &Call) -> io::Result<BTreeSet<Value>> {
    let mut keys = BTreeSet::new();
    let mut cursor = b"0".to_vec();
    for _ in 0..SCAN_CALLS_MAX {
        let words = [b"SCAN".to_vec(), cursor];
        let words: Vec<_> = words.iter().chain(&call.words).collect();
        let reply = client.call(&words)?;
        let unexpected = || io::Error::other(format!("{reply:?}"));
        let [next, page] = reply.items().ok_or_else(unexpected)? else {
            return Err(unexpected());
        };
        keys.extend(page.items().ok_or_else(unexpected)?.iter().cloned());
        cursor = next.bytes().ok_or_else(unexpected)?.to_vec();
        if cursor == b"0" {
            return Ok(keys);
        }
    }
    Err(io::Error::other("the walk does not end"))
}

/// Keyspace hits and misses since the sequence began.
fn lookups(client: &mut RawClient) -> io::Result<(i64, i64)> {
    let stats = client.line("INFO stats")?.text().unwrap_or_default();
    let field = |name: &str| {
        let value = stats.lines().find_map(|line| line.strip_prefix(name));
        value
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| io::Error::other(format!("INFO stats lacks {name}")))
    };
    Ok((field("keyspace_hits:")?, field("keyspace_misses:")?))
}

/// One key with everything that belongs to it.
#[derive(Debug)]
struct Held {
    db: &'static str,
    key: Value,
    value: Value,
    pttl: i64,
}

fn contents(client: &mut RawClient) -> io::Result<Vec<Held>> {
    let mut held = Vec::new();
    for &db in DATABASES {
        client.call(&["SELECT", db])?;
        let keys = sorted(&client.line("KEYS *")?);
        for key in keys.items().unwrap_or_default() {
            let name = key.bytes().unwrap_or_default();
            let mut value = properties::value(client, name)?;
            if value
                .bytes()
                .is_some_and(|bytes| bytes.starts_with(b"HYLL"))
            {
                // The same registers have several encodings, so the test compares the estimate.
                value = client.call(&[b"PFCOUNT".as_slice(), name])?;
            }
            let pttl = client.call(&[b"PTTL".as_slice(), name])?;
            held.push(Held {
                db,
                key: key.clone(),
                value,
                pttl: pttl.integer().unwrap_or(i64::MIN),
            });
        }
        let size = client.line("DBSIZE")?;
        held.push(Held {
            db,
            key: Value::Simple(b"DBSIZE".to_vec()),
            value: size,
            pttl: -1,
        });
    }
    Ok(held)
}

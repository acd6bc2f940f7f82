//! Runs every command that writes in every case: it changes something, nothing, or only one of its keys. The observers
//! of both servers must see the same.
//!
//! [`rows`] names states and calls; a case is a call on keys in certain states. The observers are a client that watches
//! each key, a client that caches the keys, one in broadcast mode, and a subscriber to keyspace events.

mod encodings;
mod observers;
mod rows;
mod states;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use encodings::compare as compare_encodings;

use observers::Observers;
use rows::{OURS, ROWS};
use states::Row;

use super::{Random, differences};
use common::{RawClient, RedisServer, Subject, TestResult, Value};

/// The seed if `PMEMKV_SEED` is not set.
const SEED: u64 = 20_260;

/// About how many differences a failure shows: some of each command.
const SHOWN_MAX: usize = 100;

/// What is special about the keys of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// Nothing.
    Plain,
    /// The keys have a deadline far ahead: all, or one of them.
    Ttl(Which),
    /// The keys are past their deadline, but no command has touched them since.
    Expired(Which),
    /// The call runs in a transaction.
    Queued,
}

/// Which keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    K,
    D,
}

impl Which {
    /// Whether the key of that name is one of them.
    pub fn has(self, key: &str) -> bool {
        match self {
            Which::All => true,
            Which::K => key == "k",
            Which::D => key == "d",
        }
    }
}

/// One call on keys in certain states.
#[derive(Clone)]
pub struct Case {
    command: &'static str,
    arguments: &'static str,
    /// States of `k`, `d` and of `k` in database 1.
    states: [&'static str; 3],
    twist: Twist,
    draws: bool,
}

impl Case {
    /// How many of `k`, `d` and `e` exist.
    pub fn keys(&self) -> i64 {
        self.states[..2]
            .iter()
            .map(|state| i64::from(!state.is_empty()))
            .sum()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [k, d, k1] = self.states;
        write!(f, "{} {}   k: {k}", self.command, self.arguments)?;
        for (name, state) in [("d", d), ("k in 1", k1)] {
            if !state.is_empty() {
                write!(f, "  {name}: {state}")?;
            }
        }
        match self.twist {
            Twist::Plain => Ok(()),
            twist => write!(f, "  {twist:?}"),
        }
    }
}

/// What the observers learned of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub reply: Value,
    /// The watched keys whose watcher's EXEC did nothing.
    pub watched: Vec<&'static str>,
    /// Invalidations of a client that has read the keys, in order.
    pub tracked: Vec<String>,
    /// Invalidations in broadcast mode. Redis gathers them and sends them in no order.
    pub broadcast: BTreeSet<String>,
    /// Keyspace events, in order.
    pub events: Vec<String>,
    /// Type, encoding and kind of deadline of each key afterwards.
    pub after: Vec<String>,
}

/// Runs the sweep, and compares.
pub fn compare() -> TestResult {
    let (ours, real) = (
        Subject::start_with("cmap", &["--enable-debug-command", "yes"])?,
        // The real server looks after waiting clients 100 times a second.
        RedisServer::start_with(&["--enable-debug-command", "yes", "--hz", "100"])?,
    );
    if ours.is_ours() {
        covers_all_writes(&mut ours.raw()?)?;
    }
    let seed = match std::env::var("PMEMKV_SEED") {
        Ok(word) if word == "random" => rand::random(),
        Ok(number) => number.parse()?,
        Err(_) => SEED,
    };
    let cases = cases(&mut Random::new(seed, 0), steps()?);
    let payloads = payloads(&mut real.raw()?)?;
    let run = |port: u16| -> Result<Vec<Seen>, String> {
        let mut observers = Observers::connect(port, &payloads).map_err(|e| e.to_string())?;
        let told = cases.iter().map(|case| observers.observe(case));
        told.collect::<Result<_, _>>().map_err(|e| e.to_string())
    };
    let (of_ours, of_real) = std::thread::scope(|scope| {
        let of_ours = scope.spawn(|| run(ours.port()));
        let of_real = run(real.port());
        (of_ours.join(), of_real)
    });
    let of_ours = of_ours.map_err(|_| "the thread of our server panicked")??;
    let mut differing = BTreeMap::<_, Vec<String>>::new();
    for ((case, ours), real) in cases.iter().zip(of_ours).zip(of_real?) {
        if !agree(case, &ours, &real) {
            let report = format!("{case}\n{}", show(&ours, &real));
            differing.entry(case.command).or_default().push(report);
        }
    }
    let counts = differing
        .iter()
        .map(|(name, reports)| (*name, reports.len()));
    let counts: BTreeMap<&str, usize> = counts.collect();
    let each = SHOWN_MAX / differing.len().max(1) + 1;
    let shown = differing.values().flat_map(|all| all.iter().take(each));
    let shown: Vec<&str> = shown.map(String::as_str).collect();
    assert!(
        differing.is_empty(),
        "PMEMKV_SEED={seed}: {} of {} cases differ: {counts:?}\n\n{}\n\nof keys past their deadline is tolerated: {:#?}",
        counts.values().sum::<usize>(),
        cases.len(),
        shown.join("\n\n"),
        differences::EXPIRY
    );
    Ok(())
}

/// The least number of cases to run; all cases without a twist always run.
fn steps() -> TestResult<usize> {
    Ok(match std::env::var("PMEMKV_STEPS") {
        Ok(steps) => steps.parse()?,
        Err(_) => 0,
    })
}

fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().chain(streams::ROWS)
}

/// Every command that writes must have a row.
fn covers_all_writes(client: &mut RawClient) -> TestResult {
    let all = client.line("COMMAND")?;
    let mut missing = Vec::new();
    for command in all.items().unwrap_or_default() {
        let Some([name, _, flags, ..]) = command.items() else {
            continue;
        };
        let name = name.text().unwrap_or_default();
        let flags = flags.items().unwrap_or_default();
        let writes = flags.iter().any(|flag| flag.bytes() == Some(b"write"));
        let has_row = rows().any(|row| row.command == name);
        let may_lack = OURS
            .iter()
            .chain(streams::LATER)
            .any(|other| *other == name);
        if writes && !has_row && !may_lack {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("commands that write, without a row in the sweep: {missing:?}").into())
}

/// All cases without a twist, and some of them with one: an eighth as many, or more if `steps` asks for them.
fn cases(random: &mut Random, steps: usize) -> Vec<Case> {
    let mut all: Vec<Case> = rows().flat_map(of_row).collect();
    let plain = all.len();
    for _ in 0..steps.saturating_sub(plain).max(plain / 8) {
        let which = random.pick(&[Which::All, Which::K, Which::D]);
        let twists = [Twist::Ttl(which), Twist::Expired(which), Twist::Queued];
        let twist = random.pick(&twists);
        let case = all[random.below(plain)].clone();
        all.push(Case { twist, ..case });
    }
    all
}

fn of_row(row: &'static Row) -> Vec<Case> {
    let mut cases = Vec::new();
    for &arguments in row.calls {
        let names = |key: &str| arguments.split(' ').any(|word| word == key);
        let states = |of: states::States, matters: bool| if matters { of } else { &of[..1] };
        for k in states(row.k, names("k") || row.k1.len() > 1) {
            for d in states(row.d, names("d")) {
                for k1 in row.k1 {
                    cases.push(Case {
                        command: row.command,
                        arguments,
                        states: [k, d, k1],
                        twist: Twist::Plain,
                        draws: row.draws,
                    });
                }
            }
        }
    }
    cases
}

/// The payloads for RESTORE and a sketch's bytes, by the arguments that stand for them.
fn payloads(client: &mut RawClient) -> TestResult<Vec<(&'static str, Vec<u8>)>> {
    let mut all = Vec::new();
    for (name, value) in [("10-DUMP", "10"), ("ab-DUMP", "ab")] {
        client.call(&["SET", "dumped", value])?;
        let payload = client.line("DUMP dumped")?;
        all.push((name, payload.bytes().ok_or("no payload")?.to_vec()));
    }
    client.line("DEL dumped")?;
    client.line("PFADD sketch a")?;
    let sketch = client.line("GET sketch")?;
    all.push(("SKETCH", sketch.bytes().ok_or("no sketch")?.to_vec()));
    client.line("DEL sketch")?;
    Ok(all)
}

fn agree(case: &Case, ours: &Seen, real: &Seen) -> bool {
    let (mut ours, mut real) = (ours.clone(), real.clone());
    let call = super::Call::line(case.command);
    let explained = differences::REPLIES
        .iter()
        .any(|(_, explains)| explains(&call, &ours.reply, &real.reply));
    if explained || case.draws {
        // Another test compares random results.
        ours.reply = Value::Null;
        real.reply = Value::Null;
    }
    if let Twist::Expired(which) = case.twist {
        let gone = (ours.set_expiry_aside(which), real.set_expiry_aside(which));
        if case.command == "restore" {
            real.watched.clone_from(&ours.watched);
            return ours == real;
        }
        return gone.0 == gone.1 && ours == real;
    }
    ours == real
}

impl Seen {
    /// Removes the events of expired keys, and returns them without their order; see `differences::EXPIRY`.
    fn set_expiry_aside(&mut self, which: Which) -> (BTreeSet<String>, BTreeSet<String>) {
        let mut gone = BTreeSet::new();
        self.events.retain(|event| {
            let (name, key) = event.split_once(" 0:").unwrap_or_default();
            let is_end = name == "expired" || name == "del" && which.has(key);
            if is_end {
                gone.insert(key.to_owned());
            }
            !is_end
        });
        (
            gone,
            std::mem::take(&mut self.tracked).into_iter().collect(),
        )
    }
}

/// The differences, side by side.
fn show(ours: &Seen, real: &Seen) -> String {
    let fields = |seen: &Seen| {
        [
            ("reply", format!("{:?}", seen.reply)),
            ("watched", format!("{:?}", seen.watched)),
            ("tracked", format!("{:?}", seen.tracked)),
            ("broadcast", format!("{:?}", seen.broadcast)),
            ("events", format!("{:?}", seen.events)),
            ("after", format!("{:?}", seen.after)),
        ]
    };
    let both = fields(ours).into_iter().zip(fields(real));
    let lines = both
        .filter(|(ours, real)| ours != real)
        .map(|((name, ours), (_, real))| {
            format!("  {name}\n    ours         {ours}\n    redis-server {real}")
        });
    lines.collect::<Vec<_>>().join("\n")
}

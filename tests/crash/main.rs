//! Kills the server at random moments under load. Afterwards every acknowledged write must be there, and no write may
//! be half done.
//!
//! `PMEMKV_SEED` (a number, or `random`) and `PMEMKV_CRASH_ROUNDS` change what runs.

mod backup;
mod collections;
mod damage;
mod fields;
mod functions;
mod index;
mod mixes;
mod model;
mod order;
mod repair;
mod scripts;
mod streams;

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::Duration;

use common::{Options, RawClient, Server, TestResult, Value, encode};
use mixes::Mix;
use model::{Deadline, Entry, Op, State, now_ms};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SEED: u64 = 20_260;
/// Each connection writes to a database of its own, so that its model is exact.
const CONNECTIONS: usize = 4;
/// How long the connections write before the kill, ms.
const ROUND_MS: std::ops::Range<u64> = 20..160;
/// How long a start runs that is killed before the server serves, ms.
const START_MS: std::ops::Range<u64> = 1..50;
/// How many rounds may follow where none of those before has shown anything.
const MORE_ROUNDS: usize = 10;

#[test]
fn crash_cmap() -> TestResult {
    kill_and_check("cmap", Mix::Any, 10)
}

#[test]
fn crash_while_compacting() -> TestResult {
    kill_and_check("cmap", Mix::Full, 6)
}

#[test]
fn crash_with_large_values() -> TestResult {
    kill_and_check("cmap", Mix::Large, 8)
}

#[test]
fn crash_while_patching() -> TestResult {
    kill_and_check("cmap", Mix::Patching, 8)
}

#[test]
fn crash_while_patching_in_pairs() -> TestResult {
    kill_and_check("cmap/pairs", Mix::PatchingWithRoom, 5)
}

#[test]
fn crash_while_growing() -> TestResult {
    kill_and_check("cmap", Mix::Growing, 6)
}

#[test]
fn crash_while_refilling() -> TestResult {
    kill_and_check("cmap", Mix::Refilling, 8)
}

#[test]
fn crash_while_repairing() -> TestResult {
    let (seed, rounds) = seed_and_rounds(2)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut server = Server::start_with(Options::new("cmap").pool_size("64mb"))?;
    for round in 0..rounds {
        repair::round(&mut server, &mut rng)
            .map_err(|error| format!("PMEMKV_SEED={seed}, round {round}: {error}"))?;
    }
    server.terminate()
}

#[test]
fn crash_in_transactions() -> TestResult {
    kill_and_check("cmap", Mix::Transactions, 10)
}

#[test]
fn crash_in_transactions_in_pairs() -> TestResult {
    kill_and_check("cmap/pairs", Mix::Transactions, 8)
}

#[test]
fn crash_in_transactions_on_stree() -> TestResult {
    kill_and_check("stree", Mix::Transactions, 5)
}

#[test]
fn crash_cmap_in_pairs() -> TestResult {
    kill_and_check("cmap/pairs", Mix::Any, 8)
}

#[test]
fn crash_stree() -> TestResult {
    kill_and_check("stree", Mix::Any, 5)
}

fn seed_and_rounds(rounds: usize) -> TestResult<(u64, usize)> {
    let seed = match std::env::var("PMEMKV_SEED") {
        Ok(word) if word == "random" => rand::random(),
        Ok(number) => number.parse()?,
        Err(_) => SEED,
    };
    let rounds = match std::env::var("PMEMKV_CRASH_ROUNDS") {
        Ok(rounds) => rounds.parse()?,
        Err(_) => rounds,
    };
    Ok((seed, rounds))
}

fn kill_and_check(engine: &str, mix: Mix, rounds: usize) -> TestResult {
    let (seed, rounds) = seed_and_rounds(rounds)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let options = Options::new(engine)
        .pool_size(mix.pool_size())
        // The connections write at the same time, also on a machine with few cores.
        .directive("worker-threads", "3");
    // Most starts of packed pools take the index over from the process before, some read the pool.
    let with_index = options.clone().directive("index-file", "test.index");
    let mut server = Server::start_with(with_index.clone())?;
    let mut states = (0..CONNECTIONS)
        .map(|db| fill(server.port(), db, &mix.fill(&mut rng)))
        .collect::<TestResult<Vec<_>>>()?;
    let mut was_written = false;
    for round in 0..rounds {
        let port = server.port();
        let writers: Vec<_> = states
            .drain(..)
            .enumerate()
            .map(|(db, state)| {
                let rng = StdRng::seed_from_u64(rng.random());
                thread::spawn(move || write(port, db, state, mix, round, rng))
            })
            .collect();
        thread::sleep(Duration::from_millis(rng.random_range(ROUND_MS)));
        server.kill_9()?;
        let ends: Vec<End> = writers
            .into_iter()
            .map(|writer| writer.join().expect("the writer does not panic"))
            .collect::<Result<_, _>>()
            .map_err(|error| format!("PMEMKV_SEED={seed}, round {round}: {error}"))?;
        let is_kept = rng.random_bool(0.8);
        server.set_options(if is_kept { &with_index } else { &options }.clone());
        while rng.random_bool(0.4) {
            let after = Duration::from_millis(rng.random_range(START_MS));
            server.resume_and_kill(after)?;
        }
        server.resume()?;
        for (db, end) in ends.into_iter().enumerate() {
            let found = read(server.port(), db)?;
            let state = end.check(found).unwrap_or_else(|error| {
                panic!("{engine}: PMEMKV_SEED={seed}, round {round}, database {db}: {error}")
            });
            was_written |= !state.is_empty();
            states.push(state);
        }
    }
    assert!(was_written, "nothing was written");
    server.terminate()
}

/// The state at the end of a connection: all acknowledged calls, and those sent after them.
struct End {
    acknowledged: State,
    /// The server may have run the first few of these, in order.
    unacknowledged: Vec<Op>,
    sent_ms: i64,
    ended_ms: i64,
}

impl End {
    /// `found` must be the acknowledged state, or that state after the first few unacknowledged calls. Returns it as
    /// the beginning of the next round.
    fn check(self, found: State) -> Result<State, String> {
        let mut expected = self.acknowledged;
        let mut first_difference = expected.difference(&found);
        for op in &self.unacknowledged {
            if expected.difference(&found).is_none() {
                break;
            }
            op.apply(&mut expected, self.sent_ms, self.ended_ms);
            if expected.difference(&found).is_none() {
                first_difference = None;
            }
        }
        match first_difference {
            None => Ok(found),
            Some(difference) => Err(format!(
                "{difference}\nnot acknowledged: {:#?}",
                self.unacknowledged
            )),
        }
    }
}

/// Writes the initial contents of a database.
fn fill(port: u16, db: usize, ops: &[Op]) -> TestResult<State> {
    let mut state = State::default();
    let mut client = RawClient::connect(port)?;
    client.call(&["SELECT", &db.to_string()])?;
    for ops in ops.chunks(200) {
        let mut bytes = Vec::new();
        for op in ops {
            op.encode(&mut bytes);
        }
        client.send_bytes(&bytes)?;
        for op in ops {
            let reply = client.read()?;
            if reply != op.apply(&mut state, 0, 0) {
                return Err(format!("{op:?} answers {reply:?}").into());
            }
        }
    }
    Ok(state)
}

/// Writes until the server is gone. Returns an error if a reply differs from the model's.
fn write(
    port: u16,
    db: usize,
    mut state: State,
    mix: Mix,
    round: usize,
    mut rng: StdRng,
) -> Result<End, String> {
    let mut fresh = 0;
    let sent_ms = now_ms();
    let ended = |acknowledged, unacknowledged, sent_ms| {
        Ok(End {
            acknowledged,
            unacknowledged,
            sent_ms,
            ended_ms: now_ms(),
        })
    };
    let connected = RawClient::connect(port).and_then(|mut client| {
        client.call(&["SELECT", &db.to_string()])?;
        Ok(client)
    });
    let Ok(mut client) = connected else {
        return ended(state, Vec::new(), sent_ms);
    };
    loop {
        let ops: Vec<Op> = (0..rng.random_range(1..=mix.pipeline_max()))
            .map(|_| mix.next(&mut rng, round, &mut fresh))
            .collect();
        let mut bytes = Vec::new();
        for op in &ops {
            op.encode(&mut bytes);
        }
        let sent_ms = now_ms();
        if client.send_bytes(&bytes).is_err() {
            return ended(state, ops, sent_ms);
        }
        for (position, op) in ops.iter().enumerate() {
            let mut read = || {
                for _ in 0..op.replies_before() {
                    client.read()?;
                }
                client.read()
            };
            let Ok(reply) = read() else {
                return ended(state, ops[position..].to_vec(), sent_ms);
            };
            let expected = op.apply(&mut state, sent_ms, now_ms());
            if reply != expected {
                let call = &format!("{op:?}")[..100.min(format!("{op:?}").len())];
                return Err(format!("{call} answers {reply:?}, not {expected:?}"));
            }
        }
    }
}

/// Everything in one database.
fn read(port: u16, db: usize) -> TestResult<State> {
    let mut client = RawClient::connect(port)?;
    client.call(&["SELECT", &db.to_string()])?;
    let keys = client.line("KEYS *")?;
    let keys = keys
        .items()
        .ok_or_else(|| format!("KEYS answers {keys:?}"))?;
    let mut entries = BTreeMap::new();
    for keys in keys.chunks(200) {
        let mut bytes = Vec::new();
        for key in keys {
            let key = key.bytes().ok_or("a key is no string")?;
            encode(&mut bytes, &[b"GET".as_slice(), key]);
            encode(&mut bytes, &[b"PEXPIRETIME".as_slice(), key]);
        }
        client.send_bytes(&bytes)?;
        for key in keys {
            let value = client.read()?;
            let value = value.bytes().ok_or("KEYS lists a key that GET lacks")?;
            let deadline = match client.read()? {
                Value::Integer(-1) => None,
                Value::Integer(ms) => Some(Deadline::exactly(ms)),
                other => return Err(format!("PEXPIRETIME answers {other:?}").into()),
            };
            let entry = Entry {
                value: value.to_vec(),
                deadline,
            };
            entries.insert(key.bytes().unwrap_or_default().to_vec(), entry);
        }
    }
    let size = client.line("DBSIZE")?;
    if size.integer() != i64::try_from(entries.len()).ok() {
        return Err(io::Error::other(format!("{} keys, DBSIZE {size:?}", entries.len())).into());
    }
    Ok(State::new(entries))
}

//! FLUSHDB and SWAPDB among the writes of a pipeline: after SIGKILL what is there is what the first of the calls have
//! made of the data, never the effect of a call without that of the one before it.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use common::{Options, RawClient, Server, TestResult, Value, encode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::mixes::bytes;
use crate::seed_and_rounds;

/// Each has two databases of its own.
const CONNECTIONS: usize = 3;
const KEYS: usize = 6;
const PIPELINE_MAX: usize = 30;
/// How long the connections write before the server is killed, ms.
const ROUND_MS: std::ops::Range<u64> = 10..80;

/// The two databases of one connection.
type State = [BTreeMap<Vec<u8>, Vec<u8>>; 2];

#[derive(Clone, Debug)]
enum Op {
    Select(usize),
    Set(Vec<u8>, Vec<u8>),
    Del(Vec<u8>),
    FlushDb,
    SwapDb,
    Exec(Vec<Op>),
}

/// A connection's selected database, of its two.
#[derive(Clone, Copy)]
struct Place {
    first: usize,
    selected: usize,
}

impl Op {
    fn random(rng: &mut StdRng) -> Self {
        let key = format!("key:{}", rng.random_range(0..KEYS)).into_bytes();
        match rng.random_range(0..20) {
            0..9 => Op::Set(key, bytes(rng, 0..2_000)),
            9..12 => Op::Set(key, bytes(rng, 2_000..60_000)),
            12 => Op::Del(key),
            13 | 14 => Op::Select(rng.random_range(0..2)),
            15 | 16 => Op::FlushDb,
            17 | 18 => Op::SwapDb,
            _ => Op::Exec(
                (0..rng.random_range(1..6))
                    .map(|_| Op::random(rng))
                    .filter(|op| !matches!(op, Op::Exec(_)))
                    .collect(),
            ),
        }
    }

    fn encode(&self, first: usize, out: &mut Vec<u8>) {
        let name = |db: usize| (first + db).to_string();
        match self {
            Op::Select(db) => encode(out, &["SELECT", &name(*db)]),
            Op::Set(key, value) => encode(out, &[b"SET".as_slice(), key, value]),
            Op::Del(key) => encode(out, &[b"DEL".as_slice(), key]),
            Op::FlushDb => encode(out, &["FLUSHDB"]),
            Op::SwapDb => encode(out, &["SWAPDB", &name(0), &name(1)]),
            Op::Exec(ops) => {
                encode(out, &["MULTI"]);
                for op in ops {
                    op.encode(first, out);
                }
                encode(out, &["EXEC"]);
            }
        }
    }

    fn replies(&self) -> usize {
        match self {
            Op::Exec(ops) => ops.len() + 2,
            _ => 1,
        }
    }

    fn apply(&self, state: &mut State, place: &mut Place) {
        let here = place.selected;
        match self {
            Op::Select(db) => place.selected = *db,
            Op::Set(key, value) => drop(state[here].insert(key.clone(), value.clone())),
            Op::Del(key) => drop(state[here].remove(key)),
            Op::FlushDb => state[here].clear(),
            Op::SwapDb => state.swap(0, 1),
            Op::Exec(ops) => ops.iter().for_each(|op| op.apply(state, place)),
        }
    }
}

/// What a connection had when the server was killed.
struct End {
    state: State,
    place: Place,
    unacknowledged: Vec<Op>,
}

/// Writes until the server is gone.
fn write(port: u16, first: usize, state: State, mut rng: StdRng) -> Result<End, String> {
    let mut end = End {
        state,
        place: Place { first, selected: 0 },
        unacknowledged: Vec::new(),
    };
    let connected = RawClient::connect(port).and_then(|mut client| {
        client.call(&["SELECT", &first.to_string()])?;
        Ok(client)
    });
    let Ok(mut client) = connected else {
        return Ok(end);
    };
    loop {
        let ops: Vec<Op> = (0..rng.random_range(1..=PIPELINE_MAX))
            .map(|_| Op::random(&mut rng))
            .collect();
        let mut bytes = Vec::new();
        for op in &ops {
            op.encode(first, &mut bytes);
        }
        if client.send_bytes(&bytes).is_err() {
            end.unacknowledged = ops;
            return Ok(end);
        }
        for (n, op) in ops.iter().enumerate() {
            for _ in 0..op.replies() {
                match client.read() {
                    Ok(Value::Error(text)) => return Err(text.escape_ascii().to_string()),
                    Ok(_) => {}
                    Err(_) => {
                        end.unacknowledged = ops[n..].to_vec();
                        return Ok(end);
                    }
                }
            }
            op.apply(&mut end.state, &mut end.place);
        }
    }
}

/// Both databases of a connection.
fn read(port: u16, first: usize) -> TestResult<State> {
    let mut client = RawClient::connect(port)?;
    let mut state = State::default();
    for (db, keys) in state.iter_mut().enumerate() {
        client.call(&["SELECT", &(first + db).to_string()])?;
        let names = client.line("KEYS *")?;
        for name in names.items().ok_or("KEYS answers no array")? {
            let name = name.bytes().ok_or("a key is no string")?;
            let value = client.call(&[b"GET".as_slice(), name])?;
            let value = value.bytes().ok_or("KEYS lists a key that GET lacks")?;
            keys.insert(name.to_vec(), value.to_vec());
        }
    }
    Ok(state)
}

impl End {
    /// `found` must be what the acknowledged calls and the first few of the others lead to.
    fn check(mut self, found: State) -> Result<State, String> {
        let mut ops = self.unacknowledged.iter();
        while self.state != found {
            let Some(op) = ops.next() else {
                return Err(format!(
                    "databases {} and {} hold what no prefix of the calls leads to: {}\nnot acknowledged: {}",
                    self.place.first,
                    self.place.first + 1,
                    show(&found),
                    self.unacknowledged
                        .iter()
                        .map(show_op)
                        .collect::<Vec<_>>()
                        .join(", ")
                ));
            };
            op.apply(&mut self.state, &mut self.place);
        }
        Ok(found)
    }
}

fn start(value: &[u8]) -> String {
    format!(
        "{} bytes {}",
        value.len(),
        value[..value.len().min(12)].escape_ascii()
    )
}

fn show(state: &State) -> String {
    let keys = |db: &BTreeMap<Vec<u8>, Vec<u8>>| {
        db.iter()
            .map(|(key, value)| format!("{}={}", key.escape_ascii(), start(value)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    format!("[{}] and [{}]", keys(&state[0]), keys(&state[1]))
}

fn show_op(op: &Op) -> String {
    match op {
        Op::Set(key, value) => format!("SET {} {}", key.escape_ascii(), start(value)),
        Op::Exec(ops) => format!(
            "EXEC({})",
            ops.iter().map(show_op).collect::<Vec<_>>().join(", ")
        ),
        other => format!("{other:?}"),
    }
}

fn kill_and_check(store: &str, rounds: usize) -> TestResult {
    let (seed, rounds) = seed_and_rounds(rounds)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let options = Options::new(store)
        .pool_size("256mb")
        .directive("worker-threads", "2");
    let mut server = Server::start_with(options)?;
    let mut states = vec![State::default(); CONNECTIONS];
    for round in 0..rounds {
        let port = server.port();
        let writers: Vec<_> = states
            .drain(..)
            .enumerate()
            .map(|(n, state)| {
                let rng = StdRng::seed_from_u64(rng.random());
                thread::spawn(move || write(port, 2 * n, state, rng))
            })
            .collect();
        thread::sleep(Duration::from_millis(rng.random_range(ROUND_MS)));
        server.kill_9()?;
        let ends: Vec<_> = writers
            .into_iter()
            .map(|writer| writer.join().expect("the writer does not panic"))
            .collect();
        server.resume()?;
        for (n, end) in ends.into_iter().enumerate() {
            let found = read(server.port(), 2 * n)?;
            let state = end
                .and_then(|end| end.check(found))
                .map_err(|error| format!("PMEMKV_SEED={seed}, round {round}: {error}"))?;
            states.push(state);
        }
    }
    server.terminate()
}

#[test]
fn flushes_and_swaps_keep_their_place_among_writes() -> TestResult {
    kill_and_check("cmap", 30)
}

#[test]
fn flushes_and_swaps_keep_their_place_among_writes_in_pairs() -> TestResult {
    kill_and_check("cmap/pairs", 15)
}

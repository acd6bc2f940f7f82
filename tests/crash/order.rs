//! FLUSHDB, SWAPDB and deadlines among the writes of a pipeline, while the clock jumps back and forth: after SIGKILL what is
//! there is what the first of the calls have made of the data, never the effect of a call without that of the one before it.
//! A key that somebody has seen gone never comes back.

mod model;
mod op;

use std::thread;
use std::time::Duration;

use common::clock::{Clock, real_ms};
use common::{Options, RawClient, Server, TestResult, Value};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::seed_and_rounds;
use model::{Found, FoundState, Place, State, When, show};
use op::Op;

/// Each has two databases of its own.
const CONNECTIONS: usize = 3;
const PIPELINE_MAX: usize = 30;
/// How long the connections write before the server is killed, ms.
const ROUND_MS: std::ops::Range<u64> = 10..80;
/// The clock jumps by some ms, past deadlines that are near, or by hours.
const JUMP_MS: std::ops::Range<i64> = -400..400;
const LONG_JUMP_MS: std::ops::Range<i64> = -7_200_000..7_200_000;

/// What a connection had when the server was killed.
struct End {
    state: State,
    place: Place,
    unacknowledged: Vec<Op>,
    /// When these were sent, by the real clock.
    sent_ms: i64,
}

/// Writes until the server is gone.
fn write(
    port: u16,
    first: usize,
    state: State,
    clock: &Clock,
    mut rng: StdRng,
) -> Result<End, String> {
    let mut end = End {
        state,
        place: Place { first, selected: 0 },
        unacknowledged: Vec::new(),
        sent_ms: real_ms(),
    };
    let connected = RawClient::connect(port).and_then(|mut client| {
        client.call(&["SELECT", &first.to_string()])?;
        Ok(client)
    });
    let Ok(mut client) = connected else {
        return Ok(end);
    };
    loop {
        let now_ms = clock.now_ms();
        let ops: Vec<Op> = (0..rng.random_range(1..=PIPELINE_MAX))
            .map(|_| Op::random(&mut rng, now_ms))
            .collect();
        let mut bytes = Vec::new();
        for op in &ops {
            op.encode(first, &mut bytes);
        }
        end.sent_ms = real_ms();
        if client.send_bytes(&bytes).is_err() {
            end.unacknowledged = ops;
            return Ok(end);
        }
        for (n, op) in ops.iter().enumerate() {
            let mut last = None;
            for _ in 0..op.replies() {
                match client.read() {
                    Ok(Value::Error(text)) => return Err(text.escape_ascii().to_string()),
                    Ok(reply) => last = Some(reply),
                    Err(_) => {
                        end.unacknowledged = ops[n..].to_vec();
                        return Ok(end);
                    }
                }
            }
            let when = When {
                clock,
                from_ms: end.sent_ms,
                to_ms: real_ms(),
            };
            end.state
                .apply(op, last.as_ref(), &mut end.place, &when)
                .map_err(|error| format!("{}: {error}", op.show()))?;
        }
    }
}

/// Both databases of a connection.
fn read(port: u16, first: usize) -> TestResult<FoundState> {
    let mut client = RawClient::connect(port)?;
    let mut state = FoundState::default();
    for (db, keys) in state.iter_mut().enumerate() {
        client.call(&["SELECT", &(first + db).to_string()])?;
        let names = client.line("KEYS *")?;
        for name in names.items().ok_or("KEYS answers no array")? {
            let name = name.bytes().ok_or("a key is no string")?;
            let value = client.call(&[b"GET".as_slice(), name])?;
            let deadline = client.call(&[b"PEXPIRETIME".as_slice(), name])?;
            let deadline = deadline.integer().ok_or("PEXPIRETIME: no number")?;
            // It may go while it is read: then it is gone.
            let (Some(value), -1..) = (value.bytes(), deadline) else {
                continue;
            };
            let found = Found {
                value: value.to_vec(),
                deadline: (deadline >= 0).then_some(deadline),
            };
            keys.insert(name.to_vec(), found);
        }
    }
    Ok(state)
}

impl End {
    /// `found` must be what the acknowledged calls and the first few of the others lead to.
    fn check(mut self, found: &FoundState, when: &When<'_>) -> Result<State, String> {
        let mut differences = Vec::new();
        let sent = When {
            from_ms: self.sent_ms,
            ..*when
        };
        let mut ops = self.unacknowledged.iter();
        while let Err(difference) = self.state.compare(found, when) {
            differences.push(difference);
            let Some(op) = ops.next() else {
                return Err(format!(
                    "databases {} and {} hold what no prefix of the calls leads to: {}\nnot acknowledged: {}\n\
                     what differs before each of them: {}",
                    self.place.first,
                    self.place.first + 1,
                    show(found),
                    self.unacknowledged
                        .iter()
                        .map(Op::show)
                        .collect::<Vec<_>>()
                        .join(", "),
                    differences.join("; ")
                ));
            };
            self.state.apply(op, None, &mut self.place, &sent)?;
        }
        Ok(State::new(found, when))
    }
}

fn jump(clock: &Clock, rng: &mut StdRng) -> TestResult {
    let ahead_ms = match rng.random_range(0..4) {
        0 => 0,
        1 => rng.random_range(LONG_JUMP_MS),
        _ => rng.random_range(JUMP_MS),
    };
    Ok(clock.set_ahead(ahead_ms)?)
}

fn kill_and_check(store: &str, rounds: usize) -> TestResult {
    let (seed, rounds) = seed_and_rounds(rounds)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let clock = Clock::new()?;
    let options = Options::new(store)
        .pool_size("256mb")
        .directive("worker-threads", "2");
    let mut server = Server::start_with(clock.govern(options))?;
    let mut states = vec![State::default(); CONNECTIONS];
    for round in 0..rounds {
        let port = server.port();
        let ends = thread::scope(|scope| -> TestResult<Vec<_>> {
            let clock = &clock;
            let writers: Vec<_> = states
                .drain(..)
                .enumerate()
                .map(|(n, state)| {
                    let rng = StdRng::seed_from_u64(rng.random());
                    scope.spawn(move || write(port, 2 * n, state, clock, rng))
                })
                .collect();
            for _ in 0..rng.random_range(0..3) {
                thread::sleep(Duration::from_millis(rng.random_range(ROUND_MS) / 2));
                jump(clock, &mut rng)?;
            }
            thread::sleep(Duration::from_millis(rng.random_range(ROUND_MS)));
            server.kill_9()?;
            let join = |writer: thread::ScopedJoinHandle<'_, _>| {
                writer.join().expect("the writer does not panic")
            };
            Ok(writers.into_iter().map(join).collect())
        })?;
        if rng.random_bool(0.5) {
            jump(&clock, &mut rng)?;
        }
        server.resume()?;
        for (n, end) in ends.into_iter().enumerate() {
            let from_ms = real_ms();
            let found = read(server.port(), 2 * n)?;
            let when = When {
                clock: &clock,
                from_ms,
                to_ms: real_ms(),
            };
            let state = end
                .and_then(|end: End| end.check(&found, &when))
                .map_err(|error| format!("PMEMKV_SEED={seed}, round {round}: {error}"))?;
            states.push(state);
        }
    }
    server.terminate()
}

#[test]
fn flushes_swaps_and_deadlines_keep_their_place_among_writes() -> TestResult {
    kill_and_check("cmap", 30)
}

#[test]
fn flushes_swaps_and_deadlines_keep_their_place_among_writes_in_pairs() -> TestResult {
    kill_and_check("cmap/pairs", 15)
}

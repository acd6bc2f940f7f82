//! The model of one connection's database: the calls that the connection makes, and their effect on a map.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::Rng;
use rand::rngs::StdRng;

use common::{Value, encode};

/// Keys that are overwritten again and again.
const KEYS: usize = 40;
/// Keys of counters.
const COUNTERS: usize = 4;
const MS_PER_S: i64 = 1000;

/// Now, in ms since the Unix epoch.
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|now| i64::try_from(now.as_millis()).ok())
        .expect("the clock is right")
}

/// A deadline, as exactly as the test knows it: a relative one counts from some moment between the request and the
/// reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    earliest_ms: i64,
    latest_ms: i64,
}

impl Deadline {
    pub fn exactly(ms: i64) -> Self {
        Self {
            earliest_ms: ms,
            latest_ms: ms,
        }
    }

    fn allows(self, found: Self) -> bool {
        (self.earliest_ms..=self.latest_ms).contains(&found.earliest_ms)
    }
}

/// One key's value and deadline.
#[derive(Clone, Debug)]
pub struct Entry {
    pub value: Vec<u8>,
    pub deadline: Option<Deadline>,
}

/// All keys of one database.
#[derive(Clone, Debug, Default)]
pub struct State {
    entries: BTreeMap<Vec<u8>, Entry>,
}

impl State {
    pub fn new(entries: BTreeMap<Vec<u8>, Entry>) -> Self {
        Self { entries }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first key for which `found` differs from this state.
    pub fn difference(&self, found: &Self) -> Option<String> {
        let show = |entry: Option<&Entry>| {
            entry.map_or("nothing".to_owned(), |entry| {
                let start = &entry.value[..entry.value.len().min(40)];
                format!(
                    "{} bytes \"{}\" until {:?}",
                    entry.value.len(),
                    start.escape_ascii(),
                    entry.deadline
                )
            })
        };
        let fits = |expected: &Entry, found: &Entry| {
            let deadlines = match (expected.deadline, found.deadline) {
                (None, None) => true,
                (Some(expected), Some(found)) => expected.allows(found),
                _ => false,
            };
            expected.value == found.value && deadlines
        };
        self.entries
            .keys()
            .chain(found.entries.keys())
            .find_map(|key| {
                let (expected, found) = (self.entries.get(key), found.entries.get(key));
                match (expected, found) {
                    (Some(expected), Some(found)) if fits(expected, found) => None,
                    _ => Some(format!(
                        "{} holds {} instead of {}",
                        key.escape_ascii(),
                        show(found),
                        show(expected)
                    )),
                }
            })
    }

    /// A key's string, created if absent, and extended with zero bytes to a length.
    fn string(&mut self, key: &[u8], length: usize) -> &mut Vec<u8> {
        let entry = self.entries.entry(key.to_vec()).or_insert_with(|| Entry {
            value: Vec::new(),
            deadline: None,
        });
        entry.value.resize(entry.value.len().max(length), 0);
        &mut entry.value
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>, deadline: Option<Deadline>) {
        self.entries.insert(key.to_vec(), Entry { value, deadline });
    }

    fn put_all(&mut self, pairs: &[(Vec<u8>, Vec<u8>)], deadline: Option<Deadline>) {
        for (key, value) in pairs {
            self.put(key, value.clone(), deadline);
        }
    }
}

/// One call.
#[derive(Clone, Debug)]
pub enum Op {
    Set(Vec<u8>, Vec<u8>),
    SetEx(Vec<u8>, Vec<u8>, i64),
    SetPxAt(Vec<u8>, Vec<u8>, i64),
    MSet(Vec<(Vec<u8>, Vec<u8>)>),
    MSetNx(Vec<(Vec<u8>, Vec<u8>)>),
    /// With a deadline, ms since the Unix epoch.
    MSetEx(Vec<(Vec<u8>, Vec<u8>)>, i64),
    Del(Vec<Vec<u8>>),
    Expire(Vec<u8>, i64),
    PExpireAt(Vec<u8>, i64),
    Persist(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    Copy(Vec<u8>, Vec<u8>),
    Append(Vec<u8>, Vec<u8>),
    SetRange(Vec<u8>, usize, Vec<u8>),
    SetBit(Vec<u8>, usize, bool),
    Incr(Vec<u8>),
    FlushDb,
    /// A transaction of other calls.
    Exec(Vec<Op>),
}

impl Op {
    /// A random call; `fresh` numbers the keys that only this round makes.
    pub fn random(rng: &mut StdRng, round: usize, fresh: &mut usize) -> Self {
        let mut new_key = || {
            *fresh += 1;
            format!("fresh:{round}:{fresh}").into_bytes()
        };
        if rng.random_ratio(1, 5000) {
            return Op::FlushDb;
        }
        match rng.random_range(0..1000) {
            0..180 => Op::Set(key(rng), value(rng)),
            180..380 => Op::Set(new_key(), value(rng)),
            380..430 => Op::SetEx(key(rng), value(rng), rng.random_range(1000..1_000_000)),
            430..480 => Op::SetPxAt(key(rng), value(rng), far_ms(rng)),
            480..560 => {
                let pairs = (0..rng.random_range(2..8)).map(|_| (key(rng), value(rng)));
                // If a key stood twice, its last value would count; once is enough here.
                let pairs: BTreeMap<_, _> = pairs.collect();
                Op::MSet(pairs.into_iter().collect())
            }
            560..566 => {
                let pairs = (0..3).map(|_| (new_key(), value(rng))).collect();
                Op::MSetEx(pairs, far_ms(rng))
            }
            566..580 => Op::MSet((0..3).map(|_| (new_key(), value(rng))).collect()),
            580..590 => Op::MSetNx((0..3).map(|_| (new_key(), value(rng))).collect()),
            590..600 => Op::MSetNx(vec![(key(rng), value(rng)), (new_key(), value(rng))]),
            600..680 => Op::Del((0..rng.random_range(1..4)).map(|_| key(rng)).collect()),
            680..720 => {
                // Gaps in the values of earlier rounds.
                let round = rng.random_range(0..=round);
                let number = rng.random_range(1..200);
                Op::Del(vec![format!("fresh:{round}:{number}").into_bytes()])
            }
            720..760 => Op::Expire(key(rng), rng.random_range(1000..1_000_000)),
            760..790 => Op::PExpireAt(key(rng), far_ms(rng)),
            790..810 => Op::Persist(key(rng)),
            810..870 => Op::Rename(key(rng), key(rng)),
            870..900 => Op::Copy(key(rng), new_key()),
            900..930 => Op::Append(key(rng), b"+more".to_vec()),
            _ => Op::Incr(format!("counter:{}", rng.random_range(0..COUNTERS)).into_bytes()),
        }
    }

    /// Some calls as one transaction.
    pub fn random_exec(rng: &mut StdRng, round: usize, fresh: &mut usize) -> Self {
        let ops = (0..rng.random_range(1..12)).map(|_| Op::random(rng, round, fresh));
        Op::Exec(ops.collect())
    }

    /// The requests to send.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Op::Exec(ops) => {
                encode(bytes, &["MULTI"]);
                for op in ops {
                    op.encode(bytes);
                }
                encode(bytes, &["EXEC"]);
            }
            _ => encode(bytes, &self.words()),
        }
    }

    /// How many replies come before the important one.
    pub fn replies_before(&self) -> usize {
        match self {
            Op::Exec(ops) => ops.len() + 1,
            _ => 0,
        }
    }

    /// The arguments to send.
    fn words(&self) -> Vec<Vec<u8>> {
        let words = |name: &str, rest: &[&[u8]]| -> Vec<Vec<u8>> {
            let name = name.as_bytes().to_vec();
            let rest = rest.iter().map(|word| word.to_vec());
            std::iter::once(name).chain(rest).collect()
        };
        let number = |n: &i64| n.to_string().into_bytes();
        match self {
            Op::Set(key, value) => words("SET", &[key, value]),
            Op::SetEx(key, value, s) => words("SET", &[key, value, b"EX", &number(s)]),
            Op::SetPxAt(key, value, ms) => words("SET", &[key, value, b"PXAT", &number(ms)]),
            Op::MSet(pairs) | Op::MSetNx(pairs) => {
                let flat: Vec<&[u8]> = pairs
                    .iter()
                    .flat_map(|(key, value)| [key.as_slice(), value.as_slice()])
                    .collect();
                let name = if matches!(self, Op::MSet(_)) {
                    "MSET"
                } else {
                    "MSETNX"
                };
                words(name, &flat)
            }
            Op::MSetEx(pairs, ms) => {
                let flat = pairs
                    .iter()
                    .flat_map(|(key, value)| [key.clone(), value.clone()]);
                let mut all = words("MSETEX", &[pairs.len().to_string().as_bytes()]);
                all.extend(flat);
                all.extend(words("PXAT", &[&number(ms)]));
                all
            }
            Op::Del(keys) => words("DEL", &keys.iter().map(Vec::as_slice).collect::<Vec<_>>()),
            Op::Expire(key, s) => words("EXPIRE", &[key, &number(s)]),
            Op::PExpireAt(key, ms) => words("PEXPIREAT", &[key, &number(ms)]),
            Op::Persist(key) => words("PERSIST", &[key]),
            Op::Rename(from, to) => words("RENAME", &[from, to]),
            Op::Copy(from, to) => words("COPY", &[from, to, b"REPLACE"]),
            Op::Append(key, more) => words("APPEND", &[key, more]),
            Op::SetRange(key, offset, patch) => {
                words("SETRANGE", &[key, offset.to_string().as_bytes(), patch])
            }
            Op::SetBit(key, offset, on) => {
                let bit = if *on { b"1" } else { b"0" };
                words("SETBIT", &[key, offset.to_string().as_bytes(), bit])
            }
            Op::Incr(key) => words("INCR", &[key]),
            Op::FlushDb => words("FLUSHDB", &[]),
            Op::Exec(_) => unreachable!("it is several calls"),
        }
    }

    /// The effect of the call if it ran between the two moments, and its reply.
    pub fn apply(&self, state: &mut State, sent_ms: i64, ended_ms: i64) -> Value {
        let ok = Value::Simple(b"OK".to_vec());
        let relative = |s: i64| Deadline {
            earliest_ms: sent_ms + s * MS_PER_S,
            latest_ms: ended_ms + s * MS_PER_S,
        };
        let int = |yes: bool| Value::Integer(i64::from(yes));
        match self {
            Op::Exec(ops) => {
                let replies = ops.iter().map(|op| op.apply(state, sent_ms, ended_ms));
                Value::Array(replies.collect())
            }
            Op::Set(key, value) => {
                state.put(key, value.clone(), None);
                ok
            }
            Op::SetEx(key, value, s) => {
                state.put(key, value.clone(), Some(relative(*s)));
                ok
            }
            Op::SetPxAt(key, value, ms) => {
                state.put(key, value.clone(), Some(Deadline::exactly(*ms)));
                ok
            }
            Op::MSetEx(pairs, ms) => {
                state.put_all(pairs, Some(Deadline::exactly(*ms)));
                int(true)
            }
            Op::MSetNx(pairs) => {
                let free = !pairs.iter().any(|(key, _)| state.entries.contains_key(key));
                if free {
                    state.put_all(pairs, None);
                }
                int(free)
            }
            Op::MSet(pairs) => {
                state.put_all(pairs, None);
                ok
            }
            Op::Del(keys) => {
                let removed = keys
                    .iter()
                    .filter(|key| state.entries.remove(*key).is_some())
                    .count();
                Value::Integer(i64::try_from(removed).unwrap_or(i64::MAX))
            }
            Op::Expire(key, s) => int(set_deadline(state, key, Some(relative(*s)))),
            Op::PExpireAt(key, ms) => int(set_deadline(state, key, Some(Deadline::exactly(*ms)))),
            Op::Persist(key) => {
                let expires = state
                    .entries
                    .get(key)
                    .is_some_and(|entry| entry.deadline.is_some());
                int(expires && set_deadline(state, key, None))
            }
            Op::Rename(from, to) => match state.entries.remove(from) {
                Some(entry) => {
                    state.entries.insert(to.clone(), entry);
                    ok
                }
                None => Value::Error(b"ERR no such key".to_vec()),
            },
            Op::Copy(from, to) => match state.entries.get(from).cloned() {
                Some(entry) => {
                    state.entries.insert(to.clone(), entry);
                    int(true)
                }
                None => int(false),
            },
            Op::Append(key, more) => {
                let value = state.string(key, 0);
                value.extend_from_slice(more);
                Value::Integer(i64::try_from(value.len()).unwrap_or(i64::MAX))
            }
            Op::SetRange(key, offset, patch) => {
                let value = state.string(key, offset + patch.len());
                value[*offset..offset + patch.len()].copy_from_slice(patch);
                Value::Integer(i64::try_from(value.len()).unwrap_or(i64::MAX))
            }
            Op::SetBit(key, offset, on) => int(set_bit(state, key, *offset, *on)),
            Op::Incr(key) => {
                let entry = state.entries.entry(key.clone()).or_insert_with(|| Entry {
                    value: b"0".to_vec(),
                    deadline: None,
                });
                let before: i64 = String::from_utf8_lossy(&entry.value)
                    .parse()
                    .expect("only INCR writes to counters");
                entry.value = (before + 1).to_string().into_bytes();
                Value::Integer(before + 1)
            }
            Op::FlushDb => {
                state.entries.clear();
                ok
            }
        }
    }
}

fn set_bit(state: &mut State, key: &[u8], offset: usize, on: bool) -> bool {
    let byte = &mut state.string(key, offset / 8 + 1)[offset / 8];
    let mask = 0x80 >> (offset % 8);
    let was = *byte & mask != 0;
    *byte = if on { *byte | mask } else { *byte & !mask };
    was
}

fn set_deadline(state: &mut State, key: &[u8], deadline: Option<Deadline>) -> bool {
    state.entries.get_mut(key).is_some_and(|entry| {
        entry.deadline = deadline;
        true
    })
}

fn key(rng: &mut StdRng) -> Vec<u8> {
    format!("key:{}", rng.random_range(0..KEYS)).into_bytes()
}

/// Mostly short; some fill a page and more, so that a half-written value would show.
fn value(rng: &mut StdRng) -> Vec<u8> {
    let len = match rng.random_range(0..50) {
        0 => rng.random_range(4_000..20_000),
        1..10 => rng.random_range(200..1_500),
        _ => rng.random_range(0..100),
    };
    let stamp: u32 = rng.random();
    let mut value = stamp.to_string().into_bytes();
    let pattern = value.clone();
    value.extend(pattern.iter().cycle().take(len));
    value
}

/// A deadline that does not pass while the test runs.
pub fn far_ms(rng: &mut StdRng) -> i64 {
    now_ms() + rng.random_range(1_000_000..1_000_000_000)
}

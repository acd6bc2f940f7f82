//! The mixes: what the connections write, and the size of the pool. Each mix keeps another part of the store busy.

use std::ops::Range;

use rand::Rng;
use rand::rngs::StdRng;

use crate::model::{Op, far_ms};

/// Keys of one connection in [`Mix::Full`]: four connections fill some 85 % of a pool of 64 MiB.
const FULL_KEYS: usize = 8_500;
/// Keys of one connection in [`Mix::Large`].
const LARGE_KEYS: usize = 10;
/// Keys of one connection in [`Mix::Patching`].
const PATCHED_KEYS: usize = 8;
/// Bytes of a part there, with its key.
const PART_BYTES: usize = 16_288;
/// Keys of one MSET there: more than a segment takes.
const MANY_KEYS: usize = 2_000;

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Every kind of call, small values, much space.
    Any,
    /// A nearly full pool of values that are overwritten again and again: the compaction never rests.
    Full,
    /// Values in parts, and batches longer than segments.
    Large,
    /// Values in parts, of which some change; the compaction moves the others.
    Patching,
    /// The same with much space, which pairs of many sizes need.
    PatchingWithRoom,
    /// EXEC and MSET of every kind of call.
    Transactions,
    /// New keys only: the store makes segments all the time.
    Growing,
    /// Databases that are emptied and filled again by calls of many keys: shards get new indexes all the time.
    Refilling,
}

impl Mix {
    /// `--pool-size`.
    pub fn pool_size(self) -> &'static str {
        match self {
            Mix::Any | Mix::Transactions | Mix::PatchingWithRoom | Mix::Refilling => "1gb",
            Mix::Full | Mix::Patching => "64mb",
            Mix::Large => "384mb",
            Mix::Growing => "2gb",
        }
    }

    /// The most calls that one connection sends before it reads their replies.
    pub fn pipeline_max(self) -> usize {
        match self {
            Mix::Any | Mix::Full => 24,
            Mix::Transactions | Mix::Patching | Mix::PatchingWithRoom => 8,
            Mix::Large | Mix::Refilling => 3,
            Mix::Growing => 64,
        }
    }

    /// The calls of a connection before the first round.
    pub fn fill(self, rng: &mut StdRng) -> Vec<Op> {
        match self {
            Mix::Full => (0..FULL_KEYS)
                .map(|n| Op::Set(full_key(n), bytes(rng, 900..1_300)))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The next call.
    pub fn next(self, rng: &mut StdRng, round: usize, fresh: &mut usize) -> Op {
        match self {
            Mix::Any => Op::random(rng, round, fresh),
            Mix::Transactions => match rng.random_range(0..10) {
                0 => Op::random(rng, round, fresh),
                1 => Op::Exec((0..3).map(|_| large(rng)).collect()),
                // Many versions of few keys; only the last one counts.
                2 | 3 => Op::Exec(
                    (0..rng.random_range(10..60))
                        .map(|_| version(rng))
                        .collect(),
                ),
                // One call replaces everything.
                4 if rng.random_ratio(1, 10) => Op::Exec(vec![
                    Op::random(rng, round, fresh),
                    Op::FlushDb,
                    Op::Set(b"replaced".to_vec(), bytes(rng, 1..2_000)),
                    Op::random(rng, round, fresh),
                ]),
                _ => Op::random_exec(rng, round, fresh),
            },
            Mix::Full => full(rng),
            Mix::Large => large(rng),
            Mix::Refilling => match rng.random_range(0..3) {
                0 => Op::FlushDb,
                _ => many(rng, 300, 500..3_000),
            },
            Mix::Patching | Mix::PatchingWithRoom => match rng.random_range(0..12) {
                0 => Op::Exec((0..rng.random_range(1..6)).map(|_| patch(rng)).collect()),
                _ => patch(rng),
            },
            Mix::Growing => {
                *fresh += 1;
                let key = format!("grown:{round}:{fresh}").into_bytes();
                match rng.random_range(0..20) {
                    0 => Op::Set(key, bytes(rng, 60_000..200_000)),
                    _ => Op::Set(key, bytes(rng, 1_000..12_000)),
                }
            }
        }
    }
}

fn full_key(number: usize) -> Vec<u8> {
    format!("full:{number}").into_bytes()
}

fn full(rng: &mut StdRng) -> Op {
    let key = full_key(rng.random_range(0..FULL_KEYS));
    match rng.random_range(0..100) {
        0..70 => Op::Set(key, bytes(rng, 900..1_300)),
        70..80 => Op::SetPxAt(key, bytes(rng, 900..1_300), far_ms(rng)),
        80..90 => Op::Del(vec![key]),
        90..94 => Op::PExpireAt(key, far_ms(rng)),
        94..96 => Op::Persist(key),
        96..98 => Op::Rename(key, full_key(rng.random_range(0..FULL_KEYS))),
        _ => {
            let first = rng.random_range(0..FULL_KEYS - 30);
            let pairs = (first..first + 30).map(|n| (full_key(n), bytes(rng, 900..1_300)));
            Op::MSet(pairs.collect())
        }
    }
}

fn large(rng: &mut StdRng) -> Op {
    let key = |rng: &mut StdRng| format!("large:{}", rng.random_range(0..LARGE_KEYS)).into_bytes();
    match rng.random_range(0..100) {
        0..40 => Op::Set(key(rng), bytes(rng, 100_000..1_000_000)),
        40..45 => Op::Set(key(rng), bytes(rng, 1_000_000..5_000_000)),
        45..50 => Op::SetPxAt(key(rng), bytes(rng, 100_000..400_000), far_ms(rng)),
        50..60 => Op::Del(vec![key(rng)]),
        60..70 => Op::PExpireAt(key(rng), far_ms(rng)),
        70..75 => Op::Persist(key(rng)),
        75..80 => Op::Append(key(rng), b"+more".to_vec()),
        80..85 => Op::Rename(key(rng), key(rng)),
        85..95 => Op::Set(b"small".to_vec(), bytes(rng, 0..100)),
        _ => many(rng, MANY_KEYS, 50..400),
    }
}

/// One call for this many keys. All values have one stamp: if half of a batch is missing, the first different key shows it.
fn many(rng: &mut StdRng, keys: usize, length: Range<usize>) -> Op {
    let value = bytes(rng, length);
    let pairs = (0..keys).map(|n| (format!("many:{n}").into_bytes(), value.clone()));
    Op::MSet(pairs.collect())
}

/// One more change of one of three keys.
fn version(rng: &mut StdRng) -> Op {
    let key = |rng: &mut StdRng| format!("version:{}", rng.random_range(0..3)).into_bytes();
    match rng.random_range(0..100) {
        0..35 => Op::Set(key(rng), bytes(rng, 0..3_000)),
        35..55 => Op::Set(key(rng), bytes(rng, 50_000..300_000)),
        55..60 => Op::SetPxAt(key(rng), bytes(rng, 100..100_000), far_ms(rng)),
        60..75 => Op::Del(vec![key(rng)]),
        75..85 => Op::Append(key(rng), b"+more".to_vec()),
        85..92 => Op::Rename(key(rng), key(rng)),
        92..96 => Op::PExpireAt(key(rng), far_ms(rng)),
        96..99 => Op::Persist(key(rng)),
        _ => Op::FlushDb,
    }
}

fn patch(rng: &mut StdRng) -> Op {
    let key = format!("patched:{}", rng.random_range(0..PATCHED_KEYS)).into_bytes();
    // At the end of a part, or anywhere.
    let offset = if rng.random_bool(0.5) {
        let part = PART_BYTES - key.len();
        (rng.random_range(1..20) * part).saturating_sub(rng.random_range(0..30))
    } else {
        rng.random_range(0..300_000)
    };
    match rng.random_range(0..100) {
        0..5 => Op::Set(key, bytes(rng, 20_000..400_000)),
        5..7 => Op::SetPxAt(key, bytes(rng, 20_000..400_000), far_ms(rng)),
        7..10 => Op::Del(vec![key]),
        10..14 => Op::PExpireAt(key, far_ms(rng)),
        14..16 => Op::Persist(key),
        16..40 => Op::Append(key, bytes(rng, 1..200)),
        40..42 => Op::Append(key, bytes(rng, 10_000..40_000)),
        42..65 => Op::SetRange(key, offset, bytes(rng, 1..100)),
        65..70 => Op::SetRange(key, offset, bytes(rng, 1..50_000)),
        _ => Op::SetBit(key, 8 * offset + rng.random_range(0..8), rng.random()),
    }
}

/// A value of some length with a stamp that repeats.
pub fn bytes(rng: &mut StdRng, length: Range<usize>) -> Vec<u8> {
    let stamp = format!("{} ", rng.random::<u64>());
    let length = rng.random_range(length);
    stamp.bytes().cycle().take(length).collect()
}

//! The calls that the connections make.

use common::encode;
use rand::Rng;
use rand::rngs::StdRng;

use crate::mixes::bytes;

const KEYS: usize = 6;

/// Most deadlines lie so far from the clock, ms: the clock meets them within a round.
const SOON_MS: std::ops::Range<i64> = -20..150;
const HOUR_MS: i64 = 3_600_000;

#[derive(Clone, Debug)]
pub enum Op {
    Select(usize),
    Set(Vec<u8>, Vec<u8>, Option<i64>),
    Get(Vec<u8>),
    ExpireAt(Vec<u8>, i64),
    Persist(Vec<u8>),
    Del(Vec<u8>),
    FlushDb,
    SwapDb,
    Exec(Vec<Op>),
}

impl Op {
    /// A call, at a time of the server's clock.
    pub fn random(rng: &mut StdRng, now_ms: i64) -> Self {
        let key = format!("key:{}", rng.random_range(0..KEYS)).into_bytes();
        let soon = now_ms + rng.random_range(SOON_MS);
        match rng.random_range(0..30) {
            0..9 => Op::Set(key, bytes(rng, 0..2_000), None),
            9..12 => Op::Set(key, bytes(rng, 2_000..60_000), None),
            12..15 => Op::Set(key, bytes(rng, 0..2_000), Some(soon)),
            15 => Op::Set(key, bytes(rng, 2_000..60_000), Some(soon + HOUR_MS)),
            16..20 => Op::Get(key),
            20 => Op::ExpireAt(key, soon),
            21 => Op::Persist(key),
            22 => Op::Del(key),
            23 | 24 => Op::Select(rng.random_range(0..2)),
            25 | 26 => Op::FlushDb,
            27 | 28 => Op::SwapDb,
            _ => Op::Exec(
                (0..rng.random_range(1..6))
                    .map(|_| Op::random(rng, now_ms))
                    .filter(|op| !matches!(op, Op::Exec(_)))
                    .collect(),
            ),
        }
    }

    /// Its bytes, for a connection whose databases begin with this one.
    pub fn encode(&self, first: usize, out: &mut Vec<u8>) {
        let name = |db: usize| (first + db).to_string();
        match self {
            Op::Select(db) => encode(out, &["SELECT", &name(*db)]),
            Op::Set(key, value, None) => encode(out, &[b"SET".as_slice(), key, value]),
            Op::Set(key, value, Some(at)) => {
                let at = at.to_string();
                encode(
                    out,
                    &[b"SET".as_slice(), key, value, b"PXAT", at.as_bytes()],
                );
            }
            Op::Get(key) => encode(out, &[b"GET".as_slice(), key]),
            Op::ExpireAt(key, at) => {
                encode(
                    out,
                    &[b"PEXPIREAT".as_slice(), key, at.to_string().as_bytes()],
                );
            }
            Op::Persist(key) => encode(out, &[b"PERSIST".as_slice(), key]),
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

    /// How many replies come; the last one tells.
    pub fn replies(&self) -> usize {
        match self {
            Op::Exec(ops) => ops.len() + 2,
            _ => 1,
        }
    }

    /// For messages.
    pub fn show(&self) -> String {
        match self {
            Op::Set(key, value, at) => {
                format!("SET {} {} until {at:?}", key.escape_ascii(), start(value))
            }
            Op::Exec(ops) => {
                let ops: Vec<_> = ops.iter().map(Op::show).collect();
                format!("EXEC({})", ops.join(", "))
            }
            Op::Get(key) => format!("GET {}", key.escape_ascii()),
            Op::ExpireAt(key, at) => format!("PEXPIREAT {} {at}", key.escape_ascii()),
            Op::Persist(key) => format!("PERSIST {}", key.escape_ascii()),
            Op::Del(key) => format!("DEL {}", key.escape_ascii()),
            other => format!("{other:?}"),
        }
    }
}

/// A value's length and first bytes.
pub fn start(value: &[u8]) -> String {
    format!(
        "{} bytes {}",
        value.len(),
        value[..value.len().min(12)].escape_ascii()
    )
}

//! The kinds of damage, and where in a pool they strike.

// A truncation needs the vector itself, and all kinds are called alike.
#![allow(clippy::ptr_arg)]

use std::fmt::Write;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::sample::Sample;

/// What storage changes at a time.
pub const PAGE_BYTES: usize = 4096;

/// A damaged pool.
pub struct Damage {
    /// What was done, for who reads of it.
    pub what: String,
    /// The pool's bytes.
    pub pool: Vec<u8>,
}

/// A kind of damage.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    strike: fn(&Sample, &mut StdRng, &mut Vec<u8>) -> String,
}

/// All of them.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "bits",
        strike: bits,
    },
    Kind {
        name: "words",
        strike: words,
    },
    Kind {
        name: "zeroed page",
        strike: zeroed,
    },
    Kind {
        name: "random page",
        strike: random,
    },
    Kind {
        name: "swapped pages",
        strike: swapped,
    },
    Kind {
        name: "stale page",
        strike: stale,
    },
    Kind {
        name: "copied page",
        strike: copied,
    },
    Kind {
        name: "hole",
        strike: hole,
    },
    Kind {
        name: "zeroed line",
        strike: line,
    },
    Kind {
        name: "truncation",
        strike: truncated,
    },
];

impl Kind {
    /// Damages a copy of the sample.
    pub fn make(self, sample: &Sample, rng: &mut StdRng) -> Damage {
        let mut pool = sample.now.clone();
        let what = (self.strike)(sample, rng, &mut pool);
        let what = format!("{}: {what}", self.name);
        Damage { what, pool }
    }
}

/// A page that holds something. Each part of the pool is struck as often, however small it is.
fn page(sample: &Sample, rng: &mut StdRng) -> usize {
    let part = sample.parts.choose(rng).map_or(&[][..], Vec::as_slice);
    part.choose(rng).copied().unwrap_or(0)
}

fn bits(sample: &Sample, rng: &mut StdRng, pool: &mut Vec<u8>) -> String {
    let mut what = String::new();
    for _ in 0..rng.random_range(1..4) {
        let at = page(sample, rng) * PAGE_BYTES + rng.random_range(0..PAGE_BYTES);
        let bit = rng.random_range(0..8);
        pool[at] ^= 1 << bit;
        let _ = write!(what, "bit {bit} of {at:#x} ");
    }
    what
}

fn words(sample: &Sample, rng: &mut StdRng, pool: &mut Vec<u8>) -> String {
    let mut what = String::new();
    for _ in 0..rng.random_range(1..5) {
        let at = page(sample, rng) * PAGE_BYTES + rng.random_range(0..PAGE_BYTES / 8) * 8;
        let word: u64 = match rng.random_range(0..4) {
            0 => 0,
            1 => u64::MAX,
            // A place in the pool, as a pointer would be.
            2 => rng.random_range(0..pool.len() as u64) / 8 * 8,
            _ => rng.random(),
        };
        pool[at..at + 8].copy_from_slice(&word.to_le_bytes());
        let _ = write!(what, "{word:#x} at {at:#x} ");
    }
    what
}

fn zeroed(sample: &Sample, rng: &mut StdRng, pool: &mut Vec<u8>) -> String {
    let at = page(sample, rng) * PAGE_BYTES;
    pool[at..at + PAGE_BYTES].fill(0);
    format!("at {at:#x}")
}

fn random(sample: &Sample, rng: &mut StdRng, pool: &mut Vec<u8>) -> String {
    let at = page(sample, rng) * PAGE_BYTES;
    rng.fill(&mut pool[at..at + PAGE_BYTES]);
    format!("at {at:#x}")
}

fn swapped(sample: &Sample, rng: &mut StdRng, pool: &mut Vec<u8>) -> String {
    let (a, b) = (
        page(sample, rng) * PAGE_BYTES,
        page(sample, rng) * PAGE_BYTES,
    );
    let (a, b) = (a.min(b), a.max(b));
    if a < b {
        let (low, high) = pool.split_at_mut(b);
        low[a..a + PAGE_BYTES].swap_with_slice(&mut high[..PAGE_BYTES]);
    }
    format!("{a:#x} and {b:#x}")
}

fn copied(sample: &Sample, rng: &mut StdRng, pool: &mut Vec<u8>) -> String {
    let (from, to) = (
        page(sample, rng) * PAGE_BYTES,
        page(sample, rng) * PAGE_BYTES,
    );
    pool.copy_within(from..from + PAGE_BYTES, to);
    format!("{from:#x} to {to:#x}")
}

/// A page as an earlier state had it.
fn stale(sample: &Sample, rng: &mut StdRng, pool: &mut Vec<u8>) -> String {
    let Some((number, earlier)) = sample.earlier.choose(rng) else {
        return "none".to_owned();
    };
    for _ in 0..200 {
        let at = page(sample, rng) * PAGE_BYTES;
        let old = &earlier[at..at + PAGE_BYTES];
        if old != &pool[at..at + PAGE_BYTES] {
            pool[at..at + PAGE_BYTES].copy_from_slice(old);
            return format!("{at:#x} as of state {number}");
        }
    }
    "none found".to_owned()
}

fn hole(sample: &Sample, rng: &mut StdRng, pool: &mut Vec<u8>) -> String {
    let at = page(sample, rng) * PAGE_BYTES;
    let end = (at + rng.random_range(2..64) * PAGE_BYTES).min(pool.len());
    pool[at..end].fill(0);
    format!("{at:#x} to {end:#x}")
}

/// 64 zero bytes, of the size of a segment's header.
fn line(sample: &Sample, rng: &mut StdRng, pool: &mut Vec<u8>) -> String {
    let at = match sample.headers.choose(rng) {
        Some(&at) if rng.random_bool(0.5) => at,
        _ => page(sample, rng) * PAGE_BYTES + rng.random_range(0..PAGE_BYTES / 64) * 64,
    };
    pool[at..at + 64].fill(0);
    format!("at {at:#x}")
}

fn truncated(_: &Sample, rng: &mut StdRng, pool: &mut Vec<u8>) -> String {
    let end = if rng.random_bool(0.5) {
        rng.random_range(0..pool.len())
    } else {
        pool.len() - rng.random_range(1..3 * PAGE_BYTES)
    };
    let is_sparse = rng.random_bool(0.3);
    if is_sparse {
        // The file's length is right, its end was never written.
        pool[end..].fill(0);
        return format!("zeros from {end:#x} on");
    }
    pool.truncate(end);
    format!("to {end:#x}")
}

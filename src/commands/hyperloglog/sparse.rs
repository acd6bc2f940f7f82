//! The sparse form: runs of equal registers, from the first register to the last.
//!
//! | bytes | meaning |
//! |---|---|
//! | `00xxxxxx` | `x` + 1 registers are 0 |
//! | `01xxxxxx yyyyyyyy` | `xy` + 1 registers are 0 |
//! | `1vvvvvxx` | `x` + 1 registers are `v` + 1 |

use super::REGISTERS;
use super::hash::Mark;

/// The highest rank that this form can hold.
pub(super) const RANK_MAX: u8 = 32;

const SHORT_ZEROS_MAX: usize = 64;
const RANKS_MAX: usize = 4;
/// How many codes a change checks for runs to join.
const LOOKED_AT: usize = 5;

/// The bytes are no registers of a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Corrupt;

/// The result of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raised {
    Yes,
    /// The register has that rank already.
    No,
    /// The sparse form has no space for it.
    NoSpace,
}

/// Registers that are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) len: usize,
    pub(super) rank: u8,
}

impl Run {
    /// The run that `codes` begin with, and the length of its code.
    fn first(codes: &[u8]) -> Option<(Self, usize)> {
        let &code = codes.first()?;
        let zeros = usize::from(code & 0x3f);
        let zeros_of = |len| Self { len, rank: 0 };
        Some(match code >> 6 {
            0 => (zeros_of(zeros + 1), 1),
            1 => {
                // Redis has a zero byte behind every string, and takes it where the second byte is missing.
                let low = codes.get(1).copied().unwrap_or(0);
                (zeros_of((zeros << 8 | usize::from(low)) + 1), 2)
            }
            _ => {
                let run = Self {
                    len: usize::from(code & 3) + 1,
                    rank: (code >> 2 & 0x1f) + 1,
                };
                (run, 1)
            }
        })
    }

    fn write(self, to: &mut Vec<u8>) {
        let less = self.len - 1;
        if self.rank > 0 {
            to.push(0x80 | (self.rank - 1) << 2 | low_byte(less));
        } else if self.len <= SHORT_ZEROS_MAX {
            to.push(low_byte(less));
        } else {
            to.extend([0x40 | low_byte(less >> 8), low_byte(less)]);
        }
    }
}

/// Appends the codes of registers that are all 0.
pub(super) fn write_zeros(to: &mut Vec<u8>) {
    let all = Run {
        len: REGISTERS,
        rank: 0,
    };
    all.write(to);
}

fn low_byte(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

/// The runs of `codes`. They may name more registers than there are, or fewer.
fn runs(mut codes: &[u8]) -> impl Iterator<Item = Run> {
    std::iter::from_fn(move || {
        let (run, len) = Run::first(codes)?;
        codes = codes.get(len..).unwrap_or_default();
        Some(run)
    })
}

/// Calls `each` with every run and its first register.
pub(super) fn for_each(codes: &[u8], mut each: impl FnMut(usize, Run)) -> Result<(), Corrupt> {
    let mut first = 0;
    for run in runs(codes) {
        if first + run.len > REGISTERS {
            return Err(Corrupt);
        }
        each(first, run);
        first += run.len;
    }
    if first == REGISTERS {
        Ok(())
    } else {
        Err(Corrupt)
    }
}

/// Where a register's run stands.
struct Found {
    run: Run,
    /// The first register of the run.
    first: usize,
    /// Where its code begins, how long it is, and where the code before it begins.
    at: usize,
    len: usize,
    before: usize,
}

fn find(codes: &[u8], register: usize) -> Result<Found, Corrupt> {
    let (mut first, mut at, mut before) = (0, 0, 0);
    while let Some((run, len)) = codes.get(at..).and_then(Run::first) {
        if register < first + run.len {
            return Ok(Found {
                run,
                first,
                at,
                len,
                before,
            });
        }
        before = at;
        at += len;
        first += run.len;
    }
    Err(Corrupt)
}

/// A register's rank.
pub(super) fn get(codes: &[u8], register: usize) -> Result<u8, Corrupt> {
    find(codes, register).map(|found| found.run.rank)
}

/// Raises a register if it is lower. The codes start at `start` of `bytes`. They may grow until `bytes` has
/// `bytes_max` bytes.
pub(super) fn raise(
    bytes: &mut Vec<u8>,
    start: usize,
    mark: Mark,
    bytes_max: usize,
) -> Result<Raised, Corrupt> {
    let Mark { register, rank } = mark;
    if rank > RANK_MAX {
        return Ok(Raised::NoSpace);
    }
    let Found {
        run,
        first,
        at,
        len,
        before,
    } = find(&bytes[start..], register)?;
    if run.rank >= rank {
        return Ok(Raised::No);
    }
    let end = start + at + len;
    if end > bytes.len() {
        return Err(Corrupt);
    }
    let mut codes = Vec::new();
    let parts = [
        (register - first, run.rank),
        (1, rank),
        (first + run.len - 1 - register, run.rank),
    ];
    for (len, rank) in parts {
        if len > 0 {
            Run { len, rank }.write(&mut codes);
        }
    }
    if codes.len() > len && bytes.len() - len + codes.len() > bytes_max {
        return Ok(Raised::NoSpace);
    }
    bytes.splice(start + at..end, codes);
    join(bytes, start + before);
    Ok(Raised::Yes)
}

/// Joins runs of the same rank above zero from `at` on. Joins exactly as many as Redis does, so that the bytes are
/// equal too.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..LOOKED_AT {
        let Some((run, len)) = bytes.get(at..).and_then(Run::first) else {
            return;
        };
        let next = bytes.get(at + len..).and_then(Run::first);
        match next {
            Some((next, _))
                if run.rank > 0 && next.rank == run.rank && run.len + next.len <= RANKS_MAX =>
            {
                let mut joined = Vec::new();
                let run = Run {
                    len: run.len + next.len,
                    ..run
                };
                run.write(&mut joined);
                bytes.splice(at..at + 2, joined);
            }
            _ => at += len,
        }
    }
}

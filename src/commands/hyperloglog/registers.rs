//! A `HyperLogLog`'s registers, and how Redis keeps them in a string.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `HYLL` |
//! | 1 | 0: dense, 1: sparse |
//! | 3 | nothing |
//! | 8 | the estimate as it was last computed, little-endian; the top bit says that it no longer holds |
//! | 12,288 | dense: the registers, 6 bits each, the lowest first |
//! | | sparse: runs: `00nnnnnn` n+1 zeros, `01nnnnnn nnnnnnnn` n+1 zeros, `1vvvvvnn` n+1 times v+1 |

use crate::commands::CommandError;

/// How many registers there are.
const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 14;
/// Bits of an element's hash that are left to count zeros in.
const RANK_BITS: u32 = 64 - INDEX_BITS;

const MAGIC: &[u8] = b"HYLL";
const HEADER_BYTES: usize = 16;
const DENSE_BYTES: usize = REGISTERS * 6 / 8;
/// The largest value that a sparse run has.
const SPARSE_VALUE_MAX: u8 = 32;

const NOT_ONE: CommandError =
    CommandError::text("WRONGTYPE Key is not a valid HyperLogLog string value.");
const CORRUPTED: CommandError = CommandError::text("INVALIDOBJ Corrupted HLL object detected");

/// A `HyperLogLog`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registers {
    values: Vec<u8>,
    /// Once dense, it stays so.
    pub(super) dense: bool,
}

impl Default for Registers {
    fn default() -> Self {
        Self {
            values: vec![0; REGISTERS],
            dense: false,
        }
    }
}

/// What stands in a string's header.
struct Header {
    dense: bool,
    estimate: Option<u64>,
}

fn header(string: &[u8]) -> Result<(Header, &[u8]), CommandError> {
    let (header, body) = string.split_first_chunk::<HEADER_BYTES>().ok_or(NOT_ONE)?;
    let dense = match header[4] {
        0 => true,
        1 => false,
        _ => return Err(NOT_ONE),
    };
    if !header.starts_with(MAGIC) || dense && body.len() != DENSE_BYTES {
        return Err(NOT_ONE);
    }
    let estimate = header.last_chunk::<8>().copied().map(u64::from_le_bytes);
    let estimate = estimate.filter(|estimate| estimate >> 63 == 0);
    Ok((Header { dense, estimate }, body))
}

/// The estimate that a string holds; `None` where it has to be computed.
pub(super) fn kept_estimate(string: &[u8]) -> Result<Option<u64>, CommandError> {
    Ok(header(string)?.0.estimate)
}

impl Registers {
    /// Reads a string.
    pub(super) fn decode(string: &[u8]) -> Result<Self, CommandError> {
        let (header, body) = header(string)?;
        let values = if header.dense {
            decode_dense(body)
        } else {
            decode_sparse(body).ok_or(CORRUPTED)?
        };
        Ok(Self {
            values,
            dense: header.dense,
        })
    }

    /// As a string, with an estimate or without. Sparse where it was and its runs take no more than `sparse_bytes_max`.
    pub(super) fn encode(&self, estimate: Option<u64>, sparse_bytes_max: usize) -> Vec<u8> {
        let sparse = if self.dense {
            None
        } else {
            encode_sparse(&self.values).filter(|runs| runs.len() <= sparse_bytes_max)
        };
        let mut string = MAGIC.to_vec();
        string.extend_from_slice(&[u8::from(sparse.is_some()), 0, 0, 0]);
        string.extend_from_slice(&estimate.unwrap_or(1 << 63).to_le_bytes());
        match sparse {
            Some(runs) => string.extend_from_slice(&runs),
            None => string.extend_from_slice(&encode_dense(&self.values)),
        }
        string
    }

    /// Notes an element; whether that changed anything.
    pub(super) fn add(&mut self, element: &[u8]) -> bool {
        let hash = hash(element);
        #[allow(clippy::cast_possible_truncation)] // 14 bits.
        let index = hash as usize & (REGISTERS - 1);
        // The set bit ends the count where no other does.
        let rest = hash >> INDEX_BITS | 1 << RANK_BITS;
        let rank = u8::try_from(rest.trailing_zeros() + 1).unwrap_or(u8::MAX);
        let register = &mut self.values[index];
        let grows = rank > *register;
        *register = rank.max(*register);
        grows
    }

    /// Takes in what another one has seen.
    pub(super) fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.values.iter_mut().zip(&other.values) {
            *ours = (*ours).max(*theirs);
        }
        self.dense |= other.dense;
    }

    /// How many different elements were seen, about: Ertl's improved estimator.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub(super) fn estimate(&self) -> u64 {
        /// 1 / (2 ln 2).
        const ALPHA: f64 = 0.721_347_520_444_481_7;
        let registers = REGISTERS as f64;
        let mut histogram = [0u32; 64];
        for value in &self.values {
            histogram[usize::from(value & 63)] += 1;
        }
        let top = RANK_BITS as usize + 1;
        let full = f64::from(histogram[top]);
        let mut z = registers * tau((registers - full) / registers);
        for count in histogram[1..top].iter().rev() {
            z = (z + f64::from(*count)) * 0.5;
        }
        z += registers * sigma(f64::from(histogram[0]) / registers);
        (ALPHA * registers * registers / z).round() as u64
    }
}

#[allow(clippy::float_cmp)] // Until nothing changes.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

#[allow(clippy::float_cmp)] // Until nothing changes.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

/// `MurmurHash64A` with Redis's seed.
fn hash(element: &[u8]) -> u64 {
    const SEED: u64 = 0xadc8_3b19;
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = SEED ^ (element.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = element.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> SHIFT;
        hash ^= word.wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash ^= u64::from_le_bytes(last);
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> SHIFT;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ hash >> SHIFT
}

fn decode_dense(body: &[u8]) -> Vec<u8> {
    // Four registers in each three bytes.
    let (groups, _) = body.as_chunks::<3>();
    groups
        .iter()
        .flat_map(|&[a, b, c]| {
            [
                a & 63,
                (a >> 6 | b << 2) & 63,
                (b >> 4 | c << 4) & 63,
                c >> 2,
            ]
        })
        .collect()
}

fn encode_dense(values: &[u8]) -> Vec<u8> {
    let (groups, _) = values.as_chunks::<4>();
    groups
        .iter()
        .flat_map(|&[a, b, c, d]| [a | b << 6, b >> 2 | c << 4, c >> 4 | d << 2])
        .collect()
}

/// `None` where the runs do not make up all registers.
fn decode_sparse(mut runs: &[u8]) -> Option<Vec<u8>> {
    let mut values = Vec::with_capacity(REGISTERS);
    while let Some((&first, rest)) = runs.split_first() {
        let (value, len, rest) = match first {
            0..0x40 => (0, usize::from(first) + 1, rest),
            0x40..0x80 => {
                let (&second, rest) = rest.split_first()?;
                (
                    0,
                    (usize::from(first & 0x3f) << 8 | usize::from(second)) + 1,
                    rest,
                )
            }
            _ => ((first >> 2 & 0x1f) + 1, usize::from(first & 3) + 1, rest),
        };
        if values.len() + len > REGISTERS {
            return None;
        }
        values.resize(values.len() + len, value);
        runs = rest;
    }
    (values.len() == REGISTERS).then_some(values)
}

/// `None` where a value is too large for runs.
fn encode_sparse(values: &[u8]) -> Option<Vec<u8>> {
    const SHORT_ZEROS_MAX: usize = 64;
    const VALUES_MAX: usize = 4;
    let mut runs = Vec::new();
    for run in values.chunk_by(|a, b| a == b) {
        let value = run[0];
        if value > SPARSE_VALUE_MAX {
            return None;
        }
        if value == 0 && run.len() > SHORT_ZEROS_MAX {
            let [high, low] = u16::try_from(run.len() - 1).ok()?.to_be_bytes();
            runs.extend_from_slice(&[0x40 | high, low]);
            continue;
        }
        let len_max = if value == 0 {
            SHORT_ZEROS_MAX
        } else {
            VALUES_MAX
        };
        for part in run.chunks(len_max) {
            let len = u8::try_from(part.len() - 1).ok()?;
            runs.push(match value {
                0 => len,
                value => 0x80 | (value - 1) << 2 | len,
            });
        }
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_one_is_one_run_of_zeros() {
        let string = Registers::default().encode(Some(0), 3000);
        assert_eq!(string, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
        assert_eq!(kept_estimate(&string).ok(), Some(Some(0)));
        assert_eq!(Registers::default().estimate(), 0);
    }

    #[test]
    fn estimates_are_close() {
        let mut registers = Registers::default();
        for n in 0..100_000u32 {
            registers.add(&n.to_be_bytes());
            if [10, 1000, 100_000].contains(&(n + 1)) {
                let error = f64::from(n + 1) / 100.0 * 3.0;
                #[allow(clippy::cast_precision_loss)] // Far below 2^52.
                let off = (registers.estimate() as f64 - f64::from(n + 1)).abs();
                assert!(off <= error.max(1.0), "{off} of {n}");
            }
        }
    }

    proptest! {
        #[test]
        fn registers_come_back(seeds in prop::collection::vec(any::<u64>(), 0..3000), dense: bool, estimate in prop::option::of(0..1u64 << 63)) {
            let mut registers = Registers { dense, ..Registers::default() };
            for seed in seeds {
                registers.add(&seed.to_le_bytes());
            }
            let string = registers.encode(estimate, 3000);
            prop_assert_eq!(kept_estimate(&string).ok(), Some(estimate));
            let back = Registers::decode(&string).expect("valid");
            prop_assert_eq!(back.values, registers.values);
        }

        #[test]
        fn any_bytes_are_taken(encoding in 0..3u8, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut string = b"HYLL".to_vec();
            string.extend_from_slice(&[encoding, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]);
            string.extend_from_slice(&bytes);
            if let Ok(registers) = Registers::decode(&string) {
                registers.estimate();
            }
            let _ = Registers::decode(&bytes);
        }
    }
}

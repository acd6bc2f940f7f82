//! What an element does to a sketch.

use super::{INDEX_BITS, RANK_MAX, REGISTERS};

/// The start of every hash. Another one would make sketches that Redis's can't be merged with.
const SEED: u64 = 0xadc8_3b19;

/// The register that an element belongs to, and the rank that it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) register: usize,
    pub(super) rank: u8,
}

impl Mark {
    pub(super) fn of(element: &[u8]) -> Self {
        let hash = murmur64a(element, SEED);
        let rest = hash >> INDEX_BITS;
        let zeros = rest.trailing_zeros().min(u32::from(RANK_MAX) - 1);
        Self {
            register: usize::try_from(hash).unwrap_or(usize::MAX) % REGISTERS,
            rank: u8::try_from(zeros + 1).unwrap_or(RANK_MAX),
        }
    }
}

/// Austin Appleby's `MurmurHash64A`, which reads its input in little-endian order.
fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;

    let (words, tail) = bytes.as_chunks();
    let start = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let mut hash = words.iter().fold(start, |hash, &word| {
        let word = u64::from_le_bytes(word).wrapping_mul(FACTOR);
        let mixed = (word ^ (word >> SHIFT)).wrapping_mul(FACTOR);
        (hash ^ mixed).wrapping_mul(FACTOR)
    });
    if !tail.is_empty() {
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(FACTOR);
    }
    hash = (hash ^ (hash >> SHIFT)).wrapping_mul(FACTOR);
    hash ^ (hash >> SHIFT)
}

//! `HyperLogLog`s: strings in Redis's own form that estimate how many different elements they were given.
//!
//! A sketch has 2^14 registers. An element's hash names one of them and a rank from 1 to 51; the register keeps the
//! highest rank that it saw. Redis's form, after a header of 16 bytes, is dense (6 bits a register) or sparse (runs).

pub(super) mod count;
mod dense;
mod estimate;
mod hash;
pub(super) mod merge;
mod sketch;
mod sparse;
#[cfg(test)]
mod tests;

/// How many registers a sketch has.
const REGISTERS: usize = 1 << INDEX_BITS;
/// So many bits of a hash name the register.
const INDEX_BITS: u32 = 14;
/// The highest rank: the other bits of a hash are all zero.
const RANK_MAX: u8 = 51;

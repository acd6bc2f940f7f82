//! The numbers of `math.random`: those of `drand48`, the same on every machine.

/// One more than the largest number.
pub(crate) const RANDOM_MAX: f64 = 2_147_483_647.0;

/// A linear congruential generator of 48 bits.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

const MULTIPLIER: u64 = 0x0005_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;

impl Random {
    /// As Redis starts.
    pub fn new() -> Self {
        Self(0x1234_ABCD_330E)
    }

    /// As after `math.randomseed(seed)`.
    pub fn seeded(seed: i32) -> Self {
        Self((u64::from(seed.cast_unsigned()) << 16) | 0x330E)
    }

    /// The next 31 bits.
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        u32::try_from(self.0 >> 17).unwrap_or_default()
    }
}

//! How many elements a sketch has seen: the estimator of Otmar Ertl ("New cardinality estimation algorithms for
//! `HyperLogLog` sketches", 2017), which needs no correction for few or many elements.

use super::{RANK_MAX, REGISTERS};

/// How many registers have each rank. Damaged dense sketches have ranks up to 63.
#[derive(Debug)]
pub(super) struct Histogram([u32; 64]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl FromIterator<u8> for Histogram {
    fn from_iter<I: IntoIterator<Item = u8>>(registers: I) -> Self {
        let mut histogram = Self::default();
        registers
            .into_iter()
            .for_each(|rank| histogram.add(rank, 1));
        histogram
    }
}

impl Histogram {
    /// Counts `len` more registers of one rank.
    pub(super) fn add(&mut self, rank: u8, len: usize) {
        self.0[usize::from(rank) % 64] += u32::try_from(len).unwrap_or(0);
    }

    /// The estimate. The order of the steps is Redis's: sums of doubles depend on it.
    pub(super) fn estimate(&self) -> u64 {
        /// 1 / (2 ln 2): what the correction of the registers' mean tends to.
        const ALPHA: f64 = 0.721_347_520_444_481_7;
        let of_rank = |rank: u8| f64::from(self.0[usize::from(rank)]);

        let registers = f64::from(u32::try_from(REGISTERS).unwrap_or(u32::MAX));
        let mut sum = registers * tau((registers - of_rank(RANK_MAX)) / registers);
        for rank in (1..RANK_MAX).rev() {
            sum += of_rank(rank);
            sum *= 0.5;
        }
        sum += registers * sigma(of_rank(0) / registers);
        let estimate = ALPHA * registers * registers / sum;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // Not negative; `as` saturates.
        let rounded = estimate.round() as u64;
        rounded
    }
}

/// What the registers that are zero add.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if is_same(before, z) {
            return z;
        }
    }
}

/// What the registers of the highest rank take away.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if is_same(before, z) {
            return z / 3.0;
        }
    }
}

/// Both series end where a step is too small to change the sum.
fn is_same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}

//! Durations of calls, counted in buckets. Buckets widen with the duration: each is at most a 32nd of it wide.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets between a duration and its double, as a power of two.
const PARTS_BITS: u32 = 5;
const PARTS: u64 = 1 << PARTS_BITS;

/// Longer durations count as this one, ns: 69 s.
const NANOS_MAX: u64 = (1 << 36) - 1;

/// How many buckets there are; the last one is that of `NANOS_MAX`.
const BUCKETS: usize = 1024;

/// The bucket of a duration.
#[inline]
#[allow(clippy::cast_possible_truncation)] // Below BUCKETS.
pub fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.min(NANOS_MAX);
    // Below 2 * PARTS every duration has a bucket of its own.
    let shift = (nanos | PARTS).ilog2() - PARTS_BITS;
    ((u64::from(shift) << PARTS_BITS) + (nanos >> shift)) as usize
}

/// The longest duration of a bucket, ns.
fn end_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket >> PARTS_BITS).saturating_sub(1);
    let part = bucket - (shift << PARTS_BITS);
    ((part + 1) << shift) - 1
}

/// The counts of one command on one worker.
#[derive(Debug)]
pub struct Histogram {
    counts: Box<[AtomicU64]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Histogram {
    /// Counts `calls` calls in a bucket of [`bucket_of`].
    #[inline]
    pub fn add(&self, bucket: usize, calls: u64) {
        self.counts[bucket].fetch_add(calls, Ordering::Relaxed);
    }

    /// Resets all counts.
    pub fn reset(&self) {
        for count in &self.counts {
            count.store(0, Ordering::Relaxed);
        }
    }
}

/// A sum of histograms.
#[derive(Clone, Debug)]
pub struct Durations {
    counts: Vec<u64>,
    calls: u64,
}

impl Durations {
    /// The sum of `histograms`; `None` if they have counted nothing.
    pub fn sum<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Option<Self> {
        let mut sum = Self {
            counts: vec![0; BUCKETS],
            calls: 0,
        };
        for histogram in histograms {
            for (sum, count) in sum.counts.iter_mut().zip(&histogram.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        sum.calls = sum.counts.iter().sum();
        (sum.calls > 0).then_some(sum)
    }

    /// How many calls were counted.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The duration that `percent` of the calls did not exceed, ns, rounded up to the end of its bucket.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub fn percentile(&self, percent: f64) -> u64 {
        let share = percent.clamp(0.0, 100.0) / 100.0;
        let wanted = ((share * self.calls as f64 + 0.5) as u64).clamp(1, self.calls);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return end_of(bucket);
            }
        }
        NANOS_MAX
    }

    /// How many calls certainly took no longer than `nanos`: those in the buckets that end there or before.
    pub fn up_to(&self, nanos: u64) -> u64 {
        let counts = self.counts.iter().enumerate();
        counts
            .take_while(|(bucket, _)| end_of(*bucket) <= nanos)
            .map(|(_, count)| count)
            .sum()
    }

    /// Total time of all calls, ns; each call counts as the middle of its bucket.
    pub fn total(&self) -> u64 {
        let counts = self.counts.iter().enumerate();
        counts
            .map(|(bucket, count)| {
                let first = bucket.checked_sub(1).map_or(0, |before| end_of(before) + 1);
                count.saturating_mul(first.midpoint(end_of(bucket)))
            })
            .fold(0, u64::saturating_add)
    }

    /// Pairs of µs and calls: how many calls took no longer than 1, 2, 4, ... µs, for each step at which the number
    /// grows. The µs are those that Redis shows: the ends of its own buckets, from 1024 ns on.
    pub fn doubling(&self) -> Vec<(u64, u64)> {
        let mut pairs = Vec::new();
        let mut before = 0;
        let mut limit = 1024;
        while before < self.calls {
            // Redis's buckets are a 128th of the duration wide; the last one here takes the rest.
            let end = if limit > NANOS_MAX {
                BUCKETS
            } else {
                bucket_of(limit)
            };
            let seen = self.counts[..end].iter().sum();
            if seen > before {
                pairs.push(((limit + limit / 128 - 1) / 1000, seen));
                before = seen;
            }
            limit *= 2;
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        let mut last = 0;
        for nanos in (0..5000).chain((5000..1 << 37).step_by(9_999_991)) {
            let bucket = bucket_of(nanos);
            assert!(
                (last..BUCKETS).contains(&bucket),
                "{nanos}: {bucket} after {last}"
            );
            last = bucket;
            if nanos <= NANOS_MAX {
                let end = end_of(bucket);
                assert!(
                    end >= nanos && end - nanos <= nanos / PARTS,
                    "{nanos}: ends at {end}"
                );
            }
        }
        assert_eq!(last, BUCKETS - 1);
        assert_eq!(end_of(BUCKETS - 1), NANOS_MAX);
    }

    #[test]
    fn percentiles_and_doublings() {
        let histogram = Histogram::default();
        assert!(Durations::sum([&histogram].into_iter()).is_none());
        for (nanos, calls) in [(500, 97), (3_000, 2), (50_000_000, 1)] {
            histogram.add(bucket_of(nanos), calls);
        }
        let sum = Durations::sum([&histogram, &Histogram::default()].into_iter())
            .expect("there are calls");
        assert_eq!(sum.calls(), 100);
        assert_eq!(sum.percentile(50.0), 503);
        assert_eq!(sum.percentile(99.0), 3007);
        assert_eq!(sum.percentile(100.0), end_of(bucket_of(50_000_000)));
        assert_eq!(sum.up_to(499), 0);
        assert_eq!(sum.up_to(503), 97);
        assert_eq!(sum.up_to(10_000), 99);
        assert_eq!(sum.up_to(u64::MAX), 100);
        let total = 97 * 500 + 2 * 3_000 + 50_000_000;
        assert!(sum.total().abs_diff(total) < total / 32, "{}", sum.total());
        assert_eq!(sum.doubling(), [(1, 97), (4, 99), (67_633, 100)]);
        histogram.reset();
        assert!(Durations::sum([&histogram].into_iter()).is_none());
    }
}

//! How fast the counters grew, per second, over the last one and a half seconds.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Stats;

/// A rate is the mean over this many samples, taken every 100 ms.
pub const RATE_SAMPLES: usize = 16;

/// Rates of the server's traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerSecond {
    /// Commands.
    pub commands: u64,
    /// Bytes read from clients.
    pub input_bytes: u64,
    /// Bytes sent to clients.
    pub output_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    totals: PerSecond,
}

/// The last samples of the counters. The caller calls [`Rates::sample`] every 100 ms.
#[derive(Debug)]
pub struct Rates {
    ring: Mutex<[Option<Sample>; RATE_SAMPLES]>,
    next: Mutex<usize>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            ring: Mutex::new([None; RATE_SAMPLES]),
            next: Mutex::new(0),
        }
    }
}

impl Rates {
    /// Takes a sample of the counters.
    pub fn sample(&self, stats: &Stats) {
        let snapshot = stats.snapshot();
        let totals = PerSecond {
            commands: snapshot.commands.iter().map(|command| command.calls).sum(),
            input_bytes: snapshot.input_bytes,
            output_bytes: snapshot.output_bytes,
        };
        self.note(Instant::now(), totals);
    }

    fn note(&self, at: Instant, totals: PerSecond) {
        let mut next = self.next.lock();
        self.ring.lock()[*next % RATE_SAMPLES] = Some(Sample { at, totals });
        *next = (*next + 1) % RATE_SAMPLES;
    }

    /// The mean over the kept samples; zero before the second sample.
    pub fn per_second(&self) -> PerSecond {
        let samples = || {
            self.ring
                .lock()
                .iter()
                .flatten()
                .copied()
                .collect::<Vec<_>>()
        };
        let samples = samples();
        let oldest = samples.iter().min_by_key(|sample| sample.at);
        let newest = samples.iter().max_by_key(|sample| sample.at);
        let (Some(oldest), Some(newest)) = (oldest, newest) else {
            return PerSecond::default();
        };
        let elapsed = newest.at - oldest.at;
        // After CONFIG RESETSTAT a counter may be lower than before: then count no growth.
        PerSecond {
            commands: rate(oldest.totals.commands, newest.totals.commands, elapsed),
            input_bytes: rate(
                oldest.totals.input_bytes,
                newest.totals.input_bytes,
                elapsed,
            ),
            output_bytes: rate(
                oldest.totals.output_bytes,
                newest.totals.output_bytes,
                elapsed,
            ),
        }
    }
}

fn rate(from: u64, to: u64, elapsed: Duration) -> u64 {
    let moved = u128::from(to.saturating_sub(from));
    let per_second = (moved * 1_000_000)
        .checked_div(elapsed.as_micros())
        .unwrap_or(0);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_mean_over_the_ring() {
        let rates = Rates::default();
        assert_eq!(rates.per_second(), PerSecond::default());
        let start = Instant::now();
        for step in 0..40 {
            let totals = PerSecond {
                commands: step * 50,
                input_bytes: step * 100,
                output_bytes: 0,
            };
            rates.note(start + Duration::from_millis(100 * step), totals);
        }
        let per_second = rates.per_second();
        assert_eq!(per_second.commands, 500);
        assert_eq!(per_second.input_bytes, 1000);
        assert_eq!(per_second.output_bytes, 0);
    }

    #[test]
    fn counters_set_back_give_no_rate() {
        let rates = Rates::default();
        let start = Instant::now();
        let totals = PerSecond {
            commands: 1000,
            ..PerSecond::default()
        };
        rates.note(start, totals);
        rates.note(start + Duration::from_secs(1), PerSecond::default());
        assert_eq!(rates.per_second().commands, 0);
    }
}

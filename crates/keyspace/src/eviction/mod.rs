//! Decides when memory is full and which keys go then: `maxmemory` and its policies.
//!
//! There are two limits. `maxmemory` counts the bytes of records in the store and of the index in DRAM. Without
//! `maxmemory` the store's own limit holds: above it, compaction would cost too much. If keys may be evicted, both
//! limits become one number, so that a write makes one comparison: [`State::threshold`].

mod candidates;
mod evict;

pub use evict::Eviction;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use lock_order::{Mutex, Rank};

use super::Millis;
use super::clock::{Clock, Lfu};
use candidates::Candidates;
use config::{EvictionPolicy, Settings};

/// The most keys that one round samples, even if `maxmemory-samples` asks for more.
const SAMPLES_MAX: usize = 1_000;

/// Up to this tenacity the time limit grows linearly; above it, by a constant factor.
const TENACITY_EVEN_MAX: u32 = 10;
const TENACITY_STEP: Duration = Duration::from_micros(50);
const TENACITY_GROWTH: f64 = 1.15;
const TENACITY_ENDLESS: u32 = 100;

const POLICIES: [EvictionPolicy; 8] = [
    EvictionPolicy::Noeviction,
    EvictionPolicy::VolatileLru,
    EvictionPolicy::VolatileLfu,
    EvictionPolicy::VolatileRandom,
    EvictionPolicy::VolatileTtl,
    EvictionPolicy::AllkeysLru,
    EvictionPolicy::AllkeysLfu,
    EvictionPolicy::AllkeysRandom,
];

/// Which keys may be evicted, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    only_expiring: bool,
    order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The key that was unused for longest goes first.
    Recency,
    /// The key that was used least goes first.
    Frequency(Lfu),
    /// The key whose deadline comes first goes first.
    Deadline,
    /// A random key goes.
    Random,
}

/// The state of eviction.
#[derive(Debug)]
pub(super) struct State {
    /// The policy's number in [`POLICIES`].
    policy: AtomicU8,
    /// See [`Clock::to_word`].
    clock: AtomicU64,
    /// `maxmemory`; 0 is no limit.
    max_bytes: AtomicU64,
    samples: AtomicUsize,
    /// A master evicts, and this server follows it: no key goes, and `maxmemory` does not count.
    follows: AtomicBool,
    /// How long one command may evict, us; the largest number is no limit.
    time_max_us: AtomicU64,
    /// If the stored bytes are above this, a command that adds data must evict or compact first.
    threshold: AtomicU64,
    /// DRAM of the index and the views at the last measurement.
    dram_bytes: AtomicU64,
    candidates: Mutex<Candidates>,
    evicted: AtomicU64,
    /// Since when `maxmemory` is exceeded, ms since the Unix epoch; 0 if it is not exceeded.
    exceeded_since: AtomicI64,
    /// How long `maxmemory` was exceeded in earlier times, ms.
    exceeded_ms: AtomicU64,
}

/// The figures for INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvictionStats {
    /// Keys evicted since the start.
    pub evicted_keys: u64,
    /// How long `maxmemory` was exceeded since the start, ms; includes the present time.
    pub exceeded_ms: u64,
    /// How long `maxmemory` has been exceeded this time, ms.
    pub exceeded_now_ms: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            policy: AtomicU8::new(0),
            clock: AtomicU64::new(Clock::Recency.to_word()),
            max_bytes: AtomicU64::new(0),
            samples: AtomicUsize::new(5),
            follows: AtomicBool::new(false),
            time_max_us: AtomicU64::new(micros(time_limit(TENACITY_EVEN_MAX))),
            threshold: AtomicU64::new(u64::MAX),
            dram_bytes: AtomicU64::new(0),
            candidates: Mutex::new(Rank::Lists, Candidates::default()),
            evicted: AtomicU64::new(0),
            exceeded_since: AtomicI64::new(0),
            exceeded_ms: AtomicU64::new(0),
        }
    }
}

impl State {
    /// How entries record their accesses.
    #[inline]
    pub fn clock(&self) -> Clock {
        Clock::from_word(self.clock.load(Ordering::Relaxed))
    }

    /// If the stored bytes are above this, a command that adds data must evict or compact first.
    #[inline]
    pub fn threshold(&self) -> u64 {
        self.threshold.load(Ordering::Relaxed)
    }

    /// Which keys go first; `None` if no key may be evicted.
    pub fn rule(&self) -> Option<Rule> {
        if self.follows.load(Ordering::Relaxed) {
            return None;
        }
        let lfu = match self.clock() {
            Clock::Frequency(lfu) => lfu,
            Clock::Recency => Lfu::default(),
        };
        let (only_expiring, order) = match self.policy() {
            EvictionPolicy::Noeviction => return None,
            EvictionPolicy::VolatileLru => (true, Order::Recency),
            EvictionPolicy::VolatileLfu => (true, Order::Frequency(lfu)),
            EvictionPolicy::VolatileRandom => (true, Order::Random),
            EvictionPolicy::VolatileTtl => (true, Order::Deadline),
            EvictionPolicy::AllkeysLru => (false, Order::Recency),
            EvictionPolicy::AllkeysLfu => (false, Order::Frequency(lfu)),
            EvictionPolicy::AllkeysRandom => (false, Order::Random),
        };
        Some(Rule {
            only_expiring,
            order,
        })
    }

    /// `maxmemory`; 0 where there is no limit.
    fn max_bytes(&self) -> u64 {
        if self.follows.load(Ordering::Relaxed) {
            0
        } else {
            self.max_bytes.load(Ordering::Relaxed)
        }
    }

    fn policy(&self) -> EvictionPolicy {
        let number = usize::from(self.policy.load(Ordering::Relaxed));
        POLICIES
            .get(number)
            .copied()
            .unwrap_or(EvictionPolicy::Noeviction)
    }

    /// Applies the settings.
    fn configure(&self, settings: &Settings) {
        let policy = settings.maxmemory_policy;
        let number = POLICIES.iter().position(|&one| one == policy);
        let number = number.and_then(|number| u8::try_from(number).ok());
        let clock = match policy {
            EvictionPolicy::AllkeysLfu | EvictionPolicy::VolatileLfu => Clock::Frequency(Lfu {
                log_factor: settings.lfu_log_factor,
                decay_minutes: settings.lfu_decay_time_minutes,
            }),
            _ => Clock::Recency,
        };
        let mut candidates = self.candidates.lock();
        candidates.clear();
        self.policy.store(number.unwrap_or(0), Ordering::Relaxed);
        self.clock.store(clock.to_word(), Ordering::Relaxed);
        self.max_bytes.store(settings.maxmemory, Ordering::Relaxed);
        let samples = settings.maxmemory_samples.min(SAMPLES_MAX);
        self.samples.store(samples, Ordering::Relaxed);
        let time = time_limit(settings.maxmemory_eviction_tenacity);
        self.time_max_us.store(micros(time), Ordering::Relaxed);
    }

    fn time_max(&self) -> Duration {
        Duration::from_micros(self.time_max_us.load(Ordering::Relaxed))
    }

    /// Records whether `maxmemory` is exceeded.
    fn note_exceeded(&self, exceeded: bool, now: Millis) {
        let since = if exceeded { now.max(1) } else { 0 };
        let before = self.exceeded_since.load(Ordering::Relaxed);
        if (before == 0) == (since == 0) {
            return;
        }
        let changed = self.exceeded_since.compare_exchange(
            before,
            since,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if changed.is_ok() && !exceeded {
            self.exceeded_ms
                .fetch_add(elapsed_ms(before, now), Ordering::Relaxed);
        }
    }

    fn stats(&self, now: Millis) -> EvictionStats {
        let exceeded_now_ms = match self.exceeded_since.load(Ordering::Relaxed) {
            0 => 0,
            since => elapsed_ms(since, now),
        };
        EvictionStats {
            evicted_keys: self.evicted.load(Ordering::Relaxed),
            exceeded_ms: self.exceeded_ms.load(Ordering::Relaxed) + exceeded_now_ms,
            exceeded_now_ms,
        }
    }

    /// Resets the figures for CONFIG RESETSTAT.
    pub fn reset_stats(&self) {
        self.evicted.store(0, Ordering::Relaxed);
        self.exceeded_ms.store(0, Ordering::Relaxed);
        self.exceeded_since.store(0, Ordering::Relaxed);
    }

    /// Counts an evicted key.
    pub fn count(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }
}

fn elapsed_ms(since: Millis, now: Millis) -> u64 {
    u64::try_from(now - since).unwrap_or(0)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// How long a command evicts at this `maxmemory-eviction-tenacity`. The scale is Redis's: 0.5 ms at 10, two minutes at
/// 99.
fn time_limit(tenacity: u32) -> Duration {
    if tenacity <= TENACITY_EVEN_MAX {
        return TENACITY_STEP * tenacity;
    }
    if tenacity >= TENACITY_ENDLESS {
        return Duration::from_micros(u64::MAX);
    }
    let growth = TENACITY_GROWTH.powf(f64::from(tenacity - TENACITY_EVEN_MAX));
    (TENACITY_STEP * TENACITY_EVEN_MAX).mul_f64(growth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenacity_is_a_time() {
        assert_eq!(time_limit(0), Duration::ZERO);
        assert_eq!(time_limit(10), Duration::from_micros(500));
        let longest = time_limit(99).as_secs();
        assert!((100..140).contains(&longest), "{longest} s");
        assert_eq!(micros(time_limit(100)), u64::MAX);
    }

    #[test]
    fn time_over_the_limit_is_added_up() {
        let eviction = State::default();
        for (exceeded, now) in [(false, 5), (true, 10), (true, 20), (false, 40), (true, 50)] {
            eviction.note_exceeded(exceeded, now);
        }
        let stats = eviction.stats(57);
        assert_eq!((stats.exceeded_ms, stats.exceeded_now_ms), (37, 7));
    }
}

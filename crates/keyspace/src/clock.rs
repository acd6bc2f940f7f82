//! The meaning of the 32 bits of an entry's last access: a time, or under an LFU policy a time and a counter.
//!
//! The counter is logarithmic: the more often a key was used, the less likely the next use raises the counter. It
//! falls while the key is unused. Redis documents this algorithm and its numbers for LFU.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use nix::time::{ClockId, clock_gettime};

use super::{Millis, NO_DEADLINE_PASSES, now_ms};

/// The counter of a new key, so that eviction does not take the new key first.
const FIRST_COUNT: u8 = 5;

/// Bits of the counter, below those of the minutes.
const COUNT_BITS: u32 = 8;

/// How the bits are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Seconds since the Unix epoch.
    Recency,
    /// Minutes since the Unix epoch in the upper 24 bits, which wrap around after 31 years, and a counter of uses.
    Frequency(Lfu),
}

/// When a key was last used, or how often, as RESTORE and RDB files say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// So many seconds ago.
    Ago(u64),
    /// So often, as an LFU policy's counter says it.
    Count(u8),
}

impl Use {
    /// What a file says of a key; `None` where it says nothing.
    pub fn of(idle_s: Option<u64>, frequency: Option<u8>) -> Option<Self> {
        idle_s.map(Use::Ago).or(frequency.map(Use::Count))
    }
}

/// How the counters rise and fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lfu {
    /// The larger, the slower a counter grows; 0 counts each use.
    pub log_factor: u32,
    /// Minutes without use after which a counter shrinks by one; 0 is never.
    pub decay_minutes: u32,
}

impl Clock {
    /// The bit in the atomic word that marks a clock with counters.
    const COUNTS: u64 = 1 << 63;

    /// Encodes the clock for an atomic.
    pub fn to_word(self) -> u64 {
        match self {
            Clock::Recency => 0,
            // Both values come from the configuration and are below 2^31.
            Clock::Frequency(lfu) => {
                Self::COUNTS | u64::from(lfu.log_factor) << 31 | u64::from(lfu.decay_minutes)
            }
        }
    }

    /// Decodes the clock from an atomic's word.
    #[allow(clippy::cast_possible_truncation)] // 31 bits each.
    pub fn from_word(word: u64) -> Self {
        const MASK: u64 = (1 << 31) - 1;
        if word & Self::COUNTS == 0 {
            return Clock::Recency;
        }
        Clock::Frequency(Lfu {
            log_factor: (word >> 31 & MASK) as u32,
            decay_minutes: (word & MASK) as u32,
        })
    }

    /// The bits of a new key.
    pub fn first(self, now: Millis) -> u32 {
        match self {
            Clock::Recency => seconds(now),
            Clock::Frequency(_) => with_count(now, FIRST_COUNT),
        }
    }

    /// The bits of a key that was used so; `None` if the clock does not keep that.
    pub fn bits_of(self, used: Use, now: Millis) -> Option<u32> {
        match (self, used) {
            (Clock::Recency, Use::Ago(idle_s)) => {
                let idle_s = u32::try_from(idle_s).unwrap_or(u32::MAX);
                Some(seconds(now).saturating_sub(idle_s))
            }
            (Clock::Frequency(_), Use::Count(count)) => Some(with_count(now, count)),
            (Clock::Recency, Use::Count(_)) | (Clock::Frequency(_), Use::Ago(_)) => None,
        }
    }

    /// The bits of a key after one more use.
    #[inline]
    pub fn used(self, bits: u32, now: Millis) -> u32 {
        match self {
            Clock::Recency => seconds(now),
            Clock::Frequency(lfu) => {
                with_count(now, lfu.grown(lfu.count(bits, now), random_unit()))
            }
        }
    }
}

impl Lfu {
    /// The counter, reduced by the time since the last use.
    pub fn count(self, bits: u32, now: Millis) -> u8 {
        let [_, _, _, count] = bits.to_be_bytes();
        let idle = minutes(now).wrapping_sub(bits >> COUNT_BITS) & (u32::MAX >> COUNT_BITS);
        let lost = idle.checked_div(self.decay_minutes).unwrap_or(0);
        u8::try_from(lost).map_or(0, |lost| count.saturating_sub(lost))
    }

    /// The counter after one more use; `draw` is a random number from 0 to 1.
    fn grown(self, count: u8, draw: f64) -> u8 {
        let above = count.saturating_sub(FIRST_COUNT);
        let chance = 1.0 / (f64::from(above) * f64::from(self.log_factor) + 1.0);
        count.saturating_add(u8::from(draw < chance))
    }
}

/// Seconds since the last use, by bits of [`Clock::Recency`].
pub fn idle_s(bits: u32, now: Millis) -> u64 {
    u64::from(seconds(now).saturating_sub(bits))
}

/// Whether the bits cannot be a time of [`Clock::Recency`], because they date from before the policy changed.
pub fn unlikely_recent(bits: u32, now: Millis) -> bool {
    const CLOCKS_DIFFER_S: u32 = 3600;
    bits > seconds(now).saturating_add(CLOCKS_DIFFER_S)
}

fn with_count(now: Millis, count: u8) -> u32 {
    minutes(now) << COUNT_BITS | u32::from(count)
}

#[inline]
fn seconds(now: Millis) -> u32 {
    u32::try_from(present(now) / 1000).unwrap_or_default()
}

fn minutes(now: Millis) -> u32 {
    u32::try_from(present(now) / 60_000).unwrap_or_default()
}

/// The time of an access, also of one for which no deadline passes, to some milliseconds. A master's stream asks for it at each
/// key, and the coarse clock costs a fraction of the exact one.
#[inline]
fn present(now: Millis) -> Millis {
    if now == NO_DEADLINE_PASSES {
        let coarse = clock_gettime(ClockId::CLOCK_REALTIME_COARSE);
        coarse.map_or_else(
            |_| now_ms(),
            |time| time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000,
        )
    } else {
        now
    }
}

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(()) | 1);
}

/// A random number: fast to draw, not fit for secrets.
#[inline]
pub fn random() -> u64 {
    // xorshift64*, by Marsaglia and Vigna.
    let mut state = STATE.get();
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    STATE.set(state);
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// A random number below `end`, which is not 0.
#[inline]
pub fn random_below(end: usize) -> usize {
    // The upper half of a product spreads evenly enough: `end` is far below 2^64.
    let product = u128::from(random()) * end as u128;
    usize::try_from(product >> 64).unwrap_or_default()
}

/// A random number from 0 to 1.
#[allow(clippy::cast_precision_loss)] // 53 bits fit.
fn random_unit() -> f64 {
    (random() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LFU: Lfu = Lfu {
        log_factor: 10,
        decay_minutes: 1,
    };
    const MINUTE: Millis = 60_000;

    #[test]
    fn the_form_for_an_atomic_keeps_everything() {
        let largest = Lfu {
            log_factor: i32::MAX.unsigned_abs(),
            decay_minutes: i32::MAX.unsigned_abs(),
        };
        for clock in [
            Clock::Recency,
            Clock::Frequency(LFU),
            Clock::Frequency(Lfu::default()),
            Clock::Frequency(largest),
        ] {
            assert_eq!(Clock::from_word(clock.to_word()), clock);
        }
    }

    #[test]
    fn a_use_that_is_told_counts_where_the_clock_keeps_it() {
        let (now, lfu) = (29_000_000 * MINUTE, Clock::Frequency(LFU));
        let told = lfu.bits_of(Use::Count(200), now);
        assert_eq!(
            told.map(|bits| LFU.count(bits, now + 2 * MINUTE)),
            Some(198)
        );
        let told = Clock::Recency.bits_of(Use::Ago(90), now);
        assert_eq!(told.map(|bits| idle_s(bits, now + MINUTE)), Some(150));
        assert_eq!(Clock::Recency.bits_of(Use::Ago(u64::MAX), now), Some(0));
        assert_eq!(Clock::Recency.bits_of(Use::Count(1), now), None);
        assert_eq!(lfu.bits_of(Use::Ago(1), now), None);
        assert_eq!(Use::of(Some(1), None), Some(Use::Ago(1)));
        assert_eq!(Use::of(None, Some(0)), Some(Use::Count(0)));
        assert_eq!(Use::of(None, None), None);
    }

    #[test]
    fn a_count_shrinks_by_the_minute() {
        let now = 29_000_000 * MINUTE;
        let bits = Clock::Frequency(LFU).first(now);
        for (later, count) in [(0, 5), (1, 4), (4, 1), (5, 0), (1_000, 0)] {
            assert_eq!(
                LFU.count(bits, now + later * MINUTE),
                count,
                "{later} minutes"
            );
        }
        let slow = Lfu {
            decay_minutes: 3,
            ..LFU
        };
        assert_eq!(slow.count(bits, now + 8 * MINUTE), 3);
        let never = Lfu {
            decay_minutes: 0,
            ..LFU
        };
        assert_eq!(never.count(bits, now + 1_000_000 * MINUTE), 5);
    }

    #[test]
    fn a_count_grows_ever_more_slowly() {
        assert_eq!(LFU.grown(5, 0.999), 6);
        assert_eq!(LFU.grown(0, 0.999), 1);
        // One above the first value: the chance to grow is 1 in 11.
        assert_eq!(LFU.grown(6, 0.09), 7);
        assert_eq!(LFU.grown(6, 0.10), 6);
        assert_eq!(LFU.grown(255, 0.0), 255);
        let eager = Lfu {
            log_factor: 0,
            ..LFU
        };
        assert_eq!(eager.grown(254, 0.999), 255);
    }

    #[test]
    fn uses_count_as_documented() {
        use rand::rngs::StdRng;
        use rand::{Rng, SeedableRng};

        // Redis's table of counters after so many uses: 10 at 100, 18 at 1,000, 142 at 100,000, with a factor of 10.
        // One counter strays by about 7 at the end, so it is the mean of several that is compared.
        const COUNTERS: u32 = 8;
        let mut rng = StdRng::seed_from_u64(0);
        for (uses, documented) in [(100, 10.0), (1_000, 18.0), (100_000, 142.0)] {
            let mut sum = 0;
            for _ in 0..COUNTERS {
                let counter =
                    (0..uses).fold(FIRST_COUNT, |count, _| LFU.grown(count, rng.random()));
                sum += u32::from(counter);
            }
            let mean = f64::from(sum) / f64::from(COUNTERS);
            assert!((mean - documented).abs() <= 5.0, "{mean} after {uses} uses");
        }
    }

    #[test]
    fn each_use_draws_again() {
        let uses = |factor| {
            let clock = Clock::Frequency(Lfu {
                log_factor: factor,
                ..LFU
            });
            let bits = (0..1_000).fold(clock.first(0), |bits, _| clock.used(bits, 0));
            LFU.count(bits, 0)
        };
        assert_eq!(uses(0), u8::MAX, "every use counts");
        // From 5 to 8 takes 33 uses on average, and to 200 far more than a thousand.
        assert!((8..200).contains(&uses(10)), "some uses count");
    }

    #[test]
    fn random_numbers_lie_below_their_end() {
        let mut seen = [false; 7];
        for _ in 0..1_000 {
            seen[random_below(7)] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(random_below(1), 0);
    }
}

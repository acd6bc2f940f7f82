//! Latency monitoring: records what took `latency-monitor-threshold` or longer, by kind of event.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// Samples kept for each event, as in Redis.
const SAMPLES_MAX: usize = 160;

/// The longest duration of an event within one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Seconds since the Unix epoch.
    pub at_s: i64,
    /// The duration, ms.
    pub ms: u64,
}

/// The samples of one kind of event.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// Oldest first.
    pub samples: VecDeque<Sample>,
    /// The longest duration ever, ms.
    pub max_ms: u64,
}

/// All events, by name.
#[derive(Debug, Default)]
pub struct Latency {
    /// The threshold, ms; 0 switches recording off.
    threshold_ms: AtomicU64,
    events: Mutex<BTreeMap<&'static str, Event>>,
}

impl Latency {
    /// Sets the threshold in milliseconds; 0 switches recording off.
    pub fn set_threshold(&self, ms: u64) {
        self.threshold_ms.store(ms, Ordering::Relaxed);
    }

    /// Whether anything is recorded.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.threshold_ms.load(Ordering::Relaxed) > 0
    }

    /// Records that `event` took `time`, if that reaches the threshold.
    pub fn note(&self, event: &'static str, time: Duration) {
        let threshold = self.threshold_ms.load(Ordering::Relaxed);
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        if threshold > 0 && ms >= threshold {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let at_s = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
            self.add(event, Sample { at_s, ms });
        }
    }

    /// Runs `f` and records how long it took.
    #[inline]
    pub fn timed<R>(&self, event: &'static str, f: impl FnOnce() -> R) -> R {
        if !self.is_on() {
            return f();
        }
        let started = Instant::now();
        let result = f();
        self.note(event, started.elapsed());
        result
    }

    fn add(&self, event: &'static str, sample: Sample) {
        let mut events = self.events.lock();
        let event = events.entry(event).or_default();
        event.max_ms = event.max_ms.max(sample.ms);
        match event.samples.back_mut() {
            Some(last) if last.at_s == sample.at_s => last.ms = last.ms.max(sample.ms),
            _ => {
                if event.samples.len() == SAMPLES_MAX {
                    event.samples.pop_front();
                }
                event.samples.push_back(sample);
            }
        }
    }

    /// All events that were recorded, by name.
    pub fn all(&self) -> Vec<(&'static str, Event)> {
        let events = self.events.lock();
        events
            .iter()
            .map(|(name, event)| (*name, event.clone()))
            .collect()
    }

    /// One event; the case of its name does not matter.
    pub fn get(&self, name: &[u8]) -> Option<(&'static str, Event)> {
        let mut all = self.all().into_iter();
        all.find(|(event, _)| event.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Forgets an event, or all of them if there is no name; returns how many.
    pub fn reset(&self, name: Option<&[u8]>) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|event, _| {
            name.is_some_and(|name| !event.as_bytes().eq_ignore_ascii_case(name))
        });
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_only_what_is_long() {
        let latency = Latency::default();
        latency.note("command", Duration::from_secs(1));
        latency.set_threshold(10);
        latency.note("command", Duration::from_micros(9_999));
        assert!(latency.all().is_empty());
        latency.note("command", Duration::from_millis(10));
        latency.timed("commit", || std::thread::sleep(Duration::from_millis(15)));
        let names: Vec<_> = latency.all().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["command", "commit"]);
        assert_eq!(latency.reset(Some(b"COMMAND")), 1);
        assert_eq!(latency.reset(Some(b"command")), 0);
        assert_eq!(latency.reset(None), 1);
    }

    #[test]
    fn one_sample_a_second_and_the_newest_of_them() {
        let latency = Latency::default();
        for at_s in 0..200 {
            for ms in [5, 7, 6] {
                latency.add("command", Sample { at_s, ms });
            }
        }
        let (_, event) = latency.get(b"command").expect("it happened");
        assert_eq!(event.samples.len(), SAMPLES_MAX);
        assert_eq!(event.samples[0], Sample { at_s: 40, ms: 7 });
        assert_eq!(event.max_ms, 7);
    }
}

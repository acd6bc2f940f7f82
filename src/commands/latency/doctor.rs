//! LATENCY DOCTOR: what took long, in words, and what may help.

use std::fmt::Write;

use crate::config::Settings;
use crate::latency::Event;

/// What may help against an event, by its name.
const ADVICE: &[(&str, &str)] = &[
    (
        "command",
        "Commands themselves took long. SLOWLOG GET shows which; KEYS, ranges over many keys and large values are \
         the usual ones. They run on threads of their own where they can, and the others wait for what they lock.",
    ),
    (
        "fast-command",
        "Commands that take constant time took long: the machine was busy, or had to page memory in. See that the \
         server has cores of its own, and that neither it nor the pool is swapped out.",
    ),
    (
        "commit",
        "Making writes durable took long. With 'durability power' on storage that is not persistent memory each \
         commit waits for the disk; otherwise memory of the pool's file was paged in.",
    ),
    (
        "compaction",
        "Writers had to help winning back space in the pool. A larger pool, or fewer bytes in it, leaves the \
         compaction more space.",
    ),
    (
        "expire-cycle",
        "Removing keys past their deadline took long: many of them were due at once. Deadlines that are spread \
         over time spread this work too.",
    ),
    (
        "eviction-cycle",
        "Eviction took long: much is written while the memory limit is reached.",
    ),
];

pub(super) fn report(events: &[(&'static str, Event)], settings: &Settings) -> String {
    if settings.latency_monitor_threshold_ms == 0 {
        return "Latency monitoring is off. 'CONFIG SET latency-monitor-threshold <milliseconds>' switches it on.\n"
            .into();
    }
    if events.is_empty() {
        return "Nothing took as long as latency-monitor-threshold since the monitoring began.\n"
            .into();
    }
    let mut text = String::from("What took latency-monitor-threshold or longer:\n\n");
    for (number, (name, event)) in events.iter().enumerate() {
        let (average, deviation) = spread(event);
        let period = period_s(event);
        // Writing into a string does not fail; the same below.
        let _ = writeln!(
            text,
            "{}. {name}: {} latency spikes (average {average}ms, mean deviation {deviation}ms, period {period:.2} sec). \
             Worst all time event {}ms.",
            number + 1,
            event.samples.len(),
            event.max_ms,
        );
    }
    text.push_str("\nWhat may help:\n\n");
    let happened = |name: &str| events.iter().any(|(event, _)| *event == name);
    for (_, advice) in ADVICE.iter().filter(|(name, _)| happened(name)) {
        let _ = writeln!(text, "- {advice}");
    }
    let micros = settings.slowlog_log_slower_than_micros;
    let threshold = settings.latency_monitor_threshold_ms;
    let misses = u64::try_from(micros).map_or(true, |micros| micros / 1000 > threshold);
    if happened("command") && misses {
        let _ = writeln!(
            text,
            "- The slow log leaves out calls that are noted here: 'CONFIG SET slowlog-log-slower-than {}' has it keep them.",
            threshold.saturating_mul(1000)
        );
    }
    text
}

/// Mean of the samples and mean distance from it, ms.
fn spread(event: &Event) -> (u64, u64) {
    let count = event.samples.len().max(1) as u64;
    let average = event.samples.iter().map(|sample| sample.ms).sum::<u64>() / count;
    let distances = event
        .samples
        .iter()
        .map(|sample| sample.ms.abs_diff(average));
    (average, distances.sum::<u64>() / count)
}

/// Mean time from one sample to the next, seconds.
#[allow(clippy::cast_precision_loss)] // Two decimals are shown.
fn period_s(event: &Event) -> f64 {
    let (Some(first), Some(last)) = (event.samples.front(), event.samples.back()) else {
        return 0.0;
    };
    let intervals = event.samples.len().saturating_sub(1).max(1);
    (last.at_s - first.at_s) as f64 / intervals as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Sample;

    #[test]
    fn spreads_and_periods() {
        let samples = [(0, 10), (10, 30), (40, 20)];
        let event = Event {
            samples: samples
                .into_iter()
                .map(|(at_s, ms)| Sample { at_s, ms })
                .collect(),
            max_ms: 30,
        };
        assert_eq!(spread(&event), (20, 6));
        assert!((period_s(&event) - 20.0).abs() < 1e-9);
        assert_eq!(spread(&Event::default()), (0, 0));
    }
}

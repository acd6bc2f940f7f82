//! LATENCY GRAPH: an event's newest samples as columns of characters, and under each how long ago it was.

use std::fmt::Write;

use crate::latency::Event;

/// Columns of the drawing, and rows of the columns. Redis's numbers.
const COLUMNS: usize = 80;
const ROWS: u64 = 4;

/// Characters of a column's top, from lower to higher.
const TOPS: [char; 3] = ['_', 'o', '#'];

pub(super) fn draw(name: &str, event: &Event, now_s: i64) -> String {
    let skipped = event.samples.len().saturating_sub(COLUMNS);
    let samples: Vec<_> = event.samples.iter().skip(skipped).collect();
    let high = samples.iter().map(|sample| sample.ms).max().unwrap_or(0);
    let low = samples.iter().map(|sample| sample.ms).min().unwrap_or(0);
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = writeln!(
        text,
        "{name} - high {high} ms, low {low} ms (all time high {} ms)",
        event.max_ms
    );
    text.push_str(&"-".repeat(COLUMNS));
    text.push('\n');
    // How many of the steps of all rows each column has: at least one.
    let steps = ROWS * TOPS.len() as u64;
    let range = (high - low).max(1);
    let height = |ms: u64| 1 + u128::from(ms - low) * u128::from(steps - 1) / u128::from(range);
    for row in (0..ROWS).rev() {
        let below = u128::from(row) * TOPS.len() as u128;
        for sample in &samples {
            text.push(match height(sample.ms).checked_sub(below) {
                None | Some(0) => ' ',
                Some(left) if left > TOPS.len() as u128 => '|',
                Some(left) => TOPS[usize::try_from(left).unwrap_or(1) - 1],
            });
        }
        text.push('\n');
    }
    text.push('\n');
    let labels: Vec<Vec<char>> = samples
        .iter()
        .map(|sample| ago(now_s - sample.at_s).chars().collect())
        .collect();
    let longest = labels.iter().map(Vec::len).max().unwrap_or(0);
    for row in 0..longest {
        text.extend(labels.iter().map(|label| label.get(row).unwrap_or(&' ')));
        text.push('\n');
    }
    text
}

/// Seconds in the largest unit of which there is at least one: `45s`, `3m`, `2h`, `1d`.
fn ago(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Sample;

    #[test]
    fn columns_rise_with_the_samples() {
        let samples = [(0, 10), (40, 60), (95, 120), (100, 10)];
        let event = Event {
            samples: samples
                .into_iter()
                .map(|(at_s, ms)| Sample { at_s, ms })
                .collect(),
            max_ms: 500,
        };
        let text = draw("command", &event, 100);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "command - high 120 ms, low 10 ms (all time high 500 ms)",
                &"-".repeat(80),
                "  # ",
                "  | ",
                " #| ",
                "_||_",
                "",
                "1150",
                "mmss",
            ]
        );
    }

    #[test]
    fn times_in_the_largest_unit() {
        for (seconds, text) in [
            (-1, "0s"),
            (59, "59s"),
            (60, "1m"),
            (7200, "2h"),
            (90_000, "1d"),
        ] {
            assert_eq!(ago(seconds), text);
        }
    }
}

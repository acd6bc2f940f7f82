//! The text of INFO: sections of `name:value` lines.

use std::fmt::{Display, Write};

/// INFO's text as it grows.
#[derive(Debug, Default)]
pub(super) struct Report {
    text: String,
}

impl Report {
    /// Begins a section.
    pub(super) fn section(&mut self, name: &str) {
        if !self.text.is_empty() {
            self.text.push_str("\r\n");
        }
        // Writing into a string does not fail; the same below.
        let _ = write!(self.text, "# {name}\r\n");
    }

    /// `name:value`.
    pub(super) fn field(&mut self, name: impl Display, value: impl Display) {
        let _ = write!(self.text, "{name}:{value}\r\n");
    }

    /// A number of bytes, and the same for people under `name_human`.
    pub(super) fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(format_args!("{name}_human"), human(bytes));
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// Bytes with the largest unit that leaves a number of at least one, as Redis shows them: `1.56M`.
#[allow(clippy::cast_precision_loss)] // Two decimals are shown.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [char; 5] = ['K', 'M', 'G', 'T', 'P'];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_634_648, "1.56M"),
            (25_276_514_304, "23.54G"),
            (1 << 40, "1.00T"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn sections_are_parted_by_an_empty_line() {
        let mut report = Report::default();
        report.section("A");
        report.field("x", 1);
        report.section("B");
        assert_eq!(report.finish(), "# A\r\nx:1\r\n\r\n# B\r\n");
    }
}

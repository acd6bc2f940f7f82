//! Bounds of ranges by score and by name.

use std::ops::Range;

use crate::commands::CommandError;
use crate::keyspace::Scores;
use crate::numbers::parse_float;

/// A bound: a value that belongs to the range, or one that does not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound<T> {
    Included(T),
    Excluded(T),
}

/// A range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ScoreRange {
    pub(super) min: Bound<f64>,
    pub(super) max: Bound<f64>,
}

impl ScoreRange {
    pub(super) fn parse(min: &[u8], max: &[u8]) -> Result<Self, CommandError> {
        let bound = |argument: &[u8]| match argument.strip_prefix(b"(") {
            Some(rest) => parse_score(rest).map(Bound::Excluded),
            None => parse_score(argument).map(Bound::Included),
        };
        let (Some(min), Some(max)) = (bound(min), bound(max)) else {
            return Err(CommandError::text("ERR min or max is not a float"));
        };
        Ok(Self { min, max })
    }

    /// The ranks of the members within.
    pub(super) fn ranks(&self, scores: Scores<'_>) -> Range<usize> {
        let start = match self.min {
            Bound::Included(min) => scores.partition_point(|score, _| score < min),
            Bound::Excluded(min) => scores.partition_point(|score, _| score <= min),
        };
        let end = match self.max {
            Bound::Included(max) => scores.partition_point(|score, _| score <= max),
            Bound::Excluded(max) => scores.partition_point(|score, _| score < max),
        };
        start..end.max(start)
    }
}

/// Reads a whole argument as C's `strtod` does: a number may be too large, and an empty argument is 0.
fn parse_score(argument: &[u8]) -> Option<f64> {
    if argument.is_empty() {
        return Some(0.0);
    }
    let argument = argument.trim_ascii_start();
    let is_number = argument
        .iter()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte));
    let beyond = || std::str::from_utf8(argument).ok()?.parse().ok();
    parse_float(argument).or_else(|| is_number.then(beyond).flatten())
}

/// A range of names, among members of one score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NameRange<'a> {
    min: NameBound<'a>,
    max: NameBound<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum NameBound<'a> {
    /// Before every name.
    First,
    /// After every name.
    Last,
    At(Bound<&'a [u8]>),
}

impl<'a> NameRange<'a> {
    pub(super) fn parse(min: &'a [u8], max: &'a [u8]) -> Result<Self, CommandError> {
        let bound = |argument: &'a [u8]| match argument {
            b"-" => Some(NameBound::First),
            b"+" => Some(NameBound::Last),
            [b'[', name @ ..] => Some(NameBound::At(Bound::Included(name))),
            [b'(', name @ ..] => Some(NameBound::At(Bound::Excluded(name))),
            _ => None,
        };
        match (bound(min), bound(max)) {
            (Some(min), Some(max)) => Ok(Self { min, max }),
            _ => Err(CommandError::text(
                "ERR min or max not valid string range item",
            )),
        }
    }

    /// The ranks of the members within.
    pub(super) fn ranks(&self, scores: Scores<'_>) -> Range<usize> {
        let len = scores.len();
        let start = match self.min {
            NameBound::First => 0,
            NameBound::Last => len,
            NameBound::At(Bound::Included(min)) => scores.partition_point(|_, name| name < min),
            NameBound::At(Bound::Excluded(min)) => scores.partition_point(|_, name| name <= min),
        };
        let end = match self.max {
            NameBound::First => 0,
            NameBound::Last => len,
            NameBound::At(Bound::Included(max)) => scores.partition_point(|_, name| name <= max),
            NameBound::At(Bound::Excluded(max)) => scores.partition_point(|_, name| name < max),
        };
        start..end.max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores() {
        for (argument, expected) in [
            ("1", Some(1.0)),
            ("", Some(0.0)),
            (" -2.5", Some(-2.5)),
            ("inf", Some(f64::INFINITY)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("1e400", Some(f64::INFINITY)),
            ("nan", None),
            ("1x", None),
            ("1 ", None),
        ] {
            assert_eq!(parse_score(argument.as_bytes()), expected, "{argument:?}");
        }
        assert!(ScoreRange::parse(b"(1", b"((2").is_err());
    }

    #[test]
    fn names() {
        assert!(NameRange::parse(b"-", b"+").is_ok());
        assert!(NameRange::parse(b"[a", b"(").is_ok());
        for argument in [&b"a"[..], b"", b"++", b"-a"] {
            assert!(NameRange::parse(argument, b"+").is_err());
        }
    }
}

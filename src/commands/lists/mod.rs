//! Commands on lists.

pub(super) mod change;
pub(super) mod moving;
pub(super) mod pop;
pub(super) mod push;
pub(super) mod reads;

use std::ops::Range;

use super::{CommandError, Database};
use crate::catalog::spec::Argument;
use crate::keyspace::{End, List, Update, View};
use crate::numbers::parse_i64;

/// The arguments that name an end of a list.
pub(super) const ENDS: &[Argument] = &[
    Argument::token("left", "LEFT"),
    Argument::token("right", "RIGHT"),
];

/// The end that an argument names: LEFT or RIGHT.
pub(super) fn parse_end(argument: &[u8]) -> Result<End, CommandError> {
    if argument.eq_ignore_ascii_case(b"left") {
        Ok(End::Head)
    } else if argument.eq_ignore_ascii_case(b"right") {
        Ok(End::Tail)
    } else {
        Err(CommandError::Syntax)
    }
}

/// An integer of at least `least`. For anything else the error is `text`.
pub(super) fn parse_at_least(
    least: i64,
    argument: &[u8],
    text: &'static str,
) -> Result<usize, CommandError> {
    parse_i64(argument)
        .filter(|&number| number >= least)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or(CommandError::text(text))
}

/// An integer whose sign says from which end to count. Its negation must be an integer too.
fn parse_magnitude(argument: &[u8]) -> Result<i64, CommandError> {
    match parse_i64(argument).ok_or(CommandError::NotAnInteger)? {
        i64::MIN => Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        number => Ok(number),
    }
}

fn push_event(end: End) -> &'static str {
    match end {
        End::Head => "lpush",
        End::Tail => "rpush",
    }
}

fn pop_event(end: End) -> &'static str {
    match end {
        End::Head => "lpop",
        End::Tail => "rpop",
    }
}

/// The list of key `i` before the call's changes; `None` where the key is missing.
fn list_of<'s>(keys: &'s Update<'_>, i: usize) -> Result<Option<List<'s>>, CommandError> {
    Ok(keys.view(i).map(View::list).transpose()?)
}

/// The position that an index means, which counts from the end where it is negative; `None` outside of the list.
fn position(index: i64, len: usize) -> Option<usize> {
    let position = if index < 0 {
        len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(index).ok()?
    };
    (position < len).then_some(position)
}

/// The positions from index `start` to index `end`, that one included, as far as there are any.
pub(super) fn positions(start: i64, end: i64, len: usize) -> Range<usize> {
    let from_head = |index: i64| match index {
        0.. => index,
        _ => index.saturating_add(i64::try_from(len).unwrap_or(i64::MAX)),
    };
    let start = usize::try_from(from_head(start)).unwrap_or(0);
    let past = usize::try_from(from_head(end).saturating_add(1)).unwrap_or(0);
    let past = past.min(len);
    if start < past { start..past } else { 0..0 }
}

/// The word for an end.
fn end_name(end: End) -> &'static [u8] {
    match end {
        End::Head => b"LEFT",
        End::Tail => b"RIGHT",
    }
}

/// The effect of taking elements from an end of a list.
fn pop_effect(database: Database<'_>, key: &[u8], end: End, count: usize) {
    if database.is_followed() {
        let name: &[u8] = match end {
            End::Head => b"LPOP",
            End::Tail => b"RPOP",
        };
        database.effect(&[name, key, count.to_string().as_bytes()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_counts_from_either_end() {
        for (index, len, expected) in [
            (0, 3, Some(0)),
            (2, 3, Some(2)),
            (3, 3, None),
            (-1, 3, Some(2)),
            (-3, 3, Some(0)),
            (-4, 3, None),
            (i64::MIN, 3, None),
            (i64::MAX, 3, None),
            (0, 0, None),
            (-1, 0, None),
        ] {
            assert_eq!(position(index, len), expected, "{index} of {len}");
        }
    }

    #[test]
    fn ranges_are_cut_to_the_list() {
        for (start, end, expected) in [
            (0, -1, 0..5),
            (0, 0, 0..1),
            (1, 3, 1..4),
            (-2, -1, 3..5),
            (-100, 100, 0..5),
            (3, 2, 0..0),
            (5, 10, 0..0),
            (-1, -2, 0..0),
            (0, -5, 0..1),
            (0, -6, 0..0),
            (i64::MIN, i64::MAX, 0..5),
            (i64::MAX, i64::MIN, 0..0),
        ] {
            assert_eq!(positions(start, end, 5), expected, "{start} {end}");
        }
        assert_eq!(positions(0, -1, 0), 0..0);
    }

    #[test]
    fn ends_and_counts_are_read_in_any_case_and_strictly() {
        assert_eq!(parse_end(b"LeFT").ok(), Some(End::Head));
        assert_eq!(parse_end(b"right").ok(), Some(End::Tail));
        assert!(parse_end(b"middle").is_err());
        assert_eq!(parse_at_least(0, b"0", "low").ok(), Some(0));
        for argument in [b"0".as_slice(), b"-1", b"x", b"9223372036854775808"] {
            let text = parse_at_least(1, argument, "low").map_err(|error| error.to_string());
            assert_eq!(text, Err("low".to_owned()));
        }
    }
}

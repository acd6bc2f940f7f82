//! Lists: elements by position, with two ends.

pub(super) mod ends;
mod middle;
pub(super) mod moves;
mod reads;
pub(super) mod rows;

use std::ops::Range;

use super::CommandError;
use crate::keyspace::{End, EventClass, KeyspaceError, List, Slots, View};

/// The list of key `i` as it was before the call's changes; `None` where there is none.
fn list<'s>(slots: &'s Slots<'_>, i: usize) -> Result<Option<List<'s>>, KeyspaceError> {
    slots.view(i).map(View::list).transpose()
}

/// Tells of a change of a list, and of its end where it has lost its last element.
fn tell(slots: &mut Slots<'_>, i: usize, event: &'static str) -> Result<(), KeyspaceError> {
    slots.event(i, EventClass::LIST, event);
    if slots.list(i)?.is_empty() {
        slots.event(i, EventClass::GENERIC, "del");
    }
    Ok(())
}

/// The end that a word names.
pub(super) fn parse_end(word: &[u8]) -> Result<End, CommandError> {
    if word.eq_ignore_ascii_case(b"left") {
        Ok(End::Head)
    } else if word.eq_ignore_ascii_case(b"right") {
        Ok(End::Tail)
    } else {
        Err(CommandError::Syntax)
    }
}

/// The event of taking from an end.
fn pop_event(end: End) -> &'static str {
    match end {
        End::Head => "lpop",
        End::Tail => "rpop",
    }
}

/// The event of adding at an end.
fn push_event(end: End) -> &'static str {
    match end {
        End::Head => "lpush",
        End::Tail => "rpush",
    }
}

/// The positions from `start` to `end`, both included, of `len` elements. Negative ones count from the end; what lies
/// outside is cut off.
pub(super) fn positions(start: i64, end: i64, len: usize) -> Range<usize> {
    let from_end = |position: i64| {
        let back = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
        if position < 0 {
            len.checked_sub(back)
        } else {
            Some(back)
        }
    };
    let start = from_end(start).unwrap_or(0);
    match from_end(end) {
        Some(end) if start <= end && start < len => start..end.saturating_add(1).min(len),
        _ => 0..0,
    }
}

/// The position that an index names; `None` where it lies outside of `len` elements.
fn position(index: i64, len: usize) -> Option<usize> {
    let back = usize::try_from(index.unsigned_abs()).ok()?;
    let position = if index < 0 {
        len.checked_sub(back)?
    } else {
        back
    };
    (position < len).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_positions() {
        for (start, end, expected) in [
            (0, -1, 0..5),
            (0, 0, 0..1),
            (-100, 100, 0..5),
            (1, 3, 1..4),
            (-2, -1, 3..5),
            (3, 1, 0..0),
            (5, 9, 0..0),
            (0, -6, 0..0),
            (i64::MIN, i64::MAX, 0..5),
            (i64::MAX, i64::MIN, 0..0),
        ] {
            assert_eq!(positions(start, end, 5), expected, "{start} {end}");
        }
        assert_eq!(positions(0, -1, 0), 0..0);
    }

    #[test]
    fn positions_from_both_ends() {
        for (index, expected) in [
            (0, Some(0)),
            (4, Some(4)),
            (5, None),
            (-1, Some(4)),
            (-5, Some(0)),
            (-6, None),
        ] {
            assert_eq!(position(index, 5), expected, "{index}");
        }
    }
}

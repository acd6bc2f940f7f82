//! Parts of strings: APPEND, STRLEN, GETRANGE, SETRANGE.

use super::string_bytes_max;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{Change, EventClass, StringChanges, StringEdit, StringForm};
use crate::numbers::parse_i64;
use std::borrow::Cow;
use std::ops::ControlFlow;

use smallvec::smallvec;

use crate::protocol::{Args, Reply};

/// The complexity of a change. A long string lies in parts of up to 64 KiB, and only the parts that change are written.
const COMPLEXITY: &str =
    "O(N) for N bytes that are given, and for a string of up to 64 KiB, which is written anew";
const GETRANGE_COMPLEXITY: &str = "O(N) for N bytes returned";
const GETRANGE_ARGUMENTS: &[Argument] = &[
    Argument::key(),
    Argument::new("start", ArgumentKind::Integer),
    Argument::new("end", ArgumentKind::Integer),
];

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("append", Arity::Exactly(3), append)
        .flags(
            Flags::WRITE
                .union(Flags::DENYOOM)
                .union(Flags::FAST)
                .union(Flags::REWRITES),
        )
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["RW", "insert"])])
        .group(Group::String, "2.0.0")
        .summary("Adds bytes at the end of a key's string; makes the key where it is missing")
        .complexity(COMPLEXITY)
        .arguments(&[
            Argument::key(),
            Argument::new("value", ArgumentKind::String),
        ]),
    Row::new("strlen", Arity::Exactly(2), strlen)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["RO"])])
        .group(Group::String, "2.2.0")
        .summary("Returns the length of a key's string, in bytes")
        .complexity("O(1)")
        .arguments(&[Argument::key()]),
    Row::new("getrange", Arity::Exactly(4), getrange)
        .flags(Flags::READONLY)
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::String, "2.4.0")
        .summary("Returns a part of a key's string")
        .complexity(GETRANGE_COMPLEXITY)
        .arguments(GETRANGE_ARGUMENTS),
    Row::new("substr", Arity::Exactly(4), getrange)
        .flags(Flags::READONLY)
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::String, "1.0.0")
        .summary("Returns a part of a key's string; the older name of GETRANGE")
        .complexity(GETRANGE_COMPLEXITY)
        .arguments(GETRANGE_ARGUMENTS)
        .deprecated("2.0.0", "`GETRANGE`"),
    Row::new("setrange", Arity::Exactly(4), setrange)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::REWRITES))
        .categories(Categories::STRING)
        .keys(&[KeySpec::first(&["RW", "update"])])
        .group(Group::String, "2.2.0")
        .summary("Overwrites a part of a key's string; zero bytes fill a gap before it")
        .complexity(COMPLEXITY)
        .arguments(&[
            Argument::key(),
            Argument::new("offset", ArgumentKind::Integer),
            Argument::new("value", ArgumentKind::String),
        ]),
];

fn append(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (key, tail) = (&args[1], &args[2]);
    let bytes_max = string_bytes_max(ctx);
    let len = ctx.update(key, |key| {
        let len = key.edit_string(|string| {
            let len = string.len_bytes()?;
            let grown = grown(len, tail.len(), bytes_max)?;
            // Redis looks at a new string as SET does, and leaves one that grows in a buffer.
            let form = if string.exists() {
                StringForm::Raw
            } else {
                StringForm::Plain
            };
            let edit = StringEdit::change_to(form, one_change(len, tail));
            Ok::<_, CommandError>((grown, edit))
        })?;
        key.event(EventClass::STRING, "append");
        Ok(len)
    })?;
    Ok(Reply::count(len).into())
}

fn strlen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let len = ctx.read_string(&args[1], |string, _| Ok(string.len_bytes()?))?;
    Ok(Reply::count(len.unwrap_or(0)).into())
}

fn getrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let start = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    let end = parse_i64(&args[3]).ok_or(CommandError::NotAnInteger)?;
    let written = ctx.read_string(&args[1], |string, out| {
        let range = range_within(start, end, string.len_bytes()?);
        out.bulk_filled_by(range.len(), |bytes| {
            string.for_each(range, &mut |piece| {
                bytes.extend_from_slice(piece);
                ControlFlow::Continue(())
            })
        })?;
        Ok(())
    })?;
    if written.is_none() {
        ctx.out.bulk(b"");
    }
    Ok(Outcome::Written)
}

fn setrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (key, patch) = (&args[1], &args[3]);
    let offset = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetOutOfRange)?;
    let bytes_max = string_bytes_max(ctx);
    let len = ctx.update(key, |key| {
        let len = key.edit_string(|string| {
            let len = string.len_bytes()?;
            if patch.is_empty() {
                return Ok((len, StringEdit::none()));
            }
            let end = grown(offset, patch.len(), bytes_max)?;
            let edit = StringEdit::change(one_change(offset, patch));
            Ok::<_, CommandError>((len.max(end), edit))
        })?;
        if !patch.is_empty() {
            key.event(EventClass::STRING, "setrange");
        }
        Ok(len)
    })?;
    Ok(Reply::count(len).into())
}

/// The change that puts `bytes` at `offset`.
fn one_change(offset: usize, bytes: &[u8]) -> StringChanges<'_> {
    smallvec![Change {
        offset,
        bytes: Cow::Borrowed(bytes),
    }]
}

/// `len` + `more`; an error if that exceeds `bytes_max`.
fn grown(len: usize, more: usize, bytes_max: usize) -> Result<usize, CommandError> {
    len.checked_add(more)
        .filter(|&len| len <= bytes_max)
        .ok_or(CommandError::StringTooLong)
}

/// The bytes from `start` to `end`, both included, of a string of `len` bytes. Negative positions count from its
/// end; what lies outside is cut off.
fn range_within(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    let from_end = |position: i64| {
        if position < 0 {
            len.saturating_sub(usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX))
        } else {
            usize::try_from(position).unwrap_or(usize::MAX)
        }
    };
    // Checked before cutting: if both ends lie before the string, cutting would give its first byte.
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let (start, end) = (from_end(start), from_end(end));
    let end = end.saturating_add(1).min(len);
    if start >= end { 0..0 } else { start..end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (start, end, expected) in [
            (0, 4, "hello"),
            (0, -1, "hello"),
            (1, 2, "el"),
            (-3, -2, "ll"),
            (-100, 1, "he"),
            (3, 100, "lo"),
            (0, -100, "h"),
            (-100, -100, "h"),
            (-100, -99, "h"),
            (-99, -100, ""),
            (-1, -2, ""),
            (4, 2, ""),
            (5, 5, ""),
            (5, i64::MAX, ""),
            (i64::MIN, i64::MAX, "hello"),
            (i64::MAX, i64::MIN, ""),
        ] {
            assert_eq!(
                &"hello"[range_within(start, end, 5)],
                expected,
                "{start} {end}"
            );
        }
        assert_eq!(range_within(0, -1, 0), 0..0);
        assert_eq!(range_within(-1, 0, 0), 0..0);
    }
}

//! Bits of a range: BITCOUNT, BITPOS.

use std::ops::{ControlFlow, Range};

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{KeyspaceError, StringView};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

/// What the positions count.
const UNIT: Argument = Argument::new(
    "index_unit",
    ArgumentKind::OneOf(&[
        Argument::token("byte", "BYTE"),
        Argument::token("bit", "BIT"),
    ]),
)
.optional()
.since("7.0.0");

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("bitcount", Arity::AtLeast(2), bitcount)
        .flags(Flags::READONLY)
        .categories(Categories::BITMAP)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Bitmap, "2.6.0")
        .summary("Counts the bits of a string that are set")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "index",
                ArgumentKind::Block(&[
                    Argument::new("start", ArgumentKind::Integer),
                    Argument::new("end", ArgumentKind::Integer),
                    UNIT,
                ]),
            )
            .optional(),
        ])
        .history(&[("7.0.0", "Added the `BYTE|BIT` option.")]),
    Row::new("bitpos", Arity::AtLeast(3), bitpos)
        .flags(Flags::READONLY)
        .categories(Categories::BITMAP)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Bitmap, "2.8.7")
        .summary("Finds the first bit that is set, or clear")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("bit", ArgumentKind::Integer),
            Argument::new(
                "index",
                ArgumentKind::Block(&[
                    Argument::new("start", ArgumentKind::Integer),
                    Argument::new(
                        "end_index",
                        ArgumentKind::Block(&[Argument::new("end", ArgumentKind::Integer), UNIT]),
                    )
                    .optional(),
                ]),
            )
            .optional(),
        ])
        .history(&[("7.0.0", "Added the `BYTE|BIT` option.")]),
];

const BAD_BIT: CommandError = CommandError::text("ERR The bit argument must be 1 or 0.");

/// What the positions of a range count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    fn parse(argument: Option<&[u8]>) -> Result<Self, CommandError> {
        match argument {
            None => Ok(Unit::Byte),
            Some(argument) if argument.eq_ignore_ascii_case(b"byte") => Ok(Unit::Byte),
            Some(argument) if argument.eq_ignore_ascii_case(b"bit") => Ok(Unit::Bit),
            Some(_) => Err(CommandError::Syntax),
        }
    }

    /// The bits from `start` to `end`, both included. Negative positions count from the end of the string; what lies
    /// outside is cut off.
    fn bits(self, start: i64, end: i64, len: usize) -> Range<usize> {
        let (total, width) = match self {
            Unit::Byte => (len, 8),
            Unit::Bit => (8 * len, 1),
        };
        let from_start = |position: i64| {
            if position < 0 {
                total.saturating_sub(usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX))
            } else {
                usize::try_from(position).unwrap_or(usize::MAX)
            }
        };
        let past = from_start(end).saturating_add(1).min(total);
        let start = from_start(start).min(past);
        start * width..past * width
    }
}

fn integer(argument: &[u8]) -> Result<i64, CommandError> {
    parse_i64(argument).ok_or(CommandError::NotAnInteger)
}

/// A missing key has no bits, whatever arguments follow its name: Redis reads them only if there is a string.
fn bitcount(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let count = ctx.read_string(&args[1], |string, _| {
        let range = bits_to_count(args, string.len_bytes()?)?;
        let mut total = 0;
        for_each_piece(string, range, |piece, bits, _| {
            total += count(piece, bits);
            ControlFlow::Continue(())
        })?;
        Ok(total)
    })?;
    Ok(Reply::count(count.unwrap_or(0)).into())
}

fn bits_to_count(args: Args<'_>, len: usize) -> Result<Range<usize>, CommandError> {
    match args.len() {
        2 => Ok(0..8 * len),
        4 | 5 => {
            let (start, end) = (integer(&args[2])?, integer(&args[3])?);
            // Checked before the unit, and before cutting: both ends may lie before the string.
            if start < 0 && end < 0 && start > end {
                return Ok(0..0);
            }
            Ok(Unit::parse(args.get(4))?.bits(start, end, len))
        }
        _ => Err(CommandError::Syntax),
    }
}

/// Calls `f` with the bytes that hold the bits of `range`, piece by piece: with the piece, which of its own bits belong
/// to the range, and the number of its first bit in the string.
fn for_each_piece(
    string: StringView<'_>,
    range: Range<usize>,
    mut f: impl FnMut(&[u8], Range<usize>, usize) -> ControlFlow<()>,
) -> Result<(), KeyspaceError> {
    if range.is_empty() {
        return Ok(());
    }
    let mut start = range.start / 8 * 8;
    string.for_each(start / 8..range.end.div_ceil(8), &mut |piece| {
        let first = range.start.saturating_sub(start);
        let past = (range.end - start).min(8 * piece.len());
        let flow = f(piece, first..past, start);
        start += 8 * piece.len();
        flow
    })
}

/// How many bits of `range` are set.
fn count(bytes: &[u8], range: Range<usize>) -> usize {
    if range.is_empty() {
        return 0;
    }
    let (first, last) = (range.start / 8, (range.end - 1) / 8);
    let ones = |byte: u8| byte.count_ones() as usize;
    let whole = &bytes[first..=last];
    let (chunks, rest) = whole.as_chunks::<8>();
    let ones_of_chunks = chunks
        .iter()
        .map(|chunk| u64::from_ne_bytes(*chunk).count_ones() as usize);
    let all = ones_of_chunks.sum::<usize>() + rest.iter().copied().map(ones).sum::<usize>();
    all - ones(bytes[first] & !from(range.start)) - ones(bytes[last] & !up_to(range.end - 1))
}

/// A mask of bit `offset` and those behind it in its byte.
fn from(offset: usize) -> u8 {
    0xff >> (offset % 8)
}

/// A mask of bit `offset` and those before it in its byte.
fn up_to(offset: usize) -> u8 {
    !(0x7f >> (offset % 8))
}

fn bitpos(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let bit = match integer(&args[2])? {
        0 => false,
        1 => true,
        _ => return Err(BAD_BIT),
    };
    let found = ctx.read_string(&args[1], |string, _| find(string, bit, args))?;
    let position = match found {
        Some(position) => position,
        None if bit => None,
        None => Some(0),
    };
    Ok(match position {
        Some(position) => Reply::count(position),
        None => Reply::Integer(-1),
    }
    .into())
}

/// The first bit that is `bit`. Where the call names no end, clear bits follow the last one.
fn find(string: StringView<'_>, bit: bool, args: Args<'_>) -> Result<Option<usize>, CommandError> {
    let len = string.len_bytes()?;
    let range = match args.len() {
        3 => 0..8 * len,
        4..=6 => {
            let start = integer(&args[3])?;
            let unit = Unit::parse(args.get(5))?;
            let end = args.get(4).map_or(Ok(-1), integer)?;
            unit.bits(start, end, len)
        }
        _ => return Err(CommandError::Syntax),
    };
    if range.is_empty() {
        return Ok(None);
    }
    let past = range.end;
    let endless = !bit && args.len() < 5;
    let mut found = None;
    for_each_piece(string, range, |piece, bits, start| {
        found = position(piece, bits, bit).map(|position| start + position);
        if found.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(found.or(endless.then_some(past)))
}

/// The first bit of `range` that is `bit`.
fn position(bytes: &[u8], range: Range<usize>, bit: bool) -> Option<usize> {
    // Inverts the bytes to seek a clear bit, so that the search is always for a set one.
    let turn = if bit { 0 } else { 0xff };
    let first = range.start / 8;
    let past = range.end.div_ceil(8);
    let head = (bytes[first] ^ turn) & from(range.start);
    let at = if head != 0 {
        first
    } else {
        let rest = &bytes[first + 1..past];
        let (chunks, _) = rest.as_chunks::<8>();
        let same = chunks
            .iter()
            .take_while(|chunk| **chunk == [turn; 8])
            .count();
        let behind = rest[8 * same..].iter().position(|&byte| byte != turn)?;
        first + 1 + 8 * same + behind
    };
    let byte = if at == first { head } else { bytes[at] ^ turn };
    let found = 8 * at + byte.leading_zeros() as usize;
    (found < range.end).then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::OwnedArgs;

    fn is_set(bytes: &[u8], offset: usize) -> bool {
        bytes[offset / 8] & (0x80 >> (offset % 8)) != 0
    }

    #[test]
    fn ranges() {
        assert_eq!(Unit::Byte.bits(0, -1, 3), 0..24);
        assert_eq!(Unit::Byte.bits(-2, 100, 3), 8..24);
        assert_eq!(Unit::Byte.bits(-100, -100, 3), 0..8);
        assert_eq!(Unit::Bit.bits(5, -2, 3), 5..23);
        assert!(Unit::Bit.bits(24, 30, 3).is_empty());
        assert!(Unit::Byte.bits(2, 1, 3).is_empty());
        assert!(Unit::Byte.bits(i64::MIN, i64::MAX, 0).is_empty());
        assert_eq!(Unit::Byte.bits(i64::MIN, i64::MAX, 1), 0..8);
    }

    #[test]
    fn finds() {
        let found = |bytes: &[u8], call: &str| {
            let arguments = OwnedArgs::new(call.split(' '));
            let bit = &arguments.args()[2] == b"1";
            find(bytes.into(), bit, arguments.args()).map_err(|error| error.to_string())
        };
        assert_eq!(found(b"\xff\xf0\0", "bitpos k 0"), Ok(Some(12)));
        assert_eq!(found(b"\0\0", "bitpos k 1"), Ok(None));
        assert_eq!(found(b"\xff\xff", "bitpos k 0"), Ok(Some(16)));
        assert_eq!(found(b"\xff\xff", "bitpos k 0 1"), Ok(Some(16)));
        assert_eq!(found(b"\xff\xff", "bitpos k 0 0 -1"), Ok(None));
        assert_eq!(found(b"\xff\xff", "bitpos k 0 2"), Ok(None));
        assert_eq!(found(b"", "bitpos k 0"), Ok(None));
        assert_eq!(found(b"\x81", "bitpos k 1 1 6 BIT"), Ok(None));
        assert_eq!(found(b"\x81", "bitpos k 1 1 7 bit"), Ok(Some(7)));
        assert!(found(b"\x81", "bitpos k 1 1 7 bits").is_err());
        assert!(found(b"\x81", "bitpos k 1 x").is_err());
    }

    proptest! {
        #[test]
        fn counts_and_finds_bit_by_bit(
            bytes in proptest::collection::vec(prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 1..40),
            start in 0..320usize, end in 0..320usize, bit: bool,
        ) {
            let range = start.min(8 * bytes.len())..end.min(8 * bytes.len());
            let expected = range.clone().filter(|&offset| is_set(&bytes, offset)).count();
            prop_assert_eq!(count(&bytes, range.clone()), expected);
            if !range.is_empty() {
                let expected = range.clone().find(|&offset| is_set(&bytes, offset) == bit);
                prop_assert_eq!(position(&bytes, range, bit), expected);
            }
        }
    }
}

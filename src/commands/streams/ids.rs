//! Ids of entries in arguments.

use crate::commands::CommandError;
use crate::keyspace::StreamId;
use crate::numbers::parse_i64;

const INVALID: CommandError =
    CommandError::text("ERR Invalid stream ID specified as stream command argument");

/// Longer texts are no ids.
const TEXT_BYTES_MAX: usize = 127;

/// The id that XADD asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewId {
    /// `*`: of the present time.
    Auto,
    /// `<ms>-*`: the next one of that millisecond.
    OfMillisecond(u64),
    /// This one.
    Explicit(StreamId),
}

/// An id; `seq` is its number if the text has only milliseconds.
pub(super) fn parse_id(text: &[u8], seq: u64) -> Result<StreamId, CommandError> {
    let (ms, given) = split(text)?;
    let seq = match given {
        Some(given) => parse_number(given).ok_or(INVALID)?,
        None => seq,
    };
    Ok(StreamId::new(ms, seq))
}

/// An id, or `-` for the lowest one and `+` for the highest one.
pub(super) fn parse_id_or_end(text: &[u8], seq: u64) -> Result<StreamId, CommandError> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => parse_id(text, seq),
    }
}

/// The id of a new entry.
pub(super) fn parse_new_id(text: &[u8]) -> Result<NewId, CommandError> {
    if text == b"*" {
        return Ok(NewId::Auto);
    }
    match split(text)? {
        (ms, Some(b"*")) => Ok(NewId::OfMillisecond(ms)),
        _ => Ok(NewId::Explicit(parse_id(text, 0)?)),
    }
}

/// The start of a range, where `(` leaves out the id itself.
pub(super) fn parse_start(text: &[u8]) -> Result<StreamId, CommandError> {
    let error = CommandError::text("ERR invalid start ID for the interval");
    match exclusive(text) {
        Some(text) => parse_id(text, 0)?.next().ok_or(error),
        None => parse_id_or_end(text, 0),
    }
}

/// The end of a range, where `(` leaves out the id itself.
pub(super) fn parse_end(text: &[u8]) -> Result<StreamId, CommandError> {
    let error = CommandError::text("ERR invalid end ID for the interval");
    match exclusive(text) {
        Some(text) => parse_id(text, u64::MAX)?.previous().ok_or(error),
        None => parse_id_or_end(text, u64::MAX),
    }
}

fn exclusive(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"(").filter(|rest| !rest.is_empty())
}

/// The milliseconds, and the text behind the first `-`.
fn split(text: &[u8]) -> Result<(u64, Option<&[u8]>), CommandError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(INVALID);
    }
    // Redis reads a C string.
    let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
    let (ms, seq) = match memchr::memchr(b'-', text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    Ok((parse_number(ms).ok_or(INVALID)?, seq))
}

/// A number as Redis reads it: an integer of 64 bits that is not negative, else what C's `strtoull` takes, which allows
/// spaces before it, leading zeros and a sign.
fn parse_number(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x0b';
    let spaces = text.iter().take_while(|byte| is_space(byte)).count();
    let (negative, digits) = match &text[spaces..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for digit in digits {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    Some(if negative {
        number.wrapping_neg()
    } else {
        number
    })
}

/// The text of an id.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdText {
    bytes: [u8; 41],
    len: usize,
}

impl IdText {
    /// Formats an id.
    pub fn of(id: StreamId) -> Self {
        let mut bytes = [0; 41];
        let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (ms, seq) = (ms.format(id.ms).as_bytes(), seq.format(id.seq).as_bytes());
        let len = ms.len() + 1 + seq.len();
        bytes[..ms.len()].copy_from_slice(ms);
        bytes[ms.len()] = b'-';
        bytes[ms.len() + 1..len].copy_from_slice(seq);
        Self { bytes, len }
    }
}

impl AsRef<[u8]> for IdText {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        let id = |ms, seq| Some(StreamId::new(ms, seq));
        for (text, expected) in [
            ("5-7", id(5, 7)),
            ("5", id(5, 9)),
            (
                "18446744073709551615-18446744073709551615",
                Some(StreamId::MAX),
            ),
            ("18446744073709551616-0", None),
            ("007-+1", id(7, 1)),
            (" 7- 1", id(7, 1)),
            ("1--05", id(1, 5u64.wrapping_neg())),
            ("1--5", None),
            ("-1-5", None),
            ("1-", None),
            ("-", None),
            ("+", None),
            ("", None),
            ("1-2-3", None),
            ("x", None),
            ("1-*", None),
        ] {
            assert_eq!(parse_id(text.as_bytes(), 9).ok(), expected, "{text}");
        }
        assert_eq!(parse_id(b"1-2\0x", 0).ok(), id(1, 2));
        assert!(parse_id(&[b'0'; 128], 0).is_err());
    }

    #[test]
    fn new_ids_have_three_forms() {
        assert_eq!(parse_new_id(b"*").ok(), Some(NewId::Auto));
        assert_eq!(parse_new_id(b"5-*").ok(), Some(NewId::OfMillisecond(5)));
        let one = StreamId::new(5, 0);
        assert_eq!(parse_new_id(b"5").ok(), Some(NewId::Explicit(one)));
        assert!(parse_new_id(b"*-5").is_err());
    }

    #[test]
    fn ranges_may_leave_out_their_ends() {
        assert_eq!(parse_start(b"(1-5").ok(), Some(StreamId::new(1, 6)));
        assert_eq!(parse_end(b"(1-0").ok(), Some(StreamId::new(0, u64::MAX)));
        assert_eq!(parse_end(b"1").ok(), Some(StreamId::new(1, u64::MAX)));
        assert_eq!(parse_start(b"-").ok(), Some(StreamId::MIN));
        for text in ["(-", "(+", "("] {
            assert!(parse_start(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse_start(b"(18446744073709551615-18446744073709551615").is_err());
        assert!(parse_end(b"(0-0").is_err());
    }

    #[test]
    fn ids_are_shown() {
        assert_eq!(IdText::of(StreamId::new(12, 3)).as_ref(), b"12-3");
        let longest = IdText::of(StreamId::MAX);
        assert_eq!(
            longest.as_ref(),
            b"18446744073709551615-18446744073709551615"
        );
    }
}

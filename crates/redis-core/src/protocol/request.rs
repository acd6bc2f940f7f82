//! Requests: RESP arrays of bulk strings, and inline commands.
//!
//! The parser borrows arguments from the input buffer. It continues an incomplete request where it stopped, so it reads a
//! large value only once, in however many pieces the value arrives.

use std::fmt;

use crate::quoting::split_args;

/// The longest inline command, and the longest line that announces a length. Redis has the same limit.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The largest number of arguments that a request may announce; in Redis, the largest C int.
const WORDS_MAX: i64 = i32::MAX as i64;

/// Before authentication a request may have at most this many arguments of this many bytes.
const UNAUTHENTICATED_WORDS_MAX: usize = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX: i64 = 16 * 1024;

/// For how many arguments the parser reserves memory before they arrive. An announced number alone must not take memory.
const ARGUMENTS_RESERVED_MAX: usize = 64;

/// After a request with more arguments than this, the parser gives their memory back.
const ARGUMENTS_KEPT_MAX: usize = 1024;

/// A breach of the protocol. The connection answers it and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// `*` without a valid number.
    MultibulkLength,
    /// `*` with a line that is too long.
    MultibulkLine,
    /// Too many arguments before authentication.
    UnauthenticatedMultibulk,
    /// Another byte in place of `$`.
    ExpectedDollar(u8),
    /// `$` without a valid number, or over proto-max-bulk-len.
    BulkLength,
    /// `$` with a line that is too long.
    BulkLine,
    /// An argument that is too long before authentication.
    UnauthenticatedBulk,
    /// An inline command that is too long.
    InlineTooLong,
    /// An inline command with an open quote.
    UnbalancedQuotes,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        match self {
            Self::MultibulkLength => f.write_str("invalid multibulk length"),
            Self::MultibulkLine => f.write_str("too big mbulk count string"),
            Self::UnauthenticatedMultibulk => f.write_str("unauthenticated multibulk length"),
            Self::ExpectedDollar(byte) => write!(f, "expected '$', got '{}'", char::from(*byte)),
            Self::BulkLength => f.write_str("invalid bulk length"),
            Self::BulkLine => f.write_str("too big bulk count string"),
            Self::UnauthenticatedBulk => f.write_str("unauthenticated bulk length"),
            Self::InlineTooLong => f.write_str("too big inline request"),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// What a connection allows.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// proto-max-bulk-len.
    pub bulk_bytes_max: usize,
    /// Whether the client may send long requests.
    pub authenticated: bool,
}

/// What [`RequestParser::parse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole request of `consumed` bytes. [`RequestParser::arguments`] says where in the input its arguments lie.
    Request {
        /// Bytes that the request takes.
        consumed: usize,
    },
    /// A whole inline request of `consumed` bytes. [`RequestParser::inline`] holds its arguments.
    Inline {
        /// Bytes that the request takes.
        consumed: usize,
    },
    /// An empty line or array: nothing to run, and `consumed` bytes to skip.
    Nothing {
        /// Bytes to skip.
        consumed: usize,
    },
    /// The request goes on past the input; at least `missing` more bytes are needed.
    Incomplete {
        /// A lower bound for the bytes still to come.
        missing: usize,
    },
}

/// Reads requests, one after the other.
#[derive(Debug, Default)]
pub struct RequestParser {
    /// Start and end of each argument of the present request.
    arguments: Vec<(usize, usize)>,
    /// The arguments of the last inline request.
    inline: Vec<Vec<u8>>,
    /// How many arguments are still to come; `None` before the array's head.
    remaining: Option<usize>,
    /// The announced length of the argument that is being read.
    bulk: Option<usize>,
    /// How far the present request has been read.
    position: usize,
}

impl RequestParser {
    /// Start and end of each argument of the request that [`parse`](Self::parse) has just found.
    pub fn arguments(&self) -> &[(usize, usize)] {
        &self.arguments
    }

    /// The arguments of the inline request that [`parse`](Self::parse) has just found.
    pub fn inline(&self) -> &[Vec<u8>] {
        &self.inline
    }

    /// Whether the next input begins a request.
    #[inline]
    pub fn is_between_requests(&self) -> bool {
        self.remaining.is_none()
    }

    /// Gives back the memory of a long request. The caller needs its arguments no longer.
    pub fn give_back(&mut self) {
        if self.remaining.is_none() && self.arguments.capacity() > ARGUMENTS_KEPT_MAX {
            self.arguments = Vec::new();
        }
        if !self.inline.is_empty() {
            self.inline = Vec::new();
        }
    }

    /// Reads one request from the start of `input`. After `Incomplete`, pass the same bytes and more to the next call; after
    /// anything else, pass the bytes that follow `consumed`.
    pub fn parse(&mut self, input: &[u8], limits: RequestLimits) -> Result<Parsed, ProtocolError> {
        let mut remaining = if let Some(remaining) = self.remaining {
            remaining
        } else {
            match input.first() {
                None => return Ok(Parsed::Incomplete { missing: 1 }),
                Some(b'*') => {}
                Some(_) => return self.parse_inline(input),
            }
            let (count, next) = if let Some((_, count, next)) = short_line(input, 0) {
                (count, next)
            } else {
                let line = length_line(input, 0, ProtocolError::MultibulkLine)?;
                let Some((count, next)) = line else {
                    return Ok(Parsed::Incomplete { missing: 1 });
                };
                let count = count
                    .filter(|&count| count <= WORDS_MAX)
                    .ok_or(ProtocolError::MultibulkLength)?;
                (usize::try_from(count).unwrap_or(0), next)
            };
            if !limits.authenticated && count > UNAUTHENTICATED_WORDS_MAX {
                return Err(ProtocolError::UnauthenticatedMultibulk);
            }
            if count == 0 {
                return Ok(Parsed::Nothing { consumed: next });
            }
            self.arguments.clear();
            self.arguments.reserve(count.min(ARGUMENTS_RESERVED_MAX));
            self.bulk = None;
            self.position = next;
            count
        };
        let mut position = self.position;
        while remaining > 0 {
            let (start, length) = match (self.bulk.take(), short_line(input, position)) {
                (Some(length), _) => (position, length),
                (None, Some((b'$', length, next))) if length <= limits.bulk_bytes_max => {
                    (next, length)
                }
                _ => {
                    self.position = position;
                    let Some(length) = self.bulk_head(input, limits)? else {
                        self.remaining = Some(remaining);
                        return Ok(Parsed::Incomplete { missing: 1 });
                    };
                    (self.position, length)
                }
            };
            let end = start + length;
            if input.len() < end + 2 {
                self.position = start;
                self.bulk = Some(length);
                self.remaining = Some(remaining);
                return Ok(Parsed::Incomplete {
                    missing: end + 2 - input.len(),
                });
            }
            self.arguments.push((start, end));
            // Like Redis, does not check the two bytes after an argument.
            position = end + 2;
            remaining -= 1;
        }
        self.remaining = None;
        Ok(Parsed::Request { consumed: position })
    }

    /// Reads a `$<length>` line; `None` if it is incomplete.
    fn bulk_head(
        &mut self,
        input: &[u8],
        limits: RequestLimits,
    ) -> Result<Option<usize>, ProtocolError> {
        let Some(&first) = input.get(self.position) else {
            return Ok(None);
        };
        // Redis checks the first byte only after the line's end has arrived.
        let line = length_line(input, self.position, ProtocolError::BulkLine)?;
        let Some((length, next)) = line else {
            return Ok(None);
        };
        if first != b'$' {
            return Err(ProtocolError::ExpectedDollar(first));
        }
        let max = i64::try_from(limits.bulk_bytes_max).unwrap_or(i64::MAX);
        let length = length
            .filter(|length| (0..=max).contains(length))
            .ok_or(ProtocolError::BulkLength)?;
        if !limits.authenticated && length > UNAUTHENTICATED_BULK_BYTES_MAX {
            return Err(ProtocolError::UnauthenticatedBulk);
        }
        self.position = next;
        Ok(usize::try_from(length).ok())
    }

    fn parse_inline(&mut self, input: &[u8]) -> Result<Parsed, ProtocolError> {
        let Some(newline) = memchr::memchr(b'\n', input) else {
            if input.len() > LINE_BYTES_MAX {
                return Err(ProtocolError::InlineTooLong);
            }
            return Ok(Parsed::Incomplete { missing: 1 });
        };
        let line = &input[..newline];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let consumed = newline + 1;
        self.inline = split_args(line).ok_or(ProtocolError::UnbalancedQuotes)?;
        if self.inline.is_empty() {
            return Ok(Parsed::Nothing { consumed });
        }
        Ok(Parsed::Inline { consumed })
    }
}

/// A line's number, `None` if it is not valid, and the position after the line.
type LengthLine = (Option<i64>, usize);

/// The fast path for the line at `at`: its first byte, its number and its end. `None` unless the number has one or two
/// digits, which is the usual case, and more input follows the line.
#[inline]
pub(super) fn short_line(input: &[u8], at: usize) -> Option<(u8, usize, usize)> {
    let &[kind, first, second, third, _] = input.get(at..)?.first_chunk()?;
    let first = first.wrapping_sub(b'0');
    if first > 9 {
        return None;
    }
    if second == b'\r' {
        return Some((kind, usize::from(first), at + 4));
    }
    let second = second.wrapping_sub(b'0');
    if first == 0 || second > 9 || third != b'\r' {
        return None;
    }
    Some((kind, usize::from(first * 10 + second), at + 5))
}

/// Reads the number of the line at `at`, after its first byte. `None` if the line is incomplete.
fn length_line(
    input: &[u8],
    at: usize,
    too_long: ProtocolError,
) -> Result<Option<LengthLine>, ProtocolError> {
    let rest = &input[at..];
    let Some(end) = memchr::memchr(b'\r', rest) else {
        if rest.len() > LINE_BYTES_MAX {
            return Err(too_long);
        }
        return Ok(None);
    };
    if rest.len() < end + 2 {
        return Ok(None);
    }
    // The range is empty if the line has no first byte.
    let digits = rest.get(1..end).unwrap_or_default();
    let number = crate::numbers::parse_i64(digits);
    Ok(Some((number, at + end + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits {
        bulk_bytes_max: 1 << 20,
        authenticated: true,
    };

    fn arguments(input: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let mut parser = RequestParser::default();
        match parser.parse(input, LIMITS)? {
            Parsed::Request { consumed } => {
                assert_eq!(consumed, input.len());
                let arguments = parser.arguments().iter();
                Ok(arguments
                    .map(|&(start, end)| input[start..end].to_vec())
                    .collect())
            }
            Parsed::Inline { .. } => Ok(parser.inline().to_vec()),
            Parsed::Nothing { .. } => Ok(vec![]),
            Parsed::Incomplete { .. } => panic!("incomplete: {input:?}"),
        }
    }

    #[test]
    fn reads_requests() {
        let long = format!("*2\r\n$3\r\nGET\r\n$1000\r\n{}\r\n", "x".repeat(1000));
        let cases: [(&[u8], &[&[u8]]); 7] = [
            (b"*1\r\n$4\r\nPING\r\n", &[b"PING"]),
            (b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", &[b"GET", b""]),
            (b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n", &[b"GET", b"\r\n"]),
            (b"*0\r\n", &[]),
            (b"*-1\r\n", &[]),
            (b"PING  \"a b\"\r\n", &[b"PING", b"a b"]),
            (b"\r\n", &[]),
        ];
        for (input, expected) in cases {
            assert_eq!(arguments(input).expect("valid"), expected);
        }
        assert_eq!(arguments(long.as_bytes()).expect("valid")[1].len(), 1000);
    }

    #[test]
    fn takes_up_a_request_that_arrives_byte_by_byte() {
        let input = b"*3\r\n$3\r\nSET\r\n$12\r\nkey:00000001\r\n$0\r\n\r\n";
        let mut parser = RequestParser::default();
        for end in 0..input.len() {
            let parsed = parser.parse(&input[..end], LIMITS).expect("valid so far");
            assert!(matches!(parsed, Parsed::Incomplete { missing } if missing >= 1));
        }
        let consumed = input.len();
        assert_eq!(
            parser.parse(input, LIMITS),
            Ok(Parsed::Request { consumed })
        );
        assert_eq!(parser.arguments(), [(8, 11), (18, 30), (36, 36)]);
    }

    #[test]
    fn refuses_with_redis_texts() {
        let cases: [(&[u8], &str); 9] = [
            (b"*abc\r\n", "invalid multibulk length"),
            (b"*3000000000\r\n", "invalid multibulk length"),
            (b"*1\r\n+OK\r\n", "expected '$', got '+'"),
            (b"*1\r\n\r\n", "expected '$', got '\r'"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$2000000\r\n", "invalid bulk length"),
            (b"*1\r\n$01\r\n", "invalid bulk length"),
            (b"*1\r\n$x\r\n", "invalid bulk length"),
            (b"GET \"a\r\n", "unbalanced quotes in request"),
        ];
        for (input, text) in cases {
            let error = arguments(input).expect_err("refused");
            assert_eq!(error.to_string(), format!("ERR Protocol error: {text}"));
        }
        let endless = format!("*{}", "1".repeat(LINE_BYTES_MAX + 1)).into_bytes();
        assert_eq!(arguments(&endless), Err(ProtocolError::MultibulkLine));
        assert_eq!(arguments(&endless[1..]), Err(ProtocolError::InlineTooLong));
    }

    #[test]
    fn a_stranger_may_not_send_much() {
        let limits = RequestLimits {
            authenticated: false,
            ..LIMITS
        };
        let mut parser = RequestParser::default();
        assert_eq!(
            parser.parse(b"*11\r\n", limits),
            Err(ProtocolError::UnauthenticatedMultibulk)
        );
        let mut parser = RequestParser::default();
        assert_eq!(
            parser.parse(b"*1\r\n$16385\r\n", limits),
            Err(ProtocolError::UnauthenticatedBulk)
        );
    }

    #[test]
    fn agrees_with_a_full_decoder() {
        use redis_protocol::resp2::decode::decode;
        use redis_protocol::resp2::types::OwnedFrame;
        let input = b"*3\r\n$3\r\nSET\r\n$5\r\nhello\r\n$12\r\nbinary\r\n\0ok\xff\r\n";
        let Ok(Some((OwnedFrame::Array(frames), _))) = decode(input) else {
            panic!("redis-protocol reads the request");
        };
        let theirs: Vec<Vec<u8>> = frames
            .into_iter()
            .map(|frame| match frame {
                OwnedFrame::BulkString(bytes) => bytes,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(arguments(&input[..]).ok(), Some(theirs));
    }
}

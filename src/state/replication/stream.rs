//! The commands of a master's stream, as they arrive: cut into units that are applied whole.
//!
//! A unit is one command, or a transaction from MULTI to EXEC. The bytes stay where they were read; calls are places in
//! them.

use std::ops::Range;

use crate::protocol::{Args, Parsed, ProtocolError, RequestLimits, RequestParser};

/// The most bytes of one unit. A master takes no longer transaction or value with its default limits.
pub const UNIT_BYTES_MAX: usize = 1 << 30;

/// A buffer that has grown past this is given back once it is empty.
const KEPT_BYTES: usize = 1 << 20;

/// Why a stream cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Bytes that are no request.
    #[error("the master's stream is damaged: {0}")]
    Protocol(ProtocolError),
    /// A line that is no request.
    #[error("the master's stream is damaged: it has an inline command")]
    Inline,
    /// MULTI in a transaction, or EXEC outside of one.
    #[error("the master's stream is damaged: {0} out of place")]
    OutOfPlace(&'static str),
    /// One command or transaction is too long.
    #[error("the master sent a command or a transaction of more than 1 GiB")]
    TooLong,
}

/// A command of the stream.
#[derive(Clone, Copy, Debug)]
struct Call {
    /// Where its arguments stand in `words`.
    first: usize,
    end: usize,
    /// Where the input goes on behind it.
    input_end: usize,
    /// Whether a unit ends with it.
    ends_unit: bool,
}

/// What has arrived and is not applied yet.
#[derive(Debug, Default)]
pub struct Stream {
    input: Vec<u8>,
    parser: RequestParser,
    /// Start and end of each argument.
    words: Vec<(usize, usize)>,
    calls: Vec<Call>,
    /// How many of the calls are applied, and the bytes of the input up to there.
    applied: usize,
    applied_bytes: usize,
    /// How many of the calls belong to whole units.
    whole: usize,
    /// How far the input is cut into calls.
    parsed_bytes: usize,
    in_transaction: bool,
}

/// A unit that is to be applied.
#[derive(Clone, Debug)]
pub struct Unit<'s> {
    stream: &'s Stream,
    calls: Range<usize>,
}

impl Stream {
    /// A stream that begins with bytes that were read already.
    pub fn new(input: &[u8]) -> Self {
        Self {
            input: input.to_vec(),
            ..Self::default()
        }
    }

    /// Where more of it is appended.
    pub fn input(&mut self) -> &mut Vec<u8> {
        &mut self.input
    }

    /// Bytes that have arrived and are not applied.
    pub fn unapplied_bytes(&self) -> usize {
        self.input.len() - self.applied_bytes
    }

    /// Cuts what has arrived into calls. Returns how many more bytes the next one needs at least.
    pub fn parse(&mut self) -> Result<usize, StreamError> {
        let limits = RequestLimits {
            bulk_bytes_max: UNIT_BYTES_MAX,
            authenticated: true,
        };
        loop {
            if self.input.len() - self.whole_end() > UNIT_BYTES_MAX {
                return Err(StreamError::TooLong);
            }
            let rest = &self.input[self.parsed_bytes..];
            let consumed = match self.parser.parse(rest, limits) {
                Ok(Parsed::Request { consumed }) => consumed,
                // A master sends an empty line to show that it lives.
                Ok(Parsed::Nothing { consumed }) => {
                    self.parsed_bytes += consumed;
                    continue;
                }
                Ok(Parsed::Incomplete { missing }) => return Ok(missing),
                Ok(Parsed::Inline { .. }) => return Err(StreamError::Inline),
                Err(error) => return Err(StreamError::Protocol(error)),
            };
            let first = self.words.len();
            let base = self.parsed_bytes;
            let words = self.parser.arguments().iter();
            self.words
                .extend(words.map(|(start, end)| (base + start, base + end)));
            self.parsed_bytes += consumed;
            let (start, end) = self.words[first];
            let name = &self.input[start..end];
            if name.eq_ignore_ascii_case(b"multi") {
                if std::mem::replace(&mut self.in_transaction, true) {
                    return Err(StreamError::OutOfPlace("MULTI"));
                }
            } else if name.eq_ignore_ascii_case(b"exec")
                && !std::mem::replace(&mut self.in_transaction, false)
            {
                return Err(StreamError::OutOfPlace("EXEC"));
            }
            self.calls.push(Call {
                first,
                end: self.words.len(),
                input_end: self.parsed_bytes,
                ends_unit: !self.in_transaction,
            });
            if !self.in_transaction {
                self.whole = self.calls.len();
            }
        }
    }

    /// Where the input goes on behind the last whole unit.
    fn whole_end(&self) -> usize {
        match self.whole.checked_sub(1) {
            Some(last) => self.calls[last].input_end,
            None => 0,
        }
    }

    /// Bytes of the whole units that are not applied.
    pub fn whole_bytes(&self) -> usize {
        self.whole_end().saturating_sub(self.applied_bytes)
    }

    /// The next `bytes` bytes that are not applied.
    pub fn next_bytes(&self, bytes: usize) -> &[u8] {
        &self.input[self.applied_bytes..self.applied_bytes + bytes]
    }

    /// The whole units that are not applied, in their order.
    pub fn units(&self) -> impl Iterator<Item = Unit<'_>> {
        let mut next = self.applied;
        std::iter::from_fn(move || {
            let first = next;
            let rest = self.calls.get(first..self.whole)?;
            let len = 1 + rest.iter().position(|call| call.ends_unit)?;
            next += len;
            Some(Unit {
                stream: self,
                calls: first..next,
            })
        })
    }

    /// Notes that the next units, of so many bytes, are applied.
    pub fn applied(&mut self, bytes: usize) {
        self.applied_bytes += bytes;
        while self.applied < self.whole && self.calls[self.applied].input_end <= self.applied_bytes
        {
            self.applied += 1;
        }
        if self.applied == self.whole {
            self.compact();
        }
    }

    /// Drops what is applied, once no whole unit is left.
    fn compact(&mut self) {
        let (calls, bytes) = (self.applied, self.applied_bytes);
        let words = match calls.checked_sub(1) {
            Some(last) => self.calls[last].end,
            None => 0,
        };
        self.calls.drain(..calls);
        self.words.drain(..words);
        for (start, end) in &mut self.words {
            *start -= bytes;
            *end -= bytes;
        }
        for call in &mut self.calls {
            call.first -= words;
            call.end -= words;
            call.input_end -= bytes;
        }
        if self.input.len() == bytes && self.input.capacity() > KEPT_BYTES {
            self.input = Vec::new();
        } else {
            self.input.drain(..bytes);
        }
        self.parsed_bytes -= bytes;
        (self.applied, self.applied_bytes, self.whole) = (0, 0, 0);
        self.parser.give_back();
    }
}

impl<'s> Unit<'s> {
    /// Its commands. Those of a transaction stand between MULTI and EXEC.
    pub fn calls(&self) -> impl ExactSizeIterator<Item = Args<'s>> + use<'s> {
        let stream = self.stream;
        let calls = stream.calls[self.calls.clone()].iter();
        calls.map(|call| Args::new(&stream.input, &stream.words[call.first..call.end]))
    }

    /// Whether it is a transaction.
    pub fn is_transaction(&self) -> bool {
        self.calls.len() > 1
    }

    /// Its bytes and those of the units before it that are not applied.
    pub fn bytes_through(&self) -> usize {
        self.stream.calls[self.calls.end - 1].input_end - self.stream.applied_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &[&str]) -> String {
        let words = words
            .iter()
            .map(|word| format!("${}\r\n{word}\r\n", word.len()));
        let words: Vec<String> = words.collect();
        format!("*{}\r\n{}", words.len(), words.concat())
    }

    fn shown(stream: &Stream) -> Vec<Vec<String>> {
        let units = stream.units();
        let of = |unit: Unit<'_>| {
            let calls = unit.calls();
            calls
                .map(|args| {
                    let words = args.from(0).map(String::from_utf8_lossy);
                    words.collect::<Vec<_>>().join(" ")
                })
                .collect()
        };
        units.map(of).collect()
    }

    /// Whatever the pieces in which it arrives: every unit comes whole, once, in order, and the bytes add up.
    #[test]
    fn units_come_whole_in_any_pieces() -> Result<(), StreamError> {
        let text = [
            request(&["set", "a", "1"]),
            "\n".to_owned(),
            request(&["MULTI"]),
            request(&["incr", "b"]),
            request(&["del", "a", "b"]),
            request(&["Exec"]),
            request(&["ping"]),
        ]
        .concat();
        let units: [&[&str]; 3] = [
            &["set a 1"],
            &["MULTI", "incr b", "del a b", "Exec"],
            &["ping"],
        ];
        for piece in 1..=text.len() {
            let mut stream = Stream::default();
            let (mut all, mut bytes) = (Vec::new(), 0);
            for part in text.as_bytes().chunks(piece) {
                stream.input().extend_from_slice(part);
                stream.parse()?;
                // One unit after the other, as a step that took too long leaves the others.
                loop {
                    let first = stream.units().next().map(|unit| unit.bytes_through());
                    let Some(through) = first else {
                        break;
                    };
                    all.push(shown(&stream).swap_remove(0));
                    bytes += through;
                    stream.applied(through);
                }
            }
            assert_eq!(all, units, "pieces of {piece}");
            assert_eq!((bytes, stream.unapplied_bytes()), (text.len(), 0));
        }
        Ok(())
    }

    #[test]
    fn several_units_are_applied_at_once() -> Result<(), StreamError> {
        let text = request(&["set", "a", "1"]).repeat(3) + &request(&["multi"]);
        let mut stream = Stream::new(text.as_bytes());
        stream.parse()?;
        assert_eq!(shown(&stream).len(), 3);
        let two = stream.units().nth(1).map_or(0, |unit| unit.bytes_through());
        stream.applied(two);
        assert_eq!(shown(&stream).len(), 1);
        let one = stream.units().next().map_or(0, |unit| unit.bytes_through());
        assert_eq!((two, stream.whole_bytes()), (2 * one, one));
        stream.applied(one);
        // The transaction is not whole: it stays.
        assert_eq!(shown(&stream).len(), 0);
        assert_eq!(stream.unapplied_bytes(), text.len() - 3 * one);
        stream
            .input()
            .extend_from_slice(request(&["exec"]).as_bytes());
        stream.parse()?;
        assert_eq!(shown(&stream), [["multi", "exec"]]);
        Ok(())
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        let error = |text: &str| {
            let mut stream = Stream::new(text.as_bytes());
            stream.parse().err()
        };
        assert_eq!(error("hello\r\n"), Some(StreamError::Inline));
        assert_eq!(
            error(&request(&["exec"])),
            Some(StreamError::OutOfPlace("EXEC"))
        );
        assert_eq!(
            error(&request(&["multi"]).repeat(2)),
            Some(StreamError::OutOfPlace("MULTI"))
        );
        assert!(matches!(
            error("*1\r\n$2000000000\r\n"),
            Some(StreamError::Protocol(_))
        ));
        assert_eq!(error("*1\r\n$1000000000\r\n"), None);
    }
}

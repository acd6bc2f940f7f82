//! How each type of reply is encoded, in RESP2 and in RESP3.

use bytes::{BufMut, Bytes, BytesMut};
use redis_protocol::resp3::encode::complete::extend_encode_borrowed;
use redis_protocol::resp3::types::{BorrowedFrame, VerbatimStringFormat};

use super::ReplyBuffer;
use crate::protocol::{Protocol, Reply};

/// Digits of the numbers that [`ReplyBuffer::number`] writes itself.
const NUMBER_BYTES_MAX: usize = 5;

impl ReplyBuffer {
    /// `+OK`.
    pub fn ok(&mut self) {
        self.put(b"+OK\r\n");
    }

    /// A simple string.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error line. Line breaks inside the text become spaces, since they would end the reply.
    pub fn error(&mut self, text: &str) {
        if !self.has_room(text.len() + 3) {
            return;
        }
        self.tail.put_u8(b'-');
        for &byte in text.as_bytes() {
            let broken = byte == b'\r' || byte == b'\n';
            self.tail.put_u8(if broken { b' ' } else { byte });
        }
        self.tail.put_slice(b"\r\n");
    }

    /// A 64-bit integer.
    pub fn integer(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.number(b':', value),
            Err(_) => self.line(b':', itoa::Buffer::new().format(value).as_bytes()),
        }
    }

    /// A bulk string.
    pub fn bulk(&mut self, value: &[u8]) {
        if !self.has_room(value.len() + 32) {
            return;
        }
        self.number(b'$', value.len() as u64);
        self.tail.put_slice(value);
        self.tail.put_slice(b"\r\n");
    }

    /// A bulk string of `len` bytes, which `fill` appends. After an error the caller must remove what was written. If the
    /// string exceeds the limit, `fill` does not run.
    pub fn bulk_filled_by<E>(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.has_room(len + 32) {
            return Ok(());
        }
        self.number(b'$', len as u64);
        let start = self.tail.len();
        fill(&mut self.tail)?;
        debug_assert_eq!(self.tail.len() - start, len);
        self.tail.put_slice(b"\r\n");
        Ok(())
    }

    /// No value.
    pub fn null(&mut self) {
        self.put(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// No array.
    pub fn null_array(&mut self) {
        self.put(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The head of an array; `len` replies must follow.
    pub fn array_header(&mut self, len: usize) {
        self.number(b'*', len as u64);
    }

    /// The head of a message (a push in RESP3, an array in RESP2); `len` replies must follow.
    pub fn push_header(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array_header(len),
            Protocol::Resp3 => self.number(b'>', len as u64),
        }
    }

    /// The head of a map; `pairs` keys, each with its value behind it, must follow.
    pub fn map_header(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array_header(pairs * 2),
            Protocol::Resp3 => self.number(b'%', pairs as u64),
        }
    }

    /// The head of a set; `len` replies must follow.
    pub fn set_header(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array_header(len),
            Protocol::Resp3 => self.number(b'~', len as u64),
        }
    }

    /// The header of pairs that are a map in RESP3 and an array of arrays in RESP2. Each pair has a
    /// [header](Self::pair_header).
    pub fn pairs_header(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array_header(pairs),
            Protocol::Resp3 => self.map_header(pairs),
        }
    }

    /// The header of a pair after [`pairs_header`](Self::pairs_header).
    pub fn pair_header(&mut self) {
        if self.protocol == Protocol::Resp2 {
            self.array_header(2);
        }
    }

    /// Any reply.
    pub fn reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Ok => self.ok(),
            Reply::Simple(text) => self.simple(text),
            Reply::Error(text) => self.error(text),
            Reply::Integer(value) => self.integer(*value),
            Reply::Bulk(bytes) => self.bulk(bytes),
            Reply::Null => self.null(),
            Reply::NullArray => self.null_array(),
            Reply::Array(items) => {
                self.array_header(items.len());
                for item in items {
                    self.reply(item);
                }
            }
            Reply::Set(items) => {
                self.set_header(items.len());
                for item in items {
                    self.reply(item);
                }
            }
            Reply::Map(pairs) => {
                self.map_header(pairs.len());
                for (key, value) in pairs {
                    self.reply(key);
                    self.reply(value);
                }
            }
            Reply::Pairs(pairs) => {
                self.pairs_header(pairs.len());
                for (key, value) in pairs {
                    self.pair_header();
                    self.reply(key);
                    self.reply(value);
                }
            }
            Reply::Double(value) => self.double(*value),
            Reply::Boolean(value) => self.boolean(*value),
            Reply::Verbatim(text) => self.verbatim(text),
        }
    }

    /// A double, given as its text.
    pub fn double_text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// A double.
    pub fn double(&mut self, value: f64) {
        #[allow(clippy::cast_possible_truncation)] // It is compared.
        let whole = value as i32;
        // Most scores are such. Zero has a sign.
        #[allow(clippy::float_cmp)] // Whether it is the very same number.
        if f64::from(whole) == value && whole != 0 {
            return self.double_text(itoa::Buffer::new().format(whole));
        }
        self.double_text(&crate::numbers::format_double(value));
    }

    fn boolean(&mut self, value: bool) {
        match self.protocol {
            Protocol::Resp2 => self.integer(i64::from(value)),
            Protocol::Resp3 => self.frame(&BorrowedFrame::Boolean {
                data: value,
                attributes: None,
            }),
        }
    }

    fn verbatim(&mut self, text: &Bytes) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => self.frame(&BorrowedFrame::VerbatimString {
                data: text,
                format: VerbatimStringFormat::Text,
                attributes: None,
            }),
        }
    }

    /// Encodes a RESP3 frame, for types that no hot path uses.
    fn frame(&mut self, frame: &BorrowedFrame<'_>) {
        let mark = self.tail.len();
        if let Err(error) = extend_encode_borrowed(&mut self.tail, frame, false) {
            self.tail.truncate(mark);
            self.error(&format!("ERR the reply could not be encoded: {error}"));
        }
    }

    /// A line of one number. Most numbers are short: lengths of values, of arrays and of collections.
    #[inline]
    fn number(&mut self, kind: u8, number: u64) {
        let Ok(mut rest) = u16::try_from(number) else {
            return self.line(kind, itoa::Buffer::new().format(number).as_bytes());
        };
        // The digits come last first.
        let mut line = *b"......\r\n";
        let mut start = NUMBER_BYTES_MAX;
        for digit in line[1..=NUMBER_BYTES_MAX].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            if rest == 0 {
                break;
            }
            start -= 1;
        }
        line[start - 1] = kind;
        self.put(&line[start - 1..]);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        if !self.has_room(text.len() + 3) {
            return;
        }
        self.tail.put_u8(kind);
        self.tail.put_slice(text);
        self.tail.put_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_lengths_are_written() {
        let powers = (0..19).map(|power| 10_i64.pow(power));
        let numbers = powers.flat_map(|power| [power - 1, power, power + 1, -power]);
        let edges = [i64::MIN, i64::MAX, 65_535, 65_536];
        for number in numbers.chain(edges) {
            let mut out = ReplyBuffer::new(Protocol::Resp2);
            out.integer(number);
            assert_eq!(out.in_one(), Some(format!(":{number}\r\n").as_bytes()));
        }
        for len in [0, 9, 10, 65_535, 65_536] {
            let mut out = ReplyBuffer::new(Protocol::Resp2);
            out.array_header(len);
            assert_eq!(out.in_one(), Some(format!("*{len}\r\n").as_bytes()));
        }
    }

    #[test]
    fn each_type_degrades_as_redis_degrades_it() {
        let map = Reply::Map(vec![(Reply::text("k"), Reply::Integer(1))]);
        let error = Reply::Error("ERR a\r\nb".into());
        let list = Reply::Array(vec![Reply::Null]);
        let text = Reply::Verbatim(Bytes::from_static(b"hi"));
        let cases: [(Reply, &str, &str); 13] = [
            (Reply::Ok, "+OK\r\n", "+OK\r\n"),
            (Reply::Simple("PONG"), "+PONG\r\n", "+PONG\r\n"),
            (error, "-ERR a  b\r\n", "-ERR a  b\r\n"),
            (Reply::Integer(-5), ":-5\r\n", ":-5\r\n"),
            (Reply::text(""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (Reply::Null, "$-1\r\n", "_\r\n"),
            (Reply::NullArray, "*-1\r\n", "_\r\n"),
            (list, "*1\r\n$-1\r\n", "*1\r\n_\r\n"),
            (map, "*2\r\n$1\r\nk\r\n:1\r\n", "%1\r\n$1\r\nk\r\n:1\r\n"),
            (
                Reply::Set(vec![Reply::Integer(1)]),
                "*1\r\n:1\r\n",
                "~1\r\n:1\r\n",
            ),
            (Reply::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (Reply::Boolean(true), ":1\r\n", "#t\r\n"),
            (text, "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
        ];
        for (reply, resp2, resp3) in cases {
            for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
                let mut out = ReplyBuffer::new(protocol);
                out.reply(&reply);
                assert_eq!(
                    out.in_one(),
                    Some(expected.as_bytes()),
                    "{reply:?} in {protocol:?}"
                );
            }
        }
    }
}

//! Replies as data, and the buffer that they are encoded into.

use bytes::{BufMut, Bytes, BytesMut};
use redis_protocol::resp3::encode::complete::extend_encode_borrowed;
use redis_protocol::resp3::types::{BorrowedFrame, VerbatimStringFormat};

/// The protocol version that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, the default of every new connection.
    Resp2,
    /// RESP3, chosen with `HELLO 3`.
    Resp3,
}

impl Protocol {
    /// 2 or 3, as HELLO and CLIENT LIST name it.
    pub fn number(self) -> i64 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// One reply. Types that RESP2 lacks degrade as Redis degrades them.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+OK`.
    Ok,
    /// A simple string without line breaks.
    Simple(&'static str),
    /// An error line, its code included: `ERR syntax error`.
    Error(String),
    /// A 64-bit integer.
    Integer(i64),
    /// A binary-safe string.
    Bulk(Bytes),
    /// No value: `$-1`, or `_` in RESP3.
    Null,
    /// No array: `*-1`, or `_` in RESP3.
    NullArray,
    /// A list of replies.
    Array(Vec<Reply>),
    /// Pairs: a map in RESP3, a flat array in RESP2.
    Map(Vec<(Reply, Reply)>),
    /// A set in RESP3, an array in RESP2.
    Set(Vec<Reply>),
    /// A double in RESP3, a bulk string in RESP2.
    Double(f64),
    /// A boolean in RESP3, 1 or 0 in RESP2.
    Boolean(bool),
    /// Text for people: a verbatim `txt` string in RESP3, a bulk string in RESP2.
    Verbatim(Bytes),
}

impl Reply {
    /// A bulk string that is a copy of `bytes`.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Reply::Bulk(Bytes::copy_from_slice(bytes.as_ref()))
    }

    /// A bulk string of a constant.
    pub fn text(text: &'static str) -> Self {
        Reply::Bulk(Bytes::from_static(text.as_bytes()))
    }

    /// A bulk string, or null.
    pub fn bulk_or_null(value: Option<Vec<u8>>) -> Self {
        value.map_or(Reply::Null, |value| Reply::Bulk(Bytes::from(value)))
    }

    /// A count. Lengths never reach 2^63.
    pub fn count(n: usize) -> Self {
        Reply::Integer(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

/// A connection's output: encoded replies, ready to be sent.
#[derive(Debug)]
pub struct ReplyBuffer {
    /// The encoded bytes.
    pub bytes: BytesMut,
    /// How replies are encoded.
    pub protocol: Protocol,
}

impl ReplyBuffer {
    /// An empty buffer that speaks `protocol`.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            bytes: BytesMut::new(),
            protocol,
        }
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.bytes.put_slice(b"+OK\r\n");
    }

    /// A simple string.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error line. Line breaks inside the text become spaces, since they would end the reply.
    pub fn error(&mut self, text: &str) {
        self.bytes.reserve(text.len() + 3);
        self.bytes.put_u8(b'-');
        for &byte in text.as_bytes() {
            let broken = byte == b'\r' || byte == b'\n';
            self.bytes.put_u8(if broken { b' ' } else { byte });
        }
        self.bytes.put_slice(b"\r\n");
    }

    /// A 64-bit integer.
    pub fn integer(&mut self, value: i64) {
        self.line(b':', itoa::Buffer::new().format(value).as_bytes());
    }

    /// A bulk string.
    pub fn bulk(&mut self, value: &[u8]) {
        self.bytes.reserve(value.len() + 32);
        self.line(b'$', itoa::Buffer::new().format(value.len()).as_bytes());
        self.bytes.put_slice(value);
        self.bytes.put_slice(b"\r\n");
    }

    /// A bulk string of `len` bytes, which `fill` appends; on an error the caller takes back what was written.
    pub fn bulk_filled_by<E>(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        self.bytes.reserve(len + 32);
        self.line(b'$', itoa::Buffer::new().format(len).as_bytes());
        let start = self.bytes.len();
        fill(&mut self.bytes)?;
        debug_assert_eq!(self.bytes.len() - start, len);
        self.bytes.put_slice(b"\r\n");
        Ok(())
    }

    /// No value.
    pub fn null(&mut self) {
        self.bytes.put_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// No array.
    pub fn null_array(&mut self) {
        self.bytes.put_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The head of an array of `len` replies, which must follow.
    pub fn array_header(&mut self, len: usize) {
        self.line(b'*', itoa::Buffer::new().format(len).as_bytes());
    }

    /// The head of a message of `len` replies, which must follow: a push in RESP3, an array in RESP2.
    pub fn push_header(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array_header(len),
            Protocol::Resp3 => self.line(b'>', itoa::Buffer::new().format(len).as_bytes()),
        }
    }

    /// The head of a map of `pairs` pairs, which must follow, key and value in turn.
    pub fn map_header(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array_header(pairs * 2),
            Protocol::Resp3 => self.line(b'%', itoa::Buffer::new().format(pairs).as_bytes()),
        }
    }

    /// The head of a set of `len` replies, which must follow.
    pub fn set_header(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array_header(len),
            Protocol::Resp3 => self.line(b'~', itoa::Buffer::new().format(len).as_bytes()),
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
            Reply::Double(value) => self.double(*value),
            Reply::Boolean(value) => self.boolean(*value),
            Reply::Verbatim(text) => self.verbatim(text),
        }
    }

    /// A double whose text is given.
    pub fn double_text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// A double.
    pub fn double(&mut self, value: f64) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(crate::commands::numbers::format_double(value).as_bytes()),
            Protocol::Resp3 => {
                self.line(
                    b',',
                    crate::commands::numbers::format_double(value).as_bytes(),
                );
            }
        }
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

    /// A RESP3 frame, for the types that no hot path answers.
    fn frame(&mut self, frame: &BorrowedFrame<'_>) {
        let mark = self.bytes.len();
        if let Err(error) = extend_encode_borrowed(&mut self.bytes, frame, false) {
            self.bytes.truncate(mark);
            self.error(&format!("ERR the reply could not be encoded: {error}"));
        }
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.bytes.reserve(text.len() + 3);
        self.bytes.put_u8(kind);
        self.bytes.put_slice(text);
        self.bytes.put_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                assert_eq!(out.bytes, expected.as_bytes(), "{reply:?} in {protocol:?}");
            }
        }
    }
}

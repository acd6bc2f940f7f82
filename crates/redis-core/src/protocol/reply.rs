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

/// One reply. Where RESP2 lacks a type, the encoder writes what Redis writes.
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

/// When a buffer of at least this size is full, the output sets it aside and goes on in another. To grow it instead would
/// copy it, and would take the memory of both for a moment.
const SET_ASIDE_BYTES: usize = 256 * 1024;

/// The size of the buffer that follows one that was set aside.
const NEXT_BUFFER_BYTES: usize = 512 * 1024;

/// A connection's output: encoded replies, ready to be sent.
///
/// A buffer has a limit that holds even while one reply grows: bytes beyond it are not stored, and from then on the output
/// is [overflown](Self::is_overflown). Overflown output has gaps, so it must not be sent.
#[derive(Debug)]
pub struct ReplyBuffer {
    /// The beginning of the output, in full buffers.
    full: Vec<BytesMut>,
    full_bytes: usize,
    /// The end of the output.
    tail: BytesMut,
    limit_bytes: usize,
    overflown: bool,
    /// How replies are encoded.
    pub protocol: Protocol,
}

impl ReplyBuffer {
    /// An empty buffer that speaks `protocol` and has no limit.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            full: Vec::new(),
            full_bytes: 0,
            tail: BytesMut::new(),
            limit_bytes: usize::MAX,
            overflown: false,
            protocol,
        }
    }

    /// An empty buffer for a part of a reply. It has the room that is left in this one, and [`append`](Self::append) puts it
    /// back.
    #[must_use]
    pub fn part(&self) -> Self {
        let mut part = Self::new(self.protocol);
        part.limit_bytes = self.room();
        part.overflown = self.overflown;
        part
    }

    /// How many more bytes fit. A command that collects more than that for its reply can stop and call
    /// [`overflow`](Self::overflow).
    pub fn room(&self) -> usize {
        self.limit_bytes.saturating_sub(self.len())
    }

    /// Sets how many bytes the output may hold from now on.
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit_bytes = bytes;
    }

    /// Whether a reply exceeded the limit.
    #[inline]
    pub fn is_overflown(&self) -> bool {
        self.overflown
    }

    /// Marks the output as overflown: a reply exceeds the limit, and its command stopped early.
    pub fn overflow(&mut self) {
        self.overflown = true;
    }

    /// How many bytes the output holds.
    #[inline]
    pub fn len(&self) -> usize {
        self.full_bytes + self.tail.len()
    }

    /// Whether the output is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole output if it lies in one buffer, otherwise `None`.
    pub fn in_one(&self) -> Option<&[u8]> {
        self.full.is_empty().then_some(&self.tail)
    }

    /// Removes everything from byte `len` on. Overflown output stays overflown.
    pub fn truncate(&mut self, len: usize) {
        while len < self.full_bytes {
            let Some(last) = self.full.pop() else { break };
            self.full_bytes -= last.len();
            self.tail = last;
        }
        self.tail.truncate(len - self.full_bytes);
    }

    /// Removes a reply that the client must not get, from byte `len` on. Even if this reply exceeded the limit, the output is
    /// not overflown.
    pub fn discard(&mut self, len: usize) {
        self.truncate(len);
        self.overflown = false;
    }

    /// Whether the output has more memory than one buffer of `kept_bytes`.
    pub fn has_grown(&self, kept_bytes: usize) -> bool {
        !self.full.is_empty() || self.tail.capacity() > kept_bytes
    }

    /// Empties the output and keeps one buffer of up to `kept_bytes`.
    pub fn clear(&mut self, kept_bytes: usize) {
        self.full.clear();
        self.full_bytes = 0;
        self.tail.clear();
        if self.tail.capacity() > kept_bytes {
            self.tail = BytesMut::new();
        }
    }

    /// Removes and returns the buffers before the last one.
    pub fn take_full(&mut self) -> Vec<BytesMut> {
        self.full_bytes = 0;
        std::mem::take(&mut self.full)
    }

    /// The last buffer.
    pub fn tail_mut(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Appends encoded bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.has_room(bytes.len()) {
            self.tail.put_slice(bytes);
        }
    }

    /// Appends another buffer's output.
    pub fn append(&mut self, other: ReplyBuffer) {
        let len = other.len();
        if other.overflown || self.len() + len > self.limit_bytes {
            self.overflown = true;
            return;
        }
        if other.full.is_empty() {
            self.put(&other.tail);
            return;
        }
        self.set_aside();
        self.full.extend(other.full);
        self.full_bytes += other.full_bytes;
        self.tail = other.tail;
    }

    /// Removes and returns everything from byte `len` on.
    #[must_use]
    pub fn split_off(&mut self, len: usize) -> Self {
        let mut part = self.part();
        part.limit_bytes = usize::MAX;
        let mut behind = Vec::new();
        let mut last = std::mem::take(&mut self.tail);
        while len < self.full_bytes {
            let Some(before) = self.full.pop() else { break };
            self.full_bytes -= before.len();
            behind.push(std::mem::replace(&mut last, before));
        }
        let rest = last.split_off(len - self.full_bytes);
        self.tail = last;
        for buffer in std::iter::once(rest).chain(behind.into_iter().rev()) {
            part.set_aside();
            part.tail = buffer;
        }
        part
    }

    /// Makes room for `bytes` more in the tail. Returns `false` if they would exceed the limit.
    #[inline]
    fn has_room(&mut self, bytes: usize) -> bool {
        self.tail.capacity() - self.tail.len() >= bytes || self.make_room(bytes)
    }

    /// Only this path checks the limit, since a buffer that need not grow takes no more memory.
    #[cold]
    fn make_room(&mut self, bytes: usize) -> bool {
        if self.overflown || self.len() + bytes > self.limit_bytes {
            self.overflown = true;
            return false;
        }
        if self.tail.len() >= SET_ASIDE_BYTES {
            self.set_aside();
            self.tail = BytesMut::with_capacity(bytes.max(NEXT_BUFFER_BYTES));
        } else {
            self.tail.reserve(bytes);
        }
        true
    }

    fn set_aside(&mut self) {
        let tail = std::mem::take(&mut self.tail);
        if !tail.is_empty() {
            self.full_bytes += tail.len();
            self.full.push(tail);
        }
    }

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
        self.line(b':', itoa::Buffer::new().format(value).as_bytes());
    }

    /// A bulk string.
    pub fn bulk(&mut self, value: &[u8]) {
        if !self.has_room(value.len() + 32) {
            return;
        }
        self.line(b'$', itoa::Buffer::new().format(value.len()).as_bytes());
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
        self.line(b'$', itoa::Buffer::new().format(len).as_bytes());
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
        self.line(b'*', itoa::Buffer::new().format(len).as_bytes());
    }

    /// The head of a message (a push in RESP3, an array in RESP2); `len` replies must follow.
    pub fn push_header(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array_header(len),
            Protocol::Resp3 => self.line(b'>', itoa::Buffer::new().format(len).as_bytes()),
        }
    }

    /// The head of a map; `pairs` keys, each with its value behind it, must follow.
    pub fn map_header(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array_header(pairs * 2),
            Protocol::Resp3 => self.line(b'%', itoa::Buffer::new().format(pairs).as_bytes()),
        }
    }

    /// The head of a set; `len` replies must follow.
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

    /// A double, given as its text.
    pub fn double_text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// A double.
    pub fn double(&mut self, value: f64) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(crate::numbers::format_double(value).as_bytes()),
            Protocol::Resp3 => {
                self.line(b',', crate::numbers::format_double(value).as_bytes());
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

    /// Encodes a RESP3 frame, for types that no hot path uses.
    fn frame(&mut self, frame: &BorrowedFrame<'_>) {
        let mark = self.tail.len();
        if let Err(error) = extend_encode_borrowed(&mut self.tail, frame, false) {
            self.tail.truncate(mark);
            self.error(&format!("ERR the reply could not be encoded: {error}"));
        }
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

    fn whole(out: &mut ReplyBuffer) -> Vec<u8> {
        let mut buffers = out.take_full();
        buffers.push(out.tail_mut().clone());
        buffers.concat()
    }

    #[test]
    fn a_large_output_lies_in_several_buffers() {
        let mut out = ReplyBuffer::new(Protocol::Resp2);
        let mut expected = Vec::new();
        for n in 0..40u8 {
            let value = vec![n; 100_000];
            out.bulk(&value);
            expected.extend_from_slice(b"$100000\r\n");
            expected.extend_from_slice(&value);
            expected.extend_from_slice(b"\r\n");
        }
        assert!(out.in_one().is_none());
        assert_eq!(out.len(), expected.len());
        // Cut the output at any byte and append the rest again: the bytes stay the same.
        for cut in [3_999_000, 2_000_017, 100_000, 3, 0] {
            let end = out.split_off(cut);
            assert_eq!((out.len(), end.len()), (cut, expected.len() - cut));
            out.append(end);
        }
        out.truncate(3_000_001);
        expected.truncate(3_000_001);
        out.put(b"end");
        expected.extend_from_slice(b"end");
        assert_eq!(out.len(), expected.len());
        assert!(whole(&mut out) == expected);
    }

    #[test]
    fn the_limit_holds_while_a_reply_grows() {
        let mut out = ReplyBuffer::new(Protocol::Resp2);
        out.set_limit(1_000_000);
        let value = vec![b'v'; 300_000];
        let items = vec![Reply::bulk(&value); 100];
        out.ok();
        let mark = out.len();
        out.reply(&Reply::Array(items));
        assert!(out.is_overflown() && out.len() < 1_000_000);
        out.truncate(mark);
        assert!(out.is_overflown(), "what is missing is missing");
        out.discard(mark);
        assert!(!out.is_overflown());
        out.bulk(&value);
        assert!(!out.is_overflown());
        let mut part = out.part();
        part.bulk(&value);
        part.bulk(&value);
        assert!(!part.is_overflown());
        part.bulk(&value);
        out.append(part);
        assert!(out.is_overflown());
    }
}

//! Replies as data.

use bytes::Bytes;

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
    /// Pairs: a map in RESP3, in RESP2 an array with an array for each pair.
    Pairs(Vec<(Reply, Reply)>),
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

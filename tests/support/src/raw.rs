//! A client that shows every reply as the server sent it.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a reply may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// One reply, exactly as it was sent: equal values have equal bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `+`
    Simple(Vec<u8>),
    /// `-`, with its code
    Error(Vec<u8>),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `*`
    Array(Vec<Value>),
    /// `_`
    Null,
    /// `#`
    Boolean(bool),
    /// `,` with its digits
    Double(Vec<u8>),
    /// `(` with its digits
    BigNumber(Vec<u8>),
    /// `=` with its format
    Verbatim(Vec<u8>),
    /// `!`
    BulkError(Vec<u8>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `~`
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
}

impl Value {
    /// The bytes of a string of any kind.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Simple(bytes) | Value::Bulk(bytes) | Value::Verbatim(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a string of any kind. Replaces bytes that are not UTF-8.
    pub fn text(&self) -> Option<String> {
        self.bytes()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The number.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The items of an array, a set or a push.
    pub fn items(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => Some(items),
            _ => None,
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_) | Value::BulkError(_))
    }

    /// Whether it is one of the three nulls.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::NullBulk | Value::NullArray | Value::Null)
    }
}

/// A reply in a short form, with strings unquoted.
pub fn show(value: &Value) -> String {
    let all = |items: &[Value]| items.iter().map(show).collect::<Vec<_>>().join(" ");
    match value {
        Value::Bulk(bytes) => bytes.escape_ascii().to_string(),
        Value::NullBulk => "nil".into(),
        Value::Null => "null".into(),
        Value::NullArray => "nil-array".into(),
        Value::Array(items) => format!("[{}]", all(items)),
        other => format!("{other:?}").replace("\\'", "'"),
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Simple(text) => write!(f, "+{}", text.escape_ascii()),
            Value::Error(text) => write!(f, "-{}", text.escape_ascii()),
            Value::Integer(number) => write!(f, ":{number}"),
            Value::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Value::NullBulk => f.write_str("$-1"),
            Value::NullArray => f.write_str("*-1"),
            Value::Array(items) => f.debug_list().entries(items).finish(),
            Value::Null => f.write_str("_"),
            Value::Boolean(value) => write!(f, "#{value}"),
            Value::Double(text) => write!(f, ",{}", text.escape_ascii()),
            Value::BigNumber(text) => write!(f, "({}", text.escape_ascii()),
            Value::Verbatim(text) => write!(f, "={}", text.escape_ascii()),
            Value::BulkError(text) => write!(f, "!{}", text.escape_ascii()),
            Value::Map(pairs) => f
                .debug_map()
                .entries(pairs.iter().map(|(k, v)| (k, v)))
                .finish(),
            Value::Set(items) => f.debug_set().entries(items).finish(),
            Value::Push(items) => {
                f.write_str(">")?;
                f.debug_list().entries(items).finish()
            }
        }
    }
}

/// One connection.
pub struct RawClient {
    stream: BufReader<TcpStream>,
}

impl RawClient {
    /// Connects to 127.0.0.1.
    pub fn connect(port: u16) -> io::Result<Self> {
        Self::connect_to("127.0.0.1", port)
    }

    /// Connects to an address.
    pub fn connect_to(host: &str, port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((host, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_write_timeout(Some(READ_TIMEOUT))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends bytes unchanged.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The connection's sending side, for another thread than the one that reads.
    pub fn sender(&self) -> io::Result<TcpStream> {
        self.stream.get_ref().try_clone()
    }

    /// Sends one call.
    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(&mut bytes, words);
        self.send_bytes(&bytes)
    }

    /// Sends one call and reads its reply.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Value> {
        self.send(words)?;
        self.read()
    }

    /// Sends one call, with arguments separated by single spaces, and reads its reply.
    pub fn line(&mut self, line: &str) -> io::Result<Value> {
        self.call(&line.split(' ').collect::<Vec<_>>())
    }

    /// Reads one whole reply.
    pub fn read(&mut self) -> io::Result<Value> {
        let line = self.read_line()?;
        let (&kind, rest) = line.split_first().ok_or_else(|| invalid("an empty line"))?;
        Ok(match kind {
            b'+' => Value::Simple(rest.to_vec()),
            b'-' => Value::Error(rest.to_vec()),
            b':' => Value::Integer(number(rest)?),
            b'$' if rest == b"-1" => Value::NullBulk,
            b'*' if rest == b"-1" => Value::NullArray,
            b'$' => Value::Bulk(self.read_bulk(rest)?),
            b'*' => Value::Array(self.read_items(rest)?),
            b'_' if rest.is_empty() => Value::Null,
            b'#' if rest == b"t" => Value::Boolean(true),
            b'#' if rest == b"f" => Value::Boolean(false),
            b',' => Value::Double(rest.to_vec()),
            b'(' => Value::BigNumber(rest.to_vec()),
            b'=' => Value::Verbatim(self.read_bulk(rest)?),
            b'!' => Value::BulkError(self.read_bulk(rest)?),
            b'%' => {
                let pairs = (0..number(rest)?).map(|_| Ok((self.read()?, self.read()?)));
                Value::Map(pairs.collect::<io::Result<_>>()?)
            }
            b'~' => Value::Set(self.read_items(rest)?),
            b'>' => Value::Push(self.read_items(rest)?),
            _ => return Err(invalid(&line.escape_ascii().to_string())),
        })
    }

    /// Whether the server has closed the connection and nothing is left to read.
    pub fn is_closed(&mut self) -> io::Result<bool> {
        match self.stream.fill_buf() {
            Ok(rest) => Ok(rest.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\r\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.len() - 2);
        Ok(line)
    }

    fn read_bulk(&mut self, len: &[u8]) -> io::Result<Vec<u8>> {
        let len = usize::try_from(number(len)?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len + 2];
        self.stream.read_exact(&mut bytes)?;
        if !bytes.ends_with(b"\r\n") {
            return Err(invalid("a bulk string without its end"));
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    fn read_items(&mut self, len: &[u8]) -> io::Result<Vec<Value>> {
        (0..number(len)?).map(|_| self.read()).collect()
    }
}

/// Appends one call to `bytes`.
pub fn encode<W: AsRef<[u8]>>(bytes: &mut Vec<u8>, words: &[W]) {
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
}

fn number(text: &[u8]) -> io::Result<i64> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| invalid(&text.escape_ascii().to_string()))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not a RESP reply: {what}"),
    )
}

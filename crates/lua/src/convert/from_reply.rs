//! The reply of a command as Lua's value.

use mlua::{Function, Lua, Table, Value};

use crate::failure::Failure;

/// Replies nest at most this deep. No command's reply comes near.
const DEPTH_MAX: usize = 64;

/// Reads one encoded reply. Returns the value, and whether it is an error.
pub(crate) fn from_reply(
    lua: &Lua,
    array: &Function,
    reply: &[u8],
) -> Result<(Value, bool), Failure> {
    let is_error = reply.first() == Some(&b'-');
    let value = Reader {
        lua,
        array,
        rest: reply,
    }
    .value(0)?;
    Ok((value, is_error))
}

/// Shorter arrays are built one by one.
const PACKED_LENGTH_MIN: usize = 4;

struct Reader<'a> {
    lua: &'a Lua,
    /// The C side's `array`.
    array: &'a Function,
    rest: &'a [u8],
}

/// The server wrote the reply itself, so this says that the server has a fault.
fn malformed() -> Failure {
    Failure::reply("the server cannot read the reply of its own command")
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, Failure> {
        if depth > DEPTH_MAX {
            return Err(malformed());
        }
        let line = self.line()?;
        let (&kind, text) = line.split_first().ok_or_else(malformed)?;
        Ok(match kind {
            b'+' => Value::Table(self.single("ok", text)?),
            b'-' => Value::Table(self.error(text)?),
            b':' => Value::Number(number(text)?),
            b'$' => match length(text)? {
                Some(length) => Value::String(self.lua.create_string(self.bytes(length)?)?),
                None => Value::Boolean(false),
            },
            b'*' | b'>' => match length(text)? {
                Some(length) => Value::Table(self.array(length, depth)?),
                None => Value::Boolean(false),
            },
            b'_' => Value::Nil,
            b'#' => Value::Boolean(text == b"t"),
            b',' => self.double(text)?,
            b'(' => Value::Table(self.single("big_number", text)?),
            b'=' => self.verbatim(text)?,
            b'%' => self.map(text, depth)?,
            b'~' => self.set(text, depth)?,
            _ => return Err(malformed()),
        })
    }

    /// The bytes before the next line break.
    fn line(&mut self) -> Result<&'a [u8], Failure> {
        let end = memchr::memchr(b'\r', self.rest).ok_or_else(malformed)?;
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 2..).ok_or_else(malformed)?;
        Ok(line)
    }

    /// A string of `length` bytes, and the line break behind it.
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Failure> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(malformed)?;
        self.rest = rest.get(2..).ok_or_else(malformed)?;
        Ok(bytes)
    }

    /// A table with one field.
    fn single(&self, name: &str, text: &[u8]) -> Result<Table, Failure> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, self.lua.create_string(text)?)?;
        Ok(table)
    }

    /// The statistics have counted the error when the command ran.
    fn error(&self, text: &[u8]) -> Result<Table, Failure> {
        let table = self.lua.create_table_with_capacity(0, 2)?;
        table.raw_set("err", self.lua.create_string(with_code(text))?)?;
        table.raw_set("ignore_error_stats_update", true)?;
        Ok(table)
    }

    fn array(&mut self, length: usize, depth: usize) -> Result<Table, Failure> {
        if length >= PACKED_LENGTH_MIN
            && let Some(packed) = self.packed(length)
        {
            return Ok(self.array.call((self.lua.create_string(packed)?, length))?);
        }
        // A reply's length is the server's own, but it need not hold for more than the bytes that are there.
        let table = self
            .lua
            .create_table_with_capacity(length.min(self.rest.len()), 0)?;
        for index in 1..=length {
            let value = self.value(depth + 1)?;
            table.raw_set(index, value)?;
        }
        Ok(table)
    }

    /// Packs the elements for the C side if all are strings or nulls; otherwise reads nothing.
    fn packed(&mut self, length: usize) -> Option<Vec<u8>> {
        let start = self.rest;
        let mut packed = Vec::with_capacity(self.rest.len() + length.min(self.rest.len()) * 8);
        for _ in 0..length {
            let Some((size, bytes)) = self.bulk() else {
                self.rest = start;
                return None;
            };
            packed.extend_from_slice(&size.to_ne_bytes());
            packed.extend_from_slice(bytes);
        }
        Some(packed)
    }

    /// A bulk string with its length as the C side takes it; a null has no bytes and a length of its own. `None` for anything
    /// else.
    fn bulk(&mut self) -> Option<(u64, &'a [u8])> {
        const NULL: u64 = u64::MAX;

        if self.rest.first() != Some(&b'$') {
            return None;
        }
        let line = self.line().ok()?;
        match length(&line[1..]).ok()? {
            Some(size) => self.bytes(size).ok().map(|bytes| (size as u64, bytes)),
            None => Some((NULL, &[])),
        }
    }

    fn double(&self, text: &[u8]) -> Result<Value, Failure> {
        let text = std::str::from_utf8(text).map_err(|_| malformed())?;
        let double: f64 = text.parse().map_err(|_| malformed())?;
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set("double", double)?;
        Ok(Value::Table(table))
    }

    fn verbatim(&mut self, text: &[u8]) -> Result<Value, Failure> {
        let bytes = self.bytes(length(text)?.ok_or_else(malformed)?)?;
        let (format, text) = bytes.split_at_checked(4).ok_or_else(malformed)?;
        let inner = self.lua.create_table_with_capacity(0, 2)?;
        inner.raw_set("string", self.lua.create_string(text)?)?;
        inner.raw_set("format", self.lua.create_string(&format[..3])?)?;
        self.wrapped("verbatim_string", inner)
    }

    fn map(&mut self, text: &[u8], depth: usize) -> Result<Value, Failure> {
        let pairs = length(text)?.ok_or_else(malformed)?;
        let inner = self
            .lua
            .create_table_with_capacity(0, pairs.min(self.rest.len()))?;
        for _ in 0..pairs {
            let key = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            inner.raw_set(key, value)?;
        }
        self.wrapped("map", inner)
    }

    fn set(&mut self, text: &[u8], depth: usize) -> Result<Value, Failure> {
        let length = length(text)?.ok_or_else(malformed)?;
        let inner = self
            .lua
            .create_table_with_capacity(0, length.min(self.rest.len()))?;
        for _ in 0..length {
            let key = self.value(depth + 1)?;
            inner.raw_set(key, true)?;
        }
        self.wrapped("set", inner)
    }

    fn wrapped(&self, name: &str, inner: Table) -> Result<Value, Failure> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, inner)?;
        Ok(Value::Table(table))
    }
}

/// An error's text as scripts get it: with the code ERR if it has no code.
fn with_code(text: &[u8]) -> Vec<u8> {
    if text.contains(&b' ') {
        text.to_vec()
    } else {
        [b"ERR ", text].concat()
    }
}

#[allow(clippy::cast_precision_loss)] // Lua's numbers are doubles.
fn number(text: &[u8]) -> Result<f64, Failure> {
    redis_core::numbers::parse_i64(text)
        .map(|number| number as f64)
        .ok_or_else(malformed)
}

/// A length, or `None` for the -1 of RESP2's nulls.
fn length(text: &[u8]) -> Result<Option<usize>, Failure> {
    if text == b"-1" {
        return Ok(None);
    }
    let length = redis_core::numbers::parse_u64(text).ok_or_else(malformed)?;
    usize::try_from(length).map(Some).map_err(|_| malformed())
}

//! A script's result as a reply.

use mlua::{Function, Table, Value};
use redis_core::protocol::{Protocol, ReplyBuffer};

use super::shape;
use crate::arguments::{text_of, truncated};
use crate::outcome::ScriptError;

/// How many slots of Lua's stack Redis's own conversion may take. It says so when a result nests deeper, and so does this one,
/// though it takes no slots.
const SLOTS_MAX: usize = 8000;
/// What each step of Redis's conversion asks for.
const SLOTS_ASKED: usize = 4;
/// What a result that nests too deep has in place of what is too deep.
const TOO_DEEP: &str = "ERR reached lua stack limit";
/// What lies on Redis's stack below a script's result.
const SLOTS_BELOW: usize = 1;

/// Writes a script's result into a client's output.
pub(crate) struct Converter<'a> {
    /// The C side's `shape`.
    pub shape: &'a Function,
    /// The protocol that the script chose; it decides what a boolean is.
    pub script_protocol: Protocol,
    /// The client's output.
    pub out: &'a mut ReplyBuffer,
}

/// A table that is being written.
enum Frame {
    /// `next` is the index of the element to write.
    Array {
        table: Table,
        next: usize,
        last: usize,
    },
    /// The values that are still to be written, the last one first.
    Map {
        pairs: Vec<(Value, Value)>,
        value: Option<Value>,
    },
    Set {
        keys: Vec<Value>,
    },
}

impl Frame {
    /// How many slots of the stack Redis would hold while it writes an element.
    fn slots(&self) -> usize {
        match self {
            Frame::Array { .. } => 1,
            Frame::Map { value: None, .. } | Frame::Set { .. } => 3,
            Frame::Map { value: Some(_), .. } => 4,
        }
    }
}

impl Converter<'_> {
    /// Writes the value. An error that is the whole result is returned, not written.
    pub fn write(&mut self, value: &Value) -> mlua::Result<Option<ScriptError>> {
        if let Value::Table(table) = value {
            let (kind, payload, counted): (i64, Value, Value) = self.shape.call(table)?;
            if kind == shape::ERROR {
                return Ok(Some(ScriptError {
                    text: error_text(&payload),
                    counted: counted == Value::Boolean(true),
                }));
            }
        }
        let mut frames: Vec<Frame> = Vec::new();
        let mut slots = SLOTS_BELOW + 1;
        let opened = self.open(value, slots)?;
        slots += opened.as_ref().map_or(0, Frame::slots);
        frames.extend(opened);
        while let Some(frame) = frames.last_mut() {
            let before = frame.slots();
            let next = next_of(frame)?;
            slots = slots - before + frame.slots();
            if let Some(value) = next {
                let opened = self.open(&value, slots)?;
                slots += opened.as_ref().map_or(0, Frame::slots);
                frames.extend(opened);
            } else {
                slots -= frame.slots();
                frames.pop();
            }
            if self.out.is_overflown() {
                break;
            }
        }
        Ok(None)
    }

    /// Writes a value, or the head of a table whose elements must follow.
    fn open(&mut self, value: &Value, slots: usize) -> mlua::Result<Option<Frame>> {
        if slots + SLOTS_ASKED > SLOTS_MAX {
            self.out.error(TOO_DEEP);
            return Ok(None);
        }
        match value {
            Value::String(text) => self.out.bulk(&text.as_bytes()),
            Value::Boolean(value) => self.boolean(*value),
            Value::Integer(number) => self.out.integer(*number),
            Value::Number(number) => self.out.integer(truncated(*number)),
            Value::Table(table) => return self.open_table(table, slots),
            _ => self.out.null(),
        }
        Ok(None)
    }

    fn boolean(&mut self, value: bool) {
        match (self.script_protocol, self.out.protocol, value) {
            (Protocol::Resp3, Protocol::Resp3, true) => self.out.put(b"#t\r\n"),
            (Protocol::Resp3, Protocol::Resp3, false) => self.out.put(b"#f\r\n"),
            (Protocol::Resp3, Protocol::Resp2, false) => self.out.integer(0),
            (_, _, true) => self.out.integer(1),
            (Protocol::Resp2, _, false) => self.out.null(),
        }
    }

    fn open_table(&mut self, table: &Table, slots: usize) -> mlua::Result<Option<Frame>> {
        let (kind, payload, third): (i64, Value, Value) = self.shape.call(table)?;
        let count = third.as_usize().unwrap_or(0);
        match (kind, payload) {
            (shape::ERROR, payload) => {
                let text = [b"-", error_text(&payload).as_slice(), b"\r\n"].concat();
                self.out.put(&text);
            }
            (shape::STATUS, payload) => {
                let text = [
                    b"+",
                    one_line(until_nul(&bytes(&payload))).as_slice(),
                    b"\r\n",
                ]
                .concat();
                self.out.put(&text);
            }
            (shape::DOUBLE, payload) => self
                .out
                .double(crate::arguments::number_of(&payload).unwrap_or(0.0)),
            (shape::BIG_NUMBER, payload) => {
                let text = one_line(&bytes(&payload));
                match self.out.protocol {
                    Protocol::Resp2 => self.out.bulk(&text),
                    Protocol::Resp3 => self.out.put(&[b"(", text.as_slice(), b"\r\n"].concat()),
                }
            }
            (shape::VERBATIM, format) => self.verbatim(&bytes(&format), &bytes(&third)),
            (shape::MAP, Value::Table(table)) => {
                self.out.map_header(count);
                let mut pairs = table
                    .pairs::<Value, Value>()
                    .collect::<mlua::Result<Vec<_>>>()?;
                pairs.reverse();
                return Ok(Some(Frame::Map { pairs, value: None }));
            }
            (shape::SET, Value::Table(table)) => {
                self.out.set_header(count);
                let mut keys = table
                    .pairs::<Value, Value>()
                    .map(|pair| pair.map(|(key, _)| key))
                    .collect::<mlua::Result<Vec<_>>>()?;
                keys.reverse();
                return Ok(Some(Frame::Set { keys }));
            }
            (_, Value::String(packed)) => {
                self.out.array_header(count);
                self.packed(&packed.as_bytes(), slots);
            }
            (_, Value::Table(table)) => {
                self.out.array_header(count);
                return Ok(Some(Frame::Array {
                    table,
                    next: 1,
                    last: count,
                }));
            }
            _ => self.out.null(),
        }
        Ok(None)
    }

    /// The elements of an array of strings, numbers and booleans, as the C side packs them.
    fn packed(&mut self, mut rest: &[u8], slots: usize) {
        while let Some((&kind, after)) = rest.split_first() {
            let Some((word, after)) = after.split_first_chunk::<8>() else {
                return;
            };
            rest = after;
            if slots + 1 + SLOTS_ASKED > SLOTS_MAX {
                self.out.error(TOO_DEEP);
                if kind != b's' {
                    continue;
                }
            }
            match kind {
                b'n' => self.out.integer(truncated(f64::from_ne_bytes(*word))),
                b'b' => self.boolean(u64::from_ne_bytes(*word) != 0),
                _ => {
                    let length = usize::try_from(u64::from_ne_bytes(*word)).unwrap_or(usize::MAX);
                    let Some((text, after)) = rest.split_at_checked(length) else {
                        return;
                    };
                    rest = after;
                    if slots + 1 + SLOTS_ASKED <= SLOTS_MAX {
                        self.out.bulk(text);
                    }
                }
            }
        }
    }

    /// A verbatim string. Its format has three bytes: a longer one is cut, a shorter one is filled up.
    fn verbatim(&mut self, format: &[u8], text: &[u8]) {
        if self.out.protocol == Protocol::Resp2 {
            return self.out.bulk(text);
        }
        let mut name = [b' '; 3];
        for (to, from) in name.iter_mut().zip(until_nul(format)) {
            *to = *from;
        }
        self.out.put(format!("={}\r\n", text.len() + 4).as_bytes());
        self.out.put(&name);
        self.out.put(b":");
        self.out.put(text);
        self.out.put(b"\r\n");
    }
}

/// The frame's next value.
fn next_of(frame: &mut Frame) -> mlua::Result<Option<Value>> {
    Ok(match frame {
        Frame::Array { next, last, .. } if *next > *last => None,
        Frame::Array { table, next, .. } => {
            *next += 1;
            Some(table.raw_get(*next - 1)?)
        }
        Frame::Map { pairs, value } => match value.take() {
            Some(value) => Some(value),
            None => pairs.pop().map(|(key, of_key)| {
                *value = Some(of_key);
                key
            }),
        },
        Frame::Set { keys } => keys.pop(),
    })
}

/// The bytes of a string or a number.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    text_of(value).unwrap_or_default()
}

/// The text of an error that was raised: no line breaks, nothing behind a NUL byte.
pub(crate) fn raised_text(value: &Value) -> Vec<u8> {
    one_line(until_nul(&bytes(value)))
}

/// The text of an error that was returned. As in Redis it loses the line breaks at its end.
fn error_text(value: &Value) -> Vec<u8> {
    let bytes = bytes(value);
    let text = until_nul(&bytes);
    let end = text
        .iter()
        .rposition(|byte| !matches!(byte, b'\r' | b'\n'))
        .map_or(0, |last| last + 1);
    one_line(&text[..end])
}

/// Line breaks become spaces, since they would end the reply.
fn one_line(text: &[u8]) -> Vec<u8> {
    text.iter()
        .map(|&byte| {
            if matches!(byte, b'\r' | b'\n') {
                b' '
            } else {
                byte
            }
        })
        .collect()
}

/// What C sees of a string.
fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

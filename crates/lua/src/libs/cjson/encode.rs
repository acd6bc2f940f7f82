//! `cjson.encode`

use mlua::{Lua, MultiValue, Table, Value};

use super::{Config, Invalid, one_argument};
use crate::arguments::{number_of, truncated};
use crate::buffer::Buffer;
use crate::current::State;
use crate::failure::{Failure, type_name};
use crate::format;
use crate::libs::Results;

/// How deep tables may nest whatever the script sets. The C library fails there too, since it has no more slots.
const DEPTH_MAX: usize = 2660;

/// A table that is being written.
enum Frame {
    Array {
        table: Table,
        next: i64,
        last: i64,
    },
    /// The pairs that are still to be written, the last one first.
    Object {
        pairs: Vec<(Value, Value)>,
        first: bool,
    },
}

pub(super) fn encode(lua: &Lua, config: &mut Config, state: &State, args: &MultiValue) -> Results {
    let value = one_argument(args)?;
    let mut encoder = Encoder {
        config,
        array_keys: &state.array_keys,
        out: Buffer::new(state.buffer_bytes),
        frames: Vec::new(),
    };
    encoder.value(value)?;
    while encoder.step()? {}
    Ok(MultiValue::from_vec(vec![Value::String(
        lua.create_string(encoder.out.bytes())?,
    )]))
}

struct Encoder<'a> {
    config: &'a Config,
    array_keys: &'a mlua::Function,
    out: Buffer,
    frames: Vec<Frame>,
}

fn refused(value: &Value, reason: &str) -> Failure {
    Failure::text(format!("Cannot serialise {}: {reason}", type_name(value)))
}

impl Encoder<'_> {
    /// Writes a value, or opens a table.
    fn value(&mut self, value: &Value) -> Result<(), Failure> {
        match value {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Integer(_) | Value::Number(_) => self.number(value),
            Value::Boolean(true) => self.out.put(b"true"),
            Value::Boolean(false) => self.out.put(b"false"),
            Value::Nil => self.out.put(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => self.out.put(b"null"),
            Value::Table(table) => self.open(table),
            other => Err(refused(other, "type not supported")),
        }
    }

    fn open(&mut self, table: &Table) -> Result<(), Failure> {
        let depth = self.frames.len() + 1;
        let most = usize::try_from(self.config.encode_depth)
            .unwrap_or(0)
            .min(DEPTH_MAX);
        if depth > most {
            return Err(Failure::text(format!(
                "Cannot serialise, excessive nesting ({depth})"
            )));
        }
        let last = self.array_length(table)?;
        if last > 0 {
            self.frames.push(Frame::Array {
                table: table.clone(),
                next: 1,
                last,
            });
            return self.out.put(b"[");
        }
        let mut pairs = table
            .pairs::<Value, Value>()
            .collect::<mlua::Result<Vec<_>>>()?;
        pairs.reverse();
        self.frames.push(Frame::Object { pairs, first: true });
        self.out.put(b"{")
    }

    /// The length of an array; 0 or less for a table that becomes an object.
    fn array_length(&self, table: &Table) -> Result<i64, Failure> {
        let (largest, count): (f64, i64) = self.array_keys.call(table)?;
        // A key that C's `int` does not hold becomes negative there, and so the table an object.
        let largest = if largest > f64::from(i32::MAX) {
            -1
        } else {
            truncated(largest)
        };
        let ratio = i64::from(self.config.sparse_ratio);
        let sparse = ratio > 0
            && largest > count.saturating_mul(ratio)
            && largest > i64::from(self.config.sparse_safe);
        if !sparse {
            return Ok(largest);
        }
        if self.config.sparse_convert {
            return Ok(-1);
        }
        Err(refused(
            &Value::Table(table.clone()),
            "excessively sparse array",
        ))
    }

    /// Writes the next element of the innermost table. Returns `false` when nothing is left.
    fn step(&mut self) -> Result<bool, Failure> {
        match self.frames.last_mut() {
            None => return Ok(false),
            Some(Frame::Array { next, last, .. }) if *next > *last => {
                self.out.put(b"]")?;
                self.frames.pop();
            }
            Some(Frame::Array { table, next, .. }) => {
                if *next > 1 {
                    self.out.put(b",")?;
                }
                let value: Value = table.raw_get(*next)?;
                *next += 1;
                self.value(&value)?;
            }
            Some(Frame::Object { pairs, first }) => {
                let first = std::mem::replace(first, false);
                match pairs.pop() {
                    None => {
                        self.out.put(b"}")?;
                        self.frames.pop();
                    }
                    Some((key, value)) => {
                        if !first {
                            self.out.put(b",")?;
                        }
                        self.key(&key)?;
                        self.value(&value)?;
                    }
                }
            }
        }
        Ok(true)
    }

    fn key(&mut self, key: &Value) -> Result<(), Failure> {
        match key {
            Value::String(text) => {
                self.string(&text.as_bytes())?;
                self.out.put(b":")
            }
            Value::Integer(_) | Value::Number(_) => {
                self.out.put(b"\"")?;
                self.number(key)?;
                self.out.put(b"\":")
            }
            other => Err(refused(other, "table key must be a number or string")),
        }
    }

    fn number(&mut self, value: &Value) -> Result<(), Failure> {
        let number = number_of(value).unwrap_or(f64::NAN);
        match self.config.encode_invalid {
            _ if number.is_finite() => {}
            Invalid::Refused => return Err(refused(value, "must not be NaN or Inf")),
            Invalid::Null => return self.out.put(b"null"),
            Invalid::Written if number.is_nan() => return self.out.put(b"nan"),
            Invalid::Written => {}
        }
        let precision = usize::try_from(self.config.precision).unwrap_or(14);
        match value {
            Value::Integer(number) if precision == 14 => {
                self.out.put(&crate::arguments::number_text(*number))
            }
            _ => self.out.put(format::general(number, precision).as_bytes()),
        }
    }

    fn string(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.out.put(b"\"")?;
        let mut rest = text;
        while let Some(plain) = rest.iter().position(|&byte| needs_escape(byte)) {
            self.out.put(&rest[..plain])?;
            self.escape(rest[plain])?;
            rest = &rest[plain + 1..];
        }
        self.out.put(rest)?;
        self.out.put(b"\"")
    }

    fn escape(&mut self, byte: u8) -> Result<(), Failure> {
        match byte {
            b'"' => self.out.put(b"\\\""),
            b'\\' => self.out.put(b"\\\\"),
            b'/' => self.out.put(b"\\/"),
            0x08 => self.out.put(b"\\b"),
            b'\t' => self.out.put(b"\\t"),
            b'\n' => self.out.put(b"\\n"),
            0x0c => self.out.put(b"\\f"),
            b'\r' => self.out.put(b"\\r"),
            other => self.out.put(format!("\\u{other:04x}").as_bytes()),
        }
    }
}

fn needs_escape(byte: u8) -> bool {
    matches!(byte, 0..0x20 | b'"' | b'\\' | b'/' | 0x7f)
}

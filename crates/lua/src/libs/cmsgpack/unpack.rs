//! `cmsgpack.unpack`, `unpack_one` and `unpack_limit`

use mlua::{Lua, MultiValue, Table, Value};

use crate::arguments::{checked_integer, checked_string, optional_integer};
use crate::current::State;
use crate::failure::Failure;
use crate::host::Host;
use crate::libs::Results;

/// How many slots of Lua's stack the C library may take; it says so when values nest deeper or are more.
const SLOTS_MAX: usize = 8000;
const TOO_MANY: &str =
    "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)";

pub(crate) fn unpack(lua: &Lua, _: &mut dyn Host, _: &mut State, args: &MultiValue) -> Results {
    unpack_values(lua, args, args.len(), 0, 0)
}

pub(crate) fn unpack_one(lua: &Lua, _: &mut dyn Host, _: &mut State, args: &MultiValue) -> Results {
    let offset = optional_integer(args, 2, 0)?;
    unpack_values(lua, args, 1, 1, int(offset))
}

pub(crate) fn unpack_limit(
    lua: &Lua,
    _: &mut dyn Host,
    _: &mut State,
    args: &MultiValue,
) -> Results {
    let limit = checked_integer(args, 2)?;
    let offset = optional_integer(args, 3, 0)?;
    unpack_values(lua, args, 1, int(limit), int(offset))
}

/// As C cuts a `long` to an `int`.
#[allow(clippy::cast_possible_truncation)]
fn int(number: i64) -> i64 {
    i64::from(number as i32)
}

/// Reads values up to a limit. Without limit and offset it reads all, and returns no offset before them. `slots` is what lies
/// on the C library's stack before the values.
fn unpack_values(lua: &Lua, args: &MultiValue, slots: usize, limit: i64, offset: i64) -> Results {
    let text = checked_string(lua, args, 1)?;
    let text = text.as_bytes();
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    if offset < 0 || limit < 0 {
        return Err(Failure::text(format!(
            "Invalid request to unpack with offset of {offset} and limit of {length}."
        )));
    }
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| text.get(offset..));
    let Some(rest) = rest else {
        return Err(Failure::text(format!(
            "Start offset {offset} greater than input length {length}."
        )));
    };
    let all = limit == 0 && offset == 0;
    let limit = if all {
        usize::MAX
    } else {
        usize::try_from(limit).unwrap_or(0)
    };
    let mut reader = Reader { lua, rest, slots };
    let mut results = Vec::new();
    while !reader.rest.is_empty() && results.len() < limit {
        results.push(reader.value()?);
        reader.slots += 1;
    }
    if !all {
        let left = reader.rest.len();
        let next = if left == 0 {
            -1
        } else {
            length - i64::try_from(left).unwrap_or(0)
        };
        results.insert(0, Value::Integer(next));
    }
    Ok(MultiValue::from_vec(results))
}

struct Reader<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
    /// How many slots the C library would hold.
    slots: usize,
}

/// A table that is being read.
enum Frame {
    Array {
        table: Table,
        next: usize,
        left: usize,
    },
    Map {
        table: Table,
        left: usize,
        key: Option<Value>,
    },
}

/// What a byte begins.
enum Item {
    Value(Value),
    Array(usize),
    Map(usize),
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Value, Failure> {
        let mut frames: Vec<Frame> = Vec::new();
        loop {
            if self.slots + 1 > SLOTS_MAX {
                return Err(Failure::text(TOO_MANY));
            }
            let mut value = match self.item()? {
                Item::Value(value) => value,
                Item::Array(0) | Item::Map(0) => Value::Table(self.lua.create_table()?),
                Item::Array(left) => {
                    self.open("in function mp_decode_to_lua_array", 2)?;
                    let table = self.lua.create_table()?;
                    frames.push(Frame::Array {
                        table,
                        next: 1,
                        left,
                    });
                    continue;
                }
                Item::Map(left) => {
                    self.open("in function mp_decode_to_lua_hash", 1)?;
                    let table = self.lua.create_table()?;
                    frames.push(Frame::Map {
                        table,
                        left,
                        key: None,
                    });
                    continue;
                }
            };
            loop {
                let Some(frame) = frames.last_mut() else {
                    return Ok(value);
                };
                let Some(table) = self.store(frame, value)? else {
                    break;
                };
                frames.pop();
                value = Value::Table(table);
            }
        }
    }

    /// Takes the slots of a table.
    fn open(&mut self, function: &str, slots: usize) -> Result<(), Failure> {
        if self.slots + 2 > SLOTS_MAX {
            return Err(Failure::text(format!("stack overflow ({function})")));
        }
        self.slots += slots;
        Ok(())
    }

    /// Puts a value into the table that is being read. Returns the table when it is complete.
    fn store(&mut self, frame: &mut Frame, value: Value) -> Result<Option<Table>, Failure> {
        match frame {
            Frame::Array { table, next, left } => {
                table.raw_set(*next, value)?;
                *next += 1;
                *left -= 1;
                if *left == 0 {
                    self.slots -= 2;
                    return Ok(Some(table.clone()));
                }
            }
            Frame::Map { table, left, key } => match key.take() {
                None => {
                    *key = Some(value);
                    self.slots += 1;
                }
                Some(key) => {
                    match key {
                        Value::Nil => return Err(Failure::Raised("table index is nil")),
                        Value::Number(number) if number.is_nan() => {
                            return Err(Failure::Raised("table index is NaN"));
                        }
                        key => table.raw_set(key, value)?,
                    }
                    self.slots -= 1;
                    *left -= 1;
                    if *left == 0 {
                        self.slots -= 1;
                        return Ok(Some(table.clone()));
                    }
                }
            },
        }
        Ok(None)
    }

    #[allow(clippy::cast_precision_loss)] // Lua's numbers are doubles.
    fn item(&mut self) -> Result<Item, Failure> {
        let kind = self.array::<1>()?[0];
        let value = match kind {
            0x00..=0x7f => Value::Number(f64::from(kind)),
            0xe0..=0xff => Value::Number(f64::from(kind.cast_signed())),
            0x80..=0x8f => return Ok(Item::Map(usize::from(kind & 0xf))),
            0x90..=0x9f => return Ok(Item::Array(usize::from(kind & 0xf))),
            0xa0..=0xbf => self.string(usize::from(kind & 0x1f))?,
            0xc0 => Value::Nil,
            0xc2 => Value::Boolean(false),
            0xc3 => Value::Boolean(true),
            0xca => Value::Number(f64::from(f32::from_be_bytes(self.array()?))),
            0xcb => Value::Number(f64::from_be_bytes(self.array()?)),
            0xcc => Value::Number(f64::from(self.array::<1>()?[0])),
            0xcd => Value::Number(f64::from(u16::from_be_bytes(self.array()?))),
            0xce => Value::Number(f64::from(u32::from_be_bytes(self.array()?))),
            0xd0 => Value::Number(f64::from(self.array::<1>()?[0].cast_signed())),
            0xd1 => Value::Number(f64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => Value::Number(f64::from(i32::from_be_bytes(self.array()?))),
            // The C library casts also the unsigned ones to a signed integer.
            0xcf | 0xd3 => Value::Number(i64::from_be_bytes(self.array()?) as f64),
            0xd9 => {
                let length = usize::from(self.array::<1>()?[0]);
                self.string(length)?
            }
            0xda => {
                let length = self.short()?;
                self.string(length)?
            }
            0xdb => {
                let length = self.long()?;
                self.string(length)?
            }
            0xdc => return Ok(Item::Array(self.short()?)),
            0xdd => return Ok(Item::Array(self.long()?)),
            0xde => return Ok(Item::Map(self.short()?)),
            0xdf => return Ok(Item::Map(self.long()?)),
            _ => return Err(Failure::text("Bad data format in input.")),
        };
        Ok(Item::Value(value))
    }

    fn short(&mut self) -> Result<usize, Failure> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    fn long(&mut self) -> Result<usize, Failure> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| missing())
    }

    fn string(&mut self, length: usize) -> Result<Value, Failure> {
        let (text, rest) = self.rest.split_at_checked(length).ok_or_else(missing)?;
        self.rest = rest;
        Ok(Value::String(self.lua.create_string(text)?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(missing)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

fn missing() -> Failure {
    Failure::text("Missing bytes in input.")
}

//! `cmsgpack.pack`

use mlua::{Lua, MultiValue, Table, Value};

use crate::buffer::Buffer;
use crate::current::State;
use crate::failure::Failure;
use crate::host::Host;
use crate::libs::Results;

/// Tables that nest deeper become nil, so that a table that contains itself has an end.
const DEPTH_MAX: usize = 16;

pub(crate) fn pack(lua: &Lua, _: &mut dyn Host, state: &mut State, args: &MultiValue) -> Results {
    if args.is_empty() {
        return Err(Failure::Argument(0, "MessagePack pack needs input.".into()));
    }
    let mut out = Buffer::new(state.buffer_bytes);
    for value in args {
        put(&mut out, state, value, 0)?;
    }
    Ok(MultiValue::from_vec(vec![Value::String(
        lua.create_string(out.bytes())?,
    )]))
}

fn put(out: &mut Buffer, state: &State, value: &Value, depth: usize) -> Result<(), Failure> {
    match value {
        Value::String(text) => put_string(out, &text.as_bytes()),
        Value::Boolean(value) => out.put(&[if *value { 0xc3 } else { 0xc2 }]),
        Value::Integer(number) => put_integer(out, *number),
        Value::Number(number) => put_number(out, *number),
        Value::Table(table) if depth < DEPTH_MAX => put_table(out, state, table, depth),
        _ => out.put(&[0xc0]),
    }
}

fn put_string(out: &mut Buffer, text: &[u8]) -> Result<(), Failure> {
    #[allow(clippy::cast_possible_truncation)]
    // Checked by the pattern; longer strings do not fit into Lua's memory.
    match text.len() {
        len @ 0..32 => out.put(&[0xa0 | len as u8])?,
        len @ 32..=0xff => out.put(&[0xd9, len as u8])?,
        len @ 0x100..=0xffff => out.put(&head(0xda, &(len as u16).to_be_bytes()))?,
        len => out.put(&head(0xdb, &(len as u32).to_be_bytes()))?,
    }
    out.put(text)
}

/// A type's byte, and the bytes behind it.
fn head(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind], bytes].concat()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked by the patterns.
fn put_integer(out: &mut Buffer, number: i64) -> Result<(), Failure> {
    match number {
        -32..=0x7f => out.put(&[number as u8]),
        0x80..=0xff => out.put(&[0xcc, number as u8]),
        0x100..=0xffff => out.put(&head(0xcd, &(number as u16).to_be_bytes())),
        0x1_0000..=0xffff_ffff => out.put(&head(0xce, &(number as u32).to_be_bytes())),
        0x1_0000_0000.. => out.put(&head(0xcf, &number.to_be_bytes())),
        -0x80..=-33 => out.put(&[0xd0, number as u8]),
        -0x8000..=-0x81 => out.put(&head(0xd1, &(number as i16).to_be_bytes())),
        -0x8000_0000..=-0x8001 => out.put(&head(0xd2, &(number as i32).to_be_bytes())),
        _ => out.put(&head(0xd3, &number.to_be_bytes())),
    }
}

/// A whole number as an integer, any other as a float if it loses nothing.
#[allow(
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)] // Exact is what is asked for.
fn put_number(out: &mut Buffer, number: f64) -> Result<(), Failure> {
    if number.is_finite() && crate::arguments::truncated(number) as f64 == number {
        return put_integer(out, crate::arguments::truncated(number));
    }
    let float = number as f32;
    if f64::from(float) == number {
        out.put(&head(0xca, &float.to_be_bytes()))
    } else {
        out.put(&head(0xcb, &number.to_be_bytes()))
    }
}

#[allow(clippy::cast_possible_truncation)] // Checked by the patterns; longer tables do not fit into Lua's memory.
fn put_table(out: &mut Buffer, state: &State, table: &Table, depth: usize) -> Result<(), Failure> {
    let shape = shape(state, table)?;
    let (fixed, short, long, len) = match shape {
        Shape::Array => (0x90, 0xdc, 0xdd, table.raw_len()),
        Shape::Map(len) => (0x80, 0xde, 0xdf, len),
    };
    match len {
        0..16 => out.put(&[fixed | len as u8])?,
        16..=0xffff => out.put(&head(short, &(len as u16).to_be_bytes()))?,
        _ => out.put(&head(long, &(len as u32).to_be_bytes()))?,
    }
    if let Shape::Array = shape {
        for index in 1..=len {
            put(out, state, &table.raw_get(index)?, depth + 1)?;
        }
        return Ok(());
    }
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        put(out, state, &key, depth + 1)?;
        put(out, state, &value, depth + 1)?;
    }
    Ok(())
}

enum Shape {
    /// The keys are 1 to their number.
    Array,
    /// Anything else, with the number of pairs.
    Map(usize),
}

fn shape(state: &State, table: &Table) -> mlua::Result<Shape> {
    let (largest, count): (f64, usize) = state.array_keys.call(table)?;
    #[allow(clippy::cast_precision_loss, clippy::float_cmp)] // Counts are far below 2^53.
    let is_array = count as f64 == largest;
    Ok(if is_array {
        Shape::Array
    } else {
        Shape::Map(count)
    })
}

//! The arguments of functions, checked as Lua's own C functions check theirs.

use mlua::{Lua, LuaString, MultiValue, Value};

use crate::failure::Failure;
use crate::format;

/// The bytes of a string, or of a number as Lua writes it.
pub(crate) fn text_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(number) => Some(number_text(*number)),
        Value::Number(number) => Some(format::number(*number).into_bytes()),
        _ => None,
    }
}

/// A whole number as Lua writes it.
pub(crate) fn number_text(number: i64) -> Vec<u8> {
    if number.unsigned_abs() < 100_000_000_000_000 {
        return number.to_string().into_bytes();
    }
    #[allow(clippy::cast_precision_loss)] // It was a double before mlua made it an integer.
    format::number(number as f64).into_bytes()
}

/// A number, or a string that is one.
pub(crate) fn number_of(value: &Value) -> Option<f64> {
    match value {
        #[allow(clippy::cast_precision_loss)] // It was a double before mlua made it an integer.
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        Value::String(text) => format::parse_number(&text.as_bytes()),
        _ => None,
    }
}

/// A number as C casts it to a `long` on x86: what does not fit becomes the smallest.
#[allow(clippy::cast_possible_truncation)] // That is what is asked for.
pub(crate) fn truncated(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) {
        number as i64
    } else {
        i64::MIN
    }
}

/// The argument with this number; the first one is 1.
pub(crate) fn argument(args: &MultiValue, number: i32) -> Option<&Value> {
    usize::try_from(number - 1)
        .ok()
        .and_then(|index| args.get(index))
}

/// An argument that Lua's `luaL_checknumber` takes.
pub(crate) fn checked_number(args: &MultiValue, number: i32) -> Result<f64, Failure> {
    argument(args, number)
        .and_then(number_of)
        .ok_or_else(|| Failure::wrong_type(number, "number", args))
}

/// An argument that Lua's `luaL_checkinteger` takes.
pub(crate) fn checked_integer(args: &MultiValue, number: i32) -> Result<i64, Failure> {
    Ok(truncated(checked_number(args, number)?))
}

/// An argument that Lua's `luaL_optinteger` takes.
pub(crate) fn optional_integer(
    args: &MultiValue,
    number: i32,
    default: i64,
) -> Result<i64, Failure> {
    match argument(args, number) {
        None | Some(Value::Nil) => Ok(default),
        Some(_) => checked_integer(args, number),
    }
}

/// An argument that Lua's `luaL_checkint` takes.
#[allow(clippy::cast_possible_truncation)] // As C cuts it.
pub(crate) fn checked_int(args: &MultiValue, number: i32) -> Result<i32, Failure> {
    Ok(checked_integer(args, number)? as i32)
}

/// An argument that Lua's `luaL_checklstring` takes.
pub(crate) fn checked_string(
    lua: &Lua,
    args: &MultiValue,
    number: i32,
) -> Result<LuaString, Failure> {
    match argument(args, number) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) => {
            let text = text_of(value).ok_or_else(|| Failure::wrong_type(number, "string", args))?;
            Ok(lua.create_string(text)?)
        }
        None => Err(Failure::wrong_type(number, "string", args)),
    }
}

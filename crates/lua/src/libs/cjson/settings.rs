//! The functions that change how JSON is written and read. Each takes new settings, and returns the current ones.

use mlua::{Lua, MultiValue, Value};

use super::{Config, Invalid};
use crate::arguments::{argument, checked_int, text_of};
use crate::current::State;
use crate::failure::Failure;
use crate::libs::Results;

fn at_most(args: &MultiValue, count: i32) -> Result<(), Failure> {
    if i32::try_from(args.len()).is_ok_and(|given| given <= count) {
        return Ok(());
    }
    Err(Failure::Argument(
        count + 1,
        "found too many arguments".into(),
    ))
}

/// Sets an integer if the argument is there.
fn integer(
    args: &MultiValue,
    number: i32,
    setting: &mut i32,
    least: i32,
    most: i32,
) -> Result<Value, Failure> {
    if argument(args, number).is_some_and(|value| !value.is_nil()) {
        let value = checked_int(args, number)?;
        if !(least..=most).contains(&value) {
            let text = format!("expected integer between {least} and {most}");
            // The C library names the first argument, whichever it is.
            return Err(Failure::Argument(1, text));
        }
        *setting = value;
    }
    Ok(Value::Integer(i64::from(*setting)))
}

/// The position of the argument among the options; `true` and `false` are the second and the first one.
fn option(args: &MultiValue, options: &[&str]) -> Result<Option<usize>, Failure> {
    match argument(args, 1) {
        None | Some(Value::Nil) => Ok(None),
        Some(Value::Boolean(value)) => Ok(Some(usize::from(*value))),
        Some(value) => {
            let name = text_of(value).ok_or_else(|| Failure::wrong_type(1, "string", args))?;
            let found = options.iter().position(|option| option.as_bytes() == name);
            found.map(Some).ok_or_else(|| {
                Failure::Argument(
                    1,
                    format!("invalid option '{}'", String::from_utf8_lossy(&name)),
                )
            })
        }
    }
}

fn boolean(args: &MultiValue, setting: &mut bool, options: &[&str]) -> Result<Value, Failure> {
    if let Some(index) = option(args, options)? {
        *setting = index == 1;
    }
    Ok(Value::Boolean(*setting))
}

fn one(value: Value) -> MultiValue {
    MultiValue::from_vec(vec![value])
}

pub(super) fn sparse_array(_: &Lua, config: &mut Config, _: &State, args: &MultiValue) -> Results {
    at_most(args, 3)?;
    let convert = boolean(args, &mut config.sparse_convert, &[])?;
    let ratio = integer(args, 2, &mut config.sparse_ratio, 0, i32::MAX)?;
    let safe = integer(args, 3, &mut config.sparse_safe, 0, i32::MAX)?;
    Ok(MultiValue::from_vec(vec![convert, ratio, safe]))
}

pub(super) fn encode_depth(_: &Lua, config: &mut Config, _: &State, args: &MultiValue) -> Results {
    at_most(args, 1)?;
    Ok(one(integer(
        args,
        1,
        &mut config.encode_depth,
        1,
        i32::MAX,
    )?))
}

pub(super) fn decode_depth(_: &Lua, config: &mut Config, _: &State, args: &MultiValue) -> Results {
    at_most(args, 1)?;
    Ok(one(integer(
        args,
        1,
        &mut config.decode_depth,
        1,
        i32::MAX,
    )?))
}

pub(super) fn precision(_: &Lua, config: &mut Config, _: &State, args: &MultiValue) -> Results {
    at_most(args, 1)?;
    Ok(one(integer(args, 1, &mut config.precision, 1, 14)?))
}

/// Here without effect: no buffer is kept.
pub(super) fn keep_buffer(_: &Lua, config: &mut Config, _: &State, args: &MultiValue) -> Results {
    at_most(args, 1)?;
    Ok(one(boolean(args, &mut config.keep_buffer, &[])?))
}

pub(super) fn encode_invalid(
    lua: &Lua,
    config: &mut Config,
    _: &State,
    args: &MultiValue,
) -> Results {
    at_most(args, 1)?;
    if let Some(index) = option(args, &["off", "on", "null"])? {
        config.encode_invalid = [Invalid::Refused, Invalid::Written, Invalid::Null][index];
    }
    Ok(one(match config.encode_invalid {
        Invalid::Refused => Value::Boolean(false),
        Invalid::Written => Value::Boolean(true),
        Invalid::Null => Value::String(lua.create_string("null")?),
    }))
}

pub(super) fn decode_invalid(
    _: &Lua,
    config: &mut Config,
    _: &State,
    args: &MultiValue,
) -> Results {
    at_most(args, 1)?;
    Ok(one(boolean(
        args,
        &mut config.decode_invalid,
        &["off", "on"],
    )?))
}

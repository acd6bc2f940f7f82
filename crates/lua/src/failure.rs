//! How a function of this crate fails inside Lua.

use std::ffi::c_void;

use mlua::{LightUserData, Lua, MultiValue, Table, Value};

/// An error that a Rust function gives to Lua. Rust must not raise it by a long jump: `native/redis_lua.c` does.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error table as `redis.call` raises it; the text has its code.
    Reply(Vec<u8>),
    /// A text as it is.
    Raised(&'static str),
    /// There is no memory left for what the function collects.
    Memory,
    /// A text, before which Lua puts the caller's position.
    Text(Vec<u8>),
    /// "bad argument #number to 'function' (text)"
    Argument(i32, String),
    /// Lua itself failed: it has no memory left.
    Lua(mlua::Error),
}

impl From<mlua::Error> for Failure {
    fn from(error: mlua::Error) -> Self {
        Failure::Lua(error)
    }
}

/// The kinds of `native/redis_lua.c`.
const FAIL_VALUE: usize = 1;
const FAIL_TEXT: usize = 2;
const FAIL_ARGUMENT: usize = 3;

impl Failure {
    /// An error table with the code ERR.
    pub fn reply(text: &str) -> Self {
        Failure::Reply([b"ERR ", text.as_bytes()].concat())
    }

    /// A text, before which Lua puts the caller's position.
    pub fn text(text: impl Into<String>) -> Self {
        Failure::Text(text.into().into_bytes())
    }

    /// The argument has the wrong type.
    pub fn wrong_type(number: i32, expected: &str, args: &MultiValue) -> Self {
        let given = usize::try_from(number - 1)
            .ok()
            .and_then(|index| args.get(index));
        let given = given.map_or("no value", type_name);
        Failure::Argument(number, format!("{expected} expected, got {given}"))
    }

    /// The results by which the C side knows the error.
    pub fn into_results(self, lua: &Lua) -> mlua::Result<MultiValue> {
        let (kind, value, number) = match self {
            Failure::Reply(text) => (FAIL_VALUE, Value::Table(error_table(lua, &text)?), 0),
            Failure::Raised(text) => (FAIL_VALUE, Value::String(lua.create_string(text)?), 0),
            Failure::Memory => (
                FAIL_VALUE,
                Value::String(lua.create_string("not enough memory")?),
                0,
            ),
            Failure::Text(text) => (FAIL_TEXT, Value::String(lua.create_string(text)?), 0),
            Failure::Argument(number, text) => (
                FAIL_ARGUMENT,
                Value::String(lua.create_string(text)?),
                number,
            ),
            Failure::Lua(error) => (FAIL_VALUE, lua_error(lua, &error)?, 0),
        };
        Ok(MultiValue::from_vec(vec![
            status(kind),
            value,
            Value::Integer(i64::from(number)),
        ]))
    }
}

/// The light userdata by which the C side knows a kind.
pub(crate) fn status(kind: usize) -> Value {
    Value::LightUserData(LightUserData(std::ptr::without_provenance_mut::<c_void>(
        kind,
    )))
}

/// `{err = text}`
pub(crate) fn error_table(lua: &Lua, text: &[u8]) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set("err", lua.create_string(text)?)?;
    Ok(table)
}

/// An error of Lua as a script sees it.
fn lua_error(lua: &Lua, error: &mlua::Error) -> mlua::Result<Value> {
    let text = match error {
        mlua::Error::MemoryError(_) => "not enough memory".into(),
        mlua::Error::StackError => "stack overflow".into(),
        // mlua puts the stack's trace behind the text.
        other => other
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    // The string exists already if there is no memory left: it is Lua's own.
    Ok(Value::String(lua.create_string(text)?))
}

/// Lua's name of a value's type.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) => "userdata",
        other => other.type_name(),
    }
}

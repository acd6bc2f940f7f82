//! The library `cjson`: JSON, as lua-cjson 2.1.0 writes and reads it.

mod decode;
mod encode;
mod settings;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mlua::{LightUserData, Lua, MultiValue, Table, Value};

use super::Results;
use crate::current::{State, function};
use crate::failure::Failure;
use crate::native::Native;

/// What a script can set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Config {
    /// Whether an array with too many holes becomes an object; otherwise it is an error.
    sparse_convert: bool,
    /// How many times more places than elements an array may have; 0 for any.
    sparse_ratio: i32,
    /// Arrays up to this length may have any holes.
    sparse_safe: i32,
    encode_depth: i32,
    decode_depth: i32,
    precision: i32,
    keep_buffer: bool,
    encode_invalid: Invalid,
    decode_invalid: bool,
}

/// What becomes of numbers that JSON does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth: 1000,
            decode_depth: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}

/// The settings of a table `cjson`, which all of its functions share.
#[derive(Clone, Default)]
pub(crate) struct Settings(Arc<Mutex<Config>>);

impl Settings {
    fn lock(&self) -> MutexGuard<'_, Config> {
        // A setting is never half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Undoes what a script set.
    pub fn reset(&self) {
        let mut config = self.lock();
        if *config != Config::default() {
            *config = Config::default();
        }
    }
}

/// A function of the library.
type Body = fn(&Lua, &mut Config, &State, &MultiValue) -> Results;

const FUNCTIONS: [(&str, Body); 9] = [
    ("encode", encode::encode),
    ("decode", decode::decode),
    ("encode_sparse_array", settings::sparse_array),
    ("encode_max_depth", settings::encode_depth),
    ("decode_max_depth", settings::decode_depth),
    ("encode_number_precision", settings::precision),
    ("encode_keep_buffer", settings::keep_buffer),
    ("encode_invalid_numbers", settings::encode_invalid),
    ("decode_invalid_numbers", settings::decode_invalid),
];

/// The table of the globals, and the settings that end with a script.
pub(super) fn table(lua: &Lua, native: &Native, settings: &Settings) -> mlua::Result<Table> {
    new_table(lua, &native.raising, settings)
}

fn new_table(lua: &Lua, raising: &mlua::Function, settings: &Settings) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, body) in FUNCTIONS {
        let settings = settings.clone();
        let body = function(lua, raising, move |lua, _, state, args| {
            // A copy while it encodes: Lua may call back into another function of the table.
            body(lua, &mut settings.lock(), state, args)
        })?;
        table.raw_set(name, body)?;
    }
    let inner = raising.clone();
    let new = function(lua, raising, move |lua, _, _, _| {
        let table = new_table(lua, &inner, &Settings::default())?;
        Ok(MultiValue::from_vec(vec![Value::Table(table)]))
    })?;
    table.raw_set("new", new)?;
    table.raw_set(
        "null",
        Value::LightUserData(LightUserData(std::ptr::null_mut())),
    )?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    Ok(table)
}

fn one_argument(args: &MultiValue) -> Result<&Value, Failure> {
    match (args.len(), args.front()) {
        (1, Some(value)) => Ok(value),
        _ => Err(Failure::Argument(1, "expected 1 argument".into())),
    }
}

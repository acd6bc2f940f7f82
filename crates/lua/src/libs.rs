//! The libraries that Redis ships beside Lua's own.

mod bit;
pub(crate) mod cjson;
mod cmsgpack;
mod structs;

use mlua::{Lua, MultiValue, Table};

use crate::current::{State, function};
use crate::failure::Failure;
use crate::host::Host;
use crate::native::Native;

/// What a function of a library returns.
type Results = Result<MultiValue, Failure>;

/// A function of a library.
type Body = fn(&Lua, &mut dyn Host, &mut State, &MultiValue) -> Results;

/// Puts the libraries into the globals.
pub(crate) fn open(
    lua: &Lua,
    native: &Native,
    globals: &Table,
    cjson: &cjson::Settings,
) -> mlua::Result<()> {
    globals.raw_set("bit", table_of(lua, native, &bit::FUNCTIONS)?)?;
    globals.raw_set("struct", table_of(lua, native, &structs::FUNCTIONS)?)?;
    let cmsgpack = table_of(lua, native, &cmsgpack::FUNCTIONS)?;
    for (name, text) in cmsgpack::NAMES {
        cmsgpack.raw_set(name, text)?;
    }
    globals.raw_set("cmsgpack", cmsgpack)?;
    globals.raw_set("cjson", cjson::table(lua, native, cjson)?)
}

fn table_of(lua: &Lua, native: &Native, functions: &[(&str, Body)]) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, body) in functions {
        table.raw_set(*name, function(lua, &native.raising, *body)?)?;
    }
    Ok(table)
}

//! The libraries that Redis ships beside Lua's own.

pub(crate) mod cjson;

use mlua::{Lua, Table};

use crate::native::Native;

/// Puts the libraries into the globals.
pub(crate) fn open(_lua: &Lua, _native: &Native, _globals: &Table) -> mlua::Result<()> {
    Ok(())
}

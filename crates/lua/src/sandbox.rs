//! The globals of scripts.

use mlua::{Lua, Table, Value};

use crate::api::{self, Version};
use crate::current::{Exchange, function};
use crate::interpreter::Kind;
use crate::libs::{self, cjson::Settings};
use crate::native::Native;

/// The globals of Lua that scripts keep.
const KEPT: [&str; 27] = [
    "_G",
    "_VERSION",
    "assert",
    "collectgarbage",
    "coroutine",
    "error",
    "gcinfo",
    "getmetatable",
    "ipairs",
    "load",
    "loadstring",
    "math",
    "next",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawset",
    "select",
    "setmetatable",
    "string",
    "table",
    "tonumber",
    "tostring",
    "type",
    "unpack",
    "xpcall",
];

/// What a library sees as its globals while it loads, and afterwards.
pub(crate) struct LibraryGlobals {
    /// The metatable of the globals.
    pub metatable: Table,
    /// Its `__index` while a library loads.
    pub loading: Table,
    /// Its `__index` otherwise.
    pub running: Table,
}

/// Builds the globals and closes them. Functions have others while a library loads.
pub(crate) fn close(
    lua: &Lua,
    native: &Native,
    kind: Kind,
    (version, exchange): (&Version<'_>, &Exchange),
    cjson: &Settings,
) -> mlua::Result<Option<LibraryGlobals>> {
    let globals = lua.globals();
    for pair in globals.pairs::<Value, Value>() {
        let (name, _) = pair?;
        let kept = name
            .as_string()
            .is_some_and(|name| KEPT.iter().any(|kept| *name == *kept));
        if !kept {
            globals.raw_set(name, Value::Nil)?;
        }
    }
    globals.raw_set("pcall", &native.pcall)?;
    let math: Table = globals.raw_get("math")?;
    math.raw_set("random", function(lua, &native.raising, api::random)?)?;
    math.raw_set(
        "randomseed",
        function(lua, &native.raising, api::random_seed)?,
    )?;
    libs::open(lua, native, &globals, cjson)?;
    let redis = api::redis_table(lua, native, version, exchange)?;
    if kind == Kind::Eval {
        api::add_eval_functions(lua, native, &redis)?;
    }
    globals.raw_set("redis", redis)?;

    // All strings share a metatable: a script that changes it would reach the next one.
    if let Some(strings) = lua.type_metatable::<mlua::LuaString>() {
        native.protect(&strings)?;
    }
    let metatable = lua.create_table()?;
    metatable.raw_set("__index", &native.no_such_global)?;
    match kind {
        Kind::Eval => {
            globals.set_metatable(Some(metatable))?;
            native.protect(&globals)?;
            Ok(None)
        }
        Kind::Functions => close_for_functions(lua, native, metatable, version).map(Some),
    }
}

/// Functions have an empty table of globals, whose metatable leads to what they may use at the moment.
fn close_for_functions(
    lua: &Lua,
    native: &Native,
    nothing_else: Table,
    version: &Version<'_>,
) -> mlua::Result<LibraryGlobals> {
    let running = lua.globals();
    running.set_metatable(Some(nothing_else.clone()))?;
    native.protect(&running)?;

    let redis = api::library_table(lua, native, version)?;
    redis.set_metatable(Some(nothing_else.clone()))?;
    let loading = lua.create_table()?;
    loading.raw_set("redis", redis)?;
    loading.set_metatable(Some(nothing_else))?;
    native.protect(&loading)?;

    let globals = lua.create_table()?;
    let metatable = lua.create_table()?;
    metatable.raw_set("__index", &running)?;
    globals.set_metatable(Some(metatable.clone()))?;
    lua.set_globals(globals.clone())?;
    native.readonly.call::<()>((globals, true))?;
    native.readonly.call::<()>((&metatable, true))?;
    Ok(LibraryGlobals {
        metatable,
        loading,
        running,
    })
}

//! The functions of `native/redis_lua.c`.

use mlua::{Function, Lua, Table};

/// The functions that the C side leaves for this crate. Scripts see `pcall` and `no_such_global` only.
pub(crate) struct Native {
    /// `readonly(table, flag)`
    pub readonly: Function,
    /// `is_readonly(table)`
    pub is_readonly: Function,
    /// `raising(function)`: the function that scripts call in place of a Rust function.
    pub raising: Function,
    /// `keep(function)`: a handle.
    pub keep: Function,
    /// `release(handle)`
    pub release: Function,
    /// `load(text, chunk name)`: a handle, or nil and the error.
    pub load: Function,
    /// `run(address of a packed run)`
    pub run: Function,
    /// `shape(table)`: what the table stands for as a reply.
    pub shape: Function,
    /// `caller(packed, values, addresses of words and of the buffer, its size, raises)`: the function `redis.call`.
    pub caller: Function,
    /// `array_keys(table)`: the largest key and the number of keys, or -1 and the number if not all are positive integers.
    pub array_keys: Function,
    /// The `pcall` of scripts.
    pub pcall: Function,
    /// The `__index` of the globals.
    pub no_such_global: Function,
}

/// Where the C side looks for the function that says whether a script must end.
pub(crate) const INTERRUPT_KEY: &str = "redis_interrupt";

impl Native {
    /// Takes the functions out of the registry.
    pub fn take(lua: &Lua) -> mlua::Result<Self> {
        let key = "redis_native";
        let table: Table = lua.named_registry_value(key)?;
        lua.unset_named_registry_value(key)?;
        Ok(Self {
            readonly: table.raw_get("readonly")?,
            is_readonly: table.raw_get("is_readonly")?,
            raising: table.raw_get("raising")?,
            keep: table.raw_get("keep")?,
            release: table.raw_get("release")?,
            load: table.raw_get("load")?,
            run: table.raw_get("run")?,
            shape: table.raw_get("shape")?,
            caller: table.raw_get("caller")?,
            array_keys: table.raw_get("array_keys")?,
            pcall: table.raw_get("pcall")?,
            no_such_global: table.raw_get("no_such_global")?,
        })
    }

    /// Closes a table and all tables in it and behind it.
    pub fn protect(&self, table: &Table) -> mlua::Result<()> {
        if self.is_readonly.call(table)? {
            return Ok(());
        }
        self.readonly.call::<()>((table, true))?;
        for pair in table.pairs::<mlua::Value, mlua::Value>() {
            if let (_, mlua::Value::Table(inner)) = pair? {
                self.protect(&inner)?;
            }
        }
        match table.metatable() {
            Some(metatable) => self.protect(&metatable),
            None => Ok(()),
        }
    }
}

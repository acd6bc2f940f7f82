//! Lua's values into replies. `native/redis_lua.c` does the reverse.

mod into_reply;

pub(crate) use into_reply::{Converter, bytes, raised_text};

/// The shapes of `native/redis_lua.c`.
pub(crate) mod shape {
    pub const ERROR: i64 = 1;
    pub const STATUS: i64 = 2;
    pub const DOUBLE: i64 = 3;
    pub const BIG_NUMBER: i64 = 4;
    pub const VERBATIM: i64 = 5;
    pub const MAP: i64 = 6;
    pub const SET: i64 = 7;
}

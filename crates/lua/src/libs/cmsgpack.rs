//! The library `cmsgpack`: `MessagePack`, as lua-cmsgpack 0.4.0 writes and reads it.

mod pack;
mod unpack;

use super::Body;

pub(super) const FUNCTIONS: [(&str, Body); 4] = [
    ("pack", pack::pack),
    ("unpack", unpack::unpack),
    ("unpack_one", unpack::unpack_one),
    ("unpack_limit", unpack::unpack_limit),
];

pub(super) const NAMES: [(&str, &str); 4] = [
    ("_NAME", "cmsgpack"),
    ("_VERSION", "lua-cmsgpack 0.4.0"),
    ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
    ("_DESCRIPTION", "MessagePack C implementation for Lua"),
];

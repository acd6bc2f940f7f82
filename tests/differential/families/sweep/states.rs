//! What a key may hold before a call of the sweep, and the type of its rows.

/// The state of a key before a call, as the calls that make it: `@` stands for the key, `;` separates calls. Empty for
/// an absent key.
pub type States = &'static [&'static str];

pub const ABSENT: States = &[""];
pub const FEW: States = &["", "SET @ 10", "RPUSH @ a"];
pub const STRINGS_ONLY: States = &["", "SET @ 10", "SET @ abc"];
pub const ANY: States = &[
    "",
    "SET @ 10",
    "SET @ abc",
    "APPEND @ a;APPEND @ b",
    "HSET @ f 1",
    "RPUSH @ a b",
    "SADD @ a",
    "ZADD @ 1 a 2 b",
];
pub const STRINGS: States = &[
    "",
    "SET @ ''",
    "SET @ 10",
    "SET @ 5000000000",
    "SET @ abc",
    "SET @ 3.5",
    "SET @ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "SET @ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "SET @ 1;APPEND @ 0",
    "SETRANGE @ 0 abc",
    "SETBIT @ 7 1",
    "INCRBYFLOAT @ 3",
    "INCRBYFLOAT @ 3.5",
    "RPUSH @ a",
];
pub const SHORT: States = &["", "SET @ 10", "SET @ abc", "SETRANGE @ 0 abc", "RPUSH @ a"];
pub const HASHES: States = &[
    "",
    "HSET @ f 1",
    "HSET @ f 1 g 2.5",
    "HSET @ f x g y h z",
    "SET @ 10",
];
pub const LISTS: States = &[
    "",
    "RPUSH @ a",
    "RPUSH @ a b",
    "RPUSH @ a b a c",
    "SET @ 10",
];
pub const LISTS_D: States = &["", "RPUSH @ a", "SET @ 10"];
pub const SETS: States = &[
    "",
    "SADD @ a",
    "SADD @ 1",
    "SADD @ a b",
    "SADD @ b c 1",
    "SET @ 10",
];
// States whose replies have no order that the server chooses.
pub const SINGLE: States = &["", "SADD @ a", "ZADD @ 1 a", "SET @ 10"];
pub const SETS_D: States = &["", "SADD @ a", "SADD @ a b", "ZADD @ 1 a", "SET @ 10"];
pub const ZSETS: States = &[
    "",
    "ZADD @ 1 a",
    "ZADD @ 1 a 2 b",
    "ZADD @ 1 a 2 b 3 c",
    "SET @ 10",
];
pub const ZSETS_D: States = &["", "ZADD @ 1 a", "ZADD @ 1 a 2 b", "SADD @ a", "SET @ 10"];
pub const PLACES: States = &[
    "",
    "GEOADD @ 13 38 p",
    "GEOADD @ 13 38 p 15 37 q",
    "ZADD @ 1 a",
    "SET @ 10",
];
pub const SKETCHES: States = &[
    "",
    "PFADD @",
    "PFADD @ a",
    "PFADD @ a b c",
    "SET @ SKETCH",
    "SET @ 10",
    "RPUSH @ a",
];

/// The calls of one command.
pub struct Row {
    pub command: &'static str,
    /// States of the keys `k`, `d`, and of `k` in database 1 (written `k1` here). A key that no call of the row names
    /// has its first state only.
    pub k: States,
    pub d: States,
    pub k1: States,
    /// Arguments of the calls, split as in a shell, but without quotes: `''` is an empty argument.
    pub calls: &'static [&'static str],
    /// Whether chance decides the reply, and what the call leaves of several elements.
    pub draws: bool,
}

pub const fn one(command: &'static str, k: States, calls: &'static [&'static str]) -> Row {
    two(command, k, ABSENT, calls)
}

pub const fn two(
    command: &'static str,
    k: States,
    d: States,
    calls: &'static [&'static str],
) -> Row {
    Row {
        command,
        k,
        d,
        k1: ABSENT,
        calls,
        draws: false,
    }
}

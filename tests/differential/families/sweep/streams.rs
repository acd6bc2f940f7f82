//! The sweep's rows of streams.

use super::states::{ABSENT, FEW, Row, States, one, two};

/// Commands of Redis 8.2, which the real server may not know.
pub const LATER: &[&str] = &[
    "delex",
    "delifeq",
    "hexpire",
    "hexpireat",
    "hgetdel",
    "hgetex",
    "hpersist",
    "hpexpire",
    "hpexpireat",
    "hsetex",
    "msetex",
    "xackdel",
    "xdelex",
];

const ENTRIES: States = &[
    "",
    "XADD @ 1-1 a b",
    "XADD @ 1-1 a b;XADD @ 2-1 a b;XADD @ 3-1 a b",
    "XADD @ 1-1 a b;XDEL @ 1-1",
    "SET @ 10",
];

/// The consumer is there, since Redis 7.0 and 7.2 do not make it in the same calls.
const GROUPS: States = &[
    "",
    "XADD @ 1-1 a b",
    "XGROUP CREATE @ g 0 MKSTREAM;XGROUP CREATECONSUMER @ g c",
    "XADD @ 1-1 a b;XADD @ 2-1 a b;XGROUP CREATE @ g 0;XGROUP CREATECONSUMER @ g c",
    "XADD @ 1-1 a b;XADD @ 2-1 a b;XGROUP CREATE @ g 0;XREADGROUP GROUP g c STREAMS @ >",
    "XADD @ 1-1 a b;XADD @ 2-1 a b;XGROUP CREATE @ g 0;XREADGROUP GROUP g c STREAMS @ >;XDEL @ 1-1",
    "SET @ 10",
];

pub const ROWS: &[Row] = &[
    one(
        "xadd",
        ENTRIES,
        &[
            "k 5-1 a b",
            "k 1-1 a b",
            "k NOMKSTREAM 5-1 a b",
            "k MAXLEN 1 5-1 a b",
            "k MAXLEN 0 5-1 a b",
            "k MINID 3 5-1 a b",
            "k 5-1 a",
        ],
    ),
    one("xdel", ENTRIES, &["k 1-1", "k 9-1", "k 1-1 2-1 9-1", "k x"]),
    one(
        "xtrim",
        ENTRIES,
        &[
            "k MAXLEN 1",
            "k MAXLEN 9",
            "k MAXLEN 0",
            "k MINID 2",
            "k MINID 0",
        ],
    ),
    one(
        "xsetid",
        ENTRIES,
        &["k 9-1", "k 9-1 ENTRIESADDED 5 MAXDELETEDID 8-1"],
    ),
    one(
        "xgroup",
        GROUPS,
        &[
            "CREATE k g $",
            "CREATE k new $",
            "CREATE k new 0 MKSTREAM",
            "SETID k g 0",
            "SETID k none 0",
            "DESTROY k g",
            "DESTROY k none",
            "CREATECONSUMER k g c",
            "CREATECONSUMER k g new",
            "DELCONSUMER k g c",
            "DELCONSUMER k g none",
        ],
    ),
    two(
        "xreadgroup",
        GROUPS,
        GROUPS,
        &[
            "GROUP g c STREAMS k >",
            "GROUP g c COUNT 1 STREAMS k >",
            "GROUP g c NOACK STREAMS k >",
            "GROUP g c STREAMS k 0",
            "GROUP g c STREAMS k d > >",
            "GROUP none c STREAMS k >",
        ],
    ),
    one(
        "xack",
        GROUPS,
        &["k g 1-1", "k g 1-1 2-1", "k g 9-1", "k none 1-1"],
    ),
    one(
        "xclaim",
        GROUPS,
        &[
            "k g c 0 1-1",
            "k g c 0 1-1 2-1",
            "k g c 0 1-1 JUSTID",
            "k g c 0 1-1 FORCE",
            "k g c 1000000 1-1",
            "k g c 0 9-1",
            "k none c 0 1-1",
        ],
    ),
    one(
        "xautoclaim",
        GROUPS,
        &[
            "k g c 0 0",
            "k g c 0 0 COUNT 1 JUSTID",
            "k g c 1000000 0",
            "k g c 0 9",
            "k none c 0 0",
        ],
    ),
    two("rename", ENTRIES, FEW, &["k d", "k k"]),
    two("copy", ENTRIES, FEW, &["k d", "k d REPLACE"]),
    two("del", GROUPS, ABSENT, &["k"]),
    one("xlen", ENTRIES, &["k"]),
    one("xrange", ENTRIES, &["k - +"]),
    one("xrevrange", ENTRIES, &["k + -"]),
    one("xread", ENTRIES, &["STREAMS k 0"]),
    one("xpending", GROUPS, &["k g"]),
];

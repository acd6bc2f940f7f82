//! Random calls of transactions: queued, watched and refused ones.

use super::{Call, Random};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    match random.below(100) {
        0..14 => Call::new(["MULTI"]),
        14..24 => Call::new(["EXEC"]),
        24..28 => Call::new(["DISCARD"]),
        28..36 => Call::new(["WATCH"]).arg(random.key()).arg(random.key()),
        36..38 => Call::new(["UNWATCH"]),
        38..41 => Call::line(random.pick(REFUSED)),
        41..43 => Call::line(random.pick(RARE)),
        _ => write_or_read(random),
    }
}

/// Calls that fail outside a transaction, inside one, or both.
const REFUSED: &[&str] = &[
    "GET",
    "NONSENSE a b",
    "SHUTDOWN NOSAVE x y",
    "MULTI x",
    "EXEC x",
    "WATCH",
    "DISCARD now",
    "CLIENT NONSENSE",
    "SELECT 99",
    "HELLO 9",
];

const RARE: &[&str] = &[
    "FLUSHDB",
    "FLUSHALL",
    "SWAPDB 0 1",
    "SELECT 1",
    "SELECT 0",
    "DBSIZE",
    "RESET",
    "PING",
    "CLIENT REPLY ON",
];

fn write_or_read(random: &mut Random) -> Call {
    let key = random.key();
    match random.below(16) {
        0 => Call::new(["SET"]).arg(key).arg(random.value()),
        1 => Call::new(["GET"]).arg(key),
        2 => Call::new(["INCR"]).arg(key),
        3 => Call::new(["DEL"]).arg(key).arg(random.key()),
        4 => Call::new(["APPEND"]).arg(key).arg("x"),
        5 => Call::new(["STRLEN"]).arg(key),
        6 => Call::new(["MSET"])
            .arg(key)
            .arg(random.value())
            .arg(random.key())
            .arg(random.value()),
        7 => Call::new(["EXPIRE"]).arg(key).arg("1000"),
        8 => Call::new(["EXPIRE"]).arg(key).arg("-1"),
        9 => Call::new(["PERSIST"]).arg(key),
        10 => Call::new(["EXISTS"]).arg(key),
        11 => Call::new(["RENAME"]).arg(key).arg(random.key()),
        12 => Call::new(["COPY"]).arg(key).arg(random.key()),
        13 => Call::new(["MOVE"]).arg(key).arg("1"),
        14 => Call::new(["GETDEL"]).arg(key),
        _ => Call::new(["SETNX"]).arg(key).arg(random.value()),
    }
}

//! The pairs layout, on cmap.

use super::{Action, Scenario, Unit, bytes, calls, set};

const STORE: &str = "cmap/pairs";

pub fn all() -> Vec<Scenario> {
    vec![pairs_creation(), pairs(), pairs_journal()]
}

fn small(name: &'static str) -> Scenario {
    let mut scenario = Scenario::new(name, STORE);
    scenario.pool_size = "24mb";
    scenario
}

/// A pool of several partitions.
fn pairs_creation() -> Scenario {
    let mut scenario = small("pairs-creation").one_by_one(calls(&["SET a 1", "MSET b 2 c 3"]));
    scenario.makes_pool = true;
    scenario
}

/// One key at a time: put, changed in place, removed; tables that grow; databases flushed and exchanged.
fn pairs() -> Scenario {
    small("pairs")
        .one_by_one((0..40).map(|n| set(&format!("k{n}"), n, 10 + 37 * n)))
        .one_by_one((0..20).map(|n| set(&format!("k{n}"), 100 + n, 10 + 37 * n)))
        .one_by_one((0..20).map(|n| Unit::call(&format!("DEL k{}", 2 * n))))
        .one_by_one([
            set("long", 1, 70_000),
            Unit::with("SETRANGE long 100", bytes(2, 50)),
            Unit::with("SETRANGE long 60000", bytes(3, 20_000)),
            Unit::call("APPEND k1 x"),
            Unit::call("PEXPIREAT k1 4102444800000"),
        ])
        .one_by_one(calls(&["SWAPDB 0 1", "SET a 1", "FLUSHDB", "SWAPDB 0 1"]))
        .then(Action::Kill)
        .one_by_one(calls(&["SET after 1", "FLUSHALL", "SET end 1"]))
        .then(Action::Restart)
}

/// Several keys at a time, guarded by the undo journal: new slots, slots written in place, journals that grow.
fn pairs_journal() -> Scenario {
    let transaction = |n: usize| {
        Unit::transaction([
            set(&format!("a{}", n % 3), n, 100 * n + 1),
            Unit::call(&format!("HSET h f{n} {n} g {n}")),
            Unit::call(&format!("RPUSH l {n} x")),
            Unit::call("SELECT 1"),
            set("b", n, 3_000 + n),
            Unit::call("SELECT 0"),
            Unit::call(&format!("DEL a{}", (n + 1) % 3)),
        ])
    };
    small("pairs-journal")
        .one_by_one(calls(&["MSET a 1 b 2 c 3", "MSET a 2 b 3 c 4 d 5"]))
        .one_by_one((0..6).map(transaction))
        .one_by_one(calls(&[
            "RENAME a e",
            "COPY b f",
            "HSET h f 1 g 2 h 3",
            "HDEL h f g",
            "SADD s a b c d e f",
            "SPOP s 6",
            "ZADD z 1 a 2 b",
            "ZADD z 3 a 4 c",
            "LMOVE l m LEFT LEFT",
            "DEL b c d",
        ]))
        .one_by_one([
            Unit::transaction([set("p", 1, 40_000), set("q", 2, 30_000)]),
            Unit::transaction([set("p", 3, 20_000), set("q", 4, 50_000)]),
            Unit::transaction(calls(&["SET x 1", "FLUSHDB", "SET y 1", "SWAPDB 0 1"])),
        ])
        .then(Action::Kill)
        .one_by_one((6..9).map(transaction))
}

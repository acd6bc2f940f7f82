//! The packed layout.

use std::time::Duration;

use super::{Action, Rule, Scenario, Unit, calls, set};

const REST: Duration = Duration::from_millis(150);

/// Deadlines that no run of a test outlives: the year 2100.
const FAR: &str = "4102444800000";

pub fn all() -> Vec<Scenario> {
    vec![
        creation(),
        commits(),
        large_values(),
        segments(),
        compaction(),
        generations(),
        restarts(),
        expiry(),
        eviction(),
        on_disk(),
        on_disk_together(),
        every_second(),
    ]
}

/// The pool's first moments, and its first commits.
fn creation() -> Scenario {
    let mut scenario =
        Scenario::new("creation", "cmap").one_by_one(calls(&["SET a 1", "MSET b 2 c 3", "DEL a"]));
    scenario.makes_pool = true;
    scenario
}

/// Small values and collections, one by one, in pipelines and in transactions.
fn commits() -> Scenario {
    let mixed = calls(&[
        "SET a 1",
        "SET b two",
        "MSET a 3 b 4 c 5 d 6",
        "INCR n",
        "APPEND b -more",
        "HSET h f 1 g 2 h 3",
        "HINCRBY h f 5",
        "RPUSH l 1 2 3 4 5",
        "LPOP l",
        "SADD s a b c d e",
        "SREM s a b",
        "ZADD z 1 a 2 b 3 c",
        "ZINCRBY z 1.5 a",
        "RENAME a e",
        "COPY h i",
        "DEL b c",
        "LMOVE l m LEFT RIGHT",
        "SMOVE s t c",
        "ZUNIONSTORE y 1 z WEIGHTS 2",
        "SETRANGE e 20 x",
        "GETDEL d",
        "MOVE e 1",
    ]);
    let transaction = Unit::transaction(calls(&[
        "SET a tx",
        "HDEL h f",
        "SELECT 2",
        "SET a other",
        "LPUSH l x y",
        "SELECT 0",
        "DEL s",
        "SET a again",
    ]));
    let again = (0..24).map(|n| set(&format!("p{}", n % 9), n, 40 + 31 * n));
    Scenario::new("commits", "cmap")
        .one_by_one(mixed.clone())
        .one_by_one([transaction.clone()])
        .at_once(again)
        .at_once(mixed)
        .at_once([Unit::call("SET q 1"), transaction, Unit::call("SET q 2")])
        .one_by_one([Unit::call(&format!("SET d 1 PXAT {FAR}"))])
        .one_by_one(calls(&["PERSIST d", "UNLINK d", "FLUSHALL"]))
}

/// Values in parts, patches of them, commits of several steps.
fn large_values() -> Scenario {
    let many = (0..6).map(|n| set(&format!("m{n}"), 40 + n, 60_000));
    Scenario::new("large-values", "cmap")
        .one_by_one([
            set("a", 1, 20_000),
            set("b", 2, 100_000),
            set("b", 3, 90_000),
            Unit::with("SETRANGE b 70000", super::bytes(4, 9_000)),
            Unit::with("SETRANGE b 1000", super::bytes(5, 100)),
            Unit::with("APPEND b", super::bytes(6, 30_000)),
            Unit::call("SETBIT b 800000 1"),
            Unit::call(&format!("PEXPIREAT b {FAR}")),
            Unit::call("COPY b c"),
            set("d", 7, 400_000),
            Unit::with("SETRANGE d 390000", super::bytes(8, 40_000)),
        ])
        .one_by_one([Unit::transaction(many)])
        .one_by_one([Unit::transaction([
            Unit::with("SETRANGE d 100", super::bytes(9, 20_000)),
            set("e", 10, 200_000),
            Unit::call("DEL a"),
            Unit::with("SETRANGE d 200", super::bytes(11, 10)),
        ])])
        .at_once((0..8).map(|n| set("f", 60 + n, 25_000)))
        .one_by_one(calls(&["RENAME f g", "DEL d", "SET b short"]))
}

/// New segments, made and begun.
fn segments() -> Scenario {
    Scenario::new("segments", "cmap")
        .one_by_one((0..20).map(|n| set(&format!("k{n}"), n, 120_000 + 1_999 * n)))
        .at_once((0..60).map(|n| set(&format!("s{n}"), n, 15_000)))
        .then(Action::Rest(REST))
        .one_by_one(calls(&["SET end 1"]))
}

/// A pool in which little is free: segments are emptied, their records copied, tombstones dropped.
fn compaction() -> Scenario {
    let fill = |round: usize| {
        (0..700).map(move |n| {
            let number = (n * 7919) % 700;
            set(
                &format!("c{number}"),
                number + 1_000 * round,
                9_000 + 13 * (n % 100),
            )
        })
    };
    let mut scenario = Scenario::new("compaction", "cmap");
    scenario.before = fill(0).chain(fill(1)).collect();
    let churn = |from: usize| {
        (from..from + 24).map(|n| match n % 6 {
            0 => Unit::call(&format!("DEL c{}", n * 31 % 700)),
            1 => set(&format!("c{}", n * 57 % 700), n, 60_000),
            _ => set(&format!("c{}", n * 57 % 700), n, 9_000),
        })
    };
    scenario
        .one_by_one(churn(0))
        .at_once((0..60).map(|n| set(&format!("c{}", n * 3), n, 9_500)))
        .one_by_one(churn(24))
        .then(Action::Rest(REST))
        .one_by_one([Unit::transaction(churn(48))])
        .one_by_one(churn(72))
        .at_once((0..60).map(|n| set(&format!("c{}", n * 5), n, 9_700)))
        .then(Action::Rest(REST))
        .one_by_one(calls(&["SET end 1"]))
}

/// Flushes and exchanges of databases, alone, in pipelines and in transactions.
fn generations() -> Scenario {
    let fill = |n: usize| {
        Unit::transaction(calls(&[
            "SELECT 1",
            &format!("MSET a {n} b {n}"),
            "SELECT 2",
            &format!("HSET h f {n}"),
            "SELECT 0",
            &format!("MSET a {n} c {n}"),
        ]))
    };
    Scenario::new("generations", "cmap")
        .one_by_one([fill(1), Unit::call("SWAPDB 0 1"), Unit::call("SET x 1")])
        .one_by_one([Unit::call("SWAPDB 1 2"), Unit::call("FLUSHDB"), fill(2)])
        .at_once([
            Unit::call("SET y 1"),
            Unit::call("FLUSHDB"),
            Unit::call("SET y 2"),
            Unit::call("SWAPDB 0 2"),
            Unit::call("SET y 3"),
        ])
        .one_by_one([fill(3), Unit::call("FLUSHALL"), fill(4)])
        .one_by_one([Unit::transaction(calls(&[
            "SET z 1",
            "SWAPDB 0 1",
            "SET z 2",
            "SELECT 2",
            "FLUSHDB",
            "HSET h g 1",
            "SELECT 0",
        ]))])
        .one_by_one([fill(5), Unit::call("FLUSHALL"), Unit::call("SET w 1")])
        .then(Action::Rest(REST))
        .one_by_one([Unit::call("SWAPDB 0 3"), fill(6)])
}

/// Stops, kills and starts.
fn restarts() -> Scenario {
    Scenario::new("restarts", "cmap")
        .one_by_one(calls(&["MSET a 1 b 2", "HSET h f v", "RPUSH l 1 2 3"]))
        .then(Action::Restart)
        .one_by_one([set("large", 1, 50_000), Unit::call("DEL a")])
        .then(Action::Kill)
        .one_by_one(calls(&["SET c 1", "FLUSHDB", "SET d 2"]))
        .then(Action::Kill)
        .then(Action::Restart)
        .one_by_one([set("large", 2, 300_000)])
        .then(Action::Restart)
}

/// Keys that go by the clock.
fn expiry() -> Scenario {
    let soon = |n: usize| {
        Unit::transaction([
            Unit::call(&format!("SET e{n} old")),
            Unit::call(&format!("SET e{n} new PX 120")),
            Unit::call(&format!("HSET g{n} f 1 g 2")),
            Unit::call(&format!("PEXPIRE g{n} 130")),
        ])
    };
    let mut scenario = Scenario::new("expiry", "cmap");
    scenario.before = (0..12)
        .flat_map(|n| calls(&[&format!("SET e{n} first"), &format!("HSET g{n} f 0")]))
        .collect();
    scenario
        .one_by_one((0..12).map(soon))
        .then(Action::Rest(2 * REST))
        .one_by_one(calls(&["SET e3 again", "HSET g3 f again", "GET e4"]))
        .one_by_one((6..9).map(soon))
        .then(Action::Kill)
        .then(Action::Rest(2 * REST))
        .one_by_one(calls(&["SET e7 again"]))
}

/// Keys that have to go.
fn eviction() -> Scenario {
    let mut scenario = Scenario::new("eviction", "cmap");
    scenario
        .directives
        .extend([("maxmemory", "1mb"), ("maxmemory-policy", "allkeys-lru")]);
    scenario.before = (0..90).map(|n| set(&format!("v{n}"), n, 10_000)).collect();
    scenario.rule = Rule::EachKey;
    scenario.one_by_one((0..40).map(|n| set(&format!("w{}", n % 30), n, 14_000 + 500 * n)))
}

/// `durability power` on an ordinary file system: other calls of libpmem, and each flush a fence.
fn on_disk() -> Scenario {
    let mut scenario = Scenario::new("on-disk", "cmap")
        .one_by_one(calls(&["SET a 1", "MSET a 2 b 3", "HSET h f 1 g 2"]))
        .one_by_one([set("large", 1, 50_000), set("larger", 2, 300_000)])
        .one_by_one([Unit::transaction([
            set("large", 3, 200_000),
            Unit::call("FLUSHDB"),
            set("c", 4, 10),
        ])])
        .then(Action::Kill)
        .one_by_one(calls(&["SET a 1", "SWAPDB 0 1", "SET end 1"]));
    scenario.on_disk = Some("power");
    scenario
}

/// The same where a worker's clients share commits.
fn on_disk_together() -> Scenario {
    let mut scenario = on_disk();
    scenario.name = "on-disk-together";
    scenario.bystanders = 4;
    scenario
}

/// `durability everysec`: pages of many moments, of which the open finds one. Segments are made, filled, emptied and freed.
fn every_second() -> Scenario {
    let churn = |from: usize| {
        (from..from + 90).map(|n| match n % 7 {
            0 => Unit::call(&format!("DEL c{}", n * 31 % 60)),
            1 => set(&format!("c{}", n * 57 % 60), n, 60_000),
            2 => Unit::transaction([
                set(&format!("c{}", n * 13 % 60), n, 3_000),
                Unit::call(&format!("HSET h f{n} {n}")),
                Unit::call("DEL l"),
            ]),
            3 => Unit::call(&format!("RPUSH l {n} {n}")),
            _ => set(&format!("c{}", n * 57 % 60), n, 9_000),
        })
    };
    let mut scenario = Scenario::new("every-second", "cmap")
        .one_by_one(calls(&["SET a 1", "MSET a 2 b 3", "HSET h f 1 g 2"]))
        .then(Action::Sync)
        .at_once(churn(0))
        .then(Action::Sync)
        .at_once(churn(90))
        .one_by_one(calls(&["SWAPDB 0 1", "SET a 4", "FLUSHDB", "SET a 5"]))
        .then(Action::Sync)
        .at_once(churn(180))
        .then(Action::Kill)
        .one_by_one(churn(270).take(20))
        .then(Action::Restart)
        .at_once(churn(300))
        .then(Action::Sync)
        .one_by_one(calls(&["SET end 1"]));
    scenario.on_disk = Some("everysec");
    scenario.every_second = true;
    scenario
}

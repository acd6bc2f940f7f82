//! Streams: entries, groups, deliveries, trimming.

use super::{Scenario, Unit, calls};

pub fn all() -> Vec<Scenario> {
    let mut in_pairs = Scenario::new("streams-in-pairs", "cmap/pairs");
    in_pairs.pool_size = "24mb";
    vec![streams(Scenario::new("streams", "cmap")), streams(in_pairs)]
}

fn streams(scenario: Scenario) -> Scenario {
    let mixed = calls(&[
        "XADD s 1-1 a 1",
        "XADD s 2-1 a 2 b two",
        "XGROUP CREATE s g 0",
        "XREADGROUP GROUP g alice COUNT 1 STREAMS s >",
        "XADD s MAXLEN 2 3-1 a 3",
        "XREADGROUP GROUP g bob STREAMS s >",
        "XACK s g 2-1",
        "XCLAIM s g alice 0 3-1",
        "XDEL s 2-1",
        "XAUTOCLAIM s g carol 0 0",
        "XGROUP CREATE t h $ MKSTREAM",
        "XSETID t 5-5 ENTRIESADDED 7 MAXDELETEDID 4-4",
        "XGROUP DELCONSUMER s g bob",
        "COPY s u",
        "XTRIM u MAXLEN 0",
        "RENAME u v",
        "XGROUP SETID s g 1-1",
        "XGROUP DESTROY s g",
        "DEL v",
    ]);
    let transaction = Unit::transaction(calls(&[
        "XADD s 900-1 in transaction",
        "XGROUP CREATE s k 0",
        "XREADGROUP GROUP k alice STREAMS s >",
        "XACK s k 900-1",
        "XADD w 900-1 in transaction",
    ]));
    // More than a node holds.
    let many = (10..130).map(|ms| Unit::call(&format!("XADD s {ms}-1 number {ms} more of-it")));
    scenario
        .one_by_one(mixed)
        .at_once(many)
        .one_by_one([transaction])
        .one_by_one(calls(&[
            "XTRIM s MAXLEN 20",
            "XGROUP CREATE s m 0",
            "XREADGROUP GROUP m alice COUNT 15 STREAMS s >",
            "XDEL s 120-1 121-1 122-1",
            "XTRIM s MINID 125",
            "DEL s",
        ]))
}

//! Collections that pass from one record to a record for each element, and go on there.

use super::{Action, Scenario, Unit, calls};

pub fn all() -> Vec<Scenario> {
    let mut in_pairs = Scenario::new("collections-in-pairs", "cmap/pairs");
    in_pairs.pool_size = "24mb";
    vec![
        collections(Scenario::new("collections", "cmap")),
        collections(in_pairs),
    ]
}

fn collections(mut scenario: Scenario) -> Scenario {
    scenario.directives.extend([
        ("hash-max-listpack-entries", "3"),
        ("list-max-listpack-size", "3"),
        ("set-max-intset-entries", "2"),
        ("set-max-listpack-entries", "3"),
        ("zset-max-listpack-entries", "3"),
    ]);
    let grow = calls(&[
        "HSET h a 1 b 2",
        "RPUSH l 1 2",
        "SADD s 1 2",
        "ZADD z 1 a 2 b",
        // Past the limits: all elements get records of their own, in the step of the call.
        "HSET h c 3 d 4",
        "RPUSH l 3 4",
        "SADD s 3 four",
        "SADD s 5",
        "ZADD z 3 c 4 d",
        "SADD t 1 2 3 4 5 6",
    ]);
    let change = calls(&[
        "HINCRBY h a 9",
        "HDEL h b c",
        "LPOP l",
        "LINSERT l BEFORE 3 new",
        "LSET l 0 set",
        "LREM l 0 4",
        "SREM s 1",
        "SMOVE s t four",
        "ZINCRBY z 10 a",
        "ZREMRANGEBYRANK z 0 0",
        "LMOVE l m LEFT RIGHT",
        "SUNIONSTORE u s t",
        "ZUNIONSTORE y 2 z s",
        "COPY h i",
        "RENAME i j",
        "SORT m ALPHA STORE l",
        "EXPIREAT j 4102444800",
        "DEL z",
    ]);
    let transaction = Unit::transaction(calls(&[
        "HSET k a 1 b 2 c 3",
        "HSET k d 4",
        "DEL h",
        "HSET h a 1",
        "ZADD z 1 a 2 b 3 c 4 d",
        "ZREM z a b c d",
        "RPUSH m 1 2 3 4",
    ]));
    scenario
        .one_by_one(grow.clone())
        .one_by_one(change)
        .one_by_one([transaction.clone()])
        .then(Action::Kill)
        .at_once(grow)
        .at_once([Unit::call("HDEL h d"), transaction, Unit::call("SET q 1")])
        .one_by_one(calls(&["FLUSHDB", "HSET h a 1 b 2 c 3 d 4", "DEL h"]))
}

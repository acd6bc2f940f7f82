//! Random calls of `SORT` and `SORT_RO` over lists, sets and sorted sets, by the elements or by weights in other keys.
//!
//! Elements have no NUL. If a call sorts by weights as text, all weights differ, because equal ones may come in any
//! order.

use super::{Call, Compare, Random};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let call = match random.below(40) {
        0..6 => fill(random),
        6..10 => {
            // Weights: a different one for each element, so that the order is defined.
            let element = element(random);
            let weight = weight(random, &element);
            let key = format!("w_{element}");
            if random.one_in(3) {
                Call::new(["HSET"])
                    .arg(format!("h_{element}"))
                    .arg("f")
                    .arg(weight)
            } else {
                Call::new(["SET"]).arg(key).arg(weight)
            }
        }
        10 => Call::new(["DEL"]).arg(format!("w_{}", element(random))),
        11 => Call::new(["DEL"]).arg(source(random)),
        12 => Call::new(["RPUSH"])
            .arg("list:1")
            .arg(random.pick(&["x", "1.5.1", "nan", "inf", "-0", " 1"])),
        13 => Call::new(["LRANGE"])
            .arg(random.key_of("list"))
            .args(["0", "-1"]),
        14 => return Call::line(random.pick(BAD)),
        15 => return Call::line(random.pick(&["HELLO 3", "HELLO 2", "HELLO 2"])),
        16 => Call::new(["DEL", "list:1"]),
        _ => return sort(random),
    };
    random.spoil(call)
}

const BAD: &[&str] = &[
    "SORT",
    "SORT list:1 NONSENSE",
    "SORT list:1 LIMIT 0",
    "SORT list:1 LIMIT x 1",
    "SORT list:1 LIMIT 0 1.5",
    "SORT list:1 BY",
    "SORT list:1 GET",
    "SORT list:1 STORE",
    "SORT_RO list:1 STORE list:2",
    "SORT_RO",
    "SORT string:1",
    "SORT string:1 BY nosort",
    "SORT list:9",
    "SORT list:9 STORE list:1",
    "SORT_RO list:9 ALPHA",
];

fn element(random: &mut Random) -> String {
    match random.below(5) {
        0 => random
            .pick(&["a", "b", "c", "dd", "Ee", "10a", ""])
            .to_owned(),
        _ => random.within(-9..30).to_string(),
    }
}

/// A different weight for each element, mostly a number.
fn weight(random: &mut Random, element: &str) -> String {
    let number = element
        .parse::<i64>()
        .unwrap_or_else(|_| 1_000 + element.bytes().map(i64::from).sum::<i64>());
    match random.below(12) {
        0 => format!("x{number}"),
        1 => format!("{number}.25"),
        2 => format!("{}", 500 - number),
        _ => (number * 7 % 101 * 1000 + number).to_string(),
    }
}

fn source(random: &mut Random) -> Vec<u8> {
    let kind = random.pick(&["list", "list", "set", "zset"]);
    random.key_of(kind)
}

/// Sources of numbers alone, or of anything; numbered so that each kind of contents has keys of its own.
fn fill(random: &mut Random) -> Call {
    let count = if random.one_in(12) {
        150
    } else {
        1 + random.below(10)
    };
    let number = 1 + random.below(4);
    let elements: Vec<String> = (0..count)
        .map(|_| match number {
            1 | 2 if count > 20 => random.within(-500..500).to_string(),
            1 | 2 => random.within(-9..30).to_string(),
            _ => element(random),
        })
        .collect();
    match random.below(4) {
        0 | 1 => Call::new(["RPUSH"])
            .arg(format!("list:{number}"))
            .args(elements),
        2 => Call::new(["SADD"])
            .arg(format!("set:{number}"))
            .args(elements),
        _ => {
            let pairs = elements.into_iter().enumerate();
            let pairs = pairs.flat_map(|(score, member)| [score.to_string(), member]);
            Call::new(["ZADD"])
                .arg(format!("zset:{number}"))
                .args(pairs)
        }
    }
}

fn sort(random: &mut Random) -> Call {
    let source = source(random);
    let stores = random.one_in(4);
    let name = if stores {
        "sort"
    } else {
        random.pick(&["SORT", "sort_ro"])
    };
    let mut call = Call::new([name]).arg(&source);
    let by = random.pick(&[
        "", "", "", "w_*", "w_*", "h_*->f", "nosort", "nokey", "w_*->", "*", "h_*->g", "w_**",
    ]);
    let alpha = random.one_in(2) || !source.ends_with(b"1");
    if !by.is_empty() {
        call = call.arg(random.any_case("by")).arg(by);
    }
    // As text, missing weights are equal, and so are all weights by one key's name.
    let undefined = alpha && ["*", "w_*", "h_*->f", "w_*->", "h_*->g", "w_**"].contains(&by);
    // An unsorted set has no order, unless SORT stores it.
    let unsorted = ["nosort", "nokey"].contains(&by)
        && !stores
        && !source.starts_with(b"list")
        && !source.starts_with(b"zset");
    if !undefined && !unsorted {
        call = call.args(random.limit());
    }
    for _ in 0..random.below(3) {
        let pattern = random.pick(&[
            "#", "w_*", "h_*->f", "nosuch", "*", "h_*->", "w_*x", "string:1",
        ]);
        call = call.arg(random.any_case("get")).arg(pattern);
    }
    call = call
        .args(random.maybe(3, "desc"))
        .args(random.maybe(6, "asc"));
    if alpha {
        call = call.arg(random.any_case("alpha"));
    }
    if stores {
        if undefined {
            // A stored list in an undefined order could not be compared later.
            return call.compare(Compare::Length);
        }
        return call
            .arg(random.any_case("store"))
            .arg(random.own_key("list"));
    }
    if undefined || unsorted {
        return call.compare(Compare::Length);
    }
    call
}

//! Random calls of the hash commands, good and bad.

use super::strings::{BAD_FLOATS, BAD_INTEGERS, FLOATS, INTEGERS};
use super::{Call, Compare, Random};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let key = random.key_of("hash");
    let call = match random.below(60) {
        0..8 => Call::new([random.any_case("hset")])
            .arg(key)
            .args(pairs(random)),
        8 | 9 => Call::new(["HMSET"]).arg(key).args(pairs(random)),
        10 => many(random, key),
        11..13 => Call::new(["HSETNX"])
            .arg(key)
            .arg(random.element())
            .arg(value(random)),
        13..17 => Call::new(["hget"]).arg(key).arg(random.element()),
        17..20 => Call::new(["HMGET"]).arg(key).args(random.elements(5)),
        20..24 => Call::new(["HDEL"]).arg(key).args(random.elements(5)),
        24..26 => Call::new(["HLEN"]).arg(key),
        26..28 => Call::new(["HEXISTS"]).arg(key).arg(random.element()),
        28..30 => Call::new(["HSTRLEN"]).arg(key).arg(random.element()),
        30..35 => Call::new(["HINCRBY"])
            .arg(key)
            .arg(counter(random))
            .arg(integer(random)),
        35..39 => Call::new(["HINCRBYFLOAT"])
            .arg(key)
            .arg(counter(random))
            .arg(float(random)),
        39..42 => {
            return Call::new([random.any_case("hgetall")])
                .arg(key)
                .compare(Compare::Pairs);
        }
        42..45 => {
            let name = random.pick(&["HKEYS", "hvals"]);
            return Call::new([name]).arg(key).compare(Compare::Unordered);
        }
        45..48 => return random.walk("hscan", key),
        48..52 => return chosen(random, key),
        52 | 53 => Call::new(["DEL"]).arg(key),
        54 => Call::new(["SET"]).arg(random.own_key("string")).arg("7"),
        55 => return Call::line(random.pick(&["HELLO 3", "HELLO 2", "HELLO 2"])),
        56 => return transaction(random),
        57 => return encoding(random),
        58 => return Call::line(random.pick(BAD)),
        _ => Call::new(["TYPE"]).arg(key),
    };
    random.spoil(call)
}

const BAD: &[&str] = &[
    "HSET hash:1",
    "HSET hash:1 a",
    "HSET hash:1 a 1 b",
    "HMSET hash:1 a 1 b",
    "HMGET hash:1",
    "HGETALL",
    "HGETALL hash:1 x",
    "HDEL hash:1",
    "HKEYS hash:1 x",
    "HSCAN hash:1",
    "HSCAN hash:1 x",
    "HSCAN hash:1 0 COUNT 0",
    "HSCAN hash:1 0 COUNT x",
    "HSCAN hash:1 0 MATCH",
    "HSCAN hash:1 0 TYPE hash",
    "HSCAN hash:9 0 NONSENSE x",
    "HSCAN hash:9 0",
    "HRANDFIELD",
    "HRANDFIELD hash:1 5 WITHVALUE",
    "HRANDFIELD hash:1 WITHVALUES",
    "HRANDFIELD hash:1 5 WITHVALUES x",
    "HRANDFIELD hash:1 9223372036854775807 WITHVALUES",
    "HRANDFIELD hash:1 -9223372036854775807 WITHVALUES",
    "HINCRBY hash:1 a",
    "HINCRBYFLOAT hash:1 a",
    "HSETNX hash:1 a",
    "HSTRLEN hash:1",
];

fn value(random: &mut Random) -> Vec<u8> {
    match random.below(12) {
        0..3 => random.pick(INTEGERS).as_bytes().to_vec(),
        3 => random.pick(FLOATS).as_bytes().to_vec(),
        4..6 => random.value(),
        6 => vec![b'v'; random.pick(&[63, 64, 65])],
        _ => random.element(),
    }
}

fn pairs(random: &mut Random) -> Vec<Vec<u8>> {
    let count = 1 + random.below(5);
    (0..count)
        .flat_map(|_| [random.element(), value(random)])
        .collect()
}

fn many(random: &mut Random, key: Vec<u8>) -> Call {
    let fields = random.many_elements();
    if random.one_in(3) {
        return Call::new(["HDEL"]).arg(key).args(fields);
    }
    let pairs = fields
        .into_iter()
        .flat_map(|field| [[b"f".as_slice(), &field].concat(), field]);
    Call::new(["HSET"]).arg(key).args(pairs)
}

/// Fields, most of which hold numbers.
fn counter(random: &mut Random) -> Vec<u8> {
    match random.below(6) {
        0 => random.element(),
        _ => format!("n{}", random.below(3)).into_bytes(),
    }
}

fn integer(random: &mut Random) -> String {
    match random.below(12) {
        0 => random.pick(BAD_INTEGERS).to_owned(),
        1..4 => random.pick(INTEGERS).to_owned(),
        _ => random.within(-100..100).to_string(),
    }
}

fn float(random: &mut Random) -> String {
    match random.below(12) {
        0 => random.pick(BAD_FLOATS).to_owned(),
        1..4 => random.pick(FLOATS).to_owned(),
        _ => format!("{}e-{}", random.within(-1000..1000), random.below(4)),
    }
}

fn chosen(random: &mut Random, key: Vec<u8>) -> Call {
    let call = Call::new([random.any_case("hrandfield")])
        .arg(key)
        .compare(Compare::Chosen);
    match random.below(3) {
        0 => call,
        1 => call.arg(random.chosen_count()),
        _ => call
            .arg(random.chosen_count())
            .arg(random.any_case("withvalues")),
    }
}

fn transaction(random: &mut Random) -> Call {
    let key = random.own_key("hash");
    let calls = vec![
        Call::new(["HSET"]).arg(&key).args(pairs(random)),
        Call::new(["HINCRBY"]).arg(&key).arg("n0").arg("1"),
        Call::new(["HGET"]).arg(&key).arg(random.element()),
        Call::new(["HDEL"]).arg(&key).args(random.elements(3)),
        Call::new(["HLEN"]).arg(&key),
    ];
    random.transaction(calls)
}

/// A hash made by one command, so that its encoding depends only on its contents.
fn encoding(random: &mut Random) -> Call {
    let key = random.own_key("hash");
    let (fields, bytes) = (random.pick(&[1, 511, 512, 513]), random.pick(&[5, 64, 65]));
    let name = if fields > 512 || bytes > 64 {
        "hashtable"
    } else {
        "listpack"
    };
    let pairs = (0..fields).flat_map(|n| [n.to_string().into_bytes(), vec![b'v'; bytes]]);
    random.then([
        Call::new(["HSET"]).arg(&key).args(pairs),
        Call::new(["OBJECT", "ENCODING"])
            .arg(&key)
            .compare(Compare::Encoding(name)),
    ]);
    Call::new(["DEL"]).arg(&key)
}

//! Random calls of the set commands, good and bad.

use super::{Call, Compare, Random};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let key = random.key_of("set");
    let call = match random.below(70) {
        0..10 => Call::new([random.any_case("sadd")])
            .arg(key)
            .args(random.elements(8)),
        10..12 => Call::new(["SADD"]).arg(key).args(random.many_elements()),
        12 => Call::new(["SREM"]).arg(key).args(random.many_elements()),
        13..17 => Call::new(["SREM"]).arg(key).args(random.elements(5)),
        17..19 => Call::new(["SISMEMBER"]).arg(key).arg(random.element()),
        19..21 => Call::new(["SMISMEMBER"]).arg(key).args(random.elements(5)),
        21..23 => Call::new(["SCARD"]).arg(key),
        23..26 => {
            return Call::new([random.any_case("smembers")])
                .arg(key)
                .compare(Compare::Unordered);
        }
        26..33 => {
            let name = random.pick(&["SINTER", "sunion", "SDIFF"]);
            let keys = random.keys_of("set", 4);
            return Call::new([name]).args(keys).compare(Compare::Unordered);
        }
        33..39 => {
            let name = random.pick(&["SINTERSTORE", "sunionstore", "SDIFFSTORE"]);
            Call::new([name]).arg(key).args(random.keys_of("set", 4))
        }
        39..44 => sintercard(random),
        44..48 => Call::new([random.any_case("smove")])
            .arg(key)
            .arg(random.key_of("set"))
            .arg(random.element()),
        48..56 => return chosen(random, key),
        56..59 => return random.walk("sscan", key),
        59 | 60 => Call::new(["DEL"]).arg(key),
        61 => Call::new(["SET"]).arg(random.own_key("string")).arg("7"),
        62 => return Call::line(random.pick(&["HELLO 3", "HELLO 2", "HELLO 2"])),
        63 => return transaction(random),
        64 | 65 => return encoding(random),
        66 => return Call::line(random.pick(BAD)),
        _ => Call::new(["TYPE"]).arg(key),
    };
    random.spoil(call)
}

const BAD: &[&str] = &[
    "SADD set:1",
    "SREM set:1",
    "SISMEMBER set:1",
    "SMISMEMBER set:1",
    "SCARD",
    "SMEMBERS set:1 x",
    "SINTER",
    "SINTERSTORE set:1",
    "SINTERCARD 1",
    "SINTERCARD 0 set:1",
    "SINTERCARD -1 set:1",
    "SINTERCARD x set:1",
    "SINTERCARD 2 set:1",
    "SINTERCARD 1 set:1 set:2",
    "SINTERCARD 1 set:1 LIMIT",
    "SINTERCARD 1 set:1 LIMIT -1",
    "SINTERCARD 1 set:1 LIMIT x",
    "SINTERCARD 1 set:1 LIMIT 1 LIMIT 2",
    "SMOVE set:1 set:2",
    "SPOP set:1 1 2",
    "SPOP set:1 -1",
    "SPOP set:9 -1",
    "SPOP set:9 0",
    "SPOP set:9",
    "SRANDMEMBER set:1 1 2",
    "SRANDMEMBER set:9 5",
    "SRANDMEMBER set:9",
    "SSCAN set:1",
    "SSCAN set:1 x",
    "SSCAN set:1 0 COUNT 0",
    "SSCAN set:1 0 MATCH",
    "SSCAN set:1 0 NONSENSE x",
    "SSCAN set:9 0",
];

fn sintercard(random: &mut Random) -> Call {
    let keys = random.keys_of("set", 3);
    let call = Call::new([random.any_case("sintercard")]).args(random.numbered(&keys));
    if random.one_in(2) {
        return call.arg(random.any_case("limit")).arg(random.count());
    }
    call
}

fn chosen(random: &mut Random, key: Vec<u8>) -> Call {
    let name = random.pick(&["SPOP", "spop", "SRANDMEMBER", "srandmember"]);
    let call = Call::new([name]).arg(key).compare(Compare::Chosen);
    if random.one_in(3) {
        return call;
    }
    call.arg(random.chosen_count())
}

fn transaction(random: &mut Random) -> Call {
    let key = random.own_key("set");
    let calls = vec![
        Call::new(["SADD"]).arg(&key).args(random.elements(5)),
        Call::new(["SMOVE"])
            .arg(&key)
            .arg(random.own_key("set"))
            .arg(random.element()),
        Call::new(["SUNIONSTORE"])
            .arg(random.own_key("set"))
            .args([random.own_key("set"), random.own_key("set")]),
        Call::new(["SCARD"]).arg(&key),
    ];
    random.transaction(calls)
}

/// A set made by one command, so that its encoding depends only on its contents.
fn encoding(random: &mut Random) -> Call {
    let key = random.own_key("set");
    let (count, prefix, name) = random.pick(&[
        (1, "", "intset"),
        (512, "", "intset"),
        (513, "", "hashtable"),
        (1, "w", "listpack"),
        (128, "w", "listpack"),
        (129, "w", "hashtable"),
        (
            2,
            "sixty-four-bytes-with-a-digit-behind-them---------------------|",
            "listpack",
        ),
        (
            2,
            "sixty-five-bytes-with-a-digit-behind-them----------------------|",
            "hashtable",
        ),
    ]);
    random.then([
        Call::new(["SADD"])
            .arg(&key)
            .args((0..count).map(|n| format!("{prefix}{n}"))),
        Call::new(["OBJECT", "ENCODING"])
            .arg(&key)
            .compare(Compare::Encoding(name)),
    ]);
    Call::new(["DEL"]).arg(&key)
}

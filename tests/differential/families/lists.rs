//! Random calls of the list commands, good and bad.
//!
//! Commands that could wait find elements, have very short timeouts, or run inside a transaction.

use super::{Call, Compare, Random};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let key = random.key_of("list");
    let call = match random.below(80) {
        0..10 => {
            let name = random.pick(&["lpush", "RPUSH", "LPush", "RPUSH", "LPUSHX", "RPUSHX"]);
            Call::new([name]).arg(key).args(random.elements(8))
        }
        10..12 => {
            let name = random.pick(&["LPUSH", "RPUSH"]);
            Call::new([name]).arg(key).args(random.many_elements())
        }
        12..17 => {
            let call = Call::new([random.pick(&["LPOP", "rpop"])]).arg(key);
            if random.one_in(2) {
                call
            } else {
                call.arg(random.count())
            }
        }
        17..19 => Call::new(["LLEN"]).arg(key),
        19..25 => Call::new([random.any_case("lrange")])
            .arg(key)
            .arg(random.index())
            .arg(random.index()),
        25..30 => Call::new(["LINDEX"]).arg(key).arg(random.index()),
        // No huge indexes: 7.0 refuses them, 7.2 cuts them to 32 bits.
        30..34 => Call::new(["LSET"])
            .arg(key)
            .arg(random.within(-9..15).to_string())
            .arg(random.element()),
        34..38 => {
            let place = random.pick(&["before", "AFTER", "After", "BEFORE", "beside"]);
            Call::new(["LINSERT"])
                .arg(key)
                .arg(place)
                .arg(random.element())
                .arg(random.element())
        }
        // Not the smallest number: 7.0 takes it, later versions refuse it.
        38..42 => Call::new(["LREM"])
            .arg(key)
            .arg(random.within(-4..4).to_string())
            .arg(random.element()),
        42..45 => Call::new(["LTRIM"])
            .arg(key)
            .arg(random.index())
            .arg(random.index()),
        45..51 => lpos(random, key),
        51..55 => lmpop(random),
        55..58 => Call::new([random.any_case("lmove")])
            .arg(key)
            .arg(random.key_of("list"))
            .arg(side(random))
            .arg(side(random)),
        58..60 => Call::new(["RPOPLPUSH"]).arg(key).arg(random.key_of("list")),
        60..70 => return blocking(random),
        70 | 71 => return transaction(random),
        72 | 73 => Call::new(["DEL"]).arg(key),
        74 => Call::new(["SET"]).arg(random.own_key("string")).arg("7"),
        75 => return Call::line(random.pick(&["HELLO 3", "HELLO 2", "HELLO 2"])),
        76 => return encoding(random),
        77 => return Call::line(random.pick(BAD)),
        _ => Call::new(["TYPE"]).arg(key),
    };
    random.spoil(call)
}

const BAD: &[&str] = &[
    "LPUSH list:1",
    "LPUSHX list:1",
    "LPOP",
    "LPOP list:1 1 2",
    "LLEN list:1 x",
    "LRANGE list:1 0",
    "LSET list:1 0",
    "LINSERT list:1 BEFORE a",
    "LREM list:1 0",
    "LTRIM list:1 0",
    "LPOS list:1",
    "LPOS list:1 a RANK",
    "LPOS list:1 a COUNT 1 MAXLEN",
    "LPOS list:1 a NONSENSE 1",
    "LMPOP 1 list:1",
    "LMPOP 1 list:1 UP",
    "LMPOP 1 list:1 LEFT COUNT",
    "LMPOP 1 list:1 LEFT COUNT 1 COUNT 2",
    "LMPOP 2 list:1 LEFT",
    "LMOVE list:1 list:2 LEFT",
    "LMOVE list:1 list:2 LEFT UP",
    "RPOPLPUSH list:1",
    "BLPOP list:1",
    "BLPOP 0",
    "BRPOP list:1 x",
    "BLMOVE list:1 list:2 LEFT RIGHT",
    "BLMOVE list:1 list:2 UP RIGHT 0",
    "BLMPOP 0 1 list:1",
    "BLMPOP 0 0 list:1 LEFT",
    "BLMPOP -1 1 list:1 LEFT",
    "BLMPOP x 1 list:1 LEFT",
    "BLMPOP 0 1 list:1 LEFT COUNT 0",
    "BRPOPLPUSH list:1 list:2",
    "BRPOPLPUSH list:1 list:2 -1",
];

fn side(random: &mut Random) -> &'static str {
    if random.one_in(30) {
        return random.pick(&["UP", "", "L"]);
    }
    random.pick(&["LEFT", "RIGHT", "left", "Right"])
}

fn lpos(random: &mut Random, key: Vec<u8>) -> Call {
    let mut call = Call::new([random.any_case("lpos")])
        .arg(key)
        .arg(random.element());
    while random.one_in(2) {
        let option = random.pick(&["rank", "COUNT", "maxlen", "RANK", "count", "MAXLEN"]);
        let number = if random.one_in(10) {
            // 7.2 and 7.0 refuse the smallest number in different ways.
            random
                .pick(&["x", "", "0", "9223372036854775807", "-1", "100"])
                .to_owned()
        } else {
            random.within(-3..6).to_string()
        };
        call = call.arg(option).arg(number);
    }
    call
}

fn lmpop(random: &mut Random) -> Call {
    let keys = random.keys_of("list", 3);
    let call = Call::new([random.any_case("lmpop")]).args(random.numbered(&keys));
    let call = call.arg(side(random));
    if random.one_in(2) {
        return call.arg(random.any_case("count")).arg(random.count());
    }
    call
}

/// A command that may wait.
fn waiting(random: &mut Random, keys: &[Vec<u8>], timeout: &str) -> Call {
    let first = keys[0].clone();
    match random.below(5) {
        0 | 1 => Call::new([random.pick(&["BLPOP", "brpop"])])
            .args(keys)
            .arg(timeout),
        2 => Call::new([random.any_case("blmove")])
            .arg(first)
            .arg(random.key_of("list"))
            .arg(side(random))
            .arg(side(random))
            .arg(timeout),
        3 => {
            let mut call = Call::new(["BLMPOP"])
                .arg(timeout)
                .args(random.numbered(keys))
                .arg(side(random));
            if random.one_in(2) {
                call = call.arg("COUNT").arg(random.count());
            }
            call
        }
        _ => Call::new(["BRPOPLPUSH"])
            .arg(first)
            .arg(random.key_of("list"))
            .arg(timeout),
    }
}

fn blocking(random: &mut Random) -> Call {
    let keys = random.keys_of("list", 3);
    if random.one_in(5) {
        let timeout = random.short_timeout();
        return waiting(random, &keys, timeout);
    }
    // The first key has an element, or is of another type, so that the reply comes at once.
    let timeout = random.pick(&["0", "0.0", "10", "1.5"]);
    let call = waiting(random, &keys, timeout);
    random.then([call]);
    Call::new(["RPUSH"]).arg(&keys[0]).args(random.elements(3))
}

fn transaction(random: &mut Random) -> Call {
    let mut calls = Vec::new();
    for _ in 0..=random.below(4) {
        let keys: Vec<_> = (0..=random.below(2))
            .map(|_| random.own_key("list"))
            .collect();
        if random.one_in(2) {
            calls.push(Call::new(["RPUSH"]).arg(&keys[0]).args(random.elements(2)));
        }
        // Inside a transaction no call waits.
        let timeout = random.pick(&["0", "10", "0.5"]);
        let call = waiting(random, &keys, timeout);
        calls.push(call);
    }
    random.transaction(calls)
}

/// A list made by one command, so that its encoding depends only on its contents.
fn encoding(random: &mut Random) -> Call {
    let key = random.own_key("list");
    let (count, bytes, name) = random.pick(&[
        (1, 10, "listpack"),
        (100, 20, "listpack"),
        (7, 1_000, "listpack"),
        (1, 9_000, "quicklist"),
        (9, 1_000, "quicklist"),
        (600, 20, "quicklist"),
    ]);
    random.then([
        Call::new(["RPUSH"])
            .arg(&key)
            .args((0..count).map(|_| vec![b'v'; bytes])),
        Call::new(["OBJECT", "ENCODING"])
            .arg(&key)
            .compare(Compare::Encoding(name)),
    ]);
    Call::new(["DEL"]).arg(&key)
}

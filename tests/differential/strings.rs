//! Calls on strings.

use super::{Call, Compare, Random};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let call = match random.below(26) {
        0..4 => set(random),
        4..6 => Call::new([random.pick(&["GET", "strlen", "GETDEL"])]).arg(random.key()),
        6 => Call::new(["GETSET"]).arg(random.key()).arg(random.value()),
        7 => getex(random),
        8 | 9 => Call::new(["APPEND"])
            .arg(random.key())
            .arg(short_value(random)),
        10..12 => Call::new([random.pick(&["INCR", "decr"])]).arg(random.key()),
        12..14 => {
            let name = random.pick(&["INCRBY", "decrby"]);
            Call::new([name]).arg(random.key()).arg(random.number())
        }
        14 => Call::new(["INCRBYFLOAT"])
            .arg(random.key())
            .arg(float(random)),
        15..17 => Call::new([random.pick(&["GETRANGE", "substr"])])
            .arg(random.key())
            .arg(random.number())
            .arg(random.number()),
        17 | 18 => setrange(random),
        19 => Call::new(["MGET"]).args(random.keys(5)),
        20 | 21 => several(random),
        22 => Call::new(["SETNX"]).arg(random.key()).arg(random.value()),
        23 => setex(random),
        24 => lcs(random),
        _ => {
            return Call::new(["PTTL"])
                .arg(random.key())
                .compare(Compare::Milliseconds);
        }
    };
    random.spoil(call)
}

/// Doubling a value at every APPEND would only make the test slow.
fn short_value(random: &mut Random) -> Vec<u8> {
    let mut value = random.value();
    value.truncate(20);
    value
}

fn set(random: &mut Random) -> Call {
    let mut call = Call::new(["SET"]).arg(random.key()).arg(random.value());
    while random.one_in(2) {
        call = match random.below(6) {
            0 => call.arg(random.any_case("nx")),
            1 => call.arg(random.any_case("xx")),
            2 => call.arg(random.any_case("get")),
            3 => call.arg(random.any_case("keepttl")),
            4 => expiry(random, call),
            _ => call.arg(random.pick(&["EX", "PXAT", "nonsense", "persist"])),
        };
    }
    call
}

fn expiry(random: &mut Random, call: Call) -> Call {
    let option = random.pick(&["ex", "px", "exat", "pxat"]);
    let bad = random.one_in(5);
    let time = match option {
        _ if bad => random
            .pick(&["0", "-1", "x", "9223372036854775807", ""])
            .to_owned(),
        "ex" => random.ttl_s().to_string(),
        "px" => (random.ttl_s() * 1000).to_string(),
        // Not a past one: when such a key leaves DBSIZE is each server's own matter.
        "exat" => (random.future_ms() / 1000).to_string(),
        _ => random.future_ms().to_string(),
    };
    // A deadline at the end of time overflows in what Redis computes from it later.
    let time = if option == "pxat" && time == "9223372036854775807" {
        "0".to_owned()
    } else {
        time
    };
    call.arg(random.any_case(option)).arg(time)
}

fn getex(random: &mut Random) -> Call {
    let mut call = Call::new(["GETEX"]).arg(random.key());
    while random.one_in(2) {
        call = match random.below(4) {
            0 | 1 => expiry(random, call),
            2 => call.arg(random.any_case("persist")),
            _ => call.arg(random.pick(&["EX", "KEEPTTL", "NX", "x"])),
        };
    }
    call
}

fn float(random: &mut Random) -> String {
    if random.one_in(4) {
        return random.number();
    }
    random
        .pick(&[
            "0.1", "-0.5", "1e3", "3.0", "2.5e-3", "inf", "-inf", "nan", "1e", "0x10", "5.0e",
            ".5", "1e400",
        ])
        .to_owned()
}

fn setrange(random: &mut Random) -> Call {
    let offset = random.pick(&[
        "0",
        "1",
        "5",
        "40",
        "-1",
        "x",
        "536870912",
        "9223372036854775807",
    ]);
    Call::new(["SETRANGE"])
        .arg(random.key())
        .arg(offset)
        .arg(short_value(random))
}

fn several(random: &mut Random) -> Call {
    let mut call = Call::new([random.pick(&["MSET", "msetnx"])]);
    for key in random.keys(4) {
        call = call.arg(key).arg(random.value());
    }
    call
}

fn setex(random: &mut Random) -> Call {
    let name = random.pick(&["SETEX", "psetex"]);
    let time = if random.one_in(4) {
        random
            .pick(&["0", "-1", "x", "9223372036854775807"])
            .to_owned()
    } else {
        (random.ttl_s() * 1000).to_string()
    };
    Call::new([name])
        .arg(random.key())
        .arg(time)
        .arg(random.value())
}

fn lcs(random: &mut Random) -> Call {
    let mut call = Call::new(["LCS"]).arg(random.key()).arg(random.key());
    while random.one_in(2) {
        call = match random.below(4) {
            0 => call.arg(random.any_case("len")),
            1 => call.arg(random.any_case("idx")),
            2 => call.arg(random.any_case("withmatchlen")),
            _ => call.arg("MINMATCHLEN").arg(random.number()),
        };
    }
    call
}

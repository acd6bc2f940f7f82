//! Random calls on keys, deadlines and databases.

use pmemkv_server::serialised::{Object, encode};

use super::{Call, Compare, Random};

/// Databases that calls select.
const DATABASES: &[&str] = &["0", "1", "2"];

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let call = match random.below(38) {
        0..5 => set(random),
        5..8 => {
            let name = random.pick(&["del", "UNLINK"]);
            Call::new([name]).args(random.keys(4))
        }
        8 | 9 => {
            let name = random.pick(&["exists", "TOUCH"]);
            Call::new([name]).args(random.keys(4))
        }
        10 => Call::new(["TYPE"]).arg(random.key()),
        11..14 => {
            let name = random.pick(&["rename", "RENAMENX"]);
            Call::new([name]).arg(random.key()).arg(random.key())
        }
        14 | 15 => copy(random),
        16 => Call::new(["MOVE"]).arg(random.key()).arg(database(random)),
        17 => return Call::line("RANDOMKEY").compare(Compare::ExistingKey),
        18 => {
            return Call::new(["KEYS"])
                .arg(pattern(random))
                .compare(Compare::Unordered);
        }
        19 => return scan(random),
        20 => return bad_scan(random),
        21 => return Call::line(random.pick(&["DBSIZE", "dbsize", "DBSIZE x", "RANDOMKEY x"])),
        22 => object(random),
        23..27 => expire(random),
        27..30 => return ttl(random),
        30 => Call::new(["PERSIST"]).arg(random.key()),
        31 => Call::new(["SELECT"]).arg(database(random)),
        32 => Call::new(["GET"]).arg(random.key()),
        33 => Call::new([random.pick(&["DUMP", "dump"])]).arg(random.key()),
        34..37 => restore(random),
        _ => rare(random),
    };
    random.spoil(call)
}

fn set(random: &mut Random) -> Call {
    let call = Call::new(["SET"]).arg(random.key()).arg(random.value());
    if random.one_in(3) {
        // Not a past deadline: the servers differ in when such a key leaves DBSIZE.
        let deadline = random.future_ms();
        return call.arg("PXAT").arg(deadline.to_string());
    }
    call
}

fn database(random: &mut Random) -> String {
    if random.one_in(6) {
        return random
            .pick(&["16", "-1", "x", "3000000000", "99999999999999999999", "15"])
            .to_owned();
    }
    random.pick(DATABASES).to_owned()
}

fn copy(random: &mut Random) -> Call {
    let mut call = Call::new(["COPY"]).arg(random.key()).arg(random.key());
    while random.one_in(2) {
        call = match random.below(5) {
            0 | 1 => call.arg(random.any_case("replace")),
            2 | 3 => call.arg(random.any_case("db")).arg(database(random)),
            _ => call.arg(random.pick(&["DB", "REPLACED", ""])),
        };
    }
    call
}

fn pattern(random: &mut Random) -> &'static str {
    random.pick(&[
        "*", "a", "?", "[a-c]", "[^a-c]", "key:*", "*:1", "\\[x\\]*", "", "[", "**", "*wo*", "[a-",
        "\\", "??*",
    ])
}

fn scan(random: &mut Random) -> Call {
    let mut call = Call::new(Vec::<&str>::new());
    if random.one_in(2) {
        call = call.arg(random.any_case("match")).arg(pattern(random));
    }
    if random.one_in(2) {
        let count = random.pick(&["1", "2", "10", "1000", "9223372036854775807"]);
        call = call.arg(random.any_case("count")).arg(count);
    }
    if random.one_in(3) {
        let kind = random.pick(&["string", "STRING", "hash", "nonsense"]);
        call = call.arg(random.any_case("type")).arg(kind);
    }
    call.compare(Compare::Scan)
}

/// Only calls that both servers refuse: the servers differ in cursors and in the order of keys.
fn bad_scan(random: &mut Random) -> Call {
    Call::line(random.pick(&[
        "SCAN",
        "SCAN x",
        "SCAN 1x",
        "SCAN 18446744073709551616",
        "SCAN 0 COUNT",
        "SCAN 0 COUNT 0",
        "SCAN 0 COUNT -5",
        "SCAN 0 COUNT x",
        "SCAN 0 COUNT 9223372036854775808",
        "SCAN 0 MATCH",
        "SCAN 0 TYPE",
        "SCAN 0 SOMETHING x",
        "SCAN 0 MATCH * COUNT",
        "SCAN x COUNT 0",
    ]))
}

fn object(random: &mut Random) -> Call {
    let subcommand = random.pick(&[
        "ENCODING", "encoding", "REFCOUNT", "FREQ", "IDLETIME", "nonsense",
    ]);
    let call = Call::new(["OBJECT", subcommand]).arg(random.key());
    if subcommand == "IDLETIME" {
        return call.compare(Compare::Within(2));
    }
    call
}

fn expire(random: &mut Random) -> Call {
    let command = random.pick(&["expire", "pexpire", "EXPIREAT", "PEXPIREAT"]);
    let time = if random.one_in(6) {
        random
            .pick(&[
                "0",
                "-1",
                "x",
                "",
                "9223372036854775807",
                "-9223372036854775808",
                "1.5",
            ])
            .to_owned()
    } else {
        match command {
            "expire" => random.ttl_s().to_string(),
            "pexpire" => (random.ttl_s() * 1000).to_string(),
            "EXPIREAT" => (random.unix_ms() / 1000).to_string(),
            _ => random.unix_ms().to_string(),
        }
    };
    // Redis 7.0 and 7.2 accept the largest time for PEXPIREAT; EXPIRETIME then overflows there.
    let time = if command == "PEXPIREAT" && time == "9223372036854775807" {
        "9223372036854775808".to_owned()
    } else {
        time
    };
    let mut call = Call::new([command]).arg(random.key()).arg(time);
    while random.one_in(3) {
        let option = random.pick(&["nx", "xx", "gt", "lt", "gt", "lt", "soon"]);
        call = call.arg(random.any_case(option));
    }
    call
}

fn ttl(random: &mut Random) -> Call {
    let (command, compare) = random.pick(&[
        ("ttl", Compare::Within(1)),
        ("PTTL", Compare::Milliseconds),
        ("EXPIRETIME", Compare::Within(1)),
        ("pexpiretime", Compare::Milliseconds),
    ]);
    Call::new([command]).arg(random.key()).compare(compare)
}

fn restore(random: &mut Random) -> Call {
    let payload = if random.one_in(8) {
        random
            .pick(&[
                b"".as_slice(),
                b"x",
                b"\x00\x01x\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            ])
            .to_vec()
    } else if random.one_in(12) {
        // A payload with a valid envelope but without a value of any type.
        encode(&Object::Set(Vec::new()))
    } else {
        encode(&Object::String(random.value()))
    };
    let absolute = random.one_in(4);
    let ttl = match random.below(8) {
        0 => random
            .pick(&["x", "", "-1", "1.5", "9223372036854775808"])
            .into(),
        1 if absolute => random.unix_ms().abs().to_string(),
        1..4 if absolute => random.future_ms().to_string(),
        1..4 => (random.ttl_s() * 1000).to_string(),
        4 if !absolute => "9223372036854775807".to_owned(),
        _ => "0".to_owned(),
    };
    let name = random.pick(&["restore", "RESTORE"]);
    let mut call = Call::new([name]).arg(random.key()).arg(ttl).arg(payload);
    if absolute {
        call = call.arg(random.any_case("absttl"));
    }
    if !random.one_in(3) {
        call = call.arg(random.any_case("replace"));
    }
    while random.one_in(4) {
        let number = random.pick(&["0", "1", "-1", "255", "256", "5000", "x", ""]);
        call = match random.below(5) {
            0 | 1 => call.arg(random.any_case("idletime")).arg(number),
            2 | 3 => call.arg(random.any_case("freq")).arg(number),
            _ => call.arg(random.pick(&["REPLACED", "", "IDLETIME", "FREQ", "TTL"])),
        };
    }
    call
}

fn rare(random: &mut Random) -> Call {
    Call::line(random.pick(&[
        "FLUSHDB",
        "FLUSHDB ASYNC",
        "flushdb sync",
        "FLUSHDB now",
        "FLUSHDB SYNC ASYNC",
        "FLUSHALL",
        "FLUSHALL later",
        "SWAPDB 0 1",
        "SWAPDB 1 2",
        "SWAPDB 2 2",
        "SWAPDB x 1",
        "SWAPDB 1 x",
        "SWAPDB 0 16",
        "SWAPDB -1 0",
        "SWAPDB 0 99999999999",
        "OBJECT",
        "OBJECT ENCODING",
        "KEYS",
        "TTL",
        "EXPIRE a",
        "DUMP",
        "DUMP a b",
        "RESTORE a 0",
    ]))
}

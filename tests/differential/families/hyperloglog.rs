//! Random calls of the `HyperLogLog` commands, good and bad. GET compares the values byte for byte, with the estimates
//! that they cache.

use super::{Call, Compare, Random};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let key = key(random);
    let call = match random.below(64) {
        0..20 => {
            let mut elements = elements(random);
            if key == DAMAGED {
                // Redis keeps the changes of the elements before the damage.
                elements.truncate(1);
            }
            Call::new([random.any_case("pfadd")])
                .arg(key)
                .args(elements)
        }
        20..32 => {
            let more = random.pick(&[0, 0, 0, 1, 2, 3]);
            with_keys(random, Call::new(["PFCOUNT"]).arg(key), more)
        }
        32..40 => {
            let more = random.below(4);
            with_keys(random, Call::new(["PFMERGE"]).arg(key), more)
        }
        40..50 => Call::new(["GET"]).arg(key),
        50..52 => Call::new(["STRLEN"]).arg(key),
        52..54 => Call::new(["DEL"]).arg(key),
        54 => Call::new(["PEXPIREAT"])
            .arg(key)
            .arg(random.future_ms().to_string()),
        55 => {
            return Call::new(["PTTL"]).arg(key).compare(Compare::Milliseconds);
        }
        56 => Call::new(["COPY"])
            .arg(random.own_key("hll"))
            .arg(key)
            .arg("REPLACE"),
        57 | 58 => {
            let value = value(random, key == DAMAGED);
            return Call::new(["SET"]).arg(key).arg(value);
        }
        59 => {
            let max = random.pick(&["0", "17", "100", "300", "3000", "3000", "12304", "16000"]);
            return Call::new(["CONFIG", "SET", "hll-sparse-max-bytes", max]);
        }
        60 => return damage(random),
        61 => return Call::line(random.pick(&["HELLO 3", "HELLO 2"])),
        _ => return Call::line(random.pick(BAD)),
    };
    random.spoil(call)
}

const BAD: &[&str] = &[
    "SADD hll:set a",
    "PFADD hll:set a",
    "PFCOUNT hll:set",
    "PFCOUNT hll:1 hll:set hll:none",
    "PFCOUNT hll:none",
    "PFCOUNT hll:none hll:none",
    "PFMERGE hll:set",
    "PFMERGE hll:set hll:1",
    "PFMERGE hll:2 hll:set",
    "PFADD",
    "PFCOUNT",
    "PFMERGE",
    "SET hll:int 12345",
    "PFADD hll:int a",
    "PFCOUNT hll:int",
    "SET hll:text nothing-of-the-kind-at-all",
    "PFADD hll:text a",
    "PFCOUNT hll:1 hll:text",
    "PFMERGE hll:1 hll:text",
    "COMMAND GETKEYSANDFLAGS PFMERGE a b c",
    "COMMAND GETKEYSANDFLAGS PFCOUNT a b",
    "COMMAND GETKEYSANDFLAGS PFADD a b",
];

/// The only key that may have corrupt registers.
const DAMAGED: &[u8] = b"hll:damaged";

fn key(random: &mut Random) -> Vec<u8> {
    if random.one_in(10) {
        return DAMAGED.to_vec();
    }
    random.own_key("hll")
}

fn with_keys(random: &mut Random, call: Call, count: usize) -> Call {
    (0..count).fold(call, |call, _| {
        let key = if random.one_in(8) {
            b"hll:none".to_vec()
        } else {
            key(random)
        };
        call.arg(key)
    })
}

/// No element, a few repeated ones, or so many new ones that a sketch becomes dense.
fn elements(random: &mut Random) -> Vec<Vec<u8>> {
    let numbers = |from: i64, count: usize| (from..).take(count).map(|n| n.to_string().into());
    match random.below(12) {
        0 => Vec::new(),
        1 => vec![random.value(), b"".to_vec()],
        2..7 => {
            let count = 1 + random.below(6);
            numbers(random.within(0..50), count).collect()
        }
        7..10 => {
            let count = random.below(60);
            numbers(random.within(0..100_000), count).collect()
        }
        10 => {
            let count = random.below(400);
            numbers(random.within(0..100_000), count).collect()
        }
        _ => {
            let byte = random.pick(b"\0a\xff");
            let len = random.below(40);
            vec![vec![byte; len]]
        }
    }
}

/// A string that may be a sketch; its registers are intact unless it is `damaged`.
fn value(random: &mut Random, damaged: bool) -> Vec<u8> {
    let form = random.pick(&[0, 1, 1, 1, 1, 1, 2]);
    let cached = random.pick(&[0, 0, 7, 0x80, 0xff]);
    let mut value = b"HYLL".to_vec();
    value.extend([form, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, cached]);
    let whole: &[&[u8]] = &[
        b"\x7f\xff",
        b"\x7f\xfe\x84",
        b"\x00\x7f\xfe",
        b"\x83\x83\x7f\xf7",
        b"\x3f\x7f\xbf",
        b"\x80\x84\x80\x80\x7f\xfb",
        b"\x40\x00\x40\x00\x7f\xfd",
    ];
    // Too few registers, and too many.
    let corrupt: &[&[u8]] = &[b"", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f\xff\x80"];
    let codes = if damaged && random.one_in(2) {
        corrupt
    } else {
        whole
    };
    value.extend(random.pick(codes));
    if form == 0 {
        value.resize(random.pick(&[12_304, 12_304, 12_305]), 0x41);
    }
    if damaged && random.one_in(10) {
        value.truncate(random.below(20));
    }
    value
}

/// Changes a byte of the header, or one of the dense form's registers.
fn damage(random: &mut Random) -> Call {
    let at = random.pick(&["0", "4", "5", "7", "8", "15"]);
    let byte = random.pick(&["\0", "\x01", "\x02", "H", "Z"]);
    Call::new(["SETRANGE"]).arg(DAMAGED).arg(at).arg(byte)
}

//! Random calls of the bitmap commands, good and bad.

use super::strings::{BAD_INTEGERS, INTEGERS};
use super::{Call, Compare, Random};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let key = key(random);
    let call = match random.below(64) {
        0..10 => {
            let bit = bit(random);
            Call::new([random.any_case("setbit")])
                .arg(key)
                .arg(offset(random))
                .arg(bit)
        }
        10..14 => Call::new(["GETBIT"]).arg(key).arg(offset(random)),
        14..20 => range(
            random,
            Call::new(["bitcount"]).arg(key),
            &[0, 2, 2, 2, 3, 3],
        ),
        20..28 => {
            let bit = bit(random);
            range(
                random,
                Call::new(["bitpos"]).arg(key).arg(bit),
                &[0, 1, 2, 2, 3, 3],
            )
        }
        28..36 => combine(random, key),
        36..50 => fields(random, Call::new(["bitfield"]).arg(key), 4),
        50..53 => fields(random, Call::new(["BITFIELD_RO"]).arg(key), 40),
        53..58 => Call::new(["SET"]).arg(key).arg(value(random)),
        58 => Call::new(["DEL"]).arg(key),
        59 => Call::new(["GET"]).arg(key),
        60 => Call::new(["PEXPIREAT"])
            .arg(key)
            .arg(random.future_ms().to_string()),
        61 => {
            return Call::new(["PTTL"]).arg(key).compare(Compare::Milliseconds);
        }
        62 => return Call::line(random.pick(&["HELLO 3", "HELLO 2"])),
        _ => return Call::line(random.pick(BAD)),
    };
    random.spoil(call)
}

const BAD: &[&str] = &[
    "SADD bits:set a",
    "SETBIT bits:1 1",
    "GETBIT bits:1",
    "BITCOUNT",
    "BITCOUNT bits:1 0",
    "BITCOUNT bits:1 0 1 BYTE x",
    "BITCOUNT bits:1 -1 -2 NONSENSE",
    "BITCOUNT bits:9 0",
    "BITCOUNT bits:9 x y z",
    "BITPOS bits:1",
    "BITPOS bits:9 1 x y z",
    "BITPOS bits:9 2",
    "BITPOS bits:1 0 0 1 BIT x",
    "BITPOS bits:set x",
    "BITOP NAND bits:1 bits:2",
    "BITOP NOT bits:1 bits:2 bits:3",
    "BITOP NOT bits:set bits:set",
    "BITOP AND bits:1",
    "BITOP OR bits:1 bits:9 bits:set bits:9",
    "BITFIELD bits:1",
    "BITFIELD bits:set",
    "BITFIELD bits:set SET u8 0 1",
    "BITFIELD bits:1 OVERFLOW",
    "BITFIELD bits:1 OVERFLOW NEVER",
    "BITFIELD bits:1 GET u8",
    "BITFIELD bits:1 SET u8 0",
    "BITFIELD_RO bits:1 SET u8 0 1",
    "BITFIELD_RO bits:1 OVERFLOW SAT GET u8 0",
    "COMMAND GETKEYSANDFLAGS BITFIELD a GET u8 0 OVERFLOW SAT",
    "COMMAND GETKEYSANDFLAGS BITFIELD a GET u8 0 SET u8 0 1",
    "COMMAND GETKEYSANDFLAGS BITFIELD a GET u8",
    "COMMAND GETKEYS BITOP AND a b c",
];

fn key(random: &mut Random) -> Vec<u8> {
    if random.one_in(40) {
        return b"bits:set".to_vec();
    }
    random.own_key("bits")
}

fn bit(random: &mut Random) -> &'static str {
    if random.one_in(20) {
        return random.pick(&["2", "-1", "x", "", "01", "9223372036854775808"]);
    }
    random.pick(&["0", "1", "1"])
}

/// A bit's number: near the start, far away, or impossible.
fn offset(random: &mut Random) -> String {
    match random.below(24) {
        0 => random.pick(BAD_INTEGERS).to_owned(),
        1 => random
            .pick(&["-1", "4294967296", "9223372036854775807", "#1"])
            .to_owned(),
        2 => random.within(0..4000).to_string(),
        _ => random.within(0..120).to_string(),
    }
}

fn position(random: &mut Random) -> String {
    match random.below(24) {
        0 => random.pick(BAD_INTEGERS).to_owned(),
        1 | 2 => random.pick(INTEGERS).to_owned(),
        3..12 => random.within(-10..20).to_string(),
        _ => random.within(-200..200).to_string(),
    }
}

/// Adds one of `counts` arguments that name a range.
fn range(random: &mut Random, mut call: Call, counts: &[usize]) -> Call {
    let count = random.pick(counts);
    for _ in 0..count.min(2) {
        call = call.arg(position(random));
    }
    if count == 3 {
        let unit = random.pick(&["byte", "bit", "bit"]);
        call = call.arg(random.any_case(unit));
    }
    call
}

fn combine(random: &mut Random, to: Vec<u8>) -> Call {
    let name = random.pick(&["and", "or", "xor", "not"]);
    let count = if name == "not" { 1 } else { random.below(4) };
    let call = Call::new(["BITOP"]).arg(random.any_case(name)).arg(to);
    (0..count).fold(call, |call, _| {
        let from = if random.one_in(6) {
            b"bits:none".to_vec()
        } else {
            key(random)
        };
        call.arg(from)
    })
}

/// Some operations on integers; only one of `writes` operations reads if that is large.
fn fields(random: &mut Random, mut call: Call, writes: usize) -> Call {
    for _ in 0..random.below(5) {
        let name = match random.below(writes) {
            0 => random.pick(&["set", "incrby"]),
            1 if writes < 10 => "set",
            2 if writes < 10 => "incrby",
            _ => "get",
        };
        if name != "get" && random.one_in(2) {
            let overflow = random.pick(&["wrap", "sat", "fail", "fail"]);
            call = call
                .arg(random.any_case("overflow"))
                .arg(random.any_case(overflow));
        }
        call = call
            .arg(random.any_case(name))
            .arg(integer_type(random))
            .arg(place(random));
        if name != "get" {
            call = call.arg(number(random));
        }
    }
    call
}

fn integer_type(random: &mut Random) -> String {
    match random.below(60) {
        0 => random
            .pick(&["u64", "i65", "u0", "i0", "U8", "8", "", "u", "i08", "u-1"])
            .to_owned(),
        1..10 => random
            .pick(&["i64", "u63", "i63", "i1", "u1", "i2"])
            .to_owned(),
        10..40 => random.pick(&["u8", "i8", "u16", "i5", "u4"]).to_owned(),
        _ => format!("{}{}", random.pick(&["u", "i"]), random.within(1..64)),
    }
}

fn place(random: &mut Random) -> String {
    if random.one_in(3) {
        return format!("#{}", random.within(0..12));
    }
    if random.one_in(60) {
        return random
            .pick(&["#", "##1", "#-1", "#x", "#9223372036854775"])
            .to_owned();
    }
    offset(random)
}

fn number(random: &mut Random) -> String {
    match random.below(20) {
        0 => random.pick(BAD_INTEGERS).to_owned(),
        1..6 => random.pick(INTEGERS).to_owned(),
        _ => random.within(-300..300).to_string(),
    }
}

/// Bytes, many of which have all bits set or none.
fn value(random: &mut Random) -> Vec<u8> {
    let byte = random.pick(&[0, 0xff]);
    let mut value = vec![byte; random.below(30)];
    for byte in &mut value {
        if random.one_in(6) {
            *byte = random.pick(&[0x80, 0x01, 0x7f, 0xfe, 0x3c, 0x00, 0xff]);
        }
    }
    value
}

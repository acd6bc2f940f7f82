//! Random calls on strings of several hundred kilobytes, which the store keeps in parts. The calls read and change them
//! around the ends of parts.

use super::{Call, Random};

/// Bytes of a string in one of its parts (in segments of 1 MiB, with the keys of this file).
const PART_BYTES: i64 = 65_504 - KEY_BYTES;
const KEY_BYTES: i64 = 6;

/// A string may grow to about this.
const LENGTH_MAX: i64 = 6 * PART_BYTES;

/// One call.
pub fn call(random: &mut Random) -> Call {
    let key = key(random);
    match random.below(64) {
        0..4 => Call::new(["SET"]).arg(key).arg(value(random)),
        4..14 => {
            let tail = tail(random);
            Call::new(["APPEND"]).arg(key).arg(tail)
        }
        14..24 => {
            let offset = offset(random).to_string();
            let patch = tail(random);
            Call::new(["SETRANGE"]).arg(key).arg(offset).arg(patch)
        }
        24..30 => Call::new(["SETBIT"])
            .arg(key)
            .arg(bit(random))
            .arg(random.pick(&["0", "1"])),
        30..36 => fields(random, Call::new(["BITFIELD"]).arg(key)),
        36..42 => {
            let start = offset(random);
            let end = start + random.pick(&[0, 1, 30, 70_000, 140_000]);
            Call::new(["GETRANGE"])
                .arg(key)
                .arg(start.to_string())
                .arg(end.to_string())
        }
        42..44 => Call::new(["GETBIT"]).arg(key).arg(bit(random)),
        44..47 => {
            let call = Call::new(["BITCOUNT"]).arg(key);
            range(random, call)
        }
        47..51 => {
            let bit = random.pick(&["0", "1"]);
            let call = Call::new(["BITPOS"]).arg(key).arg(bit);
            range(random, call)
        }
        51 => Call::new(["STRLEN"]).arg(key),
        52 => Call::new([random.pick(&["GET", "GETDEL"])]).arg(key),
        53 => Call::new(["EXPIRE", "long:1", "100000"]),
        54 => Call::new(["PERSIST", "long:1"]),
        55 => Call::new(["COPY"]).arg(key).arg("long:3").arg("REPLACE"),
        56 | 57 => transaction(random),
        _ => Call::line(random.pick(REFUSED)),
    }
}

/// Calls that fail or answer without the string.
const REFUSED: &[&str] = &[
    "INCR long:1",
    "INCRBYFLOAT long:1 1",
    "LPUSH long:1 a",
    "HGET long:1 a",
    "SADD long:1 a",
    "ZADD long:1 1 a",
    "SUNION long:1 long:2",
    "ZCARD long:1",
    "LLEN long:2",
    "SETNX long:1 a",
    "SET long:2 a NX",
    "MSETNX long:2 a other b",
    "PFADD long:1 a",
    "PFCOUNT long:1",
    "PFCOUNT long:1 long:2",
    "PFMERGE long:1 long:2",
    "SORT long:1",
    "TYPE long:1",
    "EXISTS long:1",
    "OBJECT REFCOUNT long:1",
    "GEOPOS long:1 a",
    "SETRANGE long:1 9223372036854775807 a",
    "SETRANGE long:1 536870911 ab",
    "APPEND long:1 ",
];

fn key(random: &mut Random) -> Vec<u8> {
    random
        .pick(&["long:1", "long:1", "long:2", "long:3"])
        .into()
}

/// A string of a few parts, whose bytes depend on their position.
fn value(random: &mut Random) -> Vec<u8> {
    let length = random.within(1..5) * PART_BYTES + random.within(-2..200);
    bytes(random, length)
}

/// Bytes to add or to write; mostly few.
fn tail(random: &mut Random) -> Vec<u8> {
    let length = match random.below(12) {
        0 => PART_BYTES + random.within(-2..3),
        1 => random.within(1_000..140_000),
        2..4 => 0,
        _ => random.within(1..40),
    };
    bytes(random, length)
}

fn bytes(random: &mut Random, length: i64) -> Vec<u8> {
    let step = usize::try_from(random.within(1..250)).unwrap_or(1);
    (0..usize::try_from(length).unwrap_or(0))
        .map(|at| u8::try_from(at * step % 251).unwrap_or(0))
        .collect()
}

/// A position in the string: at the end of a part, or anywhere; sometimes beyond the string's end.
fn offset(random: &mut Random) -> i64 {
    if random.one_in(3) {
        return random.within(0..LENGTH_MAX);
    }
    (random.within(0..6) * PART_BYTES + random.within(-12..4)).max(0)
}

fn bit(random: &mut Random) -> String {
    (8 * offset(random) + random.within(0..8)).to_string()
}

fn range(random: &mut Random, call: Call) -> Call {
    match random.below(4) {
        0 => call,
        1 => call
            .arg(offset(random).to_string())
            .arg((-offset(random)).to_string()),
        2 => {
            let start = offset(random);
            let end = start + random.within(0..9);
            call.arg(start.to_string()).arg(end.to_string())
        }
        _ => call.arg(bit(random)).arg(bit(random)).arg("BIT"),
    }
}

fn fields(random: &mut Random, mut call: Call) -> Call {
    for _ in 0..=random.below(4) {
        let name = random.pick(&["GET", "SET", "INCRBY"]);
        if name == "INCRBY" {
            call = call
                .arg("OVERFLOW")
                .arg(random.pick(&["WRAP", "SAT", "FAIL"]));
        }
        let kind = random.pick(&["u8", "i64", "u63", "i5", "u1", "i33"]);
        call = call.arg(name).arg(kind).arg(bit(random));
        if name != "GET" {
            call = call.arg(random.within(-200..5_000).to_string());
        }
    }
    call
}

/// Changes of one string in one step; each sees the changes before it.
fn transaction(random: &mut Random) -> Call {
    let mut calls = Vec::new();
    for _ in 0..random.below(8) {
        let mut next = call(random);
        // Useless inside a transaction.
        while next.words[0] == b"MULTI" {
            next = call(random);
        }
        calls.push(next);
    }
    calls.push(Call::new(["EXEC"]));
    random.then(calls);
    Call::new(["MULTI"])
}

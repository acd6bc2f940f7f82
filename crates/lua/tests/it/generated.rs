//! Generated scripts, here and on redis-server.

use std::fmt::Write as _;

use pmemkv_lua::Protocol;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::host::Subject;
use crate::redis::Redis;

/// A number as Lua writes it.
fn number(random: &mut StdRng) -> String {
    match random.random_range(0..8) {
        0 => random.random_range(-10..300).to_string(),
        1 => random.random_range(-70_000..70_000).to_string(),
        2 => format!("{:e}", random.random_range(-1e6..1e6)),
        3 => format!("(2^{})", random.random_range(0..64)),
        4 => format!("(-(2^{}))", random.random_range(0..63)),
        5 => format!("(2^{}-1)", random.random_range(0..53)),
        6 => ["0", "-0", "0.5", "1e300", "1e-300", "(1/0)"][random.random_range(0..6)].into(),
        _ => format!("{:.3}", random.random_range(-100.0..100.0)),
    }
}

/// A string as Lua writes it.
fn string(random: &mut StdRng) -> String {
    let length = [0, 1, 3, 8, 40][random.random_range(0..5)];
    let bytes: Vec<u8> = (0..length)
        .map(|_| match random.random_range(0..4) {
            0 => random.random(),
            1 => b"\"\\/\r\n\t{}[]:,%."[random.random_range(0..14)],
            _ => random.random_range(b'a'..=b'z'),
        })
        .collect();
    literal(&bytes)
}

fn literal(bytes: &[u8]) -> String {
    let mut text = String::from("'");
    for byte in bytes {
        write!(text, "\\{byte:03}").expect("a string takes everything");
    }
    text + "'"
}

/// A value as Lua writes it. A table has one pair with a name at most, since the order of pairs is Lua's own.
fn value(random: &mut StdRng, depth: usize) -> String {
    match random.random_range(0..if depth > 3 { 5 } else { 9 }) {
        0 => "nil".into(),
        1 => "true".into(),
        2 => "false".into(),
        3 => number(random),
        4 => string(random),
        5 => format!("{{[{}]={}}}", string(random), value(random, depth + 1)),
        6 => {
            let shapes = [
                "ok",
                "err",
                "double",
                "big_number",
                "map",
                "set",
                "verbatim_string",
            ];
            format!(
                "{{{}={}}}",
                shapes[random.random_range(0..7)],
                value(random, depth + 1)
            )
        }
        _ => {
            let elements: Vec<String> = (0..random.random_range(0..6))
                .map(|_| value(random, depth + 1))
                .collect();
            format!("{{{}}}", elements.join(","))
        }
    }
}

fn bits(random: &mut StdRng) -> String {
    let names = [
        "tobit", "bnot", "band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror",
        "bswap", "tohex",
    ];
    let arguments: Vec<String> = (0..random.random_range(0..4))
        .map(|_| number(random))
        .collect();
    format!(
        "return bit.{}({})",
        names[random.random_range(0..12)],
        arguments.join(",")
    )
}

fn structs(random: &mut StdRng) -> String {
    let mut format = String::new();
    let mut arguments = Vec::new();
    for _ in 0..random.random_range(1..8) {
        match random.random_range(0..6) {
            0 => format
                .push_str(["<", ">", " ", "!", "!2", "!4", "!16", "x"][random.random_range(0..8)]),
            1 => {
                format.push('s');
                arguments.push(string(random));
            }
            2 => {
                format.push_str(["c0", "c1", "c3"][random.random_range(0..3)]);
                arguments.push(string(random));
            }
            3 => {
                format.push_str(["f", "d"][random.random_range(0..2)]);
                arguments.push(number(random));
            }
            _ => {
                let kinds = [
                    "b", "B", "h", "H", "i", "I", "l", "L", "i3", "I5", "i7", "I16", "i1",
                ];
                format.push_str(kinds[random.random_range(0..13)]);
                arguments.push(number(random));
            }
        }
    }
    let arguments = [vec![String::new()], arguments].concat().join(",");
    format!(
        "local ok, s = pcall(struct.pack, '{format}'{arguments}) \
         if not ok then return s end \
         return {{s, {{pcall(struct.unpack, '{format}', s)}}, {{pcall(struct.size, '{format}')}}}}"
    )
}

/// JSON, more or less.
fn json(random: &mut StdRng, depth: usize) -> String {
    match random.random_range(0..if depth > 3 { 5 } else { 8 }) {
        0 => "null".into(),
        1 => ["true", "false", "tru", "nan", "inf", "-", ""][random.random_range(0..7)].into(),
        2 | 3 => {
            let text = number(random);
            text.trim_matches(['(', ')']).replace('^', "e")
        }
        4 => [
            "\"\"",
            "\"a\\n\"",
            "\"\\u00e9\\ud83d\\ude00\"",
            "\"\\x\"",
            "\"open",
            "\"\\/b\"",
        ][random.random_range(0..6)]
        .into(),
        5 => format!("{{\"k\":{}}}", json(random, depth + 1)),
        _ => {
            let elements: Vec<String> = (0..random.random_range(0..4))
                .map(|_| json(random, depth + 1))
                .collect();
            format!(
                "[{}]",
                elements.join(
                    [",", " , ", ",,"][random.random_range(0..3) / 2 * random.random_range(0..3)]
                )
            )
        }
    }
}

fn cjson(random: &mut StdRng) -> String {
    if random.random() {
        return format!("return {{pcall(cjson.encode, {})}}", value(random, 0));
    }
    let text = literal(json(random, 0).as_bytes());
    format!(
        "local ok, v = pcall(cjson.decode, {text}) \
         if not ok then return v end \
         return {{type(v), (select(2, pcall(cjson.encode, v)))}}"
    )
}

fn cmsgpack(random: &mut StdRng) -> String {
    if random.random() {
        return format!(
            "local s = cmsgpack.pack({}) return {{s, {{pcall(cmsgpack.unpack, s)}}}}",
            value(random, 0)
        );
    }
    let bytes: Vec<u8> = (0..random.random_range(1..12))
        .map(|_| match random.random_range(0..3) {
            0 => random.random_range(0x80..=0xff),
            1 => random.random_range(0..4),
            _ => random.random(),
        })
        .collect();
    let text = literal(&bytes);
    let offset = random.random_range(-1..4);
    format!(
        "return {{{{pcall(cmsgpack.unpack, {text})}}, {{pcall(cmsgpack.unpack_one, {text}, {offset})}}}}"
    )
}

fn texts(random: &mut StdRng) -> String {
    let number = number(random);
    let format = [
        "%d", "%5.2f", "%g", "%x", "%i", "%.3e", "%s", "%q", "%05d", "%-8d|", "%+d",
    ][random.random_range(0..11)];
    format!(
        "return {{tostring({number}), {number}, {{pcall(string.format, '{format}', {number})}}, \
         tonumber({}), math.floor({number}) == {number}}}",
        literal(number.as_bytes())
    )
}

fn patterns(random: &mut StdRng) -> String {
    let pieces = [
        "a", "b", ".", "%a", "%w*", "%d+", "[a-m]", "[^a-m]-", "(a)", "(", ")", "%b()", "%f[%a]",
        "^", "$", "%1", "x?", "%", "[",
    ];
    let pattern: String = (0..random.random_range(1..5))
        .map(|_| pieces[random.random_range(0..19)])
        .collect();
    let subject = string(random);
    format!(
        "local s, p = {subject}, '{pattern}' \
         return {{{{pcall(string.find, s, p)}}, {{pcall(string.match, s, p)}}, {{pcall(string.gsub, s, p, '<%0>')}}, \
         {{pcall(string.gsub, s, p, {{a = 'A'}}, 2)}}}}"
    )
}

#[test]
fn generated_scripts_answer_as_in_redis_server() {
    const ROUNDS: usize = 150;

    let Some(redis) = Redis::start() else {
        eprintln!("skipped: redis-server is not installed");
        return;
    };
    let seed = std::env::var("PMEMKV_LUA_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1);
    let mut random = StdRng::seed_from_u64(seed);
    let kinds: [fn(&mut StdRng) -> String; 8] = [
        bits,
        structs,
        cjson,
        cmsgpack,
        texts,
        patterns,
        |random| format!("return {}", value(random, 0)),
        |random| format!("redis.setresp(3) return {}", value(random, 0)),
    ];
    let mut different = Vec::new();
    let mut connections = [
        (Protocol::Resp2, redis.connect(false)),
        (Protocol::Resp3, redis.connect(true)),
    ];
    let mut subject = Subject::new();
    for _ in 0..ROUNDS {
        for kind in kinds {
            let script = kind(&mut random);
            for (protocol, connection) in &mut connections {
                let expected = connection.send(&[b"EVAL", script.as_bytes(), b"0"]);
                let ours = subject.eval_with(*protocol, script.as_bytes(), &[], &[]);
                // Redis 7.0 writes doubles with 17 digits, 7.2 with the fewest.
                if ours != expected && !script.contains("double=") {
                    let (expected, ours) = (expected.escape_ascii(), ours.escape_ascii());
                    different.push(format!(
                        "{protocol:?}: {script}\n  redis: {expected}\n  here:  {ours}"
                    ));
                }
            }
        }
    }
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

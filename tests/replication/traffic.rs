//! Random commands of all families, as clients of a master send them.

use rand::Rng;
use rand::rngs::StdRng;

use common::{RawClient, TestResult};

/// Few keys, so that commands meet each other's.
const KEYS: usize = 24;

fn key(rng: &mut StdRng, kind: &str) -> String {
    format!("{kind}:{}", rng.random_range(0..KEYS))
}

fn word(rng: &mut StdRng) -> String {
    let len = match rng.random_range(0..60) {
        0 => rng.random_range(1_000..30_000),
        1..6 => rng.random_range(60..200),
        _ => rng.random_range(1..12),
    };
    (0..len)
        .map(|_| char::from(rng.random_range(b'a'..=b'z')))
        .collect()
}

fn small(rng: &mut StdRng) -> String {
    rng.random_range(-20..60).to_string()
}

/// One command.
#[allow(clippy::too_many_lines, clippy::many_single_char_names)] // A table.
pub fn command(rng: &mut StdRng) -> Vec<String> {
    let kinds = ["s", "n", "h", "l", "t", "z", "x", "p", "g"];
    let any = {
        let kind = kinds[rng.random_range(0..kinds.len())];
        key(rng, kind)
    };
    let (s, n, h, l) = (key(rng, "s"), key(rng, "n"), key(rng, "h"), key(rng, "l"));
    let (t, z, x, p) = (key(rng, "t"), key(rng, "z"), key(rng, "x"), key(rng, "p"));
    let (l2, t2, z2) = (key(rng, "l"), key(rng, "t"), key(rng, "z"));
    let (w, v, i, j) = (word(rng), word(rng), small(rng), small(rng));
    let field = format!("f{}", rng.random_range(0..40));
    let db = rng.random_range(0..3).to_string();
    let ms = rng.random_range(1..1500).to_string();
    let id = format!("0-{}", rng.random_range(1..50));
    let text = match rng.random_range(0..72) {
        0 => format!("SET {s} {w}"),
        1 => format!("SET {s} {w} PX {ms}"),
        2 => format!("APPEND {s} {w}"),
        3 => format!("SETRANGE {s} {} {w}", rng.random_range(0..300)),
        4 => format!("INCR {n}"),
        5 => format!("INCRBY {n} {i}"),
        6 => format!("INCRBYFLOAT {n} 0.25"),
        7 => format!("MSET {s} {w} {n} {i}"),
        8 => format!("GETDEL {s}"),
        9 => format!("SETBIT {s} {} 1", rng.random_range(0..2000)),
        10 => format!("BITOP XOR {s} {s} {n}"),
        11 => format!("BITFIELD {s} INCRBY u8 {} 7", rng.random_range(0..100)),
        12 => format!("GETSET {s} {w}"),
        13 => format!("SETNX {s} {w}"),
        14 => format!("GETEX {s} PX {ms}"),
        15 => format!("HSET {h} {field} {w} f0 {i}"),
        16 => format!("HDEL {h} {field} f0"),
        17 => format!("HINCRBY {h} counter {i}"),
        18 => format!("HINCRBYFLOAT {h} float 1.5"),
        19 => format!("HSETNX {h} {field} {w}"),
        20 => format!("LPUSH {l} {w} {v}"),
        21 => format!("RPUSH {l} {i} {w}"),
        22 => format!("LPOP {l} 2"),
        23 => format!("RPOP {l}"),
        24 => format!("LMOVE {l} {l2} LEFT RIGHT"),
        25 => format!("LSET {l} 0 {w}"),
        26 => format!("LINSERT {l} BEFORE {i} {w}"),
        27 => format!("LTRIM {l} 0 20"),
        28 => format!("LREM {l} 0 {i}"),
        29 => format!("BLPOP {l} 0.01"),
        30 => format!("SADD {t} {i} {j} {w}"),
        31 => format!("SREM {t} {i}"),
        32 => format!("SPOP {t}"),
        33 => format!("SPOP {t} 3"),
        34 => format!("SMOVE {t} {t2} {i}"),
        35 => format!("SUNIONSTORE {t} {t} {t2}"),
        36 => format!("SDIFFSTORE {t} {t} {t2}"),
        37 => format!("ZADD {z} {i} {w} {j} m{i}"),
        38 => format!("ZINCRBY {z} {i} m{j}"),
        39 => format!("ZREM {z} m{i}"),
        40 => format!("ZPOPMIN {z} 2"),
        41 => format!("ZUNIONSTORE {z} 2 {z} {z2} WEIGHTS 1 2"),
        42 => format!("ZREMRANGEBYSCORE {z} {i} {i}"),
        43 => format!("ZRANGESTORE {z2} {z} 0 10"),
        44 => format!("ZADD {z} GT CH {i} m{j}"),
        45 => format!("XADD {x} * a {w} b {i}"),
        46 => format!("XADD {x} MAXLEN ~ 30 * f {w}"),
        47 => format!("XGROUP CREATE {x} g 0 MKSTREAM"),
        48 => format!(
            "XREADGROUP GROUP g c{} COUNT 3 STREAMS {x} >",
            rng.random_range(0..3)
        ),
        49 => format!("XAUTOCLAIM {x} g c9 0 0 COUNT 2"),
        50 => format!("XTRIM {x} MAXLEN 10"),
        51 => format!("XGROUP SETID {x} g {id}"),
        52 => format!("XGROUP DELCONSUMER {x} g c1"),
        53 => format!("XREADGROUP GROUP g c2 NOACK STREAMS {x} >"),
        54 => format!("PFADD {p} {w} {i}"),
        55 => format!("PFMERGE {p} {p} {}", key(rng, "p")),
        56 => format!("GEOADD {} {i} {j} {w}", key(rng, "g")),
        57 => format!("DEL {any}"),
        58 => format!("UNLINK {any} {s}"),
        59 => format!("PEXPIRE {any} {ms}"),
        60 => format!("PERSIST {any}"),
        61 => format!("RENAME {s} {}", key(rng, "s")),
        62 => format!("COPY {h} {} REPLACE", key(rng, "h")),
        63 => format!("MOVE {any} {db}"),
        64 | 65 => format!("SELECT {db}"),
        66 => format!("SORT {l} ALPHA STORE {l2}"),
        67 => format!("LMPOP 2 {l} {l2} RIGHT COUNT 2"),
        68 => format!("ZMPOP 2 {z} {z2} MAX"),
        69 if rng.random_range(0..6) == 0 => "FLUSHDB".to_owned(),
        70 if rng.random_range(0..3) == 0 => format!("SWAPDB 0 {db}"),
        71 if rng.random_range(0..6) == 0 => "FLUSHALL".to_owned(),
        _ => {
            let script = "redis.call('INCR', KEYS[1]); redis.call('RPUSH', KEYS[2], ARGV[1]); return redis.call('TIME')[1]";
            let mut words = vec!["EVAL".to_owned(), script.to_owned(), "2".to_owned()];
            words.extend([n, l, w]);
            return words;
        }
    };
    text.split(' ').map(str::to_owned).collect()
}

/// Sends some random commands, a third of them in transactions, and counts them in two keys that show whether anything was
/// applied twice or left out.
pub fn burst(client: &mut RawClient, rng: &mut StdRng, number: u64) -> TestResult {
    let mut calls: Vec<Vec<String>> = Vec::new();
    for _ in 0..rng.random_range(5..40) {
        if rng.random_range(0..8) == 0 {
            calls.push(vec!["MULTI".to_owned()]);
            for _ in 0..rng.random_range(1..6) {
                calls.push(command(rng));
            }
            calls.push(vec!["EXEC".to_owned()]);
        } else {
            calls.push(command(rng));
        }
    }
    let number = number.to_string();
    for words in [
        &["SELECT", "9"][..],
        &["INCR", "counter"],
        &["LPUSH", "log", &number],
        &["LTRIM", "log", "0", "99"],
        &["SELECT", "0"],
    ] {
        calls.push(words.iter().map(|word| (*word).to_owned()).collect());
    }
    for words in &calls {
        client.send(words)?;
    }
    for _ in &calls {
        client.read()?;
    }
    Ok(())
}

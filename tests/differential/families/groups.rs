//! Random calls on the groups of streams, good and bad.

use super::{Call, Compare, Random, streams};

/// One call, sometimes a bad one; among them calls that add and remove entries.
pub fn call(random: &mut Random) -> Call {
    let key = random.key_of("stream");
    let call = match random.below(100) {
        0..30 => return streams::call(random),
        30..33 | 40..45 => return inspect(random, key),
        33..36 => return Call::line(random.pick(BAD)),
        36..40 => pending(random, key).compare(Compare::Times),
        45..48 => create(random, key),
        _ => {
            let mut calls = plain(random);
            let first = calls.remove(0);
            if !calls.is_empty() {
                // A consumer that is not made first may be made or not.
                random.then(calls);
                return first;
            }
            first
        }
    };
    random.spoil(call)
}

const BAD: &[&str] = &[
    "XGROUP",
    "XGROUP CREATE stream:1",
    "XGROUP CREATE stream:1 g",
    "XGROUP CREATE stream:9 g $",
    "XGROUP CREATE stream:1 g x",
    "XGROUP CREATE stream:1 g $ NONSENSE",
    "XGROUP CREATE stream:1 g $ ENTRIESREAD",
    "XGROUP CREATE stream:1 g $ ENTRIESREAD x",
    "XGROUP CREATE stream:1 g $ ENTRIESREAD -2",
    "XGROUP SETID stream:1 g",
    "XGROUP SETID stream:1 nosuch $",
    "XGROUP SETID stream:9 g $",
    "XGROUP SETID stream:1 g 1-1 MKSTREAM",
    "XGROUP SETID stream:1 g 1-1 ENTRIESREAD -7",
    "XGROUP DESTROY stream:1",
    "XGROUP DESTROY stream:9 g",
    "XGROUP CREATECONSUMER stream:1 g",
    "XGROUP CREATECONSUMER stream:1 nosuch c",
    "XGROUP CREATECONSUMER stream:9 g c",
    "XGROUP DELCONSUMER stream:1 g",
    "XGROUP DELCONSUMER stream:1 nosuch c",
    "XGROUP DELCONSUMER stream:9 g c",
    "XGROUP NONSENSE stream:1 g",
    "XGROUP HELP",
    "XREADGROUP",
    "XREADGROUP GROUP g",
    "XREADGROUP GROUP g c",
    "XREADGROUP GROUP g c STREAMS stream:1",
    "XREADGROUP GROUP g c STREAMS stream:1 $",
    "XREADGROUP GROUP g c STREAMS stream:1 x",
    "XREADGROUP GROUP nosuch c STREAMS stream:1 >",
    "XREADGROUP GROUP g c STREAMS stream:9 >",
    "XREADGROUP GROUP g c COUNT x STREAMS stream:1 >",
    "XREADGROUP GROUP g c BLOCK -1 STREAMS stream:1 >",
    "XREADGROUP GROUP g c STREAMS stream:1 stream:2 >",
    "XREADGROUP COUNT 1 STREAMS stream:1 >",
    "XREADGROUP STREAMS stream:1 >",
    "XACK stream:1 g",
    "XACK stream:1 g x",
    "XACK stream:1 nosuch 1-1",
    "XACK stream:9 g 1-1",
    "XPENDING stream:1",
    "XPENDING stream:1 nosuch",
    "XPENDING stream:9 g",
    "XPENDING stream:1 g -",
    "XPENDING stream:1 g - +",
    "XPENDING stream:1 g - + x",
    "XPENDING stream:1 g - + 5 c x",
    "XPENDING stream:1 g IDLE 5",
    "XPENDING stream:1 g IDLE x - + 5",
    "XPENDING stream:1 g IDLE 5 - +",
    "XPENDING stream:1 g x + 5",
    "XPENDING stream:1 g - + 5 nosuch",
    "XCLAIM stream:1 g c",
    "XCLAIM stream:1 g c 0",
    "XCLAIM stream:1 g c x 1-1",
    "XCLAIM stream:1 nosuch c 0 1-1",
    "XCLAIM stream:9 g c 0 1-1",
    "XCLAIM stream:1 g c 0 1-1 NONSENSE",
    "XCLAIM stream:1 g c 0 1-1 IDLE",
    "XCLAIM stream:1 g c 0 1-1 IDLE x",
    "XCLAIM stream:1 g c 0 1-1 TIME x",
    "XCLAIM stream:1 g c 0 1-1 RETRYCOUNT x",
    "XCLAIM stream:1 g c 0 1-1 LASTID x",
    "XAUTOCLAIM stream:1 g c 0",
    "XAUTOCLAIM stream:1 g c x 0",
    "XAUTOCLAIM stream:1 g c 0 x",
    "XAUTOCLAIM stream:1 g c 0 0 COUNT",
    "XAUTOCLAIM stream:1 g c 0 0 COUNT 0",
    "XAUTOCLAIM stream:1 g c 0 0 COUNT x",
    "XAUTOCLAIM stream:1 g c 0 0 COUNT -1",
    "XAUTOCLAIM stream:1 g c 0 0 NONSENSE",
    "XAUTOCLAIM stream:1 nosuch c 0 0",
    "XAUTOCLAIM stream:9 g c 0 0",
    "XINFO GROUPS",
    "XINFO GROUPS stream:9",
    "XINFO GROUPS stream:1 x",
    "XINFO CONSUMERS stream:1",
    "XINFO CONSUMERS stream:1 nosuch",
    "XINFO CONSUMERS stream:9 g",
];

fn group(random: &mut Random) -> &'static str {
    if random.one_in(30) {
        return random.pick(&["rare", ""]);
    }
    random.pick(&["g", "g", "h"])
}

fn consumer(random: &mut Random) -> &'static str {
    random.pick(&["alice", "alice", "bob", "carol", "7"])
}

/// Calls whose replies hold no times.
pub fn plain(random: &mut Random) -> Vec<Call> {
    if random.one_in(3) {
        return read(random);
    }
    let key = random.key_of("stream");
    let group = group(random);
    let call = match random.below(28) {
        0..4 => create(random, key),
        4 => {
            let call = Call::new([random.any_case("xgroup"), random.any_case("setid")])
                .arg(key)
                .arg(group)
                .arg(start(random));
            call.args(entries_read(random))
        }
        5 if random.one_in(2) => Call::new(["XGROUP", "DESTROY"]).arg(key).arg(group),
        5 | 6 => Call::new(["XGROUP", "CREATECONSUMER"])
            .arg(key)
            .arg(group)
            .arg(consumer(random)),
        7 => Call::new(["XGROUP", "DELCONSUMER"])
            .arg(key)
            .arg(group)
            .arg(consumer(random)),
        8..13 => Call::new([random.any_case("xack")])
            .arg(key)
            .arg(group)
            .args((0..=random.below(4)).map(|_| random.entry_id())),
        13..15 => Call::new([random.any_case("xpending")]).arg(key).arg(group),
        which => {
            let consumer = consumer(random);
            let call = match which {
                15..22 => claim(random, &key, group, consumer),
                _ => auto_claim(random, &key, group, consumer),
            };
            return vec![creation(&key, group, consumer), call];
        }
    };
    vec![call]
}

/// Makes a consumer. If there is nothing to read or to claim, Redis 7.2 makes it, and 7.0 does not.
fn creation(key: &[u8], group: &str, consumer: &str) -> Call {
    Call::new(["XGROUP", "CREATECONSUMER"])
        .arg(key)
        .arg(group)
        .arg(consumer)
}

fn start(random: &mut Random) -> String {
    match random.below(5) {
        0 => "$".to_owned(),
        1 | 2 => "0".to_owned(),
        _ => random.entry_id(),
    }
}

fn entries_read(random: &mut Random) -> Vec<String> {
    if !random.one_in(4) {
        return Vec::new();
    }
    // Later versions forget a number that cannot be.
    vec![random.any_case("entriesread"), "-1".to_owned()]
}

fn create(random: &mut Random, key: Vec<u8>) -> Call {
    let call = Call::new([random.any_case("xgroup"), random.any_case("create")])
        .arg(key)
        .arg(group(random))
        .arg(start(random));
    let call = call.args(random.maybe(2, "mkstream"));
    call.args(entries_read(random))
}

/// A read for a group, after its consumer is made.
fn read(random: &mut Random) -> Vec<Call> {
    let keys = random.keys_of("stream", 2);
    let (group, consumer) = (group(random), consumer(random));
    let mut calls: Vec<Call> = keys
        .iter()
        .map(|key| creation(key, group, consumer))
        .collect();
    let mut call = Call::new([random.any_case("xreadgroup"), random.any_case("group")])
        .arg(group)
        .arg(consumer);
    if random.one_in(2) {
        call = call.arg(random.any_case("count")).arg(random.count());
    }
    if random.one_in(5) {
        let timeout = random.pick(&["1", "2", "3"]);
        call = call.arg(random.any_case("block")).arg(timeout);
    }
    call = call.args(random.maybe(6, "noack"));
    call = call.arg(random.any_case("streams")).args(&keys);
    for _ in &keys {
        call = call.arg(match random.below(8) {
            0 => random.entry_id(),
            1 | 2 => "0".to_owned(),
            _ => ">".to_owned(),
        });
    }
    calls.push(call);
    calls
}

/// How long an entry must have been idle: every entry is, or only those that a claim has made old.
fn min_idle(random: &mut Random) -> String {
    match random.below(12) {
        0 => random
            .pick(&["x", "", "-1", "1.5", "9223372036854775808"])
            .to_owned(),
        1..4 => "1000000".to_owned(),
        _ => "0".to_owned(),
    }
}

fn claim(random: &mut Random, key: &[u8], group: &str, consumer: &str) -> Call {
    let mut call = Call::new([random.any_case("xclaim")])
        .arg(key)
        .arg(group)
        .arg(consumer)
        .arg(min_idle(random))
        .args((0..=random.below(3)).map(|_| random.entry_id()));
    while random.one_in(2) {
        call = match random.below(7) {
            0 => call
                .arg(random.any_case("idle"))
                .arg(random.pick(&["0", "5000000", "9000000", "-1"])),
            1 => {
                let ms = random.unix_ms() - 2_000_000_000;
                call.arg(random.any_case("time")).arg(ms.to_string())
            }
            2 => call
                .arg(random.any_case("retrycount"))
                .arg(random.within(0..5).to_string()),
            3 => call.arg(random.any_case("force")),
            4 => call.arg(random.any_case("lastid")).arg(random.entry_id()),
            _ => call.arg(random.any_case("justid")),
        };
    }
    call
}

fn auto_claim(random: &mut Random, key: &[u8], group: &str, consumer: &str) -> Call {
    let from = match random.below(4) {
        0 => random.entry_id(),
        1 => random.range_end(),
        _ => "0-0".to_owned(),
    };
    let mut call = Call::new([random.any_case("xautoclaim")])
        .arg(key)
        .arg(group)
        .arg(consumer)
        .arg(min_idle(random))
        .arg(from);
    if random.one_in(2) {
        call = call
            .arg(random.any_case("count"))
            .arg(random.within(1..6).to_string());
    }
    call.args(random.maybe(4, "justid"))
}

fn pending(random: &mut Random, key: Vec<u8>) -> Call {
    let mut call = Call::new([random.any_case("xpending")])
        .arg(key)
        .arg(group(random));
    if random.one_in(4) {
        call = call
            .arg(random.any_case("idle"))
            .arg(random.pick(&["0", "1000000"]));
    }
    call = match random.below(3) {
        0 => call.arg(random.range_end()).arg(random.range_end()),
        _ => call.arg("-").arg("+"),
    };
    call = call.arg(match random.below(6) {
        0 => random.count(),
        _ => "10".to_owned(),
    });
    if random.one_in(3) {
        call = call.arg(consumer(random));
    }
    call
}

fn inspect(random: &mut Random, key: Vec<u8>) -> Call {
    let name = random.any_case("xinfo");
    let call = match random.below(4) {
        0 => Call::new([name.as_str(), "GROUPS"]).arg(key),
        1 | 2 => Call::new([name.as_str(), "consumers"])
            .arg(key)
            .arg(group(random)),
        _ => Call::new([name.as_str(), "STREAM"])
            .arg(key)
            .args(["FULL", "COUNT", "0"]),
    };
    call.compare(Compare::Times)
}

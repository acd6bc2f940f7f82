//! Random calls of the sorted-set commands, good and bad.
//!
//! Lexical ranges are defined only if all scores are equal, so they have keys of their own.

use super::{Call, Compare, Random};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let key = random.key_of("zset");
    let call = match random.below(100) {
        0..14 => zadd(random, key),
        14..16 => many(random, key),
        16..19 => Call::new(["ZINCRBY"])
            .arg(key)
            .arg(random.score())
            .arg(random.element()),
        19..21 => Call::new([random.pick(&["ZCARD", "TYPE"])]).arg(key),
        21..24 => Call::new([random.any_case("zscore")])
            .arg(key)
            .arg(random.element()),
        24..26 => Call::new(["ZMSCORE"]).arg(key).args(random.elements(4)),
        26..30 => {
            let name = random.pick(&["ZRANK", "zrevrank"]);
            let call = Call::new([name]).arg(key).arg(random.element());
            call.args(random.maybe(6, "withscore"))
        }
        30..33 => Call::new(["ZCOUNT"])
            .arg(key)
            .arg(random.score_end())
            .arg(random.score_end()),
        33..45 => range(random, key),
        45..48 => rangestore(random, key),
        48..52 => lexical(random),
        52..55 => Call::new(["ZREM"]).arg(key).args(random.elements(5)),
        55..59 => remove_range(random, key),
        59..63 => {
            let call = Call::new([random.pick(&["ZPOPMIN", "zpopmax"])]).arg(key);
            if random.one_in(2) {
                call
            } else {
                call.arg(random.count())
            }
        }
        63..67 => zmpop(random),
        67..73 => return blocking(random),
        73..78 => combine(random),
        78..82 => combine_and_store(random),
        82..84 => {
            let keys = random.keys_of("zset", 3);
            let call = Call::new(["ZINTERCARD"]).args(random.numbered(&keys));
            if random.one_in(2) {
                call.arg(random.any_case("limit")).arg(random.count())
            } else {
                call
            }
        }
        84..87 => return chosen(random, key),
        87..89 => return random.walk("zscan", key),
        89 => return Call::line(random.pick(&["HELLO 3", "HELLO 2", "HELLO 2"])),
        90 => return transaction(random),
        91 => return encoding(random),
        92..94 => return Call::line(random.pick(BAD)),
        94 => Call::new(["SET"]).arg(random.own_key("string")).arg("7"),
        95 => Call::new(["SADD"])
            .arg(random.own_key("set"))
            .args(random.elements(6)),
        _ => Call::new(["DEL"]).arg(key),
    };
    random.spoil(call)
}

const BAD: &[&str] = &[
    "ZADD zset:1",
    "ZADD zset:1 1",
    "ZADD zset:1 1 a 2",
    "ZADD zset:1 NX XX 1 a",
    "ZADD zset:1 GT LT 1 a",
    "ZADD zset:1 NX GT 1 a",
    "ZADD zset:1 INCR 1 a 2 b",
    "ZADD zset:1 NX",
    "ZADD zset:1 CH INCR",
    "ZADD zset:1 1 a x b",
    "ZINCRBY zset:1 1",
    "ZRANGE zset:1 0",
    "ZRANGE zset:1 0 1 LIMIT 0 1",
    "ZRANGE zset:1 0 1 BYSCORE BYLEX",
    "ZRANGE zset:1 - + BYLEX WITHSCORES",
    "ZRANGE zset:1 0 1 BYSCORE LIMIT 0",
    "ZRANGE zset:1 0 1 NONSENSE",
    "ZRANGE zset:1 a b BYSCORE",
    "ZRANGE zset:1 a b BYLEX",
    "ZRANGESTORE zset:1 zset:2 0 1 WITHSCORES",
    "ZRANGESTORE zset:1 zset:2 0",
    "ZREVRANGE zset:1 0 1 REV",
    "ZREVRANGE zset:1 0 1 BYSCORE",
    "ZRANGEBYSCORE zset:1 0 1 REV",
    "ZRANGEBYLEX zset:1 - + WITHSCORES",
    "ZLEXCOUNT zset:1 a b",
    "ZCOUNT zset:1 nan 1",
    "ZPOPMIN zset:1 -1",
    "ZPOPMIN zset:1 x",
    "ZPOPMIN zset:1 1 2",
    "ZMPOP 1 zset:1",
    "ZMPOP 0 zset:1 MIN",
    "ZMPOP 1 zset:1 MIDDLE",
    "ZMPOP 1 zset:1 MIN COUNT 0",
    "ZMPOP 1 zset:1 MIN COUNT 1 COUNT 1",
    "BZPOPMIN zset:1",
    "BZPOPMIN zset:1 x",
    "BZPOPMAX zset:1 -1",
    "BZMPOP 0 1 zset:1",
    "BZMPOP -1 1 zset:1 MIN",
    "BZMPOP x 1 zset:1 MIN",
    "BZMPOP 1 0 zset:1 MIN",
    "ZUNION 0 zset:1",
    "ZUNION 1 zset:1 WEIGHTS",
    "ZUNION 1 zset:1 WEIGHTS 1 2",
    "ZUNION 1 zset:1 WEIGHTS nan",
    "ZUNION 1 zset:1 AGGREGATE AVG",
    "ZUNION 1 zset:1 AGGREGATE",
    "ZDIFF 1 zset:1 WEIGHTS 1",
    "ZDIFF 1 zset:1 AGGREGATE SUM",
    "ZDIFFSTORE zset:1 1 zset:1 WITHSCORES",
    "ZUNIONSTORE zset:1 1 zset:1 WITHSCORES",
    "ZUNIONSTORE zset:1 2 zset:1",
    "ZINTERCARD 1 zset:1 LIMIT -1",
    "ZINTERCARD 1 zset:1 LIMIT",
    "ZINTERCARD 1 zset:1 WITHSCORES",
    "ZRANDMEMBER zset:9",
    "ZRANDMEMBER zset:9 3",
    "ZRANDMEMBER zset:1 5 WITHSCORE",
    "ZRANDMEMBER zset:1 WITHSCORES",
    "ZRANDMEMBER zset:1 9223372036854775807 WITHSCORES",
    "ZSCAN zset:1",
    "ZSCAN zset:1 x",
    "ZSCAN zset:1 0 COUNT 0",
    "ZSCAN zset:9 0",
    "ZMSCORE zset:1",
    "ZRANK zset:1",
];

fn zadd(random: &mut Random, key: Vec<u8>) -> Call {
    let mut call = Call::new([random.any_case("zadd")]).arg(key);
    let mut members = 1 + random.below(5);
    while random.one_in(3) {
        let option = random.pick(&["nx", "XX", "gt", "LT", "CH", "ch", "INCR"]);
        if option == "INCR" && !random.one_in(5) {
            members = 1;
        }
        call = call.arg(option);
    }
    for _ in 0..members {
        let score = if random.one_in(4) {
            random.score()
        } else {
            random.good_score()
        };
        call = call.arg(score).arg(random.element());
    }
    call
}

fn many(random: &mut Random, key: Vec<u8>) -> Call {
    let members = random.many_elements();
    if random.one_in(3) {
        return Call::new(["ZREM"]).arg(key).args(members);
    }
    let step = random.within(-3..4);
    let mut score = 0;
    let pairs = members.into_iter().flat_map(|member| {
        score += step;
        [score.to_string().into_bytes(), member]
    });
    Call::new(["ZADD"]).arg(key).args(pairs)
}

/// ZRANGE in all its forms, and the commands that it replaced.
fn range(random: &mut Random, key: Vec<u8>) -> Call {
    let call = match random.below(5) {
        0 => {
            let name = random.pick(&["ZRANGE", "zrevrange"]);
            Call::new([name])
                .arg(key)
                .arg(random.index())
                .arg(random.index())
        }
        1 => {
            let call = Call::new(["zrange"])
                .arg(key)
                .arg(random.index())
                .arg(random.index());
            call.args(random.maybe(2, "rev"))
        }
        2 => {
            let call = Call::new([random.any_case("zrange")])
                .arg(key)
                .arg(random.score_end())
                .arg(random.score_end())
                .arg(random.any_case("byscore"));
            call.args(random.maybe(2, "rev")).args(random.limit())
        }
        _ => {
            let name = random.pick(&["ZRANGEBYSCORE", "zrevrangebyscore"]);
            let call = Call::new([name])
                .arg(key)
                .arg(random.score_end())
                .arg(random.score_end());
            call.args(random.limit())
        }
    };
    call.args(random.maybe(2, "withscores"))
}

fn rangestore(random: &mut Random, key: Vec<u8>) -> Call {
    let call = Call::new([random.any_case("zrangestore")])
        .arg(random.own_key("zset"))
        .arg(key);
    let call = if random.one_in(2) {
        call.arg(random.index()).arg(random.index())
    } else {
        let call = call.arg(random.score_end()).arg(random.score_end());
        call.arg("BYSCORE").args(random.limit())
    };
    call.args(random.maybe(3, "rev"))
}

/// Commands on keys whose members all have the same score.
fn lexical(random: &mut Random) -> Call {
    let key = random.key_of("lex");
    match random.below(12) {
        0..3 => {
            let members = if random.one_in(8) {
                random.many_elements()
            } else {
                random.elements(8)
            };
            let pairs = members
                .into_iter()
                .flat_map(|member| [b"0".to_vec(), member]);
            Call::new(["ZADD"]).arg(key).args(pairs)
        }
        3 => Call::new(["ZLEXCOUNT"])
            .arg(key)
            .arg(random.lex_end())
            .arg(random.lex_end()),
        4..6 => {
            let name = random.pick(&["ZRANGEBYLEX", "zrevrangebylex"]);
            let call = Call::new([name])
                .arg(key)
                .arg(random.lex_end())
                .arg(random.lex_end());
            call.args(random.limit())
        }
        6..9 => {
            let call = Call::new(["ZRANGE"])
                .arg(key)
                .arg(random.lex_end())
                .arg(random.lex_end());
            let call = call.arg(random.any_case("bylex"));
            call.args(random.maybe(2, "rev")).args(random.limit())
        }
        9 => {
            let call = Call::new(["ZRANGESTORE"])
                .arg(random.own_key("lex"))
                .arg(key);
            let call = call
                .arg(random.lex_end())
                .arg(random.lex_end())
                .arg("BYLEX");
            call.args(random.maybe(2, "rev")).args(random.limit())
        }
        10 => Call::new([random.any_case("zremrangebylex")])
            .arg(key)
            .arg(random.lex_end())
            .arg(random.lex_end()),
        _ => Call::new(["ZREM"]).arg(key).args(random.elements(4)),
    }
}

fn remove_range(random: &mut Random, key: Vec<u8>) -> Call {
    if random.one_in(2) {
        let near = random.within(-3..3).to_string();
        return Call::new(["ZREMRANGEBYRANK"])
            .arg(key)
            .arg(near)
            .arg(random.index());
    }
    Call::new([random.any_case("zremrangebyscore")])
        .arg(key)
        .arg(random.score_end())
        .arg(random.score_end())
}

fn end(random: &mut Random) -> &'static str {
    if random.one_in(30) {
        return random.pick(&["MEAN", "", "LEFT"]);
    }
    random.pick(&["MIN", "max", "Min", "MAX"])
}

fn zmpop(random: &mut Random) -> Call {
    let keys = random.keys_of("zset", 3);
    let call = Call::new([random.any_case("zmpop")])
        .args(random.numbered(&keys))
        .arg(end(random));
    if random.one_in(2) {
        return call.arg(random.any_case("count")).arg(random.count());
    }
    call
}

/// A command that may wait.
fn waiting(random: &mut Random, keys: &[Vec<u8>], timeout: &str) -> Call {
    if random.one_in(2) {
        let name = random.pick(&["BZPOPMIN", "bzpopmax"]);
        return Call::new([name]).args(keys).arg(timeout);
    }
    let call = Call::new(["BZMPOP"])
        .arg(timeout)
        .args(random.numbered(keys))
        .arg(end(random));
    if random.one_in(2) {
        return call.arg("COUNT").arg(random.count());
    }
    call
}

fn blocking(random: &mut Random) -> Call {
    let keys = random.keys_of("zset", 3);
    if random.one_in(5) {
        let timeout = random.short_timeout();
        return waiting(random, &keys, timeout);
    }
    // The first key has a member, or is of another type, so that the reply comes at once.
    let timeout = random.pick(&["0", "0.0", "10", "1.5"]);
    let call = waiting(random, &keys, timeout);
    random.then([call]);
    Call::new(["ZADD"])
        .arg(&keys[0])
        .arg(random.good_score())
        .arg(random.element())
}

fn transaction(random: &mut Random) -> Call {
    let mut calls = Vec::new();
    for _ in 0..=random.below(4) {
        let keys: Vec<_> = (0..=random.below(2))
            .map(|_| random.own_key("zset"))
            .collect();
        if random.one_in(2) {
            calls.push(
                Call::new(["ZADD"])
                    .arg(&keys[0])
                    .arg("1")
                    .arg(random.element()),
            );
        }
        let timeout = random.pick(&["0", "10", "0.5"]);
        let call = waiting(random, &keys, timeout);
        calls.push(call);
    }
    random.transaction(calls)
}

fn sources(random: &mut Random) -> Vec<Vec<u8>> {
    let kinds = ["zset", "zset", "zset", "set"];
    (0..=random.below(3))
        .map(|_| {
            let kind = random.pick(&kinds);
            random.key_of(kind)
        })
        .collect()
}

fn weights_and_aggregate(random: &mut Random, keys: usize) -> Vec<String> {
    let mut words = Vec::new();
    if random.one_in(2) {
        words.push(random.any_case("weights"));
        for _ in 0..keys {
            words.push(match random.below(12) {
                0 => random.score(),
                1 => random.pick(&["inf", "-inf", "0"]).to_owned(),
                _ => random
                    .pick(&["1", "2", "-1", "0.5", "10", "-4", "0.25"])
                    .to_owned(),
            });
        }
    }
    if random.one_in(2) {
        words.push(random.any_case("aggregate"));
        words.push(
            random
                .pick(&["SUM", "min", "MAX", "max", "Min", "sum"])
                .to_owned(),
        );
    }
    words
}

fn combine(random: &mut Random) -> Call {
    let keys = sources(random);
    let name = random.pick(&["ZUNION", "zinter", "ZDIFF"]);
    let mut call = Call::new([name]).args(random.numbered(&keys));
    if name != "ZDIFF" {
        call = call.args(weights_and_aggregate(random, keys.len()));
    }
    call.args(random.maybe(2, "withscores"))
}

fn combine_and_store(random: &mut Random) -> Call {
    let keys = sources(random);
    let name = random.pick(&["ZUNIONSTORE", "zinterstore", "ZDIFFSTORE"]);
    let call = Call::new([name])
        .arg(random.own_key("zset"))
        .args(random.numbered(&keys));
    if name == "ZDIFFSTORE" {
        return call;
    }
    call.args(weights_and_aggregate(random, keys.len()))
}

fn chosen(random: &mut Random, key: Vec<u8>) -> Call {
    let call = Call::new([random.any_case("zrandmember")])
        .arg(key)
        .compare(Compare::Chosen);
    match random.below(3) {
        0 => call,
        1 => call.arg(random.chosen_count()),
        _ => call
            .arg(random.chosen_count())
            .arg(random.any_case("withscores")),
    }
}

/// A sorted set made by one command, so that its encoding depends only on its contents.
fn encoding(random: &mut Random) -> Call {
    let key = random.own_key("zset");
    let (count, bytes) = (random.pick(&[1, 128, 129]), random.pick(&[4, 64, 65]));
    let name = if count > 128 || bytes > 64 {
        "skiplist"
    } else {
        "listpack"
    };
    let pairs = (0..count).flat_map(|n| ["1".to_owned(), format!("{n:0bytes$}")]);
    random.then([
        Call::new(["ZADD"]).arg(&key).args(pairs),
        Call::new(["OBJECT", "ENCODING"])
            .arg(&key)
            .compare(Compare::Encoding(name)),
    ]);
    Call::new(["DEL"]).arg(&key)
}

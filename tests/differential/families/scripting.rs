//! Random scripts: they call random commands of other families, and make something of the replies.

use super::{Call, Compare, Generator, Random, hashes, sets, sortedsets, strings};

/// Scripts that call the command in their arguments.
const CALLING: &[&str] = &[
    "return redis.call(unpack(ARGV))",
    "return redis.pcall(unpack(ARGV))",
    "local reply = redis.pcall(unpack(ARGV)) return {type(reply), reply}",
    "local reply = redis.pcall(unpack(ARGV)) if type(reply) == 'table' and reply.err then return reply.err end return reply",
    "redis.setresp(3) return redis.pcall(unpack(ARGV))",
    "return {redis.pcall(unpack(ARGV)), redis.pcall('get', 'a'), redis.pcall('exists', 'a', 'b')}",
    "redis.call('select', 1) redis.pcall(unpack(ARGV)) return redis.call('dbsize')",
    "redis.call('incr', 'counter') redis.call(unpack(ARGV)) return redis.call('get', 'counter')",
    "#!lua flags=no-writes\nreturn redis.call(unpack(ARGV))",
    "#!lua\nreturn redis.call(unpack(ARGV))",
    "local ok, reply = pcall(redis.call, unpack(ARGV)) if ok then return reply end return type(reply)",
];

/// Scripts that need no arguments.
const FIXED: &[&str] = &[
    "return 1",
    "return {1, 2, {3, 'x', false, true}, nil, 4}",
    "return {ok = 'fine'}",
    "return {err = 'bad'}",
    "return redis.error_reply('MY own')",
    "return redis.status_reply('own')",
    "return 3.99",
    "return 'binary\\0text'",
    "return {double = 3.5}",
    "redis.setresp(3) return {map = {a = 1}}",
    "return #KEYS",
    "return KEYS",
    "return {KEYS[1], ARGV[1]}",
    "return tostring(nil)",
    "error('boom')",
    "error({err = 'ERR table'})",
    "return nosuch",
    "nosuch = 1",
    "return redis.call()",
    "return redis.call('nosuch')",
    "return redis.call('get')",
    "return redis.call('multi')",
    "return redis.call('config', 'get', 'port')",
    "return redis.call('script', 'flush')",
    "return redis.call({})",
    "return redis.sha1hex('a')",
    "this is no Lua",
    "#!lua flags=bogus\nreturn 1",
    "#!python\nreturn 1",
    "",
];

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    match random.below(100) {
        0..60 => calling(random),
        60..80 => {
            let script = random.pick(FIXED);
            let call = evaluating(random).arg(script);
            match random.below(6) {
                0 => call.arg("0"),
                1 => call.arg("1").arg(random.key()),
                2 => call.arg("1").arg(random.key()).arg(random.value()),
                3 => call.arg(random.number()).arg(random.key()),
                4 => call.arg("2").arg(random.key()).arg(random.key()),
                _ => call.arg("0").arg(random.value()),
            }
        }
        80..84 => Call::new(["SCRIPT", "LOAD"]).arg(random.pick(FIXED)),
        84..88 => Call::new(["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"]),
        88..90 => Call::new(["EVALSHA", "nosuch", "0"]),
        90..92 => Call::new([
            "SCRIPT",
            "EXISTS",
            "e0e1f9fabfc9d4800c877a703b823ac0578ff8db",
            "x",
        ]),
        92 => Call::line(random.pick(&[
            "SCRIPT FLUSH",
            "SCRIPT FLUSH SYNC",
            "SCRIPT FLUSH now",
            "SCRIPT KILL",
            "SCRIPT NONSENSE",
            "SCRIPT",
            "SCRIPT LOAD",
            "EVAL x",
        ])),
        93 => Call::new(["MULTI"]),
        94..96 => Call::new(["EXEC"]),
        96 => Call::new(["SET"]).arg(random.key()).arg(random.value()),
        _ => Call::new(["GET"]).arg(random.key()),
    }
}

fn evaluating(random: &mut Random) -> Call {
    Call::new([if random.below(5) == 0 {
        "EVAL_RO"
    } else {
        "EVAL"
    }])
}

fn calling(random: &mut Random) -> Call {
    let inner = if random.below(2) == 0 {
        strings::call(random)
    } else {
        collection(random)
    };
    let script = random.pick(CALLING);
    let call = evaluating(random).arg(script).arg("0");
    if inner.compare == Compare::Exact {
        call.args(inner.words)
    } else {
        call.arg("GET").arg(random.key())
    }
}

/// A call of a collection. The other families' calls may announce more of them, which would come outside of scripts.
fn collection(random: &mut Random) -> Call {
    let (key, value) = (random.key(), random.value());
    match random.below(10) {
        0 => Call::new(["HSET"]).arg(key).arg(value).arg("x"),
        1 => Call::new(["HGET"]).arg(key).arg(value),
        2 => Call::new(["RPUSH"]).arg(key).arg(value),
        3 => Call::new(["LRANGE"])
            .arg(key)
            .arg(random.number())
            .arg("-1"),
        4 => Call::new(["LPOP"]).arg(key).arg(random.number()),
        5 => Call::new(["ZADD"]).arg(key).arg(random.number()).arg(value),
        6 => Call::new(["ZRANGE"]).arg(key).arg("0").arg("-1"),
        7 => Call::new(["SADD"]).arg(key).arg(value),
        8 => Call::new(["SISMEMBER"]).arg(key).arg(value),
        _ => Call::new(["DEL"]).arg(key),
    }
}

/// Scripts that return the reply of the command in their arguments as it came, so that replies may be compared as without a
/// script.
const RETURNING: &[&str] = &[
    "return redis.call(unpack(ARGV))",
    "return redis.pcall(unpack(ARGV))",
    "redis.setresp(3) return redis.call(unpack(ARGV))",
    "redis.setresp(3) local reply = redis.pcall(unpack(ARGV)) return reply",
    "redis.setresp(2) return redis.pcall(unpack(ARGV))",
    "local words = {} for i, word in ipairs(ARGV) do words[i] = word end return redis.pcall(unpack(words))",
];

/// Scripts that make something of the reply. What comes in any order is sorted.
const USING: &[&str] = &[
    "local reply = redis.pcall(unpack(ARGV)) if type(reply) ~= 'table' or reply.err then return reply end \
     table.sort(reply) return {#reply, reply}",
    "redis.setresp(3) local reply = redis.pcall(unpack(ARGV)) if type(reply) ~= 'table' then return {type(reply)} end \
     local found = {} for key in pairs(reply.map or reply.set or {}) do found[#found + 1] = tostring(key) end \
     table.sort(found) return {reply.double and 'double' or 'no double', found}",
];

/// One call of a hash, a set or a sorted set from a script, for clients of both protocols.
pub fn of_collections(random: &mut Random) -> Call {
    if random.below(20) == 0 {
        return Call::line(random.pick(&["HELLO 3", "HELLO 2"]));
    }
    let family = random.pick(&[
        hashes::call as Generator,
        sets::call as Generator,
        sortedsets::call as Generator,
    ]);
    // What the call announces would come outside of scripts.
    let announced = random.pending.len();
    let mut inner = family(random);
    random.pending.truncate(announced);
    if inner.words[0].to_ascii_lowercase().ends_with(b"rank") {
        // Redis 7.0 knows no WITHSCORE.
        inner.words.truncate(3);
    }
    if inner.words[0].to_ascii_lowercase().starts_with(b"bz") {
        // Scripts of Redis 7.2 may call what blocks, those of 7.0 may not.
        inner = Call::new(["ZCARD"]).arg(random.key_of("zset"));
    }
    let compare = inner.compare;
    let (script, compare) = match compare {
        // The order comes from the server, so the script must not show it.
        Compare::Unordered | Compare::Pairs if random.below(3) == 0 && is_of_strings(&inner) => {
            (random.pick(USING), Compare::Exact)
        }
        Compare::Exact | Compare::Unordered | Compare::Pairs | Compare::Length => {
            (random.pick(RETURNING), compare)
        }
        Compare::Within(_) | Compare::Milliseconds | Compare::Encoding(_) => {
            (RETURNING[0], compare)
        }
        // These take several calls to compare.
        _ => {
            return evaluating(random)
                .arg(USING[0])
                .arg("0")
                .arg("SMEMBERS")
                .arg(random.key_of("set"));
        }
    };
    evaluating(random)
        .arg(script)
        .arg("0")
        .args(inner.words)
        .compare(compare)
}

/// Whether the call's reply is a flat array of strings, which Lua can sort.
fn is_of_strings(call: &Call) -> bool {
    let name = call.words[0].to_ascii_lowercase();
    matches!(
        name.as_slice(),
        b"hkeys" | b"hvals" | b"smembers" | b"sinter" | b"sunion" | b"sdiff" | b"hgetall"
    )
}

//! Random calls of commands for every type, and of each family's commands on keys of the other types.
//!
//! Sorted sets have keys of their own, because lexical ranges of members with different scores have no defined result.

use super::{Call, Compare, Generator, Random, geo, hashes, lists, sets, sortedsets, strings};

/// The families whose commands meet keys of other types here.
const FAMILIES: &[Generator] = &[
    hashes::call,
    lists::call,
    sets::call,
    sortedsets::call,
    geo::call,
];

const KINDS: &[&str] = &["string", "hash", "list", "set", "zset", "lex", "geo", "any"];

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let call = match random.below(100) {
        0..45 => return of_a_family(random),
        45..50 => return string_command(random),
        50..53 => {
            let call = Call::new([random.pick(&["DEL", "unlink"])]);
            call.args(keys(random))
        }
        53..56 => Call::new([random.pick(&["EXISTS", "touch"])]).args(keys(random)),
        56..59 => Call::new([random.any_case("type")]).arg(key(random)),
        59..64 => {
            let (from, to) = two_keys(random);
            Call::new([random.pick(&["RENAME", "renamenx"])])
                .arg(from)
                .arg(to)
        }
        64..70 => copy(random),
        70..73 => {
            let call = Call::new(["MOVE"]).arg(key(random));
            call.arg(random.pick(&["1", "1", "1", "0", "16", "x"]))
        }
        73..77 => return expire(random),
        77 => Call::new(["PERSIST"]).arg(key(random)),
        78 => {
            return Call::new(["PTTL"])
                .arg(key(random))
                .compare(Compare::Milliseconds);
        }
        79..82 => return scan(random),
        82..90 => return restore(random),
        90 => return Call::line(random.pick(BAD)),
        91 => return refcount(random),
        92 => return transaction(random),
        93 => {
            // To another database, and back again.
            let db = random.pick(&["0", "1"]);
            random.then([Call::new(["DBSIZE"]), Call::line("SELECT 0")]);
            return Call::new(["SELECT"]).arg(db);
        }
        94..97 => Call::new(["SET"])
            .arg(random.own_key("string"))
            .arg(random.value()),
        _ => Call::new(["DEL"]).arg(key(random)),
    };
    random.spoil(call)
}

const BAD: &[&str] = &[
    "DUMP",
    "DUMP hash:1 x",
    "DUMP hash:9",
    "RESTORE hash:1 0",
    "RESTORE hash:8 0 nothing",
    "RESTORE hash:8 x nothing",
    "RESTORE hash:8 -1 nothing",
    "RESTORE hash:8 0 nothing NONSENSE",
    "RESTORE hash:8 0 nothing IDLETIME",
    "RESTORE hash:8 0 nothing IDLETIME -1",
    "RESTORE hash:8 0 nothing FREQ 256",
    "RESTORE hash:8 0 nothing FREQ x",
    "RESTORE hash:8 0 nothing IDLETIME 1 FREQ 1",
    "OBJECT ENCODING",
    "OBJECT ENCODING hash:9",
    "OBJECT REFCOUNT hash:9",
    "SCAN 0 TYPE",
    "EXPIRE list:1 x",
    "EXPIRE list:1",
    "COPY list:1 list:1",
    "COPY list:1",
    "RENAME list:9 list:1",
    "RENAME list:9 list:9",
    "MOVE zset:1 0",
    "FLUSHDB",
];

/// A command of one family, on keys that may be of another type.
fn of_a_family(random: &mut Random) -> Call {
    random.crossed = true;
    let call = random.pick(FAMILIES)(random);
    random.crossed = false;
    call
}

/// A string command, on a key of any type.
fn string_command(random: &mut Random) -> Call {
    let mut call = strings::call(random);
    if call.words.len() < 2 || call.compare != Compare::Exact {
        return call;
    }
    let many = call.words[0].to_ascii_lowercase();
    // A command that replaces any value would leave few collections.
    if ["set", "mset", "setex", "psetex"]
        .iter()
        .any(|name| many == name.as_bytes())
    {
        call.words[1] = random.own_key("string");
        return call;
    }
    call.words[1] = key(random);
    call
}

fn key(random: &mut Random) -> Vec<u8> {
    let kind = random.pick(KINDS);
    random.own_key(kind)
}

fn keys(random: &mut Random) -> Vec<Vec<u8>> {
    (0..=random.below(2)).map(|_| key(random)).collect()
}

/// From one key to another of the same type, or to a key of any type.
fn two_keys(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let kind = random.pick(&["string", "hash", "list", "set", "zset", "lex", "geo"]);
    let from = random.own_key(kind);
    let to = match random.below(4) {
        0 if !["zset", "lex", "geo"].contains(&kind) => "any",
        _ => kind,
    };
    (from, random.own_key(to))
}

fn copy(random: &mut Random) -> Call {
    let (from, to) = two_keys(random);
    let mut call = Call::new([random.any_case("copy")]).arg(from).arg(to);
    while random.one_in(2) {
        call = match random.below(6) {
            0..4 => call.arg(random.any_case("replace")),
            4 => call
                .arg(random.any_case("db"))
                .arg(random.pick(&["0", "1", "16"])),
            _ => call.arg(random.pick(&["DB", "REPLACED"])),
        };
    }
    call
}

fn expire(random: &mut Random) -> Call {
    let ms = random.unix_ms();
    let (name, time) = random.pick(&[("PEXPIREAT", 1), ("expireat", 1_000)]);
    let call = Call::new([name])
        .arg(key(random))
        .arg((ms / time).to_string());
    call.args(random.maybe(8, "nx")).args(random.maybe(8, "gt"))
}

fn scan(random: &mut Random) -> Call {
    let kind = random.pick(&["hash", "LIST", "set", "zset", "string", "stream"]);
    let mut call = Call::new([random.any_case("type")]).arg(kind);
    if random.one_in(2) {
        call = call.arg("COUNT").arg(random.pick(&["1", "10", "1000"]));
    }
    if random.one_in(2) {
        call = call
            .arg("MATCH")
            .arg(random.pick(&["*:1", "*", "s*", "?e*"]));
    }
    call.compare(Compare::Scan)
}

fn restore(random: &mut Random) -> Call {
    let (from, to) = two_keys(random);
    let ttl = match random.below(8) {
        0 => random.pick(&["-1", "x", ""]).to_owned(),
        1 | 2 => random.future_ms().to_string(),
        _ => "0".to_owned(),
    };
    let absolute = ttl.len() > 5;
    let mut call = Call::new([random.any_case("restore")])
        .arg(to)
        .arg(ttl)
        .arg(from);
    if !random.one_in(4) {
        call = call.arg(random.any_case("replace"));
    }
    if absolute {
        call = call.arg(random.any_case("absttl"));
    }
    call = match random.below(8) {
        0 => call.arg("IDLETIME").arg("5"),
        1 => call.arg("FREQ").arg("5"),
        _ => call,
    };
    call.compare(Compare::Restore)
}

/// For collections this reply is always the same.
fn refcount(random: &mut Random) -> Call {
    let kind = random.pick(&["hash", "list", "set", "zset"]);
    let key = random.own_key(kind);
    Call::new(["OBJECT", "REFCOUNT"]).arg(key)
}

fn transaction(random: &mut Random) -> Call {
    let (from, to) = two_keys(random);
    let calls = vec![
        Call::new(["RPUSH"])
            .arg(random.own_key("list"))
            .args(random.elements(3)),
        Call::new(["HSET"])
            .arg(random.own_key("hash"))
            .args(["f", "v"]),
        Call::new(["COPY"]).arg(&from).arg(&to).arg("REPLACE"),
        Call::new(["RENAME"]).arg(&to).arg(&from),
        Call::new(["TYPE"]).arg(&from),
        Call::new(["SADD"])
            .arg(random.own_key("set"))
            .args(random.elements(3)),
        Call::new(["DEL"]).arg(key(random)),
        Call::new(["LMOVE"])
            .arg(random.own_key("list"))
            .arg(random.own_key("list"))
            .args(["LEFT", "RIGHT"]),
    ];
    random.transaction(calls)
}

//! The index that outlives the process is what the log says, after SIGKILL at random moments: the whole key space of a server
//! that has taken the index over is compared with that of one that reads a copy of the pool from its beginning.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value, encode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::mixes::bytes;
use crate::seed_and_rounds;

const CONNECTIONS: usize = 4;
const DATABASES: usize = 3;
const KEYS: u32 = 6_000;
const PIPELINE_MAX: usize = 24;
/// How long the connections write before the server is killed, ms.
const ROUND_MS: std::ops::Range<u64> = 10..150;
/// How long the background may take to remove keys past their deadline.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the server's log says where it has taken over the index.
const TAKEN_OVER: &str = "the index of the last process is taken over";
const HOUR_MS: &str = "3600000";
/// The server's log says this where elements were gathered after a start.
const GATHERED: &str = "the elements of collections are gathered";
/// Collections of these names have elements with records of their own.
const LARGE: u32 = 12;
/// In the contents of the first database, where no client can make it: the libraries of functions.
const FUNCTIONS: &[u8] = b"functions";

/// For each database, each key with its value and its deadline.
type Contents = Vec<BTreeMap<Vec<u8>, (Value, Value)>>;

#[test]
fn the_index_is_what_the_log_says() -> TestResult {
    let (seed, rounds) = seed_and_rounds(20)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let with_index = Options::new("cmap")
        .pool_size("40mb")
        .directive("worker-threads", "3")
        .directive("index-file", "test.index");
    let mut server = Server::start_with(with_index)?;
    for round in 0..rounds {
        let port = server.port();
        let writers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let rng = StdRng::seed_from_u64(rng.random());
                thread::spawn(move || write(port, rng))
            })
            .collect();
        thread::sleep(Duration::from_millis(rng.random_range(ROUND_MS)));
        server.kill_9()?;
        for writer in writers {
            writer.join().expect("the writer does not panic");
        }
        let copy = server.dir().join("copy.pool");
        fs::copy(server.pool_path(), &copy)?;
        // A start can be killed too.
        if rng.random_bool(0.3) {
            let after = Duration::from_millis(rng.random_range(1..80));
            server.resume_and_kill(after)?;
        }
        server.resume()?;
        // Writers may come while elements are still gathered.
        if rng.random_bool(0.25) && round + 1 < rounds {
            continue;
        }
        let found = read(server.port())?;
        let path = copy.display().to_string();
        let truth = Options::new("cmap")
            .directive("pool-path", &path)
            .directive("index-file", "no");
        let truth = Server::start_with(truth)?;
        let expected = read(truth.port())?;
        for (db, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let all = found.keys().chain(expected.keys());
            if let Some(key) = all
                .into_iter()
                .find(|&key| found.get(key) != expected.get(key))
            {
                return Err(format!(
                    "PMEMKV_SEED={seed}, round {round}, database {db}: {} keys, the log has {}; {} is {:?}, in the log {:?}\n{}",
                    found.len(),
                    expected.len(),
                    key.escape_ascii(),
                    found.get(key),
                    expected.get(key),
                    server.log(),
                )
                .into());
            }
        }
    }
    let gathered = server.log().matches(GATHERED).count();
    assert!(gathered * 2 > rounds, "{}", server.log());
    let taken_over = server.log().matches(TAKEN_OVER).count();
    assert!(
        taken_over * 2 > rounds,
        "the index was taken over only {taken_over} times in {rounds} rounds\n{}",
        server.log()
    );
    server.terminate()
}

/// Writes until the server is gone.
fn write(port: u16, mut rng: StdRng) {
    let Ok(mut client) = RawClient::connect(port) else {
        return;
    };
    loop {
        let mut request = Vec::new();
        let calls = rng.random_range(1..=PIPELINE_MAX);
        let replies: usize = (0..calls).map(|_| call(&mut rng, &mut request)).sum();
        if client.send_bytes(&request).is_err() {
            return;
        }
        for _ in 0..replies {
            if client.read().is_err() {
                return;
            }
        }
    }
}

fn add(request: &mut Vec<u8>, words: &[&[u8]]) {
    encode(request, words);
}

/// Adds a call, or several. Returns how many replies they get.
fn call(rng: &mut StdRng, request: &mut Vec<u8>) -> usize {
    let key = |rng: &mut StdRng, kind: &str| {
        let number = rng.random_range(0..KEYS);
        format!("{kind}:{number}").into_bytes()
    };
    let (string, other) = (key(rng, "s"), key(rng, "s"));
    let member = format!("member:{}", rng.random_range(0..12)).into_bytes();
    let value = match rng.random_range(0..40) {
        0 => bytes(rng, 20_000..60_000),
        1..5 => bytes(rng, 500..4_000),
        _ => bytes(rng, 0..200),
    };
    let short = value[..value.len().min(20)].to_vec();
    match rng.random_range(0..130) {
        0..30 => add(request, &[b"SET", &string, &value]),
        30..34 => add(
            request,
            &[b"SET", &string, &value, b"PX", HOUR_MS.as_bytes()],
        ),
        34..36 => add(request, &[b"SET", &string, &value, b"PX", b"5"]),
        36..46 => add(request, &[b"DEL", &string, &other]),
        46..50 => add(request, &[b"APPEND", &string, &short]),
        50..53 => add(request, &[b"SETRANGE", &string, b"30000", &short]),
        53..56 => add(request, &[b"INCR", &key(rng, "n")]),
        56..59 => add(request, &[b"PEXPIRE", &string, HOUR_MS.as_bytes()]),
        59..61 => add(request, &[b"PERSIST", &string]),
        61..69 => add(request, &[b"HSET", &key(rng, "h"), &member, &short]),
        69..72 => add(request, &[b"HDEL", &key(rng, "h"), &member]),
        72..76 => add(request, &[b"SADD", &key(rng, "set"), &member]),
        76..79 => add(request, &[b"ZADD", &key(rng, "z"), b"1.5", &member]),
        79..82 => {
            let list = key(rng, "l");
            add(request, &[b"RPUSH", &list, &short]);
            add(request, &[b"LTRIM", &list, b"0", b"9"]);
            return 2;
        }
        82..87 => add(request, &[b"MSET", &string, &value, &other, &short]),
        87..89 => add(request, &[b"RENAME", &string, &other]),
        89..91 => add(request, &[b"COPY", &string, &other, b"REPLACE"]),
        91..94 => {
            let db = rng.random_range(0..DATABASES).to_string();
            add(request, &[b"SELECT", db.as_bytes()]);
        }
        94..99 => {
            add(request, &[b"MULTI"]);
            add(request, &[b"SET", &string, &value]);
            add(request, &[b"DEL", &other]);
            add(request, &[b"HSET", &key(rng, "h"), &member, &short]);
            if rng.random_bool(0.001) {
                add(request, &[b"FLUSHDB"]);
            } else {
                add(request, &[b"SET", &other, &short]);
            }
            add(request, &[b"EXEC"]);
            return 6;
        }
        99 if rng.random_bool(0.005) => add(request, &[b"FLUSHDB"]),
        99 => add(request, &[b"SWAPDB", b"0", b"1"]),
        _ => return large_call(rng, request),
    }
    1
}

/// As [`call`], for what no index in the arena names by itself.
fn large_call(rng: &mut StdRng, request: &mut Vec<u8>) -> usize {
    let number = rng.random_range(0..LARGE);
    let key = |kind: &str| format!("large:{kind}:{number}").into_bytes();
    let member = |rng: &mut StdRng| format!("member:{:040}", rng.random_range(0..400)).into_bytes();
    let value = match rng.random_range(0..60) {
        // It takes several records.
        0 => bytes(rng, 20_000..40_000),
        _ => bytes(rng, 0..120),
    };
    let (one, two, three) = (member(rng), member(rng), member(rng));
    let score = rng.random_range(-50..50).to_string();
    match rng.random_range(0..100) {
        0..14 => {
            let words: &[&[u8]] = &[b"HSET", &key("h"), &one, &value, &two, b"", &three, &one];
            add(request, words);
        }
        14..20 => add(request, &[b"HDEL", &key("h"), &one, &two]),
        20..24 => {
            let time: &[u8] = if rng.random_bool(0.5) {
                b"5"
            } else {
                HOUR_MS.as_bytes()
            };
            let words: &[&[u8]] = &[b"HPEXPIRE", &key("h"), time, b"FIELDS", b"1", &one];
            add(request, words);
        }
        24..34 => add(request, &[b"SADD", &key("set"), &one, &two, &three]),
        34..38 => add(request, &[b"SREM", &key("set"), &one, &two]),
        38..48 => {
            let words: &[&[u8]] = &[b"ZADD", &key("z"), score.as_bytes(), &one, b"2", &two];
            add(request, words);
        }
        48..52 => add(request, &[b"ZPOPMIN", &key("z"), b"2"]),
        52..60 => add(request, &[b"RPUSH", &key("l"), &value, &one]),
        60..64 => add(request, &[b"LPUSH", &key("l"), &one]),
        64..67 => add(request, &[b"LTRIM", &key("l"), b"2", b"300"]),
        67..78 => add(request, &[b"XADD", &key("x"), b"*", b"field", &value]),
        78..80 => add(request, &[b"XTRIM", &key("x"), b"MAXLEN", b"150"]),
        80..82 => {
            let words: &[&[u8]] = &[b"XGROUP", b"CREATE", &key("x"), b"g", b"0", b"MKSTREAM"];
            add(request, words);
        }
        82..85 => {
            let words: &[&[u8]] = &[
                b"XREADGROUP",
                b"GROUP",
                b"g",
                b"c",
                b"COUNT",
                b"3",
                b"STREAMS",
                &key("x"),
                b">",
            ];
            add(request, words);
        }
        85..87 => add(request, &[b"RENAME", &key("h"), b"large:h:renamed"]),
        87..88 => add(
            request,
            &[b"COPY", &key("z"), b"large:z:copied", b"REPLACE"],
        ),
        88..90 => add(request, &[b"PEXPIRE", &key("set"), b"5"]),
        90..92 => add(request, &[b"DEL", &key("l"), &key("z")]),
        92..93 => add(request, &[b"SET", &key("set"), &value]),
        93..97 => {
            add(request, &[b"MULTI"]);
            add(request, &[b"SADD", &key("set"), &one]);
            add(request, &[b"DEL", &key("h")]);
            add(request, &[b"HSET", &key("h"), &two, &value]);
            add(request, &[b"EXEC"]);
            return 5;
        }
        _ => {
            let n = rng.random_range(0..3);
            let text = format!(
                "#!lua name=l{n}\nredis.register_function('f{n}', function() return {score} end)"
            );
            match rng.random_range(0..3) {
                0 => add(request, &[b"FUNCTION", b"FLUSH"]),
                _ => add(
                    request,
                    &[b"FUNCTION", b"LOAD", b"REPLACE", text.as_bytes()],
                ),
            }
        }
    }
    1
}

/// A large collection without order, in an order of its own. Others are as they are.
fn in_order(client: &mut RawClient, key: &[u8], value: Value) -> TestResult<Value> {
    if key.starts_with(b"large:set") {
        let Value::Array(mut members) = client.call(&[b"SMEMBERS", key])? else {
            return Ok(value);
        };
        members.sort_by_key(|member| format!("{member:?}"));
        return Ok(Value::Array(members));
    }
    if !key.starts_with(b"large:h") {
        return Ok(value);
    }
    let Value::Array(mut fields) = client.call(&[b"HKEYS", key])? else {
        return Ok(value);
    };
    fields.sort_by_key(|field| format!("{field:?}"));
    let mut contents = vec![client.call(&[b"HLEN", key])?];
    for field in fields {
        let Value::Bulk(name) = &field else {
            continue;
        };
        let deadline: &[&[u8]] = &[b"HPEXPIRETIME", key, b"FIELDS", b"1", name];
        contents.extend([
            client.call(&[b"HGET", key, name])?,
            client.call(deadline)?,
            field,
        ]);
    }
    Ok(Value::Array(contents))
}

/// All that a server has, without what is about to expire.
fn read(port: u16) -> TestResult<Contents> {
    let mut client = RawClient::connect(port)?;
    // Whatever has a short deadline is gone by then.
    thread::sleep(Duration::from_millis(20));
    let mut all = Contents::new();
    for db in 0..DATABASES {
        client.call(&["SELECT", &db.to_string()])?;
        let mut keys = Vec::new();
        let mut cursor = b"0".to_vec();
        loop {
            let page = client.call(&[b"SCAN".as_slice(), &cursor, b"COUNT", b"1000"])?;
            let Value::Array(page) = page else {
                return Err("SCAN answers no array".into());
            };
            let [Value::Bulk(next), Value::Array(found)] = page.as_slice() else {
                return Err("SCAN answers no page".into());
            };
            for key in found {
                if let Value::Bulk(key) = key {
                    keys.push(key.clone());
                }
            }
            cursor.clone_from(next);
            if cursor == b"0" {
                break;
            }
        }
        let mut contents = BTreeMap::new();
        for keys in keys.chunks(200) {
            let mut request = Vec::new();
            for key in keys {
                add(&mut request, &[b"DUMP", key]);
                add(&mut request, &[b"PEXPIRETIME", key]);
            }
            client.send_bytes(&request)?;
            for key in keys {
                let (value, deadline) = (client.read()?, client.read()?);
                // It has expired since, or all of its fields have.
                if value == Value::NullBulk {
                    continue;
                }
                contents.insert(key.clone(), (value, deadline));
            }
        }
        for (key, value) in contents.range_mut(b"large:".to_vec()..b"large;".to_vec()) {
            value.0 = in_order(&mut client, key, value.0.clone())?;
        }
        // Keys past their deadline count until the background has removed them.
        let counted = Value::Integer(i64::try_from(contents.len())?);
        let until = Instant::now() + PATIENCE;
        while client.call(&["DBSIZE"])? != counted {
            if Instant::now() > until {
                return Err(format!("DBSIZE is not {counted:?}, as SCAN says").into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        if db == 0 {
            let functions = client.call(&["FUNCTION", "DUMP"])?;
            contents.insert(FUNCTIONS.to_vec(), (functions, Value::NullBulk));
        }
        all.push(contents);
    }
    Ok(all)
}

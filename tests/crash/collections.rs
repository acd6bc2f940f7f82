//! Kills the server while clients write collections: every write command, several at once in EXEC and in pipelines.
//! After a kill each database has all acknowledged calls, and perhaps the first few of the unacknowledged ones.

#[path = "calls.rs"]
mod calls;
#[path = "items.rs"]
mod items;
#[path = "ordered.rs"]
mod ordered;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::{CONNECTIONS, ROUND_MS, START_MS, fields, seed_and_rounds};
use calls::{Call, Source};
use common::{Options, RawClient, Server, Subject, TestResult, Value, encode};
use items::{Item, Items, Payloads, Told, Word};

/// The most calls that one connection sends before it reads their replies.
const PIPELINE_MAX: usize = 12;
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than the lifetime of a brief key.
const BRIEFLY: Duration = Duration::from_millis(calls::BRIEF_MS + 20);

#[test]
fn crash_collections() -> TestResult {
    kill_and_check("cmap", 8)
}

#[test]
fn crash_collections_in_pairs() -> TestResult {
    kill_and_check("cmap/pairs", 6)
}

#[test]
fn crash_collections_on_stree() -> TestResult {
    kill_and_check("stree", 4)
}

/// The same without a kill: replies and contents equal the model's. With `PMEMKV_SUBJECT` this also checks the model.
#[test]
fn collections_are_as_the_model_of_the_crash_tests() -> TestResult {
    let (seed, _) = seed_and_rounds(0)?;
    let server = Subject::start("cmap")?;
    let mut client = server.raw()?;
    let mut source = Source::new(StdRng::seed_from_u64(seed), 0);
    let payloads = make_payloads(&mut client)?;
    let mut items = Items::default();
    for step in 0..4_000 {
        let call = source.next(&payloads);
        run(
            &mut client,
            std::slice::from_ref(&call),
            &mut items,
            &payloads,
        )
        .map_err(|error| format!("PMEMKV_SEED={seed}, step {step}: {error:?}"))?;
    }
    thread::sleep(BRIEFLY);
    let found = read(&mut client)?;
    assert_eq!(items.difference(&found), None, "PMEMKV_SEED={seed}");
    assert!(!found.0.is_empty(), "nothing was written");
    Ok(())
}

fn kill_and_check(engine: &str, rounds: usize) -> TestResult {
    let (seed, rounds) = seed_and_rounds(rounds)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut server = Server::start_with(
        Options::new(engine)
            .pool_size("512mb")
            .directive("worker-threads", "3"),
    )?;
    let payloads = make_payloads(&mut server.raw()?)?;
    let mut states = vec![Items::default(); CONNECTIONS];
    for round in 0..rounds {
        let port = server.port();
        let writers: Vec<_> = states
            .drain(..)
            .enumerate()
            .map(|(db, items)| {
                let source = Source::new(StdRng::seed_from_u64(rng.random()), round);
                let payloads = payloads.clone();
                thread::spawn(move || write(port, db, items, source, &payloads))
            })
            .collect();
        thread::sleep(Duration::from_millis(rng.random_range(ROUND_MS)));
        server.kill_9()?;
        let ends: Vec<End> = writers
            .into_iter()
            .map(|writer| writer.join().expect("the writer does not panic"))
            .collect::<Result<_, _>>()
            .map_err(|error| format!("PMEMKV_SEED={seed}, round {round}: {error}"))?;
        while rng.random_bool(0.4) {
            let after = Duration::from_millis(rng.random_range(START_MS));
            server.resume_and_kill(after)?;
        }
        server.resume()?;
        thread::sleep(BRIEFLY);
        for (db, end) in ends.into_iter().enumerate() {
            let mut client = server.raw()?;
            client.call(&["SELECT", &db.to_string()])?;
            let found = read(&mut client)?;
            let state = end.check(found, &payloads).unwrap_or_else(|error| {
                panic!("{engine}: PMEMKV_SEED={seed}, round {round}, database {db}: {error}")
            });
            states.push(state);
        }
    }
    assert!(
        states.iter().any(|items| !items.0.is_empty()),
        "nothing was written"
    );
    server.terminate()
}

/// The state at the end of a connection: all acknowledged calls, and those sent after them.
struct End {
    acknowledged: Items,
    unacknowledged: Vec<Call>,
}

impl End {
    /// `found` must be the acknowledged state, or that state after the first few unacknowledged calls.
    fn check(self, found: Items, payloads: &Payloads) -> Result<Items, String> {
        let mut expected = self.acknowledged;
        let first_difference = expected.difference(&found);
        let mut calls = self.unacknowledged.iter();
        while expected.difference(&found).is_some() {
            let Some(call) = calls.next() else {
                let names: Vec<_> = self.unacknowledged.iter().map(Call::show).collect();
                return Err(format!(
                    "{}\nnot acknowledged: {names:#?}",
                    first_difference.unwrap_or_default()
                ));
            };
            call.apply(&mut expected, payloads, &Told::From(&found));
        }
        Ok(found)
    }
}

/// Writes until the server is gone. Returns an error if a reply differs from the model's.
fn write(
    port: u16,
    db: usize,
    mut items: Items,
    mut source: Source,
    payloads: &Payloads,
) -> Result<End, String> {
    let connected = RawClient::connect(port).and_then(|mut client| {
        client.call(&["SELECT", &db.to_string()])?;
        Ok(client)
    });
    let Ok(mut client) = connected else {
        return Ok(End {
            acknowledged: items,
            unacknowledged: Vec::new(),
        });
    };
    loop {
        let mut calls = Vec::new();
        for _ in 0..=source.below(PIPELINE_MAX) {
            let call = source.next(payloads);
            let chooses = call.chooses();
            calls.push(call);
            // The test must see from the contents what the server chose, so nothing follows this call.
            if chooses {
                break;
            }
        }
        match run(&mut client, &calls, &mut items, payloads) {
            Ok(()) => {}
            Err(Stop::Wrong(what)) => return Err(what),
            Err(Stop::Gone(answered)) => {
                return Ok(End {
                    acknowledged: items,
                    unacknowledged: calls.split_off(answered),
                });
            }
        }
    }
}

/// Why a call got no reply.
#[derive(Debug)]
enum Stop {
    /// The connection ended after this many replies.
    Gone(usize),
    Wrong(String),
}

/// Sends calls together, and compares their replies with the model's.
fn run(
    client: &mut RawClient,
    calls: &[Call],
    items: &mut Items,
    payloads: &Payloads,
) -> Result<(), Stop> {
    let mut bytes = Vec::new();
    for call in calls {
        call.encode(&mut bytes);
    }
    client.send_bytes(&bytes).map_err(|_| Stop::Gone(0))?;
    for (answered, call) in calls.iter().enumerate() {
        for _ in 0..call.replies_before() {
            client.read().map_err(|_| Stop::Gone(answered))?;
        }
        let reply = client.read().map_err(|_| Stop::Gone(answered))?;
        let expected = call.apply(items, payloads, &Told::By(&reply));
        if without_nulls(&reply) != without_nulls(&expected) {
            return Err(Stop::Wrong(format!(
                "{} answers {reply:?}, not {expected:?}",
                call.show()
            )));
        }
    }
    Ok(())
}

/// Makes both kinds of null equal: the kind depends on where a command runs, which another test checks.
fn without_nulls(reply: &Value) -> Value {
    match reply {
        Value::NullArray => Value::NullBulk,
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// Values of each type, as DUMP returns them. The connection's database is empty before and after.
fn make_payloads(client: &mut RawClient) -> TestResult<Payloads> {
    let words =
        |n: i32| -> BTreeSet<Word> { (0..n).map(|n| format!("r{n}").into_bytes()).collect() };
    let mut payloads = Payloads::new();
    for size in [3, 150] {
        let (mut hash, mut sorted) = (BTreeMap::new(), BTreeMap::new());
        for (score, word) in words(size).into_iter().enumerate() {
            hash.insert(word.clone(), word.clone());
            client.call(&[b"HSET".as_slice(), b"hash", &word, &word])?;
            client.call(&[b"RPUSH".as_slice(), b"list", &word])?;
            client.call(&[b"SADD".as_slice(), b"set", &word])?;
            client.call(&[
                b"ZADD".as_slice(),
                b"zset",
                score.to_string().as_bytes(),
                &word,
            ])?;
            sorted.insert(word, f64::from(u32::try_from(score)?));
        }
        for (name, item) in [
            ("hash", Item::Hash(hash)),
            ("list", Item::List(words(size).into_iter().collect())),
            ("set", Item::Set(words(size))),
            ("zset", Item::Sorted(sorted)),
        ] {
            let dump = client.call(&["DUMP", name])?;
            let dump = dump
                .bytes()
                .ok_or_else(|| format!("DUMP answers {dump:?}"))?;
            payloads.insert(dump.to_vec(), item);
            client.call(&["DEL", name])?;
        }
    }
    Ok(payloads)
}

/// Everything in the client's selected database.
fn read(client: &mut RawClient) -> TestResult<Items> {
    let keys = client.line("KEYS *")?;
    let keys = keys
        .items()
        .ok_or_else(|| format!("KEYS answers {keys:?}"))?;
    let mut found = Items::default();
    for key in keys {
        let key = key.bytes().ok_or("a key is no string")?;
        let mut bytes = Vec::new();
        let words: &[&[u8]] = match key[0] {
            b'h' => &[b"HGETALL", key],
            b'l' => &[b"LRANGE", key, b"0", b"-1"],
            b's' => &[b"SMEMBERS", key],
            b'z' | b'g' | b'x' => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
            b'p' => &[b"PFCOUNT", key],
            _ => &[b"GET", key],
        };
        encode(&mut bytes, words);
        encode(&mut bytes, &[b"PEXPIRETIME".as_slice(), key]);
        client.send_bytes(&bytes)?;
        let value = client.read()?;
        let deadline = client.read()?.integer().filter(|&ms| ms != -1);
        let texts = || -> TestResult<Vec<Word>> {
            let items = value
                .items()
                .ok_or_else(|| format!("{words:?} answers {value:?}"))?;
            Ok(items
                .iter()
                .filter_map(Value::bytes)
                .map(<[u8]>::to_vec)
                .collect())
        };
        let pairs = || -> TestResult<Vec<(Word, Word)>> {
            let texts = texts()?;
            let pairs = texts.chunks_exact(2);
            Ok(pairs
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect())
        };
        let item = match key[0] {
            b'h' => {
                let mut pairs = pairs()?;
                fields::read(client, key, &mut pairs)?;
                Item::Hash(pairs.into_iter().collect())
            }
            b'l' => Item::List(texts()?.into()),
            b's' => Item::Set(texts()?.into_iter().collect()),
            b'z' | b'g' | b'x' => {
                let pairs = pairs()?.into_iter();
                Item::Sorted(
                    pairs
                        .map(|(member, score)| (member, items::parse(&score)))
                        .collect(),
                )
            }
            // For few elements the estimate is their number, which tells the elements, since they are added in order.
            b'p' => Item::Counted(calls::counted(value.integer().unwrap_or(-1))),
            _ => Item::Text(value.bytes().ok_or("a value is no string")?.to_vec()),
        };
        found.0.insert(key.to_vec(), (item, deadline));
    }
    // An expired key counts until a command touches it.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let size = client.line("DBSIZE")?;
        if size.integer() == i64::try_from(found.0.len()).ok() {
            break;
        }
        if Instant::now() > deadline {
            return Err(format!("{} keys, DBSIZE {size:?}", found.0.len()).into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(found)
}

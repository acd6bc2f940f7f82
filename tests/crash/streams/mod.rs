//! Streams under `kill -9`: entries, ids and counters, groups and what is pending in them.

mod delivery;
mod difference;
mod model;
mod replies;
mod source;

use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::{CONNECTIONS, ROUND_MS, START_MS, seed_and_rounds};
use common::{Options, RawClient, Server, Subject, TestResult, Value};
use model::{Group, Id, Payloads, Stream, Streams};
use replies::parse_id;
use source::{Call, Source};

/// The most calls that one connection sends before it reads their replies.
const PIPELINE_MAX: usize = 12;

#[test]
fn crash_streams() -> TestResult {
    kill_and_check("cmap", 5)
}

#[test]
fn crash_streams_in_pairs() -> TestResult {
    kill_and_check("cmap/pairs", 3)
}

/// The same without a kill: replies and contents equal the model's. With `PMEMKV_SUBJECT` this also checks the model,
/// against a server that behaves as Redis 8.2 does.
#[test]
fn streams_are_as_the_model_of_the_crash_tests() -> TestResult {
    let (seed, _) = seed_and_rounds(0)?;
    let server = Subject::start("cmap")?;
    let mut client = server.raw()?;
    let known = Known::make(&mut client)?;
    let mut source = Source::new(StdRng::seed_from_u64(seed), 1);
    let mut streams = Streams::default();
    for step in 0..3_000 {
        let call = source.next();
        run(
            &mut client,
            std::slice::from_ref(&call),
            &mut streams,
            &known,
        )
        .map_err(|error| format!("PMEMKV_SEED={seed}, step {step}: {error:?}"))?;
        if step % 50 == 0 {
            let found = read(&mut client)?;
            assert_eq!(
                streams.difference(&found),
                None,
                "PMEMKV_SEED={seed}, step {step}"
            );
        }
    }
    assert!(!streams.0.is_empty(), "nothing was written");
    Ok(())
}

fn kill_and_check(engine: &str, rounds: usize) -> TestResult {
    let (seed, rounds) = seed_and_rounds(rounds)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut server = Server::start_with(
        Options::new(engine)
            .pool_size("1gb")
            .directive("worker-threads", "3"),
    )?;
    let known = Known::make(&mut server.raw()?)?;
    let mut states = vec![(Streams::default(), 1); CONNECTIONS];
    for round in 0..rounds {
        let port = server.port();
        let writers: Vec<_> = states
            .drain(..)
            .enumerate()
            .map(|(db, (streams, top_ms))| {
                let source = Source::new(StdRng::seed_from_u64(rng.random()), top_ms);
                let known = known.clone();
                thread::spawn(move || write(port, db, streams, source, &known))
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
        for (db, end) in ends.into_iter().enumerate() {
            let mut client = server.raw()?;
            client.call(&["SELECT", &db.to_string()])?;
            let found = read(&mut client)?;
            let top_ms = end.top_ms;
            let state = end.check(found, &known).unwrap_or_else(|error| {
                panic!("{engine}: PMEMKV_SEED={seed}, round {round}, database {db}: {error}")
            });
            states.push((state, top_ms));
        }
    }
    let written = |(streams, _): &(Streams, u64)| !streams.0.is_empty();
    assert!(states.iter().any(written), "nothing was written");
    server.terminate()
}

/// The streams that RESTORE makes, with their payloads.
#[derive(Clone, Default)]
struct Known {
    dumps: Vec<(String, Vec<u8>)>,
    streams: Payloads,
}

impl Known {
    /// The database is empty before and after.
    fn make(client: &mut RawClient) -> TestResult<Self> {
        let mut known = Self::default();
        for (name, entries) in [("DUMP1", 5), ("DUMP2", 250)] {
            let mut streams = Streams::default();
            let mut lines: Vec<String> = (1..=entries)
                .map(|number| format!("XADD made 1-{number} restored {number}"))
                .collect();
            lines.extend(
                [
                    "XGROUP CREATE made g 0 MKSTREAM",
                    "XREADGROUP GROUP g bob COUNT 3 STREAMS made >",
                    "XDEL made 1-2",
                ]
                .map(str::to_owned),
            );
            for line in &lines {
                let words: Vec<&str> = line.split(' ').collect();
                client.call(&words)?;
                streams.run(&words, None, &Payloads::new());
            }
            let dump = client.line("DUMP made")?;
            let dump = dump
                .bytes()
                .ok_or_else(|| format!("DUMP answers {dump:?}"))?;
            known.dumps.push((name.to_owned(), dump.to_vec()));
            let stream = streams.0.remove("made").ok_or("the model has none")?;
            known.streams.insert(name.to_owned(), stream);
            client.line("DEL made")?;
        }
        Ok(known)
    }
}

/// The state at the end of a connection: all acknowledged calls, and those sent after them.
struct End {
    acknowledged: Streams,
    unacknowledged: Vec<Call>,
    top_ms: u64,
}

impl End {
    /// `found` must be the acknowledged state, or that state after the first few unacknowledged calls.
    fn check(self, found: Streams, known: &Known) -> Result<Streams, String> {
        let mut expected = self.acknowledged;
        let first_difference = expected.difference(&found);
        let mut calls = self.unacknowledged.iter();
        while expected.difference(&found).is_some() {
            let Some(call) = calls.next() else {
                let text = first_difference.unwrap_or_default();
                return Err(format!(
                    "{text}\nnot acknowledged: {:#?}",
                    self.unacknowledged
                ));
            };
            let chosen = call.chosen_key().map(|key| {
                let stream = found.0.get(key);
                stream.map_or((1, 1), |stream| stream.last_id)
            });
            call.apply(&mut expected, chosen, &known.streams);
        }
        Ok(found)
    }
}

/// Writes until the server is gone. Returns an error if a reply differs from the model's.
fn write(
    port: u16,
    db: usize,
    mut streams: Streams,
    mut source: Source,
    known: &Known,
) -> Result<End, String> {
    let connected = RawClient::connect(port).and_then(|mut client| {
        client.call(&["SELECT", &db.to_string()])?;
        Ok(client)
    });
    let Ok(mut client) = connected else {
        return Ok(End {
            acknowledged: streams,
            unacknowledged: Vec::new(),
            top_ms: source.top_ms,
        });
    };
    loop {
        let mut calls = Vec::new();
        for _ in 0..=source.below(PIPELINE_MAX) {
            let call = source.next();
            let chooses = call.chooses();
            calls.push(call);
            // The test must see from the contents what the server chose, so nothing follows this call.
            if chooses {
                break;
            }
        }
        match run(&mut client, &calls, &mut streams, known) {
            Ok(()) => {}
            Err(Stop::Wrong(what)) => return Err(what),
            Err(Stop::Gone(answered)) => {
                return Ok(End {
                    acknowledged: streams,
                    unacknowledged: calls.split_off(answered),
                    top_ms: source.top_ms,
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
    streams: &mut Streams,
    known: &Known,
) -> Result<(), Stop> {
    let mut bytes = Vec::new();
    for call in calls {
        call.encode(&mut bytes, &known.dumps);
    }
    client.send_bytes(&bytes).map_err(|_| Stop::Gone(0))?;
    for (answered, call) in calls.iter().enumerate() {
        for _ in 0..call.replies_before() {
            client.read().map_err(|_| Stop::Gone(answered))?;
        }
        let reply = client.read().map_err(|_| Stop::Gone(answered))?;
        let chosen = call
            .chooses()
            .then(|| reply.text().map(|id| parse_id(&id)))
            .flatten();
        if call.chooses() && chosen.is_none() {
            return Err(Stop::Wrong(format!("{call:?} answers {reply:?}")));
        }
        let expected = call.apply(streams, chosen, &known.streams);
        if !agree(&reply, &expected) {
            return Err(Stop::Wrong(format!(
                "{call:?} answers {reply:?}, not {expected:?}"
            )));
        }
    }
    Ok(())
}

/// Whether a reply is the model's: both kinds of null are alike, and of an error the model knows the beginning.
fn agree(reply: &Value, expected: &Value) -> bool {
    match (reply, expected) {
        (Value::Error(reply), Value::Error(expected)) => reply.starts_with(expected),
        (Value::Array(reply), Value::Array(expected)) => {
            reply.len() == expected.len() && reply.iter().zip(expected).all(|(a, b)| agree(a, b))
        }
        _ => reply == expected || reply.is_null() && expected.is_null(),
    }
}

/// Everything in the client's selected database.
fn read(client: &mut RawClient) -> TestResult<Streams> {
    let mut found = Streams::default();
    let keys = client.line("KEYS *")?;
    for key in keys.items().ok_or("KEYS answers no array")? {
        let key = key.text().ok_or("a key is no string")?;
        let stream = read_stream(client, &key).map_err(|error| format!("{key}: {error}"))?;
        found.0.insert(key, stream);
    }
    let size = client.line("DBSIZE")?;
    if size.integer() != i64::try_from(found.0.len()).ok() {
        return Err(format!("{} keys, DBSIZE {size:?}", found.0.len()).into());
    }
    Ok(found)
}

fn read_stream(client: &mut RawClient, key: &str) -> TestResult<Stream> {
    let info = client.line(&format!("XINFO STREAM {key}"))?;
    let info = Fields::of(&info)?;
    let mut stream = Stream {
        last_id: info.id("last-generated-id")?,
        max_deleted_id: info.id("max-deleted-entry-id")?,
        added: u64::try_from(info.integer("entries-added")?)?,
        ..Stream::default()
    };
    for entry in items(&client.line(&format!("XRANGE {key} - +"))?)? {
        let entry = items(entry)?;
        let fields = items(&entry[1])?.iter().filter_map(Value::text).collect();
        stream.entries.insert(id_of(&entry[0])?, fields);
    }
    let length = client.line(&format!("XLEN {key}"))?.integer();
    if length != i64::try_from(stream.entries.len()).ok() || length != Some(info.integer("length")?)
    {
        return Err(format!("XLEN {length:?} of {} entries", stream.entries.len()).into());
    }
    for group in items(&client.line(&format!("XINFO GROUPS {key}"))?)? {
        let info = Fields::of(group)?;
        let name = info.value("name")?.text().ok_or("no name")?;
        let mut group = Group {
            last_id: info.id("last-delivered-id")?,
            ..Group::default()
        };
        for entry in items(&client.line(&format!("XPENDING {key} {name} - + 1000000"))?)? {
            let entry = items(entry)?;
            let deliveries = entry[3].integer().ok_or("no number of deliveries")?;
            let consumer = entry[1].text().ok_or("no consumer")?;
            group
                .pending
                .insert(id_of(&entry[0])?, (consumer, deliveries));
        }
        let mut pending = 0;
        for consumer in items(&client.line(&format!("XINFO CONSUMERS {key} {name}"))?)? {
            let info = Fields::of(consumer)?;
            let consumer = info.value("name")?.text().ok_or("no name")?;
            pending += info.integer("pending")?;
            group.consumers.insert(consumer);
        }
        // The numbers that the server keeps must be those of what it lists.
        let listed = i64::try_from(group.pending.len())?;
        if pending != listed || info.integer("pending")? != listed {
            return Err(format!("{name}: {listed} pending, but {pending} of all consumers").into());
        }
        stream.groups.insert(name, group);
    }
    Ok(stream)
}

fn items(reply: &Value) -> TestResult<&[Value]> {
    Ok(reply
        .items()
        .ok_or_else(|| format!("no array: {reply:?}"))?)
}

fn id_of(reply: &Value) -> TestResult<Id> {
    Ok(parse_id(
        &reply.text().ok_or_else(|| format!("no id: {reply:?}"))?,
    ))
}

/// Names with their values.
struct Fields<'a>(&'a [Value]);

impl<'a> Fields<'a> {
    fn of(reply: &'a Value) -> TestResult<Self> {
        items(reply).map(Self)
    }

    fn value(&self, name: &str) -> TestResult<&'a Value> {
        let pair = self
            .0
            .chunks_exact(2)
            .find(|pair| pair[0].bytes() == Some(name.as_bytes()));
        Ok(&pair.ok_or_else(|| format!("no {name}"))?[1])
    }

    fn integer(&self, name: &str) -> TestResult<i64> {
        Ok(self
            .value(name)?
            .integer()
            .ok_or_else(|| format!("{name} is no number"))?)
    }

    fn id(&self, name: &str) -> TestResult<Id> {
        id_of(self.value(name)?)
    }
}

//! One stream that several clients fill and several consumers of a group read, under `kill -9`: the server keeps what it
//! acknowledged, and gives no entry to the group twice.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Id, id_of, items};
use crate::{ROUND_MS, START_MS, seed_and_rounds};
use common::{Options, RawClient, Server, TestResult, Value};

const WRITERS: usize = 2;
const CONSUMERS: usize = 3;
/// The most entries that one read gets.
const COUNT: usize = 5;

#[test]
fn crash_while_delivering() -> TestResult {
    kill_and_check("cmap", 4)
}

#[test]
fn crash_while_delivering_in_pairs() -> TestResult {
    kill_and_check("cmap/pairs", 2)
}

/// What one consumer knows.
#[derive(Debug, Default)]
struct Consumer {
    delivered: BTreeSet<Id>,
    /// Those of them that it has acknowledged; of the last call it may not know whether the server did.
    acknowledged: BTreeSet<Id>,
    unsure: BTreeSet<Id>,
    /// How many reads got no answer.
    reads_without_answer: usize,
}

/// What all rounds together have shown.
#[derive(Default)]
struct Tally {
    added: BTreeSet<Id>,
    consumers: BTreeMap<String, Consumer>,
}

fn kill_and_check(engine: &str, rounds: usize) -> TestResult {
    let (seed, rounds) = seed_and_rounds(rounds)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut server = Server::start_with(
        Options::new(engine)
            .pool_size("512mb")
            .directive("worker-threads", "3"),
    )?;
    server.raw()?.line("XGROUP CREATE jobs g 0 MKSTREAM")?;
    let mut tally = Tally::default();
    for round in 0..rounds {
        let port = server.port();
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| thread::spawn(move || add(port)))
            .collect();
        let readers: Vec<_> = (0..CONSUMERS)
            .map(|number| {
                let rng = StdRng::seed_from_u64(rng.random());
                let name = format!("consumer{number}");
                thread::spawn(move || (name.clone(), consume(port, &name, rng)))
            })
            .collect();
        thread::sleep(Duration::from_millis(rng.random_range(ROUND_MS)));
        server.kill_9()?;
        for writer in writers {
            tally
                .added
                .extend(writer.join().expect("the writer does not panic"));
        }
        for reader in readers {
            let (name, consumer) = reader.join().expect("the reader does not panic");
            tally.take(name, consumer).map_err(|id| {
                format!("{engine}: PMEMKV_SEED={seed}, round {round}: {id:?} was delivered twice")
            })?;
        }
        while rng.random_bool(0.4) {
            server.resume_and_kill(Duration::from_millis(rng.random_range(START_MS)))?;
        }
        server.resume()?;
        tally
            .check(&mut server.raw()?)
            .map_err(|error| format!("{engine}: PMEMKV_SEED={seed}, round {round}: {error}"))?;
    }
    tally.drain(&mut server.raw()?)?;
    server.terminate()
}

/// Adds entries until the server is gone. Returns the ids that it acknowledged.
fn add(port: u16) -> Vec<Id> {
    let mut added = Vec::new();
    let Ok(mut client) = RawClient::connect(port) else {
        return added;
    };
    while let Ok(reply) = client.line("XADD jobs * task run number 1") {
        added.push(id_of(&reply).expect("XADD answers with an id"));
    }
    added
}

/// Reads and acknowledges entries until the server is gone.
fn consume(port: u16, name: &str, mut rng: StdRng) -> Consumer {
    let mut consumer = Consumer::default();
    let Ok(mut client) = RawClient::connect(port) else {
        return consumer;
    };
    let read = format!("XREADGROUP GROUP g {name} COUNT {COUNT} BLOCK 1000 STREAMS jobs >");
    loop {
        let Ok(reply) = client.line(&read) else {
            consumer.reads_without_answer += 1;
            return consumer;
        };
        let ids = ids_of(&reply).expect("XREADGROUP answers with entries");
        let acknowledged: Vec<Id> = ids
            .iter()
            .copied()
            .filter(|_| rng.random_bool(0.7))
            .collect();
        consumer.delivered.extend(ids);
        if acknowledged.is_empty() {
            continue;
        }
        let mut words = vec!["XACK".to_owned(), "jobs".to_owned(), "g".to_owned()];
        words.extend(acknowledged.iter().map(|&id| super::replies::show_id(id)));
        let Ok(reply) = client.call(&words) else {
            consumer.unsure.extend(acknowledged);
            return consumer;
        };
        let number = i64::try_from(acknowledged.len()).unwrap_or(i64::MAX);
        assert_eq!(reply, Value::Integer(number), "{words:?}");
        consumer.acknowledged.extend(acknowledged);
    }
}

/// The ids in the reply of a read of one stream.
fn ids_of(reply: &Value) -> TestResult<Vec<Id>> {
    if reply.is_null() {
        return Ok(Vec::new());
    }
    let stream = items(&items(reply)?[0])?;
    items(&stream[1])?
        .iter()
        .map(|entry| id_of(&items(entry)?[0]))
        .collect()
}

impl Tally {
    /// Adds what a consumer has seen in a round. An id that the group got before is an error.
    fn take(&mut self, name: String, new: Consumer) -> Result<(), Id> {
        for id in &new.delivered {
            let mut before = self.consumers.values();
            if before.any(|consumer| consumer.delivered.contains(id)) {
                return Err(*id);
            }
        }
        let consumer = self.consumers.entry(name).or_default();
        consumer.delivered.extend(new.delivered);
        consumer.acknowledged.extend(new.acknowledged);
        consumer.unsure.extend(new.unsure);
        consumer.reads_without_answer += new.reads_without_answer;
        Ok(())
    }

    fn check(&self, client: &mut RawClient) -> TestResult {
        let mut there = BTreeSet::new();
        for entry in items(&client.line("XRANGE jobs - +")?)? {
            there.insert(id_of(&items(entry)?[0])?);
        }
        if let Some(lost) = self.added.difference(&there).next() {
            return Err(format!("{lost:?} was added and is not there").into());
        }
        let info = client.line("XINFO GROUPS jobs")?;
        let group = super::Fields::of(&items(&info)?[0])?;
        let last = group.id("last-delivered-id")?;
        let passed = i64::try_from(there.range(..=last).count())?;
        // Nothing was deleted, so the server knows how many entries the group has read, if it has read any: on a loaded
        // machine the kill may come before the first read.
        let is_unread = passed == 0 && group.value("entries-read")?.is_null();
        if !is_unread && group.integer("entries-read")? != passed
            || group.integer("lag")? != i64::try_from(there.len())? - passed
        {
            return Err(format!("{passed} of {} read, but {info:?}", there.len()).into());
        }
        let mut pending: BTreeMap<String, BTreeSet<Id>> = BTreeMap::new();
        for entry in items(&client.line("XPENDING jobs g - + 100000000")?)? {
            let entry = items(entry)?;
            if entry[3] != Value::Integer(1) {
                return Err(format!("delivered more than once: {entry:?}").into());
            }
            let consumer = entry[1].text().ok_or("no consumer")?;
            pending
                .entry(consumer)
                .or_default()
                .insert(id_of(&entry[0])?);
        }
        for (name, consumer) in &self.consumers {
            let pending = pending.remove(name).unwrap_or_default();
            if let Some(id) = consumer.acknowledged.intersection(&pending).next() {
                return Err(format!("{name} has acknowledged {id:?}, which is pending").into());
            }
            let expected = consumer.delivered.difference(&consumer.acknowledged);
            for id in expected {
                if !pending.contains(id) && !consumer.unsure.contains(id) {
                    return Err(format!("{name} got {id:?}, which is not pending").into());
                }
            }
            // A read whose answer the kill swallowed.
            let unknown = pending.difference(&consumer.delivered).count();
            if unknown > COUNT * consumer.reads_without_answer {
                return Err(format!(
                    "{unknown} entries are pending for {name} that it did not read"
                )
                .into());
            }
        }
        Ok(())
    }

    /// Every entry was delivered, or comes now, once.
    fn drain(&self, client: &mut RawClient) -> TestResult {
        let mut delivered: BTreeSet<Id> = BTreeSet::new();
        for consumer in self.consumers.values() {
            delivered.extend(&consumer.delivered);
        }
        assert!(!delivered.is_empty(), "nothing was delivered");
        for entry in items(&client.line("XPENDING jobs g - + 100000000")?)? {
            delivered.insert(id_of(&items(entry)?[0])?);
        }
        loop {
            let read = client.line("XREADGROUP GROUP g last COUNT 1000 STREAMS jobs >")?;
            let ids = ids_of(&read)?;
            if ids.is_empty() {
                break;
            }
            for id in ids {
                assert!(delivered.insert(id), "{id:?} was delivered twice");
            }
        }
        let length = client.line("XLEN jobs")?.integer();
        assert_eq!(length, i64::try_from(delivered.len()).ok());
        Ok(())
    }
}

//! A file that is written while clients write shows one moment.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{RawClient, Server, TestResult, Value, encode, show};
use rdb::{Item, Limits, Object, Reader};

use super::{field, options, wait_for_save};

/// Keys that make the walk long.
const FILLERS: usize = 20_000;
/// Pairs of keys that are written together.
const PAIRS: u64 = 300;

fn read(path: &Path) -> TestResult<HashMap<Vec<u8>, Object>> {
    let mut reader = Reader::new(BufReader::new(File::open(path)?), Limits::default())?;
    let mut keys = HashMap::new();
    loop {
        match reader.next()? {
            Item::End => return Ok(keys),
            Item::Key(key) => {
                let before = keys.insert(key.key, key.value);
                assert!(before.is_none(), "a key comes twice");
            }
            _ => {}
        }
    }
}

fn pipeline(client: &mut RawClient, calls: &[Vec<String>]) -> TestResult<Vec<Value>> {
    let mut bytes = Vec::new();
    for call in calls {
        encode(&mut bytes, call);
    }
    client.send_bytes(&bytes)?;
    calls.iter().map(|_| Ok(client.read()?)).collect()
}

/// Writes until it is told to stop: pairs by MSET, and in transactions a counter with the length of a list, a hash and a
/// sorted set. `done` counts the transactions that were acknowledged.
fn write(client: &mut RawClient, seed: u64, stop: &AtomicBool, done: &AtomicU64) -> TestResult {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut n = seed;
    while !stop.load(Ordering::Relaxed) {
        n = n
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let pair = (n >> 33) % PAIRS;
        let calls = [
            words(&format!("MSET a:{pair} {n} b:{pair} {n}")),
            words(&format!("SET filler:{} {n}", (n >> 20) % FILLERS as u64)),
            words(&format!("DEL filler:{}", (n >> 40) % FILLERS as u64)),
            words(&format!("RENAME moved:{seed}:0 moved:{seed}:1")),
            words(&format!("RENAME moved:{seed}:1 moved:{seed}:0")),
            words("MULTI"),
            words(&format!("INCR counter:{seed}")),
            words(&format!("RPUSH list:{seed} {n}")),
            words(&format!("HSET hash:{seed} {n} x")),
            words(&format!("ZADD scores:{seed} 1 {n}")),
            words("EXEC"),
        ];
        for reply in pipeline(client, &calls)? {
            assert!(!reply.is_error(), "{reply:?}");
        }
        done.fetch_add(1, Ordering::Release);
    }
    Ok(())
}

fn number(keys: &HashMap<Vec<u8>, Object>, key: &str) -> u64 {
    match keys.get(key.as_bytes()) {
        Some(Object::String(text)) => String::from_utf8_lossy(text).parse().unwrap_or(0),
        _ => 0,
    }
}

fn len(keys: &HashMap<Vec<u8>, Object>, key: &str) -> u64 {
    let len = match keys.get(key.as_bytes()) {
        Some(Object::List(elements)) => elements.len(),
        Some(Object::Hash(fields)) => fields.len(),
        Some(Object::SortedSet(members)) => members.len(),
        _ => 0,
    };
    len as u64
}

/// Sets many keys that nobody changes afterwards.
fn fill(client: &mut RawClient) -> TestResult {
    let fillers: Vec<_> = (0..FILLERS)
        .map(|n| {
            ["SET", &format!("filler:{n}"), "0"]
                .map(str::to_owned)
                .to_vec()
        })
        .collect();
    pipeline(client, &fillers)?;
    Ok(())
}

#[test]
fn the_file_shows_one_moment() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let folder = tempfile::tempdir()?;
        let server = Server::start_with(
            options(store, folder.path())
                .pool_size("256mb")
                .directive("worker-threads", "2"),
        )?;
        let mut client = server.raw()?;
        fill(&mut client)?;
        for seed in 1..4 {
            client.line(&format!("SET moved:{seed}:0 v"))?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let done: Vec<Arc<AtomicU64>> = (0..3).map(|_| Arc::default()).collect();
        let port = server.port();
        let writers: Vec<_> = (1..)
            .zip(&done)
            .map(|(seed, done)| {
                let (stop, done) = (Arc::clone(&stop), Arc::clone(done));
                std::thread::spawn(move || {
                    let mut client = RawClient::connect(port).expect("it serves");
                    let written = write(&mut client, seed, &stop, &done);
                    written.map_err(|error| error.to_string())
                })
            })
            .collect();
        for round in 0..4 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let before: Vec<u64> = done
                .iter()
                .map(|done| done.load(Ordering::Acquire))
                .collect();
            assert_eq!(show(&client.line("BGSAVE")?), "+Background saving started");
            wait_for_save(&mut client)?;
            let after: Vec<u64> = done
                .iter()
                .map(|done| done.load(Ordering::Acquire))
                .collect();
            let status = field(&mut client, "rdb_last_bgsave_status")?;
            assert_eq!(status, "ok", "{}", server.log());
            let keys = read(&folder.path().join("dump.rdb"))?;
            for pair in 0..PAIRS {
                let of = |key: &str| keys.get(format!("{key}:{pair}").as_bytes());
                assert_eq!(of("a"), of("b"), "{store} {round}: half an MSET");
            }
            for (seed, (before, after)) in (1..).zip(before.iter().zip(&after)) {
                let count = number(&keys, &format!("counter:{seed}"));
                for name in ["list", "hash", "scores"] {
                    let len = len(&keys, &format!("{name}:{seed}"));
                    assert_eq!(len, count, "{store} {round}: half a transaction, {name}");
                }
                // One transaction may be done and not yet counted here.
                assert!(
                    *before <= count && count <= after + 1,
                    "{store} {round}: {before} {count} {after}"
                );
                let moved =
                    (0..2).filter(|n| keys.contains_key(format!("moved:{seed}:{n}").as_bytes()));
                assert_eq!(
                    moved.count(),
                    1,
                    "{store} {round}: a key that moves is lost or there twice"
                );
            }
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().expect("it does not panic")?;
        }
    }
    Ok(())
}

#[test]
fn too_many_changes_begin_the_file_again() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server =
        Server::start_with(options("cmap", folder.path()).directive("rdb-buffer-limit", "1"))?;
    let mut client = server.raw()?;
    fill(&mut client)?;
    // Where nobody writes, nothing is kept.
    client.line("BGSAVE")?;
    wait_for_save(&mut client)?;
    assert_eq!(field(&mut client, "rdb_last_bgsave_status")?, "ok");
    let stop = Arc::new(AtomicBool::new(false));
    let (of_writer, port) = (Arc::clone(&stop), server.port());
    let writer = std::thread::spawn(move || {
        let mut client = RawClient::connect(port).expect("it serves");
        for n in (0..FILLERS).cycle().step_by(97) {
            if of_writer.load(Ordering::Relaxed) {
                break;
            }
            let set = ["SET", &format!("filler:{n}"), "1"].map(str::to_owned);
            pipeline(&mut client, &[set.to_vec()]).expect("it serves");
        }
    });
    // On a busy machine the writer may come too late for a file.
    for _ in 0..100 {
        client.line("BGSAVE")?;
        wait_for_save(&mut client)?;
        if field(&mut client, "rdb_last_bgsave_status")? == "err" {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().expect("it does not panic");
    assert_eq!(field(&mut client, "rdb_last_bgsave_status")?, "err");
    let log = server.log();
    assert!(log.contains("the RDB file is begun again"), "{log}");
    assert!(log.contains("rdb-buffer-limit (1 bytes)"), "{log}");
    Ok(())
}

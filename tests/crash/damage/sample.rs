//! A pool that a server has left: all types of values, several databases, what is overwritten, removed and flushed.

use std::collections::BTreeMap;
use std::fs;

use common::{RawClient, TestResult, Value, encode};
use rand::Rng;
use rand::rngs::StdRng;

use super::kinds::PAGE_BYTES;
use super::server::{Started, Subject};

/// What a key holds, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The command that reads it all.
    pub read: &'static [&'static str],
    /// Its reply; items are sorted where their order means nothing.
    pub value: Value,
    /// EXPIRETIME's reply.
    pub expires: i64,
}

/// What all databases hold.
pub type Model = BTreeMap<(usize, Vec<u8>), Held>;

/// How many databases are used.
pub const DATABASES: usize = 4;

/// A pool and what it holds.
pub struct Sample {
    pub layout: &'static str,
    /// The pool.
    pub now: Vec<u8>,
    /// Earlier states of it, with their numbers.
    pub earlier: Vec<(usize, Vec<u8>)>,
    pub model: Model,
    /// Pages that hold something, by the parts of the pool that they are in.
    pub parts: Vec<Vec<usize>>,
    /// Where segments' headers are.
    pub headers: Vec<usize>,
}

impl Sample {
    /// Fills a pool in several steps, each ended in order or by a kill.
    pub fn make(layout: &'static str, rng: &mut StdRng, is_killed: bool) -> TestResult<Self> {
        let subject = Subject::new(layout)?;
        let mut earlier = Vec::new();
        for step in 0..5 {
            let mut server = subject
                .start(&[])?
                .map_err(|_| "the sample's server does not start")?;
            fill(&mut server, rng, step, layout)?;
            if is_killed {
                server.kill()?;
            } else {
                server.end()?;
            }
            earlier.push((step, fs::read(subject.pool_path())?));
        }
        let (_, now) = earlier.pop().ok_or("no state")?;
        // On a copy: reading is a start, which changes the pool.
        let mut server = subject
            .start(&[])?
            .map_err(|_| "the sample's server does not start")?;
        let model = server.read_all()?.ok_or("the sample has errors")?;
        server.end()?;
        if model.len() < 1_000 {
            return Err(format!("the sample holds {} keys only", model.len()).into());
        }
        let parts = parts(&now);
        let headers = memchr_all(&now, b"pmkvseg");
        Ok(Self {
            layout,
            now,
            earlier,
            model,
            parts,
            headers,
        })
    }
}

fn memchr_all(pool: &[u8], needle: &[u8]) -> Vec<usize> {
    // Headers begin at multiples of 8.
    (0..pool.len().saturating_sub(64))
        .step_by(8)
        .filter(|&at| pool[at..].starts_with(needle))
        .collect()
}

/// The pool's pages that hold something: its descriptor, the lanes, the heap's own, the root object's, those that
/// engines and allocator keep among the records, and all.
fn parts(pool: &[u8]) -> Vec<Vec<usize>> {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&pool[at..at + 8]);
        usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(0)
    };
    let heap = word(5136) / PAGE_BYTES;
    let root = word(6144) / PAGE_BYTES;
    let holds = |page: &usize| {
        pool[page * PAGE_BYTES..(page + 1) * PAGE_BYTES]
            .iter()
            .any(|&byte| byte != 0)
    };
    let pages = pool.len() / PAGE_BYTES;
    // A page of records is full of bytes; one of pointers and bitmaps is mostly zeros.
    let is_thin = |page: &usize| {
        let bytes = &pool[page * PAGE_BYTES..(page + 1) * PAGE_BYTES];
        let set = bytes.iter().filter(|&&byte| byte != 0).count();
        set > 0 && set < PAGE_BYTES / 3
    };
    let parts = vec![
        (0..2).collect(),
        (2..heap).filter(holds).collect(),
        (heap..(heap + 80).min(pages)).filter(holds).collect(),
        (root..root + 5).collect(),
        (heap..pages).filter(is_thin).collect(),
        (0..pages).filter(holds).collect(),
        (heap..pages).filter(holds).collect(),
    ];
    parts
        .into_iter()
        .filter(|part: &Vec<usize>| !part.is_empty())
        .collect()
}

/// One step of the sample's life.
fn fill(server: &mut Started, rng: &mut StdRng, step: usize, layout: &str) -> TestResult {
    let mut client = RawClient::connect(server.port)?;
    let mut calls = Vec::new();
    let text = |rng: &mut StdRng, length: usize| -> Vec<u8> {
        let start: u64 = rng.random();
        format!("{start:016x}")
            .into_bytes()
            .into_iter()
            .cycle()
            .take(length)
            .collect()
    };
    let push = |calls: &mut Vec<Vec<Vec<u8>>>, words: &[&[u8]]| {
        calls.push(words.iter().map(|word| word.to_vec()).collect());
    };
    let many = if layout == "packed" { 4_000 } else { 1_500 };
    for db in 0..DATABASES {
        let select = db.to_string();
        push(&mut calls, &[b"SELECT", select.as_bytes()]);
        let count = if db == 0 { many } else { many / 8 };
        for _ in 0..count {
            let key = format!("key:{}", rng.random_range(0..count * 2)).into_bytes();
            match rng.random_range(0..100) {
                0..70 => {
                    // Some of a length that fills pages evenly.
                    let length = if rng.random_bool(0.3) {
                        99
                    } else {
                        rng.random_range(1..500)
                    };
                    let value = text(rng, length);
                    push(&mut calls, &[b"SET", &key, &value]);
                }
                70..80 => push(&mut calls, &[b"DEL", &key]),
                80..85 => {
                    let value = text(rng, 40);
                    push(&mut calls, &[b"SET", &key, &value, b"EX", b"100000"]);
                }
                85..90 => {
                    let field = format!("f{}", rng.random_range(0..30)).into_bytes();
                    let value = text(rng, 30);
                    push(&mut calls, &[b"HSET", b"hash", &field, &value]);
                }
                90..94 => {
                    let value = text(rng, 50);
                    push(&mut calls, &[b"RPUSH", b"list", &value]);
                }
                94..97 => {
                    let member = text(rng, 20);
                    push(&mut calls, &[b"ZADD", b"ranks", b"1.5", &member]);
                }
                97..98 => push(&mut calls, &[b"LPOP", b"list"]),
                _ => push(&mut calls, &[b"EXPIRE", &key, b"200000"]),
            }
        }
    }
    push(&mut calls, &[b"SELECT", b"0"]);
    for n in 0..3 {
        let key = format!("large:{n}").into_bytes();
        let value = text(rng, 30_000 + 40_000 * n);
        push(&mut calls, &[b"SET", &key, &value]);
        push(
            &mut calls,
            &[b"SETRANGE", &key, b"20000", b"changed in the middle"],
        );
    }
    match step {
        1 => push(&mut calls, &[b"SWAPDB", b"1", b"2"]),
        2 => {
            push(&mut calls, &[b"SELECT", b"3"]);
            push(&mut calls, &[b"FLUSHDB"]);
        }
        _ => {}
    }
    for some in calls.chunks(200) {
        let mut bytes = Vec::new();
        for call in some {
            encode(&mut bytes, call);
        }
        client.send_bytes(&bytes)?;
        for call in some {
            let reply = client.read()?;
            if reply.is_error() {
                return Err(format!("{} answers {reply:?}", call[0].escape_ascii()).into());
            }
        }
    }
    Ok(())
}

//! A pool that a server has left: several databases, what is overwritten, removed and flushed, and all kinds of records
//! ([`super::calls`]).

use std::collections::BTreeMap;
use std::fs;

use common::{RawClient, TestResult, Value, encode};
use rand::rngs::StdRng;

use super::Place;
use super::calls::{self, Call};
use super::kinds::PAGE_BYTES;
use super::server::{Started, Subject};

/// What a key holds, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The command that reads it all; nothing for what is no key.
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
    pub place: Place,
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
    pub fn make(
        layout: &'static str,
        place: Place,
        rng: &mut StdRng,
        is_killed: bool,
    ) -> TestResult<Self> {
        let subject = Subject::new(layout, place)?;
        let mut earlier = Vec::new();
        for step in 0..5 {
            let server = subject
                .start(&[])?
                .map_err(|_| "the sample's server does not start")?;
            fill(&server, &calls::of_step(rng, step, layout))?;
            if is_killed {
                server.kill()?;
            } else {
                server.end()?;
            }
            earlier.push((step, fs::read(subject.pool_path())?));
        }
        let (_, now) = earlier.pop().ok_or("no state")?;
        // A copy, as each round has one: on a disk it holds what was synced last.
        let copy = Subject::new(layout, place)?;
        fs::write(copy.pool_path(), &now)?;
        let mut server = copy
            .start(&[])?
            .map_err(|_| "the sample's server does not start on a copy")?;
        let model = server.read_all()?.ok_or("the sample has errors")?;
        server.end()?;
        check_variety(&model, layout)?;
        let parts = parts(&now);
        let headers = memchr_all(&now, b"pmkvseg");
        Ok(Self {
            layout,
            place,
            now,
            earlier,
            model,
            parts,
            headers,
        })
    }
}

/// A sample that lacks a kind of records shows nothing about it.
fn check_variety(model: &Model, layout: &str) -> TestResult {
    let keys_min = if layout == "packed" { 2_000 } else { 1_000 };
    if model.len() < keys_min {
        return Err(format!("the sample holds {} keys only", model.len()).into());
    }
    for part in calls::KINDS {
        if !model
            .keys()
            .any(|(_, key)| key.starts_with(part.as_bytes()))
        {
            return Err(format!("the sample holds no {part}").into());
        }
    }
    Ok(())
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
fn fill(server: &Started, calls: &[Call]) -> TestResult {
    let mut client = RawClient::connect(server.port)?;
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

//! Writes to a nearly full pool again and again: the server refuses no write, loses nothing, and gives space back.
//!
//! The test writes `PMEMKV_SOAK_ROUNDS` times the pool's size (3 times if the variable is not set).

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value, encode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const POOL_BYTES: usize = 64 << 20;
const ROUNDS: usize = 3;
/// The share of the pool's capacity that is filled while keys are overwritten.
const FILL_PERCENT: usize = 85;
/// Calls that are sent before their replies are read.
const PIPELINE: usize = 100;
/// How long the background may take to free space.
const PATIENCE: Duration = Duration::from_secs(20);

fn start() -> TestResult<Server> {
    Server::start_with(Options::new("cmap").pool_size("64mb"))
}

fn key(n: usize) -> Vec<u8> {
    format!("key:{n}").into_bytes()
}

fn value(n: usize, stamp: usize) -> Vec<u8> {
    let length = 600 + (n * 31 + stamp * 17) % 800;
    let text = format!("<{n}.{stamp}>");
    text.bytes().cycle().take(length).collect()
}

/// Sends calls and reads their replies; returns the first error and its position.
fn run(
    client: &mut RawClient,
    calls: impl Iterator<Item = Vec<Vec<u8>>>,
) -> io::Result<Option<(usize, Value)>> {
    let mut calls = calls.peekable();
    let mut done = 0;
    while calls.peek().is_some() {
        let mut bytes = Vec::new();
        let mut sent = 0;
        for call in calls.by_ref().take(PIPELINE) {
            encode(&mut bytes, &call);
            sent += 1;
        }
        client.send_bytes(&bytes)?;
        let mut error = None;
        for n in done..done + sent {
            let reply = client.read()?;
            if reply.is_error() {
                error.get_or_insert((n, reply));
            }
        }
        if error.is_some() {
            return Ok(error);
        }
        done += sent;
    }
    Ok(None)
}

/// As [`run`], but no reply may be an error.
fn run_well(client: &mut RawClient, calls: impl Iterator<Item = Vec<Vec<u8>>>) -> TestResult {
    match run(client, calls)? {
        None => Ok(()),
        Some((n, error)) => Err(format!("call {n} answers {error:?}").into()),
    }
}

fn set(n: usize, stamp: usize) -> Vec<Vec<u8>> {
    vec![b"SET".to_vec(), key(n), value(n, stamp)]
}

fn del(n: usize) -> Vec<Vec<u8>> {
    vec![b"DEL".to_vec(), key(n)]
}

/// Adds new keys until the server refuses one; returns how many there are.
fn fill(client: &mut RawClient) -> TestResult<usize> {
    match run(client, (0..10_000_000).map(|n| set(n, 0)))? {
        Some((n, Value::Error(text))) if text.starts_with(b"OOM") => {
            // A shorter call behind it may have found space.
            run_well(client, (n..n + PIPELINE).map(del))?;
            Ok(n)
        }
        other => Err(format!("{other:?}").into()),
    }
}

/// Checks that every key has the value of its stamp, or none.
fn check(client: &mut RawClient, stamps: &[Option<usize>]) -> TestResult {
    for (chunk, stamps) in stamps.chunks(PIPELINE).enumerate() {
        let mut bytes = Vec::new();
        let numbers = chunk * PIPELINE..chunk * PIPELINE + stamps.len();
        for n in numbers.clone() {
            encode(&mut bytes, &[b"GET".to_vec(), key(n)]);
        }
        client.send_bytes(&bytes)?;
        for (n, stamp) in numbers.zip(stamps) {
            let expected = stamp.map_or(Value::NullBulk, |stamp| Value::Bulk(value(n, stamp)));
            let found = client.read()?;
            if found != expected {
                let start = found.bytes().map(|bytes| &bytes[..bytes.len().min(20)]);
                let start = start.map(|bytes| bytes.escape_ascii().to_string());
                return Err(format!("key {n} is {start:?}, not of stamp {stamp:?}").into());
            }
        }
    }
    let keys = stamps.iter().flatten().count();
    let size = client.line("DBSIZE")?.integer();
    if size != i64::try_from(keys).ok() {
        return Err(format!("DBSIZE {size:?}, not {keys}").into());
    }
    Ok(())
}

fn info(client: &mut RawClient, field: &str) -> TestResult<u64> {
    let text = client.line("INFO pmemkv")?.text().unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .ok_or_else(|| format!("no {field} in {text}"))?;
    Ok(line.trim().parse()?)
}

/// Waits until no record is in use, without reading anything.
fn wait_for_empty(client: &mut RawClient) -> TestResult {
    let until = Instant::now() + PATIENCE;
    loop {
        let live = info(client, "live_bytes")?;
        if live == 0 {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(format!("{live} bytes are still in use").into());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn fill_again(client: &mut RawClient, first: usize) -> TestResult {
    let again = fill(client)?;
    if again * 100 < first * 98 {
        return Err(format!("{again} keys, the first time {first}").into());
    }
    Ok(())
}

#[test]
fn overwriting_and_removing() -> TestResult {
    let rounds = match std::env::var("PMEMKV_SOAK_ROUNDS") {
        Ok(rounds) => rounds.parse()?,
        Err(_) => ROUNDS,
    };
    let mut rng = StdRng::seed_from_u64(20_260);
    let mut server = start()?;
    let mut client = server.raw()?;
    let first = fill(&mut client)?;
    let count = first * FILL_PERCENT / 100;
    run_well(&mut client, (count..first).map(del))?;
    let mut stamps = vec![Some(0); count];
    let writes = rounds * POOL_BYTES / 1_000;
    let random: Vec<(usize, usize)> = (1..=writes)
        .map(|stamp| (rng.random_range(0..count), stamp))
        .collect();
    for &(n, stamp) in &random {
        stamps[n] = Some(stamp);
    }
    run_well(&mut client, random.iter().map(|&(n, stamp)| set(n, stamp)))?;
    check(&mut client, &stamps)?;
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    check(&mut client, &stamps)?;

    // One of 20 small values stays; large ones must find space between them.
    run_well(&mut client, (0..count).filter(|n| n % 20 > 0).map(del))?;
    for (n, stamp) in stamps.iter_mut().enumerate() {
        *stamp = stamp.filter(|_| n % 20 == 0);
    }
    let large: Vec<Vec<u8>> = (0..30u8).map(|n| vec![n; 1 << 20]).collect();
    let name = |n: usize| format!("large:{n}").into_bytes();
    let calls = large.iter().enumerate();
    run_well(
        &mut client,
        calls.map(|(n, value)| vec![b"SET".to_vec(), name(n), value.clone()]),
    )?;
    for (n, value) in large.iter().enumerate() {
        let found = client.call(&[b"GET".to_vec(), name(n)])?;
        assert!(found.bytes() == Some(value), "large value {n}");
    }
    run_well(
        &mut client,
        (0..large.len()).map(|n| vec![b"DEL".to_vec(), name(n)]),
    )?;
    check(&mut client, &stamps)?;

    run_well(&mut client, (0..count).map(del))?;
    wait_for_empty(&mut client)?;
    fill_again(&mut client, first)?;
    server.terminate()
}

#[test]
fn deadlines_give_space_back_by_themselves() -> TestResult {
    let mut server = start()?;
    let mut client = server.raw()?;
    let first = fill(&mut client)?;
    client.line("FLUSHALL")?;
    wait_for_empty(&mut client)?;
    let with_deadline = |n: usize| {
        let mut call = set(n, 1);
        call.extend([b"PX".to_vec(), b"2000".to_vec()]);
        call
    };
    run_well(&mut client, (0..first * 9 / 10).map(with_deadline))?;
    wait_for_empty(&mut client)?;
    assert_eq!(client.line("DBSIZE")?.integer(), Some(0));
    fill_again(&mut client, first)?;
    // After a restart the expired keys are still gone.
    client.line("FLUSHALL")?;
    run_well(&mut client, (0..first / 2).map(with_deadline))?;
    server.kill_9()?;
    thread::sleep(Duration::from_secs(2));
    server.resume()?;
    let mut client = server.raw()?;
    wait_for_empty(&mut client)?;
    fill_again(&mut client, first)?;
    server.terminate()
}

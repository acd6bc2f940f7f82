//! A cache that is always full: writes and reads values of 10 bytes to 100 KiB by a Zipf draw, with eviction. The
//! server must refuse no write, return only right values, and give all space back.
//!
//! With `PMEMKV_SOAK_ROUNDS` set, the test writes that many times the size of a pool of 256 MiB; otherwise twice the
//! size of a pool of 64 MiB.

use std::thread;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value, encode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Clients that work at the same time.
const CLIENTS: usize = 4;
/// Calls that a client sends before it reads their replies.
const PIPELINE: usize = 50;
/// Keys for each mebibyte of the pool: several times what fits.
const KEYS_PER_MIB: usize = 400;
const VALUE_BYTES_MIN: f64 = 10.0;
const VALUE_BYTES_MAX: f64 = 100.0 * 1024.0;
/// How long the background may take to free space.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much likelier the first keys are than the last.
const EXPONENT: f64 = 0.7;

/// Numbers below a bound, `n` with a weight of `(n + 1) ^ -EXPONENT`.
struct Zipf(Vec<f64>);

impl Zipf {
    fn below(end: usize) -> Self {
        let mut sum = 0.0;
        let mut rank = 0.0_f64;
        let weights = (0..end).map(|_| {
            rank += 1.0;
            sum += rank.powf(-EXPONENT);
            sum
        });
        Self(weights.collect())
    }

    fn draw(&self, random: &mut StdRng) -> usize {
        let last = self.0.last().copied().unwrap_or(0.0);
        let drawn = random.random_range(0.0..last);
        self.0.partition_point(|&sum| sum <= drawn)
    }
}

fn key(n: usize) -> String {
    format!("key:{n}")
}

/// A value that contains its key. Small sizes are as likely as large ones of the same ratio.
fn value(n: usize, random: &mut StdRng) -> Vec<u8> {
    let length = VALUE_BYTES_MIN * (VALUE_BYTES_MAX / VALUE_BYTES_MIN).powf(random.random());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 10 to 102,400.
    let length = length as usize;
    value_of_length(n, length)
}

fn value_of_length(n: usize, length: usize) -> Vec<u8> {
    let text = format!("<{n}>");
    let mut value = text.repeat(length / text.len() + 1).into_bytes();
    value.truncate(length);
    value
}

fn is_value_of(n: usize, bytes: &[u8]) -> bool {
    bytes.len() >= 10 && bytes == value_of_length(n, bytes.len())
}

/// Writes `bytes` of values, and reads as often; returns how many reads found a value.
fn client(server_port: u16, seed: u64, keys: usize, bytes: usize) -> Result<(u64, u64), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut client = RawClient::connect(server_port).map_err(text)?;
    let mut random = StdRng::seed_from_u64(seed);
    let zipf = Zipf::below(keys);
    let (mut written, mut hits, mut misses) = (0, 0, 0);
    while written < bytes {
        let mut calls = Vec::new();
        let mut asked = Vec::new();
        for _ in 0..PIPELINE {
            let n = zipf.draw(&mut random);
            if random.random() {
                let value = value(n, &mut random);
                written += value.len();
                encode(&mut calls, &[b"SET".to_vec(), key(n).into_bytes(), value]);
                asked.push(None);
            } else {
                encode(&mut calls, &["GET", &key(n)]);
                asked.push(Some(n));
            }
        }
        client.send_bytes(&calls).map_err(text)?;
        for asked in asked {
            let reply = client.read().map_err(text)?;
            match (asked, &reply) {
                (None, Value::Simple(_)) => {}
                (Some(_), Value::NullBulk) => misses += 1,
                (Some(n), Value::Bulk(bytes)) if is_value_of(n, bytes) => hits += 1,
                (asked, reply) => {
                    let shown = format!("{reply:?}");
                    return Err(format!("{asked:?}: {shown:.200}"));
                }
            }
        }
    }
    Ok((hits, misses))
}

fn info(client: &mut RawClient, section: &str, field: &str) -> TestResult<u64> {
    let text = client.line(&format!("INFO {section}"))?;
    let text = text.text().unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .ok_or_else(|| format!("no {field} in {text}"))?;
    Ok(line.trim().parse()?)
}

fn wait_for_empty(client: &mut RawClient) -> TestResult {
    let until = Instant::now() + PATIENCE;
    loop {
        let live = info(client, "pmemkv", "live_bytes")?;
        if live == 0 {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(format!("{live} bytes are still in use").into());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Several clients run [`client`] at the same time.
fn run(server: &Server, seed: u64, keys: usize, bytes: usize) -> TestResult<(u64, u64)> {
    let port = server.port();
    let threads: Vec<_> = (0..CLIENTS as u64)
        .map(|n| thread::spawn(move || client(port, seed + n, keys, bytes / CLIENTS)))
        .collect();
    let (mut hits, mut misses) = (0, 0);
    for thread in threads {
        let (more_hits, more_misses) = thread.join().map_err(|_| "a client panicked")??;
        hits += more_hits;
        misses += more_misses;
    }
    Ok((hits, misses))
}

fn soak(policy: &str) -> TestResult {
    let (pool_mib, rounds) = match std::env::var("PMEMKV_SOAK_ROUNDS") {
        Ok(rounds) => (256, rounds.parse()?),
        Err(_) => (64, 2),
    };
    let keys = pool_mib * KEYS_PER_MIB;
    let options = Options::new("cmap")
        .pool_size(&format!("{pool_mib}mb"))
        .directive("maxmemory-policy", policy);
    let mut server = Server::start_with(options)?;
    let mut client = server.raw()?;
    let index_before = info(&mut client, "memory", "used_memory_overhead")?;
    let bytes = rounds * (pool_mib << 20);
    let started = Instant::now();
    let (hits, misses) = run(&server, 1, keys, bytes)?;
    let seconds = started.elapsed().as_secs_f64();
    let evicted = info(&mut client, "stats", "evicted_keys")?;
    let live = info(&mut client, "pmemkv", "live_bytes")?;
    eprintln!(
        "{policy}: {bytes} bytes in {seconds:.1} s, {hits} hits, {misses} misses, {evicted} evicted, {live} bytes live"
    );
    assert!(evicted > 0);
    let most = info(&mut client, "memory", "maxmemory")?;
    assert!(
        live * 10 > most * 9,
        "no more than {live} bytes are used of {most}"
    );

    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    let mut found = 0;
    for n in 0..keys {
        match client.call(&["GET", &key(n)])? {
            Value::NullBulk => {}
            Value::Bulk(bytes) if is_value_of(n, &bytes) => found += 1,
            other => return Err(format!("{n}: {:.200}", format!("{other:?}")).into()),
        }
    }
    assert_eq!(client.line("DBSIZE")?, Value::Integer(found));

    client.line("FLUSHALL")?;
    wait_for_empty(&mut client)?;
    let index_after = info(&mut client, "memory", "used_memory_overhead")?;
    assert_eq!(index_after, index_before);
    // The empty pool takes as much again.
    run(&server, 100, keys, 2 * (pool_mib << 20))?;
    let again = info(&mut client, "pmemkv", "live_bytes")?;
    assert!(again * 10 > live * 9, "{again} bytes, before {live}");
    client.line("FLUSHALL")?;
    wait_for_empty(&mut client)?;
    server.terminate()
}

#[test]
fn through_allkeys_lru() -> TestResult {
    soak("allkeys-lru")
}

#[test]
fn through_allkeys_lfu() -> TestResult {
    soak("allkeys-lfu")
}

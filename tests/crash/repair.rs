//! Kills a server again and again while it repairs a damaged pool.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use common::{Options, RawClient, Server, TestResult, Value, encode};

const KEYS: usize = 12_000;
/// Values that lose a byte.
const DAMAGED: usize = 5;
/// How often the test interrupts the repair.
const KILLS: usize = 4;

fn value(n: usize) -> Vec<u8> {
    let length = if n.is_multiple_of(500) {
        150_000
    } else {
        600 + n % 700
    };
    format!("<{n:06}>").bytes().cycle().take(length).collect()
}

fn set_all(server: &Server, keys: &BTreeSet<usize>) -> TestResult {
    let mut client = RawClient::connect(server.port())?;
    let keys: Vec<_> = keys.iter().collect();
    for some in keys.chunks(100) {
        let mut bytes = Vec::new();
        for &&n in some {
            let (key, value) = (format!("key:{n}").into_bytes(), value(n));
            encode(&mut bytes, &[b"SET".as_slice(), &key, &value]);
        }
        client.send_bytes(&bytes)?;
        for _ in some {
            let reply = client.read()?;
            if reply.is_error() {
                return Err(format!("SET answers {reply:?}").into());
            }
        }
    }
    Ok(())
}

/// Every key except `lost` has its value; the lost ones have none.
fn check(server: &Server, lost: &BTreeSet<usize>) -> TestResult {
    let mut client = RawClient::connect(server.port())?;
    for first in (0..KEYS).step_by(200) {
        let some = first..(first + 200).min(KEYS);
        let mut bytes = Vec::new();
        for n in some.clone() {
            encode(&mut bytes, &["GET", &format!("key:{n}")]);
        }
        client.send_bytes(&bytes)?;
        for n in some {
            let found = client.read()?;
            let expected = if lost.contains(&n) {
                Value::NullBulk
            } else {
                Value::Bulk(value(n))
            };
            if found != expected {
                let is_there = found.bytes().map(<[u8]>::len);
                return Err(format!("key:{n}: {is_there:?} bytes").into());
            }
        }
    }
    Ok(())
}

/// One round: damage, interrupted repairs, a complete repair, and a start without one.
pub fn round(server: &mut Server, rng: &mut StdRng) -> TestResult {
    let options = Options::new("cmap").pool_size("64mb");
    let all: BTreeSet<usize> = (0..KEYS).collect();
    set_all(server, &all)?;
    // Overwriting leaves segments that hold little, and tombstones.
    let some = (0..KEYS).filter(|n| n % 4 == 1).collect();
    set_all(server, &some)?;
    server.kill_9()?;
    let mut pool = fs::read(server.pool_path())?;
    let mut lost = BTreeSet::new();
    for _ in 0..DAMAGED {
        // Written once, so that no older value can replace it.
        let n = loop {
            let n = rng.random_range(0..KEYS);
            if n % 4 != 1 && !lost.contains(&n) {
                break n;
            }
        };
        // Every copy of the value.
        let start = value(n);
        let needle = &start[..64];
        let mut from = 0;
        while let Some(place) = find(&pool[from..], needle) {
            pool[from + place + rng.random_range(0..64)] ^= 0x20;
            from += place + 600;
        }
        lost.insert(n);
    }
    fs::write(server.pool_path(), pool)?;
    server.set_options(options.clone().directive("repair", "yes"));
    for _ in 0..KILLS {
        let after = Duration::from_millis(rng.random_range(1..120));
        server.resume_and_kill(after)?;
    }
    server.resume()?;
    check(server, &lost)?;
    if rng.random_bool(0.5) {
        server.kill_9()?;
    } else {
        server.terminate()?;
    }
    server.set_options(options);
    server.resume()?;
    thread::sleep(Duration::from_millis(50));
    check(server, &lost)
}

fn find(pool: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle[0];
    let mut from = 0;
    while let Some(step) = pool[from..].iter().position(|&byte| byte == first) {
        let at = from + step;
        if pool[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

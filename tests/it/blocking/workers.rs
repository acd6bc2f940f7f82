//! Many clients wait on several workers: each element goes to exactly one of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{PATIENCE, TestResult, next};
use common::{Options, RawClient, Server, Value};

const PUSHERS: usize = 4;
const EACH: usize = 600;
const KEYS: [&str; 3] = ["a", "b", "c"];

/// The calls of the waiting clients, in turn.
const WAITS: [&str; 5] = [
    "BLPOP a b c 0.05",
    "BRPOP c b a 0.05",
    "BLMPOP 0.05 3 b c a RIGHT COUNT 3",
    "BLMOVE a moved LEFT RIGHT 0.05",
    "BRPOPLPUSH c moved 0.05",
];

fn push(client: &mut RawClient, pusher: usize) -> TestResult {
    for number in 0..EACH {
        let key = KEYS[(pusher + number) % KEYS.len()];
        let element = format!("{pusher}:{number}");
        match number % 4 {
            0 => {
                for line in ["MULTI", &format!("RPUSH {key} {element}"), "EXEC"] {
                    client.line(line)?;
                }
            }
            1 => {
                client.line(&format!("LPUSH {key}:{pusher} {element}"))?;
                // Another client's elements may lie under the name; the rename must not lose them.
                client.line(&format!("LMOVE {key}:{pusher} {key} LEFT LEFT"))?;
            }
            _ => {
                client.line(&format!("RPUSH {key} {element}"))?;
            }
        }
    }
    Ok(())
}

/// The elements of a reply of one of [`WAITS`].
fn elements(wait: &str, reply: &Value) -> TestResult<Vec<String>> {
    let bulk = |value: &Value| value.text().ok_or_else(|| format!("{value:?}"));
    if reply.is_null() {
        return Ok(Vec::new());
    }
    if !wait.contains("POP") || wait.contains("POPLPUSH") {
        return Ok(vec![bulk(reply)?]);
    }
    let items = reply.items().ok_or_else(|| format!("{reply:?}"))?;
    Ok(match items[1].items() {
        Some(elements) => elements.iter().map(bulk).collect::<Result<_, _>>()?,
        None => vec![bulk(&items[1])?],
    })
}

#[test]
fn each_element_comes_to_one_client() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let server = Server::start_with(Options::new(store).directive("worker-threads", "4"))?;
        let (taken, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let total = PUSHERS * EACH;
        let got = thread::scope(|scope| -> TestResult<Vec<String>> {
            let waiters: Vec<_> = (0..2 * WAITS.len())
                .map(|n| {
                    let (server, taken, is_over) = (&server, &taken, &is_over);
                    scope.spawn(move || -> Result<Vec<String>, String> {
                        let text = |error: &dyn std::fmt::Display| error.to_string();
                        let wait = WAITS[n % WAITS.len()];
                        let mut client = server.raw().map_err(|error| text(&*error))?;
                        let mut got = Vec::new();
                        while !is_over.load(Ordering::Acquire) {
                            let reply = client.line(wait).map_err(|error| text(&error))?;
                            let new = elements(wait, &reply).map_err(|error| text(&*error))?;
                            taken.fetch_add(new.len() as u64, Ordering::AcqRel);
                            got.extend(new);
                        }
                        Ok(got)
                    })
                })
                .collect();
            let pushers: Vec<_> = (0..PUSHERS)
                .map(|pusher| {
                    let server = &server;
                    scope.spawn(move || -> Result<(), String> {
                        let mut client = server.raw().map_err(|error| error.to_string())?;
                        push(&mut client, pusher).map_err(|error| error.to_string())
                    })
                })
                .collect();
            for pusher in pushers {
                pusher.join().expect("no client panics")?;
            }
            let deadline = Instant::now() + PATIENCE;
            while taken.load(Ordering::Acquire) < total as u64 && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(2));
            }
            is_over.store(true, Ordering::Release);
            let mut got = Vec::new();
            for waiter in waiters {
                got.extend(waiter.join().expect("no client panics")?);
            }
            Ok(got)
        })?;
        let mut times: HashMap<&str, usize> = HashMap::new();
        for element in &got {
            *times.entry(element).or_default() += 1;
        }
        assert_eq!(times.len(), total, "{store}: some were lost");
        assert_eq!(got.len(), total, "{store}: some came twice");
        let mut client = server.raw()?;
        assert_eq!(client.line("EXISTS a b c")?.integer(), Some(0));
        let moved = client.line("LLEN moved")?.integer().ok_or("no number")?;
        assert!(moved > 0, "{store}: BLMOVE never got one");
        let info = client.line("INFO clients")?;
        let info = info.text().ok_or("no text")?;
        assert!(info.contains("\r\nblocked_clients:0\r\n"), "{info}");
        assert!(info.contains("\r\ntotal_blocking_keys:0\r\n"), "{info}");
    }
    Ok(())
}

#[test]
fn no_client_comes_between_push_and_wait() -> TestResult {
    let server = Server::start_with(Options::new("cmap").directive("worker-threads", "3"))?;
    let is_over = AtomicBool::new(false);
    let mut control = server.raw()?;
    thread::scope(|scope| -> TestResult {
        for _ in 0..2 {
            let mut thief = server.raw()?;
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Acquire) {
                    let stolen = thief.line("LPOP k").expect("it answers");
                    assert!(stolen.is_null(), "{stolen:?} was taken from who waited");
                }
            });
        }
        let mut waiter = server.raw()?;
        let mut lost = 0;
        for number in 0..300 {
            waiter.send(&["BLPOP", "k", "0"])?;
            let deadline = Instant::now() + PATIENCE;
            loop {
                let info = control.line("INFO clients")?;
                if info
                    .text()
                    .is_some_and(|info| info.contains("blocked_clients:1"))
                {
                    break;
                }
                assert!(Instant::now() < deadline, "it does not wait");
            }
            control.line(&format!("RPUSH k {number}"))?;
            if next(&mut waiter)? != format!(r#"["k", "{number}"]"#) {
                lost += 1;
            }
        }
        is_over.store(true, Ordering::Release);
        assert_eq!(lost, 0);
        Ok(())
    })
}

#[test]
fn the_server_stops_at_once() -> TestResult {
    let mut server = Server::start_with(Options::new("cmap").directive("worker-threads", "2"))?;
    let mut clients = Vec::new();
    for n in 0..100 {
        let mut client = server.raw()?;
        client.send(&["BLPOP", &format!("k{}", n % 7), "k", "0"])?;
        clients.push(client);
    }
    let mut control = server.raw()?;
    let deadline = Instant::now() + PATIENCE;
    while !control
        .line("INFO clients")?
        .text()
        .is_some_and(|info| info.contains("blocked_clients:100"))
    {
        assert!(Instant::now() < deadline, "they do not wait");
    }
    let started = Instant::now();
    server.terminate()?;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    for client in &mut clients {
        assert!(client.is_closed()?);
    }
    Ok(())
}

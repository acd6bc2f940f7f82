//! Libraries of functions under `kill -9`: after each kill the pool holds the libraries as they were after one of the changes,
//! the last one that was answered or a later one.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::{MORE_ROUNDS, ROUND_MS, START_MS, seed_and_rounds};
use common::{Options, RawClient, Server, TestResult, Value, encode};

const PIPELINE_MAX: usize = 4;
const LIBRARIES: u32 = 6;

#[test]
fn crash_in_functions() -> TestResult {
    kill_and_check("cmap", 4)
}

#[test]
fn crash_in_functions_in_pairs() -> TestResult {
    kill_and_check("cmap/pairs", 4)
}

#[test]
fn crash_in_functions_on_stree() -> TestResult {
    kill_and_check("stree", 2)
}

/// The version of each library, and how long its text is made.
type Libraries = BTreeMap<u32, (u64, usize)>;

/// What the client has sent.
struct Sent {
    /// The libraries before the first change, and after each.
    states: Vec<Libraries>,
    /// How many changes were answered.
    answered: usize,
}

fn kill_and_check(engine: &str, rounds: usize) -> TestResult {
    let (seed, rounds) = seed_and_rounds(rounds)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let options = Options::new(engine)
        .pool_size("256mb")
        .directive("worker-threads", "3");
    let mut server = Server::start_with(options)?;
    let mut libraries = Libraries::new();
    let mut answered = 0;
    for round in 0.. {
        // On a loaded machine a round may end before anything is answered: then more follow.
        if round >= rounds && answered > 0 || round >= rounds + MORE_ROUNDS {
            break;
        }
        let port = server.port();
        let writer = {
            let (rng, libraries) = (StdRng::seed_from_u64(rng.random()), libraries.clone());
            thread::spawn(move || change(port, libraries, rng))
        };
        // Others' writes share commits with the changes.
        let noise = thread::spawn(move || write(port));
        thread::sleep(Duration::from_millis(rng.random_range(ROUND_MS)));
        server.kill_9()?;
        let sent = writer.join().expect("the writer does not panic")?;
        noise.join().expect("the writer does not panic");
        while rng.random_bool(0.4) {
            server.resume_and_kill(Duration::from_millis(rng.random_range(START_MS)))?;
        }
        server.resume()?;
        let found = read(&mut server.raw()?)?;
        let possible = &sent.states[sent.answered..];
        assert!(
            possible.contains(&found),
            "{engine}: PMEMKV_SEED={seed}, round {round}: {found:?} is none of the states that may be: {possible:?}"
        );
        libraries = found;
        answered += sent.answered;
    }
    assert!(answered > 0, "no change was answered");
    server.terminate()
}

fn text(library: u32, version: u64, filler: usize) -> String {
    format!(
        "#!lua name=l{library}\n-- {}\nredis.register_function('f{library}', function() return '{version}' end)",
        "x".repeat(filler)
    )
}

/// Changes libraries until the server is gone.
fn change(port: u16, libraries: Libraries, mut rng: StdRng) -> Result<Sent, String> {
    let mut sent = Sent {
        states: vec![libraries.clone()],
        answered: 0,
    };
    let Ok(mut client) = RawClient::connect(port) else {
        return Ok(sent);
    };
    let mut now = libraries;
    // What FUNCTION DUMP answered, and the libraries that it holds.
    let mut dumped: Option<(Vec<u8>, Libraries)> = None;
    let mut version = rng.random::<u64>() >> 8;
    loop {
        let mut bytes = Vec::new();
        let count = rng.random_range(1..=PIPELINE_MAX);
        let mut replies = Vec::new();
        for _ in 0..count {
            version += 1;
            let library = rng.random_range(0..LIBRARIES);
            let filler = match rng.random_range(0..10) {
                0 => rng.random_range(0..400_000),
                1..4 => rng.random_range(0..5_000),
                _ => 0,
            };
            match rng.random_range(0..20) {
                0..3 => {
                    now.remove(&library);
                    encode(&mut bytes, &["FUNCTION", "DELETE", &format!("l{library}")]);
                    replies.push(1);
                }
                3 => {
                    now.clear();
                    encode(&mut bytes, &["FUNCTION", "FLUSH"]);
                    replies.push(1);
                }
                4 if dumped.is_some() => {
                    let (payload, state) = dumped.as_ref().ok_or("no dump")?;
                    let words = [&b"FUNCTION"[..], b"RESTORE", payload, b"FLUSH"];
                    encode(&mut bytes, &words);
                    now.clone_from(state);
                    replies.push(1);
                }
                5..7 => {
                    // Two changes, one step.
                    let other = (library + 1) % LIBRARIES;
                    encode(&mut bytes, &["MULTI"]);
                    for library in [library, other] {
                        let text = text(library, version, filler);
                        encode(&mut bytes, &["FUNCTION", "LOAD", "REPLACE", &text]);
                        now.insert(library, (version, filler));
                    }
                    encode(&mut bytes, &["EXEC"]);
                    replies.push(4);
                }
                _ => {
                    let text = text(library, version, filler);
                    encode(&mut bytes, &["FUNCTION", "LOAD", "REPLACE", &text]);
                    now.insert(library, (version, filler));
                    replies.push(1);
                }
            }
            sent.states.push(now.clone());
        }
        encode(&mut bytes, &["FUNCTION", "DUMP"]);
        if client.send_bytes(&bytes).is_err() {
            return Ok(sent);
        }
        for count in replies {
            for _ in 0..count {
                let Ok(reply) = client.read() else {
                    return Ok(sent);
                };
                let text = common::show(&reply);
                if text.contains("-ERR") && !text.contains("Library not found") {
                    return Err(format!("change {}: {text}", sent.answered));
                }
            }
            sent.answered += 1;
        }
        let Ok(Value::Bulk(payload)) = client.read() else {
            return Ok(sent);
        };
        dumped = Some((payload, now.clone()));
    }
}

/// Writes keys until the server is gone.
fn write(port: u16) {
    let Ok(mut client) = RawClient::connect(port) else {
        return;
    };
    let value = "v".repeat(2000);
    for number in 0.. {
        let key = format!("key:{}", number % 500);
        if client.call(&["SET", &key, &value]).is_err() {
            return;
        }
    }
}

/// The libraries that the server has, each with the version that its function returns.
fn read(client: &mut RawClient) -> TestResult<Libraries> {
    let listed = client.line("FUNCTION LIST WITHCODE")?;
    let mut found = Libraries::new();
    for library in listed.items().ok_or("no list")? {
        let fields = library.items().ok_or("no fields")?;
        let name = fields[1].text().ok_or("no name")?;
        let number: u32 = name.trim_start_matches('l').parse()?;
        let called = client.call(&["FCALL", &format!("f{number}"), "0"])?;
        let version: u64 = called.text().ok_or("no version")?.parse()?;
        let code = fields[7].text().ok_or("no code")?;
        let filler = code.len() - text(number, version, 0).len();
        assert_eq!(code, text(number, version, filler));
        found.insert(number, (version, filler));
    }
    Ok(found)
}

//! Compares OBJECT ENCODING of strings that commands have made and changed on both servers, also after a kill and a
//! restart of ours.

use super::observers::{line, pipe};
use super::rows::ROWS;
use super::states::States;
use common::{RawClient, RedisServer, Server, TestResult, Value, show};

/// The calls after a call: commands that keep a string's encoding, change it, or copy it to another key.
const THEN: States = &[
    "",
    "EXPIRE @ 1000",
    "EXPIRE @ 1000;PERSIST @",
    "GETEX @ EX 1000",
    "APPEND @ ''",
    "INCR @",
    "RENAME @ @:new",
    "COPY @ @:new",
    "MOVE @ 1;SELECT 1;MOVE @ 0;SELECT 0",
    "SETBIT @ 0 0",
    "SET @ 7 XX",
];

/// Compares on one layout of records.
pub fn compare(store: &str) -> TestResult {
    let (mut ours, real) = (Server::start(store)?, RedisServer::start()?);
    let calls = calls();
    for port in [ours.port(), real.port()] {
        for chunk in calls.chunks(1000) {
            pipe(&mut RawClient::connect(port)?, chunk)?;
        }
    }
    let expected = encodings(&mut real.raw()?)?;
    assert!(expected.len() > 1000, "only {} strings", expected.len());
    for name in ["raw", "int", "embstr"] {
        let count = expected.iter().filter(|(_, of_real)| show(of_real) == name);
        assert!(count.count() > 50, "hardly any string is {name}");
    }
    for when in ["at first", "after a restart"] {
        let found = encodings(&mut RawClient::connect(ours.port())?)?;
        let differing: Vec<String> = found
            .iter()
            .zip(&expected)
            .filter(|(ours, real)| ours != real)
            .map(|((key, ours), (_, real))| format!("{key}: ours {ours:?}, redis-server {real:?}"))
            .collect();
        assert!(
            differing.is_empty() && found.len() == expected.len(),
            "{store}, {when}: {} and {} strings\n{}",
            found.len(),
            expected.len(),
            differing.join("\n")
        );
        if when == "at first" {
            ours.kill_9()?;
            ours.resume()?;
        }
    }
    Ok(())
}

/// Every state of a string, followed by every call on it and one more; each in a key whose name says so.
fn calls() -> Vec<Vec<Vec<u8>>> {
    let mut calls = Vec::new();
    let of_strings = ROWS.iter().filter(|row| row.k.len() > 10);
    for row in of_strings {
        for &arguments in row.calls {
            // A value that expires at once leaves nothing to compare.
            if arguments.contains("AT 1") {
                continue;
            }
            for (state, then) in row
                .k
                .iter()
                .flat_map(|state| THEN.iter().map(move |then| (state, then)))
            {
                let call = format!("{} {}", row.command, arguments.replacen('k', "@", 1));
                let key = format!("{state};{call};{then}").replace([' ', '@'], "_");
                for one in [state, call.as_str(), then]
                    .iter()
                    .flat_map(|all| all.split(';'))
                {
                    if !one.is_empty() {
                        calls.push(line(&one.replace('@', &key)));
                    }
                }
            }
        }
    }
    calls
}

/// The keys that hold strings, in order, with their encodings.
fn encodings(client: &mut RawClient) -> TestResult<Vec<(String, Value)>> {
    let mut keys: Vec<Vec<u8>> = client
        .line("KEYS *")?
        .items()
        .unwrap_or_default()
        .iter()
        .filter_map(|key| Some(key.bytes()?.to_vec()))
        .collect();
    keys.sort();
    let mut all = Vec::new();
    for key in keys {
        if client.call(&[b"TYPE".as_slice(), &key])?.text().as_deref() == Some("string") {
            let encoding = client.call(&[b"OBJECT".as_slice(), b"ENCODING", &key])?;
            all.push((key.escape_ascii().to_string(), encoding));
        }
    }
    Ok(all)
}

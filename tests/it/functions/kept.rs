//! Libraries in the pool: after `kill -9` they are there, after damage the pool is refused.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use common::{Options, Server, TestResult, show};

use super::{one, text};

const STORES: [&str; 3] = ["cmap", "cmap/pairs", "stree"];

#[test]
fn libraries_survive_kill_9() -> TestResult {
    for store in STORES {
        let mut server = Server::start(store)?;
        let client = &mut server.raw()?;
        for (library, function) in [("a", "fa"), ("b", "fb"), ("c", "fc")] {
            client.call(&["FUNCTION", "LOAD", &one(library, function, "old")])?;
        }
        client.call(&["FUNCTION", "LOAD", "REPLACE", &one("b", "fb", "new")])?;
        client.call(&["FUNCTION", "DELETE", "c"])?;
        client.line("FLUSHALL")?;
        client.line("SET key value")?;
        server.kill_9()?;
        server.resume()?;
        let client = &mut server.raw()?;
        // The very first command.
        assert_eq!(text(client, &["FCALL", "fb", "0"])?, "new", "{store}");
        assert_eq!(text(client, &["FCALL", "fa", "0"])?, "old", "{store}");
        let missing = "ERR Function not found";
        assert_eq!(text(client, &["FCALL", "fc", "0"])?, missing, "{store}");
        assert_eq!(text(client, &["GET", "key"])?, "value", "{store}");
        client.line("FUNCTION FLUSH")?;
        server.kill_9()?;
        server.resume()?;
        let client = &mut server.raw()?;
        assert_eq!(show(&client.line("FUNCTION LIST")?), "[]", "{store}");
        // After the end in order too.
        client.call(&["FUNCTION", "LOAD", &one("d", "fd", "last")])?;
        server.restart()?;
        let client = &mut server.raw()?;
        assert_eq!(text(client, &["FCALL", "fd", "0"])?, "last", "{store}");
        assert_eq!(show(&client.line("DBSIZE")?), ":1", "{store}");
    }
    Ok(())
}

/// Libraries of some mebibytes lie in several parts; those that are changed often leave outdated records behind.
#[test]
fn large_libraries_and_many_changes() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let mut server = Server::start_with(Options::new(store).pool_size("128mb"))?;
        let client = &mut server.raw()?;
        let filler = format!("\n--{}", "x".repeat(900_000));
        for number in 0..4 {
            let library = format!(
                "{}{filler}",
                one(&format!("l{number}"), &format!("f{number}"), "large")
            );
            let reply = text(client, &["FUNCTION", "LOAD", &library])?;
            assert_eq!(reply, format!("l{number}"), "{store}");
        }
        for number in 0..40 {
            let library = one("small", "small", &number.to_string());
            client.call(&["FUNCTION", "LOAD", "REPLACE", &library])?;
            client.call(&["SET", "key", &"v".repeat(100_000)])?;
        }
        server.kill_9()?;
        server.resume()?;
        let client = &mut server.raw()?;
        assert_eq!(text(client, &["FCALL", "small", "0"])?, "39", "{store}");
        assert_eq!(text(client, &["FCALL", "f3", "0"])?, "large", "{store}");
        // More than all may take.
        let mut refused = None;
        for number in 10..40 {
            let library = format!(
                "{}{filler}",
                one(&format!("l{number}"), &format!("f{number}"), "large")
            );
            let reply = text(client, &["FUNCTION", "LOAD", &library])?;
            if reply.starts_with("ERR ") || reply.starts_with("OOM ") {
                refused = Some(reply);
                break;
            }
        }
        let refused = refused.ok_or("the limit does not hold")?;
        assert!(
            refused == "ERR all libraries together take more than 16777216 bytes",
            "{store}: {refused}"
        );
        assert_eq!(text(client, &["FCALL", "f3", "0"])?, "large", "{store}");
    }
    Ok(())
}

/// A byte of a library's record changes.
#[test]
fn a_damaged_library_is_refused() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let mut server = Server::start(store)?;
        let client = &mut server.raw()?;
        client.call(&["FUNCTION", "LOAD", &one("lib", "f", "needle-in-the-pool")])?;
        server.kill_9()?;
        let changed = change(&server.pool_path(), b"needle-in-the-pool")?;
        assert!(changed > 0, "{store}: the pool does not hold the library");
        let resumed = server.resume();
        assert!(resumed.is_err(), "{store}: the server starts");
        let log = server.log();
        assert!(
            log.contains("damaged") || log.contains("checksum"),
            "{store}: {log}"
        );
    }
    Ok(())
}

/// Changes the first byte of each occurrence of `needle` in the file; returns how many there are.
fn change(path: &Path, needle: &[u8]) -> TestResult<usize> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let places = memchr::memmem::find_iter(&bytes, needle);
    let places: Vec<usize> = places.collect();
    for &place in &places {
        file.seek(SeekFrom::Start(place as u64))?;
        file.write_all(&[bytes[place] ^ 1])?;
    }
    Ok(places.len())
}

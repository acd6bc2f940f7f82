//! What an operator does without a client: check a pool, look at the configuration.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{Options, Server, TestResult};

fn run(arguments: &[&str]) -> TestResult<Output> {
    let program = Command::new(common::program()).args(arguments).output()?;
    Ok(program)
}

fn check(pool: &Path) -> TestResult<(Option<i32>, String)> {
    let output = run(&["check", &pool.display().to_string()])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.code(), text))
}

fn check_as_json(pool: &Path) -> TestResult<serde_json::Value> {
    let output = run(&["check", "--json", &pool.display().to_string()])?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn a_check_says_what_is_in_a_pool_and_changes_nothing() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let mut server = Server::start_with(Options::new(store).pool_size("32mb"))?;
        let mut client = server.raw()?;
        for line in [
            "SET a 1",
            "SET b 2 EX 10000",
            "RPUSH l 1 2 3",
            "HSET h f v",
            "XADD x 1-1 f v",
            "SELECT 3",
            "SADD s a b",
        ] {
            assert!(!client.line(line)?.is_error(), "{line}");
        }
        let large = "x".repeat(3 << 20);
        assert!(!client.call(&["SET", "large", &large])?.is_error());
        let pool = server.pool_path();
        // In use.
        let (code, text) = check(&pool)?;
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("open in another process"), "{text}");
        for in_order in [false, true] {
            if in_order {
                server.resume()?;
                server.terminate()?;
            } else {
                server.kill_9()?;
            }
            let before = (fs::read(&pool)?, fs::metadata(&pool)?.modified()?);
            let found = check_as_json(&pool)?;
            let (code, text) = if in_order {
                check(&pool)?
            } else {
                (Some(0), ": whole (checked in ".to_owned())
            };
            let after = (fs::read(&pool)?, fs::metadata(&pool)?.modified()?);
            assert!(before == after, "{store}: the check changed the pool");
            assert_eq!(code, Some(0), "{text}");
            assert!(text.contains(": whole (checked in "), "{text}");
            assert_eq!(found["verdict"], "whole", "{found}");
            assert_eq!(found["closed_in_order"], in_order, "{found}");
            assert_eq!(found["opens"], if in_order { 2 } else { 1 }, "{found}");
            assert_eq!(found["keys"], 7, "{found}");
            assert_eq!(
                found["databases"]["db0"],
                serde_json::json!({"keys": 5, "with_deadline": 1, "types": {"string": 2, "list": 1, "hash": 1, "stream": 1}})
            );
            assert_eq!(found["databases"]["db3"]["types"]["set"], 1);
        }
    }
    Ok(())
}

#[test]
fn a_check_finds_damage_and_says_what_a_repair_would_keep() -> TestResult {
    let mut server = Server::start_with(Options::new("cmap").pool_size("32mb"))?;
    let mut client = server.raw()?;
    for number in 0..100 {
        let value = format!("value-{number:04}-{}", "y".repeat(100));
        client.call(&["SET", &format!("key-{number:04}"), &value])?;
    }
    server.terminate()?;
    let pool = server.pool_path();
    let mut bytes = fs::read(&pool)?;
    let place = memchr::memmem::find(&bytes, b"value-0042-yyyy");
    let place = place.ok_or("the value is not in the file")?;
    bytes[place] ^= 1;
    fs::write(&pool, &bytes)?;
    let (code, text) = check(&pool)?;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(": DAMAGED: "), "{text}");
    assert!(
        text.contains("keys        99\n") && text.contains("a start with --repair yes would keep"),
        "{text}"
    );
    let found = check_as_json(&pool)?;
    assert_eq!(found["verdict"], "damaged", "{found}");
    assert_eq!(found["repair_would_keep"]["keys"], 99, "{found}");
    assert!(fs::read(&pool)? == bytes);

    // What is no pool.
    let other = server.dir().join("other");
    fs::write(&other, vec![7; 1 << 20])?;
    for (path, part) in [
        (other.as_path(), "not a pool"),
        (Path::new("/nonexist"), "there is no pool here"),
    ] {
        let (code, text) = check(path)?;
        assert_eq!(code, Some(2), "{text}");
        assert!(
            text.contains("not checked") && text.contains(part),
            "{text}"
        );
    }
    // A pool that was cut off.
    fs::File::options()
        .write(true)
        .open(&pool)?
        .set_len(20 << 20)?;
    let (code, text) = check(&pool)?;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("was cut off"), "{text}");
    Ok(())
}

#[test]
fn the_configuration_can_be_seen_without_a_start() -> TestResult {
    let output = run(&[
        "--port",
        "7001",
        "--save",
        "900",
        "1",
        "--appendonly",
        "yes",
        "--dump-config",
    ])?;
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("\nport 7001\n") && text.contains("\nsave 900 1\n"),
        "{text}"
    );
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(warned.contains("writes no append-only file"), "{warned}");
    for (arguments, part) in [
        (&["--bogus", "1", "--dump-config"][..], "Bad directive"),
        (
            &["--cluster-enabled", "yes", "--dump-config"],
            "accept-unsupported cluster-enabled",
        ),
    ] {
        let output = run(arguments)?;
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(part), "{error}");
        assert!(output.stdout.is_empty());
    }
    Ok(())
}

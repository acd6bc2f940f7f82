//! Waiting clients and other features: pauses, permissions, messages, suppressed replies, statistics.

use std::thread;
use std::time::{Duration, Instant};

use super::{PATIENCE, Scene, TestResult, id, next, show};

#[test]
fn no_client_is_served_during_a_pause() -> TestResult {
    let mut scene = Scene::start()?;
    let mut waiter = scene.waiter("BLPOP k 0")?;
    for line in ["MULTI", "RPUSH k v w", "CLIENT PAUSE 100000 WRITE", "EXEC"] {
        scene.run(line)?;
    }
    assert_eq!(scene.run("LLEN k")?, ":2");
    assert_eq!(scene.blocked()?, 1);
    assert_eq!(scene.run("CLIENT UNPAUSE")?, "+OK");
    assert_eq!(next(&mut waiter)?, r#"["k", "v"]"#);
    assert_eq!(scene.run("DEL k")?, ":1");
    // A pause ends by itself, without another call.
    for mode in ["WRITE", "ALL"] {
        let mut waiter = scene.waiter("BRPOP k 0")?;
        let started = Instant::now();
        let pause = format!("CLIENT PAUSE 300 {mode}");
        for line in ["MULTI", "RPUSH k v", &pause, "EXEC"] {
            scene.run(line)?;
        }
        assert_eq!(next(&mut waiter)?, r#"["k", "v"]"#);
        let elapsed = started.elapsed();
        assert!(elapsed >= Duration::from_millis(290), "{elapsed:?}");
    }
    // A waiting client's timeout goes on during a pause.
    let mut waiter = scene.waiter("BRPOP k 0.1")?;
    scene.run("CLIENT PAUSE 100000 WRITE")?;
    assert_eq!(next(&mut waiter)?, "*-1");
    Ok(())
}

#[test]
fn permissions_are_those_of_the_end_of_the_wait() -> TestResult {
    let mut scene = Scene::start()?;
    scene.run("ACL SETUSER worker on nopass ~k* +@all")?;
    let mut client = scene.server.raw()?;
    client.line("AUTH worker x")?;
    assert!(client.line("BLPOP other 0")?.is_error());
    let mut client = scene.wait_in(client, "BLPOP k 0")?;
    scene.run("ACL SETUSER worker resetkeys ~other")?;
    scene.run("RPUSH k v")?;
    assert_eq!(next(&mut client)?, "-NOPERM No permissions to access a key");
    assert_eq!(scene.run("LRANGE k 0 -1")?, r#"["v"]"#);
    // Removing a user disconnects its waiting clients.
    let mut client = scene.wait_in(client, "BLPOP other 0")?;
    scene.run("ACL DELUSER worker")?;
    assert!(client.is_closed()?);
    scene.run("RPUSH other v")?;
    assert_eq!(scene.run("LLEN other")?, ":1");
    Ok(())
}

#[test]
fn messages_come_meanwhile() -> TestResult {
    let mut scene = Scene::start()?;
    let mut client = scene.server.raw()?;
    client.line("HELLO 3")?;
    client.line("SUBSCRIBE news")?;
    let mut client = scene.wait_in(client, "BLPOP k 0")?;
    assert_eq!(scene.run("PUBLISH news one")?, ":1");
    let message = next(&mut client)?;
    assert!(message.contains(r#""one""#), "{message}");
    for line in ["MULTI", "RPUSH k v", "EXEC", "PUBLISH news two"] {
        scene.run(line)?;
    }
    assert_eq!(next(&mut client)?, r#"["k", "v"]"#);
    let message = next(&mut client)?;
    assert!(message.contains(r#""two""#), "{message}");
    Ok(())
}

#[test]
fn replies_that_are_switched_off() -> TestResult {
    let mut scene = Scene::start()?;
    let mut client = scene.server.raw()?;
    client.send_bytes(b"CLIENT REPLY SKIP\r\nBLPOP k 0\r\nPING\r\n")?;
    scene.await_blocked(1)?;
    scene.run("RPUSH k v")?;
    assert_eq!(next(&mut client)?, "+PONG");
    client.send_bytes(b"CLIENT REPLY OFF\r\nBLPOP k 0\r\nBLPOP k 0.01\r\nCLIENT REPLY ON\r\n")?;
    scene.await_blocked(1)?;
    scene.run("RPUSH k v")?;
    assert_eq!(next(&mut client)?, "+OK");
    assert_eq!(scene.run("EXISTS k")?, ":0");
    Ok(())
}

#[test]
fn ends_behind_a_wait() -> TestResult {
    let mut scene = Scene::start()?;
    let mut client = scene.server.raw()?;
    client.send_bytes(b"SELECT 3\r\nBLPOP k 0\r\nRESET\r\nBLPOP k 0\r\nQUIT\r\n")?;
    scene.await_blocked(1)?;
    assert_eq!(next(&mut client)?, "+OK");
    scene.run("RPUSH k v")?;
    assert_eq!(scene.blocked()?, 1, "that was another database");
    for line in ["MOVE k 3", "RPUSH k w"] {
        scene.run(line)?;
    }
    assert_eq!(next(&mut client)?, r#"["k", "v"]"#);
    assert_eq!(next(&mut client)?, "+RESET");
    assert_eq!(next(&mut client)?, r#"["k", "w"]"#);
    assert_eq!(next(&mut client)?, "+OK");
    assert!(client.is_closed()?);
    Ok(())
}

#[test]
fn a_wait_is_one_call_and_takes_no_time() -> TestResult {
    let mut scene = Scene::start()?;
    scene.run("CONFIG SET slowlog-log-slower-than 100000")?;
    let mut monitor = scene.server.raw()?;
    monitor.line("MONITOR")?;
    let mut client = scene.server.raw()?;
    let number = id(&mut client)?;
    let mut client = scene.wait_in(client, "BLPOP k 0")?;
    thread::sleep(Duration::from_millis(200));
    scene.run("RPUSH k v")?;
    assert_eq!(next(&mut client)?, r#"["k", "v"]"#);
    assert_eq!(scene.run("SLOWLOG LEN")?, ":0");
    let mut client = scene.wait_in(client, "BLPOP k 0")?;
    scene.run(&format!("CLIENT UNBLOCK {number} ERROR"))?;
    assert!(client.read()?.is_error());
    let stats = scene.control.line("INFO commandstats")?;
    let stats = stats.text().ok_or("no text")?;
    let line = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_blpop:"));
    let line = line.ok_or("BLPOP is not counted")?;
    assert!(line.contains("calls=2,"), "{line}");
    assert!(line.contains("failed_calls=1"), "{line}");
    let errors = show(&scene.control.line("INFO errorstats")?);
    assert!(errors.contains("errorstat_UNBLOCKED:count=1"), "{errors}");
    // MONITOR shows each call once, as the client sent it.
    scene.run("ECHO end")?;
    let mut shown = 0;
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline);
        let line = next(&mut monitor)?.to_ascii_lowercase();
        if line.contains("blpop") {
            shown += 1;
        }
        if line.contains("echo") {
            break;
        }
    }
    assert_eq!(shown, 2);
    Ok(())
}

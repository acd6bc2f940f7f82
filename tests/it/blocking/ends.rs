//! Waits that end without an element: timeouts, CLIENT UNBLOCK, CLIENT KILL, lost connections.

use std::thread;
use std::time::{Duration, Instant};

use super::{PATIENCE, Scene, TestResult, id, next, show};

#[test]
fn timeouts() -> TestResult {
    let mut scene = Scene::start()?;
    for (line, reply) in [
        ("BLPOP k l 0.06", "*-1"),
        ("BRPOP k .06", "*-1"),
        ("BLMOVE k l LEFT RIGHT 0.06", "*-1"),
        ("BRPOPLPUSH k l 6e-2", "*-1"),
        ("BLMPOP 0.06 1 k LEFT", "*-1"),
        ("BZPOPMIN k 0.06", "*-1"),
        ("BZPOPMAX k l 0.06", "*-1"),
        ("BZMPOP 0.06 1 k MIN", "*-1"),
    ] {
        let start = Instant::now();
        assert_eq!(scene.run(line)?, reply, "{line}");
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(55), "{line}: {waited:?}");
        assert!(waited < PATIENCE, "{line}: {waited:?}");
    }
    for (line, reply) in [
        ("BLPOP k -1", "-ERR timeout is negative"),
        ("BZPOPMIN k -0.01", "-ERR timeout is negative"),
        ("BLPOP k x", "-ERR timeout is not a float or out of range"),
        (
            "BRPOPLPUSH k l nan",
            "-ERR timeout is not a float or out of range",
        ),
        (
            "BLMPOP x 1 k LEFT",
            "-ERR timeout is not a float or out of range",
        ),
        ("BLMOVE k l UP LEFT 0", "-ERR syntax error"),
        ("BZMPOP 0 0 k MIN", "-ERR numkeys should be greater than 0"),
    ] {
        assert_eq!(scene.run(line)?, reply, "{line}");
    }
    // 7.0 takes some of these timeouts for negative ones.
    for line in [
        "BLPOP k 1e300",
        "BZPOPMAX k 1e17",
        "BLMPOP 9223372036854775807 1 k LEFT",
    ] {
        let reply = scene.run(line)?;
        if scene.server.is_ours() {
            assert_eq!(reply, "-ERR timeout is out of range", "{line}");
        }
        assert!(reply.starts_with("-ERR timeout is"), "{line}: {reply}");
    }

    // One call's timeout does not end the next call's wait.
    let mut short = scene.waiter("BLPOP k 0.1")?;
    let mut long = scene.waiter("BLPOP k 1000")?;
    assert_eq!(next(&mut short)?, "*-1");
    assert_eq!(scene.blocked()?, 1);
    scene.run("RPUSH k v")?;
    assert_eq!(next(&mut long)?, r#"["k", "v"]"#);
    // The timeout does not fire later either, after the wait is over.
    let mut served = scene.waiter("BLPOP k 0.15")?;
    scene.run("RPUSH k v")?;
    assert_eq!(next(&mut served)?, r#"["k", "v"]"#);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(show(&served.line("PING")?), "+PONG");
    Ok(())
}

#[test]
fn unblocked_by_another_client() -> TestResult {
    let mut scene = Scene::start()?;
    let mut client = scene.server.raw()?;
    let number = id(&mut client)?;
    assert_eq!(scene.run(&format!("CLIENT UNBLOCK {number}"))?, ":0");
    for (line, reply) in [
        ("BLPOP k 0", "*-1"),
        ("BLMOVE k l LEFT LEFT 0", "*-1"),
        ("BZMPOP 0 1 k MAX", "*-1"),
    ] {
        client = scene.wait_in(client, line)?;
        assert_eq!(scene.run(&format!("CLIENT UNBLOCK {number}"))?, ":1");
        assert_eq!(next(&mut client)?, reply, "{line}");
        client = scene.wait_in(client, line)?;
        assert_eq!(
            scene.run(&format!("CLIENT UNBLOCK {number} TIMEOUT"))?,
            ":1"
        );
        assert_eq!(next(&mut client)?, reply, "{line}");
        client = scene.wait_in(client, line)?;
        assert_eq!(scene.run(&format!("CLIENT UNBLOCK {number} ERROR"))?, ":1");
        assert_eq!(
            next(&mut client)?,
            "-UNBLOCKED client unblocked via CLIENT UNBLOCK"
        );
    }
    assert_eq!(scene.run(&format!("CLIENT UNBLOCK {number} ERROR"))?, ":0");
    // The unblocked client has left the queue.
    scene.run("RPUSH k v")?;
    assert_eq!(scene.run("LLEN k")?, ":1");
    assert_eq!(show(&client.line("PING")?), "+PONG");
    Ok(())
}

#[test]
fn elements_of_clients_that_are_gone() -> TestResult {
    let mut scene = Scene::start()?;
    let mut killed = scene.server.raw()?;
    let number = id(&mut killed)?;
    let mut killed = scene.wait_in(killed, "BLPOP k 0")?;
    let gone = scene.waiter("BLPOP k other 0")?;
    let mut patient = scene.waiter("BLPOP k 0")?;
    assert_eq!(scene.run(&format!("CLIENT KILL ID {number}"))?, ":1");
    assert!(killed.is_closed()?);
    drop(gone);
    scene.await_blocked(1)?;
    scene.run("RPUSH k first")?;
    assert_eq!(next(&mut patient)?, r#"["k", "first"]"#);
    scene.await_blocked(0)?;
    scene.run("RPUSH other kept")?;
    assert_eq!(scene.run("LRANGE other 0 -1")?, r#"["kept"]"#);

    let mover = scene.waiter("BLMOVE k destination LEFT LEFT 0")?;
    drop(mover);
    scene.await_blocked(0)?;
    scene.run("RPUSH k v")?;
    assert_eq!(scene.run("LRANGE k 0 -1")?, r#"["v"]"#);
    assert_eq!(scene.run("EXISTS destination")?, ":0");
    Ok(())
}

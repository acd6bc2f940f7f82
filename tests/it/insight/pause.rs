//! CLIENT PAUSE.

use std::time::{Duration, Instant};

use common::{RawClient, TestResult, Value};

use super::{field, ok, start, text};

/// Sends a call to a paused server, runs `during`, and returns how long the call took and its reply.
fn held(
    client: &mut RawClient,
    line: &str,
    during: impl FnOnce() -> TestResult,
) -> TestResult<(Duration, Value)> {
    let started = Instant::now();
    client.send_bytes(format!("{line}\r\n").as_bytes())?;
    std::thread::sleep(Duration::from_millis(50));
    during()?;
    let reply = client.read()?;
    Ok((started.elapsed(), reply))
}

#[test]
fn a_pause_of_writes_holds_them_and_nothing_else() -> TestResult {
    let server = start()?;
    let (mut client, mut other) = (server.raw()?, server.raw()?);
    client.line("SET gone v PX 500")?;
    client.line("SET k old")?;
    client.send_bytes(b"MULTI\r\nSET k exec\r\n")?;
    client.read()?;
    client.read()?;
    assert_eq!(other.line("CLIENT PAUSE 60000 WRITE")?, ok());
    let (time, reply) = held(&mut client, "EXEC", || {
        assert_eq!(text(&other.line("GET k")?), "old");
        let info = text(&other.line("INFO clients")?);
        assert_eq!(field(&info, "blocked_clients").as_deref(), Some("1"));
        assert!(text(&other.line("CLIENT LIST")?).contains(" flags=xb "));
        // The server removes no expired key during the pause; readers do not see the key, however.
        std::thread::sleep(Duration::from_millis(800));
        assert!(other.line("GET gone")?.is_null());
        assert_eq!(other.line("DBSIZE")?, Value::Integer(2));
        // The server refuses a wrong call at once.
        assert!(other.line("SET k")?.is_error());
        assert_eq!(other.line("CLIENT UNPAUSE")?, ok());
        Ok(())
    })?;
    assert!(time < Duration::from_secs(30), "{time:?}");
    assert_eq!(reply, Value::Array(vec![ok()]));
    assert_eq!(text(&client.line("GET k")?), "exec");
    let deadline = Instant::now() + Duration::from_secs(10);
    while client.line("DBSIZE")? != Value::Integer(1) {
        assert!(Instant::now() < deadline, "the key past its deadline stays");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn a_pause_of_all_ends_by_itself() -> TestResult {
    let server = start()?;
    let (mut client, mut other) = (server.raw()?, server.raw()?);
    // A pause this long could never end.
    let forever = other.line(&format!("CLIENT PAUSE {}", i64::MAX))?;
    assert_eq!(
        forever,
        Value::Error(b"ERR timeout is out of range".to_vec())
    );
    assert_eq!(other.line("CLIENT PAUSE 400")?, ok());
    let (time, reply) = held(&mut client, "PING", || Ok(()))?;
    assert!(time > Duration::from_millis(300), "{time:?}");
    assert_eq!(text(&reply), "PONG");
    // Of calls in one write, those before the held command are answered at once, and those behind it in order.
    assert_eq!(other.line("CLIENT PAUSE 400 WRITE")?, ok());
    let started = Instant::now();
    client.send_bytes(b"ECHO one\r\nSET k v\r\nGET k\r\nECHO two\r\n")?;
    assert_eq!(text(&client.read()?), "one");
    assert!(started.elapsed() < Duration::from_millis(300));
    assert_eq!(client.read()?, ok());
    assert!(started.elapsed() > Duration::from_millis(300));
    assert_eq!(text(&client.read()?), "v");
    assert_eq!(text(&client.read()?), "two");
    Ok(())
}

#[test]
fn a_waiting_client_can_be_killed_or_leave() -> TestResult {
    let mut server = start()?;
    let mut other = server.raw()?;
    let mut client = server.raw()?;
    let id = client.line("CLIENT ID")?.integer().ok_or("no id")?;
    other.line("CLIENT PAUSE 600000 WRITE")?;
    client.send_bytes(b"SET k v\r\n")?;
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(
        other.line(&format!("CLIENT UNBLOCK {id}"))?,
        Value::Integer(0)
    );
    assert_eq!(
        other.line(&format!("CLIENT KILL ID {id}"))?,
        Value::Integer(1)
    );
    assert!(client.is_closed()?);
    let mut client = server.raw()?;
    client.send_bytes(b"SET k v\r\n")?;
    std::thread::sleep(Duration::from_millis(50));
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let info = text(&other.line("INFO clients")?);
        if field(&info, "connected_clients").as_deref() == Some("1") {
            break;
        }
        assert!(Instant::now() < deadline, "{info}");
    }
    // A pause does not keep the server from stopping.
    let mut client = server.raw()?;
    client.send_bytes(b"SET k v\r\n")?;
    std::thread::sleep(Duration::from_millis(50));
    server.terminate()
}

//! Connections with pending output: everything else still works for them.

use std::time::{Duration, Instant};

use super::{PATIENCE, repeated, small};
use common::{RawClient, Server, TestResult, Value};

const VALUE_BYTES: usize = 1_000_000;
/// More bytes than all sockets' buffers hold.
const REPLIES: usize = 40;

/// A client that has not read 40 MB of its output.
fn stuck(server: &Server) -> TestResult<RawClient> {
    let mut client = server.raw()?;
    client.call(&["SET", "large", &"x".repeat(VALUE_BYTES)])?;
    client.line("CLIENT SETNAME stuck")?;
    client.send_bytes(&repeated(&["GET", "large"], REPLIES))?;
    Ok(client)
}

/// Reads the replies that [`stuck`] asked for.
fn read_all(client: &mut RawClient) -> TestResult {
    for n in 0..REPLIES {
        let reply = client.read()?;
        assert_eq!(reply.bytes().map(<[u8]>::len), Some(VALUE_BYTES), "{n}");
    }
    Ok(())
}

fn is_there(watcher: &mut RawClient) -> TestResult<bool> {
    let list = watcher.line("CLIENT LIST")?.text().unwrap_or_default();
    Ok(list.contains("name=stuck"))
}

fn wait_until_gone(watcher: &mut RawClient) -> TestResult {
    let until = Instant::now() + PATIENCE;
    while is_there(watcher)? {
        if Instant::now() > until {
            return Err("it is never closed".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn wait_for(watcher: &mut RawClient, key: &str, value: &str) -> TestResult {
    let until = Instant::now() + PATIENCE;
    while watcher.line(&format!("GET {key}"))?.text().as_deref() != Some(value) {
        if Instant::now() > until {
            return Err(format!("{key} is never {value}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[test]
fn a_stopping_server_waits_for_no_client() -> TestResult {
    let mut server = Server::start_with(small())?;
    let mut stuck = stuck(&server)?;
    stuck.line("SET after 1").ok();
    let started = Instant::now();
    server.terminate()?;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    Ok(())
}

#[test]
fn a_client_that_reads_gets_its_last_replies_when_the_server_stops() -> TestResult {
    let mut server = Server::start_with(small())?;
    let mut client = stuck(&server)?;
    let reader = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        (0..REPLIES).all(|_| client.read().is_ok_and(|reply| !reply.is_error()))
    });
    std::thread::sleep(Duration::from_millis(100));
    server.terminate()?;
    assert!(reader.join().map_err(|_| "the reader panicked")?);
    Ok(())
}

#[test]
fn a_command_that_waits_is_answered_behind_the_rest() -> TestResult {
    let server = Server::start_with(small())?;
    let (mut client, mut other) = (stuck(&server)?, server.raw()?);
    client.send_bytes(b"SET here 1\r\nBLPOP queue 0\r\nSET here 2\r\n")?;
    wait_for(&mut other, "here", "1")?;
    other.line("RPUSH queue element")?;
    wait_for(&mut other, "here", "2")?;
    client.send_bytes(b"BLPOP queue 0.05\r\nPING\r\n")?;
    read_all(&mut client)?;
    let ok = Value::Simple(b"OK".to_vec());
    assert_eq!(client.read()?, ok);
    let words = [&b"queue"[..], b"element"].map(|word| Value::Bulk(word.to_vec()));
    assert_eq!(client.read()?, Value::Array(words.to_vec()));
    assert_eq!(client.read()?, ok);
    assert_eq!(client.read()?, Value::NullArray);
    assert_eq!(client.read()?, Value::Simple(b"PONG".to_vec()));

    // The server delivers pending output while the command waits.
    let mut client = stuck(&server)?;
    client.send_bytes(b"BLPOP queue 0\r\n")?;
    read_all(&mut client)?;
    other.line("RPUSH queue element")?;
    assert_eq!(client.read()?, Value::Array(words.to_vec()));
    Ok(())
}

#[test]
fn a_client_that_left_takes_no_element() -> TestResult {
    let server = Server::start_with(small())?;
    let (mut client, mut other) = (stuck(&server)?, server.raw()?);
    client.send_bytes(b"SET here 1\r\nBLPOP queue 0\r\n")?;
    wait_for(&mut other, "here", "1")?;
    drop(client);
    wait_until_gone(&mut other)?;
    assert_eq!(other.line("RPUSH queue element")?, Value::Integer(1));
    assert_eq!(other.line("LLEN queue")?, Value::Integer(1));
    Ok(())
}

#[test]
fn messages_come_behind_the_rest() -> TestResult {
    let server = Server::start_with(small())?;
    let (mut client, mut other) = (server.raw()?, server.raw()?);
    client.line("HELLO 3")?;
    client.call(&["SET", "large", &"x".repeat(VALUE_BYTES)])?;
    client.send_bytes(b"SUBSCRIBE news\r\n")?;
    assert!(matches!(client.read()?, Value::Push(_)));
    client.send_bytes(&repeated(&["GET", "large"], REPLIES - 10))?;
    client.send_bytes(b"SET here 1\r\n")?;
    wait_for(&mut other, "here", "1")?;
    for _ in 0..3 {
        assert_eq!(other.line("PUBLISH news text")?, Value::Integer(1));
    }
    client.send_bytes(b"PING\r\n")?;
    for _ in 0..REPLIES - 10 {
        assert_eq!(client.read()?.bytes().map(<[u8]>::len), Some(VALUE_BYTES));
    }
    assert_eq!(client.read()?, Value::Simple(b"OK".to_vec()));
    let mut rest = Vec::new();
    for _ in 0..4 {
        rest.push(client.read()?);
    }
    assert_eq!(
        rest.iter()
            .filter(|one| matches!(one, Value::Push(_)))
            .count(),
        3
    );
    assert!(rest.contains(&Value::Simple(b"PONG".to_vec())));
    Ok(())
}

#[test]
fn monitor_shows_commands_behind_the_rest() -> TestResult {
    let server = Server::start_with(small())?;
    let (mut client, mut other) = (stuck(&server)?, server.raw()?);
    client.send_bytes(b"SET here 1\r\nMONITOR\r\n")?;
    wait_for(&mut other, "here", "1")?;
    std::thread::sleep(Duration::from_millis(100));
    other.line("ECHO seen")?;
    read_all(&mut client)?;
    let mut lines = Vec::new();
    while !lines
        .last()
        .is_some_and(|line: &String| line.contains("seen"))
    {
        lines.push(format!("{:?}", client.read()?));
    }
    assert_eq!(&lines[..2], ["+OK", "+OK"]);
    Ok(())
}

#[test]
fn a_pause_holds_and_then_lets_go() -> TestResult {
    let server = Server::start_with(small())?;
    let (mut client, mut other) = (stuck(&server)?, server.raw()?);
    std::thread::sleep(Duration::from_millis(200));
    let started = Instant::now();
    other.line("CLIENT PAUSE 700 WRITE")?;
    client.send_bytes(b"SET here 1\r\n")?;
    // The server delivers replies during the pause.
    read_all(&mut client)?;
    assert_eq!(client.read()?, Value::Simple(b"OK".to_vec()));
    assert!(started.elapsed() >= Duration::from_millis(650));
    Ok(())
}

#[test]
fn slow_commands_answer_in_their_turn() -> TestResult {
    let server = Server::start_with(small())?;
    let mut client = stuck(&server)?;
    client.send_bytes(b"KEYS *\r\nPING\r\n")?;
    read_all(&mut client)?;
    assert_eq!(client.read()?.items().map(<[Value]>::len), Some(1));
    assert_eq!(client.read()?, Value::Simple(b"PONG".to_vec()));
    Ok(())
}

/// QUIT delivers pending output, also to a client that still sends much before it reads.
#[test]
fn quit_delivers_what_waits() -> TestResult {
    let server = Server::start_with(small())?;
    let mut client = stuck(&server)?;
    client.send_bytes(b"QUIT\r\n")?;
    client.send_bytes(&b"SET never run\r\n".repeat(1_000_000))?;
    read_all(&mut client)?;
    assert_eq!(client.read()?, Value::Simple(b"OK".to_vec()));
    assert!(client.is_closed()?);
    assert_eq!(server.raw()?.line("EXISTS never")?, Value::Integer(0));
    Ok(())
}

#[test]
fn clients_are_killed_and_time_out() -> TestResult {
    let server = Server::start_with(small())?;
    let (client, mut watcher) = (stuck(&server)?, server.raw()?);
    std::thread::sleep(Duration::from_millis(200));
    watcher.line("CLIENT KILL TYPE normal SKIPME yes")?;
    wait_until_gone(&mut watcher)?;
    drop(client);

    // After QUIT, only the delivery is left.
    let mut client = stuck(&server)?;
    client.send_bytes(b"QUIT\r\n")?;
    std::thread::sleep(Duration::from_millis(200));
    assert!(is_there(&mut watcher)?);
    watcher.line("CLIENT KILL TYPE normal SKIPME yes")?;
    wait_until_gone(&mut watcher)?;
    drop(client);

    watcher.line("CONFIG SET timeout 1")?;
    let client = stuck(&server)?;
    let mut watcher = server.raw()?;
    let started = Instant::now();
    wait_until_gone(&mut watcher)?;
    assert!(started.elapsed() > Duration::from_millis(900));
    drop(client);
    Ok(())
}

#[test]
fn replies_that_are_off_do_not_wait() -> TestResult {
    let server = Server::start_with(small())?;
    let mut client = stuck(&server)?;
    client.send_bytes(b"CLIENT REPLY OFF\r\n")?;
    client.send_bytes(&b"INCR n\r\n".repeat(50_000))?;
    client.send_bytes(b"CLIENT REPLY ON\r\nGET n\r\n")?;
    read_all(&mut client)?;
    assert_eq!(client.read()?, Value::Simple(b"OK".to_vec()));
    assert_eq!(client.read()?.text().as_deref(), Some("50000"));
    Ok(())
}

//! Clients that misbehave: too many at once, ones that never read, ones that do not speak Redis's protocol.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value};

const VALUE_BYTES: usize = 1 << 20;

/// A client whose replies have filled every buffer between it and the server, so that the server waits to write.
fn stuck(server: &Server) -> TestResult<RawClient> {
    let mut client = server.raw()?;
    client.call(&["SET", "large", &"x".repeat(VALUE_BYTES)])?;
    client.line("CLIENT SETNAME stuck")?;
    for _ in 0..64 {
        client.send(&["GET", "large"])?;
    }
    Ok(client)
}

fn clients(watcher: &mut RawClient) -> TestResult<String> {
    Ok(watcher.line("CLIENT LIST")?.text().unwrap_or_default())
}

#[test]
fn a_burst_does_not_get_past_maxclients() -> TestResult {
    const MOST: usize = 10;
    let server =
        Server::start_with(Options::new("vcmap").directive("maxclients", &MOST.to_string()))?;
    let streams: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(("127.0.0.1", server.port())))
        .collect::<Result<_, _>>()?;
    let mut answers = 0;
    for mut stream in &streams {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        // The test sees the end of a refused connection while it writes or while it reads.
        let mut answer = [0; 5];
        let answered = stream
            .write_all(b"PING\r\n")
            .and_then(|()| stream.read_exact(&mut answer));
        answers += usize::from(answered.is_ok() && answer == *b"+PONG");
    }
    assert!(answers <= MOST, "{answers} clients were served");
    Ok(())
}

#[test]
fn a_client_that_never_reads_can_be_killed() -> TestResult {
    let server = Server::start("vcmap")?;
    let _stuck = stuck(&server)?;
    let mut watcher = server.raw()?;
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(
        watcher.line("CLIENT KILL TYPE normal SKIPME yes")?,
        Value::Integer(1)
    );
    let deadline = Instant::now() + Duration::from_secs(5);
    while clients(&mut watcher)?.contains("name=stuck") {
        assert!(
            Instant::now() < deadline,
            "the killed client is still there"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test]
fn http_requests_are_not_run_as_commands() -> TestResult {
    let server = Server::start("vcmap")?;
    for request in [
        "POST / HTTP/1.1\r\nSET smuggled 1\r\n",
        "hOsT: here\r\nSET smuggled 1\r\n",
    ] {
        let mut client = server.raw()?;
        client.send_bytes(request.as_bytes())?;
        assert!(client.is_closed()?, "{request}");
    }
    let mut client = server.raw()?;
    assert_eq!(client.line("EXISTS smuggled")?, Value::Integer(0));
    Ok(())
}

#[test]
fn a_pool_in_the_working_directory_is_rebuilt() -> TestResult {
    let mut server =
        Server::start_with(Options::new("stree").directive("pool-path", "relative.pool"))?;
    server.raw()?.line("SET key value")?;
    server.kill_9()?;
    server.resume()?;
    let value = server.raw()?.line("GET key")?;
    assert_eq!(value.bytes(), Some(&b"value"[..]));
    Ok(())
}

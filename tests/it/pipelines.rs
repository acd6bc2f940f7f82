//! Clients that send more than they read: whole pipelines before the first reply, limits of output, fairness.

mod limits;
mod states;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::tls::authority::Authority;
use common::{Options, RawClient, Server, TestResult, Value, encode};

/// How long a pipeline may take each step.
const PATIENCE: Duration = Duration::from_secs(20);

fn small() -> Options {
    Options::new("vcmap").pool_size("128mb")
}

/// A server that listens at a Unix socket too.
fn with_unix_socket() -> TestResult<(Server, PathBuf)> {
    let server = Server::start_with(small().directive("unixsocket", "test.sock"))?;
    let path = server.dir().join("test.sock");
    Ok((server, path))
}

fn unix(path: &PathBuf) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn tcp(server: &Server) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", server.port()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The same call many times.
fn repeated(words: &[&str], times: usize) -> Vec<u8> {
    let mut call = Vec::new();
    encode(&mut call, words);
    call.repeat(times)
}

/// One call for each number, which replaces `{}`.
fn numbered(words: &[&str], count: usize) -> Vec<u8> {
    let mut calls = Vec::new();
    for n in 0..count {
        let words: Vec<_> = (words.iter())
            .map(|word| word.replace("{}", &n.to_string()))
            .collect();
        encode(&mut calls, &words);
    }
    calls
}

/// Writes all of `requests`, and only then reads and compares.
fn write_then_read<S: Read + Write>(
    stream: &mut S,
    requests: &[u8],
    expected: &[u8],
) -> TestResult {
    (stream.write_all(requests)).map_err(|error| format!("writing {}: {error}", requests.len()))?;
    let mut replies = vec![0; expected.len()];
    (stream.read_exact(&mut replies)).map_err(|error| format!("reading: {error}"))?;
    if replies != expected {
        let at = replies.iter().zip(expected).position(|(a, b)| a != b);
        return Err(format!("the replies differ at byte {at:?}").into());
    }
    Ok(())
}

fn bulk(bytes: usize) -> Vec<u8> {
    format!("${bytes}\r\n{}\r\n", "v".repeat(bytes)).into_bytes()
}

/// The long pipelines of synchronous clients, over one stream. `gets` calls fill all buffers in both directions.
fn pipelines<S: Read + Write>(stream: &mut S, gets: usize) -> TestResult {
    let value = "v".repeat(1000);
    let key = "q".repeat(200);
    write_then_read(stream, &repeated(&["SET", &key, &value], 1), b"+OK\r\n")?;

    let replies = bulk(1000).repeat(gets);
    write_then_read(stream, &repeated(&["GET", &key], gets), &replies)?;

    let count = 50_000;
    let requests = numbered(&["SET", "w{}", "0123456789abcdefghij"], count);
    write_then_read(stream, &requests, &b"+OK\r\n".repeat(count))?;

    let mut requests = b"MULTI\r\n".to_vec();
    requests.extend(repeated(&["GET", &key], 50_000));
    requests.extend(b"EXEC\r\nPING\r\n");
    let mut replies = b"+OK\r\n".to_vec();
    replies.extend(b"+QUEUED\r\n".repeat(50_000));
    replies.extend(b"*50000\r\n");
    replies.extend(bulk(1000).repeat(50_000));
    replies.extend(b"+PONG\r\n");
    write_then_read(stream, &requests, &replies)?;

    let count = 400_000;
    write_then_read(
        stream,
        &b"PING\r\n".repeat(count),
        &b"+PONG\r\n".repeat(count),
    )
}

#[test]
fn a_pipeline_may_be_written_before_it_is_read_over_tcp() -> TestResult {
    let server = Server::start_with(small())?;
    pipelines(&mut tcp(&server)?, 100_000)
}

#[test]
fn a_pipeline_may_be_written_before_it_is_read_over_a_unix_socket() -> TestResult {
    let (_server, path) = with_unix_socket()?;
    pipelines(&mut unix(&path)?, 4_000)
}

/// A stream for [`pipelines`] over an encrypted connection.
struct Tls(crate::tls::authority::TlsConnection);

impl Read for Tls {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.bytes(buf)?;
        Ok(buf.len())
    }
}

impl Write for Tls {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.send(buf)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_pipeline_may_be_written_before_it_is_read_over_tls() -> TestResult {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path(), "authority")?;
    let (certificate, key) = authority.sign("server")?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let options = small()
        .directive("tls-port", &port.to_string())
        .directive("tls-cert-file", &certificate.display().to_string())
        .directive("tls-key-file", &key.display().to_string())
        .directive("tls-auth-clients", "no");
    let _server = Server::start_with(options)?;
    pipelines(&mut Tls(authority.client().connect(port)?), 100_000)
}

fn wait_for_keys(server: &Server, count: i64) -> TestResult {
    let mut client = server.raw()?;
    let until = Instant::now() + PATIENCE;
    loop {
        let keys = client.line("DBSIZE")?;
        if keys == Value::Integer(count) {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(format!("{keys:?} keys of {count}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The server runs all requests of a client that never reads and then disconnects.
#[test]
fn requests_of_a_client_that_never_reads_all_run() -> TestResult {
    let requests = numbered(&["INCRBY", "counter:{}", "1"], 50_000);

    let (server, path) = with_unix_socket()?;
    let mut stream = unix(&path)?;
    stream.write_all(&requests)?;
    std::thread::sleep(Duration::from_millis(1500));
    drop(stream);
    wait_for_keys(&server, 50_000)?;

    server.raw()?.line("FLUSHALL")?;
    let mut stream = tcp(&server)?;
    stream.write_all(&requests)?;
    // A close with unread replies resets a TCP connection, and the kernel then drops what the server has not read. So the
    // client stays until everything has run.
    wait_for_keys(&server, 50_000)?;
    drop(stream);

    // The client closes at once; the server still owns all bytes that the socket took.
    server.raw()?.line("FLUSHALL")?;
    let mut stream = unix(&path)?;
    stream.write_all(&requests)?;
    drop(stream);
    wait_for_keys(&server, 50_000)
}

/// A client that has closed its sending side still gets every reply.
#[test]
fn replies_come_after_the_end_of_the_requests() -> TestResult {
    let (server, path) = with_unix_socket()?;
    let value = "v".repeat(1000);
    server.raw()?.call(&["SET", "q", &value])?;
    let requests = repeated(&["GET", "q"], 20_000);
    let expected = bulk(1000).repeat(20_000);

    let mut stream = unix(&path)?;
    stream.write_all(&requests)?;
    stream.shutdown(Shutdown::Write)?;
    std::thread::sleep(Duration::from_millis(500));
    let mut replies = Vec::new();
    stream.read_to_end(&mut replies)?;
    assert!(replies == expected, "{} bytes over unix", replies.len());

    let mut stream = tcp(&server)?;
    stream.write_all(&requests)?;
    stream.shutdown(Shutdown::Write)?;
    std::thread::sleep(Duration::from_millis(500));
    let mut replies = Vec::new();
    stream.read_to_end(&mut replies)?;
    assert!(replies == expected, "{} bytes over tcp", replies.len());
    Ok(())
}

/// Sends GETs until the server closes the connection or has got `bytes`; reads nothing.
fn flood(port: u16, bytes: usize) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let requests = repeated(&["GET", "q"], 1000);
    for _ in 0..bytes / requests.len() {
        if stream.write_all(&requests).is_err() {
            break;
        }
    }
    Ok(stream)
}

/// Sends more than the sockets' buffers hold, so the server must run most of it before the client has sent everything.
#[test]
fn a_flood_leaves_the_worker_to_others() -> TestResult {
    let server = Server::start_with(small().directive("worker-threads", "1"))?;
    let mut client = server.raw()?;
    client.call(&["SET", "q", &"v".repeat(50)])?;
    let port = server.port();
    let floods: Vec<_> = (0..2)
        .map(|_| std::thread::spawn(move || flood(port, 25_000_000)))
        .collect();
    let mut times = Vec::new();
    while floods.iter().any(|flood| !flood.is_finished()) {
        let started = Instant::now();
        assert_eq!(client.line("PING")?, Value::Simple(b"PONG".to_vec()));
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let slowest = times.last().ok_or("nothing was measured")?;
    assert!(times.len() > 20);
    assert!(*slowest < Duration::from_millis(500), "{slowest:?}");
    for flood in floods {
        flood.join().map_err(|_| "a flood panicked")??;
    }
    Ok(())
}

/// What a pipeline fetches ahead is a guess: each call does to its own element what it says.
#[test]
fn a_pipeline_changes_elements_of_large_collections() -> TestResult {
    const ELEMENTS: usize = 700;
    let server = Server::start_with(Options::new("cmap").pool_size("128mb"))?;
    let mut stream = tcp(&server)?;
    let numbers = |count: usize, number: &dyn Fn(usize) -> usize| -> Vec<u8> {
        (0..count)
            .flat_map(|n| format!(":{}\r\n", number(n)).into_bytes())
            .collect()
    };
    let ones = numbers(ELEMENTS, &|_| 1);
    for words in [
        &["HSET", "h", "f{}", "{}"][..],
        &["SADD", "s", "m{}"],
        &["ZADD", "z", "{}", "m{}"],
    ] {
        write_then_read(&mut stream, &numbered(words, ELEMENTS), &ones)?;
    }
    let pushed = numbers(ELEMENTS, &|n| n + 1);
    write_then_read(
        &mut stream,
        &numbered(&["RPUSH", "l", "{}"], ELEMENTS),
        &pushed,
    )?;
    // Calls on all of them by turns, and some whose words are no elements.
    let mut calls = Vec::new();
    let mut expected = Vec::new();
    let mut left = ELEMENTS;
    for n in 0..200 {
        let (field, member, number) = (format!("f{n}"), format!("m{n}"), n.to_string());
        let new = format!("new {n}");
        let mut call = |words: &[&str], reply: String| {
            encode(&mut calls, words);
            expected.extend_from_slice(reply.as_bytes());
        };
        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        call(&["HSET", "h", &field, "x"], ":0\r\n".into());
        call(&["HGET", "h", &field], bulk("x"));
        call(&["HINCRBY", "h", &new, "7"], ":7\r\n".into());
        call(&["SADD", "s", &member], ":0\r\n".into());
        call(&["SADD", "s", &new], ":1\r\n".into());
        call(&["SREM", "s", &member], ":1\r\n".into());
        call(
            &["ZADD", "z", "XX", "CH", &number, &member],
            ":0\r\n".into(),
        );
        call(
            &["ZINCRBY", "z", "1000", &member],
            bulk(&(n + 1000).to_string()),
        );
        call(&["ZSCORE", "z", &member], bulk(&(n + 1000).to_string()));
        call(
            &["ZPOPMAX", "z"],
            format!("*2\r\n{}{}", bulk(&member), bulk(&(n + 1000).to_string())),
        );
        left -= 1;
        call(&["ZCARD", "z"], format!(":{left}\r\n"));
        call(&["LPOP", "l"], bulk(&number));
        call(&["RPOP", "l"], bulk(&(ELEMENTS - 1 - n).to_string()));
        call(&["SET", "h", "x", "NX"], "$-1\r\n".into());
    }
    write_then_read(&mut stream, &calls, &expected)?;
    let scores = numbered(&["ZPOPMIN", "z"], left);
    let popped: Vec<String> = (200..ELEMENTS)
        .map(|n| {
            let (member, score) = (format!("m{n}"), n.to_string());
            let (a, b) = (member.len(), score.len());
            format!("*2\r\n${a}\r\n{member}\r\n${b}\r\n{score}\r\n")
        })
        .collect();
    write_then_read(&mut stream, &scores, popped.concat().as_bytes())?;
    let mut client = RawClient::connect(server.port())?;
    assert_eq!(client.call(&["EXISTS", "z"])?, Value::Integer(0));
    assert_eq!(client.call(&["HLEN", "h"])?, Value::Integer(900));
    assert_eq!(client.call(&["SCARD", "s"])?, Value::Integer(700));
    assert_eq!(client.call(&["LLEN", "l"])?, Value::Integer(300));
    Ok(())
}

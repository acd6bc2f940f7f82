//! CONFIG SET of `bind` and `port` while the server runs. (`tls/ports.rs` tests that of `tls-port`.)

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value, quiet_port};

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

/// Sends a line unchanged, with its quotes.
fn inline(client: &mut RawClient, line: &str) -> TestResult<Value> {
    client.send_bytes(format!("{line}\r\n").as_bytes())?;
    Ok(client.read()?)
}

fn failed(name: &str, reason: &str) -> Value {
    let text = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}");
    Value::Error(text.into())
}

fn port_failed() -> Value {
    failed("port", "Unable to listen on this port. Check server logs.")
}

fn config(client: &mut RawClient, name: &str) -> TestResult<String> {
    let reply = client.line(&format!("CONFIG GET {name}"))?;
    Ok(reply.items().ok_or("no array")?[1]
        .text()
        .ok_or("no text")?)
}

fn answers(address: &str, port: u16) -> bool {
    RawClient::connect_to(address, port)
        .and_then(|mut client| client.line("PING"))
        .is_ok_and(|reply| reply == Value::Simple(b"PONG".to_vec()))
}

fn is_closed(address: &str, port: u16) -> bool {
    TcpStream::connect((address, port))
        .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

#[test]
fn the_port_can_change() -> TestResult {
    let server = Server::start_with(Options::new("vcmap"))?;
    let (old, new) = (server.port(), quiet_port()?);
    let mut client = server.raw()?;
    let mut other = server.raw()?;
    assert_eq!(client.line(&format!("CONFIG SET port {new}"))?, ok());
    // When the reply arrives, the new port is open and the old one closed, and existing clients stay connected.
    assert!(is_closed("127.0.0.1", old));
    assert!(answers("127.0.0.1", new));
    assert_eq!(other.line("SET k v")?, ok());
    assert_eq!(config(&mut client, "port")?, new.to_string());
    let info = client.line("INFO server")?.text().unwrap_or_default();
    assert!(info.contains(&format!("tcp_port:{new}\r\n")), "{info}");
    assert!(info.contains(&format!("port={new}\r\n")), "{info}");
    // The server closes all ports, then opens one again, over existing connections.
    assert_eq!(client.line("CONFIG SET port 0")?, ok());
    assert!(is_closed("127.0.0.1", new));
    assert_eq!(client.line(&format!("CONFIG SET port {old}"))?, ok());
    assert!(answers("127.0.0.1", old));
    for _ in 0..50 {
        for port in [new, old] {
            assert_eq!(client.line(&format!("CONFIG SET port {port}"))?, ok());
        }
    }
    assert!(answers("127.0.0.1", old) && is_closed("127.0.0.1", new));
    Ok(())
}

#[test]
fn an_impossible_port_changes_nothing() -> TestResult {
    let server = Server::start_with(Options::new("vcmap"))?;
    let (old, new) = (server.port(), quiet_port()?);
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let mut client = server.raw()?;
    let addresses = || failed("bind", "Failed to bind to specified addresses.");
    for (line, expected) in [
        (format!("port {port}"), port_failed()),
        (format!("hz 20 port {port}"), port_failed()),
        // An address that is reserved for documentation; no machine has it.
        ("bind 192.0.2.1".to_owned(), addresses()),
        ("bind \"127.0.0.1 192.0.2.1\"".to_owned(), addresses()),
        ("bind nonsense".to_owned(), addresses()),
        // Of two addresses the error names the first one, as in Redis.
        (format!("port {new} bind 192.0.2.1"), port_failed()),
        (format!("bind 192.0.2.1 port {new}"), addresses()),
        (
            format!("port {new} maxclients 99999999"),
            failed("maxclients", ""),
        ),
        (
            format!("port {new} tls-port {new}"),
            failed(
                "tls-port",
                "Unable to update TLS configuration. Check server logs.",
            ),
        ),
    ] {
        let reply = inline(&mut client, &format!("CONFIG SET {line}"))?;
        let (reply, expected) = (format!("{reply:?}"), format!("{expected:?}"));
        assert!(reply.starts_with(&expected), "{line}: {reply}");
        assert!(answers("127.0.0.1", old), "{line}");
        assert!(is_closed("127.0.0.1", new), "{line}");
        assert_eq!(config(&mut client, "port")?, old.to_string());
        assert_eq!(config(&mut client, "bind")?, "127.0.0.1");
        assert_eq!(config(&mut client, "hz")?, "10");
    }
    drop(taken);
    assert_eq!(client.line(&format!("CONFIG SET port {port}"))?, ok());
    assert!(answers("127.0.0.1", port));
    Ok(())
}

#[test]
fn addresses_can_change() -> TestResult {
    let server = Server::start_with(Options::new("vcmap"))?;
    let (old, new) = (server.port(), quiet_port()?);
    let mut client = server.raw()?;
    for (bind, served, closed) in [
        (
            "127.0.0.1 127.0.0.2",
            &["127.0.0.1", "127.0.0.2"][..],
            &["127.0.0.3"][..],
        ),
        ("127.0.0.2", &["127.0.0.2"], &["127.0.0.1"]),
        // Every address replaces one, with the same port, and the other way round.
        ("*", &["127.0.0.1", "127.0.0.2", "127.0.0.3"], &[]),
        ("127.0.0.1 -192.0.2.1", &["127.0.0.1"], &["127.0.0.2"]),
        // Names of hosts, which are not written in lower case alone.
        (
            "LOCALHOST 127.0.0.2",
            &["127.0.0.1", "127.0.0.2"],
            &["127.0.0.3"],
        ),
        ("127.0.0.1 -nowhere.invalid", &["127.0.0.1"], &["127.0.0.2"]),
        ("* -::*", &["127.0.0.1", "127.0.0.2"], &[]),
        ("", &[], &["127.0.0.1", "127.0.0.2"]),
        ("127.0.0.1", &["127.0.0.1"], &["127.0.0.2"]),
    ] {
        assert_eq!(
            inline(&mut client, &format!("CONFIG SET bind \"{bind}\""))?,
            ok(),
            "{bind}"
        );
        assert_eq!(config(&mut client, "bind")?, bind);
        for address in served {
            assert!(answers(address, old), "{bind}: {address}");
        }
        for address in closed {
            assert!(is_closed(address, old), "{bind}: {address}");
        }
    }
    assert_eq!(
        client.line("CONFIG SET bind nowhere.invalid")?,
        failed("bind", "Failed to bind to specified addresses.")
    );
    assert!(answers("127.0.0.1", old));
    // Another process cannot take the port during the change, nor after it.
    assert!(TcpListener::bind(("127.0.0.1", old)).is_err());
    let both = format!("CONFIG SET bind \"127.0.0.1 127.0.0.2\" port {new}");
    assert_eq!(inline(&mut client, &both)?, ok());
    assert!(answers("127.0.0.2", new) && is_closed("127.0.0.1", old));
    Ok(())
}

#[test]
fn clients_come_in_while_ports_change() -> TestResult {
    let server = Server::start_with(Options::new("vcmap"))?;
    let port = server.port();
    let mut client = server.raw()?;
    let until = Instant::now() + Duration::from_secs(1);
    let visitor = std::thread::spawn(move || -> std::io::Result<u32> {
        let mut visits = 0;
        while Instant::now() < until {
            // One address stays open all the time.
            let mut client = RawClient::connect_to("127.0.0.1", port)?;
            client.line("PING")?;
            visits += 1;
        }
        Ok(visits)
    });
    let mut changes = 0;
    while Instant::now() < until {
        for bind in ["127.0.0.1 127.0.0.2", "127.0.0.3 127.0.0.1"] {
            assert_eq!(
                inline(&mut client, &format!("CONFIG SET bind \"{bind}\""))?,
                ok()
            );
            changes += 1;
        }
    }
    let visits = visitor.join().map_err(|_| "the visitor failed")??;
    assert!(
        visits > 20 && changes > 20,
        "{visits} visits, {changes} changes"
    );
    Ok(())
}

#[test]
fn the_file_follows() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("test.conf");
    std::fs::write(&path, "timeout 0\n")?;
    let mut server = Server::start_with(Options::new("vcmap").file(&path))?;
    let new = quiet_port()?;
    let mut client = server.raw()?;
    let line = format!("CONFIG SET port {new} bind \"127.0.0.1 -::1\"");
    assert_eq!(inline(&mut client, &line)?, ok());
    assert_eq!(client.line("CONFIG REWRITE")?, ok());
    let text = std::fs::read_to_string(&path)?;
    assert!(text.contains(&format!("\nport {new}\n")), "{text}");
    assert!(text.contains("\nbind 127.0.0.1 -::1\n"), "{text}");
    // The server closes the ports that it opened since the start when it stops.
    let mut stream = TcpStream::connect(("127.0.0.1", new))?;
    server.terminate()?;
    assert_eq!(stream.read(&mut [0; 8])?, 0);
    assert!(is_closed("127.0.0.1", new));
    Ok(())
}

/// Two tests may choose the same free port at once. One server has it then, and answers in the place of the other one, which
/// ends only once its pool is open.
#[test]
fn a_test_does_not_take_another_server_for_its_own() -> TestResult {
    let other = Server::start_with(Options::new("vcmap"))?;
    let mut server = Server::start_with(Options::new("cmap"))?;
    server.raw()?.line("HSET hash field value")?;
    server.kill_9()?;
    if server.resume_on(other.port()).is_ok() {
        let answer = server.raw()?.line("HLEN hash")?;
        panic!("the server has no port, and HLEN answers {answer:?}");
    }
    server.resume()?;
    assert_eq!(server.raw()?.line("HLEN hash")?, Value::Integer(1));
    server.terminate()
}

//! Masters that refuse, that are not there, that become others, and that send what cannot be applied.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use common::{Options, RedisServer, Server, TestResult, Value, assert_replicated};

use crate::authority;
use crate::pair::{full_syncs, info, master, master_of, options, wait_for_sync, wait_until};
use crate::proxy::Proxy;

fn wait_for_error(replica: &Server, text: &str) -> TestResult {
    let mut client = replica.raw()?;
    wait_until(text, || {
        let error = info(&mut client, "replication", "master_link_last_error");
        Ok(error.is_ok_and(|error| error.contains(text)))
    })
    .map_err(|error| format!("{error}\n{}", replica.log()).into())
}

#[test]
fn passwords_and_users() -> TestResult {
    let master = master_of("redis-server", &["--requirepass", "secret"])?;
    let mut client = master.raw()?;
    client.line("AUTH secret")?;
    client.line("SET a 1")?;
    client.line("ACL SETUSER copy on >word +psync +replconf +ping")?;
    let replica = Server::start_with(options("cmap", master.port()))?;
    wait_for_error(&replica, "NOAUTH")?;
    let mut own = replica.raw()?;
    own.line("CONFIG SET masterauth wrong")?;
    wait_for_error(&replica, "WRONGPASS")?;
    own.line("CONFIG SET masterauth secret")?;
    wait_for_sync(&mut client, &replica)?;
    own.line("CONFIG SET masteruser copy masterauth word")?;
    own.line("CLIENT KILL TYPE master")?;
    client.line("SET b 1")?;
    wait_for_sync(&mut client, &replica)?;
    assert_eq!(own.line("GET b")?, Value::Bulk(b"1".to_vec()));
    // No password is shown or logged.
    let log = replica.log();
    assert!(!log.contains("secret") && !log.contains("wrong\""), "{log}");
    Ok(())
}

/// A master that starts anew has another history: its data set comes whole, and the former one serves until then.
#[test]
fn a_master_that_starts_anew() -> TestResult {
    let former = master()?;
    let mut client = former.raw()?;
    client.line("MSET a 1 b 2")?;
    let proxy = Proxy::start(former.port())?;
    let mut replica = Server::start_with(options("cmap", proxy.port))?;
    wait_for_sync(&mut client, &replica)?;
    drop(client);
    drop(former);
    proxy.cut();
    let mut own = replica.raw()?;
    wait_until("the link is down", || {
        Ok(info(&mut own, "replication", "master_link_status")? == "down")
    })?;
    assert_eq!(own.line("GET a")?, Value::Bulk(b"1".to_vec()));
    replica.kill_9()?;
    let later = master()?;
    let mut client = later.raw()?;
    client.line("SET c 3")?;
    proxy.lead_to(later.port());
    replica.resume()?;
    wait_for_sync(&mut client, &replica)?;
    assert_replicated(&mut client, &mut replica.raw()?)?;
    assert_eq!(full_syncs(&replica), 2);
    Ok(())
}

/// A replica of the former master becomes the master: the other one goes on from its place, since both have one history.
#[test]
fn a_replica_goes_on_at_a_promoted_sibling() -> TestResult {
    let first = master()?;
    let mut client = first.raw()?;
    client.line("SET a 1")?;
    let port = first.port().to_string();
    let sibling = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port])?;
    let replica = Server::start_with(options("cmap", first.port()))?;
    wait_for_sync(&mut client, &replica)?;
    let mut of_sibling = sibling.raw()?;
    wait_until("the sibling is there", || {
        Ok(info(&mut of_sibling, "replication", "master_link_status")? == "up")
    })?;
    client.line("SET b 2")?;
    client.line("WAIT 2 5000")?;
    of_sibling.line("REPLICAOF NO ONE")?;
    of_sibling.line("SET c 3")?;
    let mut own = replica.raw()?;
    own.line(&format!("REPLICAOF 127.0.0.1 {}", sibling.port()))?;
    wait_for_sync(&mut of_sibling, &replica)?;
    assert_replicated(&mut of_sibling, &mut own)?;
    assert_eq!(full_syncs(&replica), 1, "{}", replica.log());
    Ok(())
}

#[test]
fn a_database_that_is_not_here_stops_the_link() -> TestResult {
    let master = master_of("redis-server", &["--databases", "20"])?;
    let mut client = master.raw()?;
    client.line("SET a 1")?;
    let replica = Server::start_with(options("cmap", master.port()))?;
    wait_for_sync(&mut client, &replica)?;
    client.line("SELECT 17")?;
    client.line("SET b 1")?;
    wait_for_error(&replica, "database 17")?;
    assert_eq!(replica.raw()?.line("GET a")?, Value::Bulk(b"1".to_vec()));
    Ok(())
}

/// A master of the test's own, which sends a data set and then this stream.
fn forged(data: Vec<u8>, stream: Vec<u8>) -> TestResult<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for link in listener.incoming().flatten() {
            let _ = talk(link, &data, &stream);
        }
    });
    Ok(port)
}

fn talk(mut link: TcpStream, data: &[u8], stream: &[u8]) -> std::io::Result<()> {
    let lines = BufReader::new(link.try_clone()?).lines();
    for line in lines {
        match line?.as_str() {
            "PING" => link.write_all(b"+PONG\r\n")?,
            "REPLCONF" => link.write_all(b"+OK\r\n")?,
            "PSYNC" => {
                let id = "0123456789".repeat(4);
                link.write_all(format!("\n\n+FULLRESYNC {id} 100\r\n\n").as_bytes())?;
                link.write_all(format!("${}\r\n", data.len()).as_bytes())?;
                link.write_all(data)?;
                link.write_all(stream)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// An empty data set.
fn empty() -> Vec<u8> {
    // Version 9, the end, no checksum.
    [&b"REDIS0009\xff"[..], &[0; 8]].concat()
}

#[test]
fn what_makes_no_sense_changes_nothing() -> TestResult {
    let cases: &[(Vec<u8>, &[u8], &str)] = &[
        (b"REDIS9999 what follows is not read".to_vec(), b"", "RDB version"),
        (b"nonsense".to_vec(), b"", "data set"),
        ([&empty()[..], b"more"].concat(), b"", "before the length"),
        (empty(), b"*1\r\n$4\r\nEXEC\r\n", "EXEC out of place"),
        (empty(), b"hello\r\n", "inline"),
        (empty(), b"*2\r\n$3\r\nfoo\r\n$3\r\nbar\r\n", "'foo bar'"),
        (empty(), b"*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n", "'SHUTDOWN NOSAVE'"),
        (
            empty(),
            b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$11\r\nrequirepass\r\n$1\r\nx\r\n",
            "'CONFIG SET'",
        ),
        (empty(), b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "'GET a'"),
        (empty(), b"*2\r\n$3\r\nSET\r\n$1\r\na\r\n", "'SET a'"),
        (
            empty(),
            b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*1\r\n$3\r\nfoo\r\n*1\r\n$4\r\nEXEC\r\n",
            "'foo'",
        ),
        (empty(), b"*2\r\n$6\r\nSELECT\r\n$2\r\n16\r\n", "database 16"),
    ];
    for (data, stream, error) in cases {
        let port = forged(data.clone(), stream.to_vec())?;
        let replica = Server::start_with(options("cmap", port))?;
        wait_for_error(&replica, error)?;
        let mut own = replica.raw()?;
        assert_eq!(own.line("DBSIZE")?, Value::Integer(0), "{error}");
        assert_eq!(own.line("PING")?, Value::Simple(b"PONG".to_vec()));
    }
    Ok(())
}

/// A replica whose pool is full stops where it is, says so, and goes on once there is room.
#[test]
fn a_full_pool_stops_the_stream_and_loses_nothing() -> TestResult {
    let master = master()?;
    let mut client = master.raw()?;
    let mut small = Options::new("cmap").pool_size("64mb");
    small.directives = options("cmap", master.port()).directives;
    let mut replica = Server::start_with(small)?;
    client.line("SET first 1")?;
    wait_for_sync(&mut client, &replica)?;
    for number in 0..90 {
        let value = "x".repeat(1_000_000);
        client.call(&["SET", &format!("big:{number}"), &value])?;
    }
    wait_for_error(&replica, "no room")?;
    let mut own = replica.raw()?;
    assert_eq!(own.line("GET first")?, Value::Bulk(b"1".to_vec()));
    // The same after a crash, since nothing of what did not fit counts as applied.
    replica.kill_9()?;
    replica.resume()?;
    wait_for_error(&replica, "no room")?;
    let held = replica.raw()?.line("DBSIZE")?.integer().unwrap_or_default();
    assert!((20..90).contains(&held), "{held}");
    Ok(())
}

#[test]
fn the_link_speaks_tls() -> TestResult {
    let folder = tempfile::tempdir()?;
    let authority = authority::Authority::new(folder.path(), "authority")?;
    let stranger = authority::Authority::new(folder.path(), "stranger")?;
    let text = |path: std::path::PathBuf| path.display().to_string();
    let (certificate, key) = authority.sign("master")?;
    let (certificate, key) = (text(certificate), text(key));
    let (own_certificate, own_key) = authority.sign("replica")?;
    let (own_certificate, own_key) = (text(own_certificate), text(own_key));
    let trusted = text(authority.certificate());
    let tls_port = common::quiet_port()?;
    let words = [
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &trusted,
        "--tls-auth-clients",
        "yes",
    ];
    let Ok(master) = master_of("redis-server", &words) else {
        eprintln!("skipped: this redis-server has no TLS, or its port was taken");
        return Ok(());
    };
    let mut client = master.raw()?;
    client.line("SET a 1")?;
    let options = options("cmap", tls_port)
        .directive("tls-replication", "yes")
        .directive("tls-ca-cert-file", &text(stranger.certificate()));
    let replica = Server::start_with(options)?;
    // The certificate is not one that this replica trusts.
    wait_for_error(&replica, "TLS")?;
    let mut own = replica.raw()?;
    own.call(&["CONFIG", "SET", "tls-ca-cert-file", &trusted])?;
    // The master wants a certificate too.
    wait_for_error(&replica, "ertificate")?;
    own.call(&[
        "CONFIG",
        "SET",
        "tls-client-cert-file",
        &own_certificate,
        "tls-client-key-file",
        &own_key,
    ])?;
    wait_for_sync(&mut client, &replica)?;
    assert_eq!(own.line("GET a")?, Value::Bulk(b"1".to_vec()));
    client.line("SET b 2")?;
    wait_for_sync(&mut client, &replica)?;
    assert_eq!(own.line("GET b")?, Value::Bulk(b"2".to_vec()));
    Ok(())
}

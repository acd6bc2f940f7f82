//! FAILOVER: a master hands over to a replica, of its own kind or not, and follows it. No write is lost, and nothing is copied.

use std::thread;
use std::time::{Duration, Instant};

use common::{RawClient, RedisServer, Server, TestResult, Value, assert_replicated, show};

use crate::pair::{full_syncs, info, master, options, wait_until};

fn field(client: &mut RawClient, name: &str) -> TestResult<String> {
    info(client, "everything", name)
}

fn wait_for_field(client: &mut RawClient, name: &str, value: &str) -> TestResult {
    let mut last = String::new();
    let waited = wait_until(name, || {
        last = field(client, name).unwrap_or_default();
        Ok(last == value)
    });
    waited.map_err(|error| format!("{error}: {last}").into())
}

fn wait_for_replica(master: &mut RawClient) -> TestResult {
    wait_until("a replica is online", || {
        let line = field(master, "slave0").unwrap_or_default();
        Ok(line.contains("state=online"))
    })
}

/// Counts until the server refuses, and says how far it came.
fn count(port: u16) -> Result<i64, String> {
    let mut client = RawClient::connect(port).map_err(|error| error.to_string())?;
    let mut last = 0;
    loop {
        let reply = client.call(&["INCR", "counter"]);
        match reply.map_err(|error| error.to_string())? {
            Value::Integer(number) => last = number,
            Value::Error(text) if text.starts_with(b"READONLY") => return Ok(last),
            other => return Err(show(&other)),
        }
    }
}

/// Clients write while the server on the first port hands over to the one on the second.
fn hands_over(from: u16, to: u16, words: &str) -> TestResult {
    let mut old = RawClient::connect(from)?;
    let mut new = RawClient::connect(to)?;
    wait_for_replica(&mut old)?;
    old.line("SET before handover")?;
    let writers: Vec<_> = (0..3).map(|_| thread::spawn(move || count(from))).collect();
    thread::sleep(Duration::from_millis(300));
    let reply = old.line(format!("FAILOVER {words}").trim_end())?;
    assert_eq!(reply, Value::Simple(b"OK".to_vec()));
    let mut counted = Vec::new();
    for writer in writers {
        counted.push(writer.join().map_err(|_| "a writer panicked")??);
    }
    wait_for_field(&mut new, "role", "master")?;
    wait_for_field(&mut old, "role", "slave")?;
    wait_for_field(&mut old, "master_failover_state", "no-failover")?;
    wait_for_field(&mut old, "master_link_status", "up")?;
    let last = counted.into_iter().max().unwrap_or_default();
    assert!(last > 10, "only {last} writes");
    // What was acknowledged is there, once.
    assert_eq!(new.line("GET counter")?.text(), Some(last.to_string()));
    assert_eq!(new.line("INCR counter")?, Value::Integer(last + 1));
    assert_eq!(new.line("WAIT 1 5000")?, Value::Integer(1));
    assert_replicated(&mut new, &mut old)?;
    assert_eq!(field(&mut new, "sync_full")?, "0");
    assert_eq!(field(&mut new, "sync_partial_ok")?, "1");
    Ok(())
}

#[test]
fn to_a_server_of_this_kind_and_back() -> TestResult {
    let first = Server::start("cmap")?;
    let second = Server::start_with(options("cmap", first.port()))?;
    hands_over(first.port(), second.port(), "")?;
    let mut client = first.raw()?;
    client.line("CONFIG RESETSTAT")?;
    let words = format!("TO 127.0.0.1 {} TIMEOUT 20000", first.port());
    hands_over(second.port(), first.port(), &words)?;
    assert_eq!(full_syncs(&first), 0, "{}", first.log());
    assert_eq!(full_syncs(&second), 1, "{}", second.log());
    Ok(())
}

#[test]
fn to_redis_and_back() -> TestResult {
    let first = Server::start("cmap")?;
    let port = first.port().to_string();
    let second = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port])?;
    hands_over(first.port(), second.port(), "TIMEOUT 20000")?;
    first.raw()?.line("CONFIG RESETSTAT")?;
    hands_over(second.port(), first.port(), "")?;
    assert_eq!(full_syncs(&first), 0, "{}", first.log());
    Ok(())
}

/// A replica that does not get everything in time ends the failover, unless it is forced. Meanwhile writes wait, and others not.
#[test]
fn times_out_is_aborted_and_forced() -> TestResult {
    let first = Server::start("cmap")?;
    let second = Server::start_with(options("cmap", first.port()))?;
    let mut client = first.raw()?;
    let mut of_second = second.raw()?;
    wait_for_replica(&mut client)?;
    // It takes the stream, and applies nothing of it.
    of_second.line("CONFIG SET busy-reply-threshold 60000")?;
    let busy = |ms: u64| {
        let port = second.port();
        thread::spawn(move || -> Result<(), String> {
            let script = "local t = redis.call('TIME') local start = t[1] * 1000 + t[2] / 1000 \
                 repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > start + ARGV[1]";
            let mut client = RawClient::connect(port).map_err(|error| error.to_string())?;
            let reply = client.call(&["EVAL_RO", script, "0", &ms.to_string()]);
            let reply = reply.map_err(|error| error.to_string())?;
            if reply.is_error() {
                return Err(show(&reply));
            }
            Ok(())
        })
    };
    let script = busy(4000);
    thread::sleep(Duration::from_millis(200));
    client.line("SET a 1")?;
    let began = Instant::now();
    assert!(!client.line("FAILOVER TIMEOUT 500")?.is_error());
    let state = field(&mut client, "master_failover_state")?;
    assert_eq!(state, "waiting-for-sync");
    assert_eq!(client.line("GET a")?.text().as_deref(), Some("1"));
    assert!(show(&client.line("FAILOVER")?).contains("FAILOVER already in progress."));
    assert!(show(&client.line("REPLICAOF NO ONE")?).contains("not allowed while failing over"));
    // It waits until the failover is over, and this server is a master still.
    assert_eq!(client.line("SET a 2")?, Value::Simple(b"OK".to_vec()));
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(450), "{waited:?}");
    assert_eq!(field(&mut client, "master_failover_state")?, "no-failover");
    assert!(!client.line("FAILOVER")?.is_error());
    assert_eq!(
        client.line("FAILOVER ABORT")?,
        Value::Simple(b"OK".to_vec())
    );
    assert_eq!(field(&mut client, "role")?, "master");
    assert_eq!(client.line("SET a 3")?, Value::Simple(b"OK".to_vec()));
    let line = format!("FAILOVER TO 127.0.0.1 {} FORCE TIMEOUT 200", second.port());
    assert!(!client.line(&line)?.is_error());
    script
        .join()
        .map_err(|_| "the script's client panicked")??;
    wait_for_field(&mut client, "role", "slave")?;
    wait_for_field(&mut of_second, "role", "master")?;
    wait_for_field(&mut client, "master_link_status", "up")?;
    wait_for_field(&mut client, "master_failover_state", "no-failover")?;
    assert_replicated(&mut of_second, &mut client)?;
    Ok(())
}

/// The target refuses: this server stays the master.
#[test]
fn a_refusal_ends_it() -> TestResult {
    let first = Server::start("cmap")?;
    let second = Server::start_with(options("cmap", first.port()))?;
    let mut client = first.raw()?;
    let mut of_second = second.raw()?;
    wait_for_replica(&mut client)?;
    // Its users may not hand over.
    of_second.line("ACL SETUSER default -psync")?;
    assert!(!client.line("FAILOVER")?.is_error());
    assert_eq!(client.line("SET a 1")?, Value::Simple(b"OK".to_vec()));
    assert_eq!(field(&mut client, "role")?, "master");
    assert_eq!(field(&mut client, "master_failover_state")?, "no-failover");
    assert_eq!(client.line("WAIT 1 10000")?, Value::Integer(1));
    assert_replicated(&mut client, &mut of_second)?;
    assert_eq!(full_syncs(&second), 1, "{}", second.log());
    Ok(())
}

/// Each of these lines gets the same answer here and from Redis.
#[test]
fn errors_are_those_of_redis() -> TestResult {
    let ours = Server::start("cmap")?;
    let real = master()?;
    let (mut own, mut other) = (ours.raw()?, real.raw()?);
    let mut both = |lines: &[&str]| -> TestResult {
        for line in lines {
            let (found, wanted) = (own.line(line)?, other.line(line)?);
            assert_eq!(show(&found), show(&wanted), "{line}");
        }
        Ok(())
    };
    let lines = [
        "FAILOVER",
        "FAILOVER ABORT",
        "FAILOVER ABORT TIMEOUT 5",
        "FAILOVER TIMEOUT 5 ABORT",
        "FAILOVER ABORT ABORT",
        "FAILOVER TIMEOUT",
        "FAILOVER TIMEOUT 0",
        "FAILOVER TIMEOUT -1",
        "FAILOVER TIMEOUT x",
        "FAILOVER TIMEOUT 5 TIMEOUT 5",
        "FAILOVER TO a",
        "FAILOVER TO a x",
        "FAILOVER TO a 1 TO b 2",
        "FAILOVER TO a 1 FORCE",
        "FAILOVER FORCE",
        "FAILOVER FORCE FORCE",
        "FAILOVER TO a 1 TIMEOUT 1 FORCE",
        "FAILOVER never",
    ];
    both(&lines)?;
    both(&["PSYNC abc 1 FAILOVER"])?;
    let port = ours.port().to_string();
    let of_ours = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port])?;
    let of_real = Server::start_with(options("cmap", real.port()))?;
    wait_for_replica(&mut ours.raw()?)?;
    wait_for_replica(&mut real.raw()?)?;
    both(&lines[1..])?;
    both(&[
        "FAILOVER TO 127.0.0.1 1",
        "FAILOVER TO nowhere 6379 TIMEOUT 9",
    ])?;
    // The replicas.
    let (mut own, mut other) = (of_real.raw()?, of_ours.raw()?);
    for line in ["FAILOVER", "FAILOVER ABORT", "PSYNC abc 1 FAILOVER"] {
        let (found, wanted) = (own.line(line)?, other.line(line)?);
        assert_eq!(show(&found), show(&wanted), "{line}");
    }
    Ok(())
}

//! Links: copies, partial ones, limits, and what the server tells of replicas.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::replica::Replica;
use common::{Options, RawClient, RedisServer, Server, TestResult};

fn info(client: &mut RawClient, name: &str) -> TestResult<String> {
    let text = client.line("INFO everything")?.text().unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|value| value.strip_prefix(':'));
    Ok(value
        .ok_or_else(|| format!("INFO lacks {name}"))?
        .to_owned())
}

/// Waits until `is` holds.
fn eventually(what: &str, mut is: impl FnMut() -> TestResult<bool>) -> TestResult {
    let until = Instant::now() + Duration::from_secs(20);
    while !is()? {
        if Instant::now() > until {
            return Err(format!("it does not happen: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test]
fn a_replica_gets_a_copy_and_then_the_stream() -> TestResult {
    let server = Server::start("cmap")?;
    let mut client = server.raw()?;
    assert_eq!(info(&mut client, "connected_slaves")?, "0");
    assert_eq!(info(&mut client, "repl_backlog_active")?, "0");
    client.line("SET before copy")?;
    let (mut replica, copy) = Replica::follow(server.port())?;
    assert!(copy.starts_with(b"REDIS0010"));
    assert!(copy.windows(6).any(|bytes| bytes == b"before"));
    client.line("SET after copy")?;
    assert_eq!(replica.command()?, "SELECT 0");
    assert_eq!(replica.command()?, "set after copy");
    assert_eq!(info(&mut client, "connected_slaves")?, "1");
    assert_eq!(info(&mut client, "master_replid")?, replica.id);
    assert_eq!(info(&mut client, "sync_full")?, "1");
    let line = info(&mut client, "slave0")?;
    assert!(
        line.starts_with("ip=127.0.0.1,port=7000,state=online,offset="),
        "{line}"
    );
    let list = client
        .line("CLIENT LIST TYPE replica")?
        .text()
        .unwrap_or_default();
    assert!(
        list.contains(" flags=S ") && list.contains(" cmd=psync "),
        "{list}"
    );
    replica.acknowledge()?;
    eventually("the offsets agree", || {
        let role = client.line("ROLE")?;
        let text = format!("{role:?}");
        Ok(text.contains(&format!("\"{}\"", replica.offset)))
    })?;
    let killed = client.line("CLIENT KILL TYPE replica")?;
    assert_eq!(killed.integer(), Some(1));
    assert!(replica.is_closed());
    eventually("no replica is left", || {
        Ok(info(&mut client, "connected_slaves")? == "0")
    })
}

#[test]
fn a_replica_without_a_mark_gets_a_length() -> TestResult {
    let server = Server::start("cmap")?;
    let mut client = server.raw()?;
    client.line("SET k v")?;
    let mut replica = Replica::connect(server.port())?;
    replica.send("SYNC")?;
    let copy = replica.payload()?;
    assert!(copy.starts_with(b"REDIS0010") && copy.len() > 20);
    // It need not tell anything to get the stream.
    client.line("SET l w")?;
    assert_eq!(replica.command()?, "SELECT 0");
    assert_eq!(replica.command()?, "set l w");
    Ok(())
}

#[test]
fn a_replica_goes_on_from_its_place() -> TestResult {
    let options = Options::new("cmap").directive("repl-backlog-size", "16kb");
    let server = Server::start_with(options)?;
    let port = server.port();
    let mut client = server.raw()?;
    let (mut replica, _) = Replica::follow(port)?;
    client.line("SET a 1")?;
    while replica.command()? != "set a 1" {}
    let (id, offset) = (replica.id.clone(), replica.offset);
    drop(replica);
    client.line("SET b 2")?;
    let (mut replica, answer) = Replica::resume(port, &id, offset)?;
    assert_eq!(answer, format!("+CONTINUE {id}"));
    assert_eq!(replica.command()?, "set b 2");
    assert_eq!(info(&mut client, "sync_partial_ok")?, "1");
    drop(replica);
    // Another history, a place that is not reached yet, and one that is not kept any more.
    let (_, answer) = Replica::resume(port, &"0".repeat(40), offset)?;
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
    let (_, answer) = Replica::resume(port, &id, offset + 1_000_000)?;
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
    client.call(&["SET", "long", &"v".repeat(30_000)])?;
    eventually("the backlog is beyond that place", || {
        client.line("SET a 2")?;
        let first: u64 = info(&mut client, "repl_backlog_first_byte_offset")?.parse()?;
        Ok(first > offset + 1)
    })?;
    let (_, answer) = Replica::resume(port, &id, offset)?;
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
    assert_eq!(info(&mut client, "sync_partial_err")?, "3");
    Ok(())
}

/// Clients may write much before the replicas of the last process are back.
#[test]
fn replicas_of_the_last_process_are_awaited() -> TestResult {
    for is_killed in [true, false] {
        let options = Options::new("cmap").directive("repl-backlog-size", "64kb");
        let mut server = Server::start_with(options)?;
        let (mut replica, _) = Replica::follow(server.port())?;
        server.raw()?.line("SET a 1")?;
        while replica.command()? != "set a 1" {}
        let (id, offset) = (replica.id.clone(), replica.offset);
        if is_killed {
            server.kill_9()?;
        } else {
            server.terminate()?;
        }
        server.resume()?;
        let mut client = server.raw()?;
        for n in 0..100 {
            client.call(&["SET", &format!("k{n}"), &"v".repeat(10_000)])?;
        }
        client.line("SET last 1")?;
        eventually("the stream has it", || {
            let end: u64 = info(&mut client, "master_repl_offset")?.parse()?;
            Ok(end > offset + 1_000_000)
        })?;
        let (mut replica, answer) = Replica::resume(server.port(), &id, offset)?;
        assert!(answer.starts_with("+CONTINUE "), "{answer}");
        while replica.command()? != "set last 1" {}
        assert_eq!(info(&mut client, "sync_full")?, "0");
    }
    Ok(())
}

/// A field that a client has seen to be gone is gone after a restart, although no record says so, and replicas hear of it.
#[test]
fn fields_that_were_gone_before_a_crash_are_told_after_it() -> TestResult {
    let options = Options::new("cmap").directive("enable-debug-command", "yes");
    let mut server = Server::start_with(options)?;
    let (mut replica, _) = Replica::follow(server.port())?;
    let mut client = server.raw()?;
    assert_eq!(
        format!("{:?}", client.line("DEBUG SET-ACTIVE-EXPIRE 0")?),
        "+OK"
    );
    for line in [
        "HSET h a 1 b 2",
        "HPEXPIRE h 50 FIELDS 1 a",
        "HSET all a 1",
        "HPEXPIRE all 50 FIELDS 1 a",
        "HSET never a 1 b 2",
        "HPEXPIRE never 100000 FIELDS 1 a",
    ] {
        client.line(line)?;
    }
    std::thread::sleep(Duration::from_millis(80));
    assert!(client.line("HGET h a")?.is_null());
    assert!(client.line("HGET all a")?.is_null());
    client.line("SET last 1")?;
    while replica.command()? != "set last 1" {}
    let (id, offset) = (replica.id.clone(), replica.offset);
    server.kill_9()?;
    server.resume()?;
    let (mut replica, answer) = Replica::resume(server.port(), &id, offset)?;
    assert!(answer.starts_with("+CONTINUE "), "{answer}");
    // The server tells of them when it has read the pool, beside its clients.
    let mut told = Vec::new();
    let has = |told: &[String], begin: &str| told.iter().any(|one| one.starts_with(begin));
    let started = Instant::now();
    while !(has(&told, "RESTORE h ") && has(&told, "DEL all")) {
        // PINGs come all the time.
        assert!(started.elapsed() < Duration::from_secs(40), "{told:?}");
        let command = replica
            .command()
            .map_err(|error| format!("{error} after {told:?}"))?;
        told.push(command);
    }
    server.raw()?.line("SET end 1")?;
    while told.last().is_none_or(|last| last != "set end 1") {
        told.push(replica.command()?);
    }
    assert!(!has(&told, "RESTORE never"), "{told:?}");
    Ok(())
}

#[test]
fn wait_counts_replicas_that_have_the_writes() -> TestResult {
    let server = Server::start("cmap")?;
    let mut client = server.raw()?;
    client.line("SET a 0")?;
    assert_eq!(client.line("WAIT 0 0")?.integer(), Some(0));
    let start = Instant::now();
    assert_eq!(client.line("WAIT 1 50")?.integer(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(45), "it waited");
    let (mut replica, _) = Replica::follow(server.port())?;
    client.line("SET a 1")?;
    assert_eq!(client.line("WAIT 1 30")?.integer(), Some(0));
    client.send(&["WAIT", "1", "20000"])?;
    while !replica.command()?.starts_with("REPLCONF GETACK") {}
    replica.acknowledge()?;
    assert_eq!(client.read()?.integer(), Some(1));
    // Its writes are there already.
    assert_eq!(client.line("WAIT 1 0")?.integer(), Some(1));
    assert_eq!(client.line("WAIT 2 30")?.integer(), Some(1));
    assert_eq!(format!("{:?}", client.line("WAITAOF 0 1 30")?), "[:0, :0]");
    client.send(&["WAITAOF", "0", "1", "20000"])?;
    replica.send(&format!("REPLCONF ACK {0} FACK {0}", replica.offset))?;
    assert_eq!(format!("{:?}", client.read()?), "[:0, :1]");
    // A transaction does not wait.
    client.line("MULTI")?;
    client.line("SET a 2")?;
    client.line("WAIT 1 0")?;
    assert_eq!(format!("{:?}", client.line("EXEC")?), "[+OK, :0]");
    Ok(())
}

#[test]
fn writes_want_replicas_that_are_near() -> TestResult {
    let options = Options::new("cmap")
        .directive("min-replicas-to-write", "1")
        .directive("min-replicas-max-lag", "1");
    let server = Server::start_with(options)?;
    let mut client = server.raw()?;
    let refused = "-NOREPLICAS Not enough good replicas to write.";
    eventually("writes are refused", || {
        Ok(format!("{:?}", client.line("SET a 1")?) == refused)
    })?;
    assert!(!client.line("GET a")?.is_error());
    let script = client.call(&["EVAL", "return redis.call('set','a','2')", "0"])?;
    assert!(format!("{script:?}").contains("NOREPLICAS"), "{script:?}");
    let (mut replica, _) = Replica::follow(server.port())?;
    eventually("writes are taken", || {
        Ok(!client.line("SET a 1")?.is_error())
    })?;
    eventually("the replica is silent for too long", || {
        Ok(format!("{:?}", client.line("SET a 1")?) == refused)
    })?;
    replica.acknowledge()?;
    eventually("writes are taken again", || {
        Ok(!client.line("SET a 1")?.is_error())
    })?;
    client.line("CONFIG SET min-replicas-to-write 0")?;
    drop(replica);
    eventually("nobody asks for replicas", || {
        Ok(!client.line("SET a 1")?.is_error())
    })
}

#[test]
fn a_replica_that_reads_nothing_is_disconnected() -> TestResult {
    let options = Options::new("cmap").directive("client-output-buffer-limit", "replica 1mb 0 0");
    let server = Server::start_with(options)?;
    let (mut replica, _) = Replica::follow(server.port())?;
    let mut client = server.raw()?;
    let value = "v".repeat(500_000);
    for _ in 0..60 {
        client.call(&["SET", "k", &value])?;
    }
    eventually("no replica is left", || {
        Ok(info(&mut client, "connected_slaves")? == "0")
    })?;
    assert!(replica.is_closed());
    assert_eq!(
        info(&mut client, "client_output_buffer_limit_disconnections")?,
        "1"
    );
    Ok(())
}

#[test]
fn the_backlog_is_given_back() -> TestResult {
    let options = Options::new("cmap").directive("repl-backlog-ttl", "1");
    let server = Server::start_with(options)?;
    let mut client = server.raw()?;
    let (replica, _) = Replica::follow(server.port())?;
    client.line("SET a 1")?;
    let id = info(&mut client, "master_replid")?;
    assert_eq!(info(&mut client, "repl_backlog_active")?, "1");
    drop(replica);
    eventually("there is no backlog", || {
        Ok(info(&mut client, "repl_backlog_active")? == "0")
    })?;
    assert_ne!(info(&mut client, "master_replid")?, id);
    // The next one gets a copy, and what follows.
    let (mut replica, _) = Replica::follow(server.port())?;
    client.line("SET b 1")?;
    assert_eq!(replica.command()?, "SELECT 0");
    assert_eq!(replica.command()?, "set b 1");
    Ok(())
}

#[test]
fn redis_cli_takes_a_copy_and_listens() -> TestResult {
    let server = Server::start("cmap")?;
    let mut client = server.raw()?;
    for n in 0..1_000 {
        client.line(&format!("SET key:{n} {n}"))?;
    }
    let dir = common::temporary_folder()?;
    let port = server.port().to_string();
    let file = dir.path().join("dump.rdb");
    let taken = Command::new("redis-cli")
        .args(["-p", &port, "--rdb"])
        .arg(&file)
        .output();
    let Ok(taken) = taken else {
        eprintln!("skipped: there is no redis-cli");
        return Ok(());
    };
    assert!(taken.status.success(), "{taken:?}");
    let path = dir.path().display().to_string();
    let real = RedisServer::start_with(&["--dir", &path, "--dbfilename", "dump.rdb"])?;
    assert_eq!(real.raw()?.line("DBSIZE")?.integer(), Some(1_000));
    let mut listener = Command::new("redis-cli")
        .args(["-p", &port, "--replica"])
        .stdout(Stdio::from(std::fs::File::create(dir.path().join("out"))?))
        .stderr(Stdio::null())
        .spawn()?;
    let heard = eventually("redis-cli shows the commands", || {
        client.line("SET shown 1")?;
        let text = std::fs::read_to_string(dir.path().join("out"))?;
        Ok(text.contains("\"set\",\"shown\",\"1\""))
    });
    listener.kill()?;
    listener.wait()?;
    heard
}

#[test]
fn what_replconf_refuses() -> TestResult {
    let server = Server::start("cmap")?;
    let mut client = server.raw()?;
    for (call, reply) in [
        ("REPLCONF listening-port", "-ERR syntax error"),
        (
            "REPLCONF listening-port x",
            "-ERR value is not an integer or out of range",
        ),
        (
            "REPLCONF nonsense 1",
            "-ERR Unrecognized REPLCONF option: nonsense",
        ),
        (
            "REPLCONF rdb-filter-only keys",
            "-ERR Unsupported rdb-filter-only option: keys",
        ),
        ("REPLCONF capa anything", "+OK"),
        ("REPLCONF", "+OK"),
        ("PSYNC ? x", "-ERR value is not an integer or out of range"),
    ] {
        assert_eq!(format!("{:?}", client.line(call)?), reply, "{call}");
    }
    client.line("MULTI")?;
    let refused = format!("{:?}", client.line("PSYNC ? -1")?);
    assert_eq!(refused, "-ERR Command not allowed inside a transaction");
    Ok(())
}

#[test]
fn a_stopped_server_sends_what_it_has_acknowledged() -> TestResult {
    let mut server = Server::start("cmap")?;
    let (mut replica, _) = Replica::follow(server.port())?;
    let mut client = server.raw()?;
    for n in 0..500 {
        client.line(&format!("SET k{n} {n}"))?;
    }
    server.terminate()?;
    while replica.command()? != "set k499 499" {}
    Ok(())
}

/// A server that stops in order goes on with its history, and one that is killed begins another.
#[test]
fn a_restart_in_order_keeps_replicas() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let mut server = Server::start(store)?;
        let (mut replica, _) = Replica::follow(server.port())?;
        server.raw()?.line("SET a 1 PX 300")?;
        while !replica.command()?.starts_with("SET a 1 PXAT") {}
        let (mut id, mut offset) = (replica.id.clone(), replica.offset);
        for _ in 0..2 {
            drop(replica);
            server.restart()?;
            let mut client = server.raw()?;
            client.line("SET b 2")?;
            let answer;
            (replica, answer) = Replica::resume(server.port(), &id, offset)?;
            assert!(answer.starts_with("+CONTINUE "), "{store}: {answer}");
            let new_id = info(&mut client, "master_replid")?;
            assert_eq!(answer, format!("+CONTINUE {new_id}"));
            assert_ne!(new_id, id, "a copy of the pool may go on too");
            assert_eq!(info(&mut client, "master_replid2")?, id);
            client.line("PUBLISH mark 1")?;
            let commands = replica.until("mark")?;
            assert!(commands.contains(&"set b 2".to_owned()), "{commands:?}");
            (id, offset) = (new_id, replica.offset);
        }
        // A deadline that passed meanwhile is told.
        let mut client = server.raw()?;
        eventually("the key is gone", || {
            Ok(client.line("EXISTS a")?.integer() == Some(0))
        })?;
        drop(replica);
        server.kill_9()?;
        server.resume()?;
        // After a crash it is the same history still.
        let (_, answer) = Replica::resume(server.port(), &id, offset)?;
        assert_eq!(answer, format!("+CONTINUE {id}"), "{store}");
    }
    Ok(())
}

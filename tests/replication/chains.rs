//! Replicas of replicas, and replicas that change to another one: all follow one history.

use common::{Options, RawClient, RedisServer, Server, TestResult, Value, assert_replicated};

use crate::pair::{full_syncs, info, options, wait_for_sync, wait_until};
use crate::proxy::Proxy;

fn field(client: &mut RawClient, name: &str) -> TestResult<String> {
    info(client, "everything", name)
}

/// Waits until a server of either kind is a replica that has what `master` has.
fn wait_for_offset(master: &mut RawClient, replica: &mut RawClient) -> TestResult {
    wait_until("the replica is where the master is", || {
        let is_up = field(replica, "master_link_status")? == "up";
        let place = field(replica, "slave_repl_offset")?;
        Ok(is_up && place == field(master, "master_repl_offset")?)
    })
}

fn some_writes(client: &mut RawClient) -> TestResult {
    for line in [
        "SELECT 3",
        "INCR counter",
        "MULTI",
        "RPUSH list a b c",
        "SADD set x y z",
        "EXEC",
        "SELECT 0",
        "SET text hello PX 100000",
        "INCR counter",
    ] {
        let reply = client.line(line)?;
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
    Ok(())
}

/// The whole chain has the master's history, byte for byte: a link that breaks needs no copy, wherever it is.
fn chain(top: &mut RawClient, top_port: u16) -> TestResult {
    // The copies are taken while the stream has selected another database.
    top.line("SELECT 5")?;
    top.line("SET five 5")?;
    let middle = Server::start_with(options("cmap", top_port))?;
    wait_for_sync(top, &middle)?;
    let proxy = Proxy::start(middle.port())?;
    let below = Server::start_with(options("cmap/pairs", proxy.port))?;
    let port = proxy.port.to_string();
    let real = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port])?;
    let mut replicas = [middle.raw()?, below.raw()?, real.raw()?];
    for replica in &mut replicas {
        wait_for_offset(top, replica)?;
    }
    top.line("SET more of five")?;
    some_writes(top)?;
    for _ in 0..3 {
        proxy.cut();
        some_writes(top)?;
        for replica in &mut replicas {
            wait_for_offset(top, replica)?;
        }
    }
    let id = field(top, "master_replid")?;
    for replica in &mut replicas {
        assert_eq!(field(replica, "master_replid")?, id);
        assert_replicated(top, replica)?;
    }
    let [of_middle, ..] = &mut replicas;
    assert_eq!(field(of_middle, "sync_full")?, "2", "{}", middle.log());
    assert_eq!(full_syncs(&below), 1, "{}", below.log());
    assert!(field(of_middle, "sync_partial_ok")?.parse::<u32>()? >= 4);
    Ok(())
}

#[test]
fn a_chain_has_one_history() -> TestResult {
    let top = Server::start("cmap")?;
    chain(&mut top.raw()?, top.port())?;
    let top = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"])?;
    chain(&mut top.raw()?, top.port())
}

/// One replica is behind when the master dies. It gets what it lacks from the other one, which becomes the master.
#[test]
fn a_promoted_replica_gives_siblings_what_they_lack() -> TestResult {
    let mut master = Server::start("cmap")?;
    let mut client = master.raw()?;
    some_writes(&mut client)?;
    let promoted = Server::start_with(options("cmap", master.port()))?;
    let proxy = Proxy::start(master.port())?;
    let behind = Server::start_with(options("cmap", proxy.port))?;
    let other = Proxy::start(master.port())?;
    let port = other.port.to_string();
    let real = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port])?;
    let mut of_real = real.raw()?;
    wait_for_sync(&mut client, &promoted)?;
    wait_for_sync(&mut client, &behind)?;
    wait_for_offset(&mut client, &mut of_real)?;
    for proxy in [&proxy, &other] {
        // Nobody listens there.
        proxy.lead_to(1);
        proxy.cut();
    }
    some_writes(&mut client)?;
    wait_for_sync(&mut client, &promoted)?;
    master.kill_9()?;
    let mut client = promoted.raw()?;
    let former = field(&mut client, "master_replid")?;
    client.line("REPLICAOF NO ONE")?;
    some_writes(&mut client)?;
    assert_ne!(field(&mut client, "master_replid")?, former);
    assert_eq!(field(&mut client, "master_replid2")?, former);
    let line = format!("REPLICAOF 127.0.0.1 {}", promoted.port());
    let mut of_behind = behind.raw()?;
    for replica in [&mut of_behind, &mut of_real] {
        assert_eq!(replica.line(&line)?, Value::Simple(b"OK".to_vec()));
        wait_for_offset(&mut client, replica)?;
        assert_replicated(&mut client, replica)?;
    }
    assert_eq!(full_syncs(&behind), 1, "{}", behind.log());
    assert_eq!(field(&mut client, "sync_full")?, "0", "{}", promoted.log());
    assert_eq!(field(&mut client, "sync_partial_ok")?, "2");
    Ok(())
}

/// A master that becomes the replica of its own replica goes on where both are.
#[test]
fn a_master_goes_on_as_a_replica() -> TestResult {
    let first = Server::start("cmap")?;
    let mut client = first.raw()?;
    some_writes(&mut client)?;
    let second = Server::start_with(options("cmap", first.port()))?;
    let third = Server::start_with(options("cmap", first.port()))?;
    let mut of_second = second.raw()?;
    for round in 0..4 {
        let (old, new, port) = if round % 2 == 0 {
            (&mut client, &mut of_second, second.port())
        } else {
            (&mut of_second, &mut client, first.port())
        };
        some_writes(old)?;
        wait_for_offset(old, new)?;
        new.line("REPLICAOF NO ONE")?;
        some_writes(new)?;
        old.line(&format!("REPLICAOF 127.0.0.1 {port}"))?;
        wait_for_offset(new, old)?;
        some_writes(new)?;
        wait_for_offset(new, old)?;
        assert_replicated(new, old)?;
        // The third one follows the first, as its master or through it.
        wait_until("the third one is there too", || {
            let mut third = third.raw()?;
            Ok(field(&mut third, "master_link_status")? == "up"
                && field(&mut third, "slave_repl_offset")? == field(new, "master_repl_offset")?)
        })?;
        assert_replicated(new, &mut third.raw()?)?;
    }
    for server in [&first, &second, &third] {
        let copies = full_syncs(server);
        assert!(copies <= 1, "{copies} copies: {}", server.log());
    }
    assert_eq!(full_syncs(&first), 0, "{}", first.log());
    Ok(())
}

/// A server that was stopped as a master, and starts as the replica of the one that has taken its place, goes on too.
#[test]
fn a_stopped_master_goes_on_as_a_replica() -> TestResult {
    let mut first = Server::start("cmap")?;
    some_writes(&mut first.raw()?)?;
    let second = Server::start_with(options("cmap", first.port()))?;
    wait_for_sync(&mut first.raw()?, &second)?;
    some_writes(&mut first.raw()?)?;
    first.terminate()?;
    let mut client = second.raw()?;
    client.line("REPLICAOF NO ONE")?;
    some_writes(&mut client)?;
    let mut options = Options::new("cmap").pool_size("256mb");
    let words = ["--replicaof", "127.0.0.1", &second.port().to_string()].map(str::to_owned);
    options.directives.extend(words);
    first.set_options(options);
    first.resume()?;
    wait_for_sync(&mut client, &first)?;
    assert_replicated(&mut client, &mut first.raw()?)?;
    assert_eq!(full_syncs(&first), 0, "{}", first.log());
    Ok(())
}

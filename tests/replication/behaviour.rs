//! What clients of a replica see, beside the same of a redis-server that is a replica too.

use std::thread;
use std::time::Duration;

use common::{RawClient, RedisServer, Server, TestResult, Value, assert_replicated, show};

use crate::pair::{info, master, options, wait_for_sync, wait_until};
use crate::proxy::Proxy;

/// Calls whose replies must be those of a real replica.
const CALLS: &[&str] = &[
    "SET a 1",
    "GET a",
    "DEL a",
    "EXPIRE a 10",
    "GETEX a PERSIST",
    "GETDEL a",
    "FLUSHALL",
    "SWAPDB 0 1",
    "RESTORE k 0 x",
    "SORT l STORE m",
    "SORT l",
    "XREADGROUP GROUP g c STREAMS st >",
    "BLPOP l 0.1",
    "PFCOUNT hll",
    "PUBLISH c m",
    "FUNCTION LOAD x",
    "FUNCTION FLUSH",
    "SCRIPT LOAD \"return 1\"",
    "EVAL \"return redis.call('set','a','1')\" 0",
    "EVAL \"return redis.pcall('set','a','1')\" 0",
    "EVAL \"return redis.call('get','a')\" 0",
    "EVAL \"#!lua\nreturn 1\" 0",
    "EVAL \"#!lua flags=no-writes\nreturn 1\" 0",
    "EVAL_RO \"return 2\" 0",
    "FCALL f 0",
    "WAIT 0 10",
    "FAILOVER",
    "MULTI",
    "GET a",
    "SET a 2",
    "EXEC",
    "MULTI",
    "GET a",
    "PING",
    "EXEC",
    "WATCH a",
    "UNWATCH",
    "REPLICAOF 127.0.0.1 x",
    "REPLICAOF 127.0.0.1 70000",
    "REPLICAOF a b c",
    "CONFIG SET replicaof \"a 1\"",
    "EXISTS expired",
    "GET expired",
    "TTL expired",
    "TYPE expired",
    "KEYS e*",
    "SELECT 1",
    "DBSIZE",
];

struct Both {
    master: RedisServer,
    ours: Server,
    real: RedisServer,
}

fn both() -> TestResult<Both> {
    let master = master()?;
    let mut client = master.raw()?;
    let port = master.port().to_string();
    let real = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port])?;
    let ours = Server::start_with(options("cmap", master.port()))?;
    wait_for_sync(&mut client, &ours)?;
    let mut of_real = real.raw()?;
    wait_until("the real replica is there", || {
        Ok(info(&mut of_real, "replication", "master_link_status")? == "up")
    })?;
    Ok(Both { master, ours, real })
}

impl Both {
    /// Both replicas have all that the master has.
    fn settle(&self) -> TestResult {
        let mut client = self.master.raw()?;
        wait_for_sync(&mut client, &self.ours)?;
        let waited = client.call(&["WAIT", "2", "5000"])?;
        assert_eq!(waited, Value::Integer(2));
        Ok(())
    }

    fn compare(&self, calls: &[&str]) -> TestResult {
        let (mut ours, mut real) = (self.ours.raw()?, self.real.raw()?);
        for call in calls {
            let (own, other) = (ours.line(call)?, real.line(call)?);
            assert_eq!(show(&own), show(&other), "{call}");
        }
        Ok(())
    }
}

#[test]
fn clients_see_what_those_of_a_real_replica_see() -> TestResult {
    let both = both()?;
    let mut client = both.master.raw()?;
    // The master leaves what has expired, so that the replicas have it too.
    client.line("DEBUG SET-ACTIVE-EXPIRE 0")?;
    for call in [
        "SET a 1",
        "RPUSH l 3 1 2",
        "XADD st 1-1 a b",
        "XGROUP CREATE st g 0",
        "PFADD hll a b",
        "SET expired 1 PX 1",
        "SET exists 1",
    ] {
        client.line(call)?;
    }
    both.settle()?;
    thread::sleep(Duration::from_millis(20));
    both.compare(CALLS)?;
    // A script of the master writes all the same, and what it wrote came as a transaction.
    client.line("EVAL \"redis.call('set','x','1') redis.call('incr','x')\" 0")?;
    both.settle()?;
    both.compare(&["GET x", "REPLICAOF 127.0.0.1 1 x"])?;
    // A stale replica that says nothing.
    both.compare(&["CONFIG SET replica-serve-stale-data no", "GET x"])?;
    both.ours.raw()?.line("REPLICAOF 127.0.0.1 1")?;
    both.real.raw()?.line("REPLICAOF 127.0.0.1 1")?;
    both.compare(&[
        "GET x",
        "SET x 1",
        "PING",
        "MULTI",
        "GET x",
        "EXEC",
        "EVAL \"return 1\" 0",
        "EVAL \"#!lua flags=no-writes\nreturn 1\" 0",
        "EVAL \"#!lua flags=no-writes,allow-stale\nreturn 1\" 0",
        "CONFIG SET replica-serve-stale-data yes",
        "GET x",
        "CONFIG SET replica-read-only no",
        "SET own 1",
        "GET own",
        "CONFIG SET replica-read-only yes",
        "SET own 1",
        "REPLICAOF NO ONE",
        "REPLICAOF NO ONE",
        "SET own 2",
        "GET x",
    ])
}

#[test]
fn info_has_the_fields_of_a_real_replica() -> TestResult {
    let both = both()?;
    both.settle()?;
    let fields = |client: &mut RawClient| -> TestResult<Vec<(String, String)>> {
        let text = client
            .call(&["INFO", "replication"])?
            .text()
            .unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.trim().split_once(':'));
        // The history that a replica keeps for replicas of its own.
        let differs = [
            "repl_backlog",
            "second_repl",
            "master_last_io",
            "master_replid2",
        ];
        let mut fields: Vec<(String, String)> = pairs
            .filter(|(name, _)| !differs.iter().any(|start| name.starts_with(start)))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        fields.push(("ROLE".to_owned(), show(&client.line("ROLE")?)));
        Ok(fields)
    };
    let mut differ = String::new();
    for _ in 0..20 {
        let (ours, real) = (
            fields(&mut both.ours.raw()?)?,
            fields(&mut both.real.raw()?)?,
        );
        if ours == real {
            return Ok(());
        }
        differ = format!("{ours:#?}\n{real:#?}");
        // A PING of the master came in between.
        thread::sleep(Duration::from_millis(50));
    }
    Err(differ.into())
}

#[test]
fn expired_keys_stay_until_the_master_removes_them() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let master = master()?;
        let mut client = master.raw()?;
        client.line("DEBUG SET-ACTIVE-EXPIRE 0")?;
        client.line("SET k 7 PX 100")?;
        client.line("SET kept 1 PX 100")?;
        let mut replica = Server::start_with(options(store, master.port()))?;
        wait_for_sync(&mut client, &replica)?;
        thread::sleep(Duration::from_millis(300));
        let mut own = replica.raw()?;
        // Gone for clients, also where somebody listens to events, but there.
        own.line("CONFIG SET notify-keyspace-events KEA")?;
        for call in ["GET k", "GET kept"] {
            assert_eq!(own.line(call)?, Value::NullBulk, "{store}");
        }
        assert_eq!(own.line("DBSIZE")?, Value::Integer(2), "{store}");
        replica.kill_9()?;
        replica.resume()?;
        wait_for_sync(&mut client, &replica)?;
        let mut own = replica.raw()?;
        assert_eq!(own.line("GET kept")?, Value::NullBulk, "{store}");
        assert_eq!(own.line("DBSIZE")?, Value::Integer(2), "{store}");
        // The master finds it expired when it is asked, and says so.
        client.line("GET k")?;
        wait_for_sync(&mut client, &replica)?;
        assert_eq!(own.line("DBSIZE")?, Value::Integer(1), "{store}");
        // As a master it removes the other one by itself.
        own.line("REPLICAOF NO ONE")?;
        wait_until("the key is removed", || {
            Ok(own.line("DBSIZE")? == Value::Integer(0))
        })?;
    }
    Ok(())
}

#[test]
fn the_stream_reaches_watchers_subscribers_caches_and_waiting_clients() -> TestResult {
    let master = master()?;
    let mut client = master.raw()?;
    client.line("SET a 1")?;
    let replica = Server::start_with(options("cmap", master.port()))?;
    wait_for_sync(&mut client, &replica)?;
    let mut own = replica.raw()?;
    own.line("CONFIG SET notify-keyspace-events KEA")?;
    let mut watching = replica.raw()?;
    watching.line("WATCH a")?;
    let mut listening = replica.raw()?;
    listening.line("PSUBSCRIBE __keyevent@0__:*")?;
    let mut caching = replica.raw()?;
    caching.line("HELLO 3")?;
    caching.line("CLIENT TRACKING ON")?;
    caching.line("GET a")?;
    let mut waiting = replica.raw()?;
    waiting.send(&["XREAD", "BLOCK", "10000", "STREAMS", "st", "$"])?;
    let mut monitoring = replica.raw()?;
    monitoring.line("MONITOR")?;
    let mut subscribed = replica.raw()?;
    subscribed.line("SUBSCRIBE c")?;
    thread::sleep(Duration::from_millis(50));
    for call in ["INCR a", "XADD st 1-1 f v", "PUBLISH c hello"] {
        client.line(call)?;
    }
    assert!(show(&listening.read()?).contains("incrby"));
    assert!(show(&caching.read()?).contains("invalidate"));
    assert!(show(&waiting.read()?).contains("1-1"));
    assert!(show(&subscribed.read()?).contains("hello"));
    let shown = loop {
        let line = show(&monitoring.read()?);
        if line.contains("incr") || line.contains("INCR") {
            break line;
        }
    };
    let peer = format!("[0 127.0.0.1:{}]", master.port());
    assert!(shown.contains(&peer), "{shown}");
    watching.line("MULTI")?;
    watching.line("PING")?;
    assert!(matches!(watching.line("EXEC")?, Value::NullArray));
    // A new data set is a flush for a client that caches.
    caching.line("GET a")?;
    let other = crate::pair::master()?;
    other.raw()?.line("SET b 1")?;
    own.line(&format!("REPLICAOF 127.0.0.1 {}", other.port()))?;
    wait_for_sync(&mut other.raw()?, &replica)?;
    let flushed = show(&caching.read()?);
    assert!(flushed.contains("invalidate"), "{flushed}");
    assert_replicated(&mut other.raw()?, &mut own)?;
    Ok(())
}

#[test]
fn the_link_is_a_client_that_can_be_seen_and_killed() -> TestResult {
    let master = master()?;
    let mut client = master.raw()?;
    let proxy = Proxy::start(master.port())?;
    let replica = Server::start_with(options("cmap", proxy.port))?;
    wait_for_sync(&mut client, &replica)?;
    let mut own = replica.raw()?;
    let list = |own: &mut RawClient| -> TestResult<String> {
        Ok(own
            .line("CLIENT LIST TYPE master")?
            .text()
            .unwrap_or_default())
    };
    let line = list(&mut own)?;
    assert!(
        line.contains(" flags=M ") && line.contains("user=(superuser)"),
        "{line}"
    );
    assert_eq!(own.line("CLIENT KILL TYPE master")?, Value::Integer(1));
    client.line("SET after 1")?;
    wait_for_sync(&mut client, &replica)?;
    let next = list(&mut own)?;
    assert_ne!(line.split(' ').next(), next.split(' ').next());
    assert_eq!(own.line("GET after")?, Value::Bulk(b"1".to_vec()));
    // The master counts what is durable here.
    assert_eq!(client.line("WAIT 1 5000")?, Value::Integer(1));
    proxy.cut();
    wait_for_sync(&mut client, &replica)
}

#[test]
fn rewritten_configurations_keep_the_master() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("server.conf");
    std::fs::write(&file, "# first\n")?;
    let master = master()?;
    master.raw()?.line("SET a 1")?;
    let options = common::Options::new("cmap").file(&file);
    let mut replica = Server::start_with(options)?;
    let mut own = replica.raw()?;
    let port = master.port();
    own.line(&format!("REPLICAOF 127.0.0.1 {port}"))?;
    let shown = show(&own.line("CONFIG GET replicaof")?);
    assert!(shown.contains(&format!("127.0.0.1 {port}")), "{shown}");
    own.line("CONFIG REWRITE")?;
    let text = std::fs::read_to_string(&file)?;
    assert!(
        text.contains(&format!("replicaof 127.0.0.1 {port}")),
        "{text}"
    );
    wait_for_sync(&mut master.raw()?, &replica)?;
    replica.restart()?;
    wait_for_sync(&mut master.raw()?, &replica)?;
    let mut own = replica.raw()?;
    own.line("REPLICAOF NO ONE")?;
    let rewritten = own.line("CONFIG REWRITE")?;
    assert!(!rewritten.is_error(), "{rewritten:?}");
    let text = std::fs::read_to_string(&file)?;
    assert!(!text.contains("replicaof 127"), "{text}");
    replica.restart()?;
    assert_eq!(info(&mut replica.raw()?, "replication", "role")?, "master");
    assert_eq!(replica.raw()?.line("GET a")?, Value::Bulk(b"1".to_vec()));
    Ok(())
}

#[test]
fn maxmemory_of_a_replica_evicts_nothing() -> TestResult {
    let master = master()?;
    let mut client = master.raw()?;
    let options = options("cmap", master.port())
        .directive("maxmemory", "1mb")
        .directive("maxmemory-policy", "allkeys-lru");
    let replica = Server::start_with(options)?;
    let script = "for i = 1, 4000 do redis.call('SET', i, string.rep('x', 1000)) end return 1";
    let filled = client.call(&["EVAL", script, "0"])?;
    assert_eq!(filled, Value::Integer(1));
    wait_for_sync(&mut client, &replica)?;
    let mut own = replica.raw()?;
    assert_eq!(own.line("DBSIZE")?, Value::Integer(4000));
    // As a master it does what its settings say.
    own.line("REPLICAOF NO ONE")?;
    wait_until("keys are evicted", || {
        own.line("SET more 1")?;
        let keys = own.line("DBSIZE")?.integer().unwrap_or_default();
        Ok(keys < 2000)
    })
}

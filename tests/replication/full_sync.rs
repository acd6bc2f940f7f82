//! The master's whole data set: every type, all databases, functions; and what happens when it does not come whole.

use std::thread;
use std::time::Duration;

use common::{Contents, RawClient, Server, TestResult, Value, assert_replicated};

use crate::pair::{
    full_syncs, info, master, master_of, masters, options, wait_for_sync, wait_until,
};
use crate::proxy::Proxy;

/// Every type in small and in large form, deadlines, several databases, a function.
fn fill(client: &mut RawClient) -> TestResult {
    let script = "
        local long = string.rep('x', 300)
        redis.call('SET', 'empty', '')
        redis.call('SET', 'number', '-12345678901')
        redis.call('SET', 'binary', 'a\\0b\\255\\r\\n')
        redis.call('SET', 'long', string.rep('abc', 100000))
        redis.call('SET', 'late', 'v', 'EX', 100000)
        redis.call('SETBIT', 'bits', 9999, 1)
        for i = 1, 2000 do
            redis.call('RPUSH', 'list', i, long)
            redis.call('HSET', 'hash', 'f' .. i, long)
            redis.call('SADD', 'set', 'm' .. i, i)
            redis.call('ZADD', 'zset', i * 1.25, 'm' .. i)
            redis.call('SET', 'key:' .. i, i)
            redis.call('XADD', 'stream', i .. '-1', 'a', i, 'b', long)
        end
        redis.call('RPUSH', 'short list', 'a', 1, '')
        redis.call('HSET', 'short hash', 'f', 'v', 'n', '1')
        redis.call('SADD', 'integers', 1, 2, 70000, -5)
        redis.call('SADD', 'words', 'a', 'b', 1)
        redis.call('ZADD', 'short zset', 1, 'a', '-inf', 'b', 'inf', 'c', 0.5, 'd')
        redis.call('PFADD', 'hll', 'a', 'b', 'c')
        redis.call('GEOADD', 'geo', 13.36, 38.11, 'Palermo')
        redis.call('XGROUP', 'CREATE', 'stream', 'g', '5-1')
        redis.call('XREADGROUP', 'GROUP', 'g', 'c1', 'COUNT', 7, 'STREAMS', 'stream', '>')
        redis.call('XREADGROUP', 'GROUP', 'g', 'c2', 'COUNT', 2, 'STREAMS', 'stream', '>')
        redis.call('XACK', 'stream', 'g', '7-1')
        redis.call('XDEL', 'stream', '3-1', '1999-1')
        redis.call('XADD', 'gone', '1-1', 'a', 'b')
        redis.call('XDEL', 'gone', '1-1')
        return 1";
    let filled = client.call(&["EVAL", script, "0"])?;
    assert_eq!(filled, Value::Integer(1));
    for db in ["3", "15"] {
        client.call(&["SELECT", db])?;
        client.call(&["MSET", "a", db, "b", "2"])?;
        client.call(&["PEXPIRE", "b", "90000000"])?;
    }
    client.call(&["SELECT", "0"])?;
    let library = "#!lua name=lib\nredis.register_function{function_name='seven', \
                   callback=function() return 7 end, flags={'no-writes'}}";
    client.call(&["FUNCTION", "LOAD", library])?;
    Ok(())
}

fn takes_everything(program: &str, store: &str, words: &[&str]) -> TestResult {
    let master = master_of(program, words)?;
    let mut client = master.raw()?;
    fill(&mut client)?;
    let mut replica = Server::start_with(options(store, master.port()))?;
    wait_for_sync(&mut client, &replica)?;
    let same = assert_replicated(&mut client, &mut replica.raw()?)?;
    assert!(same > 2000, "only {same} keys");
    let seven = replica.raw()?.call(&["FCALL_RO", "seven", "0"])?;
    assert_eq!(seven, Value::Integer(7));
    // It is in the pool, with its place: a restart needs no second copy.
    client.call(&["SET", "after", "1"])?;
    replica.restart()?;
    wait_for_sync(&mut client, &replica)?;
    assert_replicated(&mut client, &mut replica.raw()?)?;
    assert_eq!(full_syncs(&replica), 1, "{}", replica.log());
    let seven = replica.raw()?.call(&["FCALL_RO", "seven", "0"])?;
    assert_eq!(seven, Value::Integer(7));
    replica.terminate()
}

#[test]
fn a_replica_takes_all_types_with_and_without_a_length() -> TestResult {
    for (_, program) in masters() {
        takes_everything(&program, "cmap", &["--repl-diskless-sync", "yes"])?;
        takes_everything(&program, "cmap/pairs", &["--repl-diskless-sync", "no"])?;
    }
    Ok(())
}

#[test]
fn what_the_replica_had_goes_and_its_former_place_too() -> TestResult {
    let master = master()?;
    let mut client = master.raw()?;
    client.call(&["SET", "a", "of the master"])?;
    for store in ["cmap", "cmap/pairs"] {
        let mut replica = Server::start(store)?;
        let mut own = replica.raw()?;
        own.call(&["MSET", "a", "own", "b", "own"])?;
        own.call(&["RPUSH", "list", "1", "2"])?;
        own.call(&["SELECT", "4"])?;
        own.call(&["HSET", "h", "f", "v"])?;
        own.call(&[
            "FUNCTION",
            "LOAD",
            "#!lua name=own\nredis.register_function('own', function() return 1 end)",
        ])?;
        let port = master.port().to_string();
        own.call(&["REPLICAOF", "127.0.0.1", &port])?;
        wait_for_sync(&mut client, &replica)?;
        assert_replicated(&mut client, &mut replica.raw()?)?;
        let libraries = replica.raw()?.call(&["FUNCTION", "LIST"])?;
        assert_eq!(libraries, Value::Array(Vec::new()));
        // Without the directive the next start is a master's, whose clients write: there is no place any more.
        replica.restart()?;
        assert!(
            replica.log().contains("no directive 'replicaof'"),
            "{}",
            replica.log()
        );
        let mut own = replica.raw()?;
        own.call(&["SET", "own again", "1"])?;
        own.call(&["REPLICAOF", "127.0.0.1", &port])?;
        wait_for_sync(&mut client, &replica)?;
        assert_replicated(&mut client, &mut replica.raw()?)?;
        assert_eq!(full_syncs(&replica), 2, "{}", replica.log());
    }
    Ok(())
}

/// The link breaks off in the middle of the data set, again and again, and the process dies there: what the replica had
/// serves on, and at last the data set comes whole.
#[test]
fn a_broken_data_set_changes_nothing() -> TestResult {
    for (store, diskless) in [("cmap", "yes"), ("cmap/pairs", "no")] {
        let former = master()?;
        let mut client = former.raw()?;
        client.call(&["MSET", "a", "former", "b", "2"])?;
        client.call(&["HSET", "h", "f", "v"])?;
        let proxy = Proxy::start(former.port())?;
        let mut replica = Server::start_with(options(store, proxy.port))?;
        wait_for_sync(&mut client, &replica)?;
        let before = Contents::of(&mut replica.raw()?)?;
        assert_eq!(before.len(), 3);
        // Another master with another history takes the former one's place.
        let later = master_of("redis-server", &["--repl-diskless-sync", diskless])?;
        let mut client = later.raw()?;
        fill(&mut client)?;
        proxy.break_after(60_000);
        proxy.lead_to(later.port());
        proxy.cut();
        let log = "full synchronisation";
        wait_until("a data set has broken off", || {
            Ok(replica.log().contains("the link to the master is down"))
        })?;
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(150));
            assert_eq!(Contents::of(&mut replica.raw()?)?, before, "{log}");
            replica.kill_9()?;
            replica.resume()?;
            assert_eq!(Contents::of(&mut replica.raw()?)?, before, "{log}");
        }
        proxy.break_after(u64::MAX);
        wait_for_sync(&mut client, &replica)?;
        assert_replicated(&mut client, &mut replica.raw()?)?;
        replica.terminate()?;
    }
    Ok(())
}

/// A pool that cannot hold both data sets says so and keeps its own; with flush-before-load it takes the other one.
#[test]
fn a_pool_without_room_for_both_says_so() -> TestResult {
    let master = master()?;
    let mut client = master.raw()?;
    let script =
        "for i = 1, 400 do redis.call('SET', 'big:' .. i, string.rep(i, 50000):sub(1, 100000)) end";
    client.call(&["EVAL", script, "0"])?;
    let mut replica = Server::start_with(common::Options::new("cmap").pool_size("64mb"))?;
    let mut own = replica.raw()?;
    let script =
        "for i = 1, 250 do redis.call('SET', 'own:' .. i, string.rep(i, 50000):sub(1, 100000)) end";
    own.call(&["EVAL", script, "0"])?;
    let before = Contents::of(&mut own)?;
    let port = master.port().to_string();
    own.call(&["REPLICAOF", "127.0.0.1", &port])?;
    wait_until("the pool is full", || {
        Ok(replica.log().contains("flush-before-load"))
    })?;
    let error = info(&mut own, "replication", "master_link_last_error")?;
    assert!(
        error.contains("no room") || error.contains("another"),
        "{error}"
    );
    assert_eq!(Contents::of(&mut own)?, before);
    own.call(&["CONFIG", "SET", "repl-diskless-load", "flush-before-load"])?;
    wait_for_sync(&mut client, &replica)?;
    assert_replicated(&mut client, &mut replica.raw()?)?;
    replica.terminate()
}

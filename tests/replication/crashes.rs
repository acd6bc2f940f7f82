//! A master that dies and starts again: its replicas go on where they are, without a copy, and have what its pool has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use common::{Options, RawClient, RedisServer, Server, TestResult, Value, assert_replicated};

use crate::pair::{full_syncs, info, options, wait_until};
use crate::traffic;

/// How often the master dies in one run; `PMEMKV_ROUNDS` says another number.
const ROUNDS: usize = 6;

/// What the log says of a start that does not read the pool.
const TAKEN_OVER: &str = "the index of the last process is taken over";

fn rounds() -> usize {
    let rounds = std::env::var("PMEMKV_ROUNDS").ok();
    rounds
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(ROUNDS)
}

fn field(client: &mut RawClient, name: &str) -> TestResult<String> {
    info(client, "everything", name)
}

/// What the clients of a master do until they are told to stop, while it dies and comes back.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<thread::JoinHandle<u64>>,
    /// How many calls were answered.
    answered: Arc<AtomicU64>,
}

impl Load {
    fn start(port: u16, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let client = |n: u64| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || {
                let mut rng = StdRng::seed_from_u64(seed * 10 + n);
                let mut acknowledged = 0;
                while !stop.load(Ordering::Relaxed) {
                    // The master may be gone.
                    let _ = Self::talk(port, n, &mut rng, &mut acknowledged, &stop, &answered);
                    thread::sleep(Duration::from_millis(5));
                }
                acknowledged
            })
        };
        Self {
            clients: (0..3).map(client).collect(),
            stop,
            answered,
        }
    }

    fn talk(
        port: u16,
        n: u64,
        rng: &mut StdRng,
        acknowledged: &mut u64,
        stop: &AtomicBool,
        answered: &AtomicU64,
    ) -> TestResult {
        let mut client = RawClient::connect(port)?;
        let own = format!("counter:{n}");
        while !stop.load(Ordering::Relaxed) {
            client.call(&["SELECT", "9"])?;
            if let Value::Integer(count) = client.call(&["INCR", &own])? {
                *acknowledged = u64::try_from(count)?;
            }
            client.call(&["INCR", "counter"])?;
            client.call(&["RPUSH", "log", &n.to_string()])?;
            client.call(&["SELECT", "0"])?;
            let mut sent = 0;
            for _ in 0..rng.random_range(1..30) {
                let words = traffic::command(rng);
                // What changes all keys at once is told by a copy if the master dies within it.
                if !["FLUSHDB", "FLUSHALL", "SWAPDB"].contains(&words[0].as_str()) {
                    client.send(&words)?;
                    sent += 1;
                }
            }
            for _ in 0..sent {
                client.read()?;
            }
            answered.fetch_add(sent, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Waits until so many more calls were answered.
    fn wait_for(&self, calls: u64) -> TestResult {
        let until = self.answered.load(Ordering::Relaxed) + calls;
        wait_until("calls are answered", || {
            Ok(self.answered.load(Ordering::Relaxed) >= until)
        })
    }

    /// Ends it; returns how far each client has counted.
    fn end(self) -> TestResult<Vec<u64>> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.clients.into_iter().map(thread::JoinHandle::join);
        ended
            .map(|end| Ok(end.map_err(|_| "a client panicked")?))
            .collect()
    }
}

fn wait_for_offset(master: &mut RawClient, replica: &mut RawClient) -> TestResult {
    wait_until("the replica is where the master is", || {
        Ok(field(replica, "master_link_status")? == "up"
            && field(replica, "slave_repl_offset")? == field(master, "master_repl_offset")?)
    })
}

fn survives(store: &str, seed: u64) -> TestResult {
    eprintln!("{store}, seed {seed}");
    let mut options_of_master = Options::new(store).directive("repl-backlog-size", "32mb");
    // Elements have records of their own, which a start gathers after it has taken the index over.
    for name in ["hash", "set", "zset"] {
        let name = format!("{name}-max-listpack-entries");
        options_of_master = options_of_master.directive(&name, "4");
    }
    options_of_master = options_of_master
        .directive("set-max-intset-entries", "4")
        .directive("list-max-listpack-size", "4");
    let mut master = Server::start_with(options_of_master)?;
    let port = master.port();
    let own = Server::start_with(options("cmap", port))?;
    let words = ["--replicaof", "127.0.0.1", &port.to_string()];
    let real = RedisServer::start_with(&words)?;
    let (mut of_own, mut of_real) = (own.raw()?, real.raw()?);
    let mut client = master.raw()?;
    wait_for_offset(&mut client, &mut of_own)?;
    wait_for_offset(&mut client, &mut of_real)?;
    let id = field(&mut client, "master_replid")?;
    let load = Load::start(port, seed);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut longest = Duration::ZERO;
    for round in 0..rounds() {
        load.wait_for(rng.random_range(100..1500))?;
        thread::sleep(Duration::from_millis(rng.random_range(0..300)));
        master.kill_9()?;
        master.resume_on(port)?;
        let began = Instant::now();
        let mut client = master.raw()?;
        wait_until("both replicas are back", || {
            Ok(field(&mut client, "connected_slaves")? == "2")
        })
        .map_err(|error| format!("round {round}: {error}\n{}", master.log()))?;
        longest = longest.max(began.elapsed());
        assert_eq!(field(&mut client, "sync_full")?, "0", "{}", master.log());
        assert_eq!(field(&mut client, "sync_partial_err")?, "0");
    }
    let acknowledged = load.end()?;
    let mut client = master.raw()?;
    for replica in [&mut of_own, &mut of_real] {
        wait_for_offset(&mut client, replica)?;
        assert_replicated(&mut client, replica)
            .map_err(|error| format!("seed {seed}, {store}: {error}\n{}", master.log()))?;
    }
    // What was acknowledged is there. What was under way when the master died may be, and once at most.
    client.call(&["SELECT", "9"])?;
    for (n, acknowledged) in acknowledged.into_iter().enumerate() {
        let count = client.call(&["GET", &format!("counter:{n}")])?.text();
        let count: u64 = count.ok_or("no counter")?.parse()?;
        assert!(count >= acknowledged, "{count} of {acknowledged}");
        assert!(count <= acknowledged + rounds() as u64);
    }
    assert_eq!(field(&mut client, "master_replid")?, id);
    assert_eq!(full_syncs(&own), 1, "seed {seed}: {}", own.log());
    assert_eq!(field(&mut of_real, "master_replid")?, id);
    assert!(
        !own.log().contains("fails on this replica"),
        "{}",
        own.log()
    );
    let log = master.log();
    let restated = log.split("restated=").skip(1);
    let restated: Vec<&str> = restated
        .filter_map(|rest| rest.split_whitespace().next())
        .collect();
    eprintln!("the replicas were back within {longest:?}; keys that were told anew: {restated:?}");
    assert_eq!(restated.len(), rounds());
    if store == "cmap" {
        assert!(log.contains(TAKEN_OVER), "{log}");
    }
    Ok(())
}

#[test]
fn replicas_of_a_killed_master_need_no_copy() -> TestResult {
    let seed = std::env::var("PMEMKV_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    survives("cmap", seed)?;
    survives("cmap/pairs", seed + 1)
}

fn one_write(client: &mut RawClient, key: &str) -> TestResult {
    let reply = client.call(&["SET", key, key])?;
    assert_eq!(reply, Value::Simple(b"OK".to_vec()));
    Ok(())
}

/// How many copies the replica has taken after its master was killed and `between` was done.
fn copies_after_crash(
    directives: &[(&str, &str)],
    before: impl FnOnce(&mut Server) -> TestResult,
    between: impl FnOnce(&mut Server) -> TestResult,
) -> TestResult<usize> {
    let mut options_of_master = Options::new("cmap").pool_size("64mb");
    for (name, value) in directives {
        options_of_master = options_of_master.directive(name, value);
    }
    let mut master = Server::start_with(options_of_master)?;
    let port = master.port();
    let replica = Server::start_with(options("cmap", port))?;
    let mut of_replica = replica.raw()?;
    let mut client = master.raw()?;
    one_write(&mut client, "a")?;
    wait_for_offset(&mut client, &mut of_replica)?;
    before(&mut master)?;
    one_write(&mut master.raw()?, "b")?;
    master.kill_9()?;
    between(&mut master)?;
    master.resume_on(port)?;
    let mut client = master.raw()?;
    one_write(&mut client, "c")?;
    wait_until("the replica is back", || {
        Ok(field(&mut client, "connected_slaves")? == "1")
    })?;
    wait_for_offset(&mut client, &mut of_replica)?;
    assert_replicated(&mut client, &mut of_replica)
        .map_err(|error| format!("{error}\n{}", master.log()))?;
    Ok(full_syncs(&replica))
}

#[allow(clippy::unnecessary_wraps)] // A step that does nothing.
fn nothing(_: &mut Server) -> TestResult {
    Ok(())
}

#[test]
fn the_file_is_of_use_only_with_its_pool() -> TestResult {
    assert_eq!(copies_after_crash(&[], nothing, nothing)?, 1);
    let off = [("repl-backlog-outlives-crash", "no")];
    let copies = copies_after_crash(&off, nothing, |master| {
        assert!(!file_of(master).exists());
        Ok(())
    })?;
    assert_eq!(copies, 2);
    let copies = copies_after_crash(
        &[],
        |master| {
            let mut client = master.raw()?;
            client.line("CONFIG SET repl-backlog-outlives-crash no")?;
            wait_until("the file goes", || Ok(!file_of(master).exists()))
        },
        nothing,
    )?;
    assert_eq!(copies, 2);
    let copies = copies_after_crash(&[], nothing, |master| {
        Ok(std::fs::remove_file(file_of(master))?)
    })?;
    assert_eq!(copies, 2);
    // Damage of the header.
    let copies = copies_after_crash(&[], nothing, |master| {
        let mut bytes = std::fs::read(file_of(master))?;
        bytes[8 * 9..8 * 10].fill(0xee);
        Ok(std::fs::write(file_of(master), bytes)?)
    })?;
    assert_eq!(copies, 2);
    Ok(())
}

fn file_of(master: &Server) -> std::path::PathBuf {
    let mut path = master.pool_path().into_os_string();
    path.push(".backlog");
    path.into()
}

/// A pool that was put in another one's place does not go on with that one's history.
#[test]
fn a_restored_backup_has_no_history() -> TestResult {
    let folder = common::temporary_folder()?;
    let path = folder
        .path()
        .to_str()
        .ok_or("the folder's name")?
        .to_owned();
    let saved = folder.path().join("copy.pool");
    let kept = saved.clone();
    let directives = [("backup-dir", path.as_str())];
    let copies = copies_after_crash(
        &directives,
        |master| {
            let mut client = master.raw()?;
            let reply = client.line("PMEMKV.BACKUP copy.pool")?;
            assert!(!reply.is_error(), "{reply:?}");
            wait_until("the backup is done", || Ok(kept.exists()))?;
            thread::sleep(Duration::from_millis(300));
            one_write(&mut client, "later")
        },
        |master| {
            // Into the same file, as `cp` does.
            std::fs::copy(&saved, master.pool_path())?;
            Ok(())
        },
    )?;
    assert_eq!(copies, 2);
    Ok(())
}

/// A master and its replica; the master has a hash of 2,000 fields, whose elements have records of their own.
fn with_hash() -> TestResult<(Server, Server)> {
    let master = Server::start("cmap")?;
    let replica = Server::start_with(options("cmap", master.port()))?;
    let mut client = master.raw()?;
    for start in (0..2000).step_by(100) {
        let mut words = vec!["HSET".to_owned(), "hash".to_owned()];
        for field in start..start + 100 {
            words.extend([format!("field:{field}"), format!("{field}")]);
        }
        let reply = client.call(&words)?;
        assert!(!reply.is_error(), "{reply:?}");
    }
    Ok((master, replica))
}

/// Waits until the index is left as it is now. The server does that each 0.1 s.
fn wait_for_a_mark() {
    thread::sleep(Duration::from_millis(400));
}

/// A master with large collections does not read its pool before it serves, also where one was being changed.
#[test]
fn a_master_with_elements_takes_its_index_over() -> TestResult {
    let (mut master, replica) = with_hash()?;
    let port = master.port();
    let mut of_replica = replica.raw()?;
    let mut client = master.raw()?;
    wait_for_offset(&mut client, &mut of_replica)?;
    wait_for_a_mark();
    for round in 0..4 {
        // These are under way when the master dies.
        for field in 0..2000 {
            let field = format!("field:{field}");
            client.send(&["HSET", "hash", &field, &round.to_string()])?;
        }
        client.read()?;
        master.kill_9()?;
        master.resume_on(port)?;
        client = master.raw()?;
        one_write(&mut client, "a")?;
        wait_for_offset(&mut client, &mut of_replica)?;
        assert_replicated(&mut client, &mut of_replica)
            .map_err(|error| format!("{error}\n{}", master.log()))?;
        wait_for_a_mark();
    }
    let log = master.log();
    assert_eq!(log.matches(TAKEN_OVER).count(), 4, "{log}");
    assert_eq!(full_syncs(&replica), 1, "{}", replica.log());
    Ok(())
}

/// A master whose fields have deadlines reads its pool, as replicas may have to hear of some.
#[test]
fn a_master_with_deadlines_of_fields_reads_its_pool() -> TestResult {
    let (mut master, replica) = with_hash()?;
    let port = master.port();
    let mut of_replica = replica.raw()?;
    let mut client = master.raw()?;
    // One is there when the index is left, the other one behind it.
    client.line("HPEXPIRE hash 700 FIELDS 1 field:7")?;
    wait_for_offset(&mut client, &mut of_replica)?;
    wait_for_a_mark();
    client.line("HPEXPIRE hash 300 FIELDS 1 field:8")?;
    wait_for_offset(&mut client, &mut of_replica)?;
    master.kill_9()?;
    thread::sleep(Duration::from_millis(800));
    master.resume_on(port)?;
    client = master.raw()?;
    one_write(&mut client, "a")?;
    wait_for_offset(&mut client, &mut of_replica)?;
    assert_eq!(of_replica.line("HLEN hash")?, Value::Integer(1998));
    assert_replicated(&mut client, &mut of_replica)?;
    assert_eq!(full_syncs(&replica), 1, "{}", replica.log());
    // Only what reads the pool finds a field that the dead master saw go, and did not tell of. Nothing shows it to a client.
    let log = master.log();
    assert!(log.contains("replicas may have to hear of fields"), "{log}");
    assert!(!log.contains(TAKEN_OVER), "{log}");
    Ok(())
}

/// A master that dies again and again, also while it starts, keeps its replicas.
#[test]
fn a_master_that_dies_while_it_starts_keeps_its_replicas() -> TestResult {
    let copies = copies_after_crash(&[], nothing, |master| {
        for ms in [30, 60, 120, 250] {
            master.resume_and_kill(Duration::from_millis(ms))?;
        }
        Ok(())
    })?;
    assert_eq!(copies, 1);
    Ok(())
}

/// A replica that became the master has a history that outlives a crash too.
#[test]
fn a_promoted_replica_that_dies_keeps_its_replicas() -> TestResult {
    let first = Server::start("cmap")?;
    one_write(&mut first.raw()?, "a")?;
    let mut second = Server::start_with(options("cmap", first.port()))?;
    let third = Server::start_with(options("cmap", second.port()));
    let third = third?;
    let mut of_third = third.raw()?;
    wait_for_offset(&mut first.raw()?, &mut of_third)?;
    second.raw()?.line("REPLICAOF NO ONE")?;
    one_write(&mut second.raw()?, "b")?;
    wait_for_offset(&mut second.raw()?, &mut of_third)?;
    one_write(&mut second.raw()?, "c")?;
    let port = second.port();
    second.kill_9()?;
    second.set_options(Options::new("cmap"));
    second.resume_on(port)?;
    one_write(&mut second.raw()?, "d")?;
    wait_for_offset(&mut second.raw()?, &mut of_third)?;
    assert_replicated(&mut second.raw()?, &mut of_third)?;
    assert_eq!(full_syncs(&third), 1, "{}", third.log());
    Ok(())
}

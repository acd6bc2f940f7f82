//! PMEMKV.BACKUP's copy is the pool at one moment: after all that was answered before the command, and nothing half done.

mod writers;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use common::backup::{ended, field, folder, names, on_copy, options};
use common::{RawClient, Server, TestResult};

use self::writers::Told;
use crate::seed_and_rounds;

/// Backups in one test.
const ROUNDS: usize = 4;

/// On a slow machine writers may fill the pool faster than a backup lets its segments go. Such a backup is given up for them, and
/// another one begun.
const TRIES: usize = 5 * ROUNDS;

type Writer<'a> = Box<dyn FnOnce(&Told) -> Result<(), String> + Send + 'a>;

fn writer<'a>(write: impl FnOnce(&Told) -> TestResult + Send + 'a) -> Writer<'a> {
    Box::new(|told| write(told).map_err(|error| error.to_string()))
}

/// Has the writers stop, also where the test fails.
struct Stop<'a>(&'a [Told]);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        for told in self.0 {
            told.stop.store(true, Ordering::Release);
        }
    }
}

/// Makes backups beside writers, and checks each copy. Returns how many came to a good end: one may be given up for the
/// writers.
fn back_up_beside(server: &Server, place: &Path) -> TestResult<usize> {
    let (_, rounds) = seed_and_rounds(ROUNDS)?;
    let told: [Told; 5] = Default::default();
    let [first, second, chain, flushes, churn] = &told;
    let mut clients: [RawClient; 6] = [
        server.raw()?,
        server.raw()?,
        server.raw()?,
        server.raw()?,
        server.raw()?,
        server.raw()?,
    ];
    let [one, two, three, four, five, six] = &mut clients;
    let writers: [(Writer, &Told); 5] = [
        (writer(|told| writers::sequence(one, "first", told)), first),
        (
            writer(|told| writers::sequence(two, "second", told)),
            second,
        ),
        (
            writer(|told| {
                let mut pair = [three, four].map(|client| {
                    std::mem::replace(
                        client,
                        RawClient::connect(server.port()).expect("it serves"),
                    )
                });
                writers::chain(&mut pair, told)
            }),
            chain,
        ),
        (writer(|told| writers::flushes(five, told)), flushes),
        (writer(|told| writers::churn(six, told)), churn),
    ];
    let mut client = server.raw()?;
    let mut good = 0;
    thread::scope(|scope| -> TestResult {
        let running: Vec<_> = writers
            .into_iter()
            .map(|(write, told)| scope.spawn(move || write(told)))
            .collect();
        {
            let _stop = Stop(&told);
            for round in 0..rounds.max(TRIES) {
                if good == rounds {
                    break;
                }
                thread::sleep(Duration::from_millis(150));
                let before: Vec<i64> = told.iter().map(Told::acked).collect();
                client.line(&format!("PMEMKV.BACKUP copy{round}"))?;
                let status = ended(&mut client)?;
                let after: Vec<i64> = told.iter().map(Told::acked).collect();
                let error = field(&mut client, "backup_last_error")?;
                if status == "err" {
                    assert!(error.contains("ran short of space"), "{error}");
                    assert_eq!(names(place)?, <[String; 0]>::default(), "something is left");
                    continue;
                }
                assert_eq!(status, "ok", "{error}");
                good += 1;
                let path = place.join(format!("copy{round}"));
                let copy = on_copy(&path)?;
                let mut copied = copy.raw()?;
                writers::check_sequence(&mut copied, "first", before[0], after[0])?;
                let last = writers::check_sequence(&mut copied, "second", before[1], after[1])?;
                assert!(last > 0);
                writers::check_chain(&mut copied, before[2])?;
                writers::check_flushes(&mut copied, before[3], after[3])?;
                drop(copy);
                std::fs::remove_file(path)?;
            }
        }
        for running in running {
            running.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })?;
    Ok(good)
}

#[test]
fn a_copy_is_of_one_moment() -> TestResult {
    let folder = folder()?;
    let options = options("cmap", folder.path()).directive("worker-threads", "3");
    let server = Server::start_with(options)?;
    assert!(back_up_beside(&server, folder.path())? > 0);
    Ok(())
}

/// A server whose pool the writers keep at the point where the compaction and the eviction work.
fn crowded(place: &Path, maxmemory: &str) -> TestResult<Server> {
    let options = options("cmap", place)
        .directive("worker-threads", "3")
        .directive("maxmemory", maxmemory)
        .directive("maxmemory-policy", "volatile-ttl")
        // A sample without any of the old keys would take one that the writers count on.
        .directive("maxmemory-samples", "64");
    let server = Server::start_with(options)?;
    let mut client = server.raw()?;
    let value = "z".repeat(8_000);
    client.line("SELECT 1")?;
    for n in 0..7_500 {
        client.call(&["SET", &format!("old:{n}"), &value, "EX", "90000"])?;
    }
    assert_ne!(figure(&mut client, "INFO stats", "evicted_keys")?, 0);
    Ok(server)
}

fn figure(client: &mut RawClient, line: &str, name: &str) -> TestResult<u64> {
    let info = client.line(line)?.text().ok_or("no text")?;
    let mut lines = info.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(found.ok_or("no figure")?.parse()?)
}

#[test]
fn a_copy_is_of_one_moment_while_keys_are_evicted_and_segments_freed() -> TestResult {
    let folder = folder()?;
    let server = crowded(folder.path(), "25mb")?;
    let mut client = server.raw()?;
    let before = figure(&mut client, "INFO pmemkv", "compacted_segments")?;
    let good = back_up_beside(&server, folder.path())?;
    assert!(good > 0, "every backup was given up");
    let after = figure(&mut client, "INFO pmemkv", "compacted_segments")?;
    assert!(after > before, "nothing was compacted");
    Ok(())
}

/// In a full pool a backup may be given up, but no write is refused for it: the writers see no error.
#[test]
fn a_backup_gives_way_to_writes() -> TestResult {
    let folder = folder()?;
    let server = crowded(folder.path(), "0")?;
    back_up_beside(&server, folder.path())?;
    Ok(())
}

/// Has a backup copy something. Begins another one where the writers fill the pool before.
fn begin_to_copy(client: &mut RawClient) -> TestResult {
    for _ in 0..TRIES {
        client.line("PMEMKV.BACKUP cut")?;
        while field(client, "backup_in_progress")? == "1" {
            let copied = field(client, "backup_copied_bytes")?;
            if copied.parse().is_ok_and(|bytes: u64| bytes > 0) {
                return Ok(());
            }
        }
        if field(client, "backup_last_status")? == "ok" {
            return Ok(());
        }
        let error = field(client, "backup_last_error")?;
        assert!(error.contains("ran short of space"), "{error}");
    }
    Err("each backup was given up".into())
}

/// A kill during a backup leaves the server's own pool right, and no more than a temporary file.
#[test]
fn a_kill_beside_a_backup_loses_nothing() -> TestResult {
    let (_, rounds) = seed_and_rounds(ROUNDS)?;
    let folder = folder()?;
    let options = options("cmap", folder.path()).directive("worker-threads", "2");
    let mut server = Server::start_with(options)?;
    let value = "z".repeat(40_000);
    let mut client = server.raw()?;
    client.line("SELECT 1")?;
    for n in 0..500 {
        client.call(&["SET", &format!("old:{n}"), &value])?;
    }
    for round in 0..rounds {
        let told = Told::default();
        let (mut writer, mut client) = (server.raw()?, server.raw()?);
        let name = format!("round{round}");
        thread::scope(|scope| -> TestResult {
            // It ends with an error when the server is gone.
            let writing = scope.spawn(|| drop(writers::sequence(&mut writer, &name, &told)));
            let _stop = Stop(std::slice::from_ref(&told));
            thread::sleep(Duration::from_millis(50));
            begin_to_copy(&mut client)?;
            thread::sleep(Duration::from_millis(20 * (round as u64 % 4)));
            server.kill_9()?;
            writing.join().map_err(|_| "the writer panicked")?;
            Ok(())
        })?;
        server.resume()?;
        let acked = told.acked();
        assert!(acked > 0);
        let left = names(folder.path())?;
        assert!(left.is_empty() || left == ["cut"], "{left:?}");
        // It may have come to its end before the kill.
        let _ = std::fs::remove_file(folder.path().join("cut"));
        let mut client = server.raw()?;
        writers::check_sequence(&mut client, &name, acked, acked)?;
    }
    Ok(())
}

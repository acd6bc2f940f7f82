//! Hashes whose fields have deadlines keep them on every way from one server to another, and in every form.

use std::path::Path;

use super::{PATIENCE, call};
use common::{Options, RawClient, Server, TestResult, Value};

/// What a server holds of each hash: the key's deadline, and its fields with their values and deadlines, sorted.
type Hashes = Vec<(String, i64, Vec<(Vec<u8>, Vec<u8>, i64)>)>;

/// Fields of the long hash.
const FIELDS: usize = 700;

/// Hashes of one record and of many, with and without deadlines of their own, and some that lost theirs again.
fn fill(client: &mut RawClient) -> TestResult {
    for line in [
        // Never a deadline: one record.
        "HSET plain a 1 b 2",
        // Became records of its fields with the first deadline.
        "HSET few a 1 b 2 c \"\"",
        "HPEXPIREAT few 9000000000000 FIELDS 2 a b",
        "PEXPIREAT few 9999999999999",
        // Had records of its fields from the beginning.
        "HSETEX born PXAT 9000000000001 FIELDS 2 a 1 b 2",
        "HSET born c 3",
        // Lost the deadlines again, in each of the ways that there are.
        "HSETEX lost PXAT 9000000000002 FIELDS 4 a 1 b 2 c 3 d 4",
        "HPERSIST lost FIELDS 1 a",
        "HSET lost b 5",
        "HDEL lost c",
        "HGETEX lost PERSIST FIELDS 1 d",
        // One field is past its deadline, and nothing removes it.
        "HSETEX past PX 1 FIELDS 1 a 1",
        "HSETEX past PXAT 9000000000003 FIELDS 1 b 2",
        "HSET past c 3",
        // All of them are.
        "HSETEX gone PX 1 FIELDS 2 a 1 b 2",
    ] {
        let reply = client.line(line)?;
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
    let word = "long ".repeat(20);
    for n in 0..FIELDS {
        let (field, at) = (format!("f{n}"), (9_100_000_000_000 + n).to_string());
        let value = format!("{word}{n}");
        let words: &[&str] = match n % 3 {
            0 => &["HSET", "long", &field, &value],
            _ => &["HSETEX", "long", "PXAT", &at, "FIELDS", "1", &field, &value],
        };
        assert!(!client.call(words)?.is_error());
    }
    std::thread::sleep(std::time::Duration::from_millis(10));
    Ok(())
}

/// What a server shows of its hashes.
fn hashes(client: &mut RawClient) -> TestResult<Hashes> {
    let mut names: Vec<String> = client
        .line("KEYS *")?
        .items()
        .ok_or("no keys")?
        .iter()
        .filter_map(Value::text)
        .collect();
    names.sort();
    let mut all = Hashes::new();
    for key in names {
        let pairs = client.call(&["HGETALL", &key])?;
        let pairs = pairs.items().ok_or("no fields")?.to_vec();
        let mut fields = Vec::new();
        for pair in pairs.chunks_exact(2) {
            let (field, value) = (pair[0].bytes().ok_or("?")?, pair[1].bytes().ok_or("?")?);
            let until = client.call(&[b"HPEXPIRETIME", key.as_bytes(), b"FIELDS", b"1", field])?;
            let until = until.items().and_then(|all| all.first()?.integer());
            fields.push((field.to_vec(), value.to_vec(), until.ok_or("no deadline")?));
        }
        fields.sort();
        assert_eq!(
            client.call(&["HLEN", &key])?.integer(),
            Some(i64::try_from(fields.len())?)
        );
        let until = client.call(&["PEXPIRETIME", &key])?.integer();
        // A hash without live fields is as good as gone.
        if !fields.is_empty() {
            all.push((key, until.ok_or("no deadline")?, fields));
        }
    }
    Ok(all)
}

/// What [`fill`] leaves.
fn filled(client: &mut RawClient) -> TestResult<Hashes> {
    let held = hashes(client)?;
    let names: Vec<&str> = held.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["born", "few", "long", "lost", "past", "plain"]);
    let deadlines = |name: &str| -> Vec<i64> {
        let one = held.iter().find(|(key, ..)| key == name);
        let fields = one.map(|(_, _, fields)| fields.iter().map(|(_, _, until)| *until));
        fields.into_iter().flatten().collect()
    };
    assert_eq!(deadlines("few"), [9_000_000_000_000, 9_000_000_000_000, -1]);
    assert_eq!(
        deadlines("born"),
        [9_000_000_000_001, 9_000_000_000_001, -1]
    );
    assert_eq!(deadlines("lost"), [-1, -1, -1]);
    assert_eq!(deadlines("past"), [9_000_000_000_003, -1]);
    assert_eq!(deadlines("long").len(), FIELDS);
    Ok(held)
}

fn options(store: &str, folder: &Path) -> Options {
    Options::new(store)
        .pool_size("64mb")
        .directive("dir", &folder.display().to_string())
        .directive("enable-protected-configs", "yes")
        .directive("enable-debug-command", "yes")
}

fn start(store: &str, folder: &Path) -> TestResult<Server> {
    let server = Server::start_with(options(store, folder))?;
    server.raw()?.line("DEBUG SET-ACTIVE-EXPIRE 0")?;
    fill(&mut server.raw()?)?;
    Ok(server)
}

/// The other layout.
fn other(store: &str) -> &'static str {
    if store == "cmap" {
        "cmap/pairs"
    } else {
        "cmap"
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> TestResult<bool>) -> TestResult {
    let end = std::time::Instant::now() + PATIENCE * 3;
    while !is_so()? {
        assert!(std::time::Instant::now() < end, "not in time: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(())
}

fn info(client: &mut RawClient, name: &str) -> TestResult<String> {
    let text = client.line("INFO everything")?.text().unwrap_or_default();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(value.ok_or_else(|| format!("no {name}"))?.to_owned())
}

/// An RDB file brings them to a server of the other layout, which keeps them through a kill.
fn by_a_file(store: &str) -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(store, folder.path())?;
    let mut client = server.raw()?;
    let held = filled(&mut client)?;
    assert_eq!(call(&mut client, "BGSAVE")?, "+Background saving started");
    wait_until("the file is written", || {
        Ok(info(&mut client, "rdb_bgsave_in_progress")? == "0")
    })?;
    assert_eq!(info(&mut client, "rdb_last_bgsave_status")?, "ok");
    let elsewhere = tempfile::tempdir()?;
    let file = folder.path().join("dump.rdb").display().to_string();
    let with = options(other(store), elsewhere.path()).directive("import", &file);
    let mut importer = Server::start_with(with)?;
    assert_eq!(hashes(&mut importer.raw()?)?, held);
    importer.kill_9()?;
    importer.set_options(options(other(store), elsewhere.path()));
    importer.resume()?;
    assert_eq!(hashes(&mut importer.raw()?)?, held);
    Ok(())
}

/// DUMP and RESTORE, COPY and RENAME keep them, and so does a kill.
fn by_dumps_and_copies(store: &str) -> TestResult {
    let folder = tempfile::tempdir()?;
    let mut server = start(store, folder.path())?;
    let target = Server::start_with(options(other(store), folder.path()))?;
    let (mut client, mut restored) = (server.raw()?, target.raw()?);
    let mut held = filled(&mut client)?;
    for (key, until, _) in &held {
        let dump = client.call(&["DUMP", key])?;
        let dump = dump.bytes().ok_or("no dump")?;
        let ttl = (*until).max(0).to_string();
        let words: &[&[u8]] = &[b"RESTORE", key.as_bytes(), ttl.as_bytes(), dump, b"ABSTTL"];
        assert_eq!(restored.call(words)?, Value::Simple(b"OK".to_vec()));
        for words in [
            ["COPY", key, &format!("{key} copied")],
            [
                "RENAME",
                &format!("{key} copied"),
                &format!("{key} renamed"),
            ],
        ] {
            assert!(!client.call(&words)?.is_error(), "{words:?}");
        }
    }
    assert_eq!(hashes(&mut restored)?, held);
    server.kill_9()?;
    server.resume()?;
    let copies = held.clone().into_iter();
    held.extend(copies.map(|(key, until, fields)| (format!("{key} renamed"), until, fields)));
    held.sort();
    assert_eq!(hashes(&mut server.raw()?)?, held);
    Ok(())
}

/// A replica of the other layout gets them with the copy, and then what changes; it keeps them through a kill.
fn by_a_replica(store: &str) -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = start(store, folder.path())?;
    let mut client = server.raw()?;
    let held = filled(&mut client)?;
    let port = server.port().to_string();
    let with =
        options(other(store), folder.path()).directive("replicaof", &format!("127.0.0.1 {port}"));
    let mut replica = Server::start_with(with)?;
    let follows = |client: &mut RawClient, replica: &Server| {
        let mut own = replica.raw()?;
        wait_until("the replica is where the master is", || {
            let wanted: u64 = info(client, "master_repl_offset")?.parse()?;
            let is_up = info(&mut own, "master_link_status")? == "up";
            Ok(is_up && info(&mut own, "slave_repl_offset")?.parse::<u64>()? >= wanted)
        })
    };
    follows(&mut client, &replica)?;
    assert_eq!(hashes(&mut replica.raw()?)?, held);
    for line in [
        "HPEXPIREAT plain 9000000000004 FIELDS 1 a",
        "HPERSIST few FIELDS 1 a",
        "HSETEX few PXAT 9000000000005 FIELDS 1 z 26",
        "HGETEX born PERSIST FIELDS 1 a",
        "HGETDEL born FIELDS 1 b",
        "HDEL long f0 f1",
        "HSET long f2 short",
        "HSET gone a 1",
        "HPEXPIREAT lost 9000000000006 FIELDS 1 a",
        "HSETEX lost KEEPTTL FIELDS 1 a 9",
        "HEXPIRE past 0 FIELDS 1 b",
    ] {
        let reply = client.line(line)?;
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
    // The background of the master tells of what goes by itself.
    client.line("DEBUG SET-ACTIVE-EXPIRE 1")?;
    let changed = hashes(&mut client)?;
    assert_ne!(changed, held);
    follows(&mut client, &replica)?;
    assert_eq!(hashes(&mut replica.raw()?)?, changed);
    replica.kill_9()?;
    replica.resume()?;
    follows(&mut client, &replica)?;
    assert_eq!(hashes(&mut replica.raw()?)?, changed);
    Ok(())
}

#[test]
fn files_bring_them() -> TestResult {
    by_a_file("cmap")?;
    by_a_file("cmap/pairs")
}

#[test]
fn dumps_and_copies_bring_them() -> TestResult {
    by_dumps_and_copies("cmap")?;
    by_dumps_and_copies("cmap/pairs")
}

#[test]
fn replicas_get_them() -> TestResult {
    by_a_replica("cmap")?;
    by_a_replica("cmap/pairs")
}

/// A file that is written while fields get deadlines and lose them shows each hash as it was at one moment.
#[test]
fn files_show_one_moment() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let folder = tempfile::tempdir()?;
        let server = Server::start_with(options(store, folder.path()))?;
        let mut client = server.raw()?;
        for n in 0..2_000 {
            client.call(&["HSET", &format!("h{n}"), "a", "0", "b", "0", "c", "0"])?;
        }
        assert_eq!(call(&mut client, "BGSAVE")?, "+Background saving started");
        // Each transaction leaves two fields with one value, and with a deadline that tells it too.
        for round in 1..4 {
            for n in 0..2_000 {
                let (key, at) = (format!("h{n}"), (9_000_000_000_000_i64 + round).to_string());
                let value = round.to_string();
                client.call(&["MULTI"])?;
                client.call(&["HSET", &key, "b", &value])?;
                client.call(&["HSETEX", &key, "PXAT", &at, "FIELDS", "1", "a", &value])?;
                client.call(&["HPEXPIREAT", &key, &at, "FIELDS", "1", "b"])?;
                let reply = client.call(&["EXEC"])?;
                assert!(!reply.is_error(), "{reply:?}");
            }
        }
        wait_until("the file is written", || {
            Ok(info(&mut client, "rdb_bgsave_in_progress")? == "0")
        })?;
        assert_eq!(info(&mut client, "rdb_last_bgsave_status")?, "ok");
        let file = folder.path().join("dump.rdb").display().to_string();
        let importer = Server::start_with(Options::new(store).directive("import", &file))?;
        let read = hashes(&mut importer.raw()?)?;
        assert_eq!(read.len(), 2_000);
        // One client wrote, in the order of the keys: at one moment the hashes up to some place are one round ahead.
        let mut rounds = vec![0; 2_000];
        for (key, _, fields) in read {
            let value = &fields[0].1;
            let round: i64 = String::from_utf8_lossy(value).parse()?;
            let until = if round == 0 {
                -1
            } else {
                9_000_000_000_000 + round
            };
            let expected = [
                (b"a".to_vec(), value.clone(), until),
                (b"b".to_vec(), value.clone(), until),
                (b"c".to_vec(), b"0".to_vec(), -1),
            ];
            assert_eq!(fields, expected, "{key}");
            rounds[key[1..].parse::<usize>()?] = round;
        }
        assert!(rounds.is_sorted_by(|one, next| one >= next), "{rounds:?}");
        assert!(rounds[0] - rounds[1_999] <= 1, "{rounds:?}");
    }
    Ok(())
}

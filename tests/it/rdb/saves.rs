//! SAVE, BGSAVE, save points and the file at the end.

use std::fs;

use common::{Contents, Options, RawClient, RedisServer, Server, TestResult, Value, show};

use super::filling::{assert_library, fill};
use super::{field, options, wait_for_save, wait_until};

fn ok(client: &mut RawClient, line: &str) -> TestResult {
    assert_eq!(show(&client.line(line)?), "+OK", "{line}");
    Ok(())
}

fn set_save(client: &mut RawClient, points: &str) -> TestResult {
    let reply = client.call(&["CONFIG", "SET", "save", points])?;
    assert_eq!(show(&reply), "+OK");
    Ok(())
}

/// The number at the beginning of a file, behind REDIS.
fn version(path: &std::path::Path) -> TestResult<String> {
    let bytes = fs::read(path)?;
    Ok(String::from_utf8_lossy(&bytes[5..9]).into_owned())
}

#[test]
fn a_real_server_loads_what_this_one_saves() -> TestResult {
    for (store, version_set, compression) in [("cmap", "10", "yes"), ("cmap/pairs", "10", "no")] {
        let folder = tempfile::tempdir()?;
        let server = Server::start_with(
            options(store, folder.path())
                .directive("rdb-version", version_set)
                .directive("rdbcompression", compression),
        )?;
        let mut client = server.raw()?;
        fill(&mut client)?;
        let reply = client.line("BGSAVE")?;
        assert_eq!(show(&reply), "+Background saving started");
        wait_for_save(&mut client)?;
        assert_eq!(
            field(&mut client, "rdb_last_bgsave_status")?,
            "ok",
            "{}",
            server.log()
        );
        let held = Contents::of(&mut client)?;
        let dir = folder.path().display().to_string();
        let real = RedisServer::start_with(&["--dir", &dir])?;
        let mut client = real.raw()?;
        wait_until(|| Ok(field(&mut client, "loading")? == "0"))?;
        held.assert_same(&Contents::of(&mut client)?);
        assert_library(&mut client)?;
    }
    Ok(())
}

#[test]
fn this_server_imports_what_it_saves() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = Server::start_with(options("cmap", folder.path()))?;
    let mut client = server.raw()?;
    fill(&mut client)?;
    ok(&mut client, "SAVE")?;
    let file = folder.path().join("dump.rdb");
    assert_eq!(version(&file)?, "0011");
    let held = Contents::of(&mut client)?;
    client.line("SELECT 0")?;
    let full = client.line("XINFO STREAM stream FULL")?;
    assert!(!full.is_error(), "{full:?}");
    let with = Options::new("cmap").directive("import", &file.display().to_string());
    let other = Server::start_with(with)?;
    let mut client = other.raw()?;
    held.assert_same(&Contents::of(&mut client)?);
    assert_library(&mut client)?;
    // Version 11 says when a consumer was last active too.
    client.line("SELECT 0")?;
    let read = client.line("XINFO STREAM stream FULL")?;
    assert_eq!(full, read);
    Ok(())
}

#[test]
fn replies_and_figures() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = Server::start_with(options("cmap", folder.path()))?;
    let mut client = server.raw()?;
    let before = client.line("LASTSAVE")?.integer().ok_or("no time")?;
    ok(&mut client, "SET k v")?;
    assert_eq!(field(&mut client, "rdb_changes_since_last_save")?, "1");
    assert_eq!(field(&mut client, "rdb_last_bgsave_time_sec")?, "-1");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    ok(&mut client, "SAVE")?;
    let after = client.line("LASTSAVE")?.integer().ok_or("no time")?;
    assert!(before < after);
    assert_eq!(field(&mut client, "rdb_last_save_time")?, after.to_string());
    assert_eq!(field(&mut client, "rdb_changes_since_last_save")?, "0");
    assert_eq!(field(&mut client, "rdb_saves")?, "1");
    for (line, reply) in [
        (
            "SAVE x",
            "-ERR wrong number of arguments for 'save' command",
        ),
        ("BGSAVE x", "-ERR syntax error"),
        ("BGSAVE SCHEDULE x", "-ERR syntax error"),
        ("BGSAVE SCHEDULE", "+Background saving started"),
    ] {
        assert_eq!(show(&client.line(line)?), reply, "{line}");
    }
    wait_for_save(&mut client)?;
    assert_eq!(field(&mut client, "rdb_saves")?, "2");
    assert_ne!(field(&mut client, "rdb_last_bgsave_time_sec")?, "-1");
    // Inside a transaction, where the image waits for its end.
    for (line, reply) in [
        ("MULTI", "+OK"),
        ("SET k w", "+QUEUED"),
        ("BGSAVE", "+QUEUED"),
        ("BGSAVE", "+QUEUED"),
        (
            "EXEC",
            "[+OK +Background saving started -ERR Background save already in progress]",
        ),
        ("MULTI", "+OK"),
        ("SAVE", "-ERR Command not allowed inside a transaction"),
        ("DISCARD", "+OK"),
    ] {
        assert_eq!(show(&client.line(line)?), reply, "{line}");
    }
    wait_for_save(&mut client)?;
    // Only the file stays.
    let names = fs::read_dir(folder.path())?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()?;
    assert_eq!(names, ["dump.rdb"]);
    ok(
        &mut client,
        "CONFIG SET dbfilename other.rdb rdb-version 10",
    )?;
    ok(&mut client, "SAVE")?;
    assert_eq!(version(&folder.path().join("other.rdb"))?, "0010");
    Ok(())
}

#[test]
fn a_file_that_cannot_be_written_is_told() -> TestResult {
    let folder = tempfile::tempdir()?;
    let missing = folder.path().join("missing");
    let mut server = Server::start_with(options("cmap", &missing))?;
    let mut client = server.raw()?;
    let reply = show(&client.line("SAVE")?);
    assert!(
        reply.starts_with("-ERR ") && reply.contains("No such file"),
        "{reply}"
    );
    // As in Redis, SAVE does not change the status of background saves.
    assert_eq!(field(&mut client, "rdb_last_bgsave_status")?, "ok");
    client.line("BGSAVE")?;
    wait_for_save(&mut client)?;
    assert_eq!(field(&mut client, "rdb_last_bgsave_status")?, "err");
    // The pool has the data, so writes go on.
    ok(&mut client, "SET k v")?;
    let reply = show(&client.line("SHUTDOWN SAVE")?);
    assert_eq!(reply, "-ERR Errors trying to SHUTDOWN. Check logs.");
    fs::create_dir(&missing)?;
    client.line("BGSAVE")?;
    wait_for_save(&mut client)?;
    assert_eq!(field(&mut client, "rdb_last_bgsave_status")?, "ok");
    fs::remove_file(missing.join("dump.rdb"))?;
    client.send(&["SHUTDOWN", "SAVE"])?;
    server.wait_for_exit()?;
    assert!(missing.join("dump.rdb").exists(), "{}", server.log());
    // What is in the pool does not depend on it.
    server.resume()?;
    assert_eq!(show(&server.raw()?.line("GET k")?), "v");
    Ok(())
}

#[test]
fn save_points_and_the_end() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("dump.rdb");
    let mut server = Server::start_with(options("cmap", folder.path()))?;
    let mut client = server.raw()?;
    for n in 0..3 {
        ok(&mut client, &format!("SET key{n} v"))?;
    }
    // No save point, no file; not at the end either.
    server.terminate()?;
    assert!(!file.exists());
    server.resume()?;
    let mut client = server.raw()?;
    set_save(&mut client, "1 3")?;
    for n in 0..2 {
        ok(&mut client, &format!("SET key{n} v"))?;
    }
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert!(!file.exists(), "two changes are too few");
    ok(&mut client, "SET key2 v")?;
    wait_until(|| Ok(file.exists()))?;
    wait_for_save(&mut client)?;
    assert!(
        server.log().contains("3 changes in 1 seconds"),
        "{}",
        server.log()
    );
    // The configuration of the next start has no save points.
    server.kill_9()?;
    for (words, exists) in [
        (&[][..], true),
        (&["SHUTDOWN"][..], true),
        (&["SHUTDOWN", "NOSAVE"], false),
    ] {
        if file.exists() {
            fs::remove_file(&file)?;
        }
        server.resume()?;
        let mut client = server.raw()?;
        set_save(&mut client, "3600 1")?;
        if words.is_empty() {
            server.terminate()?;
        } else {
            client.send(words)?;
            server.wait_for_exit()?;
        }
        assert_eq!(file.exists(), exists, "{words:?}: {}", server.log());
    }
    Ok(())
}

#[test]
fn engines_without_a_pool() -> TestResult {
    let folder = tempfile::tempdir()?;
    let server = Server::start_with(options("vcmap", folder.path()))?;
    let mut client = server.raw()?;
    ok(&mut client, "SET k v")?;
    ok(&mut client, "SAVE")?;
    assert!(folder.path().join("dump.rdb").exists());
    let server = Server::start_with(options("blackhole", folder.path()))?;
    let mut client = server.raw()?;
    assert_eq!(show(&client.line("SAVE")?), "-ERR the engine keeps no data");
    assert!(client.line("BGREWRITEAOF")?.is_error());
    assert_eq!(client.line("PING")?, Value::Simple(b"PONG".to_vec()));
    Ok(())
}

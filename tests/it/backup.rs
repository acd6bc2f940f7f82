//! PMEMKV.BACKUP: what it refuses, how it ends, and what docs/backup.md shows. That a copy is of one moment is shown in
//! tests/crash.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::backup::{ended, field, folder, names, on_copy, options, under_way};
use common::{Options, RawClient, Server, TestResult, Value, show};

/// Fills a pool of 64 MB so far that a backup takes some hundred milliseconds.
fn fill(client: &mut RawClient) -> TestResult {
    let value = "x".repeat(50_000);
    for n in 0..600 {
        let reply = client.call(&["SET", &format!("filler:{n}"), &value])?;
        assert_eq!(show(&reply), "+OK");
    }
    Ok(())
}

/// Ends a server in the middle of a backup. On a busy machine a backup may be whole before the end comes: then another one
/// is made.
fn cut(
    server: &mut Server,
    folder: &Path,
    end: impl Fn(&mut Server, &mut RawClient) -> TestResult,
) -> TestResult {
    let whole = folder.join("cut");
    for _ in 0..20 {
        let mut client = server.raw()?;
        client.line("PMEMKV.BACKUP cut")?;
        under_way(&mut client)?;
        end(server, &mut client)?;
        if !whole.exists() {
            return Ok(());
        }
        fs::remove_file(&whole)?;
        server.resume()?;
    }
    Err("every backup was whole before the server ended".into())
}

#[test]
fn refuses_what_it_cannot_do() -> TestResult {
    let folder = folder()?;
    let at = |name: &str| folder.path().join(name);
    let refused = |client: &mut RawClient, line: &str, why: &str| -> TestResult {
        let reply = show(&client.line(line)?);
        assert!(reply.starts_with("-ERR "), "{line}: {reply}");
        assert!(reply.contains(why), "{line}: {reply}");
        Ok(())
    };
    let mut server = Server::start_with(options("cmap", folder.path()))?;
    let mut client = server.raw()?;
    fs::write(at("there"), "mine")?;
    std::os::unix::fs::symlink(at("nowhere"), at("link"))?;
    for (line, why) in [
        ("PMEMKV.BACKUP there", "something exists here already"),
        ("PMEMKV.BACKUP link", "something exists here already"),
        ("PMEMKV.BACKUP ../out", "a backup's name"),
        ("PMEMKV.BACKUP /tmp/out", "a backup's name"),
        ("PMEMKV.BACKUP .hidden", "a backup's name"),
        ("PMEMKV.BACKUP", "wrong number of arguments"),
        ("PMEMKV.BACKUP a b", "wrong number of arguments"),
        ("CONFIG SET backup-dir /tmp", "immutable config"),
    ] {
        refused(&mut client, line, why)?;
    }
    assert_eq!(names(folder.path())?, ["link", "there"]);
    assert_eq!(fs::read(at("there"))?, b"mine");
    assert_eq!(field(&mut client, "backup_last_status")?, "none");

    // A user who may not administer the server.
    client.line("ACL SETUSER app on nopass ~* &* +@all -@admin -@dangerous")?;
    let mut app = server.raw()?;
    app.line("AUTH app x")?;
    assert!(show(&app.line("PMEMKV.BACKUP a")?).starts_with("-NOPERM"));

    // One at a time.
    fill(&mut client)?;
    // In one go, since the first may be whole by the time a busy machine lets this test run again.
    client.send_bytes(b"PMEMKV.BACKUP one\r\nPMEMKV.BACKUP two\r\n")?;
    assert_eq!(show(&client.read()?), "+Background backup started");
    let reply = show(&client.read()?);
    assert!(
        reply.starts_with("-ERR Background backup already in progress"),
        "{reply}"
    );
    assert_eq!(ended(&mut client)?, "ok");
    assert_eq!(names(folder.path())?, ["link", "one", "there"]);
    refused(
        &mut client,
        "PMEMKV.BACKUP one",
        "something exists here already",
    )?;

    // The running pool itself.
    server.terminate()?;
    let pool = server.pool_path();
    let own = pool.parent().ok_or("no folder")?.to_owned();
    server.set_options(options("cmap", &own));
    server.resume()?;
    refused(
        &mut server.raw()?,
        "PMEMKV.BACKUP test.pool",
        "something exists here already",
    )?;

    server.terminate()?;
    server.set_options(options("cmap", &at("missing")));
    server.resume()?;
    refused(&mut server.raw()?, "PMEMKV.BACKUP a", "no such directory")?;

    server.terminate()?;
    server.set_options(Options::new("cmap"));
    server.resume()?;
    refused(
        &mut server.raw()?,
        "PMEMKV.BACKUP a",
        "no folder for backups",
    )?;

    for (store, why) in [
        ("cmap/pairs", "layout is pairs"),
        ("stree", "layout is pairs"),
        ("vcmap", "in the process's memory only"),
    ] {
        let server = Server::start_with(options(store, folder.path()))?;
        refused(&mut server.raw()?, "PMEMKV.BACKUP a", why)?;
    }
    Ok(())
}

/// The commands that docs/backup.md shows, on other paths.
#[test]
fn the_documented_commands_work() -> TestResult {
    let folder = folder()?;
    let mut server = Server::start_with(options("cmap", folder.path()))?;
    let mut client = server.raw()?;
    client.line("SET greeting kept EX 3600")?;
    client.line("RPUSH list a b c")?;
    let page =
        fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/backup.md"))?;
    let block = |heading: &str| -> TestResult<String> {
        let (_, section) = page.split_once(heading).ok_or("no such section")?;
        let lines: Vec<&str> = section
            .lines()
            .skip_while(|line| !line.starts_with("    "))
            .map_while(|line| line.strip_prefix("    "))
            .collect();
        assert!(!lines.is_empty());
        Ok(lines
            .join("\n")
            .replace("/var/backups/pmemkv", &folder.path().display().to_string())
            .replace(
                "/dev/shm/pmemkv-server.pool",
                &server.pool_path().display().to_string(),
            )
            .replace("redis-cli", &format!("redis-cli -p {}", server.port())))
    };
    let run = |commands: &str| -> TestResult {
        let output = Command::new("sh").args(["-e", "-c", commands]).output()?;
        assert!(output.status.success(), "{commands}\n{output:?}");
        Ok(())
    };
    let (make, restore) = (block("## Make a backup")?, block("## Restore")?);
    run(&make)?;
    client.line("SET greeting overwritten")?;
    client.line("DEL list")?;
    run(&restore)?;
    server.wait_for_exit()?;
    server.resume()?;
    let mut client = server.raw()?;
    assert_eq!(show(&client.line("GET greeting")?), "kept");
    assert!(
        client
            .line("TTL greeting")?
            .integer()
            .is_some_and(|left| left > 3_500)
    );
    assert_eq!(show(&client.line("LRANGE list 0 -1")?), "[a b c]");
    // It is a pool as any other: the server goes on, and backs it up again.
    client.line("SET more 1")?;
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    assert_eq!(show(&client.line("DBSIZE")?), ":3");
    client.line("PMEMKV.BACKUP again")?;
    assert_eq!(ended(&mut client)?, "ok");
    Ok(())
}

#[test]
fn the_end_of_the_server_ends_it() -> TestResult {
    let folder = folder()?;
    let mut server = Server::start_with(options("cmap", folder.path()))?;
    fill(&mut server.raw()?)?;
    for by_command in [false, true] {
        cut(&mut server, folder.path(), |server, client| {
            if by_command {
                client.send(&["SHUTDOWN"])?;
                server.wait_for_exit()?;
            } else {
                server.terminate()?;
            }
            Ok(())
        })?;
        assert!(
            names(folder.path())?.is_empty(),
            "{:?}",
            names(folder.path())
        );
        server.resume()?;
        assert_eq!(show(&server.raw()?.line("DBSIZE")?), ":600");
    }
    Ok(())
}

#[test]
fn what_a_kill_leaves_goes_at_the_next_start() -> TestResult {
    let folder = folder()?;
    let mut server = Server::start_with(options("cmap", folder.path()))?;
    let mut client = server.raw()?;
    fill(&mut client)?;
    fs::write(folder.path().join(".other"), "mine")?;
    cut(&mut server, folder.path(), |server, _| server.kill_9())?;
    let left = names(folder.path())?;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(
        left[0].starts_with(".cut.") || left[1].starts_with(".cut."),
        "{left:?}"
    );
    // Nobody may take a part of a copy for a whole one.
    let part = left
        .iter()
        .find(|name| name.starts_with(".cut."))
        .ok_or("no part")?;
    fs::copy(folder.path().join(part), folder.path().join("part"))?;
    assert!(on_copy(&folder.path().join("part")).is_err());
    fs::remove_file(folder.path().join("part"))?;
    server.resume()?;
    let mut client = server.raw()?;
    assert_eq!(names(folder.path())?, [".other"]);
    assert_eq!(show(&client.line("DBSIZE")?), ":600");
    client.line("PMEMKV.BACKUP whole")?;
    assert_eq!(ended(&mut client)?, "ok");
    let copy = on_copy(&folder.path().join("whole"))?;
    assert_eq!(show(&copy.raw()?.line("DBSIZE")?), ":600");
    Ok(())
}

/// Unmounts a file system at its end.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_file_system_without_room_is_an_error_and_leaves_nothing() -> TestResult {
    let folder = folder()?;
    let place = folder.path().join("small");
    fs::create_dir(&place)?;
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
        .arg(&place)
        .output();
    if mounted.is_ok_and(|output| output.status.success()) {
        let _mounted = Mounted(place.clone());
        let server = Server::start_with(options("cmap", &place))?;
        let mut client = server.raw()?;
        let reply = show(&client.line("PMEMKV.BACKUP big")?);
        assert!(reply.contains("no space for a pool of"), "{reply}");
        assert!(names(&place)?.is_empty());
    }
    // A limit that no check sees beforehand: the file may not grow as far.
    let server = Server::start_with(options("cmap", folder.path()))?;
    let mut client = server.raw()?;
    client.line("SET k v")?;
    let limited = Command::new("prlimit")
        .args(["--pid", &server.pid().to_string(), "--fsize=20000000"])
        .status()?;
    assert!(limited.success());
    assert_eq!(
        show(&client.line("PMEMKV.BACKUP big")?),
        "+Background backup started"
    );
    assert_eq!(ended(&mut client)?, "err");
    let error = field(&mut client, "backup_last_error")?;
    assert!(
        error.contains("no space") || error.contains("too large"),
        "{error}"
    );
    assert_eq!(names(folder.path())?, ["small"]);
    assert_eq!(client.line("GET k")?, Value::Bulk(b"v".to_vec()));
    Ok(())
}

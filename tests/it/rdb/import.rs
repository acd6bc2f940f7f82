//! Imports.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::{Contents, Options, RedisServer, Server, TestResult, Value, encode};

use super::filling::{assert_library, fill};
use super::{assert_empty, options, refused_start};

/// A file of a real server with [`fill`]'s keys and one more that is past its deadline.
fn real_file(folder: &Path, words: &[&str]) -> TestResult<(PathBuf, Contents)> {
    let dir = folder.display().to_string();
    let real = RedisServer::start_with(&[&["--dir", &dir], words].concat())?;
    let mut client = real.raw()?;
    client.line("DEBUG SET-ACTIVE-EXPIRE 0")?;
    fill(&mut client)?;
    let held = Contents::of(&mut client)?;
    client.line("SET past v PX 1")?;
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert_eq!(client.line("SAVE")?, Value::Simple(b"OK".to_vec()));
    Ok((folder.join("dump.rdb"), held))
}

fn importing(store: &str, folder: &Path, from: &Path) -> Options {
    options(store, folder).directive("import", &from.display().to_string())
}

#[test]
fn files_of_a_real_server() -> TestResult {
    // Every type in its small and its large encoding, compressed and not, with a checksum and without.
    let small = [
        "hash-max-listpack-entries",
        "set-max-intset-entries",
        "zset-max-listpack-entries",
    ];
    let small: Vec<String> = small
        .iter()
        .flat_map(|name| [format!("--{name}"), "1000".to_owned()])
        .collect();
    let mut large: Vec<&str> = small.iter().map(String::as_str).collect();
    large.extend(["--rdbcompression", "no", "--rdbchecksum", "no"]);
    for (store, words) in [("cmap", &[][..]), ("cmap/pairs", &large)] {
        let folder = tempfile::tempdir()?;
        let (file, held) = real_file(folder.path(), words)?;
        let server = Server::start_with(importing(store, folder.path(), &file))?;
        let mut client = server.raw()?;
        held.assert_same(&Contents::of(&mut client)?);
        assert_library(&mut client)?;
        let loaded = super::field(&mut client, "rdb_last_load_keys_loaded")?;
        assert_eq!(loaded, held.len().to_string());
        assert_eq!(
            super::field(&mut client, "rdb_changes_since_last_save")?,
            "0"
        );
        assert!(
            server.log().contains("the import is done"),
            "{}",
            server.log()
        );
    }
    Ok(())
}

#[test]
fn what_was_imported_stays() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let folder = tempfile::tempdir()?;
        let (file, held) = real_file(folder.path(), &[])?;
        let with = importing(store, folder.path(), &file);
        let mut server = Server::start_with(with.clone())?;
        server.kill_9()?;
        // The pool has it; the file is needed no longer, and is refused.
        let said = refused_start(&with, &server.pool_path())?;
        assert!(said.contains("the pool is not empty"), "{said}");
        server.set_options(options(store, folder.path()));
        server.resume()?;
        let mut client = server.raw()?;
        held.assert_same(&Contents::of(&mut client)?);
        assert_library(&mut client)?;
        client.line("SELECT 0")?;
        assert_eq!(client.line("FLUSHALL")?, Value::Simple(b"OK".to_vec()));
        assert_eq!(client.line("SET k v")?, Value::Simple(b"OK".to_vec()));
        server.restart()?;
        let mut client = server.raw()?;
        assert_eq!(client.line("DBSIZE")?, Value::Integer(1));
    }
    Ok(())
}

#[test]
fn damaged_files_leave_the_pool_empty() -> TestResult {
    let folder = tempfile::tempdir()?;
    let (file, _) = real_file(folder.path(), &[])?;
    let whole = fs::read(&file)?;
    let damaged = folder.path().join("damaged.rdb");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    let twice = [
        &whole[..whole.len() - 9],
        b"\xfe\x00\x00\x03int\x01v\xff",
        &[0; 8],
    ]
    .concat();
    for (store, bytes, why) in [
        ("cmap", &whole[..whole.len() - 3], "before its end mark"),
        ("cmap", &whole[..whole.len() / 2], "before its end mark"),
        ("cmap/pairs", &flipped, "damaged"),
        ("cmap", &twice, "the key 'int' is there twice"),
        (
            "cmap",
            b"REDIS0011\xfe\x10\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0",
            "a database 16",
        ),
        ("cmap", b"REDIS0099", "RDB version 99 of Redis"),
        ("cmap", b"GET / HTTP/1.1\r\n", "does not begin with *"),
        (
            "cmap",
            b"*1\r\n$7\r\nNOTHING\r\n",
            "'NOTHING' failed: ERR unknown command",
        ),
        ("cmap", b"*2\r\n$3\r\nGET\r\n$1\r", "ends within a command"),
    ] {
        fs::write(&damaged, bytes)?;
        let pool = folder.path().join("pool");
        let said = refused_start(&importing(store, folder.path(), &damaged), &pool)?;
        assert!(said.contains(why), "{why}: {said}");
        assert!(said.contains("damaged.rdb"), "{said}");
        // The next start finds nothing of it.
        let server = Server::start_with(
            options(store, folder.path()).directive("pool-path", &pool.display().to_string()),
        )?;
        assert_empty(&server)?;
        drop(server);
        fs::remove_file(&pool)?;
    }
    // A pool that is too small.
    fs::write(&damaged, rdb_of_strings(400, 100_000)?)?;
    let small = importing("cmap", folder.path(), &damaged)
        .directive("pool-size", "16mb")
        .directive("maxmemory-policy", "allkeys-lru");
    let said = refused_start(&small, &folder.path().join("small"))?;
    assert!(said.contains("the pool has no space"), "{said}");
    Ok(())
}

/// The head of a file that says of its database that it has so many keys.
fn head_with_sizes(keys: u32) -> Vec<u8> {
    let mut file = b"REDIS0011\xfe\x00\xfb\x80".to_vec();
    file.extend_from_slice(&keys.to_be_bytes());
    file.push(0);
    file
}

/// Appends keys with their numbers as values.
fn push_numbers(file: &mut Vec<u8>, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let (key, value) = (format!("key:{number:06}"), format!("value:{number:06}"));
        file.extend_from_slice(&[0, 10]);
        file.extend_from_slice(key.as_bytes());
        file.push(12);
        file.extend_from_slice(value.as_bytes());
    }
}

#[test]
fn many_keys_are_stored_by_several_threads() -> TestResult {
    const KEYS: u32 = 20_000;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("many.rdb");
    // What the file says of the number of its keys is only a hint.
    for said in [0, KEYS, u32::MAX] {
        let mut file = head_with_sizes(said);
        push_numbers(&mut file, 0..KEYS);
        file.extend_from_slice(b"\xfe\x03\xfb\x01\x00");
        push_numbers(&mut file, 0..3000);
        let mut twice = file.clone();
        for file in [&mut file, &mut twice] {
            file.extend_from_slice(b"\xff\0\0\0\0\0\0\0\0");
        }
        fs::write(&path, &file)?;
        let with = importing("cmap", folder.path(), &path);
        let mut server = Server::start_with(with)?;
        for round in 0..2 {
            let mut client = server.raw()?;
            for (db, keys) in [(0, KEYS), (3, 3000)] {
                client.line(&format!("SELECT {db}"))?;
                assert_eq!(client.line("DBSIZE")?, Value::Integer(keys.into()));
                for number in (0..keys).step_by(97) {
                    let value = format!("value:{number:06}").into_bytes();
                    let got = client.line(&format!("GET key:{number:06}"))?;
                    assert_eq!(got, Value::Bulk(value), "{said} {round} {number}");
                }
            }
            // The next start has the index as the import has left it.
            std::thread::sleep(std::time::Duration::from_millis(300));
            server.kill_9()?;
            server.set_options(options("cmap", folder.path()));
            server.resume()?;
        }
        assert!(
            server
                .log()
                .contains("index of the last process is taken over"),
            "{}",
            server.log()
        );
        drop(server);

        // The same key in the first and in the last batch.
        twice.truncate(twice.len() - 9);
        twice.extend_from_slice(b"\xfe\x00");
        push_numbers(&mut twice, 7..8);
        twice.extend_from_slice(b"\xff\0\0\0\0\0\0\0\0");
        fs::write(&path, &twice)?;
        let pool = folder.path().join(format!("pool-{said}"));
        let said = refused_start(&importing("cmap", folder.path(), &path), &pool)?;
        assert!(
            said.contains("the key 'key:000007' is there twice"),
            "{said}"
        );
        let server = Server::start_with(
            options("cmap", folder.path()).directive("pool-path", &pool.display().to_string()),
        )?;
        assert_empty(&server)?;
    }
    Ok(())
}

/// A file of strings that do not compress.
fn rdb_of_strings(count: u32, bytes: usize) -> TestResult<Vec<u8>> {
    let options = rdb::Options {
        version: rdb::Version::Redis72,
        compresses: false,
        sums: true,
    };
    let mut writer = rdb::Writer::new(Vec::new(), options);
    writer.database(0)?;
    for n in 0..count {
        writer.key(&rdb::KeyRef {
            key: format!("key:{n}").as_bytes(),
            value: &rdb::Object::String(vec![b'x'; bytes]),
            expires_at: None,
            idle_s: None,
            frequency: None,
        })?;
    }
    Ok(writer.finish()?)
}

#[test]
fn append_only_files_of_a_real_server() -> TestResult {
    for (store, base) in [("cmap", "yes"), ("cmap/pairs", "no")] {
        let folder = tempfile::tempdir()?;
        let dir = folder.path().display().to_string();
        let real = RedisServer::start_with(&[
            "--dir",
            &dir,
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--aof-use-rdb-preamble",
            base,
            "--aof-timestamp-enabled",
            "yes",
        ])?;
        let mut client = real.raw()?;
        client.line("SET flushed v")?;
        client.line("FLUSHALL")?;
        fill(&mut client)?;
        // The base holds what was before, and the increment what comes after.
        client.line("BGREWRITEAOF")?;
        super::wait_until(|| Ok(super::field(&mut client, "aof_rewrite_in_progress")? == "0"))?;
        for line in [
            "SELECT 2",
            "SET gone v",
            "FLUSHDB",
            "MULTI",
            "INCR counter",
            "LPUSH queue a b",
            "EXEC",
            "SWAPDB 2 4",
            "SELECT 0",
            "GETDEL text",
            "SPOP mixed",
            "XADD stream * f v",
            "EXPIRE int 100000",
            "RENAME hash renamed",
            "COPY renamed copied",
            "INCRBYFLOAT float 1.5",
        ] {
            let reply = client.line(line)?;
            assert!(!reply.is_error(), "{line}: {reply:?}");
        }
        let script = "redis.call('set', 'scripted', 'v'); return redis.call('incr', 'int')";
        assert_eq!(client.call(&["EVAL", script, "0"])?, Value::Integer(12346));
        let held = Contents::of(&mut client)?.unseen();
        drop(real);
        let from = folder.path().join("appendonlydir");
        let server = Server::start_with(importing(store, folder.path(), &from))?;
        let mut client = server.raw()?;
        held.assert_same(&Contents::of(&mut client)?.unseen());
        assert_library(&mut client)?;
        assert_eq!(
            client
                .line("CLIENT LIST")?
                .text()
                .map(|text| text.lines().count()),
            Some(1)
        );
    }
    Ok(())
}

/// A single file, as before Redis 7: keys first, then commands.
#[test]
fn an_append_only_file_with_a_preamble() -> TestResult {
    let folder = tempfile::tempdir()?;
    let (file, mut held) = real_file(folder.path(), &[])?;
    let mut bytes = fs::read(&file)?;
    for words in [
        &["SELECT", "0"][..],
        &["DEL", "int"],
        &["FCALL", "answer", "0"],
        &["DEL", "text"],
    ] {
        encode(&mut bytes, words);
    }
    let path = folder.path().join("appendonly.aof");
    fs::write(&path, &bytes)?;
    let mut server = Server::start_with(importing("cmap", folder.path(), &path))?;
    held.forget(0, b"int");
    held.forget(0, b"text");
    held.assert_same(&Contents::of(&mut server.raw()?)?);
    server.terminate()?;
    // A command that fails leaves nothing, not even the functions that were loaded for it.
    let mut file = fs::File::options().append(true).open(&path)?;
    file.write_all(b"*1\r\n$3\r\nGET\r\n")?;
    let pool = folder.path().join("pool");
    let said = refused_start(&importing("cmap", folder.path(), &path), &pool)?;
    assert!(said.contains("wrong number of arguments"), "{said}");
    let pool = pool.display().to_string();
    let server = Server::start_with(options("cmap", folder.path()).directive("pool-path", &pool))?;
    assert_empty(&server)
}

#[test]
fn what_is_no_file_is_refused() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    fs::write(path("x.manifest"), "file missing seq 1 type b\n")?;
    fs::create_dir(path("empty"))?;
    for (from, why) in [
        ("missing.rdb", "No such file"),
        ("empty", "holds no manifest"),
        ("x.manifest", "missing: No such file"),
    ] {
        let with = importing("cmap", folder.path(), &path(from));
        let said = refused_start(&with, &path("pool"))?;
        assert!(said.contains(why), "{said}");
    }
    let with = importing("blackhole", folder.path(), &path("x.manifest"));
    let said = refused_start(&with, &path("none"))?;
    assert!(said.contains("the engine keeps no data"), "{said}");
    Ok(())
}

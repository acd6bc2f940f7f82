//! The commands on keys and databases over TCP, on every engine.

use std::collections::BTreeSet;

use common::{Options, Server, TestResult};
use redis::{Commands, Connection, cmd};

/// The text of the error with which the server must answer a call.
fn error_of(connection: &mut Connection, line: &str) -> String {
    let mut words = line.split(' ');
    let mut call = cmd(words.next().unwrap_or_default());
    words.for_each(|word| {
        call.arg(word);
    });
    let error = call
        .query::<redis::Value>(connection)
        .expect_err("the call must fail");
    format!(
        "{} {}",
        error.code().unwrap_or_default(),
        error.detail().unwrap_or_default()
    )
}

fn int(connection: &mut Connection, line: &str) -> TestResult<i64> {
    let mut words = line.split(' ');
    let mut call = cmd(words.next().unwrap_or_default());
    words.for_each(|word| {
        call.arg(word);
    });
    Ok(call.query(connection)?)
}

fn existence(server: &Server) -> TestResult {
    let con = &mut server.connection()?;
    let () = con.mset(&[("a", "1"), ("b", "2"), ("c", "3")])?;
    assert_eq!(int(con, "EXISTS a a missing b")?, 3);
    assert_eq!(int(con, "TOUCH a missing c")?, 2);
    assert_eq!(cmd("TYPE").arg("a").query::<String>(con)?, "string");
    assert_eq!(cmd("TYPE").arg("missing").query::<String>(con)?, "none");
    assert_eq!(int(con, "DEL a a missing")?, 1);
    assert_eq!(int(con, "UNLINK b")?, 1);
    assert_eq!(int(con, "UNLINK b")?, 0);
    assert_eq!(cmd("RANDOMKEY").query::<String>(con)?, "c");
    assert_eq!(int(con, "DBSIZE")?, 1);
    assert_eq!(int(con, "DEL c")?, 1);
    assert_eq!(cmd("RANDOMKEY").query::<Option<String>>(con)?, None);
    Ok(())
}

fn binary_keys(server: &Server) -> TestResult {
    let con = &mut server.connection()?;
    let keys: [&[u8]; 5] = [b"", b"\0", b"\0\xff\r\n", b"caf\xe9", b"\xf0\x9f\x90\x98"];
    for (number, key) in keys.iter().enumerate() {
        let () = con.set(*key, number)?;
    }
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(con.get::<_, usize>(*key)?, number);
    }
    let listed: BTreeSet<Vec<u8>> = con.keys("*")?;
    assert_eq!(listed, keys.iter().map(|key| key.to_vec()).collect());
    let () = con.rename(keys[2], keys[3])?;
    assert_eq!(con.get::<_, usize>(keys[3])?, 2);
    assert_eq!(con.del::<_, usize>(&keys)?, 4);
    Ok(())
}

fn rename_and_copy_carry_deadlines(server: &Server) -> TestResult {
    let con = &mut server.connection()?;
    let deadline: i64 = 4_000_000_000_123;
    let () = con.set("a", "value")?;
    let () = con.set("old", "gone")?;
    assert_eq!(int(con, &format!("PEXPIREAT a {deadline}"))?, 1);
    let () = con.rename("a", "old")?;
    assert_eq!(int(con, "EXISTS a")?, 0);
    assert_eq!(con.get::<_, String>("old")?, "value");
    assert_eq!(int(con, "PEXPIRETIME old")?, deadline);
    assert_eq!(int(con, "COPY old new")?, 1);
    assert_eq!(int(con, "PEXPIRETIME new")?, deadline);
    let () = con.set("stays", "x")?;
    assert_eq!(int(con, "RENAMENX stays new")?, 0);
    assert_eq!(int(con, "COPY stays new")?, 0);
    assert_eq!(int(con, "COPY stays new REPLACE")?, 1);
    assert_eq!(int(con, "PTTL new")?, -1);
    assert_eq!(int(con, "RENAMENX stays fresh")?, 1);
    assert_eq!(con.get::<_, String>("fresh")?, "x");
    assert_eq!(error_of(con, "RENAME missing x"), "ERR no such key");
    assert_eq!(
        error_of(con, "COPY a a"),
        "ERR source and destination objects are the same"
    );
    assert_eq!(int(con, "DEL old new fresh")?, 3);
    Ok(())
}

fn databases(server: &Server) -> TestResult {
    let con = &mut server.connection()?;
    let other = &mut server.connection()?;
    let () = con.set("k", "zero")?;
    let () = cmd("SELECT").arg(3).query(other)?;
    assert_eq!(int(other, "EXISTS k")?, 0);
    let () = other.set("k", "three")?;
    assert_eq!(int(con, "MOVE k 3")?, 0);
    assert_eq!(int(con, "COPY k k DB 3")?, 0);
    assert_eq!(int(con, "COPY k k2 DB 3")?, 1);
    assert_eq!(int(other, "DBSIZE")?, 2);
    assert_eq!(int(con, "MOVE k 4")?, 1);
    assert_eq!(int(con, "EXISTS k")?, 0);
    let () = cmd("SWAPDB").arg(4).arg(3).query(con)?;
    assert_eq!(other.get::<_, String>("k")?, "zero");
    let () = cmd("FLUSHDB").query(other)?;
    assert_eq!(int(other, "DBSIZE")?, 0);
    let () = cmd("SELECT").arg(4).query(other)?;
    assert_eq!(other.get::<_, String>("k")?, "three");
    let () = cmd("FLUSHALL").arg("async").query(con)?;
    assert_eq!(int(other, "DBSIZE")?, 0);
    for (call, error) in [
        ("SELECT 16", "ERR DB index is out of range"),
        ("SELECT x", "ERR value is not an integer or out of range"),
        ("SWAPDB x 1", "ERR invalid first DB index"),
        ("SWAPDB 1 x", "ERR invalid second DB index"),
        (
            "MOVE k 0",
            "ERR source and destination objects are the same",
        ),
        ("FLUSHDB later", "ERR syntax error"),
    ] {
        assert_eq!(error_of(con, call), error, "{call}");
    }
    Ok(())
}

fn scan_returns_every_key(server: &Server) -> TestResult {
    const KEYS: usize = 3000;
    let con = &mut server.connection()?;
    let other = &mut server.connection()?;
    let mut pipe = redis::pipe();
    for number in 0..KEYS {
        pipe.set(format!("key:{number}"), number).ignore();
    }
    let () = pipe.query(con)?;
    let expected: BTreeSet<String> = (0..KEYS).map(|number| format!("key:{number}")).collect();

    for count in [1_usize, 10, 100_000] {
        let mut seen = BTreeSet::new();
        let mut cursor = 0_u64;
        let mut extra = 0;
        loop {
            let (next, keys): (u64, Vec<String>) =
                cmd("SCAN").arg(cursor).arg("COUNT").arg(count).query(con)?;
            seen.extend(keys);
            // Keys that are added and removed meanwhile must not hide the ones that stay.
            if count == 10 {
                let () = other.set(format!("other:{extra}"), "x")?;
                let () = other.del(format!("other:{}", extra / 2))?;
                extra += 1;
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        assert!(seen.is_superset(&expected), "count {count}");
    }

    let matching: Vec<String> = con.scan_match("key:12?")?.collect::<Result<_, _>>()?;
    assert_eq!(matching.into_iter().collect::<BTreeSet<_>>().len(), 10);
    let keys: BTreeSet<String> = con.keys("key:12?")?;
    assert_eq!(keys.len(), 10);
    let (_, none): (u64, Vec<String>) = cmd("SCAN")
        .arg(0)
        .arg("COUNT")
        .arg(100_000)
        .arg("TYPE")
        .arg("hash")
        .query(con)?;
    assert!(none.is_empty());
    assert_eq!(error_of(con, "SCAN x"), "ERR invalid cursor");
    assert_eq!(error_of(con, "SCAN 0 COUNT 0"), "ERR syntax error");
    let () = cmd("FLUSHDB").query(con)?;
    Ok(())
}

fn objects(server: &Server) -> TestResult {
    let con = &mut server.connection()?;
    for (value, encoding, references) in [
        ("12", "int", 2_147_483_647),
        ("10000", "int", 1),
        ("012", "embstr", 1),
        (&"x".repeat(44), "embstr", 1),
        (&"x".repeat(45), "raw", 1),
    ] {
        let () = con.set("o", value)?;
        let name: String = cmd("OBJECT").arg("ENCODING").arg("o").query(con)?;
        assert_eq!(name, encoding, "{value}");
        assert_eq!(int(con, "OBJECT REFCOUNT o")?, references, "{value}");
    }
    assert!(int(con, "OBJECT IDLETIME o")? <= 1);
    assert!(error_of(con, "OBJECT FREQ o").starts_with("ERR An LFU maxmemory policy"));
    assert_eq!(
        error_of(con, "OBJECT WEIGHT o"),
        "ERR unknown subcommand 'WEIGHT'. Try OBJECT HELP."
    );
    let missing: Option<i64> = cmd("OBJECT").arg("FREQ").arg("missing").query(con)?;
    assert_eq!(missing, None);
    let () = con.del("o")?;
    Ok(())
}

/// At any moment that another connection sees, a key has either its old name or its new one.
fn rename_is_one_step(server: &Server) -> TestResult {
    let mut writer = server.connection()?;
    let con = &mut server.connection()?;
    let () = writer.set("left", "ball")?;
    std::thread::scope(|scope| -> TestResult {
        let playing = scope.spawn(move || {
            for _ in 0..300 {
                let () = writer.rename("left", "right").expect("left has the ball");
                let () = writer.rename("right", "left").expect("right has the ball");
            }
        });
        while !playing.is_finished() {
            let hands: Vec<Option<String>> = con.mget(&["left", "right"])?;
            assert_eq!(hands.iter().flatten().count(), 1, "{hands:?}");
        }
        Ok(())
    })?;
    let () = con.del("left")?;
    Ok(())
}

fn on(engine: &str) -> TestResult {
    let server = Server::start(engine)?;
    existence(&server)?;
    binary_keys(&server)?;
    rename_and_copy_carry_deadlines(&server)?;
    scan_returns_every_key(&server)?;
    objects(&server)?;
    rename_is_one_step(&server)?;
    databases(&server)
}

#[test]
fn keys_on_cmap() -> TestResult {
    on("cmap")
}

#[test]
fn keys_on_cmap_in_pairs() -> TestResult {
    on("cmap/pairs")
}

#[test]
fn keys_on_stree() -> TestResult {
    on("stree")
}

#[test]
fn keys_on_vcmap() -> TestResult {
    on("vcmap")
}

#[test]
fn keys_on_vcmap_in_pairs() -> TestResult {
    on("vcmap/pairs")
}

#[test]
fn keys_on_vsmap() -> TestResult {
    on("vsmap")
}

#[test]
fn fewer_databases() -> TestResult {
    let options = Options::new("vcmap").directive("databases", "4");
    let server = Server::start_with(options)?;
    let con = &mut server.connection()?;
    let () = con.set("k", "v")?;
    for call in ["SELECT 4", "MOVE k 4", "COPY k k DB 4", "SWAPDB 0 4"] {
        assert_eq!(
            error_of(con, call),
            "ERR DB index is out of range",
            "{call}"
        );
    }
    assert_eq!(int(con, "MOVE k 3")?, 1);
    Ok(())
}

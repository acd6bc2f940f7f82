//! Deadlines over TCP, on every engine; also after restarts, on engines that keep their data.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Server, TestResult};
use redis::{Commands, Connection, cmd};

fn int(connection: &mut Connection, line: &str) -> TestResult<i64> {
    let mut words = line.split(' ');
    let mut call = cmd(words.next().unwrap_or_default());
    words.for_each(|word| {
        call.arg(word);
    });
    Ok(call.query(connection)?)
}

fn now_ms() -> TestResult<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_millis())?)
}

fn set_and_get(server: &Server) -> TestResult {
    let con = &mut server.connection()?;
    let () = con.set("k", "v")?;
    assert_eq!(int(con, "TTL missing")?, -2);
    assert_eq!(int(con, "PTTL k")?, -1);
    assert_eq!(int(con, "EXPIRETIME k")?, -1);
    assert_eq!(int(con, "PERSIST k")?, 0);
    assert_eq!(int(con, "EXPIRE missing 10")?, 0);

    let before = now_ms()?;
    assert_eq!(int(con, "EXPIRE k 100")?, 1);
    let after = now_ms()?;
    let deadline = int(con, "PEXPIRETIME k")?;
    assert!((before + 100_000..=after + 100_000).contains(&deadline));
    assert!((99_000..=100_000).contains(&int(con, "PTTL k")?));
    assert!((99..=100).contains(&int(con, "TTL k")?));

    assert_eq!(int(con, "PEXPIREAT k 4000000000499")?, 1);
    assert_eq!(int(con, "PEXPIRETIME k")?, 4_000_000_000_499);
    assert_eq!(int(con, "EXPIRETIME k")?, 4_000_000_000);
    assert_eq!(int(con, "PEXPIREAT k 4000000000500")?, 1);
    assert_eq!(int(con, "EXPIRETIME k")?, 4_000_000_001);
    assert_eq!(int(con, "EXPIREAT k 4000000000")?, 1);
    assert_eq!(int(con, "PEXPIRETIME k")?, 4_000_000_000_000);

    assert_eq!(int(con, "PERSIST k")?, 1);
    assert_eq!(int(con, "TTL k")?, -1);
    assert_eq!(con.get::<_, String>("k")?, "v");
    Ok(())
}

fn conditions(server: &Server) -> TestResult {
    let con = &mut server.connection()?;
    let () = con.set("k", "v")?;
    for (call, reply) in [
        ("EXPIREAT k 4000000000 XX", 0),
        ("EXPIREAT k 4000000000 GT", 0),
        ("EXPIREAT k 4000000000 NX", 1),
        ("EXPIREAT k 4000000001 NX", 0),
        ("EXPIREAT k 4000000000 GT", 0),
        ("EXPIREAT k 4000000001 gt", 1),
        ("EXPIREAT k 4000000002 LT", 0),
        ("EXPIREAT k 3999999999 xx lt", 1),
        ("PEXPIRETIME k", 3_999_999_999_000),
        ("PERSIST k", 1),
        ("EXPIREAT k 4000000000 LT", 1),
    ] {
        assert_eq!(int(con, call)?, reply, "{call}");
    }
    let error = int(con, "EXPIRE k 10 NX GT").expect_err("must fail");
    assert!(error.to_string().contains("are not compatible"), "{error}");
    let error = int(con, "EXPIRE k 9223372036854775807").expect_err("must fail");
    assert!(
        error
            .to_string()
            .contains("invalid expire time in 'expire' command"),
        "{error}"
    );
    Ok(())
}

fn past_deadlines_remove(server: &Server) -> TestResult {
    let con = &mut server.connection()?;
    for call in [
        "EXPIRE k -1",
        "EXPIRE k 0",
        "PEXPIREAT k 1",
        "EXPIREAT k 1 LT",
    ] {
        let () = con.set("k", "v")?;
        assert_eq!(int(con, call)?, 1, "{call}");
        assert_eq!(int(con, "EXISTS k")?, 0, "{call}");
    }
    Ok(())
}

fn expired_keys_are_gone(server: &Server) -> TestResult {
    let con = &mut server.connection()?;
    let () = cmd("FLUSHALL").query(con)?;
    let () = con.set("soon", "v")?;
    let () = con.set("stays", "v")?;
    assert_eq!(int(con, "PEXPIRE soon 60")?, 1);
    assert!(int(con, "PTTL soon")? <= 60);
    thread::sleep(Duration::from_millis(80));
    assert_eq!(con.get::<_, Option<String>>("soon")?, None);
    assert_eq!(int(con, "EXISTS soon")?, 0);
    assert_eq!(int(con, "TTL soon")?, -2);
    assert_eq!(int(con, "PERSIST soon")?, 0);
    assert_eq!(int(con, "COPY soon other")?, 0);
    assert_eq!(con.keys::<_, Vec<String>>("*")?, ["stays"]);

    // No command touches these keys: they must go by themselves.
    for number in 0..100 {
        let () = con.pset_ex(format!("unseen:{number}"), "v", 50)?;
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while int(con, "DBSIZE")? > 1 {
        assert!(
            Instant::now() < deadline,
            "expired keys still stand in DBSIZE"
        );
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A restart neither extends nor forgets a deadline.
fn deadlines_survive(server: &mut Server) -> TestResult {
    let con = &mut server.connection()?;
    let () = con.set("far", "v")?;
    assert_eq!(int(con, "PEXPIREAT far 4000000000123")?, 1);
    let () = con.pset_ex("near", "v", 30)?;
    let () = con.set("none", "v")?;
    server.kill_9()?;
    thread::sleep(Duration::from_millis(50));
    server.resume()?;
    let con = &mut server.connection()?;
    assert_eq!(int(con, "PEXPIRETIME far")?, 4_000_000_000_123);
    assert_eq!(int(con, "EXISTS near")?, 0);
    assert_eq!(int(con, "TTL none")?, -1);
    assert_eq!(int(con, "PERSIST far")?, 1);
    server.restart()?;
    let con = &mut server.connection()?;
    assert_eq!(int(con, "TTL far")?, -1);
    assert_eq!(int(con, "EXISTS near")?, 0);
    Ok(())
}

fn on(engine: &str) -> TestResult<Server> {
    let server = Server::start(engine)?;
    set_and_get(&server)?;
    conditions(&server)?;
    past_deadlines_remove(&server)?;
    expired_keys_are_gone(&server)?;
    Ok(server)
}

#[test]
fn expiry_on_cmap() -> TestResult {
    deadlines_survive(&mut on("cmap")?)
}

#[test]
fn expiry_on_cmap_in_pairs() -> TestResult {
    deadlines_survive(&mut on("cmap/pairs")?)
}

#[test]
fn expiry_on_stree() -> TestResult {
    deadlines_survive(&mut on("stree")?)
}

#[test]
fn expiry_on_vcmap() -> TestResult {
    on("vcmap").map(drop)
}

#[test]
fn expiry_on_vcmap_in_pairs() -> TestResult {
    on("vcmap/pairs").map(drop)
}

#[test]
fn expiry_on_vsmap() -> TestResult {
    on("vsmap").map(drop)
}

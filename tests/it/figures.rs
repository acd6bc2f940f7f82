//! The figures of INFO and MEMORY STATS over TCP match what the server did.

use std::time::{Duration, Instant};

use common::{RawClient, Server, TestResult, Value};

fn text(value: &Value) -> String {
    value.text().unwrap_or_else(|| format!("{value:?}"))
}

fn field(info: &str, name: &str) -> Option<String> {
    let mut lines = info.lines();
    lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned()))
}

#[test]
fn figures_of_the_background_are_real() -> TestResult {
    let server = Server::start("vcmap")?;
    let mut client = server.raw()?;
    let figure = |client: &mut RawClient, name: &str| -> TestResult<u64> {
        let info = text(&client.line("INFO everything")?);
        Ok(field(&info, name).ok_or("no such field")?.parse()?)
    };
    let mut words = vec!["MSET".to_owned()];
    words.extend((0..5_000).flat_map(|n| [format!("key:{n}"), String::new()]));
    client.call(&words)?;
    assert_eq!(figure(&mut client, "lazyfreed_objects")?, 0);
    client.line("FLUSHALL")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while figure(&mut client, "lazyfree_pending_objects")? > 0 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(figure(&mut client, "lazyfreed_objects")?, 5_000);
    // A reply of 1 MB lies in a larger buffer than the server keeps for a client.
    client.call(&["SET", "large", "x".repeat(1 << 20).as_str()])?;
    let before = figure(&mut client, "reply_buffer_expands")?;
    client.line("GET large")?;
    assert_eq!(figure(&mut client, "reply_buffer_expands")?, before + 1);
    assert_eq!(figure(&mut client, "reply_buffer_shrinks")?, before + 1);
    // A round over thousands of expired keys takes milliseconds.
    let mut calls = Vec::new();
    for n in 0..20_000 {
        let key = format!("due:{n}");
        common::encode(&mut calls, &["SET", key.as_str(), "", "PX", "1"]);
    }
    client.send_bytes(&calls)?;
    for _ in 0..20_000 {
        client.read()?;
    }
    while figure(&mut client, "expired_keys")? < 20_000 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(figure(&mut client, "expire_cycle_cpu_milliseconds")? > 0);
    client.line("CONFIG RESETSTAT")?;
    for name in [
        "lazyfreed_objects",
        "reply_buffer_expands",
        "reply_buffer_shrinks",
        "expire_cycle_cpu_milliseconds",
    ] {
        assert_eq!(figure(&mut client, name)?, 0, "{name}");
    }
    Ok(())
}

#[test]
fn memory_of_a_database_is_that_of_its_index() -> TestResult {
    let server = Server::start("vcmap")?;
    let mut client = server.raw()?;
    let stats = |client: &mut RawClient, db: &str| -> TestResult<i64> {
        let reply = client.line("MEMORY STATS")?;
        let all = reply.items().ok_or("no map")?;
        let mut pairs = all.chunks_exact(2);
        let found = pairs.find(|pair| text(&pair[0]) == db).ok_or("no db")?;
        let of_db = found[1].items().ok_or("no map")?;
        assert_eq!(text(&of_db[0]), "overhead.hashtable.main");
        Ok(of_db[1].integer().ok_or("no number")?)
    };
    client.line("SET a 1")?;
    client.line("SELECT 3")?;
    // The keys lie in the pool: the index has 16 bytes for each, and room.
    for n in 0..1_000 {
        client.line(&format!("SET {}{n} 1", "k".repeat(1_000)))?;
    }
    let (one, many) = (stats(&mut client, "db.0")?, stats(&mut client, "db.3")?);
    assert!(
        one > 0 && (16_000..200_000).contains(&(many - one)),
        "{one} {many}"
    );
    Ok(())
}

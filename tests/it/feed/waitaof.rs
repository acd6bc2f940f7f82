//! WAITAOF: what survives a loss of power, here and on replicas. The texts and their order are those of Redis 8.2 and Valkey 9.1.

use std::time::{Duration, Instant};

use super::replica::Replica;
use common::{Options, RawClient, Server, TestResult};

const NO_FILE: &str =
    "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";

/// A server whose pool counts as a file on a disk, with this durability.
fn on_disk(durability: &str) -> Options {
    Options::new("cmap").pool_size("64mb").on_disk(durability)
}

fn shown(client: &mut RawClient, line: &str) -> TestResult<String> {
    Ok(format!("{:?}", client.line(line)?).replace("\\'", "'"))
}

#[test]
fn arguments_are_read_before_the_role_is_looked_at() -> TestResult {
    let server = Server::start("cmap")?;
    let mut client = server.raw()?;
    let between = "-ERR value is out of range, value must between 0 and 1";
    let positive = "-ERR value is out of range, must be positive";
    let wrong = [
        ("WAITAOF 2 0 0", between),
        ("WAITAOF -1 0 0", between),
        ("WAITAOF 2 x x", between),
        (
            "WAITAOF x 0 0",
            "-ERR value is not an integer or out of range",
        ),
        ("WAITAOF 1 -1 0", positive),
        ("WAITAOF 1 x 0", positive),
        ("WAITAOF 0 99999999999999999999 1", positive),
        ("WAITAOF 1 0 -1", "-ERR timeout is negative"),
        (
            "WAITAOF 1 0 x",
            "-ERR timeout is not an integer or out of range",
        ),
        (
            "WAITAOF 1 0 9223372036854775807",
            "-ERR timeout is out of range",
        ),
        (
            "WAITAOF 0 0",
            "-ERR wrong number of arguments for 'waitaof' command",
        ),
    ];
    for (line, expected) in wrong {
        assert_eq!(shown(&mut client, line)?, expected, "{line}");
    }
    // Nothing survives a loss of power here, and nobody who does not ask for that is refused.
    assert_eq!(shown(&mut client, "WAITAOF 1 0 0")?, NO_FILE);
    assert_eq!(shown(&mut client, "SET a 1")?, "+OK");
    assert_eq!(shown(&mut client, "WAITAOF 0 0 0")?, "[:0, :0]");
    let start = Instant::now();
    assert_eq!(shown(&mut client, "WAITAOF 0 1 60")?, "[:0, :0]");
    assert!(start.elapsed() >= Duration::from_millis(55), "it waited");
    assert_eq!(shown(&mut client, "REPLICAOF 127.0.0.1 1")?, "+OK");
    for (line, expected) in wrong {
        assert_eq!(shown(&mut client, line)?, expected, "{line}");
    }
    for line in ["WAITAOF 0 0 0", "WAITAOF 1 0 0"] {
        let reply = shown(&mut client, line)?;
        let begin = "-ERR WAITAOF cannot be used with replica instances. Please also note";
        assert!(reply.starts_with(begin), "{reply}");
    }
    Ok(())
}

#[test]
fn transactions_and_scripts_do_not_wait() -> TestResult {
    let server = Server::start("cmap")?;
    let mut client = server.raw()?;
    let start = Instant::now();
    for line in [
        "MULTI",
        "SET a 1",
        "WAITAOF 0 1 0",
        "WAITAOF 1 0 0",
        "WAIT 1 0",
    ] {
        client.line(line)?;
    }
    let expected = format!("[+OK, [:0, :0], {NO_FILE}, :0]");
    assert_eq!(shown(&mut client, "EXEC")?, expected);
    let mut script = |text: &str| -> TestResult<String> {
        Ok(format!("{:?}", client.call(&["EVAL", text, "0"])?))
    };
    let waits = "redis.call('SET', 'a', 2) return redis.call('WAITAOF', 0, 1, 0)";
    assert_eq!(script(waits)?, "[:0, :0]");
    let refused = script("return redis.call('WAITAOF', 1, 0, 0)")?;
    assert!(refused.starts_with(NO_FILE), "{refused}");
    assert!(start.elapsed() < Duration::from_secs(10));
    Ok(())
}

#[test]
fn a_pool_that_is_synced_at_each_commit_has_everything() -> TestResult {
    let server = Server::start_with(on_disk("power"))?;
    let mut client = server.raw()?;
    client.line("SET a 1")?;
    assert_eq!(shown(&mut client, "WAITAOF 1 0 0")?, "[:1, :0]");
    assert_eq!(shown(&mut client, "WAITAOF 0 0 0")?, "[:1, :0]");
    assert_eq!(shown(&mut client, "WAITAOF 1 1 50")?, "[:1, :0]");
    client.line("MULTI")?;
    client.line("WAITAOF 1 0 0")?;
    assert_eq!(shown(&mut client, "EXEC")?, "[[:1, :0]]");
    Ok(())
}

#[test]
fn a_pool_that_is_synced_each_second_makes_the_client_wait_for_the_sync() -> TestResult {
    let server = Server::start_with(on_disk("everysec"))?;
    let mut client = server.raw()?;
    let mut other = server.raw()?;
    let synced_to = |client: &mut RawClient| -> TestResult<i64> {
        let info = client.line("INFO pmemkv")?.text().unwrap_or_default();
        let mut lines = info.lines();
        let value = lines.find_map(|line| line.strip_prefix("synced_to_time_ms:"));
        Ok(value.ok_or("no synced_to_time_ms")?.parse()?)
    };
    for n in 0..3 {
        client.line(&format!("SET a {n}"))?;
        let written = store::now_ms();
        let start = Instant::now();
        assert_eq!(shown(&mut client, "WAITAOF 1 0 20000")?, "[:1, :0]");
        assert!(synced_to(&mut other)? > written, "it is on the disk");
        assert!(start.elapsed() < Duration::from_secs(10));
    }
    // Nobody can have synced this yet.
    client.line("SET a 4")?;
    assert_eq!(shown(&mut client, "WAITAOF 1 0 1")?, "[:0, :0]");
    client.line("MULTI")?;
    client.line("SET a 5")?;
    client.line("WAITAOF 1 0 0")?;
    assert_eq!(shown(&mut client, "EXEC")?, "[+OK, [:0, :0]]");
    // The replicas that are asked for are waited for too.
    let (mut replica, _) = Replica::follow(server.port())?;
    client.line("SET a 6")?;
    client.send(&["WAITAOF", "1", "1", "20000"])?;
    while !replica.command()?.starts_with("REPLCONF GETACK") {}
    replica.send(&format!("REPLCONF ACK {0} FACK {0}", replica.offset))?;
    assert_eq!(format!("{:?}", client.read()?), "[:1, :1]");
    Ok(())
}

/// A replica of this kind says what survives a loss of power there.
#[test]
fn replicas_tell_what_they_have_synced() -> TestResult {
    for (durability, counts) in [("power", 1), ("everysec", 1), ("process", 0)] {
        let master = Server::start("cmap")?;
        let mut options = on_disk(durability);
        let follow = ["--replicaof", "127.0.0.1", &master.port().to_string()];
        options.directives.extend(follow.map(str::to_owned));
        let replica = Server::start_with(options)?;
        let mut client = master.raw()?;
        assert_eq!(client.line("WAIT 1 20000")?.integer(), Some(1));
        // Only what it writes from now on is in the stream.
        client.line("SET a 1")?;
        assert_eq!(client.line("WAIT 1 20000")?.integer(), Some(1));
        let patience = if counts == 1 { 20_000 } else { 1_500 };
        let reply = shown(&mut client, &format!("WAITAOF 0 1 {patience}"))?;
        assert_eq!(
            reply,
            format!("[:0, :{counts}]"),
            "{durability}\n{}",
            replica.log()
        );
    }
    Ok(())
}

//! Calls that ask for snapshots, logs of commands or replicas, which the server does not have.

use std::time::Duration;

use common::{Options, RawClient, Server, TestResult, Value};

use super::{field, ok, text};

#[test]
fn an_engine_without_a_pool_claims_none() -> TestResult {
    let mut server = Server::start_with(Options::new("vcmap"))?;
    let mut client = server.raw()?;
    for line in ["SAVE", "BGSAVE", "BGREWRITEAOF"] {
        let reply = format!("{:?}", client.line(line)?);
        assert!(reply.starts_with("-ERR this server "), "{line}: {reply}");
        assert!(
            reply.ends_with("in the process\\'s memory only"),
            "{line}: {reply}"
        );
    }
    // A save is impossible, and stopping would lose all data.
    let reply = client.line("SHUTDOWN SAVE")?;
    assert_eq!(
        reply,
        Value::Error(b"ERR Errors trying to SHUTDOWN. Check logs.".to_vec())
    );
    assert_eq!(client.line("SET k v")?, ok());
    client.send(&["SHUTDOWN", "SAVE", "FORCE"])?;
    server.wait_for_exit()
}

#[test]
fn calls_about_snapshots_and_replicas() -> TestResult {
    let server = Server::start_with(Options::new("cmap").pool_size("64mb"))?;
    let mut client = server.raw()?;
    let before = client.line("LASTSAVE")?.integer().ok_or("no time")?;
    assert!(before > 1_600_000_000);
    let persistence = |client: &mut RawClient| -> TestResult<String> {
        let info = text(&client.line("INFO persistence")?);
        let names = [
            "rdb_last_save_time",
            "rdb_last_bgsave_status",
            "aof_last_bgrewrite_status",
        ];
        let values = names.map(|name| field(&info, name).unwrap_or_default());
        Ok(values.join(" "))
    };
    assert_eq!(persistence(&mut client)?, format!("{before} ok ok"));
    // A script that wants to back up a file must fail, because there is no file.
    for (line, part) in [
        ("SAVE", "writes no RDB file"),
        ("BGSAVE", "writes no RDB file"),
        ("BGSAVE SCHEDULE", "writes no RDB file"),
        ("BGREWRITEAOF", "no append-only file to rewrite"),
    ] {
        let Value::Error(reply) = client.line(line)? else {
            panic!("{line} is no error");
        };
        let reply = String::from_utf8_lossy(&reply);
        assert!(reply.starts_with("ERR this server "), "{line}: {reply}");
        assert!(reply.contains(part), "{line}: {reply}");
        assert!(reply.contains("in the pool already"), "{line}: {reply}");
    }
    // Scripts wait until LASTSAVE rises, because that means that a save succeeded.
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(client.line("LASTSAVE")?, Value::Integer(before));
    assert_eq!(persistence(&mut client)?, format!("{before} err err"));
    assert_eq!(client.line("WAIT 1 100000")?, Value::Integer(0));
    for (line, expected) in [
        ("WAITAOF 0 1 100000", "[:0, :0]"),
        (
            "WAITAOF 2 0 0",
            "-ERR value is out of range, value must between 0 and 1",
        ),
        (
            "WAITAOF 0 -1 0",
            "-ERR value is out of range, must be positive",
        ),
        ("WAITAOF 0 0 -1", "-ERR timeout is negative"),
        (
            "WAITAOF 1 0 0",
            "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ),
        (
            "CLUSTER KEYSLOT",
            "-ERR wrong number of arguments for 'cluster|keyslot' command",
        ),
    ] {
        let reply = format!("{:?}", client.line(line)?);
        assert_eq!(reply.replace("\\'", "'"), expected, "{line}");
    }
    assert!(client.line("REPLICAOF localhost 70000")?.is_error());
    assert!(text(&client.line("LOLWUT")?).starts_with("Redis ver. 7.2."));
    assert!(text(&client.line("MEMORY DOCTOR")?).contains("too little data"));
    assert!(text(&client.line("MEMORY MALLOC-STATS")?).contains("bytes resident"));
    Ok(())
}

//! Calls that ask for logs of commands or replicas, which the server does not have. RDB files have tests of their own.

use std::time::Duration;

use common::{Options, RawClient, Server, TestResult, Value};

use super::{field, text};

#[test]
fn an_engine_without_a_pool_claims_none() -> TestResult {
    let server = Server::start_with(Options::new("vcmap"))?;
    let mut client = server.raw()?;
    let reply = format!("{:?}", client.line("BGREWRITEAOF")?);
    assert!(reply.starts_with("-ERR this server "), "{reply}");
    assert!(reply.ends_with("in the process\\'s memory only"), "{reply}");
    Ok(())
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
    // A script that wants to back up an append-only file must fail, because there is none.
    let Value::Error(reply) = client.line("BGREWRITEAOF")? else {
        panic!("it is no error");
    };
    let reply = String::from_utf8_lossy(&reply);
    assert!(reply.starts_with("ERR this server "), "{reply}");
    for part in ["no append-only file to rewrite", "in the pool already"] {
        assert!(reply.contains(part), "{reply}");
    }
    // Scripts wait until LASTSAVE rises, because that means that a save succeeded: here nobody has saved.
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(client.line("LASTSAVE")?, Value::Integer(before));
    assert_eq!(persistence(&mut client)?, format!("{before} ok err"));
    assert_eq!(client.line("WAIT 1 10")?, Value::Integer(0));
    for (line, expected) in [
        ("WAITAOF 0 1 10", "[:0, :0]"),
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
    assert!(text(&client.line("LOLWUT")?).starts_with("Redis ver. 7.4."));
    assert!(client.line("REPLICAOF localhost 70000")?.is_error());
    assert!(text(&client.line("MEMORY DOCTOR")?).contains("too little data"));
    assert!(text(&client.line("MEMORY MALLOC-STATS")?).contains("bytes resident"));
    Ok(())
}

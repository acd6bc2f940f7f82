//! MIGRATE to and from a real Redis.

use common::{RawClient, RedisServer, Server, TestResult, show};

fn call(client: &mut RawClient, words: &[&str]) -> TestResult<String> {
    Ok(show(&client.call(words)?))
}

const VALUES: &[&str] = &[
    "SET string abc",
    "SET number 12",
    "RPUSH list a b c",
    "SADD set 1 2 x",
    "ZADD zset 1 a 2.5 b",
    "HSET hash f v g w",
    "XADD stream 1-1 a b",
];
const NAMES: &[&str] = &["string", "number", "list", "set", "zset", "hash", "stream"];

fn fill(client: &mut RawClient) -> TestResult {
    for line in VALUES {
        assert!(!client.line(line)?.is_error(), "{line}");
    }
    client.line("PEXPIRE string 1000000")?;
    Ok(())
}

/// Every value, and which deadline is there.
fn contents(client: &mut RawClient) -> TestResult<Vec<String>> {
    let mut all = Vec::new();
    for line in [
        "GET string",
        "GET number",
        "LRANGE list 0 -1",
        "SCARD set",
        "SISMEMBER set x",
        "ZRANGE zset 0 -1 WITHSCORES",
        "HMGET hash f g",
        "XRANGE stream - +",
        "DBSIZE",
    ] {
        all.push(format!("{line} {}", show(&client.line(line)?)));
    }
    let ttl = client.line("PTTL string")?.integer().ok_or("a number")?;
    assert!((900_000..=1_000_000).contains(&ttl), "{ttl}");
    assert_eq!(show(&client.line("PTTL list")?), ":-1");
    Ok(all)
}

#[test]
fn keys_move_to_a_redis_and_back() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let (ours, real) = (Server::start(store)?, RedisServer::start()?);
        let (mut here, mut there) = (ours.raw()?, real.raw()?);
        let (port, back) = (real.port().to_string(), ours.port().to_string());
        fill(&mut here)?;
        let before = contents(&mut here)?;
        let mut words = vec![
            "MIGRATE",
            "127.0.0.1",
            &port,
            "",
            "0",
            "5000",
            "KEYS",
            "none",
        ];
        words.extend(NAMES);
        assert_eq!(call(&mut here, &words)?, "+OK");
        assert_eq!(call(&mut here, &["DBSIZE"])?, ":0");
        assert_eq!(contents(&mut there)?, before);
        assert_eq!(call(&mut here, &words)?, "+NOKEY");
        words[2] = &back;
        assert_eq!(call(&mut there, &words)?, "+OK");
        assert_eq!(call(&mut there, &["DBSIZE"])?, ":0");
        assert_eq!(contents(&mut here)?, before);
    }
    Ok(())
}

#[test]
fn options_and_errors() -> TestResult {
    let (ours, real) = (
        Server::start("cmap")?,
        RedisServer::start_with(&["--requirepass", "secret"])?,
    );
    let (mut here, mut there) = (ours.raw()?, real.raw()?);
    there.line("AUTH secret")?;
    let port = real.port().to_string();
    here.line("SET a 1")?;
    here.line("SET b 2")?;
    there.line("SET b old")?;
    let mut migrate = |key: &str, rest: &[&str]| -> TestResult<String> {
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, key, "0", "5000"];
        words.extend(rest);
        call(&mut here, &words)
    };
    // What the target answers is passed on, and nothing goes.
    assert_eq!(
        migrate("a", &[])?,
        "-ERR Target instance replied with error: NOAUTH Authentication required."
    );
    let wrong = migrate("a", &["AUTH", "wrong"])?;
    assert!(
        wrong.starts_with("-ERR Target instance replied with error: WRONGPASS"),
        "{wrong}"
    );
    assert_eq!(migrate("a", &["COPY", "AUTH", "secret"])?, "+OK");
    assert_eq!(
        migrate("", &["AUTH2", "default", "secret", "REPLACE", "KEYS", "a"])?,
        "+OK"
    );
    // Of several keys those go that the target has taken.
    assert_eq!(
        migrate("b", &["AUTH", "secret"])?,
        "-ERR Target instance replied with error: BUSYKEY Target key name already exists."
    );
    let call_of = |client: &mut RawClient, line: &str| -> TestResult<String> {
        Ok(show(&client.line(line)?))
    };
    assert_eq!(call_of(&mut here, "EXISTS a b")?, ":1");
    here.line("SET c 3")?;
    here.line("HSET h a 1")?;
    let words = [
        "MIGRATE",
        "127.0.0.1",
        &port,
        "",
        "0",
        "5000",
        "AUTH",
        "secret",
        "KEYS",
        "c",
        "b",
        "h",
    ];
    let reply = call(&mut here, &words)?;
    assert!(reply.contains("BUSYKEY"), "{reply}");
    assert_eq!(call_of(&mut here, "EXISTS a b c h")?, ":1");
    assert_eq!(call_of(&mut there, "MGET a b c")?, "[1 old 3]");
    assert_eq!(call_of(&mut there, "HGET h a")?, "1");
    // Passwords do not show.
    here.line("CONFIG SET slowlog-log-slower-than 0")?;
    call(&mut here, &words)?;
    let log = show(&here.line("SLOWLOG GET 5")?);
    assert!(
        log.contains("(redacted)") && !log.contains("secret"),
        "{log}"
    );

    let nobody = common::quiet_port()?.to_string();
    assert_eq!(
        call(
            &mut here,
            &["MIGRATE", "127.0.0.1", &nobody, "b", "0", "500"]
        )?,
        "-IOERR error or timeout connecting to the client"
    );
    assert_eq!(call_of(&mut here, "GET b")?, "2");
    // A target that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let silent = silent.local_addr()?.port().to_string();
    let reply = call(
        &mut here,
        &["MIGRATE", "127.0.0.1", &silent, "b", "0", "100"],
    )?;
    assert!(reply.starts_with("-IOERR error or timeout"), "{reply}");
    assert_eq!(call_of(&mut here, "GET b")?, "2");
    Ok(())
}

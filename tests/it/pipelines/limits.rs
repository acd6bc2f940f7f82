//! The limits of pending output, and its figures.

use std::time::{Duration, Instant};

use super::{PATIENCE, repeated, small};
use common::{RawClient, Server, TestResult, Value};

const LIMIT_BYTES: u64 = 10_000_000;

/// Memory that a closed client may have cost beyond the limit, bytes: buffers in powers of two, one value, requests.
const BEYOND_BYTES: u64 = 24_000_000;

fn status(server: &Server, field: &str) -> TestResult<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    let line = text.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(number.ok_or("no such field")? * 1024)
}

/// Waits until the server's background work (empty segments made while it is idle, compaction) touches no more pages of
/// the pool. Then resets the peak of its memory and returns the memory that it has now.
fn settled_memory(server: &Server) -> TestResult<u64> {
    const STILL: Duration = Duration::from_millis(200);
    let until = Instant::now() + Duration::from_secs(10);
    let mut memory = status(server, "VmRSS:")?;
    loop {
        std::thread::sleep(STILL);
        let now = status(server, "VmRSS:")?;
        if now <= memory || Instant::now() > until {
            break;
        }
        memory = now;
    }
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5")?;
    status(server, "VmRSS:")
}

fn field(text: &str, name: &str) -> Option<u64> {
    let start = text.find(name)? + name.len();
    let digits: String = (text[start..].chars())
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

fn info(client: &mut RawClient, name: &str) -> TestResult<u64> {
    let text = client.line("INFO")?.text().ok_or("INFO is a text")?;
    Ok(field(&text, &format!("\n{name}:")).ok_or("no such field")?)
}

fn of_client(watcher: &mut RawClient, client: &str) -> TestResult<Option<String>> {
    let list = watcher.line("CLIENT LIST")?.text().unwrap_or_default();
    let line = list
        .lines()
        .find(|line| line.contains(&format!(" name={client} ")));
    Ok(line.map(str::to_owned))
}

fn wait_until(
    what: &str,
    patience: Duration,
    mut holds: impl FnMut() -> TestResult<bool>,
) -> TestResult {
    let until = Instant::now() + patience;
    while !holds()? {
        if Instant::now() > until {
            return Err(format!("never: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Single commands with replies far above the hard limit: the limit ends them while they grow.
#[test]
fn a_reply_stops_growing_at_the_hard_limit() -> TestResult {
    const VALUES: usize = 100;
    // A member is no longer than the longest key.
    const MEMBERS: usize = 1200;
    let options = small().pool_size("768mb");
    let server =
        Server::start_with(options.directive("client-output-buffer-limit", "normal 10000000 0 0"))?;
    let mut client = server.raw()?;
    let value = "x".repeat(1_000_000);
    let mut fill = |words: &[&str]| -> TestResult {
        let reply = client.call(words)?;
        assert!(!reply.is_error(), "{reply:?}");
        Ok(())
    };
    fill(&["SET", "k", &value])?;
    for n in 0..VALUES {
        let n = n.to_string();
        fill(&["RPUSH", "list", &value])?;
        fill(&["RPUSH", "numbers", ""])?;
        fill(&["HSET", "hash", &n, &value])?;
    }
    for _ in 0..60 {
        fill(&[vec!["RPUSH", "many"], vec!["x"; 20_000]].concat())?;
    }
    for n in 0..MEMBERS {
        let n = n.to_string();
        let member = format!("{n}{}", &value[..50_000]);
        fill(&["SADD", "set", &member])?;
        fill(&["ZADD", "sorted", &n, &member])?;
    }
    // The pool's pages count as memory of the process from the first time that it reads them.
    fill(&["SINTERCARD", "1", "set"])?;
    fill(&["ZCOUNT", "sorted", "-inf", "+inf"])?;
    let mget = [vec!["MGET"], vec!["k"; 600]].concat().join(" ");
    let hmget = format!("HMGET hash {}", vec!["1"; 600].join(" "));
    let calls = [
        mget,
        hmget,
        "LRANGE list 0 -1".into(),
        "HGETALL hash".into(),
        "HVALS hash".into(),
        "HRANDFIELD hash 600 WITHVALUES".into(),
        "HRANDFIELD hash -600 WITHVALUES".into(),
        "HSCAN hash 0 COUNT 3000".into(),
        "SMEMBERS set".into(),
        "SUNION set set".into(),
        "SINTER set set".into(),
        "SRANDMEMBER set 900".into(),
        "SRANDMEMBER set -900".into(),
        "SSCAN set 0 COUNT 3000".into(),
        "ZRANGE sorted 0 -1".into(),
        "ZRANGEBYSCORE sorted -inf +inf WITHSCORES".into(),
        "ZUNION 1 sorted".into(),
        "ZRANDMEMBER sorted -900".into(),
        "ZSCAN sorted 0 COUNT 3000".into(),
        "SORT numbers GET k* GET k* GET # GET hash->field GET k*".into(),
        "LPOS many x COUNT 0".into(),
        "LPOP list 90".into(),
        "LMPOP 1 list LEFT COUNT 90".into(),
    ];
    let transaction = format!("MULTI\n{}EXEC", "GET k\n".repeat(600));
    let mut failures = Vec::new();
    let mut closed = 0;
    for call in calls.iter().map(String::as_str).chain([&*transaction]) {
        if call.starts_with("LMPOP") {
            for _ in 0..VALUES {
                client.call(&["RPUSH", "list", &value])?;
            }
        }
        let mut greedy = server.raw()?;
        let before = settled_memory(&server)?;
        let mut bytes = Vec::new();
        for line in call.lines() {
            common::encode(&mut bytes, &line.split(' ').collect::<Vec<_>>());
        }
        greedy.send_bytes(&bytes)?;
        // In a transaction the QUEUED replies come first.
        while !greedy.is_closed()? {
            let reply = greedy.read();
            if reply.as_ref().is_ok_and(Value::is_error) {
                return Err(format!("{}: {reply:?}", &call[..call.len().min(40)]).into());
            }
        }
        closed += 1;
        let more = status(&server, "VmHWM:")?.saturating_sub(before);
        if more > LIMIT_BYTES + BEYOND_BYTES {
            failures.push(format!("{more} bytes for {}", &call[..call.len().min(40)]));
        }
    }
    assert_eq!(
        info(&mut client, "client_output_buffer_limit_disconnections")?,
        closed
    );
    assert!(server.log().contains("client-output-buffer-limit"));
    assert!(failures.is_empty(), "{failures:#?}");
    Ok(())
}

/// With many small keys, KEYS, SCAN and the ranges of keys keep the limit too.
#[test]
fn listings_of_keys_stop_growing_at_the_hard_limit() -> TestResult {
    let server = Server::start_with(small().pool_size("256mb"))?;
    let mut client = server.raw()?;
    let filling = "x".repeat(2000);
    for n in 0..20_000 {
        client.send(&["SET", &format!("{n}{filling}"), "v"])?;
        if n % 1000 == 999 {
            for _ in 0..1000 {
                client.read()?;
            }
        }
    }
    // The first range builds the ordered view of the keys, which takes memory of its own.
    client.line("PMEMKV.GETALL LIMIT 1")?;
    client.call(&[
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "normal 1000000 0 0",
    ])?;
    for call in ["KEYS *", "SCAN 0 COUNT 30000", "PMEMKV.GETALL"] {
        let mut greedy = server.raw()?;
        let before = settled_memory(&server)?;
        greedy.send_bytes(format!("{call}\r\n").as_bytes())?;
        assert!(greedy.is_closed()?, "{call}");
        let more = status(&server, "VmHWM:")?.saturating_sub(before);
        assert!(more < 1_000_000 + BEYOND_BYTES, "{more} bytes for {call}");
    }
    Ok(())
}

/// The server delivers a reply at the limit; replies that it does not send have no limit.
#[test]
fn output_within_the_limit_is_delivered() -> TestResult {
    let server =
        Server::start_with(small().directive("client-output-buffer-limit", "normal 3000000 0 0"))?;
    let mut client = server.raw()?;
    let value = "x".repeat(1_000_000);
    client.call(&["SET", "k", &value])?;
    let reply = client.line("MGET k k")?;
    assert_eq!(reply.items().map(<[Value]>::len), Some(2));
    client.send_bytes(b"CLIENT REPLY OFF\r\nMGET k k k k\r\nGET k\r\nCLIENT REPLY ON\r\n")?;
    assert_eq!(client.read()?, Value::Simple(b"OK".to_vec()));
    client.send_bytes(b"CLIENT REPLY SKIP\r\nMGET k k k k\r\nPING\r\n")?;
    assert_eq!(client.read()?, Value::Simple(b"PONG".to_vec()));
    // A client that reads its long pipeline meanwhile never exceeds the limit.
    client.call(&["SET", "small", &"y".repeat(1000)])?;
    let mut stream = super::tcp(&server)?;
    for _ in 0..20 {
        super::write_then_read(
            &mut stream,
            &repeated(&["GET", "small"], 2000),
            &format!("$1000\r\n{}\r\n", "y".repeat(1000))
                .repeat(2000)
                .into_bytes(),
        )?;
    }
    // Redis's buffer of 16 KB does not count, whatever the limit is.
    client.call(&[
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "normal 1 1 1",
    ])?;
    assert_eq!(
        client.line("GET small")?.bytes().map(<[u8]>::len),
        Some(1000)
    );
    Ok(())
}

/// The figures count pending output, and a soft limit ends its client after its time even if nothing is sent any more.
#[test]
fn output_that_waits_is_counted_and_ends_at_the_soft_limit() -> TestResult {
    // Most of 60 MB; the rest is in the socket's buffers.
    const LEAST: u64 = 40_000_000;
    let server = Server::start_with(small())?;
    let (mut watcher, mut stuck) = (server.raw()?, server.raw()?);
    stuck.call(&["SET", "k", &"x".repeat(1_000_000)])?;
    stuck.line("CLIENT SETNAME stuck")?;
    let before = info(&mut watcher, "mem_clients_normal")?;
    stuck.send_bytes(&repeated(&["GET", "k"], 60))?;
    wait_until("it waits", PATIENCE, || {
        let line = of_client(&mut watcher, "stuck")?.ok_or("it is gone")?;
        Ok(field(&line, " omem=").ok_or("no omem")? > LEAST)
    })?;
    let line = of_client(&mut watcher, "stuck")?.ok_or("it is gone")?;
    assert!(field(&line, " tot-mem=") > Some(LEAST), "{line}");
    assert!(field(&line, " oll=") > Some(10), "{line}");
    assert!(info(&mut watcher, "mem_clients_normal")? > before + LEAST);
    assert!(info(&mut watcher, "client_recent_max_output_buffer")? > LEAST);
    // The client reads a part, and then gets all the rest.
    for _ in 0..60 {
        assert_eq!(stuck.read()?.bytes().map(<[u8]>::len), Some(1_000_000));
    }
    wait_until("nothing waits", PATIENCE, || {
        let line = of_client(&mut watcher, "stuck")?.ok_or("it is gone")?;
        Ok(field(&line, " omem=") == Some(0) && field(&line, " oll=") == Some(0))
    })?;

    watcher.call(&[
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "normal 0 20000000 2",
    ])?;
    let started = Instant::now();
    stuck.send_bytes(&repeated(&["GET", "k"], 60))?;
    wait_until("it is closed", PATIENCE, || {
        Ok(of_client(&mut watcher, "stuck")?.is_none())
    })?;
    assert!(started.elapsed() >= Duration::from_millis(1900));
    assert_eq!(
        info(&mut watcher, "client_output_buffer_limit_disconnections")?,
        1
    );
    Ok(())
}

/// A hard limit applies to all pending output, not to one reply.
#[test]
fn many_small_replies_reach_the_hard_limit() -> TestResult {
    let server =
        Server::start_with(small().directive("client-output-buffer-limit", "normal 10000000 0 0"))?;
    let mut watcher = server.raw()?;
    watcher.call(&["SET", "q", &"v".repeat(1000)])?;
    let before = settled_memory(&server)?;
    let stream = super::flood(server.port(), 20_000_000)?;
    wait_until("it is closed", PATIENCE, || {
        Ok(info(&mut watcher, "client_output_buffer_limit_disconnections")? == 1)
    })?;
    let more = status(&server, "VmHWM:")?.saturating_sub(before);
    assert!(more < LIMIT_BYTES + BEYOND_BYTES, "{more} bytes");
    drop(stream);
    Ok(())
}

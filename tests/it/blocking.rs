//! Commands that wait, with several clients over TCP.
//!
//! `PMEMKV_SUBJECT=redis-server` (or another program) replaces our server, to check the expectations. Then the tests
//! leave out what only our server promises.

mod around;
mod ends;
mod sources;
mod workers;

use std::thread;
use std::time::{Duration, Instant};

use common::{RawClient, Server, Subject, TestResult, Value};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server, and a connection that never waits.
struct Scene {
    server: Subject,
    control: RawClient,
}

impl Scene {
    fn start() -> TestResult<Self> {
        Self::start_on("cmap")
    }

    fn start_on(store: &str) -> TestResult<Self> {
        let server = Subject::start(store)?;
        let control = server.raw()?;
        Ok(Self { server, control })
    }

    fn into_ours(self) -> TestResult<Server> {
        match self.server {
            Subject::Ours(server) => Ok(server),
            Subject::Other(_) => Err("another server comes back empty".into()),
        }
    }

    /// Sends one call on the connection that never waits, and shows its reply.
    fn run(&mut self, line: &str) -> TestResult<String> {
        Ok(show(&self.control.line(line)?))
    }

    /// Opens a connection, and returns once it waits in one call.
    fn waiter(&mut self, line: &str) -> TestResult<RawClient> {
        let client = self.server.raw()?;
        self.wait_in(client, line)
    }

    /// The same on an existing connection.
    fn wait_in(&mut self, mut client: RawClient, line: &str) -> TestResult<RawClient> {
        let before = self.blocked()?;
        client.send(&line.split(' ').collect::<Vec<_>>())?;
        self.await_blocked(before + 1)?;
        Ok(client)
    }

    fn blocked(&mut self) -> TestResult<i64> {
        let info = self.control.line("INFO clients")?;
        let info = info.text().ok_or("INFO answers no text")?;
        let count = info
            .lines()
            .find_map(|line| line.strip_prefix("blocked_clients:"))
            .ok_or("INFO does not count blocked clients")?;
        Ok(count.parse()?)
    }

    fn await_blocked(&mut self, count: i64) -> TestResult {
        let deadline = Instant::now() + PATIENCE;
        while self.blocked()? != count {
            if Instant::now() > deadline {
                let found = self.blocked()?;
                return Err(format!("{found} clients wait, not {count}").into());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

fn show(reply: &Value) -> String {
    format!("{reply:?}")
}

/// The next reply.
fn next(client: &mut RawClient) -> TestResult<String> {
    Ok(show(&client.read()?))
}

fn id(client: &mut RawClient) -> TestResult<i64> {
    Ok(client.line("CLIENT ID")?.integer().ok_or("no id")?)
}

#[test]
fn the_first_client_in_the_queue_is_served_first() -> TestResult {
    let mut scene = Scene::start()?;
    let mut first = scene.waiter("BLPOP k 0")?;
    let mut second = scene.waiter("BRPOP k 0")?;
    let mut third = scene.waiter("BLMPOP 0 1 k LEFT COUNT 2")?;
    let mut fourth = scene.waiter("BLMOVE k other LEFT RIGHT 0")?;
    assert_eq!(scene.run("RPUSH k a")?, ":1");
    assert_eq!(next(&mut first)?, r#"["k", "a"]"#);
    assert_eq!(scene.run("RPUSH k b c d e f g")?, ":6");
    assert_eq!(next(&mut second)?, r#"["k", "g"]"#);
    assert_eq!(next(&mut third)?, r#"["k", ["b", "c"]]"#);
    assert_eq!(next(&mut fourth)?, r#""d""#);
    assert_eq!(scene.run("LRANGE k 0 -1")?, r#"["e", "f"]"#);
    assert_eq!(scene.run("LRANGE other 0 -1")?, r#"["d"]"#);

    // A new wait goes to the end of the queue.
    assert_eq!(scene.run("DEL k")?, ":1");
    let mut first = scene.wait_in(first, "BRPOPLPUSH k other 0")?;
    let mut second = scene.wait_in(second, "BLPOP k 0")?;
    assert_eq!(scene.run("LPUSH k x y")?, ":2");
    assert_eq!(next(&mut first)?, r#""x""#);
    assert_eq!(next(&mut second)?, r#"["k", "y"]"#);
    assert_eq!(scene.run("EXISTS k")?, ":0");
    assert_eq!(scene.blocked()?, 0);
    Ok(())
}

#[test]
fn many_wait_and_each_gets_one() -> TestResult {
    const CLIENTS: usize = 40;
    let mut scene = Scene::start()?;
    let mut clients = (0..CLIENTS)
        .map(|_| scene.waiter("BLPOP k 0"))
        .collect::<TestResult<Vec<_>>>()?;
    // The elements come in two portions, one of them in a transaction.
    let (one, two): (Vec<_>, Vec<_>) = (0..CLIENTS)
        .map(|n| n.to_string())
        .partition(|n| n.len() < 2);
    scene.run(&format!("RPUSH k {}", one.join(" ")))?;
    scene.run("MULTI")?;
    for number in &two {
        scene.run(&format!("RPUSH k {number}"))?;
    }
    scene.run("EXEC")?;
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(next(client)?, format!(r#"["k", "{number}"]"#));
    }
    assert_eq!(scene.run("EXISTS k")?, ":0");
    Ok(())
}

#[test]
fn waiting_for_several_keys() -> TestResult {
    let mut scene = Scene::start()?;
    let waiter = scene.waiter("BLPOP a b c b 0")?;
    let mut other = scene.waiter("BLPOP c 0")?;
    assert_eq!(scene.run("RPUSH c 1")?, ":1");
    let mut waiter = {
        let mut waiter = waiter;
        assert_eq!(next(&mut waiter)?, r#"["c", "1"]"#);
        waiter
    };
    // A served client no longer waits for the other keys.
    assert_eq!(scene.run("RPUSH a 2")?, ":1");
    assert_eq!(scene.run("RPUSH b 2")?, ":1");
    assert_eq!(scene.run("LLEN a")?, ":1");
    assert_eq!(scene.run("RPUSH c 3")?, ":1");
    assert_eq!(next(&mut other)?, r#"["c", "3"]"#);
    // If several keys have elements already, the first one in the call counts.
    waiter.send(&["BRPOP", "c", "b", "a", "0"])?;
    assert_eq!(next(&mut waiter)?, r#"["b", "2"]"#);
    assert_eq!(
        scene.run("BLMPOP 0 2 b a RIGHT COUNT 9")?,
        r#"["a", ["2"]]"#
    );
    Ok(())
}

#[test]
fn a_transaction_ends_before_a_waiting_client_is_served() -> TestResult {
    let mut scene = Scene::start()?;
    let mut waiter = scene.waiter("BLPOP a b c 0")?;
    for line in ["MULTI", "RPUSH c 1", "RPUSH b 1", "RPUSH a 1", "EXEC"] {
        scene.run(line)?;
    }
    // 7.2 runs the waiting call again; 7.0 served the key that was filled first.
    let served = next(&mut waiter)?;
    if scene.server.is_ours() {
        assert_eq!(served, r#"["a", "1"]"#);
    } else {
        assert!([r#"["a", "1"]"#, r#"["c", "1"]"#].contains(&served.as_str()));
    }
    scene.run("DEL a b c")?;

    // An element that the transaction removes again was never there for the waiting client.
    let mut waiter = scene.wait_in(waiter, "BLPOP a 0")?;
    for line in ["MULTI", "RPUSH a gone", "DEL a", "EXEC"] {
        scene.run(line)?;
    }
    for line in [
        "MULTI",
        "RPUSH a gone",
        "LPOP a",
        "RPUSH a x",
        "LPUSH a y",
        "EXEC",
    ] {
        scene.run(line)?;
    }
    assert_eq!(next(&mut waiter)?, r#"["a", "y"]"#);
    assert_eq!(scene.run("LRANGE a 0 -1")?, r#"["x"]"#);

    // A command ends before the server serves anyone: of several elements, the client gets the one at its end by then.
    scene.run("DEL a")?;
    let mut waiter = scene.wait_in(waiter, "BLPOP a 0")?;
    assert_eq!(scene.run("LPUSH a 1 2 3")?, ":3");
    assert_eq!(next(&mut waiter)?, r#"["a", "3"]"#);
    Ok(())
}

#[test]
fn no_call_waits_inside_multi() -> TestResult {
    let mut scene = Scene::start()?;
    let lines = [
        ("BLPOP k 0", "*-1"),
        ("BRPOP k l 0", "*-1"),
        ("BLMOVE k l LEFT RIGHT 0", "$-1"),
        ("BLMPOP 0 1 k LEFT", "*-1"),
        ("BRPOPLPUSH k l 0", "$-1"),
        ("BZPOPMIN k 0", "*-1"),
        ("BZPOPMAX k 0", "*-1"),
        ("BZMPOP 0 1 k MIN", "*-1"),
        ("RPUSH k a", ":1"),
        ("BLPOP k 0", r#"["k", "a"]"#),
        ("BLPOP k -1", "-ERR timeout is negative"),
    ];
    scene.run("MULTI")?;
    for (line, _) in lines {
        assert_eq!(scene.run(line)?, "+QUEUED");
    }
    let expected: Vec<_> = lines.iter().map(|(_, reply)| *reply).collect();
    assert_eq!(scene.run("EXEC")?, format!("[{}]", expected.join(", ")));
    assert_eq!(scene.blocked()?, 0);
    Ok(())
}

#[test]
fn what_a_waiting_client_looks_like() -> TestResult {
    let mut scene = Scene::start()?;
    assert_eq!(scene.blocked()?, 0);
    let mut client = scene.server.raw()?;
    let number = id(&mut client)?;
    let mut client = scene.wait_in(client, "BLPOP k 0")?;
    let list = scene.control.line(&format!("CLIENT LIST ID {number}"))?;
    let list = list.text().ok_or("no text")?;
    assert!(list.contains(" flags=b "), "{list}");
    assert!(list.contains(" cmd=blpop "), "{list}");
    scene.run("RPUSH k v")?;
    assert_eq!(next(&mut client)?, r#"["k", "v"]"#);
    scene.await_blocked(0)?;
    let list = scene.control.line(&format!("CLIENT LIST ID {number}"))?;
    let list = list.text().ok_or("no text")?;
    assert!(list.contains(" flags=N "), "{list}");
    Ok(())
}

#[test]
fn keys_of_other_types() -> TestResult {
    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let mut scene = Scene::start()?;
    scene.run("SET text x")?;
    for line in [
        "BLPOP text 0",
        "BLPOP absent text 0",
        "BRPOP text absent 0",
        "BLMOVE text l LEFT RIGHT 0",
        "BRPOPLPUSH text l 0",
        "BLMPOP 0 2 absent text LEFT",
        "BZPOPMIN text 0",
        "BZMPOP 0 1 text MAX",
    ] {
        assert_eq!(scene.run(line)?, WRONG, "{line}");
    }
    // A key of another type that appears later does not disturb a waiting client.
    let mut list = scene.waiter("BLPOP k 0")?;
    let mut sorted = scene.waiter("BZPOPMIN k 0")?;
    for line in [
        "SET k x",
        "DEL k",
        "SADD k m",
        "DEL k",
        "HSET k f v",
        "RENAME k moved",
    ] {
        scene.run(line)?;
    }
    assert_eq!(scene.run("ZADD k 3 m")?, ":1");
    assert_eq!(next(&mut sorted)?, r#"["k", "m", "3"]"#);
    let mut sorted = scene.wait_in(sorted, "BZPOPMIN k 0")?;
    assert_eq!(scene.run("RPUSH k v")?, ":1");
    assert_eq!(next(&mut list)?, r#"["k", "v"]"#);
    assert_eq!(scene.blocked()?, 1);

    // If the destination has another type, the client gets the error when the element arrives, and the element stays.
    let mut mover = scene.waiter("BLMOVE source text LEFT RIGHT 0")?;
    scene.run("RPUSH source v")?;
    assert_eq!(next(&mut mover)?, WRONG);
    assert_eq!(scene.run("LRANGE source 0 -1")?, r#"["v"]"#);
    scene.run("ZADD k 1 last")?;
    assert_eq!(next(&mut sorted)?, r#"["k", "last", "1"]"#);
    Ok(())
}

#[test]
fn chains_of_moves() -> TestResult {
    let mut scene = Scene::start()?;
    let mut first = scene.waiter("BLMOVE a b LEFT RIGHT 0")?;
    let mut second = scene.waiter("BRPOPLPUSH b c 0")?;
    let mut third = scene.waiter("BLMOVE c d RIGHT LEFT 0")?;
    let mut last = scene.waiter("BLPOP d 0")?;
    scene.run("RPUSH a x")?;
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(next(client)?, r#""x""#);
    }
    assert_eq!(next(&mut last)?, r#"["d", "x"]"#);
    assert_eq!(scene.run("EXISTS a b c d")?, ":0");

    // A circle: each client waits for what another one moves back.
    let mut first = scene.wait_in(first, "BLMOVE a b LEFT RIGHT 0")?;
    let mut second = scene.wait_in(second, "BLMOVE b a LEFT RIGHT 0")?;
    scene.run("RPUSH b x")?;
    assert_eq!(next(&mut second)?, r#""x""#);
    assert_eq!(next(&mut first)?, r#""x""#);
    assert_eq!(scene.run("LRANGE b 0 -1")?, r#"["x"]"#);
    scene.run("DEL b")?;
    let mut first = scene.wait_in(first, "BLMOVE a a LEFT RIGHT 0")?;
    scene.run("RPUSH a 1 2 3")?;
    assert_eq!(next(&mut first)?, r#""1""#);
    assert_eq!(scene.run("LRANGE a 0 -1")?, r#"["2", "3", "1"]"#);
    Ok(())
}

#[test]
fn calls_behind_one_that_waits() -> TestResult {
    let mut scene = Scene::start()?;
    let mut client = scene.server.raw()?;
    client.send_bytes(
        b"SET before 1\r\nBLPOP k 0\r\nPING\r\nSET after 1\r\nBLPOP k 0\r\nECHO end\r\n",
    )?;
    scene.await_blocked(1)?;
    assert_eq!(next(&mut client)?, "+OK");
    assert_eq!(scene.run("EXISTS before after")?, ":1");
    scene.run("RPUSH k v")?;
    assert_eq!(next(&mut client)?, r#"["k", "v"]"#);
    assert_eq!(next(&mut client)?, "+PONG");
    assert_eq!(next(&mut client)?, "+OK");
    scene.await_blocked(1)?;
    scene.run("RPUSH k w")?;
    assert_eq!(next(&mut client)?, r#"["k", "w"]"#);
    assert_eq!(next(&mut client)?, r#""end""#);
    Ok(())
}

#[test]
fn served_elements_survive_a_kill() -> TestResult {
    if !Subject::start("cmap")?.is_ours() {
        return Ok(()); // Others come back empty.
    }
    for store in ["cmap", "cmap/pairs"] {
        let mut scene = Scene::start_on(store)?;
        let mut pop = scene.waiter("BLPOP jobs 0")?;
        let mut shift = scene.waiter("BLMOVE queue running LEFT RIGHT 0")?;
        let mut least = scene.waiter("BZPOPMIN due 0")?;
        scene.run("RPUSH jobs one two")?;
        scene.run("RPUSH queue a b")?;
        scene.run("ZADD due 1 x 2 y")?;
        assert_eq!(next(&mut pop)?, r#"["jobs", "one"]"#);
        assert_eq!(next(&mut shift)?, r#""a""#);
        assert_eq!(next(&mut least)?, r#"["due", "x", "1"]"#);
        let mut server = scene.into_ours()?;
        server.kill_9()?;
        server.resume()?;
        let mut client = server.raw()?;
        for (line, reply) in [
            ("LRANGE jobs 0 -1", r#"["two"]"#),
            ("LRANGE queue 0 -1", r#"["b"]"#),
            ("LRANGE running 0 -1", r#"["a"]"#),
            ("ZRANGE due 0 -1", r#"["y"]"#),
        ] {
            assert_eq!(show(&client.line(line)?), reply, "{store}: {line}");
        }
        // A waiting client does not keep the server from stopping.
        client.send(&["BLPOP", "nothing", "0"])?;
        server.terminate()?;
    }
    Ok(())
}

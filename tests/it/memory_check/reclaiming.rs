//! Before the server refuses a command, it reclaims memory for what the command really writes. A refused command
//! changes nothing.

use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value, encode};

const KEYS: usize = 7_000;
const MEMBERS: usize = 4_000;

/// No call may take longer than this, even if the server must reclaim memory first.
const PATIENCE: Duration = Duration::from_secs(10);

struct World {
    server: Server,
    client: RawClient,
    seed: u64,
}

impl World {
    /// A pool that is half full, as each of its segments is: overwritten records still lie in them.
    fn new(policy: &str) -> TestResult<Self> {
        let options = Options::new("cmap")
            .pool_size("32mb")
            .directive("maxmemory-policy", policy)
            .directive("worker-threads", "2");
        let server = Server::start_with(options)?;
        let client = server.raw()?;
        let mut world = Self {
            server,
            client,
            seed: 7,
        };
        world.pipeline(KEYS, |n, _| set(n, n))?;
        world.pipeline(MEMBERS, |n, _| {
            words(&["ZADD", "Z", &n.to_string(), &format!("m{n:0200}")])
        })?;
        world.churn(30_000)?;
        Ok(world)
    }

    fn random(&mut self, below: usize) -> usize {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.seed >> 33).unwrap_or(0) % below
    }

    /// Overwrites random keys.
    fn churn(&mut self, count: usize) -> TestResult {
        self.pipeline(count, |n, at| set(at % KEYS, n))
    }

    fn pipeline(&mut self, count: usize, call: impl Fn(usize, usize) -> Vec<String>) -> TestResult {
        for first in (0..count).step_by(500) {
            let many = 500.min(count - first);
            let mut bytes = Vec::new();
            for n in first..first + many {
                let at = self.random(usize::MAX >> 1);
                encode(&mut bytes, &call(n, at));
            }
            self.client.send_bytes(&bytes)?;
            for _ in 0..many {
                let reply = self.client.read()?;
                assert!(!reply.is_error(), "{reply:?}");
            }
        }
        Ok(())
    }

    fn check(&mut self, line: &str, expected: i64) -> TestResult {
        let started = Instant::now();
        let reply = self.client.line(line)?;
        let reply = match reply.text() {
            Some(text) if text == "OK" => Value::Integer(1),
            _ => reply,
        };
        assert_eq!(reply, Value::Integer(expected), "{line}");
        assert!(started.elapsed() < PATIENCE, "{line}");
        Ok(())
    }

    /// Runs calls as a transaction, which must be applied as a whole.
    fn exec(&mut self, calls: &[Vec<String>]) -> TestResult {
        let mut bytes = Vec::new();
        encode(&mut bytes, &["MULTI"]);
        for call in calls {
            encode(&mut bytes, call);
        }
        encode(&mut bytes, &["EXEC"]);
        let started = Instant::now();
        self.client.send_bytes(&bytes)?;
        for _ in 0..=calls.len() {
            self.client.read()?;
        }
        let replies = self.client.read()?;
        let name = &calls[0];
        let replies = replies
            .items()
            .ok_or_else(|| format!("{name:?}: EXEC answers {replies:?}"))?;
        let refused = replies.iter().filter(|reply| reply.is_error()).count();
        assert_eq!(refused, 0, "of {} calls like {name:?}", calls.len());
        assert!(started.elapsed() < PATIENCE, "{name:?}");
        Ok(())
    }

    fn field(&mut self, section: &str, name: &str) -> TestResult<String> {
        let text = self.client.line(&format!("INFO {section}"))?;
        let text = text.text().unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.ok_or_else(|| format!("no {name}"))?.to_owned())
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn names(prefix: &str, count: usize) -> String {
    let names: Vec<_> = (0..count).map(|n| format!("{prefix}{n}")).collect();
    names.join(" ")
}

fn set(key: usize, salt: usize) -> Vec<String> {
    let stamp = format!("{salt} ");
    let value: String = stamp.chars().cycle().take(1_000).collect();
    words(&["SET", &format!("c{key}"), &value])
}

fn reclaims(policy: &str) -> TestResult {
    let mut world = World::new(policy)?;
    let members = i64::try_from(MEMBERS)?;
    for round in 0..3 {
        world.check("SETRANGE x 3500000 a", 3_500_001)?;
        world.check("DEL x", 1)?;
        world.check("SETBIT y 28000000 1", 0)?;
        world.check("RENAME y y2", 1)?;
        world.check("APPEND y2 x", 3_500_002)?;
        world.check("DEL y2", 1)?;
        world.check("ZUNIONSTORE Z2 1 Z", members)?;
        world.check("ZRANGESTORE Z3 Z 0 -1", members)?;
        world.check("SORT Z ALPHA STORE L", members)?;
        world.check("DEL Z2 Z3", 2)?;
        world.check("COPY Z Z2", 1)?;
        world.check("COPY L L2", 1)?;
        world.check("DEL L L2 Z2", 3)?;
        world.churn(5_000)?;
        let bit = |n: usize| words(&["SETBIT", "bm", &(n * 997 % 800_000).to_string(), "1"]);
        world.check("DEL bm", i64::from(round > 0))?;
        world.check("SETRANGE bm 100000 x", 100_001)?;
        world.exec(&(0..300).map(bit).collect::<Vec<_>>())?;
        let append = words(&["APPEND", "log", &"a".repeat(100)]);
        world.check("DEL log", i64::from(round > 0))?;
        world.check("SETRANGE log 20000 x", 20_001)?;
        world.exec(&vec![append; 1_000])?;
        world.check("STRLEN log", 120_001)?;
        world.check("SETRANGE src 200000 x", 200_001)?;
        let copy = |n: usize| words(&["COPY", "src", &format!("dst{n}")]);
        world.exec(&(0..15).map(copy).collect::<Vec<_>>())?;
        world.check(&format!("DEL {}", names("dst", 15)), 15)?;
        let rename = |n: usize| match n % 2 {
            0 => words(&["RENAME", "src", "s2"]),
            _ => words(&["RENAME", "s2", "src"]),
        };
        world.exec(&(0..30).map(rename).collect::<Vec<_>>())?;
        world.churn(5_000)?;
        // The server cannot know these sizes before EXEC: the transaction compacts by itself.
        world.exec(&[
            words(&["SETRANGE", "x", "2000000", "a"]),
            words(&["SET", "c1", "new"]),
            words(&["COPY", "Z", "Z2"]),
            words(&["SETRANGE", "y", "1500000", "a"]),
        ])?;
        world.check("DEL x y Z2", 3)?;
        world.client.call(&set(1, 1))?;
    }
    assert_eq!(world.field("stats", "evicted_keys")?, "0");
    let keys = i64::try_from(KEYS + 4)?;
    world.check("DBSIZE", keys)?;
    world.server.kill_9()?;
    world.server.resume()?;
    world.client = world.server.raw()?;
    world.check("DBSIZE", keys)?;
    world.check("STRLEN log", 120_001)?;
    world.check("ZCARD Z", members)?;
    world.server.terminate()
}

#[test]
fn without_eviction() -> TestResult {
    reclaims("noeviction")
}

#[test]
fn compaction_alone_reclaims_without_evicting() -> TestResult {
    reclaims("allkeys-lru")
}

#[test]
fn a_call_that_waited_for_memory_counts_once() -> TestResult {
    let mut world = World::new("noeviction")?;
    let mut listener = world.server.raw()?;
    listener.line("CONFIG SET notify-keyspace-events KEA slowlog-log-slower-than 0")?;
    listener.line("CONFIG RESETSTAT")?;
    listener.line("SLOWLOG RESET")?;
    listener.line("PSUBSCRIBE __key*__:*")?;
    let mut monitor = world.server.raw()?;
    monitor.line("MONITOR")?;
    let before: u64 = world.field("pmemkv", "compacted_segments")?.parse()?;
    world.check("SETRANGE x 3500000 a", 3_500_001)?;
    world.check("SUNIONSTORE none absent", 0)?;
    world.check("COPY Z Z2", 1)?;
    let after: u64 = world.field("pmemkv", "compacted_segments")?.parse()?;
    assert!(after > before + 4, "there was enough memory");
    for (name, count) in [("setrange", 1), ("copy", 1)] {
        let stats = world.field("commandstats", &format!("cmdstat_{name}"))?;
        assert!(
            stats.starts_with(&format!("calls={count},")),
            "{name}: {stats}"
        );
        assert!(stats.contains("rejected_calls=0,failed_calls=0"), "{stats}");
    }
    let slow = world.client.line("SLOWLOG GET 100")?;
    let calls = slow.items().ok_or("SLOWLOG GET answers no array")?;
    let names = calls
        .iter()
        .filter_map(|call| call.items()?[3].items()?[0].text());
    assert_eq!(names.filter(|name| name == "SETRANGE").count(), 1);
    let mut events = Vec::new();
    world.client.line("SET last x")?;
    while !events.contains(&"set".to_owned()) {
        let message = listener.read()?;
        let items = message.items().ok_or("no message")?;
        let (channel, event) = (items[2].text(), items[3].text());
        if channel.is_some_and(|channel| channel.starts_with("__keyspace")) {
            events.extend(event);
        }
    }
    assert_eq!(events, ["setrange", "copy_to", "set"]);
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.contains("\"last\"")) {
        lines.extend(monitor.read()?.text());
    }
    let shown = |name: &str| lines.iter().filter(|line| line.contains(name)).count();
    assert_eq!((shown("SETRANGE"), shown("COPY")), (1, 1));
    Ok(())
}

/// All keys with their values.
fn contents(client: &mut RawClient) -> TestResult<Vec<(Vec<u8>, Value)>> {
    let keys = client.line("KEYS *")?;
    let mut all = Vec::new();
    for key in keys.items().ok_or("KEYS answers no array")? {
        let key = key.bytes().ok_or("no key")?.to_vec();
        let value = client.call(&[b"DUMP".as_slice(), &key])?;
        all.push((key, value));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

#[test]
fn a_full_pool_refuses_soon_and_changes_nothing() -> TestResult {
    let mut world = World::new("noeviction")?;
    let value = "f".repeat(100_000);
    for n in 0..1_000 {
        if world
            .client
            .call(&["SET", &format!("fill{n}"), &value])?
            .is_error()
        {
            break;
        }
    }
    let mut refused = 0;
    let mut before = contents(&mut world.client)?;
    let lines = [
        "SETRANGE x 8000000 a",
        "COPY Z Z2",
        "ZUNIONSTORE c1 1 Z",
        "ZRANGESTORE Z2 Z 0 -1",
        "SORT Z ALPHA STORE Z2",
        "SETBIT y 40000000 1",
        "BITFIELD y SET u8 40000000 1",
        "SUNIONSTORE c1 S",
        "GEOSEARCHSTORE c1 Z FROMLONLAT 0 0 BYRADIUS 20000 km",
        "APPEND fill0 x",
        "RENAME fill0 fill1",
        "LMOVE L L2 LEFT RIGHT",
    ];
    for line in lines {
        let started = Instant::now();
        let reply = world.client.line(line)?;
        assert!(started.elapsed() < PATIENCE, "{line}");
        let after = contents(&mut world.client)?;
        if reply.is_error() {
            refused += 1;
            assert!(after == before, "{line} was refused and changed something");
        }
        before = after;
    }
    assert!(refused >= 6, "{refused} were refused");
    // Plain refusals come at once, and removing works.
    let started = Instant::now();
    for n in 0..200 {
        let reply = world.client.call(&["SET", &format!("no{n}"), &value])?;
        assert!(reply.is_error(), "{n}");
    }
    assert!(started.elapsed() < PATIENCE);
    let keys = before
        .iter()
        .filter(|(key, _)| key.starts_with(b"c"))
        .count();
    let all = names("c", KEYS);
    world.check(&format!("DEL {all}"), i64::try_from(keys)?)?;
    world.check("COPY Z Z2", 1)?;
    world.server.kill_9()?;
    world.server.resume()?;
    Ok(())
}

#[test]
fn others_go_on_while_a_command_waits_for_memory() -> TestResult {
    let mut world = World::new("noeviction")?;
    let mut other = world.server.raw()?;
    let mut third = world.server.raw()?;
    let mut longest = Duration::ZERO;
    for round in 0..4 {
        world.churn(8_000)?;
        world.client.send(&["SETRANGE", "x", "3500000", "a"])?;
        for n in 0..100 {
            let started = Instant::now();
            assert!(!other.line("PING")?.is_error());
            other.line("MULTI")?;
            other.call(&["SET", "small", &n.to_string()])?;
            assert!(other.line("EXEC")?.items().is_some());
            third.line("GET small")?;
            longest = longest.max(started.elapsed());
        }
        assert_eq!(world.client.read()?, Value::Integer(3_500_001), "{round}");
        world.check("DEL x", 1)?;
    }
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    world.server.terminate()
}

//! Full memory: which keys the server evicts, which calls it refuses, and what INFO shows.

use std::thread;
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, Value};

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// How long the background may take.
const PATIENCE: Duration = Duration::from_secs(20);

const STORES: [&str; 3] = ["cmap", "cmap/pairs", "vcmap/pairs"];

fn start(store: &str, policy: &str) -> TestResult<Server> {
    let options = Options::new(store)
        .pool_size("64mb")
        .directive("maxmemory-policy", policy);
    Server::start_with(options)
}

fn field(client: &mut RawClient, section: &str, name: &str) -> TestResult<String> {
    let text = client
        .line(&format!("INFO {section}"))?
        .text()
        .unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = line.ok_or_else(|| format!("no {name} in {text}"))?;
    Ok(value.trim().to_owned())
}

fn number(client: &mut RawClient, section: &str, name: &str) -> TestResult<u64> {
    Ok(field(client, section, name)?.parse()?)
}

fn used(client: &mut RawClient) -> TestResult<u64> {
    number(client, "memory", "used_memory")
}

fn ok(client: &mut RawClient, line: &str) -> TestResult {
    match client.line(line)? {
        reply if reply.is_error() => Err(format!("{line}: {reply:?}").into()),
        _ => Ok(()),
    }
}

/// Writes `count` keys of a kilobyte: `name:0`, `name:1`, ...; each call ends with `end`.
fn fill(client: &mut RawClient, name: &str, count: usize, end: &[&str]) -> TestResult {
    let value = "x".repeat(1_000);
    for n in 0..count {
        let key = format!("{name}:{n}");
        let mut call = vec!["SET", key.as_str(), value.as_str()];
        call.extend(end);
        let reply = client.call(&call)?;
        if reply.is_error() {
            return Err(format!("{key}: {reply:?}").into());
        }
    }
    Ok(())
}

/// How many of the keys `name:0` to `name:{count - 1}` exist.
fn present(client: &mut RawClient, name: &str, count: usize) -> TestResult<usize> {
    let mut found = 0;
    for n in 0..count {
        found += usize::from(client.line(&format!("EXISTS {name}:{n}"))? == Value::Integer(1));
    }
    Ok(found)
}

/// Lowers `maxmemory` to a share of the used memory, and waits until enough keys are evicted.
fn lower(client: &mut RawClient, percent: u64) -> TestResult {
    let max = used(client)? * percent / 100;
    ok(client, &format!("CONFIG SET maxmemory {max}"))?;
    let until = Instant::now() + PATIENCE;
    while used(client)? > max {
        if Instant::now() > until {
            return Err(format!("{} bytes, not {max}", used(client)?).into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[test]
fn lru_keeps_what_was_used() -> TestResult {
    for store in STORES {
        let server = start(store, "allkeys-lru")?;
        let mut client = server.raw()?;
        ok(&mut client, "CONFIG SET maxmemory-samples 30")?;
        fill(&mut client, "old", 1_000, &[])?;
        fill(&mut client, "used", 1_000, &[])?;
        // The clock of accesses counts seconds.
        thread::sleep(Duration::from_millis(2_100));
        assert_eq!(present(&mut client, "used", 1_000)?, 1_000, "{store}");
        for n in 0..1_000 {
            ok(&mut client, &format!("GET used:{n}"))?;
        }
        // The last of the old keys are hard to meet in a sample, so some of them stay.
        lower(&mut client, 68)?;
        let kept = present(&mut client, "used", 1_000)?;
        assert!(kept >= 995, "{store}: {kept} of those used are left");
        let kept = present(&mut client, "old", 1_000)?;
        assert!(kept < 400, "{store}: {kept} of those not used are left");
        let evicted = number(&mut client, "stats", "evicted_keys")?;
        assert!(evicted > 500, "{store}: {evicted}");
    }
    Ok(())
}

#[test]
fn lfu_keeps_what_was_used_often() -> TestResult {
    for store in STORES {
        let server = start(store, "allkeys-lfu")?;
        let mut client = server.raw()?;
        ok(
            &mut client,
            "CONFIG SET maxmemory-samples 30 lfu-log-factor 1",
        )?;
        fill(&mut client, "often", 500, &[])?;
        for _ in 0..20 {
            for n in 0..500 {
                ok(&mut client, &format!("GET often:{n}"))?;
            }
        }
        fill(&mut client, "late", 1_000, &[])?;
        lower(&mut client, 50)?;
        let kept = present(&mut client, "often", 500)?;
        assert!(kept >= 495, "{store}: {kept} of those used often are left");
    }
    Ok(())
}

#[test]
fn ttl_evicts_the_first_deadlines_and_volatile_policies_nothing_else() -> TestResult {
    for (policy, first) in [
        ("volatile-ttl", true),
        ("volatile-random", false),
        ("volatile-lru", false),
        ("volatile-lfu", false),
    ] {
        let server = start("cmap", policy)?;
        let mut client = server.raw()?;
        ok(&mut client, "CONFIG SET maxmemory-samples 30")?;
        fill(&mut client, "stays", 1_000, &[])?;
        fill(&mut client, "soon", 500, &["EX", "1000"])?;
        fill(&mut client, "later", 500, &["EX", "100000"])?;
        lower(&mut client, 80)?;
        assert_eq!(present(&mut client, "stays", 1_000)?, 1_000, "{policy}");
        let soon = present(&mut client, "soon", 500)?;
        let later = present(&mut client, "later", 500)?;
        assert!(soon + later < 640, "{policy}: {soon} and {later} are left");
        if first {
            assert!(later >= 495, "{policy}: {later} of the later ones are left");
        }
        // When all keys with a deadline are gone, the server refuses writes.
        let max = used(&mut client)? / 2;
        ok(&mut client, &format!("CONFIG SET maxmemory {max}"))?;
        let reply = client.line("SET more 1")?;
        let until = Instant::now() + PATIENCE;
        let mut last = reply;
        while last != Value::Error(OOM.into()) {
            assert!(Instant::now() < until, "{policy}: {last:?}");
            last = client.line("SET more 1")?;
        }
        assert_eq!(present(&mut client, "soon", 500)?, 0, "{policy}");
        assert_eq!(present(&mut client, "later", 500)?, 0, "{policy}");
        assert_eq!(present(&mut client, "stays", 1_000)?, 1_000, "{policy}");
    }
    Ok(())
}

#[test]
fn random_evicts_any() -> TestResult {
    let server = start("cmap", "allkeys-random")?;
    let mut client = server.raw()?;
    fill(&mut client, "a", 1_000, &[])?;
    fill(&mut client, "b", 1_000, &["EX", "1000"])?;
    lower(&mut client, 50)?;
    for name in ["a", "b"] {
        let left = present(&mut client, name, 1_000)?;
        assert!((400..600).contains(&left), "{left} of {name} are left");
    }
    Ok(())
}

#[test]
fn all_databases_are_evicted_from() -> TestResult {
    let server = start("cmap", "allkeys-random")?;
    let mut client = server.raw()?;
    fill(&mut client, "a", 500, &[])?;
    ok(&mut client, "SELECT 7")?;
    fill(&mut client, "a", 500, &[])?;
    lower(&mut client, 50)?;
    for db in [0, 7] {
        ok(&mut client, &format!("SELECT {db}"))?;
        let left = present(&mut client, "a", 500)?;
        assert!((150..350).contains(&left), "{left} in database {db}");
    }
    Ok(())
}

#[test]
fn noeviction_refuses_what_adds_and_nothing_else() -> TestResult {
    for store in STORES {
        let server = start(store, "noeviction")?;
        let mut client = server.raw()?;
        ok(&mut client, "SET a 1 EX 1000")?;
        ok(&mut client, "CONFIG SET maxmemory 1")?;
        for line in [
            "SET b 1",
            "SET a 2",
            "APPEND a x",
            "INCR n",
            "MSET x 1 y 2",
            "SETRANGE a 0 x",
            "GETSET a 5",
            "COPY a z",
        ] {
            assert_eq!(client.line(line)?, Value::Error(OOM.into()), "{line}");
        }
        for line in [
            "GET a",
            "EXPIRE a 100",
            "GETEX a PERSIST",
            "TTL a",
            "SCAN 0",
            "RENAME a c",
            "GETDEL c",
            "DEL a",
            "FLUSHALL",
        ] {
            ok(&mut client, line)?;
        }
        ok(&mut client, "CONFIG SET maxmemory 0")?;
        ok(&mut client, "SET b 1")?;
    }
    Ok(())
}

#[test]
fn transactions_are_refused_as_a_whole() -> TestResult {
    let server = start("cmap", "noeviction")?;
    let mut client = server.raw()?;
    let mut other = server.raw()?;
    ok(&mut client, "SET there 1")?;
    ok(&mut client, "MULTI")?;
    ok(&mut client, "SET a 1")?;
    ok(&mut other, "CONFIG SET maxmemory 1")?;
    assert_eq!(client.line("GET a")?, Value::Error(OOM.into()));
    let aborted = client.line("EXEC")?;
    assert!(
        aborted.text().unwrap_or_default().starts_with("EXECABORT") || aborted.is_error(),
        "{aborted:?}"
    );
    ok(&mut client, "MULTI")?;
    assert_eq!(client.line("GET a")?, Value::Error(OOM.into()));
    ok(&mut client, "DISCARD")?;
    ok(&mut other, "CONFIG SET maxmemory 0")?;
    ok(&mut client, "MULTI")?;
    ok(&mut client, "SET a 1")?;
    ok(&mut other, "CONFIG SET maxmemory 1")?;
    let aborted = client.line("EXEC")?;
    assert!(aborted.is_error(), "{aborted:?}");
    assert_eq!(client.line("GET a")?, Value::NullBulk);
    Ok(())
}

#[test]
fn object_freq_and_idletime_follow_the_policy() -> TestResult {
    let server = start("cmap", "allkeys-lfu")?;
    let mut client = server.raw()?;
    ok(&mut client, "CONFIG SET lfu-log-factor 0")?;
    ok(&mut client, "SET a 1")?;
    assert_eq!(client.line("OBJECT FREQ a")?, Value::Integer(5));
    for _ in 0..10 {
        ok(&mut client, "GET a")?;
    }
    // OBJECT does not count as an access, and INCR counts once although it reads and writes.
    assert_eq!(client.line("OBJECT FREQ a")?, Value::Integer(15));
    ok(&mut client, "INCR a")?;
    assert_eq!(client.line("OBJECT FREQ a")?, Value::Integer(16));
    ok(&mut client, "SET a 5")?;
    assert_eq!(client.line("OBJECT FREQ a")?, Value::Integer(17));
    ok(&mut client, "CLIENT NO-TOUCH ON")?;
    ok(&mut client, "GET a")?;
    ok(&mut client, "SET a 6")?;
    assert_eq!(client.line("OBJECT FREQ a")?, Value::Integer(17));
    assert_eq!(client.line("OBJECT FREQ nosuch")?, Value::NullBulk);
    let other = "will take some time to adjust.";
    let error = client.line("OBJECT IDLETIME a")?;
    let text = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that \
                when switching between policies at runtime LRU and LFU data ";
    assert_eq!(error, Value::Error(format!("{text}{other}").into()));
    ok(&mut client, "CONFIG SET maxmemory-policy volatile-lru")?;
    assert!(client.line("OBJECT FREQ a")?.is_error());
    ok(&mut client, "SET b 1")?;
    assert_eq!(client.line("OBJECT IDLETIME b")?, Value::Integer(0));
    Ok(())
}

#[test]
fn evicted_keys_stay_gone_after_a_crash() -> TestResult {
    for store in ["cmap", "cmap/pairs"] {
        let mut server = start(store, "allkeys-random")?;
        let mut client = server.raw()?;
        fill(&mut client, "k", 2_000, &[])?;
        lower(&mut client, 50)?;
        let mut there = Vec::new();
        for n in 0..2_000 {
            there.push(client.line(&format!("EXISTS k:{n}"))?);
        }
        server.kill_9()?;
        server.resume()?;
        let mut client = server.raw()?;
        for (n, before) in there.iter().enumerate() {
            assert_eq!(
                client.line(&format!("EXISTS k:{n}"))?,
                *before,
                "{store}: k:{n}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_full_pool_evicts_without_maxmemory() -> TestResult {
    for store in ["cmap", "cmap/pairs", "vcmap"] {
        let server = start(store, "allkeys-lru")?;
        let mut client = server.raw()?;
        let value = "x".repeat(50_000);
        for n in 0..4_000 {
            let key = format!("k:{n}");
            let reply = client.call(&["SET", &key, &value])?;
            assert!(!reply.is_error(), "{store}: {key}: {reply:?}");
        }
        // More than any free reserve at once.
        let large = "y".repeat(10 << 20);
        let reply = client.call(&["SET", "large", &large])?;
        if store != "cmap/pairs" {
            assert!(!reply.is_error(), "{store}: {reply:?}");
            assert_eq!(
                client.line("STRLEN large")?,
                Value::Integer(10 << 20),
                "{store}"
            );
        }
        let evicted = number(&mut client, "stats", "evicted_keys")?;
        assert!(evicted > 2_500, "{store}: {evicted} evicted");
        let left = client.line("DBSIZE")?.integer().unwrap_or(0);
        assert!(left > 300, "{store}: {left} left");
        // A value that can never fit evicts nothing.
        let huge = "z".repeat(70 << 20);
        let reply = client.call(&["SET", "huge", &huge])?;
        assert!(reply.is_error(), "{store}");
        let now = client.line("DBSIZE")?.integer().unwrap_or(0);
        assert!(now * 2 > left, "{store}: {now} of {left} left");
    }
    Ok(())
}

#[test]
fn info_and_memory_stats_show_evictions() -> TestResult {
    let server = start("cmap", "noeviction")?;
    let mut client = server.raw()?;
    let empty = used(&mut client)?;
    let pool = number(&mut client, "memory", "maxmemory")?;
    assert!(
        (40 << 20..64 << 20).contains(&pool),
        "{pool} bytes fit in the pool"
    );
    fill(&mut client, "k", 1_000, &[])?;
    let full = used(&mut client)?;
    assert!(
        (1_000_000..1_300_000).contains(&(full - empty)),
        "{full} after {empty}"
    );
    let overhead = number(&mut client, "memory", "used_memory_overhead")?;
    let dataset = number(&mut client, "memory", "used_memory_dataset")?;
    assert_eq!(dataset + overhead, full);
    let not_counted = number(&mut client, "memory", "mem_not_counted_for_evict")?;
    assert_eq!(not_counted, overhead);
    let active = number(&mut client, "memory", "allocator_active")?;
    assert!(active >= full);
    let stats = client.line("MEMORY STATS")?;
    let shown = format!("{stats:?}");
    for name in ["total.allocated", "db.0", "pool.allocated", "keys.count"] {
        assert!(shown.contains(name), "no {name} in {shown}");
    }
    ok(&mut client, "CONFIG SET maxmemory 100000")?;
    assert_eq!(number(&mut client, "memory", "maxmemory")?, 100_000);
    assert_eq!(
        number(&mut client, "memory", "mem_not_counted_for_evict")?,
        0
    );
    assert_eq!(client.line("SET a 1")?, Value::Error(OOM.into()));
    thread::sleep(Duration::from_millis(20));
    let exceeded = number(&mut client, "stats", "current_eviction_exceeded_time")?;
    assert!((10..5_000).contains(&exceeded), "{exceeded} ms");
    ok(&mut client, "FLUSHALL")?;
    let until = Instant::now() + PATIENCE;
    while used(&mut client)? > empty {
        assert!(Instant::now() < until, "{}", used(&mut client)?);
        thread::sleep(Duration::from_millis(5));
    }
    ok(&mut client, "MEMORY DOCTOR")?;
    ok(&mut client, "MEMORY PURGE")?;
    ok(&mut client, "MEMORY MALLOC-STATS")?;
    Ok(())
}

#[test]
fn a_restart_with_less_memory_evicts_down() -> TestResult {
    let mut server = start("cmap", "allkeys-lru")?;
    let mut client = server.raw()?;
    fill(&mut client, "k", 2_000, &[])?;
    drop(client);
    server.terminate()?;
    server.set_options(
        Options::new("cmap")
            .directive("maxmemory-policy", "allkeys-lru")
            .directive("maxmemory", "1mb"),
    );
    server.resume()?;
    let mut client = server.raw()?;
    let until = Instant::now() + PATIENCE;
    while used(&mut client)? > 1 << 20 {
        assert!(Instant::now() < until, "{}", used(&mut client)?);
        thread::sleep(Duration::from_millis(5));
    }
    let left = client.line("DBSIZE")?.integer().unwrap_or(0);
    assert!((700..1_000).contains(&left), "{left} left");
    // The pool does not keep accesses: after a restart each key counts as used at the start.
    let key = client.line("RANDOMKEY")?.text().unwrap_or_default();
    let idle = client.line(&format!("OBJECT IDLETIME {key}"))?.integer();
    assert!(idle.is_some_and(|idle| idle < 60), "{idle:?}");
    Ok(())
}

#[test]
fn nothing_is_evicted_while_writes_are_paused() -> TestResult {
    let server = start("vcmap", "allkeys-random")?;
    let mut client = server.raw()?;
    ok(&mut client, "CONFIG SET latency-monitor-threshold 1")?;
    fill(&mut client, "key", 2_000, &[])?;
    ok(&mut client, "CLIENT PAUSE 60000 WRITE")?;
    ok(&mut client, "CONFIG SET maxmemory 1")?;
    thread::sleep(Duration::from_millis(300));
    assert_eq!(number(&mut client, "stats", "evicted_keys")?, 0);
    ok(&mut client, "CLIENT UNPAUSE")?;
    let until = Instant::now() + PATIENCE;
    while number(&mut client, "stats", "evicted_keys")? < 2_000 {
        assert!(Instant::now() < until, "nothing is evicted afterwards");
        thread::sleep(Duration::from_millis(5));
    }
    let latest = format!("{:?}", client.line("LATENCY LATEST")?);
    assert!(latest.contains("eviction-cycle"), "{latest}");
    Ok(())
}

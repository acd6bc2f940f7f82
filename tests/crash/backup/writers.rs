//! Clients whose writes tell, in a copy of the pool, whether the copy is of one moment.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use common::{RawClient, TestResult, Value, encode, show};

/// How many pushes a writer of flushes makes between two of them.
const FLUSH_EVERY: i64 = 40;

/// What a writer has been answered, and when it is to end.
#[derive(Debug, Default)]
pub struct Told {
    pub acked: AtomicI64,
    pub stop: AtomicBool,
}

impl Told {
    pub fn acked(&self) -> i64 {
        self.acked.load(Ordering::Acquire)
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    fn ack(&self, n: i64) {
        self.acked.store(n, Ordering::Release);
    }
}

fn call(client: &mut RawClient, words: &[&str]) -> TestResult<Value> {
    let reply = client.call(words)?;
    if reply.is_error() {
        return Err(format!("{words:?}: {reply:?}").into());
    }
    Ok(reply)
}

/// Step after step: an EXEC of a pair, a key, a list's element, a change of a long value.
pub fn sequence(client: &mut RawClient, name: &str, told: &Told) -> TestResult {
    let keys = ["a", "b", "list", "long"].map(|part| format!("{name}:{part}"));
    let [a, b, list, long] = &keys;
    let mut n = 0;
    while told.goes_on() {
        n += 1;
        let step = n.to_string();
        let fresh = format!("{name}:{n}");
        let place = (n % 50 * 4_000).to_string();
        let calls: [&[&str]; 7] = [
            &["MULTI"],
            &["SET", a, &step],
            &["SET", b, &step],
            &["EXEC"],
            &["SET", &fresh, &step, "PX", "100000000"],
            &["RPUSH", list, &step],
            &["SETRANGE", long, &place, &step],
        ];
        let mut bytes = Vec::new();
        for words in calls {
            encode(&mut bytes, words);
        }
        client.send_bytes(&bytes)?;
        for words in calls {
            let reply = client.read()?;
            if reply.is_error() {
                return Err(format!("{words:?}: {reply:?}").into());
            }
        }
        told.ack(n);
    }
    Ok(())
}

/// Two connections in turn: what one was answered before the other one sent.
pub fn chain(clients: &mut [RawClient; 2], told: &Told) -> TestResult {
    let mut n = 0;
    while told.goes_on() {
        n += 1;
        for (client, key) in clients.iter_mut().zip(["chain:0", "chain:1"]) {
            call(client, &["SET", key, &n.to_string()])?;
        }
        told.ack(n);
    }
    Ok(())
}

/// Pushes, and flushes of the database.
pub fn flushes(client: &mut RawClient, told: &Told) -> TestResult {
    call(client, &["SELECT", "2"])?;
    let mut n = 0;
    while told.goes_on() {
        n += 1;
        call(client, &["SET", &format!("f:{n}"), ""])?;
        if n % FLUSH_EVERY == 0 {
            call(client, &["FLUSHDB"])?;
        }
        told.ack(n);
    }
    Ok(())
}

/// Values that are overwritten and evicted, so that the compaction has to free segments.
pub fn churn(client: &mut RawClient, told: &Told) -> TestResult {
    call(client, &["SELECT", "1"])?;
    let value = "y".repeat(70_000);
    let mut n = 0;
    while told.goes_on() {
        n += 1;
        let key = format!("churn:{}", n * 7 % 300);
        let length = 200 + usize::try_from(n * 7_919 % 60_000)?;
        call(client, &["SET", &key, &value[..length], "EX", "100000"])?;
        told.ack(n);
    }
    Ok(())
}

fn number(client: &mut RawClient, words: &[&str]) -> TestResult<i64> {
    let reply = call(client, words)?;
    if let Some(number) = reply.integer() {
        return Ok(number);
    }
    Ok(reply.text().map_or(Ok(0), |text| text.parse())?)
}

/// Checks what a copy has of a [`sequence`] of which `before` steps were answered before the backup was asked for, and
/// `after` in all. Returns how many steps the copy has.
pub fn check_sequence(
    client: &mut RawClient,
    name: &str,
    before: i64,
    after: i64,
) -> TestResult<i64> {
    let key = |part: &str| format!("{name}:{part}");
    let (a, b) = (
        number(client, &["GET", &key("a")])?,
        number(client, &["GET", &key("b")])?,
    );
    let pushed = number(client, &["LLEN", &key("list")])?;
    // The keys are 1 to the last, and none beyond.
    let mut last = 0;
    while number(client, &["EXISTS", &key(&(last + 1).to_string())])? == 1 {
        last += 1;
        let at = key(&last.to_string());
        assert_eq!(number(client, &["GET", &at])?, last, "{at}");
        assert!(number(client, &["PTTL", &at])? > 99_000_000, "{at}");
    }
    let mut cursor = "0".to_owned();
    let mut count = 0;
    loop {
        let pattern = format!("{name}:[0-9]*");
        let words = ["SCAN", &cursor, "MATCH", &pattern, "COUNT", "1000"];
        let reply = call(client, &words)?;
        let items = reply.items().ok_or("no cursor")?;
        count += i64::try_from(items[1].items().ok_or("no keys")?.len())?;
        cursor = items[0].text().ok_or("no cursor")?;
        if cursor == "0" {
            break;
        }
    }
    let said =
        format!("{name}: {before}..{after}: a {a}, b {b}, last {last} of {count}, list {pushed}");
    assert_eq!(count, last, "{said}");
    assert_eq!(a, b, "{said}");
    assert!(a == last || a == last + 1, "{said}");
    assert!(
        pushed == last || (pushed + 1 == last && a == last),
        "{said}"
    );
    // One more step may have been under way than was answered.
    assert!(
        (before..=after + 1).contains(&a) && pushed >= before,
        "{said}"
    );
    if pushed > 0 {
        let end = show(&call(client, &["LRANGE", &key("list"), "-1", "-1"])?);
        assert_eq!(end, format!("[{pushed}]"), "{said}");
        // The last 50 changes of the long value, but for one that may be missing.
        let long = call(client, &["GET", &key("long")])?;
        let long = long.bytes().ok_or("no value")?;
        for step in (pushed - 40).max(1)..pushed {
            let place = usize::try_from(step % 50 * 4_000)?;
            let text = step.to_string();
            assert!(long[place..].starts_with(text.as_bytes()), "{said}: {step}");
        }
    }
    Ok(last)
}

/// Checks what a copy has of a [`chain`].
pub fn check_chain(client: &mut RawClient, before: i64) -> TestResult {
    let (first, second) = (
        number(client, &["GET", "chain:0"])?,
        number(client, &["GET", "chain:1"])?,
    );
    assert!(second >= before, "{first} {second} {before}");
    assert!(first == second || first == second + 1, "{first} {second}");
    Ok(())
}

/// Checks what a copy has of [`flushes`].
pub fn check_flushes(client: &mut RawClient, before: i64, after: i64) -> TestResult {
    call(client, &["SELECT", "2"])?;
    let reply = call(client, &["KEYS", "*"])?;
    let mut found: Vec<i64> = Vec::new();
    for key in reply.items().ok_or("no keys")? {
        let key = key.text().ok_or("no key")?;
        found.push(key.strip_prefix("f:").ok_or("another key")?.parse()?);
    }
    found.sort_unstable();
    call(client, &["SELECT", "0"])?;
    let Some((&first, &last)) = found.first().zip(found.last()) else {
        return Ok(());
    };
    let said = format!("{before}..{after}: {found:?}");
    assert_eq!(first % FLUSH_EVERY, 1, "{said}");
    assert_eq!(usize::try_from(last - first + 1)?, found.len(), "{said}");
    assert!(found.len() <= usize::try_from(FLUSH_EVERY)?, "{said}");
    assert!((before..=after + 1).contains(&last), "{said}");
    Ok(())
}

//! Keyspace events of random calls: both servers must publish the same ones in the same order.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Generator, Random};
use common::{RawClient, RedisServer, Subject, TestResult, Value};

const SEQUENCES: u64 = 6;
const CALLS: usize = 400;

/// Runs random calls of `generators` on both servers, one after the other, and compares the events that a subscriber
/// gets.
pub fn compare(generators: &[Generator]) -> TestResult {
    compare_with(&RedisServer::start()?, generators)
}

/// The same, with another server.
pub fn compare_with(real: &RedisServer, generators: &[Generator]) -> TestResult {
    let ours = Subject::start("cmap")?;
    let base_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    for seed in 0..SEQUENCES {
        let mut random = Random::new(seed, base_ms);
        let calls: Vec<Vec<Vec<u8>>> = (0..CALLS)
            .map(|_| random.next(generators))
            // The other families only read, and emit no events.
            .filter(|call| !call.compare.is_alone())
            .map(|call| call.words)
            .collect();
        let of_ours = listen(ours.port(), &calls)?;
        let of_real = listen(real.port(), &calls)?;
        for (call, (ours, real)) in calls.iter().zip(of_ours.iter().zip(&of_real)) {
            let words: Vec<_> = call
                .iter()
                .map(|word| word.escape_ascii().to_string())
                .collect();
            assert_eq!(
                ours, real,
                "ours, redis-server, seed {seed}, after {words:?}"
            );
        }
        let heard: usize = of_ours.iter().map(Vec::len).sum();
        assert!(heard > CALLS / 2, "only {heard} messages");
    }
    Ok(())
}

/// The events after each call.
fn listen(port: u16, calls: &[Vec<Vec<u8>>]) -> TestResult<Vec<Vec<Value>>> {
    let (mut caller, mut listener) = (RawClient::connect(port)?, RawClient::connect(port)?);
    caller.line("FLUSHALL")?;
    caller.line("CONFIG SET notify-keyspace-events KEAmn")?;
    listener.line("PSUBSCRIBE __key*")?;
    let mut all = Vec::new();
    for call in calls {
        let reply = caller.call(call)?;
        let begins = call[0] == b"MULTI" && !reply.is_error();
        if begins || reply == Value::Simple(b"QUEUED".to_vec()) {
            // Nothing arrives before EXEC, not even the end marker.
            all.push(Vec::new());
            continue;
        }
        // Any connection may publish the end marker: it arrives after the call's events.
        caller.line("PUBLISH __key:end x")?;
        let mut heard = Vec::new();
        loop {
            let message = listener.read()?;
            let words = message.items().unwrap_or_default();
            let text = |place: usize| words.get(place).and_then(Value::text).unwrap_or_default();
            if text(2) == "__key:end" {
                break;
            }
            // A key set with a deadline in the past disappears at once here, and in Redis when a command touches it.
            if text(3) != "expired" && !text(2).ends_with("__:expired") {
                heard.push(message);
            }
        }
        all.push(heard);
    }
    Ok(all)
}

//! Replays what frameworks send: each file under `tests/it/conversations/` is a conversation of one framework with a
//! server. Every line of it must hold for a real redis-server and for ours, on every engine and layout.
//!
//! A file's lines:
//!
//! | line | meaning |
//! |---|---|
//! | `# text` | a comment |
//! | `app> SET k v` | the connection `app`, opened at its first line, sends a call; `""` is an empty word, `\xHH` a byte |
//! | `app< +OK` | the next reply or push on `app` is this, written as the test's client shows replies |
//! | `app< ~100` | an integer that was 100 a moment ago: 90 to 100 |
//! | `app< has TEXT` | a string that contains the text |
//! | `app< has-map proto 3` | a map (in RESP2 an array) that holds this field with this number |
//! | `app< sorted [...]` | this reply, once the arrays in it are sorted |
//! | `app< begins TEXT` | a reply that begins like this |
//! | `app< as NAME` | a string, which later lines have for `{NAME}` |
//! | `app< 7.2 REPLY` | this reply from Redis 7.2 on; an error before |
//! | `wait 50` | milliseconds |

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use common::{RawClient, RedisServer, Server, TestResult, Value, on_every_engine};

const REPLAYS: &[(&str, &str)] = &[
    ("celery", include_str!("conversations/celery.txt")),
    (
        "connect-redis",
        include_str!("conversations/connect-redis.txt"),
    ),
    ("django", include_str!("conversations/django.txt")),
    (
        "django-redis",
        include_str!("conversations/django-redis.txt"),
    ),
    ("laravel", include_str!("conversations/laravel.txt")),
    ("lettuce", include_str!("conversations/lettuce.txt")),
    ("rails", include_str!("conversations/rails.txt")),
    ("sidekiq", include_str!("conversations/sidekiq.txt")),
    ("spring", include_str!("conversations/spring.txt")),
    (
        "spring-streams",
        include_str!("conversations/spring-streams.txt"),
    ),
    (
        "symfony-messenger",
        include_str!("conversations/symfony-messenger.txt"),
    ),
];

fn replay_all(port: u16) -> TestResult {
    let mut wrong = Vec::new();
    for (name, text) in REPLAYS {
        let mut first = RawClient::connect(port)?;
        first.line("FLUSHALL")?;
        if let Err(error) = replay(port, text) {
            wrong.push(format!("{name}.txt:{error}"));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n").into())
    }
}

fn replay(port: u16, text: &str) -> TestResult {
    let version = version(port)?;
    let mut clients = HashMap::new();
    let mut named: Vec<(String, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let replaced = named.iter().fold(line.to_owned(), |line, (name, value)| {
            line.replace(name, value)
        });
        let line = replaced.as_str();
        let at = |what: String| format!("{}: {line}\n    {what}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(ms) = line.strip_prefix("wait ") {
            thread::sleep(Duration::from_millis(ms.parse()?));
            continue;
        }
        let end = line
            .find(['>', '<'])
            .ok_or_else(|| at("no line of a replay".to_owned()))?;
        let (name, rest) = line.split_at(end);
        if !clients.contains_key(name) {
            clients.insert(name.to_owned(), RawClient::connect(port)?);
        }
        let client = clients.get_mut(name).ok_or("it was put there")?;
        if let Some(call) = rest.strip_prefix("> ") {
            client.send(&words(call)?)?;
        } else if let Some(wanted) = rest.strip_prefix("< ") {
            let reply = client.read().map_err(|error| at(error.to_string()))?;
            if let Some(name) = wanted.strip_prefix("as ") {
                let value = reply.text().ok_or_else(|| at(format!("{reply:?}")))?;
                named.push((format!("{{{name}}}"), value));
                continue;
            }
            compare(wanted, &reply, version).map_err(at)?;
        } else {
            return Err(at("no line of a replay".to_owned()).into());
        }
    }
    // The server must send nothing that no line expects.
    for (name, client) in &mut clients {
        client.send(&["QUIT"])?;
        let last = client.read()?;
        if last != Value::Simple(b"OK".to_vec()) {
            return Err(format!("{name}: a reply that no line expects: {last:?}").into());
        }
    }
    Ok(())
}

/// The major and minor version that the server reports.
fn version(port: u16) -> TestResult<(u32, u32)> {
    let info = RawClient::connect(port)?.line("INFO server")?;
    let info = info.text().unwrap_or_default();
    let mut numbers = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"))
        .ok_or("INFO names no version")?
        .split('.');
    let mut next = || -> TestResult<u32> { Ok(numbers.next().ok_or("a short version")?.parse()?) };
    Ok((next()?, next()?))
}

fn words(call: &str) -> TestResult<Vec<Vec<u8>>> {
    call.split(' ').map(word).collect()
}

fn word(text: &str) -> TestResult<Vec<u8>> {
    if text == "\"\"" {
        return Ok(Vec::new());
    }
    let mut pieces = text.split("\\x");
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or("\\x wants two digits")?;
        bytes.push(u8::from_str_radix(digits, 16)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Ok(bytes)
}

fn compare(wanted: &str, reply: &Value, version: (u32, u32)) -> Result<(), String> {
    let found = format!("{reply:?}").replace("\\'", "'");
    let agree = if let Some(wanted) = wanted.strip_prefix("7.2 ") {
        if version < (7, 2) {
            reply.is_error()
        } else {
            return compare(wanted, reply, version);
        }
    } else if let Some(most) = wanted.strip_prefix('~') {
        let most: i64 = most.parse().map_err(|_| "no number".to_owned())?;
        let least = most - most.div_euclid(10);
        reply
            .integer()
            .is_some_and(|number| (least..=most).contains(&number))
    } else if let Some(beginning) = wanted.strip_prefix("begins ") {
        found.starts_with(beginning)
    } else if let Some(part) = wanted.strip_prefix("has ") {
        reply.text().is_some_and(|text| text.contains(part))
    } else if let Some(field) = wanted.strip_prefix("has-map ") {
        let (name, number) = field
            .split_once(' ')
            .ok_or("has-map wants a name and a number")?;
        found.contains(&format!("\"{name}\": :{number}"))
            || found.contains(&format!("\"{name}\", :{number}"))
    } else if let Some(wanted) = wanted.strip_prefix("sorted ") {
        format!("{:?}", sorted(reply)) == wanted
    } else {
        found == wanted
    };
    if agree { Ok(()) } else { Err(found) }
}

fn sorted(value: &Value) -> Value {
    match value {
        // A cursor and its elements stay in their order.
        Value::Array(items) if matches!(items.as_slice(), [Value::Bulk(_), Value::Array(_)]) => {
            Value::Array(vec![items[0].clone(), sorted(&items[1])])
        }
        Value::Array(items) => {
            let mut items = items.clone();
            items.sort();
            Value::Array(items)
        }
        other => other.clone(),
    }
}

fn on(store: &str) -> TestResult {
    replay_all(Server::start(store)?.port())
}

on_every_engine!(on);

/// The files hold for Redis itself.
#[test]
fn redis_server() -> TestResult {
    replay_all(RedisServer::start()?.port())
}

//! What a server holds, in a form in which two servers can be compared.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use common::{RawClient, TestResult, Value, show};

/// By database and key: type, deadline, value.
pub type Contents = BTreeMap<(usize, String), String>;

/// Everything in all databases.
pub fn of(client: &mut RawClient) -> TestResult<Contents> {
    let mut contents = Contents::new();
    for db in 0..16 {
        client.call(&["SELECT", &db.to_string()])?;
        let mut cursor = b"0".to_vec();
        loop {
            let reply = client.call(&[&b"SCAN"[..], &cursor, b"COUNT", b"1000"])?;
            let parts = reply.items().ok_or_else(|| show(&reply))?;
            let keys = parts[1].items().unwrap_or_default();
            for key in keys.iter().filter_map(Value::bytes) {
                let kind = client
                    .call(&[&b"TYPE"[..], key])?
                    .text()
                    .unwrap_or_default();
                if kind == "none" {
                    continue;
                }
                let deadline = client.call(&[&b"PEXPIRETIME"[..], key])?;
                let value = value_of(client, &kind, key)?;
                let name = (db, key.escape_ascii().to_string());
                let shown = format!("{kind} {} {value}", show(&deadline));
                contents.insert(name, shown);
            }
            cursor = parts[0].bytes().unwrap_or(b"0").to_vec();
            if cursor == b"0" {
                break;
            }
        }
    }
    Ok(contents)
}

fn value_of(client: &mut RawClient, kind: &str, key: &[u8]) -> TestResult<String> {
    let mut call = |words: &[&[u8]]| -> TestResult<Value> {
        let words: Vec<&[u8]> = [&words[..1], &[key], &words[1..]].concat();
        Ok(client.call(&words)?)
    };
    let sorted = |reply: Value, width: usize| {
        let items = reply.items().unwrap_or_default();
        let mut groups: Vec<String> = items
            .chunks(width)
            .map(|group| group.iter().map(show).collect::<Vec<_>>().join(" = "))
            .collect();
        groups.sort();
        groups.join("; ")
    };
    Ok(match kind {
        "string" => show(&call(&[b"GET"])?),
        "list" => show(&call(&[b"LRANGE", b"0", b"-1"])?),
        "set" => sorted(call(&[b"SMEMBERS"])?, 1),
        "hash" => sorted(call(&[b"HGETALL"])?, 2),
        "zset" => show(&call(&[b"ZRANGE", b"0", b"-1", b"WITHSCORES"])?),
        "stream" => {
            let entries = show(&call(&[b"XRANGE", b"-", b"+"])?);
            let info = client.call(&[&b"XINFO"[..], b"STREAM", key, b"FULL", b"COUNT", b"0"])?;
            format!("{entries} {}", stream_info(&info))
        }
        other => format!("a {other}"),
    })
}

/// What XINFO STREAM FULL tells, without how the server holds the stream and when consumers were seen.
fn stream_info(info: &Value) -> String {
    let Some(items) = info.items() else {
        return show(info);
    };
    let is_map = !items.is_empty()
        && items.len().is_multiple_of(2)
        && items
            .iter()
            .step_by(2)
            .all(|name| name.text().is_some_and(|name| !name.is_empty()));
    if !is_map {
        // Valkey and Redis 7.0 do not tell their replicas of a consumer that got nothing yet.
        let items = items.iter().filter(|item| !is_idle_consumer(item));
        let items: Vec<String> = items.map(stream_info).collect();
        return format!("[{}]", items.join(", "));
    }
    let pairs = items.chunks(2).filter_map(|pair| {
        let name = pair[0].text()?;
        // A master tells its replicas by XCLAIM what it has delivered, which does not say how many entries a group has read.
        let hidden = [
            "radix-tree-keys",
            "radix-tree-nodes",
            "seen-time",
            "active-time",
            "entries",
            "entries-read",
            "lag",
        ];
        (!hidden.contains(&name.as_str())).then(|| format!("{name}: {}", stream_info(&pair[1])))
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// Whether it is what XINFO tells of a consumer without pending entries.
fn is_idle_consumer(item: &Value) -> bool {
    let fields = item.items().unwrap_or_default();
    let has = |name: &str| {
        let mut pairs = fields.chunks(2);
        pairs.find(|pair| pair[0].text().as_deref() == Some(name))
    };
    has("seen-time").is_some()
        && has("pel-count").is_some_and(|pair| pair.get(1) == Some(&Value::Integer(0)))
}

/// Fails unless both servers hold the same within a few seconds: keys expire meanwhile.
pub fn assert_same(master: &mut RawClient, replica: &mut RawClient) -> TestResult<usize> {
    let deadline = Instant::now() + Duration::from_secs(8);
    loop {
        let (wanted, found) = (of(master)?, of(replica)?);
        if wanted == found {
            return Ok(wanted.len());
        }
        if Instant::now() > deadline {
            return Err(difference(&wanted, &found).into());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn difference(wanted: &Contents, found: &Contents) -> String {
    let mut lines = Vec::new();
    for (name, value) in wanted {
        match found.get(name) {
            Some(other) if other == value => {}
            other => lines.push(format!("{name:?}:\n  master  {value}\n  replica {other:?}")),
        }
    }
    for (name, value) in found {
        if !wanted.contains_key(name) {
            lines.push(format!("{name:?}:\n  only the replica has {value}"));
        }
    }
    let count = lines.len();
    lines.truncate(8);
    format!("{count} keys differ:\n{}", lines.join("\n"))
}

//! Reads a stream from a server that runs: its numbers, entries, groups and pending entries, without times.

use common::{RawClient, TestResult, Value};

use crate::contents::{Item, pair};

/// The stream under a key.
pub fn read(client: &mut RawClient, key: &[u8], deadline: Option<i64>) -> TestResult<Option<Item>> {
    let info = client.call(&[b"XINFO".as_slice(), b"STREAM", key])?;
    if info.is_error() {
        // Past its deadline in the meantime.
        return Ok(None);
    }
    let mut parts = vec![
        pair(b"length", number(field(&info, "length")?)?.as_bytes()),
        pair(b"last", bytes(field(&info, "last-generated-id")?)?),
        pair(b"deleted", bytes(field(&info, "max-deleted-entry-id")?)?),
        pair(b"added", number(field(&info, "entries-added")?)?.as_bytes()),
    ];
    let entries = client.call(&[b"XRANGE".as_slice(), key, b"-", b"+"])?;
    for entry in items(&entries)? {
        let [id, fields] = items(entry)? else {
            return Err(format!("an entry: {entry:?}").into());
        };
        let mut flat = Vec::new();
        for field in items(fields)?.chunks_exact(2) {
            flat.extend(pair(bytes(&field[0])?, bytes(&field[1])?));
        }
        parts.push(pair(bytes(id)?, &flat));
    }
    let groups = client.call(&[b"XINFO".as_slice(), b"GROUPS", key])?;
    for group in items(&groups)? {
        let name = bytes(field(group, "name")?)?;
        parts.push(pair(name, bytes(field(group, "last-delivered-id")?)?));
        let ask: [&[u8]; 6] = [b"XPENDING", key, name, b"-", b"+", b"1000000"];
        for pending in items(&client.call(&ask)?)? {
            let [id, consumer, _, deliveries] = items(pending)? else {
                return Err(format!("a pending entry: {pending:?}").into());
            };
            let deliveries = number(deliveries)?;
            let about = [
                bytes(id)?,
                b" ",
                deliveries.as_bytes(),
                b" ",
                bytes(consumer)?,
            ];
            parts.push(pair(name, &about.concat()));
        }
        let consumers = client.call(&[b"XINFO".as_slice(), b"CONSUMERS", key, name])?;
        for consumer in items(&consumers)? {
            let consumer = bytes(field(consumer, "name")?)?;
            parts.push(pair(name, &pair(b"consumer", consumer)));
        }
    }
    parts.sort();
    Ok(Some(Item::collection("stream", deadline, &parts)))
}

fn field<'a>(info: &'a Value, name: &str) -> TestResult<&'a Value> {
    let mut pairs = items(info)?.chunks_exact(2);
    let pair = pairs.find(|pair| pair[0].bytes() == Some(name.as_bytes()));
    Ok(&pair.ok_or_else(|| format!("no {name}: {info:?}"))?[1])
}

fn items(reply: &Value) -> TestResult<&[Value]> {
    Ok(reply
        .items()
        .ok_or_else(|| format!("no array: {reply:?}"))?)
}

fn bytes(reply: &Value) -> TestResult<&[u8]> {
    Ok(reply
        .bytes()
        .ok_or_else(|| format!("no string: {reply:?}"))?)
}

fn number(reply: &Value) -> TestResult<String> {
    let number = reply
        .integer()
        .ok_or_else(|| format!("no number: {reply:?}"))?;
    Ok(number.to_string())
}

//! Calls whose replies cannot be compared directly: scans, random choices, DUMP and RESTORE. Checks their properties
//! instead. Also reads the value of a key of any type.

use std::collections::BTreeSet;
use std::io;

use super::run::{Pair, sorted, sorted_pairs};
use super::{Call, Compare, differences, stream_times};
use common::{RawClient, Value};

/// A scan of one collection with more calls than this will never end.
const WALK_CALLS_MAX: usize = 10_000;

/// Runs one such call on both servers.
pub(super) fn compare(pair: &mut Pair, call: &Call) -> Result<(), String> {
    match call.compare {
        Compare::Walk => compare_walk(pair, call),
        Compare::Chosen => compare_chosen(pair, call),
        _ => compare_restore(pair, call),
    }
}

/// The contents of a key, in an order that depends only on the value.
pub(super) fn value(client: &mut RawClient, key: &[u8]) -> io::Result<Value> {
    let kind = client.call(&[b"TYPE".as_slice(), key])?;
    let words: &[&[u8]] = match kind.bytes().unwrap_or_default() {
        b"hash" => &[b"HGETALL", key],
        b"list" => &[b"LRANGE", key, b"0", b"-1"],
        b"set" => &[b"SMEMBERS", key],
        b"stream" => return stream(client, key),
        b"zset" => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        _ => &[b"GET", key],
    };
    let value = client.call(words)?;
    Ok(match words[0] {
        b"HGETALL" => sorted_pairs(&value),
        b"SMEMBERS" => sorted(&value),
        _ => value,
    })
}

/// The entries of a stream, with its numbers and its groups.
fn stream(client: &mut RawClient, key: &[u8]) -> io::Result<Value> {
    let info: [&[u8]; 6] = [b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"1"];
    let info = client.call(&info)?;
    let entries = client.call(&[b"XRANGE", key, b"-", b"+"])?;
    Ok(Value::Map(vec![(entries, info)]))
}

/// Whether two values of keys are equal, up to what servers tell in different ways.
pub(super) fn same_value(ours: &Value, real: &Value) -> bool {
    match (ours, real) {
        (Value::Map(ours), Value::Map(real)) if ours.len() == 1 && real.len() == 1 => {
            ours[0].0 == real[0].0 && stream_times::same_info(&ours[0].1, &real[0].1)
        }
        _ => differences::same_numbers(ours, real),
    }
}

fn compare_walk(pair: &mut Pair, call: &Call) -> Result<(), String> {
    let ours = walk(&mut pair.ours, call).map_err(|error| format!("ours: {error}"))?;
    let real = walk(&mut pair.real, call).map_err(|error| format!("redis-server: {error}"))?;
    if ours.len() == real.len()
        && ours
            .iter()
            .zip(&real)
            .all(|(ours, real)| differences::same_numbers(ours, real))
    {
        return Ok(());
    }
    Err(format!("ours         {ours:?}\nredis-server {real:?}"))
}

/// All elements in order, each once: an array for each element with its value or score. Or one error.
fn walk(client: &mut RawClient, call: &Call) -> io::Result<Vec<Value>> {
    let mut found = BTreeSet::new();
    let width = if call.words[0].eq_ignore_ascii_case(b"SSCAN") {
        1
    } else {
        2
    };
    let mut cursor = b"0".to_vec();
    for _ in 0..WALK_CALLS_MAX {
        let mut words = call.words.clone();
        words.insert(2, cursor);
        let reply = client.call(&words)?;
        if reply.is_error() {
            return Ok(vec![reply]);
        }
        let unexpected = || io::Error::other(format!("{reply:?}"));
        let [next, page] = reply.items().ok_or_else(unexpected)? else {
            return Err(unexpected());
        };
        let page = page.items().ok_or_else(unexpected)?;
        if !page.len().is_multiple_of(width) {
            return Err(unexpected());
        }
        found.extend(page.chunks(width).map(|item| Value::Array(item.to_vec())));
        cursor = next.bytes().ok_or_else(unexpected)?.to_vec();
        if cursor == b"0" {
            return Ok(found.into_iter().collect());
        }
    }
    Err(io::Error::other("the walk does not end"))
}

/// Replies that name elements which the server chose.
fn compare_chosen(pair: &mut Pair, call: &Call) -> Result<(), String> {
    let (ours, problem) = choose(&mut pair.ours, call).map_err(|error| error.to_string())?;
    let (real, problem_there) = choose(&mut pair.real, call).map_err(|error| error.to_string())?;
    if let Some(problem) = problem {
        return Err(format!("ours {problem}: {ours:?}"));
    }
    if let Some(problem) = problem_there {
        return Err(format!("redis-server {problem}: {real:?}"));
    }
    if shape(&ours) == shape(&real) {
        return Ok(());
    }
    Err(format!("ours         {ours:?}\nredis-server {real:?}"))
}

/// Checks a reply. Puts the removed elements back, so that the servers stay alike.
fn choose(client: &mut RawClient, call: &Call) -> io::Result<(Value, Option<&'static str>)> {
    let key = &call.words[1];
    let held = value(client, key)?;
    let reply = client.call(&call.words)?;
    let name = call.words[0].to_ascii_uppercase();
    let held_items = flat(&held);
    let with_values = call.words.len() > 3;
    // An element of a set is one item, an element of another type two: with its value or score.
    let width = if name.starts_with(b"S") { 1 } else { 2 };
    let pairs: Vec<&[Value]> = held_items.chunks(width).collect();
    let items = flat(&reply);
    if reply.is_error() || reply.is_null() {
        return Ok((reply, None));
    }
    let chosen: Vec<&[Value]> = items.chunks(if with_values { 2 } else { 1 }).collect();
    let is_held = |item: &[Value]| {
        pairs.iter().any(|pair| {
            pair.iter()
                .zip(item)
                .all(|(a, b)| differences::same_number(a, b))
        })
    };
    let mut problem = chosen
        .iter()
        .any(|item| !is_held(item))
        .then_some("chooses what is not there");
    let repeats = call.words.get(2).is_some_and(|n| n.starts_with(b"-"));
    let distinct: BTreeSet<_> = chosen.iter().map(|item| &item[0]).collect();
    if !repeats && distinct.len() != chosen.len() {
        problem = Some("repeats");
    }
    if name == b"SPOP" && !chosen.is_empty() {
        let left = client.call(&[b"SCARD".as_slice(), key])?.integer();
        if left != i64::try_from(pairs.len() - chosen.len()).ok() {
            problem = Some("does not remove what it names");
        }
        let mut words = vec![b"SADD".to_vec(), key.clone()];
        words.extend(
            chosen
                .iter()
                .filter_map(|item| item[0].bytes())
                .map(<[u8]>::to_vec),
        );
        client.call(&words)?;
    }
    Ok((reply, problem))
}

/// All strings of a reply, in sequence, at any depth.
fn flat(value: &Value) -> Vec<Value> {
    match value {
        Value::Map(pairs) => pairs
            .iter()
            .flat_map(|(name, value)| [name.clone(), value.clone()])
            .collect(),
        Value::Array(items) | Value::Set(items) => items.iter().flat_map(flat).collect(),
        other => vec![other.clone()],
    }
}

/// The reply without its strings, but with its errors.
fn shape(value: &Value) -> Value {
    match value {
        Value::Bulk(_) => Value::Bulk(Vec::new()),
        Value::Double(_) => Value::Double(Vec::new()),
        Value::Array(items) => Value::Array(items.iter().map(shape).collect()),
        Value::Set(items) => Value::Set(items.iter().map(shape).collect()),
        other => other.clone(),
    }
}

/// The position of the payload among RESTORE's arguments; the call has a key there.
const PAYLOAD: usize = 3;

fn compare_restore(pair: &mut Pair, call: &Call) -> Result<(), String> {
    let dump = |client: &mut RawClient| -> Result<Value, String> {
        client
            .call(&[b"DUMP".as_slice(), &call.words[PAYLOAD]])
            .map_err(|error| error.to_string())
    };
    let mut of_ours = dump(&mut pair.ours)?;
    let mut of_real = dump(&mut pair.real)?;
    if of_ours.is_null() != of_real.is_null() {
        return Err(format!("DUMP: ours {of_ours:?}, redis-server {of_real:?}"));
    }
    if pair.exchanges_dumps {
        std::mem::swap(&mut of_ours, &mut of_real);
    }
    let restore = |client: &mut RawClient, payload: &Value| -> Result<Value, String> {
        let mut words = call.words.clone();
        words[PAYLOAD] = payload.bytes().unwrap_or(b"nothing").to_vec();
        client.call(&words).map_err(|error| error.to_string())
    };
    let ours = restore(&mut pair.ours, &of_ours)?;
    let real = restore(&mut pair.real, &of_real)?;
    if !pair.agree(call, &ours, &real) {
        return Err(format!("ours         {ours:?}\nredis-server {real:?}"));
    }
    let value_of =
        |client: &mut RawClient| value(client, &call.words[1]).map_err(|e| e.to_string());
    let (ours, real) = (value_of(&mut pair.ours)?, value_of(&mut pair.real)?);
    if same_value(&ours, &real) {
        return Ok(());
    }
    Err(format!(
        "restored\nours         {ours:?}\nredis-server {real:?}"
    ))
}

//! Compares replies of streams that hold times, or what only a radix tree has.

use super::Call;
use common::Value;

/// Fields that hold a time: how long ago, or since the epoch.
const TIMES: &[&[u8]] = &[b"idle", b"seen-time"];
/// Fields that Redis 7.2 has and 7.0 has not.
const NEWER: &[&[u8]] = &[b"inactive", b"active-time"];
/// Fields that tell of Redis's radix tree.
const TREE: &[&[u8]] = &[b"radix-tree-keys", b"radix-tree-nodes"];

/// Whether two replies are equal except for times, which may differ by `tolerance_ms`.
pub(super) fn agree(call: &Call, ours: &Value, real: &Value, tolerance_ms: i64) -> bool {
    let (mut our_times, mut real_times) = (Vec::new(), Vec::new());
    let extended = call.words[0].eq_ignore_ascii_case(b"xpending");
    let ours = without_times(ours, extended, &mut our_times);
    let real = without_times(real, extended, &mut real_times);
    ours == real
        && our_times.len() == real_times.len()
        && our_times
            .iter()
            .zip(&real_times)
            .all(|(ours, real)| (ours - real).abs() <= tolerance_ms)
}

/// A reply of XINFO without its times.
pub(super) fn timeless(reply: &Value) -> Value {
    without_times(reply, false, &mut Vec::new())
}

/// A reply without the ids that the server made of the time of day.
pub(super) fn without_ids(reply: &Value) -> Value {
    /// Milliseconds since the epoch, from 2020 to 2096.
    const TODAY: std::ops::Range<u64> = 1_577_836_800_000..4_000_000_000_000;
    match reply {
        Value::Bulk(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let ms = text.split_once('-').and_then(|(ms, _)| ms.parse().ok());
            if ms.is_some_and(|ms| TODAY.contains(&ms)) {
                return Value::Simple(b"an id".to_vec());
            }
            reply.clone()
        }
        Value::Array(items) => Value::Array(items.iter().map(without_ids).collect()),
        Value::Map(pairs) => {
            let pairs = pairs.iter();
            Value::Map(
                pairs
                    .map(|(key, value)| (key.clone(), without_ids(value)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

/// The reply with its times taken out.
fn without_times(value: &Value, extended: bool, times: &mut Vec<i64>) -> Value {
    match value {
        // An entry that is pending: its id, its consumer, how long it is idle, its deliveries.
        Value::Array(items) if extended && items.len() == 4 && items[2].integer().is_some() => {
            times.extend(items[2].integer());
            Value::Array(vec![items[0].clone(), items[1].clone(), items[3].clone()])
        }
        Value::Array(items) => match named(items) {
            Some(pairs) => fields(&pairs, extended, times),
            None => Value::Array(
                items
                    .iter()
                    .map(|item| without_times(item, extended, times))
                    .collect(),
            ),
        },
        Value::Map(pairs) => fields(pairs, extended, times),
        other => other.clone(),
    }
}

/// The pairs of an array that stands for a map: of a stream, a group or a consumer.
fn named(items: &[Value]) -> Option<Vec<(Value, Value)>> {
    let first = items.first()?.bytes()?;
    let known = [b"length".as_slice(), b"name"].contains(&first);
    let pairs = items
        .chunks_exact(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()));
    (known && items.len().is_multiple_of(2)).then(|| pairs.collect())
}

fn fields(pairs: &[(Value, Value)], extended: bool, times: &mut Vec<i64>) -> Value {
    let mut kept = Vec::new();
    for (name, value) in pairs {
        let bytes = name.bytes().unwrap_or_default();
        if TIMES.contains(&bytes) {
            times.extend(value.integer());
        } else if bytes == b"pending" && value.items().is_some() {
            kept.push((name.clone(), pending(value, times)));
        } else if !NEWER.contains(&bytes) && !TREE.contains(&bytes) {
            kept.push((name.clone(), without_times(value, extended, times)));
        }
    }
    Value::Map(kept)
}

/// Pending entries in XINFO STREAM FULL. The time and the number of deliveries stand last in each.
fn pending(value: &Value, times: &mut Vec<i64>) -> Value {
    let entry = |entry: &Value| {
        let items = entry.items().unwrap_or_default();
        match items {
            [who @ .., time, deliveries] => {
                times.extend(time.integer());
                Value::Array([who, std::slice::from_ref(deliveries)].concat())
            }
            _ => entry.clone(),
        }
    };
    let entries = value.items().unwrap_or_default();
    Value::Array(entries.iter().map(entry).collect())
}

//! Compares replies of streams that hold times, or what only a radix tree has.

use super::Call;
use common::Value;

/// Fields that tell when a consumer was last seen: how long ago, and since the epoch. Redis 7.2 counts more as having seen
/// it than 7.0 does, so ours may be later.
const IDLE: &[u8] = b"idle";
const SEEN: &[u8] = b"seen-time";
/// Counts of which Redis 7.2 and 7.0 say different things where the stream has lost entries.
const COUNTS: &[&[u8]] = &[b"entries-read", b"lag"];
/// Fields that Redis 7.2 has and 7.0 has not.
const NEWER: &[&[u8]] = &[b"inactive", b"active-time"];
/// Fields that tell of Redis's radix tree.
const TREE: &[&[u8]] = &[b"radix-tree-keys", b"radix-tree-nodes"];

/// Whether two replies are equal except for times, which may differ by `tolerance_ms`.
pub(super) fn agree(call: &Call, ours: &Value, real: &Value, tolerance_ms: i64) -> bool {
    let (mut our_times, mut real_times) = (Times::default(), Times::default());
    let extended = call.words[0].eq_ignore_ascii_case(b"xpending");
    let ours = without_times(ours, extended, &mut our_times);
    let real = without_times(real, extended, &mut real_times);
    let near = |(ours, real): (&i64, &i64)| (ours - real).abs() <= tolerance_ms;
    let later = |(ours, real): (&i64, &i64)| *ours >= real - tolerance_ms;
    ours == real
        && our_times
            .delivered
            .iter()
            .zip(&real_times.delivered)
            .all(near)
        && our_times.seen.iter().zip(&real_times.seen).all(later)
        && our_times.same_counts(&real_times)
}

/// What is compared in another way than byte for byte.
#[derive(Default)]
struct Times {
    /// When entries were delivered.
    delivered: Vec<i64>,
    /// When consumers were seen: the greater, the later.
    seen: Vec<i64>,
    /// Numbers, or null.
    counts: Vec<Value>,
    /// Whether the reply says that the stream has every entry that was added.
    has_all: bool,
}

impl Times {
    /// Whether the counts are equal, if they must be.
    fn same_counts(&self, real: &Self) -> bool {
        !self.has_all || self.counts == real.counts
    }
}

/// Whether two replies of XINFO STREAM FULL are equal except for times.
pub(super) fn same_info(ours: &Value, real: &Value) -> bool {
    let (mut our_times, mut real_times) = (Times::default(), Times::default());
    without_times(ours, false, &mut our_times) == without_times(real, false, &mut real_times)
        && our_times.same_counts(&real_times)
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
fn without_times(value: &Value, extended: bool, times: &mut Times) -> Value {
    match value {
        // An entry that is pending: its id, its consumer, how long it is idle, its deliveries.
        Value::Array(items) if extended && items.len() == 4 && items[2].integer().is_some() => {
            times.delivered.extend(items[2].integer());
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

fn fields(pairs: &[(Value, Value)], extended: bool, times: &mut Times) -> Value {
    let mut kept = Vec::new();
    let field = |wanted: &[u8]| pairs.iter().find(|(name, _)| name.bytes() == Some(wanted));
    if let (Some((_, length)), Some((_, added))) = (field(b"length"), field(b"entries-added")) {
        times.has_all = length == added;
    }
    for (name, value) in pairs {
        let bytes = name.bytes().unwrap_or_default();
        if COUNTS.contains(&bytes) {
            times.counts.push(value.clone());
        } else if bytes == IDLE {
            times.seen.extend(value.integer().map(|ms| -ms));
        } else if bytes == SEEN {
            times.seen.extend(value.integer());
        } else if bytes == b"pending" && value.items().is_some() {
            kept.push((name.clone(), pending(value, times)));
        } else if !NEWER.contains(&bytes) && !TREE.contains(&bytes) {
            kept.push((name.clone(), without_times(value, extended, times)));
        }
    }
    Value::Map(kept)
}

/// Pending entries in XINFO STREAM FULL. The time and the number of deliveries stand last in each.
fn pending(value: &Value, times: &mut Times) -> Value {
    let entry = |entry: &Value| {
        let items = entry.items().unwrap_or_default();
        match items {
            [who @ .., time, deliveries] => {
                times.delivered.extend(time.integer());
                Value::Array([who, std::slice::from_ref(deliveries)].concat())
            }
            _ => entry.clone(),
        }
    };
    let entries = value.items().unwrap_or_default();
    Value::Array(entries.iter().map(entry).collect())
}

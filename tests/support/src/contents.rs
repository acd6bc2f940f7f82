//! All that a server holds, in a form in which servers are compared: values and deadlines, and not how a server encodes them.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use redis_core::serialised::{Object, StreamGroup, StreamId, decode_value};

use super::{RawClient, TestResult, Value, show};

const DATABASES: usize = 16;

/// The version and the checksum behind the value of a dump.
const DUMP_END_BYTES: usize = 10;

/// How long a replica may take to hold what its master holds: keys expire meanwhile.
const PATIENCE: Duration = Duration::from_secs(8);

/// A difference shows so many keys, and so much of each.
const SHOWN_KEYS: usize = 8;
const SHOWN_CHARACTERS: usize = 2_000;

/// What a server holds: for each database and key its value and its deadline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents(BTreeMap<(usize, Vec<u8>), (Object, i64)>);

impl Contents {
    /// Everything in all databases.
    ///
    /// # Errors
    /// What the client says, and a dump that does not read.
    pub fn of(client: &mut RawClient) -> TestResult<Self> {
        let mut all = BTreeMap::new();
        for db in 0..DATABASES {
            client.call(&["SELECT", &db.to_string()])?;
            let mut cursor = b"0".to_vec();
            loop {
                let reply = client.call(&[&b"SCAN"[..], &cursor, b"COUNT", b"1000"])?;
                let parts = reply.items().ok_or_else(|| show(&reply))?;
                let keys = parts[1].items().unwrap_or_default();
                for key in keys.iter().filter_map(Value::bytes) {
                    if let Some(held) = value_and_deadline(client, key)? {
                        all.insert((db, key.to_vec()), held);
                    }
                }
                cursor = parts[0].bytes().unwrap_or(b"0").to_vec();
                if cursor == b"0" {
                    break;
                }
            }
        }
        Ok(Self(all))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Leaves a key out.
    pub fn forget(&mut self, db: usize, key: &[u8]) {
        self.0.remove(&(db, key.to_vec()));
    }

    /// The same without the times at which consumers were last seen: an append-only file does not tell them.
    #[must_use]
    pub fn unseen(mut self) -> Self {
        for (value, _) in self.0.values_mut() {
            if let Object::Stream(stream) = value {
                let groups = stream.groups.iter_mut();
                for consumer in groups.flat_map(|group| &mut group.consumers) {
                    consumer.seen_ms = 0;
                }
            }
        }
        self
    }

    /// The same without what a master does not tell its replicas: besides those times the consumers that got nothing yet, and
    /// how many entries a group has read, since XCLAIM does not say it.
    #[must_use]
    pub fn replicated(self) -> Self {
        let mut all = self.unseen();
        for (value, _) in all.0.values_mut() {
            if let Object::Stream(stream) = value {
                for group in &mut stream.groups {
                    forget_idle_consumers(group);
                    group.entries_read = None;
                }
            }
        }
        all
    }

    /// What differs, with the names of the two sides. `None` if nothing does.
    pub fn difference(&self, other: &Self, [own, others]: [&str; 2]) -> Option<String> {
        let mut lines = Vec::new();
        for (name, held) in &self.0 {
            if other.0.get(name) != Some(held) {
                let found = shown(other.0.get(name));
                let wanted = shown(Some(held));
                lines.push(format!(
                    "{}:\n  {own}: {wanted}\n  {others}: {found}",
                    shown_name(name)
                ));
            }
        }
        let only = other
            .0
            .iter()
            .filter(|(name, _)| !self.0.contains_key(*name));
        lines.extend(only.map(|(name, held)| {
            let found = shown(Some(held));
            format!("{}:\n  only {others}: {found}", shown_name(name))
        }));
        let count = lines.len();
        lines.truncate(SHOWN_KEYS);
        (count > 0).then(|| format!("{count} keys differ:\n{}", lines.join("\n")))
    }

    /// Fails unless both are the same, and something is there.
    ///
    /// # Panics
    /// If they differ.
    pub fn assert_same(&self, other: &Self) {
        assert!(!self.is_empty());
        if let Some(difference) = self.difference(other, ["the first", "the second"]) {
            panic!("{difference}");
        }
    }
}

fn shown_name((db, key): &(usize, Vec<u8>)) -> String {
    format!("database {db}, '{}'", key.escape_ascii())
}

fn shown(held: Option<&(Object, i64)>) -> String {
    let Some((value, deadline)) = held else {
        return "nothing".to_owned();
    };
    let mut text = match value {
        Object::String(value) => format!("'{}'", value.escape_ascii()),
        other => format!("{other:?}"),
    };
    if let Some((at, _)) = text.char_indices().nth(SHOWN_CHARACTERS) {
        text.truncate(at);
        text.push_str("...");
    }
    format!("until {deadline}: {text}")
}

/// A key's value and deadline; `None` if it is gone.
fn value_and_deadline(client: &mut RawClient, key: &[u8]) -> TestResult<Option<(Object, i64)>> {
    let dump = client.call(&[b"DUMP", key])?;
    if dump.is_error() {
        return Err(show(&dump).into());
    }
    let deadline = client.call(&[b"PEXPIRETIME", key])?.integer();
    let deadline = deadline.ok_or("no deadline")?;
    let (Some(dump), true) = (dump.bytes(), deadline != -2) else {
        return Ok(None);
    };
    let (&form, rest) = dump.split_first().ok_or("an empty dump")?;
    let end = rest
        .len()
        .checked_sub(DUMP_END_BYTES)
        .ok_or("a short dump")?;
    let value = decode_value(form, &rest[..end])
        .map_err(|error| format!("the dump of '{}': {error}", key.escape_ascii()))?;
    Ok(Some((ordered(value), deadline)))
}

/// A value without what does not matter: the order of members, entries that were deleted, and what Redis 7.0 does not know.
fn ordered(mut value: Object) -> Object {
    match &mut value {
        Object::String(_) | Object::List(_) => {}
        Object::Set(members) => members.sort(),
        Object::Hash(fields) => fields.sort(),
        Object::ExpiringHash(fields) => fields.sort_by(|a, b| a.name.cmp(&b.name)),
        Object::SortedSet(members) => members.sort_by(|a, b| a.0.cmp(&b.0)),
        Object::Stream(stream) => {
            stream.entries.retain(|entry| !entry.deleted);
            if stream.entries.is_empty() {
                stream.first_id = StreamId::default();
            }
            stream.groups.sort_by(|a, b| a.name.cmp(&b.name));
            for group in &mut stream.groups {
                for consumer in &mut group.consumers {
                    consumer.active_ms = 0;
                }
            }
        }
    }
    value
}

/// Removes the consumers without pending entries.
fn forget_idle_consumers(group: &mut StreamGroup) {
    let consumers = std::mem::take(&mut group.consumers);
    for (position, consumer) in consumers.into_iter().enumerate() {
        let kept = group.consumers.len();
        let mut has_entries = false;
        // No position rises, so no entry is moved twice.
        for entry in group
            .pending
            .iter_mut()
            .filter(|entry| entry.consumer == position)
        {
            entry.consumer = kept;
            has_entries = true;
        }
        if has_entries {
            group.consumers.push(consumer);
        }
    }
}

/// Fails unless a replica holds what its master holds within some seconds; returns how many keys that are.
///
/// # Errors
/// Their difference, and what the clients say.
pub fn assert_replicated(master: &mut RawClient, replica: &mut RawClient) -> TestResult<usize> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let wanted = Contents::of(master)?.replicated();
        let found = Contents::of(replica)?.replicated();
        let Some(difference) = wanted.difference(&found, ["the master", "the replica"]) else {
            return Ok(wanted.len());
        };
        if Instant::now() > deadline {
            return Err(difference.into());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

//! The model of a database of streams: what each write command does to it, as Redis 7.2 does it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::replies::{bulk, error, int, ok, parse_id, show_entry, show_id};
use common::Value;

pub use super::replies::Id;

/// All streams of one database, by their keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Streams(pub BTreeMap<String, Stream>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    pub entries: BTreeMap<Id, Vec<String>>,
    pub last_id: Id,
    pub max_deleted_id: Id,
    pub added: u64,
    pub groups: BTreeMap<String, Group>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    pub last_id: Id,
    pub consumers: BTreeSet<String>,
    /// The consumer and the number of deliveries of each pending entry.
    pub pending: BTreeMap<Id, (String, i64)>,
}

/// A stream that RESTORE makes, by the word that stands for its payload.
pub type Payloads = BTreeMap<String, Stream>;

/// Answers of XDELEX and XACKDEL.
const GONE: i64 = -1;
const DELETED: i64 = 1;
const REFERENCED: i64 = 2;

/// What of groups is deleted too, and the ids.
fn split_strategy<'a, 'b>(rest: &'b [&'a str]) -> (&'a str, &'b [&'a str]) {
    match rest {
        ["IDS", _, ids @ ..] => ("KEEPREF", ids),
        [how, "IDS", _, ids @ ..] => (how, ids),
        _ => panic!("no ids: {rest:?}"),
    }
}

impl Streams {
    /// Runs one command. `chosen` is the id that the server chose for an XADD with `*`.
    pub fn run(&mut self, words: &[&str], chosen: Option<Id>, payloads: &Payloads) -> Value {
        match words[0] {
            "XADD" | "XDEL" | "XDELEX" | "XTRIM" | "XSETID" => self.entries(words, chosen),
            "XGROUP" => self.groups(words),
            "DEL" | "RENAME" | "COPY" | "RESTORE" => self.keys(words, payloads),
            _ => self.deliveries(words),
        }
    }

    /// Commands that add and remove entries.
    fn entries(&mut self, words: &[&str], chosen: Option<Id>) -> Value {
        match *words {
            ["XADD", key, ref rest @ ..] => {
                let (maxlen, rest) = match rest {
                    ["MAXLEN", maxlen, rest @ ..] => (maxlen.parse().ok(), rest),
                    rest => (None, rest),
                };
                let stream = self.0.entry(key.to_owned()).or_default();
                let id = match rest[0] {
                    "*" => chosen.expect("the test knows which id was chosen"),
                    id => parse_id(id),
                };
                stream.add(id, &rest[1..]);
                if let Some(maxlen) = maxlen {
                    stream.trim_to(maxlen);
                }
                bulk(&show_id(id))
            }
            ["XDEL", key, ref ids @ ..] => int(self.0.get_mut(key).map_or(0, |s| s.delete(ids))),
            ["XTRIM", key, "MAXLEN", maxlen] => {
                let maxlen = maxlen.parse().expect("a number");
                int(self.0.get_mut(key).map_or(0, |s| s.trim_to(maxlen)))
            }
            ["XTRIM", key, "MINID", id] => {
                let Some(stream) = self.0.get_mut(key) else {
                    return int(0);
                };
                let kept = stream.entries.split_off(&parse_id(id));
                int(std::mem::replace(&mut stream.entries, kept).len())
            }
            [
                "XSETID",
                key,
                id,
                "ENTRIESADDED",
                added,
                "MAXDELETEDID",
                deleted,
            ] => {
                let Some(stream) = self.0.get_mut(key) else {
                    return error("ERR no such key");
                };
                stream.last_id = parse_id(id);
                stream.added = added.parse().expect("a number");
                stream.max_deleted_id = parse_id(deleted);
                ok()
            }
            ["XDELEX", key, ref rest @ ..] => {
                let (how, ids) = split_strategy(rest);
                let mut stream = self.0.get_mut(key);
                let deleted = ids.iter().map(|id| match &mut stream {
                    Some(stream) => Value::Integer(stream.delete_one(parse_id(id), how)),
                    None => Value::Integer(GONE),
                });
                Value::Array(deleted.collect())
            }
            _ => panic!("the model does not know {words:?}"),
        }
    }

    /// XGROUP.
    fn groups(&mut self, words: &[&str]) -> Value {
        match *words {
            ["XGROUP", "CREATE", key, group, from, "MKSTREAM"] => {
                let stream = self.0.entry(key.to_owned()).or_default();
                if stream.groups.contains_key(group) {
                    return error("BUSYGROUP");
                }
                let last_id = if from == "$" { stream.last_id } else { (0, 0) };
                let new = Group {
                    last_id,
                    ..Group::default()
                };
                stream.groups.insert(group.to_owned(), new);
                ok()
            }
            ["XGROUP", "DESTROY", key, group] => match self.0.get_mut(key) {
                Some(stream) => int(usize::from(stream.groups.remove(group).is_some())),
                None => error("ERR The XGROUP subcommand requires the key to exist"),
            },
            ["XGROUP", name, key, group, word] => {
                let Some(stream) = self.0.get_mut(key) else {
                    return error("ERR The XGROUP subcommand requires the key to exist");
                };
                let Some(group) = stream.groups.get_mut(group) else {
                    return error("NOGROUP");
                };
                match name {
                    "SETID" => {
                        group.last_id = parse_id(word);
                        ok()
                    }
                    "CREATECONSUMER" => int(usize::from(group.consumers.insert(word.to_owned()))),
                    _ => {
                        let before = group.pending.len();
                        group.consumers.remove(word);
                        group.pending.retain(|_, (consumer, _)| consumer != word);
                        int(before - group.pending.len())
                    }
                }
            }
            _ => panic!("the model does not know {words:?}"),
        }
    }

    /// Commands that deliver, acknowledge and claim.
    fn deliveries(&mut self, words: &[&str]) -> Value {
        match *words {
            [
                "XREADGROUP",
                "GROUP",
                group,
                consumer,
                "COUNT",
                count,
                ref rest @ ..,
            ] => {
                let noack = rest[0] == "NOACK";
                let rest = if noack { &rest[2..] } else { &rest[1..] };
                let (keys, ids) = rest.split_at(rest.len() / 2);
                let has_group = |key: &&str| {
                    let stream = self.0.get(*key);
                    stream.is_some_and(|stream| stream.groups.contains_key(group))
                };
                if !keys.iter().all(has_group) {
                    return error("NOGROUP");
                }
                let mut read = Vec::new();
                for (&key, &id) in keys.iter().zip(ids) {
                    let stream = self.0.get_mut(key).expect("it has the group");
                    let count = count.parse().expect("a number");
                    if let Some(entries) = stream.read(group, consumer, count, noack, id) {
                        read.push(Value::Array(vec![bulk(key), Value::Array(entries)]));
                    }
                }
                if read.is_empty() {
                    return Value::NullArray;
                }
                Value::Array(read)
            }
            ["XACK", key, group, ref ids @ ..] => {
                let group = self.0.get_mut(key).and_then(|s| s.groups.get_mut(group));
                int(group.map_or(0, |group| {
                    let acked = ids
                        .iter()
                        .filter(|id| group.pending.remove(&parse_id(id)).is_some());
                    acked.count()
                }))
            }
            ["XACKDEL", key, group, ref rest @ ..] => {
                let (how, ids) = split_strategy(rest);
                let mut stream = self.0.get_mut(key);
                let deleted = ids.iter().map(|id| {
                    let id = parse_id(id);
                    let stream = stream.as_mut();
                    let stream = stream.filter(|s| s.groups.contains_key(group));
                    let acked = stream.and_then(|stream| {
                        let pending = &mut stream.groups.get_mut(group)?.pending;
                        pending.remove(&id)?;
                        Some(match stream.delete_one(id, how) {
                            GONE => DELETED,
                            answer => answer,
                        })
                    });
                    Value::Integer(acked.unwrap_or(GONE))
                });
                Value::Array(deleted.collect())
            }
            ["XCLAIM", key, group, consumer, "0", ref rest @ ..] => {
                let Some(stream) = self.0.get_mut(key).filter(|s| s.groups.contains_key(group))
                else {
                    return error("NOGROUP");
                };
                let options = rest
                    .iter()
                    .position(|word| word.starts_with(|c: char| c.is_alphabetic()));
                let (ids, options) = rest.split_at(options.unwrap_or(rest.len()));
                let (force, justid) = (options.contains(&"FORCE"), options.contains(&"JUSTID"));
                Value::Array(stream.claim(group, consumer, ids, force, justid))
            }
            [
                "XAUTOCLAIM",
                key,
                group,
                consumer,
                "0",
                from,
                "COUNT",
                count,
                ref rest @ ..,
            ] => {
                let Some(stream) = self.0.get_mut(key).filter(|s| s.groups.contains_key(group))
                else {
                    return error("NOGROUP");
                };
                let count = count.parse().expect("a number");
                stream.auto_claim(
                    group,
                    consumer,
                    parse_id(from),
                    count,
                    rest.contains(&"JUSTID"),
                )
            }
            _ => panic!("the model does not know {words:?}"),
        }
    }

    /// Commands on keys of any type.
    fn keys(&mut self, words: &[&str], payloads: &Payloads) -> Value {
        match *words {
            ["DEL", ref keys @ ..] => int(keys
                .iter()
                .filter(|key| self.0.remove(**key).is_some())
                .count()),
            ["RENAME", from, to] => match self.0.remove(from) {
                Some(stream) => {
                    self.0.insert(to.to_owned(), stream);
                    ok()
                }
                None => error("ERR no such key"),
            },
            ["COPY", from, to, _] if from == to => {
                error("ERR source and destination objects are the same")
            }
            ["COPY", from, to, "REPLACE"] => match self.0.get(from).cloned() {
                Some(stream) => {
                    self.0.insert(to.to_owned(), stream);
                    int(1)
                }
                None => int(0),
            },
            ["RESTORE", key, "0", payload, "REPLACE"] => {
                self.0.insert(key.to_owned(), payloads[payload].clone());
                ok()
            }
            _ => panic!("the model does not know {words:?}"),
        }
    }
}

impl Stream {
    fn add(&mut self, id: Id, fields: &[&str]) {
        let fields = fields.iter().map(|&field| field.to_owned());
        self.entries.insert(id, fields.collect());
        self.last_id = id;
        self.added += 1;
    }

    fn trim_to(&mut self, length: usize) -> usize {
        let removed = self.entries.len().saturating_sub(length);
        for _ in 0..removed {
            self.entries.pop_first();
        }
        removed
    }

    /// Deletes one entry as XDELEX does, and returns what it answers.
    fn delete_one(&mut self, id: Id, how: &str) -> i64 {
        let wanted = |group: &Group| group.last_id < id || group.pending.contains_key(&id);
        if how == "ACKED" && self.groups.values().any(wanted) {
            return REFERENCED;
        }
        if how == "DELREF" {
            for group in self.groups.values_mut() {
                group.pending.remove(&id);
            }
        }
        if self.entries.remove(&id).is_none() {
            return GONE;
        }
        self.max_deleted_id = self.max_deleted_id.max(id);
        DELETED
    }

    fn delete(&mut self, ids: &[&str]) -> usize {
        let mut deleted = 0;
        for id in ids.iter().map(|id| parse_id(id)) {
            if self.entries.remove(&id).is_some() {
                self.max_deleted_id = self.max_deleted_id.max(id);
                deleted += 1;
            }
        }
        deleted
    }

    /// What a consumer reads: new entries, or those that are pending for it.
    fn read(
        &mut self,
        group: &str,
        consumer: &str,
        count: usize,
        noack: bool,
        id: &str,
    ) -> Option<Vec<Value>> {
        let group = self.groups.get_mut(group).expect("the caller has looked");
        group.consumers.insert(consumer.to_owned());
        if id != ">" {
            let range = (Excluded(parse_id(id)), Unbounded);
            let mine = group
                .pending
                .range_mut(range)
                .filter(|(_, (owner, _))| owner == consumer);
            let read = mine
                .take(count)
                .map(|(&id, (_, deliveries))| match self.entries.get(&id) {
                    Some(fields) => {
                        *deliveries += 1;
                        show_entry(id, fields)
                    }
                    None => Value::Array(vec![bulk(&show_id(id)), Value::NullArray]),
                });
            return Some(read.collect());
        }
        let new: Vec<(Id, Vec<String>)> = self
            .entries
            .range((Excluded(group.last_id), Unbounded))
            .take(count)
            .map(|(id, fields)| (*id, fields.clone()))
            .collect();
        for (id, _) in &new {
            group.last_id = *id;
            if !noack {
                group.pending.insert(*id, (consumer.to_owned(), 1));
            }
        }
        let shown: Vec<Value> = new
            .iter()
            .map(|(id, fields)| show_entry(*id, fields))
            .collect();
        (!shown.is_empty()).then_some(shown)
    }

    fn claim(
        &mut self,
        group: &str,
        consumer: &str,
        ids: &[&str],
        force: bool,
        justid: bool,
    ) -> Vec<Value> {
        let group = self.groups.get_mut(group).expect("the caller has looked");
        group.consumers.insert(consumer.to_owned());
        let mut claimed = Vec::new();
        for id in ids.iter().map(|id| parse_id(id)) {
            let Some(fields) = self.entries.get(&id) else {
                group.pending.remove(&id);
                continue;
            };
            if !force && !group.pending.contains_key(&id) {
                continue;
            }
            let (owner, deliveries) = group
                .pending
                .entry(id)
                .or_insert_with(|| (String::new(), 1));
            consumer.clone_into(owner);
            if justid {
                claimed.push(bulk(&show_id(id)));
            } else {
                *deliveries += 1;
                claimed.push(show_entry(id, fields));
            }
        }
        claimed
    }

    fn auto_claim(
        &mut self,
        group: &str,
        consumer: &str,
        from: Id,
        mut count: usize,
        justid: bool,
    ) -> Value {
        let group = self.groups.get_mut(group).expect("the caller has looked");
        group.consumers.insert(consumer.to_owned());
        let (mut claimed, mut deleted, mut next) = (Vec::new(), Vec::new(), (0, 0));
        let pending: Vec<Id> = group
            .pending
            .range((Included(from), Unbounded))
            .map(|(id, _)| *id)
            .collect();
        for id in pending {
            if count == 0 {
                next = id;
                break;
            }
            count -= 1;
            let Some(fields) = self.entries.get(&id) else {
                group.pending.remove(&id);
                deleted.push(bulk(&show_id(id)));
                continue;
            };
            let (owner, deliveries) = group.pending.get_mut(&id).expect("it is pending");
            consumer.clone_into(owner);
            if justid {
                claimed.push(bulk(&show_id(id)));
            } else {
                *deliveries += 1;
                claimed.push(show_entry(id, fields));
            }
        }
        Value::Array(vec![
            bulk(&show_id(next)),
            Value::Array(claimed),
            Value::Array(deleted),
        ])
    }
}

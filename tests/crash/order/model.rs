//! What a connection's databases hold, as far as the calls and their replies tell. The clock jumps, so a key with a deadline
//! may be gone as soon as the clock may have told that time once, and is there until somebody has seen that it is gone.

use std::collections::BTreeMap;

use common::Value;
use common::clock::Clock;

use super::op::Op;

/// A key and its value, as read from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub value: Vec<u8>,
    pub deadline: Option<i64>,
}

/// The two databases of one connection, as read from the server.
pub type FoundState = [BTreeMap<Vec<u8>, Found>; 2];

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    deadline: Option<i64>,
    /// The real time since when the deadline holds.
    since_ms: i64,
    /// An earlier deadline may have ended it: no reply tells.
    may_be_gone: bool,
}

/// The two databases of one connection.
#[derive(Clone, Debug, Default)]
pub struct State([BTreeMap<Vec<u8>, Entry>; 2]);

/// A connection's selected database, of its two.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub first: usize,
    pub selected: usize,
}

/// When something happened, by the real clock, and what the server's clock may have told.
#[derive(Clone, Copy, Debug)]
pub struct When<'c> {
    pub clock: &'c Clock,
    pub from_ms: i64,
    pub to_ms: i64,
}

impl When<'_> {
    fn has_certainly_passed(&self, deadline: i64) -> bool {
        deadline <= self.clock.bounds(self.from_ms, self.to_ms).0
    }
}

impl Entry {
    /// Whether the server may have found it past its deadline until then.
    fn may_have_gone(&self, when: &When<'_>) -> bool {
        let is_past = |deadline| deadline <= when.clock.bounds(self.since_ms, when.to_ms).1;
        self.may_be_gone || self.deadline.is_some_and(is_past)
    }

    fn set_deadline(&mut self, deadline: Option<i64>, when: &When<'_>) {
        self.deadline = deadline;
        self.since_ms = when.from_ms;
    }
}

impl State {
    /// What was found, at that time.
    pub fn new(found: &FoundState, when: &When<'_>) -> Self {
        Self(found.each_ref().map(|keys| {
            let entry = |found: &Found| Entry {
                value: found.value.clone(),
                deadline: found.deadline,
                since_ms: when.from_ms,
                may_be_gone: false,
            };
            keys.iter()
                .map(|(key, found)| (key.clone(), entry(found)))
                .collect()
        }))
    }

    /// Does what the server has done for a call. Where there is a reply, it must suit.
    pub fn apply(
        &mut self,
        op: &Op,
        reply: Option<&Value>,
        place: &mut Place,
        when: &When<'_>,
    ) -> Result<(), String> {
        let keys = &mut self.0[place.selected];
        match op {
            Op::Select(db) => place.selected = *db,
            Op::Set(key, value, deadline) => {
                let entry = Entry {
                    value: value.clone(),
                    deadline: *deadline,
                    since_ms: when.from_ms,
                    may_be_gone: false,
                };
                keys.insert(key.clone(), entry);
            }
            Op::Del(key) => drop(keys.remove(key)),
            Op::FlushDb => keys.clear(),
            Op::SwapDb => self.0.swap(0, 1),
            Op::Get(key) => match reply {
                None => {}
                Some(Value::Bulk(value)) => {
                    let entry = keys
                        .get(key)
                        .ok_or_else(|| format!("GET {} is back", key.escape_ascii()))?;
                    if entry.value != *value {
                        return Err(format!("GET {}: another value", key.escape_ascii()));
                    }
                    if entry
                        .deadline
                        .is_some_and(|at| when.has_certainly_passed(at))
                    {
                        return Err(format!("GET {}: past its deadline", key.escape_ascii()));
                    }
                }
                Some(_) => self.lose(key, *place, when)?,
            },
            Op::ExpireAt(key, deadline) => {
                let deadline = Some(*deadline);
                self.change_deadline(key, deadline, reply, *place, when)?;
            }
            Op::Persist(key) => {
                let had = keys.get(key).is_some_and(|entry| entry.deadline.is_some());
                match reply {
                    // The key is gone, or had no deadline anyway.
                    Some(Value::Integer(0)) if !had => {}
                    _ => self.change_deadline(key, None, reply, *place, when)?,
                }
            }
            Op::Exec(ops) => {
                let replies = reply.map(|reply| reply.items().unwrap_or_default());
                if replies.is_some_and(|replies| replies.len() != ops.len()) {
                    return Err(format!("EXEC answers {reply:?}"));
                }
                for (n, op) in ops.iter().enumerate() {
                    let reply = replies.map(|replies| &replies[n]);
                    self.apply(op, reply, place, when)?;
                }
            }
        }
        Ok(())
    }

    /// A reply says that the key is not there.
    fn lose(&mut self, key: &[u8], place: Place, when: &When<'_>) -> Result<(), String> {
        match self.0[place.selected].remove(key) {
            Some(entry) if !entry.may_have_gone(when) => Err(format!(
                "{} of database {} is gone before {:?}",
                key.escape_ascii(),
                place.first + place.selected,
                entry.deadline
            )),
            _ => Ok(()),
        }
    }

    fn change_deadline(
        &mut self,
        key: &[u8],
        deadline: Option<i64>,
        reply: Option<&Value>,
        place: Place,
        when: &When<'_>,
    ) -> Result<(), String> {
        match (reply, self.0[place.selected].get_mut(key)) {
            (Some(Value::Integer(0)), _) => self.lose(key, place, when),
            (Some(_), None) => Err(format!("{} is back", key.escape_ascii())),
            (Some(_), Some(entry)) => {
                entry.may_be_gone = false;
                entry.set_deadline(deadline, when);
                Ok(())
            }
            (None, Some(entry)) => {
                entry.may_be_gone = entry.may_have_gone(when);
                entry.set_deadline(deadline, when);
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// Whether this may be what was found. Otherwise the key that differs.
    pub fn compare(&self, found: &FoundState, when: &When<'_>) -> Result<(), String> {
        for (entries, found) in self.0.iter().zip(found) {
            for (key, found) in found {
                let key = key.as_slice();
                let name = key.escape_ascii();
                let entry = entries.get(key).ok_or(format!("{name} is back"))?;
                if entry.value != found.value {
                    return Err(format!("{name} has another value"));
                }
                if entry.deadline != found.deadline {
                    return Err(format!("{name} has another deadline"));
                }
                if entry
                    .deadline
                    .is_some_and(|at| when.has_certainly_passed(at))
                {
                    return Err(format!("{name} is there after its deadline"));
                }
            }
            for (key, entry) in entries {
                if !found.contains_key(key) && !entry.may_have_gone(when) {
                    return Err(format!("{} is missing", key.escape_ascii()));
                }
            }
        }
        Ok(())
    }
}

/// Both databases, for messages.
pub fn show(state: &FoundState) -> String {
    let keys = |db: &BTreeMap<Vec<u8>, Found>| {
        db.iter()
            .map(|(key, Found { value, deadline })| {
                let value = super::op::start(value);
                format!("{}={value} until {deadline:?}", key.escape_ascii())
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    format!("[{}] and [{}]", keys(&state[0]), keys(&state[1]))
}

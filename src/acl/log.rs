//! ACL LOG: the latest denials.

use std::collections::VecDeque;

/// Equal events within this time share one entry.
const GROUPING_MS: i64 = 60_000;

/// How many of the newest entries are compared with a new event.
const COMPARED: usize = 10;

/// What was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each is the reason of that name.
pub enum Reason {
    Command,
    Key,
    Channel,
    Auth,
}

impl Reason {
    /// The word that the log shows.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
            Reason::Auth => "auth",
        }
    }
}

/// Where the client made the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Outside a transaction.
    Toplevel,
    /// In a transaction.
    Multi,
}

impl Context {
    /// The word that the log shows.
    pub fn name(self) -> &'static str {
        match self {
            Context::Toplevel => "toplevel",
            Context::Multi => "multi",
        }
    }
}

/// A denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What was denied.
    pub reason: Reason,
    /// Where the client made the call.
    pub context: Context,
    /// The command's full name, the key, the channel, or the name of the authenticating command.
    pub object: Vec<u8>,
    /// The client's user, or the user as which it tried to authenticate.
    pub username: Vec<u8>,
}

/// One entry of the log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// How often it happened.
    pub count: u64,
    /// The denial.
    pub event: Event,
    /// The client of the last time, as CLIENT LIST shows it.
    pub client: String,
    /// The entry's number: ascending, never used again.
    pub id: u64,
    /// The first time, ms since the Unix epoch.
    pub created_ms: i64,
    /// The last time, ms since the Unix epoch.
    pub updated_ms: i64,
}

/// The log, newest first.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl Log {
    /// Adds an event, and keeps only the newest `len_max` entries. `client` describes the client.
    pub fn add(
        &mut self,
        event: Event,
        now_ms: i64,
        len_max: usize,
        client: impl FnOnce() -> String,
    ) {
        if len_max == 0 {
            self.entries.clear();
            return;
        }
        let place = self.entries.iter().take(COMPARED).position(|entry| {
            entry.event == event && (now_ms - entry.updated_ms).abs() <= GROUPING_MS
        });
        let entry = if let Some(entry) = place.and_then(|place| self.entries.remove(place)) {
            Entry {
                count: entry.count + 1,
                client: client(),
                updated_ms: now_ms,
                ..entry
            }
        } else {
            self.next_id += 1;
            Entry {
                count: 1,
                event,
                client: client(),
                id: self.next_id - 1,
                created_ms: now_ms,
                updated_ms: now_ms,
            }
        };
        self.entries.push_front(entry);
        self.entries.truncate(len_max);
    }

    /// The newest `count` entries.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.entries.iter().take(count).cloned().collect()
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(object: &str) -> Event {
        Event {
            reason: Reason::Command,
            context: Context::Toplevel,
            object: object.into(),
            username: b"alice".to_vec(),
        }
    }

    fn shown(log: &Log) -> Vec<(u64, String, u64)> {
        let entries = log.newest(usize::MAX);
        let shown = entries.into_iter().map(|entry| {
            let object = String::from_utf8_lossy(&entry.event.object).into_owned();
            (entry.id, object, entry.count)
        });
        shown.collect()
    }

    #[test]
    fn similar_events_are_one_entry_for_a_minute() {
        let mut log = Log::default();
        let mut add = |object: &str, now| log.add(event(object), now, 3, String::new);
        add("get", 0);
        add("set", 10);
        add("get", 60_000);
        add("set", 60_011);
        let text = |object: &str| object.to_owned();
        assert_eq!(
            shown(&log),
            [
                (2, text("set"), 1),
                (0, text("get"), 2),
                (1, text("set"), 1)
            ]
        );
    }

    #[test]
    fn the_log_has_an_end() {
        let mut log = Log::default();
        for number in 0..20 {
            log.add(event(&number.to_string()), 0, 12, String::new);
        }
        assert_eq!(log.newest(usize::MAX).len(), 12);
        // The log compares only the ten newest entries with a new event.
        log.add(event("9"), 0, 12, String::new);
        assert_eq!(log.newest(1)[0].count, 1);
        log.add(event("19"), 0, 12, String::new);
        assert_eq!(log.newest(1)[0].count, 2);
        log.add(event("x"), 0, 0, String::new);
        assert!(log.newest(1).is_empty());
    }
}

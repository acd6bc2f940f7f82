//! The clients that observe a call on one server.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use super::{Case, Seen, Twist};
use common::{RawClient, TestResult, Value, encode, show};

/// The watched keys: their shown names, database and key.
const WATCHED: &[(&str, &str, &str)] = &[
    ("k", "0", "k"),
    ("d", "0", "d"),
    ("e", "0", "e"),
    ("k in 1", "1", "k"),
    ("d in 1", "1", "d"),
];

/// How long keys live that are to expire; longer after an attempt that was too short, up to a limit.
const LIFE_MS: u64 = 6;
const LIFE_MS_MAX: u64 = 4_000;

/// Connections to one server.
pub struct Observers {
    caller: RawClient,
    watchers: Vec<RawClient>,
    tracker: RawClient,
    broadcast: RawClient,
    listener: RawClient,
    payloads: Vec<(&'static str, Vec<u8>)>,
}

impl Observers {
    pub fn connect(port: u16, payloads: &[(&'static str, Vec<u8>)]) -> TestResult<Self> {
        let mut observers = Self {
            caller: RawClient::connect(port)?,
            watchers: Vec::new(),
            tracker: RawClient::connect(port)?,
            broadcast: RawClient::connect(port)?,
            listener: RawClient::connect(port)?,
            payloads: payloads.to_vec(),
        };
        for (_, db, _) in WATCHED {
            let mut watcher = RawClient::connect(port)?;
            watcher.line(&format!("SELECT {db}"))?;
            observers.watchers.push(watcher);
        }
        let caller = &mut observers.caller;
        for line in [
            "FLUSHALL",
            "CONFIG SET notify-keyspace-events EAmn",
            "DEBUG SET-ACTIVE-EXPIRE 0",
        ] {
            if let Value::Error(text) = caller.line(line)? {
                return Err(format!("{line}: {}", text.escape_ascii()).into());
            }
        }
        observers.listener.line("PSUBSCRIBE __key*")?;
        observers.tracker.line("HELLO 3")?;
        observers.tracker.line("CLIENT TRACKING ON")?;
        observers.broadcast.line("HELLO 3")?;
        observers.broadcast.line("CLIENT TRACKING ON BCAST")?;
        Ok(observers)
    }

    /// Brings the keys into their states, runs the call, and collects what each observer got.
    pub fn observe(&mut self, case: &Case) -> io::Result<Seen> {
        let mut life_ms = LIFE_MS;
        // A deadline that passes before the tracker has read the keys would make another case.
        while self.prepare(case, life_ms)? != case.keys() {
            life_ms *= 4;
            if life_ms > LIFE_MS_MAX {
                return Err(io::Error::other(format!("{case}: the keys are not there")));
            }
        }
        if matches!(case.twist, Twist::Expired(_)) {
            std::thread::sleep(Duration::from_millis(life_ms + 2));
        }
        for (watcher, (_, _, key)) in self.watchers.iter_mut().zip(WATCHED) {
            watcher.send(&["WATCH", key])?;
        }
        for watcher in &mut self.watchers {
            watcher.read()?;
        }
        let call = format!("{} {}", case.command, case.arguments);
        let mut calls = vec![self.words(&call)];
        if case.twist == Twist::Queued {
            calls.insert(0, line("MULTI"));
            calls.push(line("EXEC"));
        }
        // Redis reports keys that a call has left expired when it touches them.
        calls.push(line("EXISTS k d e"));
        calls.push(line("PUBLISH __key:end x"));
        let mut replies = pipe(&mut self.caller, &calls)?;
        replies.truncate(replies.len() - 2);
        let reply = replies.pop().unwrap_or(Value::Null);
        self.end(reply)
    }

    /// The arguments of a call; some stand for payloads.
    fn words(&self, call: &str) -> Vec<Vec<u8>> {
        let words = line(call.trim_end()).into_iter();
        let word = |word: Vec<u8>| {
            let mut payloads = self.payloads.iter();
            let payload = payloads.find(|(name, _)| name.as_bytes() == word);
            payload.map_or(word, |(_, payload)| payload.clone())
        };
        words.map(word).collect()
    }

    /// The calls that bring the keys of a case into their states.
    fn preparation(&self, case: &Case, life_ms: u64) -> Vec<Vec<Vec<u8>>> {
        let mut calls = Vec::new();
        let [k, d, k1] = case.states;
        let of_databases = [
            ("2", &[][..]),
            ("1", &[("k", k1)]),
            ("0", &[("k", k), ("d", d)]),
        ];
        for (db, states) in of_databases {
            calls.push(line(&format!("SELECT {db}")));
            // DEL alone would leave expired keys.
            calls.push(line("MSET k 1 d 1 e 1"));
            calls.push(line("DEL k d e"));
            for (key, state) in states {
                for call in state.split(';').filter(|call| !call.is_empty()) {
                    calls.push(self.words(&call.replace('@', key)));
                }
            }
        }
        for (key, state) in [("k", k), ("d", d)] {
            match case.twist {
                Twist::Ttl(which) if which.has(key) => {
                    calls.push(line(&format!("EXPIRE {key} 2000")));
                }
                Twist::Expired(which) if which.has(key) && !state.is_empty() => {
                    calls.push(line(&format!("PEXPIRE {key} {life_ms}")));
                }
                _ => {}
            }
        }
        calls.push(line("PUBLISH __key:end x"));
        calls
    }
    /// Brings the keys into their states, lets the tracker read them, and returns how many it found. Afterwards every
    /// observer has read all earlier messages.
    fn prepare(&mut self, case: &Case, life_ms: u64) -> io::Result<i64> {
        let calls = self.preparation(case, life_ms);
        pipe(&mut self.caller, &calls)?;
        send(
            &mut self.tracker,
            &[line("EXISTS k d e"), line("PING"), line("PING")],
        )?;
        send(&mut self.broadcast, &[line("PING"), line("PING")])?;
        let found = loop {
            if let Value::Integer(found) = self.tracker.read()? {
                break found;
            }
        };
        pushes(&mut self.tracker, 2)?;
        pushes(&mut self.broadcast, 2)?;
        messages(&mut self.listener)?;
        Ok(found)
    }

    fn end(&mut self, reply: Value) -> io::Result<Seen> {
        for watcher in &mut self.watchers {
            send(watcher, &[line("MULTI"), line("PING"), line("EXEC")])?;
        }
        for client in [&mut self.tracker, &mut self.broadcast] {
            // A message for a client may follow the reply, but not the next reply.
            send(client, &[line("PING"), line("PING")])?;
        }
        let mut watched = Vec::new();
        for (watcher, (name, _, _)) in self.watchers.iter_mut().zip(WATCHED) {
            watcher.read()?;
            watcher.read()?;
            if watcher.read()?.is_null() {
                watched.push(*name);
            }
        }
        let tracked = pushes(&mut self.tracker, 2)?;
        let broadcast = BTreeSet::from_iter(pushes(&mut self.broadcast, 2)?);
        let events = messages(&mut self.listener)?;
        Ok(Seen {
            reply,
            watched,
            tracked,
            broadcast,
            events,
            after: self.after()?,
        })
    }

    fn after(&mut self) -> io::Result<Vec<String>> {
        let mut calls = Vec::new();
        for (_, db, key) in WATCHED {
            calls.push(line(&format!("SELECT {db}")));
            calls.push(line(&format!("TYPE {key}")));
            calls.push(line(&format!("OBJECT ENCODING {key}")));
            calls.push(line(&format!("PTTL {key}")));
        }
        let replies = pipe(&mut self.caller, &calls)?;
        let of_key = |(&(name, _, _), replies): (&(&str, &str, &str), &[Value])| {
            let [_, kind, encoding, pttl] = replies else {
                return None;
            };
            let kind = kind.text()?;
            // Another test compares the names of other encodings.
            let encoding = if kind == "string" {
                show(encoding)
            } else {
                String::new()
            };
            let deadline = match pttl.integer() {
                Some(-1) => "stays",
                Some(-2) => return None,
                _ => "expires",
            };
            Some(format!("{name} {kind} {encoding} {deadline}"))
        };
        Ok(WATCHED
            .iter()
            .zip(replies.chunks(4))
            .filter_map(of_key)
            .collect())
    }
}

pub(super) fn line(line: &str) -> Vec<Vec<u8>> {
    let word = |word: &str| match word {
        "''" => Vec::new(),
        word => word.as_bytes().to_vec(),
    };
    line.split(' ').map(word).collect()
}

fn send(client: &mut RawClient, calls: &[Vec<Vec<u8>>]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for call in calls {
        encode(&mut bytes, call);
    }
    client.send_bytes(&bytes)
}

pub(super) fn pipe(client: &mut RawClient, calls: &[Vec<Vec<u8>>]) -> io::Result<Vec<Value>> {
    send(client, calls)?;
    calls.iter().map(|_| client.read()).collect()
}

/// Reads this many replies, and returns the names of the invalidated keys among them.
fn pushes(client: &mut RawClient, replies: usize) -> io::Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut left = replies;
    while left > 0 {
        match client.read()? {
            Value::Push(items) => match items.get(1).and_then(Value::items) {
                Some(names) => keys.extend(names.iter().map(show)),
                None => keys.push("all".to_owned()),
            },
            _ => left -= 1,
        }
    }
    Ok(keys)
}

/// Reads what a subscriber gets, up to the end marker.
fn messages(client: &mut RawClient) -> io::Result<Vec<String>> {
    let mut events = Vec::new();
    loop {
        let message = client.read()?;
        let words = message.items().unwrap_or_default();
        let text = |place: usize| words.get(place).and_then(Value::text).unwrap_or_default();
        if text(2) == "__key:end" {
            return Ok(events);
        }
        let channel = text(2);
        let channel = channel.trim_start_matches("__keyevent@");
        let (db, event) = channel.split_once("__:").unwrap_or(("?", channel));
        events.push(format!("{event} {db}:{}", text(3)));
    }
}

//! What servers are made to do while their stores are recorded.

mod collections;
mod libraries;
mod packed;
mod pairs;
mod streams;

use std::time::Duration;

/// Calls that are one step: a power cut leaves all of their effects or none.
#[derive(Clone, Debug)]
pub struct Unit(Vec<Vec<Vec<u8>>>);

impl Unit {
    /// One call, its words separated by single spaces.
    pub fn call(line: &str) -> Self {
        Self(vec![words(line)])
    }

    /// One call with a long last word.
    pub fn with(line: &str, last: Vec<u8>) -> Self {
        let mut call = words(line);
        call.push(last);
        Self(vec![call])
    }

    /// A transaction of these.
    pub fn transaction(units: impl IntoIterator<Item = Unit>) -> Self {
        let mut calls = vec![words("MULTI")];
        calls.extend(units.into_iter().flat_map(|unit| unit.0));
        calls.push(words("EXEC"));
        Self(calls)
    }

    /// Its calls.
    pub fn calls(&self) -> impl Iterator<Item = &[Vec<u8>]> {
        self.0.iter().map(Vec::as_slice)
    }
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// What happens next.
#[derive(Clone, Debug)]
pub enum Action {
    /// The client sends units in one go.
    Send(Vec<Unit>),
    /// The server stops in order and starts again.
    Restart,
    /// The server is killed and starts again.
    Kill,
    /// The client waits until all is on the disk.
    Sync,
    /// Nothing, while the server's background works.
    Rest(Duration),
}

/// What a power cut may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// What all units up to some one leave.
    Whole,
    /// Of each key what it is before or after the unit: the server itself removes keys at times of its own.
    EachKey,
}

/// A pool's story.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is about.
    pub name: &'static str,
    /// Engine and layout, as for `common::Options::new`.
    pub store: &'static str,
    /// The pool's size.
    pub pool_size: &'static str,
    /// More directives.
    pub directives: Vec<(&'static str, &'static str)>,
    /// What is done before the recording begins.
    pub before: Vec<Unit>,
    /// What is recorded.
    pub actions: Vec<Action>,
    /// By which rule the states are judged.
    pub rule: Rule,
    /// Whether the recording begins without a pool.
    pub makes_pool: bool,
    /// The durability of a pool that libpmem is to take for one on a disk, which is made durable by msync.
    pub on_disk: Option<&'static str>,
    /// Whether commits do not wait for the disk.
    pub every_second: bool,
    /// How many more clients are connected, and idle. With enough of them no worker serves one client alone.
    pub bystanders: usize,
    /// Of how many fences one is forgotten.
    pub dropped_fences: Option<&'static str>,
}

impl Scenario {
    fn new(name: &'static str, store: &'static str) -> Self {
        Self {
            name,
            store,
            pool_size: "32mb",
            directives: vec![("worker-threads", "2")],
            before: Vec::new(),
            actions: Vec::new(),
            rule: Rule::Whole,
            makes_pool: false,
            on_disk: None,
            every_second: false,
            bystanders: 0,
            dropped_fences: None,
        }
    }

    /// Every unit by itself, answered before the next is sent.
    fn one_by_one(mut self, units: impl IntoIterator<Item = Unit>) -> Self {
        let actions = units.into_iter().map(|unit| Action::Send(vec![unit]));
        self.actions.extend(actions);
        self
    }

    /// All units in one go.
    fn at_once(mut self, units: impl IntoIterator<Item = Unit>) -> Self {
        self.actions.push(Action::Send(units.into_iter().collect()));
        self
    }

    fn then(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    let mut all = packed::all();
    all.extend(pairs::all());
    all.extend(streams::all());
    all.extend(collections::all());
    all.extend(libraries::all());
    all
}

/// The scenario of this name.
pub fn named(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}

fn calls(lines: &[&str]) -> Vec<Unit> {
    lines.iter().map(|line| Unit::call(line)).collect()
}

/// Bytes that differ from one number to the next, and within themselves.
fn bytes(number: usize, length: usize) -> Vec<u8> {
    let mut state = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn set(key: &str, number: usize, length: usize) -> Unit {
    Unit::with(&format!("SET {key}"), bytes(number, length))
}

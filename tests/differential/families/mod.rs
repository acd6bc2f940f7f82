//! Random calls, and the comparison of their replies. Each family of commands has a file with a function `call`, which
//! makes one random call.

pub mod acl;
pub mod bitmaps;
pub mod changes;
pub mod collections;
pub mod connection;
pub mod descriptions;
pub mod differences;
pub mod events;
pub mod figures;
pub mod functions;
pub mod geo;
pub mod groups;
pub mod hashes;
pub mod hyperloglog;
pub mod integers;
pub mod keys;
pub mod lists;
pub mod long;
pub mod metadata;
pub mod newer;
pub mod order;
mod properties;
pub mod run;
pub mod scripting;
pub mod scripts;
pub mod sets;
pub mod sortedsets;
pub mod sorting;
mod stream_times;
pub mod stream_waits;
pub mod streams;
pub mod strings;
pub mod sweep;
pub mod transactions;
mod vocabulary;

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Makes one random call.
pub type Generator = fn(&mut Random) -> Call;

/// How two replies must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Byte for byte.
    Exact,
    /// The same items in any order.
    Unordered,
    /// Integers that differ by no more than this; anything else byte for byte.
    Within(i64),
    /// Integers that differ by no more than the two servers' clocks may have, since relative deadlines count from
    /// when each server ran the call.
    Milliseconds,
    /// Two bulk strings, each the name of a key that its server has; or null twice.
    ExistingKey,
    /// A call of SCAN without a cursor, which runs to its end on both: the same keys.
    Scan,
    /// Consecutive pairs, or a map: the same pairs in any order.
    Pairs,
    /// Arrays of the same length.
    Length,
    /// A call of HSCAN, SSCAN or ZSCAN without its cursor, which runs to its end on both: the same elements.
    Walk,
    /// A call that chooses random elements of its key: as many on both servers, and ours exist.
    Chosen,
    /// A call of RESTORE with a key's name in place of the payload: each server gets the other's dump.
    Restore,
    /// Arrays of integers that differ by no more than the two servers' clocks may have.
    Each,
    /// Equal except for ids that the servers chose for entries of streams.
    EntryIds,
    /// Replies of streams: equal except for times, and for what Redis 7.2 adds.
    Times,
    /// The name of an encoding: ours is this one; an older server may use another name.
    Encoding(&'static str),
}

impl Compare {
    /// Whether the comparison takes more than one call, so that it cannot be part of a pipeline.
    pub fn is_alone(self) -> bool {
        matches!(
            self,
            Self::Scan | Self::ExistingKey | Self::Walk | Self::Chosen | Self::Restore
        )
    }
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    pub words: Vec<Vec<u8>>,
    pub compare: Compare,
}

impl Call {
    /// A call whose replies must be equal byte for byte.
    pub fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        Self {
            words: words
                .into_iter()
                .map(|word| word.as_ref().to_vec())
                .collect(),
            compare: Compare::Exact,
        }
    }

    /// A call from a line of arguments, separated by spaces.
    pub fn line(line: &str) -> Self {
        Self::new(line.split(' '))
    }

    /// Sets another way of comparing.
    #[must_use]
    pub fn compare(mut self, compare: Compare) -> Self {
        self.compare = compare;
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, word: impl AsRef<[u8]>) -> Self {
        self.words.push(word.as_ref().to_vec());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<W: AsRef<[u8]>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.words
            .extend(words.into_iter().map(|word| word.as_ref().to_vec()));
        self
    }
}

/// The source of all randomness: equal seeds give equal calls.
pub struct Random {
    rng: StdRng,
    /// When the run started: the base of absolute deadlines, ms since the Unix epoch.
    pub base_ms: i64,
    /// Whether commands meet values of other types more often.
    pub crossed: bool,
    /// The milliseconds of the highest id that an entry of a stream was given.
    pub top_ms: i64,
    /// Calls that come before any other.
    pending: VecDeque<Call>,
}

/// Few keys, so that calls meet each other's keys: plain ones, an empty one and binary ones.
const KEYS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"d",
    b"key:1",
    b"key:2",
    b"",
    b"\0\xff",
    b"two words",
    b"[x]*?",
];

/// Values of every kind that commands distinguish.
const VALUES: &[&[u8]] = &[
    b"",
    b"0",
    b"1",
    b"-1",
    b"10",
    b"9999",
    b"10000",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"007",
    b"+5",
    b"-0",
    b" 1",
    b"1 ",
    b"1.5",
    b"-2.25e2",
    b"nan",
    b"inf",
    b"hello",
    b"Hello, World",
    b"\0\x01\xfe\xff",
    b"line\r\nbreak",
];

/// Arguments in place of a number, good and bad.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "-1",
    "-2",
    "3",
    "10",
    "100",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "x",
    "",
    "1.5",
    "01",
    "+1",
    " 1",
];

impl Random {
    pub fn new(seed: u64, base_ms: i64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            base_ms,
            crossed: false,
            top_ms: 1,
            pending: VecDeque::new(),
        }
    }

    /// The next call: one that an earlier call announced, or one of `generators`.
    pub fn next(&mut self, generators: &[Generator]) -> Call {
        match self.pending.pop_front() {
            Some(call) => call,
            None => self.pick(generators)(self),
        }
    }

    /// Lets these calls follow the one that is being made.
    pub fn then(&mut self, calls: impl IntoIterator<Item = Call>) {
        self.pending.extend(calls);
    }

    /// The last of the calls that follow.
    pub fn last_call(&mut self) -> &mut Call {
        self.pending.back_mut().expect("calls follow")
    }

    /// A number from `range`.
    pub fn within<R: rand::distr::uniform::SampleRange<i64>>(&mut self, range: R) -> i64 {
        self.rng.random_range(range)
    }

    /// A random count below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.rng.random_ratio(1, n)
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        *choices.choose(&mut self.rng).expect("there are choices")
    }

    /// A key.
    pub fn key(&mut self) -> Vec<u8> {
        self.pick(KEYS).to_vec()
    }

    /// One to `max` keys, which may repeat.
    pub fn keys(&mut self, max: usize) -> Vec<Vec<u8>> {
        (0..=self.below(max)).map(|_| self.key()).collect()
    }

    /// A value, mostly a short one.
    pub fn value(&mut self) -> Vec<u8> {
        if self.one_in(10) {
            let len = self.pick(&[43, 44, 45, 100, 3000]);
            let byte = self.pick(b"axyz");
            return vec![byte; len];
        }
        self.pick(VALUES).to_vec()
    }

    /// An argument in place of a number.
    pub fn number(&mut self) -> String {
        if self.one_in(3) {
            return self.within(-20..200).to_string();
        }
        self.pick(NUMBERS).to_owned()
    }

    /// `word` in lower, upper or mixed case.
    pub fn any_case(&mut self, word: &str) -> String {
        match self.below(3) {
            0 => word.to_ascii_lowercase(),
            1 => word.to_ascii_uppercase(),
            _ => word
                .chars()
                .map(|letter| {
                    if self.rng.random() {
                        letter.to_ascii_uppercase()
                    } else {
                        letter.to_ascii_lowercase()
                    }
                })
                .collect(),
        }
    }

    /// A relative time that does not pass while a test runs. Two such times always differ clearly, so that GT and LT do
    /// not depend on which server was faster by a millisecond.
    pub fn ttl_s(&mut self) -> i64 {
        self.within(1_000..1_000_000_000)
    }

    /// A point in time in the future, in ms since the Unix epoch.
    pub fn future_ms(&mut self) -> i64 {
        self.base_ms + self.within(1_000_000..1_000_000_000)
    }

    /// A point in time, in ms since the Unix epoch: in the future, or long ago.
    pub fn unix_ms(&mut self) -> i64 {
        if self.one_in(8) {
            return self.within(-5..5_000);
        }
        self.future_ms()
    }

    /// Spoils some calls: adds an argument, removes one, or replaces one.
    pub fn spoil(&mut self, mut call: Call) -> Call {
        if self.one_in(25) {
            let word = self.pick(&["x", "0", "NX", "GET", "", "-1"]);
            match self.below(3) {
                0 => call.words.push(word.as_bytes().to_vec()),
                1 if call.words.len() > 1 => drop(call.words.pop()),
                _ if call.words.len() > 1 => {
                    let place = 1 + self.below(call.words.len() - 1);
                    call.words[place] = word.as_bytes().to_vec();
                }
                _ => {}
            }
        }
        call
    }
}

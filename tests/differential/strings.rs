//! Random calls of the string commands, good and bad.
//!
//! Every reply depends on the calls before it alone, not on the clock: relative deadlines are far away and are never
//! asked for, absolute ones are far away or past.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// One call: its words.
pub type Call = Vec<Vec<u8>>;

/// Few keys, so that commands meet what others left.
const KEYS: &[&str] = &["s:1", "s:2", "s:3", "s:4", "s:5"];

const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "7",
    "42",
    "-300",
    "1000000",
    "9223372036854775807",
    "9223372036854775806",
    "-9223372036854775808",
    "4611686018427387904",
];

const BAD_INTEGERS: &[&str] = &[
    "",
    " 1",
    "1 ",
    "+1",
    "01",
    "-0",
    "1.5",
    "1e3",
    "0x10",
    "abc",
    "-",
    "9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999999",
];

const FLOATS: &[&str] = &[
    "0.1",
    "0.2",
    "-0.3",
    "3.0",
    "5.0e3",
    "1e-5",
    "10.50",
    "-5.0",
    "1e300",
    "-1e300",
    "1e4900",
    ".5",
    "5.",
    "0x1.8p3",
    "1e-4940",
    "3.14159265358979323846",
    "1.18973149535723176502e4932",
    "123456789.123456789",
];

const BAD_FLOATS: &[&str] = &[
    "", "nan", "inf", "-inf", "1e5000", "1e-5000", "1.2.3", " 1.5", "1.5 ", "1e", "abc", "0x",
];

/// Offsets and indexes.
const POSITIONS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "5",
    "9",
    "20",
    "-1",
    "-2",
    "-4",
    "-20",
    "9223372036854775807",
    "-9223372036854775808",
];

const OFFSETS: &[&str] = &[
    "0",
    "1",
    "2",
    "4",
    "8",
    "30",
    "-1",
    "536870912",
    "4294967296",
    "9223372036854775807",
];

/// Times to live: so far away that no test sees them pass, or refused.
const TTLS: &[&str] = &[
    "100000",
    "99999999",
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854775",
];

/// Seconds or milliseconds since the epoch.
const DEADLINES: &[&str] = &[
    "1",
    "1000",
    "99999999999",
    "99999999999999",
    "0",
    "-1",
    "9223372036854775806",
    "9223372036854776",
];

/// The next call.
pub fn call(rng: &mut StdRng) -> Call {
    let mut call = Builder {
        rng,
        words: Vec::new(),
    };
    call.build();
    call.words
}

struct Builder<'a> {
    rng: &'a mut StdRng,
    words: Call,
}

impl Builder<'_> {
    fn build(&mut self) {
        match self.rng.random_range(0..34) {
            0..=2 => self.word("GET").key(),
            3..=8 => self.word("SET").key().value().set_options(),
            9 => self.word("SETNX").key().value(),
            10 => self.word("SETEX").key().ttl().value(),
            11 => self.word("PSETEX").key().ttl().value(),
            12 => self.word("GETSET").key().value(),
            13 => self.word("GETDEL").key(),
            14 | 15 => self.word("GETEX").key().getex_options(),
            16 => self.word("MGET").keys(),
            17 => self.word("MSET").pairs(),
            18 => self.word("MSETNX").pairs(),
            19 => self.word("APPEND").key().value(),
            20 => self.word("STRLEN").key(),
            21 => self.word("GETRANGE").key().position().position(),
            22 => self.word("SUBSTR").key().position().position(),
            23 | 24 => self.word("SETRANGE").key().offset().value(),
            25 => self.word("INCR").key(),
            26 => self.word("DECR").key(),
            27 => self.word("INCRBY").key().integer(),
            28 => self.word("DECRBY").key().integer(),
            29 | 30 => self.word("INCRBYFLOAT").key().float(),
            31 => self.word("LCS").key().key().lcs_options(),
            // Whether there is a deadline, and that DEL and EXISTS agree.
            32 => self.word("PERSIST").key(),
            _ => self.word("EXISTS").key(),
        };
        self.spoil();
    }

    /// Now and then a word too many or too few, and mixed case.
    fn spoil(&mut self) {
        match self.rng.random_range(0..60) {
            0 => {
                self.words.pop();
                if self.words.is_empty() {
                    self.word("GET");
                }
            }
            1 => {
                self.word("surplus");
            }
            2..=9 => self.words[0].make_ascii_lowercase(),
            _ => {}
        }
    }

    fn word(&mut self, word: impl AsRef<[u8]>) -> &mut Self {
        self.words.push(word.as_ref().to_vec());
        self
    }

    fn one_of(&mut self, words: &[&str]) -> &mut Self {
        let word = words.choose(self.rng).copied().unwrap_or_default();
        self.word(word)
    }

    fn key(&mut self) -> &mut Self {
        self.one_of(KEYS)
    }

    fn keys(&mut self) -> &mut Self {
        for _ in 0..self.rng.random_range(1..5) {
            self.key();
        }
        self
    }

    fn pairs(&mut self) -> &mut Self {
        for _ in 0..self.rng.random_range(1..4) {
            self.key().value();
        }
        self
    }

    fn value(&mut self) -> &mut Self {
        match self.rng.random_range(0..10) {
            0..=2 => self.integer(),
            3..=4 => self.float(),
            5 => self.word(""),
            6 => {
                let bytes: [u8; 12] = self.rng.random();
                self.word(bytes)
            }
            _ => {
                // Few letters: LCS then finds something.
                let len = self.rng.random_range(1..20);
                let letters: Vec<u8> = (0..len)
                    .map(|_| self.rng.random_range(b'a'..=b'd'))
                    .collect();
                self.word(letters)
            }
        }
    }

    fn integer(&mut self) -> &mut Self {
        match self.rng.random_range(0..10) {
            0 => self.one_of(BAD_INTEGERS),
            1..=4 => self.one_of(INTEGERS),
            _ => {
                let number = self.rng.random_range(-1000..1000).to_string();
                self.word(number)
            }
        }
    }

    fn float(&mut self) -> &mut Self {
        match self.rng.random_range(0..10) {
            0 => self.one_of(BAD_FLOATS),
            1..=4 => self.one_of(FLOATS),
            _ => {
                let number = self.rng.random_range(-100_000..100_000);
                let places = self.rng.random_range(0..6);
                self.word(format!("{number}e-{places}"))
            }
        }
    }

    fn position(&mut self) -> &mut Self {
        if self.rng.random_ratio(1, 20) {
            return self.one_of(BAD_INTEGERS);
        }
        self.one_of(POSITIONS)
    }

    fn offset(&mut self) -> &mut Self {
        if self.rng.random_ratio(1, 20) {
            return self.one_of(BAD_INTEGERS);
        }
        self.one_of(OFFSETS)
    }

    fn ttl(&mut self) -> &mut Self {
        match self.rng.random_range(0..10) {
            0 => self.one_of(BAD_INTEGERS),
            1..=4 => self.one_of(TTLS),
            _ => self.word("100000"),
        }
    }

    fn deadline(&mut self) -> &mut Self {
        if self.rng.random_ratio(1, 10) {
            return self.one_of(BAD_INTEGERS);
        }
        self.one_of(DEADLINES)
    }

    fn expiry(&mut self) -> &mut Self {
        match self.rng.random_range(0..4) {
            0 => self.one_of(&["EX", "ex", "Ex"]).ttl(),
            1 => self.one_of(&["PX", "px", "pX"]).ttl(),
            2 => self.one_of(&["EXAT", "exat"]).deadline(),
            _ => self.one_of(&["PXAT", "pxat"]).deadline(),
        }
    }

    fn set_options(&mut self) -> &mut Self {
        for _ in 0..self.rng.random_range(0..4) {
            match self.rng.random_range(0..12) {
                0..=1 => self.one_of(&["NX", "nx"]),
                2..=3 => self.one_of(&["XX", "xX"]),
                4..=5 => self.one_of(&["GET", "get"]),
                6..=7 => self.one_of(&["KEEPTTL", "keepTTL"]),
                8 => self.one_of(&["PERSIST", "EX", "PX", "N", "NXX", "", "5"]),
                _ => self.expiry(),
            };
        }
        self
    }

    fn getex_options(&mut self) -> &mut Self {
        for _ in 0..self.rng.random_range(0..3) {
            match self.rng.random_range(0..8) {
                0..=1 => self.one_of(&["PERSIST", "persist"]),
                2 => self.one_of(&["KEEPTTL", "NX", "GET", "EXAT", ""]),
                _ => self.expiry(),
            };
        }
        self
    }

    fn lcs_options(&mut self) -> &mut Self {
        for _ in 0..self.rng.random_range(0..4) {
            match self.rng.random_range(0..9) {
                0..=1 => self.one_of(&["LEN", "len"]),
                2..=4 => self.one_of(&["IDX", "idx"]),
                5 => self.word("WITHMATCHLEN"),
                6..=7 => self.word("MINMATCHLEN").position(),
                _ => self.one_of(&["MINMATCHLEN", "LENGTH", ""]),
            };
        }
        self
    }
}

//! Random calls of the string commands, good and bad.
//!
//! Deadlines are far away or long past, so that no reply depends on the servers' speed.

use super::{Call, Compare, Random};

pub(super) const INTEGERS: &[&str] = &[
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

pub(super) const BAD_INTEGERS: &[&str] = &[
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

pub(super) const FLOATS: &[&str] = &[
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
    ".5",
    "5.",
    "0x1.8p3",
    "1e-4940",
    "3.14159265358979323846",
    "1e1000",
    "123456789.123456789",
];

pub(super) const BAD_FLOATS: &[&str] = &[
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

/// Times to live: so long that they do not pass during a test, or refused.
const TTLS: &[&str] = &[
    "100000",
    "99999999",
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854775",
];

/// Points in time, good as seconds and as milliseconds: far away, or refused.
const DEADLINES: &[&str] = &[
    "9999999999999",
    "99999999999999",
    "0",
    "-1",
    "9223372036854776",
];

/// Long past. Not for SET: the servers differ in when such a key leaves DBSIZE.
const PAST: &[&str] = &["1", "1000", "999999999"];

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    if random.one_in(30) {
        let call = Call::new(["PTTL"]).arg(random.key());
        return call.compare(Compare::Milliseconds);
    }
    let mut words = Builder {
        random,
        words: Vec::new(),
    };
    words.build();
    let call = Call::new(&words.words);
    random.spoil(call)
}

/// Builds a call, argument by argument.
struct Builder<'a> {
    random: &'a mut Random,
    words: Vec<Vec<u8>>,
}

impl Builder<'_> {
    fn build(&mut self) {
        match self.random.below(32) {
            0..=2 => self.name("GET").key(),
            3..=8 => self.name("SET").key().value().set_options(),
            9 => self.name("SETNX").key().value(),
            10 => self.name("SETEX").key().ttl().value(),
            11 => self.name("PSETEX").key().ttl().value(),
            12 => self.name("GETSET").key().value(),
            13 => self.name("GETDEL").key(),
            14 | 15 => self.name("GETEX").key().getex_options(),
            16 => self.name("MGET").keys(),
            17 => self.name("MSET").pairs(),
            18 => self.name("MSETNX").pairs(),
            19 => self.name("APPEND").key().value(),
            20 => self.name("STRLEN").key(),
            21 => self.name("GETRANGE").key().position().position(),
            22 => self.name("SUBSTR").key().position().position(),
            23 | 24 => self.name("SETRANGE").key().offset().value(),
            25 => self.name("INCR").key(),
            26 => self.name("DECR").key(),
            27 => self.name("INCRBY").key().integer(),
            28 => self.name("DECRBY").key().integer(),
            29 | 30 => self.name("INCRBYFLOAT").key().float(),
            _ => self.name("LCS").key().key().lcs_options(),
        };
    }

    /// A name or an option, in any case.
    fn name(&mut self, name: &str) -> &mut Self {
        let name = self.random.any_case(name);
        self.word(name)
    }

    fn word(&mut self, word: impl AsRef<[u8]>) -> &mut Self {
        self.words.push(word.as_ref().to_vec());
        self
    }

    fn one_of(&mut self, words: &[&str]) -> &mut Self {
        let word = self.random.pick(words);
        self.word(word)
    }

    fn key(&mut self) -> &mut Self {
        let key = self.random.key();
        self.word(key)
    }

    fn keys(&mut self) -> &mut Self {
        for _ in 0..=self.random.below(4) {
            self.key();
        }
        self
    }

    fn pairs(&mut self) -> &mut Self {
        for _ in 0..=self.random.below(3) {
            self.key().value();
        }
        self
    }

    fn value(&mut self) -> &mut Self {
        match self.random.below(10) {
            0..=2 => self.integer(),
            3..=4 => self.float(),
            5..=6 => {
                let mut value = self.random.value();
                // Long values that APPEND doubles would only slow the test down.
                value.truncate(20);
                self.word(value)
            }
            _ => {
                // Few letters, so that LCS finds something.
                let letters: Vec<u8> = (0..=self.random.below(20))
                    .map(|_| self.random.pick(b"abcd"))
                    .collect();
                self.word(letters)
            }
        }
    }

    fn integer(&mut self) -> &mut Self {
        match self.random.below(10) {
            0 => self.one_of(BAD_INTEGERS),
            1..=4 => self.one_of(INTEGERS),
            _ => {
                let number = self.random.within(-1000..1000);
                self.word(number.to_string())
            }
        }
    }

    fn float(&mut self) -> &mut Self {
        match self.random.below(10) {
            0 => self.one_of(BAD_FLOATS),
            1..=4 => self.one_of(FLOATS),
            _ => {
                let number = self.random.within(-100_000..100_000);
                let places = self.random.below(6);
                self.word(format!("{number}e-{places}"))
            }
        }
    }

    fn position(&mut self) -> &mut Self {
        if self.random.one_in(20) {
            return self.one_of(BAD_INTEGERS);
        }
        self.one_of(POSITIONS)
    }

    fn offset(&mut self) -> &mut Self {
        if self.random.one_in(20) {
            return self.one_of(BAD_INTEGERS);
        }
        self.one_of(OFFSETS)
    }

    fn ttl(&mut self) -> &mut Self {
        match self.random.below(10) {
            0 => self.one_of(BAD_INTEGERS),
            1..=4 => self.one_of(TTLS),
            _ => self.word("100000"),
        }
    }

    fn deadline(&mut self) -> &mut Self {
        if self.random.one_in(10) {
            return self.one_of(BAD_INTEGERS);
        }
        self.one_of(DEADLINES)
    }

    fn expiry(&mut self) -> &mut Self {
        match self.random.below(4) {
            0 => self.name("EX").ttl(),
            1 => self.name("PX").ttl(),
            2 => self.name("EXAT").deadline(),
            _ => self.name("PXAT").deadline(),
        }
    }

    fn past(&mut self) -> &mut Self {
        let name = self.random.pick(&["EXAT", "PXAT"]);
        self.name(name).one_of(PAST)
    }

    fn set_options(&mut self) -> &mut Self {
        for _ in 0..self.random.below(4) {
            match self.random.below(12) {
                0..=1 => self.name("NX"),
                2..=3 => self.name("XX"),
                4..=5 => self.name("GET"),
                6..=7 => self.name("KEEPTTL"),
                8 => self.one_of(&["PERSIST", "EX", "PX", "N", "NXX", "", "5"]),
                _ => self.expiry(),
            };
        }
        self
    }

    fn getex_options(&mut self) -> &mut Self {
        for _ in 0..self.random.below(3) {
            match self.random.below(8) {
                0..=1 => self.name("PERSIST"),
                2 => self.one_of(&["KEEPTTL", "NX", "GET", "EXAT", ""]),
                3 => self.past(),
                _ => self.expiry(),
            };
        }
        self
    }

    fn lcs_options(&mut self) -> &mut Self {
        for _ in 0..self.random.below(4) {
            match self.random.below(9) {
                0..=1 => self.name("LEN"),
                2..=4 => self.name("IDX"),
                5 => self.word("WITHMATCHLEN"),
                6..=7 => self.word("MINMATCHLEN").position(),
                _ => self.one_of(&["MINMATCHLEN", "LENGTH", ""]),
            };
        }
        self
    }
}

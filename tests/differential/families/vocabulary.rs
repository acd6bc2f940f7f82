//! The arguments of random calls on collections.

use super::{Call, Compare, Random};

/// How many keys each type has.
const KEYS_OF_TYPE: i64 = 4;

/// Elements that look like something else, or like nothing.
const ODD_ELEMENTS: &[&[u8]] = &[
    b"",
    b" ",
    b"\0\xff",
    b"1.5",
    b"-0",
    b"007",
    b"+7",
    b"1e3",
    b"nan",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"two words",
    b"line\r\nbreak",
];

/// Numbers of elements around the sizes at which Redis changes its encoding.
const SIZES: &[usize] = &[2, 5, 20, 60, 127, 128, 129, 130, 200, 511, 512, 513, 600];

const INDEXES: &[&str] = &[
    "0",
    "1",
    "2",
    "5",
    "9",
    "127",
    "128",
    "1000",
    "-1",
    "-2",
    "-3",
    "-10",
    "-129",
    "-1000",
    "9223372036854775807",
    "-9223372036854775808",
];

const BAD_INDEXES: &[&str] = &[
    "",
    "x",
    "1.5",
    " 1",
    "+1",
    "9223372036854775808",
    "(1",
    "inf",
];

/// Doubles that are sums of few powers of two, so that their sum does not depend on the order of adding.
const SCORES: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "0.5",
    "-2.25",
    "10",
    "1024",
    "1e3",
    "5.0",
    "-0",
    "inf",
    "-inf",
    "+inf",
    "9007199254740992",
    "4.25",
    "100.125",
];

const ODD_SCORES: &[&str] = &[
    "0.1",
    "3.3333333333333335",
    "-1e300",
    "1.7976931348623157e308",
    "5e-324",
    "0x10",
    "1e17",
    "123456789012345678",
    "1e21",
    "0.000001",
    "Infinity",
    "-INF",
    ".5",
    "5.",
];

const BAD_SCORES: &[&str] = &["nan", "", "abc", "1.5x", " 1", "1 ", "(1", "1e400x", "--1"];

impl Random {
    /// A key of a type; its name says the type. In crossed calls sometimes a key of another type.
    pub fn key_of(&mut self, kind: &'static str) -> Vec<u8> {
        let kind = if self.crossed && self.one_in(4) {
            self.pick(&["string", "hash", "list", "set", "any"])
        } else if self.one_in(60) {
            "string"
        } else {
            kind
        };
        self.own_key(kind)
    }

    /// A key of this type only.
    pub fn own_key(&mut self, kind: &str) -> Vec<u8> {
        format!("{kind}:{}", self.within(1..=KEYS_OF_TYPE)).into_bytes()
    }

    /// One to `max` keys of a type.
    pub fn keys_of(&mut self, kind: &'static str, max: usize) -> Vec<Vec<u8>> {
        (0..=self.below(max)).map(|_| self.key_of(kind)).collect()
    }

    /// The number of `keys`, sometimes a wrong one, and then the keys.
    pub fn numbered(&mut self, keys: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let count = if self.one_in(20) {
            self.pick(&["0", "-1", "x", "", "3", "9223372036854775807", "1.5"])
                .to_owned()
        } else {
            keys.len().to_string()
        };
        let keys = keys.iter().cloned();
        std::iter::once(count.into_bytes()).chain(keys).collect()
    }

    /// An element, field or member: one of few, so that calls meet.
    pub fn element(&mut self) -> Vec<u8> {
        match self.below(24) {
            0..10 => vec![self.pick(b"abcdefghijkl")],
            10..16 => self.within(-9..30).to_string().into_bytes(),
            16..18 => self.within(0..600).to_string().into_bytes(),
            18..20 => format!("e:{}", self.within(0..200)).into_bytes(),
            20..22 => self.pick(ODD_ELEMENTS).to_vec(),
            22 => vec![self.pick(b"xy"); self.pick(&[63, 64, 65])],
            _ if self.one_in(4) => vec![self.pick(b"xy"); self.pick(&[300, 4_000, 9_000])],
            _ => format!("m{}", self.within(0..50)).into_bytes(),
        }
    }

    /// One to `max` elements.
    pub fn elements(&mut self, max: usize) -> Vec<Vec<u8>> {
        (0..=self.below(max)).map(|_| self.element()).collect()
    }

    /// As many different elements as some threshold needs: all integers, or all text.
    pub fn many_elements(&mut self) -> Vec<Vec<u8>> {
        let size = self.pick(SIZES);
        let start = self.below(100);
        let word = self.pick(&["", "", "e:", "a-longer-name-"]);
        (start..start + size)
            .map(|number| format!("{word}{number}").into_bytes())
            .collect()
    }

    /// A position in a list or an order.
    pub fn index(&mut self) -> String {
        match self.below(30) {
            0 => self.pick(BAD_INDEXES).to_owned(),
            1..8 => self.pick(INDEXES).to_owned(),
            _ => self.within(-12..20).to_string(),
        }
    }

    /// A count, good or bad.
    pub fn count(&mut self) -> String {
        match self.below(20) {
            0 => self.pick(BAD_INDEXES).to_owned(),
            1 => self
                .pick(&["-1", "-9223372036854775808", "9223372036854775807", "-5"])
                .to_owned(),
            2 => "0".to_owned(),
            3 => self.pick(&["100", "128", "1000"]).to_owned(),
            _ => self.within(1..8).to_string(),
        }
    }

    /// A score.
    pub fn score(&mut self) -> String {
        match self.below(30) {
            0 => self.pick(BAD_SCORES).to_owned(),
            1 => self.pick(ODD_SCORES).to_owned(),
            2..10 => self.pick(SCORES).to_owned(),
            _ => self.within(-20..40).to_string(),
        }
    }

    /// A score that the server accepts.
    pub fn good_score(&mut self) -> String {
        match self.below(6) {
            0 => self.pick(SCORES).to_owned(),
            _ => self.within(-20..40).to_string(),
        }
    }

    /// An end of a range of scores.
    pub fn score_end(&mut self) -> String {
        match self.below(12) {
            0..2 => "-inf".to_owned(),
            2..4 => "+inf".to_owned(),
            4..7 => format!("({}", self.score()),
            7 if self.one_in(3) => self.pick(&["(", "((1", "[1", "nan", "(nan", ""]).to_owned(),
            _ => self.score(),
        }
    }

    /// An end of a lexical range.
    pub fn lex_end(&mut self) -> Vec<u8> {
        match self.below(14) {
            0..3 => b"-".to_vec(),
            3..6 => b"+".to_vec(),
            6 if self.one_in(3) => self
                .pick(&["", "a", "++", "-x", "x", "{a", "(", "["])
                .as_bytes()
                .to_vec(),
            n => {
                let mut end = vec![if n.is_multiple_of(2) { b'[' } else { b'(' }];
                end.extend(self.element());
                end
            }
        }
    }

    /// `LIMIT` with its two arguments, now and then.
    pub fn limit(&mut self) -> Vec<String> {
        if !self.one_in(3) {
            return Vec::new();
        }
        let offset = match self.below(6) {
            0 => self.index(),
            _ => self.within(0..6).to_string(),
        };
        let count = match self.below(6) {
            0 => self.index(),
            1 => "-1".to_owned(),
            _ => self.within(0..10).to_string(),
        };
        vec![self.any_case("limit"), offset, count]
    }

    /// `word` in any case, once in `n` times.
    pub fn maybe(&mut self, n: u32, word: &str) -> Option<String> {
        self.one_in(n).then(|| self.any_case(word))
    }

    /// A timeout after which a waiting command practically gives up at once.
    pub fn short_timeout(&mut self) -> &'static str {
        if self.one_in(6) {
            return self.pick(&["-1", "x", "", "-0.5", "nan", "0x"]);
        }
        self.pick(&["0.001", "0.003", "1e-3"])
    }

    /// A pattern for scans and SORT.
    pub fn pattern(&mut self) -> &'static str {
        self.pick(&[
            "*", "a", "?", "[a-f]", "[^a-f]", "e:*", "*1*", "", "[", "??", "x*", "\\*", "m[1-3]?",
        ])
    }

    /// Options of HSCAN, SSCAN and ZSCAN.
    pub fn walk(&mut self, name: &str, key: Vec<u8>) -> Call {
        let mut call = Call::new([self.any_case(name)]).arg(key);
        if self.one_in(2) {
            call = call.arg(self.any_case("match")).arg(self.pattern());
        }
        if self.one_in(2) {
            let count = self.pick(&["1", "3", "10", "1000", "9223372036854775807"]);
            call = call.arg(self.any_case("count")).arg(count);
        }
        call.compare(Compare::Walk)
    }

    /// How many elements a command chooses: with repetitions never so many that the reply is endless.
    pub fn chosen_count(&mut self) -> String {
        match self.below(10) {
            0 => self
                .pick(&[
                    "x",
                    "",
                    "1.5",
                    "-9223372036854775808",
                    "9223372036854775808",
                ])
                .to_owned(),
            1 => self
                .pick(&["1000", "4611686018427387903", "-200"])
                .to_owned(),
            _ => self.within(-10..20).to_string(),
        }
    }

    /// The calls as one transaction, which comes next.
    pub fn transaction(&mut self, calls: Vec<Call>) -> Call {
        self.then(calls);
        self.then([Call::line("EXEC")]);
        Call::line("MULTI")
    }
}

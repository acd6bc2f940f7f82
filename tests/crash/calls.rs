//! Makes random write calls on collections.

use std::collections::BTreeSet;
use std::ops::Range;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::items::{Items, Payloads, Told, Word};
use crate::model::{far_ms, now_ms};
use common::{Value, encode};

/// The lifetime of a brief key, ms.
pub const BRIEF_MS: u64 = 60;
/// Elements for counting, in a fixed order, so that a count tells which elements they are.
const COUNTED_MAX: i64 = 16;

/// The first few counted elements.
pub fn counted(count: i64) -> BTreeSet<Word> {
    (0..count).map(|n| format!("c{n}").into_bytes()).collect()
}

/// One call, or a transaction of several.
#[derive(Clone, Debug)]
pub enum Call {
    Plain(Vec<Word>),
    Exec(Vec<Vec<Word>>),
    /// A key that no other call names, and that expires before the check.
    Brief(Vec<Vec<Word>>),
}

impl Call {
    fn all(&self) -> &[Vec<Word>] {
        match self {
            Call::Plain(words) => std::slice::from_ref(words),
            Call::Exec(calls) | Call::Brief(calls) => calls,
        }
    }

    /// Whether the server chooses the elements.
    pub fn chooses(&self) -> bool {
        self.all().iter().any(|words| words[0] == b"SPOP")
    }

    /// The requests to send.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        if let Call::Plain(words) = self {
            return encode(bytes, words);
        }
        encode(bytes, &["MULTI"]);
        for words in self.all() {
            encode(bytes, words);
        }
        encode(bytes, &["EXEC"]);
    }

    /// How many replies come before the important one.
    pub fn replies_before(&self) -> usize {
        match self {
            Call::Plain(_) => 0,
            _ => self.all().len() + 1,
        }
    }

    /// Applies the call to the model, and returns the expected reply.
    pub fn apply(&self, items: &mut Items, payloads: &Payloads, told: &Told<'_>) -> Value {
        match self {
            Call::Plain(words) => items.apply(words, payloads, told),
            Call::Exec(calls) => {
                let replies = calls.iter().map(|words| items.apply(words, payloads, told));
                Value::Array(replies.collect())
            }
            Call::Brief(calls) => {
                // The key leaves no trace.
                let mut elsewhere = Items::default();
                let replies = calls
                    .iter()
                    .map(|words| elsewhere.apply(words, payloads, told));
                Value::Array(replies.collect())
            }
        }
    }

    pub fn show(&self) -> String {
        let call = |words: &Vec<Word>| -> String {
            let words = words.iter().take(12);
            let shown: Vec<_> = words
                .map(|word| word[..word.len().min(30)].escape_ascii().to_string())
                .collect();
            shown.join(" ")
        };
        self.all().iter().map(call).collect::<Vec<_>>().join("; ")
    }
}

/// The source of random calls.
pub struct Source {
    rng: StdRng,
    round: usize,
    briefs: usize,
    counted: i64,
}

impl Source {
    pub fn new(rng: StdRng, round: usize) -> Self {
        Self {
            rng,
            round,
            briefs: 0,
            counted: 0,
        }
    }

    /// A random count below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    /// The next call.
    pub fn next(&mut self, payloads: &Payloads) -> Call {
        match self.below(20) {
            0..3 => {
                let calls = (0..=self.below(8)).map(|_| self.words(payloads));
                // A random choice of the server shows in a reply of its own.
                Call::Exec(calls.filter(|words| words[0] != b"SPOP").collect())
            }
            3 if self.below(2) == 0 => self.brief(),
            _ => Call::Plain(self.words(payloads)),
        }
    }

    fn brief(&mut self) -> Call {
        self.briefs += 1;
        let (name, kind) = self.pick(&[("RPUSH", 'l'), ("SADD", 's')]);
        let key = format!("{kind}brief:{}:{}", self.round, self.briefs);
        let at = (now_ms() + i64::try_from(BRIEF_MS).unwrap_or(0)).to_string();
        let mut fill = vec![name.into(), key.clone().into_bytes()];
        fill.extend((0..20).map(|n| format!("b{n}").into_bytes()));
        let expire = ["PEXPIREAT", &key, &at].map(|word| word.as_bytes().to_vec());
        Call::Brief(vec![fill, expire.to_vec()])
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        *choices.choose(&mut self.rng).expect("there are choices")
    }

    fn number(&mut self, range: Range<i64>) -> String {
        self.rng.random_range(range).to_string()
    }

    fn key(&mut self, kind: char) -> String {
        format!("{kind}{}", self.below(4))
    }

    /// A value, mostly short; some are longer than anything that is packed together.
    fn value(&mut self) -> String {
        let len = self.pick(&[1, 8, 8, 8, 60, 70, 300, 3_000]);
        let stamp: u32 = self.rng.random();
        stamp.to_string().repeat(1 + len / 8)
    }

    /// One of a few elements, or a new one.
    fn element(&mut self) -> String {
        match self.below(12) {
            0 => self.value(),
            1..5 => self.number(0..60),
            _ => format!("e{}", self.below(40)),
        }
    }

    /// Elements: a few, or more than a packed form takes.
    fn elements(&mut self) -> Vec<String> {
        if self.below(15) == 0 {
            let start = self.below(100);
            return (start..start + 150).map(|n| format!("many{n}")).collect();
        }
        (0..=self.below(5)).map(|_| self.element()).collect()
    }

    fn words(&mut self, payloads: &Payloads) -> Vec<Word> {
        let words = match self.below(100) {
            0..14 => self.of_a_hash(),
            14..38 => self.of_a_list(),
            38..52 => self.of_a_set(),
            52..74 => self.of_a_sorted_set(),
            74..80 => self.of_bits(),
            80..83 => self.of_places(),
            83 | 84 => {
                let payloads: Vec<_> = payloads.iter().collect();
                let (payload, item) = *payloads.choose(&mut self.rng).expect("there are some");
                let kind = match item {
                    super::Item::Hash(_) => 'h',
                    super::Item::List(_) => 'l',
                    super::Item::Set(_) => 's',
                    _ => 'z',
                };
                let key = self.key(kind).into_bytes();
                return vec![
                    b"RESTORE".to_vec(),
                    key,
                    b"0".to_vec(),
                    payload.clone(),
                    b"REPLACE".to_vec(),
                ];
            }
            _ => self.of_any(),
        };
        words.into_iter().map(String::into_bytes).collect()
    }

    fn of_a_hash(&mut self) -> Vec<String> {
        let key = self.key('h');
        let mut words = match self.below(16) {
            12..16 => return self.of_fields(&key),
            0..5 => {
                let name = self.pick(&["HSET", "HSET", "HMSET"]).to_owned();
                let mut words = vec![name, key];
                for field in self.elements() {
                    words.extend([field, self.value()]);
                }
                return words;
            }
            5 => return ["HSETNX".into(), key, self.element(), self.value()].into(),
            6 | 7 => vec!["HINCRBY".into(), key, "count".into(), self.number(-50..50)],
            8 => vec![
                "HINCRBYFLOAT".into(),
                key,
                "sum".into(),
                format!("{}.5", self.below(9)),
            ],
            _ => vec!["HDEL".into(), key],
        };
        if words.len() == 2 {
            words.extend(self.elements());
        }
        words
    }

    /// Deadlines of fields: far ahead, or long past.
    fn of_fields(&mut self, key: &str) -> Vec<String> {
        let at = match self.below(6) {
            0 => "1000".to_owned(),
            _ => far_ms(&mut self.rng).to_string(),
        };
        let mut fields = self.elements();
        fields.push("count".to_owned());
        let count = fields.len().to_string();
        let with_values = self.below(2) == 0;
        let mut words: Vec<String> = if with_values {
            ["HSETEX", key, "PXAT", &at].map(str::to_owned).into()
        } else if self.below(3) == 0 {
            ["HPERSIST", key].map(str::to_owned).into()
        } else {
            ["HPEXPIREAT", key, &at].map(str::to_owned).into()
        };
        words.extend(["FIELDS".to_owned(), count]);
        for field in fields {
            words.push(field);
            if with_values {
                words.push(self.number(-50..50));
            }
        }
        words
    }

    fn of_a_list(&mut self) -> Vec<String> {
        let (key, other) = (self.key('l'), self.key('l'));
        let (from, to) = (self.pick(&["LEFT", "RIGHT"]), self.pick(&["LEFT", "RIGHT"]));
        let (first, last) = (self.number(-6..6), self.number(-9..40));
        match self.below(24) {
            0..7 => {
                let name = self.pick(&["LPUSH", "RPUSH", "RPUSH", "LPUSHX", "RPUSHX"]);
                let mut words = vec![name.to_owned(), key];
                words.extend(self.elements());
                words
            }
            7 => vec!["LPOP".into(), key],
            8 => vec!["RPOP".into(), key, self.number(1..30)],
            9 | 10 => vec!["LSET".into(), key, first, self.value()],
            11 | 12 => {
                let place = self.pick(&["BEFORE", "AFTER"]).to_owned();
                vec!["LINSERT".into(), key, place, self.element(), self.value()]
            }
            13 | 14 => vec!["LREM".into(), key, self.number(-2..3), self.element()],
            15 => vec!["LTRIM".into(), key, first, last],
            16 | 17 => ["LMOVE", &key, &other, from, to].map(str::to_owned).into(),
            18 => vec!["RPOPLPUSH".into(), key, other],
            19 => ["LMPOP", "1", &key, from, "COUNT", &self.number(1..9)]
                .map(str::to_owned)
                .into(),
            20 => ["BLPOP", &key, "0.001"].map(str::to_owned).into(),
            21 => ["BRPOP", &key, "0.001"].map(str::to_owned).into(),
            22 => ["BLMOVE", &key, &other, from, to, "0.001"]
                .map(str::to_owned)
                .into(),
            _ if self.below(2) == 0 => ["BRPOPLPUSH", &key, &other, "0.001"]
                .map(str::to_owned)
                .into(),
            _ => ["BLMPOP", "0.001", "1", &key, from, "COUNT", "3"]
                .map(str::to_owned)
                .into(),
        }
    }

    fn of_a_set(&mut self) -> Vec<String> {
        let (key, one, two) = (self.key('s'), self.key('s'), self.key('s'));
        let mut words = match self.below(14) {
            0..5 => vec!["SADD".to_owned(), key],
            5 | 6 => vec!["SREM".to_owned(), key],
            7 | 8 => return vec!["SMOVE".into(), key, one, self.element()],
            9 | 10 => return vec!["SPOP".into(), key],
            11 => return vec!["SUNIONSTORE".into(), key, one, two],
            12 => return vec!["SINTERSTORE".into(), key, one, two],
            _ => return vec!["SDIFFSTORE".into(), key, one, two],
        };
        words.extend(self.elements());
        words
    }

    fn scored(&mut self, mut words: Vec<String>) -> Vec<String> {
        for member in self.elements() {
            words.extend([
                format!("{}", f64::from(self.rng.random_range(-40..80)) / 2.0),
                member,
            ]);
        }
        words
    }

    fn of_a_sorted_set(&mut self) -> Vec<String> {
        let (key, one, two) = (self.key('z'), self.key('z'), self.key('z'));
        match self.below(24) {
            0..5 => self.scored(vec!["ZADD".into(), key]),
            5..7 => {
                let option = self.pick(&["NX", "XX", "GT"]).to_owned();
                self.scored(vec!["ZADD".into(), key, option])
            }
            7..9 => vec![
                "ZINCRBY".into(),
                key,
                format!("{}.5", self.below(9)),
                self.element(),
            ],
            9 | 10 => {
                let mut words = vec!["ZREM".to_owned(), key];
                words.extend(self.elements());
                words
            }
            11 => vec!["ZPOPMIN".into(), key],
            12 => vec!["ZPOPMAX".into(), key, self.number(1..9)],
            13 => ["ZMPOP", "1", &key, "MIN", "COUNT", "2"]
                .map(str::to_owned)
                .into(),
            14 => ["BZPOPMIN", &key, "0.001"].map(str::to_owned).into(),
            15 => ["BZPOPMAX", &key, "0.001"].map(str::to_owned).into(),
            16 => ["BZMPOP", "0.001", "1", &key, "MIN", "COUNT", "2"]
                .map(str::to_owned)
                .into(),
            17 => vec![
                "ZREMRANGEBYRANK".into(),
                key,
                self.number(-3..3),
                self.number(-9..5),
            ],
            18 => vec![
                "ZREMRANGEBYSCORE".into(),
                key,
                self.number(-20..5),
                self.number(0..9),
            ],
            19 if self.below(2) == 0 => {
                let mut words = vec!["ZADD".to_owned(), self.key('x')];
                words.extend(
                    self.elements()
                        .into_iter()
                        .flat_map(|member| ["0".to_owned(), member]),
                );
                words
            }
            19 => vec![
                "ZREMRANGEBYLEX".into(),
                self.key('x'),
                "[e1".into(),
                format!("[e{}", self.number(2..5)),
            ],
            20 => vec!["ZUNIONSTORE".into(), key, "2".into(), one, two],
            21 => vec!["ZINTERSTORE".into(), key, "2".into(), one, two],
            22 => vec!["ZDIFFSTORE".into(), key, "2".into(), one, two],
            _ => vec![
                "ZRANGESTORE".into(),
                key,
                one,
                self.number(-3..3),
                self.number(-9..40),
            ],
        }
    }

    fn of_bits(&mut self) -> Vec<String> {
        let key = self.key('b');
        match self.below(8) {
            0..3 => vec![
                "SETBIT".into(),
                key,
                self.number(0..4_000),
                self.number(0..2),
            ],
            3 | 4 => {
                let place = format!("#{}", self.below(500));
                ["BITFIELD", &key, "SET", "u8", &place, &self.number(0..256)]
                    .map(str::to_owned)
                    .into()
            }
            5 => vec![
                "BITOP".into(),
                "XOR".into(),
                key,
                self.key('b'),
                self.key('b'),
            ],
            6 => vec!["PFMERGE".into(), "p0".into(), "p1".into()],
            _ => {
                self.counted = (self.counted + 1).min(COUNTED_MAX);
                let mut words = vec!["PFADD".to_owned(), self.key('p')];
                words.extend((0..self.counted).map(|n| format!("c{n}")));
                words
            }
        }
    }

    fn of_places(&mut self) -> Vec<String> {
        let (key, other) = (self.key('g'), self.key('g'));
        let words = match self.below(3) {
            0 => "GEOADD 13.361389 38.115556 Palermo",
            1 => "GEOADD 15.087269 37.502669 Catania",
            _ => {
                let words = [
                    "GEOSEARCHSTORE",
                    &key,
                    &other,
                    "FROMLONLAT",
                    "15",
                    "37",
                    "BYRADIUS",
                    "300",
                    "km",
                ];
                return words.map(str::to_owned).into();
            }
        };
        let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        words.insert(1, key);
        words
    }

    fn of_any(&mut self) -> Vec<String> {
        let kind = self.pick(&['h', 'l', 's', 'z', 'h', 'l', 's', 'z', 'x', 'g', 'b', 'p']);
        let (key, other) = (self.key(kind), self.key(kind));
        match self.below(14) {
            0 | 1 => vec!["DEL".into(), key, other],
            2 => vec!["UNLINK".into(), key],
            3..5 => vec!["RENAME".into(), key, other],
            // A key cannot be copied to itself.
            5..7 if key != other => vec!["COPY".into(), key, other, "REPLACE".into()],
            7..9 => vec!["PEXPIREAT".into(), key, far_ms(&mut self.rng).to_string()],
            9 => vec!["PEXPIREAT".into(), key, "1000".into()],
            10 | 11 => vec!["PERSIST".into(), key],
            _ => ["SORT", &self.key('s'), "ALPHA", "STORE", &self.key('l')]
                .map(str::to_owned)
                .into(),
        }
    }
}

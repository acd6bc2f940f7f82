//! What the sample's server is told to do: every kind of record that a pool can hold is made, changed and removed.

use rand::Rng;
use rand::rngs::StdRng;

use super::sample::DATABASES;

/// The words of a call.
pub type Call = Vec<Vec<u8>>;

/// How the names begin of what a sample must hold at least one of. The large collections have no number.
pub const KINDS: &[&str] = &[
    "key:",
    "large:",
    "hash",
    "hash:",
    "list",
    "list:",
    "set",
    "set:",
    "ranks",
    "ranks:",
    "stream",
    "stream:",
    "<libraries>",
];

/// Small collections of each type in a database; each is one record.
const SMALL: usize = 25;

struct Calls<'r> {
    rng: &'r mut StdRng,
    calls: Vec<Call>,
}

/// The calls of one step of the sample's life.
pub fn of_step(rng: &mut StdRng, step: usize, layout: &str) -> Vec<Call> {
    let mut calls = Calls {
        rng,
        calls: Vec::new(),
    };
    let many = if layout == "packed" { 4_000 } else { 1_500 };
    for db in 0..DATABASES {
        calls.line(&format!("SELECT {db}"));
        let count = if db == 0 { many } else { many / 8 };
        for _ in 0..count {
            calls.mixed(count * 2);
        }
        calls.small();
    }
    calls.line("SELECT 0");
    calls.large();
    calls.streams(step);
    calls.libraries(step);
    match step {
        1 => calls.line("SWAPDB 1 2"),
        2 => {
            calls.line("SELECT 3");
            calls.line("FLUSHDB");
        }
        _ => {}
    }
    calls.calls
}

impl Calls<'_> {
    /// A call whose words are separated by single spaces.
    fn line(&mut self, line: &str) {
        self.with(line, &[]);
    }

    /// The same with more words.
    fn with(&mut self, line: &str, more: &[&[u8]]) {
        let words = line.split(' ').map(|word| word.as_bytes().to_vec());
        let more = more.iter().map(|word| word.to_vec());
        self.calls.push(words.chain(more).collect());
    }

    fn text(&mut self, length: usize) -> Vec<u8> {
        let start: u64 = self.rng.random();
        let start = format!("{start:016x}").into_bytes();
        start.into_iter().cycle().take(length).collect()
    }

    /// Strings, and collections too large for one record.
    fn mixed(&mut self, keys: usize) {
        let key = format!("key:{}", self.rng.random_range(0..keys));
        match self.rng.random_range(0..100) {
            0..65 => {
                // Some of a length that fills pages evenly.
                let length = if self.rng.random_bool(0.3) {
                    99
                } else {
                    self.rng.random_range(1..500)
                };
                let value = self.text(length);
                self.with(&format!("SET {key}"), &[&value]);
            }
            65..70 => {
                let number: i64 = self.rng.random();
                self.line(&format!("SET {key} {number}"));
            }
            70..80 => self.line(&format!("DEL {key}")),
            80..85 => {
                let value = self.text(40);
                self.with(&format!("SET {key}"), &[&value, b"EX", b"100000"]);
            }
            85..89 => {
                let field = format!("HSET hash f{}", self.rng.random_range(0..90));
                let value = self.text(30);
                self.with(&field, &[&value]);
            }
            89..92 => {
                let value = self.text(50);
                self.with("RPUSH list", &[&value]);
            }
            92..95 => {
                let member = self.text(20);
                self.with("ZADD ranks 1.5", &[&member]);
            }
            95..97 => {
                let member = self.text(70);
                self.with("SADD set", &[&member]);
            }
            97..98 => self.line("LPOP list"),
            _ => self.line(&format!("EXPIRE {key} 200000")),
        }
    }

    /// Collections in the compact form, of each type; some of the sets are of integers.
    fn small(&mut self) {
        for _ in 0..3 * SMALL {
            let n = self.rng.random_range(0..SMALL);
            let item = self.rng.random_range(0..12);
            let value = self.text(12);
            match self.rng.random_range(0..11) {
                0 | 1 => self.with(&format!("HSET hash:{n} f{item}"), &[&value]),
                2 => self.line(&format!("HDEL hash:{n} f{item}")),
                3 => self.with(&format!("RPUSH list:{n}"), &[&value]),
                4 => self.line(&format!("LPOP list:{n}")),
                5 if n % 2 == 0 => self.line(&format!("SADD set:{n} {item}")),
                5 => self.with(&format!("SADD set:{n}"), &[&value]),
                6 => self.line(&format!("SPOP set:{n}")),
                7 | 8 => self.line(&format!("ZADD ranks:{n} {item}.25 m{item}")),
                9 => self.line(&format!("ZREM ranks:{n} m{item}")),
                _ => self.line(&format!("EXPIRE hash:{n} 300000")),
            }
        }
    }

    /// Values in parts, changed in the middle.
    fn large(&mut self) {
        for n in 0..3 {
            let value = self.text(30_000 + 40_000 * n);
            self.with(&format!("SET large:{n}"), &[&value]);
            self.line(&format!("SETRANGE large:{n} 20000 changed-in-the-middle"));
        }
    }

    /// A stream of several nodes and one of few entries, with what their groups have delivered.
    fn streams(&mut self, step: usize) {
        for (name, entries) in [("stream", 160), ("stream:small", 3)] {
            if step == 0 {
                self.line(&format!("XGROUP CREATE {name} group $ MKSTREAM"));
            }
            for n in 0..entries {
                let value = self.text(20);
                self.with(&format!("XADD {name} {}-{n} field", step + 1), &[&value]);
            }
            let consumer = ["alice", "bob"][step % 2];
            self.line(&format!(
                "XREADGROUP GROUP group {consumer} COUNT 40 STREAMS {name} >"
            ));
            self.line(&format!("XACK {name} group {0}-0 {0}-1", step + 1));
            self.line(&format!("XDEL {name} {}-1", step + 1));
        }
        if step > 1 {
            self.line(&format!("XTRIM stream MINID {step}-20"));
            self.line("XAUTOCLAIM stream group carol 0 0 COUNT 5");
        }
    }

    /// Libraries of functions, replaced and removed.
    fn libraries(&mut self, step: usize) {
        for name in ["first", "second"] {
            let filling = self.text(300);
            let code = format!(
                "#!lua name={name}\nredis.register_function('{name}', function() return {step} end)\n-- {}",
                filling.escape_ascii()
            );
            self.with("FUNCTION LOAD REPLACE", &[code.as_bytes()]);
        }
        if step == 3 {
            self.line("FUNCTION DELETE second");
        }
    }
}

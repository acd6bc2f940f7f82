//! Makes random calls of every command that writes to streams.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::model::{Id, Payloads, Streams};
use common::{Value, encode};

const KEYS: &[&str] = &["a", "b", "c", "d"];
const GROUPS: &[&str] = &["g", "h"];
const CONSUMERS: &[&str] = &["alice", "bob", "carol"];

/// Runs each line of its arguments, whatever it answers.
const SCRIPT: &str = "
for _, line in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(line, '%S+') do words[#words + 1] = word end
  redis.pcall(unpack(words))
end
return #ARGV";

/// A call: one command, or several that are one step.
#[derive(Clone, Debug)]
pub enum Call {
    One(String),
    Exec(Vec<String>),
    Script(Vec<String>),
}

impl Call {
    /// Whether the server chooses an id that nobody knows beforehand.
    pub fn chooses(&self) -> bool {
        matches!(self, Call::One(line) if line.contains(" * "))
    }

    /// The key of an entry whose id the server chooses.
    pub fn chosen_key(&self) -> Option<&str> {
        match self {
            Call::One(line) if self.chooses() => line.split(' ').nth(1),
            _ => None,
        }
    }

    /// The requests to send. A word that begins with `DUMP` stands for a payload.
    pub fn encode(&self, bytes: &mut Vec<u8>, dumps: &[(String, Vec<u8>)]) {
        let mut line = |line: &str| {
            let words = line.split(' ').map(|word| {
                let dump = dumps.iter().find(|(name, _)| name == word);
                dump.map_or(word.as_bytes(), |(_, payload)| payload)
            });
            encode(bytes, &words.collect::<Vec<_>>());
        };
        match self {
            Call::One(one) => line(one),
            Call::Exec(lines) => {
                line("MULTI");
                for one in lines {
                    line(one);
                }
                line("EXEC");
            }
            Call::Script(lines) => {
                let mut words = vec!["EVAL", SCRIPT, "0"];
                words.extend(lines.iter().map(String::as_str));
                encode(bytes, &words);
            }
        }
    }

    /// How many replies come before the one that counts.
    pub fn replies_before(&self) -> usize {
        match self {
            Call::Exec(lines) => lines.len() + 1,
            Call::One(_) | Call::Script(_) => 0,
        }
    }

    /// The effect of the call, and its reply. An error is only its beginning.
    pub fn apply(&self, streams: &mut Streams, chosen: Option<Id>, payloads: &Payloads) -> Value {
        let mut run = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            streams.run(&words, chosen, payloads)
        };
        match self {
            Call::One(line) => run(line),
            Call::Exec(lines) => Value::Array(lines.iter().map(|line| run(line)).collect()),
            Call::Script(lines) => {
                for line in lines {
                    run(line);
                }
                Value::Integer(i64::try_from(lines.len()).unwrap_or(i64::MAX))
            }
        }
    }
}

/// The source of one connection's calls.
pub struct Source {
    rng: StdRng,
    /// The milliseconds of the newest id: every new entry gets a higher one.
    pub top_ms: u64,
}

impl Source {
    pub fn new(rng: StdRng, top_ms: u64) -> Self {
        Self { rng, top_ms }
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    pub fn next(&mut self) -> Call {
        match self.below(20) {
            0 | 1 => Call::Exec(self.lines()),
            2 => {
                // A payload is no word of a line.
                let mut lines = self.lines();
                lines.retain(|line| !line.starts_with("RESTORE"));
                Call::Script(lines)
            }
            // On a key of its own, since all other ids are lower than the ones that a server chooses.
            3 => Call::One(format!("XADD automatic * number {}", self.below(1000))),
            _ => Call::One(self.line()),
        }
    }

    fn lines(&mut self) -> Vec<String> {
        (0..=self.below(5)).map(|_| self.line()).collect()
    }

    fn pick(&mut self, choices: &[&'static str]) -> &'static str {
        choices.choose(&mut self.rng).expect("there are choices")
    }

    fn new_id(&mut self) -> String {
        self.top_ms += self.rng.random_range(1..3);
        format!("{}-{}", self.top_ms, self.rng.random_range(0..3))
    }

    /// An id that some entry may have.
    fn old_id(&mut self) -> String {
        let ms = self.top_ms.saturating_sub(self.rng.random_range(0..40));
        format!("{ms}-{}", self.rng.random_range(0..3))
    }

    fn old_ids(&mut self) -> String {
        let ids: Vec<String> = (0..=self.below(12)).map(|_| self.old_id()).collect();
        ids.join(" ")
    }

    /// Names and values: mostly short ones; some are longer than a record, and some than a segment of small size.
    fn fields(&mut self) -> String {
        let stamp = self.rng.random::<u32>();
        match self.below(40) {
            0 => format!("long {}", format!("{stamp}.").repeat(2_000)),
            1 => format!("very-long {}", format!("{stamp}.").repeat(20_000)),
            2..6 => (0..self.rng.random_range(2..30))
                .map(|field| format!("name{field} {stamp}"))
                .collect::<Vec<_>>()
                .join(" "),
            _ => format!("stamp {stamp} other value"),
        }
    }

    fn line(&mut self) -> String {
        let key = self.pick(KEYS);
        let (group, consumer) = (self.pick(GROUPS), self.pick(CONSUMERS));
        let count = 1 + self.below(9);
        match self.below(100) {
            0..30 => {
                let id = self.new_id();
                let trim = match self.below(6) {
                    0 => format!("MAXLEN {} ", self.below(60)),
                    _ => String::new(),
                };
                format!("XADD {key} {trim}{id} {}", self.fields())
            }
            30..33 => format!("XDEL {key} {}", self.old_ids()),
            33..36 => {
                let how = self.pick(&["", "KEEPREF ", "DELREF ", "ACKED "]);
                let ids = self.old_ids();
                let count = ids.split(' ').count();
                if self.below(2) == 0 {
                    format!("XDELEX {key} {how}IDS {count} {ids}")
                } else {
                    format!("XACKDEL {key} {group} {how}IDS {count} {ids}")
                }
            }
            36..39 => format!("XTRIM {key} MAXLEN {}", self.below(40)),
            39..42 => format!("XTRIM {key} MINID {}", self.old_id()),
            42 => {
                // No entry has a higher id than the deleted one, and the new one is higher.
                let deleted = format!("{}-1", self.top_ms);
                let (added, id) = (self.below(9_000) + 9_000, self.new_id());
                format!("XSETID {key} {id} ENTRIESADDED {added} MAXDELETEDID {deleted}")
            }
            43..50 => {
                let from = self.pick(&["0", "$"]);
                format!("XGROUP CREATE {key} {group} {from} MKSTREAM")
            }
            50 => format!("XGROUP SETID {key} {group} {}", self.old_id()),
            51 if self.below(3) == 0 => format!("XGROUP DESTROY {key} {group}"),
            51 | 52 => format!("XGROUP CREATECONSUMER {key} {group} {consumer}"),
            53 => format!("XGROUP DELCONSUMER {key} {group} {consumer}"),
            54..68 => {
                let noack = self.pick(&["", "", "", "NOACK "]);
                format!("XREADGROUP GROUP {group} {consumer} COUNT {count} {noack}STREAMS {key} >")
            }
            68..70 => {
                let other = self.pick(KEYS);
                format!(
                    "XREADGROUP GROUP {group} {consumer} COUNT {count} STREAMS {key} {other} > >"
                )
            }
            70..74 => format!("XREADGROUP GROUP {group} {consumer} COUNT {count} STREAMS {key} 0"),
            74..82 => format!("XACK {key} {group} {}", self.old_ids()),
            82..87 => {
                let option = self.pick(&["", "", " FORCE", " JUSTID", " FORCE JUSTID"]);
                format!(
                    "XCLAIM {key} {group} {consumer} 0 {}{option}",
                    self.old_ids()
                )
            }
            87..91 => {
                let option = self.pick(&["", "", " JUSTID"]);
                format!("XAUTOCLAIM {key} {group} {consumer} 0 0-0 COUNT {count}{option}")
            }
            91 => format!("DEL {key}"),
            92..94 => format!("RENAME {key} {}", self.pick(KEYS)),
            94..98 => format!("COPY {key} {} REPLACE", self.pick(KEYS)),
            _ => format!("RESTORE {key} 0 DUMP{} REPLACE", 1 + self.below(2)),
        }
    }
}

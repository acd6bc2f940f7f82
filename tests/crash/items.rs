//! The model of a database of collections: plain Rust collections, and the effect of each write command on them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::fields;
use common::Value;

/// An argument of a call, an element, or a member.
pub type Word = Vec<u8>;

/// What one key holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Text(Vec<u8>),
    Hash(BTreeMap<Word, Word>),
    List(VecDeque<Word>),
    Set(BTreeSet<Word>),
    Sorted(BTreeMap<Word, f64>),
    /// Counted elements.
    Counted(BTreeSet<Word>),
}

/// All keys of one database, with their deadlines in ms since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Items(pub BTreeMap<Word, (Item, Option<i64>)>);

/// The values that RESTORE restores, by their payloads.
pub type Payloads = BTreeMap<Word, Item>;

/// How the model learns which elements a command chose.
pub enum Told<'a> {
    By(&'a Value),
    /// No reply came: the contents show it afterwards.
    From(&'a Items),
}

pub(super) fn int(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

pub(super) fn bulk(word: &[u8]) -> Value {
    Value::Bulk(word.to_vec())
}

pub(super) fn parse<T: std::str::FromStr>(word: &[u8]) -> T {
    let text = std::str::from_utf8(word).expect("numbers are text");
    let parsed = text.parse().ok();
    parsed.expect("the test makes good numbers")
}

/// Scores and sums in this test are multiples of a half, which have one text form.
pub(super) fn number(value: f64) -> Word {
    value.to_string().into_bytes()
}

macro_rules! accessor {
    ($name:ident, $variant:ident, $kind:ty) => {
        /// The key's value of this type; a new one if there is none.
        pub(super) fn $name(&mut self, key: &[u8]) -> &mut $kind {
            let new = || (Item::$variant(<$kind>::default()), None);
            match &mut self.0.entry(key.to_vec()).or_insert_with(new).0 {
                Item::$variant(value) => value,
                other => panic!("a key has another type: {other:?}"),
            }
        }
    };
}

impl Items {
    accessor!(text, Text, Vec<u8>);
    accessor!(hash, Hash, BTreeMap<Word, Word>);
    accessor!(list, List, VecDeque<Word>);
    accessor!(set, Set, BTreeSet<Word>);
    accessor!(sorted, Sorted, BTreeMap<Word, f64>);
    accessor!(counted, Counted, BTreeSet<Word>);

    fn drop_empty(&mut self) {
        self.0.retain(|_, (item, _)| match item {
            Item::Text(_) | Item::Counted(_) => true,
            Item::Hash(fields) => !fields.is_empty(),
            Item::List(elements) => !elements.is_empty(),
            Item::Set(members) => !members.is_empty(),
            Item::Sorted(members) => !members.is_empty(),
        });
    }

    pub(super) fn replace(&mut self, key: &[u8], item: Item) {
        self.0.insert(key.to_vec(), (item, None));
    }

    /// The first key for which `found` differs.
    pub fn difference(&self, found: &Self) -> Option<String> {
        let keys: BTreeSet<_> = self.0.keys().chain(found.0.keys()).collect();
        let differs = keys
            .into_iter()
            .find(|key| self.0.get(*key) != found.0.get(*key))?;
        let show = |items: &Self| {
            let mut text = format!(
                "{:?}",
                items.0.get(differs).map(|(item, at)| (Shown(item), at))
            );
            text.truncate(3_000);
            text
        };
        Some(format!(
            "{}\nfound    {}\nexpected {}",
            differs.escape_ascii(),
            show(found),
            show(self)
        ))
    }

    /// Runs a call; returns its reply.
    pub fn apply(&mut self, words: &[Word], payloads: &Payloads, told: &Told<'_>) -> Value {
        let reply = match words[0][0] {
            b'H' => self.apply_to_hash(words),
            b'L' | b'R' if words[0] != b"RENAME" && words[0] != b"RESTORE" => {
                self.apply_to_list(words)
            }
            b'S' if words[0] != b"SETBIT" && words[0] != b"SORT" => self.apply_to_set(words, told),
            b'Z' | b'G' => self.apply_to_sorted(words),
            b'B' if !words[0].starts_with(b"BIT") => self.apply_waiting(words),
            _ => self.apply_to_any(words, payloads),
        };
        self.drop_empty();
        reply
    }

    /// Waiting commands have an almost zero timeout: they find something or answer null.
    fn apply_waiting(&mut self, words: &[Word]) -> Value {
        let mut plain = words.to_vec();
        plain[0].remove(0);
        if plain[0].ends_with(b"MPOP") {
            plain.remove(1);
        } else {
            plain.pop();
        }
        let reply = if plain[0][0] == b'Z' {
            self.apply_to_sorted(&plain)
        } else {
            self.apply_to_list(&plain)
        };
        let named = plain[0].ends_with(b"LPOP") || plain[0].ends_with(b"RPOP");
        match reply {
            Value::Bulk(word) if named => Value::Array(vec![bulk(&words[1]), Value::Bulk(word)]),
            Value::Array(items) if items.is_empty() => Value::NullArray,
            Value::Array(items) if plain[0].starts_with(b"ZPOP") => {
                Value::Array([vec![bulk(&words[1])], items].concat())
            }
            other => other,
        }
    }

    fn apply_to_hash(&mut self, words: &[Word]) -> Value {
        let fields = self.hash(&words[1]);
        let before = fields.len();
        match words[0].as_slice() {
            b"HSET" | b"HMSET" => {
                for pair in words[2..].chunks_exact(2) {
                    fields.insert(pair[0].clone(), pair[1].clone());
                }
                if words[0] == b"HMSET" {
                    return ok();
                }
                int(fields.len() - before)
            }
            b"HSETNX" => {
                fields
                    .entry(words[2].clone())
                    .or_insert_with(|| words[3].clone());
                int(fields.len() - before)
            }
            b"HDEL" => {
                for field in &words[2..] {
                    fields.remove(field);
                }
                int(before - fields.len())
            }
            b"HSETEX" | b"HPEXPIREAT" | b"HPERSIST" => fields::apply(fields, words),
            b"HINCRBY" => {
                let word = fields
                    .entry(words[2].clone())
                    .or_insert_with(|| b"0".to_vec());
                let (value, deadline) = fields::split(word);
                let sum = parse::<i64>(value) + parse::<i64>(&words[3]);
                *word = [sum.to_string().as_bytes(), deadline].concat();
                Value::Integer(sum)
            }
            _ => {
                let word = fields
                    .entry(words[2].clone())
                    .or_insert_with(|| b"0".to_vec());
                let (value, deadline) = fields::split(word);
                let sum = number(parse::<f64>(value) + parse::<f64>(&words[3]));
                *word = [&sum, deadline].concat();
                bulk(&sum)
            }
        }
    }

    fn apply_to_set(&mut self, words: &[Word], told: &Told<'_>) -> Value {
        let key = &words[1];
        match words[0].as_slice() {
            b"SADD" => {
                let members = self.set(key);
                let before = members.len();
                members.extend(words[2..].iter().cloned());
                int(members.len() - before)
            }
            b"SREM" => {
                let members = self.set(key);
                let before = members.len();
                members.retain(|member| !words[2..].contains(member));
                int(before - members.len())
            }
            b"SMOVE" => {
                let moved = self.set(key).remove(&words[3]);
                if moved {
                    self.set(&words[2]).insert(words[3].clone());
                }
                int(usize::from(moved))
            }
            b"SPOP" => {
                let Some(chosen) = self.chosen(key, told) else {
                    return Value::NullBulk;
                };
                self.set(key).remove(&chosen);
                Value::Bulk(chosen)
            }
            name => {
                let mut sets = Vec::new();
                for key in &words[2..] {
                    sets.push(self.set(key).clone());
                }
                let mut sets = sets.into_iter();
                let mut result = sets.next().unwrap_or_default();
                for other in sets {
                    match name {
                        b"SUNIONSTORE" => result.extend(other),
                        b"SINTERSTORE" => result.retain(|member| other.contains(member)),
                        _ => result.retain(|member| !other.contains(member)),
                    }
                }
                let size = int(result.len());
                self.replace(key, Item::Set(result));
                size
            }
        }
    }

    /// What SPOP removed.
    fn chosen(&mut self, key: &[u8], told: &Told<'_>) -> Option<Word> {
        let members = self.set(key);
        match told {
            Told::By(reply) => {
                let word = reply.bytes()?;
                members.get(word).cloned()
            }
            Told::From(found) => {
                let left = match found.0.get(key) {
                    Some((Item::Set(left), _)) => left.clone(),
                    _ => BTreeSet::new(),
                };
                let missing = members.difference(&left).next();
                missing.or_else(|| members.first()).cloned()
            }
        }
    }

    fn apply_to_any(&mut self, words: &[Word], payloads: &Payloads) -> Value {
        let key = &words[1];
        match words[0].as_slice() {
            b"DEL" | b"UNLINK" => {
                let before = self.0.len();
                self.0.retain(|key, _| !words[1..].contains(key));
                int(before - self.0.len())
            }
            b"RENAME" => match self.0.remove(key) {
                Some(entry) => {
                    self.0.insert(words[2].clone(), entry);
                    ok()
                }
                None => Value::Error(b"ERR no such key".to_vec()),
            },
            b"COPY" => match self.0.get(key).cloned() {
                Some(entry) => {
                    self.0.insert(words[2].clone(), entry);
                    int(1)
                }
                None => int(0),
            },
            b"PEXPIREAT" => {
                let at: i64 = parse(&words[2]);
                if at < 1_000_000 {
                    return int(usize::from(self.0.remove(key).is_some()));
                }
                let entry = self.0.get_mut(key);
                int(usize::from(entry.map(|entry| entry.1 = Some(at)).is_some()))
            }
            b"PERSIST" => {
                let deadline = self.0.get_mut(key).and_then(|entry| entry.1.take());
                int(usize::from(deadline.is_some()))
            }
            b"RESTORE" => {
                self.replace(key, payloads[&words[3]].clone());
                ok()
            }
            b"SORT" => {
                // Members differ, so that their order as text is unique.
                let mut all: Vec<_> = self.set(key).iter().cloned().collect();
                all.sort();
                let size = int(all.len());
                self.replace(
                    words.last().expect("there are words"),
                    Item::List(all.into()),
                );
                size
            }
            b"PFADD" => {
                let known = self.0.contains_key(key);
                let elements = self.counted(key);
                let before = elements.len();
                elements.extend(words[2..].iter().cloned());
                int(usize::from(!known || elements.len() > before))
            }
            b"PFMERGE" => {
                let more = self.0.get(&words[2]).map(|(item, _)| item.clone());
                let elements = self.counted(key);
                if let Some(Item::Counted(more)) = more {
                    elements.extend(more);
                }
                ok()
            }
            _ => self.apply_to_bits(words),
        }
    }

    fn apply_to_bits(&mut self, words: &[Word]) -> Value {
        if words[0] == b"BITOP" {
            let source = |key: &Word| match self.0.get(key) {
                Some((Item::Text(bytes), _)) => bytes.clone(),
                _ => Vec::new(),
            };
            let (mut one, mut two) = (source(&words[3]), source(&words[4]));
            let len = one.len().max(two.len());
            one.resize(len, 0);
            two.resize(len, 0);
            let result: Vec<u8> = one.iter().zip(&two).map(|(a, b)| a ^ b).collect();
            self.0.remove(&words[2]);
            if len > 0 {
                self.replace(&words[2], Item::Text(result));
            }
            return int(len);
        }
        if words[0] == b"BITFIELD" {
            // SET u8 #n: one byte.
            let (place, value): (usize, u8) = (parse(&words[4][1..]), parse(&words[5]));
            let bytes = self.text(&words[1]);
            if bytes.len() <= place {
                bytes.resize(place + 1, 0);
            }
            let old = std::mem::replace(&mut bytes[place], value);
            return Value::Array(vec![int(usize::from(old))]);
        }
        let (bit, value): (usize, u8) = (parse(&words[2]), parse(&words[3]));
        let bytes = self.text(&words[1]);
        if bytes.len() <= bit / 8 {
            bytes.resize(bit / 8 + 1, 0);
        }
        let (byte, mask) = (&mut bytes[bit / 8], 0x80 >> (bit % 8));
        let old = usize::from(*byte & mask != 0);
        *byte = if value == 1 {
            *byte | mask
        } else {
            *byte & !mask
        };
        int(old)
    }
}

/// Arguments as text.
struct Shown<'a>(&'a Item);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |word: &Word| String::from_utf8_lossy(&word[..word.len().min(24)]).into_owned();
        match self.0 {
            Item::Text(bytes) => write!(f, "{}", bytes.escape_ascii()),
            Item::Hash(fields) => f
                .debug_map()
                .entries(fields.iter().map(|(a, b)| (text(a), text(b))))
                .finish(),
            Item::List(elements) => f.debug_list().entries(elements.iter().map(text)).finish(),
            Item::Set(members) | Item::Counted(members) => {
                f.debug_set().entries(members.iter().map(text)).finish()
            }
            Item::Sorted(members) => f
                .debug_map()
                .entries(members.iter().map(|(a, b)| (text(a), b)))
                .finish(),
        }
    }
}

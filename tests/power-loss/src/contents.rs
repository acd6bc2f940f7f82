//! What a pool holds, in a form in which a server's answers and an opened pool are compared.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use common::{RawClient, TestResult, Value};
use redis_core::serialised::{LibrariesError, decode_libraries};
use xxhash_rust::xxh3::xxh3_64;

use crate::stream;

/// How many databases there are.
const DATABASES: usize = store::DATABASES;

/// Names the libraries of functions, which are in no database.
const LIBRARIES: (usize, &[u8]) = (DATABASES, b"libraries");

/// What libraries may take in these tests.
const LIBRARIES_BYTES_MAX: usize = 1 << 20;

/// FUNCTION DUMP's length if there are no libraries: a version and a checksum.
const NO_LIBRARIES_BYTES: usize = 10;

/// A database's number and a key.
pub type Name = (usize, Vec<u8>);

/// A key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its type, by the name that TYPE gives.
    pub kind: String,
    /// Its deadline, ms since the Unix epoch.
    pub deadline: Option<i64>,
    /// How many bytes it has in the form that `hash` is of.
    pub bytes: usize,
    /// A hash of the value.
    pub hash: u64,
}

impl Item {
    /// A string.
    pub fn string(deadline: Option<i64>, value: &[u8]) -> Self {
        Self::of("string", deadline, value)
    }

    /// A collection; the parts of an unordered one are given in the order of their bytes.
    pub fn collection(kind: &str, deadline: Option<i64>, parts: &[Vec<u8>]) -> Self {
        let mut value = Vec::new();
        for part in parts {
            value.extend_from_slice(&(part.len() as u64).to_le_bytes());
            value.extend_from_slice(part);
        }
        Self::of(kind, deadline, &value)
    }

    fn of(kind: &str, deadline: Option<i64>, value: &[u8]) -> Self {
        Self {
            kind: kind.to_owned(),
            deadline,
            bytes: value.len(),
            hash: xxh3_64(value),
        }
    }
}

/// A pair of a field and its value, or of a member and its score, as a part of [`Item::collection`].
pub fn pair(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut pair = (name.len() as u64).to_le_bytes().to_vec();
    pair.extend_from_slice(name);
    pair.extend_from_slice(value);
    pair
}

/// All keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents(pub BTreeMap<Name, Item>);

impl Contents {
    /// Reads everything that a server holds.
    pub fn of_server(client: &mut RawClient) -> TestResult<Self> {
        let mut contents = Self::default();
        for db in 0..DATABASES {
            client.send(&["SELECT", &db.to_string()])?;
            client.send(&["KEYS", "*"])?;
        }
        let mut names = Vec::new();
        for db in 0..DATABASES {
            client.read()?;
            let keys = client.read()?;
            let keys = keys.items().ok_or("KEYS answers no list")?;
            names.extend(
                keys.iter()
                    .filter_map(|key| Some((db, key.bytes()?.to_vec()))),
            );
        }
        contents.read_again(client, &names)?;
        let dump = client.call(&["FUNCTION", "DUMP"])?;
        let dump = dump.bytes().ok_or("FUNCTION DUMP answers no string")?;
        contents.set_libraries((dump.len() > NO_LIBRARIES_BYTES).then_some(dump))?;
        Ok(contents)
    }

    /// Takes up the libraries of functions, in the form of FUNCTION DUMP. Their order means nothing.
    ///
    /// # Errors
    /// An error where they cannot be read.
    pub fn set_libraries(&mut self, dump: Option<&[u8]>) -> Result<(), LibrariesError> {
        let Some(dump) = dump else { return Ok(()) };
        let mut texts = decode_libraries(dump, LIBRARIES_BYTES_MAX)?
            .map(|text| text.map(Cow::into_owned))
            .collect::<Result<Vec<_>, _>>()?;
        texts.sort();
        let (db, name) = LIBRARIES;
        let item = Item::collection("libraries", None, &texts);
        self.0.insert((db, name.to_vec()), item);
        Ok(())
    }

    /// Reads these keys anew.
    pub fn read_again(&mut self, client: &mut RawClient, names: &[Name]) -> TestResult {
        for (db, key) in names {
            client.send(&[b"SELECT", db.to_string().as_bytes()])?;
            client.send(&[b"TYPE", &key[..]])?;
            client.send(&[b"PEXPIRETIME", &key[..]])?;
        }
        let mut kinds = Vec::new();
        for _ in names {
            client.read()?;
            let kind = client.read()?.text().ok_or("TYPE answers no name")?;
            let deadline = client.read()?.integer().ok_or("PEXPIRETIME: no number")?;
            kinds.push((kind, (deadline >= 0).then_some(deadline)));
        }
        for ((db, key), (kind, deadline)) in names.iter().zip(kinds) {
            let name = (*db, key.clone());
            client.call(&["SELECT", &db.to_string()])?;
            let item = match &*kind {
                "none" => None,
                _ => read_value(client, key, &kind, deadline)?,
            };
            match item {
                Some(item) => self.0.insert(name, item),
                None => self.0.remove(&name),
            };
        }
        Ok(())
    }

    /// Without the keys whose deadline lies before `now`: when they go is the clock's business.
    #[must_use]
    pub fn lasting(mut self, now: i64) -> Self {
        self.0
            .retain(|_, item| item.deadline.is_none_or(|deadline| deadline > now));
        self
    }

    /// The first key that differs.
    pub fn difference(&self, found: &Self) -> Option<String> {
        let names = self.0.keys().chain(found.0.keys());
        names
            .filter(|name| self.0.get(name) != found.0.get(name))
            .map(|name| describe(name, found.0.get(name), self.0.get(name)))
            .next()
    }

    /// The first key that is as it is in none of `states`, which are not none.
    pub fn difference_by_keys(states: &[Self], found: &Self) -> Option<String> {
        let names = states.iter().flat_map(|state| state.0.keys());
        names
            .chain(found.0.keys())
            .filter(|name| {
                let item = found.0.get(name);
                states.iter().all(|state| item != state.0.get(name))
            })
            .map(|name| describe(name, found.0.get(name), states[0].0.get(name)))
            .next()
    }

    /// As text, a line for each key.
    pub fn encode(&self) -> String {
        let line = |((db, key), item): (&Name, &Item)| {
            let deadline = item.deadline.map_or("-".to_owned(), |at| at.to_string());
            let Item {
                kind, bytes, hash, ..
            } = item;
            let key = key.escape_ascii();
            format!("{db}\t{kind}\t{deadline}\t{bytes}\t{hash:x}\t{key}\n")
        };
        self.0.iter().map(line).collect()
    }

    /// Reads a line of [`encode`](Self::encode).
    pub fn add_line(&mut self, line: &str) -> Option<()> {
        let mut words = line.split('\t');
        let db = words.next()?.parse().ok()?;
        let kind = words.next()?.to_owned();
        let deadline = match words.next()? {
            "-" => None,
            number => Some(number.parse().ok()?),
        };
        let bytes = words.next()?.parse().ok()?;
        let hash = u64::from_str_radix(words.next()?, 16).ok()?;
        let item = Item {
            kind,
            deadline,
            bytes,
            hash,
        };
        // The names in the scenarios have no bytes that are escaped.
        let key = words.next()?.as_bytes().to_vec();
        self.0.insert((db, key), item);
        Some(())
    }
}

fn read_value(
    client: &mut RawClient,
    key: &[u8],
    kind: &str,
    deadline: Option<i64>,
) -> TestResult<Option<Item>> {
    let ask: &[&[u8]] = match kind {
        "string" => &[b"GET", key],
        "hash" => &[b"HGETALL", key],
        "set" => &[b"SMEMBERS", key],
        "list" => &[b"LRANGE", key, b"0", b"-1"],
        "zset" => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        "stream" => return stream::read(client, key, deadline),
        other => return Err(format!("type {other}").into()),
    };
    let reply = client.call(ask)?;
    if reply.is_null() {
        // Past its deadline in the meantime.
        return Ok(None);
    }
    if let Value::Bulk(value) = &reply {
        return Ok(Some(Item::string(deadline, value)));
    }
    let items: Vec<Vec<u8>> = reply
        .items()
        .ok_or("a collection is no list")?
        .iter()
        .map(|item| item.bytes().unwrap_or_default().to_vec())
        .collect();
    if items.is_empty() {
        return Ok(None);
    }
    let (pairs, _) = items.as_chunks::<2>();
    let mut parts = match kind {
        "hash" => pairs
            .iter()
            .map(|[name, value]| pair(name, value))
            .collect(),
        "zset" => pairs
            .iter()
            .map(|[name, score]| {
                let score: f64 = std::str::from_utf8(score)?.parse()?;
                Ok(pair(name, &score.to_le_bytes()))
            })
            .collect::<TestResult<Vec<_>>>()?,
        _ => items,
    };
    if kind != "list" {
        parts.sort();
    }
    Ok(Some(Item::collection(kind, deadline, &parts)))
}

fn describe(name: &Name, found: Option<&Item>, expected: Option<&Item>) -> String {
    struct Shown<'a>(Option<&'a Item>);
    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {
                None => f.write_str("nothing"),
                Some(item) => {
                    let Item {
                        kind, bytes, hash, ..
                    } = item;
                    write!(f, "a {kind} of {bytes} bytes ({hash:x})")?;
                    item.deadline.map_or(Ok(()), |at| write!(f, " until {at}"))
                }
            }
        }
    }
    let (db, key) = name;
    let key = key.escape_ascii();
    let (found, expected) = (Shown(found), Shown(expected));
    format!("database {db}, key {key}: {found} instead of {expected}")
}

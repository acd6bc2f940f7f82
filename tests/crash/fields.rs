//! Deadlines of fields in the model: a field's word is its value, and behind a zero byte its deadline, if it has one. So what
//! moves and copies hashes moves the deadlines too.

use std::collections::BTreeMap;

use common::{RawClient, TestResult, Value, encode};

type Word = Vec<u8>;

/// The word of a field with a deadline.
pub fn with_deadline(value: &[u8], at: &[u8]) -> Word {
    [value, b"\0", at].concat()
}

/// The value, and the rest of the word: its deadline.
pub fn split(word: &[u8]) -> (&[u8], &[u8]) {
    let end = word.iter().position(|&byte| byte == 0);
    word.split_at(end.unwrap_or(word.len()))
}

/// Whether a deadline, ms since the Unix epoch, has passed long ago.
fn is_past(at: &[u8]) -> bool {
    at.len() < "1000000000000".len()
}

/// Runs a call that names fields and a deadline.
pub fn apply(fields: &mut BTreeMap<Word, Word>, words: &[Word]) -> Value {
    match words[0].as_slice() {
        // HSETEX key PXAT at FIELDS n field value ...
        b"HSETEX" => {
            for pair in words[6..].chunks_exact(2) {
                if is_past(&words[3]) {
                    fields.remove(&pair[0]);
                } else {
                    fields.insert(pair[0].clone(), with_deadline(&pair[1], &words[3]));
                }
            }
            Value::Integer(1)
        }
        // HPEXPIREAT key at FIELDS n field ...
        b"HPEXPIREAT" => {
            let done = words[5..].iter().map(|name| {
                let Some(word) = fields.get_mut(name) else {
                    return Value::Integer(-2);
                };
                if is_past(&words[2]) {
                    fields.remove(name);
                    return Value::Integer(2);
                }
                *word = with_deadline(split(word).0, &words[2]);
                Value::Integer(1)
            });
            Value::Array(done.collect())
        }
        // HPERSIST key FIELDS n field ...
        _ => {
            let done = words[4..].iter().map(|name| {
                let Some(word) = fields.get_mut(name) else {
                    return Value::Integer(-2);
                };
                let (value, deadline) = split(word);
                if deadline.is_empty() {
                    return Value::Integer(-1);
                }
                *word = value.to_vec();
                Value::Integer(1)
            });
            Value::Array(done.collect())
        }
    }
}

/// Gives the fields of a hash that a server holds the words of the model.
pub fn read(client: &mut RawClient, key: &[u8], pairs: &mut [(Word, Word)]) -> TestResult {
    let count = pairs.len().to_string();
    let mut words = vec![b"HPEXPIRETIME".as_slice(), key, b"FIELDS", count.as_bytes()];
    words.extend(pairs.iter().map(|(name, _)| name.as_slice()));
    let mut bytes = Vec::new();
    encode(&mut bytes, &words);
    client.send_bytes(&bytes)?;
    let reply = client.read()?;
    let times = reply
        .items()
        .ok_or_else(|| format!("{words:?}: {reply:?}"))?;
    for ((_, word), time) in pairs.iter_mut().zip(times) {
        if let Some(at) = time.integer().filter(|&at| at >= 0) {
            *word = with_deadline(word, at.to_string().as_bytes());
        }
    }
    Ok(())
}

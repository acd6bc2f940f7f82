//! Ids of entries, and the replies that the model makes.

use common::Value;

/// An entry's id: milliseconds, and a number.
pub type Id = (u64, u64);

/// An error whose text begins like this.
pub fn error(start: &str) -> Value {
    Value::Error(start.as_bytes().to_vec())
}

pub fn int(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

pub fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

pub fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

pub fn show_id(id: Id) -> String {
    format!("{}-{}", id.0, id.1)
}

pub fn parse_id(text: &str) -> Id {
    let (ms, seq) = text.split_once('-').unwrap_or((text, "0"));
    let number = |text: &str| text.parse().expect("the test makes good ids");
    (number(ms), number(seq))
}

pub fn show_entry(id: Id, fields: &[String]) -> Value {
    let fields = fields.iter().map(|field| bulk(field));
    Value::Array(vec![bulk(&show_id(id)), Value::Array(fields.collect())])
}

//! A config from a JSON document, by the rules of pmemkv's own JSON config.

use serde_json::{Map, Value};

use super::config::Config;
use super::error::Error;

/// Items that pmemkv reads as pointers: it would take a nested config there for another object.
const POINTER_ITEMS: [&str; 2] = ["oid", "comparator"];

impl Config {
    /// A config from a document such as `{"path": "/dev/shm", "size": 1073741824}`.
    ///
    /// Like pmemkv's own JSON config, it accepts strings, whole numbers (signed 64 bits), booleans (stored as 0 and 1)
    /// and nested objects (stored as configs).
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::JsonNotObject`], and [`Error::JsonUnsupported`] with the item's name for null, floats,
    /// arrays, numbers beyond 64 signed bits, and objects named `oid` or `comparator`.
    pub fn from_json(document: &str) -> Result<Self, Error> {
        let document: Value =
            serde_json::from_str(document).map_err(|error| Error::Json(error.to_string()))?;
        let Value::Object(items) = document else {
            return Err(Error::JsonNotObject);
        };
        config(&items, "")
    }
}

fn config(items: &Map<String, Value>, outer: &str) -> Result<Config, Error> {
    let mut config = Config::new()?;
    for (key, value) in items {
        let unsupported = |kind| Error::JsonUnsupported {
            key: format!("{outer}{key}"),
            kind,
        };
        match value {
            Value::String(text) => config.put_string(key, text)?,
            Value::Bool(flag) => config.put_i64(key, i64::from(*flag))?,
            Value::Number(number) => match number.as_i64() {
                Some(number) => config.put_i64(key, number)?,
                None if number.is_u64() => return Err(unsupported("a number beyond 2^63-1")),
                None => return Err(unsupported("a float")),
            },
            Value::Object(_) if POINTER_ITEMS.contains(&key.as_str()) => {
                return Err(unsupported("an object"));
            }
            Value::Object(inner) => {
                let inner = self::config(inner, &format!("{outer}{key}."))?;
                config.put_config(key, inner)?
            }
            Value::Null => return Err(unsupported("null")),
            Value::Array(_) => return Err(unsupported("an array")),
        };
    }
    Ok(config)
}

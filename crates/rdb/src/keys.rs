//! Keys as they lie in a file. So one thread reads them, and others decode them.

use std::borrow::Cow;
use std::ops::Range;

use redis_core::serialised::{Object, decode_string, decode_value, form};

use crate::error::shown;
use crate::{Key, RdbError};

/// Memory for a list of keys that is kept.
const KEPT_KEYS: usize = 1 << 14;

/// A value of more bytes is a long one.
const LONG_BYTES: usize = 4096;

/// Keys of one database as they lie in a file; see [`Reader::next_keys`](crate::Reader::next_keys).
#[derive(Debug, Default)]
pub struct Keys {
    pub(crate) bytes: Vec<u8>,
    pub(crate) each: Vec<Raw>,
}

/// A key of [`Keys`].
#[derive(Debug)]
pub struct Decoded<'k> {
    /// The key.
    pub key: Cow<'k, [u8]>,
    /// The value.
    pub value: Value<'k>,
    /// As in [`Key`].
    pub expires_at: Option<i64>,
    /// As in [`Key`].
    pub idle_s: Option<u64>,
    /// As in [`Key`].
    pub frequency: Option<u8>,
}

/// A value of [`Keys`].
#[derive(Debug)]
pub enum Value<'k> {
    /// A string.
    String(Cow<'k, [u8]>),
    /// A collection, which has elements.
    Collection(Object),
}

/// What stands before a key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct About {
    pub expires_at: Option<i64>,
    pub idle_s: Option<u64>,
    pub frequency: Option<u8>,
}

/// Where a key and its value lie.
#[derive(Debug)]
pub(crate) struct Raw {
    pub key: Range<usize>,
    pub form: u8,
    pub value: Range<usize>,
    pub about: About,
    /// How many bytes of the file lie before the end of the value.
    pub end: u64,
}

impl Keys {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.each.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// How many bytes of the file they take.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the value with this number is so long that it is better used before the next one is decoded.
    ///
    /// # Panics
    /// If there are not so many keys.
    pub fn is_long(&self, number: usize) -> bool {
        self.each[number].value.len() > LONG_BYTES
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.each.clear();
        self.each.shrink_to(KEPT_KEYS);
    }

    /// Decodes the key with this number. `None` for a collection without elements, which some versions of Redis wrote by
    /// mistake.
    ///
    /// # Errors
    /// An error where the key or its value does not read.
    ///
    /// # Panics
    /// If there are not so many keys.
    pub fn decode(&self, number: usize) -> Result<Option<Decoded<'_>>, RdbError> {
        self.each[number].decode(&self.bytes)
    }
}

impl Raw {
    /// Decodes the key, which lies in these bytes.
    pub fn decode<'k>(&self, bytes: &'k [u8]) -> Result<Option<Decoded<'k>>, RdbError> {
        let key = decode_string(&bytes[self.key.clone()]).map_err(|_| RdbError::Damaged {
            offset: self.end,
            what: "a compressed string does not read",
        })?;
        let unreadable = |_| RdbError::Value {
            offset: self.end,
            key: shown(&key),
        };
        let value = &bytes[self.value.clone()];
        let value = if self.form == form::STRING {
            Value::String(decode_string(value).map_err(unreadable)?)
        } else {
            let collection = decode_value(self.form, value).map_err(unreadable)?;
            if collection.is_empty() {
                return Ok(None);
            }
            Value::Collection(collection)
        };
        let About {
            expires_at,
            idle_s,
            frequency,
        } = self.about;
        Ok(Some(Decoded {
            key,
            value,
            expires_at,
            idle_s,
            frequency,
        }))
    }
}

impl From<Decoded<'_>> for Key {
    fn from(decoded: Decoded<'_>) -> Self {
        Self {
            key: decoded.key.into_owned(),
            value: match decoded.value {
                Value::String(string) => Object::String(string.into_owned()),
                Value::Collection(collection) => collection,
            },
            expires_at: decoded.expires_at,
            idle_s: decoded.idle_s,
            frequency: decoded.frequency,
        }
    }
}

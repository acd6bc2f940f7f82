//! The errors that commands answer, worded as Redis words them. Each text stands once, here.

use crate::keyspace::KeyspaceError;

/// A command's error; it becomes an error reply and never closes the connection.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Options that do not parse.
    #[error("ERR syntax error")]
    Syntax,
    /// A number that is none, or too large.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// A float that is none.
    #[error("ERR value is not a valid float")]
    NotAFloat,
    /// The key holds another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// The key must exist.
    #[error("ERR no such key")]
    NoSuchKey,
    /// Wrong number of words; the full name, `client|setname`.
    #[error("ERR wrong number of arguments for '{0}' command")]
    WrongArity(String),
    /// An expiry that can't be represented; the command's name.
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpireTime(&'static str),
    /// A value would grow past proto-max-bulk-len.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    /// An offset outside what a string can hold.
    #[error("ERR offset is out of range")]
    OffsetOutOfRange,
    /// INCR past the ends of i64.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// DECRBY of the smallest integer.
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    /// INCRBYFLOAT past the ends of the type.
    #[error("ERR increment would produce NaN or Infinity")]
    NanOrInfinity,
    /// A database number outside the range.
    #[error("ERR DB index is out of range")]
    DatabaseOutOfRange,
    /// The pool is full, and nothing was changed. Clients know the error by its first word.
    #[error(
        "OOM command not allowed: the pool is full. Remove keys, set 'maxmemory-policy' so that keys may go, or use \
         a larger pool ('pool-size' counts for a new one); MEMORY DOCTOR says more."
    )]
    OutOfMemory,
    /// The call is one for a thread without other clients, and nothing was changed. Dispatch hands it over; no client
    /// sees this.
    #[error("ERR it takes long")]
    TakesLong,
    /// The data takes more than `maxmemory`, and nothing was changed.
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OverMaxmemory,
    /// Any other text, its code included. For texts that one command alone answers.
    #[error("{0}")]
    Text(std::borrow::Cow<'static, str>),
    /// The store failed; nothing was changed.
    #[error("ERR pmemkv: {0}")]
    Store(#[source] KeyspaceError),
}

impl CommandError {
    /// A text of one command's own, its code included.
    pub const fn text(text: &'static str) -> Self {
        CommandError::Text(std::borrow::Cow::Borrowed(text))
    }
}

/// A word as error texts show it: its first `bytes_max` bytes, and like the C string that Redis formats it as, only
/// up to a zero byte. What is not UTF-8 is replaced.
pub fn shown(word: &[u8], bytes_max: usize) -> std::borrow::Cow<'_, str> {
    let word = &word[..word.len().min(bytes_max)];
    let end = memchr::memchr(0, word).unwrap_or(word.len());
    String::from_utf8_lossy(&word[..end])
}

impl From<KeyspaceError> for CommandError {
    fn from(error: KeyspaceError) -> Self {
        match error {
            KeyspaceError::OutOfMemory => CommandError::OutOfMemory,
            KeyspaceError::TakesLong => CommandError::TakesLong,
            KeyspaceError::OverMaxmemory => CommandError::OverMaxmemory,
            KeyspaceError::TooLarge => CommandError::StringTooLong,
            KeyspaceError::WrongKind => CommandError::WrongType,
            error @ (KeyspaceError::Store(_) | KeyspaceError::Failed(_)) => {
                CommandError::Store(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn a_failure_of_the_store_keeps_its_sources() {
        let cause = pmemkv::Error::Unknown("disk on fire".into());
        let error = CommandError::from(KeyspaceError::from(store::StoreError::from(cause.clone())));
        assert_eq!(
            error.to_string(),
            "ERR pmemkv: pmemkv: unknown error: disk on fire"
        );
        let mut source: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(error) = source {
            if error.downcast_ref::<pmemkv::Error>() == Some(&cause) {
                return;
            }
            source = error.source();
        }
        panic!("the chain of sources ends before pmemkv's error");
    }
}

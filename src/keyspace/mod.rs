//! The keyspace: 16 databases of keys, an index in DRAM over values in the [`store`](crate::store).

/// How many databases there are, as a pool records them.
pub const DATABASES: usize = 16;

/// Absolute time in milliseconds since the Unix epoch.
pub type Millis = i64;

/// When and how a command looks at keys.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Now, read once for each batch of commands.
    pub now: Millis,
    /// Whether the access counts for LRU and LFU (false after CLIENT NO-TOUCH ON).
    pub touch: bool,
}

/// The type of a value. The number is part of the pool's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A binary-safe string.
    String = 0,
}

impl Kind {
    /// TYPE's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
        }
    }
}

/// What the index knows of a key, without reading its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The value's type.
    pub kind: Kind,
    /// Deadline, or `None` where the key stays.
    pub expires_at: Option<Millis>,
    /// Seconds since the last access.
    pub idle_s: u64,
}

/// A live value, borrowed from where it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// Its type.
    pub kind: Kind,
    /// Deadline, or `None` where the key stays.
    pub expires_at: Option<Millis>,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// Why a keyspace operation failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyspaceError {
    /// The pool has no room.
    #[error("the pool has no room")]
    OutOfMemory,
    /// Larger than any value may be.
    #[error("the value is too large")]
    TooLarge,
    /// pmemkv failed; its message.
    #[error("{0}")]
    Store(String),
}

/// One range of keys in ascending byte order; bounds as pmemkv's calls of the same name have them.
#[derive(Clone, Copy, Debug)]
pub enum Range<'a> {
    /// Every key.
    All,
    /// Keys greater than the bound.
    Above(&'a [u8]),
    /// The bound and keys greater than it.
    EqualAbove(&'a [u8]),
    /// Keys less than the bound.
    Below(&'a [u8]),
    /// The bound and keys less than it.
    EqualBelow(&'a [u8]),
    /// Keys between the bounds, both excluded.
    Between(&'a [u8], &'a [u8]),
}

/// Sizes of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Keys, those included that are past their deadline and not yet removed.
    pub keys: u64,
    /// Keys with a deadline.
    pub expires: u64,
    /// Mean time to live of keys with a deadline, ms (an estimate).
    pub avg_ttl_ms: u64,
}
mod stub;
pub use stub::*;

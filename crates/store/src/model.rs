//! The words that the store and everything above it share: databases, types of values, values, times, ranges.

pub use pmemkv::Range;

/// How many databases there are, as a pool records them.
pub const DATABASES: usize = 16;

/// Absolute time in milliseconds since the Unix epoch.
pub type Millis = i64;

/// The type of a value. The number is part of the pool's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A binary-safe string.
    String = 0,
    /// Elements by position.
    List = 1,
    /// Members without order.
    Set = 2,
    /// Members in the order of their scores.
    SortedSet = 3,
    /// Values by field.
    Hash = 4,
}

impl Kind {
    /// The type of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Kind::String),
            1 => Some(Kind::List),
            2 => Some(Kind::Set),
            3 => Some(Kind::SortedSet),
            4 => Some(Kind::Hash),
            _ => None,
        }
    }

    /// TYPE's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::SortedSet => "zset",
            Kind::Hash => "hash",
        }
    }
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

/// Now, in milliseconds since the Unix epoch.
pub fn now_ms() -> Millis {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

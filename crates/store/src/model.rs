//! The types that the store and everything above it share: databases, types of values, values, times, ranges.

pub use crate::kind::{Kind, RecordKind, StringForm};
pub use pmemkv::Range;

use nix::time::{ClockId, clock_gettime};

/// How many databases there are, as a pool records them.
pub const DATABASES: usize = 16;

/// Absolute time in milliseconds since the Unix epoch.
pub type Millis = i64;

/// A live value, borrowed from where it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// Its type.
    pub kind: Kind,
    /// For a string, how Redis would hold it.
    pub form: StringForm,
    /// Deadline, or `None` if it has none.
    pub expires_at: Option<Millis>,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// The name of a stored value, borrowed from its record.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// The generation that the record belongs to.
    pub generation: u32,
    /// The user's key.
    pub key: &'a [u8],
    /// Deadline, or `None` if it has none.
    pub expires_at: Option<Millis>,
}

/// Whether a stored value has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsNamed {
    /// It has, and this deadline.
    So(Option<Millis>),
    /// It has another name.
    Otherwise,
}

/// Now, in milliseconds since the Unix epoch.
pub fn now_ms() -> Millis {
    // Asked for each batch. The standard library's way subtracts the epoch and divides twice as many bits.
    clock_gettime(ClockId::CLOCK_REALTIME)
        .map_or(0, |now| now.tv_sec() * 1000 + now.tv_nsec() / 1_000_000)
        .max(0)
}

//! Values in the form of DUMP and RESTORE: Redis's RDB encoding of one value, the RDB version and a checksum.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the encoding's number: which type, in which of its forms |
//! | any | the value in that form |
//! | 2 | the RDB version, little-endian |
//! | 8 | CRC-64 (Jones) of all before it, little-endian |
//!
//! The encoder writes each type in its simplest form, by default in a version that Redis 7.0 restores; hashes with deadlines of
//! fields need Redis 7.4. The decoder reads every form in which Redis 5 to 8.2 dumps these types. The bytes come from clients, so the decoder checks everything before it uses
//! it, and reserves no memory for a count that a payload only claims.

mod deadlines;
mod decode;
mod encode;
#[doc(hidden)]
pub mod fuzzing;
mod integers;
mod libraries;
mod listpack;
mod lzf;
mod reader;
mod stream;
#[cfg(test)]
mod tests;
mod ziplist;

use crc::{CRC_64_REDIS, Crc, Table};

pub use encode::{encode, encode_for};
pub use libraries::{Libraries, LibrariesError, decode_libraries, encode_libraries};
pub use stream::{Stream, StreamConsumer, StreamEntry, StreamGroup, StreamId, StreamPending};

/// One value with all of its elements.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// A string.
    String(Vec<u8>),
    /// Elements from head to tail.
    List(Vec<Vec<u8>>),
    /// Members, each once, in any order.
    Set(Vec<Vec<u8>>),
    /// Fields, each once, with their values, in any order.
    Hash(Vec<(Vec<u8>, Vec<u8>)>),
    /// Fields of which some have deadlines, each once, in any order.
    ExpiringHash(Vec<ExpiringField>),
    /// Members, each once, with their scores, in any order. No score is NaN.
    SortedSet(Vec<(Vec<u8>, f64)>),
    /// Entries and groups.
    Stream(Box<Stream>),
}

/// A field of a hash with its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringField {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// Its deadline, ms since the Unix epoch, at least 1 and at most [`FIELD_DEADLINE_MAX`]; `None` if it has none.
    pub expires_at: Option<i64>,
}

/// The latest deadline that Redis 7.4 reads of a field, ms since the Unix epoch.
pub const FIELD_DEADLINE_MAX: i64 = (1 << 48) - 2;

/// A release of Redis whose form a payload has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Redis 7.0. Its streams do not say when a consumer was last active.
    Redis70,
    /// Redis 7.2.
    Redis72,
    /// Redis 7.4, the first whose hashes have fields with deadlines.
    Redis74,
}

impl Release {
    const fn version(self) -> u16 {
        match self {
            Self::Redis70 => 10,
            Self::Redis72 => 11,
            Self::Redis74 => 12,
        }
    }
}

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SerialisedError {
    /// It is too short, has a later version, or its checksum is wrong.
    #[error("payload version or checksum are wrong")]
    Envelope,
    /// Its body is not valid, or has a type or form that this decoder does not read.
    #[error("bad data format")]
    Format,
}

/// Numbers of encodings, from the RDB format.
mod form {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const SORTED_SET_TEXT: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const SORTED_SET: u8 = 5;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTEGERS: u8 = 11;
    pub(super) const SORTED_SET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const LIST_OF_ZIPLISTS: u8 = 14;
    pub(super) const STREAM: u8 = 15;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const SORTED_SET_LISTPACK: u8 = 17;
    pub(super) const LIST_OF_LISTPACKS: u8 = 18;
    pub(super) const STREAM_2: u8 = 19;
    pub(super) const SET_LISTPACK: u8 = 20;
    pub(super) const STREAM_3: u8 = 21;
    pub(super) const HASH_EXPIRING: u8 = 24;
    pub(super) const HASH_LISTPACK_EXPIRING: u8 = 25;
}

/// The latest version that the decoder reads.
const VERSION_MAX: u16 = Release::Redis74.version();

/// How much memory the compressed strings of one payload, and the names that entries of a stream share, may take together.
/// No command stores a larger value.
const INFLATED_BYTES_MAX: usize = 1 << 30;

/// The bytes of version and checksum.
const FOOTER_BYTES: usize = 2 + CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 8;

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// Reads a payload.
pub fn decode(payload: &[u8]) -> Result<Object, SerialisedError> {
    let body = open(payload).ok_or(SerialisedError::Envelope)?;
    decode::body(body, INFLATED_BYTES_MAX).ok_or(SerialisedError::Format)
}

/// The body in front of version and checksum; an error if one of them is wrong.
fn open(payload: &[u8]) -> Option<&[u8]> {
    let (summed, checksum) = payload.split_last_chunk::<CHECKSUM_BYTES>()?;
    let (body, version) = summed.split_last_chunk::<2>()?;
    let right = u16::from_le_bytes(*version) <= VERSION_MAX
        && CHECKSUM.checksum(summed) == u64::from_le_bytes(*checksum);
    right.then_some(body)
}

/// Appends version and checksum to the encoded body.
fn close(payload: &mut Vec<u8>, version: u16) {
    payload.extend_from_slice(&version.to_le_bytes());
    let checksum = CHECKSUM.checksum(payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
}

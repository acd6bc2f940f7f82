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
mod zipmap;

use std::borrow::Cow;

use crc::{CRC_64_REDIS, Crc, Digest, Table};

pub use encode::{Strings, encode, encode_for, encode_number, encode_string, encode_value};
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

/// Sums up bytes of the RDB format, piece by piece.
#[derive(Clone)]
pub struct Checksum(Digest<'static, u64, Table<16>>);

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Checksum").field(&self.value()).finish()
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self(CHECKSUM.digest())
    }
}

impl Checksum {
    /// Adds the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far.
    pub fn value(&self) -> u64 {
        self.0.clone().finalize()
    }
}

/// Numbers of encodings, from the RDB format.
#[allow(missing_docs)] // Their names are the RDB format's.
pub mod form {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const SORTED_SET_TEXT: u8 = 3;
    pub const HASH: u8 = 4;
    pub const SORTED_SET: u8 = 5;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTEGERS: u8 = 11;
    pub const SORTED_SET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_OF_ZIPLISTS: u8 = 14;
    pub const STREAM: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const SORTED_SET_LISTPACK: u8 = 17;
    pub const LIST_OF_LISTPACKS: u8 = 18;
    pub const STREAM_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_3: u8 = 21;
    pub const HASH_EXPIRING: u8 = 24;
    pub const HASH_LISTPACK_EXPIRING: u8 = 25;
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

/// Reads a value that lies in an RDB file behind its key: the bytes after the encoding's number, which is `form`. Other than
/// [`decode`] it returns a collection without elements too, because some versions of Redis wrote such keys by mistake.
pub fn decode_value(form: u8, bytes: &[u8]) -> Result<Object, SerialisedError> {
    decode::value(form, bytes, INFLATED_BYTES_MAX).ok_or(SerialisedError::Format)
}

/// Reads a string of an RDB file, in any of its forms.
pub fn decode_string(bytes: &[u8]) -> Result<Cow<'_, [u8]>, SerialisedError> {
    let mut reader = reader::Reader::inflating(bytes, INFLATED_BYTES_MAX);
    let string = reader.string().ok_or(SerialisedError::Format)?;
    if reader.is_empty() {
        Ok(string)
    } else {
        Err(SerialisedError::Format)
    }
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

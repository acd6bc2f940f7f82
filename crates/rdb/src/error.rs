//! Why a file is refused.

use std::io;

/// Why a file could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum RdbError {
    /// What the file's or the peer's reader says.
    #[error("{0}")]
    Io(io::Error),
    /// The bytes end before the end mark and its checksum.
    #[error("it ends after {offset} bytes, before its end mark")]
    Truncated {
        /// How many bytes there are.
        offset: u64,
    },
    /// The first bytes are not those of an RDB file.
    #[error("it is not an RDB file: it begins with neither REDIS nor VALKEY and a version")]
    NotRdb,
    /// The version is none that the reader knows.
    #[error("its RDB version {0} is not one that can be read ({known})", known = crate::reader::KNOWN_VERSIONS)]
    Version(String),
    /// The bytes are not those of the format.
    #[error("damaged at byte {offset}: {what}")]
    Damaged {
        /// How many bytes lie before what is wrong, or the end of the item that is wrong.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The value of a key does not read.
    #[error("damaged before byte {offset}: the value of the key '{key}' does not read")]
    Value {
        /// How many bytes lie before the end of the value.
        offset: u64,
        /// The key, shortened and in printable form.
        key: String,
    },
    /// The bytes have another checksum than the file says.
    #[error("its checksum is wrong: the file is damaged")]
    Checksum,
    /// What the file says in good order, and nobody here can hold.
    #[error("the key '{key}' cannot be held: {what}")]
    Unsupported {
        /// The key, shortened and in printable form.
        key: String,
        /// What it has.
        what: String,
    },
    /// As [`RdbError::Unsupported`], of an item that is no key.
    #[error("the file holds {0}")]
    UnsupportedItem(&'static str),
    /// An item is larger than the limits.
    #[error("the item at byte {offset} takes more than {limit}")]
    TooLarge {
        /// How many bytes lie before the item.
        offset: u64,
        /// The limit, with its unit.
        limit: String,
    },
}

/// The longest part of a key that an error shows.
const SHOWN_BYTES_MAX: usize = 64;

/// A key in an error's text.
pub(crate) fn shown(key: &[u8]) -> String {
    let part = &key[..key.len().min(SHOWN_BYTES_MAX)];
    let dots = if part.len() < key.len() { "..." } else { "" };
    format!("{}{dots}", part.escape_ascii())
}

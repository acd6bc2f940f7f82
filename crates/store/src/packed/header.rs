//! A segment's header. Each commit to the segment writes it anew.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic number, which names the version of the format |
//! | 8 | serial number of this life of the segment, 0 if it is free |
//! | 8 | bytes of committed records behind the header |
//! | 8 | log that fills it: 0 for what clients write, 1 for the compaction |
//! | 8 | checksum: XXH3 of the above |
//! | 24 | zeros |
//!
//! Version 1 left a segment that was never used all zeros; now it has a header with serial number 0, so that zeros are
//! damage. Records of version 2 are bound to their place in the segment, too.

use xxhash_rust::xxh3::xxh3_64;

use pmemkv::SEGMENT_HEADER_BYTES;

/// "pmkvseg", before the version.
const MAGIC: [u8; 7] = *b"pmkvseg";

/// The version that new headers have.
pub const VERSION: u8 = 2;

/// The version whose records were bound to their segment alone.
pub const VERSION_WITHOUT_PLACE: u8 = 1;

/// Bytes that the checksum covers.
const COVERED_BYTES: usize = 32;

/// Which log fills a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The log of the clients' writes.
    Front = 0,
    /// The log of the compaction's copies.
    Compaction = 1,
}

/// A header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How the segment's records are bound to it.
    pub version: u8,
    /// Which log fills the segment.
    pub which: Which,
    /// The serial number of this life of the segment; 0 if it is free.
    pub serial: u64,
    /// Bytes of committed records.
    pub committed: u64,
}

/// Why a header cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeaderError {
    /// It is whole, and of a version that this program does not know.
    #[error(
        "its format has version {0}, this program knows 1 and 2: use the program that wrote it"
    )]
    OtherVersion(u8),
    /// It is all zeros: of a segment of version 1 that was never used, or damaged.
    #[error("its header is all zeros")]
    Zeros,
    /// It is damaged.
    #[error("{0}")]
    Damaged(String),
}

impl Header {
    /// The header of a free segment.
    pub const FREE: Header = Header {
        version: VERSION,
        which: Which::Front,
        serial: 0,
        committed: 0,
    };

    /// The header's bytes in the segment.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let mut magic = [0; 8];
        magic[..MAGIC.len()].copy_from_slice(&MAGIC);
        magic[MAGIC.len()] = self.version;
        let magic = u64::from_le_bytes(magic);
        let words = [magic, self.serial, self.committed, self.which as u64];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let checksum = xxh3_64(&bytes[..COVERED_BYTES]);
        bytes[COVERED_BYTES..COVERED_BYTES + 8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header.
    pub fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Self, HeaderError> {
        let damaged = |why: &str| Err(HeaderError::Damaged(why.to_owned()));
        if bytes.iter().all(|&byte| byte == 0) {
            return Err(HeaderError::Zeros);
        }
        let word = |n: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[8 * n..8 * n + 8]);
            u64::from_le_bytes(word)
        };
        let magic = word(0).to_le_bytes();
        if magic[..MAGIC.len()] != MAGIC {
            return damaged("its header is not one");
        }
        if xxh3_64(&bytes[..COVERED_BYTES]) != word(4) {
            return damaged("its header's checksum does not fit");
        }
        let version = magic[MAGIC.len()];
        if !(VERSION_WITHOUT_PLACE..=VERSION).contains(&version) {
            return Err(HeaderError::OtherVersion(version));
        }
        let which = match word(3) {
            0 => Which::Front,
            1 => Which::Compaction,
            other => return damaged(&format!("its header names log {other}")),
        };
        Ok(Self {
            version,
            which,
            serial: word(1),
            committed: word(2),
        })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Makes a header one of another version.
    pub fn of_version(header: &mut [u8], version: u8) {
        header[7] = version;
        let checksum = xxh3_64(&header[..COVERED_BYTES]);
        header[COVERED_BYTES..COVERED_BYTES + 8].copy_from_slice(&checksum.to_le_bytes());
    }

    #[test]
    fn reads_back_and_refuses_what_it_did_not_write() {
        let header = Header {
            version: VERSION,
            which: Which::Compaction,
            serial: 77,
            committed: 1 << 19,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        assert_eq!(Header::decode(&Header::FREE.encode()), Ok(Header::FREE));
        assert_eq!(Header::decode(&[0; 64]), Err(HeaderError::Zeros));
        let old = Header {
            version: VERSION_WITHOUT_PLACE,
            ..header
        };
        assert_eq!(Header::decode(&old.encode()), Ok(old));
        for at in 0..40 {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert!(Header::decode(&changed).is_err(), "byte {at}");
        }
        let mut later = bytes;
        of_version(&mut later, 3);
        assert_eq!(Header::decode(&later), Err(HeaderError::OtherVersion(3)));
    }
}

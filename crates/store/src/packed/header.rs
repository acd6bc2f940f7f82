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
//! A segment that was never used is all zeros.

use xxhash_rust::xxh3::xxh3_64;

use pmemkv::SEGMENT_HEADER_BYTES;

/// "pmkvseg" and the version, 1.
const MAGIC: u64 = u64::from_le_bytes(*b"pmkvseg\x01");

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
    /// It is intact, but of a version that this program does not know.
    #[error("its format has version {0}, this program knows 1: use the program that wrote it")]
    OtherVersion(u8),
    /// It is damaged.
    #[error("{0}")]
    Damaged(String),
}

impl Header {
    /// The header of a free segment.
    pub const FREE: Header = Header {
        which: Which::Front,
        serial: 0,
        committed: 0,
    };

    /// The header's bytes in the segment.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let words = [MAGIC, self.serial, self.committed, self.which as u64];
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
            return Ok(Self::FREE);
        }
        let word = |n: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[8 * n..8 * n + 8]);
            u64::from_le_bytes(word)
        };
        let magic = word(0).to_le_bytes();
        if magic[..7] != MAGIC.to_le_bytes()[..7] {
            return damaged("its header is not one");
        }
        if xxh3_64(&bytes[..COVERED_BYTES]) != word(4) {
            return damaged("its header's checksum does not fit");
        }
        if magic != MAGIC.to_le_bytes() {
            return Err(HeaderError::OtherVersion(magic[7]));
        }
        let which = match word(3) {
            0 => Which::Front,
            1 => Which::Compaction,
            other => return damaged(&format!("its header names log {other}")),
        };
        Ok(Self {
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
            which: Which::Compaction,
            serial: 77,
            committed: 1 << 19,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        assert_eq!(Header::decode(&Header::FREE.encode()), Ok(Header::FREE));
        assert_eq!(Header::decode(&[0; 64]), Ok(Header::FREE));
        for at in 0..40 {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert!(Header::decode(&changed).is_err(), "byte {at}");
        }
        let mut later = bytes;
        of_version(&mut later, 2);
        assert_eq!(Header::decode(&later), Err(HeaderError::OtherVersion(2)));
    }
}

//! A segment's header. Each commit to the segment says in it how far the records reach now.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic number, which names the version of the format |
//! | 24 | entry 0 |
//! | 24 | entry 1 |
//! | 8 | zeros |
//!
//! An entry says where a life of the segment stands:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | serial number of the life; the highest bit is the log that fills it: 0 for what clients write, 1 for the compaction |
//! | 4 | bytes of committed records behind the header, in units of 8; all ones: the life has ended, the segment is free |
//! | 4 | the same before the last commit |
//! | 8 | checksum: XXH3 of the magic number and the above |
//!
//! Of the entries whose checksum fits, the later one counts. A commit writes the other one, so an entry that a loss of
//! power has torn leaves the one before it. The commit's records may be lost in the same moment, since one barrier makes
//! both durable: the open looks whether they are whole, and takes the commit back if they are not.
//!
//! In versions 1 and 2 a header had one value, which the engine replaced in one step: serial number, committed bytes, log,
//! checksum. Version 1 left a segment that was never used all zeros; since then zeros are damage. Since version 2 records are
//! bound to their place in the segment, too.

use xxhash_rust::xxh3::xxh3_64;

use super::record::ALIGNMENT;
use pmemkv::{SEGMENT_ENTRY_BYTES, SEGMENT_HEADER_BYTES};

/// "pmkvseg", before the version.
const MAGIC: [u8; 7] = *b"pmkvseg";

/// The version that new headers have.
pub const VERSION: u8 = 3;

/// The version whose headers had one value.
const VERSION_OF_ONE_VALUE: u8 = 2;

/// The version whose records were bound to their segment alone.
pub const VERSION_WITHOUT_PLACE: u8 = 1;

/// Bytes that the checksum of a header of one value covers.
const COVERED_BYTES: usize = 32;

/// Where the entries begin.
const ENTRIES_AT: usize = 8;

/// Set in an entry's serial number where the compaction fills the segment.
const COMPACTION_BIT: u64 = 1 << 63;

/// Stands for committed bytes where the life has ended.
const ENDED: u32 = u32::MAX;

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
    /// How many of them the last commit found there. The same as `committed` where no commit may have been cut short.
    pub begun: u64,
}

/// An entry of a header, encoded.
pub type Entry = [u8; SEGMENT_ENTRY_BYTES];

/// Why a header cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeaderError {
    /// It is whole, and of a version that this program does not know.
    #[error("its format has version {0}, this program knows 1 to 3: use the program that wrote it")]
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
        begun: 0,
    };

    /// The bytes of a whole header, whose first entry counts.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&magic(self.version));
        if self.has_one_value() {
            let words = [self.serial, self.committed, self.which as u64];
            for (place, word) in bytes[8..].chunks_exact_mut(8).zip(words) {
                place.copy_from_slice(&word.to_le_bytes());
            }
            let checksum = xxh3_64(&bytes[..COVERED_BYTES]);
            bytes[COVERED_BYTES..COVERED_BYTES + 8].copy_from_slice(&checksum.to_le_bytes());
        } else {
            let entry = if self.serial == 0 {
                Self::ended(0)
            } else {
                self.entry()
            };
            bytes[ENTRIES_AT..ENTRIES_AT + SEGMENT_ENTRY_BYTES].copy_from_slice(&entry);
        }
        bytes
    }

    /// The entry that says so of a segment with a header of the newest version.
    pub fn entry(&self) -> Entry {
        let life = self.serial
            | match self.which {
                Which::Front => 0,
                Which::Compaction => COMPACTION_BIT,
            };
        entry(life, units(self.committed), units(self.begun))
    }

    /// The entry that ends the life with this serial number: the segment is free.
    pub fn ended(serial: u64) -> Entry {
        entry(serial, ENDED, ENDED)
    }

    /// Whether the engine must replace the header as a whole.
    pub fn has_one_value(&self) -> bool {
        self.version <= VERSION_OF_ONE_VALUE
    }

    /// Reads a header, and which of its entries counts.
    pub fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<(Self, usize), HeaderError> {
        let damaged = |why: &str| Err(HeaderError::Damaged(why.to_owned()));
        if bytes.iter().all(|&byte| byte == 0) {
            return Err(HeaderError::Zeros);
        }
        if bytes[..MAGIC.len()] != MAGIC {
            return damaged("its header is not one");
        }
        let version = bytes[MAGIC.len()];
        if (VERSION_WITHOUT_PLACE..=VERSION_OF_ONE_VALUE).contains(&version) {
            return Self::decode_one_value(bytes).map(|header| (header, 0));
        }
        let entries = |version: u8| {
            let magic = magic(version);
            let (entries, _) = bytes[ENTRIES_AT..].as_chunks::<SEGMENT_ENTRY_BYTES>();
            let valid = (0..)
                .zip(entries)
                .filter_map(move |(n, bytes)| Some((decode_entry(magic, bytes)?, n)));
            valid.max()
        };
        // A version that is not known may be damage: one bit turns a known one into it. Its own entries tell.
        if version != VERSION {
            return if entries(VERSION).is_some() {
                damaged("its header's version is damaged")
            } else {
                Err(HeaderError::OtherVersion(version))
            };
        }
        let Some((newest, n)) = entries(VERSION) else {
            return damaged("its header's checksums do not fit");
        };
        if bytes[ENTRIES_AT + 2 * SEGMENT_ENTRY_BYTES..] != [0; 8] {
            return damaged("its header has a damaged end");
        }
        Ok((newest.header(), n))
    }

    fn decode_one_value(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Self, HeaderError> {
        let damaged = |why: &str| Err(HeaderError::Damaged(why.to_owned()));
        if xxh3_64(&bytes[..COVERED_BYTES]) != word(bytes, 4) {
            return damaged("its header's checksum does not fit");
        }
        let which = match word(bytes, 3) {
            0 => Which::Front,
            1 => Which::Compaction,
            other => return damaged(&format!("its header names log {other}")),
        };
        Ok(Self {
            version: bytes[MAGIC.len()],
            which,
            serial: word(bytes, 1),
            committed: word(bytes, 2),
            begun: word(bytes, 2),
        })
    }
}

/// An entry, decoded. The later of two is the greater one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Decoded {
    serial: u64,
    committed: u32,
    begun: u32,
    of_compaction: bool,
}

impl Decoded {
    fn header(self) -> Header {
        if self.committed == ENDED {
            return Header::FREE;
        }
        Header {
            version: VERSION,
            which: if self.of_compaction {
                Which::Compaction
            } else {
                Which::Front
            },
            serial: self.serial,
            committed: bytes_of(self.committed),
            begun: bytes_of(self.begun),
        }
    }
}

fn entry(life: u64, committed: u32, begun: u32) -> Entry {
    let mut entry = [0; SEGMENT_ENTRY_BYTES];
    entry[..8].copy_from_slice(&life.to_le_bytes());
    entry[8..12].copy_from_slice(&committed.to_le_bytes());
    entry[12..16].copy_from_slice(&begun.to_le_bytes());
    let checksum = checksum(magic(VERSION), &entry);
    entry[16..].copy_from_slice(&checksum.to_le_bytes());
    entry
}

/// `None` where the checksum does not fit, or the entry says what none says.
fn decode_entry(magic: [u8; 8], entry: &Entry) -> Option<Decoded> {
    let life = word(entry, 0);
    let extents = word(entry, 1).to_le_bytes();
    let [c0, c1, c2, c3, b0, b1, b2, b3] = extents;
    let decoded = Decoded {
        serial: life & !COMPACTION_BIT,
        committed: u32::from_le_bytes([c0, c1, c2, c3]),
        begun: u32::from_le_bytes([b0, b1, b2, b3]),
        of_compaction: life & COMPACTION_BIT != 0,
    };
    let is_sound =
        decoded.begun <= decoded.committed && (decoded.serial != 0 || decoded.committed == ENDED);
    (is_sound && checksum(magic, entry) == word(entry, 2)).then_some(decoded)
}

fn checksum(magic: [u8; 8], entry: &Entry) -> u64 {
    let mut covered = [0; 24];
    covered[..8].copy_from_slice(&magic);
    covered[8..].copy_from_slice(&entry[..16]);
    xxh3_64(&covered)
}

fn magic(version: u8) -> [u8; 8] {
    let mut magic = [version; 8];
    magic[..MAGIC.len()].copy_from_slice(&MAGIC);
    magic
}

fn word(bytes: &[u8], n: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[8 * n..8 * n + 8]);
    u64::from_le_bytes(word)
}

/// Bytes of records in an entry's units. Segments are far shorter than the limit.
fn units(bytes: u64) -> u32 {
    u32::try_from(bytes / ALIGNMENT as u64).unwrap_or(ENDED - 1)
}

fn bytes_of(units: u32) -> u64 {
    u64::from(units) * ALIGNMENT as u64
}

#[cfg(test)]
pub mod tests {
    use super::*;

    const HEADER: Header = Header {
        version: VERSION,
        which: Which::Compaction,
        serial: 77,
        committed: 1 << 19,
        begun: 1 << 18,
    };

    fn read(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Header, HeaderError> {
        Header::decode(bytes).map(|(header, _)| header)
    }

    fn with(
        bytes: &[u8; SEGMENT_HEADER_BYTES],
        n: usize,
        entry: &Entry,
    ) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = *bytes;
        let at = ENTRIES_AT + n * SEGMENT_ENTRY_BYTES;
        bytes[at..at + SEGMENT_ENTRY_BYTES].copy_from_slice(entry);
        bytes
    }

    #[test]
    fn reads_back_and_refuses_what_it_did_not_write() {
        let bytes = HEADER.encode();
        assert_eq!(Header::decode(&bytes), Ok((HEADER, 0)));
        assert_eq!(read(&Header::FREE.encode()), Ok(Header::FREE));
        assert_eq!(read(&[0; 64]), Err(HeaderError::Zeros));
        for version in [VERSION_WITHOUT_PLACE, VERSION_OF_ONE_VALUE] {
            let old = Header {
                version,
                begun: HEADER.committed,
                ..HEADER
            };
            assert_eq!(read(&old.encode()), Ok(old));
            for at in 0..40 {
                let mut changed = old.encode();
                changed[at] ^= 1;
                assert!(read(&changed).is_err(), "byte {at}");
            }
        }
        for at in (0..32).chain(56..64) {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert!(read(&changed).is_err(), "byte {at}");
        }
        let mut later = [0; SEGMENT_HEADER_BYTES];
        later[..8].copy_from_slice(&magic(VERSION + 1));
        assert_eq!(read(&later), Err(HeaderError::OtherVersion(VERSION + 1)));
    }

    #[test]
    fn the_later_entry_counts_and_a_torn_one_leaves_the_other() {
        let bytes = HEADER.encode();
        let more = Header {
            committed: HEADER.committed + 8,
            begun: HEADER.committed,
            ..HEADER
        };
        let again = Header {
            serial: 78,
            which: Which::Front,
            committed: 8,
            begun: 0,
            ..HEADER
        };
        let ended = Header::ended(77);
        for (entry, header) in [
            (more.entry(), more),
            (ended, Header::FREE),
            (again.entry(), again),
        ] {
            let next = with(&bytes, 1, &entry);
            assert_eq!(Header::decode(&next), Ok((header, 1)));
            for torn in 0..3 {
                // One of its words never came.
                let mut entry = entry;
                entry[8 * torn..8 * torn + 8].fill(0);
                assert_eq!(
                    Header::decode(&with(&bytes, 1, &entry)),
                    Ok((HEADER, 0)),
                    "{torn}"
                );
            }
        }
        // The next life begins in the place of the last one's last commit.
        let free = with(&bytes, 1, &ended);
        assert_eq!(
            Header::decode(&with(&free, 0, &again.entry())),
            Ok((again, 0))
        );
    }
}

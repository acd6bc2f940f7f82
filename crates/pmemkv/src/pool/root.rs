//! The root object: the pool's header, the partitions' places, and the durable words. All numbers are little endian
//! (libpmemobj opens a pool only on the architecture that made it).

use std::mem::offset_of;
use std::sync::atomic::AtomicU64;

use pmemkv_sys as sys;

use super::PoolError;

/// The format of a new pool. Format 1 had the words once, without a checksum; format 2 had the same root object, and fewer
/// kinds of records in the engines.
pub const FORMAT_VERSION: u32 = 3;
/// The newest format that this version reads and writes: that of pools with [extents](crate::Segments::add_extent). An earlier
/// program would miss their segments.
pub const FORMAT_WITH_EXTENTS: u32 = 4;
/// The format before the words had a second copy.
pub(super) const FORMAT_WITHOUT_COPY: u32 = 1;
/// The most partitions that a pool can have. (Format 1 had room for twice as many; no server made more than 256.)
pub const PARTITIONS_MAX: u32 = 512;
/// How many durable words a pool has.
pub const WORDS: usize = 64;
/// How many cells a pool has.
pub const CELLS: usize = 512;
/// Bytes of a root object, in every format.
const ROOT_BYTES: usize = 17_536;

const MAGIC: u64 = u64::from_le_bytes(*b"PMKVSRV\x01");
const NAME_BYTES: usize = 32;

/// The engine, layout and partitions that a pool was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolHeader {
    /// The version of the format; [`FORMAT_VERSION`] for a new pool.
    pub format_version: u32,
    /// The pmemkv engine of every partition.
    pub engine: String,
    /// The layout of the records in the engine: a name that only the caller understands.
    pub layout: String,
    /// How many engines share the pool, 1 to [`PARTITIONS_MAX`].
    pub partitions: u32,
    /// The seed that spreads keys over the partitions.
    pub hash_seed: u64,
}

impl PoolHeader {
    /// Refuses a pool of another engine or layout.
    pub fn expect(&self, engine: &str, layout: &str) -> Result<(), PoolError> {
        if self.engine != engine {
            return Err(PoolError::OtherEngine {
                found: self.engine.clone(),
                expected: engine.to_owned(),
            });
        }
        if self.layout != layout {
            return Err(PoolError::OtherLayout {
                found: self.layout.clone(),
                expected: layout.to_owned(),
            });
        }
        Ok(())
    }
}

/// The header's bytes in the pool. `checksum` covers everything before it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct RawHeader {
    magic: u64,
    format_version: u32,
    partitions: u32,
    hash_seed: u64,
    pool_bytes: u64,
    engine: [u8; NAME_BYTES],
    layout: [u8; NAME_BYTES],
    checksum: u64,
}

/// How many bytes of the root object hold the header.
pub(super) const HEADER_BYTES: usize = size_of::<RawHeader>();
const CHECKED_BYTES: usize = HEADER_BYTES - size_of::<u64>();

/// A redo entry for a set of words. It is valid while `checksum` fits; then the next open stores the words again.
#[repr(C)]
pub(super) struct Redo {
    pub(super) start: AtomicU64,
    /// The count of the words in the lower half, the number of the change in the upper one.
    pub(super) count: AtomicU64,
    pub(super) words: StoredWords,
    pub(super) checksum: AtomicU64,
}

/// The words.
pub(super) type StoredWords = [AtomicU64; WORDS];

/// A checksum of a copy of the words, and the number of the change that made it.
pub(super) type Seal = [AtomicU64; 2];

/// A process's note that the file is sound: what file on which boot, and when the process lived last.
pub(super) type Note = [AtomicU64; 2];

/// Numbers of the layout's own in a point.
pub const POINT_NUMBERS: usize = 4;

/// A moment up to which all is on the disk: its number, the boot and the file, the layout's numbers, all words as they were
/// then, and a checksum of these.
#[repr(C)]
pub(super) struct StoredPoint {
    pub(super) number: AtomicU64,
    pub(super) identity: AtomicU64,
    pub(super) layout: [AtomicU64; POINT_NUMBERS],
    pub(super) words: StoredWords,
    pub(super) checksum: AtomicU64,
}

/// The root object of a pool.
#[repr(C)]
pub(super) struct Root {
    pub(super) header: RawHeader,
    pub(super) words: StoredWords,
    pub(super) redo: Redo,
    pub(super) slots: [sys::PMEMoid; PARTITIONS_MAX as usize],
    /// The words once more, two pages away from the first ones: what damages a page leaves one of the two whole.
    pub(super) copy: StoredWords,
    /// The seal of the second copy.
    pub(super) copy_seal: Seal,
    /// Words without a copy, each stored by itself.
    pub(super) cells: [AtomicU64; CELLS],
    /// See [`Pool::trust`](super::Pool::trust); zeros where there is no note.
    pub(super) trust: Note,
    /// See [`Pool::write_point`](super::Pool::write_point). Far apart, in sectors of their own.
    pub(super) first_point: StoredPoint,
    unused: [u8; UNUSED_BYTES],
    pub(super) second_point: StoredPoint,
    /// The seal of the first copy: there is no room beside it. Two pages away from the second one too, since a stale seal
    /// spoils its copy.
    pub(super) seal: Seal,
}

const UNUSED_BYTES: usize = ROOT_BYTES
    - size_of::<RawHeader>()
    - size_of::<StoredWords>() * 2
    - size_of::<Seal>() * 2
    - size_of::<Redo>()
    - size_of::<sys::PMEMoid>() * PARTITIONS_MAX as usize
    - size_of::<u64>() * CELLS
    - size_of::<Note>()
    - size_of::<StoredPoint>() * 2;

/// Where a process's note lies in the root object.
pub(super) const TRUST_AT: u64 = offset_of!(Root, trust) as u64;

const _: () = assert!(size_of::<Root>() == ROOT_BYTES, "old pools have this room");

/// Why the bytes of a header are refused.
pub(super) enum HeaderFault {
    /// No magic number: another program's root object, or none.
    Foreign,
    /// A newer format, whose other fields mean nothing here.
    Newer(u32),
    /// The checksum or a field is wrong.
    Damaged(&'static str),
}

impl RawHeader {
    pub(super) fn new(header: &PoolHeader, pool_bytes: u64) -> Result<Self, PoolError> {
        if header.partitions == 0 || header.partitions > PARTITIONS_MAX {
            return Err(PoolError::Partitions {
                asked: header.partitions,
                max: PARTITIONS_MAX,
            });
        }
        let mut raw = Self {
            magic: MAGIC,
            format_version: header.format_version,
            partitions: header.partitions,
            hash_seed: header.hash_seed,
            pool_bytes,
            engine: name("engine", &header.engine)?,
            layout: name("layout", &header.layout)?,
            checksum: 0,
        };
        raw.checksum = raw.fitting_checksum();
        Ok(raw)
    }

    fn fitting_checksum(self) -> u64 {
        checksum(&self.to_bytes()[..CHECKED_BYTES])
    }

    /// The same header with another version.
    fn of_version(mut self, version: u32) -> Self {
        self.format_version = version;
        self.checksum = self.fitting_checksum();
        self
    }

    /// Gives the header at `place` another version, by two stores that `persist` makes durable one after the other:
    /// [`decode`](Self::decode) tells a header that has only the first of them.
    ///
    /// # Safety
    /// `place` is a mapped header that nobody else uses.
    pub(super) unsafe fn upgrade(
        place: *mut Self,
        version: u32,
        persist: impl Fn(*const u8, usize),
    ) {
        // SAFETY: the caller promises a mapped header.
        let new = unsafe { place.read() }.of_version(version);
        // SAFETY: as above.
        let version = unsafe { &raw mut (*place).format_version };
        // SAFETY: as above; 4 bytes, aligned, so that a crash leaves the old or the new number.
        unsafe { version.write_volatile(new.format_version) };
        persist(version.cast(), size_of::<u32>());
        // SAFETY: as above.
        let checksum = unsafe { &raw mut (*place).checksum };
        // SAFETY: as above, 8 bytes.
        unsafe { checksum.write_volatile(new.checksum) };
        persist(checksum.cast(), size_of::<u64>());
    }

    fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let parts: [&[u8]; 8] = [
            &self.magic.to_le_bytes(),
            &self.format_version.to_le_bytes(),
            &self.partitions.to_le_bytes(),
            &self.hash_seed.to_le_bytes(),
            &self.pool_bytes.to_le_bytes(),
            &self.engine,
            &self.layout,
            &self.checksum.to_le_bytes(),
        ];
        let mut at = 0;
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Self {
        let mut rest = &bytes[..];
        Self {
            magic: u64::from_le_bytes(take(&mut rest)),
            format_version: u32::from_le_bytes(take(&mut rest)),
            partitions: u32::from_le_bytes(take(&mut rest)),
            hash_seed: u64::from_le_bytes(take(&mut rest)),
            pool_bytes: u64::from_le_bytes(take(&mut rest)),
            engine: take(&mut rest),
            layout: take(&mut rest),
            checksum: u64::from_le_bytes(take(&mut rest)),
        }
    }

    /// The header and the pool's size, if the bytes are sound.
    pub(super) fn decode(mut self) -> Result<(PoolHeader, u64), HeaderFault> {
        if self.magic != MAGIC {
            return Err(HeaderFault::Foreign);
        }
        if self.checksum != self.fitting_checksum() {
            // A process may have died between the two stores of an upgrade: the pool is of the former format still.
            let before = (FORMAT_WITHOUT_COPY..self.format_version.min(FORMAT_WITH_EXTENTS + 1))
                .find(|&version| self.checksum == self.of_version(version).checksum);
            let is_known = self.format_version <= FORMAT_WITH_EXTENTS;
            let Some(before) = before.filter(|_| is_known) else {
                return Err(HeaderFault::Damaged("the header's checksum is wrong"));
            };
            self.format_version = before;
        }
        if self.format_version > FORMAT_WITH_EXTENTS {
            return Err(HeaderFault::Newer(self.format_version));
        }
        if self.partitions == 0 || self.partitions > PARTITIONS_MAX {
            return Err(HeaderFault::Damaged("the number of partitions is wrong"));
        }
        let (Some(engine), Some(layout)) = (text(&self.engine), text(&self.layout)) else {
            return Err(HeaderFault::Damaged("a name is not text"));
        };
        let header = PoolHeader {
            format_version: self.format_version,
            engine,
            layout,
            partitions: self.partitions,
            hash_seed: self.hash_seed,
        };
        Ok((header, self.pool_bytes))
    }

    /// [`decode`](Self::decode) for bytes that were read from the file.
    pub(super) fn decode_bytes(
        bytes: &[u8; HEADER_BYTES],
    ) -> Result<(PoolHeader, u64), HeaderFault> {
        Self::from_bytes(bytes).decode()
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (head, tail) = rest
        .split_first_chunk::<N>()
        .expect("the parts add up to HEADER_BYTES");
    *rest = tail;
    *head
}

fn name(what: &'static str, name: &str) -> Result<[u8; NAME_BYTES], PoolError> {
    if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
        return Err(PoolError::Name {
            what,
            name: name.to_owned(),
            bytes_max: NAME_BYTES,
        });
    }
    let mut bytes = [0; NAME_BYTES];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Ok(bytes)
}

fn text(bytes: &[u8; NAME_BYTES]) -> Option<String> {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(NAME_BYTES);
    String::from_utf8(bytes[..end].to_vec()).ok()
}

/// FNV-1a, 64 bits: a change of any single byte changes it.
/// Source of the constants: the FNV specification, draft-eastlake-fnv.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The checksum of a redo entry. Never 0, which stands for "no entry".
pub(super) fn redo_checksum(start: u64, words: &[u64]) -> u64 {
    let mut bytes = Vec::with_capacity((words.len() + 1) * 8);
    bytes.extend_from_slice(&start.to_le_bytes());
    for word in words {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    checksum(&bytes) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_that_was_cut_short_leaves_the_former_format() {
        for former in 1..FORMAT_VERSION {
            let header = PoolHeader {
                format_version: former,
                engine: "cmap".to_owned(),
                layout: "packed".to_owned(),
                partitions: 1,
                hash_seed: 7,
            };
            let mut raw = RawHeader::new(&header, 1 << 20).expect("a header");
            raw.format_version = FORMAT_VERSION;
            let (found, _) = raw.decode().ok().expect("the former header");
            assert_eq!(found, header);
            raw.checksum ^= 1;
            assert!(matches!(raw.decode(), Err(HeaderFault::Damaged(_))));
        }
    }
}

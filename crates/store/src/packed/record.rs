//! The format of a record in a segment. All numbers are little-endian; records begin at multiples of 8 bytes.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | checksum: XXH3 of all that follows, mixed with the segment's serial number and the record's place in it |
//! | 4 | length of the record, without the padding to 8 bytes |
//! | 8 | sequence number (56 bits: at a million writes a second they last for 2,000 years) and form (8 bits) |
//! | 4 | generation |
//! | 4 | length of the key |
//! | 8 | deadline, ms since the Unix epoch: only if the form says so |
//! | | the key, then the body |
//!
//! The serial number in the checksum keeps a record from an earlier life of the segment from counting as one of this
//! life.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use crate::model::{Millis, RecordKind};
use crate::{Location, StoreError};

/// Records begin at multiples of this.
pub const ALIGNMENT: usize = 8;

/// Bytes before the key, without a deadline.
pub const HEADER_BYTES: usize = 24;

/// Bytes of a deadline.
const DEADLINE_BYTES: usize = 8;

/// The form's bit that says that a deadline follows the header.
const WITH_DEADLINE: u8 = 0x80;

/// The generation of fillers. No database ever has it.
const NO_GENERATION: u32 = u32::MAX;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A value; the body is the value.
    Value(RecordKind),
    /// A value in parts; the body is a [`Parts`].
    Large(RecordKind),
    /// Part of a value; the body is its bytes. It means nothing without the `Large` record that names it.
    Part,
    /// Says that the key was removed. The body is a bound: every segment with an older record of the key has a lower
    /// serial number. When all these segments are gone, the tombstone may go too.
    Tombstone,
}

impl Form {
    fn number(self) -> u8 {
        match self {
            Form::Value(kind) => kind.number(),
            Form::Large(kind) => 0x20 | kind.number(),
            Form::Part => 0x40,
            Form::Tombstone => 0x41,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        match number {
            0x40 => Some(Form::Part),
            0x41 => Some(Form::Tombstone),
            0..0x20 => RecordKind::from_number(number).map(Form::Value),
            0x20..0x40 => RecordKind::from_number(number & 0x1f).map(Form::Large),
            _ => None,
        }
    }
}

/// A record, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Later records of a key have higher numbers.
    pub sequence: u64,
    /// What it is.
    pub form: Form,
    /// The generation that it belongs to.
    pub generation: u32,
    /// Deadline, if there is one.
    pub expires_at: Option<Millis>,
    /// The user's key.
    pub key: &'a [u8],
    /// What the form says.
    pub body: &'a [u8],
}

impl Record<'_> {
    /// Bytes in a segment, the padding included.
    pub fn padded_bytes(&self) -> usize {
        padded_bytes(self.key.len(), self.body.len(), self.expires_at.is_some())
    }

    /// Bytes without the padding.
    #[inline]
    fn length(&self) -> usize {
        let deadline = self.expires_at.map_or(0, |_| DEADLINE_BYTES);
        HEADER_BYTES + deadline + self.key.len() + self.body.len()
    }

    /// The bytes before the deadline and the key, without the checksum.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // The caller of `encode` checks padded_bytes().
    fn header(&self) -> [u8; HEADER_BYTES] {
        let deadline = self.expires_at.map_or(0, |_| WITH_DEADLINE);
        let form = u64::from(self.form.number() | deadline);
        let mut header = [0; HEADER_BYTES];
        header[4..8].copy_from_slice(&(self.length() as u32).to_le_bytes());
        header[8..16].copy_from_slice(&(self.sequence << 8 | form).to_le_bytes());
        header[16..20].copy_from_slice(&self.generation.to_le_bytes());
        header[20..24].copy_from_slice(&(self.key.len() as u32).to_le_bytes());
        header
    }

    /// Appends the record to `out`, padding included, bound to no segment yet. `padded_bytes()` must be below 2^32.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let padded = self.padded_bytes();
        out.reserve(padded);
        out.extend_from_slice(&self.header());
        if let Some(deadline) = self.expires_at {
            out.extend_from_slice(&deadline.to_le_bytes());
        }
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.body);
        let checksum = checksum(&out[start + 4..]);
        out[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
        out.resize(start + padded, 0);
    }

    /// As [`encode`](Self::encode), over all of `out`, which has `padded_bytes()` bytes.
    // Values and tombstones are encoded so, each with the steps of its kind alone.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub fn encode_over(&self, out: &mut [u8]) {
        if let Some(padding) = out.last_chunk_mut() {
            *padding = [0; ALIGNMENT];
        }
        let (header, mut rest) = out[..self.length()].split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&self.header());
        if let Some(deadline) = self.expires_at {
            let bytes;
            (bytes, rest) = rest.split_at_mut(DEADLINE_BYTES);
            bytes.copy_from_slice(&deadline.to_le_bytes());
        }
        let (key, body) = rest.split_at_mut(self.key.len());
        key.copy_from_slice(self.key);
        body.copy_from_slice(self.body);
        let checksum = checksum(&out[4..self.length()]);
        out[..4].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads the record at the start of `bytes`, as [`encode`](Self::encode) wrote it, without a look at the checksum.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Option<Record<'_>> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let length = word(4) as usize;
        let [form, sequence @ ..] = *header[8..16].first_chunk::<8>()?;
        let mut wide = [0; 8];
        wide[..7].copy_from_slice(&sequence);
        let mut rest = bytes.get(HEADER_BYTES..length)?;
        let mut expires_at = None;
        if form & WITH_DEADLINE != 0 {
            let (deadline, after) = rest.split_first_chunk::<DEADLINE_BYTES>()?;
            expires_at = Some(Millis::from_le_bytes(*deadline));
            rest = after;
        }
        let (key, body) = rest.split_at_checked(word(20) as usize)?;
        Some(Record {
            sequence: u64::from_le_bytes(wide),
            form: Form::from_number(form & !WITH_DEADLINE)?,
            generation: word(16),
            expires_at,
            key,
            body,
        })
    }

    /// [`decode`](Self::decode) of bytes that may be anything: the checksum must fit.
    pub fn verify(binding: Binding, bytes: &[u8]) -> Result<Record<'_>, &'static str> {
        let (Some(stored), Some(length)) = (
            bytes.first_chunk::<4>(),
            bytes.get(4..8).and_then(<[u8]>::first_chunk::<4>),
        ) else {
            return Err("it is cut off");
        };
        let length = u32::from_le_bytes(*length) as usize;
        let covered = bytes.get(4..length).ok_or("its length is wrong")?;
        if checksum(covered) ^ binding.mark() != u32::from_le_bytes(*stored) {
            return Err("its checksum does not fit");
        }
        Record::decode(bytes).ok_or("it is of an unknown form")
    }
}

/// Whether an encoded record must hide older ones of its key: a tombstone, or a value that may expire.
pub fn hides_older(record: &[u8]) -> bool {
    record.get(8).is_some_and(|form| {
        form & WITH_DEADLINE != 0 || Form::from_number(*form) == Some(Form::Tombstone)
    })
}

/// Makes all of `bytes`, at least a header, one record that counts for nothing: a part of a value that no record names.
pub fn fill(bytes: &mut [u8], binding: Binding) {
    let length = bytes.len();
    if let Some(header) = bytes.first_chunk_mut::<HEADER_BYTES>() {
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        header[4..8].copy_from_slice(&number(length));
        header[8..16].copy_from_slice(&u64::from(Form::Part.number()).to_le_bytes());
        header[16..20].copy_from_slice(&NO_GENERATION.to_le_bytes());
        header[20..24].copy_from_slice(&number(0));
    }
    let checksum = checksum(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bind(bytes, binding);
}

/// Bytes of a record in a segment.
pub fn padded_bytes(key: usize, body: usize, with_deadline: bool) -> usize {
    let deadline = if with_deadline { DEADLINE_BYTES } else { 0 };
    (HEADER_BYTES + deadline + key + body).next_multiple_of(ALIGNMENT)
}

/// Binds an encoded record to a place, where alone it is valid.
pub fn bind(record: &mut [u8], binding: Binding) {
    if let Some(checksum) = record.first_chunk_mut::<4>() {
        *checksum = (u32::from_le_bytes(*checksum) ^ binding.mark()).to_le_bytes();
    }
}

/// What a record's checksum says of where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The serial number of the segment.
    pub serial: u64,
    /// Offset behind the segment's header; 0 for all records of a segment of version 1.
    pub offset: usize,
}

impl Binding {
    /// Its share in the checksum.
    #[allow(clippy::cast_possible_truncation)] // Shifted.
    fn mark(self) -> u32 {
        // Fibonacci hashing: neighbouring numbers get marks far apart.
        let serial = self.serial.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // An odd factor far from the other one: the finalizer of SplitMix64.
        let place = (self.offset as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (serial >> 32) as u32 ^ (place >> 32) as u32
    }
}

#[allow(clippy::cast_possible_truncation)] // The lower half of the hash.
fn checksum(bytes: &[u8]) -> u32 {
    xxh3_64(bytes) as u32
}

/// Where a record lies: the segment's number, the offset after the segment's header and the padded length (both in
/// units of 8 bytes), and whether the value is in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The segment.
    pub segment: u32,
    /// Offset after the segment's header, bytes.
    pub offset: usize,
    /// Padded length, bytes.
    pub length: usize,
    /// Whether the record is a [`Form::Large`].
    pub large: bool,
}

/// Bits of an offset or a length in a location.
const OFFSET_BITS: u32 = 20;
const LENGTH_BITS: u32 = 19;

/// The most bytes of a segment that locations can tell apart.
pub const SEGMENT_BYTES_MAX: usize = ALIGNMENT << LENGTH_BITS;

/// The most segments that locations can tell apart.
pub const SEGMENTS_MAX: u32 = 1 << 24;

impl Spot {
    /// The location that the keyspace keeps.
    pub fn location(self) -> Location {
        let offset = (self.offset / ALIGNMENT) as u64;
        let length = (self.length / ALIGNMENT) as u64;
        Location(
            u64::from(self.segment) << (OFFSET_BITS + LENGTH_BITS + 1)
                | offset << (LENGTH_BITS + 1)
                | length << 1
                | u64::from(self.large),
        )
    }
}

impl From<Location> for Spot {
    #[allow(clippy::cast_possible_truncation)] // Masked.
    fn from(Location(bits): Location) -> Self {
        let units = |shift: u32, width: u32| (bits >> shift & ((1 << width) - 1)) as usize;
        Self {
            segment: (bits >> (OFFSET_BITS + LENGTH_BITS + 1)) as u32,
            offset: units(LENGTH_BITS + 1, OFFSET_BITS) * ALIGNMENT,
            length: units(1, LENGTH_BITS) * ALIGNMENT,
            large: bits & 1 != 0,
        }
    }
}

/// The body of a [`Form::Large`] record: the value's length (8 bytes), then the location of each part in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Bytes of the whole value.
    pub value_bytes: u64,
    /// Its parts.
    pub spots: Vec<Spot>,
}

impl Parts {
    /// The body.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(8 + 8 * self.spots.len());
        body.extend_from_slice(&self.value_bytes.to_le_bytes());
        for spot in &self.spots {
            body.extend_from_slice(&spot.location().0.to_le_bytes());
        }
        body
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Self, StoreError> {
        let list = PartList::decode(body)?;
        Ok(Self {
            value_bytes: list.value_bytes,
            spots: list.spots(0..list.len()).collect(),
        })
    }
}

/// The body of a [`Form::Large`] record, borrowed: a reader of one part need not copy a list of a thousand.
#[derive(Clone, Copy, Debug)]
pub struct PartList<'a> {
    /// Bytes of the whole value.
    pub value_bytes: u64,
    spots: &'a [[u8; 8]],
}

impl<'a> PartList<'a> {
    /// Reads a body.
    pub fn decode(body: &'a [u8]) -> Result<Self, StoreError> {
        let damaged = || StoreError::Damaged("a list of a value's parts".into());
        let (value_bytes, rest) = body.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (spots, []) = rest.as_chunks::<8>() else {
            return Err(damaged());
        };
        Ok(Self {
            value_bytes: u64::from_le_bytes(*value_bytes),
            spots,
        })
    }

    /// How many parts there are.
    pub fn len(&self) -> usize {
        self.spots.len()
    }

    /// The spots of the parts with these numbers; none if the value does not have all of them.
    pub fn spots(&self, numbers: Range<usize>) -> impl Iterator<Item = Spot> + use<'a> {
        let spots = self.spots.get(numbers).unwrap_or_default();
        spots
            .iter()
            .map(|spot| Spot::from(Location(u64::from_le_bytes(*spot))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Kind, StringForm};

    fn forms() -> impl Strategy<Value = Form> {
        prop_oneof![
            Just(Form::Value(Kind::String.into())),
            Just(Form::Value(StringForm::Raw.into())),
            Just(Form::Large(StringForm::Text.into())),
            Just(Form::Part),
            Just(Form::Tombstone),
        ]
    }

    proptest! {
        #[test]
        fn a_record_reads_back(
            sequence in 0..1u64 << 56,
            form in forms(),
            generation: u32,
            expires_at: Option<i64>,
            key in proptest::collection::vec(any::<u8>(), 0..100),
            body in proptest::collection::vec(any::<u8>(), 0..1000),
            serial: u64,
            place in 0..1usize << 19,
        ) {
            let binding = Binding { serial, offset: place * 8 };
            let record = Record { sequence, form, generation, expires_at, key: &key, body: &body };
            let mut bytes = vec![0xaa; 8];
            record.encode(&mut bytes);
            let mut over = vec![0xaa; record.padded_bytes()];
            record.encode_over(&mut over);
            prop_assert_eq!(&over, &bytes[8..]);
            bind(&mut bytes[8..], binding);
            prop_assert_eq!(bytes.len(), 8 + record.padded_bytes());
            bytes.extend_from_slice(b"what follows");
            prop_assert_eq!(Record::verify(binding, &bytes[8..]), Ok(record));
            for other in [
                Binding { serial: serial ^ 1, ..binding },
                Binding { offset: binding.offset + 8, ..binding },
                Binding { offset: binding.offset ^ 4096, ..binding },
            ] {
                prop_assert!(Record::verify(other, &bytes[8..]).is_err());
            }
        }

        #[test]
        fn a_changed_byte_is_noticed(
            key in proptest::collection::vec(any::<u8>(), 0..40),
            body in proptest::collection::vec(any::<u8>(), 0..200),
            at: proptest::sample::Index,
            flip in 1..=255u8,
        ) {
            let record = Record {
                sequence: 1, form: Form::Value(Kind::String.into()), generation: 0, expires_at: None, key: &key, body: &body,
            };
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            let binding = Binding { serial: 7, offset: 64 };
            bind(&mut bytes, binding);
            let covered = HEADER_BYTES + key.len() + body.len();
            bytes[at.index(covered)] ^= flip;
            prop_assert!(Record::verify(binding, &bytes).is_err());
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::verify(Binding { serial: 0, offset: 0 }, &bytes);
            let _ = Record::decode(&bytes);
            let _ = Parts::decode(&bytes);
        }

        #[test]
        fn a_spot_reads_back(segment in 0..SEGMENTS_MAX, offset in 0..1usize << 19, length in 0..1usize << 19, large: bool) {
            let spot = Spot { segment, offset: offset * 8, length: length * 8, large };
            prop_assert_eq!(Spot::from(spot.location()), spot);
            let parts = Parts { value_bytes: 77, spots: vec![spot; 3] };
            prop_assert_eq!(Parts::decode(&parts.encode()).ok(), Some(parts));
        }
    }
}

//! Listpacks: the form in which Redis since 7.0 keeps a small collection in one string.
//!
//! A listpack consists of its whole length (4 bytes), the number of entries (2 bytes; 65535 means that a reader must
//! count them), the entries, and 0xff. An entry is a string or an integer in one of several widths, followed by the
//! entry's length, which is read backwards. Numbers are little-endian unless a comment says otherwise.

mod writer;

use super::integers::signed;
use super::reader::{Elements, Reader};

pub(super) use writer::Writer;

const HEADER_BYTES: usize = 6;
const END: u8 = 0xff;
/// The header's number when there are more entries than it can hold.
const COUNT_UNKNOWN: u16 = u16::MAX;

/// One entry of a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// A string whose text is this number.
    Integer(i64),
    /// Any other string.
    String(&'a [u8]),
}

impl Entry<'_> {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Integer(number) => number.to_string().into_bytes(),
            Self::String(bytes) => bytes.to_vec(),
        }
    }

    /// The number, however the entry holds it.
    pub(super) fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(number),
            Self::String(bytes) => crate::numbers::parse_i64(bytes),
        }
    }
}

/// The entries of a listpack that are not read yet.
pub(super) struct Entries<'a> {
    rest: Reader<'a>,
    /// How many entries the header promises; `None` if it does not say.
    promised: Option<usize>,
    read: usize,
}

impl<'a> Entries<'a> {
    /// Checks the frame of a listpack: its length, and its end.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut header = Reader::new(bytes);
        let total_bytes: usize = u32::from_le_bytes(header.array()?).try_into().ok()?;
        let count = u16::from_le_bytes(header.array()?);
        if total_bytes != bytes.len() {
            return None;
        }
        let (&end, entries) = bytes[HEADER_BYTES..].split_last()?;
        (end == END).then_some(Self {
            rest: Reader::new(entries),
            promised: (count != COUNT_UNKNOWN).then_some(count.into()),
            read: 0,
        })
    }

    /// Reads one entry. `None` if there is no whole one.
    pub(super) fn next(&mut self) -> Option<Entry<'a>> {
        self.read += 1;
        entry(&mut self.rest)
    }

    /// Whether nothing is left to read. `None` if nothing is left, and the header promised another number of entries.
    pub(super) fn at_end(&self) -> Option<bool> {
        if !self.rest.is_empty() {
            return Some(false);
        }
        self.promised
            .is_none_or(|promised| promised == self.read)
            .then_some(true)
    }

    /// The bytes that are left. Each entry takes at least two of them.
    pub(super) fn bytes_left(&self) -> usize {
        self.rest.len()
    }
}

/// The entries as strings. `None` if the bytes are not a listpack or hold more than `entries_max` entries.
pub(super) fn decode(bytes: &[u8], entries_max: usize) -> Option<Elements> {
    let mut entries = Entries::of(bytes)?;
    let mut decoded = Vec::new();
    while !entries.at_end()? {
        if decoded.len() == entries_max {
            return None;
        }
        decoded.push(entries.next()?.into_bytes());
    }
    Some(decoded)
}

fn entry<'a>(entries: &mut Reader<'a>) -> Option<Entry<'a>> {
    let first = entries.byte()?;
    let (entry, entry_bytes) = match first {
        0..0x80 => (Entry::Integer(first.into()), 1),
        0x80..0xc0 => string(entries, usize::from(first & 0x3f), 1)?,
        0xc0..0xe0 => {
            // 13 bits, big-endian; the highest bit is the sign.
            let bits = u16::from_be_bytes([first & 0x1f, entries.byte()?]);
            (Entry::Integer((i64::from(bits) << 51) >> 51), 2)
        }
        0xe0..0xf0 => {
            let length = u16::from_be_bytes([first & 0x0f, entries.byte()?]);
            string(entries, length.into(), 2)?
        }
        0xf0 => {
            let length = u32::from_le_bytes(entries.array()?).try_into().ok()?;
            string(entries, length, 5)?
        }
        0xf1..=0xf4 => {
            let width = [2, 3, 4, 8][usize::from(first - 0xf1)];
            (Entry::Integer(signed(entries.take(width)?)), 1 + width)
        }
        _ => return None,
    };
    (read_backwards(entries.take(backwards_bytes(entry_bytes))?) == entry_bytes).then_some(entry)
}

fn string<'a>(
    entries: &mut Reader<'a>,
    length: usize,
    head_bytes: usize,
) -> Option<(Entry<'a>, usize)> {
    let string = entries.take(length)?;
    Some((Entry::String(string), head_bytes + length))
}

/// How many bytes Redis writes for an entry's length. From 16383 on, Redis takes one byte more one step too early.
fn backwards_bytes(entry_bytes: usize) -> usize {
    match entry_bytes {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Reads a length in groups of 7 bits, the highest group first.
fn read_backwards(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |length, &byte| length << 7 | usize::from(byte & 0x7f))
}

#[cfg(test)]
mod tests {
    fn decode(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        super::decode(bytes, 2)
    }

    /// A listpack of these entries; each one already ends with its length.
    fn listpack(count: u16, entries: &[u8]) -> Vec<u8> {
        let total = u32::try_from(entries.len() + 7).unwrap_or(u32::MAX);
        let mut bytes = total.to_le_bytes().to_vec();
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(entries);
        bytes.push(0xff);
        bytes
    }

    #[test]
    fn every_form_of_an_entry() {
        for (entry, expected) in [
            (&b"\x00\x01"[..], "0"),
            (b"\x7f\x01", "127"),
            (b"\x80\x01", ""),
            (b"\x83abc\x04", "abc"),
            (b"\xc0\x80\x02", "128"),
            (b"\xdf\xff\x02", "-1"),
            (b"\xd0\x00\x02", "-4096"),
            (b"\xcf\xff\x02", "4095"),
            (b"\xe0\x03abc\x05", "abc"),
            (b"\xf0\x03\x00\x00\x00abc\x08", "abc"),
            (b"\xf1\x00\x80\x03", "-32768"),
            (b"\xf2\xff\xff\x7f\x04", "8388607"),
            (b"\xf3\x00\x00\x00\x80\x05", "-2147483648"),
            (
                b"\xf4\xff\xff\xff\xff\xff\xff\xff\x7f\x09",
                "9223372036854775807",
            ),
        ] {
            let expected = vec![expected.as_bytes().to_vec()];
            assert_eq!(decode(&listpack(1, entry)), Some(expected.clone()));
            assert_eq!(decode(&listpack(u16::MAX, entry)), Some(expected));
            assert_eq!(decode(&listpack(2, entry)), None);
            for cut in 0..entry.len() {
                assert_eq!(decode(&listpack(1, &entry[..cut])), None, "{entry:?} {cut}");
            }
            // The length behind the entry is wrong.
            let mut lie = entry.to_vec();
            lie[entry.len() - 1] ^= 1;
            assert_eq!(decode(&listpack(1, &lie)), None, "{entry:?}");
        }
    }

    #[test]
    fn long_entries_have_long_lengths() {
        let mut entry = b"\xe0\x7e".to_vec();
        entry.extend_from_slice(&[b'x'; 126]);
        entry.extend_from_slice(&[0x01, 0x80]);
        assert_eq!(decode(&listpack(1, &entry)), Some(vec![vec![b'x'; 126]]));
        // 16383 bytes with the head: Redis writes three bytes although two would do.
        let mut entry = b"\xf0\xfa\x3f\x00\x00".to_vec();
        entry.extend_from_slice(&[b'x'; 16_378]);
        entry.extend_from_slice(&[0x00, 0xff, 0xff]);
        assert_eq!(decode(&listpack(1, &entry)), Some(vec![vec![b'x'; 16_378]]));
    }

    #[test]
    fn headers_and_ends() {
        let whole = listpack(2, b"\x01\x01\x02\x01");
        assert_eq!(decode(&whole), Some(vec![b"1".to_vec(), b"2".to_vec()]));
        assert_eq!(decode(&listpack(0, b"")), Some(vec![]));
        for cut in 0..whole.len() {
            assert_eq!(decode(&whole[..cut]), None);
        }
        let mut longer = whole.clone();
        longer.push(0xff);
        assert_eq!(decode(&longer), None);
        let mut open = whole;
        open[10] = 0;
        assert_eq!(decode(&open), None);
        assert_eq!(super::decode(&listpack(2, b"\x01\x01\x02\x01"), 1), None);
        // The end mark comes too early.
        assert_eq!(decode(&listpack(1, b"\x01\x01\xff\x01")), None);
    }
}

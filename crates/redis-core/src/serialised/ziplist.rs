//! Ziplists: the form in which Redis before 7.0 kept a small collection in one string.
//!
//! A ziplist consists of its whole length (4 bytes), the position of its last entry (4 bytes), the number of entries
//! (2 bytes; 65535 means that a reader must count them), the entries, and 0xff. An entry is the previous entry's length,
//! then a string or an integer in one of several widths. Numbers are little-endian, the lengths of strings big-endian.

use super::integers::signed;
use super::reader::{Elements, Reader};

const HEADER_BYTES: usize = 10;
const END: u8 = 0xff;
/// The header's number when there are more entries than it can hold.
const COUNT_UNKNOWN: u16 = u16::MAX;
/// Stands before an entry's length that does not fit in one byte.
const LONG: u8 = 0xfe;

/// The entries as strings. `None` if the bytes are not a ziplist or hold more than `entries_max` entries.
pub(super) fn decode(bytes: &[u8], entries_max: usize) -> Option<Elements> {
    let mut header = Reader::new(bytes);
    let total_bytes: usize = u32::from_le_bytes(header.array()?).try_into().ok()?;
    let last: usize = u32::from_le_bytes(header.array()?).try_into().ok()?;
    let count = u16::from_le_bytes(header.array()?);
    if total_bytes != bytes.len() {
        return None;
    }
    let (&end, entries) = bytes[HEADER_BYTES..].split_last()?;
    if end != END {
        return None;
    }
    let mut entries = Reader::new(entries);
    let mut decoded = Vec::new();
    let (mut begin, mut next, mut before_bytes) = (HEADER_BYTES, HEADER_BYTES, 0);
    while !entries.is_empty() {
        if decoded.len() == entries_max {
            return None;
        }
        begin = next;
        let (entry, entry_bytes) = entry(&mut entries, before_bytes)?;
        decoded.push(entry);
        before_bytes = entry_bytes;
        next += entry_bytes;
    }
    let counted = count == COUNT_UNKNOWN || usize::from(count) == decoded.len();
    (counted && last == begin).then_some(decoded)
}

/// Reads an entry; returns it and the bytes that it takes. `before_bytes` is the length of the previous entry.
fn entry(entries: &mut Reader<'_>, before_bytes: usize) -> Option<(Vec<u8>, usize)> {
    let (told_bytes, told_width) = match entries.byte()? {
        LONG => (u32::from_le_bytes(entries.array()?).try_into().ok()?, 5),
        END => return None,
        short => (usize::from(short), 1),
    };
    if told_bytes != before_bytes {
        return None;
    }
    let first = entries.byte()?;
    let (entry, entry_bytes) = match first {
        0..0x40 => string(entries, usize::from(first), 1)?,
        0x40..0x80 => {
            let length = u16::from_be_bytes([first & 0x3f, entries.byte()?]);
            string(entries, length.into(), 2)?
        }
        0x80 => {
            let length = u32::from_be_bytes(entries.array()?).try_into().ok()?;
            string(entries, length, 5)?
        }
        0xc0 => integer(entries, 2)?,
        0xd0 => integer(entries, 4)?,
        0xe0 => integer(entries, 8)?,
        0xf0 => integer(entries, 3)?,
        0xfe => integer(entries, 1)?,
        // The integer itself, from 0 to 12.
        0xf1..=0xfd => (decimal((first - 0xf1).into()), 1),
        _ => return None,
    };
    Some((entry, told_width + entry_bytes))
}

fn string(entries: &mut Reader<'_>, length: usize, head_bytes: usize) -> Option<(Vec<u8>, usize)> {
    let string = entries.take(length)?;
    Some((string.to_vec(), head_bytes + length))
}

fn integer(entries: &mut Reader<'_>, width: usize) -> Option<(Vec<u8>, usize)> {
    Some((decimal(signed(entries.take(width)?)), 1 + width))
}

fn decimal(number: i64) -> Vec<u8> {
    number.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    fn decode(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        super::decode(bytes, 2)
    }

    fn ziplist(last: u32, count: u16, entries: &[u8]) -> Vec<u8> {
        let total = u32::try_from(entries.len() + 11).unwrap_or(u32::MAX);
        let mut bytes = total.to_le_bytes().to_vec();
        bytes.extend_from_slice(&last.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(entries);
        bytes.push(0xff);
        bytes
    }

    #[test]
    fn every_form_of_an_entry() {
        for (entry, expected) in [
            (&b"\x00\x00"[..], ""),
            (b"\x00\x03abc", "abc"),
            (b"\x00\x40\x03abc", "abc"),
            (b"\x00\x80\x00\x00\x00\x03abc", "abc"),
            (b"\x00\xf1", "0"),
            (b"\x00\xfd", "12"),
            (b"\x00\xfe\x80", "-128"),
            (b"\x00\xc0\x00\x80", "-32768"),
            (b"\x00\xf0\xff\xff\x7f", "8388607"),
            (b"\x00\xd0\x00\x00\x00\x80", "-2147483648"),
            (
                b"\x00\xe0\xff\xff\xff\xff\xff\xff\xff\x7f",
                "9223372036854775807",
            ),
            (b"\xfe\x00\x00\x00\x00\xf2", "1"),
        ] {
            let expected = vec![expected.as_bytes().to_vec()];
            assert_eq!(decode(&ziplist(10, 1, entry)), Some(expected.clone()));
            assert_eq!(decode(&ziplist(10, u16::MAX, entry)), Some(expected));
            assert_eq!(decode(&ziplist(10, 2, entry)), None);
            assert_eq!(decode(&ziplist(11, 1, entry)), None);
            for cut in 0..entry.len() {
                assert_eq!(
                    decode(&ziplist(10, 1, &entry[..cut])),
                    None,
                    "{entry:?} {cut}"
                );
            }
        }
        for entry in [&b"\x00\xff"[..], b"\x00\x81", b"\x00\xc1", b"\xff\xf1"] {
            assert_eq!(decode(&ziplist(10, 1, entry)), None, "{entry:?}");
        }
    }

    #[test]
    fn entries_know_the_one_before() {
        let two = ziplist(14, 2, b"\x00\x02ab\x04\xf2");
        assert_eq!(decode(&two), Some(vec![b"ab".to_vec(), b"1".to_vec()]));
        assert_eq!(decode(&ziplist(14, 2, b"\x00\x02ab\x03\xf2")), None);
        assert_eq!(decode(&ziplist(10, 2, b"\x00\x02ab\x04\xf2")), None);
        assert_eq!(decode(&ziplist(10, 0, b"")), Some(vec![]));
        assert_eq!(super::decode(&two, 1), None);
        for cut in 0..two.len() {
            assert_eq!(decode(&two[..cut]), None);
        }
        let mut longer = two;
        longer.push(0xff);
        assert_eq!(decode(&longer), None);
    }
}

//! Writes listpacks as Redis does: each string that is an integer in the narrowest width that holds it.

use super::{COUNT_UNKNOWN, END, HEADER_BYTES, backwards_bytes};
use crate::numbers::{INTEGER_BYTES_MAX, parse_i64};

/// A listpack that is being written.
pub(in crate::serialised) struct Writer {
    /// The header's place, then the entries.
    bytes: Vec<u8>,
    entries: usize,
}

impl Writer {
    pub(in crate::serialised) fn new() -> Self {
        Self {
            bytes: vec![0; HEADER_BYTES],
            entries: 0,
        }
    }

    /// How long the listpack would be if it ended here.
    pub(in crate::serialised) fn bytes(&self) -> usize {
        self.bytes.len() + 1
    }

    /// How many bytes the entries take.
    pub(in crate::serialised) fn entries_bytes(&self) -> usize {
        self.bytes.len() - HEADER_BYTES
    }

    /// Appends all entries of another listpack.
    pub(in crate::serialised) fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes[HEADER_BYTES..]);
        self.entries += other.entries;
    }

    /// Appends a number of things.
    pub(in crate::serialised) fn count(&mut self, count: usize) {
        self.integer(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(in crate::serialised) fn string(&mut self, string: &[u8]) {
        if string.len() <= INTEGER_BYTES_MAX
            && let Some(number) = parse_i64(string)
        {
            return self.integer(number);
        }
        let start = self.bytes.len();
        let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
        let [low, second, ..] = length.to_le_bytes();
        match length {
            0..0x40 => self.bytes.push(0x80 | low),
            0x40..0x1000 => self.bytes.extend_from_slice(&[0xe0 | second, low]),
            _ => {
                self.bytes.push(0xf0);
                self.bytes.extend_from_slice(&length.to_le_bytes());
            }
        }
        self.bytes.extend_from_slice(string);
        self.end_entry(start);
    }

    pub(in crate::serialised) fn integer(&mut self, number: i64) {
        let start = self.bytes.len();
        let le = number.to_le_bytes();
        match number {
            0..0x80 => self.bytes.push(le[0]),
            -0x1000..0x1000 => self
                .bytes
                .extend_from_slice(&[0xc0 | (le[1] & 0x1f), le[0]]),
            -0x8000..0x8000 => self.wide(0xf1, &le[..2]),
            -0x80_0000..0x80_0000 => self.wide(0xf2, &le[..3]),
            -0x8000_0000..0x8000_0000 => self.wide(0xf3, &le[..4]),
            _ => self.wide(0xf4, &le),
        }
        self.end_entry(start);
    }

    fn wide(&mut self, width: u8, bytes: &[u8]) {
        self.bytes.push(width);
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends the entry's length, which a reader reads from its last byte to its first.
    fn end_entry(&mut self, start: usize) {
        let entry_bytes = self.bytes.len() - start;
        // The first byte alone has no mark: there a reader stops.
        let mut mark = 0;
        for group in (0..backwards_bytes(entry_bytes)).rev() {
            let bits = u8::try_from((entry_bytes >> (7 * group)) & 0x7f).unwrap_or_default();
            self.bytes.push(mark | bits);
            mark = 0x80;
        }
        self.entries += 1;
    }

    pub(in crate::serialised) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(END);
        let total = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
        let count = u16::try_from(self.entries).unwrap_or(COUNT_UNKNOWN);
        self.bytes[4..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
        self.bytes
    }
}

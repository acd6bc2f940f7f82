//! A string with some of its bytes changed, for operations that follow each other and see each other's changes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::commands::CommandError;
use crate::keyspace::{Change, StringChanges, StringView};

/// The string stays unchanged, with the written bytes beside it.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    string: StringView<'a>,
    written: BTreeMap<usize, u8>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(string: StringView<'a>) -> Self {
        Self {
            string,
            written: BTreeMap::new(),
        }
    }

    /// The `N` bytes from `start` on; behind the end they are zero.
    pub(super) fn read<const N: usize>(&self, start: usize) -> Result<[u8; N], CommandError> {
        let mut bytes = [0; N];
        let stored = self.string.bytes(start..start + N)?;
        bytes[..stored.len()].copy_from_slice(&stored);
        for (&at, &byte) in self.written.range(start..start + N) {
            bytes[at - start] = byte;
        }
        Ok(bytes)
    }

    pub(super) fn write(&mut self, start: usize, bytes: &[u8]) {
        self.written.extend((start..).zip(bytes.iter().copied()));
    }

    /// The written bytes, neighbours joined; and if they end before `len`, a change that gives the string this length.
    pub(super) fn changes(self, len: usize) -> StringChanges<'static> {
        let mut changes = StringChanges::new();
        for (at, byte) in self.written {
            match changes.last_mut() {
                Some(last) if last.end() == at => last.bytes.to_mut().push(byte),
                _ => changes.push(Change {
                    offset: at,
                    bytes: vec![byte].into(),
                }),
            }
        }
        if changes.last().is_none_or(|last| last.end() < len) {
            changes.push(Change {
                offset: len,
                bytes: Cow::Borrowed(&[]),
            });
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_was_written_and_tells_of_it() -> Result<(), CommandError> {
        let mut overlay = Overlay::new(StringView::from(&b"abcdef"[..]));
        assert_eq!(overlay.read::<4>(4)?, *b"ef\0\0");
        overlay.write(1, b"XY");
        overlay.write(8, b"Z");
        overlay.write(2, b"W");
        assert_eq!(overlay.read::<9>(0)?, *b"aXWdef\0\0Z");
        let told: Vec<_> = overlay
            .changes(12)
            .into_iter()
            .map(|change| (change.offset, change.bytes.into_owned()))
            .collect();
        let expected = [(1, b"XW".to_vec()), (8, b"Z".to_vec()), (12, Vec::new())];
        assert_eq!(told, expected);
        Ok(())
    }
}

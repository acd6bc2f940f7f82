//! Changes of parts of a value.

use std::borrow::Cow;

/// Bytes that overwrite those of a value from `offset` on. If the value ends before `offset`, zero bytes fill the gap.
/// So a change without bytes makes a short value longer, and does nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// Where the first byte goes.
    pub offset: usize,
    /// The bytes.
    pub bytes: Cow<'a, [u8]>,
}

impl Change<'_> {
    /// The least length of a value after the change.
    pub fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }

    /// Applies to `part`, which is the value's bytes from `start` on, as much of the change as lies in it.
    pub fn apply_to(&self, part: &mut [u8], start: usize) {
        let from = self.offset.max(start);
        let to = self.end().min(start + part.len());
        if from < to {
            part[from - start..to - start]
                .copy_from_slice(&self.bytes[from - self.offset..to - self.offset]);
        }
    }
}

/// The length of a value of `len` bytes after `changes`.
pub fn changed_len(len: usize, changes: &[Change<'_>]) -> usize {
    changes.iter().map(Change::end).fold(len, usize::max)
}

/// A value after `changes`, applied one after the other.
pub fn changed(old: &[u8], changes: &[Change<'_>]) -> Vec<u8> {
    let len = changed_len(old.len(), changes);
    let mut new = Vec::with_capacity(len);
    new.extend_from_slice(old);
    new.resize(len, 0);
    for change in changes {
        change.apply_to(&mut new, 0);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes() {
        let after = |old: &str, changes: &[(usize, &'static str)]| {
            let changes: Vec<_> = changes
                .iter()
                .map(|&(offset, bytes)| Change {
                    offset,
                    bytes: Cow::Borrowed(bytes.as_bytes()),
                })
                .collect();
            String::from_utf8(changed(old.as_bytes(), &changes)).unwrap_or_default()
        };
        assert_eq!(after("hello", &[(1, "a")]), "hallo");
        assert_eq!(after("hello", &[(4, "ab")]), "hellab");
        assert_eq!(after("hello", &[(5, "!")]), "hello!");
        assert_eq!(after("", &[(2, "ab")]), "\0\0ab");
        assert_eq!(after("ab", &[(4, "")]), "ab\0\0");
        assert_eq!(after("ab", &[(1, "")]), "ab");
        assert_eq!(after("hello", &[(0, "jelly"), (1, "o")]), "jolly");
        assert_eq!(after("hello", &[]), "hello");
    }

    #[test]
    fn a_part_gets_its_share() {
        let change = Change {
            offset: 8,
            bytes: Cow::Borrowed(&b"abcdef"[..]),
        };
        for (start, expected) in [
            (0, "...."),
            (6, "..ab"),
            (9, "bcde"),
            (12, "ef.."),
            (14, "...."),
        ] {
            let mut part = *b"....";
            change.apply_to(&mut part, start);
            assert_eq!(&part, expected.as_bytes(), "{start}");
        }
    }
}

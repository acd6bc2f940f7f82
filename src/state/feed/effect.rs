//! An effect's bytes.

use bytes::Bytes;

/// One command of an effect, with the database that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The database.
    pub db: usize,
    /// The command, encoded.
    pub bytes: Bytes,
}

/// A command as the stream has it.
pub fn encode<'w>(words: impl ExactSizeIterator<Item = &'w [u8]> + Clone) -> Bytes {
    let text: usize = words.clone().map(|word| word.len() + 16).sum();
    let mut bytes = Vec::with_capacity(text + 16);
    let mut digits = itoa::Buffer::new();
    bytes.push(b'*');
    bytes.extend_from_slice(digits.format(words.len()).as_bytes());
    bytes.extend_from_slice(b"\r\n");
    for word in words {
        bytes.push(b'$');
        bytes.extend_from_slice(digits.format(word.len()).as_bytes());
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_bulk_strings() {
        let words = [&b"SET"[..], b"k", b""];
        let bytes = encode(words.iter().copied());
        assert_eq!(&bytes[..], b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    }
}

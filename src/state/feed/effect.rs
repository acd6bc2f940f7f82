//! An effect's bytes.

use std::cell::RefCell;

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

/// A thread encodes effects into pieces of memory of this size, which it uses again once all effects of one are gone. So an
/// effect costs no allocation, which another thread would have to free.
const PIECE_BYTES: usize = 64 * 1024;

/// A longer effect has memory of its own.
const SHARING_BYTES_MAX: usize = 4 * 1024;

/// What [`put_header`] adds at most, and the end of the last word: two numbers of twenty digits, and eight bytes around them.
pub(super) const HEADER_BYTES_MAX: usize = 48;

thread_local! {
    static PIECE: RefCell<BytesMut> = RefCell::default();
}

/// One command of an effect, with the database that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The database.
    pub db: usize,
    /// The command, encoded.
    pub bytes: Bytes,
}

/// The commands of one effect: mostly one.
pub type Parts = SmallVec<[Part; 1]>;

/// A command as the stream has it.
pub fn encode<'w>(words: impl ExactSizeIterator<Item = &'w [u8]> + Clone) -> Bytes {
    encode_words(words.len(), words)
}

/// The same of an iterator that does not know that it has `count` words.
pub fn encode_words<'w>(count: usize, words: impl Iterator<Item = &'w [u8]> + Clone) -> Bytes {
    let bytes_max = bytes_max(words.clone());
    if bytes_max > SHARING_BYTES_MAX {
        let mut bytes = BytesMut::with_capacity(bytes_max);
        put(&mut bytes, count, words);
        return bytes.freeze();
    }
    PIECE.with_borrow_mut(|piece| {
        if piece.capacity() < bytes_max {
            piece.reserve(PIECE_BYTES);
        }
        put(piece, count, words);
        piece.split().freeze()
    })
}

/// How many bytes a command may take.
pub(super) fn bytes_max<'w>(words: impl Iterator<Item = &'w [u8]>) -> usize {
    // Twenty digits, and five bytes around them.
    let text: usize = words.map(|word| word.len() + 25).sum();
    text + 25
}

/// Adds a command of `count` words.
pub(super) fn put<'w>(
    bytes: &mut impl BufMut,
    count: usize,
    words: impl Iterator<Item = &'w [u8]>,
) {
    let mut digits = itoa::Buffer::new();
    put_count(bytes, count);
    for word in words {
        bytes.put_u8(b'$');
        bytes.put_slice(digits.format(word.len()).as_bytes());
        bytes.put_slice(b"\r\n");
        bytes.put_slice(word);
        bytes.put_slice(b"\r\n");
    }
}

fn put_count(bytes: &mut impl BufMut, count: usize) {
    bytes.put_u8(b'*');
    bytes.put_slice(itoa::Buffer::new().format(count).as_bytes());
    bytes.put_slice(b"\r\n");
}

/// Adds what stands before the first word of a command: how many words there are, and how many bytes that word has.
pub(super) fn put_header(bytes: &mut impl BufMut, count: usize, first_len: usize) {
    put_count(bytes, count);
    bytes.put_u8(b'$');
    bytes.put_slice(itoa::Buffer::new().format(first_len).as_bytes());
    bytes.put_slice(b"\r\n");
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

    #[test]
    fn effects_of_all_lengths_stay_as_they_are() {
        let mut encoded = Vec::new();
        for n in 0..3000usize {
            let word = vec![n.to_le_bytes()[0]; n * 7 % 5000];
            let effect = encode([&word[..], b"x"].into_iter());
            encoded.push((effect, word));
            if n % 7 == 0 {
                encoded.drain(..encoded.len() / 2);
            }
            for (effect, word) in &encoded {
                let header = format!("*2\r\n${}\r\n", word.len());
                let rest = effect.strip_prefix(header.as_bytes());
                assert_eq!(
                    rest.and_then(|rest| rest.strip_suffix(b"\r\n$1\r\nx\r\n")),
                    Some(&word[..])
                );
            }
        }
    }
}

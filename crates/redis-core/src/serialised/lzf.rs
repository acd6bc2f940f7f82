//! The decompression of LZF, in which Redis dumps long strings.
//!
//! A control byte below 32 says that as many bytes and one more follow as they are. Any other one repeats what was
//! written before: its upper three bits are a length (7: the next byte is added to it), the lower five and the next
//! byte a distance; two are added to the length and one to the distance.

use super::reader::Reader;

/// The smallest control byte of a repetition.
const REPETITION: u8 = 1 << 5;
/// The most bytes that one repetition gives. It takes 3 bytes itself.
const REPETITION_BYTES_MAX: usize = 7 + 255 + 2;

/// The string of `bytes` bytes, or `None` where it is another one or none.
pub(super) fn decompress(compressed: &[u8], bytes: usize) -> Option<Vec<u8>> {
    if bytes > compressed.len().saturating_mul(REPETITION_BYTES_MAX / 3) {
        return None;
    }
    let mut string = Vec::with_capacity(bytes);
    let mut rest = Reader::new(compressed);
    while !rest.is_empty() {
        let control = rest.byte()?;
        if control < REPETITION {
            let literal = rest.take(usize::from(control) + 1)?;
            if literal.len() > bytes - string.len() {
                return None;
            }
            string.extend_from_slice(literal);
            continue;
        }
        let mut length = usize::from(control >> 5);
        if length == 7 {
            length += usize::from(rest.byte()?);
        }
        length += 2;
        let distance = usize::from(u16::from_be_bytes([control & 0x1f, rest.byte()?])) + 1;
        if length > bytes - string.len() {
            return None;
        }
        let start = string.len().checked_sub(distance)?;
        // What is repeated may reach into what is being written: then it goes round.
        for from in start..start + length {
            string.push(string[from]);
        }
    }
    (string.len() == bytes).then_some(string)
}

#[cfg(test)]
mod tests {
    use super::decompress;

    #[test]
    fn literals_and_repetitions() {
        for (compressed, string) in [
            (&b"\x02abc"[..], &b"abc"[..]),
            (b"\x00a\x20\x00", b"aaaa"),
            (b"\x02abc\x20\x02\x00d", b"abcabcd"),
            (b"\x01ab\xe0\x00\x01", b"abababababa"),
            (b"\x01ab\x40\x00", b"abbbbb"),
            (b"", b""),
        ] {
            assert_eq!(
                decompress(compressed, string.len()).as_deref(),
                Some(string)
            );
            // Any other length is a lie.
            for lie in [string.len() + 1, string.len().wrapping_sub(1), usize::MAX] {
                assert_eq!(decompress(compressed, lie), None, "{compressed:?} {lie}");
            }
            for cut in 0..compressed.len() {
                assert_eq!(decompress(&compressed[..cut], string.len()), None);
            }
        }
    }

    #[test]
    fn nothing_lies_before_the_start() {
        assert_eq!(decompress(b"\x20\x00", 3), None);
        assert_eq!(decompress(b"\x00a\x20\x01", 4), None);
    }
}

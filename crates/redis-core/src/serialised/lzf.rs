//! Decompresses LZF, the form in which Redis dumps long strings.
//!
//! A control byte `n` below 32 says that `n + 1` plain bytes follow. Any other control byte repeats earlier output. Its
//! upper three bits are the length (if they are 7, the next byte is added to them); its lower five bits and the next byte
//! are the distance back. The true length is greater by two, the true distance by one.

use super::reader::Reader;

/// The smallest control byte of a repetition.
const REPETITION: u8 = 1 << 5;
/// The most bytes that one repetition produces. The repetition itself takes 3 bytes.
const REPETITION_BYTES_MAX: usize = 7 + 255 + 2;

/// Decompresses a string that must be `bytes` long. `None` if its length differs or the input is not valid.
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
        // A repetition may overlap its own output. Then the bytes between repeat in a cycle.
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
            // The decoder refuses every wrong length.
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

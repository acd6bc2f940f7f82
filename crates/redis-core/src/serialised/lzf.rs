//! LZF, the form in which Redis dumps long strings.
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
        // A repetition may overlap its own output. Then the bytes between repeat in a cycle, of which each step has more.
        while length > 0 {
            let step = length.min(string.len() - start);
            string.extend_from_within(start..start + step);
            length -= step;
        }
    }
    (string.len() == bytes).then_some(string)
}

/// The farthest distance of a repetition.
const DISTANCE_MAX: usize = 1 << 13;
/// The most literal bytes behind one control byte.
const LITERALS_MAX: usize = REPETITION as usize;
/// The table of places has that many bits of a hash.
const TABLE_BITS: u32 = 14;
/// Longer strings stay as they are: the table holds places in 32 bits.
const COMPRESSED_BYTES_MAX: usize = 1 << 31;
/// What compression must save, as in Redis.
const SAVED_BYTES_MIN: usize = 4;

/// Compresses a string. `None` if the result would not be at least 4 bytes shorter.
///
/// A table remembers where three bytes of this hash stood last. Where they stand again near enough, a repetition is written.
pub(super) fn compress(string: &[u8]) -> Option<Vec<u8>> {
    let room = string.len().checked_sub(SAVED_BYTES_MIN)?;
    if string.len() > COMPRESSED_BYTES_MAX {
        return None;
    }
    // A place is stored one too high, so that 0 means none.
    let bits = TABLE_BITS.min(string.len().ilog2() + 1);
    let mut places = vec![0u32; 1 << bits];
    let mut out = Vec::with_capacity(room);
    let (mut at, mut literals_from) = (0, 0);
    while let Some(&[a, b, c]) = string.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u32::from_be_bytes([0, a, b, c]);
        let slot = (word.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize;
        let before = std::mem::replace(&mut places[slot], u32::try_from(at + 1).ok()?);
        let from = (before as usize).checked_sub(1);
        let found = from.filter(|&from| {
            at - from <= DISTANCE_MAX && string[from..from + 3] == string[at..at + 3]
        });
        let Some(from) = found else {
            at += 1;
            continue;
        };
        let length_max = REPETITION_BYTES_MAX.min(string.len() - at);
        let length = 3
            + (3..length_max)
                .take_while(|&i| string[from + i] == string[at + i])
                .count();
        literals(&mut out, &string[literals_from..at]);
        repetition(&mut out, length, at - from);
        if out.len() > room {
            return None;
        }
        at += length;
        literals_from = at;
    }
    literals(&mut out, &string[literals_from..]);
    (out.len() <= room).then_some(out)
}

fn literals(out: &mut Vec<u8>, bytes: &[u8]) {
    for literal in bytes.chunks(LITERALS_MAX) {
        out.push(u8::try_from(literal.len() - 1).unwrap_or_default());
        out.extend_from_slice(literal);
    }
}

fn repetition(out: &mut Vec<u8>, length: usize, distance: usize) {
    let [_, .., high, low] = (distance - 1).to_be_bytes();
    let length = length - 2;
    if length < 7 {
        out.push(u8::try_from(length << 5).unwrap_or_default() | high);
    } else {
        out.push(7 << 5 | high);
        out.push(u8::try_from(length - 7).unwrap_or_default());
    }
    out.push(low);
}

#[cfg(test)]
mod tests {
    use super::{compress, decompress};

    #[test]
    fn what_is_compressed_comes_back() {
        let mut random = 1u64;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        let byte = |number: u64| u8::try_from(number).unwrap_or_default();
        for round in 0..400 {
            // Words of a small alphabet, so that they repeat near and far.
            let alphabet = 1 + round % 5;
            let mut string = Vec::new();
            for _ in 0..next(60) {
                let word: Vec<u8> = (0..next(40)).map(|_| byte(next(alphabet))).collect();
                for _ in 0..=next(if round % 50 == 0 { 400 } else { 3 }) {
                    string.extend_from_slice(&word);
                }
                string.push(byte(next(256)));
            }
            if let Some(compressed) = compress(&string) {
                assert!(compressed.len() + 4 <= string.len());
                let back = decompress(&compressed, string.len());
                assert_eq!(back.as_deref(), Some(&string[..]), "{round}");
            }
        }
        let long = compress(&[b'a'; 1000]).expect("it repeats");
        assert!(long.len() < 20, "{}", long.len());
        let far = [&b"abcdefghijkl"[..], &[0; 9000], b"abcdefghijkl"].concat();
        let compressed = compress(&far).expect("the zeros repeat");
        assert_eq!(decompress(&compressed, far.len()), Some(far));
        for short in [&b""[..], b"a", b"aaaa", b"abcdefghijklmnop"] {
            assert_eq!(compress(short), None);
        }
    }

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

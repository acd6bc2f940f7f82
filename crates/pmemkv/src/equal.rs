//! Compares many bytes with one, in the few instructions that processors have for it.

/// A bit for each byte that equals `wanted`, the first byte's lowest.
#[cfg(target_arch = "x86_64")]
#[inline]
#[must_use]
pub fn equal_bytes(bytes: &[u8; 32], wanted: u8) -> u32 {
    // SAFETY: SSE2 is a part of the architecture: every x86_64 processor has it.
    unsafe { compare(bytes, wanted) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn compare(bytes: &[u8; 32], wanted: u8) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};

    let wanted = _mm_set1_epi8(wanted.cast_signed());
    let (words, _) = bytes.as_chunks::<8>();
    let mut bits = [0; 2];
    for (bits, words) in bits.iter_mut().zip(words.chunks_exact(2)) {
        let (low, high) = (i64::from_le_bytes(words[0]), i64::from_le_bytes(words[1]));
        let equal = _mm_cmpeq_epi8(_mm_set_epi64x(high, low), wanted);
        *bits = _mm_movemask_epi8(equal).cast_unsigned();
    }
    bits[0] | bits[1] << 16
}

/// A bit for each byte that equals `wanted`, the first byte's lowest.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
#[must_use]
pub fn equal_bytes(bytes: &[u8; 32], wanted: u8) -> u32 {
    // No branches, so that the compiler makes vector instructions of this loop.
    let mut bits = 0;
    for (position, &byte) in bytes.iter().enumerate() {
        bits |= u32::from(byte == wanted) << position;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_its_bit() {
        let mut bytes = [7; 32];
        for at in 0..bytes.len() {
            bytes[at] = 200;
            assert_eq!(equal_bytes(&bytes, 200), 1 << at);
            assert_eq!(equal_bytes(&bytes, 7), !(1 << at));
            bytes[at] = 7;
        }
        assert_eq!(equal_bytes(&bytes, 0), 0);
    }
}

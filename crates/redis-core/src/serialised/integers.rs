//! Intsets: sorted integers of one width.

use super::reader::Elements;

/// The integers as strings. `None` if the bytes are not an intset or hold more than `integers_max` integers.
pub(super) fn decode(bytes: &[u8], integers_max: usize) -> Option<Elements> {
    let (width, rest) = bytes.split_first_chunk()?;
    let (count, rest) = rest.split_first_chunk()?;
    let width: usize = u32::from_le_bytes(*width).try_into().ok()?;
    let count: usize = u32::from_le_bytes(*count).try_into().ok()?;
    let fits = Some(rest.len()) == count.checked_mul(width);
    if !matches!(width, 2 | 4 | 8) || !fits || count > integers_max {
        return None;
    }
    let mut before = None;
    rest.chunks_exact(width)
        .map(|integer| {
            let integer = signed(integer);
            // An intset is sorted, so this also refuses an integer that stands there twice.
            let rises = before.is_none_or(|before| before < integer);
            before = Some(integer);
            rises.then(|| integer.to_string().into_bytes())
        })
        .collect()
}

/// A signed little-endian integer of up to 8 bytes.
pub(super) fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.last().is_some_and(|&last| last >= 0x80);
    let mut extended = [if negative { 0xff } else { 0 }; 8];
    extended[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(extended)
}

#[cfg(test)]
mod tests {
    use super::{decode, signed};

    #[test]
    fn widths_and_signs() {
        assert_eq!(signed(&[0xff]), -1);
        assert_eq!(signed(&[0xff, 0x7f]), 0x7fff);
        assert_eq!(signed(&[0, 0, 0x80]), -(1 << 23));
        assert_eq!(signed(&i64::MIN.to_le_bytes()), i64::MIN);
    }

    #[test]
    fn integers_rise_and_fill_the_bytes() {
        let set = |width: u32, count: u32, integers: &[i16]| {
            let mut bytes = width.to_le_bytes().to_vec();
            bytes.extend_from_slice(&count.to_le_bytes());
            bytes.extend(integers.iter().flat_map(|n| n.to_le_bytes()));
            decode(&bytes, 3)
        };
        let three = [b"-3".to_vec(), b"0".to_vec(), b"300".to_vec()];
        assert_eq!(set(2, 3, &[-3, 0, 300]).as_deref(), Some(&three[..]));
        assert_eq!(set(2, 2, &[3, 3]), None);
        assert_eq!(set(2, 2, &[4, 3]), None);
        assert_eq!(set(2, 2, &[3]), None);
        assert_eq!(set(2, 1, &[3, 4]), None);
        assert_eq!(set(2, 4, &[1, 2, 3, 4]), None);
        assert_eq!(set(2, u32::MAX, &[3]), None);
        assert_eq!(set(0, 1, &[]), None);
        assert_eq!(set(3, 2, &[1, 2, 3]), None);
        assert_eq!(decode(&[2, 0, 0, 0, 0, 0, 0], 3), None);
    }
}

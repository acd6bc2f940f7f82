//! Zipmaps: the form in which Redis before 2.6 kept a small hash in one string.
//!
//! A zipmap consists of the number of fields (254 and 255 mean that a reader must count them), the fields, and 0xff. A field
//! is its length, its name, its value's length, the number of unused bytes, its value, and the unused bytes. A length takes
//! one byte, or 254 and four little-endian bytes.

use super::reader::{Elements, Reader};

const END: u8 = 0xff;
/// Stands before a length that does not fit in one byte. The smallest number of fields that the first byte does not tell.
const LONG: u8 = 0xfe;

/// Names and values in turn. `None` if the bytes are not a zipmap or hold more than `elements_max` names and values.
pub(super) fn decode(bytes: &[u8], elements_max: usize) -> Option<Elements> {
    let mut rest = Reader::new(bytes);
    let count = rest.byte()?;
    let mut decoded = Vec::new();
    loop {
        let first = rest.byte()?;
        if first == END {
            break;
        }
        if decoded.len() + 2 > elements_max {
            return None;
        }
        let name_bytes = length(&mut rest, first)?;
        decoded.push(rest.take(name_bytes)?.to_vec());
        let first = rest.byte()?;
        let value_bytes = length(&mut rest, first)?;
        let unused = rest.byte()?;
        decoded.push(rest.take(value_bytes)?.to_vec());
        rest.take(unused.into())?;
    }
    let counted = count >= LONG || usize::from(count) == decoded.len() / 2;
    (rest.is_empty() && counted).then_some(decoded)
}

/// Reads a length that begins with the byte `first`.
fn length(rest: &mut Reader<'_>, first: u8) -> Option<usize> {
    match first {
        END => None,
        LONG => u32::from_le_bytes(rest.array()?).try_into().ok(),
        short => Some(short.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn fields_ends_and_lies() {
        let whole = b"\x02\x01a\x02\x00bc\x03foo\x00\x03...\xff";
        let fields = ["a", "bc", "foo", ""]
            .map(|s| s.as_bytes().to_vec())
            .to_vec();
        assert_eq!(decode(whole, 4), Some(fields.clone()));
        assert_eq!(decode(whole, 3), None);
        for cut in 0..whole.len() {
            assert_eq!(decode(&whole[..cut], 4), None, "{cut}");
        }
        let mut counted = whole.to_vec();
        for (count, read) in [(254, Some(fields.clone())), (255, Some(fields)), (1, None)] {
            counted[0] = count;
            assert_eq!(decode(&counted, 4), read, "{count}");
        }
        assert_eq!(decode(b"\x00\xff", 4), Some(vec![]));
        assert_eq!(decode(b"\x00\xff\xff", 4), None);
        let long = b"\x01\xfe\x01\x00\x00\x00a\xfe\x01\x00\x00\x00\x00b\xff";
        assert_eq!(decode(long, 4), Some(vec![b"a".to_vec(), b"b".to_vec()]));
        assert_eq!(decode(b"\x01\xfe\xff\xff\xff\xffa\x01\x00b\xff", 4), None);
    }
}

//! Strings as arrays of bits and of small integers. The first bit is the highest of the first byte.

pub(super) mod combine;
pub(super) mod fields;
mod integer;
mod overlay;
pub(super) mod range;
pub(super) mod single;

use super::CommandError;
use crate::numbers::parse_i64;

const BAD_OFFSET: CommandError =
    CommandError::text("ERR bit offset is not an integer or out of range");

/// The number of a bit, in a string of up to `bytes_max` bytes.
fn parse_offset(argument: &[u8], bytes_max: usize) -> Result<usize, CommandError> {
    within(parse_i64(argument), bytes_max)
}

/// As [`parse_offset`], but `#2` is the third of integers that are `bits` wide.
fn parse_place(argument: &[u8], bits: u32, bytes_max: usize) -> Result<usize, CommandError> {
    match argument {
        [b'#', number @ ..] => {
            let number = parse_i64(number).and_then(|number| number.checked_mul(bits.into()));
            within(number, bytes_max)
        }
        _ => parse_offset(argument, bytes_max),
    }
}

fn within(offset: Option<i64>, bytes_max: usize) -> Result<usize, CommandError> {
    offset
        .and_then(|offset| usize::try_from(offset).ok())
        .filter(|offset| offset / 8 < bytes_max)
        .ok_or(BAD_OFFSET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place = |argument: &str, bits| parse_place(argument.as_bytes(), bits, 4).ok();
        assert_eq!(place("0", 8), Some(0));
        assert_eq!(place("31", 8), Some(31));
        assert_eq!(place("32", 8), None);
        assert_eq!(place("#3", 8), Some(24));
        assert_eq!(place("#4", 8), None);
        for bad in [
            "",
            "#",
            "-1",
            "#-1",
            "##1",
            "1.0",
            "x",
            "#9223372036854775807",
        ] {
            assert_eq!(place(bad, 8), None, "{bad}");
        }
        assert!(parse_offset(b"#1", 4).is_err());
    }
}

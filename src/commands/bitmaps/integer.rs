//! Integers of any width within a string.

use crate::commands::CommandError;
use crate::numbers::parse_i64;

const BAD_TYPE: CommandError = CommandError::text(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);

/// What happens to a number that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    /// Its lowest bits stay.
    Wrap,
    /// It becomes the nearest that fits.
    Saturate,
    /// It is not written.
    Fail,
}

impl Overflow {
    pub(super) fn parse(argument: &[u8]) -> Result<Self, CommandError> {
        match argument {
            argument if argument.eq_ignore_ascii_case(b"wrap") => Ok(Overflow::Wrap),
            argument if argument.eq_ignore_ascii_case(b"sat") => Ok(Overflow::Saturate),
            argument if argument.eq_ignore_ascii_case(b"fail") => Ok(Overflow::Fail),
            _ => Err(CommandError::text("ERR Invalid OVERFLOW type specified")),
        }
    }
}

/// A type of integer: `u1` to `u63`, `i1` to `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Integer {
    is_signed: bool,
    pub(super) bits: u32,
}

/// An integer lies within this many bytes, wherever its first bit is.
pub(super) const WINDOW_BYTES: usize = 9;
const WINDOW_BITS: u32 = 72;

impl Integer {
    pub(super) fn parse(argument: &[u8]) -> Result<Self, CommandError> {
        let (is_signed, bits, bits_max) = match argument {
            [b'i', bits @ ..] => (true, bits, 64),
            [b'u', bits @ ..] => (false, bits, 63),
            _ => return Err(BAD_TYPE),
        };
        parse_i64(bits)
            .and_then(|bits| u32::try_from(bits).ok())
            .filter(|bits| (1..=bits_max).contains(bits))
            .map(|bits| Self { is_signed, bits })
            .ok_or(BAD_TYPE)
    }

    fn min(self) -> i128 {
        if self.is_signed {
            -(1 << (self.bits - 1))
        } else {
            0
        }
    }

    fn max(self) -> i128 {
        self.min() + self.mask()
    }

    fn mask(self) -> i128 {
        (1 << self.bits) - 1
    }

    /// The number whose lowest bits are those of `number`.
    fn wrapped(self, number: i128) -> i128 {
        let number = number & self.mask();
        if number > self.max() {
            number - self.mask() - 1
        } else {
            number
        }
    }

    /// The number that is stored for `number`; `None` if it does not fit and `overflow` forbids it.
    pub(super) fn fit(self, number: i128, overflow: Overflow) -> Option<i128> {
        if (self.min()..=self.max()).contains(&number) {
            return Some(number);
        }
        match overflow {
            Overflow::Wrap => Some(self.wrapped(number)),
            Overflow::Saturate => Some(number.clamp(self.min(), self.max())),
            Overflow::Fail => None,
        }
    }

    /// An argument's number as Redis compares it with the limits of this type. It compares in 64 bits: there, negative
    /// numbers are the largest unsigned ones, and a signed number too far below the minimum counts as large.
    pub(super) fn taken(self, number: i64) -> i128 {
        let unsigned = i128::from(number.cast_unsigned());
        let number = i128::from(number);
        let is_too_far = self.bits < 64 && self.max() - number > i64::MAX.into();
        if is_too_far || !self.is_signed {
            unsigned
        } else {
            number
        }
    }

    /// The number at bit `offset`; behind the end of the string all bits are clear.
    pub(super) fn get(self, bytes: &[u8], offset: usize) -> i128 {
        self.wrapped(window(bytes, offset / 8) >> self.below(offset))
    }

    /// Writes a number that fits at bit `offset`. The string is long enough.
    pub(super) fn put(self, bytes: &mut [u8], offset: usize, number: i128) {
        let below = self.below(offset);
        let kept = window(bytes, offset / 8) & !(self.mask() << below);
        let new = kept | (number & self.mask()) << below;
        let new = new.to_be_bytes();
        let new = &new[new.len() - WINDOW_BYTES..];
        let bytes = bytes.iter_mut().skip(offset / 8);
        for (byte, new) in bytes.zip(new) {
            *byte = *new;
        }
    }

    /// How many bits of the window lie behind the number at bit `offset`.
    fn below(self, offset: usize) -> u32 {
        // A remainder of 8 fits any type.
        WINDOW_BITS - self.bits - u32::try_from(offset % 8).unwrap_or(0)
    }

    /// How long a string is that ends with the number at bit `offset`.
    pub(super) fn end(self, offset: usize) -> usize {
        (offset + self.bits as usize).div_ceil(8)
    }
}

/// The bytes from `first` on as one number, with zero bytes behind the end of the string.
fn window(bytes: &[u8], first: usize) -> i128 {
    let bytes = bytes.get(first..).unwrap_or_default();
    (0..WINDOW_BYTES).fold(0, |window, i| {
        window << 8 | i128::from(bytes.get(i).copied().unwrap_or(0))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn integer(name: &str) -> Integer {
        Integer::parse(name.as_bytes()).expect("a type")
    }

    #[test]
    fn types() {
        assert_eq!((integer("u8").min(), integer("u8").max()), (0, 255));
        assert_eq!((integer("i8").min(), integer("i8").max()), (-128, 127));
        assert_eq!((integer("i1").min(), integer("i1").max()), (-1, 0));
        assert_eq!(integer("i64").max(), i64::MAX.into());
        assert_eq!(integer("u63").max(), i64::MAX.into());
        for bad in [
            "", "u", "i", "u0", "i0", "u64", "i65", "U8", "8", "u08", "u-1", "f32", "u8 ",
        ] {
            assert!(Integer::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn overflows() {
        for (name, number, wrapped, nearest) in [
            ("u8", 256, 0, 255),
            ("u8", -1, 255, 0),
            ("i8", 128, -128, 127),
            ("i8", -129, 127, -128),
            (
                "i64",
                i128::from(i64::MAX) + 1,
                i64::MIN.into(),
                i64::MAX.into(),
            ),
            ("u2", 11, 3, 3),
        ] {
            let fit = |overflow| integer(name).fit(number, overflow);
            assert_eq!(fit(Overflow::Wrap), Some(wrapped), "{name} {number}");
            assert_eq!(fit(Overflow::Saturate), Some(nearest), "{name} {number}");
            assert_eq!(fit(Overflow::Fail), None, "{name} {number}");
        }
        assert_eq!(integer("u8").fit(255, Overflow::Fail), Some(255));
        assert_eq!(
            integer("u8").fit(integer("u8").taken(-1), Overflow::Saturate),
            Some(255)
        );
    }

    #[test]
    fn far_below() {
        let nearest = |name, number| {
            let taken = integer(name).taken(number);
            integer(name).fit(taken, Overflow::Saturate)
        };
        assert_eq!(nearest("i8", -1000), Some(-128));
        assert_eq!(nearest("i8", i64::MIN + 128), Some(-128));
        assert_eq!(nearest("i8", i64::MIN + 127), Some(127));
        assert_eq!(nearest("i64", i64::MIN), Some(i64::MIN.into()));
    }

    #[test]
    fn behind_the_end() {
        assert_eq!(integer("u8").get(b"\x0f", 4), 0xf0);
        assert_eq!(integer("i8").get(b"\x0f", 4), -16);
        assert_eq!(integer("u8").get(b"\x0f", 800), 0);
        assert_eq!(integer("u8").end(0), 1);
        assert_eq!(integer("u8").end(1), 2);
    }

    proptest! {
        #[test]
        fn reads_what_was_written(
            bits in 1u32..=64, is_signed: bool, offset in 0..200usize, number: i64,
            old in proptest::collection::vec(any::<u8>(), 40),
        ) {
            let integer = Integer { is_signed, bits: if is_signed { bits } else { bits.min(63) } };
            let number = integer.wrapped(number.into());
            let mut new = old.clone();
            integer.put(&mut new, offset, number);
            prop_assert_eq!(integer.get(&new, offset), number);
            // Nothing else has changed.
            integer.put(&mut new, offset, integer.get(&old, offset));
            prop_assert_eq!(new, old);
        }
    }
}

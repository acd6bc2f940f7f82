//! The 80-bit floating-point numbers in which Redis computes INCRBYFLOAT on x86-64.
//!
//! Rust has no such type, so this module computes with integers. Reading, adding and printing round to the nearest value,
//! on a tie to the even one, exactly as the hardware and the C library do.

use num_bigint::BigUint;

/// The length of the longest text that Redis accepts, in bytes.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;

/// Numbers above 10 to this power overflow every format here, and numbers below its inverse become zero, so neither need
/// be computed.
const DECIMAL_EXPONENT_MAX: i64 = 5_100;

/// The same bound for hexadecimal numbers, as a power of two.
const BINARY_EXPONENT_MAX: i64 = 17_000;

/// An 80-bit extended-precision number that is not NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// A finite number.
    Finite(Finite),
    /// Either infinity.
    Infinite,
}

/// `mantissa` x 2^`exponent`. The top bit of the mantissa is set except in zero and in numbers of the least exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finite {
    negative: bool,
    mantissa: u64,
    exponent: i64,
}

/// A binary floating-point format.
struct Format {
    precision_bits: u64,
    exponent_min: i64,
    exponent_max: i64,
}

const EXTENDED: Format = Format {
    precision_bits: 64,
    exponent_min: -16_445,
    exponent_max: 16_384 - 64,
};

const DOUBLE: Format = Format {
    precision_bits: 53,
    exponent_min: -1_074,
    exponent_max: 1_024 - 53,
};

impl Format {
    /// Rounds `numerator` / `denominator` x 2^`exponent` to a mantissa and its exponent. `None` if it overflows, or if it is
    /// not zero but rounds to zero.
    fn round(
        &self,
        numerator: &BigUint,
        denominator: &BigUint,
        exponent: i64,
    ) -> Option<(u64, i64)> {
        // At least two bits more than the mantissa holds. The remainder of the division only breaks ties.
        let shift = (self.precision_bits + 2 + denominator.bits()).saturating_sub(numerator.bits());
        let numerator = numerator << shift;
        let quotient = &numerator / denominator;
        let rest = &numerator - &quotient * denominator;
        let exponent = exponent - i64::try_from(shift).ok()?;

        let surplus =
            i64::try_from(quotient.bits()).ok()? - i64::try_from(self.precision_bits).ok()?;
        let drop = u64::try_from(surplus.max(self.exponent_min - exponent)).ok()?;
        let kept = u64::try_from(&quotient >> drop).ok()?;
        let half = quotient.bit(drop - 1);
        let below_half = quotient
            .trailing_zeros()
            .is_some_and(|zeros| zeros < drop - 1)
            || rest != BigUint::ZERO;
        self.finish(kept, half, below_half, exponent + i64::try_from(drop).ok()?)
    }

    /// Rounds `kept` by the bits that were cut off: the first of them, and whether any other was set.
    fn finish(&self, kept: u64, half: bool, below_half: bool, exponent: i64) -> Option<(u64, i64)> {
        let up = half && (below_half || kept & 1 == 1);
        let full = u64::MAX >> (64 - self.precision_bits);
        let (mantissa, exponent) = match (up, kept == full) {
            (true, true) => (1 << (self.precision_bits - 1), exponent + 1),
            (true, false) => (kept + 1, exponent),
            (false, _) => (kept, exponent),
        };
        (mantissa != 0 && exponent <= self.exponent_max).then_some((mantissa, exponent))
    }
}

/// The parts of a number's text.
pub(super) enum Scanned {
    Infinite { negative: bool },
    Decimal(Number),
    Hexadecimal(Number),
}

/// `digits` x 5^`fives` x 2^`exponent`.
pub(super) struct Number {
    negative: bool,
    /// In ASCII. They become a number only once its size is known to be sane.
    digits: Vec<u8>,
    radix: u32,
    /// With an equal `exponent` it is a power of ten; 0 for hexadecimal numbers.
    fives: i64,
    exponent: i64,
}

impl Scanned {
    /// Reads a text that C's `strtold` would read to its end, but refuses NaN.
    pub(super) fn scan(text: &[u8]) -> Option<Self> {
        let (negative, rest) = split_sign(text);
        if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
            return Some(Scanned::Infinite { negative });
        }
        if let [b'0', b'x' | b'X', rest @ ..] = rest {
            let (digits, places, exponent) = scan_digits(rest, 16, b'p')?;
            return Some(Scanned::Hexadecimal(Number {
                negative,
                digits,
                radix: 16,
                fives: 0,
                exponent: exponent - 4 * places,
            }));
        }
        let (digits, places, exponent) = scan_digits(rest, 10, b'e')?;
        Some(Scanned::Decimal(Number {
            negative,
            digits,
            radix: 10,
            fives: exponent - places,
            exponent: exponent - places,
        }))
    }
}

/// Takes the sign off a number; returns whether it is negative, and the rest.
fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

/// Reads digits with at most one point, and after them an exponent that `mark` introduces. Returns the digits, how
/// many of them follow the point, and the exponent.
fn scan_digits(text: &[u8], radix: u32, mark: u8) -> Option<(Vec<u8>, i64, i64)> {
    let is_digit = |byte: u8| char::from(byte).is_digit(radix);
    let end = text
        .iter()
        .position(|&byte| !is_digit(byte) && byte != b'.')
        .unwrap_or(text.len());
    let (number, tail) = text.split_at(end);
    let mut parts = number.splitn(2, |&byte| byte == b'.');
    let whole = parts.next().unwrap_or_default();
    let fraction = parts.next().unwrap_or_default();
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.iter().copied().all(is_digit) {
        return None;
    }
    let exponent = match tail {
        [] => 0,
        [first, exponent @ ..] if first.eq_ignore_ascii_case(&mark) => scan_exponent(exponent)?,
        _ => return None,
    };
    Some((digits, i64::try_from(fraction.len()).ok()?, exponent))
}

/// Reads a signed decimal exponent. One beyond all bounds becomes a large one.
fn scan_exponent(text: &[u8]) -> Option<i64> {
    const EXPONENT_MAX: i64 = 1_000_000_000;

    let (negative, digits) = split_sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits.iter().fold(0, |value, &digit| {
        (value * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX)
    });
    Some(if negative { -magnitude } else { magnitude })
}

impl Number {
    /// Whether all its digits are zero.
    pub(super) fn is_zero(&self) -> bool {
        self.digits.iter().all(|&digit| digit == b'0')
    }

    /// The number's mantissa and exponent in `format`; see [`Format::round`].
    fn round(&self, format: &Format) -> Option<(u64, i64)> {
        let zeros = self
            .digits
            .iter()
            .take_while(|&&digit| digit == b'0')
            .count();
        let digits = &self.digits[zeros..];
        if digits.is_empty() {
            return Some((0, 0));
        }
        let count = i64::try_from(digits.len()).ok()?;
        let (magnitude, magnitude_max) = if self.radix == 10 {
            (count + self.exponent, DECIMAL_EXPONENT_MAX)
        } else {
            (4 * count + self.exponent, BINARY_EXPONENT_MAX)
        };
        if magnitude.abs() > magnitude_max || digits.len() > TEXT_BYTES_MAX {
            return None;
        }
        let digits = BigUint::parse_bytes(digits, self.radix)?;
        let power = BigUint::from(5u8).pow(u32::try_from(self.fives.unsigned_abs()).ok()?);
        if self.fives >= 0 {
            format.round(&(digits * power), &BigUint::from(1u8), self.exponent)
        } else {
            format.round(&digits, &power, self.exponent)
        }
    }

    /// The number as a double. `None` if it overflows, or if it is not zero but rounds to zero.
    pub(super) fn to_f64(&self) -> Option<f64> {
        const FRACTION_BITS: u32 = 52;

        let (mantissa, exponent) = self.round(&DOUBLE)?;
        let sign = u64::from(self.negative) << 63;
        let magnitude = if mantissa >> FRACTION_BITS == 0 {
            mantissa
        } else {
            let biased = u64::try_from(exponent - DOUBLE.exponent_min + 1).ok()?;
            (biased << FRACTION_BITS) | (mantissa & ((1 << FRACTION_BITS) - 1))
        };
        Some(f64::from_bits(sign | magnitude))
    }
}

impl Extended {
    /// The length of the longest number's text, in bytes.
    pub const TEXT_BYTES_MAX: usize = TEXT_BYTES_MAX;

    /// Zero.
    pub const ZERO: Self = Extended::Finite(Finite {
        negative: false,
        mantissa: 0,
        exponent: 0,
    });

    /// Reads a number as Redis reads a long double: like C's `strtold`, but `None` for spaces around it, for NaN, and for a
    /// number that overflows or underflows the type.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        match Scanned::scan(text)? {
            Scanned::Infinite { .. } => Some(Extended::Infinite),
            Scanned::Decimal(number) | Scanned::Hexadecimal(number) => {
                let (mantissa, exponent) = number.round(&EXTENDED)?;
                Some(Extended::Finite(Finite {
                    negative: number.negative,
                    mantissa,
                    exponent,
                }))
            }
        }
    }

    /// The sum, or `None` if it is not finite.
    pub fn checked_add(self, other: Self) -> Option<Finite> {
        match (self, other) {
            (Extended::Finite(a), Extended::Finite(b)) => a.checked_add(b),
            _ => None,
        }
    }
}

impl Finite {
    fn checked_add(self, other: Self) -> Option<Self> {
        /// Room for rounding below a 64-bit mantissa, and for one carry above it, in 128 bits.
        const GUARD_BITS: u32 = 62;

        if self.mantissa == 0 {
            return Some(other);
        }
        if other.mantissa == 0 {
            return Some(self);
        }
        let (large, small) = if self.exponent >= other.exponent {
            (self, other)
        } else {
            (other, self)
        };
        let exponent = large.exponent - i64::from(GUARD_BITS);
        let large_bits = u128::from(large.mantissa) << GUARD_BITS;
        let small_bits = u128::from(small.mantissa) << GUARD_BITS;
        let distance = u32::try_from(large.exponent - small.exponent).ok()?;
        let aligned = small_bits.checked_shr(distance).unwrap_or(0);
        // If set bits fall off, set the last bit: otherwise the number could look like a tie.
        let exact = aligned.checked_shl(distance) == Some(small_bits);
        let aligned = aligned | u128::from(!exact);

        let (negative, sum) = if large.negative == small.negative {
            (large.negative, large_bits + aligned)
        } else if large_bits >= aligned {
            (large.negative, large_bits - aligned)
        } else {
            (small.negative, aligned - large_bits)
        };
        if sum == 0 {
            return Some(Finite {
                negative: false,
                mantissa: 0,
                exponent: 0,
            });
        }
        let bits = 128 - i64::from(sum.leading_zeros());
        let drop = (bits - 64).max(EXTENDED.exponent_min - exponent);
        let (mantissa, exponent) = if drop <= 0 {
            let shift = u32::try_from(-drop).ok()?;
            (u64::try_from(sum << shift).ok()?, exponent + drop)
        } else {
            let cut = u32::try_from(drop).ok()?;
            let kept = u64::try_from(sum >> cut).ok()?;
            let half = sum >> (cut - 1) & 1 == 1;
            let below_half = sum.trailing_zeros() < cut - 1;
            EXTENDED.finish(kept, half, below_half, exponent + drop)?
        };
        Some(Finite {
            negative,
            mantissa,
            exponent,
        })
    }
}

impl std::fmt::Display for Finite {
    /// Writes a plain decimal with at most 17 places and no zeros at the end, as INCRBYFLOAT of Redis answers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const PLACES: u128 = 10u128.pow(17);

        let sign = if self.negative { "-" } else { "" };
        if self.mantissa == 0 {
            return f.write_str("0");
        }
        if self.exponent >= 0 {
            return write!(f, "{sign}{}", BigUint::from(self.mantissa) << self.exponent);
        }
        let scaled = u128::from(self.mantissa) * PLACES;
        let cut = u32::try_from(-self.exponent).unwrap_or(u32::MAX);
        let rounded = match scaled.checked_shr(cut) {
            // The mantissa times 10^17 has at most 121 bits, so a longer shift leaves less than a half.
            None => 0,
            Some(kept) => {
                let rest = scaled ^ (kept << cut);
                let half = 1u128 << (cut - 1);
                let up = rest > half || rest == half && kept & 1 == 1;
                kept + u128::from(up)
            }
        };
        let (whole, fraction) = (rounded / PLACES, rounded % PLACES);
        if rounded == 0 {
            f.write_str("0")
        } else if fraction == 0 {
            write!(f, "{sign}{whole}")
        } else {
            let fraction = format!("{fraction:017}");
            write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn add(a: &str, b: &str) -> Option<String> {
        let sum = Extended::parse(a.as_bytes())?.checked_add(Extended::parse(b.as_bytes())?)?;
        Some(sum.to_string())
    }

    #[test]
    fn sums_as_redis_prints_them() {
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3.0", "1.0", "4"),
            ("-5.0", "0", "-5"),
            ("1", "-1", "0"),
            ("-0", "-0", "0"),
            ("0", "0x10", "16"),
            ("0", "1e-4940", "0"),
            ("1.5", "1e-30", "1.5"),
            ("3", "1.000000000000000005", "4.00000000000000001"),
            ("0", "0.00000000000000001", "0.00000000000000001"),
            ("1e20", "0.5", "100000000000000000000"),
            (
                "-11707791799569104268.03E38",
                "742357.87",
                "-1170779179956910426776233496231187400479004878180886511616",
            ),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551616", "1", "18446744073709551616"),
        ] {
            assert_eq!(add(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
    }

    #[test]
    fn sums_that_are_not_finite() {
        assert_eq!(add("inf", "1"), None);
        assert_eq!(add("-inf", "inf"), None);
        assert_eq!(add("1.1e4932", "1.1e4932"), None);
    }

    #[test]
    fn refused_texts() {
        for text in [
            "",
            " 1",
            "1 ",
            "nan",
            "1e5000",
            "1e-5000",
            "-1e99999999999999999999",
            "abc",
            "1.2.3",
            "1\0",
            "0x",
            "1e",
            "+-1",
        ] {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
        }
        let long = "1".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(Extended::parse(long.as_bytes()), None);
        assert!(Extended::parse(&b"0".repeat(TEXT_BYTES_MAX)).is_some());
    }

    proptest! {
        #[test]
        fn integers_add_exactly(a in -(1i64 << 62)..(1 << 62), b in -(1i64 << 62)..(1 << 62)) {
            prop_assert_eq!(add(&a.to_string(), &b.to_string()), Some((a + b).to_string()));
        }

        #[test]
        fn addition_commutes(a in "-?[0-9]{1,25}\\.[0-9]{1,25}(e-?[0-9]{1,3})?", b in "-?[0-9]{1,25}\\.[0-9]{1,25}(e-?[0-9]{1,3})?") {
            prop_assert_eq!(add(&a, &b), add(&b, &a));
        }
    }
}

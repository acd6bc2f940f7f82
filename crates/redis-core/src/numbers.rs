//! Numbers as Redis reads and writes them.

mod extended;

pub use extended::Extended;

/// The length of the longest integer's text, in bytes.
pub const INTEGER_BYTES_MAX: usize = "-9223372036854775808".len();

/// A signed 64-bit integer in the only form that Redis takes: no plus sign, no leading zeros, no spaces, no `-0`.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let magnitude = parse_u64(digits)?;
    if negative {
        if magnitude == 0 {
            return None;
        }
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// An unsigned 64-bit integer, as strict as [`parse_i64`].
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] => text.iter().try_fold(0u64, |value, &byte| {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value.checked_mul(10)?.checked_add(u64::from(digit))
        }),
        _ => None,
    }
}

/// A double as C's `strtod` reads it: decimal or hexadecimal, or an infinity by name.
///
/// Returns `None` for anything else: text with spaces, NaN, and numbers that overflow or underflow.
pub fn parse_float(text: &[u8]) -> Option<f64> {
    if let Some(number) = parse_short_whole(text) {
        return Some(number);
    }
    match extended::Scanned::scan(text)? {
        extended::Scanned::Infinite { negative: true } => Some(f64::NEG_INFINITY),
        extended::Scanned::Infinite { negative: false } => Some(f64::INFINITY),
        extended::Scanned::Hexadecimal(number) => number.to_f64(),
        extended::Scanned::Decimal(number) => {
            // Rust reads the same decimal grammar as C and rounds the same way.
            let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            let vanished = value == 0.0 && !number.is_zero();
            (value.is_finite() && !vanished).then_some(value)
        }
    }
}

/// A whole number of up to nine digits without a sign, as most scores are.
#[inline]
fn parse_short_whole(text: &[u8]) -> Option<f64> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    let mut number = 0u32;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = 10 * number + u32::from(digit);
    }
    Some(number.into())
}

/// A double as RESP writes it: the shortest digits that read back the same, `inf`, `-inf`, `nan`, no trailing `.0`.
///
/// Whole numbers up to 2^62 have no exponent; others have one if the plain form would be long. Redis 7.2 writes doubles
/// like this; earlier versions print 17 digits.
pub fn format_double(value: f64) -> String {
    /// 2^62. Whole numbers up to it are written as integers.
    const WHOLE_MAX: f64 = 4_611_686_018_427_387_904.0;

    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.into();
    }
    if value.fract() == 0.0 && value.abs() <= WHOLE_MAX {
        #[allow(clippy::cast_possible_truncation)] // Whole, and well within the range of i64.
        return (value as i64).to_string();
    }
    // Rust's form is `-d.ddde-x`: the shortest digits and the exponent of the first one.
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let first: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", place_digits(&digits, first))
}

/// Writes `digits` in plain form or with an exponent. The first digit counts powers of 10^`first`.
fn place_digits(digits: &str, first: i32) -> String {
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // The last digit's power of ten.
    let last = first + 1 - count;
    let distance = first.abs();
    if last >= 0 && distance < count + 7 {
        let zeros = usize::try_from(last).unwrap_or(0);
        return format!("{digits}{}", "0".repeat(zeros));
    }
    if last < 0 && (last > -7 || distance < 4) {
        if let Ok(whole) = usize::try_from(first) {
            return format!("{}.{}", &digits[..=whole], &digits[whole + 1..]);
        }
        let zeros = usize::try_from(distance - 1).unwrap_or(0);
        return format!("0.{}{digits}", "0".repeat(zeros));
    }
    let (head, tail) = digits.split_at(1);
    let point = if tail.is_empty() { "" } else { "." };
    let sign = if first < 0 { '-' } else { '+' };
    format!("{head}{point}{tail}e{sign}{distance}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("18446744073709551616", None),
            ("99999999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            ("00", None),
            ("-01", None),
            (" 1", None),
            ("1 ", None),
            ("1.0", None),
            ("1e3", None),
            ("0x10", None),
            ("--1", None),
            ("1\0", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    #[test]
    fn floats() {
        for (text, expected) in [
            ("0", Some(0.0)),
            ("-0", Some(-0.0)),
            ("007", Some(7.0)),
            ("999999999", Some(999_999_999.0)),
            ("1234567890", Some(1_234_567_890.0)),
            ("12345678x", None),
            ("1.5", Some(1.5)),
            ("+1.5", Some(1.5)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("5e3", Some(5000.0)),
            ("5E+3", Some(5000.0)),
            ("0x10", Some(16.0)),
            ("-0x1.8p1", Some(-3.0)),
            ("0x1p-1074", Some(f64::from_bits(1))),
            ("0x1p1024", None),
            ("0x1p-1080", None),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1e400", None),
            ("1e-400", None),
            ("0e-400", Some(0.0)),
            ("5e-324", Some(f64::from_bits(1))),
            ("nan", None),
            ("", None),
            (".", None),
            ("-", None),
            ("e5", None),
            ("1e", None),
            ("1e+", None),
            (" 1", None),
            ("1 ", None),
            ("1x", None),
            ("0x", None),
            ("0x.p1", None),
            ("0x1p", None),
            ("1_000", None),
            ("infinit", None),
            ("1\0", None),
        ] {
            assert_eq!(parse_float(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    #[allow(clippy::excessive_precision)]
    fn doubles() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.0, "-3"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (123_456.789, "123456.789"),
            (1e15, "1000000000000000"),
            (1e17, "100000000000000000"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (1e19, "1e+19"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e100, "1e+100"),
            (1e-5, "0.00001"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (1.234_567_89e-10, "1.23456789e-10"),
            (0.001_234_567_891, "0.001234567891"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(format_double(value), expected);
        }
    }

    proptest! {
        #[test]
        fn integers_round_trip(value: i64) {
            prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn integers_are_strict(text in "[-+ 0-9]{0,22}") {
            let expected = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
            prop_assert_eq!(parse_i64(text.as_bytes()), expected);
        }

        #[test]
        fn doubles_round_trip(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            prop_assert_eq!(parse_float(format_double(value).as_bytes()), Some(value));
        }
    }
}

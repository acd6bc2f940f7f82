//! Numbers as C's printf writes them.

/// Lua's form of a number: `%.14g`.
pub(crate) fn number(value: f64) -> String {
    general(value, 14)
}

/// `%.{precision}g`
pub(crate) fn general(value: f64, precision: usize) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() {
            "-nan"
        } else {
            "nan"
        }
        .into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let precision = precision.max(1);
    // Rust's form is `-d.ddde-x`, rounded as C rounds.
    let scientific = format!("{:.*e}", precision - 1, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let most = i32::try_from(precision).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= most {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(most - 1 - exponent).unwrap_or(0);
    trimmed(&format!("{value:.decimals$}")).to_owned()
}

/// A text as Lua reads it where it expects a number.
pub(crate) fn parse_number(text: &[u8]) -> Option<f64> {
    // Lua reads a C string with spaces around it.
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let first = text.iter().position(|byte| !is_space(byte))?;
    let last = text.iter().rposition(|byte| !is_space(byte))?;
    let text = &text[first..=last];
    // Rust and C read the same decimals and names of infinity; only C reads hexadecimals.
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .or_else(|| redis_core::numbers::parse_float(text))
}

/// The number with which a text begins, as C's `strtod` reads it, and its length. The text begins without spaces.
pub(crate) fn leading_number(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let unsigned = &text[sign..];
    let word = |word: &str| {
        unsigned
            .get(..word.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()))
    };
    let length = sign
        + if word("infinity") {
            8
        } else if word("inf") || word("nan") {
            3
        } else if word("0x") {
            digits_length(&unsigned[2..], u8::is_ascii_hexdigit, *b"pP")
                .map_or(1, |length| length + 2)
        } else {
            digits_length(unsigned, u8::is_ascii_digit, *b"eE")?
        };
    parse_number(&text[..length]).map(|number| (number, length))
}

/// The length of digits with a point among them and an exponent behind them.
fn digits_length(text: &[u8], is_digit: fn(&u8) -> bool, exponent: [u8; 2]) -> Option<usize> {
    let digits = |from: usize| {
        text[from..]
            .iter()
            .take_while(|byte| is_digit(byte))
            .count()
    };
    let whole = digits(0);
    let mut length = whole;
    if text.get(length) == Some(&b'.') {
        let decimals = digits(length + 1);
        if whole + decimals == 0 {
            return None;
        }
        length += 1 + decimals;
    }
    if length == 0 {
        return None;
    }
    if text.get(length).is_some_and(|byte| exponent.contains(byte)) {
        let sign = usize::from(matches!(text.get(length + 1), Some(b'+' | b'-')));
        let from = length + 1 + sign;
        let power = text
            .get(from..)
            .unwrap_or_default()
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if power > 0 {
            length = from + power;
        }
    }
    Some(length)
}

/// Without the zeros behind the point, and without a point that nothing follows.
fn trimmed(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_printf_writes_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.33333333333333"),
            (100_000_000_000_000.0, "1e+14"),
            (99_999_999_999_999.0, "99999999999999"),
            (99_999_999_999_999.9, "1e+14"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e100, "1e+100"),
            (-1.5e-7, "-1.5e-07"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!(general(0.1, 17), "0.10000000000000001");
    }
}

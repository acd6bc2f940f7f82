//! Comparisons with the string that a key holds: those of SET and DELEX, and the digest of Redis 8.4.

use std::ops::ControlFlow;

use xxhash_rust::xxh3::Xxh3;

use crate::commands::CommandError;
use crate::keyspace::StringView;

/// Hexadecimal digits of a digest.
const DIGITS: usize = 16;

/// What a string is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand<'a> {
    Value(&'a [u8]),
    /// A digest in hexadecimal digits, not checked yet.
    Digest(&'a [u8]),
}

/// A condition on the string that a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison<'a> {
    operand: Operand<'a>,
    /// Whether the string must equal the operand, or must not.
    equal: bool,
}

impl<'a> Comparison<'a> {
    /// The comparison of an option and its operand; `None` if the option is no comparison.
    pub(super) fn of_option(option: &[u8], operand: &'a [u8]) -> Option<Self> {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        let (operand, equal) = if is("IFEQ") {
            (Operand::Value(operand), true)
        } else if is("IFNE") {
            (Operand::Value(operand), false)
        } else if is("IFDEQ") {
            (Operand::Digest(operand), true)
        } else if is("IFDNE") {
            (Operand::Digest(operand), false)
        } else {
            return None;
        };
        Some(Self { operand, equal })
    }

    /// The comparison that holds if a string equals `value`.
    pub(super) fn equals(value: &'a [u8]) -> Self {
        Self {
            operand: Operand::Value(value),
            equal: true,
        }
    }

    /// Refuses a digest that is none.
    pub(super) fn check(self) -> Result<(), CommandError> {
        match self.operand {
            Operand::Digest(text) => parse_digest(text).map(drop),
            Operand::Value(_) => Ok(()),
        }
    }

    /// Whether the condition holds for a key that does not exist.
    pub(super) fn holds_for_none(self) -> bool {
        !self.equal
    }

    /// Whether the condition holds for a string.
    pub(super) fn holds_for(self, string: StringView<'_>) -> Result<bool, CommandError> {
        let equals = match self.operand {
            Operand::Value(value) => equal(string, value)?,
            Operand::Digest(text) => parse_digest(text)? == digest(string)?,
        };
        Ok(equals == self.equal)
    }
}

/// Whether a string has these bytes; reads it only if the lengths agree.
fn equal(string: StringView<'_>, value: &[u8]) -> Result<bool, CommandError> {
    if string.len_bytes()? != value.len() {
        return Ok(false);
    }
    let mut rest = value;
    string.for_each(0..usize::MAX, &mut |piece| match rest.strip_prefix(piece) {
        Some(behind) => {
            rest = behind;
            ControlFlow::Continue(())
        }
        None => ControlFlow::Break(()),
    })?;
    Ok(rest.is_empty())
}

/// The XXH3 of a string's bytes, 64 bits with the seed 0.
pub(super) fn digest(string: StringView<'_>) -> Result<u64, CommandError> {
    let mut hash = Xxh3::new();
    string.for_each(0..usize::MAX, &mut |piece| {
        hash.update(piece);
        ControlFlow::Continue(())
    })?;
    Ok(hash.digest())
}

/// A digest as DIGEST prints it: always 16 digits.
pub(super) fn show_digest(digest: u64) -> String {
    format!("{digest:0DIGITS$x}")
}

fn parse_digest(text: &[u8]) -> Result<u64, CommandError> {
    Some(text)
        .filter(|text| text.len() == DIGITS && text.iter().all(u8::is_ascii_hexdigit))
        .and_then(|text| u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok())
        .ok_or(CommandError::text(
            "ERR must be exactly 16 hexadecimal characters",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_16_hexadecimal_digits() {
        assert_eq!(show_digest(0x6c38_adf3_1777), "00006c38adf31777");
        for text in ["00006c38adf31777", "00006C38ADF31777"] {
            assert_eq!(
                parse_digest(text.as_bytes()).expect("a digest"),
                0x6c38_adf3_1777
            );
        }
        for text in [
            "",
            "6c38adf31777",
            "00006c38adf3177g",
            "+0006c38adf31777",
            "000006c38adf31777",
        ] {
            assert!(parse_digest(text.as_bytes()).is_err(), "{text}");
        }
    }
}

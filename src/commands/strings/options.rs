//! The options of SET, MSETEX and GETEX.

use super::comparison::Comparison;
use crate::commands::CommandError;
use crate::commands::time_unit::TimeUnit;
use crate::keyspace::Millis;
use crate::numbers::parse_i64;
use crate::protocol::Arguments;

/// Which command's options are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Set,
    MSetEx,
    GetEx,
}

/// What must hold before SET or MSETEX sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Condition<'a> {
    #[default]
    Always,
    Absent,
    Present,
    /// IFEQ and its kin, of SET alone.
    Compared(Comparison<'a>),
}

/// What becomes of the key's deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Expiry<'a> {
    /// The call does not say.
    #[default]
    Unsaid,
    /// KEEPTTL
    Keep,
    /// PERSIST
    Persist,
    /// A deadline that is not parsed yet: errors in the options come before an error in the number.
    At(TimeUnit, &'a [u8]),
}

/// The options of SET, MSETEX or GETEX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options<'a> {
    pub(super) condition: Condition<'a>,
    pub(super) get: bool,
    pub(super) expiry: Expiry<'a>,
}

impl<'a> Options<'a> {
    pub(super) fn parse(dialect: Dialect, mut rest: Arguments<'a>) -> Result<Self, CommandError> {
        let mut options = Options::default();
        while let Some(argument) = rest.next() {
            options
                .add(dialect, argument, &mut rest)
                .ok_or(CommandError::Syntax)?;
        }
        if let Condition::Compared(comparison) = options.condition {
            comparison.check()?;
        }
        Ok(options)
    }

    /// Takes one option; `None` if it is unknown or contradicts an earlier one. An option may repeat.
    fn add(&mut self, dialect: Dialect, argument: &[u8], rest: &mut Arguments<'a>) -> Option<()> {
        let is = |name: &str| argument.eq_ignore_ascii_case(name.as_bytes());
        let set = dialect != Dialect::GetEx;
        if let Some(unit) = TimeUnit::of_option(argument) {
            let allowed = match self.expiry {
                Expiry::Unsaid => true,
                Expiry::At(before, _) => before == unit,
                Expiry::Keep | Expiry::Persist => false,
            };
            self.expiry = Expiry::At(unit, rest.next()?);
            allowed.then_some(())
        } else if set && is("NX") {
            self.require(Condition::Absent)
        } else if set && is("XX") {
            self.require(Condition::Present)
        } else if dialect == Dialect::Set && is("GET") {
            self.get = true;
            Some(())
        } else if set && is("KEEPTTL") {
            self.expire(Expiry::Keep)
        } else if !set && is("PERSIST") {
            self.expire(Expiry::Persist)
        } else if dialect == Dialect::Set {
            // The operand is only looked at if the option is a comparison.
            let operand = rest.clone().next()?;
            let comparison = Comparison::of_option(argument, operand)?;
            rest.next();
            let first = self.condition == Condition::Always;
            self.condition = Condition::Compared(comparison);
            first.then_some(())
        } else {
            None
        }
    }

    fn require(&mut self, condition: Condition<'a>) -> Option<()> {
        let allowed = self.condition == Condition::Always || self.condition == condition;
        self.condition = condition;
        allowed.then_some(())
    }

    fn expire(&mut self, expiry: Expiry<'a>) -> Option<()> {
        let allowed = self.expiry == Expiry::Unsaid || self.expiry == expiry;
        self.expiry = expiry;
        allowed.then_some(())
    }
}

/// The deadline that `text` gives. Errors name `command`.
pub(super) fn deadline(
    unit: TimeUnit,
    text: &[u8],
    now: Millis,
    command: &'static str,
) -> Result<Millis, CommandError> {
    let number = parse_i64(text).ok_or(CommandError::NotAnInteger)?;
    Some(number)
        .filter(|&number| number > 0)
        .and_then(|number| unit.point(number, now))
        .ok_or(CommandError::InvalidExpireTime(command))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn parse(dialect: Dialect, line: &str) -> String {
        let owned = OwnedArgs::new(line.split_whitespace());
        match Options::parse(dialect, owned.args().from(0)) {
            Ok(Options {
                condition,
                get,
                expiry,
            }) => {
                let expiry = match expiry {
                    Expiry::At(unit, text) => {
                        format!("{unit:?} {}", String::from_utf8_lossy(text))
                    }
                    other => format!("{other:?}"),
                };
                format!("{condition:?} {get} {expiry}")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn set_options() {
        for (line, expected) in [
            ("", "Always false Unsaid"),
            ("nx", "Absent false Unsaid"),
            ("NX GET", "Absent true Unsaid"),
            ("get XX eX 5", "Present true Seconds 5"),
            ("NX NX", "Absent false Unsaid"),
            ("EX 5 EX 6", "Always false Seconds 6"),
            ("px EX", "Always false Millis EX"),
            ("EXAT 5", "Always false AtSeconds 5"),
            ("PXAT 5 NX", "Absent false AtMillis 5"),
            ("KEEPTTL KEEPTTL", "Always false Keep"),
            (
                "ifeq EX EX 5",
                "Compared(Comparison { operand: Value([69, 88]), equal: true }) false Seconds 5",
            ),
        ] {
            assert_eq!(parse(Dialect::Set, line), expected, "{line}");
        }
        for line in [
            "NX XX",
            "XX NX",
            "EX 5 PX 6",
            "KEEPTTL EX 5",
            "EX 5 KEEPTTL",
            "EX",
            "PERSIST",
            "EX 5 6",
            "what",
            "GETX",
            "IFEQ",
            "IFEQ a NX",
            "XX IFNE a",
            "IFEQ a IFEQ a",
            "IFEQ a IFDNE 0123456789abcdef",
        ] {
            assert_eq!(parse(Dialect::Set, line), "ERR syntax error", "{line}");
        }
    }

    #[test]
    fn a_digest_is_checked_behind_the_syntax() {
        let error = "ERR must be exactly 16 hexadecimal characters";
        assert_eq!(parse(Dialect::Set, "IFDEQ 123"), error);
        assert_eq!(
            parse(Dialect::Set, "IFDNE 123 nonsense"),
            "ERR syntax error"
        );
    }

    #[test]
    fn msetex_options() {
        for (line, expected) in [
            ("", "Always false Unsaid"),
            ("nx EX 5", "Absent false Seconds 5"),
            ("KEEPTTL XX", "Present false Keep"),
        ] {
            assert_eq!(parse(Dialect::MSetEx, line), expected, "{line}");
        }
        for line in ["GET", "IFEQ a", "PERSIST", "NX XX", "EX 5 PX 5"] {
            assert_eq!(parse(Dialect::MSetEx, line), "ERR syntax error", "{line}");
        }
    }

    #[test]
    fn getex_options() {
        for (line, expected) in [
            ("", "Always false Unsaid"),
            ("persist", "Always false Persist"),
            ("PERSIST PERSIST", "Always false Persist"),
            ("PX 7", "Always false Millis 7"),
        ] {
            assert_eq!(parse(Dialect::GetEx, line), expected, "{line}");
        }
        for line in [
            "NX",
            "XX",
            "GET",
            "KEEPTTL",
            "PERSIST EX 5",
            "EX 5 PERSIST",
            "PXAT",
        ] {
            assert_eq!(parse(Dialect::GetEx, line), "ERR syntax error", "{line}");
        }
    }

    #[test]
    fn deadlines() {
        let now = 1_700_000_000_000;
        let at = |unit, text: &str| deadline(unit, text.as_bytes(), now, "set").ok();
        assert_eq!(at(TimeUnit::Seconds, "5"), Some(now + 5_000));
        assert_eq!(at(TimeUnit::Millis, "5"), Some(now + 5));
        assert_eq!(at(TimeUnit::AtSeconds, "5"), Some(5_000));
        assert_eq!(at(TimeUnit::AtMillis, "5"), Some(5));
        assert_eq!(
            at(TimeUnit::AtMillis, "9223372036854775807"),
            Some(i64::MAX)
        );
        assert_eq!(at(TimeUnit::Millis, "9223372036854775807"), None);
        assert_eq!(at(TimeUnit::Seconds, "9223372036854775"), None);
        assert_eq!(at(TimeUnit::AtSeconds, "9223372036854776"), None);
        assert_eq!(at(TimeUnit::Seconds, "0"), None);
        assert_eq!(at(TimeUnit::Seconds, "-1"), None);
        assert_eq!(at(TimeUnit::AtMillis, "-1"), None);
        assert_eq!(at(TimeUnit::AtMillis, "x"), None);
    }
}

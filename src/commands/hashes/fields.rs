//! What the commands with `FIELDS numfields field ...` have in common: the list of fields, and times.

use crate::catalog::spec::{Argument, ArgumentKind};
use crate::commands::{CommandError, Context};
use crate::keyspace::{Kind, Millis};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Arguments};

/// The latest deadline of a field, ms since the Unix epoch; Redis's limit.
const DEADLINE_MAX: Millis = (1 << 46) - 1;

/// The error for a number of fields that is none.
pub(super) const NO_COUNT: &str = "ERR Number of fields must be a positive integer";
const MISPLACED: CommandError =
    CommandError::text("ERR Mandatory argument FIELDS is missing or not at the right position");
const MISMATCH: CommandError =
    CommandError::text("ERR The `numfields` parameter must match the number of arguments");

/// `FIELDS numfields field ...`, as COMMAND DOCS describes it.
pub(super) const FIELDS: Argument = Argument::new(
    "fields",
    ArgumentKind::Block(&[
        Argument::new("numfields", ArgumentKind::Integer),
        Argument::new("field", ArgumentKind::String).multiple(),
    ]),
)
.with_token("FIELDS");

/// The error of a call whose arguments are refused: Redis looks at the key's type before it looks at them.
#[cold]
pub(super) fn refusal(ctx: &Context<'_>, key: &[u8], error: CommandError) -> CommandError {
    match ctx.database().untouched().info(key) {
        Ok(Some(info)) if info.kind != Kind::Hash => CommandError::WrongType,
        Ok(_) => error,
        Err(failed) => failed.into(),
    }
}

/// The fields that a call names, which fill it to its end.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    args: Args<'a>,
    first: usize,
}

impl<'a> Fields<'a> {
    /// Reads the list whose word FIELDS stands at argument `at`. `refusal` is the error for anything but a number above
    /// 0.
    pub(super) fn parse(
        args: Args<'a>,
        at: usize,
        refusal: &'static str,
    ) -> Result<Self, CommandError> {
        let is_there = args
            .get(at)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"fields"));
        if !is_there {
            return Err(MISPLACED);
        }
        let count = args.get(at + 1).and_then(parse_i64);
        let count = count
            .filter(|&count| count > 0 && count <= i64::from(i32::MAX))
            .ok_or(CommandError::text(refusal))?;
        let fields = Self {
            args,
            first: at + 2,
        };
        if usize::try_from(count).ok() != Some(fields.len()) {
            return Err(MISMATCH);
        }
        Ok(fields)
    }

    /// How many fields there are.
    pub(super) fn len(self) -> usize {
        self.args.len() - self.first
    }

    /// The fields.
    pub(super) fn iter(self) -> Arguments<'a> {
        self.args.from(self.first)
    }
}

/// The unit and the origin of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    AtSeconds,
    AtMillis,
}

impl Unit {
    /// The unit that an option names.
    pub(super) fn of_option(option: &[u8]) -> Option<Self> {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("EX") {
            Some(Unit::Seconds)
        } else if is("PX") {
            Some(Unit::Millis)
        } else if is("EXAT") {
            Some(Unit::AtSeconds)
        } else if is("PXAT") {
            Some(Unit::AtMillis)
        } else {
            None
        }
    }

    /// The deadline that `text` gives. Errors name `command`.
    pub(super) fn deadline(
        self,
        text: &[u8],
        now: Millis,
        command: &'static str,
    ) -> Result<Millis, CommandError> {
        let number = parse_i64(text).ok_or(CommandError::NotAnInteger)?;
        if number < 0 {
            return Err(CommandError::text("ERR invalid expire time, must be >= 0"));
        }
        let millis = match self {
            Unit::Seconds | Unit::AtSeconds => number.checked_mul(1000),
            Unit::Millis | Unit::AtMillis => Some(number),
        };
        let base = match self {
            Unit::Seconds | Unit::Millis => now,
            Unit::AtSeconds | Unit::AtMillis => 0,
        };
        millis
            .and_then(|millis| millis.checked_add(base))
            .filter(|&at| at <= DEADLINE_MAX)
            .ok_or(CommandError::InvalidExpireTime(command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    #[test]
    fn lists_of_fields() {
        let read = |line: &str| {
            let owned = OwnedArgs::new(line.split(' '));
            let fields = Fields::parse(owned.args(), 2, "ERR refused");
            fields
                .map(|fields| {
                    fields
                        .iter()
                        .map(<[u8]>::to_vec)
                        .collect::<Vec<_>>()
                        .concat()
                })
                .map_err(|error| error.to_string())
        };
        assert_eq!(read("hgetdel k fields 1 a"), Ok(b"a".to_vec()));
        assert_eq!(read("hgetdel k FIELDS 3 a b a"), Ok(b"aba".to_vec()));
        for (line, error) in [
            ("hgetdel k field 1 a", MISPLACED.to_string()),
            ("hgetdel k 1 fields a", MISPLACED.to_string()),
            ("hgetdel k fields 2 a", MISMATCH.to_string()),
            ("hgetdel k fields 1 a b", MISMATCH.to_string()),
            ("hgetdel k fields 0 a", "ERR refused".to_owned()),
            ("hgetdel k fields -1 a", "ERR refused".to_owned()),
            ("hgetdel k fields x a", "ERR refused".to_owned()),
        ] {
            assert_eq!(read(line), Err(error), "{line}");
        }
    }

    #[test]
    fn deadlines_have_redis_s_limit() {
        let now = 1_700_000_000_000;
        let at = |unit: Unit, text: &str| unit.deadline(text.as_bytes(), now, "hexpire").ok();
        assert_eq!(at(Unit::Seconds, "5"), Some(now + 5_000));
        assert_eq!(at(Unit::Seconds, "0"), Some(now));
        assert_eq!(at(Unit::AtSeconds, "5"), Some(5_000));
        assert_eq!(at(Unit::AtMillis, "70368744177663"), Some(DEADLINE_MAX));
        assert_eq!(at(Unit::AtMillis, "70368744177664"), None);
        assert_eq!(at(Unit::Millis, "70368744177663"), None);
        assert_eq!(at(Unit::Millis, "9223372036854775807"), None);
        assert_eq!(at(Unit::Millis, "-1"), None);
        assert_eq!(at(Unit::Millis, "x"), None);
    }
}

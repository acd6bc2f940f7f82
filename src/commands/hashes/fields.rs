//! What the commands with `FIELDS numfields field ...` have in common: the list of fields, and times.

use crate::catalog::spec::{Argument, ArgumentKind};
use crate::commands::time_unit::TimeUnit;
use crate::commands::{CommandError, Context};
use crate::keyspace::{EventClass, Kind, Millis, Update};
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

/// The deadline that `text` gives. Errors name `command`.
pub(super) fn parse_deadline(
    unit: TimeUnit,
    text: &[u8],
    now: Millis,
    command: &'static str,
) -> Result<Millis, CommandError> {
    let number = parse_i64(text).ok_or(CommandError::NotAnInteger)?;
    if number < 0 {
        return Err(CommandError::text("ERR invalid expire time, must be >= 0"));
    }
    unit.point(number, now)
        .filter(|&at| at <= DEADLINE_MAX)
        .ok_or(CommandError::InvalidExpireTime(command))
}

/// Emits what happens where a call has removed fields of its first key.
pub(super) fn tell_removed(keys: &mut Update<'_>, is_empty: bool) {
    keys.event(0, EventClass::HASH, "hdel");
    if is_empty {
        keys.event(0, EventClass::GENERIC, "del");
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
        let at = |unit, text: &str| parse_deadline(unit, text.as_bytes(), now, "hexpire").ok();
        assert_eq!(at(TimeUnit::Seconds, "5"), Some(now + 5_000));
        assert_eq!(at(TimeUnit::Seconds, "0"), Some(now));
        assert_eq!(at(TimeUnit::AtSeconds, "5"), Some(5_000));
        assert_eq!(at(TimeUnit::AtMillis, "70368744177663"), Some(DEADLINE_MAX));
        assert_eq!(at(TimeUnit::AtMillis, "70368744177664"), None);
        assert_eq!(at(TimeUnit::Millis, "70368744177663"), None);
        assert_eq!(at(TimeUnit::Millis, "9223372036854775807"), None);
        assert_eq!(at(TimeUnit::Millis, "-1"), None);
        assert_eq!(at(TimeUnit::Millis, "x"), None);
    }
}

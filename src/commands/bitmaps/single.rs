//! One bit: SETBIT, GETBIT.

use super::parse_offset;
use crate::commands::object::is_in_buffer;
use crate::commands::strings::string_bytes_max;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{Change, EventClass, StringEdit};
use crate::numbers::parse_i64;
use smallvec::smallvec;

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::protocol::{Args, Reply};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("setbit", Arity::Exactly(4), setbit)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::REWRITES))
        .categories(Categories::BITMAP)
        .keys(&[KeySpec::first(&["RW", "access", "update"])])
        .group(Group::Bitmap, "2.2.0")
        .summary("Sets a bit of a string and returns what it was")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("offset", ArgumentKind::Integer),
            Argument::new("value", ArgumentKind::Integer),
        ]),
    Row::new("getbit", Arity::Exactly(3), getbit)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::BITMAP)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Bitmap, "2.2.0")
        .summary("Returns a bit of a string")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new("offset", ArgumentKind::Integer),
        ]),
];

const BAD_BIT: CommandError = CommandError::text("ERR bit is not an integer or out of range");

fn getbit(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let offset = parse_offset(&args[2], string_bytes_max(ctx))?;
    let byte = ctx.read_string(&args[1], |string, _| Ok(string.byte(offset / 8)?))?;
    let is_set = byte.flatten().is_some_and(|byte| byte & mask(offset) != 0);
    Ok(Reply::Integer(is_set.into()).into())
}

fn setbit(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let offset = parse_offset(&args[2], string_bytes_max(ctx))?;
    let on = match parse_i64(&args[3]) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(BAD_BIT),
    };
    let at = offset / 8;
    let was = ctx.update(&args[1], |key| {
        let (was, changed) = key.edit_string(|string| {
            let (was, new) = with_bit(string.byte(at)?, offset, on);
            let edit = match new {
                Some(byte) => StringEdit::change(smallvec![Change {
                    offset: at,
                    bytes: vec![byte].into(),
                }]),
                None if is_in_buffer(string)? => StringEdit::none(),
                None => StringEdit::unmodified(smallvec![]),
            };
            Ok::<_, CommandError>(((was, new.is_some()), edit))
        })?;
        if changed {
            key.event(EventClass::STRING, "setbit");
        }
        Ok(was)
    })?;
    Ok(Reply::Integer(was.into()).into())
}

fn mask(offset: usize) -> u8 {
    0x80 >> (offset % 8)
}

/// What a bit was, and its byte afterwards; `None` if the byte stays. `byte` is `None` behind the end of the string.
fn with_bit(byte: Option<u8>, offset: usize, on: bool) -> (bool, Option<u8>) {
    let old = byte.unwrap_or(0);
    let was = old & mask(offset) != 0;
    if was == on {
        // The string still becomes longer.
        return (was, byte.is_none().then_some(0));
    }
    (was, Some(old ^ mask(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits() {
        assert_eq!(with_bit(None, 0, true), (false, Some(0x80)));
        assert_eq!(with_bit(None, 9, false), (false, Some(0)));
        assert_eq!(with_bit(Some(0x80), 0, true), (true, None));
        assert_eq!(with_bit(Some(0x80), 0, false), (true, Some(0)));
        assert_eq!(with_bit(Some(0), 15, true), (false, Some(1)));
        assert_eq!(with_bit(Some(0xff), 7, true), (true, None));
    }
}

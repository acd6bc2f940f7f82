//! One bit: SETBIT, GETBIT.

use super::{lengthened, parse_offset};
use crate::commands::numbers::parse_i64;
use crate::commands::strings::{string, string_bytes_max};
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{EventClass, Kind};
use crate::protocol::{Args, Reply};

const BAD_BIT: CommandError = CommandError::text("ERR bit is not an integer or out of range");

pub(super) fn getbit(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let offset = parse_offset(&args[2], string_bytes_max(ctx))?;
    let byte = ctx.read_string(&args[1], |string, _| Ok(string.byte(offset / 8)?))?;
    let is_set = byte.flatten().is_some_and(|byte| byte & mask(offset) != 0);
    Ok(Reply::Integer(is_set.into()).into())
}

pub(super) fn setbit(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let offset = parse_offset(&args[2], string_bytes_max(ctx))?;
    let on = match parse_i64(&args[3]) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(BAD_BIT),
    };
    let was = ctx
        .keyspace
        .update(ctx.session.db, &args[1], ctx.access, |slot| {
            let current = slot.read(|value| {
                let old = string(value)?;
                Ok::<_, CommandError>((with_bit(old, offset, on), value.expires_at))
            })?;
            let ((was, new), expires_at) = match current.transpose()? {
                Some(current) => current,
                None => (with_bit(b"", offset, on), None),
            };
            if let Some(new) = new {
                slot.put(Kind::String, &new, expires_at)?;
                slot.event(EventClass::STRING, "setbit");
            }
            Ok::<_, CommandError>(was)
        })?;
    Ok(Reply::Integer(was.into()).into())
}

/// Whether a bit is set; behind the end none is.
fn bit(bytes: &[u8], offset: usize) -> bool {
    bytes
        .get(offset / 8)
        .is_some_and(|byte| byte & mask(offset) != 0)
}

fn mask(offset: usize) -> u8 {
    0x80 >> (offset % 8)
}

/// What a bit was, and the string with it changed; `None` where the string is the same and as long as before.
fn with_bit(old: &[u8], offset: usize, on: bool) -> (bool, Option<Vec<u8>>) {
    let was = bit(old, offset);
    let at = offset / 8;
    if was == on && at < old.len() {
        return (was, None);
    }
    let mut new = lengthened(old, at + 1);
    if was != on {
        new[at] ^= mask(offset);
    }
    (was, Some(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits() {
        let set = |old: &[u8], offset, on| with_bit(old, offset, on);
        assert_eq!(set(b"", 0, true), (false, Some(vec![0x80])));
        assert_eq!(set(b"", 9, false), (false, Some(vec![0, 0])));
        assert_eq!(set(b"\x80", 0, true), (true, None));
        assert_eq!(set(b"\x80", 0, false), (true, Some(vec![0])));
        assert_eq!(set(b"\xff", 15, true), (false, Some(vec![0xff, 1])));
        assert!(bit(b"\x01", 7));
        assert!(!bit(b"\x01", 6));
        assert!(!bit(b"\xff", 8));
    }
}

//! Strings combined bit by bit: BITOP.

use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::sources::{DESTINATION, SOURCE};
use crate::commands::strings::string;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{EventClass, StringForm};
use crate::protocol::{Args, Reply};

pub(in crate::commands) static COMMANDS: &[Row] = &[Row::new("bitop", Arity::AtLeast(4), bitop)
    .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::REWRITES))
    .categories(Categories::BITMAP)
    .keys(&[
        KeySpec::range(&["OW", "update"], 2, 0, 1),
        KeySpec::range(&["RO", "access"], 3, -1, 1),
    ])
    .group(Group::Bitmap, "2.6.0")
    .summary("Stores the bitwise combination of strings")
    .complexity("O(N)")
    .arguments(&[
        Argument::new("operation", ArgumentKind::String),
        Argument::new("destkey", ArgumentKind::Key(0)),
        Argument::new("key", ArgumentKind::Key(1)).multiple(),
    ])];

const NOT_OF_SEVERAL: CommandError =
    CommandError::text("ERR BITOP NOT must be called with a single source key.");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn parse(argument: &[u8]) -> Result<Self, CommandError> {
        [
            ("and", Operation::And),
            ("or", Operation::Or),
            ("xor", Operation::Xor),
            ("not", Operation::Not),
        ]
        .into_iter()
        .find(|(name, _)| argument.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, operation)| operation)
        .ok_or(CommandError::Syntax)
    }

    /// Combines the result with the next string. The shorter of both counts as padded with zero bytes.
    fn take(self, result: &mut Vec<u8>, next: &[u8]) {
        if result.len() < next.len() {
            result.resize(next.len(), 0);
        }
        let (common, tail) = result.split_at_mut(next.len());
        let pairs = common.iter_mut().zip(next);
        match self {
            Operation::And => {
                pairs.for_each(|(byte, next)| *byte &= next);
                tail.fill(0);
            }
            Operation::Or => pairs.for_each(|(byte, next)| *byte |= next),
            Operation::Xor => pairs.for_each(|(byte, next)| *byte ^= next),
            Operation::Not => pairs.for_each(|(byte, next)| *byte = !next),
        }
    }
}

/// The combination of several strings. A missing key counts as an empty string.
#[derive(Debug)]
struct Combination {
    operation: Operation,
    result: Option<Vec<u8>>,
}

impl Combination {
    fn take(&mut self, next: &[u8]) {
        match &mut self.result {
            Some(result) => self.operation.take(result, next),
            None if self.operation == Operation::Not => {
                self.operation.take(self.result.insert(Vec::new()), next);
            }
            None => self.result = Some(next.to_vec()),
        }
    }
}

fn bitop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let operation = Operation::parse(&args[1])?;
    if operation == Operation::Not && args.len() != 4 {
        return Err(NOT_OF_SEVERAL);
    }
    let len = ctx.database().update_many(args.from(2), |keys| {
        let mut combination = Combination {
            operation,
            result: None,
        };
        for (i, key) in args.from(2).enumerate().skip(SOURCE) {
            let taken = keys.read(i, |value| string(value).map(|next| combination.take(next)))?;
            ctx.looked_up(key, taken.is_some());
            match taken {
                Some(taken) => taken?,
                None => combination.take(b""),
            }
        }
        let result = combination.result.unwrap_or_default();
        if !result.is_empty() {
            keys.put(DESTINATION, StringForm::Raw, &result, None);
            keys.event(DESTINATION, EventClass::STRING, "set");
        } else if keys.info(DESTINATION).is_some() {
            keys.remove(DESTINATION);
            keys.event(DESTINATION, EventClass::GENERIC, "del");
        }
        Ok(result.len())
    })?;
    Ok(Reply::count(len).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combines() {
        let combined = |operation, strings: &[&[u8]]| {
            let mut combination = Combination {
                operation,
                result: None,
            };
            for next in strings {
                combination.take(next);
            }
            combination.result
        };
        let result =
            |operation, strings: &[&[u8]]| combined(operation, strings).unwrap_or_default();
        assert_eq!(
            result(Operation::And, &[b"\xff\x0f\x01", b"\xf0\x3c"]),
            b"\xf0\x0c\0"
        );
        assert_eq!(
            result(Operation::And, &[b"\xff", b"", b"\xff\xff"]),
            b"\0\0"
        );
        assert_eq!(result(Operation::Or, &[b"\x01", b"\x02\x04"]), b"\x03\x04");
        assert_eq!(result(Operation::Xor, &[b"\x03\x01", b"\x02"]), b"\x01\x01");
        assert_eq!(result(Operation::Xor, &[b"\x03", b"\x03"]), b"\0");
        assert_eq!(result(Operation::Not, &[b"\x0f\0"]), b"\xf0\xff");
        assert_eq!(result(Operation::Not, &[b""]), b"");
    }

    #[test]
    fn names() {
        assert_eq!(Operation::parse(b"aNd").ok(), Some(Operation::And));
        assert!(Operation::parse(b"nand").is_err());
    }
}

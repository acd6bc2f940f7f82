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
    .history(&[("8.2.0", "Added DIFF, DIFF1, ANDOR, and ONE operations.")])
    .arguments(&[
        Argument::new("operation", ArgumentKind::OneOf(OPERATIONS)),
        Argument::new("destkey", ArgumentKind::Key(0)),
        Argument::new("key", ArgumentKind::Key(1)).multiple(),
    ])];

const OPERATIONS: &[Argument] = &[
    Argument::token("and", "AND"),
    Argument::token("or", "OR"),
    Argument::token("xor", "XOR"),
    Argument::token("not", "NOT"),
    Argument::token("diff", "DIFF"),
    Argument::token("diff1", "DIFF1"),
    Argument::token("andor", "ANDOR"),
    Argument::token("one", "ONE"),
];

const NOT_OF_SEVERAL: CommandError =
    CommandError::text("ERR BITOP NOT must be called with a single source key.");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
    /// The bits of the first string that no other one has.
    Diff,
    /// The bits that any other string has, and the first has not.
    Diff1,
    /// The bits of the first string that any other one has.
    AndOr,
    /// The bits that exactly one string has.
    One,
}

impl Operation {
    fn parse(argument: &[u8]) -> Result<Self, CommandError> {
        [
            ("and", Operation::And),
            ("or", Operation::Or),
            ("xor", Operation::Xor),
            ("not", Operation::Not),
            ("diff", Operation::Diff),
            ("diff1", Operation::Diff1),
            ("andor", Operation::AndOr),
            ("one", Operation::One),
        ]
        .into_iter()
        .find(|(name, _)| argument.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, operation)| operation)
        .ok_or(CommandError::Syntax)
    }

    /// Refuses too few or too many sources.
    fn check(self, sources: usize) -> Result<(), CommandError> {
        let name = match self {
            Operation::Not if sources != 1 => return Err(NOT_OF_SEVERAL),
            Operation::Diff if sources < 2 => "DIFF",
            Operation::Diff1 if sources < 2 => "DIFF1",
            Operation::AndOr if sources < 2 => "ANDOR",
            _ => return Ok(()),
        };
        let text = format!("ERR BITOP {name} must be called with at least two source keys.");
        Err(CommandError::Text(text.into()))
    }

    /// Whether it came with Redis 8.2.
    fn is_new(self) -> bool {
        self.sets_first_apart() || self == Operation::One
    }

    /// Whether the first string has a part of its own, and the result is made of the others.
    fn sets_first_apart(self) -> bool {
        matches!(self, Operation::Diff | Operation::Diff1 | Operation::AndOr)
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
            Operation::Or | Operation::Diff | Operation::Diff1 | Operation::AndOr => {
                pairs.for_each(|(byte, next)| *byte |= next);
            }
            // Those of several strings are in `Combination::more`.
            Operation::Xor | Operation::One => pairs.for_each(|(byte, next)| *byte ^= next),
            Operation::Not => pairs.for_each(|(byte, next)| *byte = !next),
        }
    }
}

/// The combination of several strings. A missing key counts as an empty string.
#[derive(Debug)]
struct Combination {
    operation: Operation,
    result: Option<Vec<u8>>,
    /// The first string, where the operation sets it apart.
    first: Option<Vec<u8>>,
    /// The bits that several strings have, for ONE.
    more: Vec<u8>,
}

impl Combination {
    fn new(operation: Operation) -> Self {
        Self {
            operation,
            result: None,
            first: None,
            more: Vec::new(),
        }
    }

    /// The result, after the last string.
    fn finish(self) -> Vec<u8> {
        let mut result = self.result.unwrap_or_default();
        let mut first = self.first.unwrap_or_default();
        let len = result.len().max(first.len());
        if self.operation.sets_first_apart() {
            first.resize(len, 0);
            result.resize(len, 0);
        }
        let pairs = result.iter_mut().zip(&first);
        match self.operation {
            Operation::Diff => pairs.for_each(|(byte, first)| *byte = first & !*byte),
            Operation::Diff1 => pairs.for_each(|(byte, first)| *byte &= !first),
            Operation::AndOr => pairs.for_each(|(byte, first)| *byte &= first),
            Operation::One => {
                let pairs = result.iter_mut().zip(&self.more);
                pairs.for_each(|(byte, more)| *byte &= !more);
            }
            Operation::And | Operation::Or | Operation::Xor | Operation::Not => {}
        }
        result
    }

    fn take(&mut self, next: &[u8]) {
        if self.operation.sets_first_apart() && self.first.is_none() {
            self.first = Some(next.to_vec());
            return;
        }
        if self.operation == Operation::One {
            let before = self.result.as_deref().unwrap_or_default();
            self.more.resize(before.len().max(next.len()), 0);
            let twice = before.iter().zip(next).map(|(before, next)| before & next);
            for (more, twice) in self.more.iter_mut().zip(twice) {
                *more |= twice;
            }
        }
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
    operation.check(args.len() - 3)?;
    let database = ctx.database();
    let len = database.update_many(args.from(2), |keys| {
        let mut combination = Combination::new(operation);
        for (i, key) in args.from(2).enumerate().skip(SOURCE) {
            let taken = keys.read(i, |value| string(value).map(|next| combination.take(next)))?;
            ctx.looked_up(key, taken.is_some());
            match taken {
                Some(taken) => taken?,
                None => combination.take(b""),
            }
        }
        let result = combination.finish();
        if !result.is_empty() {
            keys.put(DESTINATION, StringForm::Raw, &result, None);
            if operation.is_new() {
                // Older servers do not know it.
                database.effect(&[b"SET", &args[2], &result]);
            }
            keys.event(DESTINATION, EventClass::STRING, "set");
        } else if keys.info(DESTINATION).is_some() {
            keys.remove(DESTINATION);
            if operation.is_new() {
                database.effect(&[b"DEL", &args[2]]);
            }
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
            let mut combination = Combination::new(operation);
            for next in strings {
                combination.take(next);
            }
            combination.finish()
        };
        let result = combined;
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
        let three: [&[u8]; 3] = [b"\x0f\xf0", b"\x03", b"\x05\x18\x01"];
        assert_eq!(result(Operation::Diff, &three), b"\x08\xe0\0");
        assert_eq!(result(Operation::Diff1, &three), b"\0\x08\x01");
        assert_eq!(result(Operation::AndOr, &three), b"\x07\x10\0");
        assert_eq!(result(Operation::One, &three), b"\x08\xe8\x01");
        assert_eq!(result(Operation::One, &[b"\x07"]), b"\x07");
        // A bit that three strings have is no bit of one.
        assert_eq!(
            result(Operation::One, &[b"\x01", b"\x01", b"\x03"]),
            b"\x02"
        );
        assert_eq!(result(Operation::Diff, &[b"", b"\x01"]), b"\0");
    }

    #[test]
    fn names() {
        assert_eq!(Operation::parse(b"aNd").ok(), Some(Operation::And));
        assert!(Operation::parse(b"nand").is_err());
    }
}

//! Several integers of a string at once: BITFIELD, `BITFIELD_RO`.

use super::integer::{Integer, Overflow, WINDOW_BYTES};
use super::overlay::Overlay;
use super::parse_place;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::object::is_in_buffer;
use crate::commands::row::Row;
use crate::commands::strings::string_bytes_max;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, StringEdit, StringView};
use crate::numbers::parse_i64;
use crate::protocol::{Args, ReplyBuffer};

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("bitfield", Arity::AtLeast(2), bitfield)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::REWRITES))
        .categories(Categories::BITMAP)
        .keys(&[
            KeySpec::first(&["RW", "access", "update", "variable_flags"])
                .with_notes("This command allows both access and modification of the key"),
        ])
        .group(Group::Bitmap, "3.2.0")
        .summary("Reads and changes integers of any width within a string")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "operation",
                ArgumentKind::OneOf(&[
                    Argument::new(
                        "encoding_offset",
                        ArgumentKind::Block(&[
                            Argument::new("encoding", ArgumentKind::String),
                            Argument::new("offset", ArgumentKind::Integer),
                        ]),
                    )
                    .with_token("GET"),
                    Argument::new(
                        "write",
                        ArgumentKind::Block(&[
                            Argument::new(
                                "wrap_sat_fail",
                                ArgumentKind::OneOf(&[
                                    Argument::token("wrap", "WRAP"),
                                    Argument::token("sat", "SAT"),
                                    Argument::token("fail", "FAIL"),
                                ]),
                            )
                            .with_token("OVERFLOW")
                            .optional(),
                            Argument::new(
                                "write_operation",
                                ArgumentKind::OneOf(&[
                                    Argument::new(
                                        "encoding_offset_value",
                                        ArgumentKind::Block(&[
                                            Argument::new("encoding", ArgumentKind::String),
                                            Argument::new("offset", ArgumentKind::Integer),
                                            Argument::new("value", ArgumentKind::Integer),
                                        ]),
                                    )
                                    .with_token("SET"),
                                    Argument::new(
                                        "encoding_offset_increment",
                                        ArgumentKind::Block(&[
                                            Argument::new("encoding", ArgumentKind::String),
                                            Argument::new("offset", ArgumentKind::Integer),
                                            Argument::new("increment", ArgumentKind::Integer),
                                        ]),
                                    )
                                    .with_token("INCRBY"),
                                ]),
                            ),
                        ]),
                    ),
                ]),
            )
            .optional()
            .multiple(),
        ]),
    Row::new("bitfield_ro", Arity::AtLeast(2), bitfield_ro)
        .flags(Flags::READONLY.union(Flags::FAST))
        .categories(Categories::BITMAP)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Bitmap, "6.0.0")
        .summary("Reads integers of any width within a string")
        .complexity("O(1)")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "encoding_offset",
                ArgumentKind::Block(&[
                    Argument::new("encoding", ArgumentKind::String),
                    Argument::new("offset", ArgumentKind::Integer),
                ]),
            )
            .with_token("GET")
            .optional()
            .multiple()
            .repeated_token(),
        ]),
];

/// What is done to one integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    integer: Integer,
    offset: usize,
    action: Action,
}

impl Operation {
    /// How long the string must be for it; `None` for a read, which may pass the end.
    fn needs(&self) -> Option<usize> {
        (self.action != Action::Get).then(|| self.integer.end(self.offset))
    }

    fn read(&self, string: &Overlay<'_>) -> Result<i128, CommandError> {
        let window = string.read::<WINDOW_BYTES>(self.offset / 8)?;
        Ok(self.integer.get(&window, self.offset % 8))
    }

    /// The answer; `None` if nothing was written because the number does not fit.
    fn run(
        &self,
        string: &mut Overlay<'_>,
        written: &mut Written,
    ) -> Result<Option<i128>, CommandError> {
        let (at, bit) = (self.offset / 8, self.offset % 8);
        let mut window = string.read::<WINDOW_BYTES>(at)?;
        let old = self.integer.get(&window, bit);
        let (new, answers_old) = match self.action {
            Action::Get => return Ok(Some(old)),
            Action::Set(number, overflow) => {
                (self.integer.fit(self.integer.taken(number), overflow), true)
            }
            Action::Add(number, overflow) => {
                (self.integer.fit(old + i128::from(number), overflow), false)
            }
        };
        let Some(new) = new else {
            return Ok(None);
        };
        if new != old {
            self.integer.put(&mut window, bit, new);
            string.write(at, &window[..self.integer.end(bit)]);
        }
        written.all += 1;
        written.changing += usize::from(new != old);
        Ok(Some(if answers_old { old } else { new }))
    }
}

#[derive(Debug, Default)]
struct Written {
    all: usize,
    changing: usize,
}

fn parse(args: Args<'_>, bytes_max: usize) -> Result<Vec<Operation>, CommandError> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut at = 2;
    while let Some(argument) = args.get(at) {
        let left = args.len() - at - 1;
        let is = |name: &[u8], operands| argument.eq_ignore_ascii_case(name) && left >= operands;
        if is(b"overflow", 1) {
            overflow = Overflow::parse(&args[at + 1])?;
            at += 2;
            continue;
        }
        let action: Option<fn(i64, Overflow) -> Action> = if is(b"get", 2) {
            None
        } else if is(b"set", 3) {
            Some(Action::Set)
        } else if is(b"incrby", 3) {
            Some(Action::Add)
        } else {
            return Err(CommandError::Syntax);
        };
        let integer = Integer::parse(&args[at + 1])?;
        let offset = parse_place(&args[at + 2], integer.bits, bytes_max)?;
        at += 3;
        let action = match action {
            None => Action::Get,
            Some(action) => {
                let number = parse_i64(&args[at]).ok_or(CommandError::NotAnInteger)?;
                at += 1;
                action(number, overflow)
            }
        };
        operations.push(Operation {
            integer,
            offset,
            action,
        });
    }
    Ok(operations)
}

fn bitfield_ro(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let operations = parse(args, string_bytes_max(ctx))?;
    if operations
        .iter()
        .any(|operation| operation.needs().is_some())
    {
        return Err(CommandError::text(
            "ERR BITFIELD_RO only supports the GET subcommand",
        ));
    }
    read(ctx, &args[1], &operations)
}

fn bitfield(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let operations = parse(args, string_bytes_max(ctx))?;
    match operations.iter().filter_map(Operation::needs).max() {
        None => read(ctx, &args[1], &operations),
        Some(len) => write(ctx, &args[1], &operations, len),
    }
}

fn read(ctx: &mut Context<'_>, key: &[u8], operations: &[Operation]) -> CommandResult {
    let answers = |string: StringView<'_>| {
        let string = Overlay::new(string);
        operations
            .iter()
            .map(|operation| operation.read(&string).map(Some))
            .collect::<Result<Vec<_>, CommandError>>()
    };
    let found = ctx.read_string(key, |string, _| answers(string))?;
    let found = found.map_or_else(|| answers(StringView::from(&b""[..])), Ok)?;
    Ok(answer(ctx.out, &found))
}

/// Runs operations, some of which write. The written ones end at byte `len`.
fn write(ctx: &mut Context<'_>, key: &[u8], operations: &[Operation], len: usize) -> CommandResult {
    let answers = ctx.update(key, |key| {
        let mut written = Written::default();
        let mut changes = 0;
        let answers = key.edit_string(|string| {
            let grows = string.len_bytes()? < len;
            let mut overlay = Overlay::new(string);
            let answers = operations
                .iter()
                .map(|operation| operation.run(&mut overlay, &mut written))
                .collect::<Result<Vec<_>, CommandError>>()?;
            changes = if grows { written.all } else { written.changing };
            let edit = if changes > 0 {
                StringEdit::change(overlay.changes(len))
            } else if grows || !is_in_buffer(string)? {
                // The string grows even if no number fits, but without an event.
                StringEdit::unmodified(overlay.changes(len))
            } else {
                StringEdit::none()
            };
            Ok::<_, CommandError>((answers, edit))
        })?;
        if changes > 0 {
            key.set_dirty(changes);
            key.event(EventClass::STRING, "setbit");
        }
        Ok(answers)
    })?;
    Ok(answer(ctx.out, &answers))
}

fn answer(out: &mut ReplyBuffer, answers: &[Option<i128>]) -> Outcome {
    out.array_header(answers.len());
    for answer in answers {
        // All types are within i64.
        match answer.and_then(|number| i64::try_from(number).ok()) {
            Some(number) => out.integer(number),
            None => out.null(),
        }
    }
    Outcome::Written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn arguments(call: &str) -> OwnedArgs {
        OwnedArgs::new(call.split(' '))
    }

    #[test]
    fn runs() -> Result<(), CommandError> {
        let call = arguments(
            "bitfield k set u8 #1 255 incrby u8 8 2 overflow fail incrby u2 0 9 get i4 12",
        );
        let mut string = Overlay::new(StringView::from(&[0; 2][..]));
        let mut written = Written::default();
        let answers = parse(call.args(), 100)?
            .iter()
            .map(|operation| operation.run(&mut string, &mut written))
            .collect::<Result<Vec<_>, _>>()?;
        assert_eq!(answers, [Some(0), Some(1), None, Some(1)]);
        assert_eq!(string.read::<2>(0)?, [0, 1]);
        assert_eq!((written.all, written.changing), (2, 2));
        Ok(())
    }

    #[test]
    fn refuses() {
        for (call, text) in [
            ("b k get u8", "ERR syntax error"),
            ("b k set u8 0", "ERR syntax error"),
            ("b k overflow", "ERR syntax error"),
            ("b k nosuch u8 0", "ERR syntax error"),
            ("b k overflow never", "ERR Invalid OVERFLOW type specified"),
            (
                "b k set u8 0 x",
                "ERR value is not an integer or out of range",
            ),
            (
                "b k get u8 x",
                "ERR bit offset is not an integer or out of range",
            ),
        ] {
            let refused = parse(arguments(call).args(), 100).map(|_| ());
            assert_eq!(
                refused.map_err(|error| error.to_string()),
                Err(text.to_owned())
            );
        }
    }
}

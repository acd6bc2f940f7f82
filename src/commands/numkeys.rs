//! Calls with a numkeys argument, which says how many keys follow.

use super::CommandError;
use crate::numbers::parse_i64;
use crate::protocol::Args;

/// Where the keys of a call are.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    first: usize,
    pub(super) count: usize,
}

impl Counted {
    /// Reads the number of keys at argument `at`. `refusal` is the error for anything but a number above 0.
    pub fn parse(args: Args<'_>, at: usize, refusal: &'static str) -> Result<Self, CommandError> {
        let count = parse_i64(&args[at])
            .filter(|&count| count > 0)
            .ok_or(CommandError::text(refusal))?;
        Self::after(args, at, count)
    }

    /// So many keys behind argument `at`; a syntax error if the call has fewer arguments.
    pub fn after(args: Args<'_>, at: usize, count: i64) -> Result<Self, CommandError> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > args.len() - at - 1 {
            return Err(CommandError::Syntax);
        }
        Ok(Self {
            first: at + 1,
            count,
        })
    }

    /// The argument after the last key.
    pub fn end(self) -> usize {
        self.first + self.count
    }

    /// The keys.
    pub fn keys(self, args: Args<'_>) -> impl Iterator<Item = &[u8]> {
        args.from(self.first).take(self.count)
    }
}

/// `[COUNT count]` from argument `at` to the end; 1 where it is left out.
pub fn parse_count(args: Args<'_>, at: usize) -> Result<usize, CommandError> {
    let mut count = None;
    let mut rest = args.from(at);
    while let Some(argument) = rest.next() {
        if !argument.eq_ignore_ascii_case(b"count") || count.is_some() {
            return Err(CommandError::Syntax);
        }
        let number = rest.next().ok_or(CommandError::Syntax)?;
        let number = parse_i64(number).filter(|&number| number > 0);
        let number = number.ok_or(CommandError::text("ERR count should be greater than 0"))?;
        count = Some(usize::try_from(number).unwrap_or(usize::MAX));
    }
    Ok(count.unwrap_or(1))
}

//! Calls that say how many keys they have.

use super::CommandError;
use crate::numbers::parse_i64;
use crate::protocol::Args;

/// Where the keys of a call are.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    first: usize,
    count: usize,
}

impl Counted {
    /// Reads the number of keys at word `at`. `refusal` is the error of a number that is none, or too small.
    pub fn parse(args: Args<'_>, at: usize, refusal: &'static str) -> Result<Self, CommandError> {
        let count = parse_i64(&args[at])
            .filter(|&count| count > 0)
            .ok_or(CommandError::text(refusal))?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > args.len() - at - 1 {
            return Err(CommandError::Syntax);
        }
        Ok(Self {
            first: at + 1,
            count,
        })
    }

    /// The word after the last key.
    pub fn end(self) -> usize {
        self.first + self.count
    }

    /// The keys.
    pub fn keys(self, args: Args<'_>) -> impl Iterator<Item = &[u8]> {
        args.from(self.first).take(self.count)
    }
}

/// `[COUNT count]` from word `at` to the end; 1 where it is left out.
pub fn parse_count(args: Args<'_>, at: usize) -> Result<usize, CommandError> {
    let mut count = None;
    let mut words = args.from(at);
    while let Some(word) = words.next() {
        if !word.eq_ignore_ascii_case(b"count") || count.is_some() {
            return Err(CommandError::Syntax);
        }
        let number = words.next().ok_or(CommandError::Syntax)?;
        let number = parse_i64(number).filter(|&number| number > 0);
        let number = number.ok_or(CommandError::text("ERR count should be greater than 0"))?;
        count = Some(usize::try_from(number).unwrap_or(usize::MAX));
    }
    Ok(count.unwrap_or(1))
}

//! LCS: the longest common subsequence of two strings.

use super::string_bytes_max;
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::Kind;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

pub(in crate::commands) static COMMANDS: &[Row] = &[Row::new("lcs", Arity::AtLeast(3), lcs)
    .flags(Flags::READONLY.union(Flags::SLOW))
    .categories(Categories::STRING)
    .keys(&[KeySpec::range(&["RO", "access"], 1, 1, 1)])
    .group(Group::String, "7.0.0")
    .summary("Finds the longest common subsequence of two strings")
    .complexity("O(N*M) for strings of N and M bytes")
    .arguments(&[
        Argument::new("key1", ArgumentKind::Key(0)),
        Argument::new("key2", ArgumentKind::Key(0)),
        Argument::token("len", "LEN").optional(),
        Argument::token("idx", "IDX").optional(),
        Argument::new("min-match-len", ArgumentKind::Integer)
            .with_token("MINMATCHLEN")
            .optional(),
        Argument::token("withmatchlen", "WITHMATCHLEN").optional(),
    ])];

/// Bytes that Redis's algorithm takes for each pair of positions. Redis's limit counts them.
const CELL_BYTES: usize = 4;

/// What the call asks for.
#[derive(Debug, Default)]
struct Options {
    len: bool,
    idx: bool,
    match_len_min: usize,
    with_match_len: bool,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Options::default();
        let mut rest = args.from(3);
        while let Some(argument) = rest.next() {
            let is = |name: &str| argument.eq_ignore_ascii_case(name.as_bytes());
            if is("IDX") {
                options.idx = true;
            } else if is("LEN") {
                options.len = true;
            } else if is("WITHMATCHLEN") {
                options.with_match_len = true;
            } else if is("MINMATCHLEN") {
                let number = rest.next().ok_or(CommandError::Syntax)?;
                let number = parse_i64(number).ok_or(CommandError::NotAnInteger)?;
                options.match_len_min = usize::try_from(number).unwrap_or(0);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if options.idx && options.len {
            return Err(CommandError::text(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

fn lcs(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (a, b) = read_both(ctx, &args[1], &args[2])?;
    let options = Options::parse(args)?;
    let cells = (a.len() + 1).saturating_mul(b.len() + 1);
    if cells.saturating_mul(CELL_BYTES) > string_bytes_max(ctx) {
        return Err(CommandError::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    let grid = Grid::new(&a, &b);
    if options.len {
        return Ok(Reply::count(grid.len).into());
    }
    let runs = grid.runs();
    if !options.idx {
        let common: Vec<&[u8]> = runs
            .iter()
            .rev()
            .map(|run| &a[run.a..run.a + run.len])
            .collect();
        return Ok(Reply::Bulk(common.concat().into()).into());
    }
    let matches = runs
        .iter()
        .filter(|run| run.len >= options.match_len_min)
        .map(|run| run.reply(options.with_match_len))
        .collect();
    Ok(Reply::Map(vec![
        (Reply::text("matches"), Reply::Array(matches)),
        (Reply::text("len"), Reply::count(grid.len)),
    ])
    .into())
}

/// Both strings as they are at one moment. A missing key counts as an empty string.
fn read_both(
    ctx: &mut Context<'_>,
    a: &[u8],
    b: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), CommandError> {
    let [read_a, read_b] = ctx.update_many([a, b], |keys| {
        let read = |i| {
            keys.read(i, |value| {
                (value.kind == Kind::String).then(|| value.bytes.to_vec())
            })
        };
        Ok([read(0)?, read(1)?])
    })?;
    ctx.looked_up(a, read_a.is_some());
    ctx.looked_up(b, read_b.is_some());
    // The outer option is the key, the inner one whether it holds a string.
    let string = |read: Option<Option<Vec<u8>>>| {
        read.unwrap_or_else(|| Some(Vec::new()))
            .ok_or(CommandError::text(
                "ERR The specified keys must contain string values",
            ))
    };
    Ok((string(read_a)?, string(read_b)?))
}

/// A run of common bytes, by its positions in both strings.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    a: usize,
    b: usize,
    len: usize,
}

impl Run {
    fn reply(&self, with_len: bool) -> Reply {
        let range = |start: usize| {
            Reply::Array(vec![
                Reply::count(start),
                Reply::count(start + self.len - 1),
            ])
        };
        let mut items = vec![range(self.a), range(self.b)];
        if with_len {
            items.push(Reply::count(self.len));
        }
        Reply::Array(items)
    }
}

/// The table of the textbook algorithm, kept as one bit for each pair of positions: which of two prefixes, one byte
/// shorter in `a` or in `b`, has the longer common subsequence.
struct Grid<'a> {
    a: &'a [u8],
    b: &'a [u8],
    /// Length of the whole strings' longest common subsequence.
    len: usize,
    /// The bit of (i, j), row after row: shorten `a` at the prefixes that end with bytes i and j.
    shorten_a: Vec<u64>,
}

impl<'a> Grid<'a> {
    fn new(a: &'a [u8], b: &'a [u8]) -> Self {
        let mut shorten_a = vec![0u64; (a.len() * b.len()).div_ceil(64)];
        // Lengths for the prefix of `a` before this byte, and for every prefix of `b`.
        let mut above = vec![0u32; b.len() + 1];
        let mut current = above.clone();
        for (i, a_byte) in a.iter().enumerate() {
            for (j, b_byte) in b.iter().enumerate() {
                current[j + 1] = if a_byte == b_byte {
                    above[j] + 1
                } else if above[j + 1] > current[j] {
                    let bit = i * b.len() + j;
                    shorten_a[bit / 64] |= 1 << (bit % 64);
                    above[j + 1]
                } else {
                    current[j]
                };
            }
            std::mem::swap(&mut above, &mut current);
        }
        let len = above.last().copied().unwrap_or(0);
        Grid {
            a,
            b,
            len: usize::try_from(len).unwrap_or(usize::MAX),
            shorten_a,
        }
    }

    /// The common runs, the last one first.
    fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut contiguous = false;
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                i -= 1;
                j -= 1;
                match runs.last_mut() {
                    Some(run) if contiguous => {
                        (run.a, run.b) = (i, j);
                        run.len += 1;
                    }
                    _ => runs.push(Run { a: i, b: j, len: 1 }),
                }
                contiguous = true;
                continue;
            }
            contiguous = false;
            let bit = (i - 1) * self.b.len() + (j - 1);
            if self.shorten_a[bit / 64] >> (bit % 64) & 1 == 1 {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn runs(a: &str, b: &str) -> (usize, Vec<(usize, usize, usize)>) {
        let grid = Grid::new(a.as_bytes(), b.as_bytes());
        let runs = grid.runs();
        (
            grid.len,
            runs.iter().map(|run| (run.a, run.b, run.len)).collect(),
        )
    }

    #[test]
    fn common_runs() {
        assert_eq!(
            runs("ohmytext", "mynewtext"),
            (6, vec![(4, 5, 4), (2, 0, 2)])
        );
        assert_eq!(runs("", "abc"), (0, vec![]));
        assert_eq!(runs("abc", ""), (0, vec![]));
        assert_eq!(runs("abc", "xyz"), (0, vec![]));
        assert_eq!(runs("abc", "abc"), (3, vec![(0, 0, 3)]));
        assert_eq!(
            runs("abcd", "acbd"),
            (3, vec![(3, 3, 1), (2, 1, 1), (0, 0, 1)])
        );
    }

    #[test]
    fn options() {
        let parse = |line: &str| {
            let owned = OwnedArgs::new(line.split_whitespace());
            Options::parse(owned.args()).map_err(|error| error.to_string())
        };
        let options = parse("lcs a b idx MINMATCHLEN -3 withmatchlen").expect("valid options");
        assert!(options.idx && options.with_match_len && !options.len);
        assert_eq!(options.match_len_min, 0);
        assert!(parse("lcs a b LEN IDX").is_err_and(|text| text.contains("just use IDX")));
        for line in ["lcs a b MINMATCHLEN", "lcs a b x"] {
            assert!(parse(line).is_err_and(|text| text == "ERR syntax error"));
        }
        assert!(parse("lcs a b MINMATCHLEN x").is_err_and(|text| text.contains("integer")));
    }
}

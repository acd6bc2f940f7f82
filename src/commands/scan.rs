//! Walks over a database: KEYS and SCAN.

use super::{CommandError, CommandResult, Context, Outcome};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::Row;
use crate::glob;
use crate::keyspace::{Cursor, View};
use crate::numbers::parse_i64;
use crate::protocol::{Args, ReplyBuffer};

/// How many keys SCAN looks at where the call does not say.
const COUNT_DEFAULT: usize = 10;
/// How many keys KEYS looks at before the keyspace may let others in between.
const KEYS_STEP: usize = 1024;

/// The arguments of HSCAN, SSCAN and ZSCAN.
pub(super) const ELEMENT_SCAN: &[Argument] = &[
    Argument::key(),
    Argument::new("cursor", ArgumentKind::Integer),
    Argument::new("pattern", ArgumentKind::Pattern)
        .with_token("MATCH")
        .optional(),
    Argument::new("count", ArgumentKind::Integer)
        .with_token("COUNT")
        .optional(),
];

pub(super) static COMMANDS: &[Row] = &[
    Row::new("keys", Arity::Exactly(2), keys)
        .flags(Flags::READONLY.union(Flags::SLOW))
        .categories(Categories::KEYSPACE.union(Categories::DANGEROUS))
        .group(Group::Generic, "1.0.0")
        .summary("Lists all keys that match a pattern.")
        .complexity("O(N) where N is the number of keys in the database.")
        .arguments(&[Argument::new("pattern", ArgumentKind::Pattern)])
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"]),
    Row::new("scan", Arity::AtLeast(2), scan)
        .flags(Flags::READONLY)
        .categories(Categories::KEYSPACE)
        .group(Group::Generic, "2.8.0")
        .summary("Lists the keys of the database step by step.")
        .complexity("O(1) for every call, O(N) for all keys.")
        .arguments(&[
            Argument::new("cursor", ArgumentKind::Integer),
            Argument::new("pattern", ArgumentKind::Pattern)
                .with_token("MATCH")
                .optional(),
            Argument::new("count", ArgumentKind::Integer)
                .with_token("COUNT")
                .optional(),
            Argument::new("type", ArgumentKind::String)
                .with_token("TYPE")
                .optional()
                .since("6.0.0"),
        ])
        .tips(&[
            "nondeterministic_output",
            "request_policy:special",
            "response_policy:special",
        ])
        .history(&[("6.0.0", "Added the `TYPE` subcommand.")]),
];

/// The keys found so far, encoded apart: their number stands before them in the reply, and is known last.
struct Page {
    keys: usize,
    encoded: ReplyBuffer,
}

impl Page {
    /// For the output `out`, whose limit holds for the keys too.
    fn new(out: &ReplyBuffer) -> Self {
        Self {
            keys: 0,
            encoded: out.part(),
        }
    }

    fn push(&mut self, key: &[u8]) {
        self.keys += 1;
        self.encoded.bulk(key);
    }

    /// Writes the reply of a step that goes on at `next`; 0 tells the client that it was the last step.
    fn write_after(self, next: Option<Cursor>, out: &mut ReplyBuffer) {
        let next = next.map_or(0, Cursor::number);
        out.array_header(2);
        out.bulk(itoa::Buffer::new().format(next).as_bytes());
        self.write(out);
    }

    fn write(self, out: &mut ReplyBuffer) {
        out.array_header(self.keys);
        out.append(self.encoded);
    }
}

fn keys(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let pattern = &args[1];
    let mut page = Page::new(ctx.out);
    let mut next = Some(Cursor::START);
    while let Some(cursor) = next {
        next = ctx.keyspace.walk().scan(
            ctx.session.db,
            cursor,
            KEYS_STEP,
            ctx.access.now,
            &mut |key, _| {
                if pattern == b"*" || glob::matches(pattern, key, false) {
                    page.push(key);
                }
            },
        )?;
    }
    page.write(ctx.out);
    Ok(Outcome::Written)
}

/// What a scan walks over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walked {
    Keys,
    Fields,
    /// Members of a set or sorted set.
    Members,
}

struct ScanOptions<'a> {
    cursor: Cursor,
    pattern: Option<&'a [u8]>,
    count: usize,
    kind: Option<&'a [u8]>,
    /// Only the names of a hash's fields are wanted.
    names_only: bool,
}

impl<'a> ScanOptions<'a> {
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut options = Self {
            cursor: cursor(args, 1)?,
            pattern: None,
            count: COUNT_DEFAULT,
            kind: None,
            names_only: false,
        };
        options.parse_options(args, 2, Walked::Keys)?;
        Ok(options)
    }

    /// Reads the options from argument `at` on; TYPE where keys are scanned, NOVALUES where it is a hash.
    fn parse_options(
        &mut self,
        args: Args<'a>,
        at: usize,
        walked: Walked,
    ) -> Result<(), CommandError> {
        let options = self;
        let mut rest = args.from(at);
        while let Some(option) = rest.next() {
            if option.eq_ignore_ascii_case(b"novalues") {
                if walked != Walked::Fields {
                    return Err(CommandError::text(
                        "ERR NOVALUES option can only be used in HSCAN",
                    ));
                }
                options.names_only = true;
                continue;
            }
            let value = rest.next().ok_or(CommandError::Syntax)?;
            if option.eq_ignore_ascii_case(b"match") {
                options.pattern = Some(value);
            } else if option.eq_ignore_ascii_case(b"count") {
                let count = parse_i64(value).ok_or(CommandError::NotAnInteger)?;
                options.count = usize::try_from(count)
                    .ok()
                    .filter(|&count| count > 0)
                    .ok_or(CommandError::Syntax)?;
            } else if walked == Walked::Keys && option.eq_ignore_ascii_case(b"type") {
                options.kind = Some(value);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(())
    }

    fn wants(&self, key: &[u8], kind: &str) -> bool {
        self.kind
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind.as_bytes()))
            && self
                .pattern
                .is_none_or(|pattern| pattern == b"*" || glob::matches(pattern, key, false))
    }
}

/// The cursor that argument `at` is.
fn cursor(args: Args<'_>, at: usize) -> Result<Cursor, CommandError> {
    let number = args.get(at).and_then(parse_cursor);
    number
        .map(Cursor::from_number)
        .ok_or(CommandError::text("ERR invalid cursor"))
}

/// One step of HSCAN, SSCAN or ZSCAN.
pub(super) struct ScanStep<'a> {
    args: Args<'a>,
    options: ScanOptions<'a>,
    page: Page,
}

impl ScanStep<'_> {
    /// Reads the options. The caller has checked the key's type before, as Redis does. Returns where to begin, and
    /// about how many elements to meet.
    pub(super) fn begin(&mut self, walked: Walked) -> Result<(Cursor, usize), CommandError> {
        self.options.parse_options(self.args, 3, walked)?;
        Ok((self.options.cursor, self.options.count))
    }

    /// Whether an element of that name is wanted.
    pub(super) fn wants(&self, name: &[u8]) -> bool {
        self.options.wants(name, "")
    }

    /// Whether the values of fields are wanted.
    pub(super) fn wants_values(&self) -> bool {
        !self.options.names_only
    }

    /// Whether names of so many bytes may be added.
    pub(super) fn has_room(&mut self, bytes: usize) -> bool {
        let out = &mut self.page.encoded;
        if bytes > out.room() {
            out.overflow();
        }
        !out.is_overflown()
    }

    /// Adds to the reply.
    pub(super) fn push(&mut self, argument: &[u8]) {
        self.page.push(argument);
    }
}

/// Runs one step of HSCAN, SSCAN or ZSCAN; `walk` looks at the elements and returns the next cursor.
pub(super) fn scan_elements(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    walk: impl FnOnce(View<'_>, &mut ScanStep<'_>) -> Result<Option<Cursor>, CommandError>,
) -> CommandResult {
    let mut step = ScanStep {
        args,
        options: ScanOptions {
            cursor: cursor(args, 2)?,
            pattern: None,
            count: COUNT_DEFAULT,
            kind: None,
            names_only: false,
        },
        page: Page::new(ctx.out),
    };
    let next = ctx.view(&args[1], |view, _| match view {
        Some(view) => walk(view, &mut step),
        // For a missing key Redis does not even check the options.
        None => Ok(None),
    })?;
    step.page.write_after(next, ctx.out);
    Ok(Outcome::Written)
}

/// The number of a cursor as C's `strtoul` reads one, which Redis uses: a sign may stand before it, and nothing at all
/// is 0.
fn parse_cursor(argument: &[u8]) -> Option<u64> {
    let argument = argument.split(|&byte| byte == 0).next().unwrap_or_default();
    let (negative, digits) = match argument {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let cursor: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if negative {
        cursor.wrapping_neg()
    } else {
        cursor
    })
}

fn scan(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = ScanOptions::parse(args)?;
    let mut page = Page::new(ctx.out);
    let next = ctx.keyspace.walk().scan(
        ctx.session.db,
        options.cursor,
        options.count,
        ctx.access.now,
        &mut |key, info| {
            if options.wants(key, info.kind.name()) {
                page.push(key);
            }
        },
    )?;
    page.write_after(next, ctx.out);
    Ok(Outcome::Written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    #[test]
    fn cursors() {
        for (text, cursor) in [
            ("0", Some(0)),
            ("", Some(0)),
            ("007", Some(7)),
            ("+7", Some(7)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("7\0x", Some(7)),
            (" 7", None),
            ("7 ", None),
            ("+", None),
            ("0x1", None),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), cursor, "{text:?}");
        }
    }

    #[test]
    fn options() {
        let check = |arguments: &str| {
            let args = OwnedArgs::new(arguments.split(' '));
            ScanOptions::parse(args.args())
                .map(|options| {
                    (
                        options.cursor.number(),
                        options.count,
                        options.pattern.is_some(),
                    )
                })
                .map_err(|error| error.to_string())
        };
        let syntax = Err("ERR syntax error".to_owned());
        assert_eq!(check("scan 3"), Ok((3, 10, false)));
        assert_eq!(check("scan 3 match a* Count 7"), Ok((3, 7, true)));
        assert_eq!(check("scan 3 count 0"), syntax);
        assert_eq!(check("scan 3 count"), syntax);
        assert_eq!(check("scan 3 colour red"), syntax);
        assert_eq!(check("scan x"), Err("ERR invalid cursor".to_owned()));
        assert_eq!(
            check("scan 3 count x"),
            Err("ERR value is not an integer or out of range".to_owned())
        );
    }
}

//! XADD, XTRIM.

use smallvec::{SmallVec, smallvec};

use super::ids::{IdText, NewId, parse_id, parse_new_id};
use super::{REFERENCES, node_limits, parse_references, row};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{
    EventClass, Kind, Millis, NodeLimits, Pair, References, StreamId, Trim, TrimTo,
};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

const STRATEGY: Argument = Argument::new(
    "strategy",
    ArgumentKind::OneOf(&[
        Argument::token("maxlen", "MAXLEN"),
        Argument::token("minid", "MINID").since("6.2.0"),
    ]),
);
const OPERATOR: Argument = Argument::new(
    "operator",
    ArgumentKind::OneOf(&[
        Argument::token("equal", "="),
        Argument::token("approximately", "~"),
    ]),
)
.optional();
const TRIM: Argument = Argument::new(
    "trim",
    ArgumentKind::Block(&[
        STRATEGY,
        OPERATOR,
        Argument::new("threshold", ArgumentKind::String),
        Argument::new("count", ArgumentKind::Integer)
            .with_token("LIMIT")
            .since("6.2.0")
            .optional(),
    ]),
);

pub(in crate::commands) static COMMANDS: &[Row] = &[
    row(
        "xadd",
        Arity::AtLeast(5),
        Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        "5.0.0",
        "Adds an entry to a stream; makes the stream where it is missing",
        "O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.",
        xadd,
    )
    .keys(&[KeySpec::first(&["RW", "update"])
        .with_notes("UPDATE instead of INSERT because of the optional trimming feature")])
    .tips(&["nondeterministic_output"])
    .arguments(&[
        Argument::key(),
        Argument::token("nomkstream", "NOMKSTREAM")
            .since("6.2.0")
            .optional(),
        REFERENCES,
        TRIM.optional(),
        Argument::new(
            "id-selector",
            ArgumentKind::OneOf(&[
                Argument::token("auto-id", "*"),
                Argument::new("id", ArgumentKind::String),
            ]),
        ),
        Argument::new(
            "data",
            ArgumentKind::Block(&[
                Argument::new("field", ArgumentKind::String),
                Argument::new("value", ArgumentKind::String),
            ]),
        )
        .multiple(),
    ])
    .history(&[
        (
            "6.2.0",
            "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option.",
        ),
        (
            "7.0.0",
            "Added support for the `<ms>-*` explicit ID form.",
        ),
    ]),
    row(
        "xtrim",
        Arity::AtLeast(4),
        Flags::WRITE,
        "5.0.0",
        "Removes a stream's first entries, so that a number of entries or those from an ID on stay",
        "O(N), with N being the number of evicted entries; only whole nodes and one part of a node are looked at.",
        xtrim,
    )
    .keys(&[KeySpec::first(&["RW", "delete"])])
    .tips(&["nondeterministic_output"])
    .arguments(&[Argument::key(), TRIM, REFERENCES])
    .history(&[(
        "6.2.0",
        "Added the `MINID` trimming strategy and the `LIMIT` option.",
    )]),
];

/// The most bytes of an entry.
const ENTRY_BYTES_MAX: usize = 1 << 30;

/// The most entries that XADD and XTRIM remove where `~` is given without LIMIT.
const LIMIT_MAX: u64 = 1_000_000;
const LIMIT_WITHOUT_NODES: u64 = 10_000;

/// The options of XADD and XTRIM.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    no_mkstream: bool,
    trim: Option<Trim>,
    /// XADD's id, and its position.
    id: Option<(usize, NewId)>,
}

impl Options {
    /// Whether trimming looks at groups, which older servers do not know.
    fn minds_references(&self) -> bool {
        let trim = self.trim.as_ref();
        trim.is_some_and(|trim| trim.references != References::Keep)
    }

    fn parse(args: Args<'_>, adds: bool, nodes: NodeLimits) -> Result<Self, CommandError> {
        let mut to = None;
        let mut approximately = false;
        let mut limit = None;
        let mut references = None;
        let mut options = Self {
            no_mkstream: false,
            trim: None,
            id: None,
        };
        let mut at = 2;
        while let Some(option) = args.get(at) {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            let more = args.len() - at - 1;
            if adds && option == b"*" {
                options.id = Some((at, NewId::Auto));
                break;
            } else if (is("maxlen") || is("minid")) && more > 0 {
                if to.is_some() {
                    return Err(CommandError::text(
                        "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                    ));
                }
                at += 1;
                approximately = false;
                if more >= 2 && (args[at] == *b"~" || args[at] == *b"=") {
                    approximately = args[at] == *b"~";
                    at += 1;
                }
                to = Some(if is("maxlen") {
                    let len = parse_i64(&args[at]).ok_or(CommandError::NotAnInteger)?;
                    let error = CommandError::text("ERR The MAXLEN argument must be >= 0.");
                    TrimTo::Length(u64::try_from(len).map_err(|_| error)?)
                } else {
                    TrimTo::Id(parse_id(&args[at], 0)?)
                });
            } else if is("limit") && more > 0 {
                at += 1;
                let number = parse_i64(&args[at]).ok_or(CommandError::NotAnInteger)?;
                let error = CommandError::text("ERR The LIMIT argument must be >= 0.");
                limit = Some(u64::try_from(number).map_err(|_| error)?);
            } else if adds && is("nomkstream") {
                options.no_mkstream = true;
            } else if let Some(named) = parse_references(option).filter(|_| references.is_none()) {
                references = Some(named);
            } else if adds {
                options.id = Some((at, parse_new_id(option)?));
                break;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        let Some(to) = to else {
            return match limit {
                Some(1..) => Err(CommandError::text(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
                _ if !adds => Err(CommandError::text(
                    "ERR syntax error, XTRIM must be called with a trimming strategy",
                )),
                Some(0) => Err(LIMIT_WITHOUT_TILDE),
                None => Ok(options),
            };
        };
        if limit.is_some() && !approximately {
            return Err(LIMIT_WITHOUT_TILDE);
        }
        let of_nodes = match nodes.entries.saturating_mul(100) {
            0 => LIMIT_WITHOUT_NODES,
            entries => entries.min(LIMIT_MAX),
        };
        options.trim = Some(Trim {
            to,
            approximately,
            limit: limit.unwrap_or(if approximately { of_nodes } else { 0 }),
            references: references.unwrap_or_default(),
        });
        Ok(options)
    }
}

const LIMIT_WITHOUT_TILDE: CommandError =
    CommandError::text("ERR syntax error, LIMIT cannot be used without the special ~ option");

/// The id of a new entry behind `last`; `None` where there is none.
fn next_id(asked: NewId, last: StreamId, now: Millis) -> Option<StreamId> {
    match asked {
        NewId::Auto => {
            let now = u64::try_from(now).unwrap_or(0);
            if now > last.ms {
                Some(StreamId::new(now, 0))
            } else {
                last.next()
            }
        }
        NewId::OfMillisecond(ms) if ms == last.ms => {
            Some(StreamId::new(ms, last.seq.checked_add(1)?))
        }
        NewId::OfMillisecond(ms) => Some(StreamId::new(ms, 0)),
        NewId::Explicit(id) => Some(id),
    }
    .filter(|&id| id > last)
}

fn xadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let limits = node_limits(ctx);
    let options = Options::parse(args, true, limits)?;
    let arity = || CommandError::WrongArity("xadd".into());
    let (at, asked) = options.id.ok_or_else(arity)?;
    let mut words = args.from(at + 1);
    let mut pairs = SmallVec::<[Pair<'_>; 8]>::new();
    let mut bytes = 0usize;
    while let Some(field) = words.next() {
        let value = words.next().ok_or_else(arity)?;
        bytes = bytes.saturating_add(field.len() + value.len());
        pairs.push((field, value));
    }
    if pairs.is_empty() {
        return Err(arity());
    }
    if asked == NewId::Explicit(StreamId::MIN) {
        return Err(CommandError::text(
            "ERR The ID specified in XADD must be greater than 0-0",
        ));
    }
    let now = ctx.access.clock();
    let database = ctx.database();
    let mut tells_key = false;
    let id = database.update_one(&args[1], Kind::Stream, |key| {
        if options.no_mkstream && !key.exists() {
            return Ok(None);
        }
        key.close_full_node(&pairs, limits)?;
        let mut stream = key.stream()?;
        let last = stream.last_id();
        if last == StreamId::MAX {
            return Err(CommandError::text(
                "ERR The stream has exhausted the last possible ID, unable to add more items",
            ));
        }
        let id = next_id(asked, last, now).ok_or(CommandError::text(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        ))?;
        if bytes > ENTRY_BYTES_MAX {
            return Err(CommandError::text(
                "ERR Elements are too large to be stored",
            ));
        }
        stream.append(id, &pairs, limits)?;
        let trimmed = match options.trim {
            Some(trim) => stream.trim(trim)?,
            None => 0,
        };
        tells_key = trimmed > 0 && options.minds_references();
        if database.is_followed() && !tells_key {
            let len = (trimmed > 0).then(|| stream.len().to_string());
            let id = IdText::of(id);
            let mut words: SmallVec<[&[u8]; 16]> = smallvec![&b"XADD"[..], &args[1]];
            if options.no_mkstream {
                words.push(b"NOMKSTREAM");
            }
            if let Some(len) = &len {
                words.extend([&b"MAXLEN"[..], b"=", len.as_bytes()]);
            }
            words.push(id.as_ref());
            words.extend(args.from(at + 1));
            database.effect(&words);
        }
        key.set_dirty(1);
        key.event(EventClass::STREAM, "xadd");
        if trimmed > 0 {
            key.event(EventClass::STREAM, "xtrim");
        }
        Ok(Some(id))
    })?;
    if tells_key {
        ctx.effect_is_key(&args[1])?;
    }
    match id {
        Some(id) => ctx.out.bulk(IdText::of(id).as_ref()),
        None => ctx.out.null(),
    }
    Ok(Outcome::Written)
}

fn xtrim(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = Options::parse(args, false, node_limits(ctx))?;
    let database = ctx.database();
    let trimmed = ctx.update_collection(&args[1], |keys| {
        let Some(trim) = options.trim.filter(|_| keys.info(0).is_some()) else {
            return Ok(0);
        };
        let mut stream = keys.stream(0)?;
        let trimmed = stream.trim(trim)?;
        let len = stream.len();
        if trimmed > 0 {
            if database.is_followed() {
                let len = len.to_string();
                database.effect(&[b"XTRIM", &args[1], b"MAXLEN", b"=", len.as_bytes()]);
            }
            keys.event(0, EventClass::STREAM, "xtrim");
            keys.set_dirty(usize::try_from(trimmed).unwrap_or(usize::MAX));
        }
        Ok::<_, CommandError>(trimmed)
    })?;
    if trimmed > 0 && options.minds_references() {
        ctx.effect_is_key(&args[1])?;
    }
    Ok(Reply::Integer(i64::try_from(trimmed).unwrap_or(i64::MAX)).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn parse(line: &str) -> Result<Options, String> {
        let args = OwnedArgs::new(line.split(' '));
        let nodes = NodeLimits {
            bytes: 4096,
            entries: 100,
        };
        Options::parse(args.args(), line.starts_with("xadd"), nodes)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_read() {
        let trim = |line| parse(line).map(|options| options.trim);
        let expected = |to, approximately, limit| {
            Ok(Some(Trim {
                to,
                approximately,
                limit,
                references: References::Keep,
            }))
        };
        let five = TrimTo::Length(5);
        assert_eq!(trim("xtrim s MAXLEN 5"), expected(five, false, 0));
        assert_eq!(trim("xtrim s maxlen = 5"), expected(five, false, 0));
        assert_eq!(trim("xtrim s maxlen ~ 5"), expected(five, true, 10_000));
        assert_eq!(trim("xtrim s maxlen ~ 5 limit 0"), expected(five, true, 0));
        let id = TrimTo::Id(StreamId::new(7, 0));
        assert_eq!(trim("xadd s minid 7 * f v"), expected(id, false, 0));
        let options =
            parse("xadd s NOMKSTREAM 5-1 f v").map(|options| (options.no_mkstream, options.id));
        assert_eq!(
            options,
            Ok((true, Some((3, NewId::Explicit(StreamId::new(5, 1))))))
        );
    }

    #[test]
    fn what_redis_refuses() {
        for (line, error) in [
            (
                "xtrim s limit 5",
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ),
            (
                "xtrim s limit 0",
                "ERR syntax error, XTRIM must be called with a trimming strategy",
            ),
            (
                "xtrim s maxlen 5 limit 5",
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ),
            (
                "xadd s maxlen -1 * f v",
                "ERR The MAXLEN argument must be >= 0.",
            ),
            (
                "xadd s maxlen 1 minid 1 * f v",
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ),
            (
                "xadd s maxlen ~ x * f v",
                "ERR value is not an integer or out of range",
            ),
            (
                "xadd s x f v",
                "ERR Invalid stream ID specified as stream command argument",
            ),
            ("xtrim s x 1", "ERR syntax error"),
        ] {
            assert_eq!(parse(line), Err(error.to_owned()), "{line}");
        }
    }

    #[test]
    fn new_ids_are_higher_than_the_last() {
        let last = StreamId::new(10, u64::MAX);
        assert_eq!(next_id(NewId::Auto, last, 5), Some(StreamId::new(11, 0)));
        assert_eq!(next_id(NewId::Auto, last, 12), Some(StreamId::new(12, 0)));
        assert_eq!(next_id(NewId::OfMillisecond(10), last, 0), None);
        assert_eq!(next_id(NewId::OfMillisecond(9), last, 0), None);
        assert_eq!(
            next_id(NewId::OfMillisecond(11), last, 0),
            Some(StreamId::new(11, 0))
        );
        assert_eq!(next_id(NewId::Explicit(last), last, 0), None);
    }
}

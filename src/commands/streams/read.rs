//! XREAD, XREADGROUP: new entries of several streams, and waiting for them.

use std::time::{Duration, Instant};

use super::entries::Collected;
use super::ids::parse_id;
use super::serve::{
    From, GroupKeys, ReadCall, Reader, Served, check_group, serve_group, serve_read,
};
use super::{COUNT, row};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, KeySpec};
use crate::commands::blocking::Call;
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::error::shown;
use crate::keyspace::{Stream, StreamId, View, now_ms};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::state::Wait;

const BLOCK: Argument = Argument::new("milliseconds", ArgumentKind::Integer)
    .with_token("BLOCK")
    .optional();
const STREAMS: Argument = Argument::new(
    "streams",
    ArgumentKind::Block(&[
        Argument::key().multiple(),
        Argument::new("id", ArgumentKind::String).multiple(),
    ]),
)
.with_token("STREAMS");

pub(in crate::commands) static COMMANDS: &[Row] = &[
    row(
        "xread",
        Arity::AtLeast(4),
        Flags::READONLY
            .union(Flags::BLOCKING)
            .union(Flags::MOVABLEKEYS),
        "5.0.0",
        "Returns the entries of streams behind given IDs, and waits for some where there are none",
        "For each stream mentioned: O(N), with N entries returned.",
        xread,
    )
    .keys(&[KeySpec::half_after(&["RO", "access"], "STREAMS", 1)])
    .arguments(&[COUNT, BLOCK, STREAMS]),
    row(
        "xreadgroup",
        Arity::AtLeast(7),
        Flags::WRITE
            .union(Flags::BLOCKING)
            .union(Flags::MOVABLEKEYS),
        "5.0.0",
        "Delivers new entries of streams to a consumer of a group, or returns those it has not acknowledged; waits \
         for some where there are none",
        "For each stream mentioned: O(M), with M entries returned.",
        xreadgroup,
    )
    .keys(&[KeySpec::half_after(&["RO", "access"], "STREAMS", 4)])
    .arguments(&[
        Argument::new(
            "group-block",
            ArgumentKind::Block(&[super::GROUP, super::CONSUMER]),
        )
        .with_token("GROUP"),
        COUNT,
        BLOCK,
        Argument::token("noack", "NOACK").optional(),
        STREAMS,
    ]),
];

/// Whether a call waits.
#[derive(Clone, Copy, Debug)]
enum Block {
    No,
    /// Up to this time, or for ever.
    Until(Option<Instant>),
}

/// A call, as its arguments give it.
struct Words<'a> {
    block: Block,
    count: usize,
    reader: Option<Reader>,
    keys: Vec<&'a [u8]>,
    ids: Vec<&'a [u8]>,
}

impl<'a> Words<'a> {
    fn parse(args: Args<'a>, in_script: bool) -> Result<Self, CommandError> {
        let by_group = args[0].len() == "xreadgroup".len();
        let name = if by_group { "xreadgroup" } else { "xread" };
        let mut words = Self {
            block: Block::No,
            count: 0,
            reader: None,
            keys: Vec::new(),
            ids: Vec::new(),
        };
        let mut no_ack = false;
        let mut at = 1;
        while let Some(option) = args.get(at) {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            let more = args.len() - at - 1;
            if is("block") && more > 0 {
                if in_script {
                    // Redis writes the name as the script does.
                    let called = shown(&args[0], args[0].len());
                    let text = format!(
                        "ERR {called} command is not allowed with BLOCK option from scripts"
                    );
                    return Err(CommandError::Text(text.into()));
                }
                at += 1;
                words.block = parse_timeout(&args[at])?;
            } else if is("count") && more > 0 {
                at += 1;
                let count = parse_i64(&args[at]).ok_or(CommandError::NotAnInteger)?;
                words.count = usize::try_from(count).unwrap_or(0);
            } else if is("streams") && more > 0 {
                if !more.is_multiple_of(2) {
                    let symbol = if by_group { '>' } else { '$' };
                    let text = format!(
                        "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' must be \
                         specified."
                    );
                    return Err(CommandError::Text(text.into()));
                }
                words.keys = args.from(at + 1).take(more / 2).collect();
                words.ids = args.from(at + 1 + more / 2).collect();
                break;
            } else if is("group") && more >= 2 {
                if !by_group {
                    return Err(CommandError::text(
                        "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                words.reader = Some(Reader {
                    group: args[at + 1].to_vec(),
                    consumer: args[at + 2].to_vec(),
                    no_ack: false,
                });
                at += 2;
            } else if is("noack") {
                if !by_group {
                    return Err(CommandError::text(
                        "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                no_ack = true;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        if words.keys.is_empty() {
            return Err(CommandError::Syntax);
        }
        if by_group && words.reader.is_none() {
            return Err(CommandError::text(
                "ERR Missing GROUP option for XREADGROUP",
            ));
        }
        if let Some(reader) = &mut words.reader {
            reader.no_ack = no_ack;
        }
        Ok(words)
    }

    fn call(&self, from: Vec<From>) -> ReadCall {
        ReadCall {
            keys: self.keys.iter().map(|key| key.to_vec()).collect(),
            from,
            count: self.count,
            reader: self.reader.clone(),
        }
    }
}

/// A timeout in milliseconds; 0 has no end.
fn parse_timeout(text: &[u8]) -> Result<Block, CommandError> {
    let ms = parse_i64(text).ok_or(CommandError::text(
        "ERR timeout is not an integer or out of range",
    ))?;
    let ms_max = i64::MAX - now_ms();
    match u64::try_from(ms) {
        Err(_) => Err(CommandError::text("ERR timeout is negative")),
        Ok(0) => Ok(Block::Until(None)),
        Ok(_) if ms > ms_max => Err(CommandError::text("ERR timeout is out of range")),
        Ok(ms) => Ok(Block::Until(
            Instant::now().checked_add(Duration::from_millis(ms)),
        )),
    }
}

/// From where XREAD reads a stream.
fn read_from(text: &[u8], stream: Option<Stream<'_>>) -> Result<From, CommandError> {
    let last_id = stream.map_or(StreamId::MIN, |stream| stream.last_id());
    let id = match text {
        b"$" => last_id,
        b"+" => {
            let last = stream.map_or(Ok(None), |stream| stream.last_entry_id())?;
            last.map_or(last_id, |last| last.previous().unwrap_or(last))
        }
        b">" => {
            return Err(CommandError::text(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
            ));
        }
        _ => parse_id(text, 0)?,
    };
    Ok(From::After(id))
}

/// From where XREADGROUP reads a stream.
fn group_reads_from(text: &[u8]) -> Result<From, CommandError> {
    match text {
        b"$" => Err(CommandError::text(
            "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer \
             by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty \
             result set.",
        )),
        b"+" => Err(CommandError::text(
            "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer \
             by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty \
             result set.",
        )),
        b">" => Ok(From::New),
        _ => Ok(match parse_id(text, 0)? {
            // As in Redis, which marks `>` so.
            StreamId::MAX => From::New,
            id => From::After(id),
        }),
    }
}

fn xread(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let words = Words::parse(args, ctx.session.in_script)?;
    let mut looked_up = Vec::new();
    let database = ctx.database();
    let out = &*ctx.out;
    let read = database.view_many(words.keys.iter().copied(), |views| {
        let mut from = Vec::with_capacity(views.len());
        for (view, id) in views.iter().zip(&words.ids) {
            looked_up.push(view.is_some());
            let stream = view.map(View::stream).transpose()?;
            from.push(read_from(id, stream)?);
        }
        let served = serve_read(views, &from, words.count, &mut || {
            Collected::Encoded(out.part(), 0)
        })?;
        Ok::<_, CommandError>((from, served))
    })?;
    for (key, &found) in words.keys.iter().zip(&looked_up) {
        ctx.looked_up(key, found);
    }
    let (from, served) = read?;
    // Redis looks each key up once more to read it.
    for (key, &found) in words.keys.iter().zip(&looked_up) {
        ctx.looked_up(key, found);
    }
    Ok(answer(ctx, &words, from, served))
}

fn xreadgroup(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let words = Words::parse(args, ctx.session.in_script)?;
    let Some(reader) = &words.reader else {
        return Err(CommandError::Syntax);
    };
    let mut looked_up = Vec::new();
    let now = ctx.access.clock();
    let database = ctx.database();
    let out = &*ctx.out;
    let read = GroupKeys::lock(database, &words.keys, |keys| {
        looked_up.clear();
        let mut from = Vec::with_capacity(words.keys.len());
        for (i, (key, id)) in words.keys.iter().zip(&words.ids).enumerate() {
            looked_up.push(keys.has(i));
            check_group(keys, i, key, reader)?;
            from.push(group_reads_from(id)?);
        }
        let named = (database, &words.keys[..]);
        let served = serve_group(keys, named, reader, &from, (words.count, now), &mut || {
            Collected::Encoded(out.part(), 0)
        })?;
        Ok::<_, CommandError>((from, served))
    });
    for (key, &found) in words.keys.iter().zip(&looked_up) {
        ctx.looked_up(key, found);
    }
    let (from, served) = read?;
    for (key, &found) in words.keys.iter().zip(&looked_up) {
        ctx.looked_up(key, found);
    }
    Ok(answer(ctx, &words, from, served))
}

/// Answers what was read, or waits.
fn answer(ctx: &mut Context<'_>, words: &Words<'_>, from: Vec<From>, served: Served) -> Outcome {
    if !served.is_empty() {
        ctx.out.pairs_header(served.len());
        for (i, entries) in served {
            ctx.out.pair_header();
            ctx.out.bulk(words.keys[i]);
            entries.write(ctx.out);
        }
        return Outcome::Written;
    }
    match words.block {
        Block::Until(deadline) if !ctx.session.in_step() => Outcome::Block(Box::new(Wait {
            call: Box::new(Call::Read(words.call(from))),
            deadline,
        })),
        _ => Reply::NullArray.into(),
    }
}

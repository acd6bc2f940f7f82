//! XREAD, XREADGROUP: new entries of several streams, and waiting for them.

use std::time::{Duration, Instant};

use super::entries::Collected;
use super::ids::parse_id;
use super::{COUNT, no_group, row};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, KeySpec};
use crate::commands::blocking::Call;
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Database, Outcome};
use crate::error::shown;
use crate::keyspace::{
    EventClass, GroupState, PendingState, Stream, StreamEdit, StreamId, Update, View, now_ms,
};
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

/// From where a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum From {
    /// The entries behind this id.
    After(StreamId),
    /// `>`: the entries that the group has not delivered yet.
    New,
}

/// The group that reads.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Reader {
    group: Vec<u8>,
    consumer: Vec<u8>,
    no_ack: bool,
}

/// A call that waits for entries.
#[derive(Debug)]
pub(in crate::commands) struct ReadCall {
    keys: Vec<Vec<u8>>,
    from: Vec<From>,
    /// The most entries of each stream; 0 is no limit.
    count: usize,
    reader: Option<Reader>,
}

/// The entries of a stream, by its position in the call.
type Served = Vec<(usize, Collected)>;

/// A call, as its arguments give it.
struct Words<'a> {
    /// How long it waits: not at all, for ever, or up to a time.
    block: Option<Option<Instant>>,
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
            block: None,
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
                words.block = Some(parse_timeout(&args[at])?);
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

/// The end of a timeout in milliseconds; `None` where it has none.
fn parse_timeout(text: &[u8]) -> Result<Option<Instant>, CommandError> {
    let ms = parse_i64(text).ok_or(CommandError::text(
        "ERR timeout is not an integer or out of range",
    ))?;
    let ms_max = i64::MAX - now_ms();
    match u64::try_from(ms) {
        Err(_) => Err(CommandError::text("ERR timeout is negative")),
        Ok(0) => Ok(None),
        Ok(_) if ms > ms_max => Err(CommandError::text("ERR timeout is out of range")),
        Ok(ms) => Ok(Instant::now().checked_add(Duration::from_millis(ms))),
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
    answer(ctx, &words, from, served)
}

fn xreadgroup(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let words = Words::parse(args, ctx.session.in_script)?;
    let Some(reader) = &words.reader else {
        return Err(CommandError::Syntax);
    };
    let mut looked_up = Vec::new();
    let now = ctx.access.now;
    let database = ctx.database();
    let out = &*ctx.out;
    let read = database.update_many(words.keys.iter().copied(), |keys| {
        looked_up.clear();
        let mut from = Vec::with_capacity(words.keys.len());
        for (i, (key, id)) in words.keys.iter().zip(&words.ids).enumerate() {
            looked_up.push(keys.info(i).is_some());
            check_group(keys, i, key, reader)?;
            from.push(group_reads_from(id)?);
        }
        let served = serve_group(keys, reader, &from, (words.count, now), &mut || {
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
    answer(ctx, &words, from, served)
}

/// Answers what was read, or waits.
fn answer(
    ctx: &mut Context<'_>,
    words: &Words<'_>,
    from: Vec<From>,
    served: Served,
) -> CommandResult {
    if !served.is_empty() {
        ctx.out.pairs_header(served.len());
        for (i, entries) in served {
            ctx.out.pair_header();
            ctx.out.bulk(words.keys[i]);
            entries.write(ctx.out);
        }
        return Ok(Outcome::Written);
    }
    match words.block {
        Some(deadline) if !ctx.session.in_step() => Ok(Outcome::Block(Box::new(Wait {
            call: Box::new(Call::Read(words.call(from))),
            deadline,
        }))),
        _ => Ok(Reply::NullArray.into()),
    }
}

/// Reads the streams that have entries.
fn serve_read(
    views: &[Option<View<'_>>],
    from: &[From],
    count: usize,
    collected: &mut dyn FnMut() -> Collected,
) -> Result<Served, CommandError> {
    let mut served = Served::new();
    for (i, (view, from)) in views.iter().zip(from).enumerate() {
        let (Some(view), From::After(id)) = (view, from) else {
            continue;
        };
        let stream = view.stream()?;
        if stream.last_entry_id()?.is_some_and(|last| last > *id)
            && let Some(start) = id.next()
        {
            let mut entries = collected();
            entries.add_range(stream, (start, StreamId::MAX), false, count)?;
            served.push((i, entries));
        }
    }
    Ok(served)
}

/// Checks that key `i` is a stream that has the group.
fn check_group(
    keys: &Update<'_>,
    i: usize,
    key: &[u8],
    reader: &Reader,
) -> Result<(), CommandError> {
    let stream = keys.view(i).map(View::stream).transpose()?;
    match stream.and_then(|stream| stream.group(&reader.group)) {
        Some(_) => Ok(()),
        None => Err(no_group(
            key,
            &reader.group,
            " in XREADGROUP with GROUP option",
        )),
    }
}

/// Reads the streams for a consumer of the group, which all of them have.
fn serve_group(
    keys: &mut Update<'_>,
    reader: &Reader,
    from: &[From],
    (count, now): (usize, i64),
    collected: &mut dyn FnMut() -> Collected,
) -> Result<Served, CommandError> {
    let mut served = Served::new();
    let mut changes = 0;
    for (i, &from) in from.iter().enumerate() {
        let mut stream = keys.stream(i)?;
        let Some(group) = stream.group(&reader.group) else {
            continue;
        };
        let consumer = stream.consumer(group, &reader.consumer);
        let created = consumer.is_none();
        let consumer =
            consumer.unwrap_or_else(|| stream.create_consumer(group, &reader.consumer, now));
        let mut entries = collected();
        let serves = match from {
            From::After(id) => {
                stream.touch_consumer(group, consumer, now, false);
                read_history(
                    &mut stream,
                    (group, consumer),
                    id,
                    (count, now),
                    &mut entries,
                )?;
                true
            }
            From::New => {
                let last_id = stream.group_state(group).last_id;
                let has_new = stream
                    .view()
                    .last_entry_id()?
                    .is_some_and(|last| last > last_id);
                if has_new {
                    let ids = deliver(&mut stream, group, count, &mut entries)?;
                    if !reader.no_ack {
                        let pending = PendingState {
                            consumer,
                            delivered_at: now,
                            deliveries: 1,
                        };
                        for &id in &ids {
                            stream.set_pending(group, id, pending);
                        }
                    }
                }
                stream.touch_consumer(group, consumer, now, has_new && !reader.no_ack);
                has_new
            }
        };
        if created {
            changes += 1;
            keys.event(i, EventClass::STREAM, "xgroup-createconsumer");
        }
        if serves {
            changes += 1;
            served.push((i, entries));
        }
    }
    keys.set_dirty(changes);
    Ok(served)
}

/// Collects the entries that a group has not delivered yet, and notes that they are delivered.
fn deliver(
    stream: &mut StreamEdit<'_>,
    group: u32,
    count: usize,
    entries: &mut Collected,
) -> Result<Vec<StreamId>, CommandError> {
    let GroupState {
        mut last_id,
        mut entries_read,
    } = stream.group_state(group);
    let view = stream.view();
    let start = last_id.next().unwrap_or(StreamId::MAX);
    let ids = entries.add_range(view, (start, StreamId::MAX), false, count)?;
    for &id in &ids {
        let is_known =
            entries_read >= 0 && last_id >= view.first_id() && !view.has_deleted_from(last_id);
        if is_known {
            entries_read += 1;
        } else if view.entries_added() > 0 {
            entries_read = view.entries_up_to(id).map_or(-1, u64::cast_signed);
        }
        last_id = id;
    }
    let state = GroupState {
        last_id,
        entries_read,
    };
    stream.set_group_state(group, state);
    Ok(ids)
}

/// Collects the pending entries of a consumer behind an id, and counts them as delivered once more.
fn read_history(
    stream: &mut StreamEdit<'_>,
    (group, consumer): (u32, u32),
    after: StreamId,
    (count, now): (usize, i64),
    entries: &mut Collected,
) -> Result<(), CommandError> {
    let start = after.next().unwrap_or(StreamId::MIN);
    let most = if count == 0 { usize::MAX } else { count };
    let view = stream.view();
    for id in stream.pending_ids(group, Some(consumer), start, most) {
        if entries.add_range(view, (id, id), false, 1)?.is_empty() {
            entries.push_deleted(id);
        } else if let Some(pending) = stream.pending(group, id) {
            let pending = PendingState {
                delivered_at: now,
                deliveries: pending.deliveries.saturating_add(1),
                ..pending
            };
            stream.set_pending(group, id, pending);
        }
    }
    Ok(())
}

impl ReadCall {
    /// The streams.
    pub fn keys(&self) -> Vec<&[u8]> {
        self.keys.iter().map(Vec::as_slice).collect()
    }

    /// Whether the call ends if a stream goes away: its group goes with it.
    pub fn by_group(&self) -> bool {
        self.reader.is_some()
    }

    /// Tries the call; `None` if no stream has an entry for it.
    pub fn attempt(&self, database: Database<'_>) -> Result<Option<Reply>, CommandError> {
        let names = self.keys();
        let mut collected = || Collected::Data(Vec::new());
        let served = match &self.reader {
            None => database.view_many(names.iter().copied(), |views| {
                // Another type has nothing for it.
                let views: Vec<_> = views
                    .iter()
                    .map(|view| view.filter(|view| view.stream().is_ok()))
                    .collect();
                serve_read(&views, &self.from, self.count, &mut collected)
            })??,
            Some(reader) => database.update_many(names.iter().copied(), |keys| {
                for (i, key) in names.iter().enumerate() {
                    check_group(keys, i, key, reader)?;
                }
                let now = database.access.now;
                serve_group(keys, reader, &self.from, (self.count, now), &mut collected)
            })?,
        };
        if served.is_empty() {
            return Ok(None);
        }
        let pairs = served.into_iter().map(|(i, entries)| {
            let entries = match entries {
                Collected::Data(entries) => entries,
                Collected::Encoded(..) => Vec::new(),
            };
            (Reply::bulk(names[i]), Reply::Array(entries))
        });
        Ok(Some(Reply::Pairs(pairs.collect())))
    }
}

//! XCLAIM, XAUTOCLAIM: pending entries change their consumer.

use super::effects::GroupEffects;
use super::entries::{Collected, id_reply};
use super::ids::{IdText, parse_id, parse_start};
use super::{CONSUMER, COUNT, GROUP, IDS, SHOWN_BYTES_MAX, no_group, row};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, KeySpec};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context, Database, Outcome};
use crate::error::shown;
use crate::keyspace::{EventClass, Millis, PendingState, StreamEdit, StreamId, Update};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

const MIN_IDLE: Argument = Argument::new("min-idle-time", ArgumentKind::String);
const JUSTID: Argument = Argument::token("justid", "JUSTID").optional();

pub(in crate::commands) static COMMANDS: &[Row] = &[
    row(
        "xclaim",
        Arity::AtLeast(6),
        Flags::WRITE.union(Flags::FAST),
        "5.0.0",
        "Gives pending entries to another consumer",
        "O(log N) with N being the number of messages in the PEL of the consumer group.",
        xclaim,
    )
    .keys(&[KeySpec::first(&["RW", "update"])])
    .tips(&["nondeterministic_output"])
    .arguments(&[
        Argument::key(),
        GROUP,
        CONSUMER,
        MIN_IDLE,
        IDS,
        Argument::new("ms", ArgumentKind::Integer)
            .with_token("IDLE")
            .optional(),
        Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime)
            .with_token("TIME")
            .optional(),
        Argument::new("count", ArgumentKind::Integer)
            .with_token("RETRYCOUNT")
            .optional(),
        Argument::token("force", "FORCE").optional(),
        JUSTID,
        Argument::new("lastid", ArgumentKind::String)
            .with_token("LASTID")
            .optional(),
    ]),
    row(
        "xautoclaim",
        Arity::AtLeast(6),
        Flags::WRITE.union(Flags::FAST),
        "6.2.0",
        "Gives pending entries that were idle for long to another consumer",
        "O(1) if COUNT is small.",
        xautoclaim,
    )
    .keys(&[KeySpec::first(&["RW", "delete"])])
    .tips(&["nondeterministic_output"])
    .arguments(&[
        Argument::key(),
        GROUP,
        CONSUMER,
        MIN_IDLE,
        Argument::new("start", ArgumentKind::String),
        COUNT,
        JUSTID,
    ])
    .history(&[(
        "7.0.0",
        "Added an element to the reply array, containing deleted entries the command cleared from the PEL",
    )]),
];

/// Entries that XAUTOCLAIM looks at for each that it may claim.
const ATTEMPTS_FACTOR: usize = 10;

/// The most that XAUTOCLAIM may be asked for.
const COUNT_MAX: i64 = i64::MAX / 16;

/// Who claims, and how.
struct Claim {
    group: u32,
    consumer: u32,
    now: Millis,
    min_idle: i64,
    delivered_at: Millis,
    /// The count of deliveries, where the call gives one.
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
}

/// What became of an id.
enum Claimed {
    Yes,
    /// It is not pending, or not idle for long enough.
    No,
    /// Its entry is deleted; it is pending no longer.
    Deleted,
}

/// The effects of the call, which begin with the consumer if the call has made it.
fn begin_effects<'e>(database: Database<'e>, args: Args<'e>, created: bool) -> GroupEffects<'e> {
    let (key, group, consumer) = (args.get(1), args.get(2), args.get(3));
    let effects = GroupEffects {
        database,
        key: key.unwrap_or_default(),
        group: group.unwrap_or_default(),
    };
    database.begin_effects();
    if created {
        effects.create_consumer(consumer.unwrap_or_default());
    }
    effects
}

impl Claim {
    /// Claims an entry for the consumer of this name, and tells replicas.
    fn run_followed(
        &self,
        stream: &mut StreamEdit<'_>,
        id: StreamId,
        effects: GroupEffects<'_>,
        name: &[u8],
    ) -> Result<Claimed, CommandError> {
        let claimed = self.run(stream, id)?;
        match claimed {
            Claimed::Yes if effects.database.is_followed() => {
                if let Some(pending) = stream.pending(self.group, id) {
                    let last_id = stream.group_state(self.group).last_id;
                    effects.claim(name, &[id], pending, last_id);
                }
            }
            Claimed::Deleted => effects.acknowledge(&[id]),
            Claimed::Yes | Claimed::No => {}
        }
        Ok(claimed)
    }

    fn run(&self, stream: &mut StreamEdit<'_>, id: StreamId) -> Result<Claimed, CommandError> {
        let pending = stream.pending(self.group, id);
        if !stream.contains(id)? {
            return Ok(if stream.remove_pending(self.group, id) {
                Claimed::Deleted
            } else {
                Claimed::No
            });
        }
        if pending.is_none() && !self.force {
            return Ok(Claimed::No);
        }
        if let Some(pending) = pending
            && self.min_idle > 0
            && self.now.saturating_sub(pending.delivered_at) < self.min_idle
        {
            return Ok(Claimed::No);
        }
        // An entry that FORCE makes pending counts as delivered once.
        let before = pending.map_or(1, |pending| pending.deliveries);
        let deliveries = match self.deliveries {
            Some(deliveries) => deliveries,
            None if self.just_id => before,
            None => before.saturating_add(1),
        };
        let pending = PendingState {
            consumer: self.consumer,
            delivered_at: self.delivered_at,
            deliveries,
        };
        stream.set_pending(self.group, id, pending);
        Ok(Claimed::Yes)
    }
}

/// Collects a claimed entry.
fn collect(
    stream: &StreamEdit<'_>,
    id: StreamId,
    just_id: bool,
    claimed: &mut Claims,
) -> Result<(), CommandError> {
    if just_id {
        claimed.ids.push(id);
    } else {
        claimed
            .entries
            .add_range(stream.view(), (id, id), false, 1)?;
    }
    Ok(())
}

/// The reply's entries or ids.
struct Claims {
    entries: Collected,
    ids: Vec<StreamId>,
}

impl Claims {
    fn write(self, ctx: &mut Context<'_>, just_id: bool) {
        if just_id {
            ctx.out.array_header(self.ids.len());
            for id in self.ids {
                ctx.out.bulk(IdText::of(id).as_ref());
            }
        } else {
            self.entries.write(ctx.out);
        }
    }
}

/// The consumer of this name, which is made where it is missing; and whether it was.
fn consumer_of(stream: &mut StreamEdit<'_>, group: u32, name: &[u8], now: Millis) -> (u32, bool) {
    match stream.consumer(group, name) {
        Some(consumer) => (consumer, false),
        None => (stream.create_consumer(group, name, now), true),
    }
}

/// Tells of a call's changes.
fn tell(keys: &mut Update<'_>, created: bool, changes: usize) {
    if created {
        keys.event(0, EventClass::STREAM, "xgroup-createconsumer");
    }
    keys.set_dirty(changes + usize::from(created));
}

/// The options of XCLAIM.
struct Options {
    ids: Vec<StreamId>,
    delivered_at: Option<Millis>,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

impl Options {
    fn parse(args: Args<'_>, now: Millis) -> Result<Self, CommandError> {
        let ids = args.from(5).map_while(|id| parse_id(id, 0).ok());
        let mut options = Self {
            ids: ids.collect(),
            delivered_at: None,
            deliveries: None,
            force: false,
            just_id: false,
            last_id: StreamId::MIN,
        };
        let mut rest = args.from(5 + options.ids.len());
        let mut left = args.len() - 5 - options.ids.len();
        while let Some(option) = rest.next() {
            left -= 1;
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("force") {
                options.force = true;
                continue;
            }
            if is("justid") {
                options.just_id = true;
                continue;
            }
            let known = ["idle", "time", "retrycount", "lastid"];
            if left == 0 || !known.iter().any(|name| is(name)) {
                let option = shown(option, SHOWN_BYTES_MAX);
                let text = format!("ERR Unrecognized XCLAIM option '{option}'");
                return Err(CommandError::Text(text.into()));
            }
            let operand = rest.next().unwrap_or_default();
            left -= 1;
            let integer = |text| parse_i64(operand).ok_or(CommandError::text(text));
            if is("idle") {
                let idle = integer("ERR Invalid IDLE option argument for XCLAIM")?;
                options.delivered_at = Some(now.wrapping_sub(idle));
            } else if is("time") {
                options.delivered_at =
                    Some(integer("ERR Invalid TIME option argument for XCLAIM")?);
            } else if is("retrycount") {
                let count = integer("ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
                options.deliveries = u64::try_from(count).ok();
            } else {
                options.last_id = parse_id(operand, 0)?;
            }
        }
        Ok(options)
    }
}

fn min_idle(text: &[u8], error: &'static str) -> Result<i64, CommandError> {
    Ok(parse_i64(text).ok_or(CommandError::text(error))?.max(0))
}

fn xclaim(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let now = ctx.access.clock();
    let mut found = false;
    let out = &*ctx.out;
    let database = ctx.database();
    let result = database.update_collection(&args[1], |keys| {
        found = keys.info(0).is_some();
        let missing = || no_group(&args[1], &args[2], "");
        if !found {
            return Err(missing());
        }
        let mut stream = keys.stream(0)?;
        let group = stream.group(&args[2]).ok_or_else(missing)?;
        let min_idle = min_idle(&args[4], "ERR Invalid min-idle-time argument for XCLAIM")?;
        let options = Options::parse(args, now)?;
        let mut state = stream.group_state(group);
        let moves_last_id = options.last_id > state.last_id;
        if moves_last_id {
            state.last_id = options.last_id;
            stream.set_group_state(group, state);
        }
        let (consumer, created) = consumer_of(&mut stream, group, &args[3], now);
        // Redis takes a time that makes no sense for the present one. It marks a time that is not given by -1.
        let given = options.delivered_at.filter(|at| (0..=now).contains(at));
        let claim = Claim {
            group,
            consumer,
            now,
            min_idle,
            delivered_at: given.unwrap_or(now),
            deliveries: options.deliveries,
            force: options.force,
            just_id: options.just_id,
        };
        let mut claims = Claims {
            entries: Collected::Encoded(out.part(), 0),
            ids: Vec::new(),
        };
        let effects = begin_effects(database, args, created);
        if moves_last_id {
            effects.set_state(state);
        }
        let (mut claimed, mut changes) = (false, 0);
        for id in options.ids {
            match claim.run_followed(&mut stream, id, effects, &args[3])? {
                Claimed::Yes => {
                    collect(&stream, id, claim.just_id, &mut claims)?;
                    claimed = true;
                    changes += 1;
                }
                Claimed::Deleted => changes += 1,
                Claimed::No => {}
            }
        }
        stream.touch_consumer(group, consumer, now, claimed);
        let moved = usize::from(moves_last_id && changes == 0);
        tell(keys, created, changes + moved);
        Ok((claims, options.just_id))
    });
    ctx.looked_up(&args[1], found);
    let (claims, just_id) = result?;
    claims.write(ctx, just_id);
    Ok(Outcome::Written)
}

/// The options of XAUTOCLAIM: how many, and whether it returns ids alone.
fn auto_options(args: Args<'_>) -> Result<(usize, bool), CommandError> {
    let (mut count, mut just_id) = (100, false);
    let mut rest = args.from(6);
    while let Some(option) = rest.next() {
        if option.eq_ignore_ascii_case(b"justid") {
            just_id = true;
            continue;
        }
        let number = rest
            .next()
            .filter(|_| option.eq_ignore_ascii_case(b"count"));
        let number = parse_i64(number.ok_or(CommandError::Syntax)?);
        let number = number.filter(|number| (1..=COUNT_MAX).contains(number));
        let number = number.and_then(|number| usize::try_from(number).ok());
        count = number.ok_or(CommandError::text("ERR COUNT must be > 0"))?;
    }
    Ok((count, just_id))
}

fn xautoclaim(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let now = ctx.access.clock();
    let min_idle = min_idle(
        &args[4],
        "ERR Invalid min-idle-time argument for XAUTOCLAIM",
    );
    let parsed = min_idle.and_then(|min_idle| {
        let start = parse_start(&args[5])?;
        let (count, just_id) = auto_options(args)?;
        Ok((min_idle, start, count, just_id))
    });
    let mut found = false;
    let out = &*ctx.out;
    let database = ctx.database();
    let result = database.update_collection(&args[1], |keys| {
        found = keys.info(0).is_some();
        let (min_idle, start, mut count, just_id) = parsed?;
        let missing = || no_group(&args[1], &args[2], "");
        if !found {
            return Err(missing());
        }
        let mut stream = keys.stream(0)?;
        let group = stream.group(&args[2]).ok_or_else(missing)?;
        let (consumer, created) = consumer_of(&mut stream, group, &args[3], now);
        let claim = Claim {
            group,
            consumer,
            now,
            min_idle,
            delivered_at: now,
            deliveries: None,
            force: false,
            just_id,
        };
        let mut claims = Claims {
            entries: Collected::Encoded(out.part(), 0),
            ids: Vec::new(),
        };
        let effects = begin_effects(database, args, created);
        let attempts = count.saturating_mul(ATTEMPTS_FACTOR);
        let ids = stream.pending_ids(group, None, start, attempts.saturating_add(1));
        let mut deleted = Vec::new();
        let (mut looked_at, mut changes) = (0, 0);
        while looked_at < attempts.min(ids.len()) && count > 0 {
            let id = ids[looked_at];
            looked_at += 1;
            match claim.run_followed(&mut stream, id, effects, &args[3])? {
                Claimed::Yes => collect(&stream, id, just_id, &mut claims)?,
                Claimed::Deleted => deleted.push(id),
                Claimed::No => continue,
            }
            changes += 1;
            count -= 1;
        }
        let claimed = changes > deleted.len();
        stream.touch_consumer(group, consumer, now, claimed);
        let next = ids.get(looked_at).copied().unwrap_or_default();
        tell(keys, created, changes);
        Ok((claims, just_id, next, deleted))
    });
    ctx.looked_up(&args[1], found);
    let (claims, just_id, next, deleted) = result?;
    ctx.out.array_header(3);
    ctx.out.bulk(IdText::of(next).as_ref());
    claims.write(ctx, just_id);
    let deleted = deleted.into_iter().map(id_reply).collect();
    ctx.out.reply(&Reply::Array(deleted));
    Ok(Outcome::Written)
}

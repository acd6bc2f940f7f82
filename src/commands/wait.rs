//! WAIT and WAITAOF: how many replicas have what the connection has written.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::{CommandError, CommandResult, Context, Outcome};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::Row;
use crate::keyspace::{Access, Keyspace, Kind, now_ms};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::state::{BlockedCall, Feed, Wait};

pub(super) static COMMANDS: &[Row] = &[
    Row::new("wait", Arity::Exactly(3), wait)
        .flags(Flags::BLOCKING)
        .categories(Categories::CONNECTION)
        .group(Group::Generic, "3.0.0")
        .summary("Waits until enough replicas have the connection's writes.")
        .complexity("O(1)")
        .arguments(&[
            Argument::new("numreplicas", ArgumentKind::Integer),
            Argument::new("timeout", ArgumentKind::Integer),
        ])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"]),
    Row::new("waitaof", Arity::Exactly(4), waitaof)
        .flags(Flags::BLOCKING)
        .categories(Categories::CONNECTION)
        .group(Group::Generic, "7.2.0")
        .summary(
            "Waits until enough replicas have the connection's writes in their append-only files.",
        )
        .complexity("O(1)")
        .arguments(&[
            Argument::new("numlocal", ArgumentKind::Integer),
            Argument::new("numreplicas", ArgumentKind::Integer),
            Argument::new("timeout", ArgumentKind::Integer),
        ])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"]),
];

/// A call that waits for replicas.
#[derive(Debug)]
struct WaitCall {
    feed: Arc<Feed>,
    /// The connection's last change; 0 if replicas follow none.
    ticket: u64,
    /// Where the stream was when it had that change.
    end: OnceLock<u64>,
    replicas: i64,
    /// Whether the replicas' append-only files must have it.
    synced: bool,
}

impl WaitCall {
    /// How many replicas have the change.
    fn count(&self) -> i64 {
        let end = if self.ticket == 0 {
            Some(0)
        } else {
            self.end.get().copied().or_else(|| {
                let end = self.feed.end_behind(self.ticket)?;
                Some(*self.end.get_or_init(|| end))
            })
        };
        // Before the stream has it no replica has.
        let count = end.map_or(0, |end| self.feed.acknowledgements(end, self.synced));
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    fn reply(&self, count: i64) -> Reply {
        if self.synced {
            // There is no append-only file here.
            Reply::Array(vec![Reply::Integer(0), Reply::Integer(count)])
        } else {
            Reply::Integer(count)
        }
    }
}

impl BlockedCall for WaitCall {
    fn kind(&self) -> Kind {
        Kind::String
    }

    fn needs_value(&self) -> bool {
        false
    }

    fn keys(&self) -> Vec<&[u8]> {
        Vec::new()
    }

    fn timed_out(&self) -> Reply {
        self.reply(self.count())
    }

    fn waits_for_replicas(&self) -> bool {
        true
    }

    fn attempt(&self, _: &Keyspace, _: usize, _: Access) -> Result<Option<Reply>, CommandError> {
        let count = self.count();
        Ok((count >= self.replicas).then(|| self.reply(count)))
    }
}

/// The end of a wait; `None` waits for ever.
fn parse_timeout(argument: &[u8]) -> Result<Option<Instant>, CommandError> {
    let ms = parse_i64(argument).ok_or(CommandError::text(
        "ERR timeout is not an integer or out of range",
    ))?;
    let ms = u64::try_from(ms).map_err(|_| CommandError::text("ERR timeout is negative"))?;
    if i64::try_from(ms).is_ok_and(|ms| ms > i64::MAX - now_ms()) {
        return Err(CommandError::text("ERR timeout is out of range"));
    }
    Ok((ms > 0)
        .then(|| Instant::now().checked_add(Duration::from_millis(ms)))
        .flatten())
}

fn wait(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if ctx.server.replication.is_replica() {
        return Err(CommandError::text(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
             configured to be writable (which is not the default) writes to replicas are just local and are not \
             propagated.",
        ));
    }
    let replicas = parse_i64(&args[1]).ok_or(CommandError::NotAnInteger)?;
    let deadline = parse_timeout(&args[2])?;
    Ok(run(ctx, replicas, false, deadline))
}

/// Every acknowledged write is durable in the pool. There is no append-only file here, but replicas may have one.
fn waitaof(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if ctx.server.replication.is_replica() {
        return Err(CommandError::text(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just \
             local and are not propagated.",
        ));
    }
    let local = parse_i64(&args[1]).ok_or(CommandError::NotAnInteger)?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::text(
            "ERR value is out of range, value must between 0 and 1",
        ));
    }
    let replicas = parse_i64(&args[2]).filter(|&replicas| replicas >= 0);
    let replicas = replicas.ok_or(CommandError::text(
        "ERR value is out of range, must be positive",
    ))?;
    let deadline = parse_timeout(&args[3])?;
    if local > 0 {
        return Err(CommandError::text(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    Ok(run(ctx, replicas, true, deadline))
}

fn run(ctx: &mut Context<'_>, replicas: i64, synced: bool, deadline: Option<Instant>) -> Outcome {
    let handle = &ctx.session.handle;
    let call = WaitCall {
        feed: Arc::clone(&ctx.server.feed),
        ticket: handle
            .last_ticket
            .load(std::sync::atomic::Ordering::Relaxed),
        end: OnceLock::new(),
        replicas,
        synced,
    };
    let count = call.count();
    if count >= replicas || ctx.session.in_step() {
        return call.reply(count).into();
    }
    Outcome::Block(Box::new(Wait {
        call: Box::new(call),
        deadline,
    }))
}

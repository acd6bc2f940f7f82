//! WAIT and WAITAOF: how many replicas have what the connection has written.

use std::sync::atomic::{AtomicBool, Ordering};
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
            "Waits until the connection's writes survive a loss of power, here and on enough replicas.",
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
    /// WAITAOF asks what is synced, here and on the replicas.
    synced: Option<Local>,
}

/// What WAITAOF asks of this server's own pool.
#[derive(Debug)]
struct Local {
    /// Whether what is acknowledged must survive a loss of power here too.
    is_asked: bool,
    /// When the call came, where a sync each second decides: all that was acknowledged before must be synced.
    called_ms: Option<i64>,
    /// Whether it survives one.
    survives: AtomicBool,
}

impl Local {
    fn look(&self, keyspace: &Keyspace) {
        if let (Some(called), Some(syncs)) = (self.called_ms, keyspace.syncs())
            && syncs.synced_to_ms > called
        {
            self.survives.store(true, Ordering::Relaxed);
        }
    }

    fn count(&self) -> i64 {
        i64::from(self.survives.load(Ordering::Relaxed))
    }
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
        let synced = self.synced.is_some();
        let count = end.map_or(0, |end| self.feed.acknowledgements(end, synced));
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    fn reply(&self, count: i64) -> Reply {
        match &self.synced {
            Some(local) => Reply::Array(vec![Reply::Integer(local.count()), Reply::Integer(count)]),
            None => Reply::Integer(count),
        }
    }

    /// The reply, once there is nothing more to wait for.
    fn done(&self, keyspace: &Keyspace) -> Option<Reply> {
        let count = self.count();
        let mut is_done = count >= self.replicas;
        if let Some(local) = &self.synced {
            local.look(keyspace);
            is_done &= !local.is_asked || local.count() > 0;
        }
        is_done.then(|| self.reply(count))
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

    fn attempt(
        &self,
        keyspace: &Keyspace,
        _: usize,
        _: Access,
    ) -> Result<Option<Reply>, CommandError> {
        Ok(self.done(keyspace))
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
    Ok(run(ctx, replicas, None, deadline))
}

/// A synced append-only file promises that writes survive a loss of power. The pool promises it where its place allows: for
/// all that is acknowledged, or for what was acknowledged before the last sync. Elsewhere it is an error to ask for it, as
/// without such a file.
fn waitaof(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
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
    if ctx.server.replication.is_replica() {
        return Err(CommandError::text(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just \
             local and are not propagated.",
        ));
    }
    let durability = ctx.server.durability;
    if local > 0 && !durability.power && !durability.every_second {
        return Err(CommandError::text(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    let local = Local {
        is_asked: local > 0,
        called_ms: durability.every_second.then(now_ms),
        survives: AtomicBool::new(durability.power),
    };
    Ok(run(ctx, replicas, Some(local), deadline))
}

fn run(
    ctx: &mut Context<'_>,
    replicas: i64,
    synced: Option<Local>,
    deadline: Option<Instant>,
) -> Outcome {
    let handle = &ctx.session.handle;
    let call = WaitCall {
        feed: Arc::clone(&ctx.server.feed),
        ticket: handle.last_ticket.load(Ordering::Relaxed),
        end: OnceLock::new(),
        replicas,
        synced,
    };
    if let Some(reply) = call.done(ctx.keyspace) {
        return reply.into();
    }
    if ctx.session.in_step() {
        return call.reply(call.count()).into();
    }
    Outcome::Block(Box::new(Wait {
        call: Box::new(call),
        deadline,
    }))
}

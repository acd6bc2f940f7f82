//! FAILOVER: this master hands over to one of its replicas ([`crate::state::failover`]).

use std::time::{Duration, Instant};

use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Flags, Group};
use crate::commands::row::Row;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::state::failover::Handover;

/// It runs alone, so that no write of a client is under way when it begins.
const FLAGS: Flags = Flags::NOSCRIPT
    .union(Flags::STALE)
    .union(Flags::ADMIN)
    .union(Flags::SLOW)
    .union(Flags::ALONE);

const TARGET: &[Argument] = &[
    Argument::new("host", ArgumentKind::String),
    Argument::new("port", ArgumentKind::Integer),
    Argument::token("force", "FORCE").optional(),
];

pub(super) static COMMANDS: &[Row] = &[Row::new("failover", Arity::AtLeast(1), failover)
    .flags(FLAGS)
    .group(Group::Server, "6.2.0")
    .summary("Hands over to a replica, which becomes the master of this server.")
    .complexity("O(1)")
    .arguments(&[
        Argument::new("target", ArgumentKind::Block(TARGET))
            .with_token("TO")
            .optional(),
        Argument::token("abort", "ABORT").optional(),
        Argument::new("milliseconds", ArgumentKind::Integer)
            .with_token("TIMEOUT")
            .optional(),
    ])];

/// The words of a call.
#[derive(Default)]
struct Words<'w> {
    target: Option<(&'w [u8], i64)>,
    timeout_ms: Option<u64>,
    aborts: bool,
    forces: bool,
}

impl<'w> Words<'w> {
    /// Reads them as Redis does, which takes a word for an option only if its values follow.
    fn parse(args: Args<'w>) -> Result<Self, CommandError> {
        let mut words = Self::default();
        let mut at = 1;
        while let Some(word) = args.get(at) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            match (args.get(at + 1), args.get(at + 2)) {
                (Some(ms), _) if is("timeout") && words.timeout_ms.is_none() => {
                    let ms = parse_i64(ms).ok_or(CommandError::NotAnInteger)?;
                    let ms = u64::try_from(ms).ok().filter(|&ms| ms > 0);
                    words.timeout_ms = Some(ms.ok_or(CommandError::text(
                        "ERR FAILOVER timeout must be greater than 0",
                    ))?);
                    at += 2;
                }
                (Some(host), Some(port)) if is("to") && words.target.is_none() => {
                    let port = parse_i64(port).ok_or(CommandError::NotAnInteger)?;
                    words.target = Some((host, port));
                    at += 3;
                }
                _ if is("force") && !words.forces => {
                    words.forces = true;
                    at += 1;
                }
                (None, _) if is("abort") && at == 1 => {
                    words.aborts = true;
                    at += 1;
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(words)
    }
}

fn failover(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let words = Words::parse(args)?;
    let server = ctx.server;
    if server.failover.is_on() && !words.aborts {
        return Err(CommandError::text("ERR FAILOVER already in progress."));
    }
    if words.aborts {
        if !server.failover.is_on() {
            return Err(CommandError::text("ERR No failover in progress."));
        }
        server.abort_failover(ctx.keyspace, "Failover manually aborted")?;
        return Ok(Reply::Ok.into());
    }
    if server.replication.is_replica() {
        return Err(CommandError::text(
            "ERR FAILOVER is not valid when server is a replica.",
        ));
    }
    let replicas = server.feed.replicas();
    if replicas.is_empty() {
        return Err(CommandError::text(
            "ERR FAILOVER requires connected replicas.",
        ));
    }
    if words.forces && (words.timeout_ms.is_none() || words.target.is_none()) {
        return Err(CommandError::text(
            "ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
        ));
    }
    let mut target = None;
    if let Some((host, port)) = words.target {
        let host = String::from_utf8_lossy(host).into_owned();
        let port = u16::try_from(port).ok();
        let found = port.and_then(|port| replicas.iter().find(|one| one.is_at(&host, port)));
        let found = found.ok_or(CommandError::text(
            "ERR FAILOVER target HOST and PORT is not a replica.",
        ))?;
        if !found.is_online() {
            return Err(CommandError::text(
                "ERR FAILOVER target replica is not online.",
            ));
        }
        target = Some((host, found.announced.port));
    }
    let until = words
        .timeout_ms
        .and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
    server.begin_failover(
        ctx.keyspace,
        Handover {
            target,
            until,
            forces: words.forces,
        },
    );
    Ok(Reply::Ok.into())
}

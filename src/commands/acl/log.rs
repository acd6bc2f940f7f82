//! ACL LOG.

use super::{ADMIN, sub, wrong_arguments};
use crate::acl::Entry;
use crate::catalog::spec::{Argument, ArgumentKind, Arity};
use crate::commands::row::Row;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::now_ms;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

/// How many entries are shown where no number is given.
const SHOWN: usize = 10;

pub(super) const LOG: Row = sub(
    "log",
    Arity::AtLeast(2),
    ADMIN,
    "Shows what was denied lately, or forgets it.",
    "O(N) with N being the number of entries shown.",
    &[Argument::new(
        "operation",
        ArgumentKind::OneOf(&[
            Argument::new("count", ArgumentKind::Integer),
            Argument::token("reset", "RESET"),
        ]),
    )
    .optional()],
    log,
)
.history(&[(
    "7.2.0",
    "Added entry ID, timestamp created, and timestamp last updated.",
)]);

fn log(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let log = ctx.server.acl.log();
    let count = match args.get(2) {
        _ if args.len() > 3 => return Err(wrong_arguments(args)),
        None => SHOWN,
        Some(argument) if argument.eq_ignore_ascii_case(b"reset") => {
            log.lock().clear();
            return Ok(Reply::Ok.into());
        }
        Some(argument) => {
            let count = parse_i64(argument).ok_or(CommandError::NotAnInteger)?;
            usize::try_from(count).unwrap_or(0)
        }
    };
    let entries = log.lock().newest(count);
    let now = now_ms();
    let shown = entries.iter().map(|entry| described(entry, now));
    Ok(Reply::Array(shown.collect()).into())
}

#[allow(clippy::cast_precision_loss)] // Milliseconds of some years fit.
fn described(entry: &Entry, now_ms: i64) -> Reply {
    let number = |n: u64| Reply::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let age_ms = now_ms.saturating_sub(entry.updated_ms);
    let event = &entry.event;
    Reply::Map(vec![
        (Reply::text("count"), number(entry.count)),
        (Reply::text("reason"), Reply::text(event.reason.name())),
        (Reply::text("context"), Reply::text(event.context.name())),
        (Reply::text("object"), Reply::bulk(&event.object)),
        (Reply::text("username"), Reply::bulk(&event.username)),
        (
            Reply::text("age-seconds"),
            Reply::Double(age_ms as f64 / 1000.0),
        ),
        (Reply::text("client-info"), Reply::bulk(&entry.client)),
        (Reply::text("entry-id"), number(entry.id)),
        (
            Reply::text("timestamp-created"),
            Reply::Integer(entry.created_ms),
        ),
        (
            Reply::text("timestamp-last-updated"),
            Reply::Integer(entry.updated_ms),
        ),
    ])
}

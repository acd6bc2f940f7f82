//! MONITOR: every command is shown to the client from now on. Dispatch shows them.

use super::{CommandError, CommandResult, Context, Outcome};
use crate::catalog::spec::{Arity, Flags, Group};
use crate::commands::row::Row;
use crate::protocol::{Args, Reply};

pub(super) static COMMANDS: &[Row] = &[Row::new("monitor", Arity::Exactly(1), monitor)
    .flags(
        Flags::ADMIN
            .union(Flags::NOSCRIPT)
            .union(Flags::LOADING)
            .union(Flags::STALE),
    )
    .group(Group::Server, "1.0.0")
    .summary("Shows every command that the server runs.")];

fn monitor(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    if ctx.session.in_exec {
        return Err(CommandError::text(
            "ERR MONITOR isn't allowed for DENY BLOCKING client",
        ));
    }
    if ctx.session.monitors {
        // Redis does not answer the second one either.
        return Ok(Outcome::Written);
    }
    ctx.session.monitors = true;
    ctx.server.monitors.add(&ctx.session.handle);
    Ok(Reply::Ok.into())
}

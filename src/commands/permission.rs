//! Whether a client may make a call, and which user it is.

use super::{Command, CommandError};
use crate::acl::{self, Denial, Event, Reason};
use crate::catalog::spec::Flags;
use crate::keyspace::now_ms;
use crate::protocol::Args;
use crate::state::{Server, Session};

/// Whether the client may make this call now. Counts and logs a denial.
#[inline]
pub(super) fn check(
    command: &'static Command,
    args: Args<'_>,
    session: &mut Session,
    server: &Server,
) -> Result<(), CommandError> {
    if session.identity.is_unrestricted() && session.authenticated {
        return Ok(());
    }
    check_rules(command, args, session, server)
}

#[inline(never)]
fn check_rules(
    command: &'static Command,
    args: Args<'_>,
    session: &mut Session,
    server: &Server,
) -> Result<(), CommandError> {
    if !session.authenticated
        && !command.spec.flags.contains(Flags::NO_AUTH)
        && !server.acl.is_open()
    {
        return Err(CommandError::text("NOAUTH Authentication required."));
    }
    let Err(denial) = session.identity.rules().check(command, args) else {
        return Ok(());
    };
    note(denial, command, args, session, server);
    Err(session.identity.user().denied(denial, command))
}

/// As [`check`], for a command that was queued when it was permitted.
pub(super) fn check_queued(
    command: &'static Command,
    args: Args<'_>,
    session: &mut Session,
    server: &Server,
) -> Result<(), CommandError> {
    if session.identity.is_unrestricted() {
        return Ok(());
    }
    let Err(denial) = session.identity.rules().check(command, args) else {
        return Ok(());
    };
    note(denial, command, args, session, server);
    let reason = match denial {
        Denial::Command => "no permission to execute the command or subcommand",
        Denial::Key(_) => "no permission to touch the specified keys",
        Denial::Channel(_) => {
            "no permission to access one of the channels used as arguments to the command"
        }
    };
    Err(CommandError::Text(
        format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
             command is no longer allowed for the following reason: {reason}"
        )
        .into(),
    ))
}

/// As [`check`], for a command that a script calls.
pub(super) fn check_in_script(
    command: &'static Command,
    args: Args<'_>,
    session: &mut Session,
    server: &Server,
) -> Result<(), CommandError> {
    if session.identity.is_unrestricted() {
        return Ok(());
    }
    let Err(denial) = session.identity.rules().check(command, args) else {
        return Ok(());
    };
    note(denial, command, args, session, server);
    let text = session.identity.user().denied(denial, command).to_string();
    let text = text.strip_prefix("NOPERM ").unwrap_or(&text);
    let text = format!("ERR ACL failure in script: {text}");
    Err(CommandError::Text(text.into()))
}

/// Whether the user may make this call. Nothing is counted.
pub(super) fn may_call(command: &Command, args: Args<'_>, session: &mut Session) -> bool {
    session.identity.is_unrestricted() || session.identity.rules().check(command, args).is_ok()
}

/// Counts and logs a denial.
fn note(
    denial: Denial,
    command: &'static Command,
    args: Args<'_>,
    session: &Session,
    server: &Server,
) {
    let argument = |index| args.get(index).unwrap_or_default().to_vec();
    let (reason, object) = match denial {
        Denial::Command => (Reason::Command, command.full_name.into()),
        Denial::Key(index) => (Reason::Key, argument(index)),
        Denial::Channel(index) => (Reason::Channel, argument(index)),
    };
    let event = Event {
        reason,
        context: context(session),
        object,
        username: session.identity.user().name().to_vec(),
    };
    // The line shows the command that was denied, not the one before.
    session.handle.last_command.set(command);
    log(event, session, server);
}

fn context(session: &Session) -> acl::Context {
    if session.in_script {
        acl::Context::Lua
    } else if session.in_exec || session.transaction.is_some() {
        acl::Context::Multi
    } else {
        acl::Context::Toplevel
    }
}

fn log(event: Event, session: &Session, server: &Server) {
    let (now, len_max) = (now_ms(), server.config.settings().acllog_max_len);
    let client = || session.handle.describe(now);
    server.acl.deny(event, now, len_max, client);
}

/// Makes the client `user`, or answers why not. `args` are the arguments of the command that asks.
pub(super) fn authenticate(
    ctx: &mut super::Context<'_>,
    args: Args<'_>,
    user: &[u8],
    password: &[u8],
) -> Result<(), CommandError> {
    let session = &mut *ctx.session;
    let entered = ctx
        .server
        .acl
        .authenticate(user, password, |user| session.become_user(user));
    if entered.is_ok() {
        ctx.session.authenticated = true;
        return Ok(());
    }
    let event = Event::auth(context(ctx.session), &args[0], user);
    log(event, ctx.session, ctx.server);
    Err(CommandError::text(
        "WRONGPASS invalid username-password pair or user is disabled.",
    ))
}

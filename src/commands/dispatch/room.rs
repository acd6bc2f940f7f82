//! Memory for what a command may add.

use super::Command;
use super::lookup::Found;
use crate::catalog::spec::Flags;
use crate::keyspace::{Keyspace, Millis};
use crate::protocol::Args;
use crate::state::Session;

/// Makes room for a command that may add something, and refuses it where there is none. Where commands are queued,
/// each of them takes memory, whatever it does later; EXEC adds what its commands add.
#[inline]
pub(super) fn ensure_room(
    command: &'static Command,
    args: Args<'_>,
    session: &Session,
    keyspace: &Keyspace,
    now: Millis,
) -> Found {
    let flags = command.spec.flags;
    let (adds, bytes) = match &session.transaction {
        None => (flags.contains(Flags::DENYOOM), args.bytes()),
        Some(transaction) if flags.contains(Flags::EXECUTES) => {
            let mut queue = transaction.queue.iter();
            let adds = queue.any(|queued| queued.command.spec.flags.contains(Flags::DENYOOM));
            (adds, session.queued_bytes())
        }
        Some(_) => (!flags.contains(Flags::UNQUEUED), args.bytes()),
    };
    if adds {
        keyspace
            .ensure_room(bytes, now)
            .map_err(|error| (Some(command), error.into()))?;
    }
    Ok(command)
}

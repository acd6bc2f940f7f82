//! Writes are refused while the pool cannot be synced to its disk, as Redis refuses them while it cannot sync its
//! append-only file. PING is refused too, as in Redis: whoever watches the server by it shall notice.

use super::lookup::Found;
use super::{Dispatcher, Surroundings};
use crate::catalog::spec::Flags;
use crate::commands::CommandError;
use crate::keyspace::Keyspace;
use crate::state::Session;

impl Dispatcher {
    /// The found command, or why it is refused now.
    #[inline]
    pub(super) fn check_disk(
        &self,
        around: &Surroundings<'_>,
        session: &Session,
        found: Found,
    ) -> Found {
        if self.refuses_writes {
            check(around, session, found)
        } else {
            found
        }
    }
}

#[cold]
fn check(around: &Surroundings<'_>, session: &Session, found: Found) -> Found {
    let command = found?;
    let flags = command.spec.flags;
    let writes_queued = || {
        let queue = session
            .transaction
            .iter()
            .flat_map(|transaction| &transaction.queue);
        queue
            .into_iter()
            .any(|queued| queued.command.spec.flags.contains(Flags::WRITE))
    };
    let is_refused = flags.contains(Flags::WRITE)
        || command.spec.name == "ping"
        || (flags.contains(Flags::EXECUTES) && writes_queued());
    if is_refused {
        Err((Some(command), refusal(around.keyspace)))
    } else {
        Ok(command)
    }
}

/// What a client hears whose write is refused.
#[cold]
pub(super) fn refusal(keyspace: &Keyspace) -> CommandError {
    let why = keyspace.syncs().and_then(|report| report.failure);
    let why = why.unwrap_or_else(|| "it is being tried again".to_owned());
    CommandError::Text(format!("MISCONF Errors writing to the pool's file: {why}").into())
}

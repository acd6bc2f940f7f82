//! Writes are refused while the pool cannot be synced to its disk, as Redis refuses them while it cannot sync its
//! append-only file. PING is refused too, as in Redis: whoever watches the server by it shall notice.

use super::lookup::{Found, writes};
use super::{Dispatcher, Surroundings};
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
    if writes(command, session) || command.spec.name == "ping" {
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

//! Calls on collections whose elements are not gathered yet, after a start that has taken over the index of keys.
//!
//! Such a call goes to a thread of its own and waits outside the gate, so that nobody waits with it. The keyspace itself makes
//! a call wait where no word of it names the collection.

use super::lookup::Found;
use super::{Dispatcher, Surroundings};
use crate::catalog::spec::Flags;
use crate::commands::Command;
use crate::keyspace::{DATABASES, Keyspace};
use crate::numbers::parse_i64;
use crate::protocol::Args;
use crate::state::Session;

impl Dispatcher {
    /// Waits until a call can have the elements that it needs. `false` if it has to wait, and this thread has other clients.
    #[inline]
    pub(super) fn check_elements(
        &self,
        around: &mut Surroundings<'_>,
        session: &Session,
        found: &Found,
        args: Args<'_>,
    ) -> bool {
        if !around.keyspace.loading().lacks_elements() {
            return true;
        }
        self.wait_for_elements(around, session, found, args)
    }

    #[cold]
    fn wait_for_elements(
        &self,
        around: &mut Surroundings<'_>,
        session: &Session,
        found: &Found,
        args: Args<'_>,
    ) -> bool {
        let (keyspace, db) = (around.keyspace, session.db);
        let lacks = found
            .as_ref()
            .is_ok_and(|command| match &session.transaction {
                None => lack(keyspace, [(*command, args)].into_iter(), db),
                Some(transaction) if command.spec.flags.contains(Flags::EXECUTES) => {
                    let queue = transaction.queue.iter();
                    let calls = queue.map(|queued| (queued.command, queued.args.args()));
                    lack(keyspace, calls, db)
                }
                Some(_) => false,
            });
        if !lacks {
            return true;
        }
        if !self.takes_slow {
            return false;
        }
        around.leave();
        if let Err(error) = keyspace.loading().gather_elements() {
            // The call itself will say so.
            tracing::info!(%error, "a call could not wait for elements");
        }
        around.presence.come_back();
        true
    }
}

/// Whether a key that one of these calls names holds a collection that is not gathered yet. The first call is made in
/// database `db`.
fn lack<'a>(
    keyspace: &Keyspace,
    mut calls: impl Iterator<Item = (&'static Command, Args<'a>)>,
    mut db: usize,
) -> bool {
    calls.any(|(command, args)| {
        let spec = command.spec;
        if spec.name == "select"
            && let Some(new) = args.get(1).and_then(parse_i64)
            && let Ok(new) = usize::try_from(new)
            && new < DATABASES
        {
            db = new;
        }
        let keys = spec.find_keys(args).into_iter();
        let mut keys = keys.filter_map(|key| args.get(key.argument));
        // An error of the look-up is the call's to tell.
        keys.any(|key| {
            keyspace
                .loading()
                .lacks_elements_of(db, key)
                .unwrap_or(false)
        })
    })
}

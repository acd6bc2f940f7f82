//! The end of a call, a transaction or a script: its tickets are filled with what replicas must do.

use smallvec::smallvec;

use super::batch::Batch;
use super::effect::encode_words;
use super::recording::{self, Change, Effects, Recorded, Simple, Told};
use super::{Feed, Filled, Part, Parts};
use crate::keyspace::{Access, Keyspace, KeyspaceError, now_ms};
use crate::protocol::Args;
use crate::serialised;

/// The position of the one key in an update.
const KEY: usize = 0;

/// A call, as its effect may repeat it.
#[derive(Clone, Copy)]
pub struct Call<'c> {
    /// The database that it ran in.
    pub db: usize,
    /// The command's full name.
    pub name: &'static str,
    /// Its arguments.
    pub args: Args<'c>,
}

impl Feed {
    /// The call on this thread has ended. Returns its last ticket, if it changed anything.
    ///
    /// Its effects go to the queue with the thread's [batch](Self::flush). A call that `failed` after it had changed something is no guide to what it changed. Then each of its keys is told
    /// as a whole.
    pub fn finish_call(&self, keyspace: &Keyspace, call: Call<'_>, failed: bool) -> Option<u64> {
        match recording::end_simple_call(failed, |batch, ticket| call.add_to(batch, ticket)) {
            Simple::Idle => return None,
            Simple::Plain { ticket, is_long } => {
                if is_long {
                    self.flush();
                }
                return Some(ticket);
            }
            Simple::No => {}
        }
        let recorded = recording::end_call();
        let mut last = recorded.told.last()?.ticket;
        let by_call = |told: &Told| !told.is_by_itself();
        let is_removal = matches!(recorded.effects, Effects::Removals);
        let mut filled = Filled::new();
        if failed && !is_removal && recorded.told.iter().any(by_call) {
            let mut keys = Vec::new();
            for told in recorded.told {
                match told.change {
                    Change::Key(db, key) => {
                        keys.push((db, key));
                        filled.push((told.ticket, Parts::new()));
                    }
                    Change::Gone(..) | Change::FieldsGone(..) | Change::Other => {
                        filled.push(told.into_removal());
                    }
                }
            }
            keys.sort_unstable();
            keys.dedup();
            for (db, key) in keys {
                for one in self.restated(keyspace, db, &key) {
                    last = one.0;
                    filled.push(one);
                }
            }
        } else {
            filled = Self::filled(call, recorded);
        }
        recording::add_filled(filled);
        self.flush_long();
        Some(last)
    }

    /// The effects of a call that did what it says.
    fn filled(call: Call<'_>, recorded: Recorded) -> Filled {
        let Recorded { told, effects } = recorded;
        let commands = match effects {
            Effects::Removals => {
                return told.into_iter().map(Told::into_removal).collect();
            }
            Effects::Commands(commands) => commands,
            Effects::Call => smallvec![call.encode()],
        };
        let part = |bytes| Part { db: call.db, bytes };
        let mut parts: Parts = commands.into_iter().map(part).collect();
        // All of them were taken while the call held all of its keys.
        let own = told.iter().rposition(|one| !one.is_by_itself());
        let fill = |(at, one): (usize, Told)| match one.change {
            Change::Gone(..) | Change::FieldsGone(..) => one.into_removal(),
            _ if Some(at) == own => (one.ticket, std::mem::take(&mut parts)),
            _ => (one.ticket, Parts::new()),
        };
        told.into_iter().enumerate().map(fill).collect()
    }

    /// Tells a key as it is now, as changes with tickets of their own.
    pub(super) fn restated(&self, keyspace: &Keyspace, db: usize, key: &[u8]) -> Filled {
        recording::begin_call();
        let told = self.restate(keyspace, db, key);
        let recorded = recording::end_call();
        if let Err(error) = told {
            tracing::error!(%error, "a key could not be read for replicas: they get full copies");
            self.queue.lose();
        }
        let Effects::Commands(commands) = recorded.effects else {
            return recorded.told.into_iter().map(Told::into_removal).collect();
        };
        let mut parts: Parts = commands
            .into_iter()
            .map(|bytes| Part { db, bytes })
            .collect();
        let fill = |one: Told| match one.change {
            Change::Gone(..) | Change::FieldsGone(..) => one.into_removal(),
            _ => (one.ticket, std::mem::take(&mut parts)),
        };
        recorded.told.into_iter().map(fill).collect()
    }

    /// Tells a key as it is now: the effect of the running call is its whole value.
    pub fn restate(&self, keyspace: &Keyspace, db: usize, key: &[u8]) -> Result<(), KeyspaceError> {
        let access = Access::by_server(now_ms());
        keyspace.update_many(&[(db, key)], access, |keys| {
            keys.retell(KEY);
            let value = keys.view(KEY).map(self.copy).transpose()?;
            // All fields of a hash may be past their deadlines.
            let value = value.filter(|value| !value.is_empty());
            match value.zip(keys.info(KEY)) {
                None => recording::add(&[b"DEL", key]),
                Some((value, info)) => {
                    let deadline = info.expires_at.unwrap_or(0).to_string();
                    let payload = serialised::encode(&value);
                    recording::add(&[
                        b"RESTORE",
                        key,
                        deadline.as_bytes(),
                        &payload,
                        b"REPLACE",
                        b"ABSTTL",
                    ]);
                }
            }
            Ok(())
        })
    }

    /// The transaction or script on this thread has ended. Returns its last ticket, if it changed anything.
    pub fn finish_step(&self) -> Option<u64> {
        let filled = recording::end_step();
        let last = filled.last().map(|(ticket, _)| *ticket);
        recording::add_filled(filled);
        self.flush();
        last
    }
}

impl Call<'_> {
    /// The call itself, by the name that every server knows.
    fn encode(self) -> bytes::Bytes {
        encode_words(self.args.len(), self.words())
    }

    /// Adds the call as the effect of this ticket.
    fn add_to(self, batch: &mut Batch, ticket: u64) {
        let count = self.args.len();
        match self.args.sent_behind_name() {
            Some(sent) => batch.add_sent(ticket, self.db, (count, self.first_word()), sent),
            None => batch.add_command(ticket, self.db, count, self.words()),
        }
    }

    fn words(&self) -> impl Iterator<Item = &[u8]> + Clone {
        std::iter::once(self.first_word()).chain(self.args.from(1))
    }

    /// The name without that of a subcommand, which is a word of its own.
    fn first_word(&self) -> &'static [u8] {
        let name = self.name.as_bytes();
        let end = memchr::memchr(b'|', name);
        &name[..end.unwrap_or(name.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::super::recording::{add, begin_call, removal};
    use super::*;
    use crate::keyspace::Followed;

    #[test]
    fn the_last_ticket_of_a_call_has_its_effect() {
        let feed = Feed::new(|_| Err(KeyspaceError::WrongKind));
        let args = crate::protocol::OwnedArgs::new(["RENAME", "a", "b"]);
        let call = Call {
            db: 2,
            name: "rename",
            args: args.args(),
        };
        begin_call();
        for change in [
            Followed::Gone(2, b"b"),
            Followed::Changed(2, b"a"),
            Followed::Changed(2, b"b"),
        ] {
            feed.told(change);
        }
        let filled = Feed::filled(call, recording::end_call());
        let verbatim = Part {
            db: 2,
            bytes: encode([&b"rename"[..], b"a", b"b"].into_iter()),
        };
        let wanted: [(u64, Parts); 3] = [
            (1, smallvec![removal(2, b"b")]),
            (2, smallvec![]),
            (3, smallvec![verbatim]),
        ];
        assert_eq!(filled[..], wanted);
        begin_call();
        add(&[b"X"]);
        feed.told(Followed::Databases);
        let filled = Feed::filled(call, recording::end_call());
        assert_eq!(filled[0].1[0].bytes, encode([&b"X"[..]].into_iter()));
    }
}

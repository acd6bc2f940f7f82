//! What the call that runs on this thread has changed, and what replicas must do instead of the call.
//!
//! A call runs on one thread from its begin to its end, and so do a transaction and a script. So this is state of the
//! thread, which the keyspace's observer and the handlers reach without a parameter.

use std::cell::RefCell;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use super::batch::Batch;
use super::kept::Intent;
use super::{Filled, Part, Parts, encode};
use crate::keyspace::Followed;

/// A change, as it was told.
#[derive(Debug)]
pub struct Told {
    /// Its ticket.
    pub ticket: u64,
    /// What changed.
    pub change: Change,
}

/// A key's name; short ones are not allocated.
pub type Name = SmallVec<[u8; 36]>;

/// What changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// A key, by the call.
    Key(usize, Name),
    /// A key is gone, and not by the call.
    Gone(usize, Name),
    /// Fields of a hash are gone, and not by the call.
    FieldsGone(usize, Bytes),
    /// Something else than keys.
    Other,
}

impl Told {
    pub(super) fn new(ticket: u64, change: Followed<'_>) -> Self {
        let change = match change {
            Followed::Changed(db, key) => Change::Key(db, Name::from_slice(key)),
            Followed::Gone(db, key) => Change::Gone(db, Name::from_slice(key)),
            Followed::FieldsGone(db, key, names) => {
                let mut words = Vec::with_capacity(2 + names.len());
                words.extend([&b"HDEL"[..], key]);
                words.extend(names.iter().map(|name| &**name));
                Change::FieldsGone(db, encode(words.into_iter()))
            }
            Followed::Databases => Change::Other,
        };
        Self { ticket, change }
    }

    /// The ticket, filled with the removal of the key or of the fields.
    pub fn into_removal(self) -> (u64, Parts) {
        let parts = match self.change {
            Change::Key(db, key) | Change::Gone(db, key) => smallvec![removal(db, &key)],
            Change::FieldsGone(db, bytes) => smallvec![Part { db, bytes }],
            Change::Other => Parts::new(),
        };
        (self.ticket, parts)
    }

    /// Whether it happened by itself: it is an effect whatever the call does.
    pub fn is_by_itself(&self) -> bool {
        matches!(self.change, Change::Gone(..) | Change::FieldsGone(..))
    }
}

/// The removal of a key.
pub fn removal(db: usize, key: &[u8]) -> Part {
    let bytes = encode([&b"DEL"[..], key].into_iter());
    Part { db, bytes }
}

/// What a call says of its effects.
#[derive(Debug, Default)]
pub enum Effects {
    /// They are those of the call as the client sent it.
    #[default]
    Call,
    /// Each key that changed is gone.
    Removals,
    /// These commands.
    Commands(SmallVec<[Bytes; 1]>),
}

/// What a call has done.
#[derive(Debug, Default)]
pub struct Recorded {
    /// What it has changed, with rising tickets.
    pub told: SmallVec<[Told; 1]>,
    /// What replicas must do.
    pub effects: Effects,
}

#[derive(Debug, Default)]
struct Recording {
    in_call: bool,
    in_step: bool,
    call: Recorded,
    /// The effects of the calls of a step, and their tickets.
    parts: Vec<Part>,
    tickets: Vec<u64>,
    /// The effects of calls that have ended.
    batch: Batch,
    /// What this thread has said that it is about to change, since it gave away the last batch.
    intent: Option<Intent>,
}

thread_local! {
    static RECORDING: RefCell<Recording> = RefCell::default();
}

fn with<R>(f: impl FnOnce(&mut Recording) -> R) -> R {
    RECORDING.with_borrow_mut(f)
}

/// Notes a change for the call or the step that runs on this thread; gives it back if there is none.
pub(super) fn note(told: Told) -> Option<Told> {
    with(|recording| {
        if !recording.in_call && !recording.in_step {
            return Some(told);
        }
        recording.call.told.push(told);
        None
    })
}

/// A call begins.
pub fn begin_call() {
    with(|recording| recording.in_call = true);
}

/// How a call has ended that most calls are like.
pub(super) enum Simple {
    /// It has changed nothing.
    Idle,
    /// Its effect is in the batch, at this ticket. The batch may be long enough to go.
    Plain { ticket: u64, is_long: bool },
    /// It is another one, and has not ended.
    No,
}

/// The call on this thread ends. Returns what it has changed.
pub fn end_call() -> Recorded {
    with(|recording| {
        recording.in_call = false;
        std::mem::take(&mut recording.call)
    })
}

/// The call begins anew after it failed without a change.
pub fn forget_effects() {
    with(|recording| recording.call.effects = Effects::Call);
}

/// The call's effects are not the call itself, but those commands, if any, that [`add`] adds.
pub fn begin_effects() {
    with(|recording| recording.call.effects = Effects::Commands(SmallVec::new()));
}

/// Whether the call has changed anything so far.
pub fn has_changes() -> bool {
    with(|recording| !recording.call.told.is_empty())
}

/// Each key that the call changes is gone.
pub fn removes_keys() {
    with(|recording| recording.call.effects = Effects::Removals);
}

/// Adds a command to the call's effects, which are not the call itself.
pub fn add(words: &[&[u8]]) {
    let bytes = encode(words.iter().copied());
    with(|recording| match &mut recording.call.effects {
        Effects::Commands(commands) => commands.push(bytes),
        effects => *effects = Effects::Commands(smallvec![bytes]),
    });
}

/// Notes a change of something else than keys.
pub fn note_other(ticket: u64) {
    let change = Change::Other;
    with(|recording| {
        if recording.in_call {
            recording.call.told.push(Told { ticket, change });
        }
    });
}

/// Changes what the thread has said that it is about to change.
pub(super) fn with_intent(f: impl FnOnce(&mut Option<Intent>)) {
    with(|recording| f(&mut recording.intent));
}

/// The call on this thread ends if it has changed nothing; or if it is its own effect, it did what it says, and it has changed one
/// key: then `encode` adds it to the batch. A call that `failed` may have done something else than it says.
pub(super) fn end_simple_call(failed: bool, encode: impl FnOnce(&mut Batch, u64)) -> Simple {
    with(|recording| {
        let Recorded { told, effects } = &mut recording.call;
        let (ticket, change) = match &told[..] {
            [] => {
                recording.in_call = false;
                *effects = Effects::Call;
                return Simple::Idle;
            }
            [Told { ticket, change }] => (*ticket, change),
            _ => return Simple::No,
        };
        let is_plain = matches!((change, &effects), (Change::Key(..), Effects::Call));
        if failed || !is_plain || recording.in_step {
            return Simple::No;
        }
        recording.in_call = false;
        told.clear();
        encode(&mut recording.batch, ticket);
        let is_long = recording.batch.is_long();
        Simple::Plain { ticket, is_long }
    })
}

/// Adds the filled tickets of a call to the batch; or keeps them for the end of the step.
pub(super) fn add_filled(filled: Filled) {
    if let Some(filled) = keep(filled) {
        with(|recording| recording.batch.add_all(filled));
    }
}

/// Whether this thread's batch is long enough to go.
pub(super) fn has_long_batch() -> bool {
    with(|recording| recording.batch.is_long())
}

/// Gives away this thread's batch, and what it has said that it is about to change; but that stays until the running call or step
/// has come to its end.
pub(super) fn give(take: impl FnOnce(&mut Batch, Option<Intent>)) {
    with(|recording| {
        let intent = if recording.in_call || recording.in_step {
            None
        } else {
            recording.intent.take()
        };
        if !recording.batch.is_empty() || intent.is_some() {
            take(&mut recording.batch, intent);
            recording.batch.clear();
        }
    });
}

/// A transaction or a script begins.
pub fn begin_step() {
    with(|recording| recording.in_step = true);
}

/// Keeps the filled tickets of a call for the end of the step. Gives them back if there is no step.
pub fn keep(filled: Filled) -> Option<Filled> {
    with(|recording| {
        if !recording.in_step {
            return Some(filled);
        }
        for (ticket, parts) in filled {
            recording.tickets.push(ticket);
            recording.parts.extend(parts);
        }
        None
    })
}

/// The step ends. Returns its tickets: the last one has all effects, since nothing else ran meanwhile.
pub fn end_step() -> Filled {
    with(|recording| {
        recording.in_step = false;
        let rest = std::mem::take(&mut recording.call);
        let mut tickets = std::mem::take(&mut recording.tickets);
        let mut parts = std::mem::take(&mut recording.parts);
        for told in rest.told {
            let (ticket, part) = told.into_removal();
            tickets.push(ticket);
            parts.extend(part);
        }
        let last = tickets.pop();
        let empty = tickets.into_iter().map(|ticket| (ticket, Parts::new()));
        empty.chain(last.map(|last| (last, parts.into()))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ticket: u64) -> Told {
        Told::new(ticket, Followed::Gone(3, b"k"))
    }

    #[test]
    fn what_no_call_does_is_given_back() {
        assert!(note(told(1)).is_some());
        begin_call();
        assert!(note(told(2)).is_none());
        let recorded = end_call();
        assert_eq!(recorded.told.len(), 1);
        assert!(note(told(3)).is_some());
    }

    #[test]
    fn a_step_has_one_effect_at_its_last_ticket() {
        begin_step();
        begin_call();
        assert!(note(told(4)).is_none());
        let first = end_call()
            .told
            .into_iter()
            .map(Told::into_removal)
            .collect();
        assert!(keep(first).is_none());
        // Evicted between two calls of the step.
        assert!(note(told(5)).is_none());
        let part = removal(3, b"k");
        let wanted: [(u64, Parts); 2] = [(4, smallvec![]), (5, smallvec![part.clone(), part])];
        assert_eq!(end_step()[..], wanted);
        assert_eq!(keep(Filled::new()), Some(Filled::new()));
    }
}

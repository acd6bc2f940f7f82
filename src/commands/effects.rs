//! What replicas run instead of a call: what the call did, where the call itself would do something else elsewhere or later.
//!
//! A handler that says nothing has its call repeated, if it changed anything. A handler names other effects where the call
//! draws at random, reads the clock, waits, or is one that older servers do not know.

use super::{Context, Database};
use crate::keyspace::{Keyspace, KeyspaceError, Millis};
use crate::state::feed::{Subject, recording};

impl Database<'_> {
    /// Adds a command to the call's effects.
    #[inline]
    pub fn effect(self, words: &[&[u8]]) {
        add(self.keyspace, words);
    }

    /// The call's effects are those that follow, if any.
    #[inline]
    pub fn begin_effects(self) {
        if self.keyspace.events().is_followed() {
            recording::begin_effects();
        }
    }

    /// Whether anybody wants to know the call's effects.
    #[inline]
    pub fn is_followed(self) -> bool {
        self.keyspace.events().is_followed()
    }
}

impl Context<'_> {
    /// Adds a command to the call's effects.
    #[inline]
    pub fn effect(&self, words: &[&[u8]]) {
        add(self.keyspace, words);
    }

    /// Each key that the call changes is gone.
    #[inline]
    pub fn effects_are_removals(&self) {
        if self.keyspace.events().is_followed() {
            recording::removes_keys();
        }
    }

    /// The call's effect is the key as it is now: what it stored depends on more than its arguments and keys.
    #[inline]
    pub fn effect_is_key(&self, key: &[u8]) -> Result<(), KeyspaceError> {
        if self.keyspace.events().is_followed() && recording::has_changes() {
            recording::begin_effects();
            self.server
                .feed
                .restate(self.keyspace, self.session.db, key)?;
        }
        Ok(())
    }

    /// The call is about to change something durable that is no key.
    #[inline]
    pub fn intends_beside_keys(&self) {
        if self.keyspace.events().is_followed() {
            self.server.feed.intend(Subject::All);
        }
    }

    /// The call changes something else than keys, and replicas must repeat it. The caller holds what orders such calls.
    #[inline]
    pub fn effect_beside_keys(&self) {
        if self.keyspace.events().is_followed() {
            recording::note_other(self.server.feed.ticket());
        }
    }

    /// The effect of a call that stored a string with a deadline, or removed the key because the deadline had passed.
    #[inline]
    pub fn effect_is_set(&self, key: &[u8], value: &[u8], deadline: Millis) {
        if !self.keyspace.events().is_followed() {
            return;
        }
        if deadline <= self.access.now {
            recording::add(&[b"DEL", key]);
        } else {
            let deadline = deadline.to_string();
            recording::add(&[b"SET", key, value, b"PXAT", deadline.as_bytes()]);
        }
    }

    /// The effect of a call that gave a key a deadline, or removed the key because the deadline had passed.
    #[inline]
    pub fn effect_is_deadline(&self, key: &[u8], deadline: Millis) {
        if !self.keyspace.events().is_followed() {
            return;
        }
        if deadline <= self.access.now {
            recording::add(&[b"DEL", key]);
        } else {
            let deadline = deadline.to_string();
            recording::add(&[b"PEXPIREAT", key, deadline.as_bytes()]);
        }
    }
}

#[inline]
fn add(keyspace: &Keyspace, words: &[&[u8]]) {
    if keyspace.events().is_followed() {
        recording::add(words);
    }
}

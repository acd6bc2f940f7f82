//! What replicas run instead of calls that change deadlines of fields: times are points in time, and each command names only the
//! fields that it changed. Redis 7.4 knows all of them.

use crate::commands::context::Database;
use crate::keyspace::Millis;

/// The effects of a call on one hash.
pub(super) struct FieldEffects<'a> {
    database: Database<'a>,
    key: &'a [u8],
    /// Whether anybody wants to know them.
    is_wanted: bool,
    set: Vec<&'a [u8]>,
    removed: Vec<&'a [u8]>,
    persisted: Vec<&'a [u8]>,
    /// Fields with their new deadlines.
    expiring: Vec<(Millis, &'a [u8])>,
}

impl<'a> FieldEffects<'a> {
    pub(super) fn begin(database: Database<'a>, key: &'a [u8]) -> Self {
        Self {
            database,
            key,
            is_wanted: database.is_followed(),
            set: Vec::new(),
            removed: Vec::new(),
            persisted: Vec::new(),
            expiring: Vec::new(),
        }
    }

    /// A field got a value and a deadline, or none.
    pub(super) fn sets(&mut self, field: &'a [u8], value: &'a [u8], expires_at: Option<Millis>) {
        if self.is_wanted {
            self.set.extend([field, value]);
            self.expiring.extend(expires_at.map(|at| (at, field)));
        }
    }

    /// A field is gone.
    pub(super) fn removes(&mut self, field: &'a [u8]) {
        if self.is_wanted {
            self.removed.push(field);
        }
    }

    /// A field lost its deadline.
    pub(super) fn persists(&mut self, field: &'a [u8]) {
        if self.is_wanted {
            self.persisted.push(field);
        }
    }

    /// A field got a deadline.
    pub(super) fn expires(&mut self, field: &'a [u8], at: Millis) {
        if self.is_wanted {
            self.expiring.push((at, field));
        }
    }

    /// Adds the commands to the call's effects.
    pub(super) fn finish(mut self) {
        if !self.is_wanted {
            return;
        }
        self.database.begin_effects();
        self.add(&[b"HSET", self.key], &self.set);
        self.add(&[b"HDEL", self.key], &self.removed);
        self.name(&[b"HPERSIST", self.key], &self.persisted);
        self.expiring.sort_by_key(|&(at, _)| at);
        for fields in self.expiring.chunk_by(|one, other| one.0 == other.0) {
            let at = fields.first().map_or(0, |&(at, _)| at).to_string();
            let fields: Vec<&[u8]> = fields.iter().map(|&(_, field)| field).collect();
            self.name(&[b"HPEXPIREAT", self.key, at.as_bytes()], &fields);
        }
    }

    /// Adds a command that names the fields with their number.
    fn name(&self, words: &[&[u8]], fields: &[&[u8]]) {
        let count = fields.len().to_string();
        self.add(&[words, &[b"FIELDS", count.as_bytes()]].concat(), fields);
    }

    fn add(&self, words: &[&[u8]], rest: &[&[u8]]) {
        if !rest.is_empty() {
            self.database.effect(&[words, rest].concat());
        }
    }
}

//! The stream of a server that follows a master itself: it passes its master's stream on, byte for byte, under the same id and at
//! the same offsets. So replicas of this server, and others of its master, find their places in one history.
//!
//! What a step of the link has applied is passed on inside the gate, and shown to replicas once it is durable.

use std::time::{Duration, Instant};

use super::queue::Due;
use super::{Feed, Replica, Stream};
use crate::config::Settings;
use crate::keyspace::{Keyspace, KeyspaceError};
use crate::state::replication::{Place, ReplicationId};

/// How long a server that becomes a replica waits for the thread that makes the stream, which holds nothing but may wait for the
/// pool.
const TURN_TIME: Duration = Duration::from_secs(1);

impl Stream {
    /// How many bytes the history has with those that are not shown yet.
    fn reach(&self) -> u64 {
        self.end + self.pending.len() as u64
    }

    /// Begins with the first `offset` bytes of a master's history, and has none of them.
    fn begin_at(&mut self, id: &str, offset: u64) {
        self.forget(true);
        self.passes = true;
        self.pending = Vec::new();
        id.clone_into(&mut self.id);
        self.end = offset;
        self.ends.clear();
    }

    /// The master's history has another id from `offset` on. Returns whether replicas must learn of it.
    fn continue_as(&mut self, id: &str, offset: u64) -> bool {
        if self.reach() != offset {
            self.begin_at(id, offset);
            return true;
        }
        self.show(offset);
        if self.id == id {
            return false;
        }
        let former = std::mem::replace(&mut self.id, id.to_owned());
        self.former = Some((former, offset));
        true
    }

    /// Shows what was passed on, up to `offset`.
    fn show(&mut self, offset: u64) {
        let bytes = offset.saturating_sub(self.end);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let shown = bytes.min(self.pending.len());
        self.bytes.extend(&self.pending[..shown]);
        self.pending.drain(..shown);
        self.end += shown as u64;
    }

    /// From now on the history is this server's own. It goes on where the master's has been followed to.
    fn become_own(&mut self, id: &str, offset: u64) {
        self.passes = false;
        if self.id == id && self.reach() == offset {
            self.show(offset);
            let former = std::mem::replace(&mut self.id, super::new_id());
            self.former = Some((former, offset));
            self.db = None;
            self.ends.clear();
        } else {
            self.pending = Vec::new();
            self.take_over(id, offset);
        }
    }
}

impl Feed {
    /// A master becomes a replica. Returns the place at the end of its own history, from which it can go on at a server that
    /// has followed it; `None` if there is no such server. The caller is alone in the gate.
    pub fn step_down(&self, keyspace: &Keyspace, settings: &Settings) -> Option<Place> {
        keyspace.events().follow(false);
        *self.alone_since.lock() = None;
        let is_whole = self.settle(keyspace, settings);
        self.drop_file();
        let mut stream = self.stream.lock();
        stream.passes = true;
        if !is_whole || !stream.keeps {
            return None;
        }
        Some(Place {
            id: ReplicationId::parse(stream.id.as_bytes())?,
            offset: stream.end,
            db: stream.db.unwrap_or(0),
        })
    }

    /// Brings all effects into the stream that calls have left so far. Returns whether it has them all. The caller is alone in the
    /// gate.
    pub fn settle(&self, keyspace: &Keyspace, settings: &Settings) -> bool {
        let Some(turn) = self.turn.try_lock_for(TURN_TIME) else {
            return false;
        };
        let committed = keyspace.commit();
        if committed.is_ok() {
            let mut due = Due::default();
            self.queue.take(&mut due);
            self.append(&mut due, settings);
        }
        drop(turn);
        committed.is_ok() && self.stream.lock().has_all_before(self.next_ticket())
    }

    /// Brings effects into the stream up to that of `ticket`. Returns whether it has it. The caller need not be alone: others
    /// may hold tickets before it for a moment.
    pub(super) fn settle_to(&self, keyspace: &Keyspace, ticket: u64, settings: &Settings) -> bool {
        let until = Instant::now() + TURN_TIME;
        loop {
            self.settle(keyspace, settings);
            if self.stream.lock().has_all_before(ticket + 1) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A replica has a master's data set, which is at this place.
    pub fn begin_at(&self, place: Place) {
        self.stream.lock().begin_at(place.id.as_str(), place.offset);
        self.send_away(place.offset);
    }

    /// A replica goes on from its place, and the history's id is this one from now on. The caller is alone in the gate.
    pub fn continue_as(&self, place: Place) {
        let mut stream = self.stream.lock();
        if stream.continue_as(place.id.as_str(), place.offset) {
            drop(stream);
            self.send_away(place.offset);
        }
    }

    /// Passes on what a step of the link has applied. The caller is alone in the gate.
    pub fn pass_on(&self, bytes: &[u8]) {
        self.stream.lock().pending.extend_from_slice(bytes);
    }

    /// What was passed on is durable up to `offset`: replicas get it.
    pub fn show(&self, offset: u64, settings: &Settings) {
        let replicas = self.replicas();
        let mut stream = self.stream.lock();
        if !stream.passes {
            return;
        }
        stream.show(offset);
        let least = replicas.iter().filter_map(|one| one.place()).min();
        stream.trim(settings.feed.backlog_bytes, least);
        let end = stream.end;
        drop(stream);
        self.grown.send_replace(end);
    }

    /// A replica of this replica follows from `place`, at which its copy was taken. Returns whether the stream goes on from there.
    pub(super) fn follows_from(&self, replica: &Replica, place: Place) -> bool {
        let mut stream = self.stream.lock();
        if !stream.passes || stream.id != place.id.as_str() {
            return false;
        }
        // The caller has committed since.
        stream.show(place.offset);
        let has = stream.place_of(place.id.as_str(), place.offset).is_some();
        if has {
            replica.set_place(Some(place.offset));
        }
        has
    }

    /// A replica becomes a master: its history goes on where it has followed that of its master, so that others of that
    /// master's replicas can follow it. The caller is alone in the gate.
    pub fn take_over(
        &self,
        keyspace: &Keyspace,
        place: Place,
        settings: &Settings,
    ) -> Result<(), KeyspaceError> {
        keyspace.commit()?;
        keyspace.events().follow(true);
        let mut stream = self.stream.lock();
        stream.become_own(place.id.as_str(), place.offset);
        drop(stream);
        if let Some(file) = self.prepare_file(settings) {
            self.keep_in(keyspace, file, settings);
        }
        self.send_away(place.offset);
        Ok(())
    }

    /// A replica without a place becomes a master. The caller is alone in the gate.
    pub fn begin_own(&self, keyspace: &Keyspace) {
        keyspace.events().follow(false);
        let mut stream = self.stream.lock();
        stream.passes = false;
        stream.pending = Vec::new();
        stream.forget(false);
        let end = stream.end;
        drop(stream);
        self.send_away(end);
    }

    /// Ends the links of the replicas, which come back and ask where they go on.
    fn send_away(&self, end: u64) {
        let replicas = self.replicas();
        for replica in &replicas {
            replica.set_place(None);
            replica.handle.kill();
        }
        if replicas.is_empty() {
            *self.alone_since.lock() = Some(Instant::now());
        }
        self.grown.send_replace(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "0123456789abcdef0123456789abcdef01234567";

    fn read(stream: &Stream, place: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        stream.read(place, 10, &mut bytes).expect("it is kept");
        bytes
    }
    const OTHER: &str = "76543210fedcba9876543210fedcba9876543210";

    fn following() -> Stream {
        let mut stream = Stream::new();
        stream.begin_at(MASTER, 100);
        stream
    }

    #[test]
    fn what_is_passed_on_is_shown_later() {
        let mut stream = following();
        stream.pending.extend_from_slice(b"0123456789");
        assert_eq!(read(&stream, 100), b"");
        assert_eq!(stream.place_of(MASTER, 104), None);
        stream.show(104);
        assert_eq!(read(&stream, 100), b"0123");
        assert_eq!(stream.place_of(MASTER, 104), Some(104));
        stream.show(1000);
        assert_eq!(read(&stream, 104), b"456789");
        // A replica adds nothing of its own.
        stream.append_command(&[b"PING"]);
        assert_eq!(stream.state().end, 110);
    }

    #[test]
    fn the_master_may_take_another_id() {
        let mut stream = following();
        stream.pending.extend_from_slice(b"01234");
        assert!(!stream.continue_as(MASTER, 105));
        assert!(stream.continue_as(OTHER, 105));
        assert_eq!(stream.place_of(MASTER, 103), Some(103));
        assert_eq!(stream.place_of(OTHER, 105), Some(105));
        // Elsewhere nothing of the former history helps.
        assert!(stream.continue_as(MASTER, 90));
        assert_eq!(stream.place_of(OTHER, 90), None);
        assert_eq!(stream.place_of(MASTER, 90), Some(90));
    }

    #[test]
    fn a_replica_that_becomes_a_master_keeps_its_masters_history() {
        let mut stream = following();
        stream.pending.extend_from_slice(b"01234");
        stream.become_own(MASTER, 105);
        let own = stream.state().id;
        assert_ne!(own, MASTER);
        stream.append_command(&[b"PING"]);
        assert_eq!(stream.place_of(MASTER, 102), Some(102));
        assert_eq!(stream.place_of(MASTER, 106), None);
        assert_eq!(stream.place_of(&own, 119), Some(119));
        // A place that is not that of the stream leaves none of its bytes.
        let mut stream = following();
        stream.pending.extend_from_slice(b"01234");
        stream.become_own(MASTER, 103);
        assert_eq!(stream.place_of(MASTER, 103), Some(103));
        assert_eq!(stream.place_of(MASTER, 102), None);
    }
}

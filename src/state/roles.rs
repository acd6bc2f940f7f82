//! A server becomes a replica, or a master.

use super::Server;
use super::replication::Place;
use crate::config::Master;
use crate::keyspace::{Keyspace, KeyspaceError};

impl Server {
    /// The replica's place as the pool has it: that of the last step, also where the link has not told of it yet.
    pub(super) fn stored_place(&self, keyspace: &Keyspace) -> Result<Option<Place>, KeyspaceError> {
        let record = keyspace.place().read()?;
        let databases = self.config.settings().databases;
        Ok(record.and_then(|record| Place::decode(&record, databases)))
    }

    /// Follows a master from now on, from the place that this server has in its history. The caller is alone in the gate.
    ///
    /// # Errors
    /// Those of the store; then nothing was changed.
    pub fn follow_master(&self, keyspace: &Keyspace, master: Master) -> Result<(), KeyspaceError> {
        let place = if self.replication.is_replica() {
            // A replica of the same history goes on from its place at the other master.
            self.stored_place(keyspace)?
        } else {
            // A server that has followed this one may take its place, and this one go on there.
            let place = self.feed.step_down(keyspace, &self.config.settings());
            let record = place.map(|place| place.encode());
            let record = record.as_ref().map(<[u8; _]>::as_slice);
            keyspace.place().store(record)?;
            place
        };
        let value = format!("{} {}", master.host, master.port);
        self.follow(keyspace, Some(master), place);
        self.config.found("replicaof", &value);
        Ok(())
    }

    /// Becomes a master, if it is none. Returns whether it was none. The caller is alone in the gate.
    ///
    /// # Errors
    /// Those of the store; then nothing was changed.
    pub fn promote(&self, keyspace: &Keyspace) -> Result<bool, KeyspaceError> {
        if !self.replication.is_replica() {
            return Ok(false);
        }
        let place = self.stored_place(keyspace)?;
        // Clients may write from now on, so the data set is at no place of the master's stream any more.
        keyspace.place().store(None)?;
        match place {
            // Other replicas of that master may go on here.
            Some(place) => self
                .feed
                .take_over(keyspace, place, &self.config.settings())?,
            None => self.feed.begin_own(keyspace),
        }
        self.follow(keyspace, None, None);
        self.config.found("replicaof", "no one");
        Ok(true)
    }
}

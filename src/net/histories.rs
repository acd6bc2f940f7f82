//! What the start finds of the histories that replicas follow, and what the end leaves of them.

use crate::keyspace::{Keyspace, KeyspaceError};
use crate::state::Server;
use crate::state::feed::{Left, Secret};
use crate::state::replication::Place;

/// Leaves a master's history to the next start, so that replicas go on without a copy.
pub(super) fn leave(server: &Server, keyspace: &Keyspace) {
    if server.clients.is_empty()
        && !server.replication.is_replica()
        && let Err(error) = server.feed.leave(keyspace)
    {
        tracing::warn!(%error, "replicas will get new copies: the pool could not keep their history");
    }
}

/// Finds how far the pool's data set has followed a master. On a master it must not be there: its clients write, so the
/// data set is at no such place any more. A master finds the history that its replicas have followed.
pub(super) fn find(server: &Server, keyspace: &Keyspace) -> Result<(), KeyspaceError> {
    let Some(record) = keyspace.place().read()? else {
        return Ok(());
    };
    let settings = server.config.settings();
    let place = Place::decode(&record, settings.databases);
    let left = Left::decode(&record);
    let secret = Secret::decode(&record);
    if server.replication.is_replica() {
        if place.is_none() && left.is_none() && secret.is_none() {
            tracing::warn!(
                "the replica's place in the pool does not read: a full copy of the master's data set follows"
            );
        }
        // A master that stopped in order, and follows another one now, is at the end of its own history.
        let place = place.or_else(|| left.and_then(|left| left.place()));
        if let Some(place) = place {
            server.feed.begin_at(place);
        }
        server.replication.found_place(place);
        return Ok(());
    }
    if let Some(secret) = secret {
        let expired = keyspace.loading().take_expired();
        // A repair may have dropped what replicas have.
        if settings.repair || !server.feed.recover(keyspace, secret, expired, &settings)? {
            tracing::info!("replicas will get copies: nothing tells what they have");
            keyspace.place().store(None)?;
            keyspace.commit()?;
        }
        return Ok(());
    }
    keyspace.place().store(None)?;
    keyspace.commit()?;
    if let Some(left) = left {
        server.feed.go_on(keyspace, left, &settings);
    } else {
        tracing::warn!(
            "the pool was a replica's, and no directive 'replicaof' says whom to follow: this server is a master now"
        );
    }
    Ok(())
}

//! A new client: its entry in the list of clients, and its task on a worker.

use std::io;
use std::sync::Arc;

use super::{Stream, serve};
use crate::keyspace::{Keyspace, now_ms};
use crate::net::workers::Place;
use crate::state::{ClientHandle, Endpoint, Server};

/// A client's entry in the list of clients, and its place with a worker. Dropping it removes both, so they end with the
/// client's task, however that ends.
#[derive(Debug)]
pub struct Registration {
    pub(super) server: Arc<Server>,
    pub(super) handle: Arc<ClientHandle>,
    pub(super) place: Place,
}

impl Registration {
    /// Registers a new client.
    pub fn new(server: &Arc<Server>, endpoint: Endpoint, place: Place) -> Self {
        Self {
            handle: server
                .clients
                .register(endpoint, server.acl.default_user(), now_ms()),
            server: Arc::clone(server),
            place,
        }
    }

    /// Serves the client on its worker's thread. There `join` makes the stream from `plain`.
    pub fn start<S, Plain>(
        self,
        plain: Plain,
        join: impl FnOnce(Plain) -> io::Result<S> + Send + 'static,
        keyspace: &Arc<Keyspace>,
    ) where
        S: Stream + Send + 'static,
        Plain: Send + 'static,
    {
        let keyspace = Arc::clone(keyspace);
        let worker = self.place.runtime.clone();
        worker.spawn(async move {
            match join(plain) {
                Ok(stream) => serve(stream, &self, keyspace).await,
                Err(error) => {
                    tracing::warn!(client = %self.handle.addr, %error, "a client could not be served");
                }
            }
        });
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.server.monitors.remove(&self.handle);
        self.server.clients.remove(self.handle.id);
    }
}

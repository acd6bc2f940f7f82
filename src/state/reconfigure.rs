//! Changes of a running server that concern several of its parts: whom it follows, and CONFIG SET of settings that need
//! outside resources (certificates, sockets, files). The latter first obtains all resources and then uses them. If one is
//! not available, nothing changes.

use std::sync::Arc;

use rustls::ServerConfig;

use super::Server;
use super::replication::Place;
use crate::config::{Master, Settings, no_power_refusal};
use crate::error::CommandError;
use crate::keyspace::Keyspace;
use crate::system::{Plan, files};
use crate::tls::Tls;

/// The outside resources for new settings, ready to be used.
pub struct Prepared {
    tls: Option<Arc<ServerConfig>>,
    ports: Option<Plan>,
}

impl Server {
    /// Obtains the resources for new settings, or names the directive whose resource is not available.
    pub fn prepare(
        &self,
        settings: &Settings,
        changed: &[&'static str],
    ) -> Result<Prepared, (&'static str, String)> {
        let change =
            |names: &[&'static str]| changed.iter().copied().find(|name| names.contains(name));
        if let Some(name) = change(&["appendfsync", "appendonly"])
            && settings.promises_power
            && !self.durability.power
        {
            return Err((name, no_power_refusal()));
        }
        if let Some(name) = change(&["maxclients"]) {
            files::raise_limit(settings.maxclients, self.reserved_files)
                .map_err(|error| (name, error.to_string()))?;
        }
        let tls = Tls::prepare(settings, changed)?;
        let mut ports = None;
        if change(&["bind", "port", "tls-port"]).is_some() {
            let plan = self.ports.prepare(settings).map_err(|(error, of_tls)| {
                // Redis tries these directives in the order of the call, and `bind` with all ports.
                let names = ["bind", if of_tls { "tls-port" } else { "port" }];
                let name = change(&names).unwrap_or("bind");
                tracing::warn!(
                    "Could not create server TCP listening socket: {error}. Possibly related to new {name} setting. \
                     Nothing was changed."
                );
                let reason = if name == "bind" {
                    "Failed to bind to specified addresses."
                } else {
                    "Unable to listen on this port. Check server logs."
                };
                (name, reason.to_owned())
            })?;
            ports = Some(plan);
        }
        Ok(Prepared { tls, ports })
    }

    /// Decides whom to follow from now on, and from which place. The caller is alone in the gate.
    pub fn follow(&self, keyspace: &Keyspace, master: Option<Master>, place: Option<Place>) {
        let becomes_replica = master.is_some() && !self.replication.is_replica();
        self.replication.follow(master, place);
        self.leave_to_master(keyspace, &self.config.settings());
        if becomes_replica {
            // What they wait for may be a write.
            for client in self.clients.all() {
                let blocked = client.blocked.lock().clone();
                if let Some(blocked) = blocked {
                    blocked.answer(Err(CommandError::text(
                        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
                    )));
                }
            }
        }
    }

    /// Leaves expiry and eviction to the master, if there is one.
    pub fn leave_to_master(&self, keyspace: &Keyspace, settings: &Settings) {
        self.replication.configure(&settings.replication);
        let is_replica = self.replication.is_replica();
        keyspace.expiry().follow(is_replica);
        let keeps_all = is_replica && settings.replication.ignores_maxmemory;
        keyspace.eviction().follow(keeps_all);
    }

    /// Puts the prepared resources into use.
    pub fn take_over(&self, prepared: Prepared) {
        self.tls.take_over(prepared.tls);
        if let Some(plan) = prepared.ports {
            self.ports.apply(plan).wait();
        }
    }
}

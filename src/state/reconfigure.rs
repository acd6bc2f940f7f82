//! CONFIG SET of settings that need outside resources: certificates, sockets, files. It first obtains all resources
//! and then uses them. If one is not available, nothing changes.

use std::sync::Arc;

use rustls::ServerConfig;

use super::Server;
use crate::config::{Settings, no_power_refusal};
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

    /// Puts the prepared resources into use.
    pub fn take_over(&self, prepared: Prepared) {
        self.tls.take_over(prepared.tls);
        if let Some(plan) = prepared.ports {
            self.ports.apply(plan).wait();
        }
    }
}

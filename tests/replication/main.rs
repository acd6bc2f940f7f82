//! This server as a replica of real Redis and Valkey servers.

#[path = "../it/tls/authority.rs"]
#[allow(dead_code)] // Half of it is the tests' of TLS for clients.
mod authority;
mod behaviour;
mod chains;
mod crashes;
mod failover;
mod failures;
mod full_sync;
mod lost_host;
mod machines;
mod pair;
mod places;
mod proxy;
mod sentinel;
mod switch_over;
mod traffic;

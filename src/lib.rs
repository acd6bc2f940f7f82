//! A Redis-compatible server whose data lives in persistent memory.

pub mod acl;
pub mod commands;
pub mod config;
pub mod geohash;
pub mod glob;
pub mod keyspace;
pub mod latency;
pub mod launch;
pub mod logging;
pub mod pmemkv;
pub mod protocol;
pub mod serialised;
pub mod server;
pub mod store;

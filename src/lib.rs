//! A Redis-compatible server whose data lives in persistent memory.

#![forbid(unsafe_code)]

pub mod acl;
pub mod catalog;
pub mod commands;
mod error;
mod import;
pub mod launch;
pub mod logging;
pub mod net;
pub mod state;
pub mod system;
pub mod task;
mod tls;

// The crates below, under the names that the server's own modules use.
pub use config;
pub use keyspace;
pub use keyspace::latency;
pub use pmemkv;
pub use redis_core::{geohash, glob, numbers, protocol, quoting, serialised};
pub use store;

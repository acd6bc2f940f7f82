//! A Redis-compatible server whose data lives in persistent memory.

pub mod commands;
pub mod keyspace;
pub mod protocol;
pub mod server;
pub mod store;

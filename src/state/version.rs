//! The version of Redis that the server names to its clients.

use std::sync::OnceLock;

/// The Redis version whose commands this server has.
const REDIS_VERSION: &str = "7.4.7";

static ANNOUNCED: OnceLock<String> = OnceLock::new();

/// Has the server name this version, unless it names one already. The directive `redis-version` is fixed at the start.
pub fn announce_version(version: &str) {
    let _ = ANNOUNCED.set(version.to_owned());
}

/// The version that INFO, HELLO and scripts name.
pub fn redis_version() -> &'static str {
    ANNOUNCED.get().map_or(REDIS_VERSION, String::as_str)
}

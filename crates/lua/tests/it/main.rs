//! The crate as a server uses it, and beside redis-server.

mod differential;
mod host;
mod redis;
mod scripts;

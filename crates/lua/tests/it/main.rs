//! The crate as a server uses it, and beside redis-server.

mod calls;
mod differential;
mod functions;
mod generated;
mod host;
mod isolation;
mod limits;
mod redis;
mod vulnerabilities;

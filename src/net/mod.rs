//! Sockets: listeners, workers, connections, TLS, the metrics' HTTP; and the start and end of the whole server.
//!
//! May use: all other rooms and crates. Never: looks at keys.

mod connection;
mod failures;
mod histories;
mod listener;
mod metrics;
mod replication;
mod run;
mod tls_stream;
mod workers;

pub use run::{RunError, run};

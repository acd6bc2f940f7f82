//! What the process gets from the operating system: sockets to listen on, files, its pid file, a place for the pool.
//!
//! May use: settings, the store's options. Never: knows a client or a command.

pub mod files;
pub mod pidfile;
mod ports;
mod sockets;
mod survival;

pub use ports::{Change, Changes, Door, Plan, Ports};
pub use sockets::{ListenError, UnixSocket, listen_all};
pub use survival::Survival;

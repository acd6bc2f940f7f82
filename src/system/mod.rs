//! What the process gets from the operating system: listening sockets, open files, the pid file, the durability of the
//! pool's place.
//!
//! May use: settings, the store's options. Never: knows a client or a command.

pub mod files;
mod index_file;
pub mod logout;
mod passed;
pub mod pidfile;
mod ports;
mod process;
mod sockets;
mod survival;

pub use index_file::index_file;
pub use passed::Passed;
pub use ports::{Change, Changes, ListenAddress, Plan, Ports};
pub use process::resident_bytes;
pub use sockets::{ListenError, UnixSocket, listen_all};
pub use survival::Survival;

//! The catalog of commands: what each one is, as data, and the table by which names are found.
//!
//! May use: Redis's numbers and words of calls. Never: runs a command, knows a client or a key space.

mod bitfield;
pub mod spec;
mod table;
mod variable;

pub use bitfield::bitfield_only_reads;
pub use table::{Command, RenameError, Table, install, install_renamed, table};
pub use variable::{delex_reads, set_reads};

//! RDB files of Redis and Valkey, read and written as streams.
//!
//! | bytes | what |
//! |---|---|
//! | 9 | `REDIS` and four digits, or `VALKEY` and three: the version |
//! | any | items: a byte that says which, then its fields |
//! | 1 | 255, the end mark |
//! | 8 | since version 5: CRC-64 (Jones) of all before it, little-endian; 0 where there is none |
//!
//! An item is a key with its value, or tells something about what follows: a database's number, a key's deadline or use, a
//! library of functions, a note about the server that wrote the file. [`Reader`] reads versions 1 to 12 of Redis and
//! version 80 of Valkey. [`Writer`] writes version 10, which Redis 7.0 reads, or 11, which Redis 7.2 and Valkey read.
//!
//! The bytes come from files and peers, so the reader checks every length before it takes memory, and holds one item at a
//! time.
//!
//! May use: Redis's serialised forms. Never: knows a keyspace, opens a file or a socket.

#![forbid(unsafe_code)]

mod error;
mod keys;
mod module;
mod opcode;
mod reader;
mod skim;
mod source;
#[cfg(test)]
mod tests;
mod writer;

pub use error::RdbError;
pub use keys::{Decoded, Keys, Value};
pub use reader::{Item, Key, Limits, Reader};
pub use redis_core::serialised::Object;
pub use writer::{KeyRef, Options, Version, Writer};

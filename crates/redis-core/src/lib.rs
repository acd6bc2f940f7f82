//! The formats that Redis shares with its clients and files, as plain functions over bytes: the protocol, numbers, glob
//! patterns, quoted arguments, geohashes and the serialised forms of DUMP.
//!
//! May use: nothing of this project. Never: knows a command, a keyspace or a socket.

#![forbid(unsafe_code)]

pub mod geohash;
pub mod glob;
pub mod numbers;
pub mod protocol;
pub mod quoting;
pub mod serialised;

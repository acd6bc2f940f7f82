//! A Redis-compatible server whose data lives in persistent memory.

pub mod pmemkv;

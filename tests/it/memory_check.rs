//! The memory check in small pools: how much memory a transaction takes, and how much the server reclaims before it
//! refuses a command.

mod reclaiming;
mod versions;

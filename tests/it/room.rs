//! Room in small pools: how much a transaction takes, and how much the server makes before it refuses a command.

mod making;
mod versions;

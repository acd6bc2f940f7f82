//! Room in small pools: what a transaction takes, what is made before anybody is refused.

#[path = "../common/mod.rs"]
mod common;
mod making;
mod versions;

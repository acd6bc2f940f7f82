//! Ours against a real redis-server: seeded random calls go to both, and every reply must be equal.
//!
//! `PMEMKV_SEED` (a number, or `random`), `PMEMKV_STEPS` (calls of each test) and `PMEMKV_ENGINE` change what runs; a
//! failure prints the first two and the calls that led to it.

mod common;
#[path = "differential/mod.rs"]
mod families;

use common::TestResult;
use families::{connection, keys, metadata, run, strings, transactions};

#[test]
fn differential_keys() -> TestResult {
    run::compare("keys", &[keys::call])
}

#[test]
fn differential_strings() -> TestResult {
    run::compare("strings", &[strings::call])
}

#[test]
fn differential_connection() -> TestResult {
    run::compare("connection", &[connection::call])
}

#[test]
fn differential_transactions() -> TestResult {
    run::compare("transactions", &[transactions::call])
}

#[test]
fn differential_all() -> TestResult {
    run::compare("all", &[keys::call, strings::call, connection::call])
}

#[test]
fn differential_command_info() -> TestResult {
    metadata::compare_info()
}

#[test]
fn differential_command_docs() -> TestResult {
    metadata::compare_docs()
}

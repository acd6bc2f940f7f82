//! A real redis-server, to compare with.

use std::path::Path;

use tempfile::TempDir;

use super::process::Process;
use super::{RawClient, TestResult, connection, temporary_folder};

/// The environment variable with another program to compare with than the `redis-server` of the search path, for instance
/// of a later version.
pub(crate) const REAL_VARIABLE: &str = "PMEMKV_REAL";

/// A redis-server without persistence, in a folder of its own. Dropping it kills the process.
pub struct RedisServer {
    process: Process,
    /// Declared after the process, so that the process ends before the folder goes.
    _dir: TempDir,
}

impl RedisServer {
    /// Starts the `redis-server` of the search path, or what `PMEMKV_REAL` names.
    pub fn start() -> TestResult<Self> {
        Self::start_with(&[])
    }

    /// The same with more arguments for the command line.
    pub fn start_with(words: &[&str]) -> TestResult<Self> {
        let program = std::env::var(REAL_VARIABLE);
        Self::start_program(program.as_deref().unwrap_or("redis-server"), words)
    }

    /// Starts another program that takes the same options.
    pub fn start_program(program: &str, words: &[&str]) -> TestResult<Self> {
        let dir = temporary_folder()?;
        let process = Process::start(
            dir.path(),
            |command, port| {
                command
                    .args(["--port", port, "--bind", "127.0.0.1"])
                    .args(["--save", "", "--appendonly", "no"])
                    .args(words);
                if program.contains("valkey") {
                    command.args(["--extended-redis-compatibility", "yes"]);
                }
                // In Redis, SORT ALPHA compares by the locale's rules; our server compares bytes.
                command.env("LC_ALL", "C");
            },
            Path::new(program),
        )?;
        Ok(Self { process, _dir: dir })
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.process.port
    }

    /// A connection that shows replies unchanged.
    pub fn raw(&self) -> TestResult<RawClient> {
        Ok(RawClient::connect(self.port())?)
    }

    /// A connection of the `redis` crate.
    pub fn connection(&self) -> TestResult<redis::Connection> {
        connection(self.port())
    }
}

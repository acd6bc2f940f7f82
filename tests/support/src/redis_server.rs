//! A real redis-server, to compare with.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::process::Process;
use super::{RawClient, TestResult, connection, temporary_folder};

/// The environment variable with another program to compare with than the `redis-server` of the search path, for instance
/// of a later version.
pub(crate) const REAL_VARIABLE: &str = "PMEMKV_REAL";

/// A redis-server without persistence, in a folder of its own. Dropping it kills the process.
pub struct RedisServer {
    process: Process,
    program: String,
    words: Vec<String>,
    /// Declared after the process, so that the process ends before the folder goes.
    dir: TempDir,
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
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let process = Process::start(
            dir.path(),
            |command, port| configure(command, port, program, &words),
            Path::new(program),
        )?;
        let program = program.to_owned();
        Ok(Self {
            process,
            program,
            words,
            dir,
        })
    }

    /// Ends the process with SIGKILL, and starts it again on the same port. Its data are gone.
    pub fn kill_and_restart(&mut self) -> TestResult {
        self.process.kill_here()?;
        self.start_again()
    }

    /// Ends the process with SIGKILL.
    pub fn kill(&mut self) -> TestResult {
        self.process.kill_here()
    }

    /// Starts the process again that [`kill`](Self::kill) has ended, on the same port.
    pub fn start_again(&mut self) -> TestResult {
        let port = self.port();
        let process = Process::start_on(
            port,
            self.dir.path(),
            |command, port| configure(command, port, &self.program, &self.words),
            Path::new(&self.program),
        )?;
        self.process = process.ok_or_else(|| format!("port {port} is taken"))?;
        Ok(())
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

fn configure(command: &mut Command, port: &str, program: &str, words: &[String]) {
    // A configuration file stands before all directives.
    let files = words.iter().take_while(|word| !word.starts_with("--"));
    let files = files.count();
    command
        .args(&words[..files])
        .args(["--port", port, "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .args(&words[files..]);
    if program.contains("valkey") {
        command.args(["--extended-redis-compatibility", "yes"]);
    }
    // In Redis, SORT ALPHA compares by the locale's rules; our server compares bytes.
    command.env("LC_ALL", "C");
}

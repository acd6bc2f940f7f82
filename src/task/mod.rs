//! What the program does instead of serving: looks at a pool, prints its configuration, prints documents about itself.
//!
//! May use: settings, the store, the keyspace. Never: opens a socket, changes a pool.

mod check;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::{Config, ConfigError, Task};

/// Runs a task. Its exit code is the process's.
pub fn run(task: Task) -> io::Result<ExitCode> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    let code = match task {
        Task::Check(asked) => check::run(&asked, &mut output)?,
        Task::Generate(document) => {
            document.write(&mut output)?;
            ExitCode::SUCCESS
        }
        Task::DumpConfig(arguments) => match Config::parse(&arguments) {
            Err(ConfigError::CommandLine(error)) => error.exit(),
            Err(error) => {
                writeln!(io::stderr(), "pmemkv-server: {error}")?;
                ExitCode::FAILURE
            }
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    writeln!(io::stderr(), "pmemkv-server: {warning}")?;
                }
                output.write_all(&loaded.config.dump())?;
                ExitCode::SUCCESS
            }
        },
    };
    output.flush()?;
    Ok(code)
}

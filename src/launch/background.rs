//! `daemonize yes`: the program executes itself again in a session of its own, and the first process waits until the
//! second one serves. So the first process can exit with an error if the start fails; after a fork at the beginning it
//! could not.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};

/// The environment variable of the process in the background. The standard output of that process is the pipe to the
/// process that waits.
const IN_BACKGROUND: &str = "PMEMKV_SERVER_IN_BACKGROUND";

/// What the background process sends when it serves. If it ends before that, it sends nothing.
const READY: &[u8] = b"1";

/// The background process's connection to the process that waits.
#[derive(Debug)]
pub struct Background {
    pipe: File,
    null: File,
}

/// Executes the program again with the same `arguments` and `input` as its standard input. Waits
/// until it serves or has failed. Its errors go to this process's standard error.
pub fn start(arguments: &[OsString], input: &[u8]) -> io::Result<ExitCode> {
    let Some((program, rest)) = arguments.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut child = Command::new("/proc/self/exe")
        .arg0(program)
        .args(rest)
        .env(IN_BACKGROUND, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // The child may fail before it has read everything; then its own error says why.
        let _ = stdin.write_all(input);
    }
    let mut said = [0; READY.len()];
    let heard = match child.stdout.take() {
        Some(mut stdout) => stdout.read_exact(&mut said),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    };
    if heard.is_ok() && said == *READY {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(signal) = child.wait()?.signal() {
        return Err(io::Error::other(format!(
            "the process in the background was ended by signal {signal} before it served"
        )));
    }
    Ok(ExitCode::FAILURE)
}

impl Background {
    /// In the background process, leaves the terminal's session and closes the standard streams except the one for
    /// errors, which the start may still need. `None` in any other process. The caller calls it once, after it has read
    /// standard input.
    pub fn enter() -> io::Result<Option<Self>> {
        if std::env::var_os(IN_BACKGROUND).is_none() {
            return Ok(None);
        }
        setsid()?;
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        let pipe = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        Ok(Some(Self { pipe, null }))
    }

    /// Tells the waiting process that the server serves. Standard error goes to the log file from now on: there the runtime
    /// tells why it ends the process, for example because no memory is left.
    pub(super) fn ready(mut self, logfile: Option<&Path>) {
        // The waiting process may be gone, which is no reason to stop serving.
        if let Err(error) = self.pipe.write_all(READY) {
            tracing::warn!(%error, "the process that started this one is gone");
        }
        let log = logfile.map(|path| OpenOptions::new().append(true).open(path));
        let log = log.and_then(|opened| {
            opened
                .inspect_err(|error| tracing::warn!(%error, "standard error goes nowhere"))
                .ok()
        });
        if let Err(error) = dup2_stderr(log.as_ref().unwrap_or(&self.null)) {
            tracing::warn!(%error, "standard error stays open");
        }
    }
}

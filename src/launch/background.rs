//! `daemonize yes`: the program executes itself again in a session of its own, and the first process waits until the
//! second one serves. So it can answer with an error where the start fails, which a fork at the beginning cannot.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};

/// Set in the process in the background, whose standard output is the pipe to the one that waits.
const IN_BACKGROUND: &str = "PMEMKV_SERVER_IN_BACKGROUND";

/// What is sent when the server serves; nothing is sent where it ends before.
const READY: &[u8] = b"1";

/// The process that waits for this one, as seen from the background.
#[derive(Debug)]
pub struct Background {
    pipe: File,
    null: File,
}

/// Executes the program again with the same `arguments` and more `environment`, with `input` as its standard input, and
/// waits until it serves or has failed. Its errors go to this process's standard error.
pub fn start(
    arguments: &[OsString],
    environment: &[(&str, &str)],
    input: &[u8],
) -> io::Result<ExitCode> {
    let Some((program, rest)) = arguments.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut child = Command::new("/proc/self/exe")
        .arg0(program)
        .args(rest)
        .envs(environment.iter().copied())
        .env(IN_BACKGROUND, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // The child may fail before it reads all: its own error says why.
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
    /// In the process in the background: leaves the terminal's session and gives up the standard streams but that for
    /// errors, which the start may still need. `None` in any other process. To be called once, after standard input is
    /// read.
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

    /// Tells the process that waits, and gives up standard error too: it goes to the log file, since the runtime tells there
    /// why it ends the process (no memory is left, a lock is broken).
    pub(super) fn ready(mut self, logfile: Option<&Path>) {
        // It may have been ended meanwhile, which is no reason to stop serving.
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

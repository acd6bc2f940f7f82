//! A server process. The test starts it on a free port, waits until it answers, and ends it by its own handle.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::listening::listens;
use super::{PATIENCE, RawClient, TestResult, Value, quiet_port};

/// How many ports to try. Another process may take a free port before the server binds it.
const STARTS_MAX: usize = 5;
/// How much of the log a failed test shows.
const LOG_LINES_SHOWN: usize = 60;
const LOG: &str = "server.log";
/// What the system calls the reason for which a server ends whose port another process has.
const PORT_IS_TAKEN: &str = "ddress already in use";

pub struct Process {
    child: Child,
    pub port: u16,
    dir: std::path::PathBuf,
}

impl Process {
    /// Starts `program` with the arguments that `configure` adds for a port, and waits until it answers PING.
    pub fn start(
        dir: &Path,
        configure: impl Fn(&mut Command, &str),
        program: &Path,
    ) -> TestResult<Self> {
        for _ in 0..STARTS_MAX {
            let port = quiet_port()?;
            if let Some(process) = Self::start_on(port, dir, &configure, program)? {
                return Ok(process);
            }
        }
        Err(format!("{} does not start:\n{}", program.display(), tail(dir)).into())
    }

    /// The same on a port that the caller chose. `None` if the process ended because the port is taken; an end for any other
    /// reason is an error, which a second start must not hide.
    pub fn start_on(
        port: u16,
        dir: &Path,
        configure: impl Fn(&mut Command, &str),
        program: &Path,
    ) -> TestResult<Option<Self>> {
        let log = open_log(dir)?;
        let before = usize::try_from(log.metadata()?.len())?;
        let mut command = Command::new(program);
        configure(&mut command, &port.to_string());
        let child = command
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut process = Self {
            child,
            port,
            dir: dir.to_owned(),
        };
        if process.wait_for_ping()? {
            return Ok(Some(process));
        }
        let is_taken = read_log(dir)
            .get(before..)
            .is_some_and(|said| said.contains(PORT_IS_TAKEN));
        if is_taken {
            return Ok(None);
        }
        Err(format!("{} does not start:\n{}", program.display(), tail(dir)).into())
    }

    /// Starts `program`, and kills it after the time `after`, whether or not it serves by then.
    pub fn start_and_kill(
        dir: &Path,
        configure: impl Fn(&mut Command, &str),
        program: &Path,
        after: Duration,
    ) -> TestResult {
        let port = quiet_port()?;
        let log = open_log(dir)?;
        let mut command = Command::new(program);
        configure(&mut command, &port.to_string());
        let mut child = command
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        thread::sleep(after);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Returns `false` if the process ended instead.
    fn wait_for_ping(&mut self) -> TestResult<bool> {
        let deadline = Instant::now() + PATIENCE;
        let mut has_told = false;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            // Almost any reply will do: a server with a password replies with an error.
            let answer =
                RawClient::connect(self.port).and_then(|mut client| client.call(&["PING"]));
            let loading =
                |reply: &Value| matches!(reply, Value::Error(text) if text.starts_with(b"LOADING"));
            if answer.is_ok_and(|reply| !loading(&reply)) {
                if listens(self.pid(), self.port) {
                    return Ok(true);
                }
                if !std::mem::replace(&mut has_told, true) {
                    eprintln!("another process answers on port {}", self.port);
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("no answer to PING in {PATIENCE:?}:\n{}", tail(&self.dir)).into())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(mut self) -> TestResult {
        self.kill_here()
    }

    /// The same for a caller that starts another process in this one's place.
    pub fn kill_here(&mut self) -> TestResult {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub fn terminate(mut self) -> TestResult {
        kill(Pid::from_raw(i32::try_from(self.pid())?), Signal::SIGTERM)?;
        let status = self.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{status} after SIGTERM:\n{}", tail(&self.dir)).into())
        }
    }

    /// Waits until the process ends by itself; it must exit with code 0.
    pub fn wait_for_exit(mut self) -> TestResult {
        let status = self.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{status}:\n{}", tail(&self.dir)).into())
        }
    }

    fn wait(&mut self) -> TestResult<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("still running after {PATIENCE:?}:\n{}", tail(&self.dir)).into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the end of the server's log:\n{}", tail(&self.dir));
        }
        // Both fail only if the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn open_log(dir: &Path) -> TestResult<File> {
    let log = dir.join(LOG);
    Ok(OpenOptions::new().create(true).append(true).open(log)?)
}

pub fn read_log(dir: &Path) -> String {
    let bytes = std::fs::read(dir.join(LOG)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn tail(dir: &Path) -> String {
    let log = read_log(dir);
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

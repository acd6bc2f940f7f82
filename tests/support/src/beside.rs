//! Programs that stand beside servers: Sentinels, and a proxy that spreads keys.

use std::path::Path;

use tempfile::TempDir;

use super::process::Process;
use super::{RawClient, TestResult, temporary_folder};

/// A Sentinel, in a folder of its own. Dropping it kills the process.
pub struct Sentinel {
    process: Process,
    _dir: TempDir,
}

impl Sentinel {
    /// Starts `program` (redis-server or valkey-server) with the lines of its configuration, to which its port is added.
    pub fn start(program: &str, configuration: &str) -> TestResult<Self> {
        let dir = temporary_folder()?;
        let file = dir.path().join("sentinel.conf");
        let process = Process::start(
            dir.path(),
            |command, port| {
                let text = format!("port {port}\nbind 127.0.0.1\n{configuration}\n");
                // A missing file shows as a Sentinel that does not start.
                let _ = std::fs::write(&file, text);
                command.arg(&file).arg("--sentinel");
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
}

/// A nutcracker (twemproxy), in a folder of its own. Dropping it kills the process.
pub struct Nutcracker {
    process: Process,
    _dir: TempDir,
}

impl Nutcracker {
    /// Starts with this configuration, in which `LISTEN` stands for its address. `None` if the machine has no such program.
    pub fn start(configuration: &str) -> TestResult<Option<Self>> {
        let program = Path::new("/usr/sbin/nutcracker");
        if !program.exists() {
            return Ok(None);
        }
        let dir = temporary_folder()?;
        let file = dir.path().join("nutcracker.yml");
        let process = Process::start(
            dir.path(),
            |command, port| {
                let text = configuration.replace("LISTEN", &format!("127.0.0.1:{port}"));
                // A missing file shows as a program that does not start.
                let _ = std::fs::write(&file, text);
                // It serves its statistics on a port too.
                let statistics = super::quiet_port().unwrap_or_default().to_string();
                command.arg("--conf-file").arg(&file);
                command.args(["--stats-addr", "127.0.0.1", "--stats-port", &statistics]);
            },
            program,
        )?;
        Ok(Some(Self { process, _dir: dir }))
    }

    /// A connection that shows replies unchanged.
    pub fn raw(&self) -> TestResult<RawClient> {
        Ok(RawClient::connect(self.process.port)?)
    }
}

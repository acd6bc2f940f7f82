//! What started the process and is told how it fares: a supervisor (`supervised`), or the process that sent this one to
//! the background (`daemonize`).

use std::path::Path;

mod background;
mod supervision;

pub use self::background::{Background, start};
pub use self::supervision::Supervisor;

/// Hears when the server loads, serves and stops.
#[derive(Debug, Default)]
pub struct Launcher {
    /// Waits until the server serves.
    pub background: Option<Background>,
    /// Is told of every step.
    pub supervisor: Option<Supervisor>,
}

impl Launcher {
    /// The server's pool is about to be read.
    pub fn loading(&self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.notify("STATUS=Reading the pool\n");
        }
    }

    /// The server serves. What a process in the background writes to standard error goes to `logfile` from now on.
    pub fn ready(&mut self, logfile: Option<&Path>) {
        if let Some(background) = self.background.take() {
            background.ready(logfile);
        }
        if let Some(supervisor) = &self.supervisor {
            supervisor.ready();
        }
    }

    /// The server ends.
    pub fn stopping(&self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.notify("STOPPING=1\nSTATUS=Closing the pool\n");
        }
    }

    /// What INFO calls the supervisor.
    pub fn supervised(&self) -> &'static str {
        self.supervisor.as_ref().map_or("no", Supervisor::name)
    }
}

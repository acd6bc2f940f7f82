//! Tells the program that started the server how the start goes: a supervisor (`supervised`), or the process that waits
//! while this one goes to the background (`daemonize`).

use std::path::Path;
use std::time::Duration;

mod background;
mod supervision;

pub use self::background::{Background, start};
pub use self::supervision::Supervisor;

use crate::logging;
use crate::system::Passed;

/// How long a supervisor waits for the next percent of an import, microseconds.
const IMPORT_STEP_MICROS: u64 = 600_000_000;

/// Tells the starting program when the server loads, serves and stops.
#[derive(Debug, Default)]
pub struct Launcher {
    /// The process that waits until the server serves.
    pub background: Option<Background>,
    /// The supervisor, which gets every step.
    pub supervisor: Option<Supervisor>,
    /// The sockets that the supervisor has passed.
    pub sockets: Passed,
    /// What the supervisor has heard of the progress.
    pub told_percent: Option<usize>,
}

impl Launcher {
    /// Says that the server begins to read its pool.
    pub fn loading(&self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.notify("STATUS=Reading the pool\n");
        }
    }

    /// Says how much of the pool the server has read: on a terminal by a bar, to a supervisor once for each percent.
    pub fn progress(&mut self, percent: usize) {
        logging::show_progress("reading the pool", percent);
        if let Some(supervisor) = &self.supervisor
            && self.told_percent != Some(percent)
        {
            self.told_percent = Some(percent);
            supervisor.notify(&format!("STATUS=Reading the pool: {percent} %\n"));
        }
    }

    /// Says how much of an import the server has read.
    pub fn importing(&mut self, percent: usize) {
        logging::show_progress("importing", percent);
        if let Some(supervisor) = &self.supervisor
            && self.told_percent != Some(percent)
        {
            self.told_percent = Some(percent);
            // The import takes as long as it takes.
            supervisor.notify(&format!(
                "STATUS=Importing: {percent} %\nEXTEND_TIMEOUT_USEC={IMPORT_STEP_MICROS}\n"
            ));
        }
    }

    /// How often the supervisor wants to hear that the server is alive, at least; `None` if it does not.
    pub fn watchdog_time(&self) -> Option<Duration> {
        self.supervisor.as_ref()?.watchdog_time()
    }

    /// Says that the server is alive.
    pub fn alive(&self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.notify("WATCHDOG=1\n");
        }
    }

    /// The server serves. What a process in the background writes to standard error goes to `logfile` from now on.
    pub fn ready(&mut self, logfile: Option<&Path>) {
        logging::end_progress();
        if let Some(background) = self.background.take() {
            background.ready(logfile);
        }
        if let Some(supervisor) = &self.supervisor {
            supervisor.ready();
        }
    }

    /// Says that the server stops.
    pub fn stopping(&self) {
        logging::end_progress();
        if let Some(supervisor) = &self.supervisor {
            supervisor.notify("STOPPING=1\nSTATUS=Closing the pool\n");
        }
    }

    /// The supervisor's name in INFO.
    pub fn supervised(&self) -> &'static str {
        self.supervisor.as_ref().map_or("no", Supervisor::name)
    }
}

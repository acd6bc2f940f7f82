//! Backups of the pool: one at a time, on a thread of their own.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use super::Server;
use crate::keyspace::{BackupJob, Keyspace};

/// How long to wait for a script that runs for long before looking again.
const BUSY_TIME: Duration = Duration::from_millis(20);

/// How long the end of the server waits for a backup that ends. Most of its steps take milliseconds, but the file system
/// may be slow.
const END_TIME: Duration = Duration::from_secs(3);

/// What clients ask of the thread, and what it has done.
#[derive(Debug, Default)]
pub struct Backups {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_ending: bool,
    running: Option<Running>,
    last: Option<Last>,
    done: u64,
    failed: u64,
}

#[derive(Clone, Debug)]
struct Running {
    path: PathBuf,
    job: Arc<BackupJob>,
    started: Instant,
    is_taken: bool,
}

/// The last backup that came to an end.
#[derive(Clone, Debug)]
pub struct Last {
    /// Why there is no copy, if there is none.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// Bytes of records in the copy.
    pub bytes: u64,
    /// For how long commits waited, in microseconds.
    pub hold_micros: u64,
    /// When it ended, in seconds since the Unix epoch.
    pub ended_at: u64,
}

/// A backup under way.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since when.
    pub elapsed: Duration,
    /// Bytes of records that the copy has so far.
    pub copied_bytes: u64,
    /// Bytes of records that it will have.
    pub total_bytes: u64,
}

/// What INFO and the metrics tell of backups.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The backup under way.
    pub progress: Option<Progress>,
    /// The last one that has ended.
    pub last: Option<Last>,
    /// How many have succeeded since the start of the server.
    pub done: u64,
    /// How many have failed since then.
    pub failed: u64,
}

/// A backup is under way already, or the server ends.
#[derive(Clone, Copy, Debug)]
pub struct Refused;

impl Backups {
    /// Whether a backup is under way.
    pub fn is_running(&self) -> bool {
        self.state.lock().running.is_some()
    }

    /// Has the thread make a backup.
    ///
    /// # Errors
    /// An error where one is under way.
    pub fn begin(&self, path: PathBuf) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.is_ending || state.running.is_some() {
            return Err(Refused);
        }
        state.running = Some(Running {
            path,
            job: Arc::default(),
            started: Instant::now(),
            is_taken: false,
        });
        self.bell.notify_all();
        Ok(())
    }

    /// What there is to tell of backups.
    pub fn figures(&self) -> Figures {
        let state = self.state.lock();
        let progress = state.running.as_ref().map(|running| {
            let (copied_bytes, total_bytes) = running.job.progress();
            Progress {
                elapsed: running.started.elapsed(),
                copied_bytes,
                total_bytes,
            }
        });
        Figures {
            progress,
            last: state.last.clone(),
            done: state.done,
            failed: state.failed,
        }
    }

    /// Ends the backup under way, and takes no other one.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.is_ending = true;
        if let Some(running) = &state.running {
            running.job.cancel();
        }
        self.bell.notify_all();
    }

    fn run(&self, server: &Server, keyspace: &Keyspace) {
        while let Some(Running {
            path, job, started, ..
        }) = self.next()
        {
            tracing::info!(path = %path.display(), "a backup begins");
            let result = keyspace.back_up(&path, &job);
            if result.is_ok() {
                self.part_from_copy(server, keyspace);
            }
            let took = started.elapsed();
            let hold_micros = job.hold_micros();
            let (bytes, _) = job.progress();
            match &result {
                Ok(()) => tracing::info!(
                    path = %path.display(), bytes, ms = took.as_millis(), hold_micros, "the backup is done"
                ),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "the backup failed, and left nothing");
                }
            }
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let mut state = self.state.lock();
            state.running = None;
            match &result {
                Ok(()) => state.done += 1,
                Err(_) => state.failed += 1,
            }
            state.last = Some(Last {
                error: result.err().map(|error| error.to_string()),
                took,
                bytes,
                hold_micros,
                ended_at: since.unwrap_or_default().as_secs(),
            });
        }
    }

    /// The history beside the pool must not seem to belong to the copy, where somebody puts that in the pool's place.
    fn part_from_copy(&self, server: &Server, keyspace: &Keyspace) {
        let alone = loop {
            match keyspace.gate().enter_alone(true) {
                Ok(alone) => break alone,
                Err(_) if self.state.lock().is_ending => return,
                Err(_) => std::thread::sleep(BUSY_TIME),
            }
        };
        if let Err(error) = server.feed.change_secret(keyspace) {
            tracing::warn!(%error, "the backlog of this server may seem to belong to the backup");
        }
        drop(alone);
    }

    /// Waits for the next backup; `None` at the end.
    fn next(&self) -> Option<Running> {
        let mut state = self.state.lock();
        loop {
            if state.is_ending {
                return None;
            }
            if let Some(running) = state.running.as_mut().filter(|running| !running.is_taken) {
                running.is_taken = true;
                return Some(running.clone());
            }
            self.bell.wait(&mut state);
        }
    }
}

/// The thread. Dropping this ends the backup under way.
#[derive(Debug)]
pub struct BackupThread {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
}

impl BackupThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn start(server: &Arc<Server>, keyspace: &Arc<Keyspace>) -> std::io::Result<Self> {
        let (of_thread, keyspace) = (Arc::clone(server), Arc::clone(keyspace));
        let thread = std::thread::Builder::new()
            .name("backup".into())
            .spawn(move || of_thread.backups.run(&of_thread, &keyspace))?;
        Ok(Self {
            server: Arc::clone(server),
            thread: Some(thread),
        })
    }
}

impl Drop for BackupThread {
    fn drop(&mut self) {
        self.server.backups.end();
        let Some(thread) = self.thread.take() else {
            return;
        };
        let until = Instant::now() + END_TIME;
        while !thread.is_finished() {
            if Instant::now() >= until {
                tracing::warn!(
                    "the backup waits for its file system: the next start removes its temporary file"
                );
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if thread.join().is_err() {
            tracing::error!("the thread of the backups had panicked");
        }
    }
}

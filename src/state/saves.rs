//! RDB files that the server writes: SAVE, BGSAVE and save points. One at a time, in the background on a thread of its own.
//!
//! The pool has every acknowledged write already, so no command waits for a file, and none is refused where a file could not
//! be written. A file is an image of one moment ([`crate::keyspace::Image`]).

mod file;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use rdb::Version;

use super::Server;
use crate::config::Settings;
use crate::keyspace::{CopyValue, Image, ImageError, Keyspace, NotAlone};

pub(super) use file::RdbFile;
pub use file::check_place;
use file::{Place, failed};

/// How often the thread compares the save points with what was changed.
const LOOK_TIME: Duration = Duration::from_millis(100);

/// How long save points wait after a save that failed. Redis's number.
const RETRY_TIME: Duration = Duration::from_secs(5);

/// How often an image is begun for one file.
const TRIES: usize = 3;

/// How long the thread waits to be alone in the gate while a script runs for long.
const BUSY_TIME: Duration = Duration::from_millis(10);

/// How long the end of the server waits for a file system.
const END_TIME: Duration = Duration::from_secs(3);

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The image.
    #[error("{0}")]
    Image(#[from] ImageError),
    /// The file.
    #[error("{}: {source}", path.display())]
    File {
        /// Its place.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another one.
    #[error(transparent)]
    Running(#[from] Running),
    /// The server ends.
    #[error("the server ends")]
    Cancelled,
}

/// Why a save does not begin, in Redis's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ERR Background save already in progress")]
pub struct Running;

/// What clients ask of the thread, and what it has done.
#[derive(Debug)]
pub struct Saves {
    state: Mutex<State>,
    bell: Condvar,
    /// Keys that the file under way has, and will have.
    keys_written: AtomicU64,
    keys_total: AtomicU64,
}

#[derive(Debug)]
struct State {
    is_ending: bool,
    /// Whether SHUTDOWN said that the end writes a file, or that it writes none.
    at_end: Option<bool>,
    /// A client asked for a save, and the thread has not begun it.
    is_asked: bool,
    /// Since when a save runs.
    running: Option<Instant>,
    last: Figures,
    tried: Option<Instant>,
}

/// What INFO tells of saves.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// When the last file was written, in seconds since the Unix epoch; before the first one, when the server started.
    pub saved_at: u64,
    /// Redis's count of changes at the moment that the last file shows.
    pub saved_dirty: u64,
    /// Whether the last background save failed.
    pub has_failed: bool,
    /// How long the last background save took.
    pub took: Option<Duration>,
    /// How many files were written.
    pub count: u64,
    /// Keys that the start has imported.
    pub loaded: u64,
    /// Keys that it has left out, since they were past their deadline.
    pub load_expired: u64,
    /// How long the present save takes already.
    pub elapsed: Option<Duration>,
    /// Keys that the file under way has.
    pub keys_written: u64,
    /// Keys that it will have.
    pub keys_total: u64,
}

impl Default for Saves {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                is_ending: false,
                at_end: None,
                is_asked: false,
                running: None,
                last: Figures {
                    saved_at: unix_seconds(),
                    saved_dirty: 0,
                    has_failed: false,
                    took: None,
                    count: 0,
                    loaded: 0,
                    load_expired: 0,
                    elapsed: None,
                    keys_written: 0,
                    keys_total: 0,
                },
                tried: None,
            }),
            bell: Condvar::new(),
            keys_written: AtomicU64::new(0),
            keys_total: AtomicU64::new(0),
        }
    }
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

impl Saves {
    /// Has the thread write a file.
    pub fn begin(&self) -> Result<(), Running> {
        let mut state = self.state.lock();
        if state.is_asked || state.running.is_some() {
            return Err(Running);
        }
        state.is_asked = true;
        self.bell.notify_all();
        Ok(())
    }

    /// The figures of INFO.
    pub fn figures(&self) -> Figures {
        let state = self.state.lock();
        let mut figures = state.last;
        if state.is_asked {
            figures.elapsed = Some(Duration::ZERO);
        }
        if let Some(since) = state.running {
            figures.elapsed = Some(since.elapsed());
            figures.keys_written = self.keys_written.load(Ordering::Relaxed);
            figures.keys_total = self.keys_total.load(Ordering::Relaxed);
        }
        figures
    }

    /// Writes a file now, on the caller's thread, which is alone in the gate: everybody waits.
    pub fn save(
        &self,
        server: &Server,
        keyspace: &Keyspace,
        copy: CopyValue,
    ) -> Result<(), SaveError> {
        self.start(&mut self.state.lock())?;
        let dirty = keyspace.dirty();
        let settings = server.config.settings();
        let image = begin_image(keyspace, copy, &settings);
        let result = image.and_then(|image| self.write(image, &settings, false));
        self.note(&result, dirty, false);
        result
    }

    /// Notes what the start has imported. These are no changes since the last file.
    pub fn imported(&self, loaded: u64, expired: u64, dirty: u64) {
        let mut state = self.state.lock();
        state.last.loaded = loaded;
        state.last.load_expired = expired;
        state.last.saved_dirty = dirty;
    }

    /// Says whether the server's end writes a file.
    pub fn set_at_end(&self, saves: bool) {
        self.state.lock().at_end = Some(saves);
    }

    /// What SHUTDOWN said about a file at the end, if a client ended the server.
    pub fn at_end(&self) -> Option<bool> {
        self.state.lock().at_end
    }

    fn start(&self, state: &mut State) -> Result<(), Running> {
        if state.running.is_some() {
            return Err(Running);
        }
        state.running = Some(Instant::now());
        self.keys_written.store(0, Ordering::Relaxed);
        self.keys_total.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Starts the save that a client asked for. Under one hold of the lock it stops to be asked for and begins to run, so that
    /// no client in between sees no save and asks for another one.
    fn start_asked(&self, state: &mut State) -> bool {
        let starts = state.is_asked && self.start(state).is_ok();
        state.is_asked &= !starts;
        starts
    }

    fn note(&self, result: &Result<(), SaveError>, dirty: u64, in_background: bool) {
        let mut state = self.state.lock();
        let took = state.running.take().map(|since| since.elapsed());
        let keys = self.keys_written.load(Ordering::Relaxed);
        match result {
            Ok(()) => {
                state.last.saved_at = unix_seconds();
                state.last.saved_dirty = dirty;
                state.last.count += 1;
                let ms = took.unwrap_or_default().as_millis();
                tracing::info!(keys, ms, "DB saved on disk");
            }
            Err(error) => tracing::warn!(%error, "the RDB file was not written"),
        }
        // As in Redis, SAVE resets the status and does not spoil it.
        state.last.has_failed = if in_background {
            result.is_err()
        } else {
            state.last.has_failed && result.is_err()
        };
        if in_background {
            state.last.took = took;
            state.tried = Some(Instant::now());
        }
    }

    /// The thread's work.
    fn run(&self, server: &Server, keyspace: &Keyspace, copy: CopyValue) {
        while self.next(server, keyspace) {
            tracing::info!("Background saving started");
            let mut dirty = 0;
            let result = self.save_beside(server, keyspace, copy, &mut dirty);
            self.note(&result, dirty, true);
        }
    }

    /// Waits for the next save, which clients or save points ask for; `false` at the end. The save counts as running.
    fn next(&self, server: &Server, keyspace: &Keyspace) -> bool {
        loop {
            let mut state = self.state.lock();
            if state.is_ending {
                return false;
            }
            if self.start_asked(&mut state) {
                return true;
            }
            self.bell.wait_for(&mut state, LOOK_TIME);
            let may_begin = !state.is_ending && !state.is_asked && state.running.is_none();
            let rests = state
                .tried
                .is_some_and(|at| state.last.has_failed && at.elapsed() < RETRY_TIME);
            let last = state.last;
            drop(state);
            if may_begin && !rests {
                let settings = server.config.settings();
                if let Some((seconds, changes)) = due(&settings, last, keyspace) {
                    tracing::info!("{changes} changes in {seconds} seconds. Saving...");
                    // A client may have been faster.
                    let _ = self.begin();
                }
            }
        }
    }

    /// Writes a file while commands run.
    fn save_beside(
        &self,
        server: &Server,
        keyspace: &Keyspace,
        copy: CopyValue,
        dirty: &mut u64,
    ) -> Result<(), SaveError> {
        keyspace.images().prepare().map_err(ImageError::from)?;
        for attempt in 1.. {
            let settings = server.config.settings();
            let image = loop {
                match keyspace.gate().enter_alone(true) {
                    Ok(alone) => {
                        *dirty = keyspace.dirty();
                        let image = begin_image(keyspace, copy, &settings);
                        drop(alone);
                        break image?;
                    }
                    Err(NotAlone::Busy | NotAlone::SlowInside) => std::thread::sleep(BUSY_TIME),
                }
                if self.state.lock().is_ending {
                    return Err(SaveError::Cancelled);
                }
            };
            match self.write(image, &settings, true) {
                Err(SaveError::Image(error)) if error.is_passing() && attempt < TRIES => {
                    tracing::info!(%error, "the RDB file is begun again");
                }
                result => return result,
            }
        }
        Ok(())
    }

    /// Writes the image to a temporary file, which takes the file's place at the end.
    fn write(&self, image: Image<'_>, settings: &Settings, may_end: bool) -> Result<(), SaveError> {
        let Place {
            folder,
            path,
            temporary,
        } = Place::of(settings);
        let written = File::create(&temporary)
            .map_err(failed(&temporary))
            .and_then(|file| self.fill(image, settings, &file, &temporary, may_end))
            .and_then(|()| fs::rename(&temporary, &path).map_err(failed(&path)));
        if written.is_err() {
            // It may not exist.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        // The file's new name is durable too.
        File::open(&folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed(&folder))
    }

    fn fill(
        &self,
        mut image: Image<'_>,
        settings: &Settings,
        file: &File,
        path: &Path,
        may_end: bool,
    ) -> Result<(), SaveError> {
        let version = Version::of(settings.rdb_version).unwrap_or(Version::Redis72);
        let mut writer =
            RdbFile::begin(file, &image, settings, (version, true)).map_err(failed(path))?;
        let total: u64 = image.sizes().iter().map(|sizes| sizes.keys).sum();
        self.keys_total.store(total, Ordering::Relaxed);
        let mut keys = Vec::new();
        loop {
            if may_end && self.state.lock().is_ending {
                return Err(SaveError::Cancelled);
            }
            let goes_on = image.next(&mut keys)?;
            let count = keys.len() as u64;
            for key in keys.drain(..) {
                writer.key(&key, &image).map_err(failed(path))?;
            }
            self.keys_written.fetch_add(count, Ordering::Relaxed);
            if !goes_on {
                break;
            }
        }
        // Commands need not keep anything while the file system works.
        drop(image);
        let finished = writer.finish();
        finished.and_then(File::sync_all).map_err(failed(path))
    }

    /// Ends the save under way, and begins no other one.
    pub fn end(&self) {
        self.state.lock().is_ending = true;
        self.bell.notify_all();
    }
}

/// The save point that has come, if one has.
fn due(settings: &Settings, last: Figures, keyspace: &Keyspace) -> Option<(u64, u64)> {
    if settings.save_points.is_empty() {
        return None;
    }
    let since = unix_seconds().saturating_sub(last.saved_at);
    let dirty = keyspace.dirty().saturating_sub(last.saved_dirty);
    let mut points = settings.save_points.iter().copied();
    points.find(|&(seconds, changes)| dirty >= changes && since > seconds)
}

fn begin_image<'k>(
    keyspace: &'k Keyspace,
    copy: CopyValue,
    settings: &Settings,
) -> Result<Image<'k>, SaveError> {
    Ok(keyspace.images().begin(copy, settings.rdb_buffer_limit)?)
}

/// The thread. Dropping this ends the save under way.
#[derive(Debug)]
pub struct SaveThread {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
}

impl SaveThread {
    /// Starts the thread. `copy` copies values into the image.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn start(
        server: &Arc<Server>,
        keyspace: &Arc<Keyspace>,
        copy: CopyValue,
    ) -> io::Result<Self> {
        let (of_thread, keyspace) = (Arc::clone(server), Arc::clone(keyspace));
        let thread = std::thread::Builder::new()
            .name("save".into())
            .spawn(move || of_thread.saves.run(&of_thread, &keyspace, copy))?;
        Ok(Self {
            server: Arc::clone(server),
            thread: Some(thread),
        })
    }
}

impl Drop for SaveThread {
    fn drop(&mut self) {
        self.server.saves.end();
        let Some(thread) = self.thread.take() else {
            return;
        };
        let until = Instant::now() + END_TIME;
        while !thread.is_finished() {
            if Instant::now() >= until {
                tracing::warn!("the RDB file waits for its file system, and is left unfinished");
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if thread.join().is_err() {
            tracing::error!("the thread that writes RDB files had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asked_save_is_under_way_until_it_ends() {
        const ROUNDS: u64 = 20_000;
        let saves = Saves::default();
        let mut unseen = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    while !saves.start_asked(&mut saves.state.lock()) {
                        std::thread::yield_now();
                    }
                    saves.note(&Ok(()), 0, true);
                }
            });
            for round in 0..ROUNDS {
                // The other thread has ended the last one.
                assert!(saves.begin().is_ok());
                loop {
                    let figures = saves.figures();
                    if figures.count > round {
                        break;
                    }
                    unseen += u64::from(figures.elapsed.is_none());
                    std::thread::yield_now();
                }
            }
        });
        assert_eq!(unseen, 0);
    }
}

//! Brings the data of a Redis or Valkey server into the empty pool, before the server serves: from an RDB file, or from an
//! append-only file in either of its forms.
//!
//! Nobody sees the data before all of it is there, neither a client nor a later start: see `Databases::hide`. A file that is
//! damaged, or holds what this server cannot hold, ends the start and leaves the pool empty.
//!
//! May use: commands and what is below. Never: opens a socket.

mod files;
mod handover;
mod keys;
mod replay;
mod storing;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::commands::CommandError;
use crate::keyspace::{Alone, DATABASES, Housekeeping, Keyspace, KeyspaceError, PausedMarks};
use crate::serialised::encode_libraries;
use crate::state::Server;
use crate::state::scripting::Policy;

use files::{Input, Part};
use replay::Replay;

/// What is staged before it is committed, in bytes of the file.
const COMMIT_BYTES: u64 = 1 << 20;

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The pool has data already.
    #[error("the pool is not empty: an import needs an empty one")]
    NotEmpty,
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder or a manifest is not what a server writes.
    #[error("{}: {what}", path.display())]
    Folder {
        /// The folder or the manifest.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// What the file holds does not read, or cannot be held here.
    #[error("{}: {what}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The pool does not take the data.
    #[error("{0}")]
    Keyspace(#[from] KeyspaceError),
    /// The engine keeps nothing.
    #[error("the engine keeps no data")]
    NothingKept,
    /// A signal ended the import.
    #[error("the import was interrupted")]
    Cancelled,
}

/// Why one file is refused; the file's name comes later.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Rdb(#[from] rdb::RdbError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Keyspace(#[from] KeyspaceError),
    #[error("{0}")]
    Command(#[from] CommandError),
    #[error("{0}")]
    Text(String),
    #[error("the import was interrupted")]
    Cancelled,
}

/// What an import has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Keys of RDB files.
    pub keys: u64,
    /// Keys of RDB files that were past their deadline.
    pub expired: u64,
    /// Commands of append-only files.
    pub commands: u64,
    /// Libraries of functions of RDB files.
    pub libraries: u64,
}

/// An import on a thread of its own.
#[derive(Debug)]
pub struct Import {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<Summary, ImportError>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_cancelled: AtomicBool,
    /// Bytes that were read, and bytes of all files.
    read: AtomicU64,
    total: AtomicU64,
}

impl Shared {
    /// Whether the import goes on.
    fn check(&self) -> Result<(), Refusal> {
        if self.is_cancelled.load(Ordering::Relaxed) {
            return Err(Refusal::Cancelled);
        }
        Ok(())
    }
}

impl Import {
    /// Begins. No client is connected, and the housekeeping does not run yet.
    pub fn start(path: &Path, server: &Arc<Server>, keyspace: &Arc<Keyspace>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (of_thread, server, keyspace) = (
            Arc::clone(&shared),
            Arc::clone(server),
            Arc::clone(keyspace),
        );
        let path = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("import".into())
            .spawn(move || import(&path, &server, &keyspace, &of_thread))?;
        Ok(Self { shared, thread })
    }

    /// How much of the files was read, 0 to 100.
    pub fn percent(&self) -> usize {
        let total = self.shared.total.load(Ordering::Relaxed).max(1);
        let percent = self.shared.read.load(Ordering::Relaxed) * 100 / total;
        usize::try_from(percent).unwrap_or(100).min(100)
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it soon.
    pub fn cancel(&self) {
        self.shared.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// Waits for the end.
    pub fn join(self) -> Result<Summary, ImportError> {
        const PANICKED: KeyspaceError = KeyspaceError::Failed("the import has panicked");
        self.thread.join().unwrap_or(Err(PANICKED.into()))
    }
}

fn import(
    path: &Path,
    server: &Arc<Server>,
    keyspace: &Arc<Keyspace>,
    shared: &Shared,
) -> Result<Summary, ImportError> {
    let started = Instant::now();
    keyspace.loading().read_all(1)?;
    if !keyspace.keeps_data() {
        return Err(ImportError::NothingKept);
    }
    for db in 0..DATABASES {
        if !keyspace.databases().is_empty(db)? {
            return Err(ImportError::NotEmpty);
        }
    }
    if keyspace.libraries().read()?.is_some() {
        return Err(ImportError::NotEmpty);
    }
    let parts = files::parts(path)?;
    let total = parts.iter().map(|part| part.bytes).sum();
    shared.total.store(total, Ordering::Relaxed);
    tracing::info!(path = %path.display(), bytes = total, "the import begins");
    keyspace.databases().hide()?;
    let marks = keyspace.pause_marks();
    // It makes segments ahead while the import fills others.
    let housekeeping =
        Housekeeping::start(keyspace, |_| {}).map_err(|source| ImportError::File {
            path: path.to_owned(),
            source,
        })?;
    let mut work = Work {
        server,
        keyspace,
        shared,
        summary: Summary::default(),
        db: 0,
        libraries: Vec::new(),
        marks: Some(marks),
        replay: Replay::new(server),
        evicted: keyspace.eviction().stats(0).evicted_keys,
    };
    let result = work.all(&parts);
    if result.is_err() {
        work.drop_libraries();
    }
    let summary = work.summary;
    drop(work);
    drop(housekeeping);
    result?;
    server
        .saves
        .imported(summary.keys, summary.expired, keyspace.dirty());
    tracing::info!(
        keys = summary.keys,
        expired = summary.expired,
        commands = summary.commands,
        libraries = summary.libraries,
        ms = started.elapsed().as_millis(),
        "the import is done"
    );
    Ok(summary)
}

/// The import under way.
struct Work<'a> {
    server: &'a Server,
    keyspace: &'a Keyspace,
    shared: &'a Shared,
    summary: Summary,
    /// The database of the keys that follow in an RDB file.
    db: usize,
    /// Texts of libraries that are not loaded yet.
    libraries: Vec<Vec<u8>>,
    /// Until commands run, which may free what the index has.
    marks: Option<PausedMarks<'a>>,
    replay: Replay,
    /// Keys that were evicted before the import.
    evicted: u64,
}

impl Work<'_> {
    fn all(&mut self, parts: &[Part]) -> Result<(), ImportError> {
        for part in parts {
            let refused = |refusal: Refusal| match refusal {
                Refusal::Cancelled => ImportError::Cancelled,
                refusal => ImportError::Refused {
                    path: part.path.clone(),
                    what: refusal.to_string(),
                },
            };
            let input = Input::open(part, &self.shared.read);
            let input = input.map_err(|source| ImportError::File {
                path: part.path.clone(),
                source,
            })?;
            self.part(input).map_err(refused)?;
        }
        let refused = |refusal: Refusal| ImportError::Refused {
            path: parts
                .last()
                .map(|part| part.path.clone())
                .unwrap_or_default(),
            what: refusal.to_string(),
        };
        self.finish().map_err(refused)
    }

    /// One file: keys, commands, or keys and then commands.
    fn part(&mut self, mut input: Input<'_>) -> Result<(), Refusal> {
        if input.begins_rdb()? {
            input = self.keys(input)?;
            if input.is_over()? {
                return Ok(());
            }
            // Commands may call these functions.
            self.load_libraries()?;
        }
        self.marks = None;
        self.commands(input)
    }

    /// Looks whether the import goes on, and commits.
    fn commit(&self) -> Result<(), Refusal> {
        self.storing().commit()
    }

    /// Makes the data that of the databases, with the libraries, in one step.
    fn finish(&mut self) -> Result<(), Refusal> {
        self.commit()?;
        let alone = self.alone()?;
        let mut held = self.server.scripting.take();
        let functions = &mut held.get().functions;
        let mut change = None;
        if !self.libraries.is_empty() {
            let payload = encode_libraries(self.libraries.iter().map(Vec::as_slice));
            change = Some(functions.restore(&payload, Policy::Append)?);
        }
        let mut result = Ok(());
        self.keyspace.atomically(&[], &mut || {
            result = match change.take() {
                Some(change) => functions
                    .commit(self.keyspace, change)
                    .map_err(Refusal::from),
                None => Ok(()),
            }
            .and_then(|()| Ok(self.keyspace.databases().show()?));
        })?;
        drop(held);
        drop(alone);
        self.keyspace.commit()?;
        result
    }

    /// Loads the libraries that were read, before commands may call their functions.
    fn load_libraries(&mut self) -> Result<(), Refusal> {
        if self.libraries.is_empty() {
            return Ok(());
        }
        let texts = std::mem::take(&mut self.libraries);
        let _alone = self.alone()?;
        let mut held = self.server.scripting.take();
        let functions = &mut held.get().functions;
        let payload = encode_libraries(texts.iter().map(Vec::as_slice));
        let change = functions.restore(&payload, Policy::Append)?;
        Ok(functions.commit(self.keyspace, change)?)
    }

    /// After a refusal: removes what was stored of libraries.
    fn drop_libraries(&self) {
        let Ok(_alone) = self.alone() else {
            return;
        };
        let mut held = self.server.scripting.take();
        let functions = &mut held.get().functions;
        let change = functions.flush();
        let dropped = functions
            .commit(self.keyspace, change)
            .map_err(Refusal::from);
        if let Err(error) = dropped.and_then(|()| Ok(self.keyspace.commit()?)) {
            tracing::error!(%error, "libraries of functions of the refused import stay in the pool");
        }
    }

    fn alone(&self) -> Result<Alone<'_>, Refusal> {
        let alone = self.keyspace.gate().enter_alone(true);
        alone.map_err(|_| Refusal::Text("a script runs".to_owned()))
    }
}

//! Opening the layout: a pool made or found, its engines, what a crash left behind.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use super::journal::Journal;
use super::rebuild::rebuild;
use super::{Home, LAYOUT, Pairs, WORD_OPEN};
use crate::pmemkv::{Config, Database, Engine, Error, Pool, PoolError, PoolHeader, engines};
use crate::store::{Generations, StoreError};

/// The most partitions of a pool: more would only cost memory.
const PARTITIONS_MAX: u32 = 256;

/// A partition for each so many bytes of the pool, so that the empty engines of a small pool leave room for data.
const POOL_BYTES_PER_PARTITION: u64 = 4 << 20;

/// What the store is to be opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The engine's name.
    pub engine: String,
    /// The engine's own configuration: a JSON object.
    pub engine_config: Option<String>,
    /// The pool's file. A volatile engine's memory comes from a file of its own in the same directory.
    pub pool_path: PathBuf,
    /// The size of a pool that is to be made, or of a volatile engine's memory.
    pub pool_size_bytes: u64,
}

/// Why the store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The linked pmemkv has no such engine.
    #[error("engine '{name}': the linked pmemkv does not have it; it has {available}")]
    NoSuchEngine {
        /// What was asked for.
        name: String,
        /// What there is.
        available: String,
    },
    /// The engine's configuration is wrong.
    #[error("engine-config: {0}")]
    EngineConfig(String),
    /// The pool refused.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The engine refused.
    #[error("engine '{engine}': {source}")]
    Engine {
        /// Which.
        engine: String,
        /// Why.
        source: Error,
    },
    /// The records are damaged.
    #[error("pool {}: {source}", path.display())]
    Store {
        /// Where.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

impl Options {
    /// The engine that is named, and where its data go: the engine's own configuration goes before the rest.
    pub fn resolve(&self) -> Result<(Engine, Options), OpenError> {
        let no_such_engine = || OpenError::NoSuchEngine {
            name: self.engine.clone(),
            available: engines::available()
                .iter()
                .map(|engine| engine.name)
                .collect::<Vec<_>>()
                .join(", "),
        };
        let engine = Engine::by_name(&self.engine).ok_or_else(no_such_engine)?;
        if !engines::is_available(engine.name) {
            return Err(no_such_engine());
        }
        let mut options = self.clone();
        if let (Some(json), true) = (&self.engine_config, engine.persistent) {
            options.read_pool_config(json)?;
        }
        Ok((engine, options))
    }

    /// A persistent engine's configuration says where its pool is. The pool itself is the server's to open.
    fn read_pool_config(&mut self, json: &str) -> Result<(), OpenError> {
        let wrong = |text: String| OpenError::EngineConfig(text);
        let document: serde_json::Value =
            serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
        let object = document
            .as_object()
            .ok_or_else(|| wrong("a JSON object is expected".into()))?;
        for (key, value) in object {
            match (key.as_str(), value.as_str(), value.as_u64()) {
                ("path", Some(path), _) => self.pool_path = PathBuf::from(path),
                ("size", _, Some(bytes)) => self.pool_size_bytes = bytes,
                ("path" | "size", ..) => {
                    return Err(wrong(format!("'{key}' has the wrong type")));
                }
                _ => {
                    return Err(wrong(format!(
                        "'{key}' has no meaning for engine {}, whose pool the server opens: 'path' and 'size' do",
                        self.engine
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Opens the store, or makes it where there is none. `options` are resolved ones.
pub fn open(engine: Engine, options: &Options) -> Result<Pairs, OpenError> {
    if engine.persistent {
        open_pool(engine, &options.pool_path, options.pool_size_bytes)
    } else {
        open_volatile(engine, options)
    }
}

fn open_pool(engine: Engine, path: &Path, size_bytes: u64) -> Result<Pairs, OpenError> {
    let mut pool = if std::fs::symlink_metadata(path).is_ok() && !is_new_device(path) {
        let pool = Pool::open(path)?;
        pool.header().expect(engine.name, LAYOUT)?;
        pool
    } else {
        let header = PoolHeader {
            format_version: crate::pmemkv::FORMAT_VERSION,
            engine: engine.name.to_owned(),
            layout: LAYOUT.to_owned(),
            partitions: partitions(engine, size_bytes),
            hash_seed: RandomState::new().hash_one(std::process::id()),
        };
        Pool::create(path, size_bytes, &header)?
    };
    let clean = pool.word(WORD_OPEN) == 0;
    if !clean {
        tracing::info!(path = %path.display(), "the pool was not closed in order");
        if engine.name == "stree" {
            pool = rebuild(pool)?;
        }
    }
    let databases = open_partitions(&pool)?;
    pool.set_word(WORD_OPEN, 1);
    let store_error = |source| OpenError::Store {
        path: path.to_owned(),
        source,
    };
    let (journal, undone) = Journal::recover(&databases).map_err(store_error)?;
    if undone > 0 {
        tracing::info!(
            undone,
            "changes of several keys that were not finished were undone"
        );
    }
    Ok(Pairs {
        engine,
        hash_seed: pool.header().hash_seed,
        has_iterators: has_iterators(&databases[0]),
        databases,
        journal,
        home: Home::Pool(pool),
        spoilt: AtomicBool::new(false),
    })
}

/// Whether the engine writes in place: found out on a key that no record has.
fn has_iterators(database: &Database) -> bool {
    matches!(database.write_range(b"", 0, b""), Ok(false))
}

/// A DAX device is always there; whether it holds a pool is found out by opening it.
fn is_new_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let device =
        std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_char_device());
    device && matches!(Pool::open(path), Err(PoolError::NotAPool { .. }))
}

/// The engines of all partitions of a pool.
pub(super) fn open_partitions(pool: &Pool) -> Result<Vec<Database>, OpenError> {
    (0..pool.header().partitions)
        .map(|partition| {
            pool.open_partition(partition)
                .map_err(|source| OpenError::Engine {
                    engine: pool.header().engine.clone(),
                    source,
                })
        })
        .collect()
}

/// Engines with an order keep it over one partition. Others are split, so that growing and index building stay short.
fn partitions(engine: Engine, size_bytes: u64) -> u32 {
    if engine.sorted || !engine.concurrent {
        return 1;
    }
    let fitting = u32::try_from(size_bytes / POOL_BYTES_PER_PARTITION).unwrap_or(u32::MAX);
    let fitting = fitting.clamp(1, PARTITIONS_MAX);
    // The largest power of two that fits.
    1 << fitting.ilog2()
}

fn open_volatile(engine: Engine, options: &Options) -> Result<Pairs, OpenError> {
    let engine_error = |source| OpenError::Engine {
        engine: engine.name.to_owned(),
        source,
    };
    let directory = match options.pool_path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let config = if let Some(json) = &options.engine_config {
        Config::from_json(json).map_err(|error| OpenError::EngineConfig(error.to_string()))?
    } else {
        let mut config = Config::new().map_err(engine_error)?;
        config.put_path(directory).map_err(engine_error)?;
        config
            .put_size(options.pool_size_bytes)
            .map_err(engine_error)?;
        config
    };
    let database = Database::open(engine.name, config).map_err(engine_error)?;
    Ok(Pairs {
        has_iterators: has_iterators(&database),
        databases: vec![database],
        engine,
        hash_seed: RandomState::new().hash_one(std::process::id()),
        journal: Journal::new(),
        home: Home::Process {
            generations: Mutex::new(Generations::default()),
            path: directory.to_owned(),
            size_bytes: options.pool_size_bytes,
        },
        spoilt: AtomicBool::new(false),
    })
}

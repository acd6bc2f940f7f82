//! Opening a store: creates or opens the pool, and opens the layout in it.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::subscriber::NoSubscriber;

use super::{Store, StoreError, metadata, packed, pairs};
use pmemkv::{
    Arenas, Blocks, Config, Database, Engine, Error, Pool, PoolError, PoolHeader, engines,
};

/// A slow disk reads as much: what a rehearsal may take longer for a large pool.
const REHEARSED_BYTES_PER_SECOND: u64 = 32 << 20;

/// What the store is to be opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The engine's name.
    pub engine: String,
    /// The engine's own configuration: a JSON object.
    pub engine_config: Option<String>,
    /// The pool's file. A volatile engine's memory comes from a file of its own in the same directory.
    pub pool_path: PathBuf,
    /// The size of a new pool, or of a volatile engine's memory.
    pub pool_size_bytes: u64,
    /// The layout of the records.
    pub layout: LayoutChoice,
    /// Whether to keep the readable part of damaged data instead of refusing the pool.
    pub repair: bool,
    /// Whether commits leave the disk to a sync each second (layout packed).
    pub every_second: bool,
}

/// Which layout of records is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayoutChoice {
    /// The pool's layout. For a new pool, [`packed`] if the engine allows it and the pool is large enough to gain by
    /// it, otherwise [`pairs`].
    #[default]
    Auto,
    /// [`pairs`].
    Pairs,
    /// [`packed`].
    Packed,
}

/// Why the store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// pmemkv's library has no such engine.
    #[error("engine '{name}': the installed pmemkv does not have it; it has {available}")]
    NoSuchEngine {
        /// What was asked for.
        name: String,
        /// What there is.
        available: String,
    },
    /// The engine's configuration is wrong.
    #[error("engine-config: {0}")]
    EngineConfig(#[source] Box<dyn std::error::Error + Send + Sync>),
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
    /// The layout needs what the engine does not have.
    #[error("layout packed: engine '{0}' does not keep values in place, cmap and vcmap do")]
    NoPackedLayout(String),
    /// The pool has no room for this layout.
    #[error("pool {}: {bytes} bytes are too few for layout packed, 32 MiB are enough", path.display())]
    TooSmall {
        /// Where.
        path: PathBuf,
        /// Its size.
        bytes: u64,
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
    /// Finds the engine by its name, and where its data go. The engine's own configuration overrides the other options.
    ///
    /// It does not ask whether the library has the engine: that would load it, and which settings libpmem needs depends on the
    /// engine. Who opens or tries the pool asks.
    pub fn resolve(&self) -> Result<(Engine, Options), OpenError> {
        let engine = Engine::by_name(&self.engine).ok_or_else(|| no_such_engine(&self.engine))?;
        let mut options = self.clone();
        if let (Some(json), true) = (&self.engine_config, engine.persistent) {
            options.read_pool_config(json)?;
        }
        Ok((engine, options))
    }

    /// Takes the pool's path and size from a persistent engine's configuration. The server opens the pool itself, so
    /// the configuration may say nothing else.
    fn read_pool_config(&mut self, json: &str) -> Result<(), OpenError> {
        let wrong = |text: String| OpenError::EngineConfig(text.into());
        let document: serde_json::Value =
            serde_json::from_str(json).map_err(|error| OpenError::EngineConfig(error.into()))?;
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

fn no_such_engine(name: &str) -> OpenError {
    OpenError::NoSuchEngine {
        name: name.to_owned(),
        available: engines::available()
            .iter()
            .map(|engine| engine.name)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Whether the library, which is loaded for that, has the engine.
fn expect_available(engine: Engine) -> Result<(), OpenError> {
    pmemkv::load(&[]).map_err(|source| OpenError::Engine {
        engine: engine.name.to_owned(),
        source,
    })?;
    if engines::is_available(engine.name) {
        Ok(())
    } else {
        Err(no_such_engine(engine.name))
    }
}

/// A store of one layout or the other.
#[allow(clippy::large_enum_variant)] // There is only one at a time, and the caller unpacks it at once.
pub(super) enum Opened {
    Pairs(pairs::Pairs),
    Packed(packed::Packed),
}

/// Whether the store that these options open, or create, can be synced each second.
pub fn may_sync(engine: Engine, options: &Options) -> bool {
    let layout = match (Pool::read_header(&options.pool_path), options.layout) {
        (Ok(header), LayoutChoice::Auto) => header.layout,
        _ => new_layout(engine, options).map_or_else(|_| String::new(), str::to_owned),
    };
    engine.persistent && layout == packed::LAYOUT
}

/// The layout of a new pool.
fn new_layout(engine: Engine, options: &Options) -> Result<&'static str, OpenError> {
    let can_pack = packed::ENGINES.contains(&engine.name);
    let small = options.pool_size_bytes < packed::POOL_BYTES_MIN;
    Ok(match options.layout {
        LayoutChoice::Pairs => pairs::LAYOUT,
        LayoutChoice::Auto if !can_pack || small => pairs::LAYOUT,
        LayoutChoice::Packed if !can_pack => {
            return Err(OpenError::NoPackedLayout(engine.name.to_owned()));
        }
        LayoutChoice::Packed | LayoutChoice::Auto => packed::LAYOUT,
    })
}

/// Opens the store, or creates it if there is none. `options` come from [`Options::resolve`].
pub fn open(engine: Engine, options: &Options) -> Result<Box<dyn Store>, OpenError> {
    Ok(match open_layout(engine, options)? {
        Opened::Pairs(store) => Box::new(store),
        Opened::Packed(store) => Box::new(store),
    })
}

/// [`open`], with the type of the layout.
pub(super) fn open_layout(engine: Engine, options: &Options) -> Result<Opened, OpenError> {
    expect_available(engine)?;
    let new_layout = new_layout(engine, options)?;
    if !engine.persistent {
        let (database, directory) = open_volatile(engine, options)?;
        let metadata = metadata::Metadata::process(directory, options.pool_size_bytes);
        let hash_seed = new_hash_seed();
        return if new_layout == pairs::LAYOUT {
            let store = pairs::open_volatile(engine, database, metadata, hash_seed);
            Ok(Opened::Pairs(store))
        } else {
            let store = packed::open_volatile(engine, database, metadata, hash_seed)?;
            Ok(Opened::Packed(store))
        };
    }
    let path = &options.pool_path;
    choose_arenas(engine, path, new_layout)?;
    let pool = if std::fs::symlink_metadata(path).is_ok() && !is_new_device(path) {
        let layout = Pool::read_header(path).map(|header| header.layout);
        let pool = Pool::open_with(path, blocks_of(layout.as_deref().unwrap_or_default()))?;
        let layout = match options.layout {
            LayoutChoice::Auto => pool.header().layout.clone(),
            _ => new_layout.to_owned(),
        };
        pool.header().expect(engine.name, &layout)?;
        if let Some(what) = pool.mended() {
            tracing::warn!(path = %path.display(), "{what}");
        }
        metadata::check(&pool)?;
        pool
    } else {
        let header = PoolHeader {
            format_version: pmemkv::FORMAT_VERSION,
            engine: engine.name.to_owned(),
            layout: new_layout.to_owned(),
            partitions: if new_layout == pairs::LAYOUT {
                pairs::partitions(engine, options.pool_size_bytes)
            } else {
                1
            },
            hash_seed: new_hash_seed(),
        };
        let blocks = blocks_of(new_layout);
        let pool = Pool::create_with(path, options.pool_size_bytes, &header, blocks)?;
        metadata::check(&pool)?;
        if new_layout == pairs::LAYOUT {
            pairs::note_padded(&pool);
        }
        pool
    };
    let opened = open_in(engine, pool.clone(), options.repair, options.every_second)?;
    pool.trust();
    Ok(opened)
}

/// When a pool of this layout gets its blocks. The packed layout knows where it takes room next; in the other one the engine takes it
/// with each key.
fn blocks_of(layout: &str) -> Blocks {
    if layout == packed::LAYOUT {
        Blocks::Later
    } else {
        Blocks::Now
    }
}

/// Opens the layout in a pool that is open.
fn open_in(
    engine: Engine,
    pool: Pool,
    repair: bool,
    every_second: bool,
) -> Result<Opened, OpenError> {
    match pool.header().layout.as_str() {
        pairs::LAYOUT => Ok(Opened::Pairs(pairs::open_pool(engine, pool)?)),
        packed::LAYOUT => {
            packed::open_pool(engine, &pool, repair, every_second).map(Opened::Packed)
        }
        other => Err(OpenError::Store {
            path: pool.path().to_owned(),
            source: StoreError::Damaged(format!("this version knows no layout '{other}'")),
        }),
    }
}

/// How the pool's threads are to share its arenas, by the layout that it has.
fn choose_arenas(engine: Engine, path: &Path, new_layout: &str) -> Result<(), OpenError> {
    // An unreadable header is named by the open.
    let present = Pool::read_header(path).map(|header| header.layout);
    let arenas = match present.as_deref().unwrap_or(new_layout) {
        packed::LAYOUT => Arenas::One,
        _ => Arenas::PerThread,
    };
    arenas.choose().map_err(|source| OpenError::Engine {
        engine: engine.name.to_owned(),
        source,
    })
}

/// Opens a pool that is there, and writes to it, in a child process and on a private copy: libpmemobj and the engines
/// trust what lies in a pool, so that damage can crash them. Call it before any thread is started.
///
/// A pool that a process of this boot has left, and nothing else has changed since, needs no trial: see
/// [`Pool::take_trust`]. What the open itself refuses is left for [`open`] to say.
pub fn rehearse(engine: Engine, options: &Options) -> Result<(), OpenError> {
    let path = &options.pool_path;
    if Pool::take_trust(path) {
        return Ok(());
    }
    rehearse_anyway(engine, options)
}

/// [`rehearse`] of a pool that may have been left by a process of this boot. The file does not change.
pub fn rehearse_anyway(engine: Engine, options: &Options) -> Result<(), OpenError> {
    expect_available(engine)?;
    let path = &options.pool_path;
    choose_arenas(engine, path, pairs::LAYOUT)?;
    pmemkv::rehearse(path, engine.name, more_time(path), &mut |pool| {
        // This process says it all again.
        tracing::subscriber::with_default(NoSubscriber::default(), || {
            if metadata::check(&pool).is_err() {
                return Ok(());
            }
            match pool.header().layout.as_str() {
                pairs::LAYOUT => pairs::rehearse(engine, &pool),
                packed::LAYOUT => packed::rehearse(engine, &pool, options.repair),
                _ => Ok(()),
            }
        })
    })?;
    Ok(())
}

/// A pool that [`examine`] has opened.
pub struct Examined {
    /// Its records.
    pub store: Box<dyn Store>,
    /// Whether the last process that had it closed it in order.
    pub was_closed: bool,
    /// Its header.
    pub header: PoolHeader,
}

/// Opens a pool in a child process and on a private copy, as [`rehearse`] does, and returns what `look` finds there. The
/// pool does not change. Call it before any thread is started.
pub fn examine(
    path: &Path,
    engine: Engine,
    repair: bool,
    look: &mut dyn FnMut(Examined) -> Result<Vec<u8>, String>,
) -> Result<Vec<u8>, OpenError> {
    choose_arenas(engine, path, pairs::LAYOUT)?;
    let mut look = |pool: Pool| {
        tracing::subscriber::with_default(NoSubscriber::default(), || {
            let was_closed = metadata::was_closed(&pool);
            let header = pool.header().clone();
            if header.layout == pairs::LAYOUT && pairs::must_be_rebuilt(&pool) {
                // The open would write another file.
                let why = if was_closed {
                    "it is of an earlier version"
                } else {
                    "it was not closed in order"
                };
                return Err(format!("{why}: the next start rebuilds it"));
            }
            metadata::check(&pool).map_err(|error| error.to_string())?;
            let opened = open_in(engine, pool, repair, false).map_err(|error| error.to_string())?;
            let store: Box<dyn Store> = match opened {
                Opened::Pairs(store) => Box::new(store),
                Opened::Packed(store) => Box::new(store),
            };
            look(Examined {
                store,
                was_closed,
                header,
            })
        })
    };
    let found = pmemkv::examine(path, engine.name, more_time(path), &mut look)?;
    Ok(found)
}

/// What a trial may take longer than usual for the size of the pool.
fn more_time(path: &Path) -> Duration {
    let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    Duration::from_secs(bytes / REHEARSED_BYTES_PER_SECOND)
}

fn new_hash_seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Whether the path is a DAX device without a pool. The device is always there, so only an attempt to open the pool
/// tells.
fn is_new_device(path: &Path) -> bool {
    pmemkv::is_device(path) && matches!(Pool::open(path), Err(PoolError::NotAPool { .. }))
}

fn open_volatile(engine: Engine, options: &Options) -> Result<(Database, PathBuf), OpenError> {
    let engine_error = |source| OpenError::Engine {
        engine: engine.name.to_owned(),
        source,
    };
    let directory = match options.pool_path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let config = if let Some(json) = &options.engine_config {
        Config::from_json(json).map_err(|error| OpenError::EngineConfig(error.into()))?
    } else {
        let mut config = Config::new().map_err(engine_error)?;
        config.put_path(directory).map_err(engine_error)?;
        config
            .put_size(options.pool_size_bytes)
            .map_err(engine_error)?;
        config
    };
    let database = Database::open(engine.name, config).map_err(engine_error)?;
    Ok((database, directory.to_owned()))
}

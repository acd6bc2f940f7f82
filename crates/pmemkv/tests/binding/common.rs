//! Opens engines for tests, each in a directory of its own.

use std::error::Error;
use std::path::{Path, PathBuf};

use pmemkv::{Comparator, Config, Database, Engine, engines};
use tempfile::TempDir;

pub type TestResult = Result<(), Box<dyn Error>>;

pub const MIB: u64 = 1 << 20;

/// An open database and its directory. Dropping it removes the directory.
pub struct Fixture {
    // Declared first, so that it closes before its directory goes.
    pub db: Database,
    pub engine: Engine,
    size_bytes: u64,
    directory: TempDir,
}

impl Fixture {
    pub fn open(engine: Engine, size_bytes: u64) -> Result<Self, Box<dyn Error>> {
        Self::open_ordered(engine, size_bytes, None)
    }

    pub fn open_ordered(
        engine: Engine,
        size_bytes: u64,
        comparator: Option<Comparator>,
    ) -> Result<Self, Box<dyn Error>> {
        let directory = directory()?;
        let config = config(engine, directory.path(), size_bytes, true, comparator)?;
        Ok(Self {
            db: Database::open(engine.name, config)?,
            engine,
            size_bytes,
            directory,
        })
    }

    /// Closes and opens again.
    pub fn reopen(self, comparator: Option<Comparator>) -> Result<Self, Box<dyn Error>> {
        let Self {
            db,
            engine,
            size_bytes,
            directory,
        } = self;
        drop(db);
        let config = config(engine, directory.path(), size_bytes, false, comparator)?;
        Ok(Self {
            db: Database::open(engine.name, config)?,
            engine,
            size_bytes,
            directory,
        })
    }
}

pub fn config(
    engine: Engine,
    directory: &Path,
    size_bytes: u64,
    create: bool,
    comparator: Option<Comparator>,
) -> Result<Config, Box<dyn Error>> {
    let mut config = Config::new()?;
    if engine.persistent {
        config.put_path(directory.join("test.pool"))?;
        if create {
            config.put_size(size_bytes)?.put_force_create(true)?;
        }
    } else if engine.retains {
        config.put_path(directory)?.put_size(size_bytes)?;
    }
    if let Some(comparator) = comparator {
        config.put_comparator(comparator)?;
    }
    Ok(config)
}

/// Makes a directory, in memory if possible.
pub fn directory() -> std::io::Result<TempDir> {
    let shm = PathBuf::from("/dev/shm");
    let parent = if shm.is_dir() {
        shm
    } else {
        std::env::temp_dir()
    };
    tempfile::Builder::new()
        .prefix("pmemkv-test-")
        .tempdir_in(parent)
}

/// Runs a test on every engine that keeps its data, and says which one failed.
pub fn on_each(size_bytes: u64, test: impl Fn(&Fixture) -> TestResult) -> TestResult {
    let engines = engines::available();
    assert!(!engines.is_empty(), "the library has no engine at all");
    for engine in engines.into_iter().filter(|engine| engine.retains) {
        let run = || test(&Fixture::open(engine, size_bytes)?);
        run().map_err(|error| format!("{}: {error}", engine.name))?;
    }
    Ok(())
}

/// Runs a test on every sorted engine.
pub fn on_each_sorted(size_bytes: u64, test: impl Fn(&Fixture) -> TestResult) -> TestResult {
    on_each(size_bytes, |fixture| {
        if fixture.engine.sorted {
            test(fixture)
        } else {
            Ok(())
        }
    })
}

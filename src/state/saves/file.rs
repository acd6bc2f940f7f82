//! The file that is written: its place, and what stands in it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rdb::{KeyRef, Options, Version, Writer};

use super::SaveError;
use crate::config::{EvictionPolicy, Settings};
use crate::keyspace::{Image, ImageKey, now_ms};
use crate::serialised::decode_libraries;
use crate::state::redis_version;

/// What one file may take of libraries.
const LIBRARIES_BYTES_MAX: usize = 64 << 20;

/// Where the file goes.
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) path: PathBuf,
    /// Its name while it is written.
    pub(super) temporary: PathBuf,
}

impl Place {
    pub(super) fn of(settings: &Settings) -> Self {
        let folder = settings.dir.clone();
        Self {
            path: folder.join(&settings.dbfilename),
            temporary: folder.join(format!("temp-{}.rdb", std::process::id())),
            folder,
        }
    }
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> SaveError {
    let path = path.to_owned();
    move |source| SaveError::File { path, source }
}

/// Whether a file can be made where the settings say. The server asks before it ends, since it cannot come back then.
pub fn check_place(settings: &Settings) -> Result<(), SaveError> {
    let path = Place::of(settings).temporary.with_extension("check");
    File::create(&path).map_err(failed(&path))?;
    fs::remove_file(&path).map_err(failed(&path))
}

/// The file under way.
pub(in crate::state) struct RdbFile<W> {
    writer: Writer<W>,
    /// The database of the last key.
    db: Option<usize>,
    /// The databases whose sizes were written.
    sized: u16,
    policy: EvictionPolicy,
}

impl<W: io::Write> RdbFile<W> {
    /// Writes what comes before the keys.
    pub(in crate::state) fn begin(
        output: W,
        image: &Image<'_>,
        settings: &Settings,
        (version, has_functions): (Version, bool),
    ) -> io::Result<Self> {
        let mut writer = Writer::new(
            output,
            Options {
                version,
                compresses: settings.rdb_compression,
                sums: settings.rdb_checksum,
            },
        );
        writer.aux("redis-ver", redis_version())?;
        writer.aux("redis-bits", "64")?;
        writer.aux("ctime", &(now_ms() / 1000).to_string())?;
        writer.aux("aof-base", "0")?;
        if let Some(libraries) = image.libraries().filter(|_| has_functions) {
            let texts = decode_libraries(libraries, LIBRARIES_BYTES_MAX);
            for text in texts.map_err(io::Error::other)? {
                writer.function(&text.map_err(io::Error::other)?)?;
            }
        }
        Ok(Self {
            writer,
            db: None,
            sized: 0,
            policy: settings.maxmemory_policy,
        })
    }

    /// Writes a property of the file. Keys come later.
    pub(in crate::state) fn aux(&mut self, name: &str, value: &str) -> io::Result<()> {
        self.writer.aux(name, value)
    }

    /// Writes the end. Returns the output.
    pub(in crate::state) fn finish(self) -> io::Result<W> {
        self.writer.finish()
    }

    pub(in crate::state) fn key(&mut self, key: &ImageKey, image: &Image<'_>) -> io::Result<()> {
        if self.db != Some(key.db) {
            self.db = Some(key.db);
            self.writer.database(key.db)?;
            if self.sized & 1 << key.db == 0 {
                self.sized |= 1 << key.db;
                let sizes = image.sizes()[key.db];
                self.writer.sizes(sizes.keys, sizes.expiring)?;
            }
        }
        // As in Redis: what the policy uses.
        let (idle_s, frequency) = match self.policy {
            EvictionPolicy::AllkeysLru | EvictionPolicy::VolatileLru => (key.info.idle_s, None),
            EvictionPolicy::AllkeysLfu | EvictionPolicy::VolatileLfu => (None, key.info.frequency),
            _ => (None, None),
        };
        self.writer.key(&KeyRef {
            key: &key.key,
            value: &key.value,
            expires_at: key.info.expires_at,
            idle_s,
            frequency,
        })
    }
}

//! The safe binding to pmemkv and to the pools that its engines share. Only this crate and `pmemkv-sys` have unsafe
//! code.
//!
//! May use: `pmemkv-sys`. Never: knows the server.
//!
//! [`Database`] is pmemkv's whole API: open an engine with a [`Config`], put, get, remove, walk and count. Semantics
//! are the C library's: keys and values are bytes, bounds are exclusive, order is byte order unless a [`Comparator`]
//! says otherwise. The crate works without the server:
//!
//! ```
//! use std::ops::ControlFlow;
//! use pmemkv::{Config, Database};
//!
//! let directory = tempfile::tempdir()?;
//! let mut config = Config::new()?;
//! config
//!     .put_path(directory.path().join("first.pool"))?
//!     .put_size(16 << 20)?
//!     .put_force_create(true)?;
//! let db = Database::open("cmap", config)?;
//!
//! db.put(b"key", b"value")?;
//! assert_eq!(db.get(b"key")?.as_deref(), Some(&b"value"[..]));
//! assert_eq!(db.get_with(b"key", |value| value.len())?, Some(5));
//! db.get_all(|key, value| {
//!     assert_eq!((key, value), (&b"key"[..], &b"value"[..]));
//!     ControlFlow::Continue(())
//! })?;
//! assert!(db.remove(b"key")?);
//! assert_eq!(db.count_all()?, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Coming from pmemkv's Python binding
//!
//! | there | here |
//! |---|---|
//! | `Database(engine, config)` with a dict | [`Database::open`] with [`Config::from_json`] or the typed puts |
//! | `stop()`, leaving a `with` block | dropping the [`Database`], or [`Database::close`] |
//! | `db[key] = value`, `put` | [`Database::put`] |
//! | `db[key]`, `get_string` | [`Database::get`] |
//! | `get(key, callback)` | [`Database::get_with`] |
//! | `key in db`, `exists` | [`Database::exists`] |
//! | `del db[key]`, `remove` | [`Database::remove`] |
//! | `len(db)`, `count_all` | [`Database::count_all`] |
//! | `count_above`, `count_equal_above`, `count_below`, `count_equal_below`, `count_between` | the same names |
//! | `get_all`, `get_above`, `get_equal_above`, `get_below`, `get_equal_below`, `get_between` | the same names |
//! | `get_keys`, `get_keys_above`, ... | [`Database::get_keys_all`], `get_keys_above`, ... |
//! | `defrag` | [`Database::defrag`] |
//! | the exceptions | [`Error`], one variant per status |
//!
//! [`Comparator`]s, [`Database::write_range`] and [`Pool`]s have no counterpart there.

mod backing;
mod callback;
mod comparator;
mod config;
mod database;
pub mod engines;
mod equal;
mod error;
mod json;
mod library;
mod overwrite;
mod persist;
mod pool;
mod prefetch;
mod probe;
mod ranges;
mod readers;
mod reentry;
mod segments;
mod shared;

pub use backing::{Backing, Durability, backing, durability_environment};
pub use comparator::Comparator;
pub use config::Config;
pub use database::Database;
pub use engines::Engine;
pub use equal::equal_bytes;
pub use error::{Error, Status};
pub use library::load;
pub use pool::{
    Allocated, Arenas, Blocks, CELLS, FORMAT_VERSION, FORMAT_WITH_EXTENTS, Occupied,
    PARTITIONS_MAX, Point, Pool, PoolError, PoolHeader, PoolStats, Unfinished, WORDS, is_device,
    void_on_crash,
};
pub use prefetch::prefetch;
pub use probe::{examine, probe, probe_within, rehearse};
pub use ranges::Range;
pub use segments::{SEGMENT_ENTRY_BYTES, SEGMENT_HEADER_BYTES, Segments};
pub use shared::SharedFile;

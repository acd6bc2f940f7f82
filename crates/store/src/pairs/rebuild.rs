//! Rebuilds a pool whose engine cannot be trusted after an unclean stop.
//!
//! stree keeps every acknowledged pair of the layout through a `kill -9` ([`table`](super::table) says how), but what it
//! inserts afterwards can overwrite live entries. So before the first write the server copies the pairs into a fresh tree,
//! in a new pool beside the old one, and then renames the new pool to the old one's name. After a crash at any point one
//! of the two, intact, has the name.
//!
//! A pool whose pairs have no padding yet goes the same way, once.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::open::open_partitions;
use super::sums::Sums;
use super::table::{is_padded, pad_once};
use super::{WORD_PADDED, WORD_UNCHECKED};
use crate::OpenError;
use crate::metadata;
use pmemkv::{Pool, PoolError};

/// Whether a pool must be copied into a fresh one before the first write.
pub fn must_be_rebuilt(pool: &Pool) -> bool {
    is_padded(&pool.header().engine) && (!metadata::was_closed(pool) || pool.word(WORD_PADDED) == 0)
}

/// Notes in a new pool that all its pairs will be padded, where its engine needs that.
pub fn note_padded(pool: &Pool) {
    if is_padded(&pool.header().engine) {
        pool.set_word(WORD_PADDED, 1);
    }
}

/// Copies `old` into a fresh pool that takes its place.
pub fn rebuild(old: Pool) -> Result<Pool, OpenError> {
    let named = old.path().to_owned();
    // The name may be relative or a link. The fresh pool must replace the file itself.
    let path = std::fs::canonicalize(&named)
        .map_err(|error| OpenError::Pool(PoolError::from_io(&named, &error)))?;
    let beside = beside(&path);
    tracing::info!(
        path = %path.display(),
        "rebuilding the pool into a fresh one before the first write: it was not closed in order, or is of an earlier version"
    );
    let io = |error: std::io::Error| OpenError::Pool(PoolError::from_io(&beside, &error));
    // An earlier rebuild that a crash cut short may have left this file. No other program uses the name.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let size_bytes = old.stats()?.size_bytes;
    let new = Pool::create(&beside, size_bytes, old.header())?;
    let copied = copy(&old, &new);
    if let Err(error) = copied {
        drop(new);
        // Only a leftover; the next rebuild removes it too.
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    drop(new);
    drop(old);
    std::fs::rename(&beside, &path).map_err(io)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    std::fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io)?;
    Ok(Pool::open(&named)?)
}

fn copy(old: &Pool, new: &Pool) -> Result<(), OpenError> {
    let from = open_partitions(old)?;
    let to = open_partitions(new)?;
    let mut pairs = 0u64;
    for (from, to) in from.iter().zip(&to) {
        let mut failed = None;
        let walked = from.get_all(|key, value| {
            let (key, value) = pad_once(key, value);
            match to.put(&key, &value) {
                Ok(()) => {
                    pairs += 1;
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        if let Some(source) = walked.err().or(failed) {
            return Err(OpenError::Engine {
                engine: old.header().engine.clone(),
                source,
            });
        }
    }
    metadata::copy_generations(old, new);
    Sums::copy(old, new);
    new.set_word(WORD_UNCHECKED, old.word(WORD_UNCHECKED));
    note_padded(new);
    metadata::mark_open(new);
    tracing::info!(pairs, "the pool is rebuilt");
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".rebuild");
    PathBuf::from(name)
}

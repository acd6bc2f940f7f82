//! Rebuilding a pool whose engine cannot be trusted after an unclean stop.
//!
//! stree keeps every acknowledged pair through a `kill -9`, but what it inserts afterwards can overwrite live
//! entries. So before the first write the pairs are copied into a fresh tree, in a new pool beside the old one, which
//! then takes the old one's name. A crash at any point leaves one of the two whole under the pool's name.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::WORD_UNCHECKED;
use super::open::open_partitions;
use super::sums::Sums;
use crate::OpenError;
use crate::metadata;
use pmemkv::{Pool, PoolError};

/// Copies `old` into a fresh pool that takes its place.
pub fn rebuild(old: Pool) -> Result<Pool, OpenError> {
    let named = old.path().to_owned();
    // The file itself, where the name is relative or a link: the fresh pool takes its place.
    let path = std::fs::canonicalize(&named)
        .map_err(|error| OpenError::Pool(PoolError::from_io(&named, &error)))?;
    let beside = beside(&path);
    tracing::info!(
        path = %path.display(),
        "rebuilding the pool into a fresh one after an unclean stop, before the first write"
    );
    let io = |error: std::io::Error| OpenError::Pool(PoolError::from_io(&beside, &error));
    // What an earlier rebuild that was cut short left behind. The name is this server's own.
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
        let walked = from.get_all(|key, value| match to.put(key, value) {
            Ok(()) => {
                pairs += 1;
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
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
    metadata::mark_open(new);
    tracing::info!(pairs, "the pool is rebuilt");
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".rebuild");
    PathBuf::from(name)
}

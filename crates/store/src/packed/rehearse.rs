//! What a child process does with a private copy of the pool before the open: all that could crash it.

use pmemkv::{Engine, Pool};

use super::header::{Header, VERSION, Which};
use super::{Packed, open_pool};
use crate::StoreError;
use crate::pairs::walk;

/// As long as a large commit.
const COMMIT_BYTES: usize = 128 * 1024;

/// Opens the layout and writes to each segment. What the open refuses is left for the real one to say.
pub fn rehearse(engine: Engine, pool: &Pool, repair: bool) -> Result<(), String> {
    {
        let database = pool.open_partition(0).map_err(|error| error.to_string())?;
        let allocated = pool.allocated();
        walk(&database, &|bytes| allocated.holds(bytes))?;
    }
    let Ok(packed) = open_pool(engine, pool, repair, false) else {
        return Ok(());
    };
    packed
        .touch_all()
        .map_err(|error| format!("a trial of writing to it failed: {error}"))
}

impl Packed {
    fn touch_all(&self) -> Result<(), StoreError> {
        let segments = self.space.segments();
        segments.expect_random_reads();
        for segment in 0..segments.count() {
            segments.touch(segment)?;
        }
        if let Ok((segment, serial)) = self.space.take(true) {
            let bytes = COMMIT_BYTES.min(self.space.capacity());
            let header = Header {
                version: VERSION,
                which: Which::Front,
                serial,
                committed: bytes as u64,
                begun: 0,
            };
            segments.append(segment, &vec![0; bytes], &header.entry())?;
        }
        Ok(())
    }
}
